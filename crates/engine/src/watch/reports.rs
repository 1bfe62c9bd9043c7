//! Reports about a machine in the log: written by `watch`, read by the next one and by `watch report`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use evidence::machine::{EVENTS_SCHEMA, FileState, MachineEvents, WATCHED_SCHEMA, WatchedFile, WatchedFiles};
use evidence::statement::{MachineReport, Predicate, ResourceDescriptor, Statement};
use evidence::{BytePath, Digest};
use host::machine::States;
use store::Index;

use crate::error::{Error, Result};
use crate::ledger::kind_of;
use crate::world::{World, store_error};

/// A report as it stands in the log.
pub(super) struct Logged {
    pub(super) log_index: u64,
    pub(super) report: MachineReport,
    events: Digest,
    pub(super) watched: Option<Digest>,
}

/// What an earlier watch looked at, and what it saw last.
pub(super) struct Before {
    pub(super) roots: Vec<PathBuf>,
    pub(super) states: States,
}

/// Reads the reports, oldest first; each is proven to be in the log and signed by a builder of this store.
pub(super) fn reports(world: &World) -> Result<Vec<Logged>> {
    let rows = world.index.entries_of(kind_of(MachineReport::TYPE)).map_err(store_error)?;
    rows.iter().map(|row| read(world, row.log_index)).collect()
}

/// Reads the newest report.
pub(super) fn latest(world: &World) -> Result<Option<Logged>> {
    let rows = world.index.entries_of(kind_of(MachineReport::TYPE)).map_err(store_error)?;
    rows.last().map(|row| read(world, row.log_index)).transpose()
}

fn read(world: &World, log_index: u64) -> Result<Logged> {
    let (verified, report) = world.statement::<MachineReport>(log_index, &world.builder_keys())?;
    let subject = |statement: &Statement, name: &str| {
        let mut subjects = statement.subject.iter();
        subjects.find(|one| one.name.as_deref() == Some(name)).and_then(ResourceDescriptor::sha256)
    };
    let statement = verified.statement();
    let events = subject(statement, MachineReport::EVENTS)
        .ok_or(Error::Document { kind: "machine report", digest: Digest::of(b"") })?;
    Ok(Logged { log_index, report, events, watched: subject(statement, MachineReport::WATCHED) })
}

impl Logged {
    pub(super) fn events(&self, world: &World) -> Result<MachineEvents> {
        let kind = "batch of machine events";
        let events: MachineEvents = world.document(kind, &self.events)?;
        if events.schema != EVENTS_SCHEMA {
            return Err(Error::Document { kind, digest: self.events });
        }
        Ok(events)
    }

    /// The watched files at its end, if any were watched.
    pub(super) fn states(&self, world: &World) -> Result<Option<Before>> {
        let Some(digest) = &self.watched else { return Ok(None) };
        let kind = "list of watched files";
        let watched: WatchedFiles = world.document(kind, digest)?;
        if watched.schema != WATCHED_SCHEMA {
            return Err(Error::Document { kind, digest: *digest });
        }
        let path = |path: BytePath| PathBuf::from(OsString::from_vec(path.into_bytes()));
        Ok(Some(Before {
            roots: watched.paths.into_iter().map(path).collect(),
            states: watched.files.into_iter().map(|file| (path(file.path), file.state)).collect(),
        }))
    }
}

/// Makes the document of the watched files.
pub(super) fn watched(roots: &[PathBuf], states: &States) -> WatchedFiles {
    let bytes = |path: &PathBuf| BytePath::from(path.as_os_str().as_bytes());
    let file =
        |(path, state): (&PathBuf, &FileState)| WatchedFile { path: bytes(path), state: state.clone() };
    WatchedFiles {
        schema: WATCHED_SCHEMA.into(),
        paths: roots.iter().map(bytes).collect(),
        files: states.iter().map(file).collect(),
    }
}
