//! From the number of a call to what is done about it.

use evidence::{BytePath, Event, EventKind};
use libc::c_long;

use super::attributes::{Change, Parts};
use super::calls::{self, FILE_FLAGS, TYPING, number};
use super::filter;
use super::ipc::Kind;
use super::opens::Open;
use super::supervisor::{Answer, Caller, Supervisor};
use crate::sys::Notification;

/// The folder that a path without one begins in.
const HERE: u64 = libc::AT_FDCWD as u64;
#[cfg(target_arch = "x86_64")]
const CREATE: u64 = (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC) as u64;
const NO_FOLLOW: u64 = libc::AT_SYMLINK_NOFOLLOW as u64;
#[cfg(target_arch = "x86_64")]
const REMOVE_FOLDER: u64 = libc::AT_REMOVEDIR as u64;

impl Supervisor<'_, '_> {
    pub(super) fn dispatch(&mut self, caller: Caller, call: &Notification) -> Answer {
        if filter::is_foreign(call.architecture, call.number) {
            return self.deny(caller, "foreign-calls", libc::ENOSYS);
        }
        self.network.calling = call.number;
        let number = c_long::from(call.number);
        if let Some((name, errno)) = calls::refused(number) {
            return self.deny(caller, name, errno);
        }
        let arguments = &call.arguments;
        #[cfg(target_arch = "x86_64")]
        let legacy = self.legacy(caller, number, arguments);
        #[cfg(not(target_arch = "x86_64"))]
        let legacy = None;
        let with_files = legacy
            .or_else(|| self.file_call(caller, number, arguments))
            .or_else(|| self.attribute_call(caller, number, arguments));
        if let Some(answer) = with_files {
            self.beside(caller);
            return answer;
        }
        self.socket_call(caller, number, arguments)
            .or_else(|| self.view_call(caller, number, arguments))
            .or_else(|| self.process_call(caller, number, arguments))
            .unwrap_or_else(|| {
                // The filter asks about nothing else; if it did, nobody could say what it is.
                self.gap(caller.index, "unknown-call");
                Answer::GoOn
            })
    }

    /// Calls that only the older architectures have.
    #[cfg(target_arch = "x86_64")]
    fn legacy(&mut self, caller: Caller, call: c_long, &[a, b, c, ..]: &[u64; 6]) -> Option<Answer> {
        let open = |flags, mode| Open { folder: HERE, path: a, flags, mode, resolve: 0, in_memory: false };
        Some(match call {
            libc::SYS_open => self.open(caller, open(b, c)),
            libc::SYS_creat => self.open(caller, open(CREATE, b)),
            libc::SYS_rename => self.rename(caller, (HERE, a), (HERE, b), 0),
            libc::SYS_unlink => self.unlink(caller, (HERE, a), 0),
            libc::SYS_rmdir => self.unlink(caller, (HERE, a), REMOVE_FOLDER),
            libc::SYS_link => self.link(caller, (HERE, a), (HERE, b), 0),
            libc::SYS_symlink => self.symlink(caller, a, (HERE, b)),
            libc::SYS_mkdir => self.mkdir(caller, (HERE, a), b),
            libc::SYS_mknod => self.mknod(caller, (HERE, a), b, c),
            libc::SYS_chmod => self.attribute(caller, (HERE, a), true, Change::Mode(b)),
            libc::SYS_chown => self.attribute(caller, (HERE, a), true, Change::Owner(b, c)),
            libc::SYS_lchown => self.attribute(caller, (HERE, a), false, Change::Owner(b, c)),
            libc::SYS_utime => self.attribute(caller, (HERE, a), true, Change::Times(b, Parts::None)),
            libc::SYS_utimes => self.attribute(caller, (HERE, a), true, Change::Times(b, Parts::Micro)),
            libc::SYS_futimesat => self.attribute(caller, (a, b), true, Change::Times(c, Parts::Micro)),
            _ => return None,
        })
    }

