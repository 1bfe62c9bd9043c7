//! `package.json` against the lock files of npm, Yarn and pnpm.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde_json::Value;

use crate::catalog::{unquoted, yaml};

const TABLES: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];

pub(super) fn npm(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    let lock: Value = serde_json::from_slice(lock).ok()?;
    let mut wrong = Vec::new();
    let packages = lock.get("packages").and_then(Value::as_object);
    let version_of = |name: &str| -> Option<&str> {
        let entry = match packages {
            Some(packages) => packages.get(&format!("node_modules/{name}"))?,
            None => lock.get("dependencies")?.get(name)?,
        };
        // A folder of the workspace has no version of its own here.
        Some(entry.get("version").and_then(Value::as_str).unwrap_or_default())
    };
    for table in TABLES {
        let asked = manifest.get(table).and_then(Value::as_object);
        let own = packages.and_then(|packages| packages.get("")).and_then(|own| own.get(table));
        for (name, wanted) in asked.into_iter().flatten() {
            let wanted = wanted.as_str().unwrap_or_default();
            match own.and_then(|own| own.get(name)).and_then(Value::as_str) {
                Some(known) if known != wanted => {
                    wrong.push(format!(
                        "the manifest asks for {name} {wanted}, the lock file was made for {known}"
                    ));
                }
                None if packages.is_some() => {
                    wrong.push(format!(
                        "the manifest asks for {name} {wanted}, which the lock file was not made for"
                    ));
                }
                _ => {}
            }
            match version_of(name) {
                None if table != "optionalDependencies" => {
                    wrong.push(format!("{name} {wanted} is not locked"))
                }
                Some(version) if npm_has(wanted, version) == Some(false) => {
                    wrong.push(format!("the manifest asks for {name} {wanted}, {version} is locked"));
                }
                _ => {}
            }
        }
        for name in own.and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
            if asked.is_none_or(|asked| !asked.contains_key(name)) {
                wrong.push(format!("the lock file was made for {name}, which the manifest does not ask for"));
            }
        }
    }
    Some(wrong)
}

/// Tells whether a version lies in a range of npm's; none if either is something else.
fn npm_has(range: &str, version: &str) -> Option<bool> {
    let version = Version::parse(version).ok()?;
    let mut any = false;
    for part in range.split("||") {
        let part = part.trim();
        let text = match part.split_once(" - ") {
            Some((low, high)) => format!(">={}, <={}", low.trim(), high.trim()),
            None if part.is_empty() || part == "*" || part == "x" => "*".to_owned(),
            None => comparators(part).join(", "),
        };
        any |= VersionReq::parse(&text).ok()?.matches(&version);
    }
    Some(any)
}

/// `>= 1.0.0 < 2` is two comparators, with or without blanks behind the signs.
fn comparators(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match found.last_mut() {
            Some(last) if last.chars().all(|c| "<>=~^".contains(c)) => last.push_str(word),
            _ => found.push(word.to_owned()),
        }
    }
    // A bare number asks for a caret in Cargo's notation, and in npm's for what it says: `1.2.3`, `1.2.x`, `1`.
    let bare = |one: &str| one.starts_with(|c: char| c.is_ascii_digit());
    let said = found.iter().map(|one| one.strip_prefix('v').filter(|rest| bare(rest)).unwrap_or(one));
    said.map(|one| match bare(one) {
        true => format!("={}", one.trim_end_matches(['.', 'x', 'X', '*'])),
        false => one.to_owned(),
    })
    .collect()
}

/// What a manifest asks for: by name the range, and whether it may be missing.
fn asked(manifest: &Value) -> BTreeMap<&str, (&str, bool)> {
    let tables = TABLES.iter().filter_map(|table| Some((*table, manifest.get(table)?.as_object()?)));
    let wishes = tables.flat_map(|(table, wishes)| {
        wishes.iter().filter_map(move |(name, range)| {
            Some((name.as_str(), (range.as_str()?, table == "optionalDependencies")))
        })
    });
    wishes.collect()
}

/// What is asked for by a folder or by the workspace is not compared.
fn is_elsewhere(range: &str) -> bool {
    let ways = ["workspace:", "file:", "link:", "portal:", "patch:", "catalog:", "git", "http:", "https:"];
    ways.iter().any(|way| range.starts_with(way)) || range.contains('/') && !range.starts_with("npm:")
}

/// Names for which the manifest says that another version is to be taken than was asked for.
fn overridden(manifest: &Value) -> BTreeSet<&str> {
    let pnpm = manifest.get("pnpm").and_then(|own| own.get("overrides"));
    let tables = [manifest.get("resolutions"), manifest.get("overrides"), pnpm];
    let keys = tables.into_iter().flatten().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
    // `a/b`, `**/b`, `a>b`: the last is what is replaced; a range may follow.
    keys.map(|key| {
        let scoped = key.rfind("/@").map(|at| at + 1);
        let start =
            scoped.or_else(|| key.rfind(['/', '>']).filter(|_| !key.starts_with('@')).map(|at| at + 1));
        let name = key.get(start.unwrap_or(0)..).unwrap_or(key);
        match name.char_indices().skip(1).find(|(_, c)| *c == '@') {
            Some((at, _)) => &name[..at],
            None => name,
        }
    })
    .collect()
}

