//! What detection costs: a synthetic trace that looks like an ordinary build, and the time that it takes.
//!
//! The clock is the caller's: this crate has none.

use evidence::{Digest, Event, EventKind};

use super::{Detector, Facts, Rules};

/// A measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Events observed.
    pub events: u64,
    /// Detections made; an ordinary build has none.
    pub detections: u64,
    /// Nanoseconds by the caller's clock.
    pub elapsed_ns: u64,
}

/// Runs `rounds` compilations of a synthetic build through the rules; `now_ns` is a monotonic clock.
///
/// One compilation is a fork, an exec, two hundred reads of headers of which half fail (a search path), a write and
/// an exit: about what a recorder sees of a C compiler.
pub fn measure(rules: &Rules, facts: Facts, rounds: u32, now_ns: &mut dyn FnMut() -> u64) -> Measured {
    let mut detector = Detector::new(rules, facts);
    let mut measured = Measured { events: 0, detections: 0, elapsed_ns: 0 };
    let mut start = Event::new(EventKind::Exec, 0);
    start.path = Some("/usr/bin/make".into());
    start.arguments = vec!["make".into()];
    detector.observe(&start);
    for round in 1..=rounds {
        let events = compilation(round);
        let began = now_ns();
        for event in &events {
            measured.detections += detector.observe(event).len() as u64;
        }
        measured.elapsed_ns += now_ns().saturating_sub(began);
        measured.events += events.len() as u64;
    }
    measured
}

fn compilation(round: u32) -> Vec<Event> {
    let mut fork = Event::new(EventKind::Fork, round);
    fork.other = Some(0);
    let mut exec = Event::new(EventKind::Exec, round);
    exec.path = Some("/usr/lib/gcc/x86_64-linux-gnu/13/cc1".into());
    exec.arguments = vec!["cc1".into(), "-O2".into(), "-o".into(), "/src/p/a.o".into(), "/src/p/a.c".into()];
    let mut events = vec![fork, exec];
    for header in 0..100 {
        let mut absent = Event::new(EventKind::Read, round);
        absent.path = Some(format!("/usr/local/include/sys/header-{header}.h").into());
        absent.errno = 2;
        let mut read = Event::new(EventKind::Read, round);
        read.path = Some(format!("/usr/include/x86_64-linux-gnu/sys/header-{header}.h").into());
        read.digest = Some(Digest::of(b"header"));
        if header % 5 == 0 {
            read.path = Some(format!("/src/p/src/deep/part-{header}.h").into());
        }
        events.extend([absent, read]);
    }
    let mut write = Event::new(EventKind::Write, round);
    write.path = Some(format!("/src/p/build/a-{round}.o").into());
    events.extend([write, Event::new(EventKind::Exit, round)]);
    events
}
