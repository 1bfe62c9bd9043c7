//! The superblock, the descriptors of groups, and inodes.

use std::borrow::Cow;
use std::io;

pub(super) use super::super::reading::wrong;
use crate::bytes::{le16, le32, slice};
use crate::source::{Pieces, Source};
use crate::unpack::Container;
use crate::unpack::crc32c::crc32c;

const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;
const CHECKSUM: usize = 1020;
/// Inodes of the first revision have this length and no field that gives it.
const OLD_INODE_BYTES: u64 = 128;
const MAP: std::ops::Range<usize> = 40..100;

const COMPAT_SPARSE_SUPER2: u32 = 0x200;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL: u32 = 0x8;
const INCOMPAT_META_GROUPS: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_SEED: u32 = 0x2000;
const INCOMPAT_LARGE_FOLDERS: u32 = 0x4000;
/// Those above, kinds in entries, extents, several mounts, flexible groups, values in inodes, content in inodes, encryption and
/// folding of case: none changes how what has a name is found.
const INCOMPAT_KNOWN: u32 = 0x2
    | 0x4
    | 0x8
    | 0x10
    | 0x40
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x2000
    | 0x4000
    | 0x8000
    | 0x1_0000
    | 0x2_0000;
const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
const RO_COMPAT_CHECKSUMS: u32 = 0x400;

const FLAG_COMPRESSED: u32 = 0x200;
const FLAG_ENCRYPTED: u32 = 0x800;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE: u32 = 0x1000_0000;

/// Tells whether there is a superblock: its magic of two bytes stands among fields that are small, or that count something. Linux mounts
/// what says an unusual state, and so does this.
pub(crate) fn is_volume(bytes: &[u8]) -> bool {
    let Some(superblock) = bytes.get(SUPERBLOCK as usize..) else { return false };
    let (half, word) = (|at| le16(superblock, at), |at| le32(superblock, at));
    let is_usual = || {
        half(58).is_some_and(|state| state <= 7)
            && half(60).is_some_and(|errors| (1..=3).contains(&errors))
            && word(72).is_some_and(|system| system <= 4)
    };
    half(56) == Some(0xEF53)
        && word(24).is_some_and(|block| block <= 6)
        && word(76).is_some_and(|revision| revision <= 1)
        && (is_usual() || [0, 4, 32, 40].iter().all(|count| word(*count).is_some_and(|count| count > 0)))
}

pub(super) struct Volume<'a> {
    source: Source<'a>,
    pub(super) block_bytes: u64,
    blocks: u64,
    /// The block of the first group's begin, and that of its superblock.
    first_block: u64,
    superblock: u64,
    blocks_a_group: u64,
    inodes: u32,
    inodes_a_group: u32,
    inode_bytes: u64,
    descriptor_bytes: u64,
    first_meta_group: u64,
    /// Which two groups have a copy of the superblock, if that is said.
    copies: Option<[u64; 2]>,
    incompat: u32,
    ro_compat: u32,
    /// Where the checksums of the metadata begin.
    seed: u32,
    is_sound: bool,
}

/// What an inode stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Device,
    Fifo,
    Socket,
}

pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) size: u64,
    pub(super) links: u16,
    mode: u16,
    flags: u32,
    bytes: Vec<u8>,
}

