//! Who is who: threads, processes, parents, ends.
//!
//! Processes are met at their first call that we are asked about. A process that ends introduces its children
//! first, so that no ancestry is lost when orphans are adopted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::programs::Pending;
use crate::sys;

/// What the kernel says of a thread in `/proc/N/status`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub(super) process: i32,
    pub(super) parent: i32,
    pub(super) umask: u32,
}

/// Reads the status of a thread; `None` if it is gone.
pub(super) fn status(thread: i32) -> Option<Status> {
    let text = String::from_utf8(super::caller::small_file(&format!("/proc/{thread}/status"))?).ok()?;
    let mut status = Status { process: thread, parent: 0, umask: 0o022 };
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name {
            "Tgid" => status.process = value.trim().parse().ok()?,
            "PPid" => status.parent = value.trim().parse().ok()?,
            "Umask" => status.umask = u32::from_str_radix(value.trim(), 8).ok()?,
            _ => {}
        }
        if name == "PPid" {
            break; // `Umask` stands before.
        }
    }
    Some(status)
}

/// Lists the children of a process.
pub(super) fn children(process: i32) -> Vec<i32> {
    let folder = format!("/proc/{process}/task");
    let of = |thread: &str| {
        // One that is gone has no children any more.
        let list = super::caller::small_file(&format!("{folder}/{thread}/children"));
        let list = list.and_then(|list| String::from_utf8(list).ok());
        list.iter()
            .flat_map(|list| list.split_whitespace())
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<i32>>()
    };
    // Most processes have one thread: the folder of threads says how many, without being read.
    let threads = fs::metadata(&folder).map_or(0, |facts| facts.nlink().saturating_sub(2));
    if threads <= 1 {
        return of(&process.to_string());
    }
    let Ok(threads) = fs::read_dir(&folder) else { return Vec::new() };
    threads.flatten().flat_map(|thread| of(&thread.file_name().to_string_lossy())).collect()
}

/// How far the supervisor can act in a process's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// Same rights, same view of the file system.
    Same,
    /// Other rights (it dropped some, or confined itself): the kernel must act for it.
    OtherRights,
    /// Another view of the file system: paths cannot be told for sure.
    OtherRoot,
}

/// One process.
pub(super) struct Traced {
    pub(super) index: u32,
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    /// Its mask for the modes of new files, once somebody has asked for it.
    pub(super) umask: Option<u32>,
    pub(super) reach: Reach,
    pub(super) parent: Option<u32>,
    /// Whether its children have another view of the file system than it has itself.
    pub(super) children_away: bool,
    /// Whether it has been told that several threads act where we only look on.
    pub(super) told_beside: bool,
    /// The executable it was last seen to run: device and inode.
    pub(super) executable: Option<(u64, u64)>,
    /// A program that it asked to run, not yet confirmed.
    pub(super) pending: Option<Pending>,
    /// The code that it said it ends with.
    pub(super) said: Option<i32>,
}

impl Traced {
    /// Sends a signal; one that is gone already needs none. Only who waits for its own tracees meets kernels without
    /// such descriptors, and whom it has not waited for keeps its number.
    pub(super) fn send(&self, signal: Signal) {
        if rustix::process::pidfd_send_signal(&self.pidfd, signal) == Err(rustix::io::Errno::NOSYS)
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            rustix::process::kill_process(pid, signal).ok();
        }
    }
}

/// The folder of a process in `/proc`, which serves as its descriptor where there is no other.
fn folder_of(pid: Pid) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, format!("/proc/{}", pid.as_raw_pid()), flags, Mode::empty())
}

/// The living processes.
#[derive(Default)]
pub(super) struct Processes {
    living: HashMap<i32, Traced>,
    by_index: HashMap<u32, i32>,
    threads: HashMap<i32, i32>,
    next: u32,
}

/// What is told to the world about a new process.
pub(super) struct Born {
    pub(super) index: u32,
    pub(super) parent: Option<u32>,
}

