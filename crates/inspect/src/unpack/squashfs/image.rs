//! The structures of a squashfs image: metadata blocks, inodes, listings, data blocks and fragments.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use crate::budget::Exhausted;
use crate::bytes::{le16, le32, le64, slice};
use crate::format::Format;
use crate::source::Source;
use crate::unpack::{Container, stream};

const SUPERBLOCK_BYTES: usize = 96;
const METADATA_BYTES: u32 = 8192;
const METADATA_STORED: u16 = 0x8000;
const BLOCK_STORED: u32 = 1 << 24;
const BLOCK_MAX_BYTES: u32 = 1 << 20;
const NO_FRAGMENT: u32 = u32::MAX;
const FRAGMENTS_A_BLOCK: u32 = 512;
/// A folder with a million names.
const LISTING_MAX_BYTES: u32 = 32 << 20;
/// Unpacked metadata blocks that are kept.
const CACHED_MAX: usize = 1024;

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Malformed(&'static str),
    /// Number of a compression that is not known.
    #[error("compression {0} is not known")]
    Compression(u16),
    #[error("{0}")]
    Exhausted(Exhausted),
    #[error("{0}")]
    Unreadable(#[source] io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

const OUTSIDE: Failure = Failure::Malformed("a block lies outside");
const CUT_OFF: Failure = Failure::Malformed("a structure is cut off");

pub(super) struct Image<'a> {
    source: Source<'a>,
    block_bytes: u32,
    compression: u16,
    root: u64,
    used: u64,
    inode_table: u64,
    directory_table: u64,
    fragment_table: u64,
    fragment_count: u32,
    /// Metadata blocks by their place, with the place of the next.
    cache: BTreeMap<u64, (Rc<Vec<u8>>, u64)>,
    /// The fragment block used last: small files stand together.
    fragment: Option<(u32, Rc<Vec<u8>>)>,
}

pub(super) struct Inode {
    pub(super) mode: u16,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Folder { block: u32, offset: u16, size: u32 },
    File(File),
    Link(Vec<u8>),
    Device,
    Fifo,
    Other,
}

pub(super) struct File {
    start: u64,
    pub(super) size: u64,
    blocks: Vec<u32>,
    fragment: u32,
    fragment_offset: u32,
}

/// One name in a folder, and where its inode is.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) inode: u64,
}

/// A place in the metadata, from which is read on.
struct Cursor {
    block: u64,
    offset: usize,
}

impl<'a> Image<'a> {
    pub(super) fn read(source: &Source<'a>) -> Result<Self, Failure> {
        let bytes = source.some(0, SUPERBLOCK_BYTES)?;
        let short = || Failure::Malformed("the superblock is cut off");
        let word = |at| le32(&bytes, at).ok_or_else(short);
        let wide = |at| le64(&bytes, at).ok_or_else(short);
        if (le16(&bytes, 28), le16(&bytes, 30)) != (Some(4), Some(0)) {
            return Err(Failure::Malformed("it is not of version 4.0"));
        }
        let block_bytes = word(12)?;
        if !block_bytes.is_power_of_two() || !(4096..=BLOCK_MAX_BYTES).contains(&block_bytes) {
            return Err(Failure::Malformed("its blocks have an impossible size"));
        }
        Ok(Self {
            source: source.clone(),
            block_bytes,
            compression: le16(&bytes, 20).ok_or_else(short)?,
            root: wide(32)?,
            used: wide(40)?,
            inode_table: wide(64)?,
            directory_table: wide(72)?,
            fragment_table: wide(80)?,
            fragment_count: word(16)?,
            cache: BTreeMap::new(),
            fragment: None,
        })
    }

    /// Returns where the root folder's inode is.
    pub(super) fn root(&self) -> u64 {
        self.root
    }

