//! The logs of a machine, read as they grow.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use evidence::machine::Position;
use evidence::{BytePath, MachineEvent, Timestamp};
use host::machine::{Chunk, Tail, journal_after};
use inspect::machine::{
    AuditLog, Clock, LINE_MAX_BYTES, UTMP_RECORD_BYTES, Utmp, journal_cursor, journal_line, syslog_line,
    utmp_record,
};

/// How much of a log is read at once.
const CHUNK_BYTES: usize = 4 * LINE_MAX_BYTES;

/// How a log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogKind {
    /// Lines of syslog: `auth.log`, `secure`.
    Auth,
    /// A file with lines of `journalctl -o json`.
    Journal,
    /// The machine's journal; the path is that of `journalctl`.
    Journalctl,
    /// Lines of the kernel's audit log.
    Audit,
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
            Self::Journal | Self::Journalctl => "journal",
            Self::Audit => "audit",
            Self::Wtmp => "wtmp",
            Self::Btmp => "btmp",
        }
    }
}

/// How often the journal's program is started, in seconds.
const JOURNAL_EVERY: i64 = 10;

/// A log that is followed.
pub(super) struct Followed {
    kind: LogKind,
    tail: Tail,
    /// When the journal's program was last started.
    asked: Option<Timestamp>,
    cursor: Option<String>,
    /// Programs of the audit log of which more lines are to come.
    audit: AuditLog,
    /// Whether it could not be read the last time; said once, not every time.
    silent: bool,
}

impl Followed {
    pub(super) fn new(source: &Source, positions: &BTreeMap<String, Position>) -> Self {
        let position = positions.get(&name(source.kind, &source.path)).cloned();
        let cursor = position.as_ref().and_then(|position| position.cursor.clone());
        let tail = Tail::new(source.path.clone(), position);
        Self { kind: source.kind, tail, asked: None, cursor, audit: AuditLog::default(), silent: false }
    }

    pub(super) fn position(&self) -> Option<(String, Position)> {
        let position = match self.kind {
            LogKind::Journalctl => Position::cursor(self.cursor.clone()?),
            _ => self.tail.position()?.clone(),
        };
        Some((name(self.kind, self.tail.path()), position))
    }

    /// Returns what waits for more lines; those that come later are not waited for any more.
    pub(super) fn rest(&mut self) -> Vec<MachineEvent> {
        self.audit.rest()
    }

    /// Reads on; tells whether there may be more.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        to_utc: &dyn Fn(i64) -> i64,
        events: &mut Vec<MachineEvent>,
    ) -> bool {
        let path = BytePath::from(self.tail.path().as_os_str().as_bytes());
        let word = self.kind.word();
        let gap = |what: &str| MachineEvent::gap(now, word, path.clone(), what);
        if self.kind == LogKind::Journalctl {
            return self.read_journal(now, &gap, events);
        }
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
            LogKind::Auth | LogKind::Journal | LogKind::Journalctl | LogKind::Audit => {
                let clock = Clock { now, to_utc };
                let audit = &mut self.audit;
                let read = |line: &[u8]| match self.kind {
                    LogKind::Journal => journal_line(line),
                    LogKind::Audit => audit.line(line),
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

impl Followed {
    /// Asks the journal for what is behind the cursor.
    fn read_journal(
        &mut self,
        now: Timestamp,
        gap: &dyn Fn(&str) -> MachineEvent,
        events: &mut Vec<MachineEvent>,
    ) -> bool {
        if self.asked.is_some_and(|asked| now.unix() - asked.unix() < JOURNAL_EVERY) {
            return false;
        }
        let bytes = match journal_after(self.tail.path(), self.cursor.as_deref(), CHUNK_BYTES) {
            Ok(bytes) => bytes,
            Err(_) => {
                self.asked = Some(now);
                if !std::mem::replace(&mut self.silent, true) {
                    events.push(gap("journal-unreadable"));
                }
                return false;
            }
        };
        self.silent = false;
        let before = self.cursor.clone();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        for line in bytes[..end].split(|byte| *byte == b'\n') {
            events.extend(journal_line(line));
            self.cursor = journal_cursor(line).or(self.cursor.take());
        }
        // More may wait only if this was as much as was asked for; without a step forward it would never end.
        let more = bytes.len() >= CHUNK_BYTES && self.cursor != before;
        self.asked = (!more).then_some(now);
        more
    }
}

fn name(kind: LogKind, path: &std::path::Path) -> String {
    format!("{}:{}", kind.word(), BytePath::from(path.as_os_str().as_bytes()))
}

/// Reads whole lines; returns how many bytes they were.
fn lines(
    chunk: &Chunk,
    mut read: impl FnMut(&[u8]) -> Option<MachineEvent>,
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
