//! How calls reach the supervisor and answers go back: by a listener, or by stopping the callers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::stops::{Bell, Stops};
use super::{By, Way};
use crate::sys::Listener;

/// The line between the supervisor and its callers.
pub(super) enum Line {
    /// The kernel notifies a listener (`seccomp_unotify(2)`).
    Listened(Listener),
    /// The kernel stops the caller (`ptrace(2)`).
    Stopped(Stops),
}

/// The end of the line for a thread that answers later.
pub(super) enum Reply {
    Listened(Listener),
    Stopped(Bell),
}

impl AsFd for Line {
    /// What becomes readable when there is something on the line; of stops signals tell.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listened(listener) => listener.as_fd(),
            Self::Stopped(stops) => stops.rings(),
        }
    }
}

impl Line {
    /// Returns the line to a child and all that it makes.
    pub(super) fn to(listener: Option<Listener>, child: i32, way: Way) -> io::Result<Self> {
        Ok(match listener {
            Some(listener) => {
                listener.wake_synchronously();
                Self::Listened(listener)
            }
            None => Self::Stopped(Stops::of(child, way.by == By::EveryCall)?),
        })
    }

    /// Tells whether a call is still waiting.
    pub(super) fn is_waiting(&self, id: u64) -> bool {
        match self {
            Self::Listened(listener) => listener.is_waiting(id),
            // It stands still until we let it go; if it was killed, nothing can be read from it any more.
            Self::Stopped(_) => true,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }

    /// Returns another end of it, for a thread.
    pub(super) fn another(&self) -> io::Result<Reply> {
        Ok(match self {
            Self::Listened(listener) => Reply::Listened(listener.another()?),
            Self::Stopped(stops) => Reply::Stopped(stops.bell()?),
        })
    }
}

impl Reply {
    /// Answers in the kernel's place: 0 or an `errno`.
    pub(super) fn answer(&self, id: u64, errno: i32) -> io::Result<()> {
        match self {
            Self::Listened(listener) => listener.answer(id, errno),
            Self::Stopped(bell) => bell.ring(id, errno),
        }
    }

    /// Puts a descriptor of ours in the place of one of the caller's. Who stops its callers cannot do that, and takes
    /// their own sockets instead.
    pub(super) fn put(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        number: u32,
        close_on_exec: bool,
    ) -> io::Result<()> {
        match self {
            Self::Listened(listener) => listener.put(id, file, number, close_on_exec),
            Self::Stopped(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
