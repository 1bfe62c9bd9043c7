//! The recorder for places where nothing can be traced: what lay in the project before, and what lies there after.
//!
//! It sees no reads, no connections, and of the processes only those that live long enough to be met. Every file that
//! was there before counts as an input, because it may have been one; every file that is new or other afterwards counts
//! as written by the command. The record says that inputs were not observed (`machine.tracer` is `snapshot`), and the
//! gate makes a finding of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use evidence::record::Exit;
use evidence::{BytePath, Event, EventKind};

use crate::digests::{Content, Digests};
use crate::tracer::{Launch, Sink, Trace, TraceError, Tracer};

/// Where a folder's own database of versions lies: it is no input of a build and too large.
const NOT_SOURCES: &[&str] = &[".git", ".hg", ".svn"];
/// How often it is looked for new children.
const LOOK: Duration = Duration::from_millis(10);

/// The recorder that only compares.
#[derive(Clone, Copy, Default, Debug)]
pub struct Snapshot;

impl Tracer for Snapshot {
    fn mode(&self) -> &'static str {
        "snapshot"
    }

    fn trace(&self, launch: &Launch, sink: &mut Sink<'_>) -> Result<Trace, TraceError> {
        let program = launch.command.first().ok_or(TraceError::Empty)?;
        let broken = |attempt| move |source| TraceError::Recorder { attempt, source };
        let mut digests = Digests::with(launch.known.clone());
        let before =
            files(&launch.workdir, &launch.protected, &mut digests).map_err(broken("read the project"))?;
        let mut teller = Teller { sink, trace: Trace::default(), began: Instant::now() };
        teller.tell(Event::new(EventKind::Fork, 0))?;
        for (path, content) in &before {
            let content = content.as_ref();
            teller.tell(Event {
                path: Some(path.clone()),
                digest: content.map(|content| content.digest),
                size: content.map(|content| content.stamp.size),
                format: content.and_then(|content| content.format).map(str::to_owned),
                detail: Some("not-observed".into()),
                ..Event::new(EventKind::Read, 0)
            })?;
        }
        let mut child = Command::new(program)
            .args(&launch.command[1..])
            .current_dir(&launch.workdir)
            .env_clear()
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .spawn()
            .map_err(|source| TraceError::Start {
                program: program.to_string_lossy().into_owned(),
                source,
            })?;
        let mut children = Children::new(child.id());
        children.program(0, child.id(), &mut digests, &mut teller)?;
        let status = loop {
            match child.try_wait().map_err(broken("wait for the command"))? {
                Some(status) => break status,
                None => children.look(&mut digests, &mut teller)?,
            }
            std::thread::sleep(LOOK);
        };
        teller.tell(Event { status: Some(code(status)), ..Event::new(EventKind::Exit, 0) })?;
        let after =
            files(&launch.workdir, &launch.protected, &mut digests).map_err(broken("read the project"))?;
        for (path, content) in after {
            // What cannot be read now, or could not before, may have been written.
            let same = matches!((&content, before.get(&path)), (Some(now), Some(Some(then))) if now.stamp == then.stamp && now.digest == then.digest);
            if same {
                continue;
            }
            teller.tell(Event { path: Some(path.clone()), ..Event::new(EventKind::Write, 0) })?;
            match content {
                Some(content) => teller.tell(Event {
                    path: Some(path),
                    digest: Some(content.digest),
                    size: Some(content.stamp.size),
                    ..Event::new(EventKind::Left, 0)
                })?,
                None => teller.gap("result-unreadable")?,
            }
        }
        teller.trace.exit = exit(status);
        teller.trace.learned = digests.learned();
        Ok(teller.trace)
    }
}

/// Numbers the events and counts them.
struct Teller<'a, 's> {
    sink: &'a mut Sink<'s>,
    trace: Trace,
    began: Instant,
}

impl Teller<'_, '_> {
    fn tell(&mut self, mut event: Event) -> Result<(), TraceError> {
        event.sequence = self.trace.completeness.events;
        event.at_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.trace.completeness.events += 1;
        (self.sink)(event).map_err(TraceError::Sink)
    }

    fn gap(&mut self, reason: &str) -> Result<(), TraceError> {
        *self.trace.completeness.gaps.entry(reason.to_owned()).or_insert(0) += 1;
        self.tell(Event { detail: Some(reason.into()), ..Event::new(EventKind::Gap, 0) })
    }
}

/// The processes that were met, by the kernel's number.
struct Children {
    met: BTreeMap<u32, u32>,
}

impl Children {
    fn new(root: u32) -> Self {
        Self { met: BTreeMap::from([(root, 0)]) }
    }

