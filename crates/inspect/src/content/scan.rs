//! Passes over all bytes: random windows, encoded runs, and literals (magic numbers and the strings of the capability
//! table). Each is linear.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, packed};
use evidence::tree::{Content, Embedded};

use super::capabilities::{self, Found};
use crate::entropy::{counts, of_counts};

const WINDOW_BYTES: usize = 64 << 10;
/// Encrypted or well compressed; a window of code has 5 to 7 bits.
const RANDOM_MILLIBITS: u32 = 7970;
/// Shorter runs of base64 characters are words, paths and keys.
const ENCODED_MIN: usize = 512;

/// Counts windows of random-looking bytes.
pub(super) fn random_windows(bytes: &[u8]) -> u64 {
    let windows = bytes.chunks_exact(WINDOW_BYTES);
    windows.filter(|window| of_counts(&counts(window), window.len()) > RANDOM_MILLIBITS).count() as u64
}

/// Finds long runs of base64 or hexadecimal: how many, and the length of the longest. Only every 512th byte is looked
/// at, because a run that long has one of them.
pub(super) fn encoded(bytes: &[u8]) -> (u64, u64) {
    let (mut count, mut longest, mut at) = (0, 0, 0);
    while at < bytes.len() {
        if !in_base64(bytes[at]) {
            at += ENCODED_MIN;
            continue;
        }
        let back = bytes[..at].iter().rev().take(ENCODED_MIN).take_while(|byte| in_base64(**byte)).count();
        let ahead = bytes[at..].iter().take_while(|byte| in_base64(**byte)).count();
        let run = &bytes[at - back..at + ahead];
        if run.len() >= ENCODED_MIN && is_varied(run) {
            count += 1;
            longest = longest.max(run.len() as u64);
        }
        at += ahead.max(1).next_multiple_of(ENCODED_MIN);
    }
    (count, longest)
}

fn in_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Padding of one letter, or a long path of words, is not encoded data.
fn is_varied(run: &[u8]) -> bool {
    let sample = run.get(..4096).unwrap_or(run);
    of_counts(&counts(sample), sample.len()) > 3500
}

