//! The sequencer of a served log: many entries at a time, durable by one write, each with its proof at once.
//!
//! Order of effects, and what a crash after each leaves:
//!
//! | step | after a crash |
//! |---|---|
//! | 1. the batch is hashed onto the right edge in memory, the new checkpoint signed | nothing |
//! | 2. entries and checkpoint go into a journal, synced | a torn record, dropped; or a whole one, kept by step 1 of the next start |
//! | 3. the batch is acknowledged, with a proof for its checkpoint | the same: what was acknowledged is in the journal |
//! | 4. from time to time, the tiles of all batches so far are written and synced | files that no checkpoint names |
//! | 5. the head is replaced by compare-and-swap | the journal repeats what the log has: skipped |
//! | 6. the file `checkpoint` is published | an older published checkpoint, sound |
//! | 7. the journal is emptied | the journal repeats what the log has: skipped |
//!
//! There are two journals in turn, so that batches go on while the tiles of earlier ones are written. A start repeats
//! steps 4 to 7 for whatever the journals hold, with the checkpoints that were signed then: never two histories. After
//! any error a sequencer is of no more use; what is true is on the disk, and a new one reads it.

use std::sync::Arc;

use crate::checkpoint::{Checkpoint, VerifiedCheckpoint};
use crate::edge::{Edge, TileFile, TileTree};
use crate::journal::{Journal, Record};
use crate::log::{ENTRY_MAX_BYTES, InclusionProof, Log, LogError};
use crate::merkle::{Hash, inclusion_ranges, node_hash};
use crate::note::{NoteSigner, VerifierKey};
use crate::seam::{HeadCell, Tiles};

/// A log that is being written by one process that stays.
pub struct Sequencer<'a> {
    tiles: &'a (dyn Tiles + Sync),
    head: &'a (dyn HeadCell + Sync),
    journals: [&'a (dyn Journal + Sync); 2],
    signer: &'a (dyn NoteSigner + Sync),
    active: usize,
    edge: Edge,
    /// The signed head on the disk.
    settled: VerifiedCheckpoint,
    newest: VerifiedCheckpoint,
    /// Complete tiles whose files are not written yet.
    waiting: Vec<TileFile>,
    usable: bool,
}

/// Entries that were acknowledged together.
#[derive(Clone, Debug)]
pub struct Batch {
    first_index: u64,
    count: u64,
    checkpoint: VerifiedCheckpoint,
    view: Arc<View>,
}

/// Files that have to be written before the head can follow the journal.
pub struct Settlement {
    files: Vec<TileFile>,
    checkpoint: VerifiedCheckpoint,
    journal: usize,
}

impl<'a> Sequencer<'a> {
    /// Opens a log for writing, and first completes what an earlier sequencer had acknowledged.
    pub fn open(
        tiles: &'a (dyn Tiles + Sync),
        head: &'a (dyn HeadCell + Sync),
        journals: [&'a (dyn Journal + Sync); 2],
        signer: &'a (dyn NoteSigner + Sync),
    ) -> Result<Self, LogError> {
        recover(tiles, head, journals, signer.verifier_key())?;
        let log = Log::open(tiles, head, signer.verifier_key())?;
        let mut edge = log.right_edge()?;
        edge.keep_completed = true;
        let settled = log.checkpoint().clone();
        let newest = settled.clone();
        Ok(Self {
            tiles,
            head,
            journals,
            signer,
            active: 0,
            edge,
            settled,
            newest,
            waiting: Vec::new(),
            usable: true,
        })
    }

    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The newest signed checkpoint.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.newest
    }

    /// Entries that are in a journal and not yet in tiles.
    pub fn unsettled(&self) -> u64 {
        self.size() - self.settled.size()
    }

