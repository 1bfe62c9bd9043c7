//! Stopping other threads at their calls and events (`ptrace(2)`), and the registers of a stopped one.
//!
//! All requests must come from the thread that attached. A thread that was killed meanwhile is an error (`ESRCH`)
//! everywhere; callers take it for what it is.

use std::io;

use libc::{c_int, c_void};

use super::checked;

/// The C libraries do not agree on the kind of number.
#[cfg(target_env = "gnu")]
type Request = libc::c_uint;
#[cfg(not(target_env = "gnu"))]
type Request = c_int;

/// `PTRACE_GET_SYSCALL_INFO` (Linux 5.3) and `PTRACE_EVENT_STOP`, which not all C libraries name.
const SYSCALL_INFO: Request = 0x420E;
const EVENT_STOP: c_int = 128;

/// What stops a thread, besides signals.
const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_EXITKILL;

/// A call as it is in the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    /// Which table of calls the number is from (`AUDIT_ARCH_…`).
    pub(crate) architecture: u32,
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
}

/// What became of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// At a call that a filter asks about.
    Asked,
    /// Before or after a call.
    Call,
    /// It has made another thread or process.
    Made,
    /// It runs another program.
    Started,
    /// It stopped with its whole process, until it is told to go on.
    Halted,
    /// It stopped and may go on.
    Paused,
    /// A signal is about to be delivered.
    Signal(c_int),
    /// It ended with this code.
    Exited(c_int),
    /// It was ended by this signal.
    Killed(c_int),
}

fn request(request: Request, thread: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: callers pass plain numbers, or pointers to living values of the size that the request takes.
    let result = unsafe { libc::ptrace(request, thread, address as *mut c_void, data as *mut c_void) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Attaches to a process of one thread; all that it makes will be attached as well, and ended if we end.
pub(crate) fn seize(process: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, process, 0, usize::try_from(OPTIONS).map_err(io::Error::other)?)
}

/// Stops a thread and waits until it stands still.
pub(crate) fn interrupt(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, thread, 0, 0)?;
    loop {
        let mut status = 0;
        // SAFETY: `status` lives across the call.
        match checked(unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) }) {
            Ok(_) if libc::WIFSTOPPED(status) => return Ok(()),
            Ok(_) => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lets a stopped thread go on, to its next stop; with `calls` before and after each call as well.
pub(crate) fn resume(thread: i32, calls: bool, signal: c_int) -> io::Result<()> {
    let how = if calls { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
    request(how, thread, 0, usize::try_from(signal).map_err(io::Error::other)?)
}

/// Leaves a thread halted, so that it can be told to go on.
pub(crate) fn leave_halted(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, thread, 0, 0)
}

/// What a stop at an event is about: the new thread, or the number that the thread had before it ran another program.
pub(crate) fn message(thread: i32) -> io::Result<i32> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, thread, 0, (&raw mut message) as usize)?;
    i32::try_from(message).map_err(io::Error::other)
}

/// Names a thread of ours that something became of, without taking the news; an error (`ECHILD`) if none is left. It
/// may be one that is not traced.
pub(crate) fn news() -> io::Result<Option<i32>> {
    // SAFETY: plain data, for which zero is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: `info` lives across the call.
    checked(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) })?;
    // SAFETY: the kernel filled in the members of a child's signal, or left zeros.
    let thread = unsafe { info.si_pid() };
    Ok((thread != 0).then_some(thread))
}

/// Takes what became of one thread, if there is any news.
pub(crate) fn take(thread: i32) -> io::Result<Option<Change>> {
    let mut status = 0;
    // SAFETY: `status` lives across the call.
    let found = checked(unsafe {
        libc::waitpid(thread, &raw mut status, libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD)
    })?;
    Ok((found != 0).then(|| change(status)))
}

fn change(status: c_int) -> Change {
    if libc::WIFEXITED(status) {
        return Change::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Change::Killed(libc::WTERMSIG(status));
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Change::Asked,
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => Change::Made,
        libc::PTRACE_EVENT_EXEC => Change::Started,
        EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Change::Halted,
            _ => Change::Paused,
        },
        0 if signal == libc::SIGTRAP | 0x80 => Change::Call,
        0 => Change::Signal(signal),
        _ => Change::Paused,
    }
}

/// Takes the call at which a thread stands.
pub(crate) fn call(thread: i32) -> io::Result<Call> {
    match told(thread) {
        Ok(call) => Ok(call),
        // Before Linux 5.3 only the registers tell.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(error),
        Err(_) => {
            let registers = Registers::of(thread)?;
            let architecture = if registers.is_own_table(thread) { OWN_ARCHITECTURE } else { 0 };
            Ok(Call { architecture, number: registers.number(), arguments: registers.arguments() })
        }
    }
}

