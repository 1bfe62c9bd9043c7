//! A file's mode, owner, times and the like: no content, but what runs, and whose it is, hangs on them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};

use super::caller;
use super::names::Given;
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor, descriptor_path};

/// What is changed, with the arguments that say to what.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Mode(u64),
    Owner(u64, u64),
    Times,
    /// An extended attribute, by the address of its name.
    Extended(u64),
    Flags,
}

impl Supervisor<'_, '_> {
    /// Mode and owner are changed in the caller's place; the rest is left to the kernel.
    pub(super) fn attribute(&mut self, caller: Caller, given: Given, follow: bool, change: Change) -> Answer {
        let place = if given.1 == 0 {
            caller::place(caller.thread, caller.reach, given.0, b"").ok_or(Answer::GoOn)
        } else {
            self.place_of(caller, given)
        };
        let (name, real, identity) = match place.and_then(|place| self.identity(caller, &place.path, follow))
        {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let event = Event {
            path: Some(real),
            detail: Some(detail(caller, change)),
            ..Event::new(EventKind::Attribute, caller.index)
        };
        let id = |raw: u64| Some((raw & 0xFFFF_FFFF) as u32).filter(|id| *id != u32::MAX);
        match change {
            Change::Mode(mode) if follow => {
                let mode = Mode::from_raw_mode((mode & 0o7777) as u32);
                let act = || rustix::fs::chmodat(CWD, descriptor_path(&name), mode, AtFlags::empty());
                self.done(caller, event, act, |written| {
                    written.touched.insert(identity);
                })
            }
            Change::Owner(user, group) => {
                let (user, group) = (id(user).map(Uid::from_raw), id(group).map(Gid::from_raw));
                let act = || rustix::fs::chownat(&name, "", user, group, AtFlags::EMPTY_PATH);
                self.done(caller, event, act, |written| {
                    written.touched.insert(identity);
                })
            }
            _ => {
                self.written.touched.insert(identity);
                self.emit(event);
                Answer::GoOn
            }
        }
    }

    /// Opens the name of a file that will be changed, unless it is ours.
    pub(super) fn identity(
        &mut self,
        caller: Caller,
        path: &Path,
        follow: bool,
    ) -> Result<(OwnedFd, BytePath, (u64, u64)), Answer> {
        // What is not there the kernel refuses by itself.
        let name = caller::name_only(path, follow).map_err(|_| Answer::GoOn)?;
        let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
            return Err(Answer::GoOn);
        };
        if self.is_protected(&real) {
            return Err(self.refuse(caller.index, real, "protected"));
        }
        // A pseudo file's owner and mode are settings of the kernel; of a pipe's or socket's nobody hears again.
        if caller.reach == Reach::Same && caller::is_pseudo_path(&real, name.as_fd()) {
            return Err(Answer::GoOn);
        }
        Ok((name, real, (stat.st_dev, stat.st_ino)))
    }
}

fn detail(caller: Caller, change: Change) -> String {
    match change {
        Change::Mode(mode) => format!("mode {:04o}", mode & 0o7777),
        Change::Owner(..) => "owner".into(),
        Change::Times => "times".into(),
        Change::Extended(name) => {
            let name = caller::text(caller.thread, name).unwrap_or_default();
            if name.starts_with(b"system.posix_acl") { "acl" } else { "xattr" }.into()
        }
        Change::Flags => "flags".into(),
    }
}
