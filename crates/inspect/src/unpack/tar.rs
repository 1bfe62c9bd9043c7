//! tar: POSIX ustar and pax (POSIX.1-2017, `pax`, "ustar Interchange Format"), GNU and old tar, read front to back.
//! Links are facts, not followed.
//!
//! What counts is what most tools unpack: a pax or GNU record overrides the header that follows it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use evidence::BytePath;
use evidence::tree::Packing;

use super::reading::Counted;
use super::{Container, too_large};
use crate::bytes::{octal, until_zero};
use crate::room::Held;
use crate::source::Source;

const BLOCK_BYTES: usize = 512;
/// A record of names and attributes is never larger than this; the kernel's longest path has 4,096 bytes.
const RECORD_MAX_BYTES: u64 = 1 << 20;
/// Pieces of one sparse file.
const PIECES_MAX: usize = 100_000;

/// What stands behind the end.
const AFTER: &str = "#after";

type Block = [u8; BLOCK_BYTES];
/// Where a piece of a sparse file belongs, and its size in bytes.
type Piece = (u64, u64);

/// Tells whether a block is a tar header: its checksum is right, or it says `ustar`.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    let Some(Ok(block)) = bytes.get(..BLOCK_BYTES).map(<&Block>::try_from) else { return false };
    block[257..].starts_with(b"ustar") || (block[0] != 0 && sums(block))
}

/// Reads the members by a reader that passes once over the source.
pub(super) fn members(container: &mut Container, reader: &mut dyn Read, source: &Source) -> io::Result<()> {
    let mut reader = Counted { reader: io::BufReader::new(reader), position: 0 };
    read(container, &mut reader, source)
}

/// What the records before a header say of it.
#[derive(Default)]
struct Records {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Offsets and sizes of pax sparse formats 0.0, in the order in which they are written.
    pieces: Vec<u64>,
}

fn read(container: &mut Container, reader: &mut Counted<impl Read>, source: &Source) -> io::Result<()> {
    let mut global = BTreeMap::new();
    let mut records = Records::default();
    let (mut first, mut ended) = (true, false);
    loop {
        let mut block = [0; BLOCK_BYTES];
        let filled = fill(reader, &mut block)?;
        // Two blocks of zeros end an archive; others may follow, as in Alpine packages. A last block that is cut off is taken
        // as an end if it is only zeros.
        if block.iter().all(|byte| *byte == 0) {
            if filled < BLOCK_BYTES {
                return Ok(());
            }
            ended = true;
            continue;
        }
        if ended && (filled < BLOCK_BYTES || !sums(&block)) {
            return behind(container, &block[..filled], reader, source);
        }
        if filled < BLOCK_BYTES {
            return Err(cut_off());
        }
        if !sums(&block) {
            let what = if first { "the header's checksum is wrong" } else { "what follows is not a header" };
            return Err(io::Error::other(what));
        }
        first = false;
        let kind = block[156];
        let stored = match records.pax.get(&b"size"[..]) {
            // Links, devices and folders have no content, whatever size some tools write for them.
            _ if matches!(kind, b'1'..=b'6') => Some(0),
            Some(size) if !matches!(kind, b'x' | b'X' | b'g' | b'L' | b'K') => decimal(size),
            _ => number(&block[124..136]),
        };
        let stored = stored.ok_or_else(|| io::Error::other("a header has no size"))?;
        match kind {
            b'L' => records.long_name = Some(until_zero(&record(reader, stored)?).to_vec()),
            b'K' => records.long_link = Some(until_zero(&record(reader, stored)?).to_vec()),
            b'x' | b'X' => pax(&record(reader, stored)?, &mut records.pax, &mut records.pieces)?,
            b'g' => pax(&record(reader, stored)?, &mut global, &mut Vec::new())?,
            _ => {
                let mut taken = std::mem::take(&mut records);
                for (key, value) in &global {
                    taken.pax.entry(key.clone()).or_insert_with(|| value.clone());
                }
                if !container.admit() {
                    return Ok(());
                }
                let (from, packing) = (container.node.members.len(), packing(&block, &taken));
                member(container, reader, source, &block, stored, taken)?;
                container.packed(from, &packing);
            }
        }
    }
}

