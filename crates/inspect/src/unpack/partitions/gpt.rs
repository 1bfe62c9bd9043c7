//! The GUID partition table: a header with a checksum and one of its entries, both of them again at the end of the disk.

use std::io;

use flate2::Crc;

use super::mbr::{SECTOR_BYTES, beside_gpt, is_protective};
use super::{Layout, Partition};
use crate::bytes::{le16, le32, le64};
use crate::source::Source;
use crate::unpack::Container;

const SIGNATURE: &[u8] = b"EFI PART";
const HEADER_MIN_BYTES: usize = 92;
const CHECKSUM: std::ops::Range<usize> = 16..20;
const ENTRY_MIN_BYTES: u64 = 128;
const NAME: std::ops::Range<usize> = 56..128;
/// A usual table has 16 KiB.
const TABLE_MAX_BYTES: u64 = 1 << 20;
/// Disks have sectors of one size or the other.
const SECTORS_BYTES: [u64; 2] = [SECTOR_BYTES, 4096];

/// A header with its entries.
struct Table {
    sector_bytes: u64,
    /// The first byte of the header, and the stretch of the entries.
    at: u64,
    entries_at: u64,
    entries: Vec<u8>,
    entry_bytes: u64,
    disk: String,
    /// Where the other one is.
    other: u64,
    /// The first and the last sector for partitions.
    usable: (u64, u64),
    is_sound: bool,
}

/// Reads the table, or its copy if that is sound and the first is not; `None` if there is no GPT.
pub(super) fn layout(container: &mut Container, source: &Source, length: u64) -> io::Result<Option<Layout>> {
    if !is_protective(&source.some(0, SECTOR_BYTES as usize)?) {
        return Ok(None);
    }
    let mut layout = Layout::default();
    let (first, copy) = both(container, source, length)?;
    match (&first, &copy) {
        (None, None) => return Ok(None),
        (None, Some(_)) => layout.problems.push("its first table is missing".to_owned()),
        (Some(_), None) => layout.problems.push("the copy of its table is missing".to_owned()),
        (Some(first), Some(copy)) if (&first.entries, &first.disk) != (&copy.entries, &copy.disk) => {
            layout.problems.push("its two tables differ".to_owned());
        }
        (Some(_), Some(_)) => {}
    }
    for (table, what) in [(&first, "its first table"), (&copy, "the copy of its table")] {
        if let Some(table) = table {
            layout.tables.push((table.at, table.at + table.sector_bytes));
            layout.tables.push((table.entries_at, table.entries_at + table.entries.len() as u64));
            if !table.is_sound {
                layout.problems.push(format!("a checksum of {what} is wrong"));
            }
        }
    }
    layout.tables.push((super::CODE_BYTES, SECTOR_BYTES));
    let is_first =
        copy.as_ref().is_none_or(|copy| !copy.is_sound) || first.as_ref().is_some_and(|one| one.is_sound);
    let table = if is_first { first.or(copy) } else { copy };
    let Some(table) = table else { return Ok(None) };
    layout.head = format!("gpt\t{}\n", table.disk);
    table.partitions(&mut layout);
    // Systems that know no GPT take what the record has beside it.
    for other in beside_gpt(source)? {
        if !layout.partitions.iter().any(|known| (known.at, known.bytes) == (other.at, other.bytes)) {
            layout.problems.push("its master boot record has a partition that GPT has not".to_owned());
            let number = 1 + layout.partitions.iter().map(|known| known.number).max().unwrap_or(0);
            layout.partitions.push(Partition { number, ..other });
        }
    }
    Ok(Some(layout))
}

/// Looks for both tables, with sectors of each size.
fn both(
    container: &mut Container,
    source: &Source,
    length: u64,
) -> io::Result<(Option<Table>, Option<Table>)> {
    for sector_bytes in SECTORS_BYTES {
        let first = Table::read(container, source, sector_bytes, sector_bytes)?;
        let end = (length / sector_bytes).checked_sub(1).map(|last| last * sector_bytes);
        let said = first.as_ref().and_then(|first| first.other.checked_mul(sector_bytes));
        let mut copy = None;
        for at in [said, end].into_iter().flatten().filter(|at| *at > sector_bytes) {
            if copy.is_none() {
                copy = Table::read(container, source, at, sector_bytes)?;
            }
        }
        if first.is_some() || copy.is_some() {
            return Ok((first, copy));
        }
    }
    Ok((None, None))
}

