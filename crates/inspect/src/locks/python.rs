//! `pyproject.toml` against the lock files of Poetry, uv and PDM.

use std::collections::BTreeMap;

use super::release::Release;

/// Takes `[project]`, `[dependency-groups]` (PEP 735) and Poetry's own tables.
pub(super) fn compare(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
    let table = |bytes: &[u8]| toml::from_str::<toml::Table>(std::str::from_utf8(bytes).ok()?).ok();
    let (manifest, lock) = (table(manifest)?, table(lock)?);
    let mut locked: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for package in lock.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
        if let Some(name) = text("name") {
            // A project of the workspace has no version here.
            locked.entry(normal(name)).or_default().extend(text("version"));
        }
    }
    let mut wrong = Vec::new();
    for (name, range) in asked(&manifest) {
        let Some(versions) = locked.get(&name) else {
            wrong.push(format!("{name} {range} is not locked").replace("  ", " "));
            continue;
        };
        let known = versions.iter().map(|version| has(&range, version));
        if !versions.is_empty() && known.into_iter().all(|known| known == Some(false)) {
            wrong.push(format!("the manifest asks for {name} {range}, {} is locked", versions.join(", ")));
        }
    }
    wrong.sort();
    wrong.dedup();
    Some(wrong)
}

/// Names as PEP 503 compares them.
fn normal(name: &str) -> String {
    let mut normal = String::new();
    for c in name.trim().chars() {
        let c = if matches!(c, '-' | '_' | '.') { '-' } else { c.to_ascii_lowercase() };
        if c != '-' || !normal.ends_with('-') {
            normal.push(c);
        }
    }
    normal
}

fn asked(manifest: &toml::Table) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    let project = manifest.get("project");
    let groups = project.and_then(|project| project.get("optional-dependencies")).into_iter();
    let groups = groups.chain(manifest.get("dependency-groups")).filter_map(toml::Value::as_table);
    let lists = project.and_then(|project| project.get("dependencies")).into_iter();
    for list in lists.chain(groups.flat_map(toml::Table::values)) {
        let texts = list.as_array().into_iter().flatten().filter_map(toml::Value::as_str);
        asked.extend(texts.filter_map(requirement));
    }
    let poetry = manifest.get("tool").and_then(|tool| tool.get("poetry"));
    let mut tables: Vec<&toml::Value> = Vec::new();
    for name in ["dependencies", "dev-dependencies"] {
        tables.extend(poetry.and_then(|poetry| poetry.get(name)));
    }
    let groups = poetry.and_then(|poetry| poetry.get("group")).and_then(toml::Value::as_table);
    tables.extend(
        groups.into_iter().flat_map(toml::Table::values).filter_map(|group| group.get("dependencies")),
    );
    for (name, wish) in tables.into_iter().filter_map(toml::Value::as_table).flatten() {
        let version = wish.as_str().or_else(|| wish.get("version").and_then(toml::Value::as_str));
        // From elsewhere, for some machines only, or the language itself.
        let elsewhere = ["git", "path", "url", "markers", "platform", "python"];
        if let Some(version) = version.filter(|_| name != "python")
            && elsewhere.iter().all(|key| wish.get(key).is_none())
        {
            asked.push((normal(name), version.to_owned()));
        }
    }
    asked
}

/// Takes `name[extra] >=1.0,<2` (PEP 508). What holds for some machines only may be left out of a lock file.
fn requirement(text: &str) -> Option<(String, String)> {
    if text.contains(';') || text.contains(" @ ") {
        return None;
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest.trim();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    let range = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
    (!name.is_empty()).then(|| (normal(name), range.to_owned()))
}

/// Tells whether a version lies in a range of PEP 440 or Poetry's; none if either is more than numbers.
fn has(range: &str, version: &str) -> Option<bool> {
    let version = Release::parse(version)?;
    if range.contains("||") {
        return None;
    }
    let mut all = true;
    for part in range.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "*") {
        let end = part.find(|c: char| !"<>=!~^".contains(c)).unwrap_or(part.len());
        let (sign, number) = part.split_at(end);
        let number = number.trim();
        all &= match (sign, number.strip_suffix(".*")) {
            ("==" | "", Some(start)) => version.starts_with(&Release::parse(start)?),
            ("!=", Some(start)) => !version.starts_with(&Release::parse(start)?),
            (_, Some(_)) => return None,
            ("~=", None) => {
                let low = Release::parse(number)?;
                version >= low && version.starts_with(&low.without_last()?)
            }
            ("^", None) => version.is_caret(&Release::parse(number)?),
            ("~", None) => version.is_tilde(&Release::parse(number)?),
            (sign, None) => version.compares(sign, &Release::parse(number)?)?,
        };
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_pep_440_and_poetry() {
        for (range, version, expected) in [
            (">=1.0,<2", "1.5", Some(true)),
            (">=1.0,<2", "2.0", Some(false)),
            ("==1.2", "1.2.0", Some(true)),
            ("==1.*", "1.9", Some(true)),
            ("!=1.5.*", "1.5.3", Some(false)),
            ("~=1.4.2", "1.4.9", Some(true)),
            ("~=1.4.2", "1.5.0", Some(false)),
            ("^1.2", "1.9", Some(true)),
            ("^0.2.3", "0.3.0", Some(false)),
            ("~1.2", "1.3.0", Some(false)),
            ("1.2.3", "1.2.4", Some(false)),
            ("", "9", Some(true)),
            ("*", "9", Some(true)),
            (">=1", "2.0rc1", None),
            ("===x", "1", None),
        ] {
            assert_eq!(has(range, version), expected, "{range} {version}");
        }
    }

    #[test]
    fn requirements_are_taken_apart() {
        let made = |text| requirement(text).map(|(name, range)| format!("{name}|{range}"));
        assert_eq!(made("Foo_Bar[x,y] >=1.0, <2").as_deref(), Some("foo-bar|>=1.0, <2"));
        assert_eq!(made("a (>=1)").as_deref(), Some("a|>=1"));
        assert_eq!(made("a; python_version<'3'"), None);
        assert_eq!(made("a @ https://x.test/a.whl"), None);
    }
}
