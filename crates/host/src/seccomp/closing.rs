//! After the last process: what was left of the files that were written, and which inputs changed meanwhile.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::caller;
use super::opens::code;
use super::supervisor::Supervisor;
use crate::digests::{Content, Stamp};

impl Supervisor<'_, '_> {
    /// Tells what the build left behind and what became of its inputs.
    pub(super) fn settle(&mut self) {
        for folder in std::mem::take(&mut self.written.folders) {
            self.below(&folder);
        }
        for path in std::mem::take(&mut self.written.paths) {
            match self.look(&path) {
                Ok(Some(content)) => self.emit(Event {
                    digest: Some(content.digest),
                    size: Some(content.stamp.size),
                    path: Some(path),
                    ..Event::new(EventKind::Left, 0)
                }),
                Ok(None) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(_) => self.gap(0, "result-unreadable"),
            }
        }
        let mut inputs: Vec<_> = std::mem::take(&mut self.inputs).into_iter().collect();
        inputs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (path, read) in inputs {
            self.recheck(path, &read);
        }
    }

    /// An input must be what it was when it was hashed. Its status counts as well: whoever changed the bytes and
    /// changed them back cannot reset the time of the last change.
    fn recheck(&mut self, path: BytePath, read: &Content) {
        let file = read.stamp.file();
        if self.written.files.contains(&file) {
            return;
        }
        let explained = self.written.touched.contains(&file);
        let name = Path::new(OsStr::from_bytes(path.as_bytes()));
        let same = |stat: &rustix::fs::Stat| {
            let now = Stamp::of(stat);
            if explained { now.file() == file && now.size == read.stamp.size } else { now == read.stamp }
        };
        match rustix::fs::stat(name) {
            Ok(stat) if same(&stat) && !read.racy && !explained => {}
            Ok(stat) => match self.look(&path) {
                Ok(Some(now)) if now.digest == read.digest && (explained || same(&stat)) => {}
                Ok(now) => self.emit(Event {
                    digest: now.map(|now| now.digest),
                    size: now.map(|now| now.stamp.size),
                    detail: Some(
                        if now.is_some_and(|now| now.digest == read.digest) { "status" } else { "bytes" }
                            .into(),
                    ),
                    path: Some(path),
                    ..Event::new(EventKind::Mutated, 0)
                }),
                Err(_) => self.gap(0, "input-unreadable"),
            },
            // Memory files and removed ones that were read through a descriptor never had a path to come back to.
            Err(_) if !name.is_absolute() || name.starts_with("/memfd:") => {}
            Err(error) => self.emit(Event {
                errno: 0,
                detail: Some(format!("gone-{}", code(error))),
                path: Some(path),
                ..Event::new(EventKind::Mutated, 0)
            }),
        }
    }

    /// Hashes a file as it is now; `None` if it is not a file with content.
    fn look(&mut self, path: &BytePath) -> rustix::io::Result<Option<Content>> {
        let name = Path::new(OsStr::from_bytes(path.as_bytes()));
        if !caller::is_regular(&rustix::fs::lstat(name)?) {
            return Ok(None);
        }
        let quick = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(CWD, name, quick, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        self.digests
            .content(&file, &stat)
            .map(Some)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Everything in a folder that was moved here counts as written.
    fn below(&mut self, folder: &BytePath) {
        let mut waiting = vec![Path::new(OsStr::from_bytes(folder.as_bytes())).to_path_buf()];
        while let Some(folder) = waiting.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                    Ok(kind) if kind.is_file() => {
                        self.written
                            .paths
                            .insert(BytePath::new(entry.path().into_os_string().into_encoded_bytes()));
                    }
                    _ => {}
                }
            }
        }
    }
}
