//! `Cargo.toml` against `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};

pub(super) fn compare(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
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