    /// Appends a batch: durable and signed for when this returns.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<Batch, LogError> {
        self.in_use()?;
        if let Some(long) = entries.iter().find(|entry| entry.len() > ENTRY_MAX_BYTES) {
            return Err(LogError::EntrySize(long.len()));
        }
        self.usable = false;
        let first_index = self.size();
        for entry in entries {
            self.waiting.extend(self.edge.push(entry));
        }
        let completed = std::mem::take(&mut self.edge.completed);
        let origin = self.newest.origin().to_owned();
        let checkpoint = Checkpoint { origin, size: self.edge.size, root: self.edge.root() };
        let note = checkpoint.sign(self.signer).map_err(LogError::Sign)?;
        let verified = Checkpoint::verify(&note, self.signer.verifier_key()).map_err(LogError::Head)?;
        self.journals[self.active].append(&Record::encode(first_index, &note, entries)?)?;
        self.newest = verified.clone();
        self.usable = true;
        let view = Arc::new(View::new(self.edge.size, self.edge.levels.clone(), completed));
        Ok(Batch { first_index, count: entries.len() as u64, checkpoint: verified, view })
    }

    /// Begins to write tiles for everything so far; batches may go on meanwhile. One at a time: the one before must
    /// have been finished.
    pub fn begin_settling(&mut self) -> Result<Settlement, LogError> {
        self.in_use()?;
        let mut files = std::mem::take(&mut self.waiting);
        files.extend(self.edge.partial_tiles(self.settled.size()));
        let journal = self.active;
        self.active = 1 - self.active;
        Ok(Settlement { files, checkpoint: self.newest.clone(), journal })
    }

    /// Lets the head follow once the files are written: steps 5 to 7.
    pub fn finish_settling(&mut self, settlement: &Settlement) -> Result<(), LogError> {
        self.in_use()?;
        self.usable = false;
        let note = settlement.checkpoint.note().as_bytes();
        self.head.replace(Some(self.settled.note().as_bytes()), note)?;
        self.tiles.write("checkpoint", note)?;
        self.journals[settlement.journal].clear()?;
        self.settled = settlement.checkpoint.clone();
        self.usable = true;
        Ok(())
    }

    /// Writes tiles for everything so far and lets the head follow.
    pub fn settle(&mut self) -> Result<(), LogError> {
        let settlement = self.begin_settling()?;
        settlement.write(self.tiles)?;
        self.finish_settling(&settlement)
    }

    fn in_use(&self) -> Result<(), LogError> {
        if self.usable { Ok(()) } else { Err(LogError::Unusable) }
    }
}

impl Settlement {
    /// Writes and syncs the files: step 4. Needs nothing of the sequencer, so another thread can do it.
    pub fn write(&self, tiles: &dyn Tiles) -> Result<(), LogError> {
        for (path, bytes) in &self.files {
            tiles.stage(path, bytes)?;
        }
        Ok(tiles.settle()?)
    }
}

/// Completes what the journals hold: their batches become part of the log, with the checkpoints that were signed for
/// them. Needs no signing key. Returns how many entries were completed.
pub fn recover(
    tiles: &(dyn Tiles + Sync),
    head: &(dyn HeadCell + Sync),
    journals: [&(dyn Journal + Sync); 2],
    key: &VerifierKey,
) -> Result<u64, LogError> {
    let mut records = Vec::new();
    let mut any = false;
    for journal in journals {
        let bytes = journal.read()?;
        any |= !bytes.is_empty();
        records.extend(Record::read_all(&bytes)?);
    }
    if !any {
        return Ok(0);
    }
    records.sort_by_key(|record| record.first_index);
    let log = Log::open(tiles, head, key)?;
    let mut edge = log.right_edge()?;
    let (before, mut newest) = (edge.size, log.checkpoint().clone());
    let mut files = Vec::new();
    for record in records {
        let end = record.first_index.saturating_add(record.entries.len() as u64);
        if end <= edge.size && !(end == edge.size && record.entries.is_empty()) {
            continue; // Settled before the crash.
        }
        if record.first_index != edge.size {
            return Err(LogError::Journal { expected: edge.size, found: record.first_index });
        }
        for entry in &record.entries {
            files.extend(edge.push(entry));
        }
        let checkpoint = Checkpoint::verify(&record.note, key).map_err(LogError::Head)?;
        if checkpoint.size() != edge.size || *checkpoint.root() != edge.root() {
            return Err(LogError::Root(crate::merkle::ProofError::Root));
        }
        newest = checkpoint;
    }
    if newest.note() != log.checkpoint().note() {
        files.extend(edge.partial_tiles(before));
        let settlement = Settlement { files, checkpoint: newest, journal: 0 };
        settlement.write(tiles)?;
        let note = settlement.checkpoint.note().as_bytes();
        head.replace(Some(log.checkpoint().note().as_bytes()), note)?;
        tiles.write("checkpoint", note)?;
    }
    for journal in journals {
        journal.clear()?;
    }
    Ok(edge.size - before)
}

