//! What files said when they were last read, so that a second look at an unchanged tree reads nothing.
//!
//! A file is the same if its device, inode, size, and times of last modification and change are: nobody but the kernel sets the
//! last. The cache is trusted as much as the folder it lies in. One that cannot be read, or is of another version, is made anew.
//! Written whole or not at all.
//!
//! A folder is the same by the same signs: what is put into it, taken out or renamed changes its times, where the file system is
//! one of [`FILE_SYSTEMS`]. Of such a folder only the files that matter are looked at, and none of its other names is read.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use evidence::BytePath;
use inspect::catalog::{Found, Reading};
use serde::{Deserialize, Serialize};

/// Changes whenever a cataloger reads differently. With the program's version it is the first line of a cache.
const VERSION: &str = concat!("countersign catalog 3 ", env!("CARGO_PKG_VERSION"));

/// A cache larger than this is made anew.
const CACHE_MAX_BYTES: u64 = 1 << 30;

/// What makes a file the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Identity(u64, u64, u64, i64, i64, i64, i64);

impl Identity {
    /// The device on which the file lies.
    pub(super) fn device(&self) -> u64 {
        self.0
    }

    pub(super) fn of(facts: &Metadata) -> Self {
        Self(
            facts.dev(),
            facts.ino(),
            facts.size(),
            facts.mtime(),
            facts.mtime_nsec(),
            facts.ctime(),
            facts.ctime_nsec(),
        )
    }
}

/// What was found in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    identity: Identity,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    found: Vec<(String, Found)>,
}

/// What was in a folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Listing {
    /// How many files.
    pub(super) files: u64,
    /// Folders in it, by their names.
    pub(super) inner: Vec<BytePath>,
    /// Files that a cataloger may want, by their names.
    pub(super) wanted: Vec<BytePath>,
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

#[derive(Serialize, Deserialize)]
struct FolderLine(BytePath, Identity, Listing);

#[derive(Serialize, Deserialize)]
struct Line {
    path: BytePath,
    #[serde(flatten)]
    entry: Entry,
}

/// The entries of an earlier look.
#[derive(Default)]
pub(super) struct Cache {
    lines: HashMap<BytePath, Entry>,
    folders: HashMap<BytePath, (Identity, Listing)>,
}

/// A line of a cache.
enum Known {
    File(Line),
    Folder(FolderLine),
}

impl Cache {
    /// Reads a cache; what is not one is empty.
    pub(super) fn read(path: &Path) -> Self {
        let small = fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() <= CACHE_MAX_BYTES);
        let Some(bytes) = small.then(|| fs::read(path).ok()).flatten() else { return Self::default() };
        let mut lines = bytes.split(|byte| *byte == b'\n');
        if lines.next() != Some(VERSION.as_bytes()) {
            return Self::default();
        }
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        let (first, second) = lines.split_at(lines.len() / 2);
        let parse = |lines: &[&[u8]]| -> Option<Vec<Known>> {
            let known = lines.iter().map(|line| match line.first() {
                Some(b'[') => serde_json::from_slice(line).map(Known::Folder).ok(),
                _ => serde_json::from_slice(line).map(Known::File).ok(),
            });
            known.collect()
        };
        // A line that cannot be read means that something is wrong with all of it.
        let both = std::thread::scope(|scope| {
            let first = scope.spawn(|| parse(first));
            let second = parse(second);
            Some((first.join().ok().flatten()?, second?))
        });
        let Some((first, second)) = both else { return Self::default() };
        let mut cache = Self::default();
        for known in first.into_iter().chain(second) {
            match known {
                Known::File(line) => drop(cache.lines.insert(line.path, line.entry)),
                Known::Folder(FolderLine(path, identity, listing)) => {
                    cache.folders.insert(path, (identity, listing));
                }
            }
        }
        cache
    }

    /// Returns what was in a folder, if it is the same still.
    pub(super) fn folder(&self, path: &BytePath, identity: &Identity) -> Option<&Listing> {
        self.folders.get(path).filter(|(known, _)| known == identity).map(|(_, listing)| listing)
    }

    pub(super) fn folders(&self) -> usize {
        self.folders.len()
    }

    /// Returns what was found in a file, if it is the same still.
    pub(super) fn known(&self, path: &BytePath, identity: &Identity) -> Option<&Entry> {
        self.lines.get(path).filter(|entry| entry.identity == *identity)
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

impl Entry {
    pub(super) fn readings<'a>(&'a self, path: &'a BytePath) -> impl Iterator<Item = Reading> + 'a {
        self.found.iter().map(|(by, found)| Reading {
            path: path.clone(),
            by: by.clone(),
            found: found.clone(),
        })
    }
}

/// A file, how it is told from others, and what each reader found in it; nothing, if that is what the cache has.
pub(super) type Remembered = (BytePath, Identity, Option<Vec<(String, Found)>>);
/// A folder, how it is told from others, and what was in it; nothing, if that is what the cache has.
pub(super) type RememberedFolder = (BytePath, Identity, Option<Listing>);

/// Writes the entries of this look. What was changed at most two seconds before the look began may be changed again without its
/// times showing it: it is read anew next time.
pub(super) fn write(
    path: &Path,
    cache: &Cache,
    files: &[Remembered],
    folders: &[RememberedFolder],
    began: i64,
) -> io::Result<()> {
    let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut out = BufWriter::with_capacity(1 << 16, File::create(&temporary)?);
    writeln!(out, "{VERSION}")?;
    let is_old = |identity: &Identity| identity.5 < began - 2 && identity.3 < began - 2;
    for (path, identity, found) in files.iter().filter(|(_, identity, _)| is_old(identity)) {
        let entry = match (found, cache.known(path, identity)) {
            (Some(found), _) => Entry { identity: *identity, found: found.clone() },
            (None, Some(entry)) => entry.clone(),
            (None, None) => continue,
        };
        serde_json::to_writer(&mut out, &Line { path: path.clone(), entry })?;
        out.write_all(b"\n")?;
    }
    for (path, identity, listing) in folders.iter().filter(|(_, identity, _)| is_old(identity)) {
        let Some(listing) = listing.as_ref().or_else(|| cache.folder(path, identity)) else { continue };
        serde_json::to_writer(&mut out, &FolderLine(path.clone(), *identity, listing.clone()))?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    drop(out);
    fs::rename(&temporary, path)
}
