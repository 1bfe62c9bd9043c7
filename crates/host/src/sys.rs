//! The only `unsafe` code: system calls that no well-kept library wraps.
//!
//! Everything here takes and returns owned or borrowed Rust values; no pointer leaves this module.

pub(crate) mod map;
pub(crate) mod ptrace;
mod start;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_ulong};

use start::pipe;
pub(crate) use start::{Child, Confinement, SpawnError, Start, Tracing, spawn};

/// One instruction of a filter program (`struct sock_filter`).
pub(crate) use libc::sock_filter as Instruction;

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    /// The thread that called.
    pub(crate) thread: i32,
    pub(crate) number: i64,
    /// Which table of calls the number is from (`AUDIT_ARCH_…`).
    pub(crate) architecture: u32,
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
                    architecture: raw.data.arch,
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

    fn respond(&self, id: u64, value: i32, error: i32, flags: u32) -> io::Result<()> {
        let mut raw = libc::seccomp_notif_resp { id, val: i64::from(value), error, flags };
        // SAFETY: `raw` lives across the call and has the size that the request encodes.
        let result =
            unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut raw) };
        gone_is_fine(checked(result).map(drop))
    }

    /// Lets the kernel carry out the call.
    pub(crate) fn go_on(&self, id: u64) -> io::Result<()> {
        let flag = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
        self.respond(id, 0, 0, flag)
    }

    /// Answers in the kernel's place: 0 or an `errno`.
    pub(crate) fn answer(&self, id: u64, errno: i32) -> io::Result<()> {
        self.respond(id, 0, -errno, 0)
    }

    /// Answers with a number that is neither: what the call has made.
    pub(crate) fn value(&self, id: u64, value: i32) -> io::Result<()> {
        self.respond(id, value, 0, 0)
    }

    /// Puts a descriptor of ours in the place of one of the caller's. It still waits for its answer.
    pub(crate) fn put(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        number: u32,
        close_on_exec: bool,
    ) -> io::Result<()> {
        self.add_as(id, libc::SECCOMP_ADDFD_FLAG_SETFD, file, number, close_on_exec).map(drop)
    }

    /// Gives a caller a descriptor. With `answer` it is the result of its call at once (Linux 5.14); without, the
    /// caller goes on waiting, and the number of its new descriptor is returned. Its own limit may refuse it.
    pub(crate) fn add(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        close_on_exec: bool,
        answer: bool,
    ) -> io::Result<i32> {
        let flags = if answer { libc::SECCOMP_ADDFD_FLAG_SEND } else { 0 };
        self.add_as(id, flags, file, 0, close_on_exec)
    }

    fn add_as(
        &self,
        id: u64,
        flags: c_ulong,
        file: BorrowedFd<'_>,
        newfd: u32,
        close_on_exec: bool,
    ) -> io::Result<i32> {
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
        checked(result)
    }
}

/// A caller that was killed while it waited needs no answer.
fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// No page is smaller; what does not cross a multiple of this is there as a whole or not at all.
const PAGE: u64 = 4096;

/// Reads another process's memory, up to the first page that is not there. Returns the bytes read.
pub(crate) fn read_memory(thread: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len() as u64;
    let first = wanted.min(PAGE - address % PAGE);
    let Some(second) = address.checked_add(first) else { return Err(io::ErrorKind::InvalidInput.into()) };
    read_pieces(thread, &[(address, first), (second, wanted - first)], buffer)
}

