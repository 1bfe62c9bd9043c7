//! Goes through a folder, two folders at a time, and hands the files that a cataloger wants to it. Symbolic links are not
//! followed; file systems of the kernel and of other machines are not entered, and said so.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use evidence::BytePath;
use inspect::catalog::{self, Candidates, DOCUMENT_MAX_BYTES, Reading, Scan};

use super::cache::{self, Cache, Identity, Listing, Remembered, RememberedFolder};
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
        queue: Mutex::new(Queue { waiting: vec![root.clone()], busy: 0 }),
        more: Condvar::new(),
        idle: AtomicUsize::new(0),
        seen: AtomicU64::new(0),
    };
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| shared.work())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut walked = Walked::default();
    let (mut entries, mut folders) = (Vec::new(), Vec::new());
    for part in parts {
        folders.extend(part.folders);
        walked.files += part.walked.files;
        walked.folders += part.walked.folders;
        walked.wanted += part.walked.wanted;
        walked.remembered += part.walked.remembered;
        walked.not_entered.extend(part.walked.not_entered);
        walked.scan.extend(part.walked.scan);
        entries.extend(part.entries);
    }
    walked.not_entered.sort();
    if shared.seen.load(Ordering::Relaxed) >= FOLDERS_MAX {
        walked.scan.problem(&BytePath::from(""), "budget-exhausted", "more folders than are walked");
    }
    // Nothing new, nothing gone: the cache stands as it is.
    let changed = walked.remembered < walked.wanted
        || walked.remembered < cache.len() as u64
        || folders.len() != cache.folders()
        || folders.iter().any(|(_, _, listing)| listing.is_some());
    if let Some(path) = walk.cache.filter(|_| changed) {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        folders.sort_by(|a, b| a.0.cmp(&b.0));
        if let Err(error) = cache::write(path, &cache, &entries, &folders, began) {
            let detail = format!("the cache of the scan cannot be written: {error}");
            walked.scan.problem(&BytePath::new(path.as_os_str().as_bytes()), "cache-unwritable", &detail);
        }
    }
    Ok(walked)
}

/// The time as the file system has it: what it gives to a file now, or at least the youngest time in the root.
fn now(root: &Path) -> io::Result<i64> {
    let facts = fs::metadata(root)?;
    // A thread that has just begun has a folder that was just made.
    let new = || std::thread::spawn(|| fs::metadata("/proc/thread-self")).join();
    let here = new().ok().and_then(Result::ok).map(|facts| facts.ctime()).unwrap_or_default();
    Ok(here.max(facts.ctime()))
}

struct Queue {
    waiting: Vec<PathBuf>,
    busy: usize,
}

struct Shared<'a> {
    root: &'a Path,
    cache: &'a Cache,
    remember: bool,
    closed: BTreeMap<PathBuf, String>,
    queue: Mutex<Queue>,
    more: Condvar,
    /// Threads that wait for a folder.
    idle: AtomicUsize,
    /// Folders that were begun.
    seen: AtomicU64,
}

/// What one thread has seen.
#[derive(Default)]
struct Part {
    walked: Walked,
    entries: Vec<Remembered>,
    folders: Vec<RememberedFolder>,
    /// Of each device, whether the times of its folders show changes.
    devices: HashMap<u64, bool>,
}

