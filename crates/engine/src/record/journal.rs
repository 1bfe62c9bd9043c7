//! The journal of a running recording, and the recovery of those that were left behind.
//!
//! A journal is a folder with the start (one JSON document), a lock that its recorder holds as long as it lives,
//! and a list of sealed segments, appended and synced line by line.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use attest::Signer;
use evidence::record::{Checkout, Completeness, Detections, Segment, Variable};
use evidence::{BytePath, Digest, Event, Timestamp};
use host::packages::Packages;
use serde::{Deserialize, Serialize};
use store::{SegmentWriter, read_segment};
use tlog::Ed25519Signer;

use super::finish::Finish;
use super::reduce::Reduction;
use crate::error::{Error, Result};
use crate::files;
use crate::world::{World, store_error};

/// The `schema` of a journal's start.
pub(crate) const SCHEMA: &str = "urn:countersign:recording:v1";
/// Events in one segment.
const SEGMENT_EVENTS: usize = 65_536;

/// What is known when a recording begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    pub(crate) schema: String,
    pub(crate) product: String,
    pub(crate) release: String,
    pub(crate) command: Vec<BytePath>,
    pub(crate) workdir: BytePath,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) checkout: Option<Checkout>,
    pub(crate) tracer: String,
    pub(crate) started: Timestamp,
    pub(crate) environment: Vec<Variable>,
}

/// The journal of the recording that this process makes.
pub(crate) struct Journal<'a> {
    world: &'a World,
    folder: PathBuf,
    list: File,
    _lock: File,
    writer: SegmentWriter,
    segments: Vec<Segment>,
}

impl<'a> Journal<'a> {
    /// Opens a new journal.
    pub(crate) fn begin(world: &'a World, start: &Start) -> Result<Self> {
        let parent = world.layout().recordings();
        let fail = |source| Error::Write { path: parent.clone(), source };
        std::fs::create_dir_all(&parent).map_err(fail)?;
        // Nobody looks for abandoned recordings while this one has no lock yet.
        let store_lock = world.lock()?;
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&parent).map_err(fail)?.keep();
        let lock = File::create(folder.join("lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        drop(store_lock);
        let list = File::create(folder.join("segments")).map_err(fail)?;
        files::write(&folder.join("start.json"), &evidence::wire::canonical(start))?;
        Ok(Self { world, folder, list, _lock: lock, writer: SegmentWriter::new(), segments: Vec::new() })
    }

    /// Takes an event; a full segment is sealed and becomes durable before this returns.
    pub(crate) fn add(&mut self, event: Event) -> Result<()> {
        self.writer.push(event);
        if self.writer.len() >= SEGMENT_EVENTS { self.seal_segment() } else { Ok(()) }
    }

    /// Seals what is left and returns all segments.
    pub(crate) fn seal(&mut self) -> Result<Vec<Segment>> {
        if !self.writer.is_empty() {
            self.seal_segment()?;
        }
        Ok(std::mem::take(&mut self.segments))
    }

    /// Removes the journal.
    pub(crate) fn discard(self) -> Result<()> {
        remove(&self.folder)
    }

    fn seal_segment(&mut self) -> Result<()> {
        let mut writer = std::mem::replace(&mut self.writer, SegmentWriter::new());
        let events = writer.len() as u64;
        let bytes = writer.finish().map_err(store_error)?;
        let digest = self.world.put(&bytes)?;
        let segment = Segment { digest, events, size: bytes.len() as u64 };
        let fail = |source| Error::Write { path: self.folder.clone(), source };
        writeln!(self.list, "{} {} {}", segment.digest, segment.events, segment.size).map_err(fail)?;
        self.list.sync_all().map_err(fail)?;
        self.segments.push(segment);
        Ok(())
    }
}

/// Removes a journal. Another process may be doing the same.
fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::Write { path: folder.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

/// The journal of a recorder that is gone. As long as this lives, nobody else recovers it.
pub(crate) struct Abandoned {
    folder: PathBuf,
    _lock: Option<File>,
}

/// Returns the recordings whose recorder is gone.
pub(crate) fn abandoned(world: &World) -> Result<Vec<Abandoned>> {
    let parent = world.layout().recordings();
    let fail = |source| Error::Read { path: parent.clone(), source };
    let mut found = Vec::new();
    if !parent.is_dir() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(&parent).map_err(fail)? {
        let folder = entry.map_err(fail)?.path();
        let lock = match File::open(folder.join("lock")) {
            Ok(lock) => lock,
            // Killed between making the folder and the lock: nothing had begun. A living one is not seen so,
            // because both are made under the store's lock.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                found.push(Abandoned { folder, _lock: None });
                continue;
            }
            Err(error) => return Err(fail(error)),
        };
        match lock.try_lock() {
            Ok(()) => found.push(Abandoned { folder, _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(found)
}

/// Seals recordings that were left behind as incomplete records.
pub(crate) fn recover(world: &World, builder: &dyn Signer, log_key: &Ed25519Signer) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let store_lock = world.lock()?;
    let left = abandoned(world)?;
    drop(store_lock);
    for Abandoned { folder, _lock } in left {
        let start_path = folder.join("start.json");
        if start_path.is_file() {
            let bytes = files::read(&start_path, 1 << 24)?;
            let start: Start = evidence::wire::from_canonical(&bytes)
                .map_err(|_| Error::Document { kind: "recording", digest: Digest::of(&bytes) })?;
            let segments = listed(&folder)?;
            if is_recorded(world, &start, &segments)? {
                remove(&folder)?;
                continue;
            }
            let mut reduction = Reduction::default();
            let mut last_ns = 0;
            let mut events = 0;
            for segment in &segments {
                for event in read_segment(&world.read(&segment.digest)?).map_err(store_error)? {
                    last_ns = event.at_ns;
                    events += 1;
                    reduction.add(&event);
                }
            }
            let completeness = Completeness {
                events,
                interrupted: true,
                gaps: [("recorder-died".to_owned(), 1)].into(),
                ..Completeness::default()
            };
            let trace = host::Trace { completeness, ..host::Trace::default() };
            let ended =
                Timestamp::from_unix(start.started.unix().saturating_add((last_ns / 1_000_000_000) as i64));
            let finish = Finish {
                world,
                start: &start,
                patterns: &[],
                packages: &mut Packages::read(),
                detections: Detections::default(),
                baseline: None,
                builder,
                log_key,
            };
            numbers.push(finish.finish(reduction, &trace, segments, ended)?.0);
        }
        remove(&folder)?;
    }
    Ok(numbers)
}

/// Tells whether the log has the record of a journal already: its recorder died between the two.
fn is_recorded(world: &World, start: &Start, segments: &[Segment]) -> Result<bool> {
    if segments.is_empty() {
        return Ok(false); // A record is acknowledged after its last segment was sealed.
    }
    for row in crate::records::records(world)?.iter().filter(|row| row.started == start.started) {
        let record: evidence::Record = world.document("record", &row.digest)?;
        if record.segments == segments && record.workdir == start.workdir {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the list of segments; a last line that was cut off by a crash was never acknowledged.
fn listed(folder: &Path) -> Result<Vec<Segment>> {
    let text = files::read_text(&folder.join("segments"), 1 << 24)?;
    Ok(text
        .split_inclusive('\n')
        .filter_map(|line| {
            let mut words = line.strip_suffix('\n')?.split(' ');
            Some(Segment {
                digest: words.next()?.parse().ok()?,
                events: words.next()?.parse().ok()?,
                size: words.next()?.parse().ok()?,
            })
        })
        .collect())
}
