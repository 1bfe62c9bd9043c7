//! The names in a folder: entries of 32 bytes, and in front of each those with its long name.

use std::io::{self, Read};

use crate::bytes::{le16, le32};

const ENTRY_BYTES: usize = 32;
const SHORT_BYTES: usize = 11;
/// A long name has at most 255 letters, 13 in an entry, at these places.
const PARTS_MAX: u8 = 20;
const UNITS_AT: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const LAST_PART: u8 = 0x40;

const DELETED: u8 = 0xe5;
/// Stands for a first byte that would mean a deleted entry.
const KANJI: u8 = 0x05;
const ATTRIBUTES: u8 = 0x3f;
const ATTRIBUTES_LONG_NAME: u8 = 0x0f;
const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_FOLDER: u8 = 0x10;
/// Windows NT: the name, its extension in small letters.
const CASE_NAME: u8 = 0x08;
const CASE_EXTENSION: u8 = 0x10;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_folder: bool,
    /// The upper half means something in FAT32 only.
    pub(super) cluster: u32,
    pub(super) size: u32,
    /// What is wrong with its name.
    pub(super) doubt: Option<&'static str>,
}

#[derive(Debug)]
pub(super) enum Found {
    Entry(Entry),
    Wrong(&'static str),
}

/// Goes through the entries of a folder.
pub(super) struct Names<R> {
    reader: R,
    left: u64,
    long: Long,
    /// Whether the mark has been come to behind which there is nothing.
    is_over: bool,
    is_told: bool,
    /// What is looked at once more.
    again: Option<[u8; ENTRY_BYTES]>,
}

/// What stood in front of an entry of its long name, whose parts come from the last to the first.
enum Long {
    Nothing,
    /// The number of the part that came last.
    Parts {
        number: u8,
        sum: u8,
        parts: Vec<[u16; UNITS_AT.len()]>,
    },
    Torn,
}

impl<R: Read> Names<R> {
    /// Goes through a folder of so many bytes.
    pub(super) fn over(reader: R, bytes: u64) -> Self {
        let left = bytes / ENTRY_BYTES as u64;
        Self { reader, left, long: Long::Nothing, is_over: false, is_told: false, again: None }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        while let Some(bytes) = self.bytes()? {
            match bytes[0] {
                0 => (self.is_over, self.long) = (true, Long::Nothing),
                DELETED => self.long = Long::Nothing,
                // Linux goes on behind the mark, others do not: what stands there is shown, and told.
                _ if self.is_over && !self.is_told => {
                    (self.is_told, self.again) = (true, Some(bytes));
                    return Ok(Some(Found::Wrong("names stand behind the end of a folder")));
                }
                _ if bytes[11] & ATTRIBUTES == ATTRIBUTES_LONG_NAME => {
                    self.long = std::mem::replace(&mut self.long, Long::Nothing).and(&bytes);
                }
                _ => {
                    let long = std::mem::replace(&mut self.long, Long::Nothing);
                    let is_itself = matches!(&bytes[..SHORT_BYTES], b".          " | b"..         ");
                    if bytes[11] & ATTRIBUTE_LABEL == 0 && !is_itself {
                        return Ok(Some(entry(&bytes, &long)));
                    }
                }
            }
        }
        Ok(None)
    }