impl Batch {
    /// Index of its first entry.
    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    /// How many entries it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The checkpoint that was signed for it.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// Proves that one of its entries is in the log, without reading anything.
    pub fn proof(&self, index: u64) -> Result<InclusionProof, LogError> {
        let size = self.checkpoint.size();
        let outside = || LogError::Range { index, size };
        if index < self.first_index || index - self.first_index >= self.count {
            return Err(outside());
        }
        let hashes: Option<Vec<Hash>> =
            inclusion_ranges(index, size).into_iter().map(|range| self.view.range(range)).collect();
        Ok(InclusionProof {
            index,
            size,
            root: *self.checkpoint.root(),
            hashes: hashes.ok_or_else(outside)?,
            checkpoint: self.checkpoint.note().to_owned(),
        })
    }
}

/// The part of a tree that proofs for its newest entries need.
#[derive(Debug)]
struct View {
    size: u64,
    levels: Vec<TileTree>,
    completed: Vec<(u8, u64, TileTree)>,
    /// Roots of the ranges that end where the tree ends, by their start.
    suffixes: Vec<(u64, Hash)>,
}

impl View {
    fn new(size: u64, levels: Vec<TileTree>, completed: Vec<(u8, u64, TileTree)>) -> Self {
        let mut view = Self { size, levels, completed, suffixes: Vec::new() };
        // The starts of such ranges: take the largest complete subtree away, again and again.
        let mut starts = vec![];
        let mut at = 0;
        while at < size {
            starts.push(at);
            at += 1 << (63 - (size - at).leading_zeros());
        }
        let mut right: Option<Hash> = None;
        for start in starts.into_iter().rev() {
            let level = 63 - (size - start).leading_zeros();
            let Some(node) = view.node(level, start >> level) else { break };
            let hash = right.map_or(node, |right| node_hash(&node, &right));
            view.suffixes.push((start, hash));
            right = Some(hash);
        }
        view
    }

    fn range(&self, (start, end): (u64, u64)) -> Option<Hash> {
        if end == self.size
            && let Some((_, hash)) = self.suffixes.iter().find(|(known, _)| *known == start)
        {
            return Some(*hash);
        }
        let mut at = start;
        let mut nodes = Vec::new();
        while at < end {
            let level = 63 - (end - at).leading_zeros();
            nodes.push(self.node(level, at >> level)?);
            at += 1 << level;
        }
        let mut nodes = nodes.into_iter().rev();
        let first = nodes.next()?;
        Some(nodes.fold(first, |right, left| node_hash(&left, &right)))
    }

    /// The root of a complete subtree of 2^`level` entries, if it is near the right edge.
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        // A node at the top of a tile is a hash of the tile above, if that tile is there.
        for (tile_level, within) in [(level / 8, level % 8), (level.wrapping_sub(8) / 8, 8)] {
            if within == 8 && (level < 8 || !level.is_multiple_of(8)) {
                continue;
            }
            let first = index << within;
            let tile = self.tile(tile_level as u8, first >> 8);
            let node = tile.and_then(|tile| tile.node(within as usize, ((first & 0xff) >> within) as usize));
            if let Some(node) = node {
                return Some(*node);
            }
        }
        None
    }

    fn tile(&self, level: u8, index: u64) -> Option<&TileTree> {
        if self.size >> (8 * u32::from(level)) >> 8 == index {
            return self.levels.get(usize::from(level));
        }
        let completed = self.completed.iter().find(|(l, i, _)| (*l, *i) == (level, index));
        completed.map(|(_, _, tile)| tile)
    }
}
