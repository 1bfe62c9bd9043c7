//! Facts of texts: who interprets them, how long their lines are, which characters nobody sees.

use evidence::tree::Content;

/// An interpreter line is cut here.
const INTERPRETER_MAX: usize = 128;

pub(super) fn read(bytes: &[u8], is_first: bool, content: &mut Content) {
    if let Some(line) = bytes.strip_prefix(b"#!").filter(|_| is_first) {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.get(..INTERPRETER_MAX).unwrap_or(line));
        content.interpreter = Some(line.trim().chars().filter(|c| !c.is_control()).collect());
    }
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        content.longest_line = content.longest_line.max((end - begin) as u64);
        sketch(&bytes[begin..end], &mut content.sketch);
        begin = end + 1;
    }
    hidden(bytes, is_first, content);
}

/// Shorter lines are braces and blanks.
const LINE_MIN: usize = 12;
/// What is hashed of a line.
const LINE_MAX: usize = 512;

/// Takes a line into a sketch, if its hash is one of the smallest.
fn sketch(line: &[u8], into: &mut Vec<u32>) {
    let line = line.trim_ascii();
    if line.len() < LINE_MIN {
        return;
    }
    // Multiplication and rotation over eight bytes at a time: lines of one text are told apart, and no enemy is kept out.
    let mut hash = line.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    };
    let (words, rest) = line.get(..LINE_MAX).unwrap_or(line).as_chunks::<8>();
    words.iter().for_each(|word| mix(u64::from_be_bytes(*word)));
    if !rest.is_empty() {
        mix(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    let hash = (hash.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32;
    if into.last().is_some_and(|last| into.len() == Content::SKETCH_MAX && hash >= *last) {
        return;
    }
    if let Err(place) = into.binary_search(&hash) {
        into.insert(place, hash);
        into.truncate(Content::SKETCH_MAX);
    }
}

/// Counts characters that are not shown (Unicode, "Bidirectional Character Types"; variation selectors, tags).
fn hidden(bytes: &[u8], is_first: bool, content: &mut Content) {
    // All of them begin with one of three bytes in UTF-8, which are rare in source text.
    for at in memchr::memchr3_iter(0xe2, 0xef, 0xf3, bytes) {
        match &bytes[at..] {
            [0xe2, 0x80, 0xaa..=0xae, ..] | [0xe2, 0x81, 0xa6..=0xa9, ..] => content.bidirectional += 1,
            // Zero-width spaces and joiners, invisible operators.
            [0xe2, 0x80, 0x8b, ..] | [0xe2, 0x81, 0xa0..=0xa4, ..] => content.invisible += 1,
            // A byte order mark is one only at the beginning.
            [0xef, 0xbb, 0xbf, ..] if at > 0 || !is_first => content.invisible += 1,
            // Tags (U+E0000–E007F) and supplementary variation selectors (U+E0100–E01EF).
            [0xf3, 0xa0, 0x80..=0x81, ..] | [0xf3, 0xa0, 0x84..=0x87, ..] => content.invisible += 1,
            // A run of variation selectors carries data; a single one chooses an emoji.
            [0xef, 0xb8, 0x80..=0x8f, 0xef, 0xb8, 0x80..=0x8f, ..] => content.invisible += 1,
            _ => {}
        }
    }
}
