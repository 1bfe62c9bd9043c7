//! The manifest: which files a snapshot is, and where what is in them came from.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use evidence::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;

const SCHEMA: &str = "urn:countersign:advisory-snapshot:v1";
const CURRENT: &str = "current.json";
const MANIFEST_MAX_BYTES: u64 = 64 << 20;

/// A snapshot's manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    schema: String,
    /// When it was made.
    pub created: Timestamp,
    /// Segments; a later one replaces records of earlier ones.
    pub segments: Vec<SegmentEntry>,
    /// The file of exploitation data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enrichment: Option<Digest>,
    /// The file of statements that something is not affected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vex: Option<Digest>,
    /// Where it came from, by name.
    pub sources: BTreeMap<String, Source>,
    /// Records by ecosystem.
    pub ecosystems: BTreeMap<String, u64>,
}

/// A segment of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Its name.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// Packages that they name.
    pub packages: u64,
}

/// Where documents came from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it had: `osv`, `exploited`, `epss`, `ssvc`, `vex`.
    pub kinds: BTreeMap<String, u64>,
    /// When its newest record was modified; what a mirror is asked for anew begins here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<Timestamp>,
    /// When it was last read.
    pub read: Timestamp,
}

impl Manifest {
    /// Begins a manifest that has nothing yet.
    pub(super) fn new(created: Timestamp) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            created,
            segments: Vec::new(),
            enrichment: None,
            vex: None,
            sources: BTreeMap::new(),
            ecosystems: BTreeMap::new(),
        }
    }

    /// Reads the current manifest; none if nothing was imported yet.
    pub(super) fn read(folder: &Path) -> Result<Option<(Digest, Self)>, Error> {
        let path = folder.join(CURRENT);
        let fail = |source| Error::Read { path: path.display().to_string(), source };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MANIFEST_MAX_BYTES), &mut bytes).map_err(fail)?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| Error::Manifest(error.to_string()))?;
        if manifest.schema != SCHEMA {
            return Err(Error::Manifest(format!("`{}` is not a schema of this version", manifest.schema)));
        }
        Ok(Some((Digest::of(&bytes), manifest)))
    }

    /// Makes this the current manifest.
    pub(super) fn write(&self, folder: &Path) -> Result<Digest, Error> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::Manifest(error.to_string()))?;
        write(&folder.join(CURRENT), &bytes)?;
        Ok(Digest::of(&bytes))
    }

    /// Returns when the newest record was modified, as far as sources say.
    pub fn newest(&self) -> Option<Timestamp> {
        self.sources.values().filter_map(|source| source.newest).max()
    }

    /// Returns when anything was last read.
    pub fn last_read(&self) -> Timestamp {
        self.sources.values().map(|source| source.read).max().unwrap_or(self.created)
    }

    /// Returns how many records count.
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// Returns how many bytes its segments have.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Deletes the files that no manifest names any more. What cannot be deleted stays until the next time.
    pub(super) fn sweep(&self, folder: &Path) {
        let mut named: Vec<PathBuf> =
            self.segments.iter().map(|segment| segment_path(folder, &segment.digest)).collect();
        named.extend(self.enrichment.map(|digest| enrichment_path(folder, &digest)));
        named.extend(self.vex.map(|digest| vex_path(folder, &digest)));
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let ours =
                path.extension().is_some_and(|end| ["cadx", "cade", "vex"].iter().any(|known| end == *known));
            if ours && !named.contains(&path) {
                std::fs::remove_file(path).ok();
            }
        }
    }
}

pub(super) fn segment_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{}.cadx", digest.hex()))
}

pub(super) fn enrichment_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{}.cade", digest.hex()))
}

pub(super) fn vex_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{}.vex", digest.hex()))
}

/// Writes a file whole or not at all: temporary file, sync, rename, sync of the folder.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fail = |source| Error::Write { path: path.display().to_string(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".import-").tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}
