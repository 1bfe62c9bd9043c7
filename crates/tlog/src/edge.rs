//! The right edge of a growing tree: the partial tile of each level with all its inner nodes, so that appending an
//! entry costs one hash on average and a proof near the edge costs a few look-ups.

use crate::merkle::{Hash, leaf_hash, node_hash, root_of};
use crate::path::{ENTRIES, TILE_WIDTH, tile_path};

/// Heights of inner nodes within a tile: 2^8 hashes.
const HEIGHT: usize = 8;

/// A tile of hashes with every complete inner node above them.
#[derive(Clone, Debug, Default)]
pub(crate) struct TileTree {
    /// Complete nodes by height; the first are the tile's hashes.
    nodes: [Vec<Hash>; HEIGHT + 1],
}

impl TileTree {
    /// Adds the next hash.
    pub(crate) fn push(&mut self, hash: Hash) {
        let mut hash = hash;
        for height in 0..=HEIGHT {
            self.nodes[height].push(hash);
            let [.., left, right] = self.nodes[height].as_slice() else { break };
            if !self.nodes[height].len().is_multiple_of(2) || height == HEIGHT {
                break;
            }
            hash = node_hash(left, right);
        }
    }

    /// The tile's hashes.
    pub(crate) fn leaves(&self) -> &[Hash] {
        &self.nodes[0]
    }

    /// The complete node of a height at a place, counted in nodes of that height.
    pub(crate) fn node(&self, height: usize, index: usize) -> Option<&Hash> {
        self.nodes.get(height)?.get(index)
    }

    /// The roots of the complete subtrees that make up the tile, largest first.
    fn peaks(&self) -> Vec<Hash> {
        let mut peaks = Vec::new();
        for height in (0..=HEIGHT).rev() {
            if self.leaves().len() >> height & 1 == 1 {
                peaks.extend(self.nodes[height].last().copied());
            }
        }
        peaks
    }
}

impl FromIterator<Hash> for TileTree {
    fn from_iter<I: IntoIterator<Item = Hash>>(hashes: I) -> Self {
        let mut tile = Self::default();
        hashes.into_iter().for_each(|hash| tile.push(hash));
        tile
    }
}

/// A file of the log: its path and its bytes.
pub(crate) type TileFile = (String, Vec<u8>);

/// The right edge.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// Entries in the tree.
    pub(crate) size: u64,
    /// Entries of the partial bundle.
    pub(crate) entries: Vec<Vec<u8>>,
    /// The partial tile of each level.
    pub(crate) levels: Vec<TileTree>,
    /// Tiles that were completed, by level and index; taken by whoever needs them for proofs.
    pub(crate) completed: Vec<(u8, u64, TileTree)>,
    /// Whether completed tiles are kept.
    pub(crate) keep_completed: bool,
}

impl Edge {
    /// The edge of the empty tree.
    pub(crate) fn empty() -> Self {
        Self {
            size: 0,
            entries: Vec::new(),
            levels: Vec::new(),
            completed: Vec::new(),
            keep_completed: false,
        }
    }

    /// Adds an entry; returns the files that are complete with it.
    pub(crate) fn push(&mut self, entry: &[u8]) -> Vec<TileFile> {
        let mut files = Vec::new();
        self.entries.push(entry.to_vec());
        self.size += 1;
        if self.entries.len() as u64 == TILE_WIDTH {
            files.push((
                tile_path(ENTRIES, self.size / TILE_WIDTH - 1, TILE_WIDTH),
                encode_bundle(&self.entries),
            ));
            self.entries.clear();
        }
        let mut hash = leaf_hash(entry);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(TileTree::default());
            }
            let tile = &mut self.levels[level];
            tile.push(hash);
            if (tile.leaves().len() as u64) < TILE_WIDTH {
                break;
            }
            let full = std::mem::take(tile);
            let index = (self.size >> (8 * level)) / TILE_WIDTH - 1;
            files.push((tile_path(Some(level as u8), index, TILE_WIDTH), encode_tile(full.leaves())));
            hash = full.node(HEIGHT, 0).copied().unwrap_or_else(|| root_of(full.leaves()));
            if self.keep_completed {
                self.completed.push((level as u8, index, full));
            }
        }
        files
    }

    /// Returns the partial files that differ from those of the tree with `before` entries.
    pub(crate) fn partial_tiles(&self, before: u64) -> Vec<TileFile> {
        let mut files = Vec::new();
        if !self.entries.is_empty() && self.size != before {
            let path = tile_path(ENTRIES, self.size / TILE_WIDTH, self.size % TILE_WIDTH);
            files.push((path, encode_bundle(&self.entries)));
        }
        for (level, tile) in self.levels.iter().enumerate() {
            let shift = 8 * level;
            let hashes = tile.leaves();
            if !hashes.is_empty() && self.size >> shift != before >> shift {
                let path =
                    tile_path(Some(level as u8), (self.size >> shift) / TILE_WIDTH, hashes.len() as u64);
                files.push((path, encode_tile(hashes)));
            }
        }
        files
    }

    /// Computes the root: each level's partial tile is a run of complete subtrees, larger ones further left.
    pub(crate) fn root(&self) -> Hash {
        let mut right: Option<Hash> = None;
        for tile in &self.levels {
            for node in tile.peaks().iter().rev() {
                right = Some(right.map_or(*node, |right| node_hash(node, &right)));
            }
        }
        right.unwrap_or_else(|| root_of(&[]))
    }
}

/// Returns how many of the `count` hashes or entries of a level stand in its tile `index`.
pub(crate) fn width(count: u64, index: u64) -> u64 {
    count.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH)
}

fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn encode_bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 2).sum());
    for entry in entries {
        // Lengths were checked when the entries came in.
        bytes.extend_from_slice(&(entry.len() as u16).to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}