/// Takes what stands behind the end of an archive and is no archive: tools stop before it.
fn behind(
    container: &mut Container,
    begin: &[u8],
    reader: &mut Counted<impl Read>,
    source: &Source,
) -> io::Result<()> {
    container.malformed("something stands behind its end");
    if !container.admit() {
        return Ok(());
    }
    let place = reader.position.saturating_sub(begin.len() as u64);
    let rest = source.length().and_then(|length| source.part(place, length.checked_sub(place)?));
    if let Some(rest) = rest {
        container.stored(AFTER.into(), &rest)?;
    } else {
        let held = container.content(begin.chain(reader), u64::MAX)?;
        container.unpacked_member(AFTER.into(), held);
    }
    Ok(())
}

/// Modification time and owner (POSIX.1-2017, `pax`, "ustar Interchange Format"; the extended header goes before it).
fn packing(block: &Block, records: &Records) -> Packing {
    let extended = |key: &[u8]| records.pax.get(key).and_then(|value| decimal(value));
    let modified = records.pax.get(&b"mtime"[..]).map_or_else(
        || number(&block[136..148]),
        // Fractions of a second are no whole number: what stands before the point.
        |text| decimal(text.split(|byte| *byte == b'.').next().unwrap_or(text)),
    );
    let id = |key: &[u8], field: &[u8]| extended(key).or_else(|| number(field)).unwrap_or(0);
    let ids = format!("{}:{}", id(b"uid", &block[108..116]), id(b"gid", &block[116..124]));
    let name = |field: &[u8]| String::from_utf8_lossy(until_zero(field)).into_owned();
    let (user, group) = (name(&block[265..297]), name(&block[297..329]));
    let is_posix = &block[257..262] == b"ustar" && !(user.is_empty() && group.is_empty());
    let owner = if is_posix { format!("{ids} {user}:{group}") } else { ids };
    Packing { modified: modified.and_then(|seconds| i64::try_from(seconds).ok()), owner: Some(owner) }
}

fn member(
    container: &mut Container,
    reader: &mut Counted<impl Read>,
    source: &Source,
    block: &Block,
    stored: u64,
    mut records: Records,
) -> io::Result<()> {
    let mode = number(&block[100..108]).map(|mode| (mode & 0o7777) as u32);
    let kind = block[156];
    let sparse_name = records.pax.remove(&b"GNU.sparse.name"[..]);
    let name = sparse_name
        .or(records.long_name.take())
        .or_else(|| records.pax.remove(&b"path"[..]))
        .unwrap_or_else(|| header_name(block));
    let link = records
        .long_link
        .take()
        .or_else(|| records.pax.remove(&b"linkpath"[..]))
        .unwrap_or_else(|| until_zero(&block[157..257]).to_vec());
    let old_folder = matches!(kind, 0 | b'0') && name.ends_with(b"/");
    let name = BytePath::new(name);
    let word = match kind {
        _ if old_folder => "directory",
        0 | b'0' | b'7' | b'S' => "",
        b'1' => "hardlink",
        b'2' => "symlink",
        b'3' | b'4' => "device",
        b'5' | b'D' => "directory",
        b'6' => "fifo",
        _ => "other",
    };
    let padding = (BLOCK_BYTES as u64 - stored % BLOCK_BYTES as u64) % BLOCK_BYTES as u64;
    if word.is_empty() {
        let (pieces, real) = pieces(reader, block, &mut records)?;
        let place = reader.position;
        let mut data = reader.take(stored);
        let from = container.node.members.len();
        let opened = match real {
            None => plain(container, name.clone(), &mut data, source, place, stored),
            Some(real) if pieces.is_empty() && real > 0 => {
                content(container, &mut data, stored).and_then(|bytes| {
                    let (pieces, start) = map_in_front(&bytes)?;
                    let laid =
                        sparse(container, &mut bytes.get(start..).ok_or_else(cut_off)?, &pieces, real)?;
                    container.opened(name.clone(), &laid);
                    Ok(())
                })
            }
            Some(real) => sparse(container, &mut data, &pieces, real).map(|laid| {
                container.opened(name.clone(), &laid);
            }),
        };
        let left = data.limit();
        if let Err(error) = opened {
            container.failed_member(&name, &error);
        }
        for member in container.node.members.iter_mut().skip(from) {
            member.mode = mode;
        }
        skip(reader, left + padding)?;
    } else {
        let link = matches!(kind, b'1' | b'2').then(|| BytePath::new(link));
        container.leaf(name, word, link).mode = mode;
        skip(reader, stored + padding)?;
    }
    Ok(())
}

