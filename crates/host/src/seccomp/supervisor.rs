//! Receives calls, answers them, and sees the traced tree to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use evidence::record::Exit;
use evidence::{BytePath, Digest, Event, EventKind};
use libc::c_long;
use rustix::event::{Timespec, epoll};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::filter;
use super::network::{self, Network};
use super::opens::Open;
use super::posture::Posture;
use super::processes::{Processes, Reach};
use crate::digests::{Content, Digests};
use crate::sys::{self, Listener, Notification};
use crate::tracer::{Launch, Sink, Trace, TraceError};

const LISTENER: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;
const EGRESS: u64 = u64::MAX - 2;

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
    sink: &'a mut Sink<'s>,
    pub(super) listener: Listener,
    epoll: OwnedFd,
    pub(super) own: i32,
    root: i32,
    started: Instant,
    pub(super) processes: Processes,
    pub(super) digests: Digests,
    pub(super) written: Written,
    pub(super) inputs: BTreeMap<BytePath, Content>,
    pub(super) interpreters: HashMap<Digest, Option<Vec<u8>>>,
    pub(super) bound: HashSet<Vec<u8>>,
    pub(super) trace: Trace,
    pub(super) network: Network,
    failure: Option<TraceError>,
    ending: bool,
    deadline: Option<Instant>,
}

pub(super) fn broken<E: Into<io::Error>>(attempt: &'static str) -> impl FnOnce(E) -> TraceError {
    move |error| TraceError::Recorder { attempt, source: error.into() }
}

impl<'a, 's> Supervisor<'a, 's> {
    /// Runs a command to the end of its last process.
    pub(super) fn run(
        launch: &'a Launch,
        program: &Path,
        sink: &'a mut Sink<'s>,
    ) -> Result<Trace, TraceError> {
        let signals = sys::Signals::catch().map_err(broken("catch signals"))?;
        let mut posture = Posture::take()?;
        let since = SystemTime::now();
        let (child, control) = network::start(launch, program)?;
        posture.harden()?;
        child.listener.wake_synchronously();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(broken("make an event queue"))?;
        let watch = |file: &dyn AsFd, token| {
            epoll::add(&epoll, file.as_fd(), epoll::EventData::new_u64(token), epoll::EventFlags::IN)
                .map_err(broken("watch a descriptor"))
        };
        watch(&child.listener, LISTENER)?;
        watch(&signals, SIGNALS)?;
        if let Some(told) = control.told() {
            watch(&told, EGRESS)?;
        }
        let mut supervisor = Supervisor {
            launch,
            sink,
            listener: child.listener,
            epoll,
            own: rustix::process::getpid().as_raw_pid(),
            root: child.pid,
            started: Instant::now(),
            processes: Processes::default(),
            digests: Digests::default(),
            written: Written::default(),
            inputs: BTreeMap::new(),
            interpreters: HashMap::new(),
            bound: HashSet::new(),
            trace: Trace { network: control.word().into(), ..Trace::default() },
            network: Network::of(control, since),
            failure: None,
            ending: false,
            deadline: None,
        };
        supervisor.standard_input();
        if let Err(error) = supervisor.supervise(&signals) {
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

    fn supervise(&mut self, signals: &sys::Signals) -> Result<(), TraceError> {
        let mut ready: [epoll::Event; 64] =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 64];
        loop {
            let timeout = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = timeout.and_then(|wait| Timespec::try_from(wait).ok());
            let count = match epoll::wait(&self.epoll, &mut ready[..], timeout.as_ref()) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(broken("wait for events")(error)),
            };
            let mut call = None;
            for event in &ready[..count] {
                let (token, flags) = (event.data.u64(), event.flags);
                match token {
                    LISTENER => call = Some(flags),
                    SIGNALS => {
                        while let Some((signal, sender)) = signals.next() {
                            self.signalled(signal, sender);
                        }
                    }
                    EGRESS => {
                        let reports = self.network.control.reports();
                        self.reported(reports);
                    }
                    index => self.process_ended(index, flags.contains(epoll::EventFlags::HUP)),
                }
            }
            match call {
                Some(flags) if flags.contains(epoll::EventFlags::IN) => {
                    if let Some(call) = self.listener.receive().map_err(broken("receive a call"))? {
                        self.handle(call)?;
                    }
                }
                // Nobody is left to whom the filter applies.
                Some(_) => return Ok(()),
                None => {}
            }
            if self.deadline.is_some_and(|at| at <= Instant::now()) {
                if !self.ending && !self.trace.completeness.interrupted {
                    self.gap(0, "outlived-build");
                }
                self.end_all();
            }
        }
    }

