//! Judges the first bytes of a connection: whom are they meant for? Pure.

use std::net::IpAddr;

use super::http::{self, Head};
use super::list::AllowList;
use super::tls::{self, Hello};

/// The most bytes that may come before it is clear whom they are meant for.
pub(crate) const HEAD_MAX_BYTES: usize = 32 << 10;

/// Whom the build connected to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Party {
    /// The name whose address it was given.
    Name(String),
    /// An address that is on the list itself.
    Address(IpAddr),
    /// Our own door for clients that know a proxy: each asks for whom it wants.
    Proxy,
}

/// A party and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) party: Party,
    pub(crate) port: u16,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.party {
            Party::Name(name) => write!(f, "{name}:{}", self.port),
            Party::Address(IpAddr::V6(six)) => write!(f, "[{six}]:{}", self.port),
            Party::Address(four) => write!(f, "{four}:{}", self.port),
            Party::Proxy => write!(f, "proxy:{}", self.port),
        }
    }
}

/// What is done with a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// More bytes must come first.
    More,
    /// They are meant for whom they were sent to.
    Meant,
    /// They ask for a tunnel to another party that is allowed; the head has so many bytes.
    Tunnel { to: Asked, bytes: usize },
    /// They are a plain request to another party that is allowed, with a head of so many bytes; only at our own door.
    Request { to: Asked, bytes: usize },
    /// They are not let through: why, and whom they were meant for if they say so.
    Refused { why: &'static str, meant: Option<String> },
}

/// Judges what has come so far.
pub(crate) fn judge(bytes: &[u8], asked: &Asked, list: &AllowList) -> Verdict {
    let verdict = match tls::hello(bytes) {
        Hello::NotTls => plain(bytes, asked, list),
        Hello::Incomplete => Verdict::More,
        Hello::Malformed => refused("malformed", None),
        Hello::Whole { encrypted: true, name } => refused("encrypted-client-hello", name),
        Hello::Whole { name, .. } => match (&asked.party, name) {
            (Party::Name(own), Some(name)) if *own == name => Verdict::Meant,
            (Party::Name(_), None) => refused("no-server-name", None),
            (Party::Address(_), None) => Verdict::Meant,
            (Party::Address(_), Some(name)) if list.allows_name(&name, asked.port) => Verdict::Meant,
            (_, name) => refused("server-name-mismatch", name),
        },
    };
    match verdict {
        Verdict::More if bytes.len() >= HEAD_MAX_BYTES => refused("head-too-long", None),
        verdict => verdict,
    }
}

fn plain(bytes: &[u8], asked: &Asked, list: &AllowList) -> Verdict {
    match http::head(bytes) {
        Head::Incomplete => Verdict::More,
        Head::Malformed => refused("malformed", None),
        // What has a port of its own on the list may speak a protocol of its own.
        Head::NotHttp if is_web(asked.port) || asked.party == Party::Proxy => {
            refused("unknown-protocol", None)
        }
        Head::NotHttp => Verdict::Meant,
        Head::Whole { host, port, connect, bytes } => {
            let own = asked.party == Party::Proxy;
            let usual = if connect { 443 } else { 80 };
            let port = port.unwrap_or(if own || connect { usual } else { asked.port });
            if connect || own {
                let to = party(&host, port, list);
                return match to {
                    None if host.contains(':') => refused("not-allowed", Some(format!("[{host}]:{port}"))),
                    None => refused("not-allowed", Some(format!("{host}:{port}"))),
                    Some(to) if connect => Verdict::Tunnel { to, bytes },
                    Some(to) => Verdict::Request { to, bytes },
                };
            }
            let same = match &asked.party {
                Party::Name(name) => *name == host && port == asked.port,
                _ => host.parse() == Ok(asked.address()) || list.allows_name(&host, port),
            };
            if same { Verdict::Meant } else { refused("host-mismatch", Some(host)) }
        }
    }
}

impl Asked {
    fn address(&self) -> IpAddr {
        match self.party {
            Party::Address(address) => address,
            _ => IpAddr::from([0; 4]),
        }
    }
}

/// The party that a host means, if it is allowed.
fn party(host: &str, port: u16, list: &AllowList) -> Option<Asked> {
    let party = match host.parse() {
        Ok(address) if list.allows_address(address, port) => Party::Address(address),
        Err(_) if list.allows_name(host, port) => Party::Name(host.to_owned()),
        _ => return None,
    };
    Some(Asked { party, port })
}

