//! Watched files: what they are, and every change of them (`inotify(7)`), with what they were before.
//!
//! The queue only says where to look; what changed is found by looking. So nothing rests on the order of the kernel's
//! messages, a full queue costs a look at everything, and a change between two watches is found in the same way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evidence::machine::FileState;
use evidence::{Digest, Hasher};
use rustix::fs::inotify;
use rustix::io::Errno;

/// The most files that are watched.
const FILES_MAX: usize = 50_000;
/// How deep folders are looked into.
const DEPTH_MAX: usize = 16;
/// The largest file that is hashed.
const HASHED_MAX_BYTES: u64 = 64 << 20;

/// What was known of the files, by path.
pub type States = BTreeMap<PathBuf, FileState>;

/// A change of a watched file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathChange {
    /// The file.
    pub path: PathBuf,
    /// As it was, if it was there.
    pub before: Option<FileState>,
    /// As it is, if it is there.
    pub after: Option<FileState>,
    /// Who holds it open for writing, if anyone does: `pid 7 /usr/bin/x`.
    pub writer: Option<String>,
}

/// The watch over paths.
pub struct Paths {
    queue: OwnedFd,
    roots: Vec<PathBuf>,
    folders: HashMap<i32, PathBuf>,
    states: States,
    /// Whether there were more files than can be watched.
    pub full: bool,
}

impl AsFd for Paths {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Paths {
    /// Begins to watch files, and folders with all below them. Returns what changed since `before`, if that is known:
    /// a digest is not taken again where neither inode, size nor time of change differ.
    pub fn begin(roots: &[PathBuf], before: Option<&States>) -> io::Result<(Self, Vec<PathChange>)> {
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let mut paths = Self {
            queue,
            roots: roots.to_vec(),
            folders: HashMap::new(),
            states: before.cloned().unwrap_or_default(),
            full: false,
        };
        let changes = paths.look_at_all();
        Ok((paths, if before.is_some() { changes } else { Vec::new() }))
    }

    /// The files as they were when last looked at.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Takes what changed since the last call.
    pub fn changes(&mut self) -> Vec<PathChange> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut dirty: BTreeSet<PathBuf> = BTreeSet::new();
        let mut all = false;
        let mut reader = inotify::Reader::new(&self.queue, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nothing is left; another error would show again.
                Err(_) => break,
            };
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                all = true;
            } else if let Some(folder) = self.folders.get(&event.wd()) {
                let name = event.file_name().map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()));
                dirty.insert(name.map_or_else(|| folder.clone(), |name| folder.join(name)));
            }
        }
        // A folder on the way to what is watched came or went.
        let on_the_way =
            |path: &PathBuf| self.roots.iter().any(|root| root != path && root.starts_with(path));
        if all || dirty.iter().any(on_the_way) {
            return self.look_at_all();
        }
        let mut changes = Vec::new();
        dirty.retain(|path| self.is_watched(path));
        for path in dirty {
            self.look_at(path, &mut changes);
        }
        changes
    }

    fn is_watched(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    fn look_at_all(&mut self) -> Vec<PathChange> {
        let mut changes = Vec::new();
        for root in self.roots.clone() {
            // A file is watched by its folder: who replaces it makes a new one. So is a folder that is not there yet.
            if let Some(folder) = root.ancestors().skip(1).find(|folder| folder.is_dir()) {
                self.watch(folder);
            }
            self.look_at(root, &mut changes);
        }
        let known: Vec<PathBuf> = self.states.keys().cloned().collect();
        for path in known {
            if fs::symlink_metadata(&path).is_err() && self.is_watched(&path) {
                self.look_at(path, &mut changes);
            }
        }
        changes
    }

    fn watch(&mut self, folder: &Path) {
        let flags = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::MOVE
            | inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.queue, folder, flags) {
            Ok(number) => {
                self.folders.insert(number, folder.to_path_buf());
            }
            Err(Errno::NOSPC) => self.full = true,
            // Not there, or not ours to look at: a root's parent, or gone meanwhile.
            Err(_) => {}
        }
    }

    /// Looks at a path and everything below it, and at what was known below it.
    fn look_at(&mut self, path: PathBuf, changes: &mut Vec<PathChange>) {
        let mut waiting = vec![(path.clone(), 0)];
        while let Some((at, depth)) = waiting.pop() {
            let facts = fs::symlink_metadata(&at).ok();
            if facts.as_ref().is_some_and(fs::Metadata::is_dir) {
                if depth >= DEPTH_MAX {
                    self.full = true;
                    continue;
                }
                self.watch(&at);
                let entries = fs::read_dir(&at).into_iter().flatten().flatten();
                waiting.extend(entries.map(|entry| (entry.path(), depth + 1)));
                continue;
            }
            self.compare(at, facts.as_ref(), changes);
        }
        // What was below a folder that is gone.
        let gone: Vec<PathBuf> = self
            .states
            .range(path.clone()..)
            .take_while(|(known, _)| known.starts_with(&path))
            .map(|(known, _)| known.clone())
            .filter(|known| fs::symlink_metadata(known).is_err())
            .collect();
        for known in gone {
            self.compare(known, None, changes);
        }
    }

    fn compare(&mut self, path: PathBuf, facts: Option<&fs::Metadata>, changes: &mut Vec<PathChange>) {
        let before = self.states.get(&path).cloned();
        if before.is_none() && facts.is_some() && self.states.len() >= FILES_MAX {
            self.full = true;
            return;
        }
        let after = facts.map(|facts| state(&path, facts, before.as_ref()));
        if before == after {
            return;
        }
        match &after {
            Some(after) => self.states.insert(path.clone(), after.clone()),
            None => self.states.remove(&path),
        };
        let writer = after.as_ref().and_then(|after| crate::foreign::writer_of((after.device, after.inode)));
        changes.push(PathChange { path, before, after, writer });
    }
}

