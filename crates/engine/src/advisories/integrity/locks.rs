//! Lock files against the manifests beside them: whether what is locked is what was asked for.
//!
//! npm and Cargo ask by ranges, Go by versions. What a manifest asks for in another way (an address, a folder, a tag, the workspace) is
//! not compared.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{BytePath, Finding, Subject};
use judge::codes;
use semver::{Version, VersionReq};
use serde_json::Value;

/// So many differences of one lock file are named.
const NAMED_MAX: usize = 20;

const PAIRS: [(&str, &str, Compare); 4] = [
    ("package.json", "package-lock.json", npm),
    ("package.json", "npm-shrinkwrap.json", npm),
    ("Cargo.toml", "Cargo.lock", cargo),
    ("go.mod", "go.sum", go),
];

/// Takes manifest and lock file, and says what is amiss; nothing if one of them cannot be read, for that is a problem of its own.
type Compare = fn(&[u8], &[u8]) -> Option<Vec<String>>;

fn split(path: &BytePath) -> (String, String) {
    let path = path.to_string();
    match path.rsplit_once('/') {
        Some((folder, name)) => (folder.to_owned(), name.to_owned()),
        None => (String::new(), path),
    }
}

pub(super) fn is_manifest(path: &BytePath) -> bool {
    PAIRS.iter().any(|(manifest, _, _)| split(path).1 == *manifest)
}

pub(super) fn is_lock(path: &BytePath) -> bool {
    PAIRS.iter().any(|(_, lock, _)| split(path).1 == *lock)
}

/// Compares the pairs among documents.
pub(super) fn check(documents: &[(BytePath, Vec<u8>)]) -> Vec<Finding> {
    let by_place: BTreeMap<(String, String), (&BytePath, &[u8])> =
        documents.iter().map(|(path, bytes)| (split(path), (path, bytes.as_slice()))).collect();
    let mut findings = Vec::new();
    for ((folder, name), (path, bytes)) in &by_place {
        for (manifest, lock, compare) in &PAIRS {
            if name != lock {
                continue;
            }
            let Some((_, asked)) = by_place.get(&(folder.clone(), (*manifest).to_owned())) else { continue };
            let Some(mut because) = compare(asked, bytes).filter(|wrong| !wrong.is_empty()) else { continue };
            let more = because.len().saturating_sub(NAMED_MAX);
            because.truncate(NAMED_MAX);
            if more > 0 {
                because.push(format!("and {more} more"));
            }
            let subject = Subject { path: Some((*path).clone()), digest: Some(evidence::Digest::of(bytes)) };
            findings.push(codes::LOCK_FILE_DISAGREES.finding(subject, because));
        }
    }
    findings
}

