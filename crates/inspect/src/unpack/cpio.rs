//! cpio, read front to back: `newc` and `crc` (Linux `initramfs` buffer format) and `odc` (POSIX.1-1997).

use std::collections::BTreeMap;
use std::io::{self, Read};

use evidence::BytePath;
use evidence::tree::Packing;

use super::Container;
use super::reading::{Counted, Summed};
use crate::bytes::until_zero;
use crate::source::Source;

/// The kernel's longest path, with room.
const NAME_MAX_BYTES: u64 = 1 << 16;
const TRAILER: &[u8] = b"TRAILER!!!";

/// A header of any of the formats.
struct Header {
    inode: (u64, u64),
    mode: u64,
    links: u64,
    size: u64,
    modified: u64,
    owner: (u64, u64),
    name_bytes: u64,
    /// Sum of the content's bytes, in the `crc` format.
    sum: Option<u64>,
    /// Names and contents are padded to this.
    align: u64,
    header_bytes: u64,
}

/// Reads the members by a reader that passes once over the source.
pub(super) fn members(container: &mut Container, reader: &mut dyn Read, source: &Source) -> io::Result<()> {
    let mut reader = Counted { reader: io::BufReader::new(reader), position: 0 };
    read(container, &mut reader, source)
}

fn read(container: &mut Container, reader: &mut Counted<impl Read>, source: &Source) -> io::Result<()> {
    // Of a file with several names only the last one in the archive has the content.
    let mut empty: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    while let Some(header) = header(reader)? {
        if header.name_bytes == 0 || header.name_bytes > NAME_MAX_BYTES {
            return Err(io::Error::other("a name's length is out of range"));
        }
        let name = exactly(reader, header.name_bytes)?;
        skip(reader, padding(header.header_bytes + header.name_bytes, header.align))?;
        let name = until_zero(&name).to_vec();
        if name == TRAILER {
            // Archives may follow each other, as in an initramfs.
            skip(reader, header.size)?;
            empty.clear();
            continue;
        }
        if !container.admit() {
            return Ok(());
        }
        let from = container.node.members.len();
        member(container, reader, source, &header, BytePath::new(name), &mut empty)?;
        let owner = Some(format!("{}:{}", header.owner.0, header.owner.1));
        container.packed(from, &Packing { modified: i64::try_from(header.modified).ok(), owner });
        skip(reader, padding(header.size, header.align))?;
    }
    Ok(())
}

fn member(
    container: &mut Container,
    reader: &mut Counted<impl Read>,
    source: &Source,
    header: &Header,
    name: BytePath,
    empty: &mut BTreeMap<(u64, u64), Vec<usize>>,
) -> io::Result<()> {
    let place = reader.position;
    let mut data = Summed { reader: reader.take(header.size), sum: 0 };
    let word = match header.mode & 0o170_000 {
        0o100_000 | 0 => "",
        0o040_000 => "directory",
        0o120_000 => "symlink",
        0o020_000 | 0o060_000 => "device",
        0o010_000 => "fifo",
        _ => "other",
    };
    let number = container.node.members.len();
    let opened = match word {
        "" => container.passing(name.clone(), &mut data, source, place, header.size),
        "symlink" => container.content(&mut data, header.size).map(|held| {
            container.leaf(name.clone(), word, Some(BytePath::from(&*held)));
        }),
        _ => {
            container.leaf(name.clone(), word, None);
            Ok(())
        }
    };
    let (left, sum) = (data.reader.limit(), data.sum);
    match opened {
        Ok(()) => skip(reader, left)?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(cut_off()),
        Err(error) => {
            container.failed_member(&name, &error);
            return skip(reader, left);
        }
    }
    let Some(member) = container.node.members.get_mut(number) else { return Ok(()) };
    member.mode = Some((header.mode & 0o7777) as u32);
    if word.is_empty() {
        if header.sum.is_some_and(|expected| expected != u64::from(sum)) {
            container.malformed_member(&name, "its checksum is wrong");
        }
        if header.links > 1 && header.size == 0 {
            empty.entry(header.inode).or_default().push(number);
        } else if header.links > 1 {
            link(container, empty.remove(&header.inode).unwrap_or_default(), &name);
        }
    }
    Ok(())
}

/// Says of names without content where the content is.
fn link(container: &mut Container, numbers: Vec<usize>, to: &BytePath) {
    for number in numbers {
        if let Some(node) = container.node.members.get_mut(number) {
            node.format = "hardlink".to_owned();
            node.digest = Some(evidence::Digest::of(to.as_bytes()));
            node.size = to.as_bytes().len() as u64;
            node.link = Some(to.clone());
        }
    }
}

/// Reads a header; `None` at the end. Zeros between archives are skipped.
fn header(reader: &mut impl Read) -> io::Result<Option<Header>> {
    let mut first = [0];
    loop {
        match reader.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) if first[0] != 0 => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut magic = first.to_vec();
    magic.extend(exactly(reader, 5)?);
    match magic.as_slice() {
        b"070701" | b"070702" => {
            let fields = exactly(reader, 104)?;
            let number = |at: usize| number(&fields[at * 8..at * 8 + 8], 16);
            Ok(Some(Header {
                inode: (number(7)? << 32 | number(8)?, number(0)?),
                mode: number(1)?,
                links: number(4)?,
                size: number(6)?,
                modified: number(5)?,
                owner: (number(2)?, number(3)?),
                name_bytes: number(11)?,
                sum: if magic == b"070702" { Some(number(12)?) } else { None },
                align: 4,
                header_bytes: 110,
            }))
        }
        b"070707" => {
            let fields = exactly(reader, 70)?;
            let number = |from: usize, to: usize| number(&fields[from..to], 8);
            Ok(Some(Header {
                inode: (number(0, 6)?, number(6, 12)?),
                mode: number(12, 18)?,
                links: number(30, 36)?,
                size: number(59, 70)?,
                modified: number(42, 53)?,
                owner: (number(18, 24)?, number(24, 30)?),
                name_bytes: number(53, 59)?,
                sum: None,
                align: 1,
                header_bytes: 76,
            }))
        }
        _ => Err(io::Error::other("what follows is not a header")),
    }
}

fn number(field: &[u8], radix: u32) -> io::Result<u64> {
    std::str::from_utf8(field)
        .ok()
        .and_then(|text| u64::from_str_radix(text, radix).ok())
        .ok_or_else(|| io::Error::other("a header's field is not a number"))
}

fn padding(bytes: u64, align: u64) -> u64 {
    (align - bytes % align) % align
}

fn exactly(reader: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    reader.by_ref().take(bytes).read_to_end(&mut read)?;
    if (read.len() as u64) < bytes { Err(cut_off()) } else { Ok(read) }
}

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.by_ref().take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(cut_off()) } else { Ok(()) }
}

fn cut_off() -> io::Error {
    io::Error::other("the archive is cut off")
}
