//! HFS+ and HFSX volumes (Apple Technical Note 1150): the catalog's files with their data and resource forks, and the extended
//! attributes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use evidence::BytePath;

use super::reading::wrong;
use super::{Container, decmpfs, too_large};
use crate::bytes::{be16, be32, be64};
use crate::room::Hold;
use crate::source::{Pieces, Source};

const HEADER: usize = 1024;
const EXTENTS_FORK: usize = HEADER + 192;
const CATALOG_FORK: usize = HEADER + 272;
const ATTRIBUTES_FORK: usize = HEADER + 352;
const HEADER_BYTES: usize = 512;
const ROOT: u32 = 2;
const EXTENTS_FILE: u32 = 3;
const CATALOG_FILE: u32 = 4;
const ATTRIBUTES_FILE: u32 = 8;
const RECORD_FOLDER: u16 = 1;
const RECORD_FILE: u16 = 2;
const FORK_DATA: u8 = 0;
const FORK_RESOURCE: u8 = 0xff;
const FOLDERS_MAX: usize = 128;

/// Tells whether there is a volume header.
pub(crate) fn is_volume(bytes: &[u8]) -> bool {
    let header = bytes.get(HEADER..).unwrap_or(b"");
    matches!((header.get(..2), be16(header, 2)), (Some(b"H+"), Some(4)) | (Some(b"HX"), Some(5)))
        && be32(header, 40).is_some_and(|block| block.is_power_of_two() && (512..=1 << 20).contains(&block))
}

/// A record's key and its data.
type Leaf<'a> = (&'a [u8], &'a [u8]);
/// First block and number of blocks.
type Extent = (u32, u32);

struct Volume<'s, 'a> {
    source: &'s Source<'a>,
    block_bytes: u64,
    /// Further extents by file, fork and the first block in the fork that they hold.
    overflow: BTreeMap<(u32, u8, u32), Vec<Extent>>,
    attributes: BTreeMap<u32, Vec<Attribute>>,
}

/// An extended attribute: its name, and its content or the description of a fork.
struct Attribute {
    name: Vec<u8>,
    is_fork: bool,
    data: Vec<u8>,
}

/// A folder or file of the catalog.
struct Record<'a> {
    parent: u32,
    name: Vec<u8>,
    kind: u16,
    data: &'a [u8],
}

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let header = source.some(0, HEADER + HEADER_BYTES)?;
    let block_bytes = u64::from(be32(&header, HEADER + 40).unwrap_or(0));
    let mut volume = Volume { source, block_bytes, overflow: BTreeMap::new(), attributes: BTreeMap::new() };
    let mut hold = container.inspection.room.hold();
    let extents = volume.tree(container, &mut hold, &header, EXTENTS_FORK, EXTENTS_FILE)?;
    for (key, data) in leaves(&extents)? {
        if let (Some(fork), Some(file), Some(start)) = (key.first(), be32(key, 2), be32(key, 6)) {
            volume.overflow.insert((file, *fork, start), extents_of(data));
        }
    }
    let attributes = volume.tree(container, &mut hold, &header, ATTRIBUTES_FORK, ATTRIBUTES_FILE)?;
    for (key, data) in leaves(&attributes)? {
        let (file, found) = attribute(key, data).ok_or_else(|| wrong("an attribute is cut off"))?;
        volume.attributes.entry(file).or_default().extend(found);
    }
    let catalog = volume.tree(container, &mut hold, &header, CATALOG_FORK, CATALOG_FILE)?;
    let records: Vec<Record> =
        leaves(&catalog)?.into_iter().filter_map(|(key, data)| record(key, data)).collect();
    let mut folders: BTreeMap<u32, (u32, &[u8])> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == RECORD_FOLDER) {
        let number = be32(record.data, 8).ok_or_else(|| wrong("a record is cut off"))?;
        folders.insert(number, (record.parent, &record.name));
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
            container.leaf(path.clone(), "directory", None).mode = mode.map(|mode| mode & 0o7777);
        } else {
            file(container, &volume, record, path.clone(), mode)?;
        }
        if !volume.take_attributes(container, record, &path)? {
            return Ok(());
        }
    }
    Ok(())
}

