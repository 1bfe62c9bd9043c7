//! Goes through a folder, two folders at a time, and hands the files that a cataloger wants to it. Symbolic links are not
//! followed; file systems of the kernel and of other machines are not entered, and said so.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use evidence::BytePath;
use inspect::catalog::{self, Candidates, DOCUMENT_MAX_BYTES, Reading, Scan};

use super::cache::{self, Cache, Identity, Remembered};
use super::mounts;

/// Folders of one walk: an endless tree ends.
const FOLDERS_MAX: u64 = 20_000_000;
const THREADS: usize = 2;

/// What is to be walked.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    /// The folder.
    pub root: &'a Path,
    /// Where to remember what files said.
    pub cache: Option<&'a Path>,
    /// Enter file systems of the kernel and of other machines too.
    pub every_mount: bool,
}

/// What a walk has shown.
#[derive(Debug, Default)]
pub struct Walked {
    /// What the catalogers read.
    pub scan: Scan,
    /// Files that were seen.
    pub files: u64,
    /// Folders that were seen.
    pub folders: u64,
    /// Files that a cataloger wanted.
    pub wanted: u64,
    /// Of these, those that the cache knew.
    pub remembered: u64,
    /// File systems that were not entered: mount point and type.
    pub not_entered: Vec<(PathBuf, String)>,
}

/// Walks a folder.
pub fn walk(walk: &Walk) -> io::Result<Walked> {
    let root = walk.root.canonicalize()?;
    let began = now(&root)?;
    let cache = walk.cache.map(Cache::read).unwrap_or_default();
    let closed = if walk.every_mount { BTreeMap::new() } else { mounts::closed() };
    let shared = Shared {
        root: &root,
        cache: &cache,
        remember: walk.cache.is_some(),
        closed: closed.into_iter().filter(|(point, _)| *point != root && point.starts_with(&root)).collect(),
        queue: Mutex::new(Queue { waiting: vec![root.clone()], busy: 0, seen: 0 }),
        more: Condvar::new(),
    };
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| shared.work())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut walked = Walked::default();
    let mut entries = Vec::new();
    for part in parts {
        walked.files += part.walked.files;
        walked.folders += part.walked.folders;
        walked.wanted += part.walked.wanted;
        walked.remembered += part.walked.remembered;
        walked.not_entered.extend(part.walked.not_entered);
        walked.scan.extend(part.walked.scan);
        entries.extend(part.entries);
    }
    walked.not_entered.sort();
    // Nothing new, nothing gone: the cache stands as it is.
    let changed = walked.remembered < walked.wanted || walked.remembered < cache.len() as u64;
    if let Some(path) = walk.cache.filter(|_| changed) {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        if let Err(error) = cache::write(path, &entries, began) {
            let detail = format!("the cache of the scan cannot be written: {error}");
            walked.scan.problem(&BytePath::new(path.as_os_str().as_bytes()), "cache-unwritable", &detail);
        }
    }
    Ok(walked)
}

/// The time as the file system has it: what it gives to a file now, or at least the youngest time in the root.
fn now(root: &Path) -> io::Result<i64> {
    let facts = fs::metadata(root)?;
    let here = fs::metadata("/proc/self").map(|facts| facts.ctime()).unwrap_or_default();
    Ok(here.max(facts.ctime()))
}

struct Queue {
    waiting: Vec<PathBuf>,
    busy: usize,
    seen: u64,
}

struct Shared<'a> {
    root: &'a Path,
    cache: &'a Cache,
    remember: bool,
    closed: BTreeMap<PathBuf, String>,
    queue: Mutex<Queue>,
    more: Condvar,
}

/// What one thread has seen.
#[derive(Default)]
struct Part {
    walked: Walked,
    entries: Vec<Remembered>,
}

