//! Names that look like popular ones, by lists that the user has.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use evidence::{Finding, Subject};
use judge::codes;
use judge::matching::Popular;

use super::targets::Target;
use crate::error::{Error, Result};

const LIST_MAX_BYTES: u64 = 256 << 20;
/// Purl types and how the lists of their names are called.
const LISTS: &[(&str, &str)] = &[
    ("cargo", "cargo"),
    ("composer", "composer"),
    ("gem", "rubygems"),
    ("npm", "npm"),
    ("nuget", "nuget"),
    ("pub", "pub"),
    ("pypi", "pypi"),
];

/// Finds packages that are called almost like a popular one.
pub(super) fn check(folder: &Path, targets: &[Target]) -> Result<Vec<Finding>> {
    let mut popular: BTreeMap<&str, Popular> = BTreeMap::new();
    let mut findings = Vec::new();
    for (purl, sighting) in targets.iter().flat_map(|target| &target.packages) {
        let Some((kind, list)) = LISTS.iter().find(|(kind, _)| *kind == purl.kind()) else { continue };
        let known = match popular.entry(kind) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(read(folder, list)?),
        };
        let name = match purl.namespace() {
            Some(namespace) => format!("{namespace}/{}", purl.name()),
            None => purl.name().to_owned(),
        };
        if let Some(like) = known.like(&name) {
            let because = vec![
                format!("`{name}` is within one edit of `{like}`"),
                format!("{} in {}: {}", sighting.grade.word(), sighting.within, sighting.because),
            ];
            let subject = Subject { path: Some(sighting.package.as_str().into()), digest: sighting.digest };
            findings.push(codes::NAME_LIKE_POPULAR.finding(subject, because));
        }
    }
    findings.sort_by(|one, other| one.subject.cmp(&other.subject));
    findings.dedup_by(|one, other| one.subject == other.subject);
    Ok(findings)
}

/// Reads a list, one name a line; an ecosystem without one has no popular names.
fn read(folder: &Path, list: &str) -> Result<Popular> {
    for name in [format!("{list}.txt"), format!("{list}.txt.gz")] {
        let path = folder.join(&name);
        let fail = |source| Error::Read { path: path.clone(), source };
        let file = match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            file => file.map_err(fail)?,
        };
        let mut text = String::new();
        let read = if name.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(file).take(LIST_MAX_BYTES).read_to_string(&mut text)
        } else {
            file.take(LIST_MAX_BYTES).read_to_string(&mut text)
        };
        read.map_err(fail)?;
        return Ok(Popular::new(
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')),
        ));
    }
    Ok(Popular::default())
}
