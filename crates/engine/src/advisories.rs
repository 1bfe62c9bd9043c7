//! `advisories`: the index of what the world says, and what of it touches us.
//!
//! The index lies in `advisories/` of the store's folder and needs no keys: it is derived from documents that anybody can get,
//! and every answer names the snapshot that it rests on. The index of occurrences beside it is derived from records.

mod affected;
mod assets;
mod bills;
mod confusion;
mod hearing;
mod integrity;
mod matching;
mod names;
mod notices;
mod targets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evidence::{Digest, Problem, Subject, Timestamp};
use feeds::snapshot::Opened;
use feeds::{Import, Imported, Snapshot};
use host::Mapped;
use judge::gate::Advised;
use judge::policy::Asked;
use judge::{Policy, codes};
use serde::Serialize;

use crate::World;
use crate::error::{Error, Result};

pub use affected::{Affected, AffectedRow, affected};
pub use bills::{Taken, follow, followed};
pub use matching::{Matched, Matching, Retracted, SnapshotView, Suppressed, match_advisories};
pub use notices::{Notice, NoticeKind};

/// Where the index lies in a store.
const FOLDER: &str = "advisories";

pub(super) fn folder(store: &Path) -> PathBuf {
    store.join(FOLDER)
}

fn failed(source: feeds::snapshot::Error) -> Error {
    Error::Advisories(Box::new(source))
}

/// Opens the current snapshot.
pub(super) fn open(store: &Path) -> Result<Snapshot<Mapped>> {
    // An import may replace the files between the manifest and its segments; then there is a new manifest.
    let opener: feeds::snapshot::Opener<'_, Mapped> = &Mapped::open;
    let opened = Snapshot::open(&folder(store), opener).or_else(|_| Snapshot::open(&folder(store), opener));
    opened.map_err(failed)?.ok_or(Error::NoAdvisories)
}

/// Opens the current snapshot, or an earlier one by the beginning of its name.
pub(super) fn open_at(store: &Path, snapshot: Option<&str>) -> Result<Snapshot<Mapped>> {
    let Some(name) = snapshot else { return open(store) };
    let opener: feeds::snapshot::Opener<'_, Mapped> = &Mapped::open;
    let opened = Snapshot::open_earlier(&folder(store), name, opener).map_err(failed)?;
    opened.ok_or_else(|| Error::NoTarget(format!("there is no snapshot `{name}` any more")))
}

/// What advisories say of a release's record, for the gate.
#[derive(Debug)]
pub(crate) struct Advice {
    /// For the gate.
    pub(crate) advised: Advised,
    /// Everything that was found; none if there is no index.
    pub(crate) matched: Option<Matched>,
}

/// Asks about a record, if the policy wants it.
pub(crate) fn advise(
    world: &World,
    view: &crate::records::RecordView,
    policy: &Policy,
) -> Result<Option<Advice>> {
    let asked = policy.advisories.gate;
    if asked == Asked::Never {
        return Ok(None);
    }
    let snapshot = match open(world.root()) {
        Ok(snapshot) => snapshot,
        Err(Error::NoAdvisories) if asked == Asked::WhenAvailable => return Ok(None),
        Err(Error::NoAdvisories) => {
            let missing = codes::ADVISORY_INDEX_MISSING.finding(Subject::default(), Vec::new());
            let advised = Advised { others: vec![missing], ..Advised::default() };
            return Ok(Some(Advice { advised, matched: None }));
        }
        Err(error) => return Err(error),
    };
    let matched = matching::of_record(&snapshot, view, policy, world.now())?;
    let mut others = matched.others.clone();
    others.extend(matched.problems.iter().map(|problem| {
        let subject = Subject { path: Some(problem.path.clone()), digest: None };
        codes::UNREAD_INPUT.finding(subject, vec![format!("{}: {}", problem.kind, problem.detail)])
    }));
    let advised = Advised { snapshot: Some(*snapshot.id()), ranked: matched.ranked.clone(), others };
    Ok(Some(Advice { advised, matched: Some(matched) }))
}

/// Makes one segment of all. Returns the snapshot and how many segments there were.
pub fn compact_advisories(store: &Path, now: Timestamp) -> Result<(Digest, usize)> {
    feeds::snapshot::compact(&folder(store), now).map_err(failed)?.ok_or(Error::NoAdvisories)
}

