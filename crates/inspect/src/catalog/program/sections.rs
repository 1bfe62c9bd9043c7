//! The sections of ELF, PE and Mach-O images, read by ranges. Only names and places: what is wrong with an image is for
//! `executable` to say.

use std::io;

use super::Content;
use crate::bytes::{be32, le16, le32, le64, until_zero};

/// One section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// Sections of one image.
const SECTIONS_MAX: usize = 4096;
const NAMES_MAX_BYTES: u64 = 1 << 20;
/// The parts of a universal Mach-O image.
const PARTS_MAX: u32 = 8;

/// Lists the sections of an image; `None` if it is none.
pub(super) fn of(content: &dyn Content) -> io::Result<Option<Vec<Section>>> {
    let head = content.range(0, 4096)?;
    Ok(match head.get(..4) {
        Some(b"\x7fELF") => elf(content, &head)?,
        Some([b'M', b'Z', ..]) => pe(content, &head)?,
        Some(b"\xcf\xfa\xed\xfe" | b"\xce\xfa\xed\xfe") => macho(content, 0)?,
        // A Java class begins so too; it has a version above 40 where this has few parts.
        Some(b"\xca\xfe\xba\xbe") => universal(content, &head)?,
        _ => None,
    })
}

/// The section headers of little-endian ELF files; others are rare, and none of our compilers' notes are found in them.
fn elf(content: &dyn Content, head: &[u8]) -> io::Result<Option<Vec<Section>>> {
    let is_64 = head.get(4) == Some(&2);
    if head.get(5) != Some(&1) {
        return Ok(None);
    }
    let table = if is_64 { le64(head, 0x28) } else { le32(head, 0x20).map(u64::from) };
    let (entry, count, names) = if is_64 {
        (le16(head, 0x3a), le16(head, 0x3c), le16(head, 0x3e))
    } else {
        (le16(head, 0x2e), le16(head, 0x30), le16(head, 0x32))
    };
    let (Some(table), Some(entry), Some(count), Some(names)) = (table, entry, count, names) else {
        return Ok(None);
    };
    let (entry, count) = (usize::from(entry), usize::from(count).min(SECTIONS_MAX));
    if entry < if is_64 { 64 } else { 40 } || table == 0 {
        return Ok(Some(Vec::new()));
    }
    let headers = content.range(table, entry.saturating_mul(count))?;
    let place = |number: usize| -> Option<(u32, u64, u64)> {
        let header = headers.get(number.checked_mul(entry)?..)?;
        let (offset, size) = if is_64 {
            (le64(header, 0x18)?, le64(header, 0x20)?)
        } else {
            (le32(header, 0x10)?.into(), le32(header, 0x14)?.into())
        };
        // A section of type NOBITS has no content in the file.
        let size = if le32(header, 4)? == 8 { 0 } else { size };
        Some((le32(header, 0)?, offset, size))
    };
    let Some((_, at, size)) = place(usize::from(names)) else { return Ok(Some(Vec::new())) };
    let texts = content.range(at, usize::try_from(size.min(NAMES_MAX_BYTES)).unwrap_or(0))?;
    let sections = (0..count).filter_map(|number| {
        let (name, offset, size) = place(number)?;
        let name = until_zero(texts.get(usize::try_from(name).ok()?..)?);
        Some(Section { name: String::from_utf8_lossy(name).into_owned(), offset, size })
    });
    Ok(Some(sections.collect()))
}

fn pe(content: &dyn Content, head: &[u8]) -> io::Result<Option<Vec<Section>>> {
    let Some(at) = le32(head, 0x3c) else { return Ok(None) };
    let header = content.range(at.into(), 24)?;
    if !header.starts_with(b"PE\0\0") {
        return Ok(None);
    }
    let (Some(count), Some(optional)) = (le16(&header, 6), le16(&header, 20)) else { return Ok(None) };
    let table =
        content.range(u64::from(at) + 24 + u64::from(optional), usize::from(count).min(SECTIONS_MAX) * 40)?;
    let sections = table.chunks_exact(40).filter_map(|row| {
        Some(Section {
            name: String::from_utf8_lossy(until_zero(row.get(..8)?)).into_owned(),
            offset: le32(row, 20)?.into(),
            size: le32(row, 16)?.into(),
        })
    });
    Ok(Some(sections.collect()))
}

fn macho(content: &dyn Content, base: u64) -> io::Result<Option<Vec<Section>>> {
    let head = content.range(base, 32)?;
    let is_64 = head.first() == Some(&0xcf);
    let (Some(count), Some(size)) = (le32(&head, 16), le32(&head, 20)) else { return Ok(None) };
    let start = if is_64 { 32 } else { 28 };
    let commands =
        content.range(base + start, usize::try_from(u64::from(size).min(NAMES_MAX_BYTES)).unwrap_or(0))?;
    let (mut sections, mut at) = (Vec::new(), 0_usize);
    for _ in 0..count {
        let Some(command) = commands.get(at..) else { break };
        let (Some(kind), Some(length)) = (le32(command, 0), le32(command, 4)) else { break };
        let length = usize::try_from(length).unwrap_or(0);
        if length < 8 {
            break;
        }
        // LC_SEGMENT_64 and LC_SEGMENT, with their sections behind them.
        let (first, row, place) = match kind {
            0x19 => (72, 80, 40),
            0x1 => (56, 68, 36),
            _ => (0, 0, 0),
        };
        if row > 0 && sections.len() < SECTIONS_MAX {
            let rows = command.get(first..length).unwrap_or_default().chunks_exact(row);
            sections.extend(rows.filter_map(|section| {
                let name = String::from_utf8_lossy(until_zero(section.get(..16)?)).into_owned();
                let (size, offset) = if is_64 {
                    (le64(section, place)?, le32(section, place + 8)?)
                } else {
                    (le32(section, place)?.into(), le32(section, place + 4)?)
                };
                Some(Section { name, offset: base.checked_add(offset.into())?, size })
            }));
        }
        at = at.saturating_add(length);
    }
    Ok(Some(sections))
}

fn universal(content: &dyn Content, head: &[u8]) -> io::Result<Option<Vec<Section>>> {
    let count = be32(head, 4).unwrap_or(u32::MAX);
    if count > PARTS_MAX {
        return Ok(None);
    }
    let mut sections = Vec::new();
    for part in 0..count as usize {
        let Some(offset) = be32(head, 8 + part * 20 + 8) else { break };
        sections.extend(macho(content, offset.into())?.unwrap_or_default());
    }
    Ok(Some(sections))
}
