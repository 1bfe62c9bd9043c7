//! Answers inside the build's network: names on port 53, connections on what is allowed. Sits outside.
//!
//! Sockets were made inside and are bound when the build is about to use them ([`Proxy::serve`]): an address that was
//! not asked for has nobody there, and the kernel refuses it by itself. One thread waits at all doors, one more
//! carries each connection; their number has a limit, beyond which the build waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evidence::EventKind;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::{AddressFamily, sockopt};

use super::Names;
use super::dns::{self, Question};
use super::first::{Asked, Party};
use super::handed::Handed;
use super::list::AllowList;
use super::relay;

/// The most connections at a time. Further ones wait in the kernel.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// The most reports that wait for the supervisor; whoever has another one waits, too.
const REPORTS_MAX: usize = 1024;
/// The most processes remembered for connections to one address that have not been taken up yet.
const EXPECTED_MAX: usize = 512;
/// The most origins remembered.
const ORIGINS_MAX: usize = 8192;
/// The longest question over UDP.
const DATAGRAM_MAX_BYTES: usize = 4096;
/// What the kernel keeps of questions that wait.
const QUESTIONS_BYTES: usize = 4 << 20;
/// Stack of a thread that carries a connection: looking a name up needs the most.
const STACK_BYTES: usize = 256 << 10;
/// How long connections may take to end once the build has.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way that bytes take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Way {
    Stream,
    Datagram,
}

/// What the build asked of the proxy.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) process: u32,
    /// `Resolve` or `Request`.
    pub(crate) kind: EventKind,
    pub(crate) target: String,
    pub(crate) errno: i32,
    /// Why it was refused.
    pub(crate) why: Option<&'static str>,
}

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) list: AllowList,
    pub(crate) names: Names,
    handed: Mutex<Handed>,
    /// Who is about to come to a door.
    expected: Mutex<HashMap<(Way, SocketAddr), VecDeque<u32>>>,
    /// Who came from where, of those whom the recorder connected itself.
    origins: Mutex<HashMap<(Way, SocketAddr), u32>>,
    /// Whose connections are being made at the moment.
    underway: Mutex<HashMap<u64, (u32, String)>>,
    reports: mpsc::SyncSender<Report>,
    /// Tells the supervisor that there are reports.
    told: OwnedFd,
    /// Tells the thread at the doors that something changed.
    knock: OwnedFd,
    /// Tells everybody to end; never read.
    pub(crate) stop: OwnedFd,
    stopped: AtomicBool,
    active: AtomicUsize,
}

/// A poisoned lock means that a thread panicked between two plain assignments: the data is whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event descriptor that is full is as good as one that was written to.
fn signal(file: &OwnedFd) {
    rustix::io::write(file, &1_u64.to_ne_bytes()).ok();
}

fn quiet(file: &OwnedFd) {
    rustix::io::read(file, &mut [0_u8; 8]).ok();
}