/// `yarn.lock` has what was asked for in its keys: `name@range`, in Yarn 2 and later `name@npm:range`.
pub(super) fn yarn(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    let lock = std::str::from_utf8(lock).ok()?;
    let mut locked: BTreeMap<&str, &str> = BTreeMap::new();
    let mut keys: Vec<&str> = Vec::new();
    for line in lock.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let content = line.trim_start();
        match line.len() - content.len() {
            0 => {
                let whole = content.trim_end().trim_end_matches(':');
                keys = whole.split(", ").map(|key| key.trim_matches('"')).collect();
            }
            2 => {
                let version =
                    content.strip_prefix("version").map(|rest| unquoted(rest.trim_start_matches([':', ' '])));
                if let Some(version) = version {
                    locked.extend(keys.iter().map(|key| (*key, version)));
                }
            }
            _ => {}
        }
    }
    let others = overridden(&manifest);
    let mut wrong = Vec::new();
    for (name, (range, _)) in asked(&manifest) {
        if is_elsewhere(range) {
            continue;
        }
        let keys = [format!("{name}@{range}"), format!("{name}@npm:{range}")];
        match keys.iter().find_map(|key| locked.get(key.as_str())) {
            None => wrong
                .push(format!("the manifest asks for {name} {range}, which the lock file was not made for")),
            Some(version) if !others.contains(name) && npm_has(range, version) == Some(false) => {
                wrong.push(format!("the manifest asks for {name} {range}, {version} is locked"));
            }
            Some(_) => {}
        }
    }
    Some(wrong)
}

/// `pnpm-lock.yaml` keeps beside each version the range that it was made for.
pub(super) fn pnpm(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    let lock = std::str::from_utf8(lock).ok()?;
    let (mut ranges, mut versions): (BTreeMap<&str, &str>, BTreeMap<&str, &str>) = Default::default();
    let mut path: Vec<(usize, &str)> = Vec::new();
    for line in yaml(lock).filter(|line| line.mapping) {
        path.retain(|(indent, _)| *indent < line.indent);
        let mut folders: Vec<&str> = path.iter().map(|(_, key)| *key).take(6).collect();
        // The project at the root, alone or as one of several.
        if let [first, own, ..] = folders.as_slice()
            && (*first, *own) == ("importers", ".")
        {
            folders.drain(..2);
        }
        match folders.as_slice() {
            [table, name] if TABLES.contains(table) && line.key == "specifier" => {
                ranges.insert(name, line.value);
            }
            [table, name] if TABLES.contains(table) && line.key == "version" => {
                versions.insert(name, line.value);
            }
            ["specifiers"] => drop(ranges.insert(line.key, line.value)),
            [table] if TABLES.contains(table) && !line.value.is_empty() => {
                versions.insert(line.key, line.value);
            }
            _ => {}
        }
        path.push((line.indent, line.key));
    }
    let others = overridden(&manifest);
    let mut wrong = Vec::new();
    let asked = asked(&manifest);
    for (name, (range, _)) in asked.iter().filter(|(_, (range, _))| !is_elsewhere(range)) {
        match ranges.get(name) {
            None => wrong
                .push(format!("the manifest asks for {name} {range}, which the lock file was not made for")),
            Some(known) if known != range && !others.contains(name) => {
                wrong.push(format!(
                    "the manifest asks for {name} {range}, the lock file was made for {known}"
                ));
            }
            Some(_) => {}
        }
        // Peers stand behind the version, in brackets or after a line.
        let version = versions.get(name).map(|version| version.split(['(', '_']).next().unwrap_or(version));
        match version {
            Some(version) if !others.contains(name) && npm_has(range, version) == Some(false) => {
                wrong.push(format!("the manifest asks for {name} {range}, {version} is locked"));
            }
            _ => {}
        }
    }
    for name in ranges.keys().filter(|name| !asked.contains_key(**name)) {
        wrong.push(format!("the lock file was made for {name}, which the manifest does not ask for"));
    }
    Some(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npm_s_ranges_are_npm_s() {
        for (range, version, expected) in [
            ("^1.2.0", "1.9.0", Some(true)),
            ("^1.2.0", "2.0.0", Some(false)),
            ("~1.2.0", "1.3.0", Some(false)),
            ("1.2.3", "1.2.4", Some(false)),
            ("1.2.3", "1.2.3", Some(true)),
            ("1.x", "1.9.9", Some(true)),
            ("1", "1.9.9", Some(true)),
            ("1", "2.0.0", Some(false)),
            (">= 1.0.0 <2", "1.5.0", Some(true)),
            (">=1.0.0 < 2.0.0", "2.0.0", Some(false)),
            ("1.0.0 - 2.0.0", "1.5.0", Some(true)),
            ("^1 || ^3", "3.1.0", Some(true)),
            ("^1 || ^3", "2.1.0", Some(false)),
            ("*", "9.0.0", Some(true)),
            ("", "9.0.0", Some(true)),
            ("latest", "9.0.0", None),
            ("git+https://x.test/a", "9.0.0", None),
            ("npm:other@^1", "1.0.0", None),
            ("workspace:*", "1.0.0", None),
        ] {
            assert_eq!(npm_has(range, version), expected, "{range} {version}");
        }
    }

    #[test]
    fn names_behind_overrides_are_those_that_are_replaced() {
        let manifest = serde_json::json!({
            "resolutions": {"a/b": "1", "**/c": "1", "@s/d": "1", "e/@s/f": "1"},
            "pnpm": {"overrides": {"g@^1": "2", "h>i": "1"}},
        });
        let expected = ["@s/d", "@s/f", "b", "c", "g", "i"];
        assert_eq!(overridden(&manifest).into_iter().collect::<Vec<_>>(), expected);
    }
}