impl Shared<'_> {
    fn work(&self) -> Part {
        let mut part = Part::default();
        while let Some(folder) = self.next() {
            let inner = self.folder(&folder, &mut part);
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.busy -= 1;
            queue.waiting.extend(inner);
            drop(queue);
            self.more.notify_all();
        }
        part
    }

    /// Takes a folder; waits while others may still find some.
    fn next(&self) -> Option<PathBuf> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.seen >= FOLDERS_MAX {
                return None;
            }
            if let Some(folder) = queue.waiting.pop() {
                queue.busy += 1;
                queue.seen += 1;
                return Some(folder);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads one folder; returns those in it.
    fn folder(&self, folder: &Path, part: &mut Part) -> Vec<PathBuf> {
        part.walked.folders += 1;
        let mut inner = Vec::new();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                // A folder that has vanished is nothing that could not be read.
                if error.kind() != io::ErrorKind::NotFound {
                    part.walked.scan.problem(&self.relative(folder), "unreadable", &error.to_string());
                }
                return inner;
            }
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry))) {
                Ok((kind, entry)) if kind.is_dir() => {
                    let path = entry.path();
                    match self.closed.get(&path) {
                        Some(kind) => part.walked.not_entered.push((path, kind.clone())),
                        None => inner.push(path),
                    }
                }
                Ok((kind, entry)) if kind.is_file() => {
                    part.walked.files += 1;
                    self.file(&entry, part);
                }
                Ok((kind, _)) => debug_assert!(kind.is_symlink() || kind.is_fifo() || !kind.is_file()),
                Err(error) => {
                    part.walked.scan.problem(&self.relative(folder), "unreadable", &error.to_string());
                }
            }
        }
        inner
    }

    fn relative(&self, path: &Path) -> BytePath {
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        BytePath::new(relative.as_os_str().as_bytes())
    }

    fn file(&self, entry: &DirEntry, part: &mut Part) {
        // Most files are wanted by nobody: their path is never put together.
        if !catalog::may_want(entry.file_name().as_bytes()) {
            return;
        }
        let path = entry.path();
        let relative = self.relative(&path);
        let candidates = catalog::candidates(relative.as_bytes());
        if candidates.is_empty() {
            return;
        }
        if let Err(error) = self.read(entry, &path, &relative, &candidates, part)
            && error.kind() != io::ErrorKind::NotFound
        {
            part.walked.scan.problem(&relative, "unreadable", &error.to_string());
        }
    }

    fn read(
        &self,
        entry: &DirEntry,
        path: &Path,
        relative: &BytePath,
        candidates: &Candidates,
        part: &mut Part,
    ) -> io::Result<()> {
        // Of the folder's own handle: no path is looked up.
        let facts = entry.metadata()?;
        let program = candidates.program && may_be_program(relative, &facts);
        if candidates.documents.is_empty() && !program {
            return Ok(());
        }
        part.walked.wanted += 1;
        let identity = Identity::of(&facts);
        if let Some(known) = self.cache.known(relative, &identity) {
            part.walked.remembered += 1;
            let readings: Vec<Reading> = known.readings(relative).collect();
            if self.remember {
                let found = readings.iter().map(|reading| (reading.by.clone(), reading.found.clone()));
                part.entries.push((relative.clone(), identity, found.collect()));
            }
            readings.into_iter().for_each(|reading| part.walked.scan.take(reading));
            return Ok(());
        }
        let file = open(path)?;
        let now = file.metadata()?;
        if !now.is_file() {
            return Ok(());
        }
        let mut found = Vec::new();
        if program {
            let content = Program(&file, now.len());
            found.extend(
                catalog::read_program(&content).into_iter().map(|(by, found)| (by.to_owned(), found)),
            );
        }
        if !candidates.documents.is_empty() {
            let beginning = candidates.documents.iter().all(|cataloger| cataloger.wants_beginning());
            let most = candidates.documents.iter().map(|cataloger| cataloger.most_bytes()).max();
            let most = most.unwrap_or(DOCUMENT_MAX_BYTES);
            if now.len() > most && !beginning {
                part.walked.scan.problem(relative, "budget-exhausted", "the document is too large");
            } else {
                let mut bytes = Vec::with_capacity(usize::try_from(now.len().min(most)).unwrap_or_default());
                (&file).take(most).read_to_end(&mut bytes)?;
                for cataloger in &candidates.documents {
                    found.push((cataloger.name.to_owned(), catalog::read(cataloger, relative, &bytes)));
                }
            }
        }
        found.retain(|(_, found)| !found.is_empty());
        // Only what was the same before and after may be remembered.
        let after = Identity::of(&file.metadata()?);
        if self.remember && after == identity {
            part.entries.push((relative.clone(), identity, found.clone()));
        }
        for (by, found) in found {
            part.walked.scan.take(Reading { path: relative.clone(), by, found });
        }
        Ok(())
    }
}

/// Programs have a bit that says so, or the name of a library.
fn may_be_program(path: &BytePath, facts: &Metadata) -> bool {
    const SMALLEST: u64 = 128;
    facts.len() >= SMALLEST && (facts.mode() & 0o111 != 0 || catalog::is_library_name(path.file_name()))
}

/// Opens a file without waiting for anything: a pipe in its place does not hold us.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// A program's content, by ranges.
struct Program<'f>(&'f File, u64);

impl catalog::Content for Program<'_> {
    fn size(&self) -> u64 {
        self.1
    }

    fn range(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; length];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}
