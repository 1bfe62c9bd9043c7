//! The only `unsafe` code: system calls that no well-kept library wraps.
//!
//! Everything here takes and returns owned or borrowed Rust values; no pointer leaves this module.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_ulong, pid_t};

use crate::egress::namespace::{self, Inside};

/// One instruction of a filter program (`struct sock_filter`).
pub(crate) use libc::sock_filter as Instruction;

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    /// The thread that called.
    pub(crate) thread: i32,
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
}

/// The listener's end of a filter.
#[derive(Debug)]
pub(crate) struct Listener {
    file: OwnedFd,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6).
const SYNC_WAKE_UP: c_ulong = 1;

impl Listener {
    /// Returns another handle on it, for a thread that answers.
    pub(crate) fn another(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// Asks the kernel to hand over between caller and listener on one processor; false if it cannot.
    pub(crate) fn wake_synchronously(&self) -> bool {
        // SAFETY: the descriptor is ours; the argument is a plain number.
        unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) == 0 }
    }

    /// Receives the next call. `None` if the caller died meanwhile.
    pub(crate) fn receive(&self) -> io::Result<Option<Notification>> {
        loop {
            // SAFETY: the structure is plain data for which zero is valid; the kernel demands zeros.
            let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: `raw` lives across the call and has the size that the request encodes.
            let result =
                unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) };
            if result == 0 {
                return Ok(Some(Notification {
                    id: raw.id,
                    thread: i32::try_from(raw.pid).map_err(io::Error::other)?,
                    number: i64::from(raw.data.nr),
                    arguments: raw.data.args,
                }));
            }
            match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => {}
                error if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
                error => return Err(error),
            }
        }
    }

    /// Tells whether the call still waits: what was read from the caller's memory belongs to it.
    pub(crate) fn is_waiting(&self, id: u64) -> bool {
        // SAFETY: `id` lives across the call.
        unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
    }

    fn respond(&self, id: u64, error: i32, flags: u32) -> io::Result<()> {
        let mut raw = libc::seccomp_notif_resp { id, val: 0, error, flags };
        // SAFETY: `raw` lives across the call and has the size that the request encodes.
        let result =
            unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut raw) };
        gone_is_fine(checked(result).map(drop))
    }

    /// Lets the kernel carry out the call.
    pub(crate) fn go_on(&self, id: u64) -> io::Result<()> {
        let flag = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
        self.respond(id, 0, flag)
    }

    /// Answers in the kernel's place: 0 or an `errno`.
    pub(crate) fn answer(&self, id: u64, errno: i32) -> io::Result<()> {
        self.respond(id, -errno, 0)
    }

    /// Gives the caller a descriptor as the result of its call. The caller's own limit may refuse it.
    pub(crate) fn hand_over(&self, id: u64, file: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<()> {
        match self.add(id, libc::SECCOMP_ADDFD_FLAG_SEND, file, 0, close_on_exec) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                self.answer(id, error.raw_os_error().unwrap_or(libc::EMFILE))
            }
            result => gone_is_fine(result),
        }
    }

    /// Puts a descriptor of ours in the place of one of the caller's. It still waits for its answer.
    pub(crate) fn put(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        number: u32,
        close_on_exec: bool,
    ) -> io::Result<()> {
        self.add(id, libc::SECCOMP_ADDFD_FLAG_SETFD, file, number, close_on_exec)
    }

    fn add(
        &self,
        id: u64,
        flags: c_ulong,
        file: BorrowedFd<'_>,
        newfd: u32,
        close_on_exec: bool,
    ) -> io::Result<()> {
        let raw = libc::seccomp_notif_addfd {
            id,
            flags: u32::try_from(flags).map_err(io::Error::other)?,
            srcfd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
            newfd,
            newfd_flags: if close_on_exec {
                u32::try_from(libc::O_CLOEXEC).map_err(io::Error::other)?
            } else {
                0
            },
        };
        // SAFETY: `raw` lives across the call; the kernel duplicates the descriptor, ours stays ours.
        let result =
            unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const raw) };
        checked(result).map(drop)
    }
}

