//! PHP's `version_compare`, after what Composer takes away in front.

use std::cmp::Ordering;

use crate::key::{Key, is_number, number_length, runs};

/// Places of the words; the end stands between.
const END: u8 = 5;
const NUMBER: u8 = 6;
const PATCH: u8 = 7;
const WILD: u8 = 8;

pub(crate) fn key(version: &str, key: &mut Key) -> Option<()> {
    for component in components(version) {
        if is_number(component) {
            key.tag(NUMBER);
            key.number(component);
        } else {
            key.tag(place(component));
        }
    }
    key.tag(END);
    Some(())
}

fn components(version: &str) -> impl Iterator<Item = &str> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    version
        .split(['.', '-', '_', '+'])
        .flat_map(|part| runs(part, |c| c.is_ascii_digit()))
        .filter(|part| !part.is_empty())
}

/// A word that nobody knows is as `dev`.
fn place(word: &str) -> u8 {
    const WORDS: &[(&str, u8)] =
        &[("RC", 4), ("rc", 4), ("dev", 1), ("a", 2), ("b", 3), ("p", PATCH), ("#", WILD)];
    WORDS.iter().find(|(start, _)| word.starts_with(start)).map_or(1, |(_, place)| *place)
}

/// Compares two keys. `#` stands for any number, and for none: no order can hold that, so PHP's pairwise rule does.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (left_parts, right_parts) = (parts(left), parts(right));
    if !left_parts.iter().chain(&right_parts).any(|(tag, _)| *tag == WILD) {
        return left.cmp(right);
    }
    let weight = |tag: u8| if matches!(tag, NUMBER | WILD) { END } else { tag };
    for position in 0..left_parts.len().max(right_parts.len()) {
        let order = match (left_parts.get(position), right_parts.get(position)) {
            (Some((NUMBER, one)), Some((NUMBER, other))) => one.cmp(other),
            (Some((one, _)), Some((other, _))) => weight(*one).cmp(&weight(*other)),
            (Some((NUMBER, _)), None) => Ordering::Greater,
            (None, Some((NUMBER, _))) => Ordering::Less,
            (Some((one, _)), None) => weight(*one).cmp(&END),
            (None, Some((other, _))) => END.cmp(&weight(*other)),
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes a key apart: tags, and the bytes of numbers.
fn parts(key: &[u8]) -> Vec<(u8, &[u8])> {
    let (mut parts, mut rest) = (Vec::new(), key);
    while let Some((tag, after)) = rest.split_first().filter(|(tag, _)| **tag != END) {
        let length = if *tag == NUMBER { number_length(after) } else { 0 };
        parts.push((*tag, after.get(..length).unwrap_or(after)));
        rest = after.get(length..).unwrap_or(&[]);
    }
    parts
}
