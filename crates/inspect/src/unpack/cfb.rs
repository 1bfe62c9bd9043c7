//! Compound files ([MS-CFB]): installers, old Office documents, message files. A file of an installer database is read
//! by `msi`; of every other one the streams are the members.

pub(super) mod msi;

use std::borrow::Cow;
use std::rc::Rc;

use evidence::BytePath;

use super::Container;
use crate::bytes::{le16, le32, le64, slice};

const END_OF_CHAIN: u32 = 0xffff_fffe;
const FREE: u32 = 0xffff_ffff;
/// Sector numbers from here on have a meaning of their own.
const SPECIAL: u32 = 0xffff_fffa;
const NO_STREAM: u32 = 0xffff_ffff;
const ENTRY_BYTES: usize = 128;
const FAT_IN_HEADER: usize = 109;
const MINI_SECTOR_BYTES: u64 = 64;
/// Storages within storages.
const STORAGES_MAX: usize = 32;

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let file = match CompoundFile::read(bytes) {
        Ok(file) => file,
        Err(what) => return container.malformed(what),
    };
    if msi::is_database(&file) {
        msi::members(container, &file);
    } else {
        for stream in &file.streams {
            if !container.admit() {
                return;
            }
            take(container, &file, stream, within(&stream.storage, &stream.name));
        }
    }
    let after = file.after();
    if after.iter().any(|byte| *byte != 0) && container.admit() {
        container.bytes("#after".into(), after);
    }
}

/// Takes a stream as a member.
fn take(container: &mut Container, file: &CompoundFile, stream: &Stream, name: BytePath) {
    match file.content(stream) {
        Ok(content) => {
            container.bytes(name, &content);
        }
        Err(what) => container.malformed_member(&name, what),
    }
}

/// Names a stream with the storages that it is in.
fn within(storage: &[u8], name: &[u8]) -> BytePath {
    if storage.is_empty() { BytePath::from(name) } else { BytePath::new([storage, b"/", name].concat()) }
}

/// A compound file's allocation tables and streams.
pub(super) struct CompoundFile<'a> {
    bytes: &'a [u8],
    sector_bytes: u64,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini_stream: Cow<'a, [u8]>,
    mini_cutoff: u64,
    /// Class of the root storage.
    pub(super) class: [u8; 16],
    pub(super) streams: Vec<Stream>,
}

/// A stream: the path of the storage around it and its name, in UTF-8, and where it is.
pub(super) struct Stream {
    pub(super) storage: Rc<Vec<u8>>,
    pub(super) name: Vec<u8>,
    start: u32,
    pub(super) size: u64,
}

type Wrong = &'static str;

