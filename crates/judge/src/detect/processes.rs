//! Who is who: the processes of a trace, their programs, roles and ancestors, and the pipes between them.

use std::collections::HashMap;
use std::sync::Arc;

use evidence::{BytePath, Digest, Event, EventKind};

use super::roles::{Parent, Roles, base};

/// The most processes remembered.
pub(super) const PROCESSES_MAX: usize = 1 << 18;
/// The most bytes of one command line remembered.
pub(super) const COMMAND_BYTES_MAX: usize = 4096;
/// The most bytes of all programs and command lines remembered.
pub(super) const COMMANDS_BYTES_MAX: usize = 64 << 20;
/// How far chains of ancestors and pipes are followed.
const DEPTH_MAX: usize = 64;
/// The most scripts of one step remembered.
const SCRIPTS_MAX: usize = 64;

/// One process.
#[derive(Clone, Default)]
pub(super) struct Process {
    pub(super) parent: Option<u32>,
    pub(super) program: Arc<[u8]>,
    pub(super) digest: Option<Digest>,
    pub(super) command: Arc<[u8]>,
    /// The first argument that is no option: for an interpreter, its script.
    script: Option<Arc<[u8]>>,
    pub(super) roles: Roles,
    /// Whether it is a shell or interpreter that takes its program from standard input.
    pub(super) takes_program: bool,
    /// Roles of its ancestors, and of the programs that it ran before.
    pub(super) inherited: Roles,
    /// The first process of the step of the build that it belongs to.
    pub(super) step: u32,
    pub(super) input: Option<u64>,
    output: Option<u64>,
    pub(super) connected: bool,
    /// It was forked from a process that had connected, and still runs that program.
    connected_before: bool,
}

/// All processes.
#[derive(Default)]
pub(super) struct Processes {
    all: HashMap<u32, Process>,
    writers: HashMap<u64, Vec<u32>>,
    readers: HashMap<u64, Vec<u32>>,
    steps: HashMap<u32, Step>,
    bytes: usize,
    unknown: Process,
    /// The limit that was hit, until it is told.
    pub(super) limit: Option<&'static str>,
}

/// What is remembered of a step.
#[derive(Default)]
struct Step {
    scripts: Vec<BytePath>,
    /// The folder of the installed package whose script runs: `…/node_modules/x`.
    package: Option<BytePath>,
}

impl Processes {
    pub(super) fn get(&self, index: u32) -> &Process {
        self.all.get(&index).unwrap_or(&self.unknown)
    }

    pub(super) fn parent(&self, process: &Process) -> &Process {
        process.parent.map_or(&self.unknown, |parent| self.get(parent))
    }

    /// The ancestors of a process with their indexes, nearest first.
    pub(super) fn ancestors(&self, index: u32) -> impl Iterator<Item = (u32, &Process)> {
        let mut next = self.get(index).parent;
        std::iter::from_fn(move || {
            let at = next?;
            let process = self.get(at);
            next = process.parent.filter(|parent| *parent != at);
            Some((at, process))
        })
        .take(DEPTH_MAX)
    }

    /// What the process writes to a file may have come from another machine: it talked to one, or what comes to
    /// it through pipes did.
    pub(super) fn is_online(&self, index: u32) -> bool {
        let process = self.get(index);
        process.connected || process.connected_before || self.any_upstream(index, |p| p.connected)
    }

    /// Whether any process upstream in its pipes is such.
    pub(super) fn any_upstream(&self, index: u32, such: impl Fn(&Process) -> bool) -> bool {
        self.any_along(index, |process| process.input, &self.writers, such)
    }

    /// Whether any process downstream in its pipes is such. Which end of a pipe starts first is chance, so rules ask
    /// at both.
    pub(super) fn any_downstream(&self, index: u32, such: impl Fn(&Process) -> bool) -> bool {
        self.any_along(index, |process| process.output, &self.readers, such)
    }

