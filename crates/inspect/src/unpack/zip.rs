//! ZIP (APPNOTE 6.3.10). The central directory is what installers believe; what it does not account for is a member
//! `#unlisted/N`, and where it contradicts the local headers is a problem.

mod directory;

use std::io::{self, Read};

use evidence::BytePath;
use evidence::tree::Packing;
use liblzma::stream::Stream;

use self::directory::{Directory, Entry};
use super::{Container, stream};
use crate::budget::Budget;
use crate::bytes::{between, le16, le32, slice};

const LOCAL_BYTES: usize = 30;
const FLAG_ENCRYPTED: u16 = 1;
const FLAG_DESCRIPTOR: u16 = 1 << 3;

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    match Directory::read(bytes) {
        Ok(directory) => read(container, bytes, &directory),
        Err(what) => container.malformed(what),
    }
}

/// Finds an archive at the end of bytes that begin with something else, and returns where it begins.
pub(super) fn appended(bytes: &[u8]) -> Option<usize> {
    let directory = Directory::read(bytes).ok()?;
    let first = directory.entries(bytes).ok()?.iter().map(|entry| entry.header).min()?;
    usize::try_from(first)
        .ok()
        .filter(|first| bytes.get(*first..).is_some_and(|at| at.starts_with(b"PK\x03\x04")))
}

/// Reads the members of an archive whose names are wanted, at most `room` bytes of them. What cannot be read is left out; that
/// it is so, an opening of the archive tells.
pub(crate) fn select(
    bytes: &[u8],
    wanted: &dyn Fn(&[u8]) -> bool,
    room: &mut u64,
) -> Option<Vec<(BytePath, Vec<u8>)>> {
    let entries = Directory::read(bytes).ok()?.entries(bytes).ok()?;
    let mut members = Vec::new();
    for entry in entries.iter().filter(|entry| wanted(entry.name.as_bytes())) {
        if entry.size > *room {
            continue;
        }
        let Some(local) = Local::read(bytes, entry).filter(|_| entry.flags & FLAG_ENCRYPTED == 0) else {
            continue;
        };
        let packed = bytes.get(local.content.0..local.content.1).unwrap_or_default();
        let mut content = Vec::new();
        let read = decoder(entry, packed).and_then(|reader| reader.take(*room).read_to_end(&mut content));
        if read.is_ok() {
            *room = room.saturating_sub(content.len() as u64);
            members.push((entry.name.clone(), content));
        }
    }
    Some(members)
}

fn read(container: &mut Container, bytes: &[u8], directory: &Directory) {
    let entries = match directory.entries(bytes) {
        Ok(entries) => entries,
        Err(what) => return container.malformed(what),
    };
    let locals: Vec<Option<Local>> = entries.iter().map(|entry| Local::read(bytes, entry)).collect();
    let overlap = overlapping(&locals);
    let count = overlap.iter().filter(|overlaps| **overlaps).count();
    if count > 0 {
        container.problem(
            "overlapping-members",
            format!("{count} members share bytes with others; they are not opened"),
        );
    }
    for ((entry, local), overlaps) in entries.iter().zip(&locals).zip(&overlap) {
        if !container.admit() {
            return;
        }
        match local {
            None => container.malformed_member(&entry.name, "its local header or content lies outside"),
            Some(_) if *overlaps => {}
            Some(local) => {
                let from = container.node.members.len();
                member(container, bytes, entry, local);
                container.packed(from, &Packing { modified: entry.modified, owner: None });
            }
        }
    }
    let mut ranges: Vec<(usize, usize)> =
        locals.iter().flatten().map(|local| (local.start, local.end_with_descriptor(bytes))).collect();
    let first = ranges.iter().map(|(start, _)| *start).min().unwrap_or(directory.start);
    // What stands before the first member is for the reader of the outer format, if there is one.
    let from = if bytes.starts_with(b"PK\x03\x04") { 0 } else { first };
    container.unlisted(between(bytes, &mut ranges, from, directory.start));
    for (name, content) in [("#comment", directory.comment), ("#after", directory.after)] {
        if content.iter().any(|byte| *byte != 0) && container.admit() {
            container.bytes(name.into(), content);
        }
    }
}

