//! What an ELF image does before its entry point, and who made it.

use evidence::tree::{Entry, Executable};
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader, Rel, Rela, SectionHeader, Sym};
use object::{Endianness, elf};
use std::collections::BTreeSet;

use super::super::{Unreadable, hex, text};
use crate::budget::Budget;

const ENTRY_BYTES: usize = 16;
/// Names of compilers in `.comment`: real images have at most a dozen.
const COMPILERS_MAX: usize = 64;
/// More functions with two slots are not named.
const DOUBLED_MAX: usize = 16;

/// What two relocations are called by machine: `R_*_IRELATIVE`, for which the loader calls a function of the image to learn an address, and
/// `R_*_JUMP_SLOT`, the address of a function of a library, of which linkers make one for each.
const RELOCATIONS: &[(elf::Machine, u32, u32)] = &[
    (elf::EM_X86_64, 37, 7),
    (elf::EM_386, 42, 7),
    (elf::EM_AARCH64, 1032, 1026),
    (elf::EM_ARM, 160, 22),
    (elf::EM_RISCV, 58, 5),
    (elf::EM_PPC64, 248, 21),
    (elf::EM_S390, 61, 11),
];

/// Sizes of arrays of initialisers in the dynamic section (gABI, "Dynamic Section").
const ARRAYS: &[(elf::DynamicTag, &str)] = &[
    (elf::DT_INIT_ARRAYSZ, ".init_array"),
    (elf::DT_FINI_ARRAYSZ, ".fini_array"),
    (elf::DT_PREINIT_ARRAYSZ, ".preinit_array"),
];

pub(super) fn read<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    initializers(file, bytes, image, budget)?;
    astray(file, bytes, image)?;
    entry(file, bytes, image);
    indirect(file, bytes, image, budget)?;
    relocations(file, bytes, image, budget)?;
    versions(file, bytes, image, budget)?;
    let strings = |data: &[u8]| {
        data.split(|byte| *byte == 0)
            .filter(|part| !part.is_empty())
            .take(COMPILERS_MAX)
            .map(text)
            .collect::<Vec<_>>()
    };
    image.compilers.extend(content(file, bytes, b".comment").into_iter().flat_map(strings));
    image.debug_path =
        content(file, bytes, b".gnu_debuglink").and_then(|data| strings(data).into_iter().next());
    if image.imports.iter().any(|name| name.starts_with("__stack_chk_fail")) {
        image.mitigations.insert("stack-protector".to_owned());
    }
    Ok(())
}

fn content<'data, H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'data, H>,
    bytes: &'data [u8],
    name: &[u8],
) -> Option<&'data [u8]> {
    let endian = file.endian();
    let (_, section) = file.elf_section_table().section_by_name(endian, name)?;
    section.data(endian, bytes).ok()
}

fn initializers<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let width = if file.elf_header().is_type_64() { 8 } else { 4 };
    let table = file.elf_section_table();
    for section in table.iter() {
        let name = table.section_name(endian, section)?;
        let array = [elf::SHT_INIT_ARRAY, elf::SHT_FINI_ARRAY, elf::SHT_PREINIT_ARRAY]
            .contains(&section.sh_type(endian))
            || name == b".ctors"
            || name == b".dtors";
        if array {
            budget.symbol()?;
            let size: u64 = section.sh_size(endian).into();
            *image.initializers.entry(text(name)).or_default() += size / width;
        }
    }
    // The loader reads the dynamic section, whatever the section headers say.
    if let Some((entries, _)) = table.dynamic(endian, bytes)? {
        for entry in entries {
            let known = ARRAYS.iter().find(|(tag, _)| *tag == entry.d_tag(endian));
            if let Some((_, name)) = known {
                let size: u64 = entry.d_val(endian).into();
                let count = image.initializers.entry((*name).to_owned()).or_default();
                *count = (*count).max(size / width);
            }
        }
    }
    Ok(())
}

