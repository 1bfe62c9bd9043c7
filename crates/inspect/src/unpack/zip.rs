//! ZIP (APPNOTE 6.3.10). The central directory is what installers believe; what it does not account for is a member
//! `#unlisted/N`, and where it contradicts the local headers is a problem.

mod directory;

use std::io::{self, Read};
use std::rc::Rc;

use evidence::tree::Packing;
use evidence::{BytePath, Hasher};
use liblzma::stream::Stream;

use self::directory::{Directory, Entry, Failure};
use super::{Container, stream};
use crate::budget::{Budget, Exhausted};
use crate::bytes::{le16, le32};
use crate::executable::ApkBlock;
use crate::format::Format;
use crate::open::{Key, Turn};
use crate::source::{Open, Source};

const LOCAL_BYTES: usize = 30;
const FLAG_ENCRYPTED: u16 = 1;
const FLAG_DESCRIPTOR: u16 = 1 << 3;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let directory = Directory::read(source)?;
    read(container, source, &directory)
}

/// Finds an archive at the end of bytes that begin with something else, and returns where it begins.
pub(super) fn appended(source: &Source) -> io::Result<Option<u64>> {
    let first = Directory::read(source)
        .and_then(|directory| directory.entries(source))
        .map(|entries| entries.iter().map(|entry| entry.header).min());
    match first {
        Ok(Some(first)) if source.some(first, 4)?.as_ref() == b"PK\x03\x04" => Ok(Some(first)),
        Ok(_) | Err(Failure::Malformed(_)) => Ok(None),
        Err(Failure::Unreadable(error)) => Err(error),
    }
}

/// Reads the members of an archive whose names are wanted, at most `room` bytes of them. What cannot be read is left out; that
/// it is so, an opening of the archive tells.
pub(crate) fn select(
    bytes: &[u8],
    wanted: &dyn Fn(&[u8]) -> bool,
    room: &mut u64,
) -> Option<Vec<(BytePath, Vec<u8>)>> {
    let source = Source::Held(bytes);
    let entries = Directory::read(&source).ok()?.entries(&source).ok()?;
    let mut members = Vec::new();
    for entry in entries.iter().filter(|entry| wanted(entry.name.as_bytes())) {
        if entry.size > *room {
            continue;
        }
        let local = Local::read(&source, entry).ok().flatten();
        let Some(local) = local.filter(|_| entry.flags & FLAG_ENCRYPTED == 0) else { continue };
        let Some(packed) = local.packed(&source) else { continue };
        let mut content = Vec::new();
        let read = decoder(entry, &packed).and_then(|reader| reader.take(*room).read_to_end(&mut content));
        if read.is_ok() {
            *room = room.saturating_sub(content.len() as u64);
            members.push((entry.name.clone(), content));
        }
    }
    Some(members)
}

