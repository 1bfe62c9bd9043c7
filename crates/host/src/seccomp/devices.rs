//! What is opened and has no content of its own: devices, named pipes, and the kernel's own files.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::caller;
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor, descriptor_path};

impl Supervisor<'_, '_> {
    /// Answers the open of something that is not a file with content.
    pub(super) fn no_content(
        &mut self,
        caller: Caller,
        name: BorrowedFd<'_>,
        real: BytePath,
        stat: &Stat,
        flags: OFlags,
    ) -> Answer {
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        let pseudo = caller::is_pseudo(name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice | FileType::BlockDevice if !is_harmless(stat) => {
                self.gap_at(caller.index, "device", real);
            }
            // Pipes without a name are called `pipe:[…]`; their two ends are seen at every start of a program.
            FileType::Fifo
                if real.as_bytes().starts_with(b"/")
                    && !self.own_pipes.contains(&(stat.st_dev, stat.st_ino)) =>
            {
                self.gap_at(caller.index, "outside-pipe", real);
            }
            FileType::RegularFile if pseudo && real.as_bytes().starts_with(b"/dev/mqueue/") => {
                self.queue_named(caller, real.as_bytes()[b"/dev/mqueue/".len()..].to_vec(), false);
            }
            FileType::RegularFile if pseudo => {
                if let Some(answer) = self.looked_into(caller, &real, writes)
                    && !matches!(answer, Answer::GoOn)
                {
                    return answer;
                }
                let attributes = real.as_bytes().windows(6).any(|part| part == b"/attr/");
                if writes && !is_of_a_process(&real) {
                    self.emit(Event {
                        path: Some(real.clone()),
                        ..Event::new(EventKind::Write, caller.index)
                    });
                    self.gap_at(caller.index, "kernel-setting", real);
                }
                // Its security attributes a process can only set through a descriptor that it opened itself.
                if caller.reach == Reach::Same && !attributes {
                    return open_by_name(name, flags);
                }
            }
            _ => {}
        }
        Answer::GoOn
    }

    /// The same for a path that has not been opened yet; a pipe must not be opened to see what it is.
    pub(super) fn no_content_at(&mut self, caller: Caller, path: &Path, flags: OFlags) -> Answer {
        let follow = !flags.contains(OFlags::NOFOLLOW);
        let name = match caller::name_only(path, follow) {
            Ok(name) => name,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => return Answer::GoOn,
            Err(_) => return self.unresolved(caller.index),
        };
        let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
            return self.unresolved(caller.index);
        };
        if self.is_protected(&real) {
            return self.refuse(caller.index, real, "protected");
        }
        self.no_content(caller, name.as_fd(), real, &stat, flags)
    }
}

/// Opens what a name means, in the caller's place: the kernel would read the path once more.
fn open_by_name(name: BorrowedFd<'_>, flags: OFlags) -> Answer {
    let once = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let here = flags.difference(once) | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::openat(CWD, descriptor_path(name), here, Mode::empty()) {
        Ok(file) => Answer::Given { file, close_on_exec: flags.contains(OFlags::CLOEXEC) },
        Err(error) => Answer::Result(error.raw_os_error()),
    }
}

/// Empty, endless and random devices, and terminals.
fn is_harmless(stat: &Stat) -> bool {
    let number = stat.st_rdev;
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && match major {
            1 => matches!(minor, 3 | 5 | 7 | 8 | 9),
            4 => true,
            5 => minor <= 2,
            136..=143 => true,
            _ => false,
        }
}

/// Settings of a process concern that process alone.
fn is_of_a_process(real: &BytePath) -> bool {
    real.as_bytes().strip_prefix(b"/proc/").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}
