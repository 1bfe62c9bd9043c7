//! The caller's end of a connection that the recorder makes in its place.
//!
//! It is the caller's own socket, of which both have a descriptor for a moment. Where the machine does not allow that
//! (containers often refuse `pidfd_getfd`), it is a new socket of the same kind, put in the place of the caller's once
//! it is connected; options that were set before are lost then.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, netlink, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::line::Reply;
use super::supervisor::descriptor_path;
use crate::egress::proxy::{Shared, Way};

/// How far the clock of files may be behind (100 ticks a second).
const TICK: Duration = Duration::from_millis(20);

/// Whom a caller is to be connected to.
pub(super) enum Peer {
    Inet(SocketAddr),
    /// A port and groups of the kernel's own (`netlink(7)`).
    Kernel(u32, u32),
    /// A socket in the file system, held by its name.
    Path(OwnedFd),
    Abstract(Vec<u8>),
    Nobody,
}

/// A socket to connect, and the flags that its owner gave it.
pub(super) struct Seat {
    pub(super) socket: OwnedFd,
    flags: OFlags,
    /// The descriptor whose place it takes, if it is not the owner's already.
    replaces: Option<u32>,
}

impl Seat {
    /// Takes the socket of a process, or makes another of the same kind.
    pub(super) fn take(pid: i32, number: u64, peer: &Peer, may_take: bool) -> Result<Self, Errno> {
        if may_take {
            let socket = descriptor(pid, number)?;
            let flags = rustix::fs::fcntl_getfl(&socket)?;
            return Ok(Self { socket, flags, replaces: None });
        }
        let number = u32::try_from(number).map_err(|_| Errno::BADF)?;
        let told = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).map_err(|_| Errno::BADF)?;
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).map_err(|_| Errno::BADF)?;
        let link = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        let inode = link.ok_or(Errno::NOTSOCK)?;
        let (family, kind) = match peer {
            // The guard lets no internet socket of another kind come into being.
            Peer::Inet(SocketAddr::V4(_)) => (AddressFamily::INET, SocketType::STREAM),
            Peer::Inet(SocketAddr::V6(_)) => (AddressFamily::INET6, SocketType::STREAM),
            Peer::Path(_) | Peer::Abstract(_) => (AddressFamily::UNIX, local_kind(pid, inode)?),
            Peer::Kernel(..) | Peer::Nobody => return Err(Errno::OPNOTSUPP),
        };
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, flags: flags(&told), replaces: Some(number) })
    }

    /// Tells whether its owner waits until it is connected.
    pub(super) fn waits(&self) -> bool {
        !self.flags.contains(OFlags::NONBLOCK)
    }

    /// Connects it, as its owner would. A socket of our making may wait whatever its owner wanted.
    pub(super) fn connect(&self, peer: &Peer) -> Result<(), Errno> {
        match peer {
            Peer::Inet(address) => rustix::net::connect(&self.socket, address),
            Peer::Kernel(port, groups) => {
                rustix::net::connect(&self.socket, &netlink::SocketAddrNetlink::new(*port, *groups))
            }
            Peer::Path(file) => {
                rustix::net::connect(&self.socket, &SocketAddrUnix::new(descriptor_path(file))?)
            }
            Peer::Abstract(name) => {
                rustix::net::connect(&self.socket, &SocketAddrUnix::new_abstract_name(name)?)
            }
            Peer::Nobody => rustix::net::connect_unspec(&self.socket),
        }
    }

    /// Connects it without waiting.
    pub(super) fn connect_at_once(&self, peer: &Peer) -> Result<(), Errno> {
        let before = rustix::fs::fcntl_getfl(&self.socket)?;
        rustix::fs::fcntl_setfl(&self.socket, before | OFlags::NONBLOCK)?;
        let result = self.connect(peer);
        rustix::fs::fcntl_setfl(&self.socket, before)?;
        result
    }

    /// Tells whether the other end listens in one of these processes. Datagram sockets do not know.
    pub(super) fn is_with(&self, met: &Mutex<HashSet<i32>>) -> bool {
        let known = |process| met.lock().unwrap_or_else(PoisonError::into_inner).contains(&process);
        matches!(sockopt::socket_type(&self.socket), Ok(SocketType::DGRAM)) || self.peer().is_some_and(known)
    }

    /// Returns the process that listens at the other end.
    pub(super) fn peer(&self) -> Option<i32> {
        Some(sockopt::socket_peercred(&self.socket).ok()?.pid.as_raw_pid())
    }

    /// Ends the connection before a byte went over it.
    pub(super) fn leave(&self) {
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).ok();
    }

    /// Gives it to its owner, if it is not his yet.
    pub(super) fn hand_back(&self, line: &Reply, id: u64) -> io::Result<()> {
        let Some(number) = self.replaces else { return Ok(()) };
        if !self.waits() {
            rustix::fs::fcntl_setfl(&self.socket, OFlags::NONBLOCK)?;
        }
        line.put(id, self.socket.as_fd(), number, self.flags.contains(OFlags::CLOEXEC))
    }

    /// Tells the proxy where a process comes from.
    pub(super) fn tell(&self, witness: &Shared, process: u32) {
        let way = match sockopt::socket_type(&self.socket) {
            Ok(SocketType::DGRAM) => Way::Datagram,
            _ => Way::Stream,
        };
        if let Ok(from) = rustix::net::getsockname(&self.socket).and_then(SocketAddr::try_from) {
            witness.comes_from(way, from, process);
        }
    }
}

