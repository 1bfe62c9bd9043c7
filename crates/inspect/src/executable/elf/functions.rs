//! What the table of functions of an x86-64 image says where code ends: compilers describe every function for whoever unwinds the
//! stack (Linux Standard Base, Core, 10.6.2: `.eh_frame_hdr`; System V ABI, x86-64 supplement, 4.2.4).

use evidence::tree::Executable;
use object::read::elf::{ElfFile, FileHeader, SectionHeader};
use object::{Endianness, elf};

use crate::bytes::le32;

/// Version 1; distances of four bytes from where they stand, a count of four bytes, pairs of distances of four bytes from the header.
const USUAL: &[u8] = &[1, 0x1b, 3, 0x3b];
const TABLE: usize = 12;
const PAIR_BYTES: usize = 8;
/// Where a description has the size of its function: behind its length, its common part and its begin.
const SIZE: usize = 12;
/// Of what linkers fill with: zeros, `int3`, and `nop` of any length.
const FILLING: &[u8] = &[0, 0xcc, 0x90, 0x66, 0x0f, 0x1f, 0x84, 0x44, 0x80, 0x40, 0x2e];

/// Counts the bytes of `.text` that follow the last function of the table.
pub(super) fn read<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<H>,
    bytes: &[u8],
    image: &mut Executable,
) {
    let endian = file.endian();
    if file.elf_header().e_machine(endian) != elf::EM_X86_64 {
        return;
    }
    let section = |name: &[u8]| -> Option<(u64, &[u8])> {
        let (_, section) = file.elf_section_table().section_by_name(endian, name)?;
        Some((section.sh_addr(endian).into(), section.data(endian, bytes).ok()?))
    };
    let (Some(code), Some(header), Some(frames)) =
        (section(b".text"), section(b".eh_frame_hdr"), section(b".eh_frame"))
    else {
        return;
    };
    image.unlisted_code_bytes = behind(code, header, frames).unwrap_or(0);
}

/// `None` if the table is an unusual one, or lists no function of the code.
fn behind(code: (u64, &[u8]), header: (u64, &[u8]), frames: (u64, &[u8])) -> Option<u64> {
    if header.1.get(..USUAL.len())? != USUAL {
        return None;
    }
    let count = le32(header.1, 8)? as usize;
    let mut end = None;
    for pair in header.1.get(TABLE..)?.chunks_exact(PAIR_BYTES).take(count) {
        let distance = |at: usize| le32(pair, at).map(|distance| i64::from(distance.cast_signed()));
        let begin = header.0.checked_add_signed(distance(0)?)?;
        if begin.checked_sub(code.0).is_none_or(|at| at >= code.1.len() as u64) {
            continue;
        }
        let frame = header.0.checked_add_signed(distance(4)?)?.checked_sub(frames.0)?;
        let size = le32(frames.1, usize::try_from(frame).ok()?.checked_add(SIZE)?)?;
        end = end.max(begin.checked_add(u64::from(size)));
    }
    let rest = code.1.get(usize::try_from(end?.checked_sub(code.0)?).ok()?..)?;
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
        let of = |code: &[u8]| behind((0x1000, code), (0x2000, &header), (0x3000, &frames));
        assert_eq!(of(&code), Some(3));
        assert_eq!(of(&code[..5]), Some(0));
        assert_eq!(behind((0x9000, &code), (0x2000, &header), (0x3000, &frames)), None);
        assert_eq!(behind((0x1000, &code), (0x2000, &header[..20]), (0x3000, &frames)), Some(5));
        for cut in 0..16 {
            behind((0x1000, &code), (0x2000, &header[..cut]), (0x3000, &frames[..cut]));
        }
    }
}
