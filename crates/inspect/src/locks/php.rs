//! `composer.json` against `composer.lock`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::release::Release;

pub(super) fn compare(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    let lock: Value = serde_json::from_slice(lock).ok()?;
    let mut locked: BTreeMap<String, &str> = BTreeMap::new();
    for list in ["packages", "packages-dev"] {
        for package in lock.get(list).and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| package.get(key).and_then(Value::as_str);
            if let (Some(name), Some(version)) = (text("name"), text("version")) {
                locked.insert(name.to_lowercase(), version);
                // What it replaces or provides need not be there.
                for stands_for in ["replace", "provide"] {
                    let names = package.get(stands_for).and_then(Value::as_object).into_iter().flatten();
                    for (name, _) in names {
                        locked.entry(name.to_lowercase()).or_insert("");
                    }
                }
            }
        }
    }
    let mut wrong = Vec::new();
    for table in ["require", "require-dev"] {
        for (name, range) in manifest.get(table).and_then(Value::as_object).into_iter().flatten() {
            let range = range.as_str().unwrap_or_default();
            // `php`, `ext-json`, `lib-curl`, `composer-runtime-api`: the machine, not packages.
            if !name.contains('/') {
                continue;
            }
            match locked.get(&name.to_lowercase()) {
                None => wrong.push(format!("{name} {range} is not locked")),
                Some(version) if has(range, version) == Some(false) => {
                    wrong.push(format!("the manifest asks for {name} {range}, {version} is locked"));
                }
                Some(_) => {}
            }
        }
    }
    Some(wrong)
}

/// Tells whether a version lies in a range of Composer's; none if either is more than numbers.
fn has(range: &str, version: &str) -> Option<bool> {
    let version = Release::parse(version)?;
    let mut any = false;
    for alternative in range.split('|').map(str::trim).filter(|part| !part.is_empty()) {
        // `@stable` and the like, branches and ranges with a dash are something else.
        if alternative.contains('@') || alternative.contains(" - ") || alternative.starts_with("dev-") {
            return None;
        }
        let mut all = true;
        for part in alternative.replace("> ", ">").replace("= ", "=").replace("< ", "<").split([' ', ',']) {
            if part.is_empty() || part == "*" {
                continue;
            }
            let end = part.find(|c: char| !"<>=!~^".contains(c)).unwrap_or(part.len());
            let (sign, number) = part.split_at(end);
            all &= match (sign, number.strip_suffix(".*")) {
                ("" | "=" | "==", Some(start)) => version.starts_with(&Release::parse(start)?),
                (_, Some(_)) => return None,
                ("^", None) => version.is_caret(&Release::parse(number)?),
                // `~1.2` is at least 1.2 and below 2; `~1.2.3` below 1.3.
                ("~", None) => {
                    let low = Release::parse(number)?;
                    version >= low && version.starts_with(&low.without_last().unwrap_or(low.clone()))
                }
                (sign, None) => version.compares(sign, &Release::parse(number)?)?,
            };
        }
        any |= all;
    }
    Some(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_composer() {
        for (range, version, expected) in [
            ("^1.2", "v1.9.0", Some(true)),
            ("^1.2 || ^3", "3.1.0", Some(true)),
            ("~1.2", "1.9", Some(true)),
            ("~1.2.3", "1.3.0", Some(false)),
            (">=1.0 <2.0", "2.0", Some(false)),
            (">= 1.0, < 2.0", "1.5", Some(true)),
            ("1.*", "2.0", Some(false)),
            ("*", "1", Some(true)),
            ("dev-main", "1", None),
            ("^1@dev", "1", None),
            ("^1", "dev-main", None),
        ] {
            assert_eq!(has(range, version), expected, "{range} {version}");
        }
    }
}
