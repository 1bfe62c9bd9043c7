//! `Gem::Version`: numbers and words in turns, a word before a number, what is not there is zero.

use crate::key::{Key, is_number, runs};

const WORD: u8 = 1;
/// A zero after which a word decides: less than the end.
const ZERO_BELOW: u8 = 2;
const END: u8 = 3;
/// A zero after which a number decides: more than the end.
const ZERO_ABOVE: u8 = 4;
const NUMBER: u8 = 5;

pub(crate) fn key(version: &str, key: &mut Key) -> Option<()> {
    let version = version.replace('-', ".pre.");
    let segments: Vec<&str> = version
        .split('.')
        .flat_map(|part| runs(part, |c| c.is_ascii_digit()))
        .filter(|segment| !segment.is_empty())
        .collect();
    let is_zero = |segment: &&str| segment.bytes().all(|byte| byte == b'0');
    let first_word = segments.iter().position(|segment| !is_number(segment)).unwrap_or(segments.len());
    let (numbers, words) = segments.split_at(first_word);
    let trimmed =
        |list: &[&str]| list.iter().rposition(|segment| !is_zero(segment)).map_or(0, |last| last + 1);
    let kept: Vec<&str> =
        numbers.iter().take(trimmed(numbers)).chain(words.iter().take(trimmed(words))).copied().collect();
    for (position, segment) in kept.iter().enumerate() {
        if is_zero(segment) {
            let next = kept.iter().skip(position).find(|segment| !is_zero(segment));
            key.tag(if next.is_some_and(|next| is_number(next)) { ZERO_ABOVE } else { ZERO_BELOW });
        } else if is_number(segment) {
            key.tag(NUMBER);
            key.number(segment);
        } else {
            key.tag(WORD);
            key.text(segment);
        }
    }
    key.tag(END);
    Some(())
}
