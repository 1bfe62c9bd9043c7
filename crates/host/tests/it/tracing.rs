//! Runs a command under the recorder and keeps what it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use evidence::record::Exit;
use evidence::{BytePath, Digest, Event, EventKind};
use host::{Launch, Ptrace, Seccomp, Trace, TraceError, Tracer};

/// So often a race is run until it takes place: on a busy machine it may take more than one try.
pub(crate) const TRIES: usize = 30;

pub(crate) struct Traced {
    pub(crate) trace: Trace,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn launch(folder: &Path, command: &[&str]) -> Launch {
    Launch {
        command: command.iter().map(OsString::from).collect(),
        workdir: folder.canonicalize().unwrap(),
        environment: vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("LC_ALL".into(), "C".into()),
        ],
        ..Launch::default()
    }
}

/// The variable that names another recorder than the usual one for all tests of a process.
pub(crate) const TRACER: &str = "COUNTERSIGN_TEST_TRACER";

/// Returns the recorder that this process tests.
pub(crate) fn tracer() -> Box<dyn Tracer> {
    match std::env::var(TRACER).as_deref() {
        Ok("ptrace") => Box::new(Ptrace::USUAL),
        Ok("ptrace-every-call") => Box::new(Ptrace::at_every_call()),
        Ok(other) => panic!("no recorder is called {other}"),
        Err(_) => Box::new(Seccomp),
    }
}

/// Tells whether this process tests the recorder that stops its callers.
pub(crate) fn is_ptrace() -> bool {
    tracer().mode() == "ptrace"
}

pub(crate) fn try_run(launch: &Launch) -> Result<Traced, TraceError> {
    traced_by(&*tracer(), launch)
}

pub(crate) fn traced_by(tracer: &dyn Tracer, launch: &Launch) -> Result<Traced, TraceError> {
    let mut events = Vec::new();
    let trace = tracer.trace(launch, &mut |event| {
        events.push(event);
        Ok(())
    })?;
    Ok(Traced { trace, events })
}

pub(crate) fn run(folder: &Path, command: &[&str]) -> Traced {
    try_run(&launch(folder, command)).unwrap()
}

pub(crate) fn shell(folder: &Path, script: &str) -> Traced {
    run(folder, &["sh", "-c", script])
}

/// A folder with a canonical path.
pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

impl Traced {
    /// Asserts that the build went well and nothing was missed.
    pub(crate) fn whole(self) -> Self {
        self.whole_but(&[])
    }

    /// The same, but for these reasons.
    pub(crate) fn whole_but(self, gaps: &[&str]) -> Self {
        assert_eq!(self.trace.exit, Exit::Code(0));
        let shown = || self.of(EventKind::Gap).collect::<Vec<_>>();
        assert_eq!(self.trace.completeness.gaps.keys().collect::<Vec<_>>(), gaps, "{:#?}", shown());
        assert_eq!((self.trace.completeness.dropped, self.trace.completeness.unresolved), (0, 0));
        assert_eq!(self.trace.completeness.events, self.events.len() as u64);
        assert!(self.events.iter().zip(0..).all(|(event, sequence)| event.sequence == sequence));
        self
    }

    /// All events but those that every program brings with it, in short.
    pub(crate) fn interesting(&self) -> Vec<String> {
        let plain = [EventKind::Fork, EventKind::Exit];
        let events = self.events.iter().filter(|event| !plain.contains(&event.kind));
        let path = |path: &Option<BytePath>| path.as_ref().map(ToString::to_string).unwrap_or_default();
        let line = |event: &Event| {
            let detail = event.detail.clone().unwrap_or_default();
            let (kind, errno) = (event.kind.word(), event.errno);
            format!("{kind} {} -> {} {detail} {errno}", path(&event.path), path(&event.target))
        };
        events.map(line).chain([format!("{:?} {:?}", self.trace.exit, self.trace.completeness)]).collect()
    }

    pub(crate) fn of(&self, kind: EventKind) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.kind == kind && event.errno == 0)
    }

    pub(crate) fn paths(&self, kind: EventKind) -> Vec<String> {
        self.of(kind).map(|event| event.path.as_ref().map(ToString::to_string).unwrap_or_default()).collect()
    }

    pub(crate) fn on(&self, kind: EventKind, path: &Path) -> Option<&Event> {
        let path = BytePath::new(path.as_os_str().as_encoded_bytes());
        self.of(kind).find(|event| event.path.as_ref() == Some(&path))
    }

    pub(crate) fn digest(&self, kind: EventKind, path: &Path) -> Option<Digest> {
        self.on(kind, path)?.digest
    }
}

/// Says loudly that a machine cannot run a test; where everything must run, that is a failure.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped: {why}");
    eprintln!("SKIPPED: {why}");
}
