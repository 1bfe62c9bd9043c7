//! Apple disk images (UDIF): a trailer, a property list of partitions, and chunks that are stored, zeros or compressed. The
//! partitions are the members. The format is not published; it is that of libdmg-hfsplus and of 7-Zip.

use std::io::{self, Read};

use evidence::BytePath;

use super::xml::{self, Event};
use super::{Container, stream};
use crate::bytes::{be32, be64, slice};
use crate::format::Format;

pub(crate) const TRAILER_BYTES: usize = 512;
const SECTOR_BYTES: u64 = 512;
const RUNS_START: usize = 204;
const RUN_BYTES: usize = 40;

/// One partition: its name and its table of runs.
struct Partition {
    name: Vec<u8>,
    table: Vec<u8>,
}

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let trailer = bytes.len().checked_sub(TRAILER_BYTES).and_then(|at| bytes.get(at..));
    let list = trailer.and_then(|trailer| slice(bytes, be64(trailer, 216)?, be64(trailer, 224)?));
    let data_fork = trailer.and_then(|trailer| be64(trailer, 24));
    let (Some(list), Some(data_fork)) = (list.filter(|list| !list.is_empty()), data_fork) else {
        return container.malformed("there is no list of partitions");
    };
    if trailer.and_then(|trailer| be32(trailer, 60)).is_some_and(|segments| segments > 1) {
        return container.malformed("it is one of several segments");
    }
    for partition in partitions(list) {
        if !container.admit() {
            return;
        }
        let name = BytePath::new(partition.name);
        let mut runs =
            Runs { bytes, table: &partition.table, data_fork, number: 0, sector: 0, left: Chunk::Zeros(0) };
        match container.content(&mut runs, bytes.len() as u64) {
            Ok(content) => {
                let member = container.inspection.member(container.node, container.path, name, &content);
                container.push(member);
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                container.member_problem(&name, "unsupported-compression", error);
            }
            Err(error) => container.failed_member(&name, &error),
        }
    }
}

/// Reads the `blkx` list of the property list: a name and data for each partition.
fn partitions(list: &[u8]) -> Vec<Partition> {
    let mut found: Vec<Partition> = Vec::new();
    let (mut open, mut key, mut in_blocks, mut depth) = (&b""[..], Vec::new(), false, 0_u32);
    let mut blocks_depth = 0;
    for event in xml::Reader::new(list) {
        match event {
            Event::Open(name, _) => {
                depth += 1;
                open = name;
                if name == b"array" && key == b"blkx" {
                    (in_blocks, blocks_depth) = (true, depth);
                } else if name == b"dict" && in_blocks {
                    found.push(Partition { name: Vec::new(), table: Vec::new() });
                }
            }
            Event::Close(name) => {
                if name == b"array" && in_blocks && depth == blocks_depth {
                    return found;
                }
                depth = depth.saturating_sub(1);
                open = b"";
            }
            Event::Text(text) => match (open, found.last_mut()) {
                (b"key", _) => key = text,
                (b"string", Some(partition)) if in_blocks && key == b"Name" => partition.name = text,
                (b"string", Some(partition))
                    if in_blocks && key == b"CFName" && partition.name.is_empty() =>
                {
                    partition.name = text;
                }
                (b"data", Some(partition)) if in_blocks && key == b"Data" => {
                    partition.table = crate::base64::decode(&text).unwrap_or_default();
                }
                _ => {}
            },
        }
    }
    found
}

/// A partition's bytes, chunk by chunk.
struct Runs<'a> {
    bytes: &'a [u8],
    table: &'a [u8],
    data_fork: u64,
    number: usize,
    sector: u64,
    left: Chunk<'a>,
}

enum Chunk<'a> {
    Zeros(u64),
    Bytes(Box<dyn Read + 'a>, u64),
}

