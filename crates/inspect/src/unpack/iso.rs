//! ISO 9660 images (ECMA-119), with the names of Rock Ridge (IEEE P1282) and Joliet. What only one of the two trees has is
//! shown as well: systems differ in the tree they mount.

mod rock_ridge;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use evidence::BytePath;

use self::rock_ridge::RockRidge;
use super::Container;
use crate::bytes::{le16, le32};
use crate::source::Source;

const SECTOR_BYTES: u64 = 2048;
const FIRST_DESCRIPTOR: u64 = 16;
/// Volume descriptors and the marks of UDF stand one a sector.
const DESCRIPTORS_MAX: u64 = 64;
const ROOT_RECORD: usize = 156;
const FLAG_FOLDER: u8 = 2;
const FLAG_MORE_EXTENTS: u8 = 0x80;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let volumes = Volumes::read(source)?;
    let Some(primary) = volumes.primary else {
        return Err(io::Error::other("there is no primary volume descriptor"));
    };
    if volumes.has_udf {
        container
            .problem("unsupported-container", "its UDF file system is not opened; systems may prefer it");
    }
    let block = u64::from(le16(&primary, 128).unwrap_or(0));
    if block != SECTOR_BYTES {
        return Err(io::Error::other("its blocks have an unusual size"));
    }
    let length = source.length().unwrap_or(0);
    let mut image = Image { source, extents: BTreeSet::new(), unread: 2 * length };
    if !image.tree(container, &primary, Names::Plain)? {
        return Ok(());
    }
    if let Some(joliet) = volumes.joliet
        && !image.tree(container, &joliet, Names::Joliet)?
    {
        return Ok(());
    }
    let end = u64::from(le32(&primary, 80).unwrap_or(0)) * SECTOR_BYTES;
    let after = length.checked_sub(end).and_then(|rest| source.part(end, rest));
    let system_area = source.part(0, FIRST_DESCRIPTOR * SECTOR_BYTES);
    for (name, part) in [("#system-area", system_area), ("#after", after)] {
        container.unless_zero(name, part)?;
    }
    Ok(())
}

/// The volume descriptors that matter.
struct Volumes<'a> {
    primary: Option<Cow<'a, [u8]>>,
    joliet: Option<Cow<'a, [u8]>>,
    has_udf: bool,
}

impl<'a> Volumes<'a> {
    fn read(source: &Source<'a>) -> io::Result<Self> {
        let mut volumes = Self { primary: None, joliet: None, has_udf: false };
        for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS_MAX {
            let Some(sector) = source.exactly(number * SECTOR_BYTES, SECTOR_BYTES as usize)? else { break };
            match (sector[0], &sector[1..6]) {
                (1, b"CD001") => volumes.primary = volumes.primary.or(Some(sector)),
                (2, b"CD001") if matches!(&sector[88..91], b"%/@" | b"%/C" | b"%/E") => {
                    volumes.joliet = volumes.joliet.or(Some(sector));
                }
                (_, b"CD001" | b"BEA01" | b"TEA01" | b"BOOT2") => {}
                (_, b"NSR02" | b"NSR03") => volumes.has_udf = true,
                _ => break,
            }
        }
        Ok(volumes)
    }
}

/// How the names of a tree are written, where Rock Ridge does not say them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Plain,
    Joliet,
}

struct Image<'s, 'a> {
    source: &'s Source<'a>,
    /// Where contents are that were taken already.
    extents: BTreeSet<(u32, u64)>,
    /// Bytes of folders that may still be read: folders that overlap would read more than there is.
    unread: u64,
}

/// One directory record (ECMA-119 9.1).
struct Record {
    extent: u32,
    size: u32,
    flags: u8,
    name: Vec<u8>,
    system_use: Vec<u8>,
}

