//! Holds a build back from the network: asks [`Control`] about each address, and does what it says.
//!
//! What another thread puts into an address after we have read it must lead nowhere else: another machine where the
//! build has no network of its own, a service behind a path in any case. So no `connect` is left to the kernel: the
//! recorder connects the caller's own socket, which both have then, to what it has read once.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use evidence::{BytePath, Event, EventKind};
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::caller;
use super::opens::code;
use super::processes::status;
use super::seat::{self, Peer, Seat, descriptor};
use super::supervisor::{Answer, Caller, Supervisor, broken};
use super::{By, Way};
use crate::egress::control::{Attempt, Control, Ruling, What, internet};
use crate::egress::namespace::Inside;
use crate::egress::proxy::{Report, Way as Packets};
use crate::egress::{Egress, guard};
use crate::sys::{Child, Confinement, SpawnError};
use crate::tracer::{Launch, TraceError, Unsupported};

/// The most connections that are being made in callers' places at a time.
const PERFORMED_MAX: usize = 256;

/// How far back a process's ancestry is followed.
const ANCESTORS_MAX: usize = 64;

/// Services behind a path that only take notes. Those that look names up or start programs for others are not here.
const NOTE_TAKERS: &[&[u8]] = &[b"/dev/log", b"/run/systemd/journal/"];

/// What the supervisor knows of the network.
pub(super) struct Network {
    pub(super) control: Control,
    /// The call that is being answered.
    pub(super) calling: i64,
    /// Each process that was ever traced: who listens is one of them, or is outside.
    pub(super) met: Arc<Mutex<HashSet<i32>>>,
    /// When the build began: services that were there before are outside.
    since: SystemTime,
    performing: Arc<AtomicUsize>,
    /// Whether the machine lets us have callers' sockets.
    may_take: bool,
}

impl Network {
    pub(super) fn of(control: Control, since: SystemTime) -> Self {
        Self {
            control,
            calling: 0,
            met: Arc::default(),
            since,
            performing: Arc::default(),
            may_take: seat::may_take(),
        }
    }

    /// Remembers a process for as long as the build lasts.
    pub(super) fn meet(&self, process: Option<i32>) {
        if !self.control.is_observing() {
            self.met.lock().unwrap_or_else(PoisonError::into_inner).extend(process);
        }
    }
}

/// Starts the child held back as far as was asked, by the strongest means that this machine has.
pub(super) fn start(launch: &Launch, program: &Path, way: Way) -> Result<(Child, Control), TraceError> {
    if way.by == By::EveryCall && !matches!(launch.egress, Egress::Audit) {
        let what = "filters, without which a build is not held back from the network";
        return Err(Unsupported { what, source: io::ErrorKind::Unsupported.into() }.into());
    }
    let inside = match &launch.egress {
        Egress::Audit => {
            let child = super::spawn(launch, program, way, Confinement::default(), &[])?;
            return Ok((child.map_err(|error| unsupported(error, way))?, Control::observe()));
        }
        Egress::Deny => Inside::alone(),
        Egress::Allow(_) => Inside::everywhere(),
    };
    let confinement = Confinement { inside: Some(inside), guard: guard::program(guard::Held::Inside) };
    // Sockets of the inside cannot be replaced by ours, so we must be able to take them.
    let tried = match seat::may_take() {
        true => super::spawn(launch, program, way, confinement, &[])?,
        false => Err(SpawnError::Inside(io::ErrorKind::Unsupported.into())),
    };
    match tried {
        Ok(mut child) => {
            let sockets = std::mem::take(&mut child.sockets);
            let control = Control::inside(&launch.egress, &launch.names, sockets);
            return Ok((child, control.map_err(broken("open the egress proxy"))?));
        }
        Err(SpawnError::Inside(_)) => {}
        Err(error) => return Err(unsupported(error, way)),
    }
    if way.by != By::Notifications && !seat::may_take() {
        let what = "sockets of a process to be taken, which holding back by `ptrace` needs";
        return Err(Unsupported { what, source: io::ErrorKind::Unsupported.into() }.into());
    }
    let control = Control::beside(&launch.egress, &launch.names).map_err(broken("open the egress proxy"))?;
    let confinement = Confinement { inside: None, guard: guard::program(guard::Held::Beside) };
    let child = super::spawn(launch, program, way, confinement, &control.environment())?;
    Ok((child.map_err(|error| unsupported(error, way))?, control))
}

