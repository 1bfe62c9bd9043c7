//! What hangs on to a file that is something else: a zip behind a program or a picture, the data of an installer behind
//! its program, an archive behind a self-extractor, cabinets inside an image.

mod installer;

use super::{Container, zip};
use crate::bytes::{le16, le32, le64, slice};
use crate::format::{Format, format};
use crate::source::Source;

/// A self-extractor has a configuration in front of its archive, at most this long.
const CONFIGURATION_MAX_BYTES: usize = 64 << 10;
const SEVEN_ZIP: &[u8] = b"7z\xbc\xaf\x27\x1c";
const CABINET: &[u8] = b"MSCF\0\0\0\0";

pub(super) fn members(container: &mut Container, format: Format, bytes: &[u8]) {
    let overlay = overlay(format, bytes);
    if format == Format::Pe && !overlay.is_empty() && installer::members(container, bytes, overlay) {
        return;
    }
    // A zip is found from the end: its offsets may count from the begin of the file or of the archive.
    if let Ok(Some(_)) = zip::appended(&Source::Held(bytes)) {
        if let Err(error) = zip::members(container, &Source::Held(bytes)) {
            container.failed(&error);
        }
        return;
    }
    if overlay.iter().any(|byte| *byte != 0) {
        if !container.admit() {
            return;
        }
        container.bytes("#overlay".into(), archive_in(overlay));
    }
    if format == Format::Pe {
        let image = bytes.len() - overlay.len();
        cabinets(container, bytes.get(..image).unwrap_or(bytes));
    }
}

/// Opens what hangs on to data that is not held: an archive at its end.
pub(super) fn members_of_source(container: &mut Container, source: &Source) {
    let opened = match zip::appended(source) {
        Ok(Some(_)) => zip::members(container, source),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = opened {
        container.failed(&error);
    }
}

/// Tells whether `members` would find something.
pub(super) fn is_there(format: Format, bytes: &[u8]) -> bool {
    let has_cabinet = || format == Format::Pe && memchr::memmem::find(bytes, CABINET).is_some();
    overlay(format, bytes).iter().any(|byte| *byte != 0)
        || matches!(zip::appended(&Source::Held(bytes)), Ok(Some(_)))
        || has_cabinet()
}

fn overlay(format: Format, bytes: &[u8]) -> &[u8] {
    let overlay = match format {
        Format::Pe => pe_overlay(bytes),
        Format::Elf => elf_overlay(bytes),
        _ => None,
    };
    overlay.unwrap_or(b"")
}

/// Skips the configuration of a self-extractor; other bytes are taken whole.
fn archive_in(overlay: &[u8]) -> &[u8] {
    if format(overlay) != Format::Data {
        return overlay;
    }
    let front = overlay.get(..CONFIGURATION_MAX_BYTES).unwrap_or(overlay);
    let at = [SEVEN_ZIP, CABINET, b"Rar!\x1a\x07"]
        .iter()
        .filter_map(|magic| front.windows(magic.len()).position(|window| window == *magic))
        .min();
    at.and_then(|at| overlay.get(at..)).unwrap_or(overlay)
}

/// Takes the cabinets that lie within an image, such as the resource of a self-extractor.
fn cabinets(container: &mut Container, bytes: &[u8]) {
    let (mut at, mut number) = (0, 0);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, CABINET)) {
        at += found;
        let header = bytes.get(at..).unwrap_or(b"");
        // Version 1.3 is the only one ([MS-CAB] 2.1).
        let size = le32(header, 8).filter(|_| le16(header, 24) == Some(0x0103) && le16(header, 28) > Some(0));
        match size.and_then(|size| slice(header, 0, u64::from(size))) {
            Some(cabinet) if cabinet.len() > 36 => {
                if !container.admit() {
                    return;
                }
                number += 1;
                container.bytes(format!("#embedded/{number}").into(), cabinet);
                at += cabinet.len();
            }
            _ => at += CABINET.len(),
        }
    }
}

