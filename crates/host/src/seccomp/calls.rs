//! Which calls are asked about, refused, or do not exist, and on what condition: the data from which `filter` makes
//! its program. An architecture is these lists, not another program.

use When::Always;
use libc::c_long;

/// One call that is not simply allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Its name in the kernel.
    pub(super) name: &'static str,
    pub(super) number: c_long,
    pub(super) when: When,
}

/// When the supervisor is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    /// If one of these groups of tests passes as a whole.
    Any(&'static [&'static [Test]]),
    /// Never: the kernel says by itself that there is no such call.
    Absent,
}

/// A question to one argument in its register; its low half, unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    AnyBit(u32, u32),
    NoBit(u32, u32),
    /// The whole of it is not zero.
    NotNull(u32),
    /// Under a mask it is one of these.
    In(u32, u32, &'static [u32]),
    /// Under a mask it is none of these.
    NotIn(u32, u32, &'static [u32]),
}

const WHOLE: u32 = u32::MAX;
const PROT_EXEC: u32 = libc::PROT_EXEC.cast_unsigned();
const O_PATH: u32 = libc::O_PATH.cast_unsigned();
/// Folders and mere names are not content …
const NAMES_ONLY: u32 = (libc::O_DIRECTORY | libc::O_PATH).cast_unsigned();
/// … but a file without a name is made with the flag for folders (`O_TMPFILE`).
const MAKES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).cast_unsigned();
/// A file as code; what is made in memory costs nothing.
const MAPS_CODE: &[Test] = &[Test::AnyBit(2, PROT_EXEC), Test::NoBit(3, libc::MAP_ANONYMOUS.cast_unsigned())];
/// A file through which one can write later. The bit is that of both kinds of sharing.
const MAPS_SHARED: &[Test] =
    &[Test::AnyBit(3, libc::MAP_SHARED.cast_unsigned()), Test::NoBit(3, libc::MAP_ANONYMOUS.cast_unsigned())];
const CLONE_FS: u32 = libc::CLONE_FS.cast_unsigned();
pub(super) const CLONE_FILES: u32 = libc::CLONE_FILES.cast_unsigned();
const F_DUPFD: u32 = libc::F_DUPFD.cast_unsigned();
const F_DUPFD_CLOEXEC: u32 = libc::F_DUPFD_CLOEXEC.cast_unsigned();
pub(super) const CLONE_THREAD: u32 = libc::CLONE_THREAD.cast_unsigned();
pub(super) const CLONE_UNTRACED: u32 = libc::CLONE_UNTRACED.cast_unsigned();
/// A new namespace of any kind that `clone` knows.
pub(super) const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .cast_unsigned();
/// Sockets whose addresses are seen when they are used, and those that only reach the kernel (netlink, and its
/// ciphers, which compute and keep nothing).
const WATCHED_FAMILIES: &[u32] = &[
    libc::AF_UNIX.cast_unsigned(),
    libc::AF_INET.cast_unsigned(),
    libc::AF_INET6.cast_unsigned(),
    libc::AF_NETLINK.cast_unsigned(),
    libc::AF_ALG.cast_unsigned(),
];
const INTERNET: &[u32] = &[libc::AF_INET.cast_unsigned(), libc::AF_INET6.cast_unsigned()];
const WATCHED_TYPES: &[u32] = &[
    libc::SOCK_STREAM.cast_unsigned(),
    libc::SOCK_DGRAM.cast_unsigned(),
    libc::SOCK_SEQPACKET.cast_unsigned(),
];
/// Those whose addresses are told by `connect` and the like; SCTP connects by an option of the socket. The default,
/// ICMP, TCP, UDP, ICMPv6, UDP-Lite, MPTCP.
const WATCHED_PROTOCOLS: &[u32] = &[0, 1, 6, 17, 58, 136, 262];
const KERNEL: &[u32] = &[libc::AF_NETLINK.cast_unsigned()];
/// Netlink families that ordinary programs ask: routes, sockets, SELinux, audit, devices.
const KERNEL_QUESTIONS: &[u32] = &[0, 4, 7, 9, 15];
const PR_SET_MM: u32 = libc::PR_SET_MM.cast_unsigned();
/// `PTRACE_TRACEME`, `PTRACE_ATTACH` and `PTRACE_SEIZE`: all else needs one of them first.
const ATTACHING: &[u32] = &[0, 16, 0x4206];
/// `READ_IMPLIES_EXEC` of `personality(2)`.
const READ_IMPLIES_EXEC: u32 = 0x0040_0000;
/// Typing into somebody's terminal (`TIOCSTI`, `TIOCLINUX`), and a file's flags (`chattr(1)`).
pub(super) const TYPING: [u32; 2] = [0x5412, 0x541C];
pub(super) const FILE_FLAGS: [u32; 2] = [0x4008_6602, 0x401C_5820];
/// Trees of files that appear or go as a whole, without any file being opened: Btrfs's subvolumes and snapshots.
const SUBVOLUMES: [u32; 6] = [0x5000_9401, 0x5000_940E, 0x5000_940F, 0x5000_9417, 0x5000_9418, 0x5000_943F];
const CONTROLS: &[u32] = &[
    TYPING[0],
    TYPING[1],
    FILE_FLAGS[0],
    FILE_FLAGS[1],
    SUBVOLUMES[0],
    SUBVOLUMES[1],
    SUBVOLUMES[2],
    SUBVOLUMES[3],
    SUBVOLUMES[4],
    SUBVOLUMES[5],
];

