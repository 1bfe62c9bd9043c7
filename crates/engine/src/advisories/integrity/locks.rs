//! Lock files against the manifests beside them, as findings. How they are compared is `inspect`'s: both are foreign files.

use std::collections::BTreeMap;

use evidence::{BytePath, Finding, Subject};
use inspect::locks::PAIRS;
use judge::codes;

/// So many differences of one lock file are named.
const NAMED_MAX: usize = 20;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_is_compared_with_the_manifest_in_its_own_folder() {
        let manifest = br#"{"dependencies": {"a": "^1.0.0"}}"#.to_vec();
        let lock = b"a@^2.0.0:\n  version \"2.0.0\"\n".to_vec();
        let documents = |folder: &str| {
            [
                (BytePath::from("p/package.json"), manifest.clone()),
                (BytePath::from(format!("{folder}/yarn.lock").as_str()), lock.clone()),
            ]
        };
        let findings = check(&documents("p"));
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].because,
            ["the manifest asks for a ^1.0.0, which the lock file was not made for"]
        );
        assert!(check(&documents("q")).is_empty());
        assert!(
            is_manifest(&"x/Gemfile".into()) && is_lock(&"poetry.lock".into()) && !is_lock(&"x.lock".into())
        );
    }
}
