//! Bytes that are read where they lie: held in memory, in a file, or behind a decoder. Read again, a place has the same bytes, or
//! the reading fails: what was hashed is what is judged, though nothing large is held (`docs/adr/0011`).

mod pieces;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

pub(crate) use self::pieces::Pieces;

/// What is read at a time, and what a tag is for.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Chunks of one source that are kept.
const KEPT_MAX: usize = 16;
/// A decoder is started again for places that it has passed, until it has given so many times what it holds.
const REPEATS_MAX: u64 = 24;

/// A file has changed between two readings of one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the file was changed while it was read")]
pub(crate) struct Changed;

/// A decoder was started again too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("its parts are too far apart in a compressed stream")]
pub(crate) struct Scattered;

/// What gives chunks in any order.
pub(crate) trait Chunks {
    /// Reads chunk `number` into a buffer, whatever that had: a short one if it is the last, nothing if it lies behind.
    fn read(&mut self, number: u64, into: &mut Vec<u8>) -> io::Result<()>;
}

/// Chunks, of which the last ones used are kept.
struct Kept<'a> {
    chunks: Box<dyn Chunks + 'a>,
    /// The one used last stands last.
    kept: Vec<(u64, Rc<Vec<u8>>)>,
}

impl Kept<'_> {
    fn chunk(&mut self, number: u64) -> io::Result<Rc<Vec<u8>>> {
        if let Some(place) = self.kept.iter().rposition(|(known, _)| *known == number) {
            let last = self.kept.len() - 1;
            self.kept[place..=last].rotate_left(1);
            return Ok(Rc::clone(&self.kept[last].1));
        }
        // The buffer of the oldest is used again.
        let mut buffer = Vec::new();
        if self.kept.len() >= KEPT_MAX {
            let (_, oldest) = self.kept.remove(0);
            buffer = Rc::try_unwrap(oldest).unwrap_or_default();
        }
        buffer.reserve_exact(CHUNK_BYTES.saturating_sub(buffer.capacity()));
        self.chunks.read(number, &mut buffer)?;
        let chunk = Rc::new(buffer);
        self.kept.push((number, Rc::clone(&chunk)));
        Ok(chunk)
    }
}

/// A file, each chunk of which has a tag from its first reading on: that of AES-GCM under a key that nobody else has, so that
/// nobody can make other bytes for a tag (NIST SP 800-38D, "GMAC"). A quarter of the time of a digest.
struct Tagged {
    file: File,
    key: LessSafeKey,
    tags: Vec<Option<[u8; 16]>>,
    length: u64,
}

impl Chunks for Tagged {
    fn read(&mut self, number: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let at = number.saturating_mul(CHUNK_BYTES as u64);
        let want = self.length.saturating_sub(at).min(CHUNK_BYTES as u64) as usize;
        let Some(slot) = usize::try_from(number).ok().and_then(|number| self.tags.get_mut(number)) else {
            into.clear();
            return Ok(());
        };
        into.resize(want, 0);
        let read = self.file.read_exact_at(into, at);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other(Changed),
            _ => error,
        })?;
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        // Tags are compared here and go nowhere, so that a nonce may be used again for the same chunk.
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&into), &mut []);
        let tag = tag.map_err(|_| io::Error::other("a chunk cannot be tagged"))?;
        let tag: [u8; 16] =
            tag.as_ref().try_into().map_err(|_| io::Error::other("a tag has another length"))?;
        match slot {
            Some(known) if *known != tag => Err(io::Error::other(Changed)),
            _ => {
                *slot = Some(tag);
                Ok(())
            }
        }
    }
}

/// Makes a decoder, from the start.
pub(crate) type Open<'a> = Rc<dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a>;

/// What a decoder gives. It goes forwards; for what it has passed it is started again.
struct Decoded<'a> {
    open: Open<'a>,
    reader: Option<Box<dyn Read + 'a>>,
    next: u64,
    /// Chunks that have been given, and the most that there were in a row.
    given: u64,
    reached: u64,
}

