//! PE images (Microsoft "PE Format").

use evidence::tree::Executable;
use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_SECURITY, IMAGE_FILE_DLL, IMAGE_NT_OPTIONAL_HDR64_MAGIC, IMAGE_SCN_MEM_EXECUTE,
    IMAGE_SCN_MEM_WRITE, ImageNtHeaders32, ImageNtHeaders64,
};
use object::read::pe::{ExportTarget, ImageNtHeaders, ImageOptionalHeader, PeFile};
use object::{Object, pe};

use super::catalog::ImageDigests;
use super::pkcs7::Trusted;
use super::{Malformed, Room, Unreadable, authenticode, empty, names, section, text};
use crate::budget::Budget;
use crate::bytes::le16;

mod details;
mod functions;
mod imports;
mod managed;
mod map;
mod resources;

use map::Map;
pub(crate) use resources::strings as version_strings;

pub(super) fn read(
    bytes: &[u8],
    trusted: &Trusted,
    budget: &mut Budget,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    let dos = pe::ImageDosHeader::parse(bytes)?;
    let mut offset = dos.nt_headers_offset().into();
    let magic =
        ImageNtHeaders32::parse(bytes, &mut offset).map(|(headers, _)| headers.optional_header().magic());
    match magic {
        Ok(magic) if magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC => {
            image::<ImageNtHeaders32>(bytes, trusted, budget, malformed)
        }
        _ => image::<ImageNtHeaders64>(bytes, trusted, budget, malformed),
    }
}

/// Computes what a catalog may list an image by.
pub(super) fn image_digests(bytes: &[u8]) -> Option<ImageDigests> {
    let headers = u64::from(dos_offset(bytes).ok()?);
    let magic = le16(bytes, usize::try_from(headers).ok()? + 24)?;
    let (checksum, entry) =
        (checksum_offset(headers), directory_offset(headers, magic == IMAGE_NT_OPTIONAL_HDR64_MAGIC));
    ImageDigests::of(bytes, usize::try_from(checksum).ok()?, usize::try_from(entry).ok()?)
}

fn image<H: ImageNtHeaders>(
    bytes: &[u8],
    trusted: &Trusted,
    budget: &mut Budget,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    let file = PeFile::<H>::parse(bytes)?;
    let mut room = Room::of(bytes);
    let header = file.nt_headers();
    let is_library = header.file_header().characteristics.get(LE).contains(IMAGE_FILE_DLL);
    let mut image = empty(file.architecture(), if is_library { "library" } else { "executable" });
    let mut end = u64::from(header.optional_header().size_of_headers());
    for known in file.section_table().iter() {
        let flags = known.characteristics.get(LE);
        let data = known.pe_data(bytes)?;
        let (start, size) = (known.pointer_to_raw_data.get(LE), known.size_of_raw_data.get(LE));
        end = end.max(u64::from(start) + u64::from(size));
        budget.symbol()?;
        room.take(data)?;
        let mut found = section(
            known.raw_name(),
            data,
            flags.contains(IMAGE_SCN_MEM_WRITE),
            flags.contains(IMAGE_SCN_MEM_EXECUTE),
        );
        found.slack_nonzero_bytes = details::slack(bytes, known);
        image.sections.push(found);
    }
    let map = Map::of(bytes, &file);
    malformed.note(imports::read(&file, &map, &mut image, budget));
    malformed.note(imports::delayed(&file, &map, &mut image, budget));
    malformed.note(exports(&file, &mut image, budget));
    malformed.note(resources::read(bytes, &file, &mut image, budget));
    malformed.note(managed::read(bytes, &file, &map, &mut image, budget));
    image.resources.sort_by(|a, b| a.path.cmp(&b.path));
    details::read(bytes, &file, &mut image, budget)?;
    malformed.note(functions::read(bytes, &file, &map, &mut image, budget));
    let flags = header.optional_header().dll_characteristics();
    for (flag, word) in [(0x40, "aslr"), (0x100, "nx"), (0x4000, "cfg"), (0x20, "high-entropy-va")] {
        if flags.0 & flag != 0 {
            image.mitigations.insert(word.to_owned());
        }
    }
    let table =
        file.data_directory(IMAGE_DIRECTORY_ENTRY_SECURITY).map(pe::ImageDataDirectory::address_range);
    let mut accounted = end;
    if let Some((start, size)) = table.filter(|(start, size)| *start != 0 && *size != 0) {
        let checksum = checksum_offset(u64::from(dos_offset(bytes)?));
        let entry = directory_offset(u64::from(dos_offset(bytes)?), header.is_type_64());
        match authenticode::read(bytes, checksum, entry, start, size, trusted) {
            Ok(signature) => image.signature = Some(signature),
            Err(error) => malformed.note(Err(error)),
        }
        accounted += u64::from(size);
    }
    image.unaccounted_nonzero_bytes = details::unaccounted(bytes, &file, end);
    image.overlay_bytes = (bytes.len() as u64).saturating_sub(accounted);
    Ok(image)
}

fn exports<H: ImageNtHeaders>(
    file: &PeFile<H>,
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let Some(table) = file.export_table()? else { return Ok(()) };
    for export in table.exports()? {
        let name = export.name.map_or_else(|| format!("#{}", export.ordinal.0), text);
        let to = match export.target {
            ExportTarget::Address(_) => None,
            ExportTarget::ForwardByName(library, symbol) => {
                Some(format!("{}.{}", text(library), text(symbol)))
            }
            ExportTarget::ForwardByOrdinal(library, ordinal) => {
                Some(format!("{}.#{}", text(library), ordinal.0))
            }
        };
        if let Some(to) = to {
            budget.symbol()?;
            image.forwarders.insert(name, to);
        }
        names(export.name.into_iter(), &mut image.exports, budget)?;
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
