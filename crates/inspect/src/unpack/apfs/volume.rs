//! One volume: its records, and the files that they make up (Apple File System Reference, "File-System Objects").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use evidence::BytePath;
use evidence::tree::Packing;

use super::super::{Container, decmpfs, too_large};
use super::tree::Tree;
use super::{Image, wrong};
use crate::bytes::{le16, le32, le64, until_zero};
use crate::room::Hold;
use crate::source::{Pieces, Source};

const ROOT: u64 = 2;
const PRIVATE: u64 = 3;
const FOLDERS_MAX: usize = 128;
/// What a record takes in memory beside its names and values.
const BESIDE_BYTES: u64 = 128;
const SYMLINK: &[u8] = b"com.apple.fs.symlink";
const RESOURCE_FORK: &[u8] = b"com.apple.ResourceFork";
/// The extended field of an inode that says how long its data are (`INO_EXT_TYPE_DSTREAM`).
const DATA_STREAM: u8 = 8;

pub(super) struct Volume<'i, 's, 'a> {
    pub(super) image: &'i Image<'s, 'a>,
    /// Where the objects of the volume are stored.
    pub(super) objects: BTreeMap<u64, u64>,
    pub(super) has_hashed_names: bool,
    /// Stands before the paths of one volume of several.
    pub(super) prefix: Vec<u8>,
}

struct Inode {
    private: u64,
    modified: u64,
    flags: u32,
    mode: u16,
    size: u64,
}

enum Attribute {
    Held(Vec<u8>),
    /// The number of its data, and how long they are.
    Stream(u64, u64),
}

/// A name in a folder.
struct Entry {
    folder: u64,
    name: Vec<u8>,
    file: u64,
}

/// A stretch of a file: where it begins in the file, how long it is, its first block; no block for a hole.
struct Stretch {
    at: u64,
    bytes: u64,
    block: u64,
}

#[derive(Default)]
struct Records {
    inodes: BTreeMap<u64, Inode>,
    attributes: BTreeMap<u64, Vec<(Vec<u8>, Attribute)>>,
    stretches: BTreeMap<u64, Vec<Stretch>>,
    entries: Vec<Entry>,
}

