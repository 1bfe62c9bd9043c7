//! Handing a descriptor over, on one processor if that is faster.
//!
//! The caller itself installs a descriptor that it is given (`SECCOMP_IOCTL_NOTIF_ADDFD`), so it is woken up for that.
//! Answers can ask for a wake-up on the supervisor's own processor; this call cannot. If another processor is idle, the
//! scheduler takes that one, and to get it out of its sleep costs more than everything else together (60 µs against 12
//! on a virtual machine). So, when that is what is observed, the caller is bound to the supervisor's processor while it
//! waits, is given the descriptor, is unbound, and only then answered: it never runs a single instruction bound.
//!
//! On a busy machine nothing of this happens. It is tried now and then which of the two ways is cheaper.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::sys::Listener;

/// What a hand-over takes when no other processor must be woken.
const QUICK: Duration = Duration::from_micros(25);
/// One of so many is given at once, to see whether that has become quick.
const TRIAL: u32 = 64;

/// How descriptors are handed over at the moment.
#[derive(Default, Debug)]
pub(super) struct Handover {
    bound: bool,
    count: u32,
    /// Whether the kernel cannot give and answer in one call (before 5.14).
    two_calls: bool,
}

impl Handover {
    /// Gives the caller a descriptor as the result of its call. Its own limit may refuse it.
    pub(super) fn give(
        &mut self,
        listener: &Listener,
        (id, thread): (u64, i32),
        file: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> io::Result<()> {
        self.count = self.count.wrapping_add(1);
        let given = if self.bound && !self.count.is_multiple_of(TRIAL) {
            bound(listener, (id, thread), file, close_on_exec)
        } else {
            self.at_once(listener, id, file, close_on_exec)
        };
        match given {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {} // Killed while it waited.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                listener.answer(id, error.raw_os_error().unwrap_or(libc::EMFILE))?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn at_once(
        &mut self,
        listener: &Listener,
        id: u64,
        file: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> io::Result<()> {
        if self.two_calls {
            let number = listener.add(id, file, close_on_exec, false)?;
            return listener.value(id, number);
        }
        let began = Instant::now();
        match listener.add(id, file, close_on_exec, true) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.two_calls = true;
                return self.at_once(listener, id, file, close_on_exec);
            }
            result => result?,
        };
        self.bound = began.elapsed() > QUICK;
        Ok(())
    }
}

/// Gives the descriptor while the caller can run nowhere but here.
fn bound(
    listener: &Listener,
    (id, thread): (u64, i32),
    file: BorrowedFd<'_>,
    close_on_exec: bool,
) -> io::Result<()> {
    let caller = Pid::from_raw(thread);
    let before = sched_getaffinity(caller)?;
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    // Whoever may run on this processor only, or not at all, is left as it is.
    let bind = before.is_set(sched_getcpu()) && before.count() > 1;
    if bind {
        sched_setaffinity(caller, &here)?;
    }
    let number = listener.add(id, file, close_on_exec, false);
    if bind {
        sched_setaffinity(caller, &before)?;
    }
    listener.value(id, number?)
}
