//! A content that a file system has scattered: stretches of a source in a row, and zeros where nothing is kept.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use super::{CHUNK_BYTES, Chunks, Far, Kept, Source};
use crate::budget::Exhausted;

/// A content in more pieces is not put together: each takes memory.
const PIECES_MAX: usize = 1 << 18;

/// Where the pieces of a content stand.
#[derive(Default)]
pub(crate) struct Pieces {
    /// Where each begins in the content, and where it stands in the source; `None` for zeros.
    list: Vec<(u64, Option<u64>)>,
    length: u64,
    packed: u64,
}

impl Pieces {
    /// Adds a stretch of the source, or zeros.
    pub(crate) fn push(&mut self, at: Option<u64>, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let goes_on = match (self.list.last(), at) {
            (Some((start, Some(last))), Some(at)) => last.checked_add(self.length - start) == Some(at),
            (Some((_, None)), None) => true,
            _ => false,
        };
        if !goes_on {
            if self.list.len() >= PIECES_MAX {
                return Err(io::Error::other(Exhausted("too many pieces of one content")));
            }
            self.list.push((self.length, at));
        }
        let too_long = || io::Error::other("its content is too long");
        self.length = self.length.checked_add(length).ok_or_else(too_long)?;
        self.packed = self.packed.saturating_add(if at.is_some() { length } else { 0 });
        Ok(())
    }

    /// The length of the content.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How much of it is kept in the source.
    pub(crate) fn packed(&self) -> u64 {
        self.packed
    }

    /// The stretches one by one: where each stands, and how long it is.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let ends = self.list.iter().skip(1).map(|(start, _)| *start).chain([self.length]);
        self.list.iter().zip(ends).map(|((start, at), end)| (*at, end - start))
    }
}

/// Pieces of a source, as a source.
struct Joined<'a> {
    source: Source<'a>,
    pieces: Pieces,
}

impl Chunks for Joined<'_> {
    fn read(&mut self, number: u64, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let Pieces { list, length, .. } = &self.pieces;
        let mut at = number.saturating_mul(CHUNK_BYTES as u64);
        let end = at.saturating_add(CHUNK_BYTES as u64).min(*length);
        let first = list.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        let ends = list.iter().skip(first + 1).map(|(start, _)| *start).chain([*length]);
        for ((start, place), until) in list.iter().skip(first).zip(ends) {
            if at >= end {
                break;
            }
            let count = until.min(end) - at;
            match place {
                Some(place) => {
                    let from = place.saturating_add(at - start);
                    let read = self.source.reader_at(from).take(count).read_to_end(into)?;
                    if read as u64 != count {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                None => into.resize(into.len() + count as usize, 0),
            }
            at += count;
        }
        Ok(())
    }
}

impl<'a> Source<'a> {
    /// Puts pieces of it together; `None` if one lies outside. What stands in a row already is not copied.
    pub(crate) fn joined(&self, pieces: Pieces) -> Option<Source<'a>> {
        let is_inside =
            |(at, length): (Option<u64>, u64)| at.is_none_or(|at| self.part(at, length).is_some());
        if !pieces.each().all(is_inside) {
            return None;
        }
        match pieces.list.as_slice() {
            [] => self.part(0, 0),
            [(_, Some(at))] => self.part(*at, pieces.length),
            _ => {
                let (length, at_hand) = (Some(pieces.length), self.is_at_hand());
                let chunks = Box::new(Joined { source: self.clone(), pieces });
                let of = Rc::new(RefCell::new(Kept { chunks, kept: Vec::new() }));
                Some(Source::Far(Far { of, start: 0, length, at_hand }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(source: &Source, list: &[(Option<u64>, u64)]) -> Option<Vec<u8>> {
        let mut pieces = Pieces::default();
        for (at, length) in list {
            pieces.push(*at, *length).unwrap();
        }
        let mut content = Vec::new();
        source.joined(pieces)?.reader().read_to_end(&mut content).unwrap();
        Some(content)
    }

    #[test]
    fn pieces_stand_in_the_order_in_which_they_were_added() {
        let bytes: Vec<u8> = (0..3 * CHUNK_BYTES).map(|at| (at % 251) as u8).collect();
        let source = Source::Held(&bytes);
        let long = CHUNK_BYTES as u64 + 77;
        let content =
            joined(&source, &[(Some(long), long), (None, long), (Some(3), 0), (Some(5), 9)]).unwrap();
        let first = &bytes[long as usize..2 * long as usize];
        assert_eq!(content, [first, &vec![0; long as usize], &bytes[5..14]].concat());
        assert_eq!(joined(&source, &[]).unwrap(), b"");
        assert_eq!(joined(&source, &[(None, 3)]).unwrap(), [0; 3]);
    }

    #[test]
    fn neighbours_are_one_piece_and_nothing_lies_outside() {
        let source = Source::Held(b"abcdef");
        let mut pieces = Pieces::default();
        for at in [1, 3] {
            pieces.push(Some(at), 2).unwrap();
        }
        assert_eq!((pieces.list.len(), pieces.length(), pieces.packed()), (1, 4, 4));
        assert!(matches!(source.joined(pieces), Some(Source::Held(b"bcde"))));
        assert_eq!(joined(&source, &[(Some(0), 1), (Some(5), 2)]), None);
        assert_eq!(joined(&source, &[(Some(u64::MAX), 2)]), None);
    }

    #[test]
    fn pieces_without_end_are_not_kept() {
        let mut pieces = Pieces::default();
        let pushed = (0..=PIECES_MAX as u64).try_for_each(|number| pieces.push(Some(number * 2), 1));
        assert!(pushed.is_err());
    }
}
