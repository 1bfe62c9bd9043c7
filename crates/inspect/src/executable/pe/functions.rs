//! What the table of functions of an x64 image says where code begins and ends (PE Format, "The .pdata Section"). Every function that calls
//! another one or has a frame is listed there, for the system has to find its way out of it.

use evidence::tree::Executable;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_EXCEPTION, IMAGE_FILE_MACHINE_AMD64, IMAGE_SCN_MEM_EXECUTE, ImageDataDirectory,
};
use object::read::pe::{ExportTarget, ImageNtHeaders, PeFile};
use object::{LittleEndian as LE, Object};

use super::super::Unreadable;
use super::super::cut::Cut;
use super::map::Map;
use crate::budget::Budget;
use crate::bytes::le32;

/// Begin, end, and where it says how to unwind.
const ENTRY_BYTES: usize = 12;
/// `UNW_FLAG_CHAININFO`: a part of the function that another entry is about (x64 exception handling, `UNWIND_INFO`).
const CHAINED: u8 = 4;
/// `jmp` through the table of the imports: linkers put these behind everything.
const THUNK: &[u8] = &[0xff, 0x25];
const THUNK_BYTES: usize = 6;

/// Counts the bytes of code that follow the last listed function of their section, and names functions that are cut.
pub(super) fn read<H: ImageNtHeaders>(
    bytes: &[u8],
    file: &PeFile<H>,
    map: &Map,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    if file.nt_headers().file_header().machine.get(LE) != IMAGE_FILE_MACHINE_AMD64 {
        return Ok(());
    }
    let sections = file.section_table();
    let Some(directory) = file.data_directory(IMAGE_DIRECTORY_ENTRY_EXCEPTION) else { return Ok(()) };
    let (address, size) = ImageDataDirectory::address_range(directory);
    let table = sections.pe_data_at(bytes, address).unwrap_or_default();
    let table = usize::try_from(size).ok().and_then(|size| table.get(..size)).unwrap_or(table);
    let number = |entry: &[u8], at: usize| {
        entry.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    for section in
        sections.iter().filter(|section| section.characteristics.get(LE).contains(IMAGE_SCN_MEM_EXECUTE))
    {
        let (start, mapped) = (section.virtual_address.get(LE), section.virtual_size.get(LE));
        let inside = |address: u32| address >= start && address - start < mapped;
        let functions = table.chunks_exact(ENTRY_BYTES).map(|entry| (number(entry, 0), number(entry, 4)));
        let Some(end) = functions.filter(|(begin, _)| inside(*begin)).map(|(_, end)| end).max() else {
            continue;
        };
        let data = section.pe_data(bytes).unwrap_or_default();
        let data = data.get(..data.len().min(mapped as usize)).unwrap_or_default();
        let behind = data.get(end.saturating_sub(start) as usize..).unwrap_or_default();
        image.unlisted_code_bytes += code(behind);
    }
    let sections =
        sections.iter().filter(|section| section.characteristics.get(LE).contains(IMAGE_SCN_MEM_EXECUTE));
    let code = sections
        .filter_map(|section| Some((section.virtual_address.get(LE).into(), section.pe_data(bytes).ok()?)));
    if let Some(mut cut) = Cut::of(file.architecture(), code.collect()) {
        let is_part =
            |how: u32| map.at(how).and_then(<[u8]>::first).is_some_and(|begin| (begin >> 3) & CHAINED != 0);
        for [begin, end] in whole(table, is_part) {
            cut.look(begin.into(), end.into());
        }
        if !cut.is_empty() {
            named(file, &mut cut, budget)?;
        }
        cut.tell(image);
    }
    Ok(())
}

/// The functions of a table: what it lists in several parts, one behind the other, is one. Parts are told from how to unwind them.
fn whole(table: &[u8], is_part: impl Fn(u32) -> bool) -> impl Iterator<Item = [u32; 2]> {
    let entries = table.chunks_exact(ENTRY_BYTES);
    let mut entries =
        entries.filter_map(|entry| Some([le32(entry, 0)?, le32(entry, 4)?, le32(entry, 8)?])).peekable();
    std::iter::from_fn(move || {
        loop {
            let [begin, mut end, how] = entries.next()?;
            while let Some([_, more, _]) = entries.next_if(|[next, _, how]| *next == end && is_part(*how)) {
                end = more;
            }
            if !is_part(how) {
                return Some([begin, end]);
            }
        }
    })
}

/// Names what was found as the image offers it.
fn named<H: ImageNtHeaders>(file: &PeFile<H>, cut: &mut Cut, budget: &mut Budget) -> Result<(), Unreadable> {
    let Some(exports) = file.export_table()? else { return Ok(()) };
    for export in exports.exports()? {
        if let (ExportTarget::Address(address), Some(name)) = (export.target, export.name)
            && cut.wants_name(address.into())
        {
            cut.name(address.into(), name, budget)?;
        }
    }
    Ok(())
}

/// Counts bytes that are neither filling nor thunks.
fn code(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((first, rest)) = bytes.split_first() {
        if bytes.starts_with(THUNK) {
            bytes = bytes.get(THUNK_BYTES..).unwrap_or_default();
            continue;
        }
        // Zeros, `int3`, `nop`.
        count += u64::from(!matches!(first, 0 | 0xcc | 0x90));
        bytes = rest;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_and_thunks_are_no_code() {
        assert_eq!(code(&[0xcc, 0xcc, 0xff, 0x25, 1, 2, 3, 4, 0x90, 0]), 0);
        assert_eq!(code(&[0xcc, 0x48, 0x89, 0xe5, 0xc3, 0xff, 0x25, 1]), 4);
    }
    #[test]
    fn parts_of_a_function_follow_it() {
        let table = [[0x10, 0x20, 1], [0x20, 0x28, 9], [0x28, 0x30, 9], [0x30, 0x38, 1], [0x40, 0x48, 9]];
        let table: Vec<u8> = table.iter().flatten().flat_map(|number: &u32| number.to_le_bytes()).collect();
        let whole = |table| whole(table, |how| how == 9).collect::<Vec<_>>();
        assert_eq!(whole(&table), [[0x10, 0x30], [0x30, 0x38]]);
        assert_eq!(whole(&table[..20]), [[0x10, 0x20]]);
    }
}