    fn bytes(&mut self) -> io::Result<Option<[u8; ENTRY_BYTES]>> {
        if let Some(bytes) = self.again.take() {
            return Ok(Some(bytes));
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut bytes = [0; ENTRY_BYTES];
        self.reader.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

impl Long {
    /// Adds the part that an entry has.
    fn and(self, bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (order, its_sum) = (bytes[0], bytes[13]);
        let number = order & !LAST_PART;
        let part = UNITS_AT.map(|at| le16(bytes, at).unwrap_or(0));
        match self {
            _ if order & LAST_PART != 0 && (1..=PARTS_MAX).contains(&number) => {
                Self::Parts { number, sum: its_sum, parts: vec![part] }
            }
            Self::Parts { number: before, sum, mut parts }
                if before == number + 1 && sum == its_sum && number > 0 =>
            {
                parts.push(part);
                Self::Parts { number, sum, parts }
            }
            _ => Self::Torn,
        }
    }

    /// Returns the name if it is whole and that of the short one.
    fn name(&self, short: &[u8]) -> Option<String> {
        let Self::Parts { number: 1, sum, parts } = self else { return None };
        if *sum != sum_of(short) {
            return None;
        }
        let units = parts.iter().rev().flatten().copied().take_while(|unit| *unit != 0);
        Some(char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES], long: &Long) -> Found {
    let short = bytes.get(..SHORT_BYTES).unwrap_or_default();
    let long_name = long.name(short);
    let is_torn = long_name.is_none() && !matches!(long, Long::Nothing);
    let name = long_name.map_or_else(|| short_name(short, bytes[12]), String::into_bytes);
    if name.is_empty() || name.iter().any(|byte| matches!(byte, 0..b' ' | b'/')) {
        return Found::Wrong("a folder's name has letters that no name has");
    }
    let half = |at| u32::from(le16(bytes, at).unwrap_or(0));
    Found::Entry(Entry {
        name,
        is_folder: bytes[11] & ATTRIBUTE_FOLDER != 0,
        cluster: half(20) << 16 | half(26),
        size: le32(bytes, 28).unwrap_or(0),
        doubt: is_torn.then_some("its long name is torn, or that of another"),
    })
}

/// Writes a short name with its point. Letters outside of ASCII stay as they are: which they are depends on the system.
fn short_name(short: &[u8], cases: u8) -> Vec<u8> {
    let (name, extension) = short.split_at(short.len().min(8));
    let part = |bytes: &[u8], is_small: bool| {
        let bytes = bytes.trim_ascii_end();
        if is_small { bytes.to_ascii_lowercase() } else { bytes.to_vec() }
    };
    let mut name = part(name, cases & CASE_NAME != 0);
    if let Some(first) = name.first_mut().filter(|first| **first == KANJI) {
        *first = DELETED;
    }
    let extension = part(extension, cases & CASE_EXTENSION != 0);
    if extension.is_empty() { name } else { [name, extension].join(&b'.') }
}

/// The sum of a short name that each part of its long name has.
fn sum_of(short: &[u8]) -> u8 {
    short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &[u8] = b"ALONGN~1TXT";

    fn short(name: &[u8], attributes: u8) -> Vec<u8> {
        let mut bytes = [name, &[attributes]].concat();
        bytes.resize(ENTRY_BYTES, 0);
        (bytes[26], bytes[28]) = (5, 7);
        bytes
    }

    fn part(order: u8, text: &str, sum: u8) -> Vec<u8> {
        let mut bytes = vec![0xff; ENTRY_BYTES];
        (bytes[0], bytes[11], bytes[12], bytes[13]) = (order, ATTRIBUTES_LONG_NAME, 0, sum);
        for (at, unit) in UNITS_AT.into_iter().zip(text.encode_utf16().chain([0])) {
            bytes[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        bytes
    }

    /// The names, `!` in front of those with a doubt, and what is wrong.
    fn check(entries: &[Vec<u8>], expected: &[&str]) {
        let bytes = entries.concat();
        let (mut names, mut found) = (Names::over(bytes.as_slice(), bytes.len() as u64), Vec::new());
        while let Some(next) = names.next().unwrap() {
            found.push(match next {
                Found::Entry(entry) => {
                    assert_eq!((entry.cluster, entry.size), (5, 7));
                    let mark = if entry.doubt.is_some() { "!" } else { "" };
                    format!("{mark}{}", String::from_utf8_lossy(&entry.name))
                }
                Found::Wrong(what) => what.to_owned(),
            });
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn short_names_have_a_point_and_the_case_that_is_said() {
        let mut small = short(b"README  TXT", 0x20);
        small[12] = CASE_NAME;
        check(
            &[
                short(b"A       B  ", 0x20),
                small,
                short(b"\x05BC        ", 0x20),
                short(b"LABEL      ", 0x08),
            ],
            &["A.B", "readme.TXT", "\u{fffd}BC"],
        );
        check(&[short(b".          ", 0x10), short(b"..         ", 0x10)], &[]);
        check(&[short(b"A/B        ", 0x20)], &["a folder's name has letters that no name has"]);
    }

    #[test]
    fn a_long_name_is_that_of_the_short_one_behind_it() {
        let sum = sum_of(SHORT);
        let parts = [part(0x42, "ame.txt", sum), part(1, "a very long n", sum)];
        let with = |parts: &[Vec<u8>]| [parts, &[short(SHORT, 0x20)]].concat();
        check(&with(&parts), &["a very long name.txt"]);
        check(&with(&[part(0x41, "thirteen.text", sum)]), &["thirteen.text"]);
        check(&with(&parts[..1]), &["!ALONGN~1.TXT"]);
        check(&with(&parts[1..]), &["!ALONGN~1.TXT"]);
        check(&with(&[parts[1].clone(), parts[0].clone()]), &["!ALONGN~1.TXT"]);
        check(&with(&[part(0x41, "other", sum ^ 1)]), &["!ALONGN~1.TXT"]);
        check(&with(&[part(0x60, "x", sum)]), &["!ALONGN~1.TXT"]);
        // A part may be left over from what was deleted.
        check(&with(&[part(0x41, "gone", 0), short(b"\xe5ONE       ", 0x20)]), &["ALONGN~1.TXT"]);
    }

    #[test]
    fn what_stands_behind_the_end_is_told_and_shown() {
        let end = vec![0; ENTRY_BYTES];
        let more = [short(b"A          ", 0x20), end.clone(), end.clone()];
        check(&more, &["A"]);
        let sum = sum_of(SHORT);
        let hidden = [part(0x41, "hidden", sum), short(SHORT, 0x20), short(b"B          ", 0x20)];
        let what = "names stand behind the end of a folder";
        check(&[more.as_slice(), &hidden].concat(), &["A", what, "hidden", "B"]);
        check(&[more.as_slice(), &[short(b"\xe5          ", 0x20)]].concat(), &["A"]);
    }
}
