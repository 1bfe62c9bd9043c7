//! This machine: the recorder of builds and the facts that package databases keep. All operating-system code.
//!
//! [`Tracer`] is the seam: a way of running a command and handing over what it does, event by event. [`Seccomp`] is
//! the usual one, [`Ptrace`] takes its place where the kernel notifies nobody, and [`Snapshot`] only compares. All `unsafe` code is in the private module `sys`.

mod automatic;
mod commit;
mod digests;
pub mod egress;
mod facts;
mod foreign;
pub mod inventory;
pub mod machine;
pub mod outbound;
pub mod packages;
pub mod posture;
mod seccomp;
pub mod segments;
mod snapshot;
mod sys;
pub mod token;
mod tracer;

pub use automatic::automatic;
pub use commit::{BlobName, Commit, NoCommit};
pub use digests::{NotRemembered, Remembered};
pub use egress::{AllowList, Egress, ListError, Names};
pub use facts::{Facts, facts, facts_name};
pub use seccomp::{Capabilities, Ptrace, Seccomp};
pub use snapshot::Snapshot;
pub use sys::map::Mapped;
pub use tracer::{Launch, Sink, SinkError, Trace, TraceError, Tracer, Unsupported};
