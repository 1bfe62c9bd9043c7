//! A network of the build's own: a user and a network namespace, made by the child itself before its program starts.
//!
//! The build keeps its user, its groups and its paths: there is no namespace of mounts or processes, and whoever is
//! mapped is mapped to itself. [`Inside::enter`] runs between `clone` and `exec`: it makes nothing but system calls.

use std::fs;
use std::io;
use std::os::fd::{AsFd, IntoRawFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};
use rustix::thread::CapabilitySet;

/// Sockets made inside and given to the recorder, which binds them when they are needed.
pub(crate) const STREAMS_MAX: usize = 96;
pub(crate) const DATAGRAMS_MAX: usize = 8;

/// What a child does to be in a network of its own.
#[derive(Debug)]
pub(crate) struct Inside {
    /// Questions to the kernel's router, and whether it must agree.
    setup: Vec<(Vec<u8>, bool)>,
    streams: usize,
    datagrams: usize,
}

impl Inside {
    /// Only loopback: nothing else is there.
    pub(crate) fn alone() -> Self {
        Self { setup: vec![(loopback_up(), true)], streams: 0, datagrams: 0 }
    }

    /// Every address in the world is this machine ("any IP"), and sockets are handed out to answer there.
    pub(crate) fn everywhere() -> Self {
        let routes = [(route_here(libc::AF_INET), true), (route_here(libc::AF_INET6), false)];
        let setup = [(loopback_up(), true)].into_iter().chain(routes).collect();
        Self { setup, streams: STREAMS_MAX, datagrams: DATAGRAMS_MAX }
    }

    /// Goes in. `entered` makes the namespaces and waits until the user has been mapped; `give` hands a socket over by
    /// its number.
    pub(crate) fn enter(
        &self,
        entered: impl FnOnce() -> Result<(), Errno>,
        give: impl Fn(i32),
    ) -> Result<(), Errno> {
        entered()?;
        {
            // No protocol is the first: routes and interfaces.
            let router = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
            for (question, needed) in &self.setup {
                match ask(&router, question) {
                    Err(error) if *needed => return Err(error),
                    _ => {}
                }
            }
        }
        for _ in 0..self.streams {
            give(unbound(SocketType::STREAM)?);
        }
        for _ in 0..self.datagrams {
            give(unbound(SocketType::DGRAM)?);
        }
        // A build that is root here must not take the routes away, or write packets by hand.
        for capability in [CapabilitySet::NET_ADMIN, CapabilitySet::NET_RAW] {
            rustix::thread::remove_capability_from_bounding_set(capability)?;
        }
        Ok(())
    }
}

fn ask(router: impl AsFd, question: &[u8]) -> Result<(), Errno> {
    rustix::net::send(&router, question, SendFlags::empty())?;
    let mut answer = [0; 512];
    let (length, _) = rustix::net::recv(&router, &mut answer[..], RecvFlags::empty())?;
    // `struct nlmsghdr` and the error of `struct nlmsgerr`, which is 0 or negative.
    match answer[..length].get(16..20) {
        Some([0, 0, 0, 0]) => Ok(()),
        Some([a, b, c, d]) => Err(Errno::from_raw_os_error(-i32::from_ne_bytes([*a, *b, *c, *d]))),
        _ => Err(Errno::BADMSG),
    }
}

fn unbound(kind: SocketType) -> Result<i32, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::INET6, kind, flags, None)
        .or_else(|_| socket_with(AddressFamily::INET, kind, flags, None))
        .map(IntoRawFd::into_raw_fd)
}

/// The header of a netlink message, and its content (`netlink(7)`).
fn message(kind: u16, flags: u16, content: &[u8]) -> Vec<u8> {
    const REQUEST_ACKNOWLEDGED: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut message = Vec::new();
    message.extend((16 + content.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST_ACKNOWLEDGED | flags).to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend(content);
    message
}

/// The number of the loopback interface, the first of every namespace.
const LOOPBACK: u32 = 1;

fn loopback_up() -> Vec<u8> {
    let up = libc::IFF_UP.cast_unsigned().to_ne_bytes();
    // `struct ifinfomsg`: family, padding, type; index; flags; which flags to change.
    message(libc::RTM_NEWLINK, 0, &[[0; 4], LOOPBACK.to_ne_bytes(), up, up].concat())
}

/// `ip route add local 0.0.0.0/0 dev lo`, or `::/0`.
fn route_here(family: i32) -> Vec<u8> {
    const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let family = family as u8;
    let scope =
        if i32::from(family) == libc::AF_INET { libc::RT_SCOPE_HOST } else { libc::RT_SCOPE_UNIVERSE };
    // `struct rtmsg`: family, lengths of destination and source, service; table, protocol, scope, type; flags.
    let route =
        [family, 0, 0, 0, libc::RT_TABLE_LOCAL, libc::RTPROT_STATIC, scope, libc::RTN_LOCAL, 0, 0, 0, 0];
    let device = [8_u16.to_ne_bytes(), libc::RTA_OIF.to_ne_bytes()].concat();
    let content = [route.as_slice(), &device, &LOOPBACK.to_ne_bytes()].concat();
    message(libc::RTM_NEWROUTE, CREATE, &content)
}

/// Maps a child's user and group to themselves: all of them if we may, else our own.
pub(crate) fn map_ids(child: i32) -> io::Result<()> {
    let write = |name: &str, text: &str| fs::write(format!("/proc/{child}/{name}"), text);
    let all = |name: &str| Ok::<_, io::Error>(identity(&fs::read_to_string(format!("/proc/self/{name}"))?));
    if write("uid_map", &all("uid_map")?).is_ok() {
        return write("gid_map", &all("gid_map")?);
    }
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    write("setgroups", "deny")?;
    write("uid_map", &format!("{user} {user} 1\n"))?;
    write("gid_map", &format!("{group} {group} 1\n"))
}

/// Of a map of ours, the one that changes nothing.
fn identity(own: &str) -> String {
    let same = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.nth(1)?.to_owned()))
    };
    own.lines().filter_map(same).map(|(first, count)| format!("{first} {first} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_ranges_becomes_one_that_changes_nothing() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
        assert_eq!(identity(""), "");
    }

    #[test]
    fn messages_have_the_length_that_they_say() {
        for message in [loopback_up(), route_here(libc::AF_INET), route_here(libc::AF_INET6)] {
            assert_eq!(message[..4], u32::try_from(message.len()).unwrap().to_ne_bytes());
        }
    }
}
