//! Receives calls, answers them, and sees the traced tree to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use evidence::record::Exit;
use evidence::{BytePath, Digest, Event, EventKind};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::handover::Handover;
use super::ipc::Kind;
use super::line::Line;
use super::network::{self, Network};
use super::posture::Posture;
use super::processes::{Processes, Reach};
use super::programs::Next;
use super::seen::Seen;
use super::telling;
use super::{By, Way};
use crate::digests::{Content, Digests};
use crate::foreign::{Change, Watch};
use crate::sys::{self, Notification};
use crate::tracer::{Launch, Sink, Trace, TraceError};

pub(super) const LISTENER: u64 = u64::MAX;
pub(super) const SIGNALS: u64 = u64::MAX - 1;
pub(super) const WATCH: u64 = u64::MAX - 2;
pub(super) const EGRESS: u64 = u64::MAX - 3;

/// How long the tree may take to end by itself after a signal from outside.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often ending is tried again.
const INSISTENCE: Duration = Duration::from_millis(50);

/// The thread that waits, and what it is to us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) id: u64,
    pub(super) thread: i32,
    pub(super) pid: i32,
    pub(super) index: u32,
    pub(super) reach: Reach,
}

/// What a call is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// The kernel carries it out.
    GoOn,
    /// It has this result: 0 or an `errno`.
    Result(i32),
    /// It has this number as its result.
    Value(i32),
    /// It has this descriptor as its result.
    Given { file: OwnedFd, close_on_exec: bool },
    /// Somebody else answers.
    Later,
    /// Nobody waits any more.
    Gone,
}

/// What the tree has written so far.
#[derive(Default)]
pub(super) struct Written {
    pub(super) paths: BTreeSet<BytePath>,
    pub(super) files: HashSet<(u64, u64)>,
    /// Folders that came by a rename: all below them counts.
    pub(super) folders: BTreeSet<BytePath>,
    /// Files whose status, not content, was changed.
    pub(super) touched: HashSet<(u64, u64)>,
}

pub(super) struct Supervisor<'a, 's> {
    pub(super) launch: &'a Launch,
    pub(super) sink: &'a mut Sink<'s>,
    /// Events that were not handed over yet.
    pub(super) held: Vec<Event>,
    pub(super) line: Line,
    pub(super) epoll: OwnedFd,
    pub(super) own: i32,
    pub(super) root: i32,
    pub(super) started: Instant,
    watch: Option<Watch>,
    /// Changes from outside of files that nobody has read yet.
    changed_outside: BTreeMap<BytePath, Event>,
    handover: Handover,
    pub(super) processes: Processes,
    pub(super) digests: Digests,
    pub(super) written: Written,
    pub(super) inputs: HashMap<BytePath, Content>,
    /// What the kernel takes after a program of this content.
    pub(super) nexts: HashMap<Digest, Next>,
    pub(super) seen: Seen,
    pub(super) bound: HashSet<Vec<u8>>,
    /// Named pipes that the tree has made: what goes through them comes from it.
    pub(super) own_pipes: HashSet<(u64, u64)>,
    /// Shared memory and queues that the tree has made, or that have been told already.
    pub(super) own_ipc: HashSet<(Kind, i32)>,
    pub(super) own_queues: HashSet<Vec<u8>>,
    /// Whether a thread may have another mask for new files than its process, or two processes share one.
    pub(super) masks_differ: bool,
    pub(super) trace: Trace,
    pub(super) network: Network,
    pub(super) failure: Option<TraceError>,
    ending: bool,
    pub(super) deadline: Option<Instant>,
}

pub(super) fn broken<E: Into<io::Error>>(attempt: &'static str) -> impl FnOnce(E) -> TraceError {
    move |error| TraceError::Recorder { attempt, source: error.into() }
}

