//! A file's mode, owner, times and the like: no content, but what runs, and whose it is, hangs on them.

use std::os::fd::OwnedFd;
use std::path::Path;

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};

use super::caller;
use super::names::Given;
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor, descriptor_path};
use crate::sys;

/// What is changed, with the arguments that say to what.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Mode(u64),
    Owner(u64, u64),
    /// By the address of two times, each a number of seconds and of these parts of one; zero is now.
    Times(u64, Parts),
    /// An extended attribute, by the addresses of its name and its value, the value's size, and flags.
    Extended(u64, u64, u64, u64),
    /// The same, with value, size and flags in memory.
    ExtendedBy(u64, u64),
    Removed(u64),
    Flags,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the older calls give whole seconds"))]
pub(super) enum Parts {
    None,
    Micro,
    Nano,
}

/// The kernel's limit for the value of an extended attribute.
const VALUE_MAX_BYTES: usize = 64 * 1024;

/// A change that is ready to be made in the caller's place.
enum Ready {
    Mode(Mode),
    Owner(Option<Uid>, Option<Gid>),
    Times(Timestamps),
    Extended(Vec<u8>, Vec<u8>, XattrFlags),
    Removed(Vec<u8>),
}

impl Supervisor<'_, '_> {
    pub(super) fn attribute(&mut self, caller: Caller, given: Given, follow: bool, change: Change) -> Answer {
        let place = if given.1 == 0 {
            match caller::place(caller.thread, caller.reach, given.0, b"") {
                Some(place) => place,
                None => return self.unknown_descriptor(caller),
            }
        } else {
            match self.place_of(caller, given) {
                Ok(place) => place,
                Err(answer) => return answer,
            }
        };
        let (name, real, stat) = match self.identity(caller, &place.path, follow) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let identity = (stat.st_dev, stat.st_ino);
        let event = Event {
            path: Some(real),
            detail: Some(detail(caller, change)),
            ..Event::new(EventKind::Attribute, caller.index)
        };
        let ready = match ready(caller, change) {
            Ok(ready) => ready,
            Err(address) => return self.unreadable(caller, address),
        };
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        // What a link itself is has no effect on anything, and not all of it can be changed through a name.
        match ready.filter(|_| FileType::from_raw_mode(stat.st_mode) != FileType::Symlink) {
            Some(ready) => self.done(
                caller,
                event,
                || act(&ready, &name),
                |written| {
                    written.touched.insert(identity);
                },
            ),
            None => {
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
    ) -> Result<(OwnedFd, BytePath, Stat), Answer> {
        let name = caller::name_only(path, follow).map_err(|error| match caller.reach {
            Reach::Same => Answer::Result(error.raw_os_error()),
            _ => Answer::GoOn, // What is not there the kernel refuses by itself.
        })?;
        let (Ok(real), Ok(stat)) = (caller::real_path(&name), rustix::fs::fstat(&name)) else {
            return Err(self.unresolved(caller.index));
        };
        if self.is_protected(&real) {
            return Err(self.refuse(caller.index, real, "protected"));
        }
        Ok((name, real, stat))
    }
}

/// Reads what the arguments point to. Nothing is ready for flags; an address that cannot be read is the error.
fn ready(caller: Caller, change: Change) -> Result<Option<Ready>, u64> {
    let text = |address| caller::text(caller.thread, address).ok_or(address);
    let id = |raw: u64| Some((raw & 0xFFFF_FFFF) as u32).filter(|id| *id != u32::MAX);
    Ok(Some(match change {
        Change::Mode(mode) => Ready::Mode(Mode::from_raw_mode((mode & 0o7777) as u32)),
        Change::Owner(user, group) => Ready::Owner(id(user).map(Uid::from_raw), id(group).map(Gid::from_raw)),
        Change::Times(address, parts) => Ready::Times(times(caller, address, parts)?),
        Change::Extended(name, value, size, flags) => {
            let flags = XattrFlags::from_bits_retain((flags & 0xFFFF_FFFF) as u32);
            Ready::Extended(text(name)?, bytes(caller, value, size)?, flags)
        }
        Change::ExtendedBy(name, by) => {
            let [value, more] = words(caller, by)?;
            let flags = XattrFlags::from_bits_retain((more >> 32) as u32);
            Ready::Extended(text(name)?, bytes(caller, value, more & 0xFFFF_FFFF)?, flags)
        }
        Change::Removed(name) => Ready::Removed(text(name)?),
        Change::Flags => return Ok(None),
    }))
}

fn act(ready: &Ready, name: &OwnedFd) -> rustix::io::Result<()> {
    let path = descriptor_path(name);
    match ready {
        Ready::Mode(mode) => rustix::fs::chmodat(CWD, path, *mode, AtFlags::empty()),
        Ready::Owner(user, group) => rustix::fs::chownat(name, "", *user, *group, AtFlags::EMPTY_PATH),
        Ready::Times(times) => rustix::fs::utimensat(CWD, path, times, AtFlags::empty()),
        Ready::Extended(name, value, flags) => rustix::fs::setxattr(path, name.as_slice(), value, *flags),
        Ready::Removed(name) => rustix::fs::removexattr(path, name.as_slice()),
    }
}

fn times(caller: Caller, address: u64, parts: Parts) -> Result<Timestamps, u64> {
    let now = Timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW };
    if address == 0 {
        return Ok(Timestamps { last_access: now, last_modification: now });
    }
    let time = |seconds: u64, part: u64| {
        let (tv_sec, part) = (seconds.cast_signed(), part.cast_signed());
        // Whoever gives microseconds can mean no special value; too many of them are refused, as they are.
        let tv_nsec = if matches!(parts, Parts::Micro) {
            if (0..1_000_000).contains(&part) { part * 1000 } else { -1 }
        } else {
            part
        };
        Timespec { tv_sec, tv_nsec }
    };
    Ok(if matches!(parts, Parts::None) {
        let [access, modification] = words(caller, address)?;
        Timestamps { last_access: time(access, 0), last_modification: time(modification, 0) }
    } else {
        let [access, part, modification, other] = words(caller, address)?;
        Timestamps { last_access: time(access, part), last_modification: time(modification, other) }
    })
}

fn words<const COUNT: usize>(caller: Caller, address: u64) -> Result<[u64; COUNT], u64> {
    let raw = bytes(caller, address, 8 * COUNT as u64)?;
    let mut words = [0; COUNT];
    for (word, raw) in words.iter_mut().zip(raw.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*raw);
    }
    Ok(words)
}

/// Reads a value; of one that is too long as much as the kernel refuses.
fn bytes(caller: Caller, address: u64, size: u64) -> Result<Vec<u8>, u64> {
    let size = usize::try_from(size).map_or(VALUE_MAX_BYTES + 1, |size| size.min(VALUE_MAX_BYTES + 1));
    let mut raw = vec![0; size];
    match sys::read_memory(caller.thread, address, &mut raw) {
        Ok(read) if read == size => Ok(raw),
        _ if size == 0 => Ok(raw),
        _ => Err(address),
    }
}

fn detail(caller: Caller, change: Change) -> String {
    match change {
        Change::Mode(mode) => format!("mode {:04o}", mode & 0o7777),
        Change::Owner(..) => "owner".into(),
        Change::Times(..) => "times".into(),
        Change::Extended(name, ..) | Change::ExtendedBy(name, _) | Change::Removed(name) => {
            let name = caller::text(caller.thread, name).unwrap_or_default();
            if name.starts_with(b"system.posix_acl") { "acl" } else { "xattr" }.into()
        }
        Change::Flags => "flags".into(),
    }
}