fn read(container: &mut Container, source: &Source, directory: &Directory) -> io::Result<()> {
    let entries = directory.entries(source)?;
    let locals: Vec<Option<Local>> =
        entries.iter().map(|entry| Local::read(source, entry)).collect::<io::Result<_>>()?;
    let overlap = overlapping(&locals);
    let count = overlap.iter().filter(|overlaps| **overlaps).count();
    if count > 0 {
        container.problem(
            "overlapping-members",
            format!("{count} members share bytes with others; they are not opened"),
        );
    }
    if entries.iter().any(|entry| super::is_catalog_name(entry.name.as_bytes())) {
        container.inspection.siblings.expect_catalog();
    }
    if !entries.iter().any(|entry| entry.name.as_bytes().ends_with(b".pyc")) {
        container.inspection.siblings.expect_no_bytecode();
    }
    for ((entry, local), overlaps) in entries.iter().zip(&locals).zip(&overlap) {
        if !container.admit() {
            return Ok(());
        }
        let packed = local.as_ref().and_then(|local| Some((local, local.packed(source)?)));
        match packed {
            None => container.malformed_member(&entry.name, "its local header or content lies outside"),
            Some(_) if *overlaps => {}
            Some((local, packed)) => {
                let from = container.node.members.len();
                match member(container, &packed, entry, local) {
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                        container.member_problem(&entry.name, "unsupported-compression", error);
                    }
                    Err(error) => container.failed_member(&entry.name, &error),
                    Ok(()) => {}
                }
                container.packed(from, &Packing { modified: entry.modified, owner: None });
            }
        }
    }
    let mut ranges = Vec::new();
    if let Some(block) = ApkBlock::find(source, directory.start, directory.end())? {
        match block.facts(&container.inspection.trusted)? {
            Some(facts) => {
                ranges.push(block.range);
                container.node.signature = Some(Box::new(facts));
            }
            None => container.malformed("its signing block has no signature"),
        }
    }
    for local in locals.iter().flatten() {
        ranges.push((local.start, local.end_with_descriptor(source)?));
    }
    let first = ranges.iter().map(|(start, _)| *start).min().unwrap_or(directory.start);
    // What stands before the first member is for the reader of the outer format, if there is one.
    let from = if source.some(0, 4)?.as_ref() == b"PK\x03\x04" { 0 } else { first };
    container.gaps(source, ranges, from, directory.start)?;
    let (comment, after) = directory.comment;
    let end = source.length().unwrap_or(after);
    for (name, from, to) in [("#comment", comment, after), ("#after", after, end)] {
        let part = to.checked_sub(from).and_then(|length| source.part(from, length));
        if !container.unless_zero(name, part)? {
            break;
        }
    }
    Ok(())
}

/// Hands over the files of an archive one by one, unpacked within the budget, and looks into none of them. Overlapping members,
/// links and folders are left out.
pub(crate) fn files(bytes: &[u8], budget: &mut Budget, take: TakeFile<'_>) -> Result<(), &'static str> {
    let source = Source::Held(bytes);
    let malformed = |failure| match failure {
        Failure::Malformed(what) => what,
        Failure::Unreadable(_) => "it cannot be read",
    };
    let entries =
        Directory::read(&source).and_then(|directory| directory.entries(&source)).map_err(malformed)?;
    let locals: Vec<Option<Local>> =
        entries.iter().map(|entry| Local::read(&source, entry).ok().flatten()).collect();
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
            Some(local) => unpacked(&source, entry, local, budget),
        };
        take(&entry.name, content);
    }
    Ok(())
}

/// What takes the files of an archive.
pub(crate) type TakeFile<'a> = &'a mut dyn FnMut(&BytePath, io::Result<Vec<u8>>);

fn unpacked(source: &Source, entry: &Entry, local: &Local, budget: &mut Budget) -> io::Result<Vec<u8>> {
    let packed = local.packed(source).ok_or_else(|| io::Error::other("its content lies outside"))?;
    let (room, what) = budget.room(entry.packed);
    let mut content = Vec::new();
    let read = decoder(entry, &packed)?.take(room.saturating_add(1)).read_to_end(&mut content);
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
    start: u64,
    content: (u64, u64),
    descriptor: bool,
    names_it_so: bool,
    same_size: bool,
}

impl Local {
    /// Reads it; `None` if it is none, or lies outside.
    fn read(source: &Source, entry: &Entry) -> io::Result<Option<Self>> {
        let header = source.some(entry.header, LOCAL_BYTES)?;
        let fields = (le16(&header, 6), le32(&header, 18), le16(&header, 26), le16(&header, 28));
        let (Some(flags), Some(packed), Some(name), Some(extra)) = fields else { return Ok(None) };
        if !header.starts_with(b"PK\x03\x04") {
            return Ok(None);
        }
        let name_at = entry.header.saturating_add(LOCAL_BYTES as u64);
        let content_at = name_at.saturating_add(u64::from(name) + u64::from(extra));
        let Some(end) = content_at.checked_add(entry.packed) else { return Ok(None) };
        let own_name = source.exactly(name_at, usize::from(name))?;
        if source.part(content_at, entry.packed).is_none() {
            return Ok(None);
        }
        Ok(own_name.map(|own_name| Self {
            start: entry.header,
            content: (content_at, end),
            descriptor: flags & FLAG_DESCRIPTOR != 0,
            names_it_so: own_name.as_ref() == entry.name.as_bytes(),
            // With a descriptor, or in 64 bits, the sizes stand elsewhere.
            same_size: flags & FLAG_DESCRIPTOR != 0
                || packed == u32::MAX
                || u64::from(packed) == entry.packed,
        }))
    }

