//! Mach-O images, thin and universal (Apple "Mach-O File Format Reference").

use evidence::tree::{CodeSignature, Executable};
use object::read::macho::{
    FatArch, LoadCommandVariant, MachHeader, MachOFatFile32, MachOFatFile64, MachOFile,
};
use object::{Endianness, FileKind, Object, ObjectSection, ObjectSegment, SegmentFlags, macho};

use super::{Unreadable, empty, hex, section, symbols, text};
use crate::budget::Budget;

pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Executable>, Unreadable> {
    match FileKind::parse(bytes)? {
        FileKind::MachOFat32 => {
            let file = MachOFatFile32::parse(bytes)?;
            file.arches().iter().map(|arch| thin(arch.data(bytes)?, budget)).collect()
        }
        FileKind::MachOFat64 => {
            let file = MachOFatFile64::parse(bytes)?;
            file.arches().iter().map(|arch| thin(arch.data(bytes)?, budget)).collect()
        }
        _ => Ok(vec![thin(bytes, budget)?]),
    }
}

fn thin(bytes: &[u8], budget: &mut Budget) -> Result<Executable, Unreadable> {
    match FileKind::parse(bytes)? {
        FileKind::MachO32 => image::<macho::MachHeader32<Endianness>>(bytes, budget),
        FileKind::MachO64 => image::<macho::MachHeader64<Endianness>>(bytes, budget),
        _ => Err(Unreadable::Other("a slice is not a thin image")),
    }
}

fn image<H: MachHeader<Endian = Endianness>>(
    bytes: &[u8],
    budget: &mut Budget,
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
    for known in file.sections() {
        budget.symbol()?;
        let segment = known.segment_name_bytes()?.unwrap_or(b"").to_vec();
        let right =
            rights.iter().find(|(name, _)| *name == segment).map_or(macho::VmProt(0), |(_, right)| *right);
        let name = [segment.as_slice(), b",", known.name_bytes()?].concat();
        let data = known.data()?;
        image.sections.push(section(
            &name,
            data,
            right.contains(macho::VM_PROT_WRITE),
            right.contains(macho::VM_PROT_EXECUTE),
        ));
    }
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        budget.symbol()?;
        match command.variant()? {
            LoadCommandVariant::Dylib(library) => {
                image.libraries.insert(text(command.string(endian, library.dylib.name)?));
            }
            LoadCommandVariant::Rpath(path) => {
                image.search_paths.insert(text(command.string(endian, path.path)?));
            }
            LoadCommandVariant::LinkeditData(data) if command.cmd() == macho::LC_CODE_SIGNATURE => {
                let size = u64::from(data.datasize.get(endian));
                let end = u64::from(data.dataoff.get(endian)) + size;
                image.signature = Some(CodeSignature {
                    kind: "apple".into(),
                    table_bytes: size,
                    entries: 1,
                    bytes_after_table: (bytes.len() as u64).saturating_sub(end),
                    ..CodeSignature::default()
                });
            }
            _ => {}
        }
    }
    symbols(file.symbols(), &mut image, budget)?;
    if file.macho_header().flags(endian).contains(macho::MH_PIE) {
        image.mitigations.insert("pie".into());
    }
    image.build_id = file.mach_uuid()?.map(|uuid| hex(&uuid));
    Ok(image)
}
