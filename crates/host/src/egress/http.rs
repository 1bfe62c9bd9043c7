//! The host in the head of an HTTP/1 request (RFC 9112). What is read comes from the build.

use super::list::host_name;

/// The head of a request, or as much as has come of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Head {
    /// More bytes are needed.
    Incomplete,
    /// It does not begin as a request does.
    NotHttp,
    /// It begins so, and then makes no sense, or could be read in two ways.
    Malformed,
    /// It is whole.
    Whole {
        /// Whom it is meant for.
        host: String,
        /// The port, if one is named.
        port: Option<u16>,
        /// It asks a proxy to connect (`CONNECT host:port`).
        connect: bool,
        /// How many bytes the head has.
        bytes: usize,
    },
}

const METHOD_MAX_BYTES: usize = 16;

/// Reads what has come so far.
pub fn head(bytes: &[u8]) -> Head {
    let method = bytes.iter().take(METHOD_MAX_BYTES + 1).position(|byte| *byte == b' ');
    let letters = method.unwrap_or_else(|| bytes.len().min(METHOD_MAX_BYTES + 1));
    if letters > METHOD_MAX_BYTES
        || !bytes[..letters].iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
    {
        return Head::NotHttp;
    }
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Head::Incomplete };
    match std::str::from_utf8(&bytes[..end]).ok().and_then(parse) {
        Some((host, port, connect)) => Head::Whole { host, port, connect, bytes: end + 4 },
        None => Head::Malformed,
    }
}

fn parse(head: &str) -> Option<(String, Option<u16>, bool)> {
    // A line end by itself, or a zero, is where servers and proxies disagree.
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return None;
    }
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return None;
    }
    let mut host = None;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if name.eq_ignore_ascii_case("host") && host.replace(authority(value.trim())?).is_some() {
            return None;
        }
    }
    let connect = method == "CONNECT";
    let named = if connect {
        Some(authority(target)?)
    } else if target.starts_with('/') || target == "*" {
        None
    } else {
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        Some(authority(rest.split(['/', '?']).next()?)?)
    };
    // Of a target with a host, a server must take that and ignore the header: they must say the same.
    let (host, port) = match (named, host) {
        (Some(named), Some(header)) if named.0 != header.0 => return None,
        (Some(named), _) => named,
        (None, header) => header?,
    };
    (!connect || port.is_some()).then_some((host, port, connect))
}

/// Reads `host` or `host:port`. Addresses are kept as they are written; they are on no list of names.
fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            (host, Some(port.parse().ok().filter(|_| digits)?))
        }
        _ => (text, None),
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    Some((address.map_or_else(|_| host_name(host), |address| Some(address.to_string()))?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(host: &str, port: Option<u16>, connect: bool, bytes: usize) -> Head {
        Head::Whole { host: host.into(), port, connect, bytes }
    }

    #[test]
    fn hosts_are_found() {
        let plain = b"GET /a HTTP/1.1\r\nAccept: */*\r\nhost: Crates.io\r\n\r\nrest";
        assert_eq!(head(plain), whole("crates.io", None, false, plain.len() - 4));
        let port = b"POST / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n";
        assert_eq!(head(port), whole("a.test", Some(8080), false, port.len()));
        let connect = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
        assert_eq!(head(connect), whole("a.test", Some(443), true, connect.len()));
        let old = b"CONNECT a.test:443 HTTP/1.0\r\n\r\n";
        assert_eq!(head(old), whole("a.test", Some(443), true, old.len()));
        let absolute = b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
        assert_eq!(head(absolute), whole("a.test", None, false, absolute.len()));
        let six = b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n";
        assert_eq!(head(six), whole("2001:db8::1", Some(80), false, six.len()));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_malformed() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\nHost: b.test\r\n\r\n",
            "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test@b.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test:+80\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a.test\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "CONNECT b.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(head(text.as_bytes()), Head::Malformed, "{text:?}");
        }
    }

    #[test]
    fn beginnings_are_incomplete_and_others_not_http() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        for length in 0..bytes.len() {
            assert_eq!(head(&bytes[..length]), Head::Incomplete, "{length}");
        }
        for other in [b"SSH-2.0-x\r\n".as_slice(), b"\x16\x03\x01", b"get / HTTP/1.1", &[b'A'; 40]] {
            assert_eq!(head(other), Head::NotHttp, "{other:?}");
        }
    }
}
