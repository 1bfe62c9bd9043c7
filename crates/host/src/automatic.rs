//! Which recorder this machine allows: the best that sees everything, and never one that sees less.

use crate::seccomp::{Ptrace, Seccomp};
use crate::tracer::{Tracer, Unsupported};

/// Takes notification where the machine allows it, stops where it does not; neither is the first one's error. Says
/// what was taken.
pub fn automatic() -> Result<(&'static dyn Tracer, String), Unsupported> {
    match Seccomp::probe() {
        Ok(capabilities) => Ok((&Seccomp, capabilities.to_string())),
        Err(unsupported) => match Ptrace::probe() {
            Ok(capabilities) => Ok((&Ptrace::USUAL, capabilities)),
            Err(_) => Err(unsupported),
        },
    }
}
