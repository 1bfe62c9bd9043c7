//! B-trees of APFS (Apple File System Reference, "B-Trees").

use std::io;
use std::ops::Range;

use super::{Image, wrong};
use crate::bytes::{le16, le32, le64};

const DATA: usize = 56;
/// What stands at the end of a root: how the tree is made.
const INFO_BYTES: usize = 40;
const ROOT: u16 = 1;
const LEAF: u16 = 2;
const FIXED: u16 = 4;
/// No tree is higher: each level has at least twice as many nodes.
const LEVELS_MAX: u16 = 32;
/// An offset that stands for no value.
const GHOST: u16 = 0xffff;

/// What takes a key and its value.
pub(super) type Take<'f> = dyn FnMut(&[u8], &[u8]) -> io::Result<()> + 'f;

/// One tree, whose nodes are found by what their object's number stands for.
pub(super) struct Tree<'t, 's, 'a> {
    image: &'t Image<'s, 'a>,
    place: &'t dyn Fn(u64) -> io::Result<u64>,
    /// The sizes of keys and values, if a tree has one size of each.
    sizes: Option<(usize, usize)>,
}

impl<'t, 's, 'a> Tree<'t, 's, 'a> {
    pub(super) fn new(
        image: &'t Image<'s, 'a>,
        place: &'t dyn Fn(u64) -> io::Result<u64>,
        sizes: Option<(usize, usize)>,
    ) -> Self {
        Self { image, place, sizes }
    }

    /// Hands over all keys and values, in order.
    pub(super) fn leaves(&mut self, root: u64, take: &mut Take<'_>) -> io::Result<()> {
        // Nodes that are still to be read, and the level that they must have.
        let mut open = vec![(root, None)];
        while let Some((object, level)) = open.pop() {
            let place = (self.place)(object)?;
            if !self.image.visited.borrow_mut().insert(place) {
                return Err(wrong("a tree goes in a circle, or shares nodes with another"));
            }
            let node = self.image.object(place)?;
            let (flags, own) = (le16(&node, 32).unwrap_or(0), le16(&node, 34).unwrap_or(0));
            let is_leaf = flags & LEAF != 0;
            if level.is_some_and(|level| level != own) || own > LEVELS_MAX || is_leaf != (own == 0) {
                return Err(wrong("a node of a tree has the wrong level"));
            }
            let from = open.len();
            for (key, value) in self.entries(&node, flags)? {
                let value = &node[value];
                if is_leaf {
                    take(&node[key], value)?;
                } else {
                    let child = le64(value, 0).ok_or_else(|| wrong("a tree is malformed"))?;
                    open.push((child, Some(own - 1)));
                }
            }
            open[from..].reverse();
        }
        Ok(())
    }

    fn entries(&self, node: &[u8], flags: u16) -> io::Result<Vec<(Range<usize>, Range<usize>)>> {
        let malformed = || wrong("a node of a tree is malformed");
        let half = |at| le16(node, at).map(usize::from).ok_or_else(malformed);
        let count = le32(node, 36).ok_or_else(malformed)? as usize;
        let table = DATA + half(40)?;
        let keys = table + half(42)?;
        let end = if flags & ROOT != 0 { node.len() - INFO_BYTES } else { node.len() };
        let entry_bytes = if flags & FIXED != 0 { 4 } else { 8 };
        if count > node.len() / entry_bytes || table + count * entry_bytes > keys || keys > end {
            return Err(malformed());
        }
        let mut found = Vec::with_capacity(count);
        for number in 0..count {
            let at = table + number * entry_bytes;
            let (key, key_bytes, value, value_bytes) = if flags & FIXED != 0 {
                let (key_bytes, value_bytes) = self.sizes.ok_or_else(malformed)?;
                let value_bytes = if flags & LEAF != 0 { value_bytes } else { 8 };
                (half(at)?, key_bytes, half(at + 2)?, value_bytes)
            } else {
                (half(at)?, half(at + 2)?, half(at + 4)?, half(at + 6)?)
            };
            let key = keys + key..keys + key + key_bytes;
            let value = if value == usize::from(GHOST) {
                end..end
            } else {
                let start = end.checked_sub(value).filter(|start| *start >= keys).ok_or_else(malformed)?;
                start..start + value_bytes
            };
            if key.end > end || value.end > end {
                return Err(malformed());
            }
            found.push((key, value));
        }
        Ok(found)
    }
}
