//! The seam between a build and those who record it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evidence::Event;
use evidence::record::{Completeness, Exit};

use crate::commit::Commit;
use crate::digests::Remembered;
use crate::egress::{Egress, Names};

/// What to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, looked up in the `PATH` of the environment below, and its arguments.
    pub command: Vec<OsString>,
    /// Where to run it; absolute.
    pub workdir: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Folders in which the traced processes may change nothing; canonical.
    pub protected: Vec<PathBuf>,
    /// Files and folders that they may not even read; canonical.
    pub secret: Vec<PathBuf>,
    /// What the sources should be: a read of other bytes is marked in its event.
    pub commit: Option<Arc<Commit>>,
    /// Digests known from earlier builds.
    pub known: Remembered,
    /// How long processes may outlive the command before they are ended and the trace is marked.
    pub grace: Duration,
    /// What they may reach of the network.
    pub egress: Egress,
    /// How names that they may reach are looked up.
    pub names: Names,
}

impl Default for Launch {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            workdir: PathBuf::from("/"),
            environment: Vec::new(),
            protected: Vec::new(),
            secret: Vec::new(),
            commit: None,
            known: Remembered::default(),
            grace: Duration::from_secs(5),
            egress: Egress::default(),
            names: Names::default(),
        }
    }
}

/// Why a consumer of events cannot go on.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Takes the events, in order. An error ends the build: what cannot be recorded must not go on.
pub type Sink<'a> = dyn FnMut(Event) -> Result<(), SinkError> + 'a;

/// A finished trace. The events themselves went to the sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// How the command ended.
    pub exit: Exit,
    /// What was seen and what was not.
    pub completeness: Completeness,
    /// Digests that may be used by later builds on this machine.
    pub learned: Remembered,
    /// How the build was held back from the network: `observed` (not at all), `denied-namespace`,
    /// `denied-notification`, `allowed-namespace` or `allowed-notification`; empty if nobody can say.
    pub network: String,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            exit: Exit::Unknown,
            completeness: Completeness::default(),
            learned: Remembered::default(),
            network: String::new(),
        }
    }
}

/// Why nothing can be traced on this machine.
#[derive(Debug, thiserror::Error)]
#[error("this kernel or container does not allow {what}")]
pub struct Unsupported {
    /// What is missing.
    pub what: &'static str,
    /// What the kernel answered.
    #[source]
    pub source: std::io::Error,
}

/// Why a trace did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The machine does not allow it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// There is no command.
    #[error("no command was given")]
    Empty,
    /// The program was not found or could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The consumer of events failed; the build was ended.
    #[error("the record cannot be written, so the build was ended")]
    Sink(#[source] SinkError),
    /// The recorder itself failed; the build was ended.
    #[error("the recorder failed to {attempt}, so the build was ended")]
    Recorder {
        /// What it attempted.
        attempt: &'static str,
        /// Why that failed.
        #[source]
        source: std::io::Error,
    },
}

impl TraceError {
    /// Tells whether no instruction of the command was run.
    pub fn is_before_start(&self) -> bool {
        matches!(self, Self::Unsupported(_) | Self::Empty | Self::Start { .. })
    }
}

/// A way of running a command and seeing what it does.
pub trait Tracer {
    /// Returns the word by which records name this way: `seccomp`, `snapshot`, ….
    fn mode(&self) -> &'static str;

    /// Runs the command to its end and hands every event to the sink.
    fn trace(&self, launch: &Launch, sink: &mut Sink<'_>) -> Result<Trace, TraceError>;
}
