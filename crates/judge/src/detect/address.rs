//! What a target says: `tcp:198.51.100.7:443`, `udp:[2001:db8::1]:53`, `unix:/run/x`, `host:443`, `host`.

use std::net::{IpAddr, Ipv6Addr};

use evidence::EventKind;

/// A parsed target; what is not there is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Address<'a> {
    /// `tcp`, `udp`, `unix`, ….
    pub(super) family: &'a [u8],
    /// The name or the address as text.
    pub(super) host: &'a [u8],
    pub(super) port: Option<u16>,
    pub(super) ip: Option<IpAddr>,
}

impl<'a> Address<'a> {
    /// Reads the target of an event of this kind.
    pub(super) fn of(kind: EventKind, target: &'a [u8]) -> Self {
        match kind {
            EventKind::Resolve => Self { family: b"dns", host: trim_dot(target), ..Self::default() },
            EventKind::Request => Self::with_port(b"tcp", target),
            _ => {
                let Some(at) = target.iter().position(|byte| *byte == b':') else { return Self::default() };
                let (family, rest) = (&target[..at], &target[at + 1..]);
                match family {
                    b"tcp" | b"udp" => Self::with_port(family, rest),
                    _ => Self { family, host: rest, ..Self::default() },
                }
            }
        }
    }

    fn with_port(family: &'a [u8], text: &'a [u8]) -> Self {
        let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
            Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok().and_then(|p| p.parse().ok())),
            None => (text, None),
        };
        let host = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
        let ip = std::str::from_utf8(host).ok().and_then(|host| host.parse::<IpAddr>().ok());
        Self { family, host: trim_dot(host), port, ip: ip.map(|ip| ip.to_canonical()) }
    }

    /// Where it leads: `local` (no network), `loopback`, `link-local`, `private`, `public`, or `named`.
    pub(super) fn scope(&self) -> &'static str {
        match self.ip {
            _ if !matches!(self.family, b"tcp" | b"udp" | b"dns") => "local",
            Some(ip) if ip.is_loopback() || ip.is_unspecified() => "loopback",
            Some(IpAddr::V4(ip)) if ip.is_link_local() => "link-local",
            Some(IpAddr::V4(ip)) if ip.is_private() => "private",
            Some(IpAddr::V6(ip)) if is_unique_local(ip) => "private",
            Some(IpAddr::V6(ip)) if ip.segments()[0] & 0xffc0 == 0xfe80 => "link-local",
            Some(_) => "public",
            None if self.host == b"localhost" || self.host.ends_with(b".localhost") => "loopback",
            None => "named",
        }
    }

    /// The last two labels of a name: near enough to the domain that somebody registered.
    pub(super) fn domain(&self) -> &'a [u8] {
        if self.ip.is_some() {
            return b"";
        }
        let mut dots = self.host.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.');
        match dots.nth(1) {
            Some((at, _)) => &self.host[at + 1..],
            None => self.host,
        }
    }

    /// Tells whether talking to it can bring bytes from other machines (asking a name server does not count).
    pub(super) fn brings_bytes(&self) -> bool {
        let web = self.family == b"tcp" || (self.family == b"udp" && self.port == Some(443));
        web && self.port != Some(53) && !matches!(self.scope(), "local" | "loopback")
    }
}

fn trim_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

fn is_unique_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xfe00 == 0xfc00
}

/// Tells whether two names differ by one or two typing errors (Levenshtein distance 1 or 2), without allocating.
pub(super) fn is_lookalike(name: &[u8], known: &[u8]) -> bool {
    const LONGEST: usize = 64;
    if name == known || name.len() > LONGEST || known.len() > LONGEST || name.len().abs_diff(known.len()) > 2
    {
        return false;
    }
    let mut row = [0_usize; LONGEST + 1];
    for (at, cell) in row.iter_mut().enumerate() {
        *cell = at;
    }
    for (line, byte) in name.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (at, other) in known.iter().enumerate() {
            let cost = diagonal + usize::from(!byte.eq_ignore_ascii_case(other));
            diagonal = row[at + 1];
            row[at + 1] = cost.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[known.len()] <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (kind, target, host, port, scope) in [
            (EventKind::Connect, "tcp:198.51.100.7:443", "198.51.100.7", Some(443), "public"),
            (EventKind::Connect, "udp:[2001:db8::1]:53", "2001:db8::1", Some(53), "public"),
            (EventKind::Connect, "tcp:[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", Some(80), "loopback"),
            (EventKind::Connect, "unix:/run/x", "/run/x", None, "local"),
            (EventKind::Connect, "tcp:169.254.169.254:80", "169.254.169.254", Some(80), "link-local"),
            (EventKind::Request, "a.example:8000", "a.example", Some(8000), "named"),
            (EventKind::Resolve, "a.example.", "a.example", None, "named"),
            (EventKind::Connect, "nonsense", "", None, "local"),
        ] {
            let address = Address::of(kind, target.as_bytes());
            assert_eq!(
                (address.host, address.port, address.scope()),
                (host.as_bytes(), port, scope),
                "{target}"
            );
        }
        assert_eq!(Address::of(EventKind::Resolve, b"x.y.h4ck.cfd").domain(), b"h4ck.cfd");
    }

    #[test]
    fn lookalikes_differ_a_little() {
        assert!(is_lookalike(b"aquasecurtiy.org", b"aquasecurity.org"));
        assert!(is_lookalike(b"npmjs.co", b"npmjs.com"));
        assert!(!is_lookalike(b"npmjs.com", b"npmjs.com"));
        assert!(!is_lookalike(b"crates.io", b"npmjs.com"));
    }
}
