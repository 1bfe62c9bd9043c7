//! The log: appending, reading and checking.
//!
//! Order of effects in [`Log::append`], and what a crash after each step leaves:
//!
//! | step | after a crash |
//! |---|---|
//! | 1. read the right edge, hash it up to the signed head | nothing |
//! | 2. write entry bundles and tiles | files that no checkpoint names; the next append writes over them |
//! | 3. replace the head by compare-and-swap | the entries are in the log: acknowledged |
//! | 4. publish the file `checkpoint` | an older published checkpoint, sound; the next append publishes anew |
//!
//! Partial tiles carry their width in the path, so step 2 never touches a file that a signed tree needs.

use crate::checkpoint::{Checkpoint, CheckpointError, VerifiedCheckpoint};
use crate::edge::{Edge, width};
use crate::merkle::{
    Hash, ProofError, consistency_ranges, inclusion_ranges, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};
use crate::note::{NoteError, NoteSigner, VerifierKey};
use crate::path::{ENTRIES, TILE_WIDTH, tile_path};
use crate::seam::{HeadCell, SeamError, Tiles};

/// The longest entry: bundles write lengths in 16 bits.
pub const ENTRY_MAX_BYTES: usize = 65_535;
/// Levels of tiles that a tree of 2^63 entries has.
const LEVELS_MAX: u8 = 8;
const HASH_BYTES: usize = 32;

/// Why the log could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A seam failed.
    #[error(transparent)]
    Seam(#[from] SeamError),
    /// There is no log.
    #[error("there is no log here")]
    Absent,
    /// There is one already.
    #[error("there is a log already")]
    Present,
    /// The head does not verify.
    #[error("the log's head does not verify")]
    Head(#[source] CheckpointError),
    /// The signing key is not the log's.
    #[error("the signing key is not the log's")]
    Key,
    /// Signing failed.
    #[error("cannot sign a checkpoint")]
    Sign(#[source] NoteError),
    /// An entry is too long.
    #[error("an entry of {0} bytes is longer than {ENTRY_MAX_BYTES}")]
    EntrySize(usize),
    /// No such entry or tree.
    #[error("index {index} is outside a log of {size} entries")]
    Range {
        /// What was asked for.
        index: u64,
        /// What there is.
        size: u64,
    },
    /// A tile is missing or does not have its form.
    #[error("`{path}` is {damage}")]
    Tile {
        /// Its path.
        path: String,
        /// What is wrong.
        damage: Damage,
    },
    /// A batch is too large for one record of the journal.
    #[error("a batch of {0} entries is too large")]
    BatchSize(usize),
    /// The journal does not go on where the log ends.
    #[error("the journal goes on at entry {found} of a log of {expected}")]
    Journal {
        /// Where the log ends.
        expected: u64,
        /// Where the journal goes on.
        found: u64,
    },
    /// A record in the middle of the journal is damaged.
    #[error("the journal is damaged before its end")]
    JournalDamaged,
    /// The sequencer has failed before.
    #[error("the sequencer has failed before; open the log again")]
    Unusable,
    /// What was read does not hash up to the signed root.
    #[error("the log does not hash up to its signed checkpoint")]
    Root(#[source] ProofError),
}

/// What is wrong with a file of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It does not have the size or form that it should.
    Malformed,
    /// Its content is not what the tree says.
    Different,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Different => "not what the tree says",
        })
    }
}

/// What an append did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Index of the first new entry.
    pub first_index: u64,
    /// Size of the log now.
    pub size: u64,
}

/// A proof that an entry is in the log, verified before it is handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InclusionProof {
    /// Index of the entry.
    pub index: u64,
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The hashes, leaf to root.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// The result of re-reading a whole log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckReport {
    /// Entries in the signed tree.
    pub size: u64,
    /// Files that are not as they should be.
    pub damaged: Vec<(String, Damage)>,
    /// Whether the entries hash up to the signed root.
    pub root_matches: bool,
}

impl CheckReport {
    /// Tells whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.root_matches
    }
}

/// An open log.
pub struct Log<'a> {
    tiles: &'a dyn Tiles,
    head: &'a dyn HeadCell,
    key: VerifierKey,
    checkpoint: VerifiedCheckpoint,
}

