//! Functions that end, or leave for elsewhere, with their first instructions although their code follows. Compilers leave no code that
//! nothing reaches; who edits a finished image does: three bytes make a check say yes. Nothing is run, and nothing is decoded but what
//! may stand before such an end (Intel SDM, volume 2; Arm ARM, C6.2).

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::Executable;
use object::Architecture;

use super::text;
use crate::budget::{Budget, Exhausted};
use crate::bytes::le32;

/// Fewer bytes are what assemblers leave, or a table.
const REST_MIN_BYTES: usize = 16;
/// So far behind the end is looked for them.
const REST_LOOKED_AT_BYTES: usize = 64;
/// Before the end stands at most so much: a frame, and a result.
const INSTRUCTIONS_MAX: usize = 12;
/// Of more functions nothing is remembered.
const FOUND_MAX: usize = 1000;
const NAME_MAX_BYTES: usize = 200;
/// So many are described.
const DESCRIBED_MAX: usize = 8;
/// Of what linkers and assemblers fill with: zeros, `int3`, and `nop` of any length.
const X86_FILLING: &[u8] = &[0, 0xcc, 0x90, 0x66, 0x0f, 0x1f, 0x84, 0x44, 0x80, 0x40, 0x2e];
/// In names of parts of functions that compilers and optimisers of finished images move away, or share among functions.
const PARTS: &[&[u8]] = &[b".cold", b".warm", b"OUTLINED_FUNCTION_"];
/// Compilers begin functions so, unless they save room, and parts of functions anywhere.
const ALIGNED_BYTES: u64 = 16;
const NOP: u32 = 0xd503_201f;

/// What of an image can be executed, and what was found there so far.
pub(super) struct Cut<'a> {
    machine: Machine,
    /// Address and bytes, sorted.
    code: Vec<(u64, &'a [u8])>,
    found: BTreeMap<u64, End>,
    names: BTreeMap<u64, String>,
}

#[derive(Clone, Copy)]
enum Machine {
    X86,
    Aarch64,
}

#[derive(Clone, Copy)]
enum Branch {
    Call,
    Jump,
}

/// How the first instructions of a function end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Returns,
    Leaves,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct End {
    how: How,
    /// What of the function follows, in bytes.
    rest: usize,
    /// All of it.
    size: usize,
}

