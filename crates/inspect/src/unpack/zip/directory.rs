//! The central directory of a ZIP archive (APPNOTE 4.3.12 to 4.3.16), with its 64-bit forms.

use std::borrow::Cow;
use std::io;

use evidence::BytePath;

use crate::bytes::{le16, le32, le64, slice};
use crate::source::Source;

const END_BYTES: usize = 22;
const END64_BYTES: usize = 56;
/// A directory of half a million entries with long names.
const DIRECTORY_MAX_BYTES: usize = 64 << 20;
const LOCATOR_BYTES: u64 = 20;
const ENTRY_BYTES: u64 = 46;
/// The end record, with the longest comment.
const END_MAX_BYTES: usize = END_BYTES + u16::MAX as usize;
/// The host that writes Unix modes (APPNOTE 4.4.2).
const HOST_UNIX: u8 = 3;
const HOST_MAC: u8 = 19;

/// Where the central directory is.
pub(super) struct Directory {
    /// Its first byte in the file.
    pub(super) start: u64,
    /// What is to be added to every offset in it: bytes were put before the archive.
    shift: u64,
    size: u64,
    count: u64,
    /// Where the comment is, and where it ends.
    pub(super) comment: (u64, u64),
}

/// One entry.
pub(super) struct Entry {
    pub(super) name: BytePath,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) checksum: u32,
    /// Bytes in the archive.
    pub(super) packed: u64,
    /// Bytes when unpacked.
    pub(super) size: u64,
    /// Where its local header is in the file.
    pub(super) header: u64,
    pub(super) unix_mode: Option<u32>,
    /// Seconds since 1970, the local time of the writer taken for UTC.
    pub(super) modified: Option<i64>,
}

/// Why a directory is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    Unreadable(#[from] io::Error),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Malformed(what) => io::Error::other(what),
            Failure::Unreadable(error) => error,
        }
    }
}

impl Directory {
    pub(super) fn read(source: &Source) -> Result<Self, Failure> {
        let length = source.length().ok_or(Failure::Malformed("its end is not known"))?;
        let from = length.saturating_sub(END_MAX_BYTES as u64);
        let tail = source.some(from, END_MAX_BYTES)?;
        let end = end_record(&tail).ok_or(Failure::Malformed("there is no end record"))?;
        let outside = Failure::Malformed("the end record leads outside");
        Self::at(source, from, &tail, end)?.ok_or(outside)
    }

    /// Reads the end record at `end` in the last bytes, which begin at `from`.
    fn at(source: &Source, from: u64, tail: &[u8], end: usize) -> io::Result<Option<Self>> {
        let field = |at| le16(tail, end + at).map(u64::from);
        let word = |at| le32(tail, end + at).map(u64::from);
        let fields = (field(10), word(12), word(16), field(20));
        let (Some(mut count), Some(mut size), Some(mut offset), Some(comment)) = fields else {
            return Ok(None);
        };
        let comment_at = from + (end + END_BYTES) as u64;
        let mut directory_end = from + end as u64;
        let in_64_bits =
            count == u64::from(u16::MAX) || size == u64::from(u32::MAX) || offset == u64::from(u32::MAX);
        if in_64_bits && let Some((at, record)) = end64_record(source, directory_end)? {
            let fields = (le64(&record, 32), le64(&record, 40), le64(&record, 48));
            let (Some(wide_count), Some(wide_size), Some(wide_offset)) = fields else { return Ok(None) };
            (count, size, offset, directory_end) = (wide_count, wide_size, wide_offset, at);
        }
        let Some(start) = directory_end.checked_sub(size) else { return Ok(None) };
        let (start, shift) = match start.checked_sub(offset) {
            Some(shift) => (start, shift),
            // Something stands between the directory and its end record, as some signers do.
            None => (offset, 0),
        };
        let is_entry = |at| Ok::<_, io::Error>(source.some(at, 4)?.as_ref() == b"PK\x01\x02");
        let (start, shift) = match shift {
            // The offsets hold as they are, and the gap is behind the directory.
            1.. if is_entry(offset)? && !is_entry(start)? => (offset, 0),
            _ => (start, shift),
        };
        Ok(Some(Self { start, shift, size, count, comment: (comment_at, comment_at + comment) }))
    }

    /// Where the end record is.
    pub(super) fn end(&self) -> u64 {
        self.comment.0.saturating_sub(END_BYTES as u64)
    }

