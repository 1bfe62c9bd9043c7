//! What files said when they were last read, so that a second look at an unchanged tree reads nothing.
//!
//! A file is the same if its device, inode, size, and times of last modification and change are: nobody but the kernel sets the
//! last. The cache is trusted as much as the folder it lies in. One that cannot be read, or is of another version, is made anew.
//! Written whole or not at all.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use evidence::BytePath;
use inspect::catalog::{Found, Reading};
use serde::{Deserialize, Serialize};

/// Changes whenever a cataloger reads differently. With the program's version it is the first line of a cache.
const VERSION: &str = concat!("countersign catalog 2 ", env!("CARGO_PKG_VERSION"));

/// A cache larger than this is made anew.
const CACHE_MAX_BYTES: u64 = 1 << 30;

/// What makes a file the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Identity(u64, u64, u64, i64, i64, i64, i64);

impl Identity {
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
        let parse = |lines: &[&[u8]]| -> Option<Vec<(BytePath, Entry)>> {
            lines
                .iter()
                .map(|line| serde_json::from_slice(line).ok().map(|line: Line| (line.path, line.entry)))
                .collect()
        };
        // A line that cannot be read means that something is wrong with all of it.
        let both = std::thread::scope(|scope| {
            let first = scope.spawn(|| parse(first));
            let second = parse(second);
            Some((first.join().ok().flatten()?, second?))
        });
        let Some((first, second)) = both else { return Self::default() };
        Self { lines: first.into_iter().chain(second).collect() }
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

/// A file, how it is told from others, and what each reader found in it.
pub(super) type Remembered = (BytePath, Identity, Vec<(String, Found)>);

/// Writes the entries of this look. A file that was changed at most two seconds before the look began may be changed again
/// without its times showing it: it is read anew next time.
pub(super) fn write(path: &Path, entries: &[Remembered], began: i64) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut out = BufWriter::with_capacity(1 << 16, File::create(&temporary)?);
    writeln!(out, "{VERSION}")?;
    for (path, identity, found) in entries {
        if identity.5 >= began - 2 || identity.3 >= began - 2 {
            continue;
        }
        let entry = Entry { identity: *identity, found: found.clone() };
        serde_json::to_writer(&mut out, &Line { path: path.clone(), entry })?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    drop(out);
    fs::rename(&temporary, path)
}
