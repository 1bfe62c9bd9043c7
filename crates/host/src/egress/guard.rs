//! The filter that lies before the recorder's: kinds of sockets that a network namespace does not hold back.
//!
//! `AF_VSOCK` reaches the machine below a virtual one whatever the namespace; others (Bluetooth, …) have no business
//! in a build. Nobody is asked, so nobody can be misled: the socket does not come into being.

use libc::sock_filter;

use crate::sys::Instruction;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const MASK: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Offsets into `struct seccomp_data`: the number, and the low half of an argument.
const NUMBER: u32 = 0;
const fn argument(position: u32) -> u32 {
    16 + 8 * position + if cfg!(target_endian = "big") { 4 } else { 0 }
}

/// Families that stay in their namespace or only ask the kernel.
const FAMILIES: [libc::c_int; 5] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_ALG];
/// What a stream may be made of where the recorder carries its connections out: SCTP has calls of its own to connect.
const PROTOCOLS: [libc::c_int; 3] = [0, libc::IPPROTO_TCP, libc::IPPROTO_MPTCP];
/// Calls that can connect by the way, and which argument has the flag.
const SENDS: [(libc::c_long, u32); 3] =
    [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)];

/// What holds the build back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// A network of its own.
    Inside,
    /// Only the recorder. Where a datagram goes stands in memory that another thread can change after we have looked,
    /// so there are no datagrams but those of this machine.
    Beside,
}

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    sock_filter { code, jt, jf, k }
}

const fn allow() -> Instruction {
    step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW)
}

fn refuse(errno: i32) -> Instruction {
    step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned())
}

/// Goes on if the loaded word is one of these, else leaves with this answer.
fn one_of(values: &[libc::c_int], otherwise: Instruction) -> Vec<Instruction> {
    let left = (0..values.len()).rev();
    let jumps = values.iter().zip(left).map(|(value, left)| {
        // Lists are short.
        step(JUMP_EQUAL, left as u8 + 1, 0, value.cast_unsigned())
    });
    jumps.chain([otherwise]).collect()
}

/// Makes the program. Other tables of system calls are refused by the filter that comes after this one.
pub(crate) fn program(held: Held) -> Vec<Instruction> {
    let mut program = vec![step(LOAD, 0, 0, NUMBER)];
    if held == Held::Beside {
        // Sockets of the same user's other processes.
        program.extend([step(JUMP_EQUAL, 0, 1, libc::SYS_pidfd_getfd as u32), refuse(libc::EPERM)]);
        for (call, flags) in SENDS {
            program.extend([
                // System-call numbers are small and positive.
                step(JUMP_EQUAL, 0, 4, call as u32),
                step(LOAD, 0, 0, argument(flags)),
                step(JUMP_ANY_BIT, 0, 1, libc::MSG_FASTOPEN.cast_unsigned()),
                refuse(libc::EOPNOTSUPP),
                allow(),
            ]);
        }
    }
    program.extend([step(JUMP_EQUAL, 1, 0, libc::SYS_socket as u32), allow(), step(LOAD, 0, 0, argument(0))]);
    program.extend(one_of(&FAMILIES, refuse(libc::EAFNOSUPPORT)));
    for other in [libc::AF_UNIX, libc::AF_NETLINK, libc::AF_ALG] {
        program.extend([step(JUMP_EQUAL, 0, 1, other.cast_unsigned()), allow()]);
    }
    program.extend([step(LOAD, 0, 0, argument(1)), step(MASK, 0, 0, 0xF)]);
    match held {
        // Raw sockets write their own headers.
        Held::Inside => {
            program.extend(one_of(
                &[libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET],
                refuse(libc::EPERM),
            ));
        }
        Held::Beside => {
            program.extend(one_of(&[libc::SOCK_STREAM], refuse(libc::EPERM)));
            program.push(step(LOAD, 0, 0, argument(2)));
            program.extend(one_of(&PROTOCOLS, refuse(libc::EPERM)));
        }
    }
    program.push(allow());
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(held: Held, number: libc::c_long, arguments: [i32; 4]) -> u32 {
        let program = program(held);
        let mut data = [0; 64];
        data[..4].copy_from_slice(&(number as u32).to_ne_bytes());
        for (position, argument) in arguments.iter().enumerate() {
            let bytes = u64::from(argument.cast_unsigned()).to_ne_bytes();
            data[16 + 8 * position..24 + 8 * position].copy_from_slice(&bytes);
        }
        let (mut at, mut word) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let taken = match step.code {
                LOAD => {
                    let offset = step.k as usize;
                    word = u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap());
                    continue;
                }
                MASK => {
                    word &= step.k;
                    continue;
                }
                JUMP_EQUAL => word == step.k,
                JUMP_ANY_BIT => word & step.k != 0,
                RETURN => return step.k,
                other => panic!("instruction {other}"),
            };
            at += usize::from(if taken { step.jt } else { step.jf });
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const NONE: u32 = libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT.cast_unsigned();
    const DENIED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();

    #[test]
    fn only_sockets_that_stay_inside_come_into_being() {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        for (family, kind, protocol, inside, beside) in [
            (libc::AF_INET, libc::SOCK_STREAM | flags, 0, ALLOW, ALLOW),
            (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_MPTCP, ALLOW, ALLOW),
            (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP, ALLOW, DENIED),
            (libc::AF_INET6, libc::SOCK_DGRAM, 0, ALLOW, DENIED),
            (libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ALLOW, ALLOW),
            (libc::AF_UNIX, libc::SOCK_DGRAM | flags, 0, ALLOW, ALLOW),
            (libc::AF_ALG, libc::SOCK_SEQPACKET, 0, ALLOW, ALLOW),
            (libc::AF_NETLINK, libc::SOCK_RAW, 0, ALLOW, ALLOW),
            (libc::AF_INET, libc::SOCK_RAW | flags, 1, DENIED, DENIED),
            (libc::AF_INET6, libc::SOCK_RAW, 1, DENIED, DENIED),
            (libc::AF_VSOCK, libc::SOCK_STREAM, 0, NONE, NONE),
            (libc::AF_PACKET, libc::SOCK_RAW, 0, NONE, NONE),
            (libc::AF_BLUETOOTH, libc::SOCK_STREAM, 0, NONE, NONE),
        ] {
            let socket = |held| decide(held, libc::SYS_socket, [family, kind, protocol, 0]);
            assert_eq!(socket(Held::Inside), inside, "{family} {kind} {protocol}");
            assert_eq!(socket(Held::Beside), beside, "{family} {kind} {protocol}");
        }
    }

    #[test]
    fn sending_does_not_connect_where_only_the_recorder_holds() {
        let denied = libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP.cast_unsigned();
        let flag = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
        for (call, arguments) in [
            (libc::SYS_sendto, [0, 0, 0, flag]),
            (libc::SYS_sendmsg, [0, 0, flag, 0]),
            (libc::SYS_sendmmsg, [0, 0, 0, flag]),
        ] {
            assert_eq!(decide(Held::Beside, call, arguments), denied);
            assert_eq!(decide(Held::Beside, call, [0; 4]), ALLOW);
            assert_eq!(decide(Held::Inside, call, arguments), ALLOW);
        }
        assert_eq!(decide(Held::Beside, libc::SYS_read, [libc::AF_VSOCK; 4]), ALLOW);
        assert_eq!(decide(Held::Beside, libc::SYS_pidfd_getfd, [0; 4]), DENIED);
    }
}