/// What a machine does not allow that has no filters, or none of this kind.
pub(super) const NO_FILTER: &str = "a filter for its calls";

fn unsupported(error: SpawnError, way: Way) -> TraceError {
    match error {
        SpawnError::Filter(source) if source.raw_os_error() == Some(libc::EBUSY) => {
            Unsupported { what: "a recorder inside a recorded build", source }
        }
        SpawnError::Filter(source) if way.by == By::Notifications => {
            Unsupported { what: "seccomp user notification", source }
        }
        SpawnError::Filter(source) => Unsupported { what: NO_FILTER, source },
        SpawnError::Trace(source) => Unsupported { what: "tracing by `ptrace`", source },
        SpawnError::Inside(source) => Unsupported { what: "a network of the build's own", source },
        SpawnError::Other(source) => Unsupported { what: "a traced process to be started", source },
    }
    .into()
}

/// Puts variables in the place of those of the same name.
pub(super) fn replaced(
    environment: &[(OsString, OsString)],
    by: &[(String, String)],
) -> Vec<(OsString, OsString)> {
    let kept = environment.iter().filter(|(name, _)| !by.iter().any(|(other, _)| name == other.as_str()));
    let new = by.iter().map(|(name, value)| (name.into(), value.into()));
    kept.cloned().chain(new).collect()
}

impl Supervisor<'_, '_> {
    /// Answers a call with an address if the build is held back; `None` if it is only watched.
    pub(super) fn held_back(
        &mut self,
        caller: Caller,
        kind: EventKind,
        socket: u64,
        raw: &[u8],
    ) -> Option<Answer> {
        if self.network.control.is_observing() {
            return None;
        }
        let what = match (kind, self.network.calling) {
            (EventKind::Bind, _) => What::Bind,
            (_, libc::SYS_connect) => What::Connect,
            _ => What::Send,
        };
        let family = raw.first_chunk().map_or(0, |family| i32::from(u16::from_ne_bytes(*family)));
        Some(match family {
            libc::AF_INET | libc::AF_INET6 => match internet(raw) {
                Some(address) => self.internet(caller, what, socket, address),
                None => Answer::Result(libc::EINVAL),
            },
            libc::AF_UNIX => self.service(caller, what, socket, raw),
            libc::AF_UNSPEC if what == What::Connect => self.perform(caller, socket, Peer::Nobody),
            libc::AF_NETLINK if what == What::Connect => {
                let word = |at: usize| raw.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
                let peer = Peer::Kernel(word(4).unwrap_or(0), word(8).unwrap_or(0));
                self.perform(caller, socket, peer)
            }
            // The kernel's own sockets: the guard has let no other kind come into being.
            libc::AF_UNSPEC | libc::AF_NETLINK | libc::AF_ALG if what != What::Connect => Answer::GoOn,
            _ => Answer::Result(libc::EAFNOSUPPORT),
        })
    }

    /// What cannot be read or found cannot be ruled on.
    pub(super) fn not_ruled_on(&mut self, caller: Caller) -> Answer {
        match self.unresolved(caller.index) {
            answer if self.network.control.is_observing() => answer,
            _ => Answer::Result(libc::EFAULT),
        }
    }

    fn internet(&mut self, caller: Caller, what: What, socket: u64, address: SocketAddr) -> Answer {
        let kind = if self.network.may_take {
            descriptor(caller.pid, socket).and_then(|file| sockopt::socket_type(&file))
        } else {
            // The guard lets no other kind come into being then.
            Ok(SocketType::STREAM)
        };
        let (protocol, way) = match kind {
            Ok(SocketType::STREAM) => ("tcp", Some(Packets::Stream)),
            Ok(SocketType::DGRAM) => ("udp", Some(Packets::Datagram)),
            // The kernel says the same, and nothing is recorded of it.
            Err(Errno::BADF | Errno::NOTSOCK) => return Answer::Result(libc::EBADF),
            _ => ("ip", None),
        };
        let ruling = self.network.control.rule(&Attempt { process: caller.index, way, address, what });
        let (errno, why) = match ruling {
            Ruling::Refuse { errno, why } => (errno, Some(why)),
            _ => (0, None),
        };
        let kind = if what == What::Bind { EventKind::Bind } else { EventKind::Connect };
        self.emit(Event {
            target: Some(format!("{protocol}:{address}").into()),
            errno: u16::try_from(errno).unwrap_or(u16::MAX),
            detail: why.map(str::to_owned),
            ..Event::new(kind, caller.index)
        });
        match ruling {
            Ruling::Pass if what != What::Connect => Answer::GoOn,
            Ruling::Pass => {
                self.network.control.expect_at_door(address, caller.index);
                self.perform(caller, socket, Peer::Inet(address))
            }
            Ruling::Refuse { errno, .. } => Answer::Result(errno),
        }
    }

