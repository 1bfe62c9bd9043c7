//! APFS containers (Apple File System Reference, 2020-06-22): the files of their volumes with resource forks and extended attributes,
//! as of the newest checkpoint.

mod tree;
mod volume;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::reading::wrong;
use super::{Container, too_large};
use crate::bytes::{le32, le64, until_zero};
use crate::source::Source;

use self::tree::Tree;
use self::volume::Volume;

const MAGIC: usize = 32;
const BLOCK_BYTES: [u32; 5] = [4096, 8192, 16384, 32768, 65536];
/// A superblock is read before it says how large blocks are.
const SUPERBLOCK_BYTES: usize = 4096;
const VOLUMES_MAX: usize = 100;
/// Checkpoints stand in an area of this many blocks at most.
const CHECKPOINTS_MAX: u64 = 4096;
/// Objects of one map: the nodes of a volume's tree. More than a million of files have.
const OBJECTS_MAX: usize = 1 << 18;
const OBJECT_DELETED: u32 = 1;
/// `APFS_FS_UNENCRYPTED`.
const UNENCRYPTED: u64 = 1;
/// `APFS_INCOMPAT_CASE_INSENSITIVE` and `APFS_INCOMPAT_NORMALIZATION_INSENSITIVE`: names have a hash.
const HASHED_NAMES: u64 = 9;
const SEALED: u64 = 0x20;
/// Incompatible features that a reader may know: the lowest six and three that Apple's systems set since.
const KNOWN_FEATURES: u64 = 0x1ff;

/// Tells whether there is a superblock.
pub(crate) fn is_container(bytes: &[u8]) -> bool {
    bytes.get(MAGIC..MAGIC + 4) == Some(b"NXSB")
        && le32(bytes, 36).is_some_and(|block| BLOCK_BYTES.contains(&block))
}

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let image = Image::of(source)?;
    let taken = image.members(container);
    if image.damaged.get() > 0 {
        container.malformed(format!("{} of its blocks have a wrong checksum", image.damaged.get()));
    }
    taken
}

/// A container's blocks.
struct Image<'s, 'a> {
    source: &'s Source<'a>,
    block_bytes: u64,
    /// How many blocks had a wrong checksum.
    damaged: Cell<u64>,
    /// Nodes of trees that were read: each is read once.
    visited: RefCell<BTreeSet<u64>>,
}

impl<'s, 'a> Image<'s, 'a> {
    fn of(source: &'s Source<'a>) -> io::Result<Self> {
        let start = source.some(0, SUPERBLOCK_BYTES)?;
        let block = le32(&start, 36).filter(|block| BLOCK_BYTES.contains(block));
        let block = block.ok_or_else(|| wrong("its blocks have an unknown size"))?;
        Ok(Self { source, block_bytes: block.into(), damaged: Cell::new(0), visited: RefCell::default() })
    }

    /// Takes the files of all volumes.
    fn members(&self, container: &mut Container) -> io::Result<()> {
        let superblock = self.newest(container)?;
        let newest = le64(&superblock, 16).unwrap_or(0);
        let objects = self.objects(le64(&superblock, 160).unwrap_or(0), newest)?;
        let mut volumes = Vec::new();
        for number in 0..VOLUMES_MAX {
            let Some(object) = le64(&superblock, 184 + 8 * number).filter(|object| *object != 0) else {
                continue;
            };
            let place = objects.get(&object).ok_or_else(|| wrong("a volume is missing"))?;
            volumes.push(self.object(*place)?);
        }
        let is_one_of_many = volumes.len() > 1;
        for superblock in volumes {
            if superblock.get(MAGIC..MAGIC + 4) != Some(b"APSB") {
                return Err(wrong("a volume has no superblock"));
            }
            let name = until_zero(superblock.get(704..960).unwrap_or(b"")).to_vec();
            let word = |at| le64(&superblock, at).unwrap_or(0);
            let shown = String::from_utf8_lossy(&name).into_owned();
            let (features, flags) = (word(56), word(264));
            if flags & UNENCRYPTED == 0 {
                container.problem(
                    "encrypted-member",
                    format!("the volume `{shown}` cannot be read without a password"),
                );
                continue;
            }
            if features & SEALED != 0 || features & !KNOWN_FEATURES != 0 {
                let detail = format!("the volume `{shown}` is sealed, or has features that are not known");
                container.problem("unsupported-container", detail);
                continue;
            }
            let snapshots = word(216);
            if snapshots > 0 {
                let detail = format!("{snapshots} snapshots of the volume `{shown}` are not opened");
                container.problem("unsupported-container", detail);
            }
            let objects = self.objects(word(128), newest)?;
            let volume = Volume {
                image: self,
                objects,
                has_hashed_names: features & HASHED_NAMES != 0,
                prefix: if is_one_of_many { name } else { Vec::new() },
            };
            if !volume.members(container, word(136))? {
                break;
            }
        }
        Ok(())
    }

