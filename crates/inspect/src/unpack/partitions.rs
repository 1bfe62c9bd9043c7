//! Disks: the partition tables of a master boot record, with logical partitions, and of GPT (UEFI 2.10, section 5). The partitions are
//! the members, and what lies between them if it is not zeros.

mod gpt;
mod mbr;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;

use evidence::BytePath;

use super::Container;
use crate::source::Source;

use self::mbr::SEEN_BYTES;
pub(crate) use self::mbr::is_disk;

/// What is in front of the number and the table of a master boot record: code.
const CODE_BYTES: u64 = 440;

/// A stretch of a disk that a table names.
#[derive(Debug)]
struct Partition {
    /// Its place in the table, from 1; logical partitions of a master boot record count from 5.
    number: u64,
    /// What GPT calls it.
    name: String,
    /// The kind that the table says: a byte or a GUID.
    kind: String,
    at: u64,
    bytes: u64,
    /// The rest of what the table says.
    more: String,
}

/// What the tables say.
#[derive(Default)]
struct Layout {
    /// What the tables are, and who the disk is.
    head: String,
    partitions: Vec<Partition>,
    /// Where the tables themselves are: from, to.
    tables: Vec<(u64, u64)>,
    problems: Vec<String>,
}

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let length = source.length().ok_or_else(|| io::Error::other("nobody knows how long it is"))?;
    let layout = match gpt::layout(container, source, length)? {
        Some(layout) => layout,
        None => mbr::layout(container, source)?,
    };
    for problem in &layout.problems {
        container.malformed(problem);
    }
    if !container.admit() {
        return Ok(());
    }
    container.bytes("#table".into(), layout.text().as_bytes());
    container.unless_zero("#system-area", source.part(0, CODE_BYTES))?;
    let mut ranges = layout.tables;
    ranges.push((0, CODE_BYTES));
    let shared = shared(&layout.partitions);
    for partition in &layout.partitions {
        if !container.admit() {
            return Ok(());
        }
        let end = partition.at.saturating_add(partition.bytes);
        let name = partition.path();
        if shared.contains(&partition.number) {
            container.member_problem(&name, "overlapping-members", "it shares bytes with another partition");
        }
        // Of a disk that is cut off, what is there is shown.
        let there = length.saturating_sub(partition.at).min(partition.bytes);
        match source.part(partition.at, there).filter(|_| there > 0) {
            Some(part) => {
                if end > length {
                    container.malformed_member(&name, "it is cut off");
                }
                if let Err(error) = container.stored(name.clone(), &part) {
                    container.failed_member(&name, &error);
                }
            }
            None => container.malformed_member(&name, "it lies outside"),
        }
        ranges.push((partition.at, end));
    }
    container.gaps(source, ranges, 0, length)
}

/// Says that a file system's own boot sector has a partition table: then it depends on who looks what is there.
pub(super) fn tell_if_beside(container: &mut Container, source: &Source) -> io::Result<()> {
    if is_disk(&source.some(0, SEEN_BYTES)?) {
        let what = "the partitions that its boot sector has, too, are not opened; systems may prefer them";
        container.problem("unsupported-container", what);
    }
    Ok(())
}

/// Finds partitions that begin before another one ends.
fn shared(partitions: &[Partition]) -> BTreeSet<u64> {
    let mut order: Vec<&Partition> = partitions.iter().collect();
    order.sort_by_key(|partition| (partition.at, partition.number));
    let (mut shared, mut end) = (BTreeSet::new(), 0);
    for partition in order {
        if partition.at < end {
            shared.insert(partition.number);
        }
        end = end.max(partition.at.saturating_add(partition.bytes));
    }
    shared
}

impl Partition {
    /// Its name: a slash in it would be one of a folder.
    fn path(&self) -> BytePath {
        let separator = if self.name.is_empty() { "" } else { "-" };
        let name = self.name.replace(['/', '\\'], "_");
        BytePath::from(format!("#partition/{}{separator}{name}", self.number))
    }
}

impl Layout {
    /// Writes the table as text.
    fn text(&self) -> String {
        let mut text = self.head.clone();
        for Partition { number, name, kind, at, bytes, more } in &self.partitions {
            let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
            // Writing to a string cannot fail.
            _ = writeln!(text, "{number}\t{kind}\t{at}\t{bytes}\t{more}\t{name}");
        }
        text
    }
}
