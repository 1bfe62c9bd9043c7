//! Mach-O images, thin and universal (Apple "Mach-O File Format Reference").

use std::collections::BTreeSet;

use evidence::tree::{Entry, Executable};
use object::read::macho::{
    FatArch, LoadCommandVariant, MachHeader, MachOFatFile32, MachOFatFile64, MachOFile, Nlist,
};
use object::{Endianness, FileKind, Object, ObjectSection, ObjectSegment, SectionFlags, SegmentFlags, macho};

use super::{Malformed, Room, Unreadable, empty, hex, section, symbols, text};
use crate::budget::Budget;

mod functions;
mod signature;

/// At most sixteen bytes of the entry point are kept.
const ENTRY_BYTES: usize = 16;

pub(super) fn read(
    bytes: &[u8],
    budget: &mut Budget,
    malformed: &mut Malformed,
) -> Result<Vec<Executable>, Unreadable> {
    let mut room = Room::of(bytes);
    match FileKind::parse(bytes)? {
        FileKind::MachOFat32 => {
            slices(bytes, MachOFatFile32::parse(bytes)?.arches(), budget, &mut room, malformed)
        }
        FileKind::MachOFat64 => {
            slices(bytes, MachOFatFile64::parse(bytes)?.arches(), budget, &mut room, malformed)
        }
        _ => Ok(vec![thin(bytes, budget, &mut room, malformed)?]),
    }
}

/// Reads each slice, and counts what lies between them.
fn slices<A: FatArch>(
    bytes: &[u8],
    arches: &[A],
    budget: &mut Budget,
    room: &mut Room,
    malformed: &mut Malformed,
) -> Result<Vec<Executable>, Unreadable> {
    let mut images = arches
        .iter()
        .map(|arch| thin(arch.data(bytes)?, budget, room, malformed))
        .collect::<Result<Vec<_>, _>>()?;
    let table = 8 + size_of_val(arches) as u64;
    let mut parts = vec![(0, table)];
    parts.extend(
        arches.iter().map(FatArch::file_range).map(|(start, size)| (start, start.saturating_add(size))),
    );
    let end = parts.iter().map(|(_, end)| *end).max().unwrap_or(0);
    let loose = super::unaccounted(bytes, parts, end);
    if let Some(first) = images.first_mut() {
        first.unaccounted_nonzero_bytes += loose;
        first.overlay_bytes += (bytes.len() as u64).saturating_sub(end);
    }
    Ok(images)
}

fn thin(
    bytes: &[u8],
    budget: &mut Budget,
    room: &mut Room,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    match FileKind::parse(bytes)? {
        FileKind::MachO32 => image::<macho::MachHeader32<Endianness>>(bytes, budget, room, malformed),
        FileKind::MachO64 => image::<macho::MachHeader64<Endianness>>(bytes, budget, room, malformed),
        _ => Err(Unreadable::Other("a slice is not a thin image")),
    }
}

