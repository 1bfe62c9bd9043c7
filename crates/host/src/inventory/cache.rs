//! What files said when they were last read, so that a second look at an unchanged tree reads nothing.
//!
//! A file is the same if its device, inode, size, and times of last modification and change are: nobody but the kernel sets the
//! last. The cache is trusted as much as the folder it lies in. One that cannot be read, or is of another version, is made anew, and
//! why is said. Written whole or not at all.
//!
//! A folder is the same by the same signs: what is put into it, taken out or renamed changes its times, where the file system is
//! one of [`FILE_SYSTEMS`]. Of such a folder only the files that matter are looked at, and none of its other names is read.
//!
//! The form, numbers and bytes as `inspect` keeps them ([`Bytes`]): a line with the version; the SHA-256 of what follows; where the
//! record of the root begins, how many records and how many files there are, each as eight bytes; the records. A record is a
//! folder: whether its identity counts and, if so, that; how many files lie in it; its folders, each a name and where its record
//! begins (0: it has none); the files that matter, each a name and a [`Mark`], behind it an identity, and of those that were read what
//! each cataloger found. A record stands behind those of the folders in it. The whole is read at once and checked by its digest;
//! a record is taken apart when the walk comes to its folder, and nothing is kept of it. So each look at a machine costs what its
//! folders cost, not what the cache does.

mod write;

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use evidence::{BytePath, Digest};
use inspect::catalog::{Bytes, Found, Reading};

pub(super) use write::{Fresh, Looked, Now, write};

/// Changes whenever a cataloger reads differently or the form is another. With the program's version it is the first line of a cache.
const VERSION: &str = concat!("countersign catalog 4 ", env!("CARGO_PKG_VERSION"), "\n");

/// A cache larger than this is made anew.
const CACHE_MAX_BYTES: u64 = 1 << 30;

const IDENTITY_BYTES: usize = 56;

/// What makes a file the same: device, inode, size, times of modification and of change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity([u64; 7]);

impl Identity {
    /// The device on which the file lies.
    pub(super) fn device(&self) -> u64 {
        self.0[0]
    }

    pub(super) fn of(facts: &Metadata) -> Self {
        Self([
            facts.dev(),
            facts.ino(),
            facts.size(),
            facts.mtime().cast_unsigned(),
            facts.mtime_nsec().cast_unsigned(),
            facts.ctime().cast_unsigned(),
            facts.ctime_nsec().cast_unsigned(),
        ])
    }

    /// Whether both times are more than two seconds before this one.
    pub(super) fn is_before(&self, began: i64) -> bool {
        let [_, _, _, modified, _, changed, _] = self.0;
        modified.cast_signed() < began - 2 && changed.cast_signed() < began - 2
    }

    fn take(from: &mut Bytes) -> Option<Self> {
        let bytes = from.take(IDENTITY_BYTES)?;
        let mut numbers = [0; 7];
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(Self(numbers))
    }
}

/// File systems (`statfs(2)`) on which a folder's times change with what is in it: ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, overlay,
/// ZFS, squashfs, EROFS, bcachefs.
const FILE_SYSTEMS: [u64; 10] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0xF2F5_2010,
    0x794C_7630,
    0x2FC1_2FC1,
    0x7371_7368,
    0xE0F5_E1E2,
    0xCA45_1A4E,
];

/// Tells whether a folder lies on one of [`FILE_SYSTEMS`].
pub(super) fn shows_changes(folder: &Path) -> bool {
    let facts = rustix::fs::statfs(folder);
    facts.is_ok_and(|facts| u64::try_from(facts.f_type).is_ok_and(|kind| FILE_SYSTEMS.contains(&kind)))
}

/// What an earlier look has left.
#[derive(Default)]
pub(super) struct Cache {
    bytes: Vec<u8>,
    /// Where the records begin.
    start: usize,
    root: u64,
    folders: u64,
    files: u64,
    /// How many bytes of records were taken.
    taken: AtomicUsize,
}

impl Cache {
    /// Reads a cache. What is not one is empty; says too what is wrong with it, if it is there at all.
    pub(super) fn read(path: &Path) -> (Self, Option<&'static str>) {
        let nothing = |why| (Self::default(), Some(why));
        match fs::metadata(path) {
            Err(_) => return (Self::default(), None),
            Ok(facts) if !facts.is_file() => return nothing("is no file"),
            Ok(facts) if facts.len() > CACHE_MAX_BYTES => return nothing("is too large"),
            Ok(_) => {}
        }
        let Ok(bytes) = fs::read(path) else { return nothing("cannot be read") };
        if !bytes.starts_with(VERSION.as_bytes()) {
            return nothing("is of another version");
        }
        Self::parse(bytes).map_or_else(|| nothing("is damaged"), |cache| (cache, None))
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut from = Bytes(bytes.get(VERSION.len()..)?);
        let digest = from.take(32)?;
        if Digest::of(from.0).as_bytes() != digest {
            return None;
        }
        let mut number = || Some(u64::from_le_bytes(from.take(8)?.try_into().ok()?));
        let (root, folders, files) = (number()?, number()?, number()?);
        let start = bytes.len() - from.0.len();
        Some(Self { start, root, folders, files, bytes, taken: AtomicUsize::new(0) })
    }

