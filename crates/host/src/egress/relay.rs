//! One connection: listens to its first bytes, connects outside, carries bytes both ways until both have ended.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use evidence::EventKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::first::{self, Asked, Party, Verdict};
use super::proxy::{Report, Shared, Way};

/// How long a client may take to say whom it means.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client on a port of its own may be silent before the server is given the word.
const SILENCE: Duration = Duration::from_millis(300);
/// How long one address may take to answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// What is carried at a time, each way.
const BUFFER_BYTES: usize = 32 << 10;

/// A connection that the build made.
pub(crate) struct Relay<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) client: &'a TcpStream,
    pub(crate) process: u32,
    pub(crate) number: u64,
}

/// Why a connection is not carried.
enum Stop {
    /// It is not allowed: why, and what was meant.
    Refused { why: &'static str, meant: String },
    /// It failed, on our side or theirs.
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Relay<'_> {
    /// Answers questions to a name server, each after its length (RFC 1035, section 4.2.2).
    pub(crate) fn name_server(&mut self) {
        let mut bytes = Vec::new();
        while self.read_more(&mut bytes, HEAD_PATIENCE).is_ok_and(|more| more) {
            self.identify();
            while let Some(length) =
                bytes.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)))
                && let Some(message) = bytes.get(2..2 + length)
            {
                let Some(answer) = self.shared.answer(message, self.process) else { return };
                let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
                let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
                if (&mut &*self.client).write_all(&framed).is_err() {
                    return;
                }
                bytes.drain(..2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
            }
            if bytes.len() > usize::from(u16::MAX) + 2 {
                return;
            }
        }
    }

    /// Carries a connection to whom it was made, if its first bytes agree.
    pub(crate) fn carry(&mut self, asked: Asked) {
        let listened = self.listen(&asked);
        self.identify();
        let plan = match listened {
            Ok((bytes, verdict)) => Plan::of(asked, bytes, verdict),
            Err(Some(stop)) => return self.stopped(asked.to_string(), stop),
            // It went as it came; that it connected was recorded.
            Err(None) => return,
        };
        self.shared.making(self.number, self.process, plan.target.clone());
        let server = self.connect(&plan.to);
        if !self.shared.made(self.number) {
            return; // The build has ended, and this was said.
        }
        match server {
            Err(error) => self.stopped(plan.target, Stop::Failed(error)),
            Ok(server) => {
                self.report(plan.target.clone(), 0, None);
                if let Err(stop @ Stop::Refused { .. }) = self.pump(&server, plan) {
                    self.stopped(String::new(), stop);
                }
            }
        }
    }

    /// A client that has said something was told that it is connected, and before that we were told who it is.
    fn identify(&mut self) {
        self.process = self.shared.whose(Way::Stream, self.client.peer_addr(), self.process);
    }

    /// Waits until the first bytes say whom they are meant for, or are expected to say nothing. `None` if there were
    /// none.
    fn listen(&self, asked: &Asked) -> Result<(Vec<u8>, Verdict), Option<Stop>> {
        let speaks_first = first::is_web(asked.port) || asked.party == Party::Proxy;
        let deadline = Instant::now() + HEAD_PATIENCE;
        let mut bytes = Vec::new();
        loop {
            match first::judge(&bytes, asked, &self.shared.list) {
                Verdict::Refused { why, meant } => return Err(Some(refused(asked, why, meant))),
                Verdict::More => {}
                verdict => return Ok((bytes, verdict)),
            }
            let silent = bytes.is_empty();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.read_more(&mut bytes, if speaks_first || !silent { left } else { SILENCE }) {
                Ok(true) => {}
                Ok(false) if !silent => return Err(Some(refused(asked, "malformed", None))),
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !speaks_first && silent => {
                    return Ok((bytes, Verdict::More));
                }
                Err(error) if !silent => return Err(Some(Stop::Failed(error))),
                _ => return Err(None),
            }
        }
    }

    /// Reads what has come. False at the end.
    fn read_more(&self, bytes: &mut Vec<u8>, patience: Duration) -> io::Result<bool> {
        let mut files =
            [PollFd::new(&self.shared.stop, PollFlags::IN), PollFd::new(self.client, PollFlags::IN)];
        let ready = poll(&mut files, Timespec::try_from(patience).ok().as_ref())?;
        if self.shared.is_stopped() {
            return Err(io::Error::from_raw_os_error(libc::ECANCELED));
        }
        if ready == 0 {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        }
        let mut piece = [0; 4096];
        let read = (&mut &*self.client).read(&mut piece)?;
        bytes.extend_from_slice(&piece[..read]);
        Ok(read > 0)
    }

    /// Connects outside, to the first of the real addresses that answers.
    fn connect(&self, to: &Asked) -> io::Result<TcpStream> {
        let addresses = match &to.party {
            Party::Name(name) => self.shared.names.look_up(name, to.port)?,
            Party::Address(address) => vec![SocketAddr::new(*address, to.port)],
            Party::Proxy => Vec::new(),
        };
        let mut failure = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
        for address in addresses.iter().take(ADDRESSES_MAX) {
            match TcpStream::connect_timeout(address, CONNECT_PATIENCE) {
                Ok(server) => return Ok(server),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    failure = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                }
                Err(error) => failure = error,
            }
            if self.shared.is_stopped() {
                break;
            }
        }
        Err(failure)
    }

    /// Carries bytes until both sides have ended. Bytes that are held are judged before the first goes out.
    fn pump(&self, server: &TcpStream, plan: Plan) -> Result<(), Stop> {
        self.client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        let mut hold = plan.hold;
        let mut up = Flow { waiting: plan.ahead, ..Flow::default() };
        let mut held = plan.held;
        let mut down = Flow { waiting: plan.answer.to_vec(), ..Flow::default() };
        loop {
            if let Some(meant_for) = &hold {
                match first::judge(&held, meant_for, &self.shared.list) {
                    Verdict::Meant => {
                        up.waiting.append(&mut held);
                        hold = None;
                    }
                    Verdict::More if !up.ended => {}
                    Verdict::More if held.is_empty() => hold = None,
                    Verdict::More => return Err(refused(meant_for, "malformed", None)),
                    Verdict::Refused { why, meant } => return Err(refused(meant_for, why, meant)),
                    Verdict::Tunnel { to, .. } | Verdict::Request { to, .. } => {
                        return Err(refused(meant_for, "tunnel-in-tunnel", Some(to.to_string())));
                    }
                }
            }
            up.finish(server)?;
            down.finish(self.client)?;
            if up.finished && down.finished {
                return Ok(());
            }
            let (client, other) = self.wait(server, &up, &down, hold.is_some())?;
            if client.contains(PollFlags::IN) {
                let into = if hold.is_some() { &mut held } else { &mut up.waiting };
                up.ended = fill(self.client, into)?;
            }
            if other.contains(PollFlags::IN) {
                down.ended = fill(server, &mut down.waiting)?;
            }
            if other.contains(PollFlags::OUT) {
                up.send(server)?;
            }
            if client.contains(PollFlags::OUT) {
                down.send(self.client)?;
            }
        }
    }

    /// Waits until something can be done, and tells what, of the client and of the server.
    fn wait(
        &self,
        server: &TcpStream,
        up: &Flow,
        down: &Flow,
        held: bool,
    ) -> Result<(PollFlags, PollFlags), Stop> {
        let wanted = |from: &Flow, to: &Flow, may_read: bool| {
            let read = !from.ended && (may_read || from.waiting.len() < BUFFER_BYTES);
            [(read, PollFlags::IN), (!to.waiting.is_empty(), PollFlags::OUT)]
                .iter()
                .filter(|(wanted, _)| *wanted)
                .fold(PollFlags::empty(), |all, (_, flag)| all | *flag)
        };
        let sides = [(self.client, wanted(up, down, held)), (server, wanted(down, up, false))];
        let mut files = vec![PollFd::new(&self.shared.stop, PollFlags::IN)];
        // A side of which nothing is wanted must not wake us by having ended.
        files.extend(
            sides
                .iter()
                .filter(|(_, wanted)| !wanted.is_empty())
                .map(|(side, wanted)| PollFd::new(side, *wanted)),
        );
        poll(&mut files, None).map_err(io::Error::from)?;
        if self.shared.is_stopped() {
            return Err(Stop::Failed(io::Error::from_raw_os_error(libc::ECANCELED)));
        }
        let mut seen = files.iter().skip(1).map(PollFd::revents);
        Ok(sides
            .map(|(_, wanted)| {
                if wanted.is_empty() {
                    return PollFlags::empty();
                }
                let seen = seen.next().unwrap_or(PollFlags::empty());
                // An end or an error is found out by reading or writing, whichever was wanted.
                if seen.intersects(PollFlags::HUP | PollFlags::ERR) { wanted } else { seen }
            })
            .into())
    }

    fn stopped(&self, target: String, stop: Stop) {
        match stop {
            Stop::Refused { why, meant } => self.report(meant, libc::EACCES, Some(why)),
            Stop::Failed(error) => self.report(target, error.raw_os_error().unwrap_or(libc::EIO), None),
        }
    }

    fn report(&self, target: String, errno: i32, why: Option<&'static str>) {
        self.shared.report(Report { process: self.process, kind: EventKind::Request, target, errno, why });
    }
}