fn image<H: MachHeader<Endian = Endianness>>(
    bytes: &[u8],
    budget: &mut Budget,
    room: &mut Room,
    malformed: &mut Malformed,
) -> Result<Executable, Unreadable> {
    let file = MachOFile::<H>::parse(bytes)?;
    let endian = file.endian();
    let kind = match file.macho_header().filetype(endian) {
        macho::MH_OBJECT => "object",
        macho::MH_DYLIB | macho::MH_BUNDLE => "library",
        macho::MH_KEXT_BUNDLE => "driver",
        _ => "executable",
    };
    let mut image = empty(file.architecture(), kind);
    let rights: Vec<(Vec<u8>, macho::VmProt)> = file
        .segments()
        .filter_map(|segment| match segment.flags() {
            SegmentFlags::MachO { initprot, .. } => Some((segment.name_bytes().ok()??.to_vec(), initprot)),
            _ => None,
        })
        .collect();
    let both =
        |right: macho::VmProt| right.contains(macho::VM_PROT_WRITE) && right.contains(macho::VM_PROT_EXECUTE);
    image.writable_code_segments = rights.iter().filter(|(_, right)| both(*right)).count() as u64;
    image.code_segments =
        rights.iter().filter(|(_, right)| right.contains(macho::VM_PROT_EXECUTE)).count() as u64;
    let ends =
        file.segments().map(|segment| segment.file_range()).map(|(start, size)| start.saturating_add(size));
    let mut end = ends.max().unwrap_or(0);
    let mut starts = Vec::new();
    for known in file.sections() {
        budget.symbol()?;
        let segment = known.segment_name_bytes()?.unwrap_or(b"").to_vec();
        let right =
            rights.iter().find(|(name, _)| *name == segment).map_or(macho::VmProt(0), |(_, right)| *right);
        let name = [segment.as_slice(), b",", known.name_bytes()?].concat();
        let data = known.data()?;
        room.take(data)?;
        let kind = match known.flags() {
            SectionFlags::MachO { flags, .. } => flags.typ(),
            _ => macho::S_REGULAR,
        };
        // Offsets of functions have four bytes, pointers those of the machine.
        let width = match kind {
            macho::S_MOD_INIT_FUNC_POINTERS | macho::S_MOD_TERM_FUNC_POINTERS if file.is_64() => 8,
            macho::S_MOD_INIT_FUNC_POINTERS
            | macho::S_MOD_TERM_FUNC_POINTERS
            | macho::S_INIT_FUNC_OFFSETS => 4,
            _ => 0,
        };
        if let Some(count) = known.size().checked_div(width) {
            *image.initializers.entry(text(known.name_bytes()?)).or_default() += count;
            starts.push((data, width as usize));
        }
        image.sections.push(section(
            &name,
            data,
            right.contains(macho::VM_PROT_WRITE),
            right.contains(macho::VM_PROT_EXECUTE),
        ));
    }
    image.initializers_outside_code = astray(&file, &starts);
    let mut ordered = Vec::new();
    let header = file.macho_header();
    let commands_end = size_of::<H>() as u64 + u64::from(header.sizeofcmds(endian));
    if kind != "object" {
        image.unaccounted_nonzero_bytes = super::unaccounted(bytes, parts(&file, commands_end), end);
    }
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        budget.symbol()?;
        match command.variant()? {
            LoadCommandVariant::Dylib(library) => {
                let name = text(command.string(endian, library.dylib.name)?);
                match command.cmd() {
                    macho::LC_LOAD_WEAK_DYLIB | macho::LC_LAZY_LOAD_DYLIB => {
                        image.delayed_libraries.insert(name.clone());
                    }
                    macho::LC_REEXPORT_DYLIB => {
                        image.forwarders.insert(name.clone(), "re-exported".to_owned());
                    }
                    _ => {}
                }
                ordered.push(name.clone());
                image.libraries.insert(name);
            }
            LoadCommandVariant::Rpath(path) => {
                image.search_paths.insert(text(command.string(endian, path.path)?));
            }
            LoadCommandVariant::LinkeditData(data) if command.cmd() == macho::LC_CODE_SIGNATURE => {
                let (at, size) = (data.dataoff.get(endian), data.datasize.get(endian));
                end = end.max(u64::from(at) + u64::from(size));
                match signature::read(bytes, at, size) {
                    Ok(signature) => image.signature = Some(signature),
                    Err(error) => malformed.note(Err(error)),
                }
            }
            // A function of the image that runs before its initialisers.
            LoadCommandVariant::Routines32(_) | LoadCommandVariant::Routines64(_) => {
                *image.initializers.entry("routine".to_owned()).or_default() += 1;
            }
            LoadCommandVariant::DyldEnvironment(variable) => {
                image.search_paths.insert(text(command.string(endian, variable.name)?));
            }
            LoadCommandVariant::EntryPoint(entry) => {
                let at = entry.entryoff.get(endian);
                let begin = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let holder = file.sections().find(|section| {
                    section.file_range().is_some_and(|(start, size)| at >= start && at - start < size)
                });
                image.entry = Some(Entry {
                    address: at,
                    section: holder.and_then(|section| section.name_bytes().ok().map(text)),
                    bytes: hex(begin.get(..ENTRY_BYTES).unwrap_or(begin)),
                });
            }
            _ => {}
        }
    }
    symbols(file.symbols(), &mut image, budget)?;
    image.unused_libraries = unused(&file, &ordered);
    if kind != "object" {
        malformed.note(functions::read(&file, bytes, &mut image, room, budget));
    }
    if file.macho_header().flags(endian).contains(macho::MH_PIE) {
        image.mitigations.insert("pie".into());
    }
    image.overlay_bytes = (bytes.len() as u64).saturating_sub(end);
    image.build_id = file.mach_uuid()?.map(|uuid| hex(&uuid));
    Ok(image)
}