/// Asked about on a condition, the frequent ones first: the kernel runs the filter for them each time.
pub(super) const NARROWED: &[Call] = &[
    Call { name: "mmap", number: libc::SYS_mmap, when: When::Any(&[MAPS_CODE, MAPS_SHARED]) },
    Call { name: "mprotect", number: libc::SYS_mprotect, when: When::Any(&[&[Test::AnyBit(2, PROT_EXEC)]]) },
    Call {
        name: "openat",
        number: libc::SYS_openat,
        when: When::Any(&[&[Test::NoBit(2, NAMES_ONLY)], &[Test::AnyBit(2, MAKES), Test::NoBit(2, O_PATH)]]),
    },
    Call { name: "ioctl", number: libc::SYS_ioctl, when: When::Any(&[&[Test::In(1, WHOLE, CONTROLS)]]) },
    Call { name: "sendto", number: libc::SYS_sendto, when: When::Any(&[&[Test::NotNull(4)]]) },
    Call {
        name: "clone",
        number: libc::SYS_clone,
        when: When::Any(&[
            &[Test::AnyBit(0, NAMESPACES)],
            &[Test::AnyBit(0, CLONE_FS), Test::NoBit(0, CLONE_THREAD)],
        ]),
    },
    Call { name: "clone3", number: number::CLONE3, when: When::Absent },
    Call {
        name: "socket",
        number: libc::SYS_socket,
        when: When::Any(&[
            &[Test::NotIn(0, WHOLE, WATCHED_FAMILIES)],
            &[Test::In(0, WHOLE, INTERNET), Test::NotIn(1, 0xF, WATCHED_TYPES)],
            &[Test::In(0, WHOLE, INTERNET), Test::NotIn(2, WHOLE, WATCHED_PROTOCOLS)],
            &[Test::In(0, WHOLE, KERNEL), Test::NotIn(2, WHOLE, KERNEL_QUESTIONS)],
        ]),
    },
    Call {
        name: "prlimit64",
        number: libc::SYS_prlimit64,
        when: When::Any(&[&[Test::NotIn(0, WHOLE, &[0]), Test::NotNull(2)]]),
    },
    Call { name: "prctl", number: libc::SYS_prctl, when: When::Any(&[&[Test::In(0, WHOLE, &[PR_SET_MM])]]) },
    Call {
        name: "pkey_mprotect",
        number: libc::SYS_pkey_mprotect,
        when: When::Any(&[&[Test::AnyBit(2, PROT_EXEC)]]),
    },
    Call { name: "ptrace", number: libc::SYS_ptrace, when: When::Any(&[&[Test::In(0, WHOLE, ATTACHING)]]) },
    Call {
        name: "personality",
        number: libc::SYS_personality,
        when: When::Any(&[&[Test::AnyBit(0, READ_IMPLIES_EXEC), Test::NotIn(0, WHOLE, &[WHOLE])]]),
    },
];

