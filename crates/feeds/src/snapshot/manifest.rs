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
    /// Files of popular names, by the list's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub names: BTreeMap<String, Digest>,
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
    /// How many ids the mirror's list had, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed: Option<u64>,
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
            names: BTreeMap::new(),
            sources: BTreeMap::new(),
            ecosystems: BTreeMap::new(),
        }
    }

    /// Reads the current manifest; none if nothing was imported yet.
    pub(super) fn read(folder: &Path) -> Result<Option<(Digest, Self)>, Error> {
        Self::read_file(&folder.join(CURRENT))
    }

    /// Reads the manifest of an earlier snapshot by the beginning of its name; none if it is not kept any more.
    pub(super) fn read_earlier(folder: &Path, name: &str) -> Result<Option<(Digest, Self)>, Error> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let found = kept(folder).into_iter().find(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            hex.len() >= 6 && stem.starts_with(hex)
        });
        found.map_or(Ok(None), |path| Self::read_file(&path))
    }

    fn read_file(path: &Path) -> Result<Option<(Digest, Self)>, Error> {
        let fail = |source| Error::Read { path: path.display().to_string(), source };
        let file = match std::fs::File::open(path) {
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
        let digest = Digest::of(&bytes);
        // Kept under its own name, so that what was known then can be asked later.
        write(&folder.join(format!("{}.{SNAPSHOT}", digest.hex())), &bytes)?;
        write(&folder.join(CURRENT), &bytes)?;
        Ok(digest)
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

    /// Every file that the snapshot is made of.
    fn files(&self, folder: &Path) -> impl Iterator<Item = PathBuf> {
        let segments = self.segments.iter().map(|segment| segment_path(folder, &segment.digest));
        let names = self.names.values().map(|digest| names_path(folder, digest));
        let enrichment = self.enrichment.map(|digest| enrichment_path(folder, &digest));
        segments.chain(names).chain(enrichment).chain(self.vex.map(|digest| vex_path(folder, &digest)))
    }

    /// Deletes the oldest snapshots, and the files that none names any more. What cannot be deleted stays until the next time.
    pub(super) fn sweep(&self, folder: &Path) {
        let mut known: Vec<(Timestamp, PathBuf, Self)> = kept(folder)
            .into_iter()
            .filter_map(|path| {
                let (_, manifest) = Self::read_file(&path).ok()??;
                Some((manifest.created, path, manifest))
            })
            .collect();
        known.sort_by(|one, other| (other.0, &other.1).cmp(&(one.0, &one.1)));
        let mut named: Vec<PathBuf> = self.files(folder).collect();
        for (place, (_, path, manifest)) in known.iter().enumerate() {
            if place < SNAPSHOTS_KEPT || manifest == self {
                named.extend(manifest.files(folder).chain([path.clone()]));
            }
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let ours = path.extension().is_some_and(|end| OURS.iter().any(|known| end == *known));
            if ours && !named.contains(&path) {
                std::fs::remove_file(path).ok();
            }
        }
    }
}

/// How the files of snapshots end.
const OURS: [&str; 5] = ["cadx", "cade", "vex", "names", SNAPSHOT];
const SNAPSHOT: &str = "snapshot";
/// So many snapshots can still be asked.
const SNAPSHOTS_KEPT: usize = 16;

/// The manifests that are kept.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == SNAPSHOT)).collect();
    paths.sort();
    paths
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

pub(super) fn names_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{}.names", digest.hex()))
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
