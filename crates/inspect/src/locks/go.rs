//! `go.mod` against `go.sum`.

use std::collections::BTreeSet;

pub(super) fn compare(manifest: &[u8], lock: &[u8]) -> Option<Vec<String>> {
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
