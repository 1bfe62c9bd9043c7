//! Where a content stands: a tree of extents, or the classic map with up to three levels of indirect blocks.

use std::borrow::Cow;
use std::io;

use super::volume::{Inode, Volume, wrong};
use crate::bytes::{le16, le32};
use crate::source::Pieces;
use crate::unpack::Container;

const NODE_MAGIC: u16 = 0xF30A;
const ENTRY_BYTES: usize = 12;
/// Linux reads no deeper trees (`EXT4_MAX_EXTENT_DEPTH`).
const DEPTH_MAX: u16 = 5;
/// Extents that are longer are kept free for a file, so short by this, and read as zeros.
const UNWRITTEN: u16 = 0x8000;
const DIRECT: usize = 12;

impl Volume<'_> {
    /// Finds where the content of an inode stands.
    pub(super) fn pieces(&self, container: &mut Container, inode: &Inode) -> io::Result<Pieces> {
        let (room, what) = container.inspection.budget.room(u64::MAX);
        if inode.size > room {
            return Err(io::Error::other(what));
        }
        let mut content = Content { pieces: Pieces::default(), size: inode.size };
        if inode.has_extents() {
            self.extents(container, inode, &mut content)?;
            // The rest of a sparse file is not in the tree.
            content.push(None, u64::MAX)?;
        } else {
            self.indirect(container, inode, &mut content)?;
        }
        if content.pieces.length() < inode.size {
            return Err(wrong("it is larger than its map can say"));
        }
        Ok(content.pieces)
    }

    /// Goes through a tree of extents. Each leaf is of blocks behind those before it and no node below the root is empty: so a tree that
    /// leads back to itself ends.
    fn extents(&self, container: &mut Container, inode: &Inode, content: &mut Content) -> io::Result<()> {
        let mut next = 0;
        let mut stack = vec![Node::read(Cow::Borrowed(inode.map()))?];
        while let Some(node) = stack.last_mut() {
            let depth = node.depth;
            let Some(entry) = node.next() else {
                stack.pop();
                continue;
            };
            let (first, high, low) = if depth > 0 {
                (le32(entry, 0), le16(entry, 8), le32(entry, 4))
            } else {
                (le32(entry, 0), le16(entry, 6), le32(entry, 8))
            };
            let (Some(first), Some(high), Some(low)) = (first, high, low) else {
                return Err(wrong("a tree of extents is cut off"));
            };
            let block = u64::from(high) << 32 | u64::from(low);
            if depth > 0 {
                let child = Node::read(self.block(container, block)?)?;
                if child.depth != depth - 1 || child.count == 0 {
                    return Err(wrong("a tree of extents has a node that does not belong to it"));
                }
                stack.push(child);
                continue;
            }
            let length = le16(entry, 4).unwrap_or(0);
            let is_written = length <= UNWRITTEN;
            let count = u64::from(if is_written { length } else { length - UNWRITTEN });
            let first = u64::from(first);
            if first < next || count == 0 {
                return Err(wrong("extents overlap"));
            }
            let at = self.place(block, count)?;
            content.push(None, (first - next) * self.block_bytes)?;
            content.push(is_written.then_some(at), count * self.block_bytes)?;
            next = first + count;
        }
        Ok(())
    }

    /// Goes through the classic map: twelve blocks, and one each with a map of one, two and three levels.
    fn indirect(&self, container: &mut Container, inode: &Inode, content: &mut Content) -> io::Result<()> {
        for (number, pointer) in pointers(inode.map()).enumerate() {
            let levels = (number + 1).saturating_sub(DIRECT) as u32;
            let mut stack: Vec<Vec<u32>> = vec![vec![pointer]];
            while let Some(map) = stack.last_mut() {
                if content.is_full() {
                    return Ok(());
                }
                let Some(pointer) = map.pop() else {
                    stack.pop();
                    continue;
                };
                let below = levels + 1 - stack.len() as u32;
                if pointer == 0 {
                    let span = (self.block_bytes / 4).checked_pow(below).unwrap_or(u64::MAX);
                    content.push(None, span.saturating_mul(self.block_bytes))?;
                } else if below == 0 {
                    content.push(Some(self.place(u64::from(pointer), 1)?), self.block_bytes)?;
                } else {
                    let block = self.block(container, u64::from(pointer))?;
                    let mut map: Vec<u32> = pointers(&block).collect();
                    map.reverse();
                    stack.push(map);
                }
            }
        }
        Ok(())
    }
}

fn pointers(map: &[u8]) -> impl Iterator<Item = u32> {
    map.chunks_exact(4).map(|word| le32(word, 0).unwrap_or(0))
}

/// Pieces up to a size: what stands behind it is not content.
struct Content {
    pieces: Pieces,
    size: u64,
}

impl Content {
    fn push(&mut self, at: Option<u64>, length: u64) -> io::Result<()> {
        self.pieces.push(at, length.min(self.size - self.pieces.length()))
    }

    fn is_full(&self) -> bool {
        self.pieces.length() == self.size
    }
}

/// A node of a tree of extents, while it is gone through.
struct Node<'b> {
    bytes: Cow<'b, [u8]>,
    depth: u16,
    count: usize,
    number: usize,
}

impl<'b> Node<'b> {
    fn read(bytes: Cow<'b, [u8]>) -> io::Result<Self> {
        let half = |at| le16(&bytes, at).unwrap_or(0);
        let (count, depth) = (usize::from(half(2)), half(6));
        if half(0) != NODE_MAGIC {
            return Err(wrong("a tree of extents has a node that is none"));
        }
        if depth > DEPTH_MAX || (count + 1) * ENTRY_BYTES > bytes.len() {
            return Err(wrong("a tree of extents has a node of an impossible size"));
        }
        Ok(Self { bytes, depth, count, number: 0 })
    }

    fn next(&mut self) -> Option<&[u8]> {
        if self.number == self.count {
            return None;
        }
        self.number += 1;
        self.bytes.get(self.number * ENTRY_BYTES..(self.number + 1) * ENTRY_BYTES)
    }
}
