//! Words that are written so that nobody finds them: in pieces that are joined, in escapes, in numbers, in symbols alone.
//!
//! What comes out must be a word with which code is run or fetched: others are split and escaped for good reasons. Each
//! place is looked at once and for a bounded distance.

use memchr::memmem;

/// Whole words that nobody needs to hide.
const WORDS: &[&[u8]] = &[
    b"eval",
    b"exec",
    b"execSync",
    b"Function",
    b"require",
    b"child_process",
    b"subprocess",
    b"__import__",
    b"__builtins__",
    b"builtins",
    b"system",
    b"os.system",
    b"powershell",
    b"cmd.exe",
    b"/bin/sh",
    b"/bin/bash",
];
/// So many calls are looked at in a window.
const CALLS_MAX: usize = 4096;
/// What a text made of numbers must hold.
const INSIDE: &[&[u8]] = &[
    b"eval(",
    b"exec(",
    b"require(",
    b"child_process",
    b"subprocess",
    b"__import__",
    b"import os",
    b"os.system",
    b"http://",
    b"https://",
    b"powershell",
    b"/bin/sh",
];
/// The longest word that is put together.
const WORD_MAX: usize = 32;
/// A list of numbers is read so far.
const LIST_MAX: usize = 4096;
/// Fewer numbers are a character or two.
const NUMBERS_MIN: usize = 6;
/// So many bytes of `[]()!+` and nothing else are a program in them ("JSFuck").
const SYMBOLS_MIN: usize = 256;

/// Where a hidden word may be: found together with the words of the tricks, in one go.
pub(super) const MARKS: &[&[u8]] = &[
    b"'+'",
    b"\"+\"",
    b"' + '",
    b"\" + \"",
    b".join(",
    b"fromCharCode(",
    // Each of the words has a letter from `a` to `o`.
    b"\\x6",
    b"\\u006",
];

/// Which of the windows' marks led where: each kind is read up to where it was read last.
#[derive(Default)]
pub(super) struct Read {
    sums: usize,
    escapes: usize,
}

impl Read {
    /// Looks at one mark; says what is hidden there.
    pub(super) fn mark(&mut self, number: usize, bytes: &[u8], at: usize) -> Option<&'static str> {
        match number {
            0..=3 if at >= self.sums => {
                let plus = if number < 2 { at + 1 } else { at + 2 };
                sum(bytes, plus, &mut self.sums).then_some("obfuscation/pieces")
            }
            4 => join(bytes, at).then_some("obfuscation/pieces"),
            5 => numbers(bytes, at + MARKS[5].len()).then_some("obfuscation/numbers"),
            6..=7 if at >= self.escapes => {
                escaped(bytes, at, &mut self.escapes).then_some("obfuscation/escapes")
            }
            _ => None,
        }
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'`')
}

/// `'ev' + 'al'`, around the first plus.
fn sum(bytes: &[u8], plus: usize, done: &mut usize) -> bool {
    let Some((start, quote)) = literal_before(bytes, plus) else { return false };
    let (mut word, mut pieces, mut at) = (Vec::new(), 0, start);
    while let Some((piece, end)) = literal(bytes, at, quote).filter(|_| word.len() <= WORD_MAX) {
        word.extend_from_slice(piece);
        pieces += 1;
        *done = end;
        match seam(bytes, end) {
            Some(next) => at = next,
            None => break,
        }
    }
    pieces > 1 && WORDS.contains(&word.as_slice())
}

/// Where the text that ends before a plus begins, and its quote.
fn literal_before(bytes: &[u8], plus: usize) -> Option<(usize, u8)> {
    let end = if bytes.get(plus.checked_sub(1)?) == Some(&b' ') { plus - 1 } else { plus };
    let close = end.checked_sub(1)?;
    let quote = bytes.get(close).copied().filter(|byte| is_quote(*byte))?;
    let from = close.saturating_sub(WORD_MAX);
    let open = bytes[from..close].iter().rposition(|byte| *byte == quote)?;
    Some((from + open, quote))
}

/// What stands in a text that begins at `at`, and where it ends.
fn literal(bytes: &[u8], at: usize, quote: u8) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?.strip_prefix(&[quote])?;
    let length = rest.iter().take(WORD_MAX).position(|byte| *byte == quote)?;
    (length > 0).then(|| (&rest[..length], at + length + 2))
}

/// Where the next text begins behind a plus.
fn seam(bytes: &[u8], end: usize) -> Option<usize> {
    let skip = |at: usize| if bytes.get(at) == Some(&b' ') { at + 1 } else { at };
    let at = skip(end);
    (bytes.get(at) == Some(&b'+')).then(|| skip(at + 1))
}