impl<'a, 's> Supervisor<'a, 's> {
    /// Runs a command to the end of its last process.
    pub(super) fn run(
        launch: &'a Launch,
        program: &Path,
        way: Way,
        sink: &'a mut Sink<'s>,
    ) -> Result<Trace, TraceError> {
        let signals = sys::Signals::catch(way.by != By::Notifications).map_err(broken("catch signals"))?;
        let mut posture = Posture::take()?;
        let since = SystemTime::now();
        let (child, control) = network::start(launch, program, way)?;
        posture.harden()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(broken("make an event queue"))?;
        let watch = |file: &dyn AsFd, token| {
            epoll::add(&epoll, file.as_fd(), epoll::EventData::new_u64(token), epoll::EventFlags::IN)
                .map_err(broken("watch a descriptor"))
        };
        let line = Line::to(child.listener, child.pid, way).map_err(broken("make an event"))?;
        if line.is_stopped() {
            watch(&line, LISTENER)?;
        }
        watch(&signals, SIGNALS)?;
        if let Some(told) = control.told() {
            watch(&told, EGRESS)?;
        }
        let mut supervisor = Supervisor {
            launch,
            sink,
            held: Vec::with_capacity(telling::HELD_MAX),
            line,
            epoll,
            own: rustix::process::getpid().as_raw_pid(),
            root: child.pid,
            started: Instant::now(),
            watch: None,
            changed_outside: BTreeMap::new(),
            handover: Handover::default(),
            processes: Processes::default(),
            digests: Digests::with(launch.known.clone()),
            written: Written::default(),
            inputs: HashMap::new(),
            nexts: HashMap::new(),
            seen: Seen::default(),
            bound: HashSet::new(),
            own_pipes: HashSet::new(),
            own_ipc: HashSet::new(),
            own_queues: HashSet::new(),
            masks_differ: false,
            trace: Trace { network: control.word().into(), ..Trace::default() },
            network: Network::of(control, since),
            failure: None,
            ending: false,
            deadline: None,
        };
        supervisor.watch_project();
        supervisor.given_at_start();
        let supervised = if supervisor.line.is_stopped() {
            supervisor.supervise_stopped(&signals)
        } else {
            supervisor.supervise(&signals)
        };
        if let Err(error) = supervised {
            supervisor.fail(error);
            supervisor.end_all();
        }
        let last = supervisor.network.control.close();
        supervisor.reported(last);
        if let Some(source) = child.failure.said() {
            supervisor.reap(child.pid, WaitIdOptions::empty());
            return Err(TraceError::Start { program: program.display().to_string(), source });
        }
        supervisor.close();
        match supervisor.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(supervisor.trace),
        }
    }

    /// Keeps an eye on the files that the project has before the build begins.
    fn watch_project(&mut self) {
        let begun = Watch::begin(&self.launch.workdir, &self.launch.protected).and_then(|watch| {
            epoll::add(&self.epoll, &watch, epoll::EventData::new_u64(WATCH), epoll::EventFlags::IN)?;
            Ok(watch)
        });
        match begun {
            Ok(watch) => {
                self.trace.completeness.watched_files = watch.watched() as u64;
                self.trace.completeness.unwatched_files = watch.unwatched as u64;
                self.watch = Some(watch);
            }
            // The user's allowance of watches is used up: the final look at every input remains.
            Err(_) => self.trace.completeness.unwatched_files = 1,
        }
    }

    /// Tells of changes that no traced process has made.
    pub(super) fn project_changed(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let changes = watch.changes();
        for Change { path, file, what } in changes {
            if self.written.files.contains(&file) || self.written.touched.contains(&file) {
                continue;
            }
            let target = crate::foreign::writer_of(file).map(BytePath::from);
            let detail = Some(what.to_owned());
            let event =
                Event { path: Some(path.clone()), target, detail, ..Event::new(EventKind::Foreign, 0) };
            // What happens to a file that the build never reads is not its business.
            if self.inputs.contains_key(&path) || what == "overflow" {
                self.emit(event);
            } else {
                self.changed_outside.entry(path).or_insert(event);
            }
        }
    }

    /// A file is about to be read: if it was changed from outside before, that is told now.
    pub(super) fn changed_before(&mut self, path: &BytePath) {
        if !self.changed_outside.is_empty()
            && let Some(event) = self.changed_outside.remove(path)
        {
            self.emit(event);
        }
    }

    fn supervise(&mut self, signals: &sys::Signals) -> Result<(), TraceError> {
        let mut ready: [epoll::Event; 64] =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 64];
        loop {
            let timeout = self.patience().and_then(|wait| Timespec::try_from(wait).ok());
            // The listener is no member of the queue: its caller wakes us up on its own processor, and a queue between
            // would lose that (`WF_CURRENT_CPU`).
            let mut waiting =
                [PollFd::new(&self.line, PollFlags::IN), PollFd::new(&self.epoll, PollFlags::IN)];
            let count = match poll(&mut waiting, timeout.as_ref()) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(broken("wait for events")(error)),
            };
            let [call, others] = waiting.map(|waiting| waiting.revents());
            if count == 0 {
                self.hand_over();
            }
            if !others.is_empty() {
                let count = epoll::wait(&self.epoll, &mut ready[..], Some(&Timespec::default()))
                    .or_else(|error| if error == rustix::io::Errno::INTR { Ok(0) } else { Err(error) })
                    .map_err(broken("wait for events"))?;
                for event in &ready[..count] {
                    self.told(event, signals);
                }
            }
            if call.contains(PollFlags::IN) {
                if let Line::Listened(listener) = &self.line
                    && let Some(call) = listener.receive().map_err(broken("receive a call"))?
                {
                    self.handle(call)?;
                }
            } else if !call.is_empty() {
                // Nobody is left to whom the filter applies.
                return Ok(());
            }
            self.overdue();
        }
    }

    /// Something else than a call has happened.
    fn told(&mut self, event: &epoll::Event, signals: &sys::Signals) {
        let (token, flags) = (event.data.u64(), event.flags);
        match token {
            SIGNALS => {
                while let Some((signal, sender)) = signals.next() {
                    self.signalled(signal, sender);
                }
            }
            WATCH => self.project_changed(),
            EGRESS => {
                let reports = self.network.control.reports();
                self.reported(reports);
            }
            index => self.process_ended(index, flags.contains(epoll::EventFlags::HUP)),
        }
    }

    /// Ends what has outlived the build for too long.
    pub(super) fn overdue(&mut self) {
        if self.deadline.is_some_and(|at| at <= Instant::now()) {
            if !self.ending && !self.trace.completeness.interrupted {
                self.gap(0, "outlived-build");
            }
            self.end_all();
        }
    }

    pub(super) fn handle(&mut self, call: Notification) -> Result<(), TraceError> {
        let answer = match self.meet(call.thread)? {
            None => Answer::Gone,
            Some(_) if self.ending => {
                self.end_all();
                Answer::Result(libc::EPERM)
            }
            Some(pid) => {
                if !self.line.is_stopped() {
                    self.confirm(pid, call.thread);
                }
                match self.processes.get(pid) {
                    Some(known) => {
                        let caller = Caller {
                            id: call.id,
                            thread: call.thread,
                            pid,
                            index: known.index,
                            reach: known.reach,
                        };
                        self.dispatch(caller, &call)
                    }
                    None => Answer::Gone,
                }
            }
        };
        // A failed sink ends the build before this call has any effect.
        let answer = if self.failure.is_some() { Answer::Result(libc::EPERM) } else { answer };
        let Line::Listened(listener) = &self.line else {
            return self.answer_stopped(&call, answer).map_err(broken("answer a call"));
        };
        let sent = match answer {
            Answer::GoOn => listener.go_on(call.id),
            Answer::Result(errno) => listener.answer(call.id, errno),
            Answer::Value(value) => listener.value(call.id, value),
            Answer::Given { file, close_on_exec } => {
                self.handover.give(listener, (call.id, call.thread), file.as_fd(), close_on_exec)
            }
            Answer::Later => Ok(()),
            Answer::Gone if listener.is_waiting(call.id) => listener.answer(call.id, libc::EPERM),
            Answer::Gone => Ok(()),
        };
        sent.map_err(broken("answer a call"))
    }

    pub(super) fn meet(&mut self, thread: i32) -> Result<Option<i32>, TraceError> {
        if let Some(known) = self.processes.known(thread) {
            return Ok(Some(known));
        }
        let mut born = Vec::new();
        let met = self.processes.meet(thread, self.own, &mut born).map_err(broken("look at a process"))?;
        for new in born {
            self.network.meet(self.processes.pid(new.index));
            // Of the end of one that is stopped we are told otherwise.
            if !self.line.is_stopped()
                && let Some(pidfd) = self.processes.pid(new.index).and_then(|pid| self.processes.get(pid))
            {
                let token = epoll::EventData::new_u64(u64::from(new.index));
                epoll::add(&self.epoll, &pidfd.pidfd, token, epoll::EventFlags::IN)
                    .map_err(broken("watch a process"))?;
            }
            if new.parent.is_none() && new.index > 0 {
                self.gap(new.index, "unknown-parent");
            }
            self.emit(Event { other: new.parent, ..Event::new(EventKind::Fork, new.index) });
        }
        Ok(met)
    }

    /// A process says that it ends. Its children are introduced now: later nobody knows whose they were.
    pub(super) fn leaving(&mut self, caller: Caller, code: u64) -> Answer {
        for child in super::processes::children(caller.pid) {
            if let Err(error) = self.meet(child) {
                self.fail(error);
            }
        }
        if let Some(known) = self.processes.get_mut(caller.pid) {
            known.said = Some((code & 0xFF) as i32);
        }
        Answer::GoOn
    }

    fn process_ended(&mut self, index: u64, reaped: bool) {
        let Some(pid) = u32::try_from(index).ok().and_then(|index| self.processes.pid(index)) else { return };
        let mut status = self.reap(pid, WaitIdOptions::NOHANG);
        if let Some(known) = self.processes.get(pid) {
            status = status.or(known.said).or_else(|| sys::ended(&known.pidfd));
            if status.is_none() && !reaped && pid != self.root {
                // Killed, and its parent has not asked yet: the kernel tells as soon as it has.
                let token = epoll::EventData::new_u64(index);
                if epoll::modify(&self.epoll, &known.pidfd, token, epoll::EventFlags::empty()).is_ok() {
                    return;
                }
            }
        }
        self.over(pid, status);
    }

    /// A process has ended, and how is known if it ever will be.
    pub(super) fn over(&mut self, pid: i32, status: Option<i32>) {
        self.forget(pid, status);
        if pid == self.root {
            let grace = Instant::now() + self.launch.grace;
            self.deadline = Some(self.deadline.map_or(grace, |deadline| deadline.min(grace)));
        }
    }

    /// Takes the exit status of a child of ours; the status of the command itself is the trace's.
    fn reap(&mut self, pid: i32, wait: WaitIdOptions) -> Option<i32> {
        let pidfd = &self.processes.get(pid)?.pidfd;
        let ended =
            rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | wait).ok()??;
        let (exit, status) = match (ended.exit_status(), ended.terminating_signal()) {
            (Some(code), _) => (Exit::Code(code), code),
            (None, Some(signal)) => (Exit::Signal(signal), 128 + signal),
            (None, None) => return None,
        };
        if pid == self.root {
            self.trace.exit = exit;
        }
        Some(status)
    }

    fn forget(&mut self, pid: i32, status: Option<i32>) {
        let Some(mut gone) = self.processes.remove(pid) else { return };
        if let Some(pending) = gone.pending.take() {
            self.executed(pending);
        }
        epoll::delete(&self.epoll, &gone.pidfd).ok();
        self.emit(Event { status: status.or(gone.said), ..Event::new(EventKind::Exit, gone.index) });
    }

    pub(super) fn signalled(&mut self, signal: i32, sender: Option<i32>) {
        // A build that signals its own process group (`kill 0`) means itself.
        if sender.is_some_and(|sender| self.processes.contains(sender)) {
            return;
        }
        // A lease of ours was in somebody's way; it is gone already.
        if signal == libc::SIGIO {
            return;
        }
        if self.trace.completeness.interrupted {
            self.end_all();
            return;
        }
        self.trace.completeness.interrupted = true;
        self.deadline = Some(Instant::now() + PATIENCE);
        // The terminal signals the whole group; anybody else only us.
        if sender.is_some()
            && let Some(root) = self.processes.get(self.root)
            && let Some(signal) = Signal::from_named_raw(signal)
        {
            root.send(signal);
        }
    }

    /// Ends everything that is traced; called again until nothing is left.
    pub(super) fn end_all(&mut self) {
        self.ending = true;
        self.deadline = Some(Instant::now() + INSISTENCE);
        let known: Vec<i32> = self.processes.living().map(|known| known.pid).collect();
        for pid in known {
            for child in super::processes::children(pid) {
                if let Err(error) = self.meet(child) {
                    self.fail(error);
                }
            }
        }
        for known in self.processes.living() {
            // One that is gone already is what we want.
            known.send(Signal::KILL);
        }
        self.end_stopped();
    }

    fn close(&mut self) {
        let mut left: Vec<(u32, i32)> =
            self.processes.living().map(|known| (known.index, known.pid)).collect();
        left.sort_unstable();
        for (_, pid) in left {
            // Nobody runs under the filter any more: a child of ours is at most about to end.
            let status = self.reap(pid, WaitIdOptions::empty());
            let status =
                status.or_else(|| self.processes.get(pid).and_then(|known| sys::ended(&known.pidfd)));
            self.forget(pid, status);
        }
        if self.trace.exit == Exit::Unknown {
            self.gap(0, "exit-unknown");
        }
        self.project_changed();
        self.settle();
        self.hand_over();
        self.trace.learned = self.digests.learned();
    }

    /// The first failure counts.
    pub(super) fn fail(&mut self, error: TraceError) {
        self.failure.get_or_insert(error);
    }

    /// A file given as standard input was opened by the caller: it is an input all the same. One for the outputs was
    /// chosen by whoever starts the recorder, and is no result of the build; if the build reads it, it explains itself.
    fn given_at_start(&mut self) {
        let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
        for given in [input.as_fd(), output.as_fd(), error.as_fd()] {
            let Ok(stat) = rustix::fs::fstat(given) else { continue };
            if !super::caller::is_regular(&stat) {
                continue;
            }
            let mode = rustix::fs::fcntl_getfl(given).map(|flags| flags & OFlags::RWMODE);
            if mode.is_ok_and(|mode| mode != OFlags::WRONLY) {
                self.read_open_file(0, given, None);
            }
            if mode.is_ok_and(|mode| mode != OFlags::RDONLY) {
                self.written.files.insert((stat.st_dev, stat.st_ino));
            }
        }
    }

    /// Something in a caller's memory cannot be read: where nothing is, the kernel would say so as well.
    pub(super) fn unreadable(&mut self, caller: Caller, address: u64) -> Answer {
        match sys::read_memory(caller.thread, address, &mut [0]) {
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Answer::Result(libc::EFAULT),
            _ => self.unresolved(caller.index),
        }
    }

    /// The mask that the kernel would apply to a new file's mode.
    pub(super) fn mask(&mut self, caller: Caller) -> Mode {
        let asked = || super::processes::status(caller.thread).map(|status| status.umask);
        let own = match self.processes.get_mut(caller.pid) {
            Some(known) if !self.masks_differ => {
                known.umask = known.umask.or_else(asked);
                known.umask
            }
            _ => asked(),
        };
        Mode::from_raw_mode(own.unwrap_or(0o022))
    }

    /// Tells whether the call is still waiting; what was read from its memory is its own then.
    pub(super) fn still_waiting(&self, caller: Caller) -> bool {
        self.line.is_waiting(caller.id)
    }
}

pub(super) fn descriptor_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}