impl<'a> Image<'_, 'a> {
    /// Takes the files of a tree; of a second tree only what the first does not have. `false` when the budget is spent.
    fn tree(&mut self, container: &mut Container, descriptor: &[u8], names: Names) -> io::Result<bool> {
        let Some((root, _)) = record(descriptor, ROOT_RECORD) else {
            container.malformed("a tree has no root");
            return Ok(true);
        };
        let skip = self.skip_of_system_use(&root)?;
        let mut visited = BTreeSet::new();
        let prefix = if names == Names::Joliet { b"#joliet".to_vec() } else { Vec::new() };
        let mut stack = vec![(Rc::new(prefix), root)];
        while let Some((path, folder)) = stack.pop() {
            if !visited.insert(folder.extent) {
                let path = BytePath::new(path.to_vec());
                container.malformed_member(&path, "a folder is within itself, or in two places");
                continue;
            }
            let Some(records) = self.records(&folder)? else {
                container.malformed_member(
                    &BytePath::new(path.to_vec()),
                    "a folder lies outside, or shares bytes with others",
                );
                continue;
            };
            let mut pieces: Vec<(u32, u32)> = Vec::new();
            for record in records {
                let rock_ridge = match (names, skip) {
                    (Names::Plain, Some(skip)) => RockRidge::read(self.source, &record.system_use, skip)?,
                    _ => RockRidge::default(),
                };
                let name = rock_ridge.name.clone().unwrap_or_else(|| plain_name(&record.name, names));
                let separator = if path.is_empty() { &b""[..] } else { b"/" };
                let full = [path.as_slice(), separator, &name].concat();
                if rock_ridge.is_relocated {
                    // It is listed where it belongs, by its link.
                    continue;
                }
                let moved = rock_ridge.child.map(|extent| self.folder_at(extent)).transpose()?;
                if record.flags & FLAG_FOLDER != 0 || moved.is_some() {
                    if names == Names::Plain {
                        if !container.admit() {
                            return Ok(false);
                        }
                        container.leaf(BytePath::new(full.clone()), "directory", None).mode =
                            rock_ridge.permissions();
                    }
                    match moved {
                        None => stack.push((Rc::new(full), record)),
                        Some(Some(folder)) => stack.push((Rc::new(full), folder)),
                        Some(None) => {
                            container.malformed_member(&BytePath::new(full), "its folder lies outside")
                        }
                    }
                    continue;
                }
                pieces.push((record.extent, record.size));
                if record.flags & FLAG_MORE_EXTENTS != 0 {
                    continue;
                }
                let pieces = std::mem::take(&mut pieces);
                if !self.file(container, BytePath::new(full), &pieces, &rock_ridge, names) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn file(
        &mut self,
        container: &mut Container,
        name: BytePath,
        pieces: &[(u32, u32)],
        rock_ridge: &RockRidge,
        names: Names,
    ) -> bool {
        let first = pieces.first().map_or(0, |(extent, _)| *extent);
        let total: u64 = pieces.iter().map(|(_, size)| u64::from(*size)).sum();
        let is_new = self.extents.insert((first, total));
        if names == Names::Joliet && (!is_new || total == 0) {
            return true;
        }
        if !container.admit() {
            return false;
        }
        let word = match rock_ridge.mode.map_or(0, |mode| mode & 0o170_000) {
            0o120_000 => "symlink",
            0o020_000 | 0o060_000 => "device",
            0o010_000 => "fifo",
            0o140_000 => "other",
            _ => "",
        };
        if !word.is_empty() {
            let link = (word == "symlink").then(|| BytePath::new(rock_ridge.link.clone()));
            container.leaf(name, word, link).mode = rock_ridge.permissions();
        } else if rock_ridge.is_compressed {
            container.member_problem(&name, "unsupported-compression", "zisofs is not opened");
        } else {
            let taken = match self.content(pieces) {
                Some(content) => container.stored(name.clone(), &content),
                None => Err(io::Error::other("its content lies outside")),
            };
            match taken {
                Ok(member) => member.mode = rock_ridge.permissions(),
                Err(error) => container.failed_member(&name, &error),
            }
        }
        true
    }

    /// Joins the pieces of a content, which must stand in a row.
    fn content(&self, pieces: &[(u32, u32)]) -> Option<Source<'a>> {
        let (first, _) = pieces.first()?;
        let in_a_row = pieces.windows(2).all(|pair| {
            u64::from(pair[0].0) + u64::from(pair[0].1) / SECTOR_BYTES == u64::from(pair[1].0)
                && u64::from(pair[0].1) % SECTOR_BYTES == 0
        });
        let total: u64 = pieces.iter().map(|(_, size)| u64::from(*size)).sum();
        // An empty file may name any place.
        let at = if total == 0 { 0 } else { u64::from(*first) * SECTOR_BYTES };
        self.source.part(at, total).filter(|_| in_a_row)
    }

    /// Reads a folder's records, without itself and its parent. Records do not cross sectors.
    fn records(&mut self, folder: &Record) -> io::Result<Option<Vec<Record>>> {
        let Some(unread) = self.unread.checked_sub(u64::from(folder.size)) else { return Ok(None) };
        self.unread = unread;
        let at = u64::from(folder.extent) * SECTOR_BYTES;
        let Some(content) = self.source.part(at, u64::from(folder.size)) else { return Ok(None) };
        let mut records = Vec::new();
        for number in 0..u64::from(folder.size).div_ceil(SECTOR_BYTES) {
            let sector = content.some(number * SECTOR_BYTES, SECTOR_BYTES as usize)?;
            let mut at = 0;
            while let Some((record, next)) = record(&sector, at) {
                if !matches!(record.name[..], [0] | [1]) {
                    records.push(record);
                }
                at = next;
            }
        }
        Ok(Some(records))
    }

    /// Makes the record of a folder that was moved: its own first record has its size.
    fn folder_at(&self, extent: u32) -> io::Result<Option<Record>> {
        let sector = self.source.exactly(u64::from(extent) * SECTOR_BYTES, SECTOR_BYTES as usize)?;
        Ok(sector.and_then(|sector| record(&sector, 0)).map(|(record, _)| record))
    }

    /// Finds in the root's own record whether there is Rock Ridge (SUSP 5.3, "SP"), and how many bytes each record skips.
    fn skip_of_system_use(&self, root: &Record) -> io::Result<Option<usize>> {
        let Some(record) = self.folder_at(root.extent)? else { return Ok(None) };
        let entry = record.system_use;
        Ok((entry.starts_with(b"SP") && entry.get(4..6) == Some(b"\xbe\xef"))
            .then(|| usize::from(entry.get(6).copied().unwrap_or(0))))
    }
}

/// Reads the record at `at`, and returns where the next one is.
fn record(sector: &[u8], at: usize) -> Option<(Record, usize)> {
    let length = usize::from(*sector.get(at)?);
    if length < 34 {
        return None;
    }
    let bytes = sector.get(at..at + length)?;
    let name_end = 33 + usize::from(bytes[32]);
    let record = Record {
        extent: le32(bytes, 2)?,
        size: le32(bytes, 10)?,
        flags: bytes[25],
        name: bytes.get(33..name_end)?.to_vec(),
        system_use: bytes.get(name_end.next_multiple_of(2)..).unwrap_or(b"").to_vec(),
    };
    Some((record, at + length))
}

/// Writes a name without its version.
fn plain_name(name: &[u8], names: Names) -> Vec<u8> {
    let name = match names {
        Names::Plain => name.to_vec(),
        Names::Joliet => {
            let units: Vec<u16> =
                name.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units).into_bytes()
        }
    };
    let end = name.iter().rposition(|byte| *byte == b';').unwrap_or(name.len());
    let name = &name[..end];
    match names {
        Names::Plain => name.strip_suffix(b".").unwrap_or(name).to_vec(),
        Names::Joliet => name.to_vec(),
    }
}
