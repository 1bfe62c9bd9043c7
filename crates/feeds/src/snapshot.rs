//! The segments that count together. A snapshot is a manifest that names files by their digests; what it is called is the digest
//! of the manifest, so that a finding can say what was known when it was made.
//!
//! Order of an import: files are written and synced, then the manifest replaces the one before by a rename, then what nobody
//! names any more is deleted. A crash before the rename leaves the old snapshot and files that the next import deletes; one
//! after it, the new.

mod import;
mod manifest;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use evidence::Digest;

use crate::affected::Outcome;
use crate::enrichment::{Columns, Facts};
use crate::index::{Advisory, OpenError, Segment};
use crate::package::Package;
use crate::vex::Statement;

pub(crate) use import::shrinks;
pub use import::{Change, ChangeKind, Import, Imported, Opened, compact, import};
pub use manifest::{Manifest, SegmentEntry, Source};

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("the manifest of the advisory index cannot be read: {0}")]
    Manifest(String),
    /// A segment is not one.
    #[error("the segment {digest} of the advisory index cannot be used")]
    Segment {
        /// Its name.
        digest: Digest,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// Segments that cannot be made one, because one is damaged.
    #[error("the advisory index is damaged: its segments cannot be merged")]
    Merge,
    /// Nothing of what was given is a document that is known.
    #[error("nothing was imported: no document of a known kind was found")]
    Nothing,
    /// An ecosystem has lost more than a fifth of its records.
    #[error("`{ecosystem}` would shrink from {before} to {after} records")]
    Shrinks {
        /// The ecosystem.
        ecosystem: String,
        /// Records before.
        before: u64,
        /// Records now.
        after: u64,
    },
}

/// Where a record lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct At {
    /// Number of the segment in the manifest.
    pub segment: u32,
    /// Number of the record in the segment.
    pub record: u32,
}

/// A record that speaks of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// The record.
    pub at: At,
    /// What it says of the version.
    pub outcome: Outcome,
    /// Whether it contradicts itself: versions listed without ours, and a range of all there are.
    pub disputed: bool,
}

/// An open snapshot. How its files are read is the caller's: into memory, or mapped.
pub struct Snapshot<D> {
    id: Digest,
    manifest: Manifest,
    segments: Vec<Segment<D>>,
    replaced: HashSet<At>,
    enrichment: Option<D>,
    statements: Option<D>,
    names: BTreeMap<String, D>,
}

/// Opens a file of a snapshot.
pub type Opener<'a, D> = &'a dyn Fn(&Path) -> io::Result<D>;

impl<D: AsRef<[u8]>> Snapshot<D> {
    /// Opens the current snapshot in a folder; none if nothing was imported yet.
    pub fn open(folder: &Path, opener: Opener<'_, D>) -> Result<Option<Self>, Error> {
        Manifest::read(folder)?.map(|(id, manifest)| Self::of(folder, id, manifest, opener)).transpose()
    }

    /// Opens an earlier snapshot by the beginning of its name, at least 6 digits; none if it is not kept any more.
    pub fn open_earlier(folder: &Path, name: &str, opener: Opener<'_, D>) -> Result<Option<Self>, Error> {
        let found = Manifest::read_earlier(folder, name)?;
        found.map(|(id, manifest)| Self::of(folder, id, manifest, opener)).transpose()
    }

    fn of(folder: &Path, id: Digest, manifest: Manifest, opener: Opener<'_, D>) -> Result<Self, Error> {
        let open = |path: std::path::PathBuf| {
            opener(&path).map_err(|source| Error::Read { path: path.display().to_string(), source })
        };
        let mut segments = Vec::new();
        let mut replaced = HashSet::new();
        for entry in &manifest.segments {
            let data = open(manifest::segment_path(folder, &entry.digest))?;
            let segment =
                Segment::open(data).map_err(|source| Error::Segment { digest: entry.digest, source })?;
            replaced.extend(segment.replaced().map(|(segment, record)| At { segment, record }));
            segments.push(segment);
        }
        let enrichment =
            manifest.enrichment.map(|digest| open(manifest::enrichment_path(folder, &digest))).transpose()?;
        let statements = manifest.vex.map(|digest| open(manifest::vex_path(folder, &digest))).transpose()?;
        let names = manifest
            .names
            .iter()
            .map(|(list, digest)| Ok((list.clone(), open(manifest::names_path(folder, digest))?)));
        let names = names.collect::<Result<_, Error>>()?;
        Ok(Self { id, manifest, segments, replaced, enrichment, statements, names })
    }

