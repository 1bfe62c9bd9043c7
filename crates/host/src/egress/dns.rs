//! Questions to name servers and our answers to them (RFC 1035). What is read comes from the build.
//!
//! Only what a resolver library sends is understood: one question, no compression. Nothing is looked up here.

use std::fmt::Write;
use std::net::IpAddr;

/// The header of a message (section 4.1.1).
const HEADER_BYTES: usize = 12;
/// A name with its lengths (section 2.3.4).
const NAME_MAX_BYTES: usize = 255;
const LABEL_MAX_BYTES: usize = 63;
/// How long clients may keep an answer, in seconds.
const KEPT_S: u32 = 60;

const ADDRESS: u16 = 1;
const ADDRESS_6: u16 = 28;
const INTERNET: u16 = 1;

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The name in small letters without the last dot; bytes that no host name has are written `\DDD`.
    pub name: String,
    /// The type asked for: 1 and 28 are addresses.
    pub kind: u16,
    id: u16,
    wants_recursion: bool,
    class: u16,
    /// The question as sent, which every answer repeats.
    raw: Vec<u8>,
}

/// A message that is no question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no question to a name server")]
pub struct NoQuestion;

/// What is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// The name has these addresses; those of the type asked for are told.
    Addresses(&'a [IpAddr]),
    /// There is no such name, as far as the build is concerned.
    NoName,
    /// Nobody can say at the moment.
    Failed,
}

impl Question {
    /// Reads a message.
    pub fn read(message: &[u8]) -> Result<Self, NoQuestion> {
        let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
        let read = || {
            let (id, flags, questions) = (word(0)?, word(2)?, word(4)?);
            // A response, or an operation other than a standard query.
            if flags & 0xF800 != 0 || questions != 1 {
                return None;
            }
            let (name, end) = name(message)?;
            let (kind, class) = (word(end)?, word(end + 2)?);
            let raw = message.get(HEADER_BYTES..end + 4)?.to_vec();
            Some(Self { name, kind, id, wants_recursion: flags & 0x0100 != 0, class, raw })
        };
        read().ok_or(NoQuestion)
    }

    /// Writes the answer.
    pub fn answer(&self, answer: Answer<'_>) -> Vec<u8> {
        let (code, addresses): (u16, &[IpAddr]) = match answer {
            Answer::Addresses(addresses) => (0, addresses),
            Answer::NoName => (3, &[]),
            Answer::Failed => (2, &[]),
        };
        let told: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| self.class == INTERNET && self.kind == kind_of(address))
            .collect();
        let flags = 0x8080 | u16::from(self.wants_recursion) << 8 | code;
        let count = u16::try_from(told.len()).unwrap_or(0);
        let mut message = Vec::new();
        for word in [self.id, flags, 1, count, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message.extend(&self.raw);
        for address in told.iter().take(usize::from(count)) {
            let bytes = match address {
                IpAddr::V4(four) => four.octets().to_vec(),
                IpAddr::V6(six) => six.octets().to_vec(),
            };
            // The name is the one that begins right after the header (section 4.1.4).
            for word in [0xC00C, kind_of(address), INTERNET] {
                message.extend(word.to_be_bytes());
            }
            message.extend(KEPT_S.to_be_bytes());
            message.extend(if address.is_ipv4() { 4_u16 } else { 16 }.to_be_bytes());
            message.extend(bytes);
        }
        message
    }
}

fn kind_of(address: &IpAddr) -> u16 {
    if address.is_ipv4() { ADDRESS } else { ADDRESS_6 }
}

/// Reads the name after the header. Returns it and where it ends.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let mut at = HEADER_BYTES;
    let mut name = String::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > LABEL_MAX_BYTES || at + length - HEADER_BYTES >= NAME_MAX_BYTES {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in message.get(at..at + length)? {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    name.push(char::from(byte.to_ascii_lowercase()));
                }
                other => write!(name, "\\{other:03}").ok()?,
            }
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &[u8], kind: u16) -> Vec<u8> {
        let mut message = vec![0xAB, 0xCD, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split(|byte| *byte == b'.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label);
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let question = Question::read(&question(b"Crates.IO", ADDRESS)).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("crates.io", 1));
        let addresses = ["198.18.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let answer = question.answer(Answer::Addresses(&addresses));
        assert_eq!(answer[..12], [0xAB, 0xCD, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[answer.len() - 6..], [0, 4, 198, 18, 0, 1]);
        assert_eq!(question.answer(Answer::NoName)[3] & 15, 3);
        assert_eq!(question.answer(Answer::Failed)[3] & 15, 2);
    }

    #[test]
    fn only_the_type_asked_for_is_told() {
        let addresses = ["198.18.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let count =
            |kind| Question::read(&question(b"a.b", kind)).unwrap().answer(Answer::Addresses(&addresses))[7];
        assert_eq!((count(ADDRESS), count(ADDRESS_6), count(16), count(65), count(255)), (1, 1, 0, 0, 0));
    }

    #[test]
    fn strange_bytes_never_look_like_a_name() {
        assert_eq!(Question::read(&question(b"a\0b\xFF c", 1)).unwrap().name, "a\\000b\\255\\032c");
        // A dot inside a label.
        let mut message = question(b"a-b.c", 1);
        message[14] = b'.';
        assert_eq!(Question::read(&message).unwrap().name, "a\\046b.c");
    }

    #[test]
    fn damage_is_no_question() {
        let whole = question(b"some.name.test", 1);
        for length in 0..whole.len() {
            assert_eq!(Question::read(&whole[..length]), Err(NoQuestion), "{length}");
        }
        for (at, value) in [(2, 0x80), (2, 0x28), (5, 0), (5, 2), (12, 0xC0), (12, 64), (12, 40)] {
            let mut message = whole.clone();
            message[at] = value;
            assert_eq!(Question::read(&message), Err(NoQuestion), "{at}={value}");
        }
        let long = question(&b"a.".repeat(200)[..399], 1);
        assert_eq!(Question::read(&long), Err(NoQuestion));
    }
}
