//! Apple disk images (UDIF): a trailer, a property list of partitions, and chunks that are stored, zeros or compressed. The
//! partitions are the members. The format is not published; it is that of libdmg-hfsplus and of 7-Zip.

use std::io::{self, Read};

use evidence::BytePath;

use super::reading::wrong;
use super::xml::{self, Event};
use super::{Container, lzfse, stream, too_large};
use crate::bytes::{be32, be64};
use crate::format::Format;
use crate::source::{CHUNK_BYTES, Chunks, Source};

pub(crate) const TRAILER_BYTES: usize = 512;
const SECTOR_BYTES: u64 = 512;
const RUNS_START: usize = 204;
const RUN_BYTES: usize = 40;
/// `hdiutil` packs at most 1 MiB at a time. What is packed is unpacked whole, and the last such chunk is kept.
const PACKED_MAX_BYTES: u64 = 8 << 20;

/// One partition: its name and its table of runs.
struct Partition {
    name: Vec<u8>,
    table: Vec<u8>,
}

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let whole = source.length().unwrap_or(0);
    let trailer =
        whole.checked_sub(TRAILER_BYTES as u64).map(|at| source.some(at, TRAILER_BYTES)).transpose()?;
    let word = |at| trailer.as_ref().and_then(|trailer| be64(trailer, at));
    let list = word(216).and_then(|at| source.part(at, word(224)?)).filter(|list| list.length() != Some(0));
    let (Some(list), Some(data_fork)) = (list, word(24)) else {
        return Err(wrong("there is no list of partitions"));
    };
    if trailer.as_ref().and_then(|trailer| be32(trailer, 60)).is_some_and(|segments| segments > 1) {
        return Err(wrong("it is one of several segments"));
    }
    let mut hold = container.inspection.room.hold();
    let list_bytes = list.length().unwrap_or(u64::MAX);
    if !container.inspection.grow(&mut hold, list_bytes.saturating_mul(2)) {
        return Err(too_large());
    }
    for partition in partitions(&list.some(0, list_bytes as usize)?) {
        if !container.admit() {
            return Ok(());
        }
        let name = BytePath::new(partition.name);
        let taken = Runs::of(source, data_fork, &partition.table).and_then(|runs| {
            let bytes = runs.bytes;
            container.assembled(name.clone(), whole, &Source::of_chunks(Box::new(runs), bytes)).map(|_| ())
        });
        if let Err(error) = taken {
            container.failed_unpacking(&name, &error);
        }
    }
    Ok(())
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

/// A partition's bytes.
struct Runs<'a> {
    source: Source<'a>,
    runs: Vec<Run>,
    bytes: u64,
    /// The run that was unpacked last.
    unpacked: Option<(usize, Vec<u8>)>,
}

/// Some sectors in a row: where they begin in the partition, and what they are made of.
#[derive(Clone, Copy)]
struct Run {
    start: u64,
    kind: u32,
    place: u64,
    packed: u64,
}

