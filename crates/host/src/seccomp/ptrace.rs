//! The fallback for kernels before 5.9, for gVisor, and for containers that forbid notification: `ptrace(2)`.
//!
//! From Linux 4.8 on a filter stops only the calls that are asked about. Where filters are not possible each call is
//! stopped, which is many times slower. What is asked about, done, recorded and refused is the same as with
//! notification; `stopped` says what is not.

use std::path::Path;

use rustix::process::{Pid, Signal, WaitOptions};

use super::{By, Way, network, trace};
use crate::tracer::{Launch, Sink, Trace, TraceError, Tracer, Unsupported};

/// The recorder that stops its callers.
#[derive(Clone, Copy, Default, Debug)]
pub struct Ptrace {
    every_call: bool,
}

/// Since when a filter's question comes after a stop before the call, and is asked again of a call that was changed.
const FILTERS_SINCE: (u32, u32) = (4, 8);

impl Ptrace {
    /// The one for every machine: a filter where that is possible.
    pub const USUAL: Self = Self { every_call: false };

    /// Stops each call, as where filters are not possible.
    #[doc(hidden)]
    pub fn at_every_call() -> Self {
        Self { every_call: true }
    }

    /// Tries it out on a harmless program.
    pub fn probe() -> Result<String, Unsupported> {
        let launch = Launch { command: vec!["/proc/self/exe".into()], ..Launch::default() };
        let way = Self::USUAL.way();
        let started = network::start(&launch, Path::new("/nonexistent"), way).or_else(|error| match error {
            TraceError::Unsupported(_) if way.by == By::Stops && is_without_filters(&error) => {
                network::start(&launch, Path::new("/nonexistent"), EVERY_CALL)
            }
            error => Err(error),
        });
        let child = match started {
            Ok((child, _)) => child,
            Err(TraceError::Unsupported(unsupported)) => return Err(unsupported),
            Err(error) => {
                return Err(Unsupported {
                    what: "a traced process to be started",
                    source: std::io::Error::other(error),
                });
            }
        };
        if let Some(pid) = Pid::from_raw(child.pid) {
            let waited = rustix::process::kill_process(pid, Signal::KILL)
                .and_then(|()| rustix::process::waitpid(Some(pid), WaitOptions::empty()));
            waited.map_err(|source| Unsupported { what: "waiting for a child", source: source.into() })?;
        }
        Ok(format!("ptrace on Linux {}", crate::facts().kernel))
    }

    fn way(self) -> Way {
        let filters = !self.every_call && version(&crate::facts().kernel) >= Some(FILTERS_SINCE);
        if filters { Way { by: By::Stops, without: None } } else { EVERY_CALL }
    }
}

const EVERY_CALL: Way = Way { by: By::EveryCall, without: None };

/// Tells whether it was the filter that is not possible.
fn is_without_filters(error: &TraceError) -> bool {
    matches!(error, TraceError::Unsupported(unsupported) if unsupported.what == super::network::NO_FILTER)
}

/// The first two numbers of a kernel's version.
fn version(kernel: &str) -> Option<(u32, u32)> {
    let mut numbers = kernel.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Tracer for Ptrace {
    fn mode(&self) -> &'static str {
        "ptrace"
    }

    fn trace(&self, launch: &Launch, sink: &mut Sink<'_>) -> Result<Trace, TraceError> {
        let way = self.way();
        match trace(launch, way, sink) {
            Err(error) if way.by == By::Stops && is_without_filters(&error) => {
                trace(launch, EVERY_CALL, sink)
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert!(version("4.10.0") >= Some(FILTERS_SINCE));
        assert!(version("4.4.0") < Some(FILTERS_SINCE), "as gVisor says of itself");
        assert!(version("odd") < Some(FILTERS_SINCE));
    }
}