    /// A socket of this machine. Whoever answers there must be traced as well.
    fn service(&mut self, caller: Caller, what: What, socket: u64, raw: &[u8]) -> Answer {
        let path = raw.get(2..).unwrap_or_default();
        match path {
            [] if what == What::Bind => Answer::GoOn,
            [] => Answer::Result(libc::EINVAL),
            [0, name @ ..] => self.abstract_service(caller, what, socket, name),
            path => {
                let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                self.path_service(caller, what, socket, &path[..end])
            }
        }
    }

    fn abstract_service(&mut self, caller: Caller, what: What, socket: u64, name: &[u8]) -> Answer {
        let target = [b"unix:@", name].concat();
        if what == What::Bind {
            self.bound.insert(target.clone());
        }
        let inside = self.network.control.is_inside();
        let refused = !inside && what != What::Bind && !self.bound.contains(&target);
        let errno = refused.then_some(Errno::ACCESS);
        self.local_event(caller, what, target, errno, refused);
        match what {
            _ if refused => Answer::Result(libc::EACCES),
            What::Connect => self.perform(caller, socket, Peer::Abstract(name.to_vec())),
            _ => Answer::GoOn,
        }
    }

    fn path_service(&mut self, caller: Caller, what: What, socket: u64, path: &[u8]) -> Answer {
        let Some(place) = caller::place(caller.thread, caller.reach, libc::AT_FDCWD as u64, path) else {
            return self.not_ruled_on(caller);
        };
        let said = [b"unix:", place.said.as_bytes()].concat();
        if what == What::Bind {
            if let Ok(named) = caller::named(&place.path) {
                self.bound.insert([b"unix:", named.path.as_bytes()].concat());
            }
            self.bound.insert(said.clone());
            self.local_event(caller, what, said, None, false);
            return Answer::GoOn;
        }
        let file = match caller::name_only(&place.path, true) {
            Ok(file) => file,
            Err(error) => {
                self.local_event(caller, what, said, Some(error), false);
                return Answer::Result(error.raw_os_error());
            }
        };
        let Ok(real) = caller::real_path(&file) else { return self.not_ruled_on(caller) };
        let target = [b"unix:", real.as_bytes()].concat();
        let takes_notes = NOTE_TAKERS.iter().any(|known| real.as_bytes().starts_with(known));
        if !takes_notes && (!self.bound.contains(&target) || seat::is_older(&file, self.network.since)) {
            self.local_event(caller, what, target, Some(Errno::ACCESS), true);
            return Answer::Result(libc::EACCES);
        }
        // A datagram goes with its address in one call, and what we would have to send for it may be anything.
        if what == What::Send {
            self.local_event(caller, what, target, None, false);
            return Answer::GoOn;
        }
        self.meet_service(caller, socket, file, target, takes_notes)
    }

    /// Connects to a service behind a path, and looks who it is: a name may have been put on another's socket.
    fn meet_service(
        &mut self,
        caller: Caller,
        socket: u64,
        file: OwnedFd,
        target: Vec<u8>,
        takes_notes: bool,
    ) -> Answer {
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        let peer = Peer::Path(file);
        let seat = match Seat::take(caller.pid, socket, &peer, self.network.may_take) {
            Ok(seat) => seat,
            Err(error) => {
                self.local_event(caller, What::Connect, target, Some(error), false);
                return Answer::Result(error.raw_os_error());
            }
        };
        match seat.connect_at_once(&peer) {
            Ok(()) if takes_notes || self.is_inside(&seat) => {
                self.local_event(caller, What::Connect, target, None, false);
                let line = self.line.another();
                let given = line.and_then(|line| seat.hand_back(&line, caller.id));
                Answer::Result(given.map_or(libc::EBADF, |()| 0))
            }
            Ok(()) => {
                seat.leave();
                self.local_event(caller, What::Connect, target, Some(Errno::ACCESS), true);
                Answer::Result(libc::EACCES)
            }
            // The service has no time, and the caller has.
            Err(Errno::AGAIN) if seat.waits() => {
                self.local_event(caller, What::Connect, target, None, false);
                self.perform(caller, socket, peer)
            }
            Err(error) => {
                self.local_event(caller, What::Connect, target, Some(error), false);
                Answer::Result(error.raw_os_error())
            }
        }
    }

