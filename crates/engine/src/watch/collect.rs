//! `watch`: collects what happens on a build machine, and puts it into the log batch by batch.
//!
//! Where the last watch ended stands in its last report, in the log: there is no other memory of it. Order of effects for
//! each batch, and what a crash after each leaves:
//! 1. the events, then the state of the watched files go into the vault (objects that nothing names: harmless);
//! 2. the report is appended to the log: from here on the events are acknowledged, and the next watch goes on behind them
//!    (a crash before means that it reads them again).

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use attest::{Envelope, Signer};
use evidence::machine::{EVENTS_SCHEMA, FileState, MachineEvents, Position};
use evidence::statement::{MachineReport, ResourceDescriptor, Statement};
use evidence::{BytePath, Digest, MachineEvent, MachineEventKind, Timestamp};
use host::machine::{PathChange, Paths, Stop, Woken};
use tlog::Ed25519Signer;

use super::reports::{self, Before};
use super::sources::{Followed, Source};
use crate::error::{Error, Result};
use crate::outlets::Outlets;
use crate::record::secrets::Redactor;
use crate::world::{Passphrase, World};

/// The most events of one batch.
const BATCH_MAX_EVENTS: usize = 5_000;
/// How often logs are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to collect.
#[derive(Clone, Debug)]
pub struct Collect {
    /// Logs of logins and rights.
    pub logs: Vec<Source>,
    /// Files, and folders with all below them.
    pub paths: Vec<PathBuf>,
    /// Whether to stop when everything has been read.
    pub once: bool,
    /// After how many seconds to stop.
    pub seconds: Option<u64>,
    /// How long events may wait to be signed, in seconds.
    pub batch_seconds: u64,
    /// Turns seconds of local time, counted as if it were UTC, into seconds since 1970: text logs have local times.
    pub to_utc: fn(i64) -> i64,
}

/// What was collected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Where the reports stand in the log.
    pub reports: Vec<u64>,
    /// How many events they have.
    pub events: u64,
    /// What is missing: reason → how often.
    pub gaps: BTreeMap<String, u64>,
    /// Files under watch at the end.
    pub watched: u64,
}

/// Watches until told to stop. `tell` hears of every event at once; the outlets once it is in the log.
pub fn collect(
    world: &World,
    what: &Collect,
    passphrase: &Passphrase,
    clock: &dyn Fn() -> Timestamp,
    outlets: &mut Outlets,
    tell: &mut dyn FnMut(&MachineEvent),
) -> Result<Collected> {
    let builder = world.builder_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let _lock = lock(world)?;
    let stop = Stop::catch().map_err(Error::Watch)?;
    let last = reports::latest(world)?;
    let positions = last.as_ref().map(|last| last.report.positions.clone()).unwrap_or_default();
    let before = last.as_ref().map(|last| last.states(world)).transpose()?.flatten();
    let started = clock();
    let (mut paths, changes) = watch(&what.paths, before).map_err(Error::Watch)?;
    let mut logs: Vec<Followed> = what.logs.iter().map(|source| Followed::new(source, &positions)).collect();
    let mut batch = Batch {
        world,
        builder: &builder,
        log_key: &log_key,
        roots: &what.paths,
        positions,
        watched: last.and_then(|last| last.watched),
        redactor: Redactor::new(&[]),
        events: Vec::new(),
        started,
        done: Collected::default(),
    };
    batch.take(changes.iter().map(|change| changed(change, started)).collect(), tell);
    if paths.full {
        batch.take(vec![MachineEvent::gap(started, "paths", "/".into(), "too-many-files")], tell);
    }
    loop {
        let now = clock();
        let mut more = false;
        for log in &mut logs {
            let mut events = Vec::new();
            more |= log.read(now, &what.to_utc, &mut events);
            batch.take(events, tell);
        }
        batch.take(paths.changes().iter().map(|change| changed(change, now)).collect(), tell);
        let waited = now.unix().saturating_sub(batch.started.unix());
        let due = waited >= i64::try_from(what.batch_seconds).unwrap_or(i64::MAX);
        if !batch.events.is_empty() && (due || batch.events.len() >= BATCH_MAX_EVENTS) {
            batch.report(&mut logs, &paths, now, outlets, tell)?;
        }
        outlets.pump(now);
        let over = |seconds| now.unix() - started.unix() >= i64::try_from(seconds).unwrap_or(i64::MAX);
        if what.seconds.is_some_and(over) || (what.once && !more) {
            break;
        }
        let patience = if more { Duration::ZERO } else { LOOK_EVERY };
        match stop.wait(Some(paths.as_fd()), patience).map_err(Error::Watch)? {
            Woken::Stopped => break,
            Woken::Time | Woken::Changes => {}
        }
    }
    batch.report(&mut logs, &paths, clock(), outlets, tell)?;
    Ok(Collected { watched: paths.states().len() as u64, ..batch.done })
}

