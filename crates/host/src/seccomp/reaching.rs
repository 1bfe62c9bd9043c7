//! One process that reaches for another: to trace it, to read or write its memory, to take its descriptors.
//!
//! A process outside the traced tree that is made to work does so unseen, so that is a gap; and nobody reaches for
//! the recorder.

use std::fs;

use evidence::{BytePath, Event, EventKind};

use super::processes;
use super::supervisor::{Answer, Caller, Supervisor};

/// What makes the other process do, or give, something that we cannot see.
const ACTING: &[&str] = &["ptrace", "write", "descriptor"];

/// How many ancestors are asked whether they are traced.
const ANCESTORS_MAX: usize = 64;

/// `PTRACE_TRACEME`: the caller offers itself to its parent.
const TRACE_ME: u64 = 0;

impl Supervisor<'_, '_> {
    /// One process traces another. Where we trace all of them ourselves, nobody else can.
    pub(super) fn ptrace(&mut self, caller: Caller, request: u64, target: u64) -> Answer {
        match self.traces(caller, request, target) {
            Answer::GoOn if self.line.is_stopped() => Answer::Result(libc::EPERM),
            answer => answer,
        }
    }

    fn traces(&mut self, caller: Caller, request: u64, target: u64) -> Answer {
        if request != TRACE_ME {
            return self.reach(caller, target, "ptrace");
        }
        let parent = self.processes.get(caller.pid).and_then(|known| known.parent);
        if let Some(parent) = parent {
            self.emit(Event {
                other: Some(caller.index),
                detail: Some("ptrace".into()),
                ..Event::new(EventKind::Reach, parent)
            });
        }
        Answer::GoOn
    }

    pub(super) fn reach(&mut self, caller: Caller, target: u64, how: &'static str) -> Answer {
        self.reached(caller, number(target), how, None, ACTING.contains(&how))
    }

    /// Records that a process was reached for, by its number or a thread's.
    pub(super) fn reached(
        &mut self,
        caller: Caller,
        target: i32,
        how: &'static str,
        path: Option<BytePath>,
        acts: bool,
    ) -> Answer {
        if self.is_recorder(target) {
            return self.refuse(caller.index, BytePath::from("recorder"), "recorder");
        }
        // Who is not there cannot be reached, and in oneself one may do as one likes.
        let Some(status) = processes::status(target) else { return Answer::GoOn };
        if status.process == caller.pid {
            return Answer::GoOn;
        }
        let other = self.traced(status.process);
        let target = other.is_none().then(|| program_of(status.process));
        self.emit(Event {
            other,
            path,
            target,
            detail: Some(how.into()),
            ..Event::new(EventKind::Reach, caller.index)
        });
        if other.is_none() && acts {
            self.gap(caller.index, "outside-process");
        }
        Answer::GoOn
    }

    /// A signal to somebody outside changes the world, if not by much.
    pub(super) fn signal(&mut self, caller: Caller, target: u64, signal: u64) -> Answer {
        let target = number(target);
        // Minus one is everybody whom the caller may reach, us among them.
        if target == -1 || self.is_recorder(target) || target == -self.own {
            return self.refuse(caller.index, BytePath::from("recorder"), "recorder");
        }
        let whom = target.unsigned_abs().cast_signed();
        // Zero is the caller's own group, and no signal only asks whether somebody is there.
        if target == 0 || signal & 0xFFFF_FFFF == 0 || self.processes.contains(whom) {
            return Answer::GoOn;
        }
        self.reached(caller, whom, "signal", None, false)
    }

    pub(super) fn signal_by_descriptor(&mut self, caller: Caller, descriptor: u64, signal: u64) -> Answer {
        match behind(caller.thread, descriptor) {
            Some(target) if self.is_recorder(target) => {
                self.refuse(caller.index, BytePath::from("recorder"), "recorder")
            }
            Some(target) if signal & 0xFFFF_FFFF != 0 && !self.processes.contains(target) => {
                self.reached(caller, target, "signal", None, false)
            }
            _ => Answer::GoOn,
        }
    }

    /// A descriptor is taken out of another process; what is behind it is told.
    pub(super) fn take_descriptor(&mut self, caller: Caller, descriptor: u64, wanted: u64) -> Answer {
        let Some(target) = behind(caller.thread, descriptor) else { return Answer::GoOn };
        let path = fs::read_link(format!("/proc/{target}/fd/{}", number(wanted))).ok();
        let path = path.map(|path| BytePath::new(path.into_os_string().into_encoded_bytes()));
        self.reached(caller, target, "descriptor", path, true)
    }

    /// A file below `/proc/N` of somebody else was opened.
    pub(super) fn looked_into(&mut self, caller: Caller, real: &BytePath, writes: bool) -> Option<Answer> {
        let rest = real.as_bytes().strip_prefix(b"/proc/")?;
        let mut parts = rest.split(|byte| *byte == b'/');
        let target: i32 = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let how = match parts.next_back()? {
            b"mem" => "memory",
            b"environ" => "environment",
            b"maps" | b"smaps" | b"numa_maps" | b"pagemap" | b"auxv" => "maps",
            _ => return None,
        };
        if target == caller.pid {
            return None;
        }
        Some(self.reached(caller, target, how, Some(real.clone()), writes))
    }

    pub(super) fn is_recorder(&self, target: i32) -> bool {
        target == self.own || (target > 0 && fs::exists(format!("/proc/self/task/{target}")).unwrap_or(false))
    }

    /// Returns the index of a process if it or an ancestor is traced; it may not have made itself known yet.
    fn traced(&mut self, process: i32) -> Option<u32> {
        let mut ancestor = process;
        for _ in 0..ANCESTORS_MAX {
            if self.processes.contains(ancestor) {
                return match self.meet(process) {
                    Ok(met) => met.and_then(|pid| self.processes.get(pid)).map(|known| known.index),
                    Err(error) => {
                        self.fail(error);
                        None
                    }
                };
            }
            ancestor = processes::status(ancestor)?.parent;
        }
        None
    }
}

/// The kernel takes the low half.
fn number(argument: u64) -> i32 {
    (argument & 0xFFFF_FFFF) as i32
}

/// The program of a process outside, or its number if we may not ask.
fn program_of(process: i32) -> BytePath {
    match fs::read_link(format!("/proc/{process}/exe")) {
        Ok(path) => BytePath::new(path.into_os_string().into_encoded_bytes()),
        Err(_) => BytePath::from(format!("process {process}")),
    }
}

/// The process behind a descriptor: a pidfd, or its folder in `/proc`, which serves as one.
fn behind(thread: i32, descriptor: u64) -> Option<i32> {
    let descriptor = number(descriptor);
    let facts = fs::read_to_string(format!("/proc/{thread}/fdinfo/{descriptor}")).ok()?;
    if let Some(line) = facts.lines().find_map(|line| line.strip_prefix("Pid:")) {
        return line.trim().parse().ok();
    }
    let link = fs::read_link(format!("/proc/{thread}/fd/{descriptor}")).ok()?;
    link.to_str()?.strip_prefix("/proc/")?.parse().ok()
}
