//! Starting a child that is traced, and if wanted in a network of its own.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_ulong, pid_t};

use super::{Instruction, Listener, checked, ptrace};
use crate::egress::namespace::{self, Inside};

/// What a child is started from.
#[derive(Debug)]
pub(crate) struct Start {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    workdir: CString,
    filter: Vec<Instruction>,
    tracing: Tracing,
    confinement: Confinement,
}

/// How a child's calls are asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tracing {
    /// The filter has a listener.
    Listened,
    /// The filter stops the child; without one each of its calls does.
    Stopped,
}

/// How a child is cut off before its program starts.
#[derive(Debug, Default)]
pub(crate) struct Confinement {
    /// A network of its own.
    pub(crate) inside: Option<Inside>,
    /// A filter that nobody listens to; none if empty.
    pub(crate) guard: Vec<Instruction>,
}

impl Start {
    pub(crate) fn new(
        program: &Path,
        command: &[OsString],
        environment: &[(OsString, OsString)],
        workdir: &Path,
        filter: Vec<Instruction>,
    ) -> io::Result<Self> {
        let text = |bytes: &OsStr| CString::new(bytes.as_bytes()).map_err(io::Error::from);
        let pair = |(name, value): &(OsString, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).map_err(io::Error::from)
        };
        Ok(Self {
            program: text(program.as_os_str())?,
            arguments: command.iter().map(|word| text(word)).collect::<io::Result<_>>()?,
            environment: environment.iter().map(pair).collect::<io::Result<_>>()?,
            workdir: text(workdir.as_os_str())?,
            filter,
            tracing: Tracing::Listened,
            confinement: Confinement::default(),
        })
    }

    pub(crate) fn traced(self, tracing: Tracing) -> Self {
        Self { tracing, ..self }
    }

    pub(crate) fn confined(self, confinement: Confinement) -> Self {
        Self { confinement, ..self }
    }
}

/// A started child, held before its first instruction.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    /// The listener of its filter, if it has one; if not, this thread is the child's tracer.
    pub(crate) listener: Option<Listener>,
    /// Tells if the program could not be started, and why.
    pub(crate) failure: Failure,
    /// Whether a signal cannot tear a caller out of a call that the listener has received.
    pub(crate) killable_wait: bool,
    /// Unbound sockets of the child's own network, if it has one.
    pub(crate) sockets: Vec<OwnedFd>,
}

pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for two descriptors, which are ours from then on.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just made both; nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// The most descriptors that are kept from a program one by one.
const DESCRIPTORS_MAX: libc::c_long = 1 << 16;

/// What the child tells through its pipe: the step and the `errno` or descriptor.
const TOLD_LISTENER: i32 = 1;
const TOLD_FILTER_FAILED: i32 = 2;
const TOLD_START_FAILED: i32 = 3;
const TOLD_INSIDE: i32 = 4;
const TOLD_SOCKET: i32 = 5;
const TOLD_INSIDE_FAILED: i32 = 6;
const TOLD_READY: i32 = 7;

/// Why a child was not started.
#[derive(Debug)]
pub(crate) enum SpawnError {
    Filter(io::Error),
    /// There is no network of its own for it.
    Inside(io::Error),
    /// It cannot be traced.
    Trace(io::Error),
    Other(io::Error),
}

