//! Who else changes the sources while a build runs (`inotify(7)`).
//!
//! Files that were there before the build began are watched one by one, not folder by folder: a build writes many
//! files and few that it did not make, so the recorder wakes up only when something unusual happens. Whether a change
//! was the build's own, its recorder knows; everything else comes from outside the recorded tree.
//!
//! The kernel does not say who it was. As soon as a change is seen, the processes that hold the file open for writing
//! are looked for; whoever closed it at once gets away without a name.

use std::collections::HashMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evidence::BytePath;
use rustix::fs::inotify;
use rustix::io::Errno;

/// The most files that are watched; a kernel allows each user some tens of thousands.
const FILES_MAX: usize = 20_000;
/// How deep folders are looked into.
const DEPTH_MAX: usize = 64;
/// Folders that hold no sources: the repository's own database.
const NOT_SOURCES: &[&str] = &[".git", ".hg", ".svn"];

/// A change of a watched file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) path: BytePath,
    /// Device and inode of the file as it was when the watch began.
    pub(crate) file: (u64, u64),
    /// `bytes`, `attributes`, `replaced`, or `overflow` if the kernel lost changes.
    pub(crate) what: &'static str,
}

struct Watched {
    path: BytePath,
    file: (u64, u64),
}

/// The watch over the files of a project.
pub(crate) struct Watch {
    queue: OwnedFd,
    files: HashMap<i32, Watched>,
    /// Files that are not watched because there were too many.
    pub(crate) unwatched: usize,
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Watch {
    /// Watches the regular files below a folder, except those below one of `not`.
    pub(crate) fn begin(root: &Path, not: &[PathBuf]) -> rustix::io::Result<Self> {
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let mut watch = Self { queue, files: HashMap::new(), unwatched: 0 };
        let mut waiting = vec![(root.to_path_buf(), 0)];
        while let Some((folder, depth)) = waiting.pop() {
            if watch.unwatched > FILES_MAX {
                break; // Too many to count; that it is many is said.
            }
            // A folder that cannot be read has no sources for the build either.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        let skipped = NOT_SOURCES.iter().any(|name| entry.file_name() == *name);
                        if !skipped && !not.contains(&path) && depth < DEPTH_MAX {
                            waiting.push((path, depth + 1));
                        }
                    }
                    Ok(kind) if kind.is_file() => watch.add(&path)?,
                    _ => {}
                }
            }
        }
        Ok(watch)
    }

    fn add(&mut self, path: &Path) -> rustix::io::Result<()> {
        if self.files.len() >= FILES_MAX {
            self.unwatched += 1;
            return Ok(());
        }
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::MOVE_SELF
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.queue, path, flags) {
            Ok(number) => {
                if let Ok(facts) = fs::symlink_metadata(path) {
                    let path = BytePath::from(path.as_os_str().as_bytes());
                    self.files.insert(number, Watched { path, file: (facts.dev(), facts.ino()) });
                }
                Ok(())
            }
            // Removed meanwhile, or not ours to look at.
            Err(Errno::NOENT | Errno::ACCESS) => Ok(()),
            // The user's allowance is used up.
            Err(Errno::NOSPC) => {
                self.unwatched += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// How many files are watched.
    pub(crate) fn watched(&self) -> usize {
        self.files.len()
    }

    /// Takes what happened since the last call; several changes of one kind of one file are one.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut changes: Vec<Change> = Vec::new();
        let mut reader = inotify::Reader::new(&self.queue, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nothing is left; another error would show again, and is no change.
                Err(_) => break,
            };
            let flags = event.events();
            let what = if flags.contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                "overflow"
            } else if flags.contains(inotify::ReadFlags::MODIFY) {
                "bytes"
            } else if flags.contains(inotify::ReadFlags::ATTRIB) {
                "attributes"
            } else if flags.intersects(inotify::ReadFlags::MOVE_SELF | inotify::ReadFlags::DELETE_SELF) {
                "replaced"
            } else {
                continue;
            };
            let (path, file) = match self.files.get(&event.wd()) {
                Some(watched) => (watched.path.clone(), watched.file),
                None if what == "overflow" => (BytePath::from("/"), (0, 0)),
                None => continue,
            };
            let change = Change { path, file, what };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        changes
    }
}

/// Looks for processes that hold a file open for writing; returns `pid 7 /usr/bin/x` for the first, if any.
pub(crate) fn writer_of(file: (u64, u64)) -> Option<String> {
    let own = std::process::id();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        if pid == own {
            continue;
        }
        for descriptor in descriptors.flatten() {
            let holds = fs::metadata(descriptor.path()).is_ok_and(|facts| (facts.dev(), facts.ino()) == file);
            if holds && is_writable(&process.path(), &descriptor.file_name()) {
                let program =
                    fs::read_link(process.path().join("exe")).unwrap_or_else(|_| PathBuf::from("unknown"));
                return Some(format!("pid {pid} {}", program.display()));
            }
        }
    }
    None
}

fn is_writable(process: &Path, descriptor: &std::ffi::OsStr) -> bool {
    fs::read_to_string(process.join("fdinfo").join(descriptor)).is_ok_and(|text| {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        flags
            .and_then(|flags| i32::from_str_radix(flags, 8).ok())
            .is_some_and(|flags| flags & libc::O_ACCMODE != 0)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn changes_of_watched_files_are_told_once_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("src")).unwrap();
        fs::create_dir_all(at(".git")).unwrap();
        fs::create_dir_all(at("store")).unwrap();
        for name in ["src/a.c", "src/b.c", ".git/index", "store/x", "replaced"] {
            fs::write(at(name), "1").unwrap();
        }
        let mut watch = Watch::begin(folder.path(), &[at("store")]).unwrap();
        assert_eq!(watch.changes(), []);
        fs::write(at("src/new.c"), "new").unwrap();
        for name in [".git/index", "store/x"] {
            fs::write(at(name), "2").unwrap();
        }
        assert_eq!(watch.changes(), []);
        let mut open = fs::File::options().append(true).open(at("src/a.c")).unwrap();
        open.write_all(b"2").unwrap();
        open.write_all(b"3").unwrap();
        fs::rename(at("src/new.c"), at("replaced")).unwrap();
        let changes = watch.changes();
        let told: Vec<(String, &str)> = changes
            .iter()
            .map(|change| (String::from_utf8_lossy(change.path.file_name()).into_owned(), change.what))
            .collect();
        assert!(told.contains(&("a.c".into(), "bytes")), "{told:?}");
        assert_eq!(told.iter().filter(|(name, what)| name == "a.c" && *what == "bytes").count(), 1);
        assert!(told.iter().any(|(name, _)| name == "replaced"), "{told:?}");
        assert!(!told.iter().any(|(name, _)| name == "b.c"));
    }

    #[test]
    fn a_writer_is_found_while_it_holds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        fs::write(&path, "").unwrap();
        let file = fs::metadata(&path).map(|facts| (facts.dev(), facts.ino())).unwrap();
        assert_eq!(writer_of(file), None);
        let script = format!("exec 3>>'{}'; echo; exec sleep 60", path.display());
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let writer = writer_of(file).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(writer.starts_with(&format!("pid {} /", child.id())), "{writer}");
    }
}