    /// Returns what follows the image.
    pub(super) fn after(&self) -> Option<Source<'a>> {
        let length = self.source.length()?.checked_sub(self.used)?;
        self.source.part(self.used, length)
    }

    /// Reads an inode by its reference: a block and an offset in it.
    pub(super) fn inode(&mut self, container: &mut Container, reference: u64) -> Result<Inode, Failure> {
        // More blocks than a member may have bytes are not listed.
        let (room, what) = container.inspection.budget.room(u64::MAX);
        let block = self.inode_table.checked_add(reference >> 16).ok_or(OUTSIDE)?;
        let mut cursor = Cursor { block, offset: (reference & 0xffff) as usize };
        let head = self.metadata(container, &mut cursor, 16)?;
        let (kind, mode) = (le16(&head, 0).ok_or(CUT_OFF)?, le16(&head, 2).ok_or(CUT_OFF)?);
        let mut more = |image: &mut Self, count| image.metadata(container, &mut cursor, count);
        let kind = match kind {
            1 => {
                let body = more(self, 16)?;
                Kind::Folder {
                    block: le32(&body, 0).ok_or(CUT_OFF)?,
                    offset: le16(&body, 10).ok_or(CUT_OFF)?,
                    size: u32::from(le16(&body, 8).ok_or(CUT_OFF)?),
                }
            }
            8 => {
                let body = more(self, 24)?;
                Kind::Folder {
                    block: le32(&body, 8).ok_or(CUT_OFF)?,
                    offset: le16(&body, 18).ok_or(CUT_OFF)?,
                    size: le32(&body, 4).ok_or(CUT_OFF)?,
                }
            }
            2 | 9 => {
                let body = more(self, if kind == 2 { 16 } else { 40 })?;
                let word = |at| le32(&body, at).ok_or(CUT_OFF);
                let wide = |at| le64(&body, at).ok_or(CUT_OFF);
                let (start, size, fragment, fragment_offset) = if kind == 2 {
                    (u64::from(word(0)?), u64::from(word(12)?), word(4)?, word(8)?)
                } else {
                    (wide(0)?, wide(8)?, word(28)?, word(32)?)
                };
                let block_bytes = u64::from(self.block_bytes);
                let count =
                    if fragment == NO_FRAGMENT { size.div_ceil(block_bytes) } else { size / block_bytes };
                if size > room {
                    return Err(Failure::Exhausted(what));
                }
                let list = more(self, count * 4)?;
                let blocks =
                    list.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
                Kind::File(File { start, size, blocks: blocks.collect(), fragment, fragment_offset })
            }
            3 | 10 => {
                let body = more(self, 8)?;
                let size = le32(&body, 4).ok_or(CUT_OFF)?;
                if size > u32::from(u16::MAX) {
                    return Err(Failure::Malformed("a link's target is too long"));
                }
                Kind::Link(more(self, u64::from(size))?)
            }
            4 | 5 | 11 | 12 => Kind::Device,
            6 | 13 => Kind::Fifo,
            7 | 14 => Kind::Other,
            _ => return Err(Failure::Malformed("an inode is of no known kind")),
        };
        Ok(Inode { mode, kind })
    }

    /// Reads a folder's listing. Its size counts three bytes for `.` and `..`, which are not there.
    pub(super) fn listing(
        &mut self,
        container: &mut Container,
        block: u32,
        offset: u16,
        size: u32,
    ) -> Result<Vec<Entry>, Failure> {
        let at = self.directory_table.checked_add(u64::from(block)).ok_or(OUTSIDE)?;
        let mut cursor = Cursor { block: at, offset: usize::from(offset) };
        if size > LISTING_MAX_BYTES {
            return Err(Failure::Malformed("a folder has too many names"));
        }
        let mut left = u64::from(size.saturating_sub(3));
        let mut entries = Vec::new();
        while left > 0 {
            let head = self.metadata(container, &mut cursor, 12)?;
            left = left.checked_sub(12).ok_or(CUT_OFF)?;
            let (count, inodes) = (le32(&head, 0).ok_or(CUT_OFF)?, le32(&head, 4).ok_or(CUT_OFF)?);
            if count > 255 {
                return Err(Failure::Malformed("a listing has too many names"));
            }
            for _ in 0..=count {
                let fixed = self.metadata(container, &mut cursor, 8)?;
                let offset = u64::from(le16(&fixed, 0).ok_or(CUT_OFF)?);
                let length = u64::from(le16(&fixed, 6).ok_or(CUT_OFF)?) + 1;
                left = left.checked_sub(8 + length).ok_or(CUT_OFF)?;
                let name = self.metadata(container, &mut cursor, length)?;
                entries.push(Entry { name, inode: u64::from(inodes) << 16 | offset });
            }
        }
        Ok(entries)
    }

    /// Says how many bytes a file takes in the image.
    pub(super) fn packed(file: &File) -> u64 {
        file.blocks.iter().map(|block| u64::from(block & (BLOCK_STORED - 1))).sum()
    }

    /// Makes what reads a file's content, block by block.
    pub(super) fn content(&mut self, container: &mut Container, file: &File) -> Result<Content<'a>, Failure> {
        let block_bytes = u64::from(self.block_bytes);
        let rest = file.size.saturating_sub(block_bytes.saturating_mul(file.blocks.len() as u64));
        let mut tail = Vec::new();
        if rest > 0 {
            let fragment = self.fragment(container, file.fragment)?;
            tail.extend_from_slice(slice(&fragment, u64::from(file.fragment_offset), rest).ok_or(OUTSIDE)?);
        }
        Ok(Content {
            blocks: Blocks {
                source: self.source.clone(),
                compression: self.compression,
                block_bytes: self.block_bytes,
            },
            sizes: Rc::new(file.blocks.clone()),
            tail: Rc::new(tail),
            next: 0,
            place: file.start,
            left: file.size,
            ready: io::Cursor::new(Vec::new()),
        })
    }

    fn fragment(&mut self, container: &mut Container, number: u32) -> Result<Rc<Vec<u8>>, Failure> {
        if let Some((known, block)) = &self.fragment
            && *known == number
        {
            return Ok(Rc::clone(block));
        }
        if number >= self.fragment_count {
            return Err(OUTSIDE);
        }
        let pointer = self.fragment_table.saturating_add(u64::from(number / FRAGMENTS_A_BLOCK) * 8);
        let table = le64(&self.source.some(pointer, 8)?, 0).ok_or(OUTSIDE)?;
        let mut cursor = Cursor { block: table, offset: (number % FRAGMENTS_A_BLOCK) as usize * 16 };
        let entry = self.metadata(container, &mut cursor, 16)?;
        let (start, size) = (le64(&entry, 0).ok_or(CUT_OFF)?, le32(&entry, 8).ok_or(CUT_OFF)?);
        let block = self.blocks().read(
            start,
            size & (BLOCK_STORED - 1),
            size & BLOCK_STORED != 0,
            self.block_bytes,
        )?;
        container.inspection.budget.pay(block.len() as u64);
        let block = Rc::new(block);
        self.fragment = Some((number, Rc::clone(&block)));
        Ok(block)
    }

    /// Reads metadata, which may go on in the blocks behind.
    fn metadata(
        &mut self,
        container: &mut Container,
        cursor: &mut Cursor,
        count: u64,
    ) -> Result<Vec<u8>, Failure> {
        let mut read = Vec::new();
        loop {
            let (block, next) = self.metadata_block(container, cursor.block)?;
            let ready = block.get(cursor.offset..).ok_or(CUT_OFF)?;
            let take = ready.len().min((count - read.len() as u64) as usize);
            read.extend_from_slice(&ready[..take]);
            cursor.offset += take;
            if read.len() as u64 == count {
                return Ok(read);
            }
            if block.is_empty() {
                return Err(CUT_OFF);
            }
            (cursor.block, cursor.offset) = (next, 0);
        }
    }

    fn metadata_block(&mut self, container: &mut Container, at: u64) -> Result<(Rc<Vec<u8>>, u64), Failure> {
        if let Some((block, next)) = self.cache.get(&at) {
            return Ok((Rc::clone(block), *next));
        }
        if container.inspection.budget.bytes == 0 {
            return Err(Failure::Exhausted(Exhausted("too many bytes")));
        }
        let header = le16(&self.source.some(at, 2)?, 0).ok_or(OUTSIDE)?;
        let size = u64::from(header & (METADATA_STORED - 1));
        let stored = header & METADATA_STORED != 0;
        let block = self.blocks().read(at.saturating_add(2), size as u32, stored, METADATA_BYTES)?;
        container.inspection.budget.pay(block.len() as u64);
        let block = Rc::new(block);
        if self.cache.len() >= CACHED_MAX {
            self.cache.clear();
        }
        self.cache.insert(at, (Rc::clone(&block), at + 2 + size));
        Ok((block, at + 2 + size))
    }

    fn blocks(&self) -> Blocks<'a> {
        Blocks { source: self.source.clone(), compression: self.compression, block_bytes: self.block_bytes }
    }
}

