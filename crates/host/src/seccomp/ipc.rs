//! Memory and queues that processes share by a number or a name, without a file (`sysvipc(7)`, `mq_overview(7)`).
//!
//! Between traced processes nothing is lost: each of them is seen. One that was there before the build, or that
//! somebody else made, brings in bytes that nobody hashed.

use evidence::{BytePath, Event, EventKind};

use super::caller;
use super::processes::Reach;
use super::supervisor::{Answer, Caller, Supervisor};
use crate::sys;

/// What is shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    Memory,
    Queue,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Memory => "sysv-memory",
            Self::Queue => "sysv-queue",
        }
    }
}

impl Supervisor<'_, '_> {
    /// Makes or finds one in the caller's place, so that its number is known and whether it was there before.
    pub(super) fn segment(&mut self, caller: Caller, kind: Kind, key: u64, size: u64, flags: u64) -> Answer {
        let key = (key & 0xFFFF_FFFF) as i32;
        let flags = (flags & 0xFFFF_FFFF) as i32;
        let target = BytePath::from(format!("{}:{key:#x}", kind.word()));
        self.emit(Event { target: Some(target), ..Event::new(EventKind::Memory, caller.index) });
        if caller.reach != Reach::Same {
            self.gap(caller.index, "outside-memory");
            return Answer::GoOn;
        }
        let get = |flags| match kind {
            Kind::Memory => sys::shared_memory(key, size, flags),
            Kind::Queue => sys::message_queue(key, flags),
        };
        let errno = |error: &std::io::Error| error.raw_os_error().unwrap_or(libc::EINVAL);
        if flags & libc::IPC_CREAT != 0 || key == libc::IPC_PRIVATE {
            match get(flags | libc::IPC_EXCL) {
                Ok(id) => {
                    self.own_ipc.insert((kind, id));
                    return Answer::Value(id);
                }
                Err(error) if errno(&error) != libc::EEXIST || flags & libc::IPC_EXCL != 0 => {
                    return Answer::Result(errno(&error));
                }
                Err(_) => {}
            }
        }
        match get(flags) {
            Ok(id) => {
                self.known_or_gap(caller, kind, id);
                Answer::Value(id)
            }
            Err(error) => Answer::Result(errno(&error)),
        }
    }

    /// One is used by its number, which can be known without asking for it.
    pub(super) fn attached(&mut self, caller: Caller, kind: Kind, id: u64) -> Answer {
        self.known_or_gap(caller, kind, (id & 0xFFFF_FFFF) as i32);
        Answer::GoOn
    }

    fn known_or_gap(&mut self, caller: Caller, kind: Kind, id: i32) {
        // Once told is enough: the bytes could have changed at any time.
        if self.own_ipc.insert((kind, id)) {
            self.gap(caller.index, "outside-memory");
        }
    }

    /// A queue with a name. Only who makes it anew knows that nobody else had it.
    pub(super) fn queue(&mut self, caller: Caller, name: u64, flags: u64) -> Answer {
        let Some(name) = caller::text(caller.thread, name) else { return self.unreadable(caller, name) };
        let flags = (flags & 0xFFFF_FFFF) as i32;
        self.queue_named(caller, name, flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0);
        Answer::GoOn
    }

    pub(super) fn queue_named(&mut self, caller: Caller, name: Vec<u8>, made: bool) {
        let target = BytePath::new([b"queue:".as_slice(), &name].concat());
        self.emit(Event { target: Some(target), ..Event::new(EventKind::Memory, caller.index) });
        if self.own_queues.insert(name) && !made {
            self.gap(caller.index, "outside-memory");
        }
    }
}
