//! Addresses that are connected to or bound.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

use evidence::{BytePath, Event, EventKind};
use rustix::fs::{AtFlags, CWD};

use super::caller;
use super::opens::code;
use super::supervisor::{Answer, Caller, Supervisor};
use crate::sys;

/// `struct sockaddr_storage`.
const ADDRESS_MAX_BYTES: usize = 128;
/// The most messages of one `sendmmsg` (the kernel's `UIO_MAXIOV`).
const MESSAGES_MAX: u64 = 1024;
/// The sizes of `struct msghdr`, `struct mmsghdr` and `struct cmsghdr` on 64-bit machines.
const HEADER_BYTES: usize = 56;
const MESSAGE_STEP: u64 = 64;
const CONTROL_HEADER_BYTES: usize = 16;
/// The most control data that is looked through; the kernel's own limit (`optmem_max`) is of this size.
const CONTROL_MAX_BYTES: usize = 128 * 1024;

/// Sockets of the machine that do no work for a build but answer questions or take notes. Not the message bus and
/// not the service manager: both start programs for whoever asks.
const HARMLESS: &[&[u8]] = &[
    b"/dev/log",
    b"/run/nscd/",
    b"/var/run/nscd/",
    b"/run/systemd/journal/",
    b"/run/systemd/userdb/",
    b"/run/systemd/resolve/",
];

/// An address as the record writes it.
enum Address {
    Inet(String),
    /// Path, or a name in the abstract space (first byte zero).
    Local(Vec<u8>),
    /// Of another family.
    Other(String),
}

impl Supervisor<'_, '_> {
    pub(super) fn socket(
        &mut self,
        caller: Caller,
        kind: EventKind,
        socket: u64,
        address: u64,
        length: u64,
    ) -> Answer {
        let mut raw = [0; ADDRESS_MAX_BYTES];
        let length = usize::try_from(length & 0xFFFF_FFFF)
            .map_or(ADDRESS_MAX_BYTES, |length| length.min(ADDRESS_MAX_BYTES));
        match sys::read_memory(caller.thread, address, &mut raw[..length]) {
            Ok(read) if read == length => {}
            _ => return self.unreadable_address(caller, address),
        }
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        if let Some(answer) = self.held_back(caller, kind, socket, &raw[..length]) {
            return answer;
        }
        match parse(&raw[..length]) {
            Some(Address::Inet(address)) => {
                let target = format!("{}:{address}", protocol(caller.pid, socket));
                self.emit(Event { target: Some(target.into()), ..Event::new(kind, caller.index) });
            }
            Some(Address::Local(path)) if !path.is_empty() => self.local(caller, kind, &path),
            Some(Address::Other(target)) => {
                self.emit(Event { target: Some(target.into()), ..Event::new(kind, caller.index) });
            }
            // Netlink, the kernel's ciphers, disconnecting: nobody outside is reached by an address.
            _ => {}
        }
        Answer::GoOn
    }

    /// An address that cannot be read: the kernel may, if another thread has put it there meanwhile, and only where
    /// the build is not held back.
    fn unreadable_address(&mut self, caller: Caller, address: u64) -> Answer {
        match self.unreadable(caller, address) {
            Answer::GoOn if !self.network.control.is_observing() => Answer::Result(libc::EFAULT),
            answer => answer,
        }
    }

    /// A socket of this machine: who answers there and was not started here works unseen.
    fn local(&mut self, caller: Caller, kind: EventKind, path: &[u8]) {
        let mut event = Event::new(kind, caller.index);
        let mut absent = false;
        let name = if path[0] == 0 {
            [b"unix:@", &path[1..]].concat()
        } else {
            let place = caller::place(caller.thread, caller.reach, libc::AT_FDCWD as u64, path);
            if let (EventKind::Connect, Some(place)) = (kind, &place)
                && let Err(error) = rustix::fs::statat(CWD, &place.path, AtFlags::empty())
            {
                event.errno = code(error);
                absent = true;
            }
            [b"unix:".as_slice(), place.as_ref().map_or(path, |place| place.said.as_bytes())].concat()
        };
        // An address that is taken cannot be bound: whoever answers there is still somebody else.
        if kind == EventKind::Bind && !self.is_taken(caller, path) {
            self.bound.insert(name.clone());
        }
        let outside = kind == EventKind::Connect
            && !absent
            && !self.bound.contains(&name)
            && !HARMLESS.iter().any(|known| name[5..].starts_with(known));
        event.target = Some(BytePath::new(name));
        self.emit(event);
        if outside {
            self.gap(caller.index, "outside-service");
        }
    }