/// Opens a plain member, held if there is room for it. One that ends too early is an error.
fn plain(
    container: &mut Container,
    name: BytePath,
    data: &mut impl Read,
    source: &Source,
    place: u64,
    stored: u64,
) -> io::Result<()> {
    if let Source::Held(_) = source {
        let Some(Source::Held(bytes)) = source.part(place, stored) else { return Err(cut_off()) };
        container.held(name, bytes);
        return Ok(());
    }
    container.passing(name, data, source, place, stored).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(),
        _ => error,
    })
}

/// Reads a member into memory; one that ends too early is an error.
fn content(container: &mut Container, data: &mut impl Read, stored: u64) -> io::Result<Held> {
    let bytes = container.content(data, stored)?;
    if (bytes.len() as u64) < stored { Err(cut_off()) } else { Ok(bytes) }
}

/// Reads where the pieces of a sparse file belong (GNU tar manual, "Storing Sparse Files"), and its real size.
fn pieces(
    reader: &mut impl Read,
    header: &Block,
    records: &mut Records,
) -> io::Result<(Vec<Piece>, Option<u64>)> {
    let mut pieces = Vec::new();
    if header[156] == b'S' {
        old_pieces(&header[386..482], &mut pieces)?;
        let mut more = header[482] != 0;
        while more {
            let mut next = [0; BLOCK_BYTES];
            if fill(reader, &mut next)? < BLOCK_BYTES {
                return Err(cut_off());
            }
            old_pieces(&next[..504], &mut pieces)?;
            more = next[504] != 0;
        }
        let real = number(&header[483..495]).ok_or_else(|| io::Error::other("a sparse file has no size"))?;
        return Ok((pieces, Some(real)));
    }
    let map = records.pax.get(&b"GNU.sparse.map"[..]);
    let numbers = match map {
        Some(map) => map.split(|byte| *byte == b',').map(decimal).collect::<Option<Vec<u64>>>(),
        None => Some(std::mem::take(&mut records.pieces)),
    };
    let numbers = numbers.ok_or_else(|| io::Error::other("a sparse file's map has no numbers"))?;
    let real = [&b"GNU.sparse.realsize"[..], b"GNU.sparse.size"].iter().find_map(|key| records.pax.get(*key));
    let Some(real) = real else { return Ok((Vec::new(), None)) };
    let real = decimal(real).ok_or_else(|| io::Error::other("a sparse file has no size"))?;
    Ok((numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), Some(real)))
}

/// Reads the map of sparse format 1.0, which stands in front of the data: lines of numbers, padded to whole blocks.
fn map_in_front(bytes: &[u8]) -> io::Result<(Vec<Piece>, usize)> {
    let wrong = || io::Error::other("a sparse file's map is malformed");
    let mut at = 0;
    let mut next = || {
        let rest = bytes.get(at..)?;
        let end = rest.iter().take(24).position(|byte| *byte == b'\n')?;
        at += end + 1;
        decimal(&rest[..end])
    };
    let count = next().filter(|count| *count <= PIECES_MAX as u64).ok_or_else(wrong)?;
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push((next().ok_or_else(wrong)?, next().ok_or_else(wrong)?));
    }
    Ok((pieces, at.next_multiple_of(BLOCK_BYTES)))
}

fn old_pieces(entries: &[u8], pieces: &mut Vec<Piece>) -> io::Result<()> {
    for entry in entries.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let (Some(offset), Some(size)) = (number(&entry[..12]), number(&entry[12..])) else {
            return Err(io::Error::other("a sparse file's map has no numbers"));
        };
        if pieces.len() == PIECES_MAX {
            return Err(io::Error::other("a sparse file has too many pieces"));
        }
        pieces.push((offset, size));
    }
    Ok(())
}

