//! Which calls the kernel asks us about: a filter program in classic BPF (`seccomp(2)`).
//!
//! Everything else is allowed without asking and costs nothing (the kernel caches constant answers). What would
//! go round the recorder is refused: foreign and x32 system-call tables, `io_uring`, handles instead of paths.

use libc::{c_long, sock_filter};

use crate::sys::Instruction;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
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

/// Calls that only the older architectures have.
#[cfg(target_arch = "x86_64")]
const LEGACY: &[c_long] = &[
    libc::SYS_creat,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[c_long] = &[];

/// Calls that we are asked about whatever their arguments.
const ASKED: &[c_long] = &[
    libc::SYS_openat2,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit_group,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_umask,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Whoever changes what paths and rights mean.
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    SYS_LANDLOCK_RESTRICT_SELF,
    // Whoever could reach for the recorder.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
];

/// Calls that would go round the recorder, and what the caller is told.
const REFUSED: &[(c_long, i32)] = &[
    (libc::SYS_io_uring_setup, libc::ENOSYS),
    (libc::SYS_io_uring_enter, libc::ENOSYS),
    (libc::SYS_io_uring_register, libc::ENOSYS),
    (libc::SYS_open_by_handle_at, libc::EPERM),
    (libc::SYS_userfaultfd, libc::EPERM),
];

/// System calls newer than the C library's list, the same on all architectures.
pub(super) const SYS_FCHMODAT2: c_long = 452;
pub(super) const SYS_LANDLOCK_RESTRICT_SELF: c_long = 446;

/// Makes the program.
pub(super) fn program() -> Vec<Instruction> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(JUMP_EQUAL, OWN_ARCHITECTURE, 1, 0),
        refuse(libc::ENOSYS),
        load(NUMBER),
    ];
    if cfg!(target_arch = "x86_64") {
        // The x32 table: the same kernel by other numbers.
        program.extend([jump(JUMP_AT_LEAST, 0x4000_0000, 0, 1), refuse(libc::ENOSYS)]);
    }
    for call in ASKED.iter().chain(LEGACY) {
        program.extend([jump(JUMP_EQUAL, number(*call), 0, 1), ask()]);
    }
    for (call, errno) in REFUSED {
        program.extend([jump(JUMP_EQUAL, number(*call), 0, 1), refuse(*errno)]);
    }
    // Folders and mere names are not content.
    let names_only = (libc::O_DIRECTORY | libc::O_PATH).cast_unsigned();
    let mut opens = vec![(libc::SYS_openat, 2)];
    #[cfg(target_arch = "x86_64")]
    opens.push((libc::SYS_open, 1));
    for (call, flags) in opens {
        program.extend([
            jump(JUMP_EQUAL, number(call), 0, 4),
            load(low_half(flags)),
            jump(JUMP_ANY_BIT, names_only, 0, 1),
            allow(),
            ask(),
        ]);
    }
    // A datagram with an address; on a connected socket there is none.
    program.extend([
        jump(JUMP_EQUAL, number(libc::SYS_sendto), 0, 5),
        load(low_half(4)),
        jump(JUMP_EQUAL, 0, 0, 2),
        load(high_half(4)),
        jump(JUMP_EQUAL, 0, 1, 0),
        ask(),
        allow(),
    ]);
    program
}

fn number(call: c_long) -> u32 {
    // System-call numbers are small and positive on every architecture.
    call as u32
}

const fn load(offset: u32) -> Instruction {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
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
mod tests {
    use super::*;

    /// What classic BPF does with a call, in so far as the filter uses it.
    fn decide(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [0; 64];
        data[..4].copy_from_slice(&number.to_ne_bytes());
        data[4..8].copy_from_slice(&architecture.to_ne_bytes());
        for (position, argument) in arguments.iter().enumerate() {
            data[16 + 8 * position..24 + 8 * position].copy_from_slice(&argument.to_ne_bytes());
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
                RETURN => return step.k,
                JUMP_EQUAL => word == step.k,
                JUMP_AT_LEAST => word >= step.k,
                JUMP_ANY_BIT => word & step.k != 0,
                other => panic!("instruction {other}"),
            };
            at += usize::from(if taken { step.jt } else { step.jf });
        }
    }

    fn own(call: c_long, arguments: [u64; 6]) -> u32 {
        decide(&program(), OWN_ARCHITECTURE, number(call), arguments)
    }

    const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[test]
    fn each_call_gets_its_answer() {
        for call in ASKED.iter().chain(LEGACY) {
            assert_eq!(own(*call, [0; 6]), ASK, "{call}");
        }
        for (call, errno) in REFUSED {
            assert_eq!(own(*call, [0; 6]), libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(), "{call}");
        }
        for call in
            [libc::SYS_read, libc::SYS_mmap, libc::SYS_clone, libc::SYS_newfstatat, libc::SYS_getdents64]
        {
            assert_eq!(own(call, [0; 6]), ALLOW, "{call}");
        }
    }

    #[test]
    fn folders_and_names_pass_and_contents_do_not() {
        let open = |flags: i32| own(libc::SYS_openat, [0, 0, u64::from(flags.cast_unsigned()), 0, 0, 0]);
        assert_eq!(open(libc::O_RDONLY | libc::O_CLOEXEC), ASK);
        assert_eq!(open(libc::O_WRONLY | libc::O_CREAT), ASK);
        assert_eq!(open(libc::O_DIRECTORY), ALLOW);
        assert_eq!(open(libc::O_PATH), ALLOW);
    }

    #[test]
    fn datagrams_with_an_address_are_asked_about() {
        let send = |address| own(libc::SYS_sendto, [3, 0, 0, 0, address, 16]);
        assert_eq!(send(0), ALLOW);
        assert_eq!(send(0x7fff), ASK);
        assert_eq!(send(0x7fff_0000_0000), ASK);
    }

    #[test]
    fn other_tables_of_system_calls_do_not_exist() {
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
        assert_eq!(decide(&program(), 0x4000_0003, 5, [0; 6]), absent, "i386");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(decide(&program(), OWN_ARCHITECTURE, 0x4000_0002, [0; 6]), absent, "x32");
        }
    }
}