    fn file_call(&mut self, caller: Caller, call: c_long, arguments: &[u64; 6]) -> Option<Answer> {
        let &[a, b, c, d, e, _] = arguments;
        Some(match call {
            libc::SYS_openat => self
                .open(caller, Open { folder: a, path: b, flags: c, mode: d, resolve: 0, in_memory: false }),
            libc::SYS_openat2 => self.openat2(caller, a, b, c),
            libc::SYS_execve => self.execute(caller, (HERE, a), b, c, 0),
            libc::SYS_execveat => self.execute(caller, (a, b), c, d, e),
            libc::SYS_renameat => self.rename(caller, (a, b), (c, d), 0),
            libc::SYS_renameat2 => self.rename(caller, (a, b), (c, d), e),
            libc::SYS_unlinkat => self.unlink(caller, (a, b), c),
            libc::SYS_linkat => self.link(caller, (a, b), (c, d), e),
            libc::SYS_symlinkat => self.symlink(caller, a, (b, c)),
            libc::SYS_mkdirat => self.mkdir(caller, (a, b), c),
            libc::SYS_mknodat => self.mknod(caller, (a, b), c, d),
            libc::SYS_truncate => self.truncate(caller, a, b),
            libc::SYS_umask => self.umask(caller, a),
            libc::SYS_mmap => self.map(caller, c, d, e),
            libc::SYS_mprotect | libc::SYS_pkey_mprotect => self.protect(caller, a, b),
            libc::SYS_memfd_create => self.memory_file(caller, a),
            number::MEMFD_SECRET => self.deny(caller, "memfd_secret", libc::ENOSYS),
            _ => return None,
        })
    }

    fn attribute_call(
        &mut self,
        caller: Caller,
        call: c_long,
        &[a, b, c, d, e, _]: &[u64; 6],
    ) -> Option<Answer> {
        Some(match call {
            libc::SYS_fchmod => self.attribute(caller, (a, 0), true, Change::Mode(b)),
            libc::SYS_fchmodat => self.attribute(caller, (a, b), true, Change::Mode(c)),
            number::FCHMODAT2 => self.attribute(caller, (a, b), d & NO_FOLLOW == 0, Change::Mode(c)),
            libc::SYS_fchown => self.attribute(caller, (a, 0), true, Change::Owner(b, c)),
            libc::SYS_fchownat => self.attribute(caller, (a, b), e & NO_FOLLOW == 0, Change::Owner(c, d)),
            libc::SYS_utimensat => {
                self.attribute(caller, (a, b), d & NO_FOLLOW == 0, Change::Times(c, Parts::Nano))
            }
            libc::SYS_setxattr => self.attribute(caller, (HERE, a), true, Change::Extended(b, c, d, e)),
            libc::SYS_lsetxattr => self.attribute(caller, (HERE, a), false, Change::Extended(b, c, d, e)),
            libc::SYS_fsetxattr => self.attribute(caller, (a, 0), true, Change::Extended(b, c, d, e)),
            libc::SYS_removexattr => self.attribute(caller, (HERE, a), true, Change::Removed(b)),
            libc::SYS_lremovexattr => self.attribute(caller, (HERE, a), false, Change::Removed(b)),
            libc::SYS_fremovexattr => self.attribute(caller, (a, 0), true, Change::Removed(b)),
            number::SETXATTRAT => {
                self.attribute(caller, (a, b), c & NO_FOLLOW == 0, Change::ExtendedBy(d, e))
            }
            number::REMOVEXATTRAT => self.attribute(caller, (a, b), c & NO_FOLLOW == 0, Change::Removed(d)),
            number::FILE_SETATTR => self.attribute(caller, (a, b), true, Change::Flags),
            libc::SYS_ioctl if FILE_FLAGS.contains(&((b & 0xFFFF_FFFF) as u32)) => {
                self.attribute(caller, (a, 0), true, Change::Flags)
            }
            libc::SYS_ioctl if TYPING.contains(&((b & 0xFFFF_FFFF) as u32)) => {
                self.deny_access(caller, "terminal-input")
            }
            libc::SYS_ioctl => self.deny_access(caller, "subvolume"),
            _ => return None,
        })
    }

    fn socket_call(
        &mut self,
        caller: Caller,
        call: c_long,
        &[a, b, c, _, e, f]: &[u64; 6],
    ) -> Option<Answer> {
        Some(match call {
            libc::SYS_socket => self.unwatched_socket(caller, a, b),
            libc::SYS_connect => self.socket(caller, EventKind::Connect, a, b, c),
            libc::SYS_sendto => self.socket(caller, EventKind::Connect, a, e, f),
            libc::SYS_bind => self.socket(caller, EventKind::Bind, a, b, c),
            libc::SYS_listen => self.listens(caller, a),
            libc::SYS_sendmsg => self.message(caller, a, b),
            libc::SYS_sendmmsg => self.messages(caller, a, b, c),
            libc::SYS_shmget => self.segment(caller, Kind::Memory, a, b, c),
            libc::SYS_msgget => self.segment(caller, Kind::Queue, a, 0, b),
            libc::SYS_shmat => self.attached(caller, Kind::Memory, a),
            libc::SYS_msgsnd | libc::SYS_msgrcv => self.attached(caller, Kind::Queue, a),
            libc::SYS_mq_open => self.queue(caller, a, b),
            _ => return None,
        })
    }