/// Starts a child under the filter. It shares our descriptor table for a moment, so that the listener that the
/// kernel gives it is ours as well; then it takes a table of its own, which is the first call that we are asked for.
pub(crate) fn spawn(start: &Start) -> Result<Child, SpawnError> {
    let (read, write) = pipe().map_err(SpawnError::Other)?;
    let (wait, go) = pipe().map_err(SpawnError::Other)?;
    let pointers = |texts: &[CString]| {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (arguments, environment) = (pointers(&start.arguments), pointers(&start.environment));
    let filters = Filters { own: program(&start.filter)?, guard: program(&start.confinement.guard)? };
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: a clone without shared memory is a fork: the child has its own copy of everything prepared above
    // and calls nothing but system calls until it executes another program or ends.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: as above; all pointers are into this process's copy of living values.
        unsafe { child(start, &arguments, &environment, &filters, [write.as_raw_fd(), wait.as_raw_fd()]) }
    }
    let pid = pid_t::try_from(pid).map_err(|error| SpawnError::Other(io::Error::other(error)))?;
    checked(pid).map_err(SpawnError::Other)?;
    let (mut sockets, mut go) = (Vec::new(), Some(go));
    loop {
        let mut told = [0; 12];
        read_all(&read, &mut told).map_err(SpawnError::Other)?;
        let word = |at: usize| i32::from_ne_bytes([told[at], told[at + 1], told[at + 2], told[at + 3]]);
        match word(0) {
            // Without an answer the pipe's end, which is the child's, too, is closed, and it gives up.
            TOLD_INSIDE => {
                let mapped = namespace::map_ids(pid).and_then(|()| go_on(go.as_ref()));
                if let Err(error) = mapped {
                    drop(go.take());
                    return Err(SpawnError::Inside(given_up(pid, error)));
                }
            }
            TOLD_READY => {
                let traced = attach(pid, start.filter.is_empty()).and_then(|()| go_on(go.as_ref()));
                if let Err(error) = traced {
                    drop(go.take());
                    return Err(SpawnError::Trace(given_up(pid, error)));
                }
                let failure = Failure { read, write, _wait: wait };
                return Ok(Child { pid, listener: None, failure, killable_wait: true, sockets });
            }
            TOLD_SOCKET => {
                // SAFETY: the child made it in the table that we share, and has left it to us.
                sockets.push(unsafe { OwnedFd::from_raw_fd(word(4)) });
            }
            TOLD_INSIDE_FAILED => {
                return Err(SpawnError::Inside(given_up(pid, io::Error::from_raw_os_error(word(4)))));
            }
            TOLD_LISTENER => {
                // SAFETY: the descriptor is the one that the kernel made in the table that we share, and only we
                // keep it.
                let file = unsafe { OwnedFd::from_raw_fd(word(4)) };
                return Ok(Child {
                    pid,
                    listener: Some(Listener { file }),
                    failure: Failure { read, write, _wait: wait },
                    killable_wait: word(8) == 1,
                    sockets,
                });
            }
            TOLD_FILTER_FAILED => return Err(SpawnError::Filter(io::Error::from_raw_os_error(word(4)))),
            _ => return Err(SpawnError::Other(io::Error::from_raw_os_error(word(4)))),
        }
    }
}

/// Attaches to a child that waits for it.
fn attach(pid: pid_t, calls: bool) -> io::Result<()> {
    ptrace::seize(pid)?;
    ptrace::interrupt(pid)?;
    ptrace::resume(pid, calls, 0)
}

/// Lets a waiting child go on.
fn go_on(go: Option<&OwnedFd>) -> io::Result<()> {
    let go = go.ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::io::write(go, &[0])?;
    Ok(())
}

/// Waits for a child that ends without having become anything; another may be started.
fn given_up(pid: pid_t, error: io::Error) -> io::Error {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).ok();
    }
    error
}

/// The filters of a child.
struct Filters {
    own: libc::sock_fprog,
    guard: libc::sock_fprog,
}

fn program(instructions: &[Instruction]) -> Result<libc::sock_fprog, SpawnError> {
    let len =
        u16::try_from(instructions.len()).map_err(|error| SpawnError::Other(io::Error::other(error)))?;
    Ok(libc::sock_fprog { len, filter: instructions.as_ptr().cast_mut() })
}

