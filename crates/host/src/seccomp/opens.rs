//! Opening files: the supervisor opens, hashes, and hands the descriptor over.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::caller::{self, Place};
use super::names::under;
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor, descriptor_path};
use crate::digests::Stamp;
use crate::sys;

/// The arguments of an open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) folder: u64,
    pub(super) path: u64,
    pub(super) flags: u64,
    pub(super) mode: u64,
    pub(super) resolve: u64,
    /// Whether flags and mode were in the caller's memory, not in registers.
    pub(super) in_memory: bool,
}

/// Devices that every program opens and that hold nothing.
const NOTHING: &[&[u8]] =
    &[b"/dev/null", b"/dev/zero", b"/dev/tty", b"/dev/random", b"/dev/urandom", b"/dev/full"];

/// Flags of an open file that survive in its descriptor and that the supervisor does not decide itself.
const KEPT: OFlags = OFlags::from_bits_retain(
    (libc::O_NONBLOCK | libc::O_APPEND | libc::O_DIRECT | libc::O_NOATIME | libc::O_SYNC) as u32,
);

/// Flags by which a file is made.
pub(super) const MAKES: OFlags = OFlags::CREATE.union(OFlags::TMPFILE.difference(OFlags::DIRECTORY));

/// How many links to files that do not exist are followed.
pub(super) const LINKS_MAX: usize = 40;

pub(super) fn code(error: Errno) -> u16 {
    u16::try_from(error.raw_os_error()).unwrap_or(u16::MAX)
}

impl Supervisor<'_, '_> {
    pub(super) fn openat2(&mut self, caller: Caller, folder: u64, path: u64, how: u64) -> Answer {
        let mut raw = [0; 24];
        if !sys::read_memory(caller.thread, how, &mut raw).is_ok_and(|length| length == raw.len()) {
            return self.unresolved(caller.index);
        }
        let word = |at: usize| raw[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        let (flags, mode, resolve) = (word(0), word(8), word(16));
        self.open(caller, Open { folder, path, flags, mode, resolve, in_memory: true })
    }

    pub(super) fn open(&mut self, caller: Caller, call: Open) -> Answer {
        if self.line.is_stopped() {
            return self.open_stopped(caller, call);
        }
        let Some(path) = caller::text(caller.thread, call.path) else {
            return self.unreadable(caller, call.path);
        };
        let flags = OFlags::from_bits_retain((call.flags & 0xFFFF_FFFF) as u32);
        let nameless = flags.contains(OFlags::TMPFILE);
        if flags.contains(OFlags::PATH) || (flags.contains(OFlags::DIRECTORY) && !flags.intersects(MAKES)) {
            return self.open_name(caller, call, &path, flags);
        }
        if flags.contains(OFlags::DIRECTORY | OFlags::CREATE) && !nameless {
            return Answer::Result(libc::EINVAL); // As Linux does since 6.4; before, it made a file.
        }
        if let Some(device) = NOTHING.iter().find(|device| **device == path) {
            return open_as_is(&path_of(device.to_vec()), flags, caller.reach == Reach::Same);
        }
        if path.is_empty() {
            return Answer::Result(libc::ENOENT);
        }
        let Some(place) = caller::place(caller.thread, caller.reach, call.folder, &path) else {
            return self.unresolved(caller.index);
        };
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC);
        if call.resolve != 0 && caller.reach == Reach::Same {
            return self.open_restricted(caller, call, &path, place, flags);
        }
        if path.first() == Some(&b'/')
            && caller::may_be_pseudo(&place.path)
            && let Some(answer) = self.question_to_the_kernel(caller, &place.path, flags)
        {
            return answer;
        }
        let emulate = caller.reach == Reach::Same;
        if nameless {
            self.open_nameless(caller, &place, flags, call.mode, emulate)
        } else if writes {
            self.open_for_writing(caller, &place, flags, call.mode, emulate)
        } else {
            self.open_for_reading(caller, &place, flags, emulate)
        }
    }