/// Asks the kernel (`PTRACE_GET_SYSCALL_INFO`), which also knows the table of calls.
fn told(thread: i32) -> io::Result<Call> {
    const BYTES: usize = 88;
    const AT_ENTRY: u8 = 1;
    const AT_FILTER: u8 = 3;
    let mut raw = [0_u8; BYTES];
    request(SYSCALL_INFO, thread, BYTES, raw.as_mut_ptr() as usize)?;
    if raw[0] != AT_ENTRY && raw[0] != AT_FILTER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let word = |at: usize| raw[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
    let mut arguments = [0; 6];
    for (number, argument) in arguments.iter_mut().enumerate() {
        *argument = word(32 + 8 * number);
    }
    let architecture = raw[4..8].try_into().map_or(0, u32::from_ne_bytes);
    Ok(Call { architecture, number: word(24).cast_signed(), arguments })
}

/// Takes the result of the call that a thread comes back from: a number, or an `errno` below zero.
pub(crate) fn result(thread: i32) -> io::Result<i64> {
    Ok(Registers::of(thread)?.result())
}

/// Makes the kernel leave out the call at which a thread stands; this is its result.
pub(crate) fn leave_out(thread: i32, result: i64) -> io::Result<()> {
    let mut registers = Registers::of(thread)?;
    registers.set_result(result);
    registers.leave_out(thread)?;
    registers.set(thread)
}

/// Gives another result to the call that a thread comes back from.
pub(crate) fn set_result(thread: i32, result: i64) -> io::Result<()> {
    let mut registers = Registers::of(thread)?;
    registers.set_result(result);
    registers.set(thread)
}

/// The registers of a thread, of this machine's own kind.
struct Registers(libc::user_regs_struct);

/// The general registers (`NT_PRSTATUS`).
const GENERAL: usize = 1;

impl Registers {
    fn of(thread: i32) -> io::Result<Self> {
        // SAFETY: plain numbers, for which zero is valid.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let size = size_of_val(&registers);
        let mut piece = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size };
        request(libc::PTRACE_GETREGSET, thread, GENERAL, (&raw mut piece) as usize)?;
        // A 32-bit program has fewer of them.
        if piece.iov_len != size {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self(registers))
    }

    fn set(&mut self, thread: i32) -> io::Result<()> {
        let mut piece = libc::iovec { iov_base: (&raw mut self.0).cast(), iov_len: size_of_val(&self.0) };
        request(libc::PTRACE_SETREGSET, thread, GENERAL, (&raw mut piece) as usize)
    }
}

#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xC000_00B7;

#[cfg(target_arch = "x86_64")]
impl Registers {
    fn number(&self) -> i64 {
        self.0.orig_rax.cast_signed()
    }

    fn arguments(&self) -> [u64; 6] {
        [self.0.rdi, self.0.rsi, self.0.rdx, self.0.r10, self.0.r8, self.0.r9]
    }

    fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    fn set_result(&mut self, result: i64) {
        self.0.rax = result.cast_unsigned();
    }

    fn leave_out(&mut self, _thread: i32) -> io::Result<()> {
        self.0.orig_rax = u64::MAX;
        Ok(())
    }

    /// The instruction by which the call was made says which table it means: `syscall`, or the older gate.
    fn is_own_table(&self, thread: i32) -> bool {
        const SYSCALL: [u8; 2] = [0x0F, 0x05];
        let mut instruction = [0; 2];
        super::read_memory(thread, self.0.rip.wrapping_sub(2), &mut instruction).is_ok_and(|read| read == 2)
            && instruction == SYSCALL
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    fn number(&self) -> i64 {
        i64::from(self.0.regs[8] as i32)
    }

    fn arguments(&self) -> [u64; 6] {
        [self.0.regs[0], self.0.regs[1], self.0.regs[2], self.0.regs[3], self.0.regs[4], self.0.regs[5]]
    }

    fn result(&self) -> i64 {
        self.0.regs[0].cast_signed()
    }

    fn set_result(&mut self, result: i64) {
        self.0.regs[0] = result.cast_unsigned();
    }

    /// The number of the call is no register here (`NT_ARM_SYSTEM_CALL`).
    fn leave_out(&mut self, thread: i32) -> io::Result<()> {
        const NUMBER: usize = 0x404;
        let mut none = -1_i32;
        let mut piece = libc::iovec { iov_base: (&raw mut none).cast(), iov_len: size_of_val(&none) };
        request(libc::PTRACE_SETREGSET, thread, NUMBER, (&raw mut piece) as usize)
    }

    /// A 32-bit program has other registers, which is noticed when they are read.
    fn is_own_table(&self, _thread: i32) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_thread_is_told_apart() {
        let stop = |signal: c_int, event: c_int| change(event << 16 | signal << 8 | 0x7F);
        assert_eq!(stop(libc::SIGTRAP, libc::PTRACE_EVENT_SECCOMP), Change::Asked);
        assert_eq!(stop(libc::SIGTRAP | 0x80, 0), Change::Call);
        assert_eq!(stop(libc::SIGTRAP, 0), Change::Signal(libc::SIGTRAP));
        assert_eq!(stop(libc::SIGSTOP, 0), Change::Signal(libc::SIGSTOP));
        assert_eq!(stop(libc::SIGSTOP, EVENT_STOP), Change::Halted);
        assert_eq!(stop(libc::SIGTRAP, EVENT_STOP), Change::Paused);
        assert_eq!(change(7 << 8), Change::Exited(7));
        assert_eq!(change(9), Change::Killed(9));
    }
}