/// Returns what lies behind the last section of a PE image (PE format, "Section Table"), without the certificate table.
fn pe_overlay(bytes: &[u8]) -> Option<&[u8]> {
    let pe = le32(bytes, 0x3c)? as usize;
    let sections = usize::from(le16(bytes, pe.checked_add(6)?)?);
    let optional = usize::from(le16(bytes, pe + 20)?);
    let table = pe + 24 + optional;
    let mut end = table + sections * 40;
    for number in 0..sections {
        let at = table + number * 40;
        let (size, start) = (le32(bytes, at + 16)? as usize, le32(bytes, at + 20)? as usize);
        if size > 0 && start > 0 {
            end = end.max(start.checked_add(size)?);
        }
    }
    // Symbols of old linkers, with their strings.
    let (symbols, count) = (le32(bytes, pe + 12)? as usize, le32(bytes, pe + 16)? as usize);
    if symbols >= end && count > 0 {
        let strings = symbols.checked_add(count.checked_mul(18)?)?;
        end = strings.checked_add(le32(bytes, strings)? as usize)?;
    }
    let directories = match le16(bytes, pe + 24)? {
        0x20b => pe + 24 + 112,
        _ => pe + 24 + 96,
    };
    let (certificates, length) =
        (le32(bytes, directories + 32)? as usize, le32(bytes, directories + 36)? as usize);
    let stop = if length > 0 && certificates >= end { certificates } else { bytes.len() };
    bytes.get(end..stop.min(bytes.len()))
}

/// Returns what lies behind all that an ELF image's headers account for (System V ABI, "Object Files").
fn elf_overlay(bytes: &[u8]) -> Option<&[u8]> {
    let little = *bytes.get(5)? == 1;
    let wide = match bytes.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let half =
        |at: usize| if little { le16(bytes, at) } else { crate::bytes::be16(bytes, at) }.map(u64::from);
    let word = |at: usize| {
        if wide {
            if little { le64(bytes, at) } else { crate::bytes::be64(bytes, at) }
        } else {
            if little { le32(bytes, at) } else { crate::bytes::be32(bytes, at) }.map(u64::from)
        }
    };
    let fields =
        if wide { [0x20, 0x28, 0x36, 0x38, 0x3a, 0x3c] } else { [0x1c, 0x20, 0x2a, 0x2c, 0x2e, 0x30] };
    let [segments, sections, segment_bytes, segment_count, section_bytes, section_count] = fields;
    let (segments, sections) = (word(segments)?, word(sections)?);
    let (segment_bytes, segment_count) = (half(segment_bytes)?, half(segment_count)?);
    let (section_bytes, section_count) = (half(section_bytes)?, half(section_count)?);
    let mut end = sections.checked_add(section_bytes * section_count)?;
    // Places of the offset and the size in a segment's and in a section's header, and the kind of a section.
    let (in_segment, in_section, kind) = if wide { ((8, 32), (24, 32), 4) } else { ((4, 16), (16, 20), 4) };
    for number in 0..segment_count {
        let at = usize::try_from(segments.checked_add(number * segment_bytes)?).ok()?;
        end =
            end.max(word(at.checked_add(in_segment.0)?)?.checked_add(word(at.checked_add(in_segment.1)?)?)?);
    }
    for number in 0..section_count {
        let at = usize::try_from(sections.checked_add(number * section_bytes)?).ok()?;
        let at_kind = at.checked_add(kind)?;
        let kind = if little { le32(bytes, at_kind) } else { crate::bytes::be32(bytes, at_kind) }?;
        // SHT_NOBITS has no bytes in the file.
        if kind != 8 {
            end = end
                .max(word(at.checked_add(in_section.0)?)?.checked_add(word(at.checked_add(in_section.1)?)?)?);
        }
    }
    bytes.get(usize::try_from(end).ok()?..)
}
