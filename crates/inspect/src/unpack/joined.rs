//! Streams of gzip, bzip2 and xz, one after the other, as their tools join them; and where the last one ends, if something else
//! follows it. Tools say no more of that than a warning, and unpack what stands before.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use liblzma::stream::Stream;

use crate::format::Format;

/// Enough to see the magic number of another stream.
const MAGIC_MAX_BYTES: usize = 6;
const BUFFER_BYTES: usize = 32 << 10;

/// Tells whether streams of a format are joined here.
pub(super) fn is_joined(format: Format) -> bool {
    matches!(format, Format::Gzip | Format::Bzip2 | Format::Xz)
}

/// Where something else begins behind the last stream, once that has been read to its end.
pub(super) type Behind = Rc<Cell<Option<u64>>>;

/// What the streams give, one after the other.
pub(super) struct Joined<'a> {
    format: Format,
    /// What a decoder of xz may need.
    memory: u64,
    one: Option<One<'a>>,
    behind: Behind,
}

impl<'a> Joined<'a> {
    pub(super) fn new(
        format: Format,
        reader: Box<dyn Read + 'a>,
        memory: u64,
        behind: &Behind,
    ) -> io::Result<Self> {
        let packed = Packed { reader, buffer: vec![0; BUFFER_BYTES], from: 0, to: 0, place: 0 };
        let one = Some(One::new(format, packed, memory)?);
        Ok(Self { format, memory, one, behind: Rc::clone(behind) })
    }

    /// Goes on to the stream behind one that has ended; if there is none, says where what follows begins.
    fn next(&self, mut packed: Packed<'a>) -> io::Result<Option<One<'a>>> {
        let end = packed.place;
        packed.skip_zeros()?;
        let near = packed.peek(MAGIC_MAX_BYTES)?;
        let magic: &[u8] = match self.format {
            Format::Gzip => b"\x1f\x8b",
            Format::Bzip2 => b"BZh",
            _ => b"\xfd7zXZ\0",
        };
        if near.starts_with(magic) {
            return One::new(self.format, packed, self.memory).map(Some);
        }
        if !near.is_empty() {
            self.behind.set(Some(end));
        }
        Ok(None)
    }
}

impl Read for Joined<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(one) = &mut self.one {
            let read = one.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            // Each stream takes some bytes, so that this comes to an end.
            let packed = self.one.take().map(One::packed);
            self.one = packed.map(|packed| self.next(packed)).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The decoder of one stream, which stops at its end.
enum One<'a> {
    Gzip(flate2::bufread::GzDecoder<Packed<'a>>),
    Bzip2(bzip2::bufread::BzDecoder<Packed<'a>>),
    Xz(liblzma::bufread::XzDecoder<Packed<'a>>),
}

impl<'a> One<'a> {
    fn new(format: Format, packed: Packed<'a>, memory: u64) -> io::Result<Self> {
        Ok(match format {
            Format::Gzip => Self::Gzip(flate2::bufread::GzDecoder::new(packed)),
            Format::Bzip2 => Self::Bzip2(bzip2::bufread::BzDecoder::new(packed)),
            _ => {
                let stream = Stream::new_stream_decoder(memory, 0)?;
                Self::Xz(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
        })
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(into),
            Self::Bzip2(decoder) => decoder.read(into),
            Self::Xz(decoder) => decoder.read(into),
        }
    }

    fn packed(self) -> Packed<'a> {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
        }
    }
}

/// A buffer that knows its place, and that can be looked into without taking anything.
struct Packed<'a> {
    reader: Box<dyn Read + 'a>,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// How many bytes were taken.
    place: u64,
}

impl Packed<'_> {
    /// Returns the next bytes: fewer than are wanted only at the end.
    fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.to - self.from < wanted {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        while self.to - self.from < wanted {
            match self.reader.read(&mut self.buffer[self.to..]) {
                Ok(0) => break,
                Ok(read) => self.to += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.from..self.to])
    }

    /// Zeros fill a stream up to a block: of xz by its own format, of the others on tapes.
    fn skip_zeros(&mut self) -> io::Result<()> {
        loop {
            let near = self.peek(1)?;
            let zeros = near.iter().take_while(|byte| **byte == 0).count();
            if zeros == 0 {
                return Ok(());
            }
            self.consume(zeros);
        }
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Packed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, amount: usize) {
        self.from = self.from.saturating_add(amount).min(self.to);
        self.place += amount as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(format: Format, content: &[u8]) -> Vec<u8> {
        match format {
            Format::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Format::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            _ => liblzma::encode_all(content, 1).unwrap(),
        }
    }

    /// Reads all, one byte of the packed ones at a time, so that every cut of the buffer is met.
    fn read(format: Format, bytes: &[u8]) -> (io::Result<Vec<u8>>, Option<u64>) {
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let end = into.len().min(1);
                self.0.read(&mut into[..end])
            }
        }
        let behind = Behind::default();
        let mut content = Vec::new();
        let read = Joined::new(format, Box::new(Slow(bytes)), 64 << 20, &behind)
            .and_then(|mut joined| joined.read_to_end(&mut content));
        (read.map(|_| content), behind.get())
    }

    #[test]
    fn streams_are_joined_and_what_follows_is_found() {
        for format in [Format::Gzip, Format::Bzip2, Format::Xz] {
            let (one, two) = (packed(format, b"one"), packed(format, b"two"));
            let check = |parts: &[&[u8]], content: &[u8], behind: Option<usize>| {
                let (read, found) = read(format, &parts.concat());
                assert_eq!(read.unwrap(), content, "{format:?}");
                assert_eq!(found, behind.map(|place| place as u64), "{format:?}");
            };
            check(&[&one], b"one", None);
            check(&[&one, &two], b"onetwo", None);
            check(&[&one, &[0; 512], &two, &[0; 40_000]], b"onetwo", None);
            check(&[&one, b"behind"], b"one", Some(one.len()));
            check(&[&one, &two, &[0; 4], b"x"], b"onetwo", Some(one.len() + two.len()));
            // Another stream that is cut off is no end.
            for cut in 6..two.len() {
                assert!(read(format, &[&one, &two[..cut]].concat()).0.is_err(), "{format:?} {cut}");
            }
        }
    }
}