    /// Where the record of the root begins.
    pub(super) fn root(&self) -> At {
        At(self.root)
    }

    /// How many folders it has.
    pub(super) fn folders(&self) -> u64 {
        self.folders
    }

    /// How many files it knows.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// The record that begins there, if one does. All of them together are as long as the cache: one whose records share others
    /// is believed no further.
    pub(super) fn record(&self, at: At) -> Option<Record<'_>> {
        let record = self.peek(at)?;
        let length = record.inner.0.len() + record.wanted.0.len();
        (self.taken.fetch_add(length, Ordering::Relaxed) <= self.bytes.len()).then_some(())?;
        // All of it or nothing: who goes through it then need not ask.
        let (mut inner, mut wanted) = (record.inner(), record.wanted());
        inner.by_ref().for_each(drop);
        wanted.by_ref().for_each(drop);
        (inner.0.0.is_empty() && wanted.0.0.is_empty()).then_some(record)
    }

    /// The same without looking at what is in it.
    fn peek(&self, at: At) -> Option<Record<'_>> {
        let at = usize::try_from(at.0.checked_sub(1)?).ok()?;
        let mut from = Bytes(self.bytes.get(self.start..)?.get(at..)?);
        let identity = match from.byte()? {
            0 => None,
            1 => Some(Identity::take(&mut from)?),
            _ => return None,
        };
        let files = from.number()?;
        let (inner, wanted) = (Bytes(from.bytes()?), Bytes(from.bytes()?));
        Some(Record { identity, files, inner, wanted })
    }
}

/// Where a record begins, counted from one; zero is nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct At(u64);

/// What was known of a folder.
pub(super) struct Record<'a> {
    pub(super) identity: Option<Identity>,
    /// How many files lay in it.
    pub(super) files: u64,
    inner: Bytes<'a>,
    wanted: Bytes<'a>,
}

impl<'a> Record<'a> {
    /// The folders in it, and where their records begin.
    pub(super) fn inner(&self) -> Inner<'a> {
        Inner(self.inner)
    }

    /// The files that matter.
    pub(super) fn wanted(&self) -> Wanted<'a> {
        Wanted(self.wanted)
    }
}

/// A name in a folder: no way to another.
fn name<'a>(from: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let name = from.bytes()?;
    let leads = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
    (!leads).then_some(name)
}

/// Goes through the folders in a folder.
pub(super) struct Inner<'a>(Bytes<'a>);

impl<'a> Iterator for Inner<'a> {
    type Item = (&'a [u8], At);

    fn next(&mut self) -> Option<Self::Item> {
        let mut from = self.0;
        let item = (name(&mut from)?, At(from.number()?));
        self.0 = from;
        Some(item)
    }
}

/// Goes through the files of a folder that matter.
pub(super) struct Wanted<'a>(Bytes<'a>);

impl<'a> Iterator for Wanted<'a> {
    type Item = (&'a [u8], Known<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut from = self.0;
        let name = name(&mut from)?;
        let known = Known::take(&mut from)?;
        self.0 = from;
        Some((name, known))
    }
}

/// What is known of a file, as a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// Nothing, but that its name matters.
    Nothing,
    /// As it is, nobody wants it.
    PassedOver,
    /// It was read.
    Read,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    mark: Mark,
    identity: Option<Identity>,
    found: &'a [u8],
}

impl<'a> Known<'a> {
    pub(super) const NOTHING: Self = Self { mark: Mark::Nothing, identity: None, found: &[] };

    fn take(from: &mut Bytes<'a>) -> Option<Self> {
        match from.byte()? {
            0 => Some(Self::NOTHING),
            1 => Some(Self { mark: Mark::PassedOver, identity: Some(Identity::take(from)?), found: &[] }),
            2 => {
                let identity = Some(Identity::take(from)?);
                Some(Self { mark: Mark::Read, identity, found: from.bytes()? })
            }
            _ => None,
        }
    }

    /// Whether nothing is known.
    pub(super) fn is_nothing(&self) -> bool {
        self.mark == Mark::Nothing
    }

    /// Whether nobody wants it.
    pub(super) fn is_passed_over(&self) -> bool {
        self.mark == Mark::PassedOver
    }

    /// Whether it is known of this file, as it is now.
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        self.identity.as_ref() == Some(identity)
    }

    /// What catalogers found in it; nothing if these bytes do not say so.
    pub(super) fn readings(&self, path: impl Fn() -> BytePath) -> Option<Vec<Reading>> {
        let mut from = Bytes(self.found);
        let mut readings = Vec::new();
        while !from.0.is_empty() {
            let by = from.text()?.to_owned();
            readings.push(Reading { path: path(), by, found: Found::kept(from.bytes()?)? });
        }
        Some(readings)
    }
}