/// Tells whether the first words of a client say whom it means, on this port.
pub(crate) fn is_web(port: u16) -> bool {
    matches!(port, 443 | 80)
}

fn refused(why: &'static str, meant: Option<String>) -> Verdict {
    Verdict::Refused { why, meant }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::tls::tests::client_hello;

    fn asked(name: &str, port: u16) -> Asked {
        let party = name.parse().map_or_else(|_| Party::Name(name.into()), Party::Address);
        Asked { party, port }
    }

    fn verdict(bytes: &[u8], name: &str, port: u16) -> Verdict {
        let list = AllowList::parse("a.test\nb.test:443\na.test:22\n203.0.113.7\n").unwrap();
        judge(bytes, &asked(name, port), &list)
    }

    fn why(bytes: &[u8], name: &str, port: u16) -> &'static str {
        match verdict(bytes, name, port) {
            Verdict::Refused { why, .. } => why,
            Verdict::Meant => "meant",
            _ => "other",
        }
    }

    #[test]
    fn names_in_the_first_bytes_must_be_those_that_were_asked_for() {
        let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        for (bytes, name, port, expected) in [
            (client_hello(b"a.test"), "a.test", 443, "meant"),
            (client_hello(b"b.test"), "a.test", 443, "server-name-mismatch"),
            (client_hello(b"b.test"), "a.test", 22, "server-name-mismatch"),
            (client_hello(b"a.test"), "203.0.113.7", 443, "meant"),
            (client_hello(b"c.test"), "203.0.113.7", 443, "server-name-mismatch"),
            (get("a.test"), "a.test", 80, "meant"),
            (get("a.test:80"), "a.test", 80, "meant"),
            (get("a.test:81"), "a.test", 80, "host-mismatch"),
            (get("c.test"), "a.test", 80, "host-mismatch"),
            (get("203.0.113.7"), "203.0.113.7", 80, "meant"),
            (get("203.0.113.8"), "203.0.113.7", 80, "host-mismatch"),
            (b"SSH-2.0-client\r\n".to_vec(), "a.test", 22, "meant"),
            (b"SSH-2.0-client\r\n".to_vec(), "a.test", 443, "unknown-protocol"),
            (b"\0\0\0".to_vec(), "a.test", 80, "unknown-protocol"),
            (
                [b"GET / HTTP/1.1\r\nx: ".as_slice(), &vec![b'x'; HEAD_MAX_BYTES]].concat(),
                "a.test",
                80,
                "head-too-long",
            ),
        ] {
            assert_eq!(
                why(&bytes, name, port),
                expected,
                "{name}:{port} {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }

    #[test]
    fn tunnels_go_to_whom_is_allowed() {
        let connect = |to: &str| format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes();
        let allowed = connect("b.test:443");
        assert_eq!(
            verdict(&allowed, "a.test", 80),
            Verdict::Tunnel { to: asked("b.test", 443), bytes: allowed.len() }
        );
        for to in ["c.test:443", "b.test:22", "203.0.113.8:443", "b.test.c.test:443"] {
            assert_eq!(why(&connect(to), "a.test", 80), "not-allowed", "{to}");
        }
    }

    /// The fuzz targets look longer; this runs with every test.
    #[test]
    fn damage_is_never_let_through_as_another_name() {
        let list = AllowList::parse("a.test").unwrap();
        let get = b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec();
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for sound in [client_hello(b"a.test"), get] {
            for _ in 0..20_000 {
                let mut bytes = sound.clone();
                for _ in 0..=random(3) {
                    let at = random(bytes.len());
                    match random(3) {
                        0 => bytes[at] = random(256) as u8,
                        1 => drop(bytes.remove(at)),
                        _ => bytes.insert(at, b"\0\r\n :.\x01\xFF"[random(8)]),
                    }
                }
                let meant = judge(&bytes, &asked("a.test", 80), &list) == Verdict::Meant;
                let named = bytes.to_ascii_lowercase().windows(6).any(|word| word == b"a.test");
                assert!(!meant || named, "{}", bytes.escape_ascii());
                crate::egress::dns::Question::read(&bytes).ok();
            }
        }
    }
}
