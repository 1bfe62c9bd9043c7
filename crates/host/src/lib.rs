//! This machine: the recorder of builds and the facts that package databases keep. All operating-system code.
//!
//! [`Tracer`] is the seam: a way of running a command and handing over what it does, event by event. The one
//! that needs no privileges is [`Seccomp`]. All `unsafe` code is in the private module `sys`.

mod digests;
pub mod egress;
mod facts;
pub mod packages;
mod seccomp;
mod sys;
mod tracer;

pub use egress::{AllowList, Egress, ListError, Names};
pub use facts::{Facts, facts};
pub use seccomp::{Capabilities, Seccomp};
pub use tracer::{Launch, Sink, SinkError, Trace, TraceError, Tracer, Unsupported};
