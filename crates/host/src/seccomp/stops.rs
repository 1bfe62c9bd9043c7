//! The stopped threads of a build: what each is waiting for, and how it goes on.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::filter::{self, Decision};
use super::stopped::Opening;
use super::supervisor::Answer;
use crate::sys::Instruction;
use crate::sys::ptrace::{self, Call, Change};

/// What is to be done when a thread comes back from the call that it is in.
#[derive(Debug)]
pub(super) enum Expects {
    Nothing,
    /// A file was opened, or not.
    Opened(Opening),
    /// A program was not started: if it was, that is told before.
    Started,
    /// The call was left out; this is its result.
    Result(i64),
    /// A descriptor was given another number, or one to a file that needs no look.
    Numbered,
}

struct Thread {
    /// The process whose thread it was when we met it; 0 as long as nobody has asked.
    process: i32,
    expects: Expects,
    /// Whether it has been stopped before a call and not yet after it, where each call is stopped.
    in_call: bool,
}

/// The threads of one process.
#[derive(Default)]
struct Crew {
    count: usize,
    /// The one that is in a call that gives numbers to descriptors. No other may do so meanwhile, or it could put
    /// something else under a number before we have looked at what is there.
    /// Since when, too.
    busy: Option<(i32, Instant)>,
}

/// How long one such call may keep the other threads of its process waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// All threads of the build.
pub(super) struct Stops {
    threads: HashMap<i32, Thread>,
    crews: HashMap<i32, Crew>,
    /// Threads that must wait for another one of their process.
    waiting: Vec<i32>,
    /// Which calls are asked about.
    filter: Vec<Instruction>,
    /// Whether each call is stopped, because no filter may be installed.
    every_call: bool,
    bell: Bell,
    replies: Receiver<(u64, i32)>,
}

/// By which another thread answers.
#[derive(Debug)]
pub(super) struct Bell {
    rings: OwnedFd,
    replies: Sender<(u64, i32)>,
}