impl<'a> Volume<'_, '_, 'a> {
    /// Takes the files of the volume; `false` when the budget is spent.
    pub(super) fn members(&self, container: &mut Container, root: u64) -> io::Result<bool> {
        let mut hold = container.inspection.room.hold();
        let records = self.records(container, &mut hold, root)?;
        let folders: BTreeMap<u64, &Entry> = records
            .entries
            .iter()
            .filter(|entry| records.inodes.get(&entry.file).is_some_and(|inode| kind(inode) == 0o040_000))
            .map(|entry| (entry.file, entry))
            .collect();
        let mut first_names: BTreeMap<u64, BytePath> = BTreeMap::new();
        for entry in &records.entries {
            if matches!(entry.file, ROOT | PRIVATE) {
                continue;
            }
            if !container.admit() {
                return Ok(false);
            }
            let Some(path) = self.path(entry, &folders) else {
                container.malformed_member(&BytePath::new(entry.name.clone()), "it has no way to the root");
                continue;
            };
            let Some(inode) = records.inodes.get(&entry.file) else {
                container.malformed_member(&path, "its inode is missing");
                continue;
            };
            if let Some(first) = first_names.get(&entry.file) {
                container.leaf(path, "hardlink", Some(first.clone()));
                continue;
            }
            first_names.insert(entry.file, path.clone());
            if !self.file(container, &records, entry.file, inode, path)? {
                return Ok(false);
            }
        }
        // What no folder names is there all the same.
        let mut number = 0;
        for (file, inode) in &records.inodes {
            if matches!(*file, ROOT | PRIVATE) || first_names.contains_key(file) || kind(inode) == 0o040_000 {
                continue;
            }
            number += 1;
            if !container.admit() {
                return Ok(false);
            }
            let path = self.prefixed(format!("#unlisted/{number}").as_bytes());
            if !self.file(container, &records, *file, inode, path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the records of the volume's tree.
    fn records(&self, container: &mut Container, hold: &mut Hold, root: u64) -> io::Result<Records> {
        let mut records = Records::default();
        let place = |object| {
            let place = self.objects.get(&object).copied();
            place.ok_or_else(|| wrong("a node of the volume's tree is missing"))
        };
        Tree::new(self.image, &place, None).leaves(root, &mut |key, value| {
            let word = le64(key, 0).ok_or_else(|| wrong("a record has no key"))?;
            let number = word & 0x0fff_ffff_ffff_ffff;
            let known = match word >> 60 {
                3 => inode(value).map(|inode| {
                    records.inodes.insert(number, inode);
                }),
                4 => attribute(key, value).map(|found| {
                    records.attributes.entry(number).or_default().push(found);
                }),
                8 => stretch(key, value).map(|found| {
                    records.stretches.entry(number).or_default().push(found);
                }),
                9 => self.entry(number, key, value).map(|found| records.entries.push(found)),
                _ => return Ok(()),
            };
            known.ok_or_else(|| wrong("a record is malformed"))?;
            let bytes = (key.len() + value.len()) as u64 + BESIDE_BYTES;
            if container.inspection.grow(hold, bytes) { Ok(()) } else { Err(too_large()) }
        })?;
        Ok(records)
    }

    fn entry(&self, folder: u64, key: &[u8], value: &[u8]) -> Option<Entry> {
        let (at, length) = if self.has_hashed_names {
            (12, (le32(key, 8)? & 0x3ff) as usize)
        } else {
            (10, usize::from(le16(key, 8)?))
        };
        // A slash in a name is a colon to Unix programs.
        let name =
            until_zero(key.get(at..at + length)?).iter().map(|byte| if *byte == b'/' { b':' } else { *byte });
        Some(Entry { folder, name: name.collect(), file: le64(value, 0)? })
    }

    fn prefixed(&self, path: &[u8]) -> BytePath {
        let separator = if self.prefix.is_empty() { &b""[..] } else { b"/" };
        BytePath::new([&self.prefix, separator, path].concat())
    }

    fn path(&self, entry: &Entry, folders: &BTreeMap<u64, &Entry>) -> Option<BytePath> {
        let mut parts = vec![entry.name.as_slice()];
        let mut at = entry.folder;
        while at != ROOT {
            if at == PRIVATE {
                parts.push(b"#private");
                break;
            }
            let folder = folders.get(&at)?;
            if parts.len() > FOLDERS_MAX {
                return None;
            }
            parts.push(&folder.name);
            at = folder.folder;
        }
        parts.reverse();
        Some(self.prefixed(&parts.join(&b'/')))
    }

    /// Takes a file with its attributes; `false` when the budget is spent.
    fn file(
        &self,
        container: &mut Container,
        records: &Records,
        number: u64,
        inode: &Inode,
        path: BytePath,
    ) -> io::Result<bool> {
        let from = container.node.members.len();
        let attributes = records.attributes.get(&number).map_or(&[][..], Vec::as_slice);
        let named = |name: &[u8]| attributes.iter().find(|(known, _)| known == name).map(|(_, found)| found);
        match kind(inode) {
            0o040_000 => {
                container.leaf(path.clone(), "directory", None);
            }
            0o120_000 => {
                let target = match named(SYMLINK) {
                    Some(Attribute::Held(target)) => Some(BytePath::new(until_zero(target).to_vec())),
                    _ => None,
                };
                if target.is_none() {
                    container.malformed_member(&path, "its target is missing");
                }
                container.leaf(path.clone(), "symlink", target);
            }
            0o020_000 | 0o060_000 => {
                container.leaf(path.clone(), "device", None);
            }
            0o010_000 => {
                container.leaf(path.clone(), "fifo", None);
            }
            0o140_000 => {
                container.leaf(path.clone(), "socket", None);
            }
            _ => {
                let taken = if inode.flags & decmpfs::FLAG != 0 {
                    self.compressed(
                        container,
                        records,
                        &path,
                        named(decmpfs::ATTRIBUTE),
                        named(RESOURCE_FORK),
                    )
                } else {
                    let source = self.data(records, inode.private, inode.size);
                    source
                        .and_then(|source| container.assembled(path.clone(), self.whole(), &source))
                        .map(|_| ())
                };
                if let Err(error) = taken {
                    container.failed_unpacking(&path, &error);
                }
            }
        }
        if let Some(member) = container.node.members.get_mut(from) {
            member.mode = Some(u32::from(inode.mode & 0o7777));
        }
        let seconds = i64::try_from(inode.modified / 1_000_000_000).ok();
        container.packed(from, &Packing { modified: seconds, owner: None });
        for (name, attribute) in attributes {
            let is_content = name == decmpfs::ATTRIBUTE
                || name == SYMLINK
                || name == RESOURCE_FORK && inode.flags & decmpfs::FLAG != 0;
            if is_content {
                continue;
            }
            if !container.admit() {
                return Ok(false);
            }
            let part = if name == RESOURCE_FORK {
                b"/..namedfork/rsrc".to_vec()
            } else {
                [b"/..xattr/", name.as_slice()].concat()
            };
            let place = BytePath::new([path.as_bytes(), &part].concat());
            let taken = match attribute {
                Attribute::Held(bytes) => {
                    container.bytes(place.clone(), bytes);
                    Ok(())
                }
                Attribute::Stream(number, size) => {
                    let source = self.data(records, *number, *size);
                    source
                        .and_then(|source| container.assembled(place.clone(), self.whole(), &source))
                        .map(|_| ())
                }
            };
            if let Err(error) = taken {
                container.failed_unpacking(&place, &error);
            }
        }
        Ok(true)
    }

    /// How large the container is.
    fn whole(&self) -> u64 {
        self.image.source.length().unwrap_or(0)
    }

    fn compressed(
        &self,
        container: &mut Container,
        records: &Records,
        path: &BytePath,
        how: Option<&Attribute>,
        fork: Option<&Attribute>,
    ) -> io::Result<()> {
        let stream;
        let how: Cow<[u8]> = match how.ok_or_else(|| wrong("how it is compressed is missing"))? {
            Attribute::Held(bytes) => Cow::Borrowed(bytes),
            Attribute::Stream(number, size) => {
                stream = self.data(records, *number, *size)?;
                stream.some(0, decmpfs::ATTRIBUTE_MAX_BYTES)?
            }
        };
        match fork {
            Some(Attribute::Held(bytes)) => {
                decmpfs::member(container, path, &how, Some(&Source::Held(bytes)))
            }
            Some(Attribute::Stream(number, size)) => {
                let fork = self.data(records, *number, *size)?;
                decmpfs::member(container, path, &how, Some(&fork))
            }
            None => decmpfs::member(container, path, &how, None),
        }
    }

    /// The data of a number, put together from their stretches.
    fn data(&self, records: &Records, number: u64, size: u64) -> io::Result<Source<'a>> {
        let mut extents = Pieces::default();
        for stretch in records.stretches.get(&number).map_or(&[][..], Vec::as_slice) {
            let Some(left) = size.checked_sub(extents.length()).filter(|left| *left > 0) else { break };
            if stretch.at != extents.length() {
                return Err(wrong("its extents are not in a row"));
            }
            let bytes = stretch.bytes.min(left);
            // The first block is the superblock: no file has it, and a hole says so.
            let place = (stretch.block != 0).then(|| self.image.place(stretch.block)).transpose()?;
            extents.push(place, bytes)?;
        }
        if extents.length() != size {
            return Err(wrong("it has too few extents"));
        }
        self.image.source.joined(extents).ok_or_else(|| wrong("an extent lies outside"))
    }
}

fn kind(inode: &Inode) -> u16 {
    inode.mode & 0o170_000
}

fn inode(value: &[u8]) -> Option<Inode> {
    Some(Inode {
        private: le64(value, 8)?,
        modified: le64(value, 24)?,
        flags: le32(value, 68)?,
        mode: le16(value, 80)?,
        size: stream_size(value.get(92..).unwrap_or(b""))?,
    })
}

/// How long the data of an inode are; none are of length zero. `None` if its extended fields are cut off.
fn stream_size(fields: &[u8]) -> Option<u64> {
    let count = usize::from(le16(fields, 0).unwrap_or(0));
    let mut at = 4 + 4 * count;
    for number in 0..count {
        let field = 4 + 4 * number;
        let (kind, size) = (*fields.get(field)?, usize::from(le16(fields, field + 2)?));
        let data = fields.get(at..at + size)?;
        if kind == DATA_STREAM {
            return le64(data, 0);
        }
        at += size.next_multiple_of(8);
    }
    Some(0)
}

fn attribute(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Attribute)> {
    let length = usize::from(le16(key, 8)?);
    let name = until_zero(key.get(10..10 + length)?).to_vec();
    let data = value.get(4..)?.get(..usize::from(le16(value, 2)?))?;
    let is_stream = le16(value, 0)? & 1 != 0;
    let attribute = if is_stream {
        Attribute::Stream(le64(data, 0)?, le64(data, 8)?)
    } else {
        Attribute::Held(data.to_vec())
    };
    Some((name, attribute))
}

fn stretch(key: &[u8], value: &[u8]) -> Option<Stretch> {
    let bytes = le64(value, 0)? & 0x00ff_ffff_ffff_ffff;
    Some(Stretch { at: le64(key, 8)?, bytes, block: le64(value, 8)? })
}
