//! Alpine's `apk` and Gentoo's Portage, which it descends from.

use crate::key::{Key, digits, dotted};

/// Suffixes before and after the plain version.
const BEFORE: &[&str] = &["alpha", "beta", "pre", "rc"];
const AFTER: &[&str] = &["cvs", "svn", "git", "hg", "p"];

/// Places among suffixes; what is not there stands between.
const NO_SUFFIX: u8 = 16;

pub(crate) fn apk(version: &str, key: &mut Key) -> Option<()> {
    let (numbers, rest) = dotted(version);
    let rest = if numbers.is_empty() { rest } else { rest.strip_prefix('.').unwrap_or(rest) };
    for (position, number) in numbers.iter().enumerate() {
        // From the second on, a number with a leading zero is a fraction, and compares as text.
        if position > 0 && number.starts_with('0') {
            key.tag(2);
            key.text(number);
        } else {
            key.tag(3);
            key.number(number);
        }
    }
    key.tag(1);
    let rest = letter(rest, key);
    let mut rest = rest;
    while let Some((place, number, after)) = suffix(rest) {
        key.tag(place);
        key.number(number);
        rest = after;
    }
    key.tag(NO_SUFFIX);
    // The hash of a commit says nothing about order.
    if let Some(hash) = rest.strip_prefix('~') {
        rest = hash.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    let after = rest.strip_prefix("-r");
    let (revision, rest) = after.map_or(("", rest), digits);
    key.number(revision);
    // What is left makes it invalid, and comes first; what follows a hyphen is not compared.
    key.tag(u8::from(rest.is_empty()));
    if after.is_none() && !rest.is_empty() && !rest.starts_with('-') {
        key.text(version);
    }
    Some(())
}

/// Takes one letter; none comes first.
fn letter<'a>(text: &'a str, key: &mut Key) -> &'a str {
    match text.bytes().next() {
        Some(letter) if letter.is_ascii_lowercase() => {
            key.tag(letter);
            &text[1..]
        }
        _ => {
            key.tag(0);
            text
        }
    }
}

fn suffix(text: &str) -> Option<(u8, &str, &str)> {
    let bare = text.strip_prefix('_')?;
    let place = |list: &[&str], base: u8| {
        let (at, word) = list.iter().enumerate().find(|(_, word)| bare.starts_with(**word))?;
        let (number, after) = digits(&bare[word.len()..]);
        Some((base + at as u8, number, after))
    };
    place(BEFORE, 1).or_else(|| place(AFTER, NO_SUFFIX + 1))
}

pub(crate) fn gentoo(version: &str, key: &mut Key) -> Option<()> {
    let (numbers, rest) = dotted(version);
    let (first, others) = numbers.split_first()?;
    key.number(first);
    for number in others {
        // PMS 3.3: with a leading zero, trailing zeros are dropped and the rest compares as text.
        if number.starts_with('0') {
            key.tag(2);
            key.text(number.trim_end_matches('0'));
        } else {
            key.tag(3);
            key.number(number);
        }
    }
    key.tag(1);
    let mut rest = letter(rest, key);
    while let Some((place, number, after)) = suffix(rest) {
        key.tag(place);
        key.number(number);
        rest = after;
    }
    key.tag(NO_SUFFIX);
    let revision = match rest.strip_prefix("-r") {
        Some(after) => after,
        None if rest.is_empty() => "",
        None => return None,
    };
    if !revision.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    key.number(revision);
    Some(())
}
