//! `advisories`: the index of what the world says, and what of it touches us.
//!
//! The index lies in `advisories/` of the store's folder and needs no keys: it is derived from documents that anybody can get,
//! and every answer names the snapshot that it rests on. The index of occurrences beside it is derived from records.

mod affected;
mod integrity;
mod matching;
mod names;
mod notices;
mod targets;

use std::path::{Path, PathBuf};

use evidence::{Problem, Timestamp};
use feeds::{Import, Imported, Snapshot};
use host::Mapped;
use serde::Serialize;

use crate::error::{Error, Result};

pub use affected::{Affected, AffectedRow, affected};
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
    world: Option<&crate::World>,
    inputs: &[PathBuf],
    options: ImportOptions,
    now: Timestamp,
) -> Result<ImportReport> {
    for path in inputs {
        std::fs::metadata(path).map_err(|source| Error::Read { path: path.clone(), source })?;
    }
    let named: Vec<(String, PathBuf)> =
        inputs.iter().map(|path| (path.display().to_string(), path.clone())).collect();
    run_import(store, world, &named, options, now)
}

fn run_import(
    store: &Path,
    world: Option<&crate::World>,
    inputs: &[(String, PathBuf)],
    options: ImportOptions,
    now: Timestamp,
) -> Result<ImportReport> {
    std::fs::create_dir_all(store).map_err(|source| Error::Write { path: store.to_path_buf(), source })?;
    let ImportOptions { replace, may_shrink } = options;
    let imported = feeds::snapshot::import(&folder(store), &Import { inputs, now, replace, may_shrink })
        .map_err(failed)?;
    let notices = match world {
        Some(world) => notices::after_import(world, store, &imported)?,
        None => Vec::new(),
    };
    Ok(ImportReport { imported, notices })
}

/// Brings the index up to date with a mirror that is laid out like osv.dev: a folder, or an address on this machine.
pub fn update_advisories(
    store: &Path,
    world: Option<&crate::World>,
    from: &str,
    options: ImportOptions,
    now: Timestamp,
) -> Result<ImportReport> {
    let known = match open(store) {
        Ok(snapshot) => snapshot.manifest().sources.clone(),
        Err(Error::NoAdvisories) => Default::default(),
        Err(error) => return Err(error),
    };
    let fetched = feeds::mirror::fetch(from, &known).map_err(|source| Error::Advisories(Box::new(source)))?;
    let Some(fetched) = fetched else {
        return Ok(ImportReport { imported: Imported::nothing(*open(store)?.id()), notices: Vec::new() });
    };
    let mut report = run_import(store, world, &fetched.inputs, options, now)?;
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
    pub ecosystems: std::collections::BTreeMap<String, u64>,
    /// Where it came from.
    pub sources: std::collections::BTreeMap<String, feeds::snapshot::Source>,
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
