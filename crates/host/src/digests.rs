//! Digests of files through open descriptors, remembered as long as the kernel says nothing changed.

mod remembered;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evidence::{Digest, Hasher};
use rustix::fs::Stat;

use crate::commit::BlobName;
pub use remembered::{NotRemembered, Remembered};

/// What the kernel says of a file's content: as long as it is the same, so are the bytes. `ctime` cannot be set
/// by a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        }
    }

    /// Returns the identity of the file, whatever its content.
    pub(crate) fn file(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Tells whether the file could change once more without this stamp changing: it was changed within the
    /// kernel's clock granularity before `seen` (git's "racily clean").
    fn is_racy(&self, seen: SystemTime) -> bool {
        let changed = Duration::new(
            u64::try_from(self.changed.0).unwrap_or(0),
            u32::try_from(self.changed.1).unwrap_or(0),
        );
        UNIX_EPOCH + changed + TICK >= seen
    }
}

/// Two ticks of the slowest usual kernel clock (100 Hz).
const TICK: Duration = Duration::from_millis(20);

const BUFFER_BYTES: usize = 256 * 1024;

/// A digest and how far it can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) stamp: Stamp,
    /// The kind of executable that its first bytes name.
    pub(crate) format: Option<&'static str>,
    /// Whether the stamp cannot vouch for it, because the file had just been changed.
    pub(crate) racy: bool,
    /// Whether it is the blob that was asked about, if one was.
    pub(crate) is_blob: Option<bool>,
}

#[derive(Clone, Copy)]
struct Known {
    digest: Digest,
    format: Option<&'static str>,
    blob: Option<(BlobName, bool)>,
}

impl Known {
    fn content(&self, stamp: Stamp, racy: bool) -> Content {
        let is_blob = self.blob.map(|(_, is)| is);
        Content { digest: self.digest, stamp, format: self.format, racy, is_blob }
    }
}

#[derive(Default)]
pub(crate) struct Digests {
    known: HashMap<Stamp, Known>,
    /// Files that can be written through shared memory: their stamps vouch for nothing.
    distrusted: HashSet<(u64, u64)>,
    buffer: Vec<u8>,
    remembered: Remembered,
    learned: Remembered,
}

impl Digests {
    /// Begins with what earlier builds have learned.
    pub(crate) fn with(remembered: Remembered) -> Self {
        Self { remembered, ..Self::default() }
    }

    /// Returns what later builds may use: what was learned, and what was remembered and still held.
    pub(crate) fn learned(&mut self) -> Remembered {
        std::mem::take(&mut self.learned)
    }

    /// Returns the digest of the whole file behind a descriptor; its offset does not move.
    pub(crate) fn content(&mut self, file: impl AsFd, stat: &Stat) -> io::Result<Content> {
        self.content_as(file, stat, None)
    }

    /// The same, and whether the content is a blob of the commit.
    pub(crate) fn content_as(
        &mut self,
        file: impl AsFd,
        stat: &Stat,
        blob: Option<&BlobName>,
    ) -> io::Result<Content> {
        let stamp = Stamp::of(stat);
        if let Some(known) = self.known.get(&stamp)
            && (blob.is_none() || known.blob.map(|(name, _)| name).as_ref() == blob)
        {
            return Ok(known.content(stamp, false));
        }
        // What an earlier build hashed does for tools; a source is read and compared anew.
        if blob.is_none()
            && !self.distrusted.contains(&stamp.file())
            && let Some((digest, format)) = self.remembered.get(&stamp)
        {
            let known = Known { digest, format, blob: None };
            self.known.insert(stamp, known);
            self.learned.insert(stamp, digest, format);
            return Ok(known.content(stamp, false));
        }
        let seen = SystemTime::now();
        let known = self.hash(file.as_fd(), stamp.size, blob)?;
        let after = Stamp::of(&rustix::fs::fstat(&file)?);
        let racy = after != stamp || stamp.is_racy(seen) || self.distrusted.contains(&stamp.file());
        if !racy {
            self.known.insert(stamp, known);
            if blob.is_none() && remembered::may_be_remembered(file.as_fd(), stat) {
                self.learned.insert(stamp, known.digest, known.format);
            }
        }
        Ok(known.content(after, racy))
    }

    /// Returns what is known of a file without reading it.
    pub(crate) fn known(&self, stat: &Stat) -> Option<Content> {
        let stamp = Stamp::of(stat);
        Some(self.known.get(&stamp)?.content(stamp, false))
    }

    /// From here on a file is hashed each time it is asked for. Tells whether that is news.
    pub(crate) fn distrust(&mut self, file: (u64, u64)) -> bool {
        let news = self.distrusted.insert(file);
        if news {
            self.known.retain(|stamp, _| stamp.file() != file);
        }
        news
    }

    fn hash(&mut self, file: impl AsFd, size: u64, blob: Option<&BlobName>) -> io::Result<Known> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut hasher = Hasher::new();
        let mut beside = blob.map(|name| (name, name.hasher(size)));
        let (mut offset, mut format) = (0, None);
        loop {
            match rustix::io::pread(&file, &mut self.buffer[..], offset) {
                Ok(0) => break,
                Ok(length) => {
                    let bytes = &self.buffer[..length];
                    if offset == 0 {
                        format = executable(bytes);
                    }
                    hasher.update(bytes);
                    if let Some((_, beside)) = &mut beside {
                        beside.update(bytes);
                    }
                    offset += length as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let blob = beside.map(|(name, hasher)| (*name, hasher.is(name)));
        Ok(Known { digest: hasher.finish(), format, blob })
    }
}

/// The kinds of executables that are told apart.
const FORMATS: [&str; 3] = ["elf", "pe", "macho"];

/// Names the kind of executable by its first bytes; whether it is a sound one is not asked here.
fn executable(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x7f, b'E', b'L', b'F', ..] => Some(FORMATS[0]),
        [b'M', b'Z', ..] => Some(FORMATS[1]),
        [0xca, 0xfe, 0xba, 0xbe, ..]
        | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
        | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Some(FORMATS[2]),
        _ => None,
    }
}
