//! Two versions of one member side by side: the stretches that differ and the texts that came or went.
//!
//! Stretches are found as `rsync` finds them (Tridgell, "Efficient Algorithms for Sorting and Synchronization", 1999,
//! chapter 3): blocks of the old version by a rolling sum, verified byte by byte, each match extended as far as it goes.
//! Linear in both sizes; what is found need not be the shortest difference.

use std::collections::{BTreeSet, HashMap};

use evidence::tree::{Contrast, Region, Stretch};

/// Blocks of the old version that are looked for in the new one.
const BLOCK_BYTES: usize = 24;
/// Texts shorter than this are chance.
const TEXT_MIN_BYTES: usize = 6;
/// A text is cut to this for people.
const TEXT_SHOWN_BYTES: usize = 200;
/// Texts of one version that are compared; larger files have more, which say nothing new.
const TEXTS_MAX: usize = 400_000;
/// Files up to this size are asked whether only their lines moved.
const LINES_MAX_BYTES: usize = 8 << 20;

/// Contrasts two versions.
pub fn contrast(old: &[u8], new: &[u8]) -> Contrast {
    let gaps = gaps(old, new);
    let more_regions = gaps.len().saturating_sub(Contrast::REGIONS_MAX) as u64;
    let regions = gaps.into_iter().take(Contrast::REGIONS_MAX).map(|gap| gap.region(old, new)).collect();
    let (before, after) = (texts(old), texts(new));
    let only = |these: &BTreeSet<&[u8]>, those: &BTreeSet<&[u8]>| {
        these.difference(those).take(Contrast::STRINGS_MAX).map(|text| shown(text)).collect()
    };
    Contrast {
        regions,
        more_regions,
        strings_added: only(&after, &before),
        strings_removed: only(&before, &after),
        reordered_lines: old != new && has_same_lines(old, new),
    }
}

/// A stretch of both that no match covers.
struct Gap {
    old: (usize, usize),
    new: (usize, usize),
}

impl Gap {
    fn region(&self, old: &[u8], new: &[u8]) -> Region {
        Region { old: stretch(old, self.old), new: stretch(new, self.new) }
    }
}

fn stretch(bytes: &[u8], (start, end): (usize, usize)) -> Stretch {
    let content = bytes.get(start..end).unwrap_or_default();
    let first = content.get(..Contrast::SHOWN_BYTES).unwrap_or(content);
    Stretch { offset: start as u64, size: content.len() as u64, shown: first.to_vec() }
}

/// Walks through the new version along matches that go forward in the old one.
fn gaps(old: &[u8], new: &[u8]) -> Vec<Gap> {
    let mut found = Vec::new();
    if old.len() == new.len() {
        in_place(old, new, &mut found);
        return found;
    }
    let blocks = blocks(old);
    // What stands before `done` in either is accounted for.
    let (mut old_done, mut new_done) = (0, 0);
    let (mut at, mut sum) = (0, None);
    loop {
        if at == new_done {
            let along = common(&old[old_done..], &new[new_done..]);
            (old_done, new_done) = (old_done + along, new_done + along);
            at = new_done;
            sum = sum.filter(|_| along == 0);
        }
        let Some(window) = new.get(at..at + BLOCK_BYTES) else { break };
        let rolling = *sum.get_or_insert_with(|| Sum::of(window));
        let place = blocks
            .get(&rolling.value())
            .copied()
            .filter(|place| *place >= old_done && old.get(*place..*place + BLOCK_BYTES) == Some(window));
        if let Some(mut place) = place {
            // The match may begin earlier than its block.
            let mut start = at;
            while start > new_done && place > old_done && old[place - 1] == new[start - 1] {
                (start, place) = (start - 1, place - 1);
            }
            found.push(Gap { old: (old_done, place), new: (new_done, start) });
            let length = common(&old[place..], &new[start..]);
            (old_done, new_done) = (place + length, start + length);
            (at, sum) = (new_done, None);
        } else {
            sum = new.get(at + BLOCK_BYTES).map(|next| rolling.moved(new[at], *next));
            at += 1;
            if sum.is_none() {
                break;
            }
        }
    }
    if old_done < old.len() || new_done < new.len() {
        // What both end in is the same.
        let (old_rest, new_rest) = (&old[old_done..], &new[new_done..]);
        let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
        found.push(Gap { old: (old_done, old.len() - tail), new: (new_done, new.len() - tail) });
    }
    found.retain(|gap| gap.old.0 < gap.old.1 || gap.new.0 < gap.new.1);
    found
}

/// Equal sizes: nothing moved, as far as we look. Differences that are close are one.
fn in_place(old: &[u8], new: &[u8], found: &mut Vec<Gap>) {
    const CLOSE_BYTES: usize = 8;
    let mut open: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < new.len() {
        if open.is_none() {
            at += common(&old[at..], &new[at..]);
            if at == new.len() {
                break;
            }
        }
        if old[at] != new[at] {
            let start = open.map_or(at, |(start, _)| start);
            open = Some((start, at + 1));
        } else if let Some((start, end)) = open.filter(|(_, end)| at >= end + CLOSE_BYTES) {
            found.push(Gap { old: (start, end), new: (start, end) });
            open = None;
        }
        at += 1;
    }
    found.extend(open.map(|part| Gap { old: part, new: part }));
}

/// Where each block of the old version stands; of equal ones, the first.
fn blocks(old: &[u8]) -> HashMap<u64, usize> {
    let mut places = HashMap::new();
    for (number, block) in old.chunks_exact(BLOCK_BYTES).enumerate() {
        places.entry(Sum::of(block).value()).or_insert(number * BLOCK_BYTES);
    }
    places
}