impl Table {
    /// Reads a header and its entries; `None` if there is none.
    fn read(
        container: &mut Container,
        source: &Source,
        at: u64,
        sector_bytes: u64,
    ) -> io::Result<Option<Self>> {
        container.pay(sector_bytes)?;
        let sector = source.some(at, sector_bytes as usize)?;
        if !sector.starts_with(SIGNATURE) || sector.len() < HEADER_MIN_BYTES {
            return Ok(None);
        }
        let (word, wide) = (|at| le32(&sector, at).unwrap_or(0), |at| le64(&sector, at).unwrap_or(0));
        let (entry_bytes, count) = (u64::from(word(84)), u64::from(word(80)));
        let table_bytes = entry_bytes * count;
        let entries_at = wide(72).checked_mul(sector_bytes);
        let is_possible = entry_bytes >= ENTRY_MIN_BYTES && table_bytes <= TABLE_MAX_BYTES;
        let Some(entries_at) = entries_at.filter(|_| is_possible) else { return Ok(None) };
        container.pay(table_bytes)?;
        let entries = source.some(entries_at, table_bytes as usize)?.into_owned();
        let mut header = sector.get(..word(12) as usize).unwrap_or_default().to_vec();
        if let Some(sum) = header.get_mut(CHECKSUM) {
            sum.fill(0);
        }
        let is_sound = header.len() >= HEADER_MIN_BYTES
            && sum(&header) == word(CHECKSUM.start)
            && sum(&entries) == word(88)
            && wide(24).checked_mul(sector_bytes) == Some(at)
            && entries.len() as u64 == table_bytes;
        Ok(Some(Self {
            sector_bytes,
            at,
            entries_at,
            entries,
            entry_bytes,
            disk: guid(sector.get(56..72).unwrap_or_default()),
            other: wide(32),
            usable: (wide(40), wide(48)),
            is_sound,
        }))
    }

    fn partitions(&self, layout: &mut Layout) {
        let entries = self.entries.chunks_exact(usize::try_from(self.entry_bytes).unwrap_or(usize::MAX));
        for (number, entry) in (1..).zip(entries) {
            let kind = entry.get(..16).unwrap_or_default();
            if kind.iter().all(|byte| *byte == 0) {
                continue;
            }
            let wide = |at| le64(entry, at).unwrap_or(0);
            let (first, last) = (wide(32), wide(40));
            let count = last.checked_sub(first).and_then(|count| count.checked_add(1));
            let place = count.and_then(|count| {
                Some((first.checked_mul(self.sector_bytes)?, count.checked_mul(self.sector_bytes)?))
            });
            let Some((at, bytes)) = place else {
                layout.problems.push(format!("partition {number} ends before it begins"));
                continue;
            };
            if first < self.usable.0 || last > self.usable.1 {
                layout.problems.push(format!("partition {number} lies where none may be"));
            }
            let name =
                entry.get(NAME).unwrap_or_default().chunks_exact(2).map(|unit| le16(unit, 0).unwrap_or(0));
            let name = char::decode_utf16(name.take_while(|unit| *unit != 0));
            layout.partitions.push(Partition {
                number,
                name: name.map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(),
                kind: guid(kind),
                at,
                bytes,
                more: format!("{}\t{:016x}", guid(entry.get(16..32).unwrap_or_default()), wide(48)),
            });
        }
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// Writes a GUID: its first three numbers are little-endian (UEFI 2.10, appendix A).
fn guid(bytes: &[u8]) -> String {
    let first = le32(bytes, 0).unwrap_or(0);
    let (second, third) = (le16(bytes, 4).unwrap_or(0), le16(bytes, 6).unwrap_or(0));
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (fourth, fifth) = (bytes.get(8..10).unwrap_or_default(), bytes.get(10..16).unwrap_or_default());
    format!("{first:08x}-{second:04x}-{third:04x}-{}-{}", hexadecimal(fourth), hexadecimal(fifth))
}
