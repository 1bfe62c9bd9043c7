//! What the table of functions of an x64 image says where code ends (PE Format, "The .pdata Section"). Every function that calls
//! another one or has a frame is listed there, for the system has to find its way out of it.

use evidence::tree::Executable;
use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_EXCEPTION, IMAGE_FILE_MACHINE_AMD64, IMAGE_SCN_MEM_EXECUTE, ImageDataDirectory,
};
use object::read::pe::{ImageNtHeaders, PeFile};

/// Begin, end, and where it says how to unwind.
const ENTRY_BYTES: usize = 12;
/// `jmp` through the table of the imports: linkers put these behind everything.
const THUNK: &[u8] = &[0xff, 0x25];
const THUNK_BYTES: usize = 6;

/// Counts the bytes of code that follow the last listed function of their section.
pub(super) fn read<H: ImageNtHeaders>(bytes: &[u8], file: &PeFile<H>, image: &mut Executable) {
    if file.nt_headers().file_header().machine.get(LE) != IMAGE_FILE_MACHINE_AMD64 {
        return;
    }
    let sections = file.section_table();
    let Some(directory) = file.data_directory(IMAGE_DIRECTORY_ENTRY_EXCEPTION) else { return };
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
}