/// How many bytes two slices have in common at their begin.
fn common(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 64;
    let mut at = 0;
    while let (Some(a), Some(b)) = (one.get(at..at + STEP), other.get(at..at + STEP)) {
        if a != b {
            break;
        }
        at += STEP;
    }
    at + one[at..].iter().zip(&other[at..]).take_while(|(a, b)| a == b).count()
}

/// A sum over a window that can be moved by one byte: a polynomial modulo 2^64 (Karp and Rabin, 1987).
#[derive(Clone, Copy)]
struct Sum(u64);

impl Sum {
    const BASE: u64 = 0x0100_0000_01b3;

    fn of(window: &[u8]) -> Self {
        Self(
            window
                .iter()
                .fold(0, |sum: u64, byte| sum.wrapping_mul(Self::BASE).wrapping_add(u64::from(*byte) + 1)),
        )
    }

    fn moved(self, first: u8, next: u8) -> Self {
        const OUT: u64 = {
            let mut power = 1_u64;
            let mut left = BLOCK_BYTES - 1;
            while left > 0 {
                power = power.wrapping_mul(Sum::BASE);
                left -= 1;
            }
            power
        };
        let without = self.0.wrapping_sub((u64::from(first) + 1).wrapping_mul(OUT));
        Self(without.wrapping_mul(Self::BASE).wrapping_add(u64::from(next) + 1))
    }

    fn value(self) -> u64 {
        self.0
    }
}

/// Runs of printable ASCII, as `strings` shows them.
fn texts(bytes: &[u8]) -> BTreeSet<&[u8]> {
    bytes
        .split(|byte| !matches!(byte, b' '..=b'~' | b'\t'))
        .filter(|run| run.len() >= TEXT_MIN_BYTES)
        .take(TEXTS_MAX)
        .collect()
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..TEXT_SHOWN_BYTES).unwrap_or(text)).into_owned()
}

fn has_same_lines(old: &[u8], new: &[u8]) -> bool {
    if old.len() != new.len() || old.len() > LINES_MAX_BYTES || !old.contains(&b'\n') {
        return false;
    }
    let lines = |bytes: &'_ [u8]| -> Vec<Vec<u8>> {
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort_unstable();
        lines
    };
    lines(old) == lines(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a contrast says must rebuild the new version from the old one.
    fn check(old: &[u8], new: &[u8]) -> Vec<(u64, u64, u64, u64)> {
        let gaps = gaps(old, new);
        let (mut rebuilt, mut at) = (Vec::new(), 0);
        for gap in &gaps {
            rebuilt.extend_from_slice(&old[at..gap.old.0]);
            rebuilt.extend_from_slice(&new[gap.new.0..gap.new.1]);
            at = gap.old.1;
        }
        rebuilt.extend_from_slice(&old[at..]);
        assert_eq!(rebuilt, new);
        gaps.iter()
            .map(|gap| (gap.old.0 as u64, gap.old.1 as u64, gap.new.0 as u64, gap.new.1 as u64))
            .collect()
    }

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(|_| step()).collect()
    }

    #[test]
    fn stretches_are_found_and_rebuild_the_new_version() {
        let old = noise(5000, 7);
        assert_eq!(check(&old, &old), []);
        let mut same_size = old.clone();
        same_size[100] ^= 1;
        same_size[4000..4003].copy_from_slice(&[old[4000] ^ 1, old[4001] ^ 1, old[4002] ^ 1]);
        assert_eq!(check(&old, &same_size), [(100, 101, 100, 101), (4000, 4003, 4000, 4003)]);
        let inserted = [&old[..1000], b"INSERTED", &old[1000..]].concat();
        let [(a, b, c, d)] = check(&old, &inserted)[..] else { panic!("one stretch") };
        assert_eq!((b - a, d - c), (0, 8));
        let removed = [&old[..1000], &old[1100..]].concat();
        let [(a, b, c, d)] = check(&old, &removed)[..] else { panic!("one stretch") };
        assert_eq!((b - a, d - c), (100, 0));
        let both = [&old[..500], b"one", &old[600..3000], b"three", &old[3000..]].concat();
        assert_eq!(check(&old, &both).len(), 2);
        assert_eq!(check(b"", &old), [(0, 0, 0, 5000)]);
        assert_eq!(check(&old, b""), [(0, 5000, 0, 0)]);
        let swapped = [&old[2500..], &old[..2500], b"x"].concat();
        check(&old, &swapped);
        for seed in 1..60 {
            let (from, to) = (seed * 31 % 2000, seed * 57 % 3000);
            let (from, to) = (from.min(to), from.max(to));
            check(&old, &[&old[..from], &noise(seed * 7 % 90, seed as u64), &old[to..]].concat());
        }
    }

    #[test]
    fn texts_and_moved_lines_are_told() {
        let found = contrast(b"\0built 12:00:01\0same text\0", b"\0built 13:30:59\0same text\0");
        assert_eq!(found.strings_added, ["built 13:30:59"]);
        assert_eq!(found.strings_removed, ["built 12:00:01"]);
        assert!(!found.reordered_lines);
        assert!(contrast(b"a\nb\nc\n", b"a\nc\nb\n").reordered_lines);
        assert!(!contrast(b"a\nb\n", b"a\nb\n").reordered_lines);
    }

    #[test]
    fn repetitive_input_is_linear() {
        let old = vec![0; 4 << 20];
        let mut new = vec![0; (4 << 20) + 1];
        new[1 << 20] = 1;
        check(&old, &new);
    }
}