/// Reads blocks of an image.
#[derive(Clone)]
struct Blocks<'a> {
    source: Source<'a>,
    compression: u16,
    block_bytes: u32,
}

impl Blocks<'_> {
    /// Reads a block of so many bytes, and unpacks it to at most `limit`.
    fn read(&self, at: u64, size: u32, is_stored: bool, limit: u32) -> Result<Vec<u8>, Failure> {
        if size > BLOCK_MAX_BYTES * 2 {
            return Err(Failure::Malformed("a block is too large"));
        }
        let packed = self.source.exactly(at, size as usize)?.ok_or(OUTSIDE)?;
        if is_stored {
            return Ok(packed.into_owned());
        }
        let wrong = |_| Failure::Malformed("a block cannot be unpacked");
        let mut out = Vec::new();
        let reader: Box<dyn Read + '_> = match self.compression {
            1 => Box::new(flate2::read::ZlibDecoder::new(&*packed)),
            2 => stream::decoder(Format::Lzma, &packed).map_err(wrong)?,
            4 => stream::decoder(Format::Xz, &packed).map_err(wrong)?,
            5 => {
                let block = lz4_flex::block::decompress(&packed, limit as usize);
                return block.map_err(|_| Failure::Malformed("a block cannot be unpacked"));
            }
            6 => stream::decoder(Format::Zstd, &packed).map_err(wrong)?,
            other => return Err(Failure::Compression(other)),
        };
        reader.take(u64::from(limit) + 1).read_to_end(&mut out).map_err(wrong)?;
        if out.len() > limit as usize { Err(Failure::Malformed("a block is too large")) } else { Ok(out) }
    }
}

