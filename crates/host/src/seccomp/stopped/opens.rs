//! Files that the kernel opens for a stopped thread: what it really got is looked at before the thread goes on.
//!
//! A look before the call finds what is refused, and what the path means then. What the process got decides what is
//! recorded; if it is something else, another thread or process was at work, and the record says so.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::super::caller::{self, Place};
use super::super::opens::{LINKS_MAX, MAKES, Open, path_of};
use super::super::processes::Reach;
use super::super::seat;
use super::super::stops::Expects;
use super::super::supervisor::{Answer, Caller, Supervisor, descriptor_path};
use crate::digests::Stamp;

/// Flags of an open that changes something, or may.
const CHANGES: OFlags =
    OFlags::WRONLY.union(OFlags::RDWR).union(OFlags::CREATE).union(OFlags::TRUNC).union(OFlags::TMPFILE);

/// An open that the kernel carries out.
#[derive(Debug)]
pub(in super::super) struct Opening {
    caller: Caller,
    flags: OFlags,
    /// What the caller said, for an attempt that fails.
    said: BytePath,
    before: Before,
}

/// What a path meant before the call.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Before {
    File {
        identity: (u64, u64),
        size: i64,
        /// Whether it holds something that can be hashed; the kernel's own files do not.
        content: bool,
        pseudo: bool,
    },
    /// Nothing; a file would be made here.
    Made(BytePath),
    Nothing,
}

impl Supervisor<'_, '_> {
    /// Looks at what is about to be opened, and refuses it or leaves it to the kernel.
    pub(in super::super) fn open_stopped(&mut self, caller: Caller, call: Open) -> Answer {
        let Some(path) = caller::text(caller.thread, call.path) else {
            return self.unreadable(caller, call.path);
        };
        let flags = OFlags::from_bits_retain((call.flags & 0xFFFF_FFFF) as u32);
        // Folders and mere names hold nothing; where the flags are in memory it is looked at what it was in the end.
        let names_only =
            flags.contains(OFlags::PATH) || (flags.contains(OFlags::DIRECTORY) && !flags.intersects(MAKES));
        if names_only && !call.in_memory {
            if self.stops().has_others(caller.pid) {
                self.stops().expect(caller.thread, Expects::Numbered);
            }
            return Answer::GoOn;
        }
        let place = caller::place(caller.thread, caller.reach, call.folder, &path);
        let said = place.as_ref().map_or_else(|| BytePath::new(path), |place| place.said.clone());
        let before = match place.map(|place| self.look_before(caller, place, flags)) {
            Some(Ok(before)) => before,
            Some(Err(refusal)) => return refusal,
            None => Before::Nothing, // No such folder: the kernel says no.
        };
        if let (Before::File { identity, content: true, .. }, true) =
            (&before, flags.intersects(OFlags::TRUNC))
        {
            // The kernel changes it before we are asked again.
            self.written.touched.insert(*identity);
        }
        self.expect_opened(caller.thread, Opening { caller, flags, said, before });
        Answer::GoOn
    }

    fn expect_opened(&mut self, thread: i32, opening: Opening) {
        self.stops().expect(thread, Expects::Opened(opening));
    }

