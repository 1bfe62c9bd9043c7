//! Starting programs: the one thing that the kernel must do itself, checked at the process's next call.

use std::os::fd::AsFd;
use std::path::PathBuf;

use evidence::{BytePath, Digest, Event, EventKind};
use rustix::fs::{CWD, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::caller::{self, Place};
use super::environment;
use super::names::Given;
use super::sockets;
use super::strings::Strings;
use super::supervisor::{Answer, Caller, Supervisor};
use crate::digests::Content;

/// How many scripts may run one another (`BINPRM` depth of the kernel).
const SCRIPTS_MAX: usize = 5;

/// The first bytes of a file that the kernel looks at for `#!`.
const HEAD_BYTES: usize = 256;

/// A program that was asked for and not yet seen to run.
pub(super) struct Pending {
    thread: i32,
    event: Event,
    /// What is read along: the interpreters of scripts and of dynamic programs.
    along: Vec<Event>,
    /// The file that will run: device and inode.
    expected: (u64, u64),
    /// Whether not all arguments were kept.
    cut: bool,
    /// The arguments of the program that runs now, if it is to be started again: by them it is known whether it was.
    before: Option<Vec<u8>>,
}

impl Pending {
    /// The arguments but the first, as the kernel lists them.
    fn list(&self) -> Vec<u8> {
        let arguments = self.event.arguments.iter().skip(1);
        arguments.flat_map(|argument| argument.as_bytes().iter().copied().chain([0])).collect()
    }
}

/// One file on the way from a path to running code.
struct Image {
    path: BytePath,
    digest: Option<Digest>,
    size: u64,
    format: Option<&'static str>,
    identity: (u64, u64),
    next: Next,
}

/// What the kernel takes after a file that it was told to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Nothing: a static program, or none that can be read.
    Nothing,
    /// The interpreter in a script's first line; a line that names none leads nowhere.
    Interpreter(Option<Vec<u8>>),
    /// The loader of a dynamic program.
    Loader(Vec<u8>),
}

impl Next {
    fn of(file: impl AsFd, head: &[u8]) -> Self {
        match head.strip_prefix(b"#!") {
            Some(line) => Self::Interpreter(script_interpreter(line)),
            None => loader(file, head).map_or(Self::Nothing, Self::Loader),
        }
    }
}

impl Supervisor<'_, '_> {
    pub(super) fn execute(
        &mut self,
        caller: Caller,
        (folder, path): Given,
        arguments: u64,
        environment: u64,
        flags: u64,
    ) -> Answer {
        let at_ns = self.now();
        let address = path;
        let mut strings = Strings::of(caller.thread);
        strings.fetch([address, arguments, environment].into_iter());
        let Some(path) = strings.path(address) else {
            return self.unreadable(caller, address);
        };
        let empty_allowed = flags & (libc::AT_EMPTY_PATH as u64) != 0;
        if path.is_empty() && !empty_allowed {
            return Answer::GoOn; // The kernel says no.
        }
        let Some(place) = caller::place(caller.thread, caller.reach, folder, &path) else {
            return self.unresolved(caller.index);
        };
        let Some((arguments, environment)) = strings.addresses(arguments).zip(strings.addresses(environment))
        else {
            return self.unresolved(caller.index);
        };
        strings.fetch(arguments.iter().chain(&environment).copied());
        let arguments = strings.list(&arguments, |text| Some(text));
        let environment = strings.list(&environment, environment::told);
        let Some((arguments, environment)) = arguments.zip(environment) else {
            return self.unresolved(caller.index);
        };
        let cut = arguments.cut || environment.cut;
        if !self.still_waiting(caller) {
            return Answer::Gone;
        }
        let program = match self.image(&place) {
            Ok(Some(image)) => image,
            // Not there, not a program: the kernel says so, and nothing runs.
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Answer::GoOn,
            Err(_) => {
                self.gap(caller.index, "program-unreadable");
                return Answer::GoOn;
            }
        };
        if self.is_protected(&program.path) {
            return self.refuse(caller.index, program.path, "protected");
        }
        let mut along = Vec::new();
        let expected = match self.interpreters(caller, &program, &mut along) {
            Some(expected) => expected,
            None => return Answer::GoOn, // An interpreter is not there: the kernel says no.
        };
        let input = link(caller.thread, 0);
        let on_socket = input.as_deref().is_some_and(|input| input.starts_with("socket:["));
        let socket_input = if on_socket && sockets::is_internet(caller.pid, 0) {
            "socket-input"
        } else {
            "local-socket-input"
        };
        let event = Event {
            at_ns,
            path: Some(program.path),
            digest: program.digest,
            size: Some(program.size),
            format: program.format.map(str::to_owned),
            arguments: arguments.kept,
            environment: environment.kept,
            input: input.as_deref().and_then(pipe),
            output: link(caller.thread, 1).as_deref().and_then(pipe),
            detail: on_socket.then(|| socket_input.into()),
            ..Event::new(EventKind::Exec, caller.index)
        };
        if let Some(known) = self.processes.get_mut(caller.pid) {
            let before = (known.executable == Some(expected)).then(|| arguments_of(caller.pid)).flatten();
            known.pending = Some(Pending { thread: caller.thread, event, along, expected, cut, before });
        }
        Answer::GoOn
    }