impl<'a> Volume<'a> {
    pub(super) fn read(source: &Source<'a>) -> io::Result<Self> {
        let bytes = source.exactly(SUPERBLOCK, SUPERBLOCK_BYTES)?;
        let bytes = bytes.ok_or_else(|| wrong("the superblock is cut off"))?;
        let word = |at| le32(&bytes, at).unwrap_or(0);
        let half = |at| le16(&bytes, at).unwrap_or(0);
        let (compat, incompat, ro_compat) = (word(92), word(96), word(100));
        let is_wide = incompat & INCOMPAT_64BIT != 0;
        let is_first_revision = word(76) == 0;
        if word(24) > 6 {
            return Err(wrong("its blocks have an impossible size"));
        }
        let block_bytes = 1024 << word(24);
        let seed = if incompat & INCOMPAT_SEED != 0 {
            word(624)
        } else {
            crc32c(u32::MAX, bytes.get(104..120).unwrap_or_default())
        };
        let has_checksums = ro_compat & RO_COMPAT_CHECKSUMS != 0;
        let sum = crc32c(u32::MAX, bytes.get(..CHECKSUM).unwrap_or_default());
        let volume = Self {
            source: source.clone(),
            block_bytes,
            blocks: u64::from(word(4)) | if is_wide { u64::from(word(336)) << 32 } else { 0 },
            first_block: u64::from(word(20)),
            superblock: u64::from(block_bytes == SUPERBLOCK),
            blocks_a_group: u64::from(word(32)),
            inodes: word(0),
            inodes_a_group: word(40),
            inode_bytes: if is_first_revision { OLD_INODE_BYTES } else { u64::from(half(88)) },
            descriptor_bytes: if is_wide { u64::from(half(254)) } else { 32 },
            first_meta_group: if incompat & INCOMPAT_META_GROUPS == 0 {
                u64::MAX
            } else {
                u64::from(word(260))
            },
            copies: (compat & COMPAT_SPARSE_SUPER2 != 0)
                .then(|| [u64::from(word(588)), u64::from(word(592))]),
            incompat,
            ro_compat,
            seed,
            is_sound: !has_checksums || sum == word(CHECKSUM),
        };
        let is_possible =
            |bytes: u64, least: u64| bytes.is_power_of_two() && (least..=block_bytes).contains(&bytes);
        if !is_possible(volume.inode_bytes, OLD_INODE_BYTES) {
            return Err(wrong("its inodes have an impossible size"));
        }
        if !is_possible(volume.descriptor_bytes, 32) || volume.descriptor_bytes > 1024 {
            return Err(wrong("its descriptors have an impossible size"));
        }
        if volume.blocks_a_group == 0 || volume.inodes_a_group == 0 || volume.blocks <= volume.first_block {
            return Err(wrong("its groups have an impossible size"));
        }
        volume.blocks.checked_mul(block_bytes).ok_or_else(|| wrong("it has an impossible size"))?;
        Ok(volume)
    }

    /// What of the volume as a whole cannot be relied on, as kinds of problems and texts.
    pub(super) fn doubts(&self) -> Vec<(&'static str, String)> {
        let mut doubts = Vec::new();
        let unsupported = "unsupported-container";
        if !self.is_sound {
            doubts.push(("malformed-ext", "the checksum of its superblock is wrong".to_owned()));
        }
        if self.source.length().is_some_and(|length| length < self.bytes()) {
            doubts.push(("malformed-ext", "it is cut off".to_owned()));
        }
        if self.is_journal() {
            doubts.push((unsupported, "it is the journal of another file system".to_owned()));
        } else if self.incompat & INCOMPAT_RECOVER != 0 {
            let what = "its journal is not replayed: what stands there is newer than what is shown";
            doubts.push((unsupported, what.to_owned()));
        }
        let unknown = self.incompat & !INCOMPAT_KNOWN;
        if unknown != 0 {
            doubts.push((unsupported, format!("it has features that are not known ({unknown:#x})")));
        }
        doubts
    }

    pub(super) fn is_journal(&self) -> bool {
        self.incompat & INCOMPAT_JOURNAL != 0
    }