impl Chunks for Decoded<'_> {
    fn read(&mut self, number: u64, into: &mut Vec<u8>) -> io::Result<()> {
        if self.reader.is_none() || number < self.next {
            self.reader = None;
            self.reader = Some((self.open)()?);
            self.next = 0;
        }
        while self.next <= number {
            into.clear();
            let reader = self.reader.as_mut().ok_or_else(|| io::Error::other("a decoder is missing"))?;
            if let Err(error) = reader.by_ref().take(CHUNK_BYTES as u64).read_to_end(into) {
                self.reader = None;
                return Err(error);
            }
            self.next += 1;
            self.given += 1;
            self.reached = self.reached.max(self.next);
            if self.given > self.reached.saturating_mul(REPEATS_MAX) {
                return Err(io::Error::other(Scattered));
            }
            if into.len() < CHUNK_BYTES && self.next <= number {
                into.clear();
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Bytes, wherever they are.
#[derive(Clone)]
pub(crate) enum Source<'a> {
    Held(&'a [u8]),
    Far(Far<'a>),
}

/// A stretch of something that is not held.
#[derive(Clone)]
pub(crate) struct Far<'a> {
    of: Rc<RefCell<Kept<'a>>>,
    start: u64,
    /// Of a decoder, nobody knows it before the end.
    length: Option<u64>,
    /// Whether every place is reached at the same cost.
    at_hand: bool,
}

impl<'a> Source<'a> {
    /// A file as long as it is now.
    pub(crate) fn file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let chunks = usize::try_from(length.div_ceil(CHUNK_BYTES as u64)).map_err(io::Error::other)?;
        let broken = |_| io::Error::other("no random key can be made");
        let mut key = [0; 16];
        aws_lc_rs::rand::fill(&mut key).map_err(broken)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(broken)?);
        let chunks = Box::new(Tagged { file, key, tags: vec![None; chunks], length });
        let of = Rc::new(RefCell::new(Kept { chunks, kept: Vec::new() }));
        Ok(Self::Far(Far { of, start: 0, length: Some(length), at_hand: true }))
    }

    /// What a decoder gives, which may be started again.
    pub(crate) fn decoded(open: Open<'a>) -> Self {
        let chunks = Box::new(Decoded { open, reader: None, next: 0, given: 0, reached: 0 });
        let of = Rc::new(RefCell::new(Kept { chunks, kept: Vec::new() }));
        Self::Far(Far { of, start: 0, length: None, at_hand: false })
    }

    /// What gives every place at about the same cost, and is so long.
    pub(crate) fn of_chunks(chunks: Box<dyn Chunks + 'a>, length: u64) -> Self {
        let of = Rc::new(RefCell::new(Kept { chunks, kept: Vec::new() }));
        Self::Far(Far { of, start: 0, length: Some(length), at_hand: true })
    }

    /// Says how long it is, once that has been found out.
    pub(crate) fn of_length(self, bytes: u64) -> Self {
        match self {
            Self::Held(held) => Self::Held(held),
            Self::Far(far) => Self::Far(Far { length: Some(bytes), ..far }),
        }
    }

    /// Its length in bytes, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Held(bytes) => Some(bytes.len() as u64),
            Self::Far(far) => far.length,
        }
    }

    /// Whether every place is reached at the same cost: not so behind a decoder.
    pub(crate) fn is_at_hand(&self) -> bool {
        match self {
            Self::Held(_) => true,
            Self::Far(far) => far.at_hand,
        }
    }

    /// A part, which must lie inside as far as the length is known.
    pub(crate) fn part(&self, at: u64, length: u64) -> Option<Source<'a>> {
        match self {
            Self::Held(bytes) => crate::bytes::slice(bytes, at, length).map(Source::Held),
            Self::Far(far) => {
                let end = at.checked_add(length)?;
                let inside = far.length.is_none_or(|whole| end <= whole);
                let start = far.start.checked_add(at)?;
                inside.then(|| Source::Far(Far { start, length: Some(length), ..far.clone() }))
            }
        }
    }

    /// Reads what is there from `at` on, at most `length` bytes.
    pub(crate) fn some(&self, at: u64, length: usize) -> io::Result<Cow<'a, [u8]>> {
        match self {
            Self::Held(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(Cow::Borrowed(&bytes[from..from.saturating_add(length).min(bytes.len())]))
            }
            Self::Far(_) => {
                let mut read = Vec::new();
                self.reader_at(at).take(length as u64).read_to_end(&mut read)?;
                Ok(Cow::Owned(read))
            }
        }
    }

    /// Reads exactly `length` bytes from `at`; `None` if they are not all there.
    pub(crate) fn exactly(&self, at: u64, length: usize) -> io::Result<Option<Cow<'a, [u8]>>> {
        let read = self.some(at, length)?;
        Ok((read.len() == length).then_some(read))
    }

    pub(crate) fn reader(&self) -> Reader<'a> {
        self.reader_at(0)
    }

    pub(crate) fn reader_at(&self, at: u64) -> Reader<'a> {
        Reader { source: self.clone(), at, chunk: None }
    }
}

