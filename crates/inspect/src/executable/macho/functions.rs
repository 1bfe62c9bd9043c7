//! What the list of functions of a Mach-O image says where each begins, and so where the one before ends (Apple, `mach-o/loader.h`,
//! `LC_FUNCTION_STARTS`).

use evidence::tree::Executable;
use object::read::macho::{LoadCommandVariant, MachHeader, MachOFile, Nlist};
use object::{Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionFlags, macho};

use super::super::cut::Cut;
use super::super::{Room, Unreadable};
use crate::budget::Budget;

/// Names functions that are cut.
pub(super) fn read<H: MachHeader<Endian = Endianness>>(
    file: &MachOFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    room: &mut Room,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let code = file.sections().filter(|section| {
        // Stubs of the linker are marked so too, and have a type of their own.
        matches!(section.flags(), SectionFlags::MachO { flags, .. }
            if flags.typ() == macho::S_REGULAR && flags.contains(macho::S_ATTR_PURE_INSTRUCTIONS))
    });
    let code = code.filter_map(|section| Some((section.address(), section.data().ok()?)));
    let Some(mut cut) = Cut::of(file.architecture(), code.collect()) else { return Ok(()) };
    let mut segments = file.segments();
    let Some(base) = segments.find(|segment| matches!(segment.name_bytes(), Ok(Some(b"__TEXT")))) else {
        return Ok(());
    };
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        let LoadCommandVariant::LinkeditData(list) = command.variant()? else { continue };
        if command.cmd() != macho::LC_FUNCTION_STARTS {
            continue;
        }
        room.take(list.data(endian, bytes)?)?;
        let mut starts = list.function_starts(endian, bytes, base.address())?;
        let mut begin = starts.next()?;
        while let Some(at) = begin {
            begin = starts.next()?;
            let end = cut.end_of(at).unwrap_or(at);
            cut.look(at, begin.map_or(end, |next| next.min(end)));
        }
    }
    for symbol in file.symbols() {
        let address = symbol.address();
        if cut.wants_name(address) && !symbol.macho_symbol().is_stab() {
            cut.name(address, symbol.name_bytes()?, budget)?;
        }
    }
    cut.tell(image);
    Ok(())
}
