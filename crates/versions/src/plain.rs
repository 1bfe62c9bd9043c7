//! Orders that need few rules: R, Haskell, Conan, OpenSSL, moments, code points.

use crate::key::{Key, digits, dotted, is_number};

pub(crate) fn cran(version: &str, key: &mut Key) -> Option<()> {
    numbers(&version.split(['.', '-']).collect::<Vec<_>>(), key)
}

pub(crate) fn hackage(version: &str, key: &mut Key) -> Option<()> {
    numbers(&version.split('.').collect::<Vec<_>>(), key)
}

fn numbers(list: &[&str], key: &mut Key) -> Option<()> {
    if !list.iter().all(|number| is_number(number)) {
        return None;
    }
    key.list(list);
    Some(())
}

/// Items by dots, zeros at the end dropped; prerelease and build are versions of their own.
pub(crate) fn conan(version: &str, key: &mut Key) -> Option<()> {
    let version = version.to_lowercase();
    let (version, build) = match version.split_once('+') {
        Some((version, build)) => (version, Some(build)),
        None => (version.as_str(), None),
    };
    let (version, prerelease) = match version.split_once('-') {
        Some((version, prerelease)) => (version, Some(prerelease)),
        None => (version, None),
    };
    items(version, key);
    match prerelease {
        None => key.tag(u8::MAX),
        Some(prerelease) => items(prerelease, key),
    }
    match build {
        None => key.tag(0),
        Some(build) => items(build, key),
    }
    Some(())
}

/// A number with letters after it stands between that number and the next.
fn items(text: &str, key: &mut Key) {
    let list: Vec<&str> = text.split('.').collect();
    let is_zero = |item: &&str| item.bytes().all(|byte| byte == b'0');
    let end = list.iter().rposition(|item| !is_zero(item)).map_or(0, |last| last + 1);
    for item in list.iter().take(end) {
        let (number, rest) = digits(item);
        if number.is_empty() {
            key.tag(3);
        } else {
            key.tag(2);
            key.number(number);
        }
        key.text(rest);
    }
    key.tag(1);
}

/// Before 3.0, letters after the numbers are patches; after a hyphen follows a prerelease.
pub(crate) fn openssl(version: &str, key: &mut Key) -> Option<()> {
    let (numbers, rest) = dotted(version);
    if numbers.is_empty() {
        return None;
    }
    let (patch, prerelease) = match rest.split_once('-') {
        Some((patch, prerelease)) => (patch, Some(prerelease)),
        None => (rest, None),
    };
    key.padded(&numbers);
    key.text(patch);
    match prerelease {
        None => key.tag(u8::MAX),
        Some(prerelease) => items(prerelease, key),
    }
    Some(())
}

pub(crate) fn datetime(version: &str, key: &mut Key) -> Option<()> {
    let moment: jiff::Timestamp = version.parse().ok()?;
    // The sign bit is turned, so that what is before 1970 comes first.
    key.raw(&((moment.as_nanosecond() as u128) ^ (1 << 127)).to_be_bytes());
    Some(())
}

pub(crate) fn lexicographic(version: &str, key: &mut Key) -> Option<()> {
    key.raw(version.as_bytes());
    Some(())
}
