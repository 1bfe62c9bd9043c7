//! Waiting for something to do, or for the signal to stop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sys::Signals;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Nothing happened for as long as asked.
    Time,
    /// Something was changed.
    Changes,
    /// A person or the service manager wants us to stop.
    Stopped,
}

/// Catches the signals that end programs, until dropped.
pub struct Stop(Signals);

impl Stop {
    /// Begins.
    pub fn catch() -> io::Result<Self> {
        Signals::catch(false).map(Self)
    }

    /// Waits for changes, a signal, or the end of a span of time.
    pub fn wait(&self, changes: Option<BorrowedFd<'_>>, at_most: Duration) -> io::Result<Woken> {
        let mut waited = vec![PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        waited.extend(changes.map(|queue| PollFd::from_borrowed_fd(queue, PollFlags::IN)));
        let at_most = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        match poll(&mut waited, Some(&at_most)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        // A lease that is broken (`SIGIO`) is no reason to stop.
        while let Some((signal, _)) = self.0.next() {
            if signal != libc::SIGIO {
                return Ok(Woken::Stopped);
            }
        }
        let changed = waited.get(1).is_some_and(|queue| !queue.revents().is_empty());
        Ok(if changed { Woken::Changes } else { Woken::Time })
    }
}