impl<'a> Cut<'a> {
    /// `None` for machines whose instructions are not known here.
    pub(super) fn of(machine: Architecture, mut code: Vec<(u64, &'a [u8])>) -> Option<Self> {
        let machine = match machine {
            Architecture::X86_64 => Machine::X86,
            Architecture::Aarch64 => Machine::Aarch64,
            _ => return None,
        };
        code.sort_by_key(|(start, _)| *start);
        Some(Self { machine, code, found: BTreeMap::new(), names: BTreeMap::new() })
    }

    /// Returns the end of the code that lies at an address.
    pub(super) fn end_of(&self, address: u64) -> Option<u64> {
        let (start, bytes) = self.part(address)?;
        start.checked_add(bytes.len() as u64)
    }

    fn part(&self, address: u64) -> Option<(u64, &'a [u8])> {
        let after = self.code.partition_point(|(start, _)| *start <= address);
        let (start, bytes) = self.code.get(after.checked_sub(1)?)?;
        (address - start < bytes.len() as u64).then_some((*start, *bytes))
    }

    /// Looks at one function. Takes the same time for a long one as for a short one.
    pub(super) fn look(&mut self, begin: u64, end: u64) {
        if self.found.len() < FOUND_MAX
            && let Some(found) = self.first(begin, end)
        {
            let known = self.found.entry(begin).or_insert(found);
            if found.size > known.size {
                *known = found;
            }
        }
    }

    fn first(&self, begin: u64, end: u64) -> Option<End> {
        let (start, bytes) = self.part(begin)?;
        let from = usize::try_from(begin - start).ok()?;
        let to = usize::try_from(end.checked_sub(start)?).ok()?.min(bytes.len());
        let function = bytes.get(from..to)?;
        let (how, length) = match self.machine {
            Machine::X86 => x86(function)?,
            Machine::Aarch64 => aarch64(function)?,
        };
        let rest = function.get(length..)?;
        let near = rest.get(..REST_LOOKED_AT_BYTES).unwrap_or(rest);
        let told = match self.machine {
            Machine::X86 => near.iter().filter(|byte| !X86_FILLING.contains(byte)).count(),
            Machine::Aarch64 => near.chunks_exact(4).filter(|word| !is_filling(word)).count() * 4,
        };
        (told >= REST_MIN_BYTES).then_some(End { how, rest: rest.len(), size: function.len() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether a function was found that has no name yet.
    pub(super) fn wants_name(&self, address: u64) -> bool {
        self.found.contains_key(&address) && !self.names.contains_key(&address)
    }

    /// Takes the name of a function; that of a part of one says that it is none.
    pub(super) fn name(&mut self, address: u64, name: &[u8], budget: &mut Budget) -> Result<(), Exhausted> {
        budget.facts(name.len() as u64)?;
        if PARTS.iter().any(|part| memchr::memmem::find(name, part).is_some()) {
            self.found.remove(&address);
        } else {
            self.names.insert(address, text(name.get(..NAME_MAX_BYTES).unwrap_or(name)));
        }
        Ok(())
    }

    /// Forgets parts of functions that compilers move away (`.cold`): each is several pieces of code, into which the rest of the
    /// function jumps, also through tables, and which nobody calls. So are those of functions in assembly.
    fn forget_parts(&mut self) {
        if self.found.is_empty() {
            return;
        }
        let (mut called, mut entered) = (BTreeSet::new(), BTreeSet::new());
        for (start, bytes) in &self.code {
            for (kind, from, to) in branches(self.machine, *start, bytes) {
                let Some((begin, end)) = self.found.range(..=to).next_back() else { continue };
                let inside = |address: u64| address >= *begin && address - begin < end.size as u64;
                match kind {
                    Branch::Call if to == *begin => _ = called.insert(*begin),
                    Branch::Jump if to > *begin && inside(to) && !inside(from) => _ = entered.insert(*begin),
                    _ => {}
                }
            }
        }
        self.found.retain(|begin, _| {
            self.names.contains_key(begin)
                || called.contains(begin)
                || (begin % ALIGNED_BYTES == 0 && !entered.contains(begin))
        });
    }

    /// Writes down what was found. A function without a name has its address.
    pub(super) fn tell(mut self, image: &mut Executable) {
        self.forget_parts();
        image.cut_functions = self.found.len() as u64;
        for (address, End { how, rest, .. }) in self.found.iter().take(DESCRIBED_MAX) {
            let name = self.names.get(address).cloned().unwrap_or_else(|| format!("{address:#x}"));
            let how = match how {
                How::Returns => "returns at once",
                How::Leaves => "leaves at once for elsewhere",
            };
            image.cut_places.insert(name, format!("{how} though {rest} bytes of code follow"));
        }
    }
}

/// Branches of AArch64: bits that tell, what they are, and where the distance in words stands: its lowest bit, how many. The first is
/// that of calls.
const BRANCHES: &[(u32, u32, u32, u32)] = &[
    (0xfc00_0000, 0x9400_0000, 0, 26),
    (0xfc00_0000, 0x1400_0000, 0, 26),
    (0xff00_0010, 0x5400_0000, 5, 19),
    (0x7e00_0000, 0x3400_0000, 5, 19),
    (0x7e00_0000, 0x3600_0000, 5, 14),
];

/// Calls, far jumps and addresses by a distance, with what is at most one of them by chance: from where, to where.
fn branches(machine: Machine, start: u64, bytes: &[u8]) -> impl Iterator<Item = (Branch, u64, u64)> {
    let (step, width) = match machine {
        Machine::X86 => (1, 7),
        Machine::Aarch64 => (4, 4),
    };
    bytes.windows(width).enumerate().step_by(step).filter_map(move |(at, code)| {
        let from = start.checked_add(at as u64)?;
        let (kind, distance) = match machine {
            Machine::X86 => {
                let (kind, at) = match code {
                    [0xe8, ..] => (Branch::Call, 1),
                    [0xe9, ..] => (Branch::Jump, 1),
                    [0x0f, 0x80..=0x8f, ..] => (Branch::Jump, 2),
                    // `lea` from the next instruction: a function that somebody else calls.
                    [0x48 | 0x4c, 0x8d, told, ..] if told & 0xc7 == 5 => (Branch::Call, 3),
                    _ => return None,
                };
                (kind, i64::from(le32(code, at)?.cast_signed()) + at as i64 + 4)
            }
            Machine::Aarch64 => {
                let word = le32(code, 0)?;
                let number = BRANCHES.iter().position(|(bits, value, ..)| word & bits == *value)?;
                let (_, _, low, width) = BRANCHES.get(number)?;
                let words = (word << (32 - low - width)).cast_signed() >> (32 - width);
                (if number == 0 { Branch::Call } else { Branch::Jump }, i64::from(words) * 4)
            }
        };
        Some((kind, from, from.checked_add_signed(distance)?))
    })
}

fn is_filling(word: &[u8]) -> bool {
    le32(word, 0).is_none_or(|word| word == 0 || word == NOP)
}

/// Instructions that neither branch nor read memory: how they begin, and how long they are.
const X86_PLAIN: &[(&[u8], usize)] = &[
    // `endbr64`, `nop`.
    (&[0xf3, 0x0f, 0x1e, 0xfa], 4),
    (&[0x90], 1),
    (&[0x66, 0x90], 2),
    (&[0x0f, 0x1f, 0x00], 3),
    (&[0x0f, 0x1f, 0x40], 4),
    (&[0x0f, 0x1f, 0x44], 5),
    // A result in `rax` or `xmm0`: zero, a number, an argument.
    (&[0x31, 0xc0], 2),
    (&[0x33, 0xc0], 2),
    (&[0x48, 0x31, 0xc0], 3),
    (&[0x48, 0x33, 0xc0], 3),
    (&[0xb8], 5),
    (&[0xb0], 2),
    (&[0x48, 0xb8], 10),
    (&[0x48, 0xc7, 0xc0], 7),
    (&[0x83, 0xc8], 3),
    (&[0x48, 0x83, 0xc8], 4),
    (&[0xff, 0xc0], 2),
    (&[0x48, 0xff, 0xc0], 3),
    (&[0x89, 0xf8], 2),
    (&[0x48, 0x89, 0xf8], 3),
    (&[0x8b, 0xc1], 2),
    (&[0x89, 0xc8], 2),
    (&[0x48, 0x8b, 0xc1], 3),
    (&[0x48, 0x89, 0xc8], 3),
    (&[0x0f, 0x57, 0xc0], 3),
    (&[0x66, 0x0f, 0xef, 0xc0], 4),
    (&[0x6a], 2),
    (&[0x68], 5),
    // A frame, made and left.
    (&[0x48, 0x89, 0xe5], 3),
    (&[0x48, 0x8b, 0xec], 3),
    (&[0x48, 0x83, 0xec], 4),
    (&[0x48, 0x83, 0xc4], 4),
    (&[0xc9], 1),
];

/// How the function ends with its first instructions, and where the next one begins.
fn x86(function: &[u8]) -> Option<(How, usize)> {
    let mut at = 0;
    for _ in 0..INSTRUCTIONS_MAX {
        let code = function.get(at..)?;
        let length = match code {
            [0xc3, ..] => return Some((How::Returns, at + 1)),
            [0xf2 | 0xf3, 0xc3, ..] => return Some((How::Returns, at + 2)),
            [0xc2, ..] => return Some((How::Returns, at + 3)),
            // `jmp` by a distance.
            [0xe9, ..] => return leaves(function, at + 5, i64::from(le32(code, 1)?.cast_signed())),
            [0xeb, distance, ..] => return leaves(function, at + 2, i64::from(distance.cast_signed())),
            // `jmp` through a pointer, and to an address in `rax` that was a number.
            [0xff, 0x25, ..] => return Some((How::Leaves, at + 6)),
            [0x48, 0xff, 0x25, ..] => return Some((How::Leaves, at + 7)),
            [0xff, 0xe0, ..] if at >= 10 => return Some((How::Leaves, at + 2)),
            // `push` and `pop` of a register.
            [0x50..=0x5f, ..] => 1,
            [0x41, 0x50..=0x5f, ..] => 2,
            _ => X86_PLAIN.iter().find(|(begin, _)| code.starts_with(begin))?.1,
        };
        at += length;
    }
    None
}

fn aarch64(function: &[u8]) -> Option<(How, usize)> {
    /// Bits that tell, and what they are.
    const PLAIN: &[(u32, u32)] = &[
        // Hints: `nop`, `bti`, `paciasp`, `autiasp`.
        (0xffff_f01f, 0xd503_201f),
        // `movz`, `movn`, `movk`; `mov` of a register, of a pattern; `movi d0, #0`.
        (0x7f80_0000, 0x5280_0000),
        (0x7f80_0000, 0x1280_0000),
        (0x7f80_0000, 0x7280_0000),
        (0x7fe0_ffe0, 0x2a00_03e0),
        (0x7f80_03e0, 0x3200_03e0),
        (0xffff_ffff, 0x2f00_e400),
        // `adrp`, `add` of a number, `ldr` of a number that stands in the code.
        (0x9f00_0000, 0x9000_0000),
        (0xff80_0000, 0x9100_0000),
        (0xff00_0000, 0x5800_0000),
        // `stp x29, x30, [sp, #…]!` and `ldp x29, x30, [sp], #…`.
        (0xffc0_7fff, 0xa980_7bfd),
        (0xffc0_7fff, 0xa8c0_7bfd),
    ];
    for number in 0..INSTRUCTIONS_MAX {
        let (at, next) = (number * 4, number * 4 + 4);
        let word = le32(function, at)?;
        match word {
            // `retaa` and `retab`, `ret`, `br`.
            0xd65f_0bff | 0xd65f_0fff => return Some((How::Returns, next)),
            _ if word & 0xffff_fc1f == 0xd65f_0000 => return Some((How::Returns, next)),
            _ if word & 0xffff_fc1f == 0xd61f_0000 && number > 0 => return Some((How::Leaves, next)),
            // `b` by words of a number with 26 bits, counted from where it stands.
            _ if word >> 26 == 5 => {
                let distance = i64::from((word << 6).cast_signed() >> 6) * 4;
                return leaves(function, next, distance - 4);
            }
            _ if PLAIN.iter().any(|(bits, value)| word & bits == *value) => {}
            _ => return None,
        }
    }
    None
}

/// A jump, if it leads out of the function: by a distance from the next instruction.
fn leaves(function: &[u8], next: usize, distance: i64) -> Option<(How, usize)> {
    let target = i64::try_from(next).ok()?.checked_add(distance)?;
    let is_inside = usize::try_from(target).is_ok_and(|target| target < function.len());
    (!is_inside).then_some((How::Leaves, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: [u8; 40] = [0x55; 40];

    /// What is said of a function at 0x1000 that begins so, and is followed by another one that may call it.
    #[track_caller]
    fn check(machine: Architecture, begin: &[u8], expected: Option<&str>) {
        let function = [begin, &REST].concat();
        let mut cut = Cut::of(machine, vec![(0x1000, &function)]).unwrap();
        cut.look(0x1000, 0x1000 + function.len() as u64);
        let mut image = Executable::default();
        cut.tell(&mut image);
        let said = expected.map(|how| ("0x1000".to_owned(), how.to_owned()));
        assert_eq!(image.cut_places, said.into_iter().collect(), "{begin:02x?}");
        assert_eq!(image.cut_functions, u64::from(expected.is_some()));
    }

    const RETURNS: Option<&str> = Some("returns at once though 40 bytes of code follow");
    const LEAVES: Option<&str> = Some("leaves at once for elsewhere though 40 bytes of code follow");

    #[test]
    fn functions_of_x86_64_that_end_where_they_begin() {
        let check = |begin: &[u8], expected| check(Architecture::X86_64, begin, expected);
        check(&[0xc3], RETURNS);
        check(&[0x31, 0xc0, 0xc3], RETURNS);
        check(&[0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 1, 0, 0, 0, 0xc3], RETURNS);
        check(&[0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0x5d, 0xc3], RETURNS);
        check(&[0xe9, 0, 0x10, 0, 0], LEAVES);
        check(&[0xe9, 0xf0, 0xff, 0xff, 0xff], LEAVES);
        check(&[0xff, 0x25, 0, 0x10, 0, 0], LEAVES);
        check(&[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xe0], LEAVES);
        // A loop that begins with its condition, a choice, a call.
        check(&[0xe9, 0x10, 0, 0, 0], None);
        check(&[0xeb, 0x10], None);
        check(&[0x85, 0xff, 0x75, 1, 0xc3], None);
        check(&[0xe8, 0, 0x10, 0, 0, 0xc3], None);
    }

    #[test]
    fn functions_of_aarch64_that_end_where_they_begin() {
        let check = |words: &[u32], expected| {
            let begin: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            check(Architecture::Aarch64, &begin, expected);
        };
        check(&[0xd65f_03c0], RETURNS);
        check(&[0xd503_245f, 0x5280_0000, 0xd65f_03c0], RETURNS);
        check(&[0xd280_0020, 0xd65f_03c0], RETURNS);
        check(&[0x1400_0400], LEAVES);
        check(&[0x17ff_ffff], LEAVES);
        check(&[0x5800_0050, 0xd61f_0200], LEAVES);
        check(&[0x1400_0004], None);
        check(&[0xa9bf_7bfd, 0xf940_0000, 0xd65f_03c0], None);
        check(&[0xd61f_0200], None);
    }

    #[test]
    fn filling_and_too_little_do_not_count() {
        let found = |function: &[u8]| {
            let mut cut = Cut::of(Architecture::X86_64, vec![(0x1000, function)]).unwrap();
            cut.look(0x1000, u64::MAX);
            cut.look(u64::MAX, 0x1000);
            cut.found.len()
        };
        assert_eq!(found(&[&[0xc3][..], &[0xcc; 400]].concat()), 0);
        assert_eq!(found(&[&[0xc3][..], &[0x55; 15]].concat()), 0);
        assert_eq!(found(&[&[0xc3][..], &[0x55; 16]].concat()), 1);
        for length in 0..12 {
            found(&[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xe0][..length]);
            found(&[0xe9, 0, 0, 0, 0x80][..length.min(5)]);
        }
        assert!(Cut::of(Architecture::Riscv64, Vec::new()).is_none());
    }

    /// A part of a function: it goes back at once, and the function jumps to what follows.
    #[test]
    fn parts_of_functions_are_none() {
        let part = [&[0xe9, 0xf0, 0xff, 0xff, 0xff][..], &REST].concat();
        let found = |address: u64, other: &[u8], name: Option<&[u8]>| {
            let code = vec![(address, &part[..]), (address + 0x100, other)];
            let mut cut = Cut::of(Architecture::X86_64, code).unwrap();
            cut.look(address, address + part.len() as u64);
            if let Some(name) = name {
                cut.name(address, name, &mut Budget::default()).unwrap();
            }
            let mut image = Executable::default();
            cut.tell(&mut image);
            image.cut_functions
        };
        // Distances from the other function to the begin of this one, and into it.
        let [calls, enters] = [(0xe8, -0x105_i32), (0xe9, -0x100 + 5)]
            .map(|(code, distance)| [&[code][..], &distance.to_le_bytes(), &[0x90; 4]].concat());
        assert_eq!(found(0x1000, &[0x90; 8], None), 1);
        assert_eq!(found(0x1000, &enters, None), 0);
        assert_eq!(found(0x1000, &[calls.clone(), enters.clone()].concat(), None), 1);
        assert_eq!(found(0x1000, &enters, Some(b"verify")), 1);
        assert_eq!(found(0x1000, &[0x90; 8], Some(b"verify.cold")), 0);
        assert_eq!(found(0x1000, &[0x90; 8], Some(b"_OUTLINED_FUNCTION_3")), 0);
        assert_eq!(found(0x1003, &[0x90; 8], None), 0);
        assert_eq!(found(0x1003, &calls, None), 1);
    }

    #[test]
    fn many_functions_are_counted_up_to_a_bound() {
        let code = vec![0xc3; 5000];
        let mut cut = Cut::of(Architecture::X86_64, vec![(0x1000, &code)]).unwrap();
        (0..5000).for_each(|at| cut.look(0x1000 + at, u64::MAX));
        let mut image = Executable::default();
        cut.tell(&mut image);
        assert_eq!((image.cut_functions, image.cut_places.len()), (63, DESCRIBED_MAX));
    }
}