/// How documents are imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// Forget what was known before.
    pub replace: bool,
    /// An ecosystem may shrink by a fifth or more.
    pub may_shrink: bool,
}

/// What an import did, and what of it touches us.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportReport {
    /// What was imported.
    pub imported: Imported,
    /// What is new for what we have: newly affected, retracted, changed.
    pub notices: Vec<Notice>,
}

/// Imports documents. The current snapshot stays until the new one is whole.
pub fn import_advisories(
    store: &Path,
    world: Option<&World>,
    inputs: &[PathBuf],
    options: ImportOptions,
    now: Timestamp,
) -> Result<ImportReport> {
    for path in inputs {
        std::fs::metadata(path).map_err(|source| Error::Read { path: path.clone(), source })?;
    }
    let named: Vec<(String, PathBuf)> =
        inputs.iter().map(|path| (path.display().to_string(), path.clone())).collect();
    run_import(store, world, &named, &BTreeMap::new(), options, now)
}

fn run_import(
    store: &Path,
    world: Option<&World>,
    inputs: &[(String, PathBuf)],
    listed: &BTreeMap<String, u64>,
    options: ImportOptions,
    now: Timestamp,
) -> Result<ImportReport> {
    let policy = match world {
        Some(world) => crate::assess::policy(world)?,
        None => Policy::silent(),
    };
    let hearing = hearing::Hearing::of(&policy.advisories, now)?;
    let opened = |envelope: &feeds::vex::Envelope| -> Opened { hearing.opened(envelope) };
    std::fs::create_dir_all(store).map_err(|source| Error::Write { path: store.to_path_buf(), source })?;
    let ImportOptions { replace, may_shrink } = options;
    let imported = feeds::snapshot::import(
        &folder(store),
        &Import { inputs, now, replace, may_shrink, listed, opened: &opened },
    )
    .map_err(failed)?;
    let notices = match world {
        Some(world) => notices::after_import(world, store)?,
        None => Vec::new(),
    };
    Ok(ImportReport { imported, notices })
}

/// Brings the index up to date with a mirror that is laid out like osv.dev: a folder, or an address on this machine.
pub fn update_advisories(
    store: &Path,
    world: Option<&World>,
    from: &str,
    options: ImportOptions,
    now: Timestamp,
) -> Result<ImportReport> {
    // What forgets everything needs everything.
    let known = match open(store) {
        Ok(_) if options.replace => Default::default(),
        Ok(snapshot) => snapshot.manifest().sources.clone(),
        Err(Error::NoAdvisories) => Default::default(),
        Err(error) => return Err(error),
    };
    let fetched = feeds::mirror::fetch(from, &known, options.may_shrink)
        .map_err(|source| Error::Advisories(Box::new(source)))?;
    let Some(fetched) = fetched else {
        return Ok(ImportReport { imported: Imported::nothing(*open(store)?.id()), notices: Vec::new() });
    };
    let mut report = run_import(store, world, &fetched.inputs, &fetched.listed, options, now)?;
    report.imported.problems.extend(fetched.problems);
    Ok(report)
}

/// The state of the index.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AdvisoryStatus {
    /// The snapshot.
    pub snapshot: SnapshotView,
    /// Records.
    pub records: u64,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Records by ecosystem.
    pub ecosystems: BTreeMap<String, u64>,
    /// Where it came from.
    pub sources: BTreeMap<String, feeds::snapshot::Source>,
    /// What is wrong with its files.
    pub problems: Vec<Problem>,
}

/// Says what the index is made of and how old it is, and checks every byte of it.
pub fn advisory_status(store: &Path, now: Timestamp) -> Result<AdvisoryStatus> {
    let snapshot = open(store)?;
    let mut problems = Vec::new();
    if let Err(error) = snapshot.verify() {
        let path = folder(store).display().to_string();
        problems.push(Problem {
            path: path.as_str().into(),
            kind: "damaged-index".into(),
            detail: error.to_string(),
        });
    }
    let manifest = snapshot.manifest();
    Ok(AdvisoryStatus {
        snapshot: SnapshotView::of(&snapshot, now),
        records: manifest.records(),
        bytes: manifest.bytes(),
        segments: manifest.segments.len() as u64,
        ecosystems: manifest.ecosystems.clone(),
        sources: manifest.sources.clone(),
        problems,
    })
}