fn file(
    container: &mut Container,
    volume: &Volume,
    record: &Record,
    path: BytePath,
    mode: Option<u32>,
) -> io::Result<()> {
    let number = be32(record.data, 8).unwrap_or(0);
    let permissions = mode.map(|mode| mode & 0o7777);
    if record.data.get(48..56) == Some(b"hlnkhfs+") {
        let target = format!("iNode{}", be32(record.data, 44).unwrap_or(0));
        container.leaf(path, "hardlink", Some(BytePath::from(target))).mode = permissions;
        return Ok(());
    }
    let word = match mode.map_or(0, |mode| mode & 0o170_000) {
        0o020_000 | 0o060_000 => "device",
        0o010_000 => "fifo",
        _ => "",
    };
    if !word.is_empty() {
        container.leaf(path, word, None).mode = permissions;
        return Ok(());
    }
    let from = container.node.members.len();
    let is_compressed = record.data.get(41).is_some_and(|flags| u32::from(*flags) & decmpfs::FLAG != 0);
    let content = volume.fork(88, number, FORK_DATA, record.data);
    let taken = match content {
        Ok(content) if mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000) => {
            let target = content.some(0, super::names::PATH_MAX_BYTES)?;
            container.leaf(path.clone(), "symlink", Some(BytePath::from(target.as_ref())));
            Ok(())
        }
        _ if is_compressed => volume.compressed(container, record, number, &path),
        Ok(content) => container.assembled(path.clone(), volume.bytes(), &content).map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = taken {
        container.failed_unpacking(&path, &error);
    }
    if let Some(member) = container.node.members.get_mut(from) {
        member.mode = permissions;
    }
    let has_resources = be64(record.data, 168).is_some_and(|size| size > 0);
    if has_resources && !is_compressed && container.admit() {
        let name = BytePath::new([path.as_bytes(), b"/..namedfork/rsrc"].concat());
        let fork = volume.fork(168, number, FORK_RESOURCE, record.data);
        let taken = fork.and_then(|fork| container.assembled(name.clone(), volume.bytes(), &fork));
        if let Err(error) = taken {
            container.failed_unpacking(&name, &error);
        }
    }
    Ok(())
}

impl<'a> Volume<'_, 'a> {
    /// How large the volume is.
    fn bytes(&self) -> u64 {
        self.source.length().unwrap_or(0)
    }

    /// Reads a tree, which is held as long as `hold` lives.
    fn tree(
        &self,
        container: &mut Container,
        hold: &mut Hold,
        header: &[u8],
        at: usize,
        file: u32,
    ) -> io::Result<Cow<'a, [u8]>> {
        let fork = self.fork(at, file, FORK_DATA, header)?;
        let bytes = fork.length().unwrap_or(u64::MAX);
        if bytes > self.bytes() {
            return Err(wrong("a tree is larger than its volume"));
        }
        // What is found in it takes as much again.
        if !container.inspection.grow(hold, bytes.saturating_mul(2)) {
            return Err(too_large());
        }
        fork.some(0, bytes as usize)
    }

    /// Finds a fork whose description stands at `at` in `description`.
    fn fork(&self, at: usize, file: u32, fork: u8, description: &[u8]) -> io::Result<Source<'a>> {
        let cut = || wrong("a fork is cut off");
        let size = be64(description, at).ok_or_else(cut)?;
        if size > self.bytes() {
            return Err(wrong("a fork is larger than its volume"));
        }
        let mut extents = extents_of(description.get(at + 16..at + 80).ok_or_else(cut)?);
        let mut found = Pieces::default();
        let mut blocks = 0_u32;
        while found.length() < size {
            if extents.is_empty() {
                let more = self.overflow.get(&(file, fork, blocks)).filter(|more| !more.is_empty());
                extents = more.ok_or_else(|| wrong("a fork has too few extents"))?.clone();
            }
            for (start, count) in std::mem::take(&mut extents) {
                let length = (u64::from(count) * self.block_bytes).min(size - found.length());
                found.push(Some(u64::from(start) * self.block_bytes), length)?;
                blocks = blocks.checked_add(count).ok_or_else(|| wrong("a fork has too many blocks"))?;
            }
        }
        self.source.joined(found).ok_or_else(|| wrong("an extent lies outside"))
    }

    /// Finds an attribute that has a fork of its own. None of more than eight extents has been seen; it would be an error.
    fn attribute(&self, attribute: &Attribute) -> io::Result<Source<'a>> {
        self.fork(0, ATTRIBUTES_FILE, FORK_DATA, &attribute.data)
    }

    fn compressed(
        &self,
        container: &mut Container,
        record: &Record,
        number: u32,
        path: &BytePath,
    ) -> io::Result<()> {
        let attributes = self.attributes.get(&number).map_or(&[][..], Vec::as_slice);
        let how = attributes.iter().find(|attribute| attribute.name == decmpfs::ATTRIBUTE);
        let how = how.ok_or_else(|| wrong("how it is compressed is missing"))?;
        let how = match how.is_fork {
            true => self.attribute(how)?.some(0, decmpfs::ATTRIBUTE_MAX_BYTES)?.into_owned(),
            false => how.data.clone(),
        };
        let fork = self.fork(168, number, FORK_RESOURCE, record.data)?;
        decmpfs::member(container, path, &how, Some(&fork))
    }

    /// Takes the extended attributes of a file or folder; `false` when the budget is spent.
    fn take_attributes(
        &self,
        container: &mut Container,
        record: &Record,
        path: &BytePath,
    ) -> io::Result<bool> {
        let number = be32(record.data, 8).unwrap_or(0);
        let attributes = self.attributes.get(&number).map_or(&[][..], Vec::as_slice);
        for attribute in attributes.iter().filter(|attribute| attribute.name != decmpfs::ATTRIBUTE) {
            if !container.admit() {
                return Ok(false);
            }
            let name = BytePath::new([path.as_bytes(), b"/..xattr/", &attribute.name].concat());
            if !attribute.is_fork {
                container.bytes(name, &attribute.data);
                continue;
            }
            let fork = self.attribute(attribute);
            let taken = fork.and_then(|fork| container.assembled(name.clone(), self.bytes(), &fork));
            if let Err(error) = taken {
                container.failed_unpacking(&name, &error);
            }
        }
        Ok(true)
    }
}