impl Bell {
    pub(super) fn ring(&self, id: u64, errno: i32) -> io::Result<()> {
        self.replies.send((id, errno)).map_err(io::Error::other)?;
        rustix::io::write(&self.rings, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

impl Stops {
    pub(super) fn of(root: i32, every_call: bool) -> io::Result<Self> {
        let rings = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (sender, replies) = channel();
        let mut stops = Self {
            threads: HashMap::new(),
            crews: HashMap::new(),
            waiting: Vec::new(),
            filter: filter::stopping(),
            every_call,
            bell: Bell { rings, replies: sender },
            replies,
        };
        stops.add(root);
        Ok(stops)
    }

    pub(super) fn bell(&self) -> io::Result<Bell> {
        Ok(Bell { rings: self.bell.rings.try_clone()?, replies: self.bell.replies.clone() })
    }

    /// What becomes readable when another thread has answered.
    pub(super) fn rings(&self) -> BorrowedFd<'_> {
        self.bell.rings.as_fd()
    }

    /// Passes on what other threads have answered.
    pub(super) fn answered(&mut self) -> io::Result<()> {
        match rustix::io::read(&self.bell.rings, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        while let Ok((id, errno)) = self.replies.try_recv() {
            let thread = i32::try_from(id).map_err(io::Error::other)?;
            self.answer(thread, Answer::Result(errno))?;
        }
        Ok(())
    }

    /// Returns the next thread that something became of, and what; an end of the build is one, too.
    pub(super) fn next(&mut self) -> io::Result<Option<(i32, Change)>> {
        match ptrace::news() {
            Ok(Some(thread)) if self.threads.contains_key(&thread) || is_ours(thread) => {
                return taken(thread);
            }
            Ok(Some(_)) => {} // A child of ours that is no part of the build hides the others.
            Ok(None) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                self.threads.clear();
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        for thread in self.threads.keys() {
            if let Some(news) = taken(*thread)? {
                return Ok(Some(news));
            }
        }
        Ok(None)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    pub(super) fn every_call(&self) -> bool {
        self.every_call
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = i32> {
        self.threads.keys().copied()
    }

    pub(super) fn add(&mut self, thread: i32) {
        self.threads.entry(thread).or_insert(Thread {
            process: 0,
            expects: Expects::Nothing,
            in_call: false,
        });
    }

    pub(super) fn belongs(&mut self, thread: i32, process: i32) {
        if let Some(known) = self.threads.get_mut(&thread)
            && known.process != process
        {
            known.process = process;
            self.crews.entry(process).or_default().count += 1;
        }
    }

    pub(super) fn remove(&mut self, thread: i32) {
        self.waiting.retain(|waiting| *waiting != thread);
        let Some(gone) = self.threads.remove(&thread) else { return };
        if let Some(crew) = self.crews.get_mut(&gone.process) {
            crew.count = crew.count.saturating_sub(1);
            crew.busy = crew.busy.filter(|(busy, _)| *busy != thread);
            if crew.count == 0 {
                self.crews.remove(&gone.process);
            }
        }
    }

    /// Makes a thread wait if another one of its process is giving a number to a descriptor.
    pub(super) fn waits(&mut self, thread: i32) -> bool {
        let waits = self.busy(thread).is_some_and(|(busy, _)| busy != thread);
        if waits {
            self.waiting.push(thread);
        }
        waits
    }

    fn busy(&self, thread: i32) -> Option<(i32, Instant)> {
        self.crews.get(&self.threads.get(&thread)?.process)?.busy
    }

    /// Tells whether a process has other threads.
    pub(super) fn has_others(&self, process: i32) -> bool {
        self.crews.get(&process).is_some_and(|crew| crew.count > 1)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns a thread that need not wait any longer, and whether it waited in vain.
    pub(super) fn waited(&mut self) -> Option<(i32, bool)> {
        let (at, vain) =
            self.waiting.iter().enumerate().find_map(|(at, thread)| match self.busy(*thread) {
                None => Some((at, false)),
                Some((_, since)) => (since.elapsed() >= PATIENCE).then_some((at, true)),
            })?;
        Some((self.waiting.remove(at), vain))
    }

    /// One thread of a process is all that is left when it runs another program, and has the process's number.
    pub(super) fn started(&mut self, process: i32, before: i32) {
        if let Some(state) = self.threads.remove(&before) {
            self.threads.insert(process, Thread { process, expects: Expects::Nothing, ..state });
        }
        self.threads.retain(|thread, state| *thread == process || state.process != process);
        self.waiting.retain(|thread| self.threads.contains_key(thread));
        self.crews.insert(process, Crew { count: 1, busy: None });
    }

    pub(super) fn expect(&mut self, thread: i32, expects: Expects) {
        let Some(known) = self.threads.get_mut(&thread) else { return };
        if let Some(crew) = self.crews.get_mut(&known.process)
            && matches!(expects, Expects::Opened(_) | Expects::Numbered)
        {
            crew.busy = Some((thread, Instant::now()));
        }
        known.expects = expects;
    }

    pub(super) fn take_expected(&mut self, thread: i32) -> Expects {
        let Some(known) = self.threads.get_mut(&thread) else { return Expects::Nothing };
        if let Some(crew) = self.crews.get_mut(&known.process) {
            crew.busy = crew.busy.filter(|(busy, _)| *busy != thread);
        }
        std::mem::replace(&mut known.expects, Expects::Nothing)
    }

    /// Notes that a thread stands before or after a call, where each is stopped. Tells whether it is before.
    pub(super) fn enters(&mut self, thread: i32) -> bool {
        let Some(known) = self.threads.get_mut(&thread) else { return false };
        known.in_call = self.every_call && !known.in_call;
        known.in_call
    }

    /// Tells what is to be done about a call.
    pub(super) fn decide(&self, call: &Call) -> Decision {
        filter::decide(&self.filter, call)
    }

    /// Lets a thread go on.
    pub(super) fn resume(&mut self, thread: i32, signal: i32) -> io::Result<()> {
        let expects =
            self.threads.get(&thread).is_some_and(|known| !matches!(known.expects, Expects::Nothing));
        gone_is_fine(ptrace::resume(thread, self.every_call || expects, signal))
    }

    /// Answers the call at which a thread stands, and lets it go on.
    pub(super) fn answer(&mut self, thread: i32, answer: Answer) -> io::Result<()> {
        let result = match answer {
            Answer::GoOn => return self.resume(thread, 0),
            Answer::Later => return Ok(()),
            Answer::Result(errno) => -i64::from(errno),
            Answer::Value(value) => i64::from(value),
            Answer::Gone => -i64::from(libc::EPERM),
            // Files are opened by the kernel here.
            Answer::Given { .. } => return Err(io::ErrorKind::Unsupported.into()),
        };
        gone_is_fine(ptrace::leave_out(thread, result))?;
        self.expect(thread, if self.every_call { Expects::Result(result) } else { Expects::Nothing });
        self.resume(thread, 0)
    }
}

fn taken(thread: i32) -> io::Result<Option<(i32, Change)>> {
    match ptrace::take(thread) {
        Ok(change) => Ok(change.map(|change| (thread, change))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tells whether we trace a thread that has not been announced yet.
fn is_ours(thread: i32) -> bool {
    let own = rustix::thread::gettid().as_raw_pid().to_string();
    let status = super::caller::small_file(&format!("/proc/{thread}/status"));
    let status = status.and_then(|status| String::from_utf8(status).ok());
    status.is_some_and(|status| {
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() == own))
    })
}

/// A thread that was killed while it stood still needs nothing any more.
pub(super) fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}
