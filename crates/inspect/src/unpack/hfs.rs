//! HFS+ and HFSX volumes (Apple Technical Note 1150): the catalog's files with their data and resource forks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use evidence::BytePath;

use super::Container;
use crate::bytes::{be16, be32, be64, slice};

const HEADER: usize = 1024;
const EXTENTS_FORK: usize = HEADER + 192;
const CATALOG_FORK: usize = HEADER + 272;
const ROOT: u32 = 2;
const EXTENTS_FILE: u32 = 3;
const CATALOG_FILE: u32 = 4;
const RECORD_FOLDER: u16 = 1;
const RECORD_FILE: u16 = 2;
const FORK_DATA: u8 = 0;
const FORK_RESOURCE: u8 = 0xff;
/// `UF_COMPRESSED` of `chflags(2)`: the content is in an attribute or in the resource fork.
const OWNER_COMPRESSED: u8 = 0x20;
const FOLDERS_MAX: usize = 128;

/// Tells whether there is a volume header.
pub(crate) fn is_volume(bytes: &[u8]) -> bool {
    let header = bytes.get(HEADER..).unwrap_or(b"");
    matches!((header.get(..2), be16(header, 2)), (Some(b"H+"), Some(4)) | (Some(b"HX"), Some(5)))
        && be32(header, 40).is_some_and(|block| block.is_power_of_two() && (512..=1 << 20).contains(&block))
}

type Wrong = &'static str;
/// A record's key and its data.
type Leaf<'a> = (&'a [u8], &'a [u8]);
/// First block and number of blocks.
type Extent = (u32, u32);

struct Volume<'a> {
    bytes: &'a [u8],
    block_bytes: u64,
    /// Further extents by file, fork and the first block in the fork that they hold.
    overflow: BTreeMap<(u32, u8, u32), Vec<Extent>>,
}

/// A folder or file of the catalog.
struct Record<'a> {
    parent: u32,
    name: Vec<u8>,
    kind: u16,
    data: &'a [u8],
}

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let mut volume = Volume {
        bytes,
        block_bytes: u64::from(be32(bytes, HEADER + 40).unwrap_or(0)),
        overflow: BTreeMap::new(),
    };
    if let Err(what) = walk(container, &mut volume) {
        container.malformed(what);
    }
}

fn walk(container: &mut Container, volume: &mut Volume) -> Result<(), Wrong> {
    let extents = volume.fork(EXTENTS_FORK, EXTENTS_FILE, FORK_DATA, volume.bytes)?;
    for (key, data) in leaves(&extents)? {
        if let (Some(fork), Some(file), Some(start)) = (key.first(), be32(key, 2), be32(key, 6)) {
            volume.overflow.insert((file, *fork, start), extents_of(data));
        }
    }
    let catalog = volume.fork(CATALOG_FORK, CATALOG_FILE, FORK_DATA, volume.bytes)?;
    let records: Vec<Record> =
        leaves(&catalog)?.into_iter().filter_map(|(key, data)| record(key, data)).collect();
    let mut folders: BTreeMap<u32, (u32, &[u8])> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == RECORD_FOLDER) {
        folders.insert(be32(record.data, 8).ok_or("a record is cut off")?, (record.parent, &record.name));
    }
    for record in &records {
        if be32(record.data, 8) == Some(ROOT) && record.kind == RECORD_FOLDER {
            continue;
        }
        if !container.admit() {
            return Ok(());
        }
        let Some(path) = path(record, &folders) else {
            container.malformed_member(&BytePath::new(record.name.clone()), "it has no way to the root");
            continue;
        };
        let mode = be16(record.data, 42).filter(|mode| *mode != 0).map(u32::from);
        if record.kind == RECORD_FOLDER {
            container.leaf(path, "directory", None).mode = mode.map(|mode| mode & 0o7777);
        } else {
            file(container, volume, record, path, mode);
        }
    }
    Ok(())
}

fn file(container: &mut Container, volume: &Volume, record: &Record, path: BytePath, mode: Option<u32>) {
    let number = be32(record.data, 8).unwrap_or(0);
    let permissions = mode.map(|mode| mode & 0o7777);
    if record.data.get(48..56) == Some(b"hlnkhfs+") {
        let target = format!("iNode{}", be32(record.data, 44).unwrap_or(0));
        container.leaf(path, "hardlink", Some(BytePath::from(target))).mode = permissions;
        return;
    }
    let word = match mode.map_or(0, |mode| mode & 0o170_000) {
        0o020_000 | 0o060_000 => "device",
        0o010_000 => "fifo",
        _ => "",
    };
    if !word.is_empty() {
        container.leaf(path, word, None).mode = permissions;
        return;
    }
    if record.data.get(41).is_some_and(|flags| flags & OWNER_COMPRESSED != 0) {
        return container.member_problem(
            &path,
            "unsupported-compression",
            "the file system's compression is not opened",
        );
    }
    match volume.fork(88, number, FORK_DATA, record.data) {
        Ok(content) if mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000) => {
            container.leaf(path.clone(), "symlink", Some(BytePath::from(content.as_ref()))).mode =
                permissions;
        }
        Ok(content) => container.bytes(path.clone(), &content).mode = permissions,
        Err(what) => container.malformed_member(&path, what),
    }
    if be64(record.data, 168).is_some_and(|size| size > 0) && container.admit() {
        let name = BytePath::new([path.as_bytes(), b"/..namedfork/rsrc"].concat());
        match volume.fork(168, number, FORK_RESOURCE, record.data) {
            Ok(content) => {
                container.bytes(name, &content);
            }
            Err(what) => container.malformed_member(&name, what),
        }
    }
}