fn refused(asked: &Asked, why: &'static str, meant: Option<String>) -> Stop {
    let with_port = |name: String| if name.contains(':') { name } else { format!("{name}:{}", asked.port) };
    Stop::Refused { why, meant: meant.map_or_else(|| asked.to_string(), with_port) }
}

/// What is done with a connection whose first bytes were judged.
struct Plan {
    /// What the record calls it.
    target: String,
    /// Whom we connect to.
    to: Asked,
    /// What is sent there at once.
    ahead: Vec<u8>,
    /// What the client is told at once.
    answer: &'static [u8],
    /// Whom the client's next bytes must be meant for.
    hold: Option<Asked>,
    /// Those of them that have come.
    held: Vec<u8>,
}

impl Plan {
    fn of(asked: Asked, mut bytes: Vec<u8>, verdict: Verdict) -> Self {
        let own = asked.party == Party::Proxy;
        match verdict {
            Verdict::Tunnel { to, bytes: head } => {
                let held = bytes.split_off(head.min(bytes.len()));
                Self {
                    target: to.to_string(),
                    answer: if own { b"HTTP/1.1 200 Connection established\r\n\r\n" } else { b"" },
                    // A proxy outside, which is on the list, is asked for a party that is as well.
                    ahead: if own { Vec::new() } else { bytes },
                    hold: Some(to.clone()),
                    to: if own { to } else { asked },
                    held,
                }
            }
            Verdict::Request { to, bytes: head } => {
                // The next request may be for another host, so it must come by another connection.
                let end = head.saturating_sub(2).min(bytes.len());
                bytes.splice(end..end, *b"Connection: close\r\n");
                let (target, held) = (to.to_string(), Vec::new());
                Self { target, to, ahead: bytes, answer: b"", hold: None, held }
            }
            verdict => {
                let hold = (verdict == Verdict::More).then(|| asked.clone());
                let (ahead, held) = if hold.is_some() { (Vec::new(), bytes) } else { (bytes, Vec::new()) };
                Self { target: asked.to_string(), to: asked, ahead, answer: b"", hold, held }
            }
        }
    }
}

/// Bytes on their way in one direction.
#[derive(Default)]
struct Flow {
    waiting: Vec<u8>,
    /// Nothing more comes.
    ended: bool,
    /// The other side knows.
    finished: bool,
}

impl Flow {
    fn send(&mut self, to: &TcpStream) -> io::Result<()> {
        match (&mut &*to).write(&self.waiting) {
            Ok(written) => drop(self.waiting.drain(..written)),
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn finish(&mut self, to: &TcpStream) -> io::Result<()> {
        if self.ended && self.waiting.is_empty() && !self.finished {
            self.finished = true;
            to.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Reads a piece. True at the end.
fn fill(from: &TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; BUFFER_BYTES / 4];
    match (&mut &*from).read(&mut piece) {
        Ok(read) => {
            into.extend_from_slice(&piece[..read]);
            Ok(read == 0)
        }
        Err(error) if is_later(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
