//! Header facts of a Windows image beyond sections and imports: who linked it, where it begins, what runs first.

use evidence::Digest;
use evidence::tree::{Entry, Executable};
use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, IMAGE_DIRECTORY_ENTRY_DEBUG, IMAGE_DIRECTORY_ENTRY_IMPORT,
    IMAGE_DIRECTORY_ENTRY_SECURITY, IMAGE_DIRECTORY_ENTRY_TLS, IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE,
    ImageSectionHeader,
};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile};
use object::{Object, pe};

use super::super::{Unreadable, hex, line, text};
use crate::budget::Budget;

/// So many bytes at the entry point are kept: a prologue, short of the first displacement that each link moves.
const ENTRY_BYTES: usize = 16;
/// The longest program for DOS that linkers write, with its header: 128 bytes of most, 256 of Delphi.
const STUB_MAX_BYTES: u64 = 256;
/// A list of TLS callbacks is followed so far.
const CALLBACKS_MAX: u64 = 1024;

pub(super) fn read<H: ImageNtHeaders>(
    bytes: &[u8],
    file: &PeFile<H>,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let header = file.nt_headers();
    let optional = header.optional_header();
    image.timestamp = Some(header.file_header().time_date_stamp.get(LE));
    image.timestamp_is_digest = is_reproducible(bytes, file);
    image.linker = Some(format!("{}.{}", optional.major_linker_version(), optional.minor_linker_version()));
    image.rich_digest = file.rich_header_info().map(|rich| {
        let tools: Vec<u8> = rich
            .unmasked_entries()
            .flat_map(|entry| [entry.comp_id, entry.count])
            .flat_map(u32::to_le_bytes)
            .collect();
        Digest::of(&tools)
    });
    if let Ok(Some(info)) = file.pdb_info() {
        image.build_id = Some(hex(&info.guid()));
        image.debug_path = Some(line(info.path()));
    }
    let sections = file.section_table();
    image.writable_code_segments = sections
        .iter()
        .filter(|section| {
            let flags = section.characteristics.get(LE);
            flags.contains(IMAGE_SCN_MEM_WRITE) && flags.contains(IMAGE_SCN_MEM_EXECUTE)
        })
        .count() as u64;
    let address = optional.address_of_entry_point();
    if address != 0 {
        let begin = sections.pe_data_at(bytes, address).unwrap_or_default();
        image.entry = Some(Entry {
            address: u64::from(address),
            section: sections.section_containing(address).map(|section| text(section.raw_name())),
            bytes: hex(begin.get(..ENTRY_BYTES).unwrap_or(begin)),
        });
    }
    let imports = file.data_directory(IMAGE_DIRECTORY_ENTRY_IMPORT);
    image.import_section = imports
        .and_then(|directory| sections.section_containing(directory.address_range().0))
        .map(|section| text(section.raw_name()));
    callbacks(bytes, file, image, budget)?;
    Ok(())
}

/// Counts TLS callbacks (PE Format, "The .tls Section").
fn callbacks<H: ImageNtHeaders>(
    bytes: &[u8],
    file: &PeFile<H>,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let sections = file.section_table();
    let wide = file.nt_headers().is_type_64();
    let width = if wide { 8 } else { 4 };
    let base = file.nt_headers().optional_header().image_base();
    let pointer = |address: u64, index: u64| {
        let relative = u32::try_from(address.checked_sub(base)?).ok()?;
        let data = sections.pe_data_at(bytes, relative.checked_add(u32::try_from(index * width).ok()?)?)?;
        number(data, wide)
    };
    let Some(directory) = file.data_directory(IMAGE_DIRECTORY_ENTRY_TLS) else { return Ok(()) };
    let Some(list) = sections
        .pe_data_at(bytes, directory.address_range().0)
        .and_then(|data| number(data.get(3 * width as usize..)?, wide))
        .filter(|list| *list != 0)
    else {
        return Ok(());
    };
    let (mut count, mut outside) = (0, 0);
    while count < CALLBACKS_MAX {
        let Some(callback) = pointer(list, count).filter(|callback| *callback != 0) else { break };
        budget.symbol()?;
        count += 1;
        let inside = callback
            .checked_sub(base)
            .and_then(|relative| sections.section_containing(u32::try_from(relative).ok()?))
            .is_some_and(|section| section.characteristics.get(LE).contains(IMAGE_SCN_MEM_EXECUTE));
        outside += u64::from(!inside);
    }
    if count > 0 {
        image.initializers.insert("tls-callbacks".to_owned(), count);
        image.initializers_outside_code = outside;
    }
    Ok(())
}

