//! Whoever changes what paths and rights mean: namespaces, mounts, roots, users.

use evidence::{BytePath, Event, EventKind};
use libc::c_long;

use super::caller;
use super::calls::{CLONE_FILES, CLONE_THREAD, CLONE_UNTRACED, NAMESPACES};
use super::names::Given;
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor};

/// Namespaces by which a path or the number of a process means something else.
const VIEWS: u64 = (libc::CLONE_NEWNS | libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64;
/// `CLONE_NEWTIME`, which only `unshare` knows; to `clone` these bits are a signal.
const NEW_TIME: u64 = 0x80;

impl Supervisor<'_, '_> {
    /// Records the call; if it moves the caller, its paths cannot be told for sure from now on.
    pub(super) fn namespace(
        &mut self,
        caller: Caller,
        call: &'static str,
        at: Option<Given>,
        moves: bool,
    ) -> Answer {
        let path = at.and_then(|(folder, path)| {
            let path = caller::text(caller.thread, path)?;
            let place = caller::place(caller.thread, caller.reach, folder, &path)?;
            Some(
                caller::name_only(&place.path, true)
                    .and_then(|name| caller::real_path(name).map_err(|_| rustix::io::Errno::NOENT))
                    .unwrap_or(place.said),
            )
        });
        self.viewed(caller, call, path);
        if moves {
            self.moved_away(caller);
        }
        Answer::GoOn
    }

    fn viewed(&mut self, caller: Caller, call: &str, path: Option<BytePath>) {
        let detail = Some(call.to_owned());
        self.emit(Event { path, detail, ..Event::new(EventKind::Namespace, caller.index) });
    }

    fn moved_away(&mut self, caller: Caller) {
        self.seen.forget();
        self.gap(caller.index, "other-root");
        if let Some(known) = self.processes.get_mut(caller.pid) {
            known.reach = Reach::OtherRoot;
        }
    }

    pub(super) fn unshare(&mut self, caller: Caller, flags: u64) -> Answer {
        if flags & (u64::from(NAMESPACES) | NEW_TIME) != 0 {
            self.viewed(caller, "unshare", None);
        }
        if flags & VIEWS != 0 {
            self.moved_away(caller);
        }
        // Threads with masks of their own from here on.
        self.masks_differ |= flags & (libc::CLONE_FS as u64) != 0;
        Answer::GoOn
    }

    /// A child that sees other things than its parent, or shares its mask with it.
    pub(super) fn clone_call(&mut self, caller: Caller, flags: u64) -> Answer {
        if flags & u64::from(CLONE_UNTRACED) != 0 && self.line.is_stopped() {
            return self.deny(caller, "clone-untraced", libc::EPERM);
        }
        // Who changes the numbers of its descriptors is not known to be another thread of it then.
        if flags & u64::from(CLONE_FILES) != 0
            && flags & u64::from(CLONE_THREAD) == 0
            && self.line.is_stopped()
        {
            self.gap(caller.index, "shared-descriptors");
        }
        if flags & u64::from(NAMESPACES) != 0 {
            self.viewed(caller, "clone", None);
        }
        if flags & VIEWS != 0 {
            self.gap(caller.index, "other-root");
            if let Some(known) = self.processes.get_mut(caller.pid) {
                known.children_away = true;
            }
        }
        self.masks_differ |= flags & (libc::CLONE_FS as u64) != 0;
        Answer::GoOn
    }

    pub(super) fn umask(&mut self, caller: Caller, mask: u64) -> Answer {
        if let Some(known) = self.processes.get_mut(caller.pid) {
            known.umask = Some((mask & 0o777) as u32);
        }
        Answer::GoOn
    }

    /// A process changes its users or groups. Setting what it has already is no change.
    pub(super) fn new_rights(&mut self, caller: Caller, call: c_long, ids: &[u64; 3]) -> Answer {
        let count = match call {
            libc::SYS_setuid | libc::SYS_setgid | libc::SYS_setfsuid | libc::SYS_setfsgid => 1,
            libc::SYS_setreuid | libc::SYS_setregid => 2,
            _ => 3,
        };
        let users = [libc::SYS_setuid, libc::SYS_setreuid, libc::SYS_setresuid, libc::SYS_setfsuid];
        let own = if users.contains(&call) {
            rustix::process::getuid().as_raw()
        } else {
            rustix::process::getgid().as_raw()
        };
        let same = |id: &u64| [own, u32::MAX].contains(&((*id & 0xFFFF_FFFF) as u32));
        if ids[..count].iter().all(same) { Answer::GoOn } else { self.other_rights(caller) }
    }

    /// Where the kernel acts and we look on, another thread can change a path between the two. One thread cannot.
    pub(super) fn beside(&mut self, caller: Caller) {
        if caller.reach != Reach::OtherRights {
            return;
        }
        // The folder of threads has two links, and one for each thread.
        let threads = rustix::fs::stat(format!("/proc/{}/task", caller.pid)).map_or(3, |stat| stat.st_nlink);
        if let Some(known) = self.processes.get_mut(caller.pid)
            && threads > 3
            && !std::mem::replace(&mut known.told_beside, true)
        {
            self.gap(caller.index, "other-rights");
        }
    }

    /// From here on the kernel must act for it: what we may, it perhaps may not.
    pub(super) fn other_rights(&mut self, caller: Caller) -> Answer {
        if let Some(known) = self.processes.get_mut(caller.pid)
            && known.reach == Reach::Same
        {
            known.reach = Reach::OtherRights;
        }
        Answer::GoOn
    }
}
