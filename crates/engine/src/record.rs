//! `run`: records a build.
//!
//! Order of effects, and what a crash after each leaves:
//! 1. keys are opened before the build starts: a wrong passphrase costs no build;
//! 2. a journal is opened and locked: from here on the recording is known, and a recorder that dies leaves it
//!    behind, to be sealed as an incomplete record by the next command that holds the keys;
//! 3. the build runs; full segments of the trace go into the vault, their digests into the journal;
//! 4. outputs are inspected; record, inspections and SBOM go into the vault;
//! 5. the statements are appended to the log: the record is acknowledged;
//! 6. the journal is removed (a crash before leaves one whose record is in the log: it is dropped);
//! 7. what was learned about the machine's files is kept for later builds (a crash before costs time).

mod finish;
mod journal;
mod outputs;
mod reduce;
mod remembered;
pub(crate) mod secrets;
pub(crate) mod watching;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use evidence::record::{Checkout, Exit};
use evidence::{BytePath, Digest, Finding, Timestamp};
use host::packages::Packages;
use host::{Commit, Egress, Launch, NoCommit, Tracer};
use judge::baseline::Baseline;
use judge::detect::{Facts, MachineRole};

use crate::error::{Error, Result};
use crate::world::{Layout, Passphrase, World};
use finish::Finish;
use journal::Journal;
use store::Index as _;
use watching::Watching;

pub(crate) use journal::abandoned;

/// What to record.
#[derive(Clone, Debug)]
pub struct Run {
    /// The product; may be empty.
    pub product: String,
    /// The release; may be empty.
    pub release: String,
    /// Patterns of the declared outputs, relative to the working directory.
    pub outputs: Vec<String>,
    /// How to look at it.
    pub tracer: TracerKind,
    /// What it may reach of the network.
    pub egress: Egress,
    /// Whether what no good build of the product did before is a finding.
    pub baseline: bool,
    /// Whether everything has been fetched before: no connection is expected, and `fetch-only` entries do not count.
    pub fetched: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Where to run it.
    pub workdir: PathBuf,
    /// The caller's environment; the passphrase is taken out of it.
    pub environment: Vec<(OsString, OsString)>,
}

/// The ways of looking at a build. None stands in for another by itself: what was seen must be what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TracerKind {
    /// What sees everything and is possible here: notification, or stops. Never a snapshot.
    #[default]
    Auto,
    /// Everything, by seccomp user notification.
    Seccomp,
    /// Everything, by stopping the processes: for kernels and containers that do not allow notification.
    Ptrace,
    /// Only what lay there before and after.
    Snapshot,
}

/// A finished recording.
#[derive(Debug)]
pub struct Recorded {
    /// The record's number.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
    /// How the build ended: passed on to the caller.
    pub exit: Exit,
    /// The record.
    pub record: evidence::Record,
    /// Whether it may lead to a signature.
    pub attestable: bool,
    /// Declared patterns that matched nothing that the build wrote.
    pub unmatched: Vec<String>,
    /// Why the sources were not compared with the commit, though the project may have one.
    pub no_commit: Option<NoCommit>,
    /// Recordings that had been left behind and were sealed as incomplete, by their number.
    pub recovered: Vec<u64>,
}

/// Tells whether builds can be recorded on this machine, and how.
pub fn probe() -> std::result::Result<String, String> {
    host::automatic().map(|(_, capabilities)| capabilities).map_err(|error| error.to_string())
}