/// `['ev', 'al'].join('')`, and the same of Python.
fn join(bytes: &[u8], at: usize) -> bool {
    const LOOK: usize = 128;
    let list = if bytes[..at].ends_with(b"]") {
        let before = &bytes[at.saturating_sub(LOOK)..at - 1];
        let behind = bytes.get(at + 6..).unwrap_or_default();
        let empty = behind.starts_with(b"''") || behind.starts_with(b"\"\"");
        before.iter().rposition(|byte| *byte == b'[').filter(|_| empty).map(|open| &before[open + 1..])
    } else if bytes[..at].ends_with(b"''") || bytes[..at].ends_with(b"\"\"") {
        let behind = bytes.get(at + 6..).unwrap_or_default();
        let behind = behind.get(..LOOK).unwrap_or(behind);
        let inside = behind.strip_prefix(b"[").or_else(|| behind.strip_prefix(b"("));
        inside.and_then(|inside| {
            inside.iter().position(|byte| matches!(byte, b']' | b')')).map(|end| &inside[..end])
        })
    } else {
        None
    };
    list.is_some_and(|list| {
        let mut parts = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let plain = |part: &[u8]| -> Option<Vec<u8>> {
            let (first, last) = (part.first()?, part.last()?);
            (part.len() > 2 && first == last && is_quote(*first)).then(|| part[1..part.len() - 1].to_vec())
        };
        let word: Option<Vec<Vec<u8>>> = parts.by_ref().map(plain).collect();
        word.is_some_and(|word| word.len() > 1 && WORDS.contains(&word.concat().as_slice()))
    })
}

/// `\x65\x76\x61\x6c`, `\u0065val`, around the first escape of a letter.
fn escaped(bytes: &[u8], at: usize, done: &mut usize) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let from = at.saturating_sub(WORD_MAX).max(*done);
    let start = bytes[from..at].iter().rposition(|byte| !is_word(byte)).map_or(from, |edge| from + edge + 1);
    let (mut word, mut place) = (bytes[start..at].to_vec(), at);
    while word.len() <= WORD_MAX {
        match (escape(bytes.get(place..).unwrap_or_default()), bytes.get(place)) {
            (Some((byte, length)), _) => {
                word.push(byte);
                place += length;
            }
            (None, Some(byte)) if is_word(byte) => {
                word.push(*byte);
                place += 1;
            }
            _ => break,
        }
    }
    *done = place;
    // A backslash before: the escape stands in a text as it is.
    let as_it_is = at > 0 && bytes[at - 1] == b'\\';
    !as_it_is && WORDS.contains(&word.as_slice())
}

/// A printable character that is written as `\xNN` or `\u00NN`, and how long that is.
fn escape(bytes: &[u8]) -> Option<(u8, usize)> {
    let (digits, length) = match bytes {
        [b'\\', b'x', a, b, ..] => ([*a, *b], 4),
        [b'\\', b'u', b'0', b'0', a, b, ..] => ([*a, *b], 6),
        _ => return None,
    };
    let value = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    (0x20..0x7f).contains(&value).then_some((value, length))
}

/// `String.fromCharCode(101, 0x76, …)`.
fn numbers(bytes: &[u8], from: usize) -> bool {
    let list = bytes.get(from..).unwrap_or_default();
    let list = list.get(..LIST_MAX).unwrap_or(list);
    let end = list.iter().position(|byte| matches!(byte, b')' | b']')).unwrap_or(list.len());
    let one = |number: &[u8]| -> Option<u8> {
        let number = std::str::from_utf8(number).ok()?.trim();
        match number.strip_prefix("0x") {
            Some(digits) => u8::from_str_radix(digits, 16).ok(),
            None => number.parse().ok(),
        }
    };
    let text: Option<Vec<u8>> = list[..end].split(|byte| *byte == b',').map(one).collect();
    text.is_some_and(|text| {
        text.len() >= NUMBERS_MIN && INSIDE.iter().any(|word| memmem::find(&text, word).is_some())
    })
}

/// A long run of `[]()!+`. One byte in so many is looked at: a run has several of them.
pub(super) fn symbols(bytes: &[u8]) -> bool {
    const STEP: usize = 64;
    let is_symbol = |byte: &u8| matches!(byte, b'[' | b']' | b'(' | b')' | b'!' | b'+');
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if !is_symbol(byte) {
            at += STEP;
            continue;
        }
        let from = at.saturating_sub(STEP);
        let before = bytes[from..at].iter().rev().take_while(|byte| is_symbol(byte)).count();
        let behind = bytes[at..].iter().take(SYMBOLS_MIN).take_while(|byte| is_symbol(byte)).count();
        if before + behind >= SYMBOLS_MIN {
            let run = &bytes[at - before..at + behind];
            if [b'[', b']', b'!', b'+'].iter().all(|one| run.contains(one)) {
                return true;
            }
        }
        at += behind.max(STEP);
    }
    false
}