impl<'a> Volume<'a> {
    /// Reads a fork whose description stands at `at` in `description`. A fork of one extent is not copied.
    fn fork(&self, at: usize, file: u32, fork: u8, description: &[u8]) -> Result<Cow<'a, [u8]>, Wrong> {
        let size = be64(description, at).ok_or("a fork is cut off")?;
        if size > self.bytes.len() as u64 {
            return Err("a fork is larger than its volume");
        }
        let mut extents = extents_of(description.get(at + 16..at + 80).ok_or("a fork is cut off")?);
        let mut pieces: Vec<&'a [u8]> = Vec::new();
        let (mut have, mut blocks) = (0_u64, 0_u32);
        while have < size {
            if extents.is_empty() {
                let more = self.overflow.get(&(file, fork, blocks)).filter(|more| !more.is_empty());
                extents = more.ok_or("a fork has too few extents")?.clone();
            }
            for (start, count) in std::mem::take(&mut extents) {
                let length = (u64::from(count) * self.block_bytes).min(size - have);
                let piece = slice(self.bytes, u64::from(start) * self.block_bytes, length);
                pieces.push(piece.ok_or("an extent lies outside")?);
                have += length;
                blocks = blocks.checked_add(count).ok_or("a fork has too many blocks")?;
            }
        }
        match pieces.as_slice() {
            [] => Ok(Cow::Borrowed(b"")),
            [only] => Ok(Cow::Borrowed(only)),
            _ => Ok(Cow::Owned(pieces.concat())),
        }
    }
}

/// Reads up to eight extents; an empty one ends them.
fn extents_of(data: &[u8]) -> Vec<Extent> {
    let extents = data
        .chunks_exact(8)
        .take(8)
        .map(|extent| (be32(extent, 0).unwrap_or(0), be32(extent, 4).unwrap_or(0)));
    extents.take_while(|(_, count)| *count > 0).collect()
}

/// Returns the keys and data of a B-tree's leaves, in order.
fn leaves(tree: &[u8]) -> Result<Vec<Leaf<'_>>, Wrong> {
    if tree.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = "a tree is malformed";
    let node_bytes = usize::from(be16(tree, 32).filter(|size| *size >= 512).ok_or(wrong)?);
    let (mut next, mut found, mut visited) = (be32(tree, 24).ok_or(wrong)?, Vec::new(), 0);
    while next != 0 {
        visited += 1;
        if visited > tree.len() / node_bytes {
            return Err("a tree's leaves go in a circle");
        }
        let start = (next as usize).checked_mul(node_bytes).ok_or(wrong)?;
        let node = tree.get(start..start.saturating_add(node_bytes)).ok_or("a tree's leaf lies outside")?;
        if node[8] != 0xff {
            return Err("a tree's leaf is something else");
        }
        let count = usize::from(be16(node, 10).ok_or(wrong)?);
        let mut end = 14;
        for number in 0..count {
            let place =
                node_bytes.checked_sub(2 * (number + 1)).and_then(|at| be16(node, at)).ok_or(wrong)?;
            let at = usize::from(place);
            // Records stand one after the other: that none overlaps bounds their number.
            if at < end {
                return Err("the records of a tree overlap");
            }
            let key_bytes = usize::from(be16(node, at).ok_or(wrong)?);
            let key = node.get(at + 2..at + 2 + key_bytes).ok_or(wrong)?;
            end = at + 2 + key_bytes;
            found.push((key, node.get(end..).ok_or(wrong)?));
        }
        next = be32(node, 0).ok_or(wrong)?;
    }
    Ok(found)
}

/// Reads a folder's or file's record; threads are left out.
fn record<'a>(key: &[u8], data: &'a [u8]) -> Option<Record<'a>> {
    let kind = be16(data, 0).filter(|kind| matches!(*kind, RECORD_FOLDER | RECORD_FILE))?;
    let count = usize::from(be16(key, 4)?);
    let units: Vec<u16> = key
        .get(6..6 + count * 2)?
        .chunks_exact(2)
        .map(|unit| u16::from_be_bytes([unit[0], unit[1]]))
        .collect();
    // A slash in a name is a colon to Unix programs, and the other way round.
    let name = String::from_utf16_lossy(&units).replace('/', ":");
    Some(Record { parent: be32(key, 0)?, name: name.into_bytes(), kind, data })
}

fn path(record: &Record, folders: &BTreeMap<u32, (u32, &[u8])>) -> Option<BytePath> {
    let mut parts = vec![record.name.as_slice()];
    let mut at = record.parent;
    while at != ROOT {
        let (parent, name) = folders.get(&at)?;
        if parts.len() > FOLDERS_MAX {
            return None;
        }
        parts.push(name);
        at = *parent;
    }
    parts.reverse();
    Some(BytePath::new(parts.join(&b'/')))
}
