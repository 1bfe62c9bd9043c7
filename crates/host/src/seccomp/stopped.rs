//! The supervisor of a build whose threads are stopped at their calls (`ptrace(2)`).
//!
//! What the recorder does itself it does here as well: the call is left out and given a result. Only a descriptor
//! cannot be handed over, so files are opened by the kernel, and looked at when the call comes back ([`Opening`]).

mod opens;

use std::io;
use std::time::{Duration, Instant};

use evidence::record::Exit;
use evidence::{BytePath, Event, EventKind};
use libc::c_long;
use rustix::event::{Timespec, epoll};
use rustix::process::{Pid, Signal};

use super::calls::{self, Numbers};
use super::filter::{self, Decision};
use super::line::Line;
use super::stops::{Expects, Stops, gone_is_fine};
use super::supervisor::{Answer, Caller, EGRESS, LISTENER, SIGNALS, Supervisor, WATCH, broken};
use crate::sys::ptrace::{self, Change};
use crate::sys::{self, Notification};
use crate::tracer::TraceError;
pub(super) use opens::Opening;

/// How many stops are dealt with before it is looked for anything else.
const TURN: usize = 64;

/// How often it is looked for threads that have waited for long enough.
const LOOK: Duration = Duration::from_millis(20);

/// Results by which the kernel says that a call will be made again (`ERESTARTSYS` and the like).
const AGAIN: std::ops::RangeInclusive<i64> = -516..=-512;

/// What is to be done about a call that may give numbers to descriptors.
enum Numbering {
    /// What is done about any other call.
    Handle,
    GoOn,
    Wait,
}

impl Supervisor<'_, '_> {
    /// Runs until no thread is left.
    pub(super) fn supervise_stopped(&mut self, signals: &sys::Signals) -> Result<(), TraceError> {
        loop {
            let mut idle = false;
            for _ in 0..TURN {
                let Some((thread, change)) = self.stops().next().map_err(broken("wait for a stop"))? else {
                    idle = true;
                    break;
                };
                self.changed(thread, change)?;
                self.no_longer_waiting()?;
            }
            if idle && self.stops().is_empty() {
                return Ok(());
            }
            self.other_events(signals, idle)?;
            self.no_longer_waiting()?;
            self.overdue();
        }
    }

    fn stops(&mut self) -> &mut Stops {
        match &mut self.line {
            Line::Stopped(stops) => stops,
            Line::Listened(_) => unreachable!("only called for a build whose threads are stopped"),
        }
    }

