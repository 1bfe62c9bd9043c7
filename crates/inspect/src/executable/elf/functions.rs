//! What the table of functions of an x86-64 or AArch64 image says where code begins and ends: compilers describe every function for
//! whoever unwinds the stack (Linux Standard Base, Core, 10.6.2: `.eh_frame_hdr`; System V ABI, x86-64 supplement, 4.2.4).

use evidence::tree::Executable;
use object::read::elf::{ElfFile, FileHeader, SectionHeader, Sym};
use object::{Endianness, Object, elf};

use super::super::Unreadable;
use super::super::cut::Cut;
use crate::budget::Budget;
use crate::bytes::le32;

/// Version 1; distances of four bytes from where they stand, a count of four bytes, pairs of distances of four bytes from the header.
const USUAL: &[u8] = &[1, 0x1b, 3, 0x3b];
const TABLE: usize = 12;
const PAIR_BYTES: usize = 8;
/// Where a description has the size of its function: behind its length, its common part and its begin.
const SIZE: usize = 12;
/// Of what linkers fill with: zeros, `int3`, and `nop` of any length.
const FILLING: &[u8] = &[0, 0xcc, 0x90, 0x66, 0x0f, 0x1f, 0x84, 0x44, 0x80, 0x40, 0x2e];

/// Counts the bytes of `.text` that follow the last function of the table, and names functions that are cut.
pub(super) fn read<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let header = file.elf_header();
    // Sections of objects have no addresses yet.
    if !file.is_little_endian() || header.e_type(endian) == elf::ET_REL {
        return Ok(());
    }
    let table = file.elf_section_table();
    let section = |name: &[u8]| -> Option<(u64, &[u8])> {
        let (_, section) = table.section_by_name(endian, name)?;
        Some((section.sh_addr(endian).into(), section.data(endian, bytes).ok()?))
    };
    let listed = Table::of(section(b".eh_frame_hdr"), section(b".eh_frame"));
    if header.e_machine(endian) == elf::EM_X86_64
        && let (Some(code), Some(listed)) = (section(b".text"), &listed)
    {
        image.unlisted_code_bytes = behind(code, listed).unwrap_or(0);
    }
    let code = table.iter().filter(|section| {
        let flags = section.sh_flags(endian);
        // Those of the linker lead elsewhere, one behind the other.
        let is_stubs = table
            .section_name(endian, section)
            .is_ok_and(|name| name.starts_with(b".plt") || name == b".iplt");
        flags.contains(elf::SHF_ALLOC) && flags.contains(elf::SHF_EXECINSTR) && !is_stubs
    });
    let code =
        code.filter_map(|section| Some((section.sh_addr(endian).into(), section.data(endian, bytes).ok()?)));
    if let Some(mut cut) = Cut::of(file.architecture(), code.collect()) {
        for function in listed.iter().flat_map(Table::functions) {
            cut.look(function.begin, function.end);
        }
        named(file, bytes, &mut cut, budget)?;
        cut.tell(image);
    }
    Ok(())
}

/// Looks at the functions that symbols name, and names what was found.
fn named<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    cut: &mut Cut,
    budget: &mut Budget,
) -> Result<(), Unreadable> {
    let endian = file.endian();
    let symbols = |kind| file.elf_section_table().symbols(endian, bytes, kind).unwrap_or_default();
    let tables = [symbols(elf::SHT_DYNSYM), symbols(elf::SHT_SYMTAB)];
    let functions = || {
        let all = tables.iter().flat_map(|table| table.iter().map(move |symbol| (table, symbol)));
        all.filter(|(_, symbol)| symbol.st_type() == elf::STT_FUNC && !symbol.is_undefined(endian))
    };
    for (_, symbol) in functions() {
        let (begin, size): (u64, u64) = (symbol.st_value(endian).into(), symbol.st_size(endian).into());
        cut.look(begin, begin.saturating_add(size));
    }
    for (table, symbol) in functions() {
        let address = symbol.st_value(endian).into();
        if cut.wants_name(address) {
            cut.name(address, symbol.name(endian, table.strings())?, budget)?;
        }
    }
    Ok(())
}

/// A function that the image lists.
struct Function {
    begin: u64,
    end: u64,
}