/// A caller that was killed while it waited needs no answer.
fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// What a child is started from.
#[derive(Debug)]
pub(crate) struct Start {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    workdir: CString,
    filter: Vec<Instruction>,
    confinement: Confinement,
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
            confinement: Confinement::default(),
        })
    }

    pub(crate) fn confined(self, confinement: Confinement) -> Self {
        Self { confinement, ..self }
    }
}

/// A started child, held before its first instruction.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) listener: Listener,
    /// Tells if the program could not be started, and why.
    pub(crate) failure: Failure,
    /// Whether a signal cannot tear a caller out of a call that the listener has received.
    pub(crate) killable_wait: bool,
    /// Unbound sockets of the child's own network, if it has one.
    pub(crate) sockets: Vec<OwnedFd>,
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for two descriptors, which are ours from then on.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just made both; nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// What the child tells through its pipe: the step and the `errno` or descriptor.
const TOLD_LISTENER: i32 = 1;
const TOLD_FILTER_FAILED: i32 = 2;
const TOLD_START_FAILED: i32 = 3;
const TOLD_INSIDE: i32 = 4;
const TOLD_SOCKET: i32 = 5;
const TOLD_INSIDE_FAILED: i32 = 6;

/// Why a child was not started.
#[derive(Debug)]
pub(crate) enum SpawnError {
    Filter(io::Error),
    /// There is no network of its own for it.
    Inside(io::Error),
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
                let mapped = namespace::map_ids(pid);
                let go = go.take().filter(|_| mapped.is_ok());
                let told = go.map_or(Ok(0), |go| rustix::io::write(&go, &[0]));
                mapped.and(told.map(drop).map_err(io::Error::from)).map_err(|error| given_up(pid, error))?;
            }
            TOLD_SOCKET => {
                // SAFETY: the child made it in the table that we share, and has left it to us.
                sockets.push(unsafe { OwnedFd::from_raw_fd(word(4)) });
            }
            TOLD_INSIDE_FAILED => return Err(given_up(pid, io::Error::from_raw_os_error(word(4)))),
            TOLD_LISTENER => {
                // SAFETY: the descriptor is the one that the kernel made in the table that we share, and only we
                // keep it.
                let file = unsafe { OwnedFd::from_raw_fd(word(4)) };
                return Ok(Child {
                    pid,
                    listener: Listener { file },
                    failure: Failure { read, write },
                    killable_wait: word(8) == 1,
                    sockets,
                });
            }
            TOLD_FILTER_FAILED => return Err(SpawnError::Filter(io::Error::from_raw_os_error(word(4)))),
            _ => return Err(SpawnError::Other(io::Error::from_raw_os_error(word(4)))),
        }
    }
}

/// Waits for a child that ends without having become anything; another may be started.
fn given_up(pid: pid_t, error: io::Error) -> SpawnError {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).ok();
    }
    SpawnError::Inside(error)
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
    if let Some(inside) = &start.confinement.inside {
        let entered = || {
            // SAFETY: a plain number; this process has one thread and shares no memory.
            if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) } != 0 {
                // SAFETY: valid in every thread.
                return Err(rustix::io::Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
            }
            say(TOLD_INSIDE, 0, 0);
            let mut byte = 0_u8;
            // SAFETY: one byte into a living variable, from our own pipe.
            match unsafe { libc::read(wait, (&raw mut byte).cast(), 1) } {
                1 => Ok(()),
                _ => Err(rustix::io::Errno::PERM),
            }
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
        for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
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
        if libc::unshare(libc::CLONE_FILES) != 0 {
            // Nobody answered: the table is still the recorder's, and nothing may be changed in it.
            libc::_exit(127);
        }
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::execve(start.program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        fail(TOLD_START_FAILED)
    }
}

