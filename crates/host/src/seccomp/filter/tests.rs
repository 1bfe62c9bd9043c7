//! The filter, run as the kernel runs it.
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
            AND => {
                word &= step.k;
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
    decide(&program(None), OWN_ARCHITECTURE, number(call), arguments)
}

const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

#[test]
fn each_call_gets_its_answer() {
    for call in calls::all() {
        match call.when {
            When::Always => assert_eq!(own(call.number, [0; 6]), ASK, "{}", call.name),
            When::Absent => {
                let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
                assert_eq!(own(call.number, [0; 6]), absent, "{}", call.name);
            }
            When::Any(_) => {}
        }
        let program = program(Some(call.name));
        assert_eq!(decide(&program, OWN_ARCHITECTURE, number(call.number), [u64::MAX; 6]), ALLOW);
    }
    for call in [libc::SYS_read, libc::SYS_newfstatat, libc::SYS_getdents64, libc::SYS_wait4] {
        assert_eq!(own(call, [0; 6]), ALLOW, "{call}");
    }
}

#[test]
fn no_call_is_in_two_lists() {
    let mut seen = std::collections::BTreeSet::new();
    for call in calls::all() {
        assert!(seen.insert(call.number), "{}", call.name);
    }
}

#[test]
fn folders_and_names_pass_and_contents_do_not() {
    let open = |flags: i32| own(libc::SYS_openat, [0, 0, u64::from(flags.cast_unsigned()), 0, 0, 0]);
    assert_eq!(open(libc::O_RDONLY | libc::O_CLOEXEC), ASK);
    assert_eq!(open(libc::O_WRONLY | libc::O_CREAT), ASK);
    assert_eq!(open(libc::O_RDWR | libc::O_TMPFILE), ASK, "it has the flag for folders");
    assert_eq!(open(libc::O_DIRECTORY | libc::O_CREAT), ASK, "older kernels make a file");
    assert_eq!(open(libc::O_DIRECTORY), ALLOW);
    assert_eq!(open(libc::O_PATH), ALLOW);
    assert_eq!(open(libc::O_PATH | libc::O_TMPFILE), ALLOW);
}

#[test]
fn mappings_of_memory_cost_nothing() {
    let map =
        |protection: i32, flags: i32| own(libc::SYS_mmap, [0, 1, protection as u64, flags as u64, 3, 0]);
    let (read, write, code) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
    assert_eq!(map(read | write, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), ALLOW);
    assert_eq!(map(read | write | code, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), ALLOW);
    assert_eq!(map(read | write, libc::MAP_SHARED | libc::MAP_ANONYMOUS), ALLOW);
    assert_eq!(map(read | write, libc::MAP_PRIVATE), ALLOW);
    assert_eq!(map(read | code, libc::MAP_PRIVATE), ASK);
    assert_eq!(map(read, libc::MAP_SHARED), ASK, "it can be made writable later");
    assert_eq!(map(read, libc::MAP_SHARED_VALIDATE), ASK);
    assert_eq!(own(libc::SYS_mprotect, [0, 1, (read | write) as u64, 0, 0, 0]), ALLOW);
    assert_eq!(own(libc::SYS_mprotect, [0, 1, (read | code) as u64, 0, 0, 0]), ASK);
}

#[test]
fn forks_and_threads_pass_and_namespaces_do_not() {
    let clone = |flags: i32| own(libc::SYS_clone, [u64::from(flags.cast_unsigned()), 0, 0, 0, 0, 0]);
    assert_eq!(clone(libc::SIGCHLD | libc::CLONE_CHILD_SETTID), ALLOW);
    assert_eq!(clone(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD), ALLOW);
    assert_eq!(clone(libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_THREAD), ALLOW);
    assert_eq!(clone(libc::CLONE_FS | libc::SIGCHLD), ASK, "two processes with one mask");
    assert_eq!(clone(libc::CLONE_NEWNS | libc::SIGCHLD), ASK);
    assert_eq!(clone(libc::CLONE_NEWNET), ASK);
}

#[test]
fn unusual_sockets_and_controls_are_asked_about() {
    let socket = |family: i32, kind: i32| own(libc::SYS_socket, [family as u64, kind as u64, 0, 0, 0, 0]);
    let speaking = |family: i32, protocol| own(libc::SYS_socket, [family as u64, 1, protocol, 0, 0, 0]);
    assert_eq!(speaking(libc::AF_INET, 6), ALLOW);
    assert_eq!(speaking(libc::AF_INET, 132), ASK, "SCTP");
    assert_eq!(speaking(libc::AF_NETLINK, 12), ASK, "the packet filter");
    assert_eq!(own(libc::SYS_prlimit64, [0, 7, 0x7fff, 0, 0, 0]), ALLOW, "its own");
    assert_eq!(own(libc::SYS_prlimit64, [77, 7, 0, 0, 0, 0]), ALLOW, "only a question");
    assert_eq!(own(libc::SYS_prlimit64, [77, 7, 0x7fff, 0, 0, 0]), ASK);
    assert_eq!(socket(libc::AF_UNIX, libc::SOCK_STREAM), ALLOW);
    assert_eq!(socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC), ALLOW);
    assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW), ALLOW);
    assert_eq!(socket(libc::AF_INET, libc::SOCK_RAW), ASK);
    assert_eq!(socket(libc::AF_INET6, libc::SOCK_RAW | libc::SOCK_NONBLOCK), ASK);
    assert_eq!(socket(libc::AF_PACKET, libc::SOCK_DGRAM), ASK);
    assert_eq!(socket(libc::AF_VSOCK, libc::SOCK_STREAM), ASK);
    let control = |request: u64| own(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]);
    assert_eq!(control(0x5401), ALLOW, "a terminal's settings");
    assert_eq!(control(0x5412), ASK);
    assert_eq!(control(0x4008_6602), ASK);
    assert_eq!(control(0x5000_9401), ASK);
    assert_eq!(own(libc::SYS_personality, [0xFFFF_FFFF, 0, 0, 0, 0, 0]), ALLOW, "only a question");
    assert_eq!(own(libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0, 0]), ASK);
    assert_eq!(own(libc::SYS_ptrace, [16, 0, 0, 0, 0, 0]), ASK);
    assert_eq!(own(libc::SYS_ptrace, [3, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn datagrams_with_an_address_are_asked_about() {
    let send = |address| own(libc::SYS_sendto, [3, 0, 0, 0, address, 16]);
    assert_eq!(send(0), ALLOW);
    assert_eq!(send(0x7fff), ASK);
    assert_eq!(send(0x7fff_0000_0000), ASK);
}

#[test]
fn other_tables_of_system_calls_are_noticed() {
    assert_eq!(decide(&program(None), 0x4000_0003, 5, [0; 6]), ASK, "i386");
    assert!(is_foreign(0x4000_0003, 5));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(decide(&program(None), OWN_ARCHITECTURE, 0x4000_0002, [0; 6]), ASK, "x32");
        assert!(is_foreign(OWN_ARCHITECTURE, 0x4000_0002));
    }
    assert!(!is_foreign(OWN_ARCHITECTURE, 5));
}
