//! Maven's `ComparableVersion`: tokens between dots, hyphens and changes from digits to letters.
//!
//! Maven compares in pairs, padding the shorter version with nothings that depend on what stands opposite, and so has
//! cycles: `1` < `1-x` < `1.0.rc` < `1`. Its keys are therefore the tokens, read again by [`compare`].

use std::cmp::Ordering;

use crate::key::{Key, is_number, number_length, runs};

/// The kinds of tokens, in the order of tokens with different separators.
const DOT_WORD: u8 = 1;
const HYPHEN_WORD: u8 = 2;
const HYPHEN_NUMBER: u8 = 3;
const DOT_NUMBER: u8 = 4;

/// Known words in their order; others come after all of them.
const WORDS: &[&[u8]] = &[b"alpha", b"beta", b"milestone", b"rc", b"snapshot", b"", b"sp"];

struct Token {
    hyphen: bool,
    value: String,
}

impl Token {
    fn is_null(&self) -> bool {
        self.value.is_empty() || self.value == "0"
    }
}

pub(crate) fn key(version: &str, key: &mut Key) -> Option<()> {
    let mut tokens = tokens(version);
    trim(&mut tokens);
    for token in &tokens {
        let number = is_number(&token.value);
        key.tag(match (number, token.hyphen) {
            (false, false) => DOT_WORD,
            (false, true) => HYPHEN_WORD,
            (true, true) => HYPHEN_NUMBER,
            (true, false) => DOT_NUMBER,
        });
        if number { key.number(&token.value) } else { key.text(&token.value) }
    }
    Some(())
}

/// One token of a key: its kind, and its number or word.
#[derive(Clone, Copy, PartialEq)]
struct Part<'a> {
    kind: u8,
    value: &'a [u8],
    null: bool,
}

const ZERO: &[u8] = &[0];

fn next<'a>(key: &mut &'a [u8]) -> Option<Part<'a>> {
    let (kind, rest) = key.split_first()?;
    let length = match *kind {
        HYPHEN_NUMBER | DOT_NUMBER => number_length(rest),
        _ => rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len()),
    };
    let value = rest.get(..length).unwrap_or(rest);
    // A word is followed by its end.
    let end = length + usize::from(matches!(*kind, DOT_WORD | HYPHEN_WORD));
    *key = rest.get(end..).unwrap_or(&[]);
    Some(Part { kind: *kind, value, null: false })
}

/// What is not there: `0` after a dot, the empty word after a hyphen, and where `sp` stands opposite.
fn nothing<'a>(opposite: Part<'a>) -> Part<'a> {
    match opposite.kind {
        HYPHEN_WORD | HYPHEN_NUMBER => Part { kind: HYPHEN_WORD, value: b"", null: true },
        DOT_WORD if opposite.value == b"sp" => Part { kind: DOT_WORD, value: b"", null: true },
        _ => Part { kind: DOT_NUMBER, value: ZERO, null: true },
    }
}

/// Compares two keys, token by token.
pub(crate) fn compare(mut left: &[u8], mut right: &[u8]) -> Ordering {
    loop {
        let (one, other) = match (next(&mut left), next(&mut right)) {
            (None, None) => return Ordering::Equal,
            (Some(one), None) => (one, nothing(one)),
            (None, Some(other)) => (nothing(other), other),
            (Some(one), Some(other)) => (one, other),
        };
        match pair(one, other) {
            Ordering::Equal => {}
            decided => return decided,
        }
    }
}

fn pair(one: Part<'_>, other: Part<'_>) -> Ordering {
    let hyphen = |part: Part<'_>| matches!(part.kind, HYPHEN_WORD | HYPHEN_NUMBER);
    let number = |part: Part<'_>| matches!(part.kind, HYPHEN_NUMBER | DOT_NUMBER);
    if hyphen(one) != hyphen(other) {
        return one.kind.cmp(&other.kind);
    }
    match (number(one), number(other)) {
        (true, true) => one.value.cmp(other.value),
        (true, false) if !one.null => Ordering::Greater,
        (false, true) if !other.null => Ordering::Less,
        _ => {
            let place = |part: Part<'_>| match number(part) {
                true => WORDS.len(),
                false => WORDS.iter().position(|word| *word == part.value).unwrap_or(WORDS.len()),
            };
            // The zero that is not there comes before every word that nobody knows.
            place(one)
                .cmp(&place(other))
                .then_with(|| other.null.cmp(&one.null))
                .then_with(|| one.value.cmp(other.value))
        }
    }
}

fn tokens(version: &str) -> Vec<Token> {
    let lower = version.to_lowercase();
    let mut tokens = Vec::new();
    let mut rest = lower.as_str();
    let mut hyphen = false;
    loop {
        let end = rest.find(['.', '-']).unwrap_or(rest.len());
        let pieces = runs(&rest[..end], |c| c.is_ascii_digit());
        for (position, piece) in pieces.iter().enumerate() {
            // A change from digits to letters or back is as a hyphen.
            let hyphen = hyphen || position > 0;
            let before_number = position + 1 < pieces.len();
            tokens.push(Token { hyphen, value: value(piece, before_number).to_owned() });
        }
        if pieces.is_empty() {
            tokens.push(Token { hyphen, value: "0".to_owned() });
        }
        match rest[end..].chars().next() {
            Some(separator) => {
                hyphen = separator == '-';
                rest = &rest[end + 1..];
            }
            None => return tokens,
        }
    }
}

/// The value that counts; nothing for the words that mean a release.
fn value(piece: &str, before_number: bool) -> &str {
    match piece {
        "ga" | "final" | "release" => "",
        "cr" => "rc",
        "a" if before_number => "alpha",
        "b" if before_number => "beta",
        "m" if before_number => "milestone",
        _ if is_number(piece) => match piece.trim_start_matches('0') {
            "" => "0",
            number => number,
        },
        _ => piece,
    }
}

/// Drops what is null at the end, and before each hyphen.
fn trim(tokens: &mut Vec<Token>) {
    let mut at = tokens.len();
    while at > 1 {
        if tokens[at - 1].is_null() {
            tokens.remove(at - 1);
        } else {
            while at > 1 && !tokens[at - 1].hyphen {
                at -= 1;
            }
        }
        at -= 1;
    }
}