fn npm(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
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
    for table in ["dependencies", "devDependencies", "optionalDependencies"] {
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

fn cargo(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let manifest: toml::Table = toml::from_str(std::str::from_utf8(manifest).ok()?).ok()?;
    let lock: toml::Table = toml::from_str(std::str::from_utf8(lock).ok()?).ok()?;
    let mut locked: BTreeMap<&str, Vec<Version>> = BTreeMap::new();
    for package in lock.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
        if let (Some(name), Some(version)) = (text("name"), text("version")) {
            locked.entry(name).or_default().extend(Version::parse(version));
        }
    }
    let mut tables: Vec<&toml::Value> = Vec::new();
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables.extend(kinds.iter().filter_map(|kind| manifest.get(*kind)));
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    for target in targets.into_iter().flat_map(toml::Table::values) {
        tables.extend(kinds.iter().filter_map(|kind| target.get(*kind)));
    }
    let mut wrong = BTreeSet::new();
    for (key, value) in tables.into_iter().filter_map(toml::Value::as_table).flatten() {
        let field = |name: &str| value.get(name).and_then(toml::Value::as_str);
        let elsewhere = ["path", "git", "workspace"].iter().any(|place| value.get(*place).is_some());
        let (name, wanted) = (field("package").unwrap_or(key), value.as_str().or(field("version")));
        let Some(request) = wanted.filter(|_| !elsewhere).and_then(|wanted| VersionReq::parse(wanted).ok())
        else {
            continue;
        };
        match locked.get(name) {
            // Another way of writing the name finds the same crate.
            None if locked.contains_key(name.replace('_', "-").as_str()) => {}
            None => {
                wrong.insert(format!("{name} {request} is not locked"));
            }
            Some(versions) if !versions.iter().any(|version| request.matches(version)) => {
                let found: Vec<String> = versions.iter().map(Version::to_string).collect();
                wrong.insert(format!(
                    "the manifest asks for {name} {request}, {} is locked",
                    found.join(", ")
                ));
            }
            Some(_) => {}
        }
    }
    Some(wrong.into_iter().collect())
}

fn go(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let (manifest, lock) = (std::str::from_utf8(manifest).ok()?, std::str::from_utf8(lock).ok()?);
    let sums: BTreeSet<(&str, &str)> = lock
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (path, version) = (words.next()?, words.next()?);
            Some((path, version.trim_end_matches("/go.mod")))
        })
        .collect();
    let (mut required, mut replaced) = (Vec::new(), BTreeSet::new());
    let mut block = "";
    for line in manifest.lines() {
        let content = line.split("//").next().unwrap_or_default();
        let words: Vec<&str> = content.split_whitespace().collect();
        match words.as_slice() {
            [")"] => block = "",
            [directive, "("] => block = directive,
            ["require", path, version] => required.push((*path, *version)),
            ["replace", path, ..] => drop(replaced.insert(*path)),
            [path, version] if block == "require" => required.push((*path, *version)),
            [path, ..] if block == "replace" => drop(replaced.insert(*path)),
            _ => {}
        }
    }
    let missing = required
        .into_iter()
        .filter(|(path, version)| !replaced.contains(path) && !sums.contains(&(path, version)));
    Some(missing.map(|(path, version)| format!("{path} {version} has no hash in go.sum")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(manifest: (&str, &str), lock: (&str, &str)) -> Vec<String> {
        let documents = [manifest, lock].map(|(name, text)| (BytePath::from(name), text.as_bytes().to_vec()));
        check(&documents).into_iter().flat_map(|finding| finding.because).collect()
    }

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
    fn what_is_locked_is_what_was_asked_for() {
        let manifest = r#"{"dependencies": {"a": "^1.0.0"}, "devDependencies": {"b": "2.0.0"}}"#;
        let lock = |own: &str, a: &str| {
            format!(
                r#"{{"lockfileVersion": 3, "packages": {{"": {{"dependencies": {own}, "devDependencies": {{"b": "2.0.0"}}}},
                "node_modules/a": {{"version": "{a}"}}, "node_modules/b": {{"version": "2.0.0"}}}}}}"#
            )
        };
        let npm = |lock: &str| wrong(("p/package.json", manifest), ("p/package-lock.json", lock));
        assert_eq!(npm(&lock(r#"{"a": "^1.0.0"}"#, "1.5.0")), Vec::<String>::new());
        assert_eq!(
            npm(&lock(r#"{"a": "^1.0.0"}"#, "2.0.0")),
            ["the manifest asks for a ^1.0.0, 2.0.0 is locked"]
        );
        assert_eq!(
            npm(&lock(r#"{"a": "^2.0.0"}"#, "1.0.0")),
            ["the manifest asks for a ^1.0.0, the lock file was made for ^2.0.0"]
        );
        assert_eq!(
            npm(&lock(r#"{"a": "^1.0.0", "evil": "1"}"#, "1.0.0")),
            ["the lock file was made for evil, which the manifest does not ask for"]
        );
        let old = r#"{"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0"}}}"#;
        assert_eq!(npm(old), ["b 2.0.0 is not locked"]);
        let cargo = |lock: &str| {
            let manifest =
                "[dependencies]\na = \"1\"\nb = { version = \"2\", package = \"c\" }\nd = { path = \"d\" }\n";
            wrong(("Cargo.toml", manifest), ("Cargo.lock", lock))
        };
        let entry =
            |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        assert_eq!(cargo(&(entry("a", "1.2.0") + &entry("c", "2.0.0"))), Vec::<String>::new());
        assert_eq!(
            cargo(&(entry("a", "0.9.0") + &entry("c", "2.0.0"))),
            ["the manifest asks for a ^1, 0.9.0 is locked"]
        );
        assert_eq!(cargo(&entry("a", "1.2.0")), ["c ^2 is not locked"]);
        let go = |lock: &str| {
            let manifest = "module m\nrequire a.test/x v1.0.0\nrequire (\n b.test/y v1.1.0 // indirect\n c.test/z v1\n)\nreplace c.test/z => ../z\n";
            wrong(("go.mod", manifest), ("go.sum", lock))
        };
        assert_eq!(go("a.test/x v1.0.0 h1:x=\nb.test/y v1.1.0/go.mod h1:y=\n"), Vec::<String>::new());
        assert_eq!(
            go("a.test/x v1.0.1 h1:x=\nb.test/y v1.1.0 h1:y=\n"),
            ["a.test/x v1.0.0 has no hash in go.sum"]
        );
        assert_eq!(wrong(("package.json", "{"), ("package-lock.json", "{}")), Vec::<String>::new());
    }
}
