//! The vocabulary of Countersign: what a digest, an event, a record, a statement, a finding is,
//! and how each is written down.
//!
//! This is the only place where a stored or sent format is defined. There is no I/O, no clock and no
//! randomness here; equal values have equal bytes ([`wire::canonical`]).
//!
//! Evidence *is* its written form: it is immutable and named by the digest of its bytes, so the types that
//! are stored carry their serialisation themselves (ADR 0003). What is only ever computed with (a case, a
//! permit, a budget) lives with the crate that computes, and cannot be serialised.

pub mod bom;
pub mod component;
pub mod digest;
pub mod event;
pub mod finding;
pub mod followed;
pub mod imports;
pub mod inventory;
pub mod licence;
pub mod machine;
pub mod path;
pub mod posture;
pub mod purl;
pub mod record;
pub mod references;
pub mod statement;
pub mod time;
pub mod tree;
pub mod wire;

pub use bom::Bom;
pub use component::Component;
pub use digest::{Digest, Hasher};
pub use event::{Event, EventKind};
pub use finding::{Finding, Problem, Severity, Subject};
pub use followed::Followed;
pub use inventory::Inventory;
pub use machine::{MachineEvent, MachineEventKind};
pub use path::BytePath;
pub use purl::Purl;
pub use record::Record;
pub use time::Timestamp;
pub use tree::{Node, Tree};