impl Shared {
    pub(crate) fn report(&self, report: Report) {
        // The supervisor is gone only when nothing is recorded any more.
        if self.reports.send(report).is_ok() {
            signal(&self.told);
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Notes that a connection is being made, until [`Self::made`].
    pub(crate) fn making(&self, number: u64, process: u32, target: String) {
        locked(&self.underway).insert(number, (process, target));
    }

    /// Returns false if it has been given up meanwhile, and said so.
    pub(crate) fn made(&self, number: u64) -> bool {
        locked(&self.underway).remove(&number).is_some()
    }

    /// Answers a message to a name server; `None` if it is no question.
    pub(crate) fn answer(&self, message: &[u8], process: u32) -> Option<Vec<u8>> {
        let question = Question::read(message).ok()?;
        let local = question.name == "localhost" || question.name.ends_with(".localhost");
        let (answer, errno, why) = if local {
            let here = [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()];
            (question.answer(dns::Answer::Addresses(&here)), 0, None)
        } else if !self.list.knows(&question.name) {
            (question.answer(dns::Answer::NoName), libc::EACCES, Some("not-allowed"))
        } else if let Some(addresses) = locked(&self.handed).addresses(&question.name) {
            (question.answer(dns::Answer::Addresses(&addresses)), 0, None)
        } else {
            (question.answer(dns::Answer::Failed), libc::EACCES, Some("too-many-names"))
        };
        let target = question.name;
        self.report(Report { process, kind: EventKind::Resolve, target, errno, why });
        Some(answer)
    }

    /// Notes where a process comes from. Called before it learns that it is connected.
    pub(crate) fn comes_from(&self, way: Way, from: SocketAddr, process: u32) {
        let mut origins = locked(&self.origins);
        if origins.len() >= ORIGINS_MAX {
            origins.clear();
        }
        origins.insert((way, canonical(from)), process);
    }

    /// Returns who came from there, once it has sent something; else who was most likely to come.
    pub(crate) fn whose(&self, way: Way, from: io::Result<SocketAddr>, likely: u32) -> u32 {
        let Ok(from) = from else { return likely };
        let mut origins = locked(&self.origins);
        let key = (way, canonical(from));
        let known = if way == Way::Stream { origins.remove(&key) } else { origins.get(&key).copied() };
        known.unwrap_or(likely)
    }

    /// Who comes to this door next; the last one keeps standing there.
    fn who(&self, way: Way, at: SocketAddr) -> u32 {
        let mut expected = locked(&self.expected);
        let Some(queue) = expected.get_mut(&(way, at)) else { return 0 };
        if queue.len() > 1 && way == Way::Stream {
            return queue.pop_front().unwrap_or(0);
        }
        queue.back().copied().unwrap_or(0)
    }
}

/// The proxy, as the supervisor holds it.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    reports: mpsc::Receiver<Report>,
    /// Sockets that are not bound yet.
    streams: Vec<OwnedFd>,
    datagrams: Vec<OwnedFd>,
    served: HashSet<(Way, SocketAddr)>,
    doors: mpsc::Sender<Door>,
    thread: Option<JoinHandle<()>>,
}

/// A socket at which the build is expected.
struct Door {
    socket: Socket,
    at: SocketAddr,
    asked: Option<Asked>,
}

enum Socket {
    Stream(TcpListener),
    Datagram(UdpSocket),
}

impl Proxy {
    /// Opens it with the sockets that were made inside.
    pub(crate) fn open(list: AllowList, names: Names, sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let (sender, reports) = mpsc::sync_channel(REPORTS_MAX);
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let shared = Arc::new(Shared {
            list,
            names,
            handed: Mutex::default(),
            expected: Mutex::default(),
            origins: Mutex::default(),
            underway: Mutex::default(),
            reports: sender,
            told: event()?,
            knock: event()?,
            stop: event()?,
            stopped: AtomicBool::new(false),
            active: AtomicUsize::new(0),
        });
        let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
        for socket in sockets {
            let is_stream = sockopt::socket_type(&socket)? == rustix::net::SocketType::STREAM;
            if is_stream { &mut streams } else { &mut datagrams }.push(socket);
        }
        let (doors, opened) = mpsc::channel();
        let at_the_doors = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("egress".into())
            .stack_size(STACK_BYTES)
            .spawn(move || wait_at_doors(&at_the_doors, &opened))?;
        let (served, thread) = (HashSet::new(), Some(thread));
        Ok(Self { shared, reports, streams, datagrams, served, doors, thread })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Returns what is readable when there are reports.
    pub(crate) fn told(&self) -> BorrowedFd<'_> {
        self.shared.told.as_fd()
    }

    /// Takes the reports that have come.
    pub(crate) fn reports(&self) -> Vec<Report> {
        quiet(&self.shared.told);
        self.reports.try_iter().take(REPORTS_MAX).collect()
    }