    /// Returns what the snapshot is called.
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// Returns what it was made of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks every byte of every file against its name.
    pub fn verify(&self) -> Result<(), Error> {
        for (entry, segment) in self.manifest.segments.iter().zip(&self.segments) {
            segment.verify().map_err(|source| Error::Segment { digest: entry.digest, source })?;
        }
        let files = [(self.manifest.enrichment, &self.enrichment), (self.manifest.vex, &self.statements)];
        for (digest, data) in files {
            if let (Some(digest), Some(data)) = (digest, data)
                && Digest::of(data.as_ref()) != digest
            {
                return Err(Error::Segment { digest, source: OpenError::Digest });
            }
        }
        for (list, data) in &self.names {
            if let Some(digest) = self.manifest.names.get(list)
                && Digest::of(data.as_ref()) != *digest
            {
                return Err(Error::Segment { digest: *digest, source: OpenError::Digest });
            }
        }
        Ok(())
    }

    /// Returns the popular names of a list, one a line; none if it was not imported.
    pub fn popular(&self, list: &str) -> Option<&str> {
        std::str::from_utf8(self.names.get(list)?.as_ref()).ok()
    }

    /// Finds what advisories say of a package. Records that a later segment replaces are left out.
    pub fn matches(&self, package: &Package) -> Vec<Match> {
        let mut found = Vec::new();
        for (number, segment) in (0..).zip(&self.segments) {
            for hit in segment.matches(package) {
                let at = At { segment: number, record: hit.record };
                if !self.replaced.contains(&at) {
                    found.push(Match { at, outcome: hit.outcome, disputed: hit.disputed });
                }
            }
        }
        found
    }

    /// Finds the records whose id or alias this is.
    pub fn find(&self, id: &str) -> Vec<At> {
        self.everywhere(|segment| segment.find(id))
    }

    /// Finds the records that name an artifact by its digest.
    pub fn artifact(&self, digest: &Digest) -> Vec<At> {
        self.everywhere(|segment| segment.artifact(digest))
    }

    /// Returns the digests of the artifacts that a record names.
    pub fn artifacts_of(&self, at: At) -> Vec<Digest> {
        self.segments.get(at.segment as usize).map(|one| one.artifacts_of(at.record)).unwrap_or_default()
    }

    /// Hands over the digests of all artifacts that records name.
    pub fn each_artifact(&self, take: &mut dyn FnMut(&Digest, At)) {
        for (segment, open) in (0..).zip(&self.segments) {
            open.each_artifact(&mut |digest, record| {
                let at = At { segment, record };
                if !self.replaced.contains(&at) {
                    take(digest, at);
                }
            });
        }
    }

    /// Tells whether any record names artifacts by digest.
    pub fn has_artifacts(&self) -> bool {
        self.segments.iter().any(|segment| segment.artifacts() > 0)
    }

    fn everywhere(&self, find: impl Fn(&Segment<D>) -> Vec<u32>) -> Vec<At> {
        let mut found = Vec::new();
        for (segment, open) in (0..).zip(&self.segments) {
            let places = find(open).into_iter().map(|record| At { segment, record });
            found.extend(places.filter(|at| !self.replaced.contains(at)));
        }
        found
    }

    /// Returns what is known of a record; none if its segment is damaged.
    pub fn advisory(&self, at: At) -> Option<Advisory> {
        self.segments.get(at.segment as usize)?.advisory(at.record)
    }

    /// Returns when a record was modified, and the hash of its document.
    fn version_of(&self, at: At) -> Option<(i64, u64)> {
        self.segments.get(at.segment as usize)?.version_of(at.record)
    }

    /// Returns what is known of a CVE besides.
    pub fn facts(&self, cve: &str) -> Option<Facts> {
        Columns::open(self.enrichment.as_ref()?.as_ref())?.find(cve)
    }

    /// Reads what somebody says is not affected.
    pub fn statements(&self) -> Result<Vec<Statement>, Error> {
        match &self.statements {
            None => Ok(Vec::new()),
            Some(data) => {
                serde_json::from_slice(data.as_ref()).map_err(|error| Error::Manifest(error.to_string()))
            }
        }
    }

    /// Hands over the keys of all packages.
    pub fn each_package(&self, take: &mut dyn FnMut(&[u8])) {
        self.segments.iter().for_each(|segment| segment.each_package(take));
    }
}