/// Magic numbers of what may stand inside other data, with the length of what is before them.
const MAGICS: &[(&[u8], &str)] = &[
    (b"PE\0\0", "pe"),
    (b"\x7fELF", "elf"),
    (b"\xcf\xfa\xed\xfe", "macho"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"MSCF\0\0\0\0", "cab"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\xfd7zXZ\0", "xz"),
];

/// So many patterns are found at a time by vector instructions, at several gigabytes a second.
const PACKED_MAX: usize = 32;
/// By so many bytes patterns are told from other text well.
const LONG_BYTES: usize = 4;

struct Literals {
    /// Where the processor has such instructions: parts of the patterns, each with the numbers of what it has.
    packed: Vec<(Vec<usize>, packed::Searcher)>,
    /// Elsewhere: all of them.
    machine: Option<AhoCorasick>,
    /// Groups of rules by pattern, behind the magic numbers.
    groups: Vec<Vec<usize>>,
}

impl Literals {
    fn of(text: bool) -> Self {
        let needles = capabilities::needles(text);
        let patterns: Vec<&[u8]> =
            MAGICS.iter().map(|(magic, _)| *magic).chain(needles.keys().map(Vec::as_slice)).collect();
        // The shortest pattern of a part decides how many bytes are looked at first.
        let mut order: Vec<usize> = (0..patterns.len()).collect();
        order.sort_by_key(|number| (patterns[*number].len() >= LONG_BYTES, *number));
        let short = order.partition_point(|number| patterns[*number].len() < LONG_BYTES);
        let (short, long) = order.split_at(short);
        let parts = short.chunks(PACKED_MAX).chain(long.chunks(PACKED_MAX));
        let packed: Option<Vec<_>> = parts
            .map(|part| {
                let searcher = packed::Searcher::new(part.iter().map(|number| patterns[*number]))?;
                Some((part.to_vec(), searcher))
            })
            .collect();
        #[expect(clippy::expect_used, reason = "a fixed list")]
        let machine = packed.is_none().then(|| AhoCorasick::new(&patterns).expect("the table is small"));
        Self { packed: packed.unwrap_or_default(), machine, groups: needles.into_values().collect() }
    }

    /// Visits what is found: the number of the pattern, and where it stands.
    fn each(&self, bytes: &[u8], mut visit: impl FnMut(usize, Range<usize>)) {
        for (numbers, searcher) in &self.packed {
            searcher.find_iter(bytes).for_each(|hit| visit(numbers[hit.pattern().as_usize()], hit.range()));
        }
        let found = self.machine.iter().flat_map(|machine| machine.find_iter(bytes));
        found.for_each(|hit| visit(hit.pattern().as_usize(), hit.range()));
    }
}

/// Finds embedded files and the strings of the capability table in a window at `offset`, whose first `known` bytes were looked
/// at already.
pub(super) fn literals(
    bytes: &[u8],
    known: usize,
    offset: u64,
    text: bool,
    embedded: &mut Vec<Embedded>,
    found: &mut Found,
) {
    static TEXT: LazyLock<Literals> = LazyLock::new(|| Literals::of(true));
    static BINARY: LazyLock<Literals> = LazyLock::new(|| Literals::of(false));
    let literals = if text { &TEXT } else { &BINARY };
    literals.each(bytes, |pattern, place| {
        if place.end <= known {
            return;
        }
        match MAGICS.get(pattern) {
            Some((_, kind)) => {
                let begin = plausible(bytes, place.start, kind).map(|begin| offset + begin as u64);
                let begin = begin.filter(|begin| *begin > 0 && embedded.len() < Content::LIST_MAX);
                if let Some(offset) = begin {
                    embedded.push(Embedded { kind: (*kind).to_owned(), offset });
                }
            }
            None => found.add(&literals.groups[pattern - MAGICS.len()]),
        }
    });
}

/// Finds programs in a window of data in which nothing else is looked for.
pub(super) fn programs(bytes: &[u8], known: usize, offset: u64, embedded: &mut Vec<Embedded>) {
    for (magic, kind) in MAGICS.iter().filter(|(_, kind)| matches!(*kind, "pe" | "elf" | "macho")) {
        for at in memchr::memmem::find_iter(bytes, magic).filter(|at| at + magic.len() > known) {
            let begin = plausible(bytes, at, kind).map(|begin| offset + begin as u64);
            if let Some(offset) = begin.filter(|begin| *begin > 0 && embedded.len() < Content::LIST_MAX) {
                embedded.push(Embedded { kind: (*kind).to_owned(), offset });
            }
        }
    }
    embedded.sort_by_key(|one| one.offset);
}

/// Checks more than the magic number, and returns where the embedded file begins.
fn plausible(bytes: &[u8], at: usize, kind: &str) -> Option<usize> {
    let rest = &bytes[at..];
    let half = |offset: usize| rest.get(offset..)?.first_chunk().map(|pair| u16::from_le_bytes(*pair));
    match kind {
        "pe" => {
            // A known machine; then the DOS header before, whose field leads here.
            matches!(half(4)?, 0x14c | 0x8664 | 0xaa64 | 0x1c0 | 0x1c4).then_some(())?;
            let from = at.saturating_sub(1024);
            memchr::memmem::find_iter(&bytes[from..at], b"MZ").map(|found| from + found).find(|begin| {
                let field = bytes.get(begin + 0x3c..).and_then(<[u8]>::first_chunk);
                field.is_some_and(|field| u32::from_le_bytes(*field) as usize == at - begin)
            })
        }
        "elf" => match rest.get(4..8)? {
            [1 | 2, 1 | 2, 1, _] if half(16)? <= 4 || half(16)?.swap_bytes() <= 4 => Some(at),
            _ => None,
        },
        // CPU type of the 64-bit machines, a file type, and as many commands as their size has room for: programs that
        // read other programs have the mark itself.
        "macho" => {
            let word = |offset: usize| {
                rest.get(offset..)?.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
            };
            let (commands, size) = (word(16)?, word(20)?);
            (matches!(rest.get(4..8)?, [7 | 12, 0, 0, 1])
                && (1..=12).contains(&word(12)?)
                && (1..=4096).contains(&commands)
                && (commands * 8..=1 << 20).contains(&size)
                && size.is_multiple_of(4))
            .then_some(at)
        }
        // A version of at most 6.3, a known method, and a name that is there.
        "zip" => (half(4)? <= 63
            && matches!(half(8)?, 0 | 8 | 9 | 12 | 14 | 93)
            && half(26)? > 0
            && half(26)? < 1024)
            .then_some(at),
        _ => Some(at),
    }
}