fn number(data: &[u8], wide: bool) -> Option<u64> {
    if wide {
        data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    } else {
        data.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
    }
}

/// Whether the debug directory has an entry that says so (PE Format, "Debug Type": `IMAGE_DEBUG_TYPE_REPRO`).
fn is_reproducible<H: ImageNtHeaders>(bytes: &[u8], file: &PeFile<H>) -> bool {
    const ENTRY_BYTES: usize = 28;
    const TYPE_REPRO: u64 = 16;
    let Some(directory) = file.data_directory(IMAGE_DIRECTORY_ENTRY_DEBUG) else { return false };
    let (address, size) = directory.address_range();
    let entries = file.section_table().pe_data_at(bytes, address).unwrap_or_default();
    let entries = usize::try_from(size).ok().and_then(|size| entries.get(..size)).unwrap_or_default();
    entries.chunks_exact(ENTRY_BYTES).any(|entry| number(&entry[12..], false) == Some(TYPE_REPRO))
}

/// Counts non-zero bytes of a section beyond the part that is mapped as its own.
pub(super) fn slack(bytes: &[u8], section: &ImageSectionHeader) -> u64 {
    let (start, mapped) = (section.pointer_to_raw_data.get(LE), section.virtual_size.get(LE));
    if mapped == 0 {
        return 0;
    }
    let from = u64::from(start) + u64::from(mapped);
    let to = u64::from(start) + u64::from(section.size_of_raw_data.get(LE));
    nonzero(bytes, from, to)
}

/// Counts non-zero bytes that lie before `end` and in neither headers, sections nor certificate table.
pub(super) fn unaccounted<H: ImageNtHeaders>(bytes: &[u8], file: &PeFile<H>, end: u64) -> u64 {
    // Before the headers stand a program for DOS and the list of tools; behind the table of the sections linkers leave zeros, but
    // for what binds imports to addresses.
    let begin = u64::from(file.dos_header().nt_headers_offset());
    let mut parts: Vec<(u64, u64)> = vec![(0, STUB_MAX_BYTES.min(begin)), (begin, headers_end(file))];
    parts.extend(file.rich_header_info().map(|rich| {
        let start = rich.offset as u64;
        (start, start.saturating_add(rich.length as u64))
    }));
    let bound = file.data_directory(IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT);
    parts.extend(bound.map(pe::ImageDataDirectory::address_range).map(|(start, size)| {
        let start = u64::from(start);
        (start, start + u64::from(size))
    }));
    let parts_of_sections = file.section_table().iter().map(|section| {
        let start = u64::from(section.pointer_to_raw_data.get(LE));
        (start, start + u64::from(section.size_of_raw_data.get(LE)))
    });
    parts.extend(parts_of_sections);
    let table =
        file.data_directory(IMAGE_DIRECTORY_ENTRY_SECURITY).map(pe::ImageDataDirectory::address_range);
    parts.extend(table.map(|(start, size)| (u64::from(start), u64::from(start) + u64::from(size))));
    super::super::unaccounted(bytes, parts, end)
}

/// Where the table of the sections ends.
fn headers_end<H: ImageNtHeaders>(file: &PeFile<H>) -> u64 {
    const SIGNATURE_AND_FILE_HEADER: u64 = 24;
    let optional = file.nt_headers().file_header().size_of_optional_header.get(LE);
    let sections = file.section_table().len() as u64 * size_of::<ImageSectionHeader>() as u64;
    let begin = u64::from(file.dos_header().nt_headers_offset());
    begin + SIGNATURE_AND_FILE_HEADER + u64::from(optional) + sections
}

fn nonzero(bytes: &[u8], from: u64, to: u64) -> u64 {
    let end = usize::try_from(to).map_or(bytes.len(), |to| to.min(bytes.len()));
    let Ok(start) = usize::try_from(from) else { return 0 };
    bytes.get(start..end).map_or(0, |part| part.iter().filter(|byte| **byte != 0).count() as u64)
}