    /// Follows scripts to the program that will run, and that one to its loader. Returns the program's identity.
    fn interpreters(
        &mut self,
        caller: Caller,
        program: &Image,
        along: &mut Vec<Event>,
    ) -> Option<(u64, u64)> {
        let mut identity = program.identity;
        let mut next = program.next.clone();
        for _ in 0..SCRIPTS_MAX {
            let (path, script) = match next {
                Next::Interpreter(Some(path)) => (path, true),
                Next::Loader(path) => (path, false),
                Next::Nothing | Next::Interpreter(None) => return Some(identity),
            };
            let place = caller::place(caller.thread, caller.reach, libc::AT_FDCWD as u64, &path)?;
            let image = self.image(&place).ok()??;
            along.push(Event {
                path: Some(image.path.clone()),
                digest: image.digest,
                size: Some(image.size),
                format: image.format.map(str::to_owned),
                ..Event::new(EventKind::Read, caller.index)
            });
            next = Next::Nothing;
            if script {
                identity = image.identity;
                next = image.next;
            }
        }
        Some(identity)
    }

    /// Opens, hashes and looks at a file that may be run. `None` if it may not.
    fn image(&mut self, place: &Place) -> rustix::io::Result<Option<Image>> {
        let stat = rustix::fs::statat(CWD, &place.path, rustix::fs::AtFlags::empty())?;
        if !caller::is_regular(&stat) || stat.st_mode & 0o111 == 0 {
            return Ok(None);
        }
        if let Some(image) = self.image_again(place, &stat) {
            return Ok(Some(image));
        }
        let quick = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::openat(CWD, &place.path, quick, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ACCESS) => {
                // It may be run and not read: nobody can say what it is. Without a digest the record is incomplete.
                let identity = (stat.st_dev, stat.st_ino);
                let path =
                    caller::name_only(&place.path, true).ok().and_then(|name| caller::real_path(name).ok());
                let path = path.unwrap_or_else(|| place.said.clone());
                return Ok(Some(Image {
                    path,
                    digest: None,
                    size: 0,
                    format: None,
                    identity,
                    next: Next::Nothing,
                }));
            }
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&file)?;
        let io = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let path = caller::real_path(&file).map_err(io)?;
        let content = self.digests.content(&file, &stat).map_err(io)?;
        let next = match self.nexts.get(&content.digest) {
            Some(known) => known.clone(),
            None => {
                let mut head = vec![0; HEAD_BYTES];
                let length = rustix::io::pread(&file, &mut head[..], 0)?;
                let next = Next::of(&file, &head[..length]);
                self.nexts.insert(content.digest, next.clone());
                next
            }
        };
        self.seen.found(&place.said, &stat, &path);
        Ok(Some(self.image_of(path, content, next)))
    }

    /// What was looked at before, by this path, and has not changed, is not opened again.
    fn image_again(&mut self, place: &Place, stat: &Stat) -> Option<Image> {
        let content = self.digests.known(stat)?;
        let path = self.seen.path(&place.said, stat)?.clone();
        let next = self.nexts.get(&content.digest)?.clone();
        Some(self.image_of(path, content, next))
    }

    fn image_of(&mut self, path: BytePath, content: Content, next: Next) -> Image {
        self.trace.completeness.hashed_before_use += 1;
        if !self.inputs.contains_key(&path) && !self.written.files.contains(&content.stamp.file()) {
            self.inputs.insert(path.clone(), content);
        }
        let (digest, size, identity) = (Some(content.digest), content.stamp.size, content.stamp.file());
        Image { path, digest, size, format: content.format, identity, next }
    }

    /// At a process's next call it is known what runs in it.
    pub(super) fn confirm(&mut self, pid: i32, thread: i32) {
        let Some(known) = self.processes.get_mut(pid) else { return };
        let Some(pending) = known.pending.take() else { return };
        let (index, before) = (known.index, known.executable);
        let now = caller::executable(pid);
        let again = pending.before.is_some() && pending.before == arguments_of(pid);
        let other = again && !pending.before.as_ref().is_some_and(|before| before.ends_with(&pending.list()));
        if other && now == before {
            // Started again it would have other arguments than it has still: the start failed, or is under way.
            if pending.thread != thread {
                known.pending = Some(pending);
            }
        } else if now == Some(pending.expected) {
            known.executable = now;
            let pending = self.with_real_arguments(index, pid, pending);
            self.executed(pending);
        } else if now == before && now.is_some() {
            // The same thread is back from a start that failed; another one knows nothing yet.
            if pending.thread != thread {
                known.pending = Some(pending);
            }
        } else {
            known.executable = now;
            self.executed_other(index, pid, pending);
        }
    }

    /// The kernel says that a process runs another program.
    pub(super) fn started(&mut self, pid: i32) {
        let Some(known) = self.processes.get_mut(pid) else { return };
        let index = known.index;
        let now = caller::executable(pid);
        known.executable = now;
        let pending = known.pending.take();
        let foreseen = pending.as_ref().is_some_and(|pending| now == Some(pending.expected));
        let pending = pending.unwrap_or_else(|| Pending {
            // Where we looked was no program; where the kernel looked was one.
            thread: pid,
            event: Event::new(EventKind::Exec, index),
            along: Vec::new(),
            expected: (0, 0),
            cut: false,
            before: None,
        });
        let pending = self.with_real_arguments(index, pid, pending);
        if foreseen {
            self.executed(pending);
        } else {
            self.executed_other(index, pid, pending);
        }
    }

    /// The kernel says that a thread did not start a program.
    pub(super) fn not_started(&mut self, thread: i32) {
        let process = self.processes.known(thread);
        if let Some(known) = process.and_then(|pid| self.processes.get_mut(pid)) {
            known.pending.take_if(|pending| pending.thread == thread);
        }
    }

    pub(super) fn executed(&mut self, pending: Pending) {
        let process = pending.event.process;
        self.emit(pending.event);
        if pending.cut {
            self.gap(process, "arguments-cut");
        }
        for read in pending.along {
            self.emit(read);
        }
    }

    /// Another file runs than the one that was hashed: the path was changed between our look and the kernel's, or
    /// the machine has a handler for foreign programs. What runs is recorded, and that it was not foreseen.
    fn executed_other(&mut self, index: u32, pid: i32, mut pending: Pending) {
        let place =
            Place { path: PathBuf::from(format!("/proc/{pid}/exe")), said: BytePath::from("unknown") };
        let image = self.image(&place).ok().flatten();
        pending.event.digest = image.as_ref().and_then(|image| image.digest);
        if let Some(image) = image {
            pending.event.path = Some(image.path);
        }
        self.emit(pending.event);
        self.gap(index, "program-replaced");
    }

    /// Another thread could have changed arguments and variables between our look and the kernel's; what the program
    /// got is there to be read. The kernel puts the interpreters of a script before.
    fn with_real_arguments(&mut self, index: u32, pid: i32, mut pending: Pending) -> Pending {
        let given = |list| caller::small_file(&format!("/proc/{pid}/{list}"));
        let (Some(arguments), Some(variables)) = (given("cmdline"), given("environ")) else { return pending };
        if pending.cut || arguments.is_empty() {
            return pending;
        }
        let expected = pending.list();
        let told: Vec<BytePath> =
            variables.split(|byte| *byte == 0).filter_map(environment::told).map(BytePath::new).collect();
        if arguments.ends_with(&expected) && told == pending.event.environment {
            return pending;
        }
        if !arguments.ends_with(&expected) {
            let real = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
            pending.event.arguments = real.split(|byte| *byte == 0).map(BytePath::new).collect();
        }
        pending.event.environment = told;
        self.gap(index, "arguments-replaced");
        pending
    }
}