    /// Returns the party behind an address, if it may be connected to on this port.
    pub(crate) fn party(&self, at: SocketAddr) -> Option<Asked> {
        let party = match locked(&self.shared.handed).name(at.ip()) {
            Some(name) if self.shared.list.allows_name(name, at.port()) => Party::Name(name.to_owned()),
            None if self.shared.list.allows_address(at.ip(), at.port()) => Party::Address(at.ip()),
            _ => return None,
        };
        Some(Asked { party, port: at.port() })
    }

    /// Tells whether an address was handed out for a name.
    pub(crate) fn is_handed(&self, address: IpAddr) -> bool {
        locked(&self.shared.handed).name(address).is_some()
    }

    /// Sees to it that somebody answers there before the build comes. `asked` is `None` for a name server.
    pub(crate) fn serve(
        &mut self,
        way: Way,
        at: SocketAddr,
        asked: Option<Asked>,
        process: u32,
    ) -> io::Result<()> {
        if !self.served.contains(&(way, at)) {
            let pool = match way {
                Way::Stream => &mut self.streams,
                Way::Datagram => &mut self.datagrams,
            };
            let socket = pool.pop().ok_or(io::ErrorKind::QuotaExceeded)?;
            if let Err(error) = bind(&socket, at) {
                pool.push(socket);
                return Err(error);
            }
            let socket = match way {
                Way::Stream => {
                    rustix::net::listen(&socket, 1024)?;
                    Socket::Stream(socket.into())
                }
                Way::Datagram => {
                    // Hundreds of threads ask at the same time; a lost question costs its thread seconds.
                    sockopt::set_socket_recv_buffer_size_force(&socket, QUESTIONS_BYTES)
                        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, QUESTIONS_BYTES))?;
                    Socket::Datagram(socket.into())
                }
            };
            self.served.insert((way, at));
            self.open_door(Door { socket, at, asked })?;
        }
        self.expect(way, at, process);
        Ok(())
    }

    /// Opens a door in this machine's own network for clients that know a proxy. Returns where it is.
    pub(crate) fn serve_here(&mut self) -> io::Result<SocketAddr> {
        let socket = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let at = socket.local_addr()?;
        let asked = Some(Asked { party: Party::Proxy, port: at.port() });
        self.open_door(Door { socket: Socket::Stream(socket), at, asked })?;
        Ok(at)
    }

    pub(crate) fn expect(&self, way: Way, at: SocketAddr, process: u32) {
        let mut expected = locked(&self.shared.expected);
        let queue = expected.entry((way, at)).or_default();
        queue.push_back(process);
        if queue.len() > EXPECTED_MAX {
            queue.pop_front();
        }
    }

    fn open_door(&self, door: Door) -> io::Result<()> {
        self.doors.send(door).map_err(|_| io::ErrorKind::BrokenPipe)?;
        signal(&self.shared.knock);
        Ok(())
    }

    /// Ends all connections. What they still had to say is returned.
    pub(crate) fn close(&mut self) -> Vec<Report> {
        self.shared.stopped.store(true, Ordering::Release);
        signal(&self.shared.stop);
        signal(&self.shared.knock);
        let deadline = Instant::now() + PATIENCE;
        let mut last = Vec::new();
        // Threads may wait with a report in their hands: take it, or they never end.
        loop {
            last.extend(self.reports());
            let idle = self.thread.as_ref().is_none_or(JoinHandle::is_finished)
                && self.shared.active.load(Ordering::Acquire) == 0;
            if idle || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        last.extend(self.reports());
        // What is left waits for the world, which may take minutes; it finds nobody when it comes back.
        for (_, (process, target)) in locked(&self.shared.underway).drain() {
            let (kind, errno) = (EventKind::Request, libc::ECANCELED);
            last.push(Report { process, kind, target, errno, why: None });
        }
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            thread.join().ok();
        }
        last
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        signal(&self.shared.stop);
        signal(&self.shared.knock);
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Binds a socket of the inside. Ours are of IPv6 and speak both, where there is IPv6 at all.
fn bind(socket: &OwnedFd, at: SocketAddr) -> io::Result<()> {
    sockopt::set_socket_reuseaddr(socket, true)?;
    if sockopt::socket_domain(socket)? == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(socket, false)?;
        sockopt::set_ipv6_freebind(socket, true)?;
        let six = match at.ip() {
            IpAddr::V4(four) => four.to_ipv6_mapped(),
            IpAddr::V6(six) => six,
        };
        rustix::net::bind(socket, &SocketAddrV6::new(six, at.port(), 0, 0))?;
    } else {
        sockopt::set_ip_freebind(socket, true)?;
        rustix::net::bind(socket, &at)?;
    }
    Ok(())
}

