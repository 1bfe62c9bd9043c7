//! PE images (Microsoft "PE Format").

use evidence::tree::Executable;
use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_SECURITY, IMAGE_FILE_DLL, IMAGE_NT_OPTIONAL_HDR64_MAGIC, IMAGE_SCN_MEM_EXECUTE,
    IMAGE_SCN_MEM_WRITE, ImageNtHeaders32, ImageNtHeaders64,
};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, ImageThunkData, PeFile};
use object::{Object, pe};

use super::{Unreadable, authenticode, empty, names, section, text};
use crate::budget::Budget;

pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<Executable, Unreadable> {
    let dos = pe::ImageDosHeader::parse(bytes)?;
    let mut offset = dos.nt_headers_offset().into();
    let magic =
        ImageNtHeaders32::parse(bytes, &mut offset).map(|(headers, _)| headers.optional_header().magic());
    match magic {
        Ok(magic) if magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC => image::<ImageNtHeaders32>(bytes, budget),
        _ => image::<ImageNtHeaders64>(bytes, budget),
    }
}

fn image<H: ImageNtHeaders>(bytes: &[u8], budget: &mut Budget) -> Result<Executable, Unreadable> {
    let file = PeFile::<H>::parse(bytes)?;
    let header = file.nt_headers();
    let is_library = header.file_header().characteristics.get(LE).contains(IMAGE_FILE_DLL);
    let mut image = empty(file.architecture(), if is_library { "library" } else { "executable" });
    let mut end = u64::from(header.optional_header().size_of_headers());
    for known in file.section_table().iter() {
        let flags = known.characteristics.get(LE);
        let data = known.pe_data(bytes)?;
        let (start, size) = (known.pointer_to_raw_data.get(LE), known.size_of_raw_data.get(LE));
        end = end.max(u64::from(start) + u64::from(size));
        let found = section(
            known.raw_name(),
            data,
            flags.contains(IMAGE_SCN_MEM_WRITE),
            flags.contains(IMAGE_SCN_MEM_EXECUTE),
        );
        if known.raw_name() == b".rsrc" {
            image.version = version(data);
        }
        image.sections.push(found);
    }
    imports(&file, &mut image, budget)?;
    if let Some(table) = file.export_table()? {
        names(table.exports()?.into_iter().filter_map(|export| export.name), &mut image.exports, budget)?;
    }
    let flags = header.optional_header().dll_characteristics();
    for (flag, word) in [(0x40, "aslr"), (0x100, "nx"), (0x4000, "cfg"), (0x20, "high-entropy-va")] {
        if flags.0 & flag != 0 {
            image.mitigations.insert(word.to_owned());
        }
    }
    if let Ok(Some(info)) = file.pdb_info() {
        image.build_id = Some(super::hex(&info.guid()));
    }
    let table =
        file.data_directory(IMAGE_DIRECTORY_ENTRY_SECURITY).map(pe::ImageDataDirectory::address_range);
    let mut accounted = end;
    if let Some((start, size)) = table.filter(|(start, size)| *start != 0 && *size != 0) {
        let checksum = checksum_offset(u64::from(dos_offset(bytes)?));
        let entry = directory_offset(u64::from(dos_offset(bytes)?), header.is_type_64());
        image.signature = Some(authenticode::read(bytes, checksum, entry, start, size)?);
        accounted += u64::from(size);
    }
    image.overlay_bytes = (bytes.len() as u64).saturating_sub(accounted);
    Ok(image)
}

fn imports<H: ImageNtHeaders>(
    file: &PeFile<H>,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let Some(table) = file.import_table()? else { return Ok(()) };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        budget.symbol()?;
        let library = text(table.name(descriptor.name.get(LE))?);
        let first = match descriptor.original_first_thunk.get(LE) {
            0 => descriptor.first_thunk.get(LE),
            original => original,
        };
        let mut thunks = table.thunks(first)?;
        while let Some(thunk) = thunks.next::<H>()? {
            budget.symbol()?;
            let symbol = if thunk.is_ordinal() {
                format!("#{}", thunk.ordinal())
            } else {
                text(table.hint_name(thunk.address())?.1)
            };
            image.imports.insert(format!("{library}!{symbol}"));
        }
        image.libraries.insert(library);
    }
    Ok(())
}

fn dos_offset(bytes: &[u8]) -> Result<u32, Unreadable> {
    Ok(pe::ImageDosHeader::parse(bytes)?.nt_headers_offset())
}

/// Where `CheckSum` stands: signature, file header, then 64 bytes into the optional header, 32 and 64 bit alike.
const fn checksum_offset(nt_headers: u64) -> u64 {
    nt_headers + 4 + 20 + 64
}

/// Where the entry of the certificate table stands among the data directories.
const fn directory_offset(nt_headers: u64, is_64: bool) -> u64 {
    nt_headers + 4 + 20 + if is_64 { 112 } else { 96 } + 8 * 4
}

/// `FileVersion` from `VS_FIXEDFILEINFO`, by its signature.
fn version(resources: &[u8]) -> Option<String> {
    let at = resources.windows(4).position(|window| window == 0xFEEF_04BD_u32.to_le_bytes())?;
    let half = |offset: usize| {
        Some(u16::from_le_bytes(resources.get(at + offset..at + offset + 2)?.try_into().ok()?))
    };
    Some(format!("{}.{}.{}.{}", half(10)?, half(8)?, half(14)?, half(12)?))
}