/// Hands over the files of an archive one by one, unpacked within the budget, and looks into none of them. Overlapping members,
/// links and folders are left out.
pub(crate) fn files(bytes: &[u8], budget: &mut Budget, take: TakeFile<'_>) -> Result<(), &'static str> {
    let directory = Directory::read(bytes)?;
    let entries = directory.entries(bytes)?;
    let locals: Vec<Option<Local>> = entries.iter().map(|entry| Local::read(bytes, entry)).collect();
    for ((entry, local), overlaps) in entries.iter().zip(&locals).zip(overlapping(&locals)) {
        budget.member().map_err(|what| what.0)?;
        let kind = entry.unix_mode.map_or(0, |mode| mode & 0o170_000);
        if entry.name.as_bytes().ends_with(b"/") || !matches!(kind, 0 | 0o100_000) {
            continue;
        }
        let content = match local {
            _ if overlaps => Err(io::Error::other("it shares bytes with another member")),
            None => Err(io::Error::other("its local header or content lies outside")),
            Some(_) if entry.flags & FLAG_ENCRYPTED != 0 => Err(io::Error::other("it is encrypted")),
            Some(local) => unpacked(bytes, entry, local, budget),
        };
        take(&entry.name, content);
    }
    Ok(())
}

/// What takes the files of an archive.
pub(crate) type TakeFile<'a> = &'a mut dyn FnMut(&BytePath, io::Result<Vec<u8>>);

fn unpacked(bytes: &[u8], entry: &Entry, local: &Local, budget: &mut Budget) -> io::Result<Vec<u8>> {
    let packed = bytes.get(local.content.0..local.content.1).unwrap_or(b"");
    let (room, what) = budget.room(packed.len() as u64);
    let mut content = Vec::new();
    let read = decoder(entry, packed)?.take(room.saturating_add(1)).read_to_end(&mut content);
    budget.pay(content.len() as u64);
    read?;
    if content.len() as u64 > room {
        return Err(io::Error::other(what));
    }
    if content.len() as u64 != entry.size || checksum(&content) != entry.checksum {
        return Err(io::Error::other("its size or checksum is wrong"));
    }
    Ok(content)
}

/// A local header and the content behind it.
struct Local {
    start: usize,
    content: (usize, usize),
    descriptor: bool,
    names_it_so: bool,
    same_size: bool,
}

impl Local {
    fn read(bytes: &[u8], entry: &Entry) -> Option<Self> {
        let header = slice(bytes, entry.header, LOCAL_BYTES as u64)?;
        if !header.starts_with(b"PK\x03\x04") {
            return None;
        }
        let (flags, name, extra) = (le16(header, 6)?, le16(header, 26)?, le16(header, 28)?);
        let name_at = entry.header + LOCAL_BYTES as u64;
        let content_at = name_at + u64::from(name) + u64::from(extra);
        let end = content_at.checked_add(entry.packed)?;
        slice(bytes, content_at, entry.packed)?;
        let packed = u64::from(le32(header, 18)?);
        Some(Self {
            start: usize::try_from(entry.header).ok()?,
            content: (usize::try_from(content_at).ok()?, usize::try_from(end).ok()?),
            descriptor: flags & FLAG_DESCRIPTOR != 0,
            names_it_so: slice(bytes, name_at, u64::from(name))? == entry.name.as_bytes(),
            // With a descriptor, or in 64 bits, the sizes stand elsewhere.
            same_size: flags & FLAG_DESCRIPTOR != 0
                || packed == u64::from(u32::MAX)
                || packed == entry.packed,
        })
    }

    /// Returns where the content ends, with the data descriptor that may follow it (APPNOTE 4.3.9).
    fn end_with_descriptor(&self, bytes: &[u8]) -> usize {
        let end = self.content.1;
        if !self.descriptor {
            return end;
        }
        // With its usual signature or without, with sizes of 32 or 64 bits: what follows must be another header.
        let starts = |at: usize| bytes.get(at..).is_some_and(|rest| rest.starts_with(b"PK"));
        let marked = bytes.get(end..).is_some_and(|rest| rest.starts_with(b"PK\x07\x08"));
        let sizes = if marked { [16, 24] } else { [12, 20] };
        let found = sizes.into_iter().map(|size| end + size).find(|at| starts(*at));
        // A directory that is aligned does not follow at once; the zeros between do not matter.
        found.unwrap_or(end + sizes[0])
    }
}

/// Marks the members that share bytes with an earlier one (Fifield, "A better zip bomb", 2019).
fn overlapping(locals: &[Option<Local>]) -> Vec<bool> {
    let mut order: Vec<(usize, usize, usize)> = locals
        .iter()
        .enumerate()
        .filter_map(|(number, local)| local.as_ref().map(|local| (local.start, local.content.1, number)))
        .collect();
    order.sort_unstable();
    let mut overlap = vec![false; locals.len()];
    let mut end = 0;
    let mut last = None;
    for (start, content_end, number) in order {
        if start < end {
            overlap[number] = true;
            if let Some(last) = last {
                overlap[last] = true;
            }
        }
        if content_end > end {
            (end, last) = (content_end, Some(number));
        }
    }
    overlap
}

fn member(container: &mut Container, bytes: &[u8], entry: &Entry, local: &Local) {
    let name = entry.name.clone();
    // Tools that stream believe the local header; one that says something else deceives them or us.
    if !local.names_it_so {
        container.malformed_member(&name, "the local header names it otherwise");
    }
    if !local.same_size {
        container.malformed_member(&name, "the local header gives another size");
    }
    let mode = entry.unix_mode.map(|mode| mode & 0o7777);
    let packed = bytes.get(local.content.0..local.content.1).unwrap_or(b"");
    if entry.flags & FLAG_ENCRYPTED != 0 {
        container.member_problem(&name, "encrypted-member", "its content cannot be read without a password");
        let member = container.leaf(name, "encrypted", None);
        (member.digest, member.size, member.mode) =
            (Some(evidence::Digest::of(packed)), packed.len() as u64, mode);
        return;
    }
    let kind = entry.unix_mode.map_or(0, |mode| mode & 0o170_000);
    let special = match kind {
        0o020_000 | 0o060_000 => Some("device"),
        0o010_000 => Some("fifo"),
        _ if name.as_bytes().ends_with(b"/") && entry.size == 0 => Some("directory"),
        _ => None,
    };
    if let Some(word) = special {
        container.leaf(name, word, None).mode = mode;
        return;
    }
    if entry.method == 0 && packed.len() as u64 == entry.size && kind != 0o120_000 {
        // Stored as it is: no copy.
        if checksum(packed) != entry.checksum {
            return container.malformed_member(&name, "its checksum is wrong");
        }
        container.bytes(name, packed).mode = mode;
        return;
    }
    let content = decoder(entry, packed).and_then(|reader| container.content(reader, packed.len() as u64));
    let content = match content {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            return container.member_problem(&name, "unsupported-compression", error);
        }
        Err(error) => return container.failed_member(&name, &error),
    };
    if content.len() as u64 != entry.size {
        let detail = format!("{} bytes, and {} in the directory", content.len(), entry.size);
        return container.malformed_member(&name, detail);
    }
    if checksum(&content) != entry.checksum {
        return container.malformed_member(&name, "its checksum is wrong");
    }
    if kind == 0o120_000 {
        container.leaf(name, "symlink", Some(BytePath::new(content))).mode = mode;
        return;
    }
    let member = container.inspection.member(container.node, container.path, name, &content);
    container.push(member).mode = mode;
}