/// Tells whether a file was there before. Who listened first and forked then is known by a number that another process
/// may have been given since, so that alone proves nothing.
pub(super) fn is_older(file: &OwnedFd, than: SystemTime) -> bool {
    let Ok(facts) = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME) else { return false };
    if !StatxFlags::from_bits_retain(facts.stx_mask).contains(StatxFlags::BTIME) {
        return false;
    }
    let seconds = u64::try_from(facts.stx_btime.tv_sec).unwrap_or(0);
    let made = SystemTime::UNIX_EPOCH + Duration::new(seconds, facts.stx_btime.tv_nsec) + TICK;
    made < than
}

/// Takes a descriptor of a process, to the same open file.
pub(super) fn descriptor(pid: i32, number: u64) -> Result<OwnedFd, Errno> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let number = i32::try_from(number & 0xFFFF_FFFF).map_err(|_| Errno::BADF)?;
    rustix::process::pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())
}

/// Tells whether this machine lets us take descriptors at all: of ourselves we may, or nobody may.
pub(super) fn may_take() -> bool {
    match descriptor(rustix::process::getpid().as_raw_pid(), 0) {
        Ok(_) | Err(Errno::BADF) => true,
        Err(_) => false,
    }
}

/// Reads the flags of a descriptor, in octal (`proc_pid_fdinfo(5)`).
pub(super) fn flags(told: &str) -> OFlags {
    let line = told.lines().find_map(|line| line.strip_prefix("flags:"));
    let bits = line.and_then(|line| u32::from_str_radix(line.trim(), 8).ok());
    OFlags::from_bits_retain(bits.unwrap_or(0))
}

/// Looks a socket's kind up: `Num RefCount Protocol Flags Type St Inode Path` (`proc_pid_net(5)`).
fn local_kind(pid: i32, inode: &str) -> Result<SocketType, Errno> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/unix")).map_err(|_| Errno::BADF)?;
    let line = table.lines().find(|line| line.split_whitespace().nth(6) == Some(inode));
    match line.and_then(|line| line.split_whitespace().nth(4)) {
        Some("0001") => Ok(SocketType::STREAM),
        Some("0005") => Ok(SocketType::SEQPACKET),
        _ => Err(Errno::OPNOTSUPP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_the_kernel_writes_them() {
        let told = "pos:\t0\nflags:\t02004002\nmnt_id:\t10\n";
        assert!(flags(told).contains(OFlags::NONBLOCK | OFlags::CLOEXEC));
        assert!(!flags("flags:\t02\n").contains(OFlags::NONBLOCK));
        assert_eq!(flags("flags:\tx\n"), OFlags::empty());
    }
}