/// Reads pieces of another process's memory, address and length, one behind the other into a buffer, up to the first
/// that is not there. Each must lie in one page. Returns the bytes read.
pub(crate) fn read_pieces(thread: i32, pieces: &[(u64, u64)], buffer: &mut [u8]) -> io::Result<usize> {
    let remote = pieces.iter().map(|(start, length)| -> io::Result<libc::iovec> {
        let start = usize::try_from(*start).map_err(io::Error::other)?;
        let iov_len = usize::try_from(*length).map_err(io::Error::other)?;
        Ok(libc::iovec { iov_base: start as *mut libc::c_void, iov_len })
    });
    let remote = remote.collect::<io::Result<Vec<_>>>()?;
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let count = libc::c_ulong::try_from(remote.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`; remote addresses are only read there.
    let read = unsafe { libc::process_vm_readv(thread, &raw const local, 1, remote.as_ptr(), count, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Takes a read lease on a file and gives it back at once: it is granted only if nobody has the file open for
/// writing. Whoever wants to write it in this moment waits for a moment; the signal that tells us so is taken by
/// [`Signals`].
pub(crate) fn try_read_lease(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain number on a descriptor that lives across the call.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) })?;
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) }).map(drop)
}

/// The signals that end programs and that the recorder survives; of the others one tells that a lease is in the way,
/// and one that something became of a child, which only those need who wait for that.
const CAUGHT: [c_int; 6] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGIO, libc::SIGCHLD];

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
    before: Vec<(c_int, libc::sigaction)>,
}

impl Signals {
    /// Begins; with `children` also what the kernel tells of children.
    pub(crate) fn catch(children: bool) -> io::Result<Self> {
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
            let mut caught = Self { read, _write: write, before: Vec::new() };
            for signal in CAUGHT.into_iter().filter(|signal| children || *signal != libc::SIGCHLD) {
                let mut before: libc::sigaction = std::mem::zeroed();
                checked(libc::sigaction(signal, &raw const action, &raw mut before))?;
                caught.before.push((signal, before));
            }
            if children {
                mask_children(libc::SIG_BLOCK);
            }
            Ok(caught)
        }
    }

    /// Waits for something, and for news of children as well. At all other times these are kept from this thread, and
    /// from those that it makes: they would break off what those are waiting for.
    pub(crate) fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        mask_children(libc::SIG_UNBLOCK);
        let waited = wait();
        mask_children(libc::SIG_BLOCK);
        waited
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

fn mask_children(how: c_int) {
    // SAFETY: plain data, for which zero is valid, and a signal that exists.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if self.before.iter().any(|(signal, _)| *signal == libc::SIGCHLD) {
            mask_children(libc::SIG_UNBLOCK);
        }
        for (signal, before) in &self.before {
            // SAFETY: the action is one that the kernel gave.
            unsafe { libc::sigaction(*signal, before, std::ptr::null_mut()) };
        }
    }
}

/// Asks what the kernel knows of a process (`struct pidfd_info`, Linux 6.13); `wanted` is what must be answered.
fn pidfd_info(pidfd: &OwnedFd, wanted: u64) -> Option<[u8; 64]> {
    const GET_INFO: c_ulong = 0xC040_FF0B; // _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)
    let mut info = [0_u64; 8];
    info[0] = wanted;
    // SAFETY: the kernel writes at most the 64 bytes that the request encodes.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, info.as_mut_ptr()) };
    if result != 0 || info[0] & wanted != wanted {
        return None;
    }
    let mut bytes = [0; 64];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(info) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Some(bytes)
}

/// Returns the parent of a process, where the kernel tells it by the descriptor.
pub(crate) fn parent(pidfd: &OwnedFd) -> Option<i32> {
    const PID: u64 = 1; // Always answered.
    let info = pidfd_info(pidfd, PID)?;
    Some(i32::from_ne_bytes(info[24..28].try_into().ok()?))
}

/// Tells how a process that has been reaped ended, as by `waitpid`, where the kernel (6.15) still knows.
pub(crate) fn ended(pidfd: &OwnedFd) -> Option<i32> {
    const EXIT: u64 = 1 << 3;
    let info = pidfd_info(pidfd, EXIT)?;
    let status = i32::from_ne_bytes(info[60..].try_into().ok()?);
    Some(if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) })
}

/// Makes this process inherit the orphans of its descendants, or no longer.
pub(crate) fn adopt_orphans(adopt: bool) -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, c_ulong::from(adopt), 0, 0, 0) }).map(drop)
}

/// Tells whether the kernel's clock is kept right by somebody (`adjtimex(2)`).
pub(crate) fn clock_is_synchronised() -> io::Result<bool> {
    // SAFETY: the structure is plain data for which zero is valid; zero modes change nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure, which lives across the call.
    let result = checked(unsafe { libc::adjtimex(&raw mut state) })?;
    Ok(result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

/// A file that is mapped into a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) inode: u64,
    /// Whether it is code already.
    pub(crate) code: bool,
    pub(crate) name: Vec<u8>,
}

/// Finds the first mapping of a file at or after an address, given the `/proc/N/maps` of a process. Linux 6.11
/// answers one question; before, the whole list is read.
pub(crate) fn file_mapping(maps: &std::fs::File, address: u64) -> Option<Mapping> {
    const QUERY: c_ulong = 0xC068_6611; // _IOWR('f', 17, struct procmap_query)
    const AT_OR_AFTER_OF_FILE: u64 = 0x10 | 0x20;
    const EXECUTABLE: u64 = 4;
    let mut name = vec![0_u8; 4096];
    let mut query = [0_u64; 13];
    query[0] = size_of_val(&query) as u64;
    query[1] = AT_OR_AFTER_OF_FILE;
    query[2] = address;
    query[10] = name.len() as u64; // Name's size in the low half, no build identity.
    query[11] = name.as_mut_ptr() as u64;
    // SAFETY: `query` has the size that the request encodes, and `name` the size that it tells; both live across.
    let result = unsafe { libc::ioctl(maps.as_raw_fd(), QUERY, query.as_mut_ptr()) };
    if result == 0 {
        let length = usize::try_from(query[10] & 0xFFFF_FFFF).ok()?;
        name.truncate(length.saturating_sub(1));
        let code = query[5] & EXECUTABLE != 0;
        return Some(Mapping { start: query[3], end: query[4], inode: query[8], code, name });
    }
    if io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT) {
        return None;
    }
    let text = std::fs::read(format!("/proc/self/fd/{}", maps.as_raw_fd())).ok()?;
    text.split(|byte| *byte == b'\n').filter_map(mapping_line).find(|found| found.end > address)
}

/// One line of `/proc/N/maps`, if it is of a file: `start-end rwxp offset device inode name`.
fn mapping_line(line: &[u8]) -> Option<Mapping> {
    let text = std::str::from_utf8(line.get(..line.iter().position(|byte| *byte == b'/')?)?).ok()?;
    let mut words = text.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let code = words.next()?.as_bytes().get(2) == Some(&b'x');
    let inode = words.nth(2)?.parse().ok()?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapping {
        start: address(start)?,
        end: address(end)?,
        inode,
        code,
        name: line[text.len()..].to_vec(),
    })
}

/// Makes or finds a System V shared memory segment (`shmget(2)`).
pub(crate) fn shared_memory(key: i32, size: u64, flags: i32) -> io::Result<i32> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::shmget(key, size, flags) })
}

/// Makes or finds a System V message queue (`msgget(2)`).
pub(crate) fn message_queue(key: i32, flags: i32) -> io::Result<i32> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::msgget(key, flags) })
}

/// Returns the address that a socket is bound to, as the kernel writes it.
pub(crate) fn socket_address(socket: impl AsFd) -> io::Result<Vec<u8>> {
    let mut raw = vec![0_u8; 128];
    let mut length = 128;
    // SAFETY: `raw` has room for `length` bytes; the kernel writes at most that many and tells how many there were.
    checked(unsafe {
        libc::getsockname(socket.as_fd().as_raw_fd(), raw.as_mut_ptr().cast(), &raw mut length)
    })?;
    raw.truncate(usize::try_from(length).map_err(io::Error::other)?);
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_finds_its_own_code() {
        let own = std::env::current_exe().unwrap();
        let maps = std::fs::File::open("/proc/self/maps").unwrap();
        let here = a_program_finds_its_own_code as fn() as usize as u64;
        let found = file_mapping(&maps, here).unwrap();
        assert!(found.code && found.start <= here && here < found.end);
        assert_eq!(found.name, own.as_os_str().as_encoded_bytes());
        let text = std::fs::read("/proc/self/maps").unwrap();
        let by_text = text.split(|byte| *byte == b'\n').filter_map(mapping_line).find(|one| one.end > here);
        assert_eq!(by_text.unwrap(), found);
    }
}