/// Makes the decoder of a compression method (APPNOTE 4.4.5). It gives one byte more than it should, to be noticed.
fn decoder<'a>(entry: &Entry, packed: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    let reader: Box<dyn Read + 'a> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(flate2::read::DeflateDecoder::new(packed)),
        9 => Box::new(deflate64::Deflate64Decoder::new(packed)),
        12 => Box::new(bzip2::read::BzDecoder::new(packed)),
        14 => lzma(entry, packed)?,
        93 => stream::decoder(crate::format::Format::Zstd, packed)?,
        95 => stream::decoder(crate::format::Format::Xz, packed)?,
        other => {
            let detail = format!("compression method {other} is not known");
            return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
        }
    };
    Ok(Box::new(reader.take(entry.size.saturating_add(1))))
}

/// Reads the LZMA header of a member (APPNOTE 5.8.8) and writes it as that of an `.lzma` file.
fn lzma<'a>(entry: &Entry, packed: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    let properties = packed.get(4..9).filter(|_| le16(packed, 2) == Some(5));
    let (Some(properties), Some(rest)) = (properties, packed.get(9..)) else {
        return Err(io::Error::other("its LZMA header is malformed"));
    };
    // Flag bit 1: the end is marked. Otherwise the size tells it.
    let size = if entry.flags & 2 == 0 { entry.size } else { u64::MAX };
    let header = [properties, &size.to_le_bytes()].concat();
    let stream = Stream::new_lzma_decoder(stream::LZMA_MEMORY_MAX_BYTES)?;
    Ok(Box::new(liblzma::read::XzDecoder::new_stream(io::Cursor::new(header).chain(rest), stream)))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
