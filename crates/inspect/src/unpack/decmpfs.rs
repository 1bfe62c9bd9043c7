//! Files that HFS+ and APFS keep compressed: an attribute `com.apple.decmpfs` says how, and holds the content or sends to the
//! resource fork. Apple publishes the header (`xnu`, `bsd/sys/decmpfs.h`); the chunks are those that its tools write.

use std::io::{self, Read};
use std::rc::Rc;

use evidence::BytePath;

use super::{Container, lzfse};
use crate::bytes::{be32, le32, le64};
use crate::source::{Open, Source};

pub(super) const ATTRIBUTE: &[u8] = b"com.apple.decmpfs";
/// `UF_COMPRESSED` of `chflags(2)`.
pub(super) const FLAG: u32 = 0x20;
/// A chunk of a fork holds so much, but for the last.
const CHUNK_BYTES: u64 = 64 << 10;
/// More is not written into an attribute, of which 3,804 bytes fit into a record.
const INLINE_MAX_BYTES: u64 = 16 << 20;
/// The longest attribute that is read for how a file is compressed.
pub(super) const ATTRIBUTE_MAX_BYTES: usize = 1 << 20;
const PACKED_MAX_BYTES: usize = 1 << 20;

#[derive(Clone, Copy)]
enum Method {
    Plain,
    Zlib,
    Lzvn,
    Lzfse,
}

/// Takes a compressed file.
pub(super) fn member(
    container: &mut Container,
    path: &BytePath,
    attribute: &[u8],
    fork: Option<&Source>,
) -> io::Result<()> {
    let (size, packed, open) = content(attribute, fork)?;
    container.unpacked(path.clone(), Some(size), packed, open)?;
    Ok(())
}

/// The content of a compressed file: its size, how much it takes packed, and its decoder.
fn content<'a>(attribute: &[u8], fork: Option<&Source<'a>>) -> io::Result<(u64, u64, Open<'a>)> {
    let wrong = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let kind = le32(attribute, 4).filter(|_| attribute.starts_with(b"fpmc"));
    let (Some(kind), Some(size)) = (kind, le64(attribute, 8)) else {
        return Err(wrong("the header of its compression cannot be read"));
    };
    let method = match kind {
        1 | 9 | 10 => Method::Plain,
        3 | 4 => Method::Zlib,
        7 | 8 => Method::Lzvn,
        11 | 12 => Method::Lzfse,
        other => {
            let detail = format!("the compression {other} of the file system is not opened");
            return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
        }
    };
    if kind == 1 || !kind.is_multiple_of(2) {
        if size > INLINE_MAX_BYTES {
            return Err(wrong("its attribute cannot hold so much"));
        }
        let packed = attribute.get(16..).unwrap_or(b"");
        let content = match kind {
            1 => packed.get(..size as usize).map(<[u8]>::to_vec),
            _ => Some(unpack(method, packed, size as usize)?),
        };
        let content: Rc<[u8]> = content.ok_or_else(|| wrong("its content is cut off"))?.into();
        let open: Open = Rc::new(move || Ok(Box::new(io::Cursor::new(Rc::clone(&content)))));
        return Ok((size, packed.len() as u64, open));
    }
    let fork = fork.ok_or_else(|| wrong("its resource fork is missing"))?.clone();
    let packed = fork.length().unwrap_or(0);
    let table = if matches!(method, Method::Zlib | Method::Plain) {
        let start = fork.exactly(0, 4)?.and_then(|start| be32(&start, 0));
        Table::Resource(start.ok_or_else(|| wrong("its resource fork is cut off"))?.into())
    } else {
        Table::Offsets
    };
    let open: Open = Rc::new(move || {
        let ready = io::Cursor::new(Vec::new());
        Ok(Box::new(Chunks { fork: fork.clone(), table, method, number: 0, left: size, ready }))
    });
    Ok((size, packed, open))
}

/// Where chunks lie in a resource fork.
#[derive(Clone, Copy)]
enum Table {
    /// A resource begins here: its size, the number of chunks, and of each the place behind the size and the length.
    Resource(u64),
    /// The fork begins with the places of chunks; the first chunk follows the last place.
    Offsets,
}

impl Table {
    fn chunk(self, fork: &Source, number: u64) -> io::Result<(u64, u64)> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its table of chunks is malformed");
        let words = |at: u64| {
            let pair = fork.exactly(at, 8)?.ok_or_else(wrong)?;
            Ok::<_, io::Error>((
                u64::from(le32(&pair, 0).unwrap_or(0)),
                u64::from(le32(&pair, 4).unwrap_or(0)),
            ))
        };
        match self {
            Self::Resource(start) => {
                let (_, count) = words(start)?;
                if number >= count {
                    return Err(wrong());
                }
                let (place, length) = words(start + 8 + number * 8)?;
                Ok((start + 4 + place, length))
            }
            Self::Offsets => {
                let (table_bytes, _) = words(0)?;
                if (number + 2) * 4 > table_bytes {
                    return Err(wrong());
                }
                let (start, end) = words(number * 4)?;
                Ok((start, end.checked_sub(start).ok_or_else(wrong)?))
            }
        }
    }
}

/// Gives the content, chunk by chunk.
struct Chunks<'a> {
    fork: Source<'a>,
    table: Table,
    method: Method,
    number: u64,
    left: u64,
    ready: io::Cursor<Vec<u8>>,
}

impl Read for Chunks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.ready.read(into)?;
            if read > 0 || self.left == 0 || into.is_empty() {
                return Ok(read);
            }
            let (at, length) = self.table.chunk(&self.fork, self.number)?;
            let length = usize::try_from(length).ok().filter(|length| *length <= PACKED_MAX_BYTES);
            let packed = match length {
                Some(length) => self.fork.exactly(at, length)?,
                None => None,
            };
            let packed =
                packed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a chunk lies outside"))?;
            let size = self.left.min(CHUNK_BYTES);
            self.ready = io::Cursor::new(unpack(self.method, &packed, size as usize)?);
            self.left -= size;
            self.number += 1;
        }
    }
}

/// Unpacks a chunk. What does not get smaller stands as it is behind a byte that no compressed chunk begins with.
fn unpack(method: Method, packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let first = packed.first().copied().unwrap_or(0);
    let is_plain = match method {
        Method::Plain => true,
        Method::Zlib => first & 0x0f == 0x0f,
        Method::Lzvn => first == 0x06,
        Method::Lzfse => first == 0xff,
    };
    let mut content = Vec::new();
    let most = size as u64 + 1;
    match method {
        _ if is_plain => packed.get(1..).unwrap_or(b"").take(most).read_to_end(&mut content)?,
        Method::Lzvn => lzfse::lzvn(packed).take(most).read_to_end(&mut content)?,
        Method::Lzfse => lzfse::lzfse(packed).take(most).read_to_end(&mut content)?,
        _ => flate2::read::ZlibDecoder::new(packed).take(most).read_to_end(&mut content)?,
    };
    if content.len() != size {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk has another size than is said"));
    }
    Ok(content)
}
