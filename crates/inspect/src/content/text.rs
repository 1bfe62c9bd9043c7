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
        content.far_right += u64::from(is_far_right(&bytes[begin..end]));
        begin = end + 1;
    }
    content.lookalikes += lookalikes(bytes);
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

/// So many blanks in a row: more than a screen or an editor's window has columns.
const BLANKS_MIN: usize = 250;

/// Whether something stands behind so many blanks that nobody sees it, though the line begins with something else.
fn is_far_right(line: &[u8]) -> bool {
    if line.len() <= BLANKS_MIN {
        return false;
    }
    let line = line.trim_ascii();
    let mut at = BLANKS_MIN - 1;
    // A run that long has one of every so many bytes.
    while at < line.len() {
        if matches!(line[at], b' ' | b'\t') {
            let back = line[..at].iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let ahead = line[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            if back + ahead >= BLANKS_MIN {
                return true;
            }
        }
        at += BLANKS_MIN;
    }
    false
}

/// Counts words that mix Latin letters with Cyrillic ones that look like Latin ones (Unicode Technical Standard 39, "Confusable
/// Detection"). A word of one script alone is somebody's language.
fn lookalikes(bytes: &[u8]) -> u64 {
    let mut count = 0;
    let mut next = 0;
    for at in memchr::memchr2_iter(0xd0, 0xd1, bytes) {
        let same = matches!(
            bytes[at..],
            [0xd0, 0x90 | 0x92 | 0x95 | 0x9a | 0x9c..=0x9e | 0xa0..=0xa3 | 0xa5 | 0xb0 | 0xb5 | 0xbe, ..]
                | [0xd1, 0x80 | 0x81 | 0x83 | 0x85 | 0x95 | 0x96 | 0x98, ..]
        );
        if at < next || !same {
            continue;
        }
        let in_word =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | 0xd0 | 0xd1 | 0x80..=0xbf);
        let start = at - bytes[..at].iter().rev().take(WORD_MAX).take_while(in_word).count();
        let end = at + bytes[at..].iter().take(WORD_MAX).take_while(in_word).count();
        let word = &bytes[start..end];
        let latin = word.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        let other = word.iter().filter(|byte| matches!(byte, 0xd0 | 0xd1)).count();
        // Most of the word is Latin: it is meant to be read as such.
        count += u64::from(latin >= 3 && latin > other);
        next = end;
    }
    count
}

const WORD_MAX: usize = 64;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Content {
        let mut content = Content::default();
        read(text.as_bytes(), true, &mut content);
        content
    }

    #[test]
    fn letters_of_another_script_in_a_latin_word_are_told_from_another_language() {
        assert_eq!(of("def r\u{435}quest():\n").lookalikes, 1);
        assert_eq!(of("p\u{430}yp\u{430}l = 1; \u{441}lient = 2").lookalikes, 2);
        assert_eq!(of("# \u{43f}\u{440}\u{43e}\u{433}\u{440}\u{430}\u{43c}\u{43c}\u{430} x\n").lookalikes, 0);
        assert_eq!(of("\u{435}\u{435}ab").lookalikes, 0);
    }

    #[test]
    fn what_stands_beyond_the_screen_is_told_from_indentation() {
        let blanks = " ".repeat(300);
        assert_eq!(of(&format!("import x{blanks};run()\n")).far_right, 1);
        assert_eq!(of(&format!("{blanks}deep()\nx{blanks}\n")).far_right, 0);
        assert_eq!(of(&format!("a = 1{}# comment\n", " ".repeat(100))).far_right, 0);
        assert_eq!(of(&format!("{};{}x\n", "y".repeat(999), " ".repeat(250))).far_right, 1);
    }
}
