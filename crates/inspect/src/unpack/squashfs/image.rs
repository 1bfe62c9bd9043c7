//! The structures of a squashfs image: metadata blocks, inodes, listings, data blocks and fragments.

use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use crate::budget::Exhausted;
use crate::bytes::{le16, le32, le64, slice};
use crate::format::Format;
use crate::unpack::{Container, stream};

const METADATA_BYTES: u64 = 8192;
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
pub(super) enum Failure {
    Malformed(&'static str),
    /// Number of a compression that is not known.
    Compression(u16),
    Exhausted(Exhausted),
}

const OUTSIDE: Failure = Failure::Malformed("a block lies outside");
const CUT_OFF: Failure = Failure::Malformed("a structure is cut off");

pub(super) struct Image<'a> {
    bytes: &'a [u8],
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
    size: u64,
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
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let short = "the superblock is cut off";
        let word = |at| le32(bytes, at).ok_or(short);
        let wide = |at| le64(bytes, at).ok_or(short);
        if (le16(bytes, 28), le16(bytes, 30)) != (Some(4), Some(0)) {
            return Err("it is not of version 4.0");
        }
        let block_bytes = word(12)?;
        if !block_bytes.is_power_of_two() || !(4096..=BLOCK_MAX_BYTES).contains(&block_bytes) {
            return Err("its blocks have an impossible size");
        }
        Ok(Self {
            bytes,
            block_bytes,
            compression: le16(bytes, 20).ok_or(short)?,
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
    pub(super) fn after(&self) -> &'a [u8] {
        usize::try_from(self.used).ok().and_then(|used| self.bytes.get(used..)).unwrap_or(b"")
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

    /// Reads a file's content.
    pub(super) fn content(&mut self, container: &mut Container, file: &File) -> Result<Vec<u8>, Failure> {
        let packed: u64 = file.blocks.iter().map(|block| u64::from(block & (BLOCK_STORED - 1))).sum();
        let (room, what) = container.inspection.budget.room(packed);
        if file.size > room {
            return Err(Failure::Exhausted(what));
        }
        container.inspection.budget.pay(file.size);
        let mut content = Vec::new();
        let mut at = file.start;
        for block in &file.blocks {
            let want = (file.size - content.len() as u64).min(u64::from(self.block_bytes));
            let size = block & (BLOCK_STORED - 1);
            if size == 0 {
                content.resize(content.len() + want as usize, 0);
                continue;
            }
            let packed = slice(self.bytes, at, u64::from(size)).ok_or(OUTSIDE)?;
            let before = content.len();
            if block & BLOCK_STORED != 0 {
                content.extend_from_slice(packed);
            } else {
                content.extend(self.unpacked(packed, u64::from(self.block_bytes))?);
            }
            if content.len() - before != want as usize {
                return Err(Failure::Malformed("a block has another size than its file"));
            }
            at += u64::from(size);
        }
        let rest = file.size - content.len() as u64;
        if rest > 0 {
            let fragment = self.fragment(container, file.fragment)?;
            content.extend(slice(&fragment, u64::from(file.fragment_offset), rest).ok_or(OUTSIDE)?);
        }
        Ok(content)
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
        let pointer = usize::try_from(pointer).map_err(|_| OUTSIDE)?;
        let table = le64(self.bytes, pointer).ok_or(OUTSIDE)?;
        let mut cursor = Cursor { block: table, offset: (number % FRAGMENTS_A_BLOCK) as usize * 16 };
        let entry = self.metadata(container, &mut cursor, 16)?;
        let (start, size) = (le64(&entry, 0).ok_or(CUT_OFF)?, le32(&entry, 8).ok_or(CUT_OFF)?);
        let packed = slice(self.bytes, start, u64::from(size & (BLOCK_STORED - 1))).ok_or(OUTSIDE)?;
        let block = if size & BLOCK_STORED != 0 {
            packed.to_vec()
        } else {
            self.unpacked(packed, u64::from(self.block_bytes))?
        };
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
        let header = usize::try_from(at).ok().and_then(|at| le16(self.bytes, at)).ok_or(OUTSIDE)?;
        let size = u64::from(header & (METADATA_STORED - 1));
        let packed = slice(self.bytes, at + 2, size).ok_or(OUTSIDE)?;
        let block = if header & METADATA_STORED != 0 {
            packed.to_vec()
        } else {
            self.unpacked(packed, METADATA_BYTES)?
        };
        container.inspection.budget.pay(block.len() as u64);
        let block = Rc::new(block);
        if self.cache.len() >= CACHED_MAX {
            self.cache.clear();
        }
        self.cache.insert(at, (Rc::clone(&block), at + 2 + size));
        Ok((block, at + 2 + size))
    }

    /// Unpacks one block of at most `limit` bytes.
    fn unpacked(&self, packed: &[u8], limit: u64) -> Result<Vec<u8>, Failure> {
        let wrong = |_| Failure::Malformed("a block cannot be unpacked");
        let mut out = Vec::new();
        let reader: Box<dyn Read + '_> = match self.compression {
            1 => Box::new(flate2::read::ZlibDecoder::new(packed)),
            2 => stream::decoder(Format::Lzma, packed).map_err(wrong)?,
            4 => stream::decoder(Format::Xz, packed).map_err(wrong)?,
            5 => {
                let block = lz4_flex::block::decompress(packed, limit as usize);
                return block.map_err(|_| Failure::Malformed("a block cannot be unpacked"));
            }
            6 => stream::decoder(Format::Zstd, packed).map_err(wrong)?,
            other => return Err(Failure::Compression(other)),
        };
        reader.take(limit + 1).read_to_end(&mut out).map_err(wrong)?;
        if out.len() as u64 > limit { Err(Failure::Malformed("a block is too large")) } else { Ok(out) }
    }
}