/// The same, for calls that only the older architectures have.
#[cfg(target_arch = "x86_64")]
pub(super) const NARROWED_LEGACY: &[Call] = &[Call {
    name: "open",
    number: libc::SYS_open,
    when: When::Any(&[&[Test::NoBit(1, NAMES_ONLY)], &[Test::AnyBit(1, MAKES), Test::NoBit(1, O_PATH)]]),
}];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const NARROWED_LEGACY: &[Call] = &[];

/// Asked about whatever their arguments.
pub(super) const ASKED: &[Call] = &[
    Call { name: "execve", number: libc::SYS_execve, when: Always },
    Call { name: "execveat", number: libc::SYS_execveat, when: Always },
    Call { name: "exit_group", number: libc::SYS_exit_group, when: Always },
    Call { name: "openat2", number: libc::SYS_openat2, when: Always },
    Call { name: "renameat", number: libc::SYS_renameat, when: Always },
    Call { name: "renameat2", number: libc::SYS_renameat2, when: Always },
    Call { name: "unlinkat", number: libc::SYS_unlinkat, when: Always },
    Call { name: "linkat", number: libc::SYS_linkat, when: Always },
    Call { name: "symlinkat", number: libc::SYS_symlinkat, when: Always },
    Call { name: "mkdirat", number: libc::SYS_mkdirat, when: Always },
    Call { name: "mknodat", number: libc::SYS_mknodat, when: Always },
    Call { name: "truncate", number: libc::SYS_truncate, when: Always },
    Call { name: "fchmod", number: libc::SYS_fchmod, when: Always },
    Call { name: "fchmodat", number: libc::SYS_fchmodat, when: Always },
    Call { name: "fchmodat2", number: number::FCHMODAT2, when: Always },
    Call { name: "fchown", number: libc::SYS_fchown, when: Always },
    Call { name: "fchownat", number: libc::SYS_fchownat, when: Always },
    Call { name: "utimensat", number: libc::SYS_utimensat, when: Always },
    Call { name: "setxattr", number: libc::SYS_setxattr, when: Always },
    Call { name: "lsetxattr", number: libc::SYS_lsetxattr, when: Always },
    Call { name: "fsetxattr", number: libc::SYS_fsetxattr, when: Always },
    Call { name: "removexattr", number: libc::SYS_removexattr, when: Always },
    Call { name: "lremovexattr", number: libc::SYS_lremovexattr, when: Always },
    Call { name: "fremovexattr", number: libc::SYS_fremovexattr, when: Always },
    Call { name: "setxattrat", number: number::SETXATTRAT, when: Always },
    Call { name: "removexattrat", number: number::REMOVEXATTRAT, when: Always },
    Call { name: "file_setattr", number: number::FILE_SETATTR, when: Always },
    Call { name: "umask", number: libc::SYS_umask, when: Always },
    Call { name: "connect", number: libc::SYS_connect, when: Always },
    Call { name: "bind", number: libc::SYS_bind, when: Always },
    Call { name: "listen", number: libc::SYS_listen, when: Always },
    Call { name: "sendmsg", number: libc::SYS_sendmsg, when: Always },
    Call { name: "sendmmsg", number: libc::SYS_sendmmsg, when: Always },
    Call { name: "memfd_create", number: libc::SYS_memfd_create, when: Always },
    Call { name: "memfd_secret", number: number::MEMFD_SECRET, when: Always },
    Call { name: "unshare", number: libc::SYS_unshare, when: Always },
    Call { name: "setns", number: libc::SYS_setns, when: Always },
    Call { name: "chroot", number: libc::SYS_chroot, when: Always },
    Call { name: "pivot_root", number: libc::SYS_pivot_root, when: Always },
    Call { name: "mount", number: libc::SYS_mount, when: Always },
    Call { name: "umount2", number: libc::SYS_umount2, when: Always },
    Call { name: "move_mount", number: number::MOVE_MOUNT, when: Always },
    Call { name: "open_tree", number: number::OPEN_TREE, when: Always },
    Call { name: "open_tree_attr", number: number::OPEN_TREE_ATTR, when: Always },
    Call { name: "fsopen", number: number::FSOPEN, when: Always },
    Call { name: "fsmount", number: number::FSMOUNT, when: Always },
    Call { name: "fspick", number: number::FSPICK, when: Always },
    Call { name: "mount_setattr", number: number::MOUNT_SETATTR, when: Always },
    Call { name: "sethostname", number: libc::SYS_sethostname, when: Always },
    Call { name: "setdomainname", number: libc::SYS_setdomainname, when: Always },
    Call { name: "setuid", number: libc::SYS_setuid, when: Always },
    Call { name: "setgid", number: libc::SYS_setgid, when: Always },
    Call { name: "setreuid", number: libc::SYS_setreuid, when: Always },
    Call { name: "setregid", number: libc::SYS_setregid, when: Always },
    Call { name: "setresuid", number: libc::SYS_setresuid, when: Always },
    Call { name: "setresgid", number: libc::SYS_setresgid, when: Always },
    Call { name: "setfsuid", number: libc::SYS_setfsuid, when: Always },
    Call { name: "setfsgid", number: libc::SYS_setfsgid, when: Always },
    Call { name: "setgroups", number: libc::SYS_setgroups, when: Always },
    Call { name: "capset", number: libc::SYS_capset, when: Always },
    Call { name: "landlock_restrict_self", number: number::LANDLOCK_RESTRICT_SELF, when: Always },
    Call { name: "process_vm_readv", number: libc::SYS_process_vm_readv, when: Always },
    Call { name: "process_vm_writev", number: libc::SYS_process_vm_writev, when: Always },
    Call { name: "kill", number: libc::SYS_kill, when: Always },
    Call { name: "tkill", number: libc::SYS_tkill, when: Always },
    Call { name: "tgkill", number: libc::SYS_tgkill, when: Always },
    Call { name: "rt_sigqueueinfo", number: libc::SYS_rt_sigqueueinfo, when: Always },
    Call { name: "rt_tgsigqueueinfo", number: libc::SYS_rt_tgsigqueueinfo, when: Always },
    Call { name: "pidfd_open", number: libc::SYS_pidfd_open, when: Always },
    Call { name: "pidfd_send_signal", number: number::PIDFD_SEND_SIGNAL, when: Always },
    Call { name: "pidfd_getfd", number: number::PIDFD_GETFD, when: Always },
    Call { name: "shmget", number: libc::SYS_shmget, when: Always },
    Call { name: "shmat", number: libc::SYS_shmat, when: Always },
    Call { name: "msgget", number: libc::SYS_msgget, when: Always },
    Call { name: "msgsnd", number: libc::SYS_msgsnd, when: Always },
    Call { name: "msgrcv", number: libc::SYS_msgrcv, when: Always },
    Call { name: "mq_open", number: libc::SYS_mq_open, when: Always },
];

