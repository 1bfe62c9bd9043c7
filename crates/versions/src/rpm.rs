//! `rpmvercmp`, and Arch Linux's variant of it.

use std::cmp::Ordering;

use crate::key::{Key, is_number, runs};

pub(crate) fn rpm(version: &str, key: &mut Key) -> Option<()> {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) if epoch.is_empty() || is_number(epoch) => (epoch, rest),
        _ => ("", version),
    };
    let (version, release) = match rest.split_once('-') {
        Some((version, release)) => (version, Some(release)),
        None => (rest, None),
    };
    key.number(epoch);
    segments(version, key);
    // A release that is empty is more than none.
    key.tag(u8::from(release.is_some()));
    segments(release.unwrap_or(""), key);
    Some(())
}

#[derive(PartialEq)]
enum Class {
    Digit,
    Letter,
    Tilde,
    Caret,
    Separator,
}

fn class(c: char) -> Class {
    match c {
        '0'..='9' => Class::Digit,
        'A'..='Z' | 'a'..='z' => Class::Letter,
        '~' => Class::Tilde,
        '^' => Class::Caret,
        _ => Class::Separator,
    }
}

/// A tilde comes before the end, the end before a caret, that before letters, and letters before numbers.
fn segments(text: &str, key: &mut Key) {
    const END: u8 = 2;
    for run in runs(text, class) {
        match run.chars().next().map(class) {
            Some(Class::Tilde) => run.chars().for_each(|_| key.tag(1)),
            Some(Class::Caret) => run.chars().for_each(|_| key.tag(3)),
            Some(Class::Letter) => {
                key.tag(4);
                key.text(run);
            }
            Some(Class::Digit) => {
                key.tag(5);
                key.number(run);
            }
            Some(Class::Separator) | None => {}
        }
    }
    key.tag(END);
}

struct Alpm<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Alpm<'a> {
    fn parse(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if is_number(epoch) => (epoch, rest),
            _ => ("0", text),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        Self { epoch, version, release }
    }

    fn start(&self) -> Vec<u8> {
        let mut key = Key::default();
        key.number(self.epoch);
        parts(self.version, &mut key);
        key.done()
    }
}

pub(crate) fn alpm(version: &str, key: &mut Key) -> Option<()> {
    let version = Alpm::parse(version);
    let start = version.start();
    key.raw(&u16::try_from(start.len()).ok()?.to_be_bytes());
    key.raw(&start);
    if let Some(release) = version.release {
        parts(release, key);
    }
    Some(())
}

/// Compares two keys of Arch Linux: releases count only where both have one.
pub(crate) fn compare_alpm(left: &[u8], right: &[u8]) -> Ordering {
    let apart = |key: &[u8]| -> (Vec<u8>, Vec<u8>) {
        let length = key.first_chunk::<2>().map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)));
        let (start, release) = key.get(2..).unwrap_or(&[]).split_at_checked(length).unwrap_or((key, &[]));
        (start.to_vec(), release.to_vec())
    };
    let ((left, left_release), (right, right_release)) = (apart(left), apart(right));
    let both = !left_release.is_empty() && !right_release.is_empty();
    left.cmp(&right).then(if both { left_release.cmp(&right_release) } else { Ordering::Equal })
}

/// Letters right after a number come before the end; after a separator anything comes after it, and more separators after
/// fewer.
fn parts(text: &str, key: &mut Key) {
    const LETTERS: u8 = 1;
    const END: u8 = 2;
    const MORE: u8 = 3;
    let mut separators = 0;
    for run in runs(text, |c| if c.is_ascii_alphanumeric() { class(c) } else { Class::Separator }) {
        let number = is_number(run);
        if !run.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            separators = run.chars().count();
            continue;
        }
        if separators == 0 && !number {
            key.tag(LETTERS);
        } else {
            key.tag(MORE);
            key.tag(u8::try_from(separators).unwrap_or(u8::MAX));
            key.tag(if number { 2 } else { 1 });
        }
        if number {
            key.number(run)
        } else {
            key.text(run)
        }
        separators = 0;
    }
    key.tag(END);
}