/// The pipe on which a child says that it could not start its program. Our copy of the child's end must stay open
/// as long as the child may share our table.
#[derive(Debug)]
pub(crate) struct Failure {
    read: OwnedFd,
    write: OwnedFd,
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

/// Reads another process's memory, up to the first page that is not there. Returns the bytes read.
pub(crate) fn read_memory(thread: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    const PAGE: u64 = 4096;
    let wanted = buffer.len() as u64;
    let first = wanted.min(PAGE - address % PAGE);
    let piece = |start: u64, length: u64| -> io::Result<libc::iovec> {
        let start = usize::try_from(start).map_err(io::Error::other)?;
        Ok(libc::iovec {
            iov_base: start as *mut libc::c_void,
            iov_len: usize::try_from(length).map_err(io::Error::other)?,
        })
    };
    let Some(second) = address.checked_add(first) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let remote = [piece(address, first)?, piece(second, wanted - first)?];
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`; remote addresses are only read there.
    let read = unsafe { libc::process_vm_readv(thread, &raw const local, 1, remote.as_ptr(), 2, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// The signals that end programs and that the recorder survives.
const CAUGHT: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Where the handler writes; the handler of a process is one, so this is, too.
static SIGNALS: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid `info`; `write` and `__errno_location` are async-signal-safe; the pipe does
    // not block.
    unsafe {
        let before = *libc::__errno_location();
        let sender = if (*info).si_code <= 0 { (*info).si_pid() } else { 0 };
        let words = [signal, sender];
        libc::write(SIGNALS.load(Ordering::Relaxed), words.as_ptr().cast(), size_of_val(&words));
        *libc::__errno_location() = before;
    }
}

/// Catches the signals that end programs, until dropped.
pub(crate) struct Signals {
    read: OwnedFd,
    _write: OwnedFd,
    before: [libc::sigaction; 3],
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let (read, write) = pipe()?;
        for end in [&read, &write] {
            rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
        }
        SIGNALS.store(write.as_raw_fd(), Ordering::Relaxed);
        // SAFETY: plain data, for which zero is valid; the handler is safe in signal context.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            let mut before: [libc::sigaction; 3] = std::mem::zeroed();
            for (signal, before) in CAUGHT.into_iter().zip(&mut before) {
                checked(libc::sigaction(signal, &raw const action, before))?;
            }
            Ok(Self { read, _write: write, before })
        }
    }

    /// Takes the next signal that arrived: which, and who sent it (`None` for the kernel, as for Ctrl-C).
    pub(crate) fn next(&self) -> Option<(i32, Option<i32>)> {
        let mut words = [0; 8];
        if rustix::io::read(&self.read, &mut words).ok()? != words.len() {
            return None;
        }
        let word = |at: usize| i32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        Some((word(0), (word(4) > 0).then(|| word(4))))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, before) in CAUGHT.into_iter().zip(&self.before) {
            // SAFETY: the action is one that the kernel gave.
            unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
        }
    }
}

/// Tells how a process that has been reaped ended, as by `waitpid`, where the kernel (6.15) still knows.
pub(crate) fn ended(pidfd: &OwnedFd) -> Option<i32> {
    const GET_INFO: c_ulong = 0xC040_FF0B; // _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)
    const EXIT: u64 = 1 << 3;
    let mut info = [0_u64; 8];
    info[0] = EXIT;
    // SAFETY: the kernel writes at most the 64 bytes that the request encodes.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, info.as_mut_ptr()) };
    if result != 0 || info[0] & EXIT == 0 {
        return None;
    }
    let status = i32::from_ne_bytes(info[7].to_ne_bytes()[4..].try_into().ok()?);
    Some(if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) })
}

/// Makes this process inherit the orphans of its descendants, or no longer.
pub(crate) fn adopt_orphans(adopt: bool) -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, c_ulong::from(adopt), 0, 0, 0) }).map(drop)
}