    fn any_along(
        &self,
        index: u32,
        pipe: impl Fn(&Process) -> Option<u64>,
        ends: &HashMap<u64, Vec<u32>>,
        such: impl Fn(&Process) -> bool,
    ) -> bool {
        let mut waiting = [0_u32; 16];
        let (mut count, mut steps) = (1, 0);
        waiting[0] = index;
        while count > 0 && steps < DEPTH_MAX {
            count -= 1;
            steps += 1;
            let Some(pipe) = pipe(self.get(waiting[count])) else { continue };
            for end in ends.get(&pipe).into_iter().flatten().filter(|end| **end != index) {
                if such(self.get(*end)) {
                    return true;
                }
                if count < waiting.len() {
                    waiting[count] = *end;
                    count += 1;
                }
            }
        }
        false
    }

    /// Learns of forks and of programs started; before rules look at the event.
    pub(super) fn before(&mut self, event: &Event) {
        match event.kind {
            EventKind::Fork => self.fork(event.process, event.other),
            EventKind::Exec if event.errno == 0 => self.exec(event),
            _ => {}
        }
    }

    /// Notes that a process talked to another machine.
    pub(super) fn connected(&mut self, index: u32) {
        if self.make_room(index)
            && let Some(process) = self.all.get_mut(&index)
        {
            process.connected = true;
        }
    }

    fn make_room(&mut self, index: u32) -> bool {
        if self.all.contains_key(&index) {
            return true;
        }
        if self.all.len() >= PROCESSES_MAX {
            self.limit = Some("processes");
            return false;
        }
        self.all.insert(index, Process { step: index, ..Process::default() });
        true
    }

    fn fork(&mut self, child: u32, parent: Option<u32>) {
        let mut process = match parent {
            Some(parent) if self.make_room(parent) => self.get(parent).clone(),
            _ => Process { step: child, ..Process::default() },
        };
        process.connected_before |= process.connected;
        process.connected = false;
        process.inherited = process.inherited.with(process.roles);
        process.parent = parent.filter(|parent| *parent != child);
        if self.all.len() < PROCESSES_MAX {
            self.all.insert(child, process);
        } else {
            self.limit = Some("processes");
        }
    }

    fn exec(&mut self, event: &Event) {
        if !self.make_room(event.process) {
            return;
        }
        let path = event.path.as_ref().map_or(&[][..], BytePath::as_bytes);
        let mut process = self.get(event.process).clone();
        let parent = self.parent(&process);
        let around = Parent { name: base(&parent.program), command: &parent.command, roles: parent.roles };
        let mut roles = Roles::of(path, &event.arguments);
        if roles.is_lifecycle(path, &event.arguments, &around) {
            roles = roles.with(Roles::LIFECYCLE);
        }
        let in_lifecycle = process.inherited.meets(Roles::LIFECYCLE);
        let starts_step = parent.parent.is_none()
            || parent.roles.meets(Roles::BUILD_TOOL.with(Roles::PACKAGE_MANAGER))
            || roles.meets(Roles::LIFECYCLE);
        if !in_lifecycle && starts_step {
            process.step = event.process;
        }
        // After a fork the roles are still the parent's, and inherited already.
        process.inherited = process.inherited.with(process.roles);
        process.roles = roles;
        process.connected_before = false;
        process.digest = event.digest;
        process.program = self.keep(path);
        process.script = script(&event.arguments).map(|script| self.keep(script));
        let line = command(&event.arguments, COMMAND_BYTES_MAX);
        process.command = self.keep(&line);
        process.input = event.input;
        process.output = event.output;
        process.takes_program = takes_program(roles, &event.arguments);
        for (pipe, ends) in [(event.output, &mut self.writers), (event.input, &mut self.readers)] {
            let Some(pipe) = pipe else { continue };
            if ends.len() >= PROCESSES_MAX && !ends.contains_key(&pipe) {
                self.limit = Some("pipes");
                continue;
            }
            let ends = ends.entry(pipe).or_default();
            if ends.len() < DEPTH_MAX && !ends.contains(&event.process) {
                ends.push(event.process);
            }
        }
        self.all.insert(event.process, process);
    }