    /// Calls that change what paths and rights mean.
    fn view_call(&mut self, caller: Caller, call: c_long, &[a, b, c, d, _, _]: &[u64; 6]) -> Option<Answer> {
        Some(match call {
            libc::SYS_unshare => self.unshare(caller, a),
            libc::SYS_clone => self.clone_call(caller, a),
            libc::SYS_setns => self.namespace(caller, "setns", None, true),
            libc::SYS_chroot => self.namespace(caller, "chroot", Some((HERE, a)), true),
            libc::SYS_pivot_root => self.namespace(caller, "pivot_root", Some((HERE, a)), true),
            libc::SYS_mount => self.namespace(caller, "mount", Some((HERE, b)), true),
            libc::SYS_umount2 => self.namespace(caller, "umount2", Some((HERE, a)), true),
            number::MOVE_MOUNT => self.namespace(caller, "move_mount", Some((c, d)), true),
            number::OPEN_TREE => self.namespace(caller, "open_tree", Some((a, b)), c & 1 != 0),
            number::OPEN_TREE_ATTR => self.namespace(caller, "open_tree_attr", Some((a, b)), true),
            number::FSOPEN => self.namespace(caller, "fsopen", None, false),
            number::FSMOUNT => self.namespace(caller, "fsmount", None, true),
            number::FSPICK => self.namespace(caller, "fspick", Some((a, b)), true),
            number::MOUNT_SETATTR => self.namespace(caller, "mount_setattr", Some((a, b)), true),
            libc::SYS_sethostname => self.namespace(caller, "sethostname", None, false),
            libc::SYS_setdomainname => self.namespace(caller, "setdomainname", None, false),
            libc::SYS_personality => {
                self.gap(caller.index, "implied-code");
                Answer::GoOn
            }
            libc::SYS_setuid
            | libc::SYS_setgid
            | libc::SYS_setreuid
            | libc::SYS_setregid
            | libc::SYS_setresuid
            | libc::SYS_setresgid
            | libc::SYS_setfsuid
            | libc::SYS_setfsgid => self.new_rights(caller, call, &[a, b, c]),
            libc::SYS_setgroups | libc::SYS_capset | number::LANDLOCK_RESTRICT_SELF => {
                self.other_rights(caller)
            }
            _ => return None,
        })
    }

    /// Calls that concern processes.
    fn process_call(
        &mut self,
        caller: Caller,
        call: c_long,
        &[a, b, c, _, _, _]: &[u64; 6],
    ) -> Option<Answer> {
        Some(match call {
            libc::SYS_exit_group => self.leaving(caller, a),
            libc::SYS_seccomp => self.second_listener(caller),
            libc::SYS_prctl => self.deny_access(caller, "prctl"),
            libc::SYS_ptrace => self.ptrace(caller, a, b),
            libc::SYS_process_vm_readv => self.reach(caller, a, "read"),
            libc::SYS_process_vm_writev => self.reach(caller, a, "write"),
            libc::SYS_kill | libc::SYS_tkill | libc::SYS_rt_sigqueueinfo => self.signal(caller, a, b),
            libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo => match self.signal(caller, b, c) {
                Answer::GoOn => self.signal(caller, a, 0),
                answer => answer,
            },
            libc::SYS_pidfd_open | libc::SYS_prlimit64 => self.signal(caller, a, 0),
            number::PIDFD_SEND_SIGNAL => self.signal_by_descriptor(caller, a, b),
            number::PIDFD_GETFD => self.take_descriptor(caller, a, b),
            _ => return None,
        })
    }

    /// A call that does not exist for a recorded build (`ENOSYS`), or is forbidden: only the latter speaks against
    /// the build, for ordinary programs try out what a kernel can do.
    pub(super) fn deny(&mut self, caller: Caller, name: &'static str, errno: i32) -> Answer {
        if errno != libc::ENOSYS {
            return self.deny_access(caller, name);
        }
        self.emit(Event {
            target: Some(BytePath::from(name)),
            errno: u16::try_from(errno).unwrap_or(u16::MAX),
            detail: Some("no-such-call".into()),
            ..Event::new(EventKind::Refused, caller.index)
        });
        Answer::Result(errno)
    }

    fn deny_access(&mut self, caller: Caller, name: &'static str) -> Answer {
        self.trace.completeness.refused += 1;
        self.emit(Event {
            target: Some(BytePath::from(name)),
            errno: u16::try_from(libc::EPERM).unwrap_or(u16::MAX),
            detail: Some("forbidden-call".into()),
            ..Event::new(EventKind::Refused, caller.index)
        });
        Answer::Result(libc::EPERM)
    }
}