impl<'a> CompoundFile<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Wrong> {
        let sector_bytes = match le16(bytes, 30) {
            Some(9) => 512,
            Some(12) => 4096,
            _ => return Err("the sectors have no known size"),
        };
        let mini_cutoff = u64::from(le32(bytes, 56).ok_or("the header is cut off")?);
        let mut file = Self {
            bytes,
            sector_bytes,
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini_stream: Cow::Borrowed(b""),
            mini_cutoff,
            class: [0; 16],
            streams: Vec::new(),
        };
        file.read_fat()?;
        let word = |at| le32(bytes, at).ok_or("the header is cut off");
        let mini_fat = file.chain(word(60)?, u64::MAX)?;
        file.mini_fat = words(&mini_fat);
        let directory = file.chain(word(48)?, u64::MAX)?.into_owned();
        let root = directory.get(..ENTRY_BYTES).ok_or("there is no directory")?;
        file.class.copy_from_slice(&root[80..96]);
        let (start, size) = (le32(root, 116).unwrap_or(FREE), le64(root, 120).unwrap_or(0));
        if size > 0 {
            file.mini_stream = file.chain(start, file.size(size))?;
        }
        file.read_directory(&directory)?;
        Ok(file)
    }

    /// Only the low half of a size counts in version 3 ([MS-CFB] 2.6.3).
    fn size(&self, size: u64) -> u64 {
        if self.sector_bytes == 512 { size & 0xffff_ffff } else { size }
    }

    fn sector(&self, number: u32) -> Option<&'a [u8]> {
        let start = (u64::from(number) + 1) * self.sector_bytes;
        let end = (start + self.sector_bytes).min(self.bytes.len() as u64);
        // The last sector may be cut off.
        slice(self.bytes, start, end.checked_sub(start).filter(|length| *length > 0)?)
    }

    /// Reads the sectors of the table, which the header and a chain of its own list.
    fn read_fat(&mut self) -> Result<(), Wrong> {
        let mut numbers: Vec<u32> =
            (0..FAT_IN_HEADER).filter_map(|at| le32(self.bytes, 76 + at * 4)).collect();
        let mut next = le32(self.bytes, 68).ok_or("the header is cut off")?;
        let sectors = self.bytes.len() as u64 / self.sector_bytes;
        let per_sector = self.sector_bytes / 4;
        let mut read = 0;
        while next < SPECIAL {
            read += 1;
            if read > sectors {
                return Err("the list of tables goes in a circle");
            }
            let list = words(self.sector(next).ok_or("a list of tables lies outside")?);
            let (last, list) = list.split_last().ok_or("a list of tables is empty")?;
            numbers.extend(list);
            next = *last;
        }
        // A table longer than the file needs has sectors twice.
        let needed = sectors.div_ceil(per_sector) + 1;
        for number in numbers.into_iter().filter(|number| *number < SPECIAL) {
            if self.fat.len() as u64 > needed * per_sector {
                break;
            }
            self.fat.extend(words(self.sector(number).ok_or("a table lies outside")?));
        }
        Ok(())
    }

    /// Reads a chain of sectors, up to a size. What lies in a row is not copied.
    fn chain(&self, start: u32, size: u64) -> Result<Cow<'a, [u8]>, Wrong> {
        let mut numbers = Vec::new();
        let mut next = start;
        while next < SPECIAL && (numbers.len() as u64) < size.div_ceil(self.sector_bytes) {
            if numbers.len() > self.fat.len() {
                return Err("a chain goes in a circle");
            }
            numbers.push(next);
            next = *self.fat.get(next as usize).ok_or("a chain leads outside")?;
        }
        let Some(first) = numbers.first() else { return Ok(Cow::Borrowed(b"")) };
        let in_a_row = numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
        if in_a_row {
            let from = (u64::from(*first) + 1) * self.sector_bytes;
            let length = (numbers.len() as u64 * self.sector_bytes).min(size);
            let length = length.min((self.bytes.len() as u64).saturating_sub(from));
            return slice(self.bytes, from, length).map(Cow::Borrowed).ok_or("a chain lies outside");
        }
        let mut content = Vec::new();
        for number in numbers {
            content.extend_from_slice(self.sector(number).ok_or("a sector lies outside")?);
        }
        content.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(Cow::Owned(content))
    }

    /// Reads a stream's content.
    pub(super) fn content(&self, stream: &Stream) -> Result<Cow<'a, [u8]>, Wrong> {
        let content = if stream.size < self.mini_cutoff {
            Cow::Owned(self.mini_chain(stream.start, stream.size)?)
        } else {
            self.chain(stream.start, stream.size)?
        };
        if content.len() as u64 == stream.size {
            Ok(content)
        } else {
            Err("a stream is shorter than its size")
        }
    }

    fn mini_chain(&self, start: u32, size: u64) -> Result<Vec<u8>, Wrong> {
        let (mut content, mut next) = (Vec::new(), start);
        while (content.len() as u64) < size && next < SPECIAL {
            let from = u64::from(next) * MINI_SECTOR_BYTES;
            let sector = slice(&self.mini_stream, from, MINI_SECTOR_BYTES)
                .or_else(|| self.mini_stream.get(usize::try_from(from).ok()?..))
                .filter(|sector| !sector.is_empty());
            content.extend_from_slice(sector.ok_or("a small sector lies outside")?);
            next = *self.mini_fat.get(next as usize).ok_or("a chain of small sectors leads outside")?;
        }
        content.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(content)
    }

    /// Walks the tree of storages. Each entry is visited once, so that circles end.
    fn read_directory(&mut self, directory: &[u8]) -> Result<(), Wrong> {
        let entries: Vec<&[u8]> = directory.chunks_exact(ENTRY_BYTES).collect();
        let mut visited = vec![false; entries.len()];
        let child = |entry: &[u8], at: usize| le32(entry, at).unwrap_or(NO_STREAM);
        let root = child(entries.first().ok_or("there is no directory")?, 76);
        let mut stack = vec![(root, Rc::new(Vec::new()), 0)];
        while let Some((number, storage, depth)) = stack.pop() {
            if number == NO_STREAM {
                continue;
            }
            let entry = entries.get(number as usize).ok_or("an entry leads outside the directory")?;
            if std::mem::replace(&mut visited[number as usize], true) {
                return Err("an entry has two places in the directory");
            }
            stack.push((child(entry, 68), Rc::clone(&storage), depth));
            stack.push((child(entry, 72), Rc::clone(&storage), depth));
            match entry[66] {
                1 if depth < STORAGES_MAX => {
                    let inner = within(&storage, &name(entry)).into_bytes();
                    stack.push((child(entry, 76), Rc::new(inner), depth + 1));
                }
                2 => self.streams.push(Stream {
                    storage,
                    name: name(entry),
                    start: le32(entry, 116).unwrap_or(END_OF_CHAIN),
                    size: self.size(le64(entry, 120).unwrap_or(0)),
                }),
                _ => return Err("an entry is of no known kind, or too deep"),
            }
        }
        self.streams.sort_by(|a, b| (&a.storage, &a.name).cmp(&(&b.storage, &b.name)));
        Ok(())
    }

    /// Returns what lies behind the last sector in use: a signature does not cover it.
    fn after(&self) -> &'a [u8] {
        let used = self.fat.iter().rposition(|next| *next != FREE).map_or(0, |last| last + 1);
        let end = (used as u64 + 1) * self.sector_bytes;
        usize::try_from(end).ok().and_then(|end| self.bytes.get(end..)).unwrap_or(b"")
    }
}

/// Reads an entry's name: UTF-16, with a length in bytes that counts the zero.
fn name(entry: &[u8]) -> Vec<u8> {
    let length = usize::from(le16(entry, 64).unwrap_or(0)).saturating_sub(2).min(62);
    let units: Vec<u16> =
        entry[..length].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}