    /// The content as it stands there.
    fn packed<'a>(&self, source: &Source<'a>) -> Option<Source<'a>> {
        source.part(self.content.0, self.content.1.checked_sub(self.content.0)?)
    }

    /// Returns where the content ends, with the data descriptor that may follow it (APPNOTE 4.3.9).
    fn end_with_descriptor(&self, source: &Source) -> io::Result<u64> {
        let end = self.content.1;
        if !self.descriptor {
            return Ok(end);
        }
        // With its usual signature or without, with sizes of 32 or 64 bits: what follows must be another header.
        let near = source.some(end, 26)?;
        let starts = |at: usize| near.get(at..).is_some_and(|rest| rest.starts_with(b"PK"));
        let sizes = if near.starts_with(b"PK\x07\x08") { [16, 24] } else { [12, 20] };
        // A directory that is aligned does not follow at once; the zeros between do not matter.
        let size = sizes.into_iter().find(|size| starts(*size)).unwrap_or(sizes[0]);
        Ok(end + size as u64)
    }
}

/// Marks the members that share bytes with an earlier one (Fifield, "A better zip bomb", 2019).
fn overlapping(locals: &[Option<Local>]) -> Vec<bool> {
    let mut order: Vec<(u64, u64, usize)> = locals
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

fn member(container: &mut Container, packed: &Source, entry: &Entry, local: &Local) -> io::Result<()> {
    let name = entry.name.clone();
    // Tools that stream believe the local header; one that says something else deceives them or us.
    if !local.names_it_so {
        container.malformed_member(&name, "the local header names it otherwise");
    }
    if !local.same_size {
        container.malformed_member(&name, "the local header gives another size");
    }
    let mode = entry.unix_mode.map(|mode| mode & 0o7777);
    if entry.flags & FLAG_ENCRYPTED != 0 {
        container.member_problem(&name, "encrypted-member", "its content cannot be read without a password");
        let mut hashed = Hasher::new();
        each(packed, |bytes| hashed.update(bytes))?;
        let member = container.leaf(name, "encrypted", None);
        (member.digest, member.size, member.mode) = (Some(hashed.finish()), entry.packed, mode);
        return Ok(());
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
        return Ok(());
    }
    if kind == 0o120_000 {
        let content = container.content(checked(entry, packed)?, entry.packed)?;
        container.leaf(name, "symlink", Some(BytePath::from(&*content))).mode = mode;
        return Ok(());
    }
    let key = || {
        let mut hashed = Hasher::new();
        each(packed, |bytes| hashed.update(bytes)).ok()?;
        let packing = Some((entry.method, entry.size, entry.checksum));
        Some(Key {
            digest: hashed.finish(),
            name: name.clone(),
            packing,
            depth: container.inspection.depth(),
        })
    };
    let is_shared = !container.inspection.siblings.wants(&name);
    match if is_shared { container.inspection.turn(key) } else { Turn::Alone } {
        Turn::Known(known) => {
            if let Some(member) = container.known(known, entry.packed) {
                member.mode = mode;
                return Ok(());
            }
        }
        Turn::Mine(claim) => container.inspection.claim = Some(claim),
        Turn::Alone => {}
    }
    let opened = unpacked_member(container, name, packed, entry, mode);
    container.inspection.claim = None;
    opened
}

fn unpacked_member(
    container: &mut Container,
    name: BytePath,
    packed: &Source,
    entry: &Entry,
    mode: Option<u32>,
) -> io::Result<()> {
    if entry.method == 0 && entry.packed == entry.size && packed.is_at_hand() {
        // Stored as it is: no copy.
        let mut sum = flate2::Crc::new();
        each(packed, |bytes| sum.update(bytes))?;
        if sum.sum() != entry.checksum {
            return Err(io::Error::other("its checksum is wrong"));
        }
        container.stored(name, packed)?.mode = mode;
        return Ok(());
    }
    let mut hold = container.inspection.room.hold();
    if !container.inspection.grow(&mut hold, memory(entry, packed)?) {
        return Err(io::Error::other(Exhausted("its decoder needs too much memory")));
    }
    let open: Open = Rc::new(|| checked(entry, packed));
    container.unpacked(name, Some(entry.size), entry.packed, open)?.mode = mode;
    Ok(())
}

/// How much memory the decoder of a member needs.
fn memory(entry: &Entry, packed: &Source) -> io::Result<u64> {
    let (format, at) = match entry.method {
        14 => (Format::Lzma, 4),
        93 => (Format::Zstd, 0),
        95 => (Format::Xz, 0),
        _ => return Ok(0),
    };
    Ok(stream::memory(format, packed.some(0, 256)?.get(at..).unwrap_or_default()))
}

fn each(source: &Source, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    if let Source::Held(bytes) = source {
        take(bytes);
        return Ok(());
    }
    let (mut reader, mut buffer) = (source.reader(), vec![0; 64 << 10]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            read => take(&buffer[..read]),
        }
    }
}