    fn handle(&mut self, call: Notification) -> Result<(), TraceError> {
        let answer = match self.meet(call.thread)? {
            None => Answer::Gone,
            Some(_) if self.ending => {
                self.end_all();
                Answer::Result(libc::EPERM)
            }
            Some(pid) => {
                self.confirm(pid, call.thread);
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
        let sent = match answer {
            Answer::GoOn => self.listener.go_on(call.id),
            Answer::Result(errno) => self.listener.answer(call.id, errno),
            Answer::Given { file, close_on_exec } => {
                self.listener.hand_over(call.id, file.as_fd(), close_on_exec)
            }
            Answer::Later => Ok(()),
            Answer::Gone if self.listener.is_waiting(call.id) => self.listener.answer(call.id, libc::EPERM),
            Answer::Gone => Ok(()),
        };
        sent.map_err(broken("answer a call"))
    }

    fn dispatch(&mut self, caller: Caller, call: &Notification) -> Answer {
        const HERE: u64 = libc::AT_FDCWD as u64;
        const CREATE: u64 = (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC) as u64;
        self.network.calling = call.number;
        let [a, b, c, d, e, _] = call.arguments;
        let open = |folder, path, flags, mode| Open { folder, path, flags, mode, resolve: 0 };
        match c_long::from(call.number) {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => self.open(caller, open(HERE, a, b, c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => self.open(caller, open(HERE, a, CREATE, b)),
            libc::SYS_openat => self.open(caller, open(a, b, c, d)),
            libc::SYS_openat2 => self.openat2(caller, a, b, c),
            libc::SYS_execve => self.execute(caller, HERE, a, b, 0),
            libc::SYS_execveat => self.execute(caller, a, b, c, e),
            libc::SYS_exit_group => self.leaving(caller, a),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => self.rename(caller, (HERE, a), (HERE, b), 0),
            libc::SYS_renameat => self.rename(caller, (a, b), (c, d), 0),
            libc::SYS_renameat2 => self.rename(caller, (a, b), (c, d), e),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink => self.unlink(caller, (HERE, a), 0),
            libc::SYS_unlinkat => self.unlink(caller, (a, b), c),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => self.link(caller, (HERE, a), (HERE, b), 0),
            libc::SYS_linkat => self.link(caller, (a, b), (c, d), e),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_symlink => self.symlink(caller, a, (HERE, b)),
            libc::SYS_symlinkat => self.symlink(caller, a, (b, c)),
            libc::SYS_truncate => self.truncate(caller, a, b),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod | libc::SYS_chown | libc::SYS_lchown | libc::SYS_utime | libc::SYS_utimes => {
                self.touch(caller, HERE, a)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat => self.touch(caller, a, b),
            libc::SYS_setxattr | libc::SYS_lsetxattr | libc::SYS_removexattr | libc::SYS_lremovexattr => {
                self.touch(caller, HERE, a)
            }
            libc::SYS_fchmod | libc::SYS_fchown | libc::SYS_fsetxattr | libc::SYS_fremovexattr => {
                self.touch(caller, a, 0)
            }
            libc::SYS_fchmodat | filter::SYS_FCHMODAT2 | libc::SYS_fchownat | libc::SYS_utimensat => {
                self.touch(caller, a, b)
            }
            libc::SYS_umask => self.umask(caller, a),
            libc::SYS_connect => self.socket(caller, EventKind::Connect, a, b, c),
            libc::SYS_sendto => self.socket(caller, EventKind::Connect, a, e, call.arguments[5]),
            libc::SYS_bind => self.socket(caller, EventKind::Bind, a, b, c),
            libc::SYS_sendmsg => self.message(caller, a, b),
            libc::SYS_sendmmsg => self.messages(caller, a, b, c),
            libc::SYS_unshare => self.moved_away(caller, a & NAMESPACES != 0),
            libc::SYS_chroot
            | libc::SYS_pivot_root
            | libc::SYS_mount
            | libc::SYS_umount2
            | libc::SYS_move_mount
            | libc::SYS_setns => self.moved_away(caller, true),
            libc::SYS_setuid
            | libc::SYS_setgid
            | libc::SYS_setreuid
            | libc::SYS_setregid
            | libc::SYS_setresuid
            | libc::SYS_setresgid
            | libc::SYS_setfsuid
            | libc::SYS_setfsgid => self.new_rights(caller, &call.arguments[..3]),
            filter::SYS_LANDLOCK_RESTRICT_SELF => self.new_rights(caller, &[0]),
            libc::SYS_ptrace => self.reach_for(caller, b),
            libc::SYS_process_vm_readv
            | libc::SYS_process_vm_writev
            | libc::SYS_kill
            | libc::SYS_tkill
            | libc::SYS_tgkill
            | libc::SYS_rt_sigqueueinfo
            | libc::SYS_rt_tgsigqueueinfo
            | libc::SYS_pidfd_open => self.reach_for(caller, a),
            _ => {
                // The filter asks about nothing else; if it did, nobody could say what it is.
                self.gap(caller.index, "unknown-call");
                Answer::GoOn
            }
        }
    }

    fn meet(&mut self, thread: i32) -> Result<Option<i32>, TraceError> {
        if let Some(known) = self.processes.known(thread) {
            return Ok(Some(known));
        }
        let mut born = Vec::new();
        let met = self.processes.meet(thread, self.own, &mut born).map_err(broken("look at a process"))?;
        for new in born {
            self.network.meet(self.processes.pid(new.index));
            if let Some(pidfd) = self.processes.pid(new.index).and_then(|pid| self.processes.get(pid)) {
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
    fn leaving(&mut self, caller: Caller, code: u64) -> Answer {
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

    fn signalled(&mut self, signal: i32, sender: Option<i32>) {
        // A build that signals its own process group (`kill 0`) means itself.
        if sender.is_some_and(|sender| self.processes.contains(sender)) {
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
            rustix::process::pidfd_send_signal(&root.pidfd, signal).ok();
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
            rustix::process::pidfd_send_signal(&known.pidfd, Signal::KILL).ok();
        }
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
        self.settle();
    }

    /// The first failure counts.
    fn fail(&mut self, error: TraceError) {
        self.failure.get_or_insert(error);
    }

    /// A file given as standard input was opened by the caller: it is an input all the same.
    fn standard_input(&mut self) {
        let Ok(file) = rustix::io::dup(io::stdin().as_fd()) else { return };
        if rustix::fs::fstat(&file).is_ok_and(|stat| super::caller::is_regular(&stat)) {
            self.read_open_file(0, file.as_fd(), None);
        }
    }

    /// Hands an event over. The time may have been set when the call was received.
    pub(super) fn emit(&mut self, mut event: Event) {
        if self.failure.is_some() {
            return;
        }
        event.sequence = self.trace.completeness.events;
        if event.at_ns == 0 {
            event.at_ns = self.now();
        }
        self.trace.completeness.events += 1;
        if let Err(error) = (self.sink)(event) {
            self.fail(TraceError::Sink(error));
            self.end_all();
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn gap(&mut self, process: u32, reason: &'static str) {
        *self.trace.completeness.gaps.entry(reason.to_owned()).or_insert(0) += 1;
        self.emit(Event { detail: Some(reason.into()), ..Event::new(EventKind::Gap, process) });
    }

    pub(super) fn unresolved(&mut self, process: u32) -> Answer {
        self.trace.completeness.unresolved += 1;
        self.emit(Event { detail: Some("unresolved".into()), ..Event::new(EventKind::Gap, process) });
        Answer::GoOn
    }

    pub(super) fn refuse(&mut self, process: u32, path: BytePath, why: &'static str) -> Answer {
        self.trace.completeness.refused += 1;
        let errno = if why == "protected" { libc::EACCES } else { libc::EPERM };
        self.emit(Event {
            path: Some(path),
            errno: u16::try_from(errno).unwrap_or(u16::MAX),
            detail: Some(why.into()),
            ..Event::new(EventKind::Refused, process)
        });
        Answer::Result(errno)
    }

    /// Tells whether a path may not be changed.
    pub(super) fn is_protected(&self, path: &BytePath) -> bool {
        self.is_own_process(path) || below(&self.launch.protected, path)
    }

    /// Tells whether a path may not even be read.
    pub(super) fn is_secret(&self, path: &BytePath) -> bool {
        self.is_own_process(path) || below(&self.launch.secret, path)
    }

    fn is_own_process(&self, path: &BytePath) -> bool {
        path.is_below(format!("/proc/{}", self.own).as_bytes())
    }

    /// Tells whether moving a path would move what is ours alone.
    pub(super) fn holds_protected(&self, path: &BytePath) -> bool {
        let mut folders = self.launch.protected.iter();
        folders.any(|folder| BytePath::new(folder.as_os_str().as_encoded_bytes()).is_below(path.as_bytes()))
    }

    fn umask(&mut self, caller: Caller, mask: u64) -> Answer {
        if let Some(known) = self.processes.get_mut(caller.pid) {
            known.umask = (mask & 0o777) as u32;
        }
        Answer::GoOn
    }

    fn moved_away(&mut self, caller: Caller, moved: bool) -> Answer {
        if moved {
            self.gap(caller.index, "other-root");
            if let Some(known) = self.processes.get_mut(caller.pid) {
                known.reach = Reach::OtherRoot;
            }
        }
        Answer::GoOn
    }

    /// A process changes its rights. Setting what it has already is no change.
    fn new_rights(&mut self, caller: Caller, wanted: &[u64]) -> Answer {
        let own = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw(), u32::MAX];
        let changes =
            wanted.len() == 1 || wanted.iter().any(|id| !own.contains(&((*id & 0xFFFF_FFFF) as u32)));
        if changes
            && let Some(known) = self.processes.get_mut(caller.pid)
            && known.reach == Reach::Same
        {
            known.reach = Reach::OtherRights;
        }
        Answer::GoOn
    }

    /// Somebody names a process to signal, trace or read: not us.
    fn reach_for(&mut self, caller: Caller, target: u64) -> Answer {
        let target = (target & 0xFFFF_FFFF) as i32;
        // Minus one is everybody whom the caller may reach, us among them.
        if target == self.own || target == -1 || target == -self.own {
            return self.refuse(caller.index, BytePath::from("recorder"), "recorder");
        }
        Answer::GoOn
    }

    /// Tells whether the call is still waiting; what was read from its memory is its own then.
    pub(super) fn still_waiting(&self, caller: Caller) -> bool {
        self.listener.is_waiting(caller.id)
    }
}

fn below(folders: &[PathBuf], path: &BytePath) -> bool {
    folders.iter().any(|folder| path.is_below(folder.as_os_str().as_encoded_bytes()))
}

const NAMESPACES: u64 = (libc::CLONE_NEWNS | libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64;

pub(super) fn descriptor_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}