    /// Looks for children of those that are known (where there is a `/proc`).
    fn look(&mut self, digests: &mut Digests, teller: &mut Teller) -> Result<(), TraceError> {
        let known: Vec<(u32, u32)> = self.met.iter().map(|(pid, index)| (*pid, *index)).collect();
        for (parent, parent_index) in known {
            let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
            for pid in
                list.iter().flat_map(|list| list.split_whitespace()).filter_map(|word| word.parse().ok())
            {
                if self.met.contains_key(&pid) {
                    continue;
                }
                let index = u32::try_from(self.met.len()).unwrap_or(u32::MAX);
                self.met.insert(pid, index);
                teller.tell(Event { other: Some(parent_index), ..Event::new(EventKind::Fork, index) })?;
                self.program(index, pid, digests, teller)?;
            }
        }
        Ok(())
    }

    fn program(
        &self,
        index: u32,
        pid: u32,
        digests: &mut Digests,
        teller: &mut Teller,
    ) -> Result<(), TraceError> {
        let place = PathBuf::from(format!("/proc/{pid}"));
        let (Ok(path), Ok(arguments)) = (fs::read_link(place.join("exe")), fs::read(place.join("cmdline")))
        else {
            return Ok(()); // Gone already, or there is no such folder on this system.
        };
        let content = content(&place.join("exe"), digests);
        let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
        teller.tell(Event {
            path: Some(BytePath::from(path.as_os_str().as_bytes())),
            digest: content.as_ref().map(|content| content.digest),
            size: content.as_ref().map(|content| content.stamp.size),
            format: content.and_then(|content| content.format).map(str::to_owned),
            arguments: arguments.split(|byte| *byte == 0).map(BytePath::from).collect(),
            detail: Some("not-observed".into()),
            ..Event::new(EventKind::Exec, index)
        })
    }
}

/// Hashes every regular file below a folder; one that cannot be read has no content.
fn files(
    root: &Path,
    not: &[PathBuf],
    digests: &mut Digests,
) -> std::io::Result<BTreeMap<BytePath, Option<Content>>> {
    let mut found = BTreeMap::new();
    let mut waiting = BTreeSet::from([root.to_path_buf()]);
    while let Some(folder) = waiting.pop_first() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                if !not.contains(&path) && !NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
                    waiting.insert(path);
                }
            } else if kind.is_file() {
                found.insert(BytePath::from(path.as_os_str().as_bytes()), content(&path, digests));
            }
        }
    }
    Ok(found)
}

fn content(path: &Path, digests: &mut Digests) -> Option<Content> {
    let file = fs::File::open(path).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    digests.content(&file, &stat).ok()
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use evidence::Digest;

    use super::*;

    fn run(folder: &Path, script: &str) -> (Trace, Vec<Event>) {
        let launch = Launch {
            command: ["sh", "-c", script].map(Into::into).to_vec(),
            workdir: folder.canonicalize().unwrap(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            protected: vec![folder.canonicalize().unwrap().join("store")],
            ..Launch::default()
        };
        let mut events = Vec::new();
        let trace = Snapshot.trace(&launch, &mut |event| {
            events.push(event);
            Ok(())
        });
        (trace.unwrap(), events)
    }

    #[test]
    fn what_is_new_or_other_afterwards_was_written_and_the_rest_may_have_been_read() {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        fs::create_dir_all(folder.join("store")).unwrap();
        fs::write(folder.join("store/key"), "secret").unwrap();
        fs::write(folder.join("source"), "s").unwrap();
        fs::write(folder.join("changed"), "1").unwrap();
        let (trace, events) =
            run(&folder, "echo 2 > changed; mkdir new; cp source new/copy; sleep 0.2; exit 3");
        assert_eq!(trace.exit, Exit::Code(3));
        assert!(trace.completeness.gaps.is_empty());
        assert_eq!(trace.completeness.events, events.len() as u64);
        let of = |kind| {
            let of_kind = events.iter().filter(move |event| event.kind == kind);
            let names = of_kind.map(|event| event.path.as_ref().unwrap());
            names
                .map(|path| {
                    String::from_utf8_lossy(&path.as_bytes()[folder.as_os_str().len() + 1..]).into_owned()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(of(EventKind::Read), ["changed", "source"]);
        assert_eq!(of(EventKind::Left), ["changed", "new/copy"]);
        let copy = events.iter().filter(|event| event.kind == EventKind::Left).nth(1).unwrap();
        assert_eq!(copy.digest, Some(Digest::of(b"s")));
        assert!(
            events.iter().any(|event| event.kind == EventKind::Exec && event.process > 0),
            "sleep was met"
        );
    }
}
