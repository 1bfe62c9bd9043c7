//! What a recording needs of this process as a whole, and its undoing.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::supervisor::broken;
use crate::sys;
use crate::tracer::TraceError;

/// The posture of a process that records; the old one comes back when it is dropped.
pub(super) struct Posture {
    dumpable: Option<DumpableBehavior>,
    descriptors: Option<Rlimit>,
}

impl Posture {
    /// Before the build starts: its orphans will be ours.
    pub(super) fn take() -> Result<Self, TraceError> {
        sys::adopt_orphans(true).map_err(broken("adopt orphans"))?;
        Ok(Self { dumpable: None, descriptors: None })
    }

    /// Once the build has been started with what this process had been given.
    pub(super) fn harden(&mut self) -> Result<(), TraceError> {
        // From here on nobody but root reads our memory, where keys are; the child has its own.
        self.dumpable = rustix::process::dumpable_behavior().ok();
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(broken("protect its memory"))?;
        // One descriptor for each living process; the child keeps the limit that it was given.
        let before = rustix::process::getrlimit(Resource::Nofile);
        let all = Rlimit { current: before.maximum, maximum: before.maximum };
        if rustix::process::setrlimit(Resource::Nofile, all).is_ok() {
            self.descriptors = Some(before);
        }
        Ok(())
    }
}

impl Drop for Posture {
    fn drop(&mut self) {
        // All this was allowed a moment ago; if it is not now, nothing of the trace is wrong.
        if let Some(before) = self.dumpable {
            rustix::process::set_dumpable_behavior(before).ok();
        }
        if let Some(before) = self.descriptors {
            rustix::process::setrlimit(Resource::Nofile, before).ok();
        }
        sys::adopt_orphans(false).ok();
    }
}