fn wait_at_doors(shared: &Arc<Shared>, opened: &mpsc::Receiver<Door>) {
    let mut doors: Vec<Door> = Vec::new();
    let mut number = 0;
    loop {
        doors.extend(opened.try_iter());
        let full = shared.active.load(Ordering::Acquire) >= CONNECTIONS_MAX;
        let mut files = vec![PollFd::new(&shared.knock, PollFlags::IN)];
        files.extend(doors.iter().map(|door| match &door.socket {
            Socket::Stream(_) if full => PollFd::new(&shared.knock, PollFlags::IN),
            Socket::Stream(listener) => PollFd::new(listener, PollFlags::IN),
            Socket::Datagram(socket) => PollFd::new(socket, PollFlags::IN),
        }));
        if poll(&mut files, None).is_err_and(|error| error != rustix::io::Errno::INTR) || shared.is_stopped()
        {
            return;
        }
        let ready: Vec<bool> = files.iter().skip(1).map(|file| !file.revents().is_empty()).collect();
        quiet(&shared.knock);
        for (door, _) in doors.iter().zip(ready).filter(|(_, ready)| *ready) {
            match &door.socket {
                Socket::Stream(listener) => take_up(shared, door, listener, &mut number),
                Socket::Datagram(socket) => answer(shared, door, socket),
            }
        }
    }
}

fn answer(shared: &Shared, door: &Door, socket: &UdpSocket) {
    let mut message = [0; DATAGRAM_MAX_BYTES];
    while let Ok((length, from)) = socket.recv_from(&mut message) {
        let process = shared.whose(Way::Datagram, Ok(from), shared.who(Way::Datagram, door.at));
        if let Some(answer) = shared.answer(&message[..length], process) {
            // Whoever does not wait for it does not need it.
            socket.send_to(&answer, from).ok();
        }
        if shared.is_stopped() {
            return;
        }
    }
}

fn take_up(shared: &Arc<Shared>, door: &Door, listener: &TcpListener, number: &mut u64) {
    while shared.active.load(Ordering::Acquire) < CONNECTIONS_MAX {
        let Ok((client, _)) = listener.accept() else { return };
        let process = shared.who(Way::Stream, door.at);
        *number += 1;
        shared.active.fetch_add(1, Ordering::AcqRel);
        let job =
            Job { shared: Arc::clone(shared), client, asked: door.asked.clone(), process, number: *number };
        let started = std::thread::Builder::new()
            .name("egress".into())
            .stack_size(STACK_BYTES)
            .spawn(move || job.run());
        if started.is_err() {
            shared.active.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A connection to carry.
struct Job {
    shared: Arc<Shared>,
    client: TcpStream,
    asked: Option<Asked>,
    process: u32,
    number: u64,
}

impl Job {
    fn run(self) {
        let place = Place(Arc::clone(&self.shared));
        let mut relay = relay::Relay {
            shared: &self.shared,
            client: &self.client,
            process: self.process,
            number: self.number,
        };
        match self.asked {
            Some(asked) => relay.carry(asked),
            None => relay.name_server(),
        }
        drop(place);
    }
}

/// A connection's place among those at a time; free again however its thread ends.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
        signal(&self.0.knock);
    }
}
