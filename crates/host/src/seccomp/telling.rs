//! What the supervisor tells of: events, gaps, refusals.
//!
//! Events are held back and handed over many at a time: what is done with them (redaction, rules, columns) is other code
//! on other memory than what answers calls, and a build that runs in between leaves little of either in the caches.

use std::time::{Duration, Instant};

use evidence::{BytePath, Event, EventKind};

use super::supervisor::{Answer, Supervisor};
use crate::tracer::TraceError;

/// So many are held back at most.
pub(super) const HELD_MAX: usize = 64;
/// So long after the last one at most: the alarm rings while the build runs.
const HELD_FOR: Duration = Duration::from_millis(10);

impl Supervisor<'_, '_> {
    /// Tells of an event. Its time may have been set when the call was received.
    pub(super) fn emit(&mut self, mut event: Event) {
        if self.failure.is_some() {
            return;
        }
        event.sequence = self.trace.completeness.events;
        if event.at_ns == 0 {
            event.at_ns = self.now();
        }
        self.trace.completeness.events += 1;
        self.held.push(event);
        if self.held.len() >= HELD_MAX {
            self.hand_over();
        }
    }

    /// Gives the sink what is held back.
    pub(super) fn hand_over(&mut self) {
        let failed = self.held.drain(..).find_map(|event| (self.sink)(event).err());
        if let Some(error) = failed {
            self.fail(TraceError::Sink(error));
            self.end_all();
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn gap(&mut self, process: u32, reason: &'static str) {
        *self.trace.completeness.gaps.entry(reason.to_owned()).or_insert(0) += 1;
        self.emit(Event { detail: Some(reason.into()), ..Event::new(EventKind::Gap, process) });
    }

    /// The same, where it can be said about what.
    pub(super) fn gap_at(&mut self, process: u32, reason: &'static str, path: BytePath) {
        *self.trace.completeness.gaps.entry(reason.to_owned()).or_insert(0) += 1;
        self.emit(Event {
            path: Some(path),
            detail: Some(reason.into()),
            ..Event::new(EventKind::Gap, process)
        });
    }

    /// How long it may be waited for the next event.
    pub(super) fn patience(&self) -> Option<Duration> {
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if self.held.is_empty() { left } else { Some(left.map_or(HELD_FOR, |left| left.min(HELD_FOR))) }
    }

    pub(super) fn unresolved(&mut self, process: u32) -> Answer {
        self.trace.completeness.unresolved += 1;
        self.emit(Event { detail: Some("unresolved".into()), ..Event::new(EventKind::Gap, process) });
        Answer::GoOn
    }

    pub(super) fn refuse(&mut self, process: u32, path: BytePath, why: &'static str) -> Answer {
        self.trace.completeness.refused += 1;
        let errno = if why == "protected" { libc::EACCES } else { libc::EPERM };
        self.emit(Event {
            path: Some(path),
            errno: u16::try_from(errno).unwrap_or(u16::MAX),
            detail: Some(why.into()),
            ..Event::new(EventKind::Refused, process)
        });
        Answer::Result(errno)
    }
}