impl<'a> Log<'a> {
    /// Makes an empty log and signs its first checkpoint.
    pub fn create(
        tiles: &'a dyn Tiles,
        head: &'a dyn HeadCell,
        signer: &dyn NoteSigner,
    ) -> Result<Self, LogError> {
        if head.load()?.is_some() {
            return Err(LogError::Present);
        }
        let key = signer.verifier_key().clone();
        let empty = Checkpoint { origin: key.name().to_owned(), size: 0, root: root_of(&[]) };
        let note = empty.sign(signer).map_err(LogError::Sign)?;
        head.replace(None, note.as_bytes())?;
        tiles.write("checkpoint", note.as_bytes())?;
        Self::open(tiles, head, &key)
    }

    /// Opens a log; its head must be signed by `key`.
    pub fn open(tiles: &'a dyn Tiles, head: &'a dyn HeadCell, key: &VerifierKey) -> Result<Self, LogError> {
        let note = head.load()?.ok_or(LogError::Absent)?;
        let text = String::from_utf8_lossy(&note);
        let checkpoint = Checkpoint::verify(&text, key).map_err(LogError::Head)?;
        Ok(Self { tiles, head, key: key.clone(), checkpoint })
    }

    /// Writes the published checkpoint again if it is not the head: after a crash between the two.
    pub fn publish(&self) -> Result<(), LogError> {
        let note = self.checkpoint.note().as_bytes();
        if self.tiles.read("checkpoint")?.as_deref() != Some(note) {
            self.tiles.write("checkpoint", note)?;
        }
        Ok(())
    }