    fn look_before(&mut self, caller: Caller, place: Place, flags: OFlags) -> Result<Before, Answer> {
        let changes = flags.intersects(CHANGES);
        let follow = !flags.contains(OFlags::NOFOLLOW) && !flags.contains(OFlags::CREATE | OFlags::EXCL);
        let mut path = match caller::means_oneself(&place.path) {
            Some(text) if follow => caller::place(caller.thread, caller.reach, libc::AT_FDCWD as u64, &text)
                .map_or(place.path, |his| his.path),
            _ => place.path,
        };
        for _ in 0..LINKS_MAX {
            match caller::name_only(&path, follow) {
                Ok(name) => {
                    let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
                        return Ok(Before::Nothing);
                    };
                    if (changes && self.is_protected(&real)) || self.is_secret(&real) {
                        return Err(self.refuse(caller.index, real, "protected"));
                    }
                    let pseudo = caller::is_pseudo_path(&real, &name);
                    let content = caller::is_regular(&stat) && !pseudo;
                    let identity = (stat.st_dev, stat.st_ino);
                    return Ok(Before::File { identity, size: stat.st_size, content, pseudo });
                }
                Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
                Err(_) => return Ok(Before::Nothing),
            }
            let Ok(named) = caller::named(&path) else { return Ok(Before::Nothing) };
            if self.is_protected(&named.path) {
                return Err(self.refuse(caller.index, named.path, "protected"));
            }
            let link = rustix::fs::readlinkat(&named.folder, named.name.as_slice(), Vec::new());
            let (Ok(link), true, Ok(folder)) = (link, follow, caller::real_path(&named.folder)) else {
                return Ok(Before::Made(named.path));
            };
            path = path_of(folder.into_bytes()).join(path_of(link.into_bytes()));
        }
        Ok(Before::Nothing)
    }

    /// The call has come back: records what the process got.
    pub(super) fn opened(&mut self, opening: Opening, result: i64) {
        let Opening { caller, flags, said, before } = opening;
        let names_only =
            flags.contains(OFlags::PATH) || (flags.contains(OFlags::DIRECTORY) && !flags.intersects(MAKES));
        let Ok(number) = i32::try_from(result) else { return };
        if number < 0 {
            if !names_only {
                let kind = if flags.intersects(CHANGES) { EventKind::Write } else { EventKind::Read };
                let errno = u16::try_from(-number).unwrap_or(u16::MAX);
                self.emit(Event { path: Some(said), errno, ..Event::new(kind, caller.index) });
            }
            return;
        }
        let link = PathBuf::from(format!("/proc/{}/fd/{number}", caller.thread));
        let told = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", caller.thread));
        let (Ok(name), Ok(told)) = (caller::name_only(&link, true), told) else {
            self.unresolved(caller.index);
            return;
        };
        let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
            self.unresolved(caller.index);
            return;
        };
        let got = Got { file: name, number, real, stat, flags: seat::flags(&told) };
        if !got.is_expected(&before, flags) {
            self.gap_at(caller.index, "open-raced", got.real.clone());
        }
        self.got(caller, flags, &before, got);
    }

    fn got(&mut self, caller: Caller, asked: OFlags, before: &Before, got: Got) {
        let Got { file, number, real, stat, flags } = got;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if flags.contains(OFlags::PATH) || kind == FileType::Directory {
            if self.is_own_process(&real) && flags.contains(OFlags::PATH) {
                self.got_through(caller, real);
            }
            return;
        }
        let shorter = matches!(before, Before::File { size, .. } if *size > 0 && stat.st_size == 0);
        let changes = flags.union(asked).intersects(CHANGES) || shorter;
        if (changes && self.is_protected(&real)) || self.is_secret(&real) {
            self.got_through(caller, real);
            return;
        }
        if kind != FileType::RegularFile || caller::is_pseudo_path(&real, &file) {
            // The kernel has acted already, so nothing is opened here.
            let beside = Caller { reach: Reach::OtherRights, ..caller };
            let answer = self.no_content(beside, file.as_fd(), real.clone(), &stat, flags);
            if matches!(answer, Answer::Result(_)) {
                self.got_through(caller, real);
            }
            return;
        }
        let identity = Stamp::of(&stat).file();
        // Bytes that stay in the file, or may be read through the same descriptor, are an input.
        if !changes
            || (!asked.contains(OFlags::TRUNC) && stat.st_size > 0 && !self.written.files.contains(&identity))
        {
            match readable(caller, &file, number) {
                Some(file) => {
                    self.read_open_file(caller.index, file.as_fd(), Some(true));
                }
                None => self.gap(caller.index, "input-unreadable"),
            }
        }
        if changes {
            self.wrote(caller.index, real, Some(identity));
        }
    }

    /// Something that is refused was opened all the same, because the path was changed between our look and the
    /// kernel's. The process does not run on, and the record says what happened.
    fn got_through(&mut self, caller: Caller, real: BytePath) {
        self.refuse(caller.index, real.clone(), "protected");
        self.gap_at(caller.index, "refused-late", real);
        if let Some(pid) = Pid::from_raw(caller.pid) {
            // One that is gone already is what we want.
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// What a process got.
struct Got {
    file: OwnedFd,
    /// The number of its descriptor.
    number: i32,
    real: BytePath,
    stat: Stat,
    /// How its descriptor is open.
    flags: OFlags,
}

impl Got {
    /// Tells whether it is what the path meant before the call. The kernel may make its own files anew each time.
    fn is_expected(&self, before: &Before, flags: OFlags) -> bool {
        let identity = (self.stat.st_dev, self.stat.st_ino);
        match before {
            // A file without a name in this folder.
            Before::File { .. } if flags.contains(OFlags::TMPFILE) => {
                caller::is_regular(&self.stat) && self.stat.st_nlink == 0
            }
            Before::File { identity: was, pseudo, .. } => {
                *was == identity || (*pseudo && caller::is_pseudo_path(&self.real, &self.file))
            }
            Before::Made(path) => *path == self.real,
            Before::Nothing => false,
        }
    }
}

/// A descriptor by which what a process has opened can be read: of our own, or, where we may not open it, the
/// process's.
fn readable(caller: Caller, file: &OwnedFd, number: i32) -> Option<OwnedFd> {
    let quick = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let own = rustix::fs::openat(CWD, descriptor_path(file), quick, Mode::empty());
    own.or_else(|_| seat::descriptor(caller.pid, u64::from(number.unsigned_abs()))).ok()
}