/// Characters that are computed from others, one by one: `String.fromCharCode(c ^ 42)`, `chr(ord(c) - 33)`.
pub(super) fn masked(bytes: &[u8]) -> bool {
    const EXPRESSION_MAX: usize = 80;
    let calls: [(&[u8], &[u8]); 4] =
        [(b"fromCharCode(", b"^"), (b"fromCodePoint(", b"^"), (b"chr(", b"^"), (b"chr(", b"ord(")];
    calls.into_iter().any(|(call, sign)| {
        memmem::find_iter(bytes, call).take(CALLS_MAX).any(|at| {
            let rest = &bytes[at + call.len()..];
            let line = rest.get(..EXPRESSION_MAX).unwrap_or(rest);
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let mut depth = 1_u32;
            let end = line.iter().position(|byte| {
                match byte {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let starts = at == 0 || !bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'_';
            // `chr(ord(c))` alone changes nothing.
            let inside = &line[..end.unwrap_or(line.len())];
            (starts || call != b"chr(")
                && memmem::find(inside, sign).is_some()
                && inside.iter().any(|byte| matches!(byte, b'^' | b'+' | b'-' | b'%'))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    fn check(text: &[u8], expected: &[&str]) {
        let mut found = BTreeSet::new();
        crate::content::tricks::read(text, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn words_in_pieces_are_put_together() {
        let pieces: &[&str] = &["obfuscation/pieces"];
        check(b"x['ev'+'al']", pieces);
        check(b"require(\"chi\" + \"ld_pro\" + \"cess\")", pieces);
        check(b"this[['ev', 'al'].join('')]", pieces);
        check(b"getattr(b, ''.join(['ex', 'ec']))", pieces);
        check(b"x = 'evaluation' + 'al'; y = 'a' + 'b'; 'ev' + b + 'al'", &[]);
        check(b"['ev', al].join(''); ['ev', 'al'].join(','); ''.join(x); .join(", &[]);
        check(b"'eval'+''", &[]);
    }

    #[test]
    fn characters_that_are_computed_one_by_one() {
        let masked: &[&str] = &["obfuscation/masked"];
        check(b"codes.map(code => String.fromCodePoint(code ^ 0x2A)).join('')", masked);
        check(b"''.join(chr((ord(c) - 33 + 47) % 94 + 33) for c in s)", masked);
        check(b"s += String.fromCharCode(a.charCodeAt(i) ^ k)", masked);
        check(b"bytes(chr(b ^ 7))", masked);
        check(b"chr(ord(c)); String.fromCharCode(65); strchr(a ^ b); chr(x + 1); fromCharCode(x)\n ^ y", &[]);
        check(b"chr(", &[]);
    }

    #[test]
    fn escapes_are_read() {
        let escapes: &[&str] = &["obfuscation/escapes"];
        check(br#"r("\x63\x68\x69\x6c\x64\x5f\x70\x72\x6f\x63\x65\x73\x73")"#, escapes);
        check(br"\u0065val(x)", escapes);
        check(br"ev\u0061l(x)", escapes);
        check(br#""\x1b[31m\u00e9\x41\u0042medieval" \x"#, &[]);
        check(br#""\\x65val""#, &[]);
    }

    #[test]
    fn lists_of_numbers_are_read() {
        let numbers: &[&str] = &["obfuscation/numbers"];
        check(b"String.fromCharCode(101,118,97,108,40,49,41)", numbers);
        check(b"String.fromCharCode(0x65, 0x78, 0x65, 0x63, 0x28, 0x29)", numbers);
        check(b"String.fromCharCode(104,101,108,108,111,33)", &[]);
        check(b"String.fromCharCode(1, x, 2); String.fromCharCode(101,118,97,108,40", &[]);
    }

    #[test]
    fn programs_of_symbols() {
        let program = b"[][(![]+[])[+[]]+(![]+[])[!+[]+!+[]]+(![]+[])[+!+[]]+(!![]+[])[+[]]]".repeat(9);
        check(&[b"var x = 1;\n", &program[..]].concat(), &["obfuscation/symbols"]);
        check(&program[..200], &[]);
        check(&b"+".repeat(1000), &[]);
        check(&b"[]".repeat(1000), &[]);
    }
}