/// Counts initialisers that lead into no section of a segment that can be executed. A chained pointer has its address, or its
/// distance from the header, in the lower 36 bits (Apple, `mach-o/fixup-chains.h`); what is zero is bound later.
fn astray<H: MachHeader<Endian = Endianness>>(file: &MachOFile<H>, starts: &[(&[u8], usize)]) -> u64 {
    const CHAINED: u64 = (1 << 36) - 1;
    let executable: BTreeSet<Vec<u8>> = file
        .segments()
        .filter(|segment| {
            matches!(segment.flags(), SegmentFlags::MachO { initprot, .. } if initprot.contains(macho::VM_PROT_EXECUTE))
        })
        .filter_map(|segment| segment.name_bytes().ok()?.map(<[u8]>::to_vec))
        .collect();
    let code: Vec<(u64, u64)> = file
        .sections()
        .filter(|section| {
            section.segment_name_bytes().ok().flatten().is_some_and(|name| executable.contains(name))
        })
        .map(|section| (section.address(), section.size()))
        .collect();
    let header = file.segments().find(|segment| segment.file_range().0 == 0 && segment.file_range().1 > 0);
    let base = header.map_or(0, |segment| segment.address());
    let inside = |address: u64| code.iter().any(|(start, size)| address >= *start && address - start < *size);
    let pointer = |bytes: &[u8]| match bytes.first_chunk::<8>() {
        Some(bytes) if file.is_little_endian() => u64::from_le_bytes(*bytes),
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => bytes.first_chunk::<4>().map_or(0, |bytes| {
            u64::from(if file.is_little_endian() {
                u32::from_le_bytes(*bytes)
            } else {
                u32::from_be_bytes(*bytes)
            })
        }),
    };
    // Those of a long list are counted, not looked up one by one in a long list of sections.
    const STARTS_MAX: usize = 4096;
    let pointers =
        starts.iter().flat_map(|(data, width)| data.chunks_exact(*width)).take(STARTS_MAX).map(pointer);
    let leads_nowhere = |pointer: &u64| {
        let chained = pointer & CHAINED;
        let addresses =
            [Some(*pointer), Some(chained), base.checked_add(chained), base.checked_add(*pointer)];
        *pointer != 0 && !addresses.into_iter().flatten().any(inside)
    };
    pointers.filter(leads_nowhere).count() as u64
}

/// What the headers of a linked image account for: the commands, the sections, and segments without any, whose tables lie in them.
fn parts<H: MachHeader<Endian = Endianness>>(file: &MachOFile<H>, commands_end: u64) -> Vec<(u64, u64)> {
    let mut parts = vec![(0, commands_end)];
    let range = |(start, size): (u64, u64)| (start, start.saturating_add(size));
    let mut filled: BTreeSet<Vec<u8>> = BTreeSet::new();
    for section in file.sections() {
        filled.extend(section.segment_name_bytes().ok().flatten().map(<[u8]>::to_vec));
        parts.extend(section.file_range().map(range));
    }
    let bare = file
        .segments()
        .filter(|segment| segment.name_bytes().ok().flatten().is_none_or(|name| !filled.contains(name)));
    parts.extend(bare.map(|segment| range(segment.file_range())));
    parts
}

/// Names the libraries to which no undefined symbol is bound: in a two-level namespace each has the number of its library, counted from
/// one in the order of the load commands (Apple, `nlist.h`, `GET_LIBRARY_ORDINAL`).
fn unused<H: MachHeader<Endian = Endianness>>(file: &MachOFile<H>, ordered: &[String]) -> BTreeSet<String> {
    let endian = file.endian();
    // Numbers have eight bits, and the highest ones say something else.
    let is_numbered = file.macho_header().flags(endian).contains(macho::MH_TWOLEVEL)
        && ordered.len() <= usize::from(macho::MAX_LIBRARY_ORDINAL);
    if !is_numbered {
        return BTreeSet::new();
    }
    let mut used = [false; 256];
    for symbol in file.symbols() {
        let symbol = symbol.macho_symbol();
        if symbol.is_undefined() {
            used[usize::from(symbol.library_ordinal(endian).0)] = true;
        }
    }
    let numbered = ordered.iter().zip(used.iter().skip(1));
    let of: BTreeSet<&String> = numbered.clone().filter(|(_, used)| **used).map(|(name, _)| name).collect();
    numbered.map(|(name, _)| name).filter(|name| !of.contains(name)).cloned().collect()
}