/// The list of functions: addresses and bytes of the index and of the descriptions.
struct Table<'a> {
    header: (u64, &'a [u8]),
    frames: (u64, &'a [u8]),
}

impl<'a> Table<'a> {
    /// `None` if it is an unusual one.
    fn of(header: Option<(u64, &'a [u8])>, frames: Option<(u64, &'a [u8])>) -> Option<Self> {
        let (header, frames) = (header?, frames?);
        (header.1.get(..USUAL.len())? == USUAL).then_some(Self { header, frames })
    }

    fn functions(&self) -> impl Iterator<Item = Function> {
        let count = le32(self.header.1, 8).unwrap_or(0) as usize;
        let pairs = self.header.1.get(TABLE..).unwrap_or_default().chunks_exact(PAIR_BYTES).take(count);
        pairs.filter_map(|pair| self.function(pair))
    }

    fn function(&self, pair: &[u8]) -> Option<Function> {
        let distance = |at: usize| le32(pair, at).map(|distance| i64::from(distance.cast_signed()));
        let begin = self.header.0.checked_add_signed(distance(0)?)?;
        let frame = self.header.0.checked_add_signed(distance(4)?)?.checked_sub(self.frames.0)?;
        let frame = usize::try_from(frame).ok()?;
        let size = le32(self.frames.1, frame.checked_add(SIZE)?)?;
        Some(Function { begin, end: begin.checked_add(u64::from(size))? })
    }
}

/// `None` if the table lists no function of the code.
fn behind(code: (u64, &[u8]), listed: &Table) -> Option<u64> {
    let inside =
        |function: &Function| function.begin.checked_sub(code.0).is_some_and(|at| at < code.1.len() as u64);
    let end = listed.functions().filter(inside).map(|function| function.end).max()?;
    let rest = code.1.get(usize::try_from(end.checked_sub(code.0)?).ok()?..)?;
    Some(rest.iter().filter(|byte| !FILLING.contains(byte)).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_function_is_counted() {
        let word = |value: i32| value.to_le_bytes();
        let code = [0x55, 0xc3, 0x55, 0xc3, 0x90, 0x55, 0x48, 0xc3];
        let header = [
            USUAL,
            &word(0),
            &word(2),
            // Functions at 0x1000 and 0x1002, described at 0x3000 and 0x3010.
            &word(-0x1000),
            &word(0x1000),
            &word(-0xffe),
            &word(0x1010),
        ]
        .concat();
        let frame = [word(12), word(0), word(0), word(2)].concat();
        let frames = [frame.clone(), frame].concat();
        fn behind(code: (u64, &[u8]), header: (u64, &[u8]), frames: (u64, &[u8])) -> Option<u64> {
            super::behind(code, &Table::of(Some(header), Some(frames))?)
        }
        let of = |code: &[u8]| behind((0x1000, code), (0x2000, &header), (0x3000, &frames));
        assert_eq!(of(&code), Some(3));
        assert_eq!(of(&code[..5]), Some(0));
        assert_eq!(behind((0x9000, &code), (0x2000, &header), (0x3000, &frames)), None);
        assert_eq!(behind((0x1000, &code), (0x2000, &header[..20]), (0x3000, &frames)), Some(5));
        for cut in 0..16 {
            behind((0x1000, &code), (0x2000, &header[..cut]), (0x3000, &frames[..cut]));
        }
    }
    #[test]
    fn functions_of_the_table_are_looked_at() {
        let word = |value: i32| value.to_le_bytes();
        let code = [&[0x31, 0xc0, 0xc3][..], &[0x55; 29], &[0x55; 31], &[0xc3]].concat();
        let header =
            [USUAL, &word(0), &word(2), &word(-0x1000), &word(0x1000), &word(-0xfe0), &word(0x1010)].concat();
        let frames = [word(12), word(0), word(0), word(32)].concat().repeat(2);
        let table = Table::of(Some((0x2000, &header)), Some((0x3000, &frames))).unwrap();
        let mut cut = Cut::of(object::Architecture::X86_64, vec![(0x1000, &code)]).unwrap();
        let bounds: Vec<_> = table.functions().map(|function| (function.begin, function.end)).collect();
        assert_eq!(bounds, [(0x1000, 0x1020), (0x1020, 0x1040)]);
        bounds.into_iter().for_each(|(begin, end)| cut.look(begin, end));
        let mut image = Executable::default();
        cut.tell(&mut image);
        let said = ("0x1000".to_owned(), "returns at once though 29 bytes of code follow".to_owned());
        assert_eq!(image.cut_places, [said].into());
    }
}