/// Counts initialisers where linkers put none: an array that reaches into another section, one that the dynamic section says to be
/// longer than its section is, a `DT_INIT` that is not the begin of `.init`. All show that the image was changed after it had been linked.
fn astray<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let width = if file.elf_header().is_type_64() { 8 } else { 4 };
    let table = file.elf_section_table();
    let mut allocated: Vec<(u64, u64)> = Vec::new();
    let mut arrays: Vec<(u64, u64)> = Vec::new();
    let mut init = None;
    for section in table.iter() {
        let flags = section.sh_flags(endian);
        let (start, size): (u64, u64) = (section.sh_addr(endian).into(), section.sh_size(endian).into());
        let end = start.saturating_add(size);
        if start == 0 || size == 0 || !flags.contains(elf::SHF_ALLOC) || flags.contains(elf::SHF_TLS) {
            continue;
        }
        allocated.push((start, end));
        if [elf::SHT_INIT_ARRAY, elf::SHT_PREINIT_ARRAY].contains(&section.sh_type(endian)) {
            arrays.push((start, end));
        }
        if table.section_name(endian, section)? == b".init" {
            init = Some(start);
        }
    }
    allocated.sort_unstable();
    let next_of = |start: u64| {
        let at = allocated.partition_point(|(other, _)| *other <= start);
        allocated.get(at).map_or(u64::MAX, |(next, _)| *next)
    };
    let beyond: u64 = arrays.iter().map(|(start, end)| end.saturating_sub(next_of(*start)) / width).sum();
    let Some((entries, _)) = table.dynamic(endian, bytes)? else {
        image.initializers_outside_code += beyond;
        return Ok(());
    };
    let value = |wanted: elf::DynamicTag| -> Option<u64> {
        entries.iter().find(|entry| entry.d_tag(endian) == wanted).map(|entry| entry.d_val(endian).into())
    };
    let mut found = beyond;
    for (place, length) in
        [(elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ), (elf::DT_PREINIT_ARRAY, elf::DT_PREINIT_ARRAYSZ)]
    {
        if let (Some(start), Some(length)) = (value(place), value(length)) {
            let own = arrays.iter().find(|(first, _)| *first == start);
            found += own.map_or(0, |(_, end)| start.saturating_add(length).saturating_sub(*end) / width);
        }
    }
    if let (Some(section), Some(stated)) = (init, value(elf::DT_INIT)) {
        found += u64::from(section != stated);
    }
    image.initializers_outside_code += found;
    Ok(())
}

fn entry<H: FileHeader<Endian = Endianness>>(file: &ElfFile<H>, bytes: &[u8], image: &mut Executable) {
    let endian = file.endian();
    let address: u64 = file.elf_header().e_entry(endian).into();
    if address == 0 {
        return;
    }
    let table = file.elf_section_table();
    let holder = table.iter().find(|section| {
        let start: u64 = section.sh_addr(endian).into();
        let size: u64 = section.sh_size(endian).into();
        start != 0 && address >= start && address - start < size
    });
    let begin = file
        .elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| {
            let start: u64 = segment.p_vaddr(endian).into();
            let inside = usize::try_from(address.checked_sub(start)?).ok()?;
            segment.data(endian, bytes).ok()?.get(inside..)
        })
        .unwrap_or_default();
    image.entry = Some(Entry {
        address,
        section: holder.and_then(|section| table.section_name(endian, section).ok()).map(text),
        bytes: hex(begin.get(..ENTRY_BYTES).unwrap_or(begin)),
    });
}

fn indirect<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let table = file.elf_section_table();
    for kind in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
        let symbols = table.symbols(endian, bytes, kind)?;
        for symbol in symbols.iter().filter(|symbol| symbol.st_type() == elf::STT_GNU_IFUNC) {
            budget.symbol()?;
            let name = symbol.name(endian, symbols.strings())?;
            image.indirect_functions.insert(text(name));
        }
    }
    Ok(())
}

/// Counts relocations that call a function of the image, and names functions of libraries that have two slots: one of them was another
/// function's.
fn relocations<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let machine = file.elf_header().e_machine(endian);
    let known = RELOCATIONS.iter().find(|(known, ..)| *known == machine);
    let Some((_, irelative, jump_slot)) = known else { return Ok(()) };
    let table = file.elf_section_table();
    let symbols = table.symbols(endian, bytes, elf::SHT_DYNSYM)?;
    // In which table of relocations each symbol has a slot: some tools list one table twice.
    let (mut slots, mut twice) = (vec![0_usize; symbols.len()], BTreeSet::new());
    let mut take = |table: usize, kind: u32, symbol: u32| {
        image.indirect_relocations += u64::from(kind == *irelative);
        let slot = slots.get_mut(symbol as usize).filter(|_| kind == *jump_slot && symbol != 0);
        if slot.is_some_and(|slot| std::mem::replace(slot, table) == table) && twice.len() < DOUBLED_MAX {
            twice.insert(symbol);
        }
    };
    let mut room = super::super::Room::of(bytes);
    for (number, section) in (1..).zip(table.iter()) {
        if let Some((entries, _)) = section.rela(endian, bytes)? {
            room.take(section.data(endian, bytes)?)?;
            entries
                .iter()
                .for_each(|entry| take(number, entry.r_type(endian, false).0, entry.r_sym(endian, false)));
        } else if let Some((entries, _)) = section.rel(endian, bytes)? {
            room.take(section.data(endian, bytes)?)?;
            entries.iter().for_each(|entry| take(number, entry.r_type(endian).0, entry.r_sym(endian)));
        }
    }
    for symbol in twice {
        budget.symbol()?;
        let name = symbols.symbol(object::SymbolIndex(symbol as usize))?.name(endian, symbols.strings())?;
        image.doubled_slots.insert(text(name));
    }
    Ok(())
}