    /// The newest signed checkpoint.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.checkpoint.size()
    }

    /// Appends entries; when this returns they are durable and signed for. A writer whose head is no longer the
    /// newest is refused with a conflict, and nothing of it is in the log.
    pub fn append(&mut self, entries: &[Vec<u8>], signer: &dyn NoteSigner) -> Result<Appended, LogError> {
        if *signer.verifier_key() != self.key {
            return Err(LogError::Key);
        }
        if let Some(long) = entries.iter().find(|entry| entry.len() > ENTRY_MAX_BYTES) {
            return Err(LogError::EntrySize(long.len()));
        }
        let first_index = self.size();
        let mut edge = self.right_edge()?;
        let before = edge.size;
        for entry in entries {
            for (path, bytes) in edge.push(entry) {
                self.tiles.write(&path, &bytes)?;
            }
        }
        for (path, bytes) in edge.partial_tiles(before) {
            self.tiles.write(&path, &bytes)?;
        }
        let checkpoint =
            Checkpoint { origin: self.key.name().to_owned(), size: edge.size, root: edge.root() };
        let note = checkpoint.sign(signer).map_err(LogError::Sign)?;
        let verified = Checkpoint::verify(&note, &self.key).map_err(LogError::Head)?;
        self.head.replace(Some(self.checkpoint.note().as_bytes()), note.as_bytes())?;
        self.checkpoint = verified;
        self.publish()?;
        Ok(Appended { first_index, size: self.size() })
    }

    /// Reads an entry, proven to be in the signed tree.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let bundle = self.bundle(index / TILE_WIDTH, self.size())?;
        let entry =
            bundle.into_iter().nth((index % TILE_WIDTH) as usize).ok_or_else(|| self.outside(index))?;
        self.prove(index, &leaf_hash(&entry))?;
        Ok(entry)
    }

    /// Proves that an entry is in the newest tree.
    pub fn inclusion_proof(&self, index: u64) -> Result<InclusionProof, LogError> {
        if index >= self.size() {
            return Err(self.outside(index));
        }
        let leaf = self.node(0, index)?;
        let hashes = self.prove(index, &leaf)?;
        Ok(InclusionProof {
            index,
            size: self.size(),
            root: *self.checkpoint.root(),
            hashes,
            checkpoint: self.checkpoint.note().to_owned(),
        })
    }

    /// Proves that the newest tree begins with the one of `old` entries.
    pub fn consistency_proof(&self, old: u64) -> Result<Vec<Hash>, LogError> {
        if old > self.size() {
            return Err(self.outside(old));
        }
        if old == 0 {
            return Ok(Vec::new()); // Every log begins with the empty one.
        }
        let hashes: Vec<Hash> = consistency_ranges(old, self.size())
            .into_iter()
            .map(|range| self.range(range))
            .collect::<Result<_, _>>()?;
        let old_root = self.range((0, old))?;
        verify_consistency(&hashes, old, self.size(), &old_root, self.checkpoint.root())
            .map_err(LogError::Root)?;
        Ok(hashes)
    }

    /// Tells whether an older checkpoint of this log is a beginning of it.
    pub fn extends(&self, older: &VerifiedCheckpoint) -> Result<bool, LogError> {
        if older.size() == 0 || older.size() > self.size() {
            return Ok(older.size() == 0);
        }
        let proof = self.consistency_proof(older.size())?;
        Ok(verify_consistency(&proof, older.size(), self.size(), older.root(), self.checkpoint.root())
            .is_ok())
    }

    /// Reads everything again and hashes it up to the signed root; names each file that is not as it should be.
    pub fn check(&self) -> Result<CheckReport, LogError> {
        let size = self.size();
        let mut report = CheckReport { size, damaged: Vec::new(), root_matches: false };
        // Hashes of the level that is looked at; memory is the size of the tree's hashes of one level.
        let mut hashes = Vec::new();
        for tile in 0..size.div_ceil(TILE_WIDTH) {
            let width = width(size, tile);
            let path = tile_path(ENTRIES, tile, width);
            let known = self.tile(0, tile, size).ok();
            let read = match self.bundle(tile, size) {
                Ok(entries) => Ok(entries.iter().map(|entry| leaf_hash(entry)).collect::<Vec<_>>()),
                Err(LogError::Tile { damage, .. }) => Err(damage),
                Err(error) => return Err(error),
            };
            // Where bundle and tile disagree, the one that the tree proves is right.
            let proven = |leaves: &Vec<Hash>| {
                leaves.iter().zip(tile * TILE_WIDTH..).all(|(leaf, index)| self.prove(index, leaf).is_ok())
            };
            let leaves = match (read, known) {
                (Ok(read), Some(known)) if read != known && proven(&known) => {
                    report.damaged.push((path, Damage::Different));
                    known
                }
                (Ok(read), _) => read,
                (Err(damage), known) => {
                    report.damaged.push((path, damage));
                    known.unwrap_or_else(|| vec![root_of(&[]); width as usize])
                }
            };
            hashes.extend(leaves);
        }
        report.root_matches = root_of(&hashes) == *self.checkpoint.root();
        let mut level = 0;
        let mut count = size;
        while count > 0 {
            for tile in 0..count.div_ceil(TILE_WIDTH) {
                let from = (tile * TILE_WIDTH) as usize;
                let expected = &hashes[from..from + width(count, tile) as usize];
                let damage = match self.tile(level, tile, size) {
                    Ok(found) if found == expected => continue,
                    Ok(_) => Damage::Different,
                    Err(LogError::Tile { damage, .. }) => damage,
                    Err(error) => return Err(error),
                };
                report.damaged.push((tile_path(Some(level), tile, width(count, tile)), damage));
            }
            hashes = hashes.chunks_exact(TILE_WIDTH as usize).map(root_of).collect();
            count /= TILE_WIDTH;
            level += 1;
        }
        let damage = match self.tiles.read("checkpoint")? {
            None => Some(Damage::Missing),
            Some(note) => (!self.may_be_published(&note)).then_some(Damage::Different),
        };
        report.damaged.extend(damage.map(|damage| ("checkpoint".to_owned(), damage)));
        Ok(report)
    }

    /// Tells whether a published checkpoint is the head, or an older one of this log that a crash before step 4 of
    /// [`Log::append`] has left in place.
    fn may_be_published(&self, note: &[u8]) -> bool {
        note == self.checkpoint.note().as_bytes()
            || std::str::from_utf8(note)
                .ok()
                .and_then(|note| Checkpoint::verify(note, &self.key).ok())
                .is_some_and(|older| self.extends(&older).is_ok_and(|extends| extends))
    }

    fn outside(&self, index: u64) -> LogError {
        LogError::Range { index, size: self.size() }
    }

    /// Collects an inclusion proof and verifies it before anybody sees it.
    fn prove(&self, index: u64, leaf: &Hash) -> Result<Vec<Hash>, LogError> {
        if index >= self.size() {
            return Err(self.outside(index));
        }
        let hashes: Vec<Hash> = inclusion_ranges(index, self.size())
            .into_iter()
            .map(|range| self.range(range))
            .collect::<Result<_, _>>()?;
        verify_inclusion(&hashes, index, self.size(), leaf, self.checkpoint.root())
            .map_err(LogError::Root)?;
        Ok(hashes)
    }

    /// Computes the root of a range that starts at a multiple of the power of two not below its size.
    fn range(&self, (start, end): (u64, u64)) -> Result<Hash, LogError> {
        let mut at = start;
        let mut nodes = Vec::new();
        while at < end {
            let level = 63 - (end - at).leading_zeros();
            nodes.push(self.node(level, at >> level)?);
            at += 1 << level;
        }
        let mut nodes = nodes.into_iter().rev();
        let first = nodes.next().ok_or_else(|| self.outside(start))?;
        Ok(nodes.fold(first, |right, left| node_hash(&left, &right)))
    }

    /// Reads the root of a complete subtree of 2^`level` entries.
    fn node(&self, level: u32, index: u64) -> Result<Hash, LogError> {
        let (tile_level, within) = (level / 8, level % 8);
        let first = index << within;
        let hashes = self.tile(tile_level as u8, first / TILE_WIDTH, self.size())?;
        let from = (first % TILE_WIDTH) as usize;
        let part = hashes.get(from..from + (1 << within)).ok_or_else(|| self.outside(index))?;
        Ok(root_of(part))
    }

    /// Reads a tile of hashes of the tree with `size` entries.
    fn tile(&self, level: u8, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        let count = size >> (8 * u32::from(level));
        let width = width(count, index);
        let path = tile_path(Some(level), index, width);
        let damaged = |damage| LogError::Tile { path: path.clone(), damage };
        let bytes = self.tiles.read(&path)?.ok_or_else(|| damaged(Damage::Missing))?;
        if bytes.len() != width as usize * HASH_BYTES {
            return Err(damaged(Damage::Malformed));
        }
        let hashes = bytes.as_chunks::<HASH_BYTES>().0.iter().map(|hash| Hash::from_bytes(*hash));
        Ok(hashes.collect())
    }

    /// Reads a bundle of entries of the tree with `size` entries.
    fn bundle(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let width = width(size, index);
        let path = tile_path(ENTRIES, index, width);
        let damaged = |damage| LogError::Tile { path: path.clone(), damage };
        let bytes = self.tiles.read(&path)?.ok_or_else(|| damaged(Damage::Missing))?;
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (entry, tail) = tail
                .split_at_checked(usize::from(u16::from_be_bytes(*length)))
                .ok_or_else(|| damaged(Damage::Malformed))?;
            entries.push(entry.to_vec());
            rest = tail;
        }
        if rest.is_empty() && entries.len() as u64 == width {
            Ok(entries)
        } else {
            Err(damaged(Damage::Malformed))
        }
    }

    /// Reads the partial tiles at the right edge and hashes them up to the signed root, so that nothing that was
    /// tampered with is ever built upon.
    pub(crate) fn right_edge(&self) -> Result<Edge, LogError> {
        let size = self.size();
        let mut edge = Edge::empty();
        edge.size = size;
        for level in 0..LEVELS_MAX {
            let count = size >> (8 * u32::from(level));
            if count == 0 {
                break;
            }
            let partial = count % TILE_WIDTH;
            let hashes = if partial == 0 { Vec::new() } else { self.tile(level, count / TILE_WIDTH, size)? };
            edge.levels.push(hashes.into_iter().collect());
        }
        if !size.is_multiple_of(TILE_WIDTH) {
            edge.entries = self.bundle(size / TILE_WIDTH, size)?;
            let same = edge.levels.first().is_some_and(|level| {
                level.leaves().iter().copied().eq(edge.entries.iter().map(|entry| leaf_hash(entry)))
            });
            if !same {
                let path = tile_path(ENTRIES, size / TILE_WIDTH, size % TILE_WIDTH);
                return Err(LogError::Tile { path, damage: Damage::Different });
            }
        }
        if edge.root() != *self.checkpoint.root() {
            return Err(LogError::Root(ProofError::Root));
        }
        Ok(edge)
    }
}