    /// Reads all entries.
    pub(super) fn entries(&self, source: &Source) -> Result<Vec<Entry>, Failure> {
        let size = usize::try_from(self.size).ok().filter(|size| *size <= DIRECTORY_MAX_BYTES);
        let size = size.ok_or(Failure::Malformed("the directory lies outside, or is too large"))?;
        let table = source
            .exactly(self.start, size)?
            .ok_or(Failure::Malformed("the directory lies outside, or is too large"))?;
        let table = table.as_ref();
        let (mut entries, mut at) = (Vec::new(), 0);
        while let Some((entry, next)) = self.entry(table, at) {
            entries.push(entry);
            at = next;
        }
        // Counts beyond 65,535 without the 64-bit record wrap, in some writers.
        let wrapped = entries.len() as u64 % (1 << 16) == self.count;
        if entries.len() as u64 != self.count && !wrapped {
            return Err(Failure::Malformed(
                "the directory has another number of entries than the end record says",
            ));
        }
        let rest = slice(table, at, table.len() as u64 - at).unwrap_or(b"");
        // A digital signature may close the directory (APPNOTE 4.3.13).
        if !rest.is_empty() && !rest.starts_with(b"PK\x05\x05") {
            return Err(Failure::Malformed("the directory ends in something else than entries"));
        }
        Ok(entries)
    }

    fn entry(&self, table: &[u8], at: u64) -> Option<(Entry, u64)> {
        let fixed = slice(table, at, ENTRY_BYTES)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (name, extra, comment) =
            (u64::from(le16(fixed, 28)?), u64::from(le16(fixed, 30)?), u64::from(le16(fixed, 32)?));
        let host = fixed[5];
        let attributes = le32(fixed, 38)?;
        let mut entry = Entry {
            name: BytePath::from(slice(table, at + ENTRY_BYTES, name)?),
            flags: le16(fixed, 8)?,
            method: le16(fixed, 10)?,
            checksum: le32(fixed, 16)?,
            packed: u64::from(le32(fixed, 20)?),
            size: u64::from(le32(fixed, 24)?),
            header: u64::from(le32(fixed, 42)?),
            unix_mode: (matches!(host, HOST_UNIX | HOST_MAC) && attributes >> 16 != 0)
                .then_some(attributes >> 16),
            modified: dos_time(le16(fixed, 14)?, le16(fixed, 12)?),
        };
        in_64_bits(&mut entry, slice(table, at + ENTRY_BYTES + name, extra)?);
        entry.header = entry.header.checked_add(self.shift)?;
        let next = at + ENTRY_BYTES + name + extra + comment;
        (next <= table.len() as u64).then_some((entry, next))
    }
}

/// Reads a date and time of MS-DOS (APPNOTE 4.4.6): days from civil dates by Howard Hinnant's algorithm.
fn dos_time(date: u16, time: u16) -> Option<i64> {
    let (year, month, day) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15), i64::from(date & 31));
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let seconds = i64::from(time >> 11) * 3600 + i64::from(time >> 5 & 63) * 60 + i64::from(time & 31) * 2;
    Some(days * 86_400 + seconds)
}

/// Finds the end record in the last bytes: the last one whose comment fits.
fn end_record(tail: &[u8]) -> Option<usize> {
    let fits = |at: usize| {
        let comment = usize::from(le16(tail, at + 20)?);
        (at + END_BYTES + comment <= tail.len()).then_some(at)
    };
    // The third byte is the rarest in programs.
    let marks = memchr::memrchr_iter(5, tail).filter_map(|five| five.checked_sub(2));
    marks.filter(|at| tail[*at..].starts_with(b"PK\x05\x06")).find_map(fits)
}

/// Finds the 64-bit end record: where the locator in front of the end record says, or just before the locator.
fn end64_record<'a>(source: &Source<'a>, end: u64) -> io::Result<Option<(u64, Cow<'a, [u8]>)>> {
    let Some(locator) = end.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
    let locator_bytes = source.some(locator, LOCATOR_BYTES as usize)?;
    let Some(said) = le64(&locator_bytes, 8).filter(|_| locator_bytes.starts_with(b"PK\x06\x07")) else {
        return Ok(None);
    };
    for at in [Some(said), locator.checked_sub(END64_BYTES as u64)].into_iter().flatten() {
        let record = source.exactly(at, END64_BYTES)?;
        if let Some(record) = record.filter(|record| record.starts_with(b"PK\x06\x06")) {
            return Ok(Some((at, record)));
        }
    }
    Ok(None)
}

/// Takes the 64-bit sizes and the offset of an extra field (APPNOTE 4.5.3), where the fixed ones say so.
fn in_64_bits(entry: &mut Entry, mut extra: &[u8]) {
    while let (Some(kind), Some(length)) = (le16(extra, 0), le16(extra, 2)) {
        let Some(field) = slice(extra, 4, u64::from(length)) else { return };
        if kind == 1 {
            let mut at = 0;
            for value in [&mut entry.size, &mut entry.packed, &mut entry.header] {
                if *value == u64::from(u32::MAX)
                    && let Some(wide) = le64(field, at)
                {
                    *value = wide;
                    at += 8;
                }
            }
            return;
        }
        extra = extra.get(4 + usize::from(length)..).unwrap_or(b"");
    }
}
