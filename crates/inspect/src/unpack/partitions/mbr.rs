//! The master boot record: four partitions, of which one may hold logical ones, each behind a table of its own.

use std::collections::BTreeSet;
use std::io;

use super::{CODE_BYTES, Layout, Partition};
use crate::bytes::le32;
use crate::source::Source;
use crate::unpack::Container;

pub(super) const SECTOR_BYTES: u64 = 512;
const TABLE: usize = 446;
const ENTRY_BYTES: usize = 16;
const KIND_PROTECTIVE: u8 = 0xee;
/// Where a kernel of Linux has its mark (Linux, `Documentation/arch/x86/boot.rst`).
const KERNEL_MARK: usize = 0x202;
/// Linux reads no more logical partitions.
const LOGICAL_MAX: u64 = 256;
/// A smaller file is seen whole, and has to hold the begin of a partition.
pub(super) const SEEN_BYTES: usize = 64 << 10;

/// One entry of a table, in sectors.
#[derive(Clone, Copy)]
struct Entry {
    status: u8,
    kind: u8,
    start: u64,
    count: u64,
}

impl Entry {
    /// Linux asks for no more: what kind it is does not matter.
    fn is_used(self) -> bool {
        self.count > 0
    }

    fn is_possible(self) -> bool {
        matches!(self.status, 0 | 0x80) && (!self.is_used() || self.start > 0)
    }

    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn partition(self, number: u64, from: u64) -> Partition {
        Partition {
            number,
            name: String::new(),
            kind: format!("{:02x}", self.kind),
            at: (from + self.start) * SECTOR_BYTES,
            bytes: self.count * SECTOR_BYTES,
            more: if self.status == 0 { String::new() } else { "active".to_owned() },
        }
    }
}

/// Tells whether there is a partition table. The mark of two bytes stands in each boot sector, and in kernels of Linux: so all four
/// entries have to be possible, and one of a kind has to begin within the file as far as that is seen.
pub(crate) fn is_disk(bytes: &[u8]) -> bool {
    let Some(entries) = table(bytes) else { return false };
    let begins = |entry: &Entry| {
        let is_inside = entry.start * SECTOR_BYTES < bytes.len() as u64 || bytes.len() >= SEEN_BYTES;
        entry.kind != 0 && entry.is_used() && is_inside
    };
    let is_kernel = bytes.get(KERNEL_MARK..).is_some_and(|rest| rest.starts_with(b"HdrS"));
    !is_kernel && entries.iter().all(|entry| entry.is_possible()) && entries.iter().any(begins)
}

/// Tells whether the record says that there is GPT.
pub(super) fn is_protective(bytes: &[u8]) -> bool {
    table(bytes).is_some_and(|entries| entries.iter().any(|entry| entry.kind == KIND_PROTECTIVE))
}

/// Reads the table of a record.
pub(super) fn layout(container: &mut Container, source: &Source) -> io::Result<Layout> {
    let record = source.some(0, SECTOR_BYTES as usize)?;
    let entries = table(&record).ok_or_else(|| io::Error::other("there is no partition table"))?;
    let mut layout = Layout {
        head: format!("mbr\t{:08x}\n", le32(&record, 440).unwrap_or(0)),
        tables: vec![(CODE_BYTES, SECTOR_BYTES)],
        ..Layout::default()
    };
    for (number, entry) in (1..).zip(entries).filter(|(_, entry)| entry.is_used()) {
        if entry.is_extended() {
            logical(container, source, entry.start, &mut layout)?;
        } else {
            if entry.kind == KIND_PROTECTIVE {
                layout.problems.push("it stands for a GPT that is not there".to_owned());
            }
            layout.partitions.push(entry.partition(number, 0));
        }
    }
    Ok(layout)
}

/// Returns the partitions of a record that stands in front of GPT and are not in that: systems differ in the table that they take.
pub(super) fn beside_gpt(source: &Source) -> io::Result<Vec<Partition>> {
    let record = source.some(0, SECTOR_BYTES as usize)?;
    let entries = table(&record).into_iter().flatten();
    let others = (1..).zip(entries).filter(|(_, entry)| entry.is_used() && entry.kind != KIND_PROTECTIVE);
    Ok(others.map(|(number, entry)| entry.partition(number, 0)).collect())
}

/// Follows the chain of logical partitions: each table has one of them, and where the next table is.
fn logical(container: &mut Container, source: &Source, extended: u64, layout: &mut Layout) -> io::Result<()> {
    let (mut next, mut visited) = (0, BTreeSet::new());
    for number in 5..5 + LOGICAL_MAX {
        let at = extended + next;
        if !visited.insert(at) {
            layout.problems.push("logical partitions go in a circle".to_owned());
            return Ok(());
        }
        container.pay(SECTOR_BYTES)?;
        let record = source.some(at * SECTOR_BYTES, SECTOR_BYTES as usize)?;
        let Some([own, following, ..]) = table(&record) else {
            layout.problems.push("a table of logical partitions is missing".to_owned());
            return Ok(());
        };
        layout.tables.push((at * SECTOR_BYTES + CODE_BYTES, (at + 1) * SECTOR_BYTES));
        if own.is_used() {
            layout.partitions.push(own.partition(number, at));
        }
        if !following.is_used() {
            return Ok(());
        }
        if !following.is_extended() {
            layout.problems.push("a table of logical partitions leads to something else".to_owned());
            return Ok(());
        }
        next = following.start;
    }
    layout.problems.push("there are too many logical partitions".to_owned());
    Ok(())
}

/// Reads the four entries of a sector that ends as a boot sector does.
fn table(bytes: &[u8]) -> Option<[Entry; 4]> {
    if bytes.get(510..512) != Some(b"\x55\xaa") {
        return None;
    }
    let entry = |number: usize| {
        let entry = bytes.get(TABLE + number * ENTRY_BYTES..)?.get(..ENTRY_BYTES)?;
        Some(Entry {
            status: entry[0],
            kind: entry[4],
            start: u64::from(le32(entry, 8)?),
            count: u64::from(le32(entry, 12)?),
        })
    };
    Some([entry(0)?, entry(1)?, entry(2)?, entry(3)?])
}