    /// Tells whether a traced process is at the other end: one that we met, or a child of such a one, which may have
    /// had nothing to ask us yet.
    fn is_inside(&self, seat: &Seat) -> bool {
        let mut ancestor = seat.peer().filter(|_| !seat.is_with(&self.network.met));
        for _ in 0..ANCESTORS_MAX {
            match ancestor {
                None => return seat.is_with(&self.network.met),
                Some(process) if self.processes.contains(process) => return true,
                Some(process) => ancestor = status(process).map(|status| status.parent).filter(|id| *id > 1),
            }
        }
        false
    }

    fn local_event(
        &mut self,
        caller: Caller,
        what: What,
        target: Vec<u8>,
        errno: Option<Errno>,
        refused: bool,
    ) {
        let kind = if what == What::Bind { EventKind::Bind } else { EventKind::Connect };
        self.emit(Event {
            target: Some(BytePath::new(target)),
            errno: errno.map_or(0, code),
            detail: refused.then(|| "outside-service".into()),
            ..Event::new(kind, caller.index)
        });
    }

    /// Connects the caller's own socket, to what was read of its address once. That may take as long as it likes.
    fn perform(&mut self, caller: Caller, socket: u64, peer: Peer) -> Answer {
        let seat = match Seat::take(caller.pid, socket, &peer, self.network.may_take) {
            Ok(seat) => seat,
            Err(error) => return Answer::Result(error.raw_os_error()),
        };
        let Ok(line) = self.line.another() else { return Answer::Result(libc::EMFILE) };
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        let (witness, process, id) = (self.network.control.witness(), caller.index, caller.id);
        let met = Arc::clone(&self.network.met);
        // One that does not wait does not make us wait.
        let at_once = self.network.may_take && !seat.waits();
        let connect = move || {
            let result = seat.connect(&peer);
            if let (Some(witness), Peer::Inet(_)) = (witness, &peer) {
                seat.tell(&witness, process);
            }
            // Nobody has looked who that is.
            let result = match &peer {
                Peer::Path(_) | Peer::Abstract(_) if result.is_ok() && !seat.is_with(&met) => {
                    seat.leave();
                    Err(Errno::ACCESS)
                }
                _ => result,
            };
            let given = result.map_err(io::Error::from).and_then(|()| seat.hand_back(&line, id));
            let errno = given.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EBADF));
            (line, errno)
        };
        if at_once {
            return Answer::Result(connect().1);
        }
        if self.network.performing.fetch_add(1, Ordering::AcqRel) >= PERFORMED_MAX {
            self.network.performing.fetch_sub(1, Ordering::AcqRel);
            return Answer::Result(libc::EAGAIN);
        }
        let performing = Arc::clone(&self.network.performing);
        let thread =
            std::thread::Builder::new().name("connect".into()).stack_size(64 << 10).spawn(move || {
                let (line, errno) = connect();
                // A caller that is gone needs no answer.
                line.answer(id, errno).ok();
                performing.fetch_sub(1, Ordering::AcqRel);
            });
        if thread.is_err() {
            self.network.performing.fetch_sub(1, Ordering::AcqRel);
            return Answer::Result(libc::EAGAIN);
        }
        Answer::Later
    }

    /// Hands on what the proxy has to tell.
    pub(super) fn reported(&mut self, reports: Vec<Report>) {
        for report in reports {
            self.emit(Event {
                target: Some(report.target.into()),
                errno: u16::try_from(report.errno).unwrap_or(u16::MAX),
                detail: report.why.map(str::to_owned),
                ..Event::new(report.kind, report.process)
            });
        }
    }
}