/// Reads an attribute's record (`hfs_format.h` of `xnu`, `HFSPlusAttrKey`): its file, and what it is. The record of further extents is
/// passed over.
fn attribute(key: &[u8], data: &[u8]) -> Option<(u32, Option<Attribute>)> {
    let file = be32(key, 2)?;
    let name = name(key.get(10..)?)?;
    let found = match be32(data, 0)? {
        0x10 => {
            let length = be32(data, 12)? as usize;
            Some(Attribute { name, is_fork: false, data: data.get(16..)?.get(..length)?.to_vec() })
        }
        0x20 => Some(Attribute { name, is_fork: true, data: data.get(8..88)?.to_vec() }),
        _ => None,
    };
    Some((file, found))
}

/// Reads a name: a number of UTF-16 units, and these.
fn name(bytes: &[u8]) -> Option<Vec<u8>> {
    let count = usize::from(be16(bytes, 0)?);
    let units = bytes.get(2..2 + count * 2)?.chunks_exact(2);
    let units: Vec<u16> = units.map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
    // A slash in a name is a colon to Unix programs, and the other way round.
    Some(String::from_utf16_lossy(&units).replace('/', ":").into_bytes())
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
fn leaves(tree: &[u8]) -> io::Result<Vec<Leaf<'_>>> {
    if tree.is_empty() {
        return Ok(Vec::new());
    }
    let malformed = || wrong("a tree is malformed");
    let node_bytes = usize::from(be16(tree, 32).filter(|size| *size >= 512).ok_or_else(malformed)?);
    let (mut next, mut found, mut visited) = (be32(tree, 24).ok_or_else(malformed)?, Vec::new(), 0);
    while next != 0 {
        visited += 1;
        if visited > tree.len() / node_bytes {
            return Err(wrong("a tree's leaves go in a circle"));
        }
        let start = (next as usize).checked_mul(node_bytes).ok_or_else(malformed)?;
        let node = tree
            .get(start..start.saturating_add(node_bytes))
            .ok_or_else(|| wrong("a tree's leaf lies outside"))?;
        if node[8] != 0xff {
            return Err(wrong("a tree's leaf is something else"));
        }
        let count = usize::from(be16(node, 10).ok_or_else(malformed)?);
        let mut end = 14;
        for number in 0..count {
            let place = node_bytes
                .checked_sub(2 * (number + 1))
                .and_then(|at| be16(node, at))
                .ok_or_else(malformed)?;
            let at = usize::from(place);
            // Records stand one after the other: that none overlaps bounds their number.
            if at < end {
                return Err(wrong("the records of a tree overlap"));
            }
            let key_bytes = usize::from(be16(node, at).ok_or_else(malformed)?);
            let key = node.get(at + 2..at + 2 + key_bytes).ok_or_else(malformed)?;
            end = at + 2 + key_bytes;
            found.push((key, node.get(end..).ok_or_else(malformed)?));
        }
        next = be32(node, 0).ok_or_else(malformed)?;
    }
    Ok(found)
}

/// Reads a folder's or file's record; threads are left out.
fn record<'a>(key: &[u8], data: &'a [u8]) -> Option<Record<'a>> {
    let kind = be16(data, 0).filter(|kind| matches!(*kind, RECORD_FOLDER | RECORD_FILE))?;
    Some(Record { parent: be32(key, 0)?, name: name(key.get(4..)?)?, kind, data })
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