    fn keep(&mut self, text: &[u8]) -> Arc<[u8]> {
        if self.bytes + text.len() > COMMANDS_BYTES_MAX {
            self.limit = Some("bytes of command lines");
            return Arc::default();
        }
        self.bytes += text.len();
        text.into()
    }

    /// Whether a file read is the script that the process was started with.
    pub(super) fn is_script(&self, process: &Process, path: &[u8]) -> bool {
        let Some(script) = process.script.as_deref() else { return false };
        // The working directory is not in the events: what is given has to be the end of what was read.
        let end = script.rsplit(|byte| *byte == b'/').take_while(|part| !matches!(*part, b".." | b"."));
        let mut found = path.rsplit(|byte| *byte == b'/');
        process.roles.meets(Roles::SHELL.with(Roles::INTERPRETER))
            && end.into_iter().all(|given| found.next() == Some(given))
    }

    /// Notes the script of a step.
    pub(super) fn note_script(&mut self, index: u32, path: &BytePath) {
        let step = self.get(index).step;
        if self.steps.len() >= PROCESSES_MAX && !self.steps.contains_key(&step) {
            self.limit = Some("steps");
            return;
        }
        let known = self.steps.entry(step).or_default();
        if known.scripts.len() < SCRIPTS_MAX && !known.scripts.contains(path) {
            known.scripts.push(path.clone());
        }
        if known.package.is_none() {
            known.package = package(path.as_bytes()).map(BytePath::from);
        }
    }

    /// Whether the step was started from this script.
    pub(super) fn is_own_script(&self, process: &Process, path: &[u8]) -> bool {
        self.steps
            .get(&process.step)
            .is_some_and(|step| step.scripts.iter().any(|script| script.as_bytes() == path))
    }

    /// Whether a file belongs to another installed package than the one whose script runs.
    pub(super) fn is_sibling(&self, process: &Process, path: &[u8]) -> bool {
        let own = self.steps.get(&process.step).and_then(|step| step.package.as_ref());
        match (own, package(path)) {
            (Some(own), Some(other)) => own.as_bytes() != other && !base(other).starts_with(b"."),
            _ => false,
        }
    }
}

/// The folder of the innermost package of `node_modules` or `site-packages` around a file.
fn package(path: &[u8]) -> Option<&[u8]> {
    const FOLDER: &[u8] = b"/node_modules/";
    let at = path.windows(FOLDER.len()).rposition(|window| window == FOLDER)? + FOLDER.len();
    let mut parts = path[at..].split(|byte| *byte == b'/');
    let first = parts.next()?;
    let length = if first.starts_with(b"@") { first.len() + 1 + parts.next()?.len() } else { first.len() };
    Some(&path[..at + length])
}

/// `sh`, `bash -s -- -y`, `python3 -`; not `sh -c x`, `python3 x.py`, `perl -ne x`.
fn takes_program(roles: Roles, arguments: &[BytePath]) -> bool {
    let rest = || arguments.iter().skip(1).map(BytePath::as_bytes);
    if roles.meets(Roles::SHELL) {
        return rest().any(|argument| argument == b"-s")
            || !rest().any(|argument| !argument.starts_with(b"-") || argument.ends_with(b"c"));
    }
    roles.meets(Roles::INTERPRETER) && rest().all(|argument| matches!(argument, b"-" | b"-u" | b"-B" | b"-x"))
}

fn script(arguments: &[BytePath]) -> Option<&[u8]> {
    let mut rest = arguments.iter().skip(1).map(BytePath::as_bytes);
    let found =
        rest.find(|argument| !argument.starts_with(b"-") || *argument == b"-c" || *argument == b"-m")?;
    (!found.starts_with(b"-") && !found.is_empty()).then_some(found)
}

/// The arguments as one line, cut at a length.
pub(super) fn command(arguments: &[BytePath], most: usize) -> Vec<u8> {
    let mut line = Vec::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(b' ');
        }
        let room = most.saturating_sub(line.len());
        line.extend_from_slice(&argument.as_bytes()[..argument.as_bytes().len().min(room)]);
        if line.len() >= most {
            break;
        }
    }
    line
}
