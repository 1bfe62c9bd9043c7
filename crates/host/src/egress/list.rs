//! The list of what a build may reach: host names, address ranges, ports.

use std::net::{IpAddr, Ipv6Addr};

/// The ports of an entry that names none.
const PORTS_DEFAULT: [u16; 2] = [443, 80];
/// The longest host name (RFC 1035, section 2.3.4) and label.
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;
/// The most entries of a list: more is a mistake, and each is compared with each name.
pub const ENTRIES_MAX: usize = 4096;

/// What a build may reach.
///
/// One entry a line; `#` begins a comment. An entry is `host`, `*.host` (any name below it, not itself), an address
/// or a range such as `203.0.113.0/24` or `2001:db8::/32`; `:port` after it (an IPv6 address in brackets then)
/// replaces the ports 443 and 80. The word `fetch-only` after an entry leaves it out of [`AllowList::for_build`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllowList {
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    target: Target,
    port: Option<u16>,
    fetch_only: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Target {
    Host(String),
    /// All names that end in this, which begins with a dot.
    Below(String),
    Range {
        address: IpAddr,
        bits: u32,
    },
}

/// A line of a list that means nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the list of allowed hosts: {problem}: `{text}`")]
pub struct ListError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
    /// The line.
    pub text: String,
}

impl AllowList {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |problem| ListError { line: number + 1, problem, text: line.trim().to_owned() };
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_whitespace();
            let Some(word) = words.next() else { continue };
            let fetch_only = match words.next() {
                None => false,
                Some("fetch-only") => true,
                Some(_) => return Err(wrong("only `fetch-only` may follow an entry")),
            };
            if words.next().is_some() {
                return Err(wrong("there is more than one entry"));
            }
            let (target, port) = entry(word).map_err(wrong)?;
            if entries.len() == ENTRIES_MAX {
                return Err(wrong("there are too many entries"));
            }
            entries.push(Entry { target, port, fetch_only });
        }
        Ok(Self { entries })
    }

    /// Returns the list without what is only for fetching.
    #[must_use]
    pub fn for_build(&self) -> Self {
        Self { entries: self.entries.iter().filter(|entry| !entry.fetch_only).cloned().collect() }
    }

    /// Returns the names and addresses of the entries, as rules about hosts have them: `host`, `*.host`, `address`.
    pub fn hosts(&self) -> Vec<String> {
        let host = |target: &Target| match target {
            Target::Host(host) => host.clone(),
            Target::Below(end) => format!("*{end}"),
            Target::Range { address, .. } => address.to_string(),
        };
        self.entries.iter().map(|entry| host(&entry.target)).collect()
    }

    /// Tells whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tells whether a name may be asked for at all: it is allowed on some port.
    pub fn knows(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.target.is_name(name))
    }

    /// Tells whether a name may be connected to.
    pub fn allows_name(&self, name: &str, port: u16) -> bool {
        self.entries.iter().any(|entry| entry.has_port(port) && entry.target.is_name(name))
    }

    /// Tells whether an address may be connected to without a name.
    pub fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        self.entries.iter().any(|entry| entry.has_port(port) && entry.target.has_address(address))
    }
}

impl Entry {
    fn has_port(&self, port: u16) -> bool {
        self.port.map_or_else(|| PORTS_DEFAULT.contains(&port), |own| own == port)
    }
}

impl Target {
    fn is_name(&self, name: &str) -> bool {
        match self {
            Self::Host(host) => host == name,
            Self::Below(end) => name.len() > end.len() && name.ends_with(end.as_str()),
            Self::Range { .. } => false,
        }
    }

    fn has_address(&self, other: IpAddr) -> bool {
        let Self::Range { address, bits } = self else { return false };
        address.is_ipv4() == other.is_ipv4() && {
            let unused = 128 - bits - if address.is_ipv4() { 96 } else { 0 };
            (number(*address) ^ number(other)).checked_shr(unused).unwrap_or(0) == 0
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn entry(word: &str) -> Result<(Target, Option<u16>), &'static str> {
    let (host, port) = split_port(word)?;
    if let Some(range) = range(host)? {
        return Ok((range, port));
    }
    let target = match host.strip_prefix("*.") {
        Some(rest) => Target::Below(format!(".{}", host_name(rest).ok_or("this is no host name")?)),
        None => Target::Host(host_name(host).ok_or("this is no host name")?),
    };
    Ok((target, port))
}

fn split_port(word: &str) -> Result<(&str, Option<u16>), &'static str> {
    let parsed = |port: &str| {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse().ok().filter(|port| digits && *port != 0).ok_or("this is no port")
    };
    if let Some(rest) = word.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
        host.split('/')
            .next()
            .unwrap_or_default()
            .parse::<Ipv6Addr>()
            .map_err(|_| "this is no IPv6 address")?;
        return match rest {
            "" => Ok((host, None)),
            rest => Ok((host, Some(parsed(rest.strip_prefix(':').ok_or("this is no port")?)?))),
        };
    }
    match word.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host, Some(parsed(port)?))),
        _ => Ok((word, None)),
    }
}

