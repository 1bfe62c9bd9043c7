//! Addresses that are connected to or bound.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

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
/// The sizes of `struct msghdr` and `struct mmsghdr` on 64-bit machines.
const HEADER_BYTES: usize = 16;
const MESSAGE_STEP: u64 = 64;

/// Sockets of the machine that do no work for a build but answer questions or take notes.
const HARMLESS: &[&[u8]] = &[
    b"/dev/log",
    b"/run/nscd/",
    b"/var/run/nscd/",
    b"/run/systemd/",
    b"/var/run/systemd/",
    b"/run/dbus/",
    b"/var/run/dbus/",
];

/// An address as the record writes it.
enum Address {
    Inet(String),
    /// Path, or a name in the abstract space (first byte zero).
    Local(Vec<u8>),
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
            _ => return self.unreadable(caller),
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
            // Netlink, packet sockets, disconnecting: nobody outside is reached by an address.
            _ => {}
        }
        Answer::GoOn
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
        if kind == EventKind::Bind {
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
            return self.unreadable(caller);
        }
        let address = raw[..8].try_into().map_or(0, u64::from_ne_bytes);
        let length = raw[8..12].try_into().map_or(0, u32::from_ne_bytes);
        if address == 0 || length == 0 {
            return Answer::GoOn;
        }
        self.socket(caller, EventKind::Connect, socket, address, u64::from(length))
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
        _ => None,
    }
}

/// `tcp` or `udp`, or `ip` where nobody may look at the socket.
fn protocol(pid: i32, socket: u64) -> &'static str {
    let kind = || {
        let pid = rustix::process::Pid::from_raw(pid)?;
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
        let number = i32::try_from(socket & 0xFFFF_FFFF).ok()?;
        let flags = rustix::process::PidfdGetfdFlags::empty();
        let socket = rustix::process::pidfd_getfd(pidfd.as_fd(), number, flags).ok()?;
        rustix::net::sockopt::socket_type(&socket).ok()
    };
    match kind() {
        Some(rustix::net::SocketType::STREAM) => "tcp",
        Some(rustix::net::SocketType::DGRAM) => "udp",
        _ => "ip",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_people_do() {
        let text = |raw: &[u8]| match parse(raw) {
            Some(Address::Inet(text)) => text,
            Some(Address::Local(path)) => String::from_utf8_lossy(&path).into_owned(),
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
        assert_eq!(text(&[2]), "none");
        assert_eq!(text(&[2, 0, 1]), "none");
    }
}