fn read_all(file: &OwnedFd, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match rustix::io::read(file, &mut *buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => buffer = &mut buffer[length..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The child between clone and exec.
///
/// # Safety
/// Only in a fresh child process with one thread, and with pointers into its memory.
unsafe fn child(
    start: &Start,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    filters: &Filters,
    [tell, wait]: [RawFd; 2],
) -> ! {
    let say = |what: i32, value: i32, more: i32| {
        let words = [what, value, more];
        // SAFETY: twelve bytes of a living array, into our own pipe; less than a pipe's atomic size.
        unsafe { libc::write(tell, words.as_ptr().cast(), 12) };
    };
    let fail = |what: i32| -> ! {
        // SAFETY: `__errno_location` is valid in every thread; `_exit` ends the process.
        unsafe {
            say(what, *libc::__errno_location(), 0);
            libc::_exit(127)
        }
    };
    let may_go_on = || {
        let mut byte = 0_u8;
        // SAFETY: one byte into a living variable, from our own pipe.
        match unsafe { libc::read(wait, (&raw mut byte).cast(), 1) } {
            1 => Ok(()),
            _ => Err(rustix::io::Errno::PERM),
        }
    };
    if let Some(inside) = &start.confinement.inside {
        let entered = || {
            // SAFETY: a plain number; this process has one thread and shares no memory.
            if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) } != 0 {
                // SAFETY: valid in every thread.
                return Err(rustix::io::Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
            }
            say(TOLD_INSIDE, 0, 0);
            may_go_on()
        };
        if let Err(error) = inside.enter(entered, |socket| say(TOLD_SOCKET, socket, 0)) {
            say(TOLD_INSIDE_FAILED, error.raw_os_error(), 0);
            // SAFETY: it ends the process.
            unsafe { libc::_exit(127) }
        }
    }
    // SAFETY: plain system calls with living arguments.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP] {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::chdir(start.workdir.as_ptr()) != 0 {
            fail(TOLD_START_FAILED);
        }
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            fail(TOLD_FILTER_FAILED);
        }
        let install = |flags: c_ulong, filter: &libc::sock_fprog| {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, filter)
        };
        if filters.guard.len > 0 && install(0, &filters.guard) != 0 {
            fail(TOLD_FILTER_FAILED);
        }
        let listen = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if start.tracing == Tracing::Stopped {
            // Where another recorder listens already, it is asked and we are not: one that allows all tells. What
            // the kernel gives for it is not kept.
            let code = libc::sock_filter {
                code: (libc::BPF_RET | libc::BPF_K) as u16,
                jt: 0,
                jf: 0,
                k: libc::SECCOMP_RET_ALLOW,
            };
            let all = libc::sock_fprog { len: 1, filter: (&raw const code).cast_mut() };
            let listener = install(listen, &all);
            if listener < 0 && *libc::__errno_location() == libc::EBUSY {
                fail(TOLD_FILTER_FAILED);
            }
            if let Ok(listener @ 0..) = i32::try_from(listener) {
                libc::close(listener);
            }
            if filters.own.len > 0 && install(0, &filters.own) != 0 {
                fail(TOLD_FILTER_FAILED);
            }
            say(TOLD_READY, 0, 0);
            if may_go_on().is_err() {
                libc::_exit(127);
            }
        } else {
            let mut killable = 1;
            let mut listener = install(listen | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &filters.own);
            if listener < 0 {
                killable = 0;
                listener = install(listen, &filters.own);
            }
            let Ok(listener) = i32::try_from(listener) else { libc::_exit(127) };
            if listener < 0 {
                fail(TOLD_FILTER_FAILED);
            }
            say(TOLD_LISTENER, listener, killable);
        }
        if libc::unshare(libc::CLONE_FILES) != 0 {
            // Nobody answered: the table is still the recorder's, and nothing may be changed in it.
            libc::_exit(127);
        }
        if libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) != 0 {
            // Before Linux 5.11: one by one.
            for number in 3..libc::sysconf(libc::_SC_OPEN_MAX).clamp(0, DESCRIPTORS_MAX) as RawFd {
                libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
        libc::execve(start.program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        fail(TOLD_START_FAILED)
    }
}

/// The pipe on which a child says that it could not start its program. Our copies of the child's ends must stay
/// open as long as the child may share our table.
#[derive(Debug)]
pub(crate) struct Failure {
    read: OwnedFd,
    write: OwnedFd,
    /// Where it waits for us: our copy as well.
    _wait: OwnedFd,
}

impl Failure {
    /// Asks once the child has ended or runs its program.
    pub(crate) fn said(self) -> Option<io::Error> {
        drop(self.write);
        let mut told = [0; 12];
        read_all(&self.read, &mut told).ok()?;
        Some(io::Error::from_raw_os_error(i32::from_ne_bytes([told[4], told[5], told[6], told[7]])))
    }
}