/// Reads a source forwards, from anywhere.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    source: Source<'a>,
    at: u64,
    /// The chunk that is read, with its number.
    chunk: Option<(u64, Rc<Vec<u8>>)>,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let copied = match &self.source {
            Source::Held(bytes) => {
                let rest = usize::try_from(self.at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                count
            }
            Source::Far(far) => {
                let left = far.length.map_or(u64::MAX, |length| length.saturating_sub(self.at));
                let want = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                if want == 0 {
                    return Ok(0);
                }
                let place = far.start.saturating_add(self.at);
                let number = place / CHUNK_BYTES as u64;
                if self.chunk.as_ref().is_none_or(|(known, _)| *known != number) {
                    self.chunk = None;
                    self.chunk = Some((number, far.of.borrow_mut().chunk(number)?));
                }
                let Some((_, chunk)) = &self.chunk else { return Ok(0) };
                let rest = chunk.get((place % CHUNK_BYTES as u64) as usize..).unwrap_or_default();
                let count = rest.len().min(want);
                into[..count].copy_from_slice(&rest[..count]);
                if count == 0 && far.length.is_some() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                count
            }
        };
        self.at += copied as u64;
        Ok(copied)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "a place lies outside");
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.source.length().ok_or_else(outside)?.checked_add_signed(by),
        };
        self.at = at.ok_or_else(outside)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn cause(error: &io::Error) -> String {
        error.to_string()
    }

    #[test]
    fn any_place_is_read_and_parts_end_where_they_end() {
        let bytes = noise(3 * CHUNK_BYTES + 77);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let copy = bytes.clone();
        let open: Open = Rc::new(move || Ok(Box::new(io::Cursor::new(copy.clone())) as Box<dyn Read>));
        for source in [Source::Held(&bytes), Source::file(file).unwrap(), Source::decoded(open)] {
            for (at, length) in [(0, 10), (CHUNK_BYTES - 3, 9), (2 * CHUNK_BYTES, CHUNK_BYTES + 77), (5, 5)] {
                assert_eq!(*source.some(at as u64, length).unwrap(), bytes[at..at + length], "{at}");
            }
            assert_eq!(source.some(bytes.len() as u64 - 3, 100).unwrap().len(), 3);
            assert_eq!(source.exactly(bytes.len() as u64 - 3, 4).unwrap(), None);
            let source = source.of_length(bytes.len() as u64);
            let part = source.part(100, 50).unwrap();
            assert_eq!(*part.some(0, 1000).unwrap(), bytes[100..150]);
            assert!(part.part(40, 11).is_none() && part.part(u64::MAX, 2).is_none());
            assert!(source.part(bytes.len() as u64, 1).is_none());
            let mut whole = Vec::new();
            source.reader().read_to_end(&mut whole).unwrap();
            assert_eq!(whole, bytes);
            let mut reader = source.reader();
            assert_eq!(reader.seek(SeekFrom::End(-7)).unwrap(), bytes.len() as u64 - 7);
            assert!(reader.seek(SeekFrom::Start(3)).is_ok() && reader.seek(SeekFrom::Current(-4)).is_err());
        }
    }

    #[test]
    fn a_file_that_is_changed_behind_our_back_is_told() {
        let bytes = noise((KEPT_MAX + 3) * CHUNK_BYTES);
        let keep = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(keep.path(), &bytes).unwrap();
        let source = Source::file(File::open(keep.path()).unwrap()).unwrap();
        let pass = || io::copy(&mut source.reader(), &mut io::sink());
        assert_eq!(pass().unwrap(), bytes.len() as u64);
        assert_eq!(pass().unwrap(), bytes.len() as u64);
        let file = File::options().write(true).open(keep.path()).unwrap();
        file.write_all_at(&[bytes[9] ^ 1], 9).unwrap();
        assert_eq!(cause(&pass().unwrap_err()), Changed.to_string());
        file.write_all_at(&[bytes[9]], 9).unwrap();
        assert!(pass().is_ok());
        file.set_len(40).unwrap();
        assert_eq!(cause(&pass().unwrap_err()), Changed.to_string());
    }

    #[test]
    fn a_decoder_is_not_started_again_for_ever() {
        let bytes = noise(40 * CHUNK_BYTES);
        let copy = bytes.clone();
        let open: Open = Rc::new(move || Ok(Box::new(io::Cursor::new(copy.clone())) as Box<dyn Read>));
        let source = Source::decoded(open);
        let last = 39 * CHUNK_BYTES as u64;
        let mut alternating = (0..200_u64).map(|round| source.some((round % 2) * last + round, 1));
        // The start is kept as long as few others are wanted.
        assert!(alternating.next().unwrap().is_ok());
        let far = |round: u64| source.some((round * 17 % 40) * CHUNK_BYTES as u64, 1);
        let error = (0..2000).find_map(|round| far(round).err()).unwrap();
        assert_eq!(cause(&error), Scattered.to_string());
    }
}
