//! Versions that are numbers and dots, and the signs before them that several package managers share.

use std::cmp::Ordering;

/// Parts of a version: more are none of ours.
const PARTS_MAX: usize = 8;

/// A version of numbers. Missing parts are zero.
#[derive(Clone, Debug)]
pub(super) struct Release(Vec<u64>);

impl Release {
    /// Takes `1.2.3`, with or without a `v` before it; nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let numbers: Option<Vec<u64>> = parts.map(|part| part.parse().ok()).collect();
        numbers.filter(|numbers| numbers.len() <= PARTS_MAX).map(Self)
    }

    fn part(&self, place: usize) -> u64 {
        self.0.get(place).copied().unwrap_or(0)
    }

    pub(super) fn starts_with(&self, start: &Self) -> bool {
        (0..start.0.len()).all(|place| self.part(place) == start.part(place))
    }

    pub(super) fn without_last(&self) -> Option<Self> {
        self.0.split_last().filter(|(_, rest)| !rest.is_empty()).map(|(_, rest)| Self(rest.to_vec()))
    }

    /// `^1.2`: at least that, and the same up to the first part that is not zero.
    pub(super) fn is_caret(&self, low: &Self) -> bool {
        let first = low.0.iter().position(|part| *part > 0).unwrap_or(low.0.len().saturating_sub(1));
        self >= low && (0..=first).all(|place| self.part(place) == low.part(place))
    }

    /// `~1.2`: at least that, and the same in its first two parts; `~1` in its first.
    pub(super) fn is_tilde(&self, low: &Self) -> bool {
        self >= low && (0..low.0.len().min(2)).all(|place| self.part(place) == low.part(place))
    }

    /// Compares by a sign; none if it is another.
    pub(super) fn compares(&self, sign: &str, other: &Self) -> Option<bool> {
        Some(match sign {
            "" | "=" | "==" => self == other,
            "!=" => self != other,
            "<" => self < other,
            "<=" => self <= other,
            ">" => self > other,
            ">=" => self >= other,
            _ => return None,
        })
    }
}

impl PartialEq for Release {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Release {}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Release {
    fn cmp(&self, other: &Self) -> Ordering {
        let count = self.0.len().max(other.0.len());
        (0..count).map(|place| self.part(place)).cmp((0..count).map(|place| other.part(place)))
    }
}