    pub(super) fn message(&mut self, caller: Caller, socket: u64, header: u64) -> Answer {
        let mut raw = [0; HEADER_BYTES];
        if !sys::read_memory(caller.thread, header, &mut raw).is_ok_and(|read| read == raw.len()) {
            return self.unreadable_address(caller, header);
        }
        let word = |at: usize| raw[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        let (address, length) = (word(0), word(8) & 0xFFFF_FFFF);
        let (control, control_length) = (word(32), word(40));
        if control != 0 && control_length >= CONTROL_HEADER_BYTES as u64 {
            self.passes(caller, control, control_length);
        }
        if address == 0 || length == 0 {
            return Answer::GoOn;
        }
        self.socket(caller, EventKind::Connect, socket, address, length)
    }

    /// Descriptors that are sent along with a message (`unix(7)`, `SCM_RIGHTS`).
    fn passes(&mut self, caller: Caller, control: u64, length: u64) {
        let length =
            usize::try_from(length).map_or(CONTROL_MAX_BYTES, |length| length.min(CONTROL_MAX_BYTES));
        let mut raw = vec![0; length];
        let read = sys::read_memory(caller.thread, control, &mut raw).unwrap_or(0);
        if read < length {
            self.unresolved(caller.index);
        }
        for descriptor in descriptors(&raw[..read]) {
            let path = std::fs::read_link(format!("/proc/{}/fd/{descriptor}", caller.thread)).ok();
            let path = path.map(|path| BytePath::new(path.into_os_string().into_encoded_bytes()));
            self.emit(Event { path, ..Event::new(EventKind::Pass, caller.index) });
        }
    }

    /// A socket begins to take connections.
    pub(super) fn listens(&mut self, caller: Caller, socket: u64) -> Answer {
        let raw = its_socket(caller.pid, socket).and_then(|socket| sys::socket_address(socket).ok());
        let target = match raw.as_deref().and_then(parse) {
            Some(Address::Inet(address)) => format!("{}:{address}", protocol(caller.pid, socket)).into(),
            Some(Address::Local(path)) if path.first() == Some(&0) => {
                BytePath::new([b"unix:@", &path[1..]].concat())
            }
            Some(Address::Local(path)) => BytePath::new([b"unix:".as_slice(), &path].concat()),
            Some(Address::Other(address)) => address.into(),
            None => BytePath::from("unknown"),
        };
        self.emit(Event { target: Some(target), ..Event::new(EventKind::Listen, caller.index) });
        Answer::GoOn
    }

    /// A socket on which things come and go without an address that we are asked about.
    pub(super) fn unwatched_socket(&mut self, caller: Caller, family: u64, kind: u64) -> Answer {
        let what = format!("socket {}:{}", family & 0xFFFF_FFFF, kind & 0xF);
        self.gap_at(caller.index, "unwatched-socket", what.into());
        Answer::GoOn
    }

    fn is_taken(&self, caller: Caller, path: &[u8]) -> bool {
        if path[0] != 0 {
            let place = caller::place(caller.thread, caller.reach, libc::AT_FDCWD as u64, path);
            return place.is_some_and(|place| {
                rustix::fs::statat(CWD, &place.path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
            });
        }
        let name = [b"@", &path[1..]].concat();
        std::fs::read(format!("/proc/{}/net/unix", caller.thread)).is_ok_and(|list| {
            list.split(|byte| *byte == b'\n')
                .any(|line| line.rsplit(|byte| *byte == b' ').next() == Some(&name))
        })
    }

    pub(super) fn messages(&mut self, caller: Caller, socket: u64, headers: u64, count: u64) -> Answer {
        for number in 0..count.min(MESSAGES_MAX) {
            let Some(header) = headers.checked_add(number * MESSAGE_STEP) else { break };
            match self.message(caller, socket, header) {
                Answer::GoOn => {}
                // Of several datagrams one that is refused is all that are.
                refused => return refused,
            }
        }
        Answer::GoOn
    }
}

fn parse(raw: &[u8]) -> Option<Address> {
    let family = u16::from_ne_bytes(raw.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = raw.get(4..8)?.try_into().ok()?;
            Some(Address::Inet(format!("{}:{}", Ipv4Addr::from(ip), port()?)))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = raw.get(8..24)?.try_into().ok()?;
            Some(Address::Inet(format!("[{}]:{}", Ipv6Addr::from(ip), port()?)))
        }
        libc::AF_UNIX => {
            let path = raw.get(2..)?;
            let end = match path.first() {
                Some(0) => path.len(),
                _ => path.iter().position(|byte| *byte == 0).unwrap_or(path.len()),
            };
            Some(Address::Local(path[..end].to_vec()))
        }
        libc::AF_VSOCK => {
            let word = |at: usize| Some(u32::from_ne_bytes(raw.get(at..at + 4)?.try_into().ok()?));
            Some(Address::Other(format!("vsock:{}:{}", word(8)?, word(4)?)))
        }
        libc::AF_UNSPEC | libc::AF_NETLINK | libc::AF_ALG => None,
        family => Some(Address::Other(format!("family-{family}"))),
    }
}

/// `tcp` or `udp`, or `ip` where nobody may look at the socket.
fn protocol(pid: i32, socket: u64) -> &'static str {
    let socket = its_socket(pid, socket);
    match socket.and_then(|socket| rustix::net::sockopt::socket_type(&socket).ok()) {
        Some(rustix::net::SocketType::STREAM) => "tcp",
        Some(rustix::net::SocketType::DGRAM) => "udp",
        _ => "ip",
    }
}