    /// How long it says it is.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_bytes)
    }

    /// Reads a block of metadata, and pays for it.
    pub(super) fn block(&self, container: &mut Container, number: u64) -> io::Result<Cow<'a, [u8]>> {
        container.pay(self.block_bytes)?;
        let at = self.place(number, 1)?;
        let block = self.source.exactly(at, self.block_bytes as usize)?;
        block.ok_or_else(|| wrong("a block lies outside"))
    }

    /// Returns where blocks stand, which must be inside.
    pub(super) fn place(&self, number: u64, count: u64) -> io::Result<u64> {
        let is_inside = number > 0 && number.checked_add(count).is_some_and(|end| end <= self.blocks);
        if is_inside { Ok(number * self.block_bytes) } else { Err(wrong("a block lies outside")) }
    }

    /// Returns a content of which the pieces are known.
    pub(super) fn content(&self, pieces: Pieces) -> io::Result<Source<'a>> {
        self.source.joined(pieces).ok_or_else(|| wrong("its content lies outside"))
    }

    pub(super) fn inode(&self, number: u32) -> io::Result<Inode> {
        if number == 0 || number > self.inodes {
            return Err(wrong("an inode has an impossible number"));
        }
        let (group, index) = ((number - 1) / self.inodes_a_group, (number - 1) % self.inodes_a_group);
        let table = self.inode_table(u64::from(group))?;
        let at = u64::from(index) * self.inode_bytes;
        let block = table.checked_add(at / self.block_bytes).ok_or_else(|| wrong("an inode lies outside"))?;
        let at = self.place(block, 1)? + at % self.block_bytes;
        let bytes = self.source.exactly(at, self.inode_bytes as usize)?;
        let bytes = bytes.ok_or_else(|| wrong("an inode lies outside"))?.into_owned();
        let word = |at| le32(&bytes, at).unwrap_or(0);
        let half = |at| le16(&bytes, at).unwrap_or(0);
        let mode = half(0);
        let is_folder = mode & 0o170_000 == 0o040_000;
        // In old folders this is where a list of rights is.
        let has_high = !is_folder || self.incompat & INCOMPAT_LARGE_FOLDERS != 0;
        let high = if has_high { u64::from(word(108)) << 32 } else { 0 };
        let inode =
            Inode { number, size: u64::from(word(4)) | high, links: half(26), mode, flags: word(32), bytes };
        if inode.links == 0 {
            return Err(wrong("its inode is not in use"));
        }
        Ok(inode)
    }

    /// Finds where a group's inodes are.
    fn inode_table(&self, group: u64) -> io::Result<u64> {
        let outside = || wrong("an inode is in no group");
        if group >= (self.blocks - self.first_block).div_ceil(self.blocks_a_group) {
            return Err(outside());
        }
        let in_a_block = self.block_bytes / self.descriptor_bytes;
        let number = group / in_a_block;
        let block = if number < self.first_meta_group {
            self.superblock + 1 + number
        } else {
            // Descriptors stand in the first of the groups that they are of, behind a copy of the superblock if there is one.
            let first = number * in_a_block;
            let is_shifted = first == 0 && self.superblock > self.first_block;
            let begin =
                first.checked_mul(self.blocks_a_group).and_then(|at| at.checked_add(self.first_block));
            begin.ok_or_else(outside)? + u64::from(self.has_copy(first)) + u64::from(is_shifted)
        };
        let at = self.place(block, 1)? + group % in_a_block * self.descriptor_bytes;
        let descriptor = self.source.exactly(at, self.descriptor_bytes as usize)?;
        let descriptor = descriptor.ok_or_else(|| wrong("a descriptor lies outside"))?;
        let high = if self.descriptor_bytes >= 64 { le32(&descriptor, 40).unwrap_or(0) } else { 0 };
        Ok(u64::from(le32(&descriptor, 8).unwrap_or(0)) | u64::from(high) << 32)
    }

    /// Tells whether a group begins with a copy of the superblock.
    fn has_copy(&self, group: u64) -> bool {
        let is_power = |base: u64| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        match self.copies {
            _ if group == 0 => true,
            Some(copies) => copies.contains(&group),
            None if self.ro_compat & RO_COMPAT_SPARSE_SUPER == 0 => true,
            None => group == 1 || [3, 5, 7].into_iter().any(is_power),
        }
    }

    /// Tells whether the checksum of an inode is right, if there is one.
    pub(super) fn is_sound(&self, inode: &Inode) -> bool {
        if self.ro_compat & RO_COMPAT_CHECKSUMS == 0 {
            return true;
        }
        let mut bytes = inode.bytes.clone();
        let has_high = bytes.len() > 128 && le16(&bytes, 128).is_some_and(|extra| extra >= 4);
        let low = le16(&bytes, 124).unwrap_or(0);
        let high = if has_high { le16(&bytes, 130).unwrap_or(0) } else { 0 };
        bytes[124..126].fill(0);
        if has_high {
            bytes[130..132].fill(0);
        }
        let sum = self.sum(inode);
        let sum = crc32c(sum, &bytes);
        let mask = if has_high { u32::MAX } else { 0xffff };
        sum & mask == u32::from(low) | u32::from(high) << 16
    }

    /// The sum with which those of an inode's own structures begin.
    fn sum(&self, inode: &Inode) -> u32 {
        let sum = crc32c(self.seed, &inode.number.to_le_bytes());
        crc32c(sum, inode.bytes.get(100..104).unwrap_or_default())
    }

    /// Tells whether a link's target stands in place of the map: then it has no blocks but for its attributes (Linux,
    /// `ext4_inode_is_fast_symlink`).
    pub(super) fn is_fast_link(&self, inode: &Inode) -> bool {
        let attributes = if le32(&inode.bytes, 104) == Some(0) { 0 } else { self.block_bytes / 512 };
        le32(&inode.bytes, 28).is_some_and(|sectors| u64::from(sectors) == attributes)
    }

    /// Returns what an inode itself has of its content: in place of the map, and in the attribute `system.data`.
    pub(super) fn inline<'i>(&self, inode: &'i Inode) -> io::Result<(&'i [u8], &'i [u8])> {
        const MAGIC: u32 = 0xEA02_0000;
        const SYSTEM: u8 = 7;
        let extra = u64::from(le16(&inode.bytes, OLD_INODE_BYTES as usize).unwrap_or(0));
        let area = OLD_INODE_BYTES.saturating_add(extra);
        let area = usize::try_from(area).ok().and_then(|at| inode.bytes.get(at..)).unwrap_or_default();
        if le32(area, 0) != Some(MAGIC) {
            return Ok((inode.map(), b""));
        }
        let area = area.get(4..).unwrap_or_default();
        let mut at = 0;
        while let (Some([length, index]), Some(offset), Some(size)) =
            (area.get(at..at + 2), le16(area, at + 2), le32(area, at + 8))
            && (*length, *index, offset) != (0, 0, 0)
        {
            let name = area.get(at + 16..at + 16 + usize::from(*length));
            if *index == SYSTEM && name == Some(b"data") {
                let rest = slice(area, u64::from(offset), u64::from(size));
                return Ok((
                    inode.map(),
                    rest.ok_or_else(|| wrong("its content lies outside of its inode"))?,
                ));
            }
            at += 16 + usize::from(*length).next_multiple_of(4);
        }
        Ok((inode.map(), b""))
    }
}

impl Inode {
    pub(super) fn kind(&self) -> Option<Kind> {
        match self.mode & 0o170_000 {
            0o100_000 => Some(Kind::File),
            0o040_000 => Some(Kind::Folder),
            0o120_000 => Some(Kind::Link),
            0o020_000 | 0o060_000 => Some(Kind::Device),
            0o010_000 => Some(Kind::Fifo),
            0o140_000 => Some(Kind::Socket),
            _ => None,
        }
    }

    pub(super) fn permissions(&self) -> u32 {
        u32::from(self.mode & 0o7777)
    }

    /// The map of blocks, or what stands in its place.
    pub(super) fn map(&self) -> &[u8] {
        self.bytes.get(MAP).unwrap_or_default()
    }

    pub(super) fn is_inline(&self) -> bool {
        self.flags & FLAG_INLINE != 0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & FLAG_ENCRYPTED != 0
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.flags & FLAG_COMPRESSED != 0
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags & FLAG_EXTENTS != 0
    }
}