    fn place(&self, block: u64) -> io::Result<u64> {
        block.checked_mul(self.block_bytes).ok_or_else(|| wrong("a block lies outside"))
    }

    fn block(&self, block: u64) -> io::Result<Cow<'a, [u8]>> {
        let read = self.source.exactly(self.place(block)?, self.block_bytes as usize)?;
        read.ok_or_else(|| wrong("a block lies outside"))
    }

    /// Reads an object. If its checksum is wrong, that is noted, and what it says is followed all the same.
    fn object(&self, block: u64) -> io::Result<Cow<'a, [u8]>> {
        let read = self.block(block)?;
        if !is_intact(&read) {
            self.damaged.set(self.damaged.get() + 1);
        }
        Ok(read)
    }

    /// The superblock of the newest checkpoint. That of the first block is a copy, and may be older.
    fn newest(&self, container: &mut Container) -> io::Result<Cow<'a, [u8]>> {
        let first = self.block(0)?;
        let (count, base) = (le32(&first, 104).unwrap_or(0), le64(&first, 112).unwrap_or(0));
        if count & 1 << 31 != 0 || u64::from(count) > CHECKPOINTS_MAX {
            return Err(wrong("its checkpoints stand in an unknown way"));
        }
        let mut newest: Option<Cow<[u8]>> = None;
        for number in 0..u64::from(count) {
            let block = self.block(base.checked_add(number).ok_or_else(|| wrong("a block lies outside"))?)?;
            let is_newer = newest
                .as_ref()
                .is_none_or(|known| le64(&block, 16).unwrap_or(0) > le64(known, 16).unwrap_or(0));
            if is_container(&block) && is_newer && is_intact(&block) {
                newest = Some(block);
            }
        }
        if newest.is_none() {
            container.malformed("no checkpoint is intact");
        }
        let newest = newest.unwrap_or(first);
        if le32(&newest, 36).map(u64::from) != Some(self.block_bytes) {
            return Err(wrong("its blocks have two sizes"));
        }
        Ok(newest)
    }

    /// Reads an object map: where each object was stored last.
    fn objects(&self, map: u64, newest: u64) -> io::Result<BTreeMap<u64, u64>> {
        let map = self.object(map)?;
        let mut objects = BTreeMap::new();
        let physical = |object| Ok(object);
        let mut tree = Tree::new(self, &physical, Some((16, 16)));
        tree.leaves(le64(&map, 48).unwrap_or(0), &mut |key, value| {
            let (Some(object), Some(transaction)) = (le64(key, 0), le64(key, 8)) else {
                return Err(wrong("an object map is malformed"));
            };
            // A transaction that no checkpoint has came later.
            if transaction > newest {
                return Ok(());
            }
            match (le32(value, 0), le64(value, 8)) {
                (Some(flags), _) if flags & OBJECT_DELETED != 0 => objects.remove(&object),
                (_, Some(place)) => objects.insert(object, place),
                _ => return Err(wrong("an object map is malformed")),
            };
            if objects.len() > OBJECTS_MAX { Err(too_large()) } else { Ok(()) }
        })?;
        Ok(objects)
    }
}

/// Checks Fletcher's checksum of an object (Apple File System Reference, "Objects").
fn is_intact(block: &[u8]) -> bool {
    const MODULUS: u64 = 0xffff_ffff;
    let (mut low, mut high) = (0_u64, 0_u64);
    for word in block.get(8..).unwrap_or(b"").chunks_exact(4) {
        low += u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        high = (high + low) % MODULUS;
    }
    low %= MODULUS;
    let first = MODULUS - (low + high) % MODULUS;
    let second = MODULUS - (low + first) % MODULUS;
    le64(block, 0) == Some(second << 32 | first)
}
