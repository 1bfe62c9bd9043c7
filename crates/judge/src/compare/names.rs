//! Pairing names across releases: `demo-1.0.0/x` and `demo-1.1.0/x` are the same member.

use std::collections::BTreeMap;

/// Pairs the entries of two maps: first by equal key, then by key with versions removed where that is unique
/// on both sides. Returns triples of (name for people, old, new).
pub(super) fn pair<'k, T>(
    old: BTreeMap<Vec<u8>, T>,
    new: BTreeMap<Vec<u8>, T>,
    releases: (&'k str, &'k str),
) -> Vec<(Option<T>, Option<T>)> {
    let mut pairs = Vec::new();
    let mut left = BTreeMap::new();
    let mut new = new;
    for (name, value) in old {
        match new.remove(&name) {
            Some(other) => pairs.push((Some(value), Some(other))),
            None => {
                left.entry(without_versions(&name, releases.0)).or_insert_with(Vec::new).push(value);
            }
        }
    }
    let mut right: BTreeMap<Vec<u8>, Vec<T>> = BTreeMap::new();
    for (name, value) in new {
        right.entry(without_versions(&name, releases.1)).or_default().push(value);
    }
    for (key, mut olds) in left {
        match right.remove(&key) {
            Some(mut news) if olds.len() == 1 && news.len() == 1 => pairs.push((olds.pop(), news.pop())),
            unmatched => {
                pairs.extend(olds.into_iter().map(|value| (Some(value), None)));
                pairs.extend(unmatched.into_iter().flatten().map(|value| (None, Some(value))));
            }
        }
    }
    pairs.extend(right.into_values().flatten().map(|value| (None, Some(value))));
    pairs
}

/// Replaces the release and everything that looks like a version (`1.2`, `1.2.3-rc1` its digits) by a mark.
pub(crate) fn without_versions(name: &[u8], release: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        let rest = &name[at..];
        let starts_word = at == 0 || !name[at - 1].is_ascii_alphanumeric();
        if starts_word && !release.is_empty() && rest.starts_with(release.as_bytes()) {
            out.extend_from_slice(b"\0release");
            at += release.len();
            continue;
        }
        let length = version_length(rest);
        if length > 0 && (at == 0 || !name[at - 1].is_ascii_digit()) {
            out.extend_from_slice(b"\0release");
            at += length;
            continue;
        }
        let length =
            if at == 0 || matches!(name[at - 1], b'-' | b'.' | b'_' | b'/') { hash_length(rest) } else { 0 };
        if length > 0 {
            out.extend_from_slice(b"\0hash");
            at += length;
            continue;
        }
        // `.so.5` of one library is `.so.6` of the next.
        if let Some(number) = rest.strip_prefix(b".so.") {
            let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 && number.get(digits).is_none_or(|byte| *byte == b'.') {
                out.extend_from_slice(b".so.\0release");
                at += 4 + digits;
                while name.get(at) == Some(&b'.') && name.get(at + 1).is_some_and(u8::is_ascii_digit) {
                    at += 1 + name[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                }
                continue;
            }
        }
        out.push(rest[0]);
        at += 1;
    }
    out
}

/// Length of a hash in a name: 8 to 64 hexadecimal letters up to the next mark, digits and letters among them, as
/// packers of wheels (`libx-1a2b3c4d.so`) and of scripts (`main.1a2b3c4d.js`) write it; or 0.
fn hash_length(text: &[u8]) -> usize {
    let length = text.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
    let ends = text.get(length).is_none_or(|byte| matches!(byte, b'-' | b'.' | b'_' | b'/'));
    let mixed = text[..length].iter().any(u8::is_ascii_digit);
    if (8..=64).contains(&length) && ends && mixed { length } else { 0 }
}

/// Length of `digits(.digits)+` at the start, or 0.
fn version_length(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let first = digits(0);
    if first == 0 {
        return 0;
    }
    let mut length = first;
    let mut groups = 1;
    while text.get(length) == Some(&b'.') {
        let more = digits(length + 1);
        if more == 0 {
            break;
        }
        length += 1 + more;
        groups += 1;
    }
    if groups > 1 { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &[&str], new: &[&str], expected: &[(&str, &str)]) {
        let map = |names: &[&str]| {
            names
                .iter()
                .map(|name| (name.as_bytes().to_vec(), (*name).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut pairs: Vec<_> = pair(map(old), map(new), ("1.0.0", "1.1.0-rc2"))
            .into_iter()
            .map(|(old, new)| (old.unwrap_or_default(), new.unwrap_or_default()))
            .collect();
        pairs.sort();
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn names_are_paired_across_versions() {
        check(
            &["demo-1.0.0.tar.gz"],
            &["demo-1.1.0-rc2.tar.gz"],
            &[("demo-1.0.0.tar.gz", "demo-1.1.0-rc2.tar.gz")],
        );
        check(&["a/x"], &["a/x", "a/y"], &[("", "a/y"), ("a/x", "a/x")]);
        check(&["lib.so.1.2"], &["lib.so.1.3"], &[("lib.so.1.2", "lib.so.1.3")]);
        check(&["lib.so.5"], &["lib.so.6"], &[("lib.so.5", "lib.so.6")]);
        check(
            &["x.libs/liba-1a2b3c4d.dll"],
            &["x.libs/liba-00ff00ff.dll"],
            &[("x.libs/liba-1a2b3c4d.dll", "x.libs/liba-00ff00ff.dll")],
        );
        check(&["main.0123abcd.js"], &["main.9f8e7d6c.js"], &[("main.0123abcd.js", "main.9f8e7d6c.js")]);
        check(&["feedface.js"], &["deadbeef.js"], &[("", "deadbeef.js"), ("feedface.js", "")]);
        check(&["file2"], &["file3"], &[("", "file3"), ("file2", "")]);
    }

    #[test]
    fn an_ambiguous_name_is_paired_with_nothing() {
        check(&["l.1.1", "l.1.2"], &["l.1.3"], &[("", "l.1.3"), ("l.1.1", ""), ("l.1.2", "")]);
    }
}