/// A file's content, from its begin.
#[derive(Clone)]
pub(super) struct Content<'a> {
    blocks: Blocks<'a>,
    sizes: Rc<Vec<u32>>,
    /// What stands in a fragment.
    tail: Rc<Vec<u8>>,
    next: usize,
    place: u64,
    left: u64,
    ready: io::Cursor<Vec<u8>>,
}

impl Content<'_> {
    /// Makes the next block ready; `false` at the end.
    fn advance(&mut self) -> Result<bool, Failure> {
        let want = self.left.min(u64::from(self.blocks.block_bytes));
        let block = match self.sizes.get(self.next) {
            _ if self.left == 0 => return Ok(false),
            Some(size) => {
                let bytes = size & (BLOCK_STORED - 1);
                let is_stored = size & BLOCK_STORED != 0;
                let block = match bytes {
                    0 => vec![0; want as usize],
                    _ => self.blocks.read(self.place, bytes, is_stored, self.blocks.block_bytes)?,
                };
                self.place = self.place.saturating_add(u64::from(bytes));
                block
            }
            None => self.tail.to_vec(),
        };
        if block.len() as u64 != want {
            return Err(Failure::Malformed("a block has another size than its file"));
        }
        self.next += 1;
        self.left -= want;
        self.ready = io::Cursor::new(block);
        Ok(true)
    }
}

impl Read for Content<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.ready.read(into)?;
        if read > 0 || into.is_empty() {
            return Ok(read);
        }
        match self.advance() {
            Ok(true) => self.ready.read(into),
            Ok(false) => Ok(0),
            Err(failure) => Err(io::Error::other(failure)),
        }
    }
}
