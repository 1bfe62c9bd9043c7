//! Which small program shows what each asked or refused call is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use evidence::EventKind as Kind;
use tempfile::TempDir;

use super::expect::Expect;
use super::foreign::compile;

/// Calls of which `probes NAME` has to show this.
pub(super) const PROBES: &[(&[&str], Expect)] = &[
    (&["open", "openat", "openat2"], Expect::Content(Kind::Read, "file", "content")),
    (&["creat", "mknod", "mknodat"], Expect::On(Kind::Write, "made")),
    (&["truncate"], Expect::On(Kind::Write, "file")),
    (&["mkdir", "mkdirat"], Expect::On(Kind::Mkdir, "made")),
    (&["umask", "clone3"], Expect::Went),
    (&["rename", "renameat", "renameat2"], Expect::To(Kind::Rename, "file", "made")),
    (&["link", "linkat"], Expect::To(Kind::Link, "file", "made")),
    (&["symlink", "symlinkat"], Expect::On(Kind::Symlink, "made")),
    (&["unlink", "unlinkat"], Expect::On(Kind::Unlink, "file")),
    (&["rmdir"], Expect::On(Kind::Unlink, "sub")),
    (&["mmap", "mprotect", "pkey_mprotect"], Expect::Content(Kind::Map, "file", "content")),
    (&["memfd_create"], Expect::Target(Kind::Memory, "nameless")),
    (&["chmod", "fchmod", "fchmodat", "fchmodat2"], Expect::Detail(Kind::Attribute, "file", "mode 0640")),
    (&["chown", "lchown", "fchown", "fchownat"], Expect::Detail(Kind::Attribute, "file", "owner")),
    (&["utime", "utimes", "futimesat", "utimensat"], Expect::Detail(Kind::Attribute, "file", "times")),
    (
        &["setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"],
        Expect::Tried(Kind::Attribute, "file", "xattr"),
    ),
    (&["setxattrat", "removexattrat"], Expect::Tried(Kind::Attribute, "file", "xattr")),
    (&["file_setattr", "ioctl"], Expect::Detail(Kind::Attribute, "file", "flags")),
    (&["execve", "execveat"], Expect::Started("nothing")),
    (&["exit_group"], Expect::NoGap("unknown-parent")),
    (&["ptrace"], Expect::How(Kind::Reach, "ptrace")),
    (&["process_vm_readv"], Expect::How(Kind::Reach, "read")),
    (&["process_vm_writev"], Expect::How(Kind::Reach, "write")),
    (&["pidfd_getfd"], Expect::How(Kind::Reach, "descriptor")),
    (
        &[
            "kill",
            "tkill",
            "tgkill",
            "rt_sigqueueinfo",
            "rt_tgsigqueueinfo",
            "pidfd_open",
            "pidfd_send_signal",
        ],
        Expect::Refused("recorder"),
    ),
    (&["prlimit64"], Expect::Refused("recorder")),
    (&["personality"], Expect::Gap("implied-code")),
    (&["socket"], Expect::Gap("unwatched-socket")),
    (&["connect", "sendto", "sendmsg", "sendmmsg"], Expect::Target(Kind::Connect, "udp:127.0.0.1:9")),
    (&["bind"], Expect::Target(Kind::Bind, "tcp:127.0.0.1:0")),
    (&["listen"], Expect::Target(Kind::Listen, "tcp:0.0.0.0:")),
    (&["shmget"], Expect::Target(Kind::Memory, "sysv-memory:0x43530001")),
    (&["msgget"], Expect::Target(Kind::Memory, "sysv-queue:0x43530002")),
    (&["shmat", "msgsnd", "msgrcv"], Expect::Gap("outside-memory")),
    (&["mq_open"], Expect::Target(Kind::Memory, "queue:countersign-test")),
    (
        &["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid"],
        Expect::Detail(Kind::Read, "file", "hashed-beside"),
    ),
    (&["setgroups", "capset", "landlock_restrict_self"], Expect::Detail(Kind::Read, "file", "hashed-beside")),
    (&["prctl"], Expect::Refused("prctl")),
    (&["foreign"], Expect::Refused("foreign-calls")),
];

/// Calls that change what paths mean: the event has their name.
pub(super) const VIEWS: &[&str] = &[
    "clone",
    "unshare",
    "setns",
    "chroot",
    "pivot_root",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsmount",
    "fspick",
    "mount_setattr",
    "sethostname",
    "setdomainname",
];

/// Calls that do not exist or are forbidden: the refusal has their name.
pub(super) const REFUSED: &[&str] = &[
    "memfd_secret",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "perf_event_open",
    "fanotify_init",
    "add_key",
    "request_key",
    "keyctl",
    "open_by_handle_at",
    "bpf",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "acct",
    "swapon",
    "swapoff",
    "reboot",
    "quotactl",
    "quotactl_fd",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "vhangup",
    "iopl",
    "ioperm",
];

/// What has to be seen when a call is made.
pub(super) fn expected(call: &'static str) -> Vec<Expect> {
    let listed = PROBES.iter().filter(|(calls, _)| calls.contains(&call)).map(|(_, expect)| *expect);
    let views = VIEWS.iter().filter(|view| **view == call).map(|view| Expect::How(Kind::Namespace, view));
    let refused = REFUSED.iter().filter(|name| **name == call).map(|name| Expect::Refused(name));
    listed.chain(views).chain(refused).collect()
}

/// The program with all probes, compiled once; without libraries, so that it makes no calls of its own.
pub(super) fn probes() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &BUILT
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let (source, program) = (folder.path().join("probes.c"), folder.path().join("probes"));
            fs::write(&source, include_str!("probes.c")).unwrap();
            compile(&source, &program, &["-static"]);
            (folder, program)
        })
        .1
}
