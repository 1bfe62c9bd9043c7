//! Files of file systems: stretches of the volume, in the order of the file, with holes between them.

use std::io::{self, Read};

use crate::source::{CHUNK_BYTES, Chunks, Source};

/// The stretches of one file.
pub(super) struct Extents<'a> {
    volume: Source<'a>,
    pieces: Vec<Piece>,
    bytes: u64,
}

/// One stretch: where it begins in the file and, but for a hole, in the volume.
#[derive(Clone, Copy)]
struct Piece {
    start: u64,
    place: Option<u64>,
}

impl<'a> Extents<'a> {
    pub(super) fn of(volume: &Source<'a>) -> Self {
        Self { volume: volume.clone(), pieces: Vec::new(), bytes: 0 }
    }

    /// How long the file is so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a stretch of the volume; `false` if it does not lie inside.
    #[must_use]
    pub(super) fn add(&mut self, place: u64, length: u64) -> bool {
        let is_inside = self.volume.part(place, length).is_some();
        // What goes on where the last one ended is no new piece.
        let goes_on = self
            .pieces
            .last()
            .is_some_and(|last| last.place.is_some_and(|at| at + (self.bytes - last.start) == place));
        is_inside && (goes_on || self.piece(Some(place))) && self.grow(length)
    }

    /// Adds a hole, which reads as zeros; `false` if the file gets too long.
    #[must_use]
    pub(super) fn hole(&mut self, length: u64) -> bool {
        self.piece(None) && self.grow(length)
    }

    fn piece(&mut self, place: Option<u64>) -> bool {
        self.pieces.push(Piece { start: self.bytes, place });
        true
    }

    fn grow(&mut self, length: u64) -> bool {
        let sum = self.bytes.checked_add(length);
        self.bytes = sum.unwrap_or(self.bytes);
        sum.is_some()
    }

    /// The file, which is read where it lies.
    pub(super) fn source(self) -> Source<'a> {
        let bytes = self.bytes;
        match self.pieces.as_slice() {
            [] => Source::Held(b""),
            [Piece { place: Some(place), .. }] => {
                self.volume.part(*place, bytes).unwrap_or(Source::Held(b""))
            }
            _ => Source::of_chunks(Box::new(self), bytes),
        }
    }
}

impl Chunks for Extents<'_> {
    fn read(&mut self, number: u64, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let mut at = number.saturating_mul(CHUNK_BYTES as u64);
        let end = at.saturating_add(CHUNK_BYTES as u64).min(self.bytes);
        let mut next = self.pieces.partition_point(|piece| piece.start <= at);
        while at < end {
            let piece = next.checked_sub(1).and_then(|current| self.pieces.get(current));
            let piece = *piece.ok_or(io::ErrorKind::UnexpectedEof)?;
            let until = self.pieces.get(next).map_or(self.bytes, |following| following.start).min(end);
            let want = until - at;
            match piece.place {
                None => into.resize(into.len() + want as usize, 0),
                Some(place) => {
                    let part = self.volume.part(place + (at - piece.start), want);
                    let read =
                        part.ok_or(io::ErrorKind::UnexpectedEof)?.reader().take(want).read_to_end(into)?;
                    if read as u64 != want {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
            at = until;
            next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_holes_are_read_in_their_order() {
        let volume: Vec<u8> = (0..3 * CHUNK_BYTES).map(|at| (at / 1000) as u8).collect();
        let mut file = Extents::of(&Source::Held(&volume));
        let mut expected = Vec::new();
        for (place, length) in [(5000, 10), (100, CHUNK_BYTES + 3), (100 + CHUNK_BYTES + 3, 7), (0, 1)] {
            assert!(file.add(place as u64, length as u64));
            expected.extend_from_slice(&volume[place..place + length]);
            assert!(file.hole(place as u64 % 3));
            expected.resize(expected.len() + place % 3, 0);
        }
        assert!(!file.add(volume.len() as u64 - 1, 2));
        let source = file.source();
        assert_eq!(source.length(), Some(expected.len() as u64));
        let mut read = Vec::new();
        source.reader().read_to_end(&mut read).unwrap();
        assert!(read == expected);
        assert_eq!(*source.some(5, 20).unwrap(), expected[5..25]);

        let mut file = Extents::of(&Source::Held(&volume));
        assert!(file.add(10, 20) && file.add(30, 5));
        assert!(matches!(file.source(), Source::Held(bytes) if *bytes == volume[10..35]));
        assert!(!Extents::of(&Source::Held(b"")).add(0, 1));
    }
}