/// The socket of a caller, as a descriptor of ours.
/// Tells whether a descriptor is a socket that leads off this machine. One whose kind nobody may look at might.
pub(super) fn is_internet(pid: i32, number: u64) -> bool {
    its_socket(pid, number).is_none_or(|socket| {
        let domain = rustix::net::sockopt::socket_domain(&socket);
        domain.is_ok_and(|domain| {
            [rustix::net::AddressFamily::INET, rustix::net::AddressFamily::INET6].contains(&domain)
        })
    })
}

fn its_socket(pid: i32, socket: u64) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    let number = i32::try_from(socket & 0xFFFF_FFFF).ok()?;
    let flags = rustix::process::PidfdGetfdFlags::empty();
    rustix::process::pidfd_getfd(pidfd.as_fd(), number, flags).ok()
}

/// The descriptors in control data: records of length, level and type, each at a multiple of eight bytes.
fn descriptors(control: &[u8]) -> Vec<i32> {
    let mut found = Vec::new();
    let mut rest = control;
    while rest.len() >= CONTROL_HEADER_BYTES {
        let length = rest[..8].try_into().map_or(0, u64::from_ne_bytes);
        let word = |at: usize| rest[at..at + 4].try_into().map_or(0, i32::from_ne_bytes);
        let Ok(length) = usize::try_from(length) else { break };
        if length < CONTROL_HEADER_BYTES || length > rest.len() {
            break;
        }
        if (word(8), word(12)) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            let numbers = rest[CONTROL_HEADER_BYTES..length].as_chunks::<4>().0;
            found.extend(numbers.iter().map(|number| i32::from_ne_bytes(*number)));
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_people_do() {
        let text = |raw: &[u8]| match parse(raw) {
            Some(Address::Inet(text)) => text,
            Some(Address::Local(path)) => String::from_utf8_lossy(&path).into_owned(),
            Some(Address::Other(text)) => text,
            None => "none".into(),
        };
        assert_eq!(text(&[2, 0, 0x01, 0xBB, 198, 51, 100, 7]), "198.51.100.7:443");
        let mut six = vec![10, 0, 0, 53, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8];
        six.extend([0; 11]);
        six.push(1);
        assert_eq!(text(&six), "[2001:db8::1]:53");
        assert_eq!(text(b"\x01\x00/run/x\0junk"), "/run/x");
        assert_eq!(text(b"\x01\x00\0abstract"), "\0abstract");
        assert_eq!(text(&[16, 0, 1, 2]), "none");
        assert_eq!(text(&[40, 0, 0, 0, 0, 4, 0, 0, 2, 0, 0, 0]), "vsock:2:1024");
        assert_eq!(text(&[17, 0, 0, 3]), "family-17");
        assert_eq!(text(&[2]), "none");
        assert_eq!(text(&[2, 0, 1]), "none");
    }

    #[test]
    fn descriptors_are_found_among_control_data() {
        let record = |kind: i32, data: &[u8]| {
            let length = CONTROL_HEADER_BYTES + data.len();
            let mut bytes = (length as u64).to_ne_bytes().to_vec();
            bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(data);
            bytes.resize(length.next_multiple_of(8), 0);
            bytes
        };
        let fds =
            |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>();
        let both =
            [record(libc::SCM_CREDENTIALS, &[0; 12]), record(libc::SCM_RIGHTS, &fds(&[5, 7, 9]))].concat();
        assert_eq!(descriptors(&both), [5, 7, 9]);
        assert_eq!(descriptors(&record(libc::SCM_RIGHTS, &[])), [] as [i32; 0]);
        assert_eq!(descriptors(&[0xFF; 40]), [] as [i32; 0], "a length beyond the end");
        assert_eq!(descriptors(&[0; 40]), [] as [i32; 0], "a length below the header's");
    }
}
