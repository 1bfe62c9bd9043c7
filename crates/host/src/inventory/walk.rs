//! Goes through a folder, two folders at a time, and hands the files that a cataloger wants to it. Symbolic links are not
//! followed; file systems of the kernel and of other machines are not entered, and said so.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use evidence::BytePath;
use inspect::catalog::{self, Candidates, Found, Reading, Scan};

use super::cache::{self, At, Cache, Fresh, Identity, Known, Looked, Now, Record};
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
    /// Why what is there as a cache is of no use, in words that follow its name.
    pub forgotten: Option<&'static str>,
    /// File systems that were not entered: mount point and type.
    pub not_entered: Vec<(PathBuf, String)>,
}

/// Walks a folder.
pub fn walk(walk: &Walk) -> io::Result<Walked> {
    let root = walk.root.canonicalize()?;
    let began = now(&root)?;
    let (cache, forgotten) = walk.cache.map(Cache::read).unwrap_or_default();
    let closed = if walk.every_mount { BTreeMap::new() } else { mounts::closed() };
    let closed = closed.into_iter().filter(|(point, _)| *point != root && point.starts_with(&root));
    let shared = Shared {
        root: &root,
        cache: &cache,
        remember: walk.cache.is_some(),
        closed: closed.map(|(point, kind)| (point.into_os_string(), kind)).collect(),
        queue: Mutex::new(Queue { waiting: vec![(root.clone(), cache.root())], busy: 0 }),
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
    let mut walked = Walked { forgotten, ..Walked::default() };
    let mut looked = Vec::new();
    for part in parts {
        looked.extend(part.looked);
        walked.files = walked.files.saturating_add(part.walked.files);
        walked.folders += part.walked.folders;
        walked.wanted += part.walked.wanted;
        walked.remembered += part.walked.remembered;
        walked.not_entered.extend(part.walked.not_entered);
        walked.scan.extend(part.walked.scan);
    }
    walked.not_entered.sort();
    if shared.seen.load(Ordering::Relaxed) >= FOLDERS_MAX {
        walked.scan.problem(&BytePath::from(""), "budget-exhausted", "more folders than are walked");
    }
    // Nothing new, nothing gone: the cache stands as it is.
    let is_new = |looked: &Looked| match looked {
        Looked::Same(_) => false,
        Looked::Files(..) => true,
        Looked::Listed(_, folder) => folder.identity.is_some_and(|identity| identity.is_before(began)),
    };
    let changed = walked.remembered < walked.wanted
        || walked.remembered < cache.files()
        || looked.len() as u64 != cache.folders()
        || looked.iter().any(is_new);
    if let Some(path) = walk.cache.filter(|_| changed)
        && let Err(error) = cache::write(path, &cache, looked, began)
    {
        let detail = format!("the cache of the scan cannot be written: {error}");
        walked.scan.problem(&BytePath::new(path.as_os_str().as_bytes()), "cache-unwritable", &detail);
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

/// A folder, and where its record begins.
type Visit = (PathBuf, At);

struct Queue {
    waiting: Vec<Visit>,
    busy: usize,
}

struct Shared<'a> {
    root: &'a Path,
    cache: &'a Cache,
    remember: bool,
    closed: HashMap<OsString, String>,
    queue: Mutex<Queue>,
    more: Condvar,
    /// Threads that wait for a folder.
    idle: AtomicUsize,
    /// Folders that were begun.
    seen: AtomicU64,
}

/// What one thread has seen.
#[derive(Default)]
struct Part<'a> {
    walked: Walked,
    looked: Vec<Looked<'a>>,
    /// Of each device, whether the times of its folders show changes.
    devices: HashMap<u64, bool>,
}

/// The names of a folder that matter.
#[derive(Default)]
struct Listing {
    files: u64,
    inner: Vec<Vec<u8>>,
    wanted: Vec<Vec<u8>>,
    /// Whether all names could be read.
    is_whole: bool,
}

impl<'a> Shared<'a> {
    /// Goes into the depth alone; gives away the older half of what waits when somebody has nothing.
    fn work(&self) -> Part<'a> {
        let mut part = Part::default();
        while let Some(folder) = self.next() {
            let mut own = vec![folder];
            while let Some((folder, at)) = own.pop() {
                if self.seen.fetch_add(1, Ordering::Relaxed) >= FOLDERS_MAX {
                    own.clear();
                    break;
                }
                self.folder(&folder, at, &mut own, &mut part);
                if own.len() > 1 && self.idle.load(Ordering::Relaxed) > 0 {
                    let given: Vec<Visit> = own.drain(..own.len() / 2).collect();
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
    fn next(&self) -> Option<Visit> {
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

    /// Looks at one folder; those in it are to be looked at.
    fn folder(&self, folder: &Path, at: At, own: &mut Vec<Visit>, part: &mut Part<'a>) {
        part.walked.folders += 1;
        let identity = self.identity(folder, part);
        match self.cache.record(at) {
            Some(record) if identity.is_some() && record.identity == identity => {
                self.same(folder, at, &record, own, part);
            }
            record => self.listed(folder, record.as_ref(), identity, own, part),
        }
    }

    /// Looks at a folder that is as its record says: only the files that matter are.
    fn same(&self, folder: &Path, at: At, record: &Record<'a>, own: &mut Vec<Visit>, part: &mut Part<'a>) {
        part.walked.files = part.walked.files.saturating_add(record.files);
        self.enter(folder, record.inner(), own, part);
        let mut changed = Vec::new();
        for (place, (name, known)) in record.wanted().enumerate() {
            changed.extend(self.file(&below(folder, name), known, part).map(|now| (place, now)));
        }
        part.looked.push(match changed.is_empty() {
            true => Looked::Same(at),
            false => Looked::Files(at, changed),
        });
    }

    /// Lists a folder and looks at what is in it. Of files that are as they were, what the record says holds still.
    fn listed(
        &self,
        folder: &Path,
        record: Option<&Record<'a>>,
        identity: Option<Identity>,
        own: &mut Vec<Visit>,
        part: &mut Part<'a>,
    ) {
        let Some(listing) = self.list(folder, part) else { return };
        part.walked.files = part.walked.files.saturating_add(listing.files);
        let records: HashMap<&[u8], At> = record.map(|record| record.inner().collect()).unwrap_or_default();
        let files: HashMap<&[u8], Known> = record.map(|record| record.wanted().collect()).unwrap_or_default();
        let at = |name: &Vec<u8>| records.get(name.as_slice()).copied().unwrap_or_default();
        self.enter(folder, listing.inner.iter().map(|name| (name.as_slice(), at(name))), own, part);
        let mut wanted = Vec::with_capacity(listing.wanted.len());
        for name in listing.wanted {
            let known = files.get(name.as_slice()).copied().unwrap_or(Known::NOTHING);
            let now = self.file(&below(folder, &name), known, part);
            wanted.push((name, now.unwrap_or(Now::Known(known))));
        }
        if self.remember {
            // What was read while the folder changed is not remembered.
            let identity = identity.filter(|_| listing.is_whole);
            let identity = identity.filter(|identity| self.identity(folder, part) == Some(*identity));
            let inner = listing.inner.into_iter().map(|name| (at(&name), name)).map(|(at, name)| (name, at));
            let fresh = Fresh { identity, files: listing.files, inner: inner.collect(), wanted };
            part.looked.push(Looked::Listed(self.relative(folder), fresh));
        }
    }

    /// What tells a folder from others, if that is worth anything where it lies.
    fn identity(&self, folder: &Path, part: &mut Part) -> Option<Identity> {
        let facts = self.remember.then(|| fs::symlink_metadata(folder).ok()).flatten()?;
        let identity = Identity::of(&facts);
        let shows = part.devices.entry(identity.device()).or_insert_with(|| cache::shows_changes(folder));
        (*shows && facts.is_dir()).then_some(identity)
    }

    /// Takes the folders in a folder, but for closed file systems.
    fn enter<'n>(
        &self,
        folder: &Path,
        inner: impl Iterator<Item = (&'n [u8], At)>,
        own: &mut Vec<Visit>,
        part: &mut Part,
    ) {
        let first = own.len();
        for (name, at) in inner {
            let path = below(folder, name);
            match self.closed.get(path.as_os_str()) {
                Some(kind) => part.walked.not_entered.push((path, kind.clone())),
                None => own.push((path, at)),
            }
        }
        if folder.as_os_str().as_bytes().ends_with(b"/nix/store") {
            let paths = own.get(first..).unwrap_or_default().iter().map(|(path, _)| self.relative(path));
            let paths: Vec<BytePath> = paths.collect();
            part.walked.scan.store_paths(paths.iter().map(BytePath::as_bytes));
        }
    }

    /// Reads a folder's names.
    fn list(&self, folder: &Path, part: &mut Part) -> Option<Listing> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                // A folder that has vanished is nothing that could not be read.
                if error.kind() != io::ErrorKind::NotFound {
                    part.walked.scan.problem(&self.relative(folder), "unreadable", &error.to_string());
                }
                return None;
            }
        };
        let mut listing = Listing { is_whole: true, ..Listing::default() };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry.file_name()))) {
                Ok((kind, name)) if kind.is_dir() => listing.inner.push(name.as_bytes().to_vec()),
                Ok((kind, name)) if kind.is_file() => {
                    listing.files += 1;
                    // Most files are wanted by nobody: their path is never put together.
                    if catalog::may_want(name.as_bytes()) {
                        let path = self.relative(&folder.join(&name));
                        if !catalog::candidates(path.as_bytes()).is_empty() {
                            listing.wanted.push(name.as_bytes().to_vec());
                        }
                    }
                }
                Ok((kind, _)) => debug_assert!(kind.is_symlink() || kind.is_fifo() || !kind.is_file()),
                Err(error) => {
                    listing.is_whole = false;
                    part.walked.scan.problem(&self.relative(folder), "unreadable", &error.to_string());
                }
            }
        }
        Some(listing)
    }

    fn relative(&self, path: &Path) -> BytePath {
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        BytePath::new(relative.as_os_str().as_bytes())
    }

    /// Looks at a file; returns what is known of it now, if that is not what was.
    fn file(&self, path: &Path, known: Known<'a>, part: &mut Part) -> Option<Now<'a>> {
        match self.look(path, known, part) {
            Ok(now) => now,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    part.walked.scan.problem(&self.relative(path), "unreadable", &error.to_string());
                }
                (!known.is_nothing()).then_some(Now::NOTHING)
            }
        }
    }

    fn look(&self, path: &Path, known: Known<'a>, part: &mut Part) -> io::Result<Option<Now<'a>>> {
        let nothing = || (!known.is_nothing()).then_some(Now::NOTHING);
        let facts = fs::symlink_metadata(path)?;
        if !facts.is_file() {
            return Ok(nothing());
        }
        let identity = Identity::of(&facts);
        if known.is_of(&identity) {
            if known.is_passed_over() {
                return Ok(None);
            }
            if let Some(readings) = known.readings(|| self.relative(path)) {
                part.walked.wanted += 1;
                part.walked.remembered += 1;
                readings.into_iter().for_each(|reading| part.walked.scan.take(reading));
                return Ok(None);
            }
        }
        let relative = self.relative(path);
        let candidates = catalog::candidates(relative.as_bytes());
        let program = candidates.program && may_be_program(&relative, &facts);
        if candidates.documents.is_empty() && !program {
            return Ok(Some(Now::PassedOver(identity)));
        }
        part.walked.wanted += 1;
        let file = open(path)?;
        let now = file.metadata()?;
        if !now.is_file() {
            return Ok(nothing());
        }
        let mut found = Vec::new();
        if program {
            let readings = catalog::read_program(&Program(&file, now.len()));
            found.extend(readings.into_iter().map(|(by, found)| (by.to_owned(), found)));
        }
        let said = documents(&file, now.len(), &relative, &candidates)?;
        // Neither is what is too large: the problem is to be seen each time.
        let is_whole = said.is_some();
        if !is_whole {
            part.walked.scan.problem(&relative, "budget-exhausted", "the document is too large");
        }
        found.extend(said.unwrap_or_default());
        found.retain(|(_, found)| !found.is_empty());
        // Only what was the same before and after may be remembered.
        let is_same = Identity::of(&file.metadata()?) == identity;
        let now =
            if self.remember && is_whole && is_same { Now::read(identity, &found) } else { Now::NOTHING };
        for (by, found) in found {
            part.walked.scan.take(Reading { path: relative.clone(), by, found });
        }
        Ok(Some(now))
    }
}

fn below(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(name))
}

/// Reads a file as a document by all who want it; nothing, if it is too large.
fn documents(
    file: &File,
    size: u64,
    relative: &BytePath,
    candidates: &Candidates,
) -> io::Result<Option<Vec<(String, Found)>>> {
    let Some(most) = candidates.documents.iter().map(|cataloger| cataloger.most_bytes()).max() else {
        return Ok(Some(Vec::new()));
    };
    let beginning = candidates.documents.iter().all(|cataloger| cataloger.wants_beginning());
    if size > most && !beginning {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or_default());
    let mut beginning = file.take(most);
    beginning.read_to_end(&mut bytes)?;
    let read = |cataloger: &catalog::Cataloger| {
        (cataloger.name.to_owned(), catalog::read(cataloger, relative, &bytes))
    };
    Ok(Some(candidates.documents.iter().map(|cataloger| read(cataloger)).collect()))
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