/// Lays the pieces of a sparse file out in zeros.
fn sparse(container: &mut Container, data: &mut impl Read, pieces: &[Piece], real: u64) -> io::Result<Held> {
    let (room, what) = container.inspection.budget.room(real);
    if real > room {
        return Err(io::Error::other(what));
    }
    let mut hold = container.inspection.room.hold();
    if !container.inspection.grow(&mut hold, real) {
        return Err(too_large());
    }
    container.inspection.budget.pay(real);
    let mut bytes = Vec::new();
    for (offset, size) in pieces {
        let end = offset.checked_add(*size).filter(|end| *end <= real);
        if end.is_none() || *offset < bytes.len() as u64 {
            return Err(io::Error::other("the pieces of a sparse file overlap or lie outside"));
        }
        bytes.resize(*offset as usize, 0);
        let read = data.by_ref().take(*size).read_to_end(&mut bytes)?;
        if (read as u64) < *size {
            return Err(cut_off());
        }
    }
    bytes.resize(real as usize, 0);
    Ok(Held { bytes, hold })
}

/// Reads the records `LENGTH KEY=VALUE\n` of a pax header.
fn pax(mut bytes: &[u8], into: &mut BTreeMap<Vec<u8>, Vec<u8>>, pieces: &mut Vec<u64>) -> io::Result<()> {
    let wrong = || io::Error::other("a pax record is malformed");
    while !bytes.is_empty() && bytes[0] != 0 {
        let blank = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length = decimal(&bytes[..blank]).and_then(|length| usize::try_from(length).ok());
        let record = length.and_then(|length| bytes.get(blank + 1..length)).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        bytes = &bytes[blank + 1 + record.len() + 1..];
        if matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes") {
            pieces.push(decimal(value).ok_or_else(wrong)?);
        } else if value.is_empty() {
            into.remove(key);
        } else {
            into.insert(key.to_vec(), value.to_vec());
        }
    }
    Ok(())
}

/// Reads one block, or what is left of one.
fn fill(reader: &mut impl Read, block: &mut Block) -> io::Result<usize> {
    let mut filled = 0;
    while filled < BLOCK_BYTES {
        match reader.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn record(reader: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > RECORD_MAX_BYTES {
        return Err(io::Error::other("a record of names is too large"));
    }
    let mut bytes = Vec::new();
    reader.by_ref().take(size).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size {
        return Err(cut_off());
    }
    skip(reader, (BLOCK_BYTES as u64 - size % BLOCK_BYTES as u64) % BLOCK_BYTES as u64)?;
    Ok(bytes)
}

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.by_ref().take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(cut_off()) } else { Ok(()) }
}

fn cut_off() -> io::Error {
    io::Error::other("the archive is cut off")
}

/// Compares the checksum: the header's bytes with the checksum field as blanks, unsigned or (old tools) signed.
fn sums(block: &Block) -> bool {
    let blank = |at: usize| (148..156).contains(&at);
    let byte = |at: usize, byte: u8| if blank(at) { b' ' } else { byte };
    let unsigned: u64 = block.iter().enumerate().map(|(at, b)| u64::from(byte(at, *b))).sum();
    let signed: i64 = block.iter().enumerate().map(|(at, b)| i64::from(byte(at, *b) as i8)).sum();
    octal(&block[148..156]).is_some_and(|sum| sum == unsigned || i64::try_from(sum) == Ok(signed))
}

fn header_name(block: &Block) -> Vec<u8> {
    let name = until_zero(&block[..100]);
    // Only POSIX has a prefix; GNU keeps times there.
    let prefix = if block[257..].starts_with(b"ustar\0") { until_zero(&block[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// Reads a number of a header: octal, or base 256 if the first bit is set (GNU).
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => {
            let (high, low) = rest.split_at(rest.len().saturating_sub(8));
            high.iter()
                .all(|byte| *byte == 0)
                .then(|| low.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        }
        [0x81..=0xff, ..] => None,
        _ => octal(field),
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000017 "), Some(15));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02"), Some(258));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn pax_records_are_read_and_broken_ones_refused() {
        let mut found = BTreeMap::new();
        pax(b"11 path=a\xff\n10 size=3\n", &mut found, &mut Vec::new()).unwrap();
        assert_eq!(found[&b"path"[..]], b"a\xff");
        assert_eq!(found[&b"size"[..]], b"3");
        for broken in [&b"5 a=b\n"[..], b"99 a=b\n", b"x a=b\n", b"5 ab\n"] {
            assert!(pax(broken, &mut BTreeMap::new(), &mut Vec::new()).is_err(), "{broken:?}");
        }
    }
}