/// Begins to watch, and finds what changed since the last watch on what both look at.
fn watch(roots: &[PathBuf], before: Option<Before>) -> std::io::Result<(Paths, Vec<PathChange>)> {
    let Some(Before { roots: old, mut states }) = before else { return Paths::begin(roots, None) };
    let below = |path: &PathBuf, roots: &[PathBuf]| roots.iter().any(|root| path.starts_with(root));
    states.retain(|path, _| below(path, roots));
    let (paths, mut changes) = Paths::begin(roots, Some(&states))?;
    changes.retain(|change| below(&change.path, &old));
    Ok((paths, changes))
}

fn lock(world: &World) -> Result<File> {
    let path = world.layout().watch_lock();
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::Write { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Watched(world.root().into())),
        Err(TryLockError::Error(source)) => Err(Error::Write { path, source }),
    }
}

/// Describes a change; its time is the kernel's where the file is still there.
fn changed(change: &PathChange, now: Timestamp) -> MachineEvent {
    let at = change.after.as_ref().map(|after| Timestamp::from_unix(after.changed_ns / 1_000_000_000));
    let same = |field: fn(&FileState) -> (u64, Option<Digest>)| {
        change.before.as_ref().map(field) == change.after.as_ref().map(field)
    };
    let what = match (&change.before, &change.after) {
        (None, _) => "created",
        (_, None) => "removed",
        (Some(before), Some(after)) if before.inode != after.inode => "replaced",
        _ if same(|state| (state.size, state.digest)) => "attributes",
        _ => "bytes",
    };
    MachineEvent {
        path: Some(BytePath::from(change.path.as_os_str().as_bytes())),
        before: change.before.clone(),
        after: change.after.clone(),
        program: change.writer.clone().map(BytePath::from),
        detail: Some(what.into()),
        ..MachineEvent::new(MachineEventKind::Changed, at.unwrap_or(now), "paths")
    }
}

struct Batch<'a> {
    world: &'a World,
    builder: &'a dyn Signer,
    log_key: &'a Ed25519Signer,
    roots: &'a [PathBuf],
    positions: BTreeMap<String, Position>,
    watched: Option<Digest>,
    redactor: Redactor,
    events: Vec<MachineEvent>,
    started: Timestamp,
    done: Collected,
}

impl Batch<'_> {
    fn take(&mut self, events: Vec<MachineEvent>, tell: &mut dyn FnMut(&MachineEvent)) {
        for mut event in events {
            if let Some(command) = &event.command {
                let words: Vec<BytePath> =
                    command.as_bytes().split(|byte| *byte == b' ').map(BytePath::from).collect();
                let clean = self.redactor.arguments(&words);
                let clean: Vec<&[u8]> = clean.iter().map(BytePath::as_bytes).collect();
                event.command = Some(BytePath::new(clean.join(&b' ')));
            }
            tell(&event);
            self.events.push(event);
        }
    }

    /// Signs and logs what was collected; nothing new is no report.
    fn report(
        &mut self,
        logs: &mut [Followed],
        paths: &Paths,
        now: Timestamp,
        outlets: &mut Outlets,
        tell: &mut dyn FnMut(&MachineEvent),
    ) -> Result<()> {
        // What was read up to here must be told here: the next report goes on behind it.
        for log in &mut *logs {
            self.take(log.rest(), tell);
        }
        let mut positions = self.positions.clone();
        positions.extend(logs.iter().filter_map(|log| log.position()));
        let watched = match self.roots {
            [] => None,
            roots => Some(self.world.put_document(&reports::watched(roots, paths.states()))?),
        };
        if self.events.is_empty() && positions == self.positions && watched == self.watched {
            return Ok(());
        }
        let events = MachineEvents { schema: EVENTS_SCHEMA.into(), events: std::mem::take(&mut self.events) };
        let mut gaps: BTreeMap<String, u64> = BTreeMap::new();
        for event in events.events.iter().filter(|event| event.kind == MachineEventKind::Gap) {
            let reason = event.detail.as_ref().map_or_else(String::new, ToString::to_string);
            *gaps.entry(reason).or_default() += 1;
        }
        let report = MachineReport {
            host: host::machine::name(),
            started: self.started,
            finished: now,
            events: events.events.len() as u64,
            gaps: gaps.clone(),
            positions: positions.clone(),
        };
        let digest = self.world.put_document(&events)?;
        let mut subjects = vec![ResourceDescriptor::named(MachineReport::EVENTS, &digest)];
        subjects.extend(watched.map(|digest| ResourceDescriptor::named(MachineReport::WATCHED, &digest)));
        let statement = Statement::new(subjects, &report);
        let envelope = Envelope::sign(&statement, self.builder)
            .map_err(|source| Error::Key { name: "builder", source })?;
        let inclusions = self.world.append(std::slice::from_ref(&envelope), self.log_key)?;
        self.done.reports.extend(inclusions.iter().map(|inclusion| inclusion.index));
        self.done.events += report.events;
        outlets.events(&events.events, now);
        for (reason, times) in gaps {
            *self.done.gaps.entry(reason).or_default() += times;
        }
        (self.positions, self.watched, self.started) = (positions, watched, now);
        Ok(())
    }
}