    /// A folder or a mere name. Where the flags are in registers nobody can change them under us, and the kernel opens
    /// it; those of `openat2` are in memory.
    fn open_name(&mut self, caller: Caller, call: Open, path: &[u8], flags: OFlags) -> Answer {
        if !call.in_memory {
            return Answer::GoOn;
        }
        // The kernel hands over no mere names, so this call does not exist with them: the older ones can do it.
        if flags.contains(OFlags::PATH) || caller.reach != Reach::Same {
            return self.deny(caller, "openat2", libc::ENOSYS);
        }
        let Some(place) = caller::place(caller.thread, caller.reach, call.folder, path) else {
            return self.unresolved(caller.index);
        };
        match resolve(caller, call, path, &place, flags | OFlags::CLOEXEC) {
            Ok(file) => match caller::real_path(&file) {
                Ok(real) if self.is_own_process(&real) => self.refuse(caller.index, real, "protected"),
                Ok(_) => Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) },
                Err(_) => self.unresolved(caller.index),
            },
            Err(error) => Answer::Result(error.raw_os_error()),
        }
    }

    /// An open with restrictions on how its path is resolved: it is resolved once, under them, to a name.
    fn open_restricted(
        &mut self,
        caller: Caller,
        call: Open,
        path: &[u8],
        place: Place,
        flags: OFlags,
    ) -> Answer {
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC);
        let kind = if writes { EventKind::Write } else { EventKind::Read };
        let only = OFlags::PATH | OFlags::CLOEXEC | (flags & OFlags::NOFOLLOW);
        let name = match resolve(caller, call, path, &place, only) {
            Ok(_) if flags.contains(OFlags::CREATE | OFlags::EXCL) => {
                return self.failed(caller, kind, &place, Errno::EXIST, true);
            }
            Ok(name) => name,
            // It will be made, and only the kernel knows how to keep to these restrictions: beside.
            Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
                return self.open_for_writing(caller, &place, flags, call.mode, false);
            }
            Err(error) => return self.failed(caller, kind, &place, error, true),
        };
        let Ok(stat) = rustix::fs::fstat(&name) else { return self.unresolved(caller.index) };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return self.failed(caller, kind, &place, Errno::LOOP, true);
        }
        let found = Place { path: path_in_proc(&name), said: place.said };
        let flags = flags.difference(OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL);
        if flags.contains(OFlags::TMPFILE) {
            self.open_nameless(caller, &found, flags, call.mode, true)
        } else if writes {
            self.open_existing(caller, &found, name.as_fd(), flags, true)
        } else {
            self.open_for_reading(caller, &found, flags, true)
        }
    }

    /// Answers opens below `/proc`, `/sys` and `/dev`, unless the path leads to a file with content.
    fn question_to_the_kernel(&mut self, caller: Caller, path: &Path, flags: OFlags) -> Option<Answer> {
        let name = match caller::name_only(path, !flags.contains(OFlags::NOFOLLOW)) {
            Ok(name) => name,
            // What does not exist can be made in `/dev/shm`, and nowhere else.
            Err(_) if path.starts_with("/dev") => return None,
            Err(error) if caller.reach == Reach::Same => return Some(Answer::Result(error.raw_os_error())),
            Err(_) => return Some(Answer::GoOn),
        };
        let Ok(stat) = rustix::fs::fstat(&name) else { return Some(self.unresolved(caller.index)) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Files, and folders, in which files without names can be made.
        if kind == FileType::Directory || (kind == FileType::RegularFile && !caller::is_pseudo(&name)) {
            return None;
        }
        match caller::real_path(&name) {
            Ok(real) if self.is_protected(&real) => Some(self.refuse(caller.index, real, "protected")),
            Ok(real) => Some(self.no_content(caller, name.as_fd(), real, &stat, flags)),
            Err(_) => Some(self.unresolved(caller.index)),
        }
    }

    /// Makes a file without a name in a folder; a link can give it one (`open(2)`, `O_TMPFILE`).
    fn open_nameless(
        &mut self,
        caller: Caller,
        place: &Place,
        flags: OFlags,
        mode: u64,
        emulate: bool,
    ) -> Answer {
        let folder = match caller::name_only(&place.path, true) {
            Ok(folder) => folder,
            Err(error) => return self.failed(caller, EventKind::Write, place, error, emulate),
        };
        let Ok(real) = caller::real_path(&folder) else { return self.unresolved(caller.index) };
        if self.is_protected(&real) {
            return self.refuse(caller.index, real, "protected");
        }
        if !emulate {
            self.wrote(caller.index, real, None);
            return Answer::GoOn;
        }
        let mode = Mode::from_raw_mode((mode & 0o7777) as u32);
        let make = || rustix::fs::openat(&folder, ".", flags | OFlags::CLOEXEC, mode);
        match under(self.mask(caller), make) {
            Ok(file) => {
                let identity = rustix::fs::fstat(&file).ok().map(|stat| Stamp::of(&stat).file());
                self.wrote(caller.index, caller::real_path(&file).unwrap_or(real), identity);
                Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) }
            }
            Err(error) => self.failed(caller, EventKind::Write, place, error, true),
        }
    }

    fn open_for_reading(&mut self, caller: Caller, place: &Place, flags: OFlags, emulate: bool) -> Answer {
        if emulate && let Some(answer) = self.open_again(caller, place, flags) {
            return answer;
        }
        let follow =
            if flags.contains(OFlags::NOFOLLOW) { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
        // A pipe with a name must not be opened to see what it is: the other side would notice.
        match rustix::fs::statat(CWD, &place.path, follow) {
            Ok(stat) if caller::is_regular(&stat) => {}
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return open_as_is(&place.path, flags | OFlags::DIRECTORY, emulate);
            }
            Ok(_) => return self.no_content_at(caller, &place.path, flags),
            Err(error) => return self.failed(caller, EventKind::Read, place, error, emulate),
        }
        let kept = flags & (OFlags::NOFOLLOW | OFlags::NOATIME);
        let quick = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::openat(CWD, &place.path, quick | kept, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::MFILE | Errno::NFILE) => {
                self.gap(caller.index, "recorder-out-of-descriptors");
                return Answer::GoOn;
            }
            Err(error) => return self.failed(caller, EventKind::Read, place, error, emulate),
        };
        let (Ok(real), Ok(stat)) = (caller::real_path(&file), rustix::fs::fstat(&file)) else {
            return self.unresolved(caller.index);
        };
        if !caller::is_regular(&stat) || caller::is_pseudo_path(&real, &file) {
            // A file of the kernel's that was found by another path than one below `/proc`.
            return self.found_elsewhere(caller, place, &file, flags);
        }
        if !flags.contains(OFlags::NOFOLLOW) && caller.reach == Reach::Same {
            self.seen.found(&place.said, &stat, &real);
        }
        if let Some(answer) = self.read(caller.index, file.as_fd(), real, &stat, Some(emulate)) {
            return answer;
        }
        if emulate { given_to_read(file, flags) } else { Answer::GoOn }
    }

    /// Opens a file that was found by the same path before: what it is need not be asked before it is opened.
    fn open_again(&mut self, caller: Caller, place: &Place, flags: OFlags) -> Option<Answer> {
        if flags.contains(OFlags::NOFOLLOW) || !self.seen.knows(&place.said) {
            return None;
        }
        let quick = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file =
            rustix::fs::openat(CWD, &place.path, quick | (flags & OFlags::NOATIME), Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let real = self.seen.path(&place.said, &stat)?.clone();
        let answer = self.read(caller.index, file.as_fd(), real, &stat, Some(true));
        Some(answer.unwrap_or_else(|| given_to_read(file, flags)))
    }

    fn found_elsewhere(&mut self, caller: Caller, place: &Place, file: &OwnedFd, flags: OFlags) -> Answer {
        let flags = flags.difference(OFlags::NOFOLLOW);
        let Some(text) = caller::means_oneself(&place.path) else {
            return self.no_content_at(caller, &path_in_proc(file), flags);
        };
        match caller::place(caller.thread, caller.reach, libc::AT_FDCWD as u64, &text) {
            Some(his) => self.no_content_at(caller, &his.path, flags),
            None => self.unresolved(caller.index),
        }
    }

    /// Hashes and records a file that was opened for reading. Gives an answer if there is another one than the file.
    pub(super) fn read_open_file(
        &mut self,
        process: u32,
        file: BorrowedFd<'_>,
        before_use: Option<bool>,
    ) -> Option<Answer> {
        let (Ok(real), Ok(stat)) = (caller::real_path(file), rustix::fs::fstat(file)) else {
            return Some(self.unresolved(process));
        };
        if !caller::is_regular(&stat) || caller::is_pseudo_path(&real, file) {
            return Some(Answer::GoOn);
        }
        self.read(process, file, real, &stat, before_use)
    }

    /// The same, where it is known to be a file with content, and of which path.
    fn read(
        &mut self,
        process: u32,
        file: BorrowedFd<'_>,
        real: BytePath,
        stat: &Stat,
        before_use: Option<bool>,
    ) -> Option<Answer> {
        if before_use.is_some() && self.is_secret(&real) {
            return Some(self.refuse(process, real, "protected"));
        }
        self.changed_before(&real);
        let commit = self.launch.commit.as_deref();
        let blob = commit.and_then(|commit| commit.blobs.get(&real));
        let Ok(content) = self.digests.content_as(file, stat, blob) else {
            self.gap(process, "input-unreadable");
            return None;
        };
        let beside = before_use == Some(false);
        let detail = match content.is_blob {
            Some(false) if commit.is_some_and(|commit| commit.changed.contains(&real)) => Some("uncommitted"),
            // What the build wrote itself is told by its writes.
            Some(false) if !self.written.files.contains(&content.stamp.file()) => Some("not-in-commit"),
            _ => beside.then_some("hashed-beside"),
        };
        if beside {
            self.trace.completeness.hashed_after += 1;
        } else {
            self.trace.completeness.hashed_before_use += 1;
        }
        if !self.inputs.contains_key(&real) && !self.written.files.contains(&content.stamp.file()) {
            self.inputs.insert(real.clone(), content);
        }
        self.emit(Event {
            path: Some(real),
            digest: Some(content.digest),
            size: Some(content.stamp.size),
            format: content.format.map(str::to_owned),
            detail: detail.map(str::to_owned),
            ..Event::new(EventKind::Read, process)
        });
        None
    }

    fn open_for_writing(
        &mut self,
        caller: Caller,
        place: &Place,
        flags: OFlags,
        mode: u64,
        emulate: bool,
    ) -> Answer {
        let exclusive = flags.contains(OFlags::CREATE | OFlags::EXCL);
        let follow = !flags.contains(OFlags::NOFOLLOW) && !exclusive;
        let mut path = place.path.clone();
        for _ in 0..LINKS_MAX {
            match caller::name_only(&path, follow) {
                Ok(_) if exclusive => {
                    return self.failed(caller, EventKind::Write, place, Errno::EXIST, emulate);
                }
                Ok(name) => return self.open_existing(caller, place, name.as_fd(), flags, emulate),
                Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
                Err(error) => return self.failed(caller, EventKind::Write, place, error, emulate),
            }
            match self.create(caller, place, &path, flags, mode, emulate) {
                Ok(answer) => return answer,
                Err(next) => path = next,
            }
        }
        self.failed(caller, EventKind::Write, place, Errno::LOOP, emulate)
    }

    /// Opens a file that is there, by the descriptor of its name: no path is resolved twice.
    fn open_existing(
        &mut self,
        caller: Caller,
        place: &Place,
        name: BorrowedFd<'_>,
        flags: OFlags,
        emulate: bool,
    ) -> Answer {
        let (Ok(real), Ok(stat)) = (caller::real_path(name), rustix::fs::fstat(name)) else {
            return self.unresolved(caller.index);
        };
        if self.is_protected(&real) {
            return self.refuse(caller.index, real, "protected");
        }
        if !caller::is_regular(&stat) || caller::is_pseudo_path(&real, name) {
            return self.no_content(caller, name, real, &stat, flags);
        }
        let identity = Stamp::of(&stat).file();
        let again = descriptor_path(name);
        // Bytes that stay in the file, or may be read through the same descriptor, are an input.
        if !flags.contains(OFlags::TRUNC)
            && stat.st_size > 0
            && !self.written.files.contains(&identity)
            && let Ok(file) = rustix::fs::openat(CWD, &again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        {
            self.read_open_file(caller.index, file.as_fd(), Some(emulate));
        }
        if !emulate {
            self.wrote(caller.index, real, Some(identity));
            return Answer::GoOn;
        }
        let access = flags & (OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC | KEPT);
        match rustix::fs::openat(CWD, &again, access | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
            Ok(file) => {
                self.wrote(caller.index, real, Some(identity));
                Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) }
            }
            Err(error) => self.failed(caller, EventKind::Write, place, error, true),
        }
    }

    /// Makes a file in a folder that is held open. Gives the path to go on with if a link is in the way.
    fn create(
        &mut self,
        caller: Caller,
        place: &Place,
        path: &Path,
        flags: OFlags,
        mode: u64,
        emulate: bool,
    ) -> Result<Answer, PathBuf> {
        let named = match caller::named(path) {
            Ok(named) => named,
            Err(error) => return Ok(self.failed(caller, EventKind::Write, place, error, emulate)),
        };
        if self.is_protected(&named.path) {
            return Ok(self.refuse(caller.index, named.path, "protected"));
        }
        let link = rustix::fs::readlinkat(&named.folder, named.name.as_slice(), Vec::new());
        if let (Ok(link), false) = (link, flags.intersects(OFlags::NOFOLLOW | OFlags::EXCL)) {
            let Ok(folder) = caller::real_path(&named.folder) else {
                return Ok(self.unresolved(caller.index));
            };
            // The folder's own path is real, so the link means the same from there.
            return Err(path_of(folder.into_bytes()).join(path_of(link.into_bytes())));
        }
        if !emulate {
            self.wrote(caller.index, named.path, None);
            return Ok(Answer::GoOn);
        }
        let mode = Mode::from_raw_mode((mode & 0o7777) as u32);
        // Of the caller's flags all that `open` knows, and never through a link that was put there meanwhile.
        let create = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let make = || rustix::fs::openat(&named.folder, named.name.as_slice(), create, mode);
        Ok(match under(self.mask(caller), make) {
            Ok(file) => {
                let identity = rustix::fs::fstat(&file).ok().map(|stat| Stamp::of(&stat).file());
                self.wrote(caller.index, named.path, identity);
                Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) }
            }
            Err(error) => self.failed(caller, EventKind::Write, place, error, true),
        })
    }

    pub(super) fn wrote(&mut self, process: u32, path: BytePath, identity: Option<(u64, u64)>) {
        self.written.files.extend(identity);
        self.written.paths.insert(path.clone());
        self.emit(Event { path: Some(path), ..Event::new(EventKind::Write, process) });
    }

    /// Records an attempt that failed, and answers it.
    pub(super) fn failed(
        &mut self,
        caller: Caller,
        kind: EventKind,
        place: &Place,
        error: Errno,
        emulate: bool,
    ) -> Answer {
        self.emit(Event {
            path: Some(place.said.clone()),
            errno: code(error),
            ..Event::new(kind, caller.index)
        });
        if emulate { Answer::Result(error.raw_os_error()) } else { Answer::GoOn }
    }
}