impl<'a> Runs<'a> {
    /// Goes to the next run; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let wrong = |what: &'static str| io::Error::other(what);
        if !self.table.starts_with(b"mish") {
            return Err(wrong("its table cannot be read"));
        }
        let count = be32(self.table, 200).unwrap_or(0) as usize;
        if self.number >= count {
            let total = be64(self.table, 16).unwrap_or(0);
            return if self.sector == total { Ok(false) } else { Err(wrong("its table ends too early")) };
        }
        let at = RUNS_START + self.number * RUN_BYTES;
        let run = self.table.get(at..at + RUN_BYTES).ok_or_else(|| wrong("its table is cut off"))?;
        self.number += 1;
        let word = |at| be64(run, at).unwrap_or(0);
        let (kind, start, sectors, offset, length) =
            (be32(run, 0).unwrap_or(0), word(8), word(16), word(24), word(32));
        if matches!(kind, 0x7fff_fffe | 0xffff_ffff) {
            return Ok(true);
        }
        if start != self.sector {
            return Err(wrong("its chunks are not in a row"));
        }
        let size =
            sectors.checked_mul(SECTOR_BYTES).ok_or_else(|| wrong("a chunk has an impossible size"))?;
        self.sector = self.sector.saturating_add(sectors);
        if matches!(kind, 0 | 2) {
            self.left = Chunk::Zeros(size);
            return Ok(true);
        }
        let base = self.data_fork.saturating_add(be64(self.table, 24).unwrap_or(0));
        let packed = base.checked_add(offset).and_then(|at| slice(self.bytes, at, length));
        let packed = packed.ok_or_else(|| wrong("a chunk lies outside"))?;
        let reader: Box<dyn Read + 'a> = match kind {
            1 => Box::new(packed),
            0x8000_0004 => Box::new(io::Cursor::new(adc(packed, size)?)),
            0x8000_0005 => Box::new(flate2::read::ZlibDecoder::new(packed)),
            0x8000_0006 => stream::decoder(Format::Bzip2, packed)?,
            0x8000_0008 => stream::decoder(Format::Xz, packed)?,
            0x8000_0007 => return Err(io::Error::new(io::ErrorKind::Unsupported, "LZFSE is not opened")),
            other => {
                let detail = format!("chunks of kind {other:#x} are not known");
                return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
            }
        };
        self.left = Chunk::Bytes(reader, size);
        Ok(true)
    }
}

impl Read for Runs<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.left {
                Chunk::Zeros(0) | Chunk::Bytes(_, 0) => {
                    if !self.next()? {
                        return Ok(0);
                    }
                }
                Chunk::Zeros(left) => {
                    let count = into.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    into[..count].fill(0);
                    *left -= count as u64;
                    return Ok(count);
                }
                Chunk::Bytes(reader, left) => {
                    let count = into.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let read = reader.read(&mut into[..count])?;
                    if read == 0 {
                        return Err(io::Error::other("a chunk is shorter than its table says"));
                    }
                    *left -= read as u64;
                    return Ok(read);
                }
            }
        }
    }
}

/// Unpacks Apple Data Compression: literals, and copies with two or three bytes of code.
fn adc(packed: &[u8], size: u64) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::other("a chunk cannot be unpacked");
    let (mut out, mut at) = (Vec::new(), 0);
    let byte = |at: usize| packed.get(at).copied().ok_or_else(wrong);
    while at < packed.len() && (out.len() as u64) < size {
        let code = usize::from(byte(at)?);
        let (count, distance) = if code & 0x80 != 0 {
            let count = (code & 0x7f) + 1;
            out.extend_from_slice(packed.get(at + 1..at + 1 + count).ok_or_else(wrong)?);
            at += 1 + count;
            continue;
        } else if code & 0x40 != 0 {
            let distance = usize::from(byte(at + 1)?) << 8 | usize::from(byte(at + 2)?);
            at += 3;
            ((code & 0x3f) + 4, distance)
        } else {
            let distance = (code & 3) << 8 | usize::from(byte(at + 1)?);
            at += 2;
            ((code >> 2 & 0xf) + 3, distance)
        };
        let from = out.len().checked_sub(distance + 1).ok_or_else(wrong)?;
        // What is copied may run into what was just written.
        for at in from..from + count {
            let byte = *out.get(at).ok_or_else(wrong)?;
            out.push(byte);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_data_compression_is_unpacked() {
        assert_eq!(adc(b"\x82abc\x00\x02\x40\x00\x01", 100).unwrap(), b"abcabcbcbc");
        assert!(adc(b"\x00\x02", 100).is_err());
        assert!(adc(b"\x85a", 100).is_err());
    }
}