/// The interpreter in a script's first line (`execve(2)`, "Interpreter scripts").
fn script_interpreter(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0)).filter(|word| !word.is_empty());
    words.next().map(<[u8]>::to_vec)
}

/// The loader that a dynamic ELF program names (`PT_INTERP`; System V ABI, "Program Interpreter").
fn loader(file: impl AsFd, head: &[u8]) -> Option<Vec<u8>> {
    const SEGMENTS_MAX: usize = 128;
    const INTERPRETER: u32 = 3;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let offset = u64::from_le_bytes(head.get(32..40)?.try_into().ok()?);
    let (size, count) = (half(54)?, half(56)?);
    if size < 56 || count > SEGMENTS_MAX {
        return None;
    }
    let mut table = vec![0; size * count];
    let read = rustix::io::pread(&file, &mut table[..], offset).ok()?;
    let entry = table[..read].chunks_exact(size).find(|entry| entry[..4] == INTERPRETER.to_le_bytes())?;
    let offset = u64::from_le_bytes(entry[8..16].try_into().ok()?);
    let length = usize::try_from(u64::from_le_bytes(entry[32..40].try_into().ok()?)).ok()?;
    let mut path = vec![0; length.min(4096)];
    let read = rustix::io::pread(&file, &mut path[..], offset).ok()?;
    path.truncate(read);
    let end = path.iter().position(|byte| *byte == 0)?;
    path.truncate(end);
    Some(path)
}

/// What a descriptor refers to, as the kernel writes it.
fn link(thread: i32, number: u32) -> Option<String> {
    std::fs::read_link(format!("/proc/{thread}/fd/{number}")).ok()?.into_os_string().into_string().ok()
}

/// The identity of a pipe.
fn pipe(link: &str) -> Option<u64> {
    link.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
}

fn arguments_of(pid: i32) -> Option<Vec<u8>> {
    caller::small_file(&format!("/proc/{pid}/cmdline"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_read_as_the_kernel_does() {
        assert_eq!(script_interpreter(b" /bin/sh -e\nrest").unwrap(), b"/bin/sh");
        assert_eq!(script_interpreter(b"/usr/bin/env\tpython3").unwrap(), b"/usr/bin/env");
        assert_eq!(script_interpreter(b"\n"), None);
    }

    #[test]
    fn the_loader_of_a_real_program_is_found() {
        let file = std::fs::File::open("/bin/sh").unwrap();
        let mut head = [0; HEAD_BYTES];
        rustix::io::pread(&file, &mut head[..], 0).unwrap();
        let loader = loader(&file, &head).unwrap();
        assert!(loader.starts_with(b"/lib"), "{}", String::from_utf8_lossy(&loader));
    }
}