impl<'a> Runs<'a> {
    fn of(source: &Source<'a>, data_fork: u64, table: &[u8]) -> io::Result<Self> {
        if !table.starts_with(b"mish") {
            return Err(wrong("its table cannot be read"));
        }
        let count = be32(table, 200).unwrap_or(0) as usize;
        let rows = table.get(RUNS_START..).unwrap_or(b"").chunks_exact(RUN_BYTES);
        if rows.len() < count {
            return Err(wrong("its table is cut off"));
        }
        let base = data_fork.saturating_add(be64(table, 24).unwrap_or(0));
        let (mut runs, mut sector) = (Vec::new(), 0_u64);
        for row in rows.take(count) {
            let word = |at| be64(row, at).unwrap_or(0);
            let (kind, start, sectors, offset, packed) =
                (be32(row, 0).unwrap_or(0), word(8), word(16), word(24), word(32));
            // Comments, and the mark of the end.
            if matches!(kind, 0x7fff_fffe | 0xffff_ffff) {
                continue;
            }
            if start != sector {
                return Err(wrong("its chunks are not in a row"));
            }
            sector = sector.checked_add(sectors).ok_or_else(|| wrong("a chunk has an impossible size"))?;
            let is_packed = !matches!(kind, 0..=2);
            if is_packed && (sectors > PACKED_MAX_BYTES / SECTOR_BYTES || packed > 2 * PACKED_MAX_BYTES) {
                return Err(wrong("a chunk is too large to be unpacked"));
            }
            let bytes =
                sectors.checked_mul(SECTOR_BYTES).ok_or_else(|| wrong("a chunk has an impossible size"))?;
            let place = base.saturating_add(offset);
            let is_inside = source.part(place, packed).is_some() && (kind != 1 || packed >= bytes);
            if kind == 1 || is_packed {
                is_inside.then_some(()).ok_or_else(|| wrong("a chunk lies outside"))?;
            }
            if bytes > 0 {
                runs.push(Run { start: start * SECTOR_BYTES, kind, place, packed });
            }
        }
        if be64(table, 16) != Some(sector) {
            return Err(wrong("its table ends too early"));
        }
        let bytes =
            sector.checked_mul(SECTOR_BYTES).ok_or_else(|| wrong("a chunk has an impossible size"))?;
        Ok(Self { source: source.clone(), runs, bytes, unpacked: None })
    }

    /// Unpacks a run, if it is not the one that was unpacked last.
    fn unpacked(&mut self, number: usize, run: Run, bytes: u64) -> io::Result<&[u8]> {
        if self.unpacked.as_ref().is_none_or(|(known, _)| *known != number) {
            self.unpacked = None;
            let packed = self.source.some(run.place, run.packed as usize)?;
            let mut content = Vec::with_capacity(bytes as usize);
            let reader: Box<dyn Read> = match run.kind {
                0x8000_0004 => Box::new(io::Cursor::new(adc(&packed, bytes)?)),
                0x8000_0005 => Box::new(flate2::read::ZlibDecoder::new(&*packed)),
                0x8000_0006 => stream::decoder(Format::Bzip2, &packed)?,
                0x8000_0007 => Box::new(lzfse::lzfse(&packed)),
                0x8000_0008 => stream::decoder(Format::Xz, &packed)?,
                other => {
                    let detail = format!("chunks of kind {other:#x} are not known");
                    return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
                }
            };
            if reader.take(bytes).read_to_end(&mut content)? as u64 != bytes {
                return Err(wrong("a chunk is shorter than its table says"));
            }
            self.unpacked = Some((number, content));
        }
        Ok(self.unpacked.as_ref().map_or(&[], |(_, content)| content))
    }
}

impl Chunks for Runs<'_> {
    fn read(&mut self, number: u64, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let mut at = number.saturating_mul(CHUNK_BYTES as u64);
        let end = at.saturating_add(CHUNK_BYTES as u64).min(self.bytes);
        let mut next = self.runs.partition_point(|run| run.start <= at);
        while at < end {
            let current = next.checked_sub(1).ok_or(io::ErrorKind::UnexpectedEof)?;
            let run = *self.runs.get(current).ok_or(io::ErrorKind::UnexpectedEof)?;
            let run_end = self.runs.get(next).map_or(self.bytes, |following| following.start);
            let until = run_end.min(end);
            let (from, want) = (at - run.start, until - at);
            match run.kind {
                0 | 2 => into.resize(into.len() + want as usize, 0),
                1 => {
                    let read = self.source.reader_at(run.place + from).take(want).read_to_end(into)?;
                    if read as u64 != want {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                _ => {
                    let content = self.unpacked(current, run, run_end - run.start)?;
                    into.extend_from_slice(&content[from as usize..(from + want) as usize]);
                }
            }
            at = until;
            next += 1;
        }
        Ok(())
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
