//! ELF images (System V ABI; "Linux Standard Base Core", dynamic sections).

use evidence::tree::Executable;
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, Object, elf};

use super::{Malformed, Room, Unreadable, empty, hex, names, section, symbols, text};
use crate::budget::Budget;

mod details;
mod functions;

pub(super) fn read(
    bytes: &[u8],
    budget: &mut Budget,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    match FileKind::parse(bytes)? {
        FileKind::Elf32 => image::<elf::FileHeader32<Endianness>>(bytes, budget, malformed),
        _ => image::<elf::FileHeader64<Endianness>>(bytes, budget, malformed),
    }
}

fn image<H: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    budget: &mut Budget,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    let mut room = Room::of(bytes);
    let file = ElfFile::<H>::parse(bytes)?;
    let endian = file.endian();
    let header = file.elf_header();
    let segments = file.elf_program_headers();
    let has_interpreter = segments.iter().any(|segment| segment.p_type(endian) == elf::PT_INTERP);
    let kind = match header.e_type(endian) {
        elf::ET_REL => "object",
        elf::ET_DYN if !has_interpreter => "library",
        _ => "executable",
    };
    let mut image = empty(file.architecture(), kind);
    let table = file.elf_section_table();
    let mut end = u64::from(header.e_ehsize(endian));
    let headers: u64 = header.e_shoff(endian).into();
    end = end.max(headers + u64::from(header.e_shentsize(endian)) * u64::from(header.e_shnum(endian)));
    for known in table.iter() {
        let Ok(data) = known.data(endian, bytes) else { continue };
        let name = table.section_name(endian, known)?;
        let flags = known.sh_flags(endian);
        if let Some((start, size)) = known.file_range(endian) {
            end = end.max(start.saturating_add(size));
        }
        if name.is_empty() && data.is_empty() {
            continue;
        }
        budget.symbol()?;
        room.take(data)?;
        image.sections.push(section(
            name,
            data,
            flags.contains(elf::SHF_WRITE),
            flags.contains(elf::SHF_EXECINSTR),
        ));
    }
    for segment in segments {
        match segment.p_type(endian) {
            elf::PT_INTERP => image.interpreter = segment.interpreter(endian, bytes)?.map(text),
            elf::PT_LOAD if segment.p_flags(endian).contains(elf::PF_X) => {
                image.writable_code_segments += u64::from(segment.p_flags(endian).contains(elf::PF_W));
                image.code_segments += u64::from(segment.file_range(endian).1 > 0);
            }
            elf::PT_GNU_RELRO => _ = image.mitigations.insert("relro".into()),
            elf::PT_GNU_STACK if !segment.p_flags(endian).contains(elf::PF_X) => {
                _ = image.mitigations.insert("nx".into())
            }
            _ => {}
        }
        let (start, size) = segment.file_range(endian);
        end = end.max(start.saturating_add(size));
    }
    if has_interpreter && header.e_type(endian) == elf::ET_DYN {
        image.mitigations.insert("pie".into());
    }
    dynamic(&file, bytes, &mut image, budget)?;
    symbols(file.dynamic_symbols(), &mut image, budget)?;
    malformed.note(details::read(&file, bytes, &mut image, budget));
    malformed.note(functions::read(&file, bytes, &mut image, budget));
    image.unaccounted_nonzero_bytes = details::unaccounted(&file, bytes, end);
    image.build_id = file.build_id()?.map(hex);
    image.overlay_bytes = (bytes.len() as u64).saturating_sub(end);
    Ok(image)
}

fn dynamic<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let table = file.elf_section_table();
    let Some((entries, strings)) = table.dynamic(endian, bytes)? else { return Ok(()) };
    let strings = table.strings(endian, bytes, strings)?;
    for entry in entries {
        budget.symbol()?;
        let value: u64 = entry.d_val(endian).into();
        let string = || u32::try_from(value).ok().and_then(|at| strings.get(at).ok());
        match entry.d_tag(endian) {
            // Those that watch the loader, or that stand in for this one, are loaded as well.
            elf::DT_NEEDED | elf::DT_AUDIT | elf::DT_DEPAUDIT | elf::DT_FILTER | elf::DT_AUXILIARY => {
                names(string().into_iter(), &mut image.libraries, budget)?;
            }
            elf::DT_RPATH | elf::DT_RUNPATH => names(string().into_iter(), &mut image.search_paths, budget)?,
            elf::DT_BIND_NOW => _ = image.mitigations.insert("bind-now".into()),
            elf::DT_FLAGS if value & elf::DF_BIND_NOW.0 != 0 => {
                _ = image.mitigations.insert("bind-now".into())
            }
            elf::DT_FLAGS_1 if value & elf::DF_1_NOW.0 != 0 => {
                _ = image.mitigations.insert("bind-now".into())
            }
            _ => {}
        }
    }
    Ok(())
}
