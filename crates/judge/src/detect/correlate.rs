//! What needs several events: counts of events or values, and parts that come together, in order or in any.
//!
//! State is kept per group and bounded: the most groups per rule have a limit, and hitting it is told.

use std::collections::HashMap;

use super::expression::{Expression, Kinds};
use super::fields::Field;
use super::form::CorrelationKind;
use super::view::View;

/// The most groups that one rule follows at a time.
pub(super) const GROUPS_MAX: usize = 4096;
/// The highest count that a rule may ask for.
pub(super) const COUNT_MAX: usize = 4096;
/// The most parts of a temporal rule.
pub(super) const PARTS_MAX: usize = 16;

/// How much of a value tells it from others.
const VALUE_BYTES_MAX: usize = 4096;

/// A compiled correlation.
#[derive(Debug)]
pub(super) struct Correlation {
    pub(super) kind: CorrelationKind,
    /// The parts; counts have one.
    pub(super) parts: Vec<Expression>,
    pub(super) group: Vec<GroupBy>,
    pub(super) timespan_ns: u64,
    pub(super) count: usize,
    pub(super) value: Value,
}

/// What events have in common to belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GroupBy {
    Process,
    Step,
    Field(Field),
}

/// Whose values are counted.
#[derive(Debug)]
pub(super) enum Value {
    Events,
    Field(Field),
    /// Which of these matched.
    Selections(Vec<Expression>),
}

/// What is remembered of a rule's groups.
#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<Vec<u8>, Vec<Seen>>,
}

/// An event that counted.
struct Seen {
    /// The part, or the value as bytes.
    what: Vec<u8>,
    at_ns: u64,
    sequence: u64,
}

/// What came of an event.
pub(super) enum Outcome {
    Nothing,
    /// It completed the group: the events that did, in order.
    Complete(Vec<u64>),
    /// There was no room for its group.
    Full,
}

impl Correlation {
    pub(super) fn kinds(&self) -> Kinds {
        self.parts.iter().fold(Kinds::NONE, |kinds, part| kinds.with(part.kinds()))
    }

    /// Takes an event in.
    pub(super) fn observe(&self, groups: &mut Groups, view: &View<'_>) -> Outcome {
        let mut matched =
            self.parts.iter().map(|part| part.holds(view)).enumerate().filter(|(_, holds)| *holds);
        let Some((first, _)) = matched.next() else { return Outcome::Nothing };
        let more: Vec<usize> = matched.map(|(part, _)| part).collect();
        let Some(key) = self.key(view) else { return Outcome::Nothing };
        if groups.groups.len() >= GROUPS_MAX && !groups.groups.contains_key(&key) {
            groups.forget(view.event.at_ns.saturating_sub(self.timespan_ns));
            if groups.groups.len() >= GROUPS_MAX {
                return Outcome::Full;
            }
        }
        let seen = groups.groups.entry(key).or_default();
        let oldest = view.event.at_ns.saturating_sub(self.timespan_ns);
        seen.retain(|seen| seen.at_ns >= oldest);
        let complete = match self.kind {
            CorrelationKind::EventCount | CorrelationKind::ValueCount => self.count(seen, view),
            CorrelationKind::Temporal => {
                for part in std::iter::once(first).chain(more) {
                    put(seen, vec![part as u8], view);
                }
                seen.len() == self.parts.len()
            }
            CorrelationKind::TemporalOrdered => {
                // Each part after the one before it: an event may begin anew, or be the next.
                if seen.first().is_some_and(|seen| seen.what != [0]) {
                    // The beginning is too long ago.
                    seen.clear();
                }
                let next = seen.len();
                let all = std::iter::once(first).chain(more);
                for part in all {
                    if part == next || part == 0 && next == 1 {
                        put(seen, vec![part as u8], view);
                    }
                }
                seen.len() == self.parts.len()
            }
        };
        if !complete {
            return Outcome::Nothing;
        }
        let mut sequences: Vec<u64> = seen.iter().map(|seen| seen.sequence).collect();
        sequences.sort_unstable();
        seen.clear();
        Outcome::Complete(sequences)
    }

    fn count(&self, seen: &mut Vec<Seen>, view: &View<'_>) -> bool {
        match &self.value {
            Value::Events => {
                seen.push(Seen { what: Vec::new(), at_ns: view.event.at_ns, sequence: view.event.sequence });
            }
            Value::Field(field) => {
                view.any(*field, &mut |text| {
                    put(seen, text[..text.len().min(VALUE_BYTES_MAX)].to_vec(), view);
                    false
                });
            }
            Value::Selections(selections) => {
                for (at, _) in selections.iter().enumerate().filter(|(_, selection)| selection.holds(view)) {
                    put(seen, at.to_be_bytes().to_vec(), view);
                }
            }
        }
        seen.len() >= self.count
    }

    fn key(&self, view: &View<'_>) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for by in &self.group {
            match by {
                GroupBy::Process => key.extend(view.event.process.to_be_bytes()),
                GroupBy::Step => key.extend(view.process.step.to_be_bytes()),
                GroupBy::Field(field) => {
                    let mut found = false;
                    view.any(*field, &mut |text| {
                        key.extend((text.len() as u64).to_be_bytes());
                        key.extend_from_slice(text);
                        found = true;
                        true
                    });
                    if !found {
                        return None;
                    }
                }
            }
        }
        Some(key)
    }
}

impl Groups {
    fn forget(&mut self, oldest: u64) {
        self.groups.retain(|_, seen| seen.iter().any(|seen| seen.at_ns >= oldest));
    }
}

fn put(seen: &mut Vec<Seen>, what: Vec<u8>, view: &View<'_>) {
    let (at_ns, sequence) = (view.event.at_ns, view.event.sequence);
    match seen.iter_mut().find(|seen| seen.what == what) {
        Some(known) => (known.at_ns, known.sequence) = (at_ns, sequence),
        None => seen.push(Seen { what, at_ns, sequence }),
    }
}

/// Reads `60s`, `5m`, `1h`, `1d`.
pub(super) fn timespan_ns(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000_000)
}