    /// Looks for signals, changes from outside and answers of other threads; waits for some if there is nothing else
    /// to do. A stop is announced by a signal.
    fn other_events(&mut self, signals: &sys::Signals, wait: bool) -> Result<(), TraceError> {
        if wait {
            self.hand_over();
        }
        let mut ready: [epoll::Event; 16] =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 16];
        let until = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = match wait {
            true if self.stops().has_waiting() => Some(LOOK.min(until.unwrap_or(LOOK))),
            true => until,
            false => Some(Duration::ZERO),
        };
        let timeout = timeout.and_then(|wait| Timespec::try_from(wait).ok());
        let count = match signals.wait(|| epoll::wait(&self.epoll, &mut ready[..], timeout.as_ref())) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(broken("wait for events")(error)),
        };
        for event in &ready[..count] {
            match event.data.u64() {
                SIGNALS => {
                    while let Some((signal, sender)) = signals.next() {
                        if signal != libc::SIGCHLD {
                            self.signalled(signal, sender);
                        }
                    }
                }
                WATCH => self.project_changed(),
                EGRESS => {
                    let reports = self.network.control.reports();
                    self.reported(reports);
                }
                LISTENER => self.stops().answered().map_err(broken("answer a call"))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn changed(&mut self, thread: i32, change: Change) -> Result<(), TraceError> {
        self.stops().add(thread);
        match change {
            Change::Asked => return self.asked(thread, true),
            Change::Call => {
                if self.stops().enters(thread) {
                    return self.asked(thread, true);
                }
                self.came_back(thread)?;
            }
            Change::Made => self.made(thread)?,
            Change::Started => self.runs(thread)?,
            Change::Halted => {
                return gone_is_fine(ptrace::leave_halted(thread)).map_err(broken("leave a process halted"));
            }
            Change::Paused => {}
            Change::Signal(signal) => {
                return self.stops().resume(thread, signal).map_err(broken("resume a process"));
            }
            Change::Exited(code) => return self.ended(thread, Exit::Code(code), code),
            Change::Killed(signal) => return self.ended(thread, Exit::Signal(signal), 128 + signal),
        }
        self.stops().resume(thread, 0).map_err(broken("resume a process"))
    }

    /// Turns to threads that had to wait for others of their process.
    fn no_longer_waiting(&mut self) -> Result<(), TraceError> {
        while let Some((thread, vain)) = self.stops().waited() {
            if vain && let Some(index) = self.index_of(thread)? {
                self.gap(index, "open-raced");
            }
            self.asked(thread, !vain)?;
        }
        Ok(())
    }

    fn index_of(&mut self, thread: i32) -> Result<Option<u32>, TraceError> {
        let process = self.meet(thread)?;
        Ok(process.and_then(|pid| self.processes.get(pid)).map(|known| known.index))
    }

    /// Whatever gives numbers to descriptors is done by one thread of a process at a time. Tells what is left to do.
    fn numbers(&mut self, thread: i32, call: &ptrace::Call, may_wait: bool) -> Result<Numbering, TraceError> {
        let kind = match filter::is_foreign(call.architecture, call.number) {
            true => Numbers::Leaves,
            false => calls::numbers(c_long::from(call.number)),
        };
        if kind == Numbers::Leaves {
            return Ok(Numbering::Handle);
        }
        let Some(process) = self.meet(thread)? else { return Ok(Numbering::Handle) };
        self.stops().belongs(thread, process);
        if may_wait && self.stops().waits(thread) {
            return Ok(Numbering::Wait);
        }
        if kind == Numbers::Opens {
            return Ok(Numbering::Handle);
        }
        // Who waits for a message may wait for long.
        if kind == Numbers::Copies && self.stops().has_others(process) {
            self.stops().expect(thread, Expects::Numbered);
        }
        Ok(Numbering::GoOn)
    }

    /// A thread stands before a call.
    fn asked(&mut self, thread: i32, may_wait: bool) -> Result<(), TraceError> {
        let call = match ptrace::call(thread) {
            Ok(call) => call,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()), // Killed.
            // Registers of another kind of program: its calls are of another table.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                ptrace::Call { architecture: 0, number: -1, arguments: [0; 6] }
            }
            Err(error) => return Err(broken("read a call")(error)),
        };
        let answer = match self.stops().decide(&call) {
            Decision::Ask => {
                match self.numbers(thread, &call, may_wait)? {
                    Numbering::Wait => return Ok(()),
                    Numbering::GoOn => {
                        return self.stops().answer(thread, Answer::GoOn).map_err(broken("answer a call"));
                    }
                    Numbering::Handle => {}
                }
                let (number, architecture, arguments) = (call.number, call.architecture, call.arguments);
                let id = u64::from(thread.unsigned_abs());
                return self.handle(Notification { id, thread, number, architecture, arguments });
            }
            Decision::Refuse(errno) => Answer::Result(errno),
            Decision::Allow if self.stops().every_call() => Answer::GoOn,
            // A filter of the build's own asks its tracer, and has none.
            Decision::Allow => Answer::Result(libc::ENOSYS),
        };
        self.stops().answer(thread, answer).map_err(broken("answer a call"))
    }

    /// Sends an answer. A start is left to the kernel, which tells if it went well.
    pub(super) fn answer_stopped(&mut self, call: &Notification, answer: Answer) -> io::Result<()> {
        let number = c_long::from(call.number);
        if matches!(answer, Answer::GoOn) && [libc::SYS_execve, libc::SYS_execveat].contains(&number) {
            self.stops().expect(call.thread, Expects::Started);
        }
        self.stops().answer(call.thread, answer)
    }

    /// A thread stands after a call.
    fn came_back(&mut self, thread: i32) -> Result<(), TraceError> {
        let expects = self.stops().take_expected(thread);
        if matches!(expects, Expects::Nothing) {
            return Ok(());
        }
        let result = match ptrace::result(thread) {
            Ok(result) => result,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()), // Killed.
            Err(error) => return Err(broken("read a result")(error)),
        };
        match expects {
            Expects::Opened(opening) if !AGAIN.contains(&result) => self.opened(opening, result),
            Expects::Started if result < 0 => self.not_started(thread),
            Expects::Result(result) => {
                gone_is_fine(ptrace::set_result(thread, result)).map_err(broken("answer a call"))?;
            }
            Expects::Opened(_) | Expects::Started | Expects::Numbered | Expects::Nothing => {}
        }
        Ok(())
    }

    /// A thread has made another, or a process.
    fn made(&mut self, thread: i32) -> Result<(), TraceError> {
        match ptrace::message(thread) {
            Ok(new) => {
                self.stops().add(new);
                if let Some(process) = self.meet(new)? {
                    self.stops().belongs(new, process);
                }
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            Err(error) => Err(broken("look at a new process")(error)),
        }
    }

    /// A process runs another program; whichever of its threads asked for it has the number of the first one now.
    fn runs(&mut self, process: i32) -> Result<(), TraceError> {
        let before = match ptrace::message(process) {
            Ok(before) => before,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            Err(error) => return Err(broken("look at a new program")(error)),
        };
        self.stops().started(process, before);
        self.stops().belongs(process, process);
        if self.meet(process)?.is_some() {
            self.started(process);
        }
        Ok(())
    }

    fn ended(&mut self, thread: i32, exit: Exit, status: i32) -> Result<(), TraceError> {
        self.stops().remove(thread);
        if self.processes.contains(thread) {
            if thread == self.root {
                self.trace.exit = exit;
            }
            self.over(thread, Some(status));
        }
        Ok(())
    }

    /// Ends each thread that was seen, whether its process has been met or not.
    pub(super) fn end_stopped(&mut self) {
        if let Line::Stopped(stops) = &self.line {
            for thread in stops.threads().filter_map(Pid::from_raw) {
                // One that is gone already is what we want.
                rustix::process::kill_process(thread, Signal::KILL).ok();
            }
        }
    }

    /// A filter with a listener would be asked in our place. It is told what the kernel says where somebody listens
    /// already.
    pub(super) fn second_listener(&mut self, caller: Caller) -> Answer {
        self.emit(Event {
            target: Some(BytePath::from("seccomp")),
            errno: u16::try_from(libc::EBUSY).unwrap_or(u16::MAX),
            detail: Some("no-such-call".into()),
            ..Event::new(EventKind::Refused, caller.index)
        });
        Answer::Result(libc::EBUSY)
    }
}