/// Gives a file that was opened for reading.
fn given_to_read(file: OwnedFd, flags: OFlags) -> Answer {
    if rustix::fs::fcntl_setfl(&file, flags & KEPT).is_err() {
        return Answer::GoOn;
    }
    Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) }
}

/// Opens what holds no content, a folder or an empty device, in the caller's place: the kernel would read the path
/// once more, and another thread could have put another there.
fn open_as_is(path: &Path, flags: OFlags, emulate: bool) -> Answer {
    if !emulate {
        return Answer::GoOn;
    }
    let flags_here = flags.difference(OFlags::CREATE | OFlags::EXCL) | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::openat(CWD, path, flags_here, Mode::empty()) {
        Ok(file) => Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) },
        Err(error) => Answer::Result(error.raw_os_error()),
    }
}

/// Resolves a path from where the caller begins, under the restrictions that it gave (`openat2(2)`).
fn resolve(
    caller: Caller,
    call: Open,
    path: &[u8],
    place: &Place,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let restrictions = ResolveFlags::from_bits_retain(call.resolve);
    if path.first() == Some(&b'/') && call.resolve == 0 {
        return rustix::fs::openat2(CWD, &place.path, flags, Mode::empty(), restrictions);
    }
    let start = match call.folder as i32 {
        libc::AT_FDCWD => format!("/proc/{}/cwd", caller.thread),
        folder => format!("/proc/{}/fd/{folder}", caller.thread),
    };
    let start = caller::name_only(Path::new(&start), true)?;
    rustix::fs::openat2(start, path, flags, Mode::empty(), restrictions)
}

fn path_in_proc(file: impl AsFd) -> PathBuf {
    PathBuf::from(descriptor_path(file))
}

pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// Tells what kind of file a name is, without following it.
pub(super) fn is_folder(folder: impl AsFd, name: &[u8]) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