fn state(path: &Path, facts: &fs::Metadata, before: Option<&FileState>) -> FileState {
    let changed = facts.ctime().saturating_mul(1_000_000_000).saturating_add(facts.ctime_nsec());
    let now = FileState {
        device: facts.dev(),
        inode: facts.ino(),
        mode: facts.mode(),
        owner: facts.uid(),
        size: facts.len(),
        changed_ns: changed,
        digest: None,
    };
    if let Some(before) = before
        && *before == (FileState { digest: before.digest, ..now.clone() })
    {
        return before.clone();
    }
    let digest = if facts.is_symlink() {
        fs::read_link(path).ok().map(|target| Digest::of(target.as_os_str().as_bytes()))
    } else if facts.is_file() && facts.len() <= HASHED_MAX_BYTES {
        hash(path).ok()
    } else {
        None
    };
    FileState { digest, ..now }
}

fn hash(path: &Path) -> io::Result<Digest> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let mut reader = File::from(file).take(HASHED_MAX_BYTES);
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(changes: &[PathChange]) -> Vec<(String, bool, bool)> {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        changes.iter().map(|one| (name(&one.path), one.before.is_some(), one.after.is_some())).collect()
    }

    #[test]
    fn changes_are_told_with_what_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("tools/lib")).unwrap();
        for name in ["tools/cc", "tools/lib/a", "Makefile", "other"] {
            fs::write(at(name), "1").unwrap();
        }
        let roots = [at("tools"), at("Makefile"), at("absent"), at("far/away/file")];
        let (mut paths, changes) = Paths::begin(&roots, None).unwrap();
        assert_eq!((changes.len(), paths.states().len()), (0, 3));
        assert_eq!(paths.changes(), []);
        fs::write(at("other"), "2").unwrap();
        assert_eq!(paths.changes(), [], "only what is named is watched");
        fs::write(at("tools/cc"), "22").unwrap();
        let changes = paths.changes();
        assert_eq!(told(&changes), [("cc".into(), true, true)]);
        let digest = |state: &Option<FileState>| state.as_ref().and_then(|state| state.digest);
        assert_eq!(digest(&changes[0].before), Some(Digest::of(b"1")));
        assert_eq!(digest(&changes[0].after), Some(Digest::of(b"22")));
        fs::write(at("new"), "3").unwrap();
        fs::rename(at("new"), at("Makefile")).unwrap();
        assert_eq!(told(&paths.changes()), [("Makefile".into(), true, true)]);
        fs::write(at("absent"), "").unwrap();
        fs::create_dir(at("tools/more")).unwrap();
        fs::write(at("tools/more/b"), "").unwrap();
        assert_eq!(told(&paths.changes()), [("absent".into(), false, true), ("b".into(), false, true)]);
        fs::write(at("tools/more/b"), "4").unwrap();
        assert_eq!(told(&paths.changes()), [("b".into(), true, true)], "new folders are watched, too");
        assert_eq!(paths.changes(), []);
        fs::create_dir_all(at("far/away")).unwrap();
        fs::write(at("far/away/file"), "5").unwrap();
        // What was made before its folder was watched is found by looking.
        let mut found = paths.changes();
        found.extend(paths.changes());
        assert_eq!(told(&found), [("file".into(), false, true)]);
        fs::remove_dir_all(at("tools/lib")).unwrap();
        assert_eq!(told(&paths.changes()), [("a".into(), true, false)]);

        // Between two watches.
        let states = paths.states().clone();
        drop(paths);
        fs::write(at("tools/cc"), "333").unwrap();
        fs::remove_file(at("absent")).unwrap();
        let (_, changes) = Paths::begin(&roots, Some(&states)).unwrap();
        assert_eq!(told(&changes), [("cc".into(), true, true), ("absent".into(), true, false)]);
    }
}