/// The same, for calls that only the older architectures have.
#[cfg(target_arch = "x86_64")]
pub(super) const ASKED_LEGACY: &[Call] = &[
    Call { name: "creat", number: libc::SYS_creat, when: Always },
    Call { name: "rename", number: libc::SYS_rename, when: Always },
    Call { name: "unlink", number: libc::SYS_unlink, when: Always },
    Call { name: "rmdir", number: libc::SYS_rmdir, when: Always },
    Call { name: "link", number: libc::SYS_link, when: Always },
    Call { name: "symlink", number: libc::SYS_symlink, when: Always },
    Call { name: "mkdir", number: libc::SYS_mkdir, when: Always },
    Call { name: "mknod", number: libc::SYS_mknod, when: Always },
    Call { name: "chmod", number: libc::SYS_chmod, when: Always },
    Call { name: "chown", number: libc::SYS_chown, when: Always },
    Call { name: "lchown", number: libc::SYS_lchown, when: Always },
    Call { name: "utime", number: libc::SYS_utime, when: Always },
    Call { name: "utimes", number: libc::SYS_utimes, when: Always },
    Call { name: "futimesat", number: libc::SYS_futimesat, when: Always },
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const ASKED_LEGACY: &[Call] = &[];

/// Calls that a recorded build is told do not exist (`ENOSYS`), as on a kernel made without them: programs ask for
/// them and go on without.
pub(super) const MISSING: &[Call] = &[
    Call { name: "io_uring_setup", number: number::IO_URING_SETUP, when: Always },
    Call { name: "io_uring_enter", number: number::IO_URING_ENTER, when: Always },
    Call { name: "io_uring_register", number: number::IO_URING_REGISTER, when: Always },
    Call { name: "userfaultfd", number: libc::SYS_userfaultfd, when: Always },
    Call { name: "perf_event_open", number: libc::SYS_perf_event_open, when: Always },
    Call { name: "fanotify_init", number: libc::SYS_fanotify_init, when: Always },
    Call { name: "add_key", number: libc::SYS_add_key, when: Always },
    Call { name: "request_key", number: libc::SYS_request_key, when: Always },
    Call { name: "keyctl", number: libc::SYS_keyctl, when: Always },
];

/// Calls that are forbidden (`EPERM`): no build has any business with them.
pub(super) const FORBIDDEN: &[Call] = &[
    Call { name: "open_by_handle_at", number: libc::SYS_open_by_handle_at, when: Always },
    Call { name: "bpf", number: libc::SYS_bpf, when: Always },
    Call { name: "init_module", number: libc::SYS_init_module, when: Always },
    Call { name: "finit_module", number: libc::SYS_finit_module, when: Always },
    Call { name: "delete_module", number: libc::SYS_delete_module, when: Always },
    Call { name: "kexec_load", number: libc::SYS_kexec_load, when: Always },
    Call { name: "kexec_file_load", number: libc::SYS_kexec_file_load, when: Always },
    Call { name: "acct", number: libc::SYS_acct, when: Always },
    Call { name: "swapon", number: libc::SYS_swapon, when: Always },
    Call { name: "swapoff", number: libc::SYS_swapoff, when: Always },
    Call { name: "reboot", number: libc::SYS_reboot, when: Always },
    Call { name: "quotactl", number: libc::SYS_quotactl, when: Always },
    Call { name: "quotactl_fd", number: number::QUOTACTL_FD, when: Always },
    Call { name: "settimeofday", number: libc::SYS_settimeofday, when: Always },
    Call { name: "clock_settime", number: libc::SYS_clock_settime, when: Always },
    Call { name: "clock_adjtime", number: libc::SYS_clock_adjtime, when: Always },
    Call { name: "adjtimex", number: libc::SYS_adjtimex, when: Always },
    Call { name: "vhangup", number: libc::SYS_vhangup, when: Always },
];

/// The same, for calls that only the older architectures have.
#[cfg(target_arch = "x86_64")]
pub(super) const FORBIDDEN_LEGACY: &[Call] = &[
    Call { name: "iopl", number: libc::SYS_iopl, when: Always },
    Call { name: "ioperm", number: libc::SYS_ioperm, when: Always },
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const FORBIDDEN_LEGACY: &[Call] = &[];

/// What only a recorder that stops its callers has to ask about: what would make others be asked in its place, or
/// would make a process that nobody traces. Takes the place of what the other lists say of the same call.
pub(super) const WHEN_STOPPED: &[Call] = &[
    Call {
        name: "seccomp",
        number: libc::SYS_seccomp,
        when: When::Any(&[&[Test::AnyBit(1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32)]]),
    },
    Call {
        name: "clone",
        number: libc::SYS_clone,
        when: When::Any(&[
            &[Test::AnyBit(0, NAMESPACES | CLONE_UNTRACED)],
            &[Test::AnyBit(0, CLONE_FS | CLONE_FILES), Test::NoBit(0, CLONE_THREAD)],
        ]),
    },
    // A descriptor must not take the place of another while nobody has looked at that one.
    Call { name: "openat", number: libc::SYS_openat, when: Always },
    Call {
        name: "fcntl",
        number: libc::SYS_fcntl,
        when: When::Any(&[&[Test::In(1, WHOLE, &[F_DUPFD, F_DUPFD_CLOEXEC])]]),
    },
    Call { name: "dup", number: libc::SYS_dup, when: Always },
    Call { name: "dup3", number: libc::SYS_dup3, when: Always },
    Call { name: "recvmsg", number: libc::SYS_recvmsg, when: Always },
    Call { name: "recvmmsg", number: libc::SYS_recvmmsg, when: Always },
];

/// The same, for calls that only the older architectures have.
#[cfg(target_arch = "x86_64")]
const WHEN_STOPPED_LEGACY: &[Call] = &[
    Call { name: "open", number: libc::SYS_open, when: Always },
    Call { name: "dup2", number: libc::SYS_dup2, when: Always },
];
#[cfg(not(target_arch = "x86_64"))]
const WHEN_STOPPED_LEGACY: &[Call] = &[];

/// What a call does to the numbers of descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Numbers {
    /// Nothing that matters.
    Leaves,
    /// Gives one to a file that it opens.
    Opens,
    /// Gives another one to what is open already.
    Copies,
    /// May do so, when somebody sends one.
    Receives,
}

/// Tells what a call does to the numbers of descriptors.
pub(super) fn numbers(call: c_long) -> Numbers {
    #[cfg(target_arch = "x86_64")]
    match call {
        libc::SYS_open | libc::SYS_creat => return Numbers::Opens,
        libc::SYS_dup2 => return Numbers::Copies,
        _ => {}
    }
    match call {
        libc::SYS_openat | libc::SYS_openat2 => Numbers::Opens,
        libc::SYS_fcntl | libc::SYS_dup | libc::SYS_dup3 => Numbers::Copies,
        libc::SYS_recvmsg | libc::SYS_recvmmsg => Numbers::Receives,
        _ => Numbers::Leaves,
    }
}

/// Its end a process need not announce to a recorder that is told by the kernel.
const NOT_WHEN_STOPPED: libc::c_long = libc::SYS_exit_group;

/// Calls newer than the C library's list, the same on all architectures.
pub(super) mod number {
    use libc::c_long;

    pub(in crate::seccomp) const PIDFD_SEND_SIGNAL: c_long = 424;
    pub(in crate::seccomp) const IO_URING_SETUP: c_long = 425;
    pub(in crate::seccomp) const IO_URING_ENTER: c_long = 426;
    pub(in crate::seccomp) const IO_URING_REGISTER: c_long = 427;
    pub(in crate::seccomp) const OPEN_TREE: c_long = 428;
    pub(in crate::seccomp) const MOVE_MOUNT: c_long = 429;
    pub(in crate::seccomp) const FSOPEN: c_long = 430;
    pub(in crate::seccomp) const FSMOUNT: c_long = 432;
    pub(in crate::seccomp) const FSPICK: c_long = 433;
    pub(in crate::seccomp) const CLONE3: c_long = 435;
    pub(in crate::seccomp) const PIDFD_GETFD: c_long = 438;
    pub(in crate::seccomp) const MOUNT_SETATTR: c_long = 442;
    pub(in crate::seccomp) const QUOTACTL_FD: c_long = 443;
    pub(in crate::seccomp) const LANDLOCK_RESTRICT_SELF: c_long = 446;
    pub(in crate::seccomp) const MEMFD_SECRET: c_long = 447;
    pub(in crate::seccomp) const FCHMODAT2: c_long = 452;
    pub(in crate::seccomp) const SETXATTRAT: c_long = 463;
    pub(in crate::seccomp) const REMOVEXATTRAT: c_long = 466;
    pub(in crate::seccomp) const OPEN_TREE_ATTR: c_long = 467;
    pub(in crate::seccomp) const FILE_SETATTR: c_long = 469;
}

/// All calls of all lists, in the order in which the filter asks.
pub(super) fn all() -> impl Iterator<Item = &'static Call> {
    [NARROWED, NARROWED_LEGACY, ASKED, ASKED_LEGACY, MISSING, FORBIDDEN, FORBIDDEN_LEGACY]
        .into_iter()
        .flatten()
}

/// The same for a recorder that stops its callers.
pub(super) fn all_when_stopped() -> impl Iterator<Item = &'static Call> {
    let own = || WHEN_STOPPED.iter().chain(WHEN_STOPPED_LEGACY);
    all()
        .filter(move |call| call.number != NOT_WHEN_STOPPED && own().all(|other| other.number != call.number))
        .chain(own())
}

/// What a refused call is told, and its name.
pub(super) fn refused(number: c_long) -> Option<(&'static str, i32)> {
    let named =
        |calls: &'static [Call]| calls.iter().find(|call| call.number == number).map(|call| call.name);
    named(MISSING)
        .map(|name| (name, libc::ENOSYS))
        .or_else(|| named(FORBIDDEN).or_else(|| named(FORBIDDEN_LEGACY)).map(|name| (name, libc::EPERM)))
}