/// A decoder that fails at its end if it gave another size or content than the directory says.
struct Checked<'a> {
    decoder: Box<dyn Read + 'a>,
    sum: flate2::Crc,
    given: u64,
    size: u64,
    checksum: u32,
}

fn checked<'a>(entry: &Entry, packed: &Source<'a>) -> io::Result<Box<dyn Read + 'a>> {
    let (decoder, sum) = (decoder(entry, packed)?, flate2::Crc::new());
    Ok(Box::new(Checked { decoder, sum, given: 0, size: entry.size, checksum: entry.checksum }))
}

impl Read for Checked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(into)?;
        self.sum.update(into.get(..read).unwrap_or_default());
        self.given += read as u64;
        if read > 0 || into.is_empty() {
            return Ok(read);
        }
        if self.given != self.size {
            let detail = format!("{} bytes, and {} in the directory", self.given, self.size);
            return Err(io::Error::other(detail));
        }
        if self.sum.sum() != self.checksum {
            return Err(io::Error::other("its checksum is wrong"));
        }
        Ok(0)
    }
}

/// Makes the decoder of a compression method (APPNOTE 4.4.5). It gives one byte more than it should, to be noticed.
fn decoder<'a>(entry: &Entry, packed: &Source<'a>) -> io::Result<Box<dyn Read + 'a>> {
    let source = packed.reader();
    let reader: Box<dyn Read + 'a> = match entry.method {
        0 => Box::new(source),
        8 => Box::new(flate2::read::DeflateDecoder::new(source)),
        9 => Box::new(deflate64::Deflate64Decoder::new(source)),
        12 => Box::new(bzip2::read::BzDecoder::new(source)),
        14 => lzma(entry, packed)?,
        93 => stream::of_source(Format::Zstd, packed)?,
        95 => stream::of_source(Format::Xz, packed)?,
        other => {
            let detail = format!("compression method {other} is not known");
            return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
        }
    };
    Ok(Box::new(reader.take(entry.size.saturating_add(1))))
}

/// Reads the LZMA header of a member (APPNOTE 5.8.8) and writes it as that of an `.lzma` file.
fn lzma<'a>(entry: &Entry, packed: &Source<'a>) -> io::Result<Box<dyn Read + 'a>> {
    let head = packed.some(0, 9)?;
    let Some(properties) = head.get(4..9).filter(|_| le16(&head, 2) == Some(5)) else {
        return Err(io::Error::other("its LZMA header is malformed"));
    };
    // Flag bit 1: the end is marked. Otherwise the size tells it.
    let size = if entry.flags & 2 == 0 { entry.size } else { u64::MAX };
    let header = [properties, &size.to_le_bytes()].concat();
    let stream = Stream::new_lzma_decoder(stream::memory(Format::Lzma, properties))?;
    let reader = io::Cursor::new(header).chain(packed.reader_at(9));
    Ok(Box::new(liblzma::read::XzDecoder::new_stream(reader, stream)))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
