//! What a store shows to others over HTTP: where something stands in its log, the statements themselves with their proofs, and jobs
//! for other builders.
//!
//! Everything is read-only, and nothing that is answered has to be believed: statements prove themselves by signature and place in
//! the log, content by its digest. The search is the index, which `fsck` rebuilds from the log.

use std::path::{Path, PathBuf};

use attest::Base64;
use evidence::record::{Record, Role};
use evidence::statement::Statement;
use evidence::{BytePath, Digest, Timestamp};
use serde::{Deserialize, Serialize};
use store::{EntryRow, Index};

use crate::assess::hash_file;
use crate::error::{Error, Result};
use crate::files;
use crate::inspect_path::FILE_MAX_BYTES;
use crate::ledger::{LogRow, row};
use crate::rebuild::path;
use crate::records;
use crate::sign::bundle_of;
use crate::world::{World, log_error, store_error};

/// `schema` of a job.
const JOB_SCHEMA: &str = "urn:countersign:job:v1";
/// The most entries of one answer.
pub const FOUND_MAX: u32 = 1000;

/// A store that others may look into.
pub struct EvidenceService {
    store: PathBuf,
}

/// What is looked for in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// What is about an artifact, a record, a policy.
    Digest(Digest),
    /// What a key has signed, by its short name.
    Key(String),
    /// What was signed as an identity of a certificate.
    Identity(String),
    /// What has to do with a product.
    Product(String),
    /// The statements of one kind.
    Kind(String),
}

/// What another builder needs to repeat a build: what was read, never what came of it. The sources themselves are asked for by
/// their digests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    schema: String,
    /// Digest of the record; its bytes are asked for by it.
    pub record: Digest,
    /// The signed statement about the record.
    pub(crate) payload: Base64,
    /// Its signature.
    pub(crate) signature: Base64,
    /// The key that made it.
    pub(crate) key: attest::PublicKey,
    /// The sources, below the folder that the build ran in.
    pub sources: Vec<JobSource>,
}

/// One source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSource {
    /// Its path as it was recorded.
    pub path: BytePath,
    /// What it has now; the record says whether that is what was read.
    pub digest: Digest,
    /// Whether it may be executed.
    pub executable: bool,
}

impl Job {
    /// Tells whether it is of the known form.
    pub(crate) fn is_known(&self) -> bool {
        self.schema == JOB_SCHEMA
    }
}

impl EvidenceService {
    /// Takes a store; it is opened anew for each question, so that answers are of now.
    pub fn new(store: &Path) -> Self {
        Self { store: store.to_path_buf() }
    }

    fn world(&self, now: Timestamp) -> Result<World> {
        World::open(&self.store, now)
    }

    /// Looks for entries of the log, from an entry on.
    pub fn search(&self, wanted: &Wanted, from: u64, now: Timestamp) -> Result<Vec<LogRow>> {
        let world = self.world(now)?;
        let named = |name: String| world.index.entries_named(&name, from, FOUND_MAX).map_err(store_error);
        let found: Vec<EntryRow> = match wanted {
            Wanted::Digest(digest) => world.index.entries_about(digest).map_err(store_error)?,
            Wanted::Kind(kind) => world.index.entries_of(kind).map_err(store_error)?,
            Wanted::Key(key) => named(format!("key:{key}"))?,
            Wanted::Identity(identity) => named(format!("identity:{identity}"))?,
            Wanted::Product(product) => named(format!("product:{product}"))?,
        };
        found
            .iter()
            .filter(|found| found.log_index >= from)
            .take(FOUND_MAX as usize)
            .map(|found| {
                // What the index says is looked up in the log.
                let envelope = world.envelope(found.log_index)?;
                let statement = Statement::parse(&envelope.payload).map_err(log_error)?;
                Ok(row(found.log_index, &envelope, &statement))
            })
            .collect()
    }

    /// Returns an entry as a bundle: the statement, its signature, its proof for the newest checkpoint.
    pub fn bundle(&self, index: u64, now: Timestamp) -> Result<Option<Vec<u8>>> {
        let world = self.world(now)?;
        let size = world.with_log(|log| Ok(log.size()))?;
        if index >= size {
            return Ok(None);
        }
        bundle_of(&world, index, None).map(|bundle| Some(bundle.encode()))
    }

    /// Returns what another builder needs to repeat a record.
    pub fn job(&self, record: &str, now: Timestamp) -> Result<Option<Job>> {
        let world = self.world(now)?;
        if records::find(&world, record)?.is_none() {
            return Ok(None);
        }
        let view = records::show(&world, record)?;
        let envelope = world.envelope(view.log_index)?;
        let mut sources = Vec::new();
        for (file, at) in recorded_sources(&view.record) {
            let metadata = std::fs::metadata(&at);
            // One that is gone is named all the same: the other builder's error says which.
            let executable = metadata.is_ok_and(|metadata| {
                std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
            });
            if let Some(digest) = file.read.first() {
                sources.push(JobSource { path: file.path.clone(), digest: *digest, executable });
            }
        }
        Ok(Some(Job {
            schema: JOB_SCHEMA.into(),
            record: view.digest,
            payload: Base64(envelope.payload.clone()),
            signature: Base64(envelope.signature.clone()),
            key: envelope.key().clone(),
            sources,
        }))
    }

    /// Returns the bytes of a record, or of a source or output of it, by their digest; nothing else of the store or the machine is
    /// shown. What has changed since is not there any more.
    pub fn content(&self, record: &str, digest: &Digest, now: Timestamp) -> Result<Option<Vec<u8>>> {
        let world = self.world(now)?;
        if records::find(&world, record)?.is_none() {
            return Ok(None);
        }
        let view = records::show(&world, record)?;
        if *digest == view.digest {
            return world.read(digest).map(Some);
        }
        let workdir = path(&view.record.workdir);
        let sources = recorded_sources(&view.record).filter(|(file, _)| file.read.contains(digest));
        let outputs = view.record.outputs.iter().filter(|output| output.digest == *digest);
        let places = sources.map(|(_, at)| at).chain(outputs.map(|output| workdir.join(path(&output.path))));
        for at in places {
            if at.is_file() && hash_file(&at)? == *digest {
                let bytes = files::read(&at, FILE_MAX_BYTES)?;
                // It may have changed between the two looks.
                return Ok(Some(bytes).filter(|bytes| Digest::of(bytes) == *digest));
            }
        }
        Ok(None)
    }
}

/// The project's own files that a build read, with where they are.
fn recorded_sources(record: &Record) -> impl Iterator<Item = (&evidence::record::File, PathBuf)> {
    let workdir = path(&record.workdir);
    record.files.iter().filter(|file| file.role == Role::Source).filter_map(move |file| {
        let at = path(&file.path);
        at.starts_with(&workdir).then_some((file, at))
    })
}

/// A question that cannot be answered.
pub(crate) fn no_job(record: &str) -> Error {
    Error::NoRecord(record.to_owned())
}