impl Processes {
    /// Returns the process of a thread if both are known and still what they were.
    pub(super) fn known(&mut self, thread: i32) -> Option<i32> {
        if self.living.contains_key(&thread) {
            return Some(thread);
        }
        let process = *self.threads.get(&thread)?;
        if self.living.contains_key(&process)
            && fs::exists(format!("/proc/{process}/task/{thread}")).unwrap_or(false)
        {
            return Some(process);
        }
        self.threads.remove(&thread);
        None
    }

    /// Meets a thread for the first time. New processes, ancestors first, go to `born`.
    pub(super) fn meet(&mut self, thread: i32, own: i32, born: &mut Vec<Born>) -> io::Result<Option<i32>> {
        if let Some(process) = self.known(thread) {
            return Ok(Some(process));
        }
        let Some((process, parent, pidfd)) = self.identify(thread)? else { return Ok(None) };
        let Some(pidfd) = pidfd else {
            self.threads.insert(thread, process);
            return Ok(Some(process));
        };
        let parent = if parent == own || parent <= 1 { None } else { self.meet(parent, own, born)? };
        let from = parent.and_then(|parent| self.living.get(&parent));
        let index = self.next;
        self.next += 1;
        born.push(Born { index, parent: from.map(|parent| parent.index) });
        let traced = Traced {
            index,
            pid: process,
            pidfd,
            umask: None,
            reach: match from {
                Some(parent) if parent.children_away => Reach::OtherRoot,
                Some(parent) => parent.reach,
                None => Reach::Same,
            },
            parent: from.map(|parent| parent.index),
            children_away: from.is_some_and(|parent| parent.children_away),
            told_beside: false,
            executable: super::caller::executable(process),
            pending: None,
            said: None,
        };
        self.living.insert(process, traced);
        self.by_index.insert(index, process);
        if thread != process {
            self.threads.insert(thread, process);
        }
        Ok(Some(process))
    }

    /// Tells the process of a thread, its parent, and opens it unless it is known; `None` if it is gone.
    fn identify(&self, thread: i32) -> io::Result<Option<(i32, i32, Option<OwnedFd>)>> {
        let open = |pid| match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Some(pidfd)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            // Before Linux 5.3. What is gone by the next look was nobody's child that we wait for.
            Err(rustix::io::Errno::NOSYS) => Ok(folder_of(pid).ok()),
            Err(error) => Err(error),
        };
        // Only the first thread of a process has a descriptor of this kind.
        if let Some(pid) = Pid::from_raw(thread)
            && let Ok(Some(pidfd)) = open(pid)
            && let Some(parent) = sys::parent(&pidfd)
        {
            return Ok(Some((thread, parent, Some(pidfd))));
        }
        let Some(Status { process, parent, .. }) = status(thread) else { return Ok(None) };
        if process != thread && self.living.contains_key(&process) {
            return Ok(Some((process, parent, None)));
        }
        let Some(pid) = Pid::from_raw(process) else { return Ok(None) };
        Ok(open(pid)?.map(|pidfd| (process, parent, Some(pidfd))))
    }

    pub(super) fn get(&self, process: i32) -> Option<&Traced> {
        self.living.get(&process)
    }

    pub(super) fn get_mut(&mut self, process: i32) -> Option<&mut Traced> {
        self.living.get_mut(&process)
    }

    /// Returns the kernel's number of a living process.
    pub(super) fn pid(&self, index: u32) -> Option<i32> {
        self.by_index.get(&index).copied()
    }

    /// Forgets a process that has ended.
    pub(super) fn remove(&mut self, process: i32) -> Option<Traced> {
        let traced = self.living.remove(&process)?;
        self.by_index.remove(&traced.index);
        Some(traced)
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &Traced> {
        self.living.values()
    }

    pub(super) fn contains(&self, pid: i32) -> bool {
        self.living.contains_key(&pid)
    }
}
