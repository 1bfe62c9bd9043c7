//! Semantic versions 2.0 and their relatives: NuGet and Dart.

use crate::key::{Key, dotted, is_number};

/// What is not there is greater: a release comes after its prereleases.
const NONE: u8 = u8::MAX;

pub(crate) fn semver(version: &str, key: &mut Key) -> Option<()> {
    let (numbers, prerelease, _) = parts(version)?;
    key.padded(&numbers);
    identifiers(prerelease, key);
    Some(())
}

pub(crate) fn nuget(version: &str, key: &mut Key) -> Option<()> {
    let lower = version.to_lowercase();
    semver(&lower, key)
}

/// Dart counts build metadata, as identifiers: none comes first.
pub(crate) fn pub_semver(version: &str, key: &mut Key) -> Option<()> {
    let (numbers, prerelease, build) = parts(version)?;
    key.padded(&numbers);
    identifiers(prerelease, key);
    match build {
        None => key.tag(0),
        Some(_) => identifiers(build, key),
    }
    Some(())
}

/// Numbers, prerelease, build. What follows the numbers without a hyphen is a prerelease too (`1.0rc1`).
fn parts(version: &str) -> Option<(Vec<&str>, Option<&str>, Option<&str>)> {
    let version = version.trim_start_matches(['v', 'V', '=', ' ']);
    let (version, build) = match version.split_once('+') {
        Some((version, build)) => (version, Some(build)),
        None => (version, None),
    };
    let (numbers, rest) = dotted(version);
    if numbers.is_empty() {
        return None;
    }
    let rest = rest.trim_end_matches('.');
    let prerelease = (!rest.is_empty()).then(|| rest.strip_prefix(['-', '.']).unwrap_or(rest));
    Some((numbers, prerelease, build))
}

fn identifiers(list: Option<&str>, key: &mut Key) {
    let Some(list) = list else { return key.tag(NONE) };
    for identifier in list.split('.') {
        if is_number(identifier) {
            key.tag(2);
            key.number(identifier);
        } else {
            key.tag(3);
            key.text(identifier);
        }
    }
    key.tag(1);
}
