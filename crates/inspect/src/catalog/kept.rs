//! What a file said, as bytes: how the cache of a scan keeps it, and numbers and texts in such bytes.
//!
//! Numbers are little-endian in groups of seven bits, the high bit saying that more follow; a text is its length and its bytes, a
//! list the number of its elements and these; fields follow each other as they are declared. There is no version in it: whoever
//! keeps it knows the program that wrote it. Damaged bytes are refused, and what they ask for is never more than they are long.

use std::borrow::Cow;

use evidence::bom::State;

use super::found::{Found, Stated, System};

const STATES: [State; 4] = [State::Installed, State::Embedded, State::Locked, State::Declared];

/// Writes a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes bytes with their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes that are read from their beginning.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// Takes so many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Takes a number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Takes bytes that stand there with their length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Takes a text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn owned(&mut self) -> Option<String> {
        self.text().map(str::to_owned)
    }

    fn word(&mut self) -> Option<Cow<'static, str>> {
        self.owned().map(Cow::Owned)
    }

    fn place(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Takes a list. An element is at least one byte: no list is longer than what is left.
    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len())?;
        let mut list = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            list.push(element(self)?);
        }
        Some(list)
    }

    fn either<T>(&mut self, element: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => element(self).map(Some),
            _ => None,
        }
    }
}

fn put_list<T>(out: &mut Vec<u8>, list: &[T], element: impl Fn(&mut Vec<u8>, &T)) {
    put_number(out, list.len() as u64);
    list.iter().for_each(|one| element(out, one));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_pair(out: &mut Vec<u8>, first: &str, second: &str) {
    put_text(out, first);
    put_text(out, second);
}

impl Found {
    /// Writes it as bytes.
    pub fn keep(&self, out: &mut Vec<u8>) {
        let Self { packages, relations, needs, direct, problems, system } = self;
        put_list(out, packages, |out, package| package.keep(out));
        put_list(out, relations, |out, (from, to)| {
            put_number(out, u64::from(*from));
            put_number(out, u64::from(*to));
        });
        put_list(out, needs, |out, (from, name)| {
            put_number(out, u64::from(*from));
            put_text(out, name);
        });
        put_list(out, direct, |out, place| put_number(out, u64::from(*place)));
        put_list(out, problems, |out, (kind, detail)| put_pair(out, kind, detail));
        out.push(u8::from(system.is_some()));
        if let Some(System { id, version }) = system {
            put_pair(out, id, version);
        }
    }

    /// Reads what [`Self::keep`] has written: all of it or nothing.
    pub fn kept(bytes: &[u8]) -> Option<Self> {
        let from = &mut Bytes(bytes);
        let found = Self {
            packages: from.list(Stated::kept)?,
            relations: from.list(|from| Some((from.place()?, from.place()?)))?,
            needs: from.list(|from| Some((from.place()?, from.owned()?)))?,
            direct: from.list(Bytes::place)?,
            problems: from.list(|from| Some((from.owned()?, from.owned()?)))?,
            system: from.either(|from| Some(System { id: from.owned()?, version: from.owned()? }))?,
        };
        from.0.is_empty().then_some(found)
    }
}

impl Stated {
    fn keep(&self, out: &mut Vec<u8>) {
        let Self {
            ecosystem,
            namespace,
            name,
            version,
            qualifiers,
            kind,
            state,
            licences,
            supplier,
            hashes,
            cpes,
            provides,
            properties,
        } = self;
        for text in [ecosystem.as_ref(), namespace, name, version] {
            put_text(out, text);
        }
        put_list(out, qualifiers, |out, (name, value)| put_pair(out, name, value));
        put_text(out, kind);
        let number = STATES.iter().position(|known| known == state).unwrap_or_default();
        put_number(out, number as u64);
        put_list(out, licences, |out, text| put_text(out, text));
        out.push(u8::from(supplier.is_some()));
        if let Some(supplier) = supplier {
            put_text(out, supplier);
        }
        put_list(out, hashes, |out, (algorithm, digits)| put_pair(out, algorithm, digits));
        put_list(out, cpes, |out, text| put_text(out, text));
        put_list(out, provides, |out, text| put_text(out, text));
        put_list(out, properties, |out, (name, value)| put_pair(out, name, value));
    }

    fn kept(from: &mut Bytes<'_>) -> Option<Self> {
        let pair = |from: &mut Bytes| Some((from.word()?, from.owned()?));
        Some(Self {
            ecosystem: from.word()?,
            namespace: from.owned()?,
            name: from.owned()?,
            version: from.owned()?,
            qualifiers: from.list(pair)?,
            kind: from.word()?,
            state: *STATES.get(usize::from(from.byte()?))?,
            licences: from.list(Bytes::owned)?,
            supplier: from.either(Bytes::owned)?,
            hashes: from.list(pair)?,
            cpes: from.list(Bytes::owned)?,
            provides: from.list(Bytes::owned)?,
            properties: from.list(pair)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let full = Stated {
            ecosystem: "npm".into(),
            namespace: "@scope".into(),
            name: "é".into(),
            version: "1".into(),
            qualifiers: vec![("arch".into(), "amd64".into())],
            kind: "application".into(),
            state: State::Locked,
            licences: vec!["MIT".into(), String::new()],
            supplier: Some("Maker".into()),
            hashes: vec![("MD5".into(), "ab".repeat(16))],
            cpes: vec!["cpe:2.3:a:b".into()],
            provides: vec!["other".into()],
            properties: vec![("long".into(), "x".repeat(300))],
        };
        Found {
            packages: vec![full, Stated { name: "bare".into(), ..Stated::default() }],
            relations: vec![(0, 1)],
            needs: vec![(1, "é".into())],
            direct: vec![300],
            problems: vec![("malformed".into(), "detail".into())],
            system: Some(System { id: "debian".into(), version: "12".into() }),
        }
    }

    #[test]
    fn what_is_kept_is_read_as_it_was() {
        for found in [Found::default(), found()] {
            let mut bytes = Vec::new();
            found.keep(&mut bytes);
            assert_eq!(Found::kept(&bytes), Some(found));
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_mean_something_else_and_never_more_than_they_are() {
        let mut whole = Vec::new();
        found().keep(&mut whole);
        for at in 0..whole.len() {
            assert_eq!(Found::kept(&whole[..at]), None, "cut at {at}");
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert_ne!(Found::kept(&bytes), Some(found()), "bit {bit} of byte {at}");
            }
        }
        assert_eq!(Found::kept(&[[0xff; 9].as_slice(), &[0x01]].concat()), None, "an endless list");
    }

    #[test]
    fn a_number_has_sixty_four_bits() {
        for number in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(Bytes(&bytes).number(), Some(number));
        }
        assert_eq!(Bytes(&[[0xff; 9].as_slice(), &[0x02]].concat()).number(), None);
    }
}
