//! The recorder that needs no privileges: seccomp user notification (`seccomp_unotify(2)`, Linux 5.9 and later).
//!
//! The kernel stops a traced thread in each call that the [`filter`] asks about and waits for our answer. What
//! a path means must not be decided twice, so the supervisor opens, renames and removes *itself*, with the same
//! rights, and hands the result over: the bytes that are hashed are those of the very file that the process gets.
//! Only `execve` is left to the kernel, and checked at the process's next call.
//!
//! | module | what it does |
//! |---|---|
//! | `calls`, `filter` | which calls are asked about, and the program that asks |
//! | `dispatch` | from a call to what is done about it |
//! | `supervisor` | receives calls, answers, ends |
//! | `handover` | gives a caller a descriptor |
//! | `line` | how calls arrive and answers go back: by a listener, or by stops |
//! | `ptrace`, `stopped`, `stops` | the same recorder where the kernel notifies nobody, by `ptrace(2)` |
//! | `processes` | who is who, parents and ends |
//! | `caller`, `seen` | reads a caller's memory and resolves its paths; where they led before |
//! | `network`, `seat` | what the build may reach, and how it is connected |
//! | `opens`, `programs`, `names`, `attributes`, `maps`, `devices`, `sockets`, `ipc`, `views`, `reaching` | the calls, by kind |
//! | `strings`, `environment` | the arguments of a program, and which of its variables are told |
//! | `posture` | what the recording needs of this process as a whole |
//! | `guarded` | what the build may not touch |
//! | `closing` | what was left, and which inputs changed meanwhile |

mod attributes;
mod caller;
mod calls;
mod closing;
mod devices;
mod dispatch;
mod environment;
mod filter;
mod guarded;
mod handover;
mod ipc;
mod line;
mod maps;
mod names;
mod network;
mod opens;
mod posture;
mod processes;
mod programs;
mod ptrace;
mod reaching;
mod seat;
mod seen;
mod sockets;
mod stopped;
mod stops;
mod strings;
mod supervisor;
mod telling;
mod views;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::sys::{self, Confinement, SpawnError, Tracing};
use crate::tracer::{Launch, Sink, Trace, TraceError, Tracer, Unsupported};
pub use ptrace::Ptrace;
use supervisor::Supervisor;

/// The unprivileged recorder.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seccomp;

/// The recorder with one call left out, for the tests that show what each is for.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Partial {
    without: &'static str,
}

/// By what a build is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// The kernel notifies us of the calls that a filter asks about.
    Notifications,
    /// The kernel stops callers at the calls that a filter asks about.
    Stops,
    /// The same at each call, because the kernel has no such filters.
    EveryCall,
}

/// How a build is recorded.
#[derive(Clone, Copy, Debug)]
struct Way {
    by: By,
    /// A call that is left out, for tests.
    without: Option<&'static str>,
}

/// What the kernel of this machine offers to [`Seccomp`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    kernel: String,
    killable_wait: bool,
    synchronous_wake: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |has: bool| if has { "yes" } else { "no" };
        write!(
            f,
            "seccomp user notification on Linux {} (killable wait: {}, synchronous wake-up: {})",
            self.kernel,
            yes(self.killable_wait),
            yes(self.synchronous_wake)
        )
    }
}

impl Seccomp {
    /// Leaves out one call: it is allowed unseen.
    #[doc(hidden)]
    pub fn without(call: &'static str) -> Partial {
        Partial { without: call }
    }

    /// Names all calls that are asked about or refused; `foreign` are those of other tables.
    #[doc(hidden)]
    pub fn calls() -> Vec<&'static str> {
        calls::all().map(|call| call.name).chain([filter::FOREIGN]).collect()
    }

    /// Tries it out on a harmless program.
    pub fn probe() -> Result<Capabilities, Unsupported> {
        let launch = Launch { command: vec!["/proc/self/exe".into()], ..Launch::default() };
        let way = Way { by: By::Notifications, without: None };
        let child = match network::start(&launch, Path::new("/nonexistent"), way) {
            Ok((child, _)) => child,
            Err(TraceError::Unsupported(unsupported)) => return Err(unsupported),
            Err(error) => {
                return Err(Unsupported {
                    what: "a traced process to be started",
                    source: std::io::Error::other(error),
                });
            }
        };
        let capabilities = Capabilities {
            kernel: crate::facts().kernel,
            killable_wait: child.killable_wait,
            synchronous_wake: child.listener.is_some_and(|listener| listener.wake_synchronously()),
        };
        // Nobody listens any more: the child's next call fails and it ends.
        if let Some(pid) = rustix::process::Pid::from_raw(child.pid) {
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
                .map_err(|source| Unsupported { what: "waiting for a child", source: source.into() })?;
        }
        Ok(capabilities)
    }
}

/// Starts a child. The inner result tells what the machine does not allow.
fn spawn(
    launch: &Launch,
    program: &Path,
    way: Way,
    confinement: Confinement,
    variables: &[(String, String)],
) -> Result<Result<sys::Child, SpawnError>, TraceError> {
    let failed = |source| TraceError::Start { program: program.display().to_string(), source };
    let environment = network::replaced(&launch.environment, variables);
    let (filter, tracing) = match way.by {
        By::Notifications => (filter::program(way.without), Tracing::Listened),
        By::Stops => (filter::stopping(), Tracing::Stopped),
        By::EveryCall => (Vec::new(), Tracing::Stopped),
    };
    let start = sys::Start::new(program, &launch.command, &environment, &launch.workdir, filter)
        .map_err(failed)?
        .traced(tracing)
        .confined(confinement);
    match sys::spawn(&start) {
        Err(SpawnError::Other(source)) => Err(failed(source)),
        result => Ok(result),
    }
}

impl Tracer for Seccomp {
    fn mode(&self) -> &'static str {
        "seccomp"
    }

    fn trace(&self, launch: &Launch, sink: &mut Sink<'_>) -> Result<Trace, TraceError> {
        trace(launch, Way { by: By::Notifications, without: None }, sink)
    }
}

impl Tracer for Partial {
    fn mode(&self) -> &'static str {
        "seccomp-partial"
    }

    fn trace(&self, launch: &Launch, sink: &mut Sink<'_>) -> Result<Trace, TraceError> {
        trace(launch, Way { by: By::Notifications, without: Some(self.without) }, sink)
    }
}

fn trace(launch: &Launch, way: Way, sink: &mut Sink<'_>) -> Result<Trace, TraceError> {
    let name = launch.command.first().ok_or(TraceError::Empty)?;
    let program = find_program(name, launch)
        .map_err(|source| TraceError::Start { program: name.to_string_lossy().into_owned(), source })?;
    Supervisor::run(launch, &program, way, sink)
}

/// Finds a program as `execvp(3)` does, in the child's own `PATH`.
fn find_program(name: &OsStr, launch: &Launch) -> std::io::Result<PathBuf> {
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    let from_workdir = |path: &Path| launch.workdir.join(path);
    if name.as_bytes().contains(&b'/') {
        let path = from_workdir(Path::new(name));
        path.metadata()?;
        return if is_program(&path) { Ok(path) } else { Err(std::io::ErrorKind::PermissionDenied.into()) };
    }
    let paths =
        launch.environment.iter().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.clone());
    let paths = paths.unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(&paths)
        .map(|folder| from_workdir(&folder).join(name))
        .find(|path| is_program(path))
        .ok_or_else(|| std::io::ErrorKind::NotFound.into())
}