/// Records a build. The clock is asked again for the end, because builds take time.
pub fn run(
    world: &World,
    run: &Run,
    passphrase: &Passphrase,
    clock: &dyn Fn() -> Timestamp,
    alarm: &mut dyn FnMut(&Finding),
) -> Result<Recorded> {
    let rules = watching::rules(&world.layout().rules())?;
    let machine = world.policy()?.0.machine;
    let builder = world.builder_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let patterns = outputs::patterns(&run.outputs)?;
    let recovered = journal::recover(world, &builder, &log_key)?;

    let baseline = if run.baseline { Some(baseline(world, &run.product)?) } else { None };

    let environment: Vec<(OsString, OsString)> =
        run.environment.iter().filter(|(name, _)| name != secrets::PASSPHRASE).cloned().collect();
    let redactor = secrets::Redactor::new(&environment);
    let command: Vec<BytePath> = run.command.iter().map(|word| BytePath::from(word.as_bytes())).collect();
    let workdir = std::fs::canonicalize(&run.workdir)
        .map_err(|source| Error::Read { path: run.workdir.clone(), source })?;
    // Without a repository there is nothing to compare sources with; the record has no checkout then.
    let (commit, no_commit) = match Commit::of(&workdir) {
        Ok(commit) => (Some(Arc::new(commit)), None),
        Err(NoCommit::NoRepository) => (None, None),
        Err(reason) => (None, Some(reason)),
    };
    let tracer: &dyn Tracer = match run.tracer {
        TracerKind::Auto => host::automatic().map_err(|error| Error::Trace(error.into()))?.0,
        TracerKind::Seccomp => &host::Seccomp,
        TracerKind::Ptrace => &host::Ptrace::USUAL,
        TracerKind::Snapshot => &host::Snapshot,
    };
    if run.tracer == TracerKind::Snapshot && run.egress != Egress::Audit {
        return Err(Error::EgressUntraced);
    }
    let egress = match &run.egress {
        Egress::Allow(list) if run.fetched => Egress::Allow(list.for_build()),
        egress => egress.clone(),
    };
    let start = journal::Start {
        schema: journal::SCHEMA.into(),
        product: run.product.clone(),
        release: run.release.clone(),
        command: redactor.arguments(&command),
        workdir: BytePath::from(workdir.as_os_str().as_bytes()),
        checkout: commit.as_deref().map(checkout),
        tracer: tracer.mode().into(),
        started: world.now(),
        environment: secrets::environment(&environment, &world.salt()?),
    };
    let mut journal = Journal::begin(world, &start)?;
    let aliases = matches!(egress, Egress::Allow(_));
    let mut reduction = reduce::Reduction::default();
    reduction.aliases = aliases;

    let store = std::fs::canonicalize(world.root())
        .map_err(|source| Error::Read { path: world.root().into(), source })?;
    let known = remembered::load(world, &builder);
    let launch = Launch {
        command: run.command.clone(),
        workdir: workdir.clone(),
        environment,
        secret: Layout(&store).secrets(),
        // Reading the rest does no harm: `git status` looks at every folder.
        protected: vec![store],
        commit,
        known: known.clone(),
        egress: egress.clone(),
        ..Launch::default()
    };
    let mut packages = Packages::read();
    let mut owns = |path: &BytePath| packages.owns(path);
    let mut watching = Watching::begin(&rules, facts(&launch, machine, run.fetched), &mut owns, alarm);
    let traced = tracer.trace(&launch, &mut |mut event| {
        redactor.event(&mut event);
        watching.observe(&event);
        reduction.add(&event);
        journal.add(event).map_err(|error| Box::new(error) as host::SinkError)
    });
    let mut trace = match traced {
        Ok(trace) => trace,
        Err(error) => {
            // Nothing ran, or the recording broke off: the former leaves no record, the latter an incomplete one.
            if error.is_before_start() {
                journal.discard()?;
            }
            return Err(Error::Trace(error));
        }
    };
    let detections = watching.finish();
    let segments = journal.seal()?;
    let finish = Finish {
        world,
        start: &start,
        patterns: &patterns,
        packages: &mut packages,
        detections,
        baseline: baseline.as_ref(),
        builder: &builder,
        log_key: &log_key,
    };
    let exit = trace.exit;
    let learned = std::mem::take(&mut trace.learned);
    let (number, digest, record, unmatched) = finish.finish(reduction, &trace, segments, clock())?;
    journal.discard()?;
    remembered::save(world, &builder, known, learned)?;
    let attestable = record.is_attestable();
    Ok(Recorded { number, digest, exit, record, attestable, unmatched, no_commit, recovered })
}

/// So many of the newest good builds are learned from.
const LEARNED_MAX: usize = 20;

/// Learns from the good builds of a product: those that were signed, or, before there are any, those that are complete.
fn baseline(world: &World, product: &str) -> Result<Baseline> {
    let rows = crate::records::records(world)?;
    let signed = world.index.signed_records(product).map_err(crate::world::store_error)?;
    let good = rows.iter().filter(|row| {
        row.product == product && row.complete && (signed.is_empty() || signed.contains(&row.number))
    });
    let mut records = Vec::new();
    for row in good.rev().take(LEARNED_MAX) {
        records.push(crate::records::view(world, row)?.record);
    }
    if records.is_empty() {
        return Err(Error::NoBaseline(product.to_owned()));
    }
    Ok(Baseline::learn(&records.iter().collect::<Vec<_>>()))
}

/// What the rules may know besides the events.
fn facts(launch: &Launch, machine: MachineRole, fetched: bool) -> Facts {
    let bytes = |path: &std::path::Path| BytePath::from(path.as_os_str().as_bytes());
    let home = launch.environment.iter().find(|(name, _)| name == "HOME");
    let commit = launch.commit.as_deref();
    Facts {
        homes: home.map(|(_, home)| BytePath::from(home.as_bytes())).into_iter().collect(),
        project: Some(commit.map_or_else(|| bytes(&launch.workdir), |commit| bytes(&commit.root))),
        machine,
        tracked: commit.map(|commit| commit.blobs.keys().map(|path| (path.clone(), None)).collect()),
        hosts: match &launch.egress {
            Egress::Audit => None,
            Egress::Deny => Some(Vec::new()),
            Egress::Allow(list) => Some(list.hosts()),
        },
        network_over: (fetched || launch.egress == Egress::Deny).then_some(true),
        own_folders: launch.protected.iter().map(|path| bytes(path)).collect(),
        ..Facts::default()
    }
}

fn checkout(commit: &Commit) -> Checkout {
    Checkout {
        commit: commit.id.clone(),
        root: BytePath::from(commit.root.as_os_str().as_bytes()),
        files: commit.blobs.len() as u64,
        changed: commit.changed.len() as u64,
        converted: commit.converted as u64,
    }
}
