//! The server name in the first message of a TLS client (RFC 8446, section 4.1.2; RFC 6066, section 3). What is
//! read comes from the build. Nothing is decrypted, here or elsewhere.

use super::list::host_name;

/// The first message, or as much as has come of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hello {
    /// More bytes are needed.
    Incomplete,
    /// It does not begin as TLS does.
    NotTls,
    /// It begins so, and then makes no sense.
    Malformed,
    /// It is whole.
    Whole {
        /// The server that it is meant for.
        name: Option<String>,
        /// Another name is hidden in it (encrypted client hello).
        encrypted: bool,
    },
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xFE0D;
/// The longest fragment of a record (section 5.1).
const FRAGMENT_MAX_BYTES: usize = 1 << 14;

/// Reads what has come so far.
pub fn hello(bytes: &[u8]) -> Hello {
    match bytes {
        [] | [HANDSHAKE] | [HANDSHAKE, 3] => return Hello::Incomplete,
        [HANDSHAKE, 3, 0..=4, ..] => {}
        _ => return Hello::NotTls,
    }
    match message(bytes) {
        Err(unfinished) => unfinished,
        Ok(message) => body(&message).unwrap_or(Hello::Malformed),
    }
}

/// Joins the fragments of the records to the first message, which may be spread over several.
fn message(bytes: &[u8]) -> Result<Vec<u8>, Hello> {
    let mut message = Vec::new();
    let mut records = Bytes(bytes);
    loop {
        let Some(header) = records.take(5) else { return Err(Hello::Incomplete) };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != HANDSHAKE || header[1] != 3 || length == 0 || length > FRAGMENT_MAX_BYTES {
            return Err(Hello::Malformed);
        }
        let Some(fragment) = records.take(length) else { return Err(Hello::Incomplete) };
        message.extend_from_slice(fragment);
        if message[0] != CLIENT_HELLO {
            return Err(Hello::Malformed);
        }
        let mut whole = Bytes(&message[1..]);
        if let Some(length) = whole.number(3)
            && let Some(body) = whole.take(length)
        {
            return Ok(body.to_vec());
        }
    }
}

fn body(message: &[u8]) -> Option<Hello> {
    let mut rest = Bytes(message);
    rest.take(2 + 32)?; // version, random
    rest.list(1)?; // session
    rest.list(2)?; // cipher suites
    rest.list(1)?; // compression
    let (mut name, mut encrypted) = (None, false);
    let mut extensions = if rest.0.is_empty() { Bytes(&[]) } else { rest.list(2)? };
    if !rest.0.is_empty() {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = u16::try_from(extensions.number(2)?).ok()?;
        let content = extensions.list(2)?;
        match kind {
            // Two would be read differently by different servers.
            SERVER_NAME if name.is_some() => return None,
            SERVER_NAME => name = Some(server_name(content)?),
            ENCRYPTED_CLIENT_HELLO => encrypted = true,
            _ => {}
        }
    }
    Some(Hello::Whole { name, encrypted })
}

fn server_name(mut content: Bytes<'_>) -> Option<String> {
    let mut list = content.list(2)?;
    let kind = list.take(1)?[0];
    let name = list.list(2)?.0;
    if kind != HOST_NAME || !list.0.is_empty() || !content.0.is_empty() || name.ends_with(b".") {
        return None;
    }
    host_name(std::str::from_utf8(name).ok()?)
}

/// Bytes not read yet.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads a number of up to three bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Takes what follows its own length.
    fn list(&mut self, length_bytes: usize) -> Option<Self> {
        let length = self.number(length_bytes)?;
        self.take(length).map(Self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn counted(length_bytes: usize, content: &[u8]) -> Vec<u8> {
        [&content.len().to_be_bytes()[8 - length_bytes..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().as_slice(), &counted(2, content)].concat()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &counted(2, &[[0].as_slice(), &counted(2, name)].concat()))
    }

    fn handshake(extensions: &[u8]) -> Vec<u8> {
        let body = [
            [3, 3].as_slice(),
            &[7; 32],
            &counted(1, &[9; 32]),
            &counted(2, &[0x13, 1]),
            &counted(1, &[0]),
            &counted(2, extensions),
        ]
        .concat();
        [[CLIENT_HELLO].as_slice(), &counted(3, &body)].concat()
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [[HANDSHAKE, 3, 1].as_slice(), &counted(2, content)].concat()
    }

    pub(in crate::egress) fn client_hello(name: &[u8]) -> Vec<u8> {
        record(&handshake(&[extension(43, &[2, 3, 4]), named(name)].concat()))
    }

    fn whole(name: Option<&str>, encrypted: bool) -> Hello {
        Hello::Whole { name: name.map(str::to_owned), encrypted }
    }

    #[test]
    fn the_name_is_found() {
        assert_eq!(hello(&client_hello(b"Crates.io")), whole(Some("crates.io"), false));
        assert_eq!(hello(&record(&handshake(&[]))), whole(None, false));
        let hidden = [named(b"front.test"), extension(ENCRYPTED_CLIENT_HELLO, &[0])].concat();
        assert_eq!(hello(&record(&handshake(&hidden))), whole(Some("front.test"), true));
    }

    #[test]
    fn fragments_are_joined() {
        let message = handshake(&named(b"a.test"));
        let split: Vec<u8> = message.chunks(7).flat_map(record).collect();
        assert_eq!(hello(&split), whole(Some("a.test"), false));
    }

    #[test]
    fn each_beginning_is_incomplete() {
        let bytes = client_hello(b"a.test");
        for length in 0..bytes.len() {
            assert_eq!(hello(&bytes[..length]), Hello::Incomplete, "{length}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_malformed() {
        let two = [named(b"a.test"), named(b"b.test")].concat();
        for extensions in [two, named(b"a.test\0b.test"), named(b""), named(b"10.0.0.1"), named(b"a.test.")] {
            assert_eq!(hello(&record(&handshake(&extensions))), Hello::Malformed);
        }
        assert_eq!(hello(b"GET / HTTP/1.1"), Hello::NotTls);
        assert_eq!(hello(&[HANDSHAKE, 3, 1, 0, 0]), Hello::Malformed);
        assert_eq!(hello(&[HANDSHAKE, 3, 1, 0xFF, 0xFF]), Hello::Malformed);
    }

    #[test]
    fn damage_never_panics() {
        let bytes = client_hello(b"damaged.test");
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7F, 0xFF, bytes[at] ^ 1] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                hello(&damaged);
            }
        }
    }
}