/// Reads the symbol versions that libraries must have (LSB Core, "Symbol Version Requirements").
fn versions<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let table = file.elf_section_table();
    let Some((mut needs, link)) = table.gnu_verneed(endian, bytes)? else { return Ok(()) };
    let strings = table.strings(endian, bytes, link)?;
    while let Some((need, mut versions)) = needs.next()? {
        budget.symbol()?;
        let library = need.file(endian, strings)?;
        while let Some(version) = versions.next()? {
            budget.symbol()?;
            image.symbol_versions.insert(format!(
                "{}:{}",
                text(library),
                text(version.name(endian, strings)?)
            ));
        }
    }
    Ok(())
}

/// Counts non-zero bytes in no section; without a section table, in no segment.
pub(super) fn unaccounted<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    end: u64,
) -> u64 {
    let endian = file.endian();
    let header = file.elf_header();
    let table =
        |at: u64, count: u64, size: u16| (at, at.saturating_add(count.saturating_mul(u64::from(size))));
    let mut parts = vec![
        (0, u64::from(header.e_ehsize(endian))),
        table(
            header.e_phoff(endian).into(),
            file.elf_program_headers().len() as u64,
            header.e_phentsize(endian),
        ),
        table(
            header.e_shoff(endian).into(),
            file.elf_section_table().len() as u64,
            header.e_shentsize(endian),
        ),
    ];
    let sections = file.elf_section_table().iter().filter_map(|section| section.file_range(endian));
    parts.extend(sections.map(|(start, size)| (start, start.saturating_add(size))));
    if file.elf_section_table().is_empty() {
        let segments = file.elf_program_headers().iter().map(|segment| segment.file_range(endian));
        parts.extend(segments.map(|(start, size)| (start, start.saturating_add(size))));
    }
    parts.extend(left_over(file, bytes, &parts, end));
    super::super::unaccounted(bytes, parts, end)
}

/// So many tables are left by as many runs of the tool.
const LEFT_MAX: usize = 4;

/// Where entries of earlier tables of the sections lie: `patchelf` writes a new table elsewhere and leaves the old one. Each
/// entry has to be one of the table in force, but for where the section lies.
fn left_over<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    parts: &[(u64, u64)],
    end: u64,
) -> Vec<(u64, u64)> {
    let endian = file.endian();
    let size = usize::from(file.elf_header().e_shentsize(endian));
    // What of an entry does not move with its section.
    let told = |section: &H::SectionHeader| {
        (section.sh_name(endian), section.sh_type(endian), section.sh_entsize(endian).into())
    };
    let sections = file.elf_section_table();
    let known: BTreeSet<(u32, elf::SectionType, u64)> = sections.iter().skip(1).map(told).collect();
    let is_left = |entry: &[u8]| {
        let header = object::pod::from_bytes::<H::SectionHeader>(entry);
        header.is_ok_and(|(header, _)| {
            let (start, size) = header.file_range(endian).unwrap_or_default();
            known.contains(&told(header)) && start.saturating_add(size) <= end
        })
    };
    let mut found = Vec::new();
    for (offset, gap) in super::super::gaps(bytes, parts.to_vec(), end) {
        // Tables begin at a multiple of eight.
        let mut at = (offset.next_multiple_of(8) - offset) as usize;
        while let Some(entry) = gap.get(at..at + size).filter(|_| size > 0 && !known.is_empty()) {
            let is_left = found.len() < LEFT_MAX * sections.len() && is_left(entry);
            if is_left {
                found.push((offset + at as u64, offset + (at + size) as u64));
            }
            at += if is_left { size } else { 8 };
        }
    }
    found
}
