//! The logs of a machine, read as they grow.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use evidence::machine::Position;
use evidence::{BytePath, MachineEvent, Timestamp};
use host::machine::{Chunk, Tail};
use inspect::machine::{
    Clock, LINE_MAX_BYTES, UTMP_RECORD_BYTES, Utmp, journal_line, syslog_line, utmp_record,
};

/// How much of a log is read at once.
const CHUNK_BYTES: usize = 4 * LINE_MAX_BYTES;

/// How a log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogKind {
    /// Lines of syslog: `auth.log`, `secure`.
    Auth,
    /// Lines of `journalctl -o json`.
    Journal,
    /// Records of logins.
    Wtmp,
    /// Records of failed logins.
    Btmp,
}

/// A log to follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// How it is written.
    pub kind: LogKind,
    /// Where it is.
    pub path: PathBuf,
}

impl LogKind {
    fn word(self) -> &'static str {
        match self {
            Self::Auth => "auth-log",
            Self::Journal => "journal",
            Self::Wtmp => "wtmp",
            Self::Btmp => "btmp",
        }
    }
}

/// A log that is followed.
pub(super) struct Followed {
    kind: LogKind,
    tail: Tail,
    /// Whether it could not be read the last time; said once, not every time.
    silent: bool,
}

impl Followed {
    pub(super) fn new(source: &Source, positions: &BTreeMap<String, Position>) -> Self {
        let position = positions.get(&name(source.kind, &source.path)).cloned();
        Self { kind: source.kind, tail: Tail::new(source.path.clone(), position), silent: false }
    }

    pub(super) fn position(&self) -> Option<(String, Position)> {
        let position = self.tail.position()?.clone();
        Some((name(self.kind, self.tail.path()), position))
    }

    /// Reads on; tells whether there may be more.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        to_utc: &dyn Fn(i64) -> i64,
        events: &mut Vec<MachineEvent>,
    ) -> bool {
        let path = BytePath::from(self.tail.path().as_os_str().as_bytes());
        let gap = |what: &str| MachineEvent::gap(now, self.kind.word(), path.clone(), what);
        let chunk = match self.tail.read(CHUNK_BYTES) {
            Ok(chunk) => chunk,
            Err(error) => {
                let what = if error.kind() == ErrorKind::NotFound { "log-missing" } else { "log-unreadable" };
                if !std::mem::replace(&mut self.silent, true) {
                    events.push(gap(what));
                }
                return false;
            }
        };
        self.silent = false;
        events.extend(chunk.gap.map(gap));
        let used = match self.kind {
            LogKind::Auth | LogKind::Journal => {
                let clock = Clock { now, to_utc };
                let read = |line: &[u8]| match self.kind {
                    LogKind::Journal => journal_line(line),
                    _ => syslog_line(line, &clock),
                };
                lines(&chunk, read, &gap, events)
            }
            LogKind::Wtmp => records(&chunk, Utmp::Wtmp, &gap, events),
            LogKind::Btmp => records(&chunk, Utmp::Btmp, &gap, events),
        };
        self.tail.used(&chunk.bytes, used);
        used > 0
    }
}

fn name(kind: LogKind, path: &std::path::Path) -> String {
    format!("{}:{}", kind.word(), BytePath::from(path.as_os_str().as_bytes()))
}

/// Reads whole lines; returns how many bytes they were.
fn lines(
    chunk: &Chunk,
    read: impl Fn(&[u8]) -> Option<MachineEvent>,
    gap: &dyn Fn(&str) -> MachineEvent,
    events: &mut Vec<MachineEvent>,
) -> usize {
    let end = chunk.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for line in chunk.bytes[..end].split(|byte| *byte == b'\n') {
        if line.len() > LINE_MAX_BYTES {
            events.push(gap("line-too-long"));
        }
        events.extend(read(line));
    }
    // A line without an end: it will never get one, or it is too long to wait for.
    if (chunk.rotated || chunk.bytes.len() - end > LINE_MAX_BYTES) && end < chunk.bytes.len() {
        events.push(gap("line-too-long"));
        return chunk.bytes.len();
    }
    end
}

/// Reads whole records; returns how many bytes they were.
fn records(
    chunk: &Chunk,
    file: Utmp,
    gap: &dyn Fn(&str) -> MachineEvent,
    events: &mut Vec<MachineEvent>,
) -> usize {
    let (records, rest) = chunk.bytes.as_chunks::<UTMP_RECORD_BYTES>();
    for record in records {
        match utmp_record(record, file) {
            Ok(event) => events.extend(event),
            Err(_) => events.push(gap("record-damaged")),
        }
    }
    if chunk.rotated && !rest.is_empty() {
        events.push(gap("record-damaged"));
        return chunk.bytes.len();
    }
    chunk.bytes.len() - rest.len()
}