fn range(host: &str) -> Result<Option<Target>, &'static str> {
    let (address, bits) = host.split_once('/').map_or((host, None), |(host, bits)| (host, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return if bits.is_some() { Err("this is no range of addresses") } else { Ok(None) };
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => {
            bits.parse().ok().filter(|bits| *bits <= most).ok_or("this is no range of addresses")?
        }
    };
    let unused = most - bits;
    if number(address) & !u128::MAX.checked_shl(unused).unwrap_or(0) != 0 {
        return Err("this range has bits beyond its length");
    }
    Ok(Some(Target::Range { address, bits }))
}

/// Returns a host name as it is compared: in small letters, without the dot of the root. `None` for what is no name:
/// other characters, empty labels, numbers alone (which programs take for addresses).
pub fn host_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=LABEL_MAX_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = text.rsplit('.').next()?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    (text.len() <= NAME_MAX_BYTES && text.split('.').all(label) && !is_number)
        .then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AllowList {
        AllowList::parse(text).unwrap()
    }

    #[test]
    fn names_are_exact_or_below() {
        let list = list("# registries\ncrates.io\n*.Example.ORG # all\n\nhost.test:8080 fetch-only\n");
        for (name, port, allowed) in [
            ("crates.io", 443, true),
            ("crates.io", 80, true),
            ("crates.io", 22, false),
            ("static.crates.io", 443, false),
            ("crates.io.evil.test", 443, false),
            ("crates.i0", 443, false),
            ("a.example.org", 443, true),
            ("a.b.example.org", 443, true),
            ("example.org", 443, false),
            ("evilexample.org", 443, false),
            (".example.org", 443, false),
            ("host.test", 8080, true),
            ("host.test", 443, false),
            ("203.0.113.1", 443, false),
        ] {
            assert_eq!(list.allows_name(name, port), allowed, "{name}:{port}");
        }
        assert!(list.knows("host.test"));
        assert!(!list.for_build().knows("host.test"));
        assert!(list.for_build().knows("crates.io"));
    }

    #[test]
    fn addresses_are_given_explicitly() {
        let list = list("203.0.113.7\n198.51.100.0/24:22\n2001:db8::/32\n[2001:db9::1]:8443\n");
        for (address, port, allowed) in [
            ("203.0.113.7", 443, true),
            ("::ffff:203.0.113.7", 443, true),
            ("203.0.113.8", 443, false),
            ("198.51.100.200", 22, true),
            ("198.51.100.200", 443, false),
            ("198.51.101.1", 22, false),
            ("2001:db8:ffff::1", 80, true),
            ("2001:db9::1", 8443, true),
            ("2001:db9::1", 443, false),
        ] {
            assert_eq!(list.allows_address(address.parse().unwrap(), port), allowed, "{address}:{port}");
        }
        let all = self::list("0.0.0.0/0");
        assert!(all.allows_address("9.9.9.9".parse().unwrap(), 443));
        assert!(!all.allows_address("2001:db8::1".parse().unwrap(), 443));
        assert!(self::list("::/0").allows_address("2001:db8::1".parse().unwrap(), 443));
    }

    #[test]
    fn what_means_nothing_is_an_error_with_its_line() {
        for (text, line) in [
            ("a.test\nhttps://b.test", 2),
            ("a.test/path", 1),
            ("*", 1),
            ("*.", 1),
            ("a.*.test", 1),
            ("a..test", 1),
            ("a.test:0", 1),
            ("a.test:99999", 1),
            ("a.test:+80", 1),
            ("a.test:", 1),
            ("a.test b.test", 1),
            ("a.test fetch-only x", 1),
            ("\n\n10.0.0.1/8", 3),
            ("10.0.0.0/33", 1),
            ("10.0.0", 1),
            ("[::1", 1),
            ("[a.test]:80", 1),
            ("ä.test", 1),
            ("1.2.3.4.5", 1),
            ("a.0x7f", 1),
        ] {
            assert_eq!(AllowList::parse(text).unwrap_err().line, line, "{text}");
        }
        let many = "a.test\n".repeat(ENTRIES_MAX + 1);
        assert_eq!(AllowList::parse(&many).unwrap_err().line, ENTRIES_MAX + 1);
    }
}
