//! The filter that the kernel runs before each call: a program in classic BPF (`seccomp(2)`), made from `calls`.
//!
//! Everything that is in no list is allowed without asking and costs nothing (the kernel caches constant answers).
//! Foreign and x32 system-call tables are other ways into the same kernel: whoever tries them is told that they do
//! not exist.

use libc::{c_long, sock_filter};

use super::calls::{self, Call, Test, When};
use crate::sys::Instruction;
use crate::sys::ptrace::Call as Made;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn low_half(argument: u32) -> u32 {
    16 + 8 * argument + if cfg!(target_endian = "big") { 4 } else { 0 }
}
const fn high_half(argument: u32) -> u32 {
    16 + 8 * argument + if cfg!(target_endian = "big") { 0 } else { 4 }
}

#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xC000_00B7;

/// The x32 table of x86-64: the same kernel by other numbers.
const FOREIGN_NUMBERS: u32 = 0x4000_0000;

/// The name under which tests leave out the look at the architecture.
pub(super) const FOREIGN: &str = "foreign";

/// Tells whether a call came by another table than this machine's own.
pub(super) fn is_foreign(architecture: u32, number: i64) -> bool {
    architecture != OWN_ARCHITECTURE || (cfg!(target_arch = "x86_64") && number >= i64::from(FOREIGN_NUMBERS))
}

/// Makes the program; tests leave out one call, which is then allowed unseen.
pub(super) fn program(without: Option<&str>) -> Vec<Instruction> {
    let foreign = if without == Some(FOREIGN) { allow() } else { ask() };
    program_of(calls::all().filter(|call| Some(call.name) != without), foreign)
}

/// The same, but each question stops the caller for its tracer.
pub(super) fn stopping() -> Vec<Instruction> {
    let mut program = program_of(calls::all_when_stopped(), ask());
    for instruction in &mut program {
        if instruction.code == RETURN && instruction.k == libc::SECCOMP_RET_USER_NOTIF {
            instruction.k = libc::SECCOMP_RET_TRACE;
        }
    }
    program
}

fn program_of(calls: impl Iterator<Item = &'static Call>, foreign: Instruction) -> Vec<Instruction> {
    let mut program =
        vec![load(ARCHITECTURE), jump(JUMP_EQUAL, OWN_ARCHITECTURE, 1, 0), foreign, load(NUMBER)];
    if cfg!(target_arch = "x86_64") {
        program.extend([jump(JUMP_AT_LEAST, FOREIGN_NUMBERS, 0, 1), foreign]);
    }
    for call in calls {
        let block = block(call);
        program.push(jump(JUMP_EQUAL, number(call.number), 0, distance(block.len())));
        program.extend(block);
    }
    program.push(allow());
    program
}

/// What a program says of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decision {
    Allow,
    Ask,
    Refuse(i32),
}

/// Runs a program that was made here, as the kernel does: for calls of which the kernel asks nobody, or somebody else.
pub(super) fn decide(program: &[Instruction], call: &Made) -> Decision {
    let (mut word, mut at) = (0, 0);
    while let Some(instruction) = program.get(at) {
        at += 1;
        let k = instruction.k;
        let jump = |passes| usize::from(if passes { instruction.jt } else { instruction.jf });
        match instruction.code {
            LOAD => word = loaded(call, k),
            AND => word &= k,
            JUMP_EQUAL => at += jump(word == k),
            JUMP_AT_LEAST => at += jump(word >= k),
            JUMP_ANY_BIT => at += jump(word & k != 0),
            _ => {
                return match k & libc::SECCOMP_RET_ACTION_FULL {
                    libc::SECCOMP_RET_ALLOW => Decision::Allow,
                    libc::SECCOMP_RET_ERRNO => Decision::Refuse((k & libc::SECCOMP_RET_DATA).cast_signed()),
                    _ => Decision::Ask,
                };
            }
        }
    }
    Decision::Ask // No program made here comes to its end without an answer.
}

/// One word of `struct seccomp_data`.
fn loaded(call: &Made, offset: u32) -> u32 {
    let half = |value: u64, high: bool| (if high { value >> 32 } else { value & 0xFFFF_FFFF }) as u32;
    match offset {
        NUMBER => half(call.number.cast_unsigned(), false),
        ARCHITECTURE => call.architecture,
        _ => {
            let argument = (offset.saturating_sub(16) / 8) as usize;
            let high = high_half(argument as u32) == offset;
            call.arguments.get(argument).map_or(0, |value| half(*value, high))
        }
    }
}

/// What is done once the number of a call is known; it always ends with an answer.
fn block(call: &Call) -> Vec<Instruction> {
    match call.when {
        When::Always => vec![ask()],
        When::Absent => vec![refuse(libc::ENOSYS)],
        When::Any(groups) => groups.iter().flat_map(|group| passes_all(group)).chain([allow()]).collect(),
    }
}

/// Asks if all tests of a group pass; else goes on behind the group.
fn passes_all(tests: &[Test]) -> Vec<Instruction> {
    let mut code = Vec::new();
    // Jumps that leave the group: where they are, and whether they are taken when the comparison holds.
    let mut leave = Vec::new();
    for test in tests {
        match *test {
            Test::AnyBit(argument, bits) | Test::NoBit(argument, bits) => {
                code.push(load(low_half(argument)));
                leave.push((code.len(), matches!(test, Test::NoBit(..))));
                code.push(jump(JUMP_ANY_BIT, bits, 0, 0));
            }
            Test::NotNull(argument) => {
                code.extend([load(low_half(argument)), jump(JUMP_EQUAL, 0, 0, 2), load(high_half(argument))]);
                leave.push((code.len(), true));
                code.push(jump(JUMP_EQUAL, 0, 0, 0));
            }
            Test::In(argument, mask, values) => {
                code.extend([load(low_half(argument)), and(mask)]);
                for (left, value) in (0..values.len()).rev().zip(values) {
                    if left == 0 {
                        leave.push((code.len(), false));
                    }
                    code.push(jump(JUMP_EQUAL, *value, distance(left), 0));
                }
            }
            Test::NotIn(argument, mask, values) => {
                code.extend([load(low_half(argument)), and(mask)]);
                for value in values {
                    leave.push((code.len(), true));
                    code.push(jump(JUMP_EQUAL, *value, 0, 0));
                }
            }
        }
    }
    code.push(ask());
    let end = code.len();
    for (at, when) in leave {
        let away = distance(end - at - 1);
        if when {
            code[at].jt = away;
        } else {
            code[at].jf = away;
        }
    }
    code
}

fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).expect("the longest condition in the lists is far shorter")
}

fn number(call: c_long) -> u32 {
    // System-call numbers are small and positive on every architecture.
    call as u32
}

const fn load(offset: u32) -> Instruction {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

const fn and(mask: u32) -> Instruction {
    sock_filter { code: AND, jt: 0, jf: 0, k: mask }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    sock_filter { code, jt, jf, k }
}

const fn ask() -> Instruction {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_USER_NOTIF }
}

const fn allow() -> Instruction {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }
}

fn refuse(errno: i32) -> Instruction {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | errno.cast_unsigned() }
}

#[cfg(test)]
mod tests;