impl Shared<'_> {
    /// Goes into the depth alone; gives away the older half of what waits when somebody has nothing.
    fn work(&self) -> Part {
        let mut part = Part::default();
        while let Some(folder) = self.next() {
            let mut own = vec![folder];
            while let Some(folder) = own.pop() {
                if self.seen.fetch_add(1, Ordering::Relaxed) >= FOLDERS_MAX {
                    own.clear();
                    break;
                }
                own.extend(self.folder(&folder, &mut part));
                if own.len() > 1 && self.idle.load(Ordering::Relaxed) > 0 {
                    let given: Vec<PathBuf> = own.drain(..own.len() / 2).collect();
                    self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.extend(given);
                    self.more.notify_all();
                }
            }
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).busy -= 1;
            self.more.notify_all();
        }
        part
    }

    /// Takes a folder; waits while others may still find some.
    fn next(&self) -> Option<PathBuf> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(folder) = queue.waiting.pop() {
                queue.busy += 1;
                return Some(folder);
            }
            if queue.busy == 0 {
                return None;
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Looks at one folder; returns those in it.
    fn folder(&self, folder: &Path, part: &mut Part) -> Vec<PathBuf> {
        part.walked.folders += 1;
        let relative = self.relative(folder);
        let identity = self.identity(folder, part);
        let known = identity.as_ref().and_then(|identity| self.cache.folder(&relative, identity));
        let (listing, is_whole) = match known {
            Some(known) => (Cow::Borrowed(known), true),
            None => {
                let (listing, is_whole) = self.list(folder, &relative, part);
                (Cow::Owned(listing), is_whole)
            }
        };
        let inner = self.inner(folder, &listing, part);
        part.walked.files += listing.files;
        for name in &listing.wanted {
            self.file(&folder.join(OsStr::from_bytes(name.as_bytes())), part);
        }
        // What was read while the folder changed is not remembered.
        if let Some(identity) = identity.filter(|_| is_whole)
            && (known.is_some() || self.identity(folder, part) == Some(identity))
        {
            let fresh = match listing {
                Cow::Borrowed(_) => None,
                Cow::Owned(listing) => Some(listing),
            };
            part.folders.push((relative, identity, fresh));
        }
        inner
    }

    /// What tells a folder from others, if that is worth anything where it lies.
    fn identity(&self, folder: &Path, part: &mut Part) -> Option<Identity> {
        let facts = self.remember.then(|| fs::symlink_metadata(folder).ok()).flatten()?;
        let identity = Identity::of(&facts);
        let shows = part.devices.entry(identity.device()).or_insert_with(|| cache::shows_changes(folder));
        (*shows && facts.is_dir()).then_some(identity)
    }

    /// The folders in a folder, but for closed file systems.
    fn inner(&self, folder: &Path, listing: &Listing, part: &mut Part) -> Vec<PathBuf> {
        let mut inner = Vec::with_capacity(listing.inner.len());
        for name in &listing.inner {
            let path = folder.join(OsStr::from_bytes(name.as_bytes()));
            match self.closed.get(&path) {
                Some(kind) => part.walked.not_entered.push((path, kind.clone())),
                None => inner.push(path),
            }
        }
        if folder.ends_with("nix/store") {
            let paths: Vec<BytePath> = inner.iter().map(|path| self.relative(path)).collect();
            part.walked.scan.store_paths(paths.iter().map(BytePath::as_bytes));
        }
        inner
    }

    /// Reads a folder's names; says too whether all of them could be read.
    fn list(&self, folder: &Path, relative: &BytePath, part: &mut Part) -> (Listing, bool) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                // A folder that has vanished is nothing that could not be read.
                if error.kind() != io::ErrorKind::NotFound {
                    part.walked.scan.problem(relative, "unreadable", &error.to_string());
                }
                return (Listing::default(), false);
            }
        };
        let (mut listing, mut is_whole) = (Listing::default(), true);
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry.file_name()))) {
                Ok((kind, name)) if kind.is_dir() => listing.inner.push(BytePath::new(name.as_bytes())),
                Ok((kind, name)) if kind.is_file() => {
                    listing.files += 1;
                    // Most files are wanted by nobody: their path is never put together.
                    if catalog::may_want(name.as_bytes()) {
                        let path = self.relative(&folder.join(&name));
                        if !catalog::candidates(path.as_bytes()).is_empty() {
                            listing.wanted.push(BytePath::new(name.as_bytes()));
                        }
                    }
                }
                Ok((kind, _)) => debug_assert!(kind.is_symlink() || kind.is_fifo() || !kind.is_file()),
                Err(error) => {
                    is_whole = false;
                    part.walked.scan.problem(relative, "unreadable", &error.to_string());
                }
            }
        }
        (listing, is_whole)
    }

    fn relative(&self, path: &Path) -> BytePath {
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        BytePath::new(relative.as_os_str().as_bytes())
    }

    fn file(&self, path: &Path, part: &mut Part) {
        let relative = self.relative(path);
        let candidates = catalog::candidates(relative.as_bytes());
        if let Err(error) = self.read(path, &relative, &candidates, part)
            && error.kind() != io::ErrorKind::NotFound
        {
            part.walked.scan.problem(&relative, "unreadable", &error.to_string());
        }
    }

    fn read(
        &self,
        path: &Path,
        relative: &BytePath,
        candidates: &Candidates,
        part: &mut Part,
    ) -> io::Result<()> {
        let facts = fs::symlink_metadata(path)?;
        if !facts.is_file() {
            return Ok(());
        }
        let program = candidates.program && may_be_program(relative, &facts);
        if candidates.documents.is_empty() && !program {
            return Ok(());
        }
        part.walked.wanted += 1;
        let identity = Identity::of(&facts);
        if let Some(known) = self.cache.known(relative, &identity) {
            part.walked.remembered += 1;
            if self.remember {
                part.entries.push((relative.clone(), identity, None));
            }
            known.readings(relative).for_each(|reading| part.walked.scan.take(reading));
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
            part.entries.push((relative.clone(), identity, Some(found.clone())));
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
