//! Rules on what the build is about to do, before it is done.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::proxy::{Proxy, Report, Shared, Way};
use super::{Egress, Names};

/// How far a build is held back, and by whom.
pub(crate) struct Control {
    mode: Mode,
    /// The build is in a network of its own; else only the recorder stands between it and the world.
    inside: bool,
    proxy: Option<Proxy>,
    /// Where clients that know a proxy find ours, where the build has no network of its own.
    door: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Observed,
    Denied,
    Allowed,
}

/// What is done with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ruling {
    /// It may be carried out.
    Pass,
    /// It has this result.
    Refuse { errno: i32, why: &'static str },
}

/// What a process is about to do with an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) process: u32,
    /// `None` for kinds that are neither.
    pub(crate) way: Option<Way>,
    pub(crate) address: SocketAddr,
    pub(crate) what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Connect,
    /// A datagram with an address, or a stream that begins with one.
    Send,
    Bind,
}

const DENIED: Ruling = Ruling::Refuse { errno: libc::ENETUNREACH, why: "egress" };
const NOT_ALLOWED: Ruling = Ruling::Refuse { errno: libc::EACCES, why: "not-allowed" };

impl Control {
    /// Watches, and holds nothing back.
    pub(crate) fn observe() -> Self {
        Self { mode: Mode::Observed, inside: false, proxy: None, door: None }
    }

    /// Takes control of a child in a network of its own, from which these sockets are.
    pub(crate) fn inside(egress: &Egress, names: &Names, sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let (mode, proxy) = match egress {
            Egress::Audit => return Ok(Self::observe()),
            Egress::Deny => (Mode::Denied, None),
            Egress::Allow(list) => (Mode::Allowed, Some(Proxy::open(list.clone(), names.clone(), sockets)?)),
        };
        Ok(Self { mode, inside: true, proxy, door: None })
    }

    /// Takes control of a child in our own network, which is not started yet.
    pub(crate) fn beside(egress: &Egress, names: &Names) -> io::Result<Self> {
        let mut control = Self::inside(egress, names, Vec::new())?;
        control.inside = false;
        control.door = control.proxy.as_mut().map(Proxy::serve_here).transpose()?;
        Ok(control)
    }

    /// The variables by which programs find the proxy, where they must know it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let Some(door) = self.door else { return Vec::new() };
        let proxy = format!("http://{door}");
        let mut variables = Vec::new();
        for name in
            ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "CARGO_HTTP_PROXY"]
        {
            variables.push((name.to_owned(), proxy.clone()));
        }
        for name in ["no_proxy", "NO_PROXY"] {
            variables.push((name.to_owned(), "localhost,127.0.0.1,::1".to_owned()));
        }
        variables
    }

    /// The stable word for what was in force.
    pub(crate) fn word(&self) -> &'static str {
        match (self.mode, self.inside) {
            (Mode::Observed, _) => "observed",
            (Mode::Denied, true) => "denied-namespace",
            (Mode::Denied, false) => "denied-notification",
            (Mode::Allowed, true) => "allowed-namespace",
            (Mode::Allowed, false) => "allowed-notification",
        }
    }

    pub(crate) fn is_observing(&self) -> bool {
        self.mode == Mode::Observed
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.inside
    }

    /// What is readable when there are reports.
    pub(crate) fn told(&self) -> Option<BorrowedFd<'_>> {
        self.proxy.as_ref().map(Proxy::told)
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.proxy.as_ref().map(Proxy::reports).unwrap_or_default()
    }

    pub(crate) fn close(&mut self) -> Vec<Report> {
        self.proxy.as_mut().map(Proxy::close).unwrap_or_default()
    }

    /// Notes who comes, if this is our own door.
    pub(crate) fn expect_at_door(&self, address: SocketAddr, process: u32) {
        if self.door == Some(address)
            && let Some(proxy) = &self.proxy
        {
            proxy.expect(Way::Stream, address, process);
        }
    }

    /// Returns whom to tell where the connections come from that the recorder makes.
    pub(crate) fn witness(&self) -> Option<Arc<Shared>> {
        self.proxy.as_ref().map(Proxy::shared)
    }

    /// Rules on an attempt; sees to it that somebody answers if it is allowed.
    pub(crate) fn rule(&mut self, attempt: &Attempt) -> Ruling {
        let at = SocketAddr::new(attempt.address.ip().to_canonical(), attempt.address.port());
        let local = at.ip().is_loopback() || at.ip().is_unspecified();
        if attempt.what == What::Bind {
            return self.rule_bind(local, at);
        }
        match (self.mode, self.inside) {
            (Mode::Observed, _) => Ruling::Pass,
            (Mode::Denied, true) if local => Ruling::Pass,
            (_, true) => self.rule_inside(attempt, at, local),
            (_, false) => self.rule_beside(attempt, at, local),
        }
    }

    /// Inside, every address can be bound, but only our own are the build's to give.
    fn rule_bind(&self, local: bool, at: SocketAddr) -> Ruling {
        match self.mode {
            Mode::Observed => Ruling::Pass,
            _ if local => Ruling::Pass,
            // Multicast groups are joined, not reached, by binding to them.
            _ if at.ip().is_multicast() => Ruling::Pass,
            _ => Ruling::Refuse { errno: libc::EADDRNOTAVAIL, why: "egress" },
        }
    }

    fn rule_inside(&mut self, attempt: &Attempt, at: SocketAddr, local: bool) -> Ruling {
        let Some(proxy) = &mut self.proxy else { return DENIED };
        let Some(way) = attempt.way else { return if local { Ruling::Pass } else { NOT_ALLOWED } };
        let asked = match (way, at.port()) {
            (_, 53) => None,
            _ if local => return Ruling::Pass,
            (Way::Datagram, _) => {
                // Libraries connect datagram sockets to learn how an address is reached. Nothing is sent by that,
                // and what is sent afterwards finds nobody.
                let learns = attempt.what == What::Connect && proxy.is_handed(at.ip());
                return if learns { Ruling::Pass } else { NOT_ALLOWED };
            }
            (Way::Stream, _) => match proxy.party(at) {
                Some(asked) => Some(asked),
                None => return NOT_ALLOWED,
            },
        };
        // The kernel takes no address for that of this machine.
        let at =
            if at.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())) } else { at };
        match proxy.serve(way, at, asked, attempt.process) {
            Ok(()) => Ruling::Pass,
            // A name server of the build's own.
            Err(error) if local && error.kind() == io::ErrorKind::AddrInUse => Ruling::Pass,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Ruling::Refuse { errno: libc::EACCES, why: "address-in-use" }
            }
            Err(_) => Ruling::Refuse { errno: libc::EACCES, why: "too-many-destinations" },
        }
    }

    /// In our own network only streams are made, and only by the recorder.
    fn rule_beside(&self, attempt: &Attempt, at: SocketAddr, local: bool) -> Ruling {
        let listed =
            self.mode == Mode::Allowed && self.proxy.as_ref().is_some_and(|proxy| proxy.party(at).is_some());
        match (attempt.what, attempt.way) {
            // A name server of this machine would ask others outside.
            (What::Connect, Some(Way::Stream)) if (local && at.port() != 53) || listed => Ruling::Pass,
            _ if self.mode == Mode::Denied => DENIED,
            _ => NOT_ALLOWED,
        }
    }
}

/// Reads the address of an internet socket as the kernel does.
pub(crate) fn internet(raw: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(raw.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?);
    let address = match family {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(raw.get(4..8)?).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(raw.get(8..24)?).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}
