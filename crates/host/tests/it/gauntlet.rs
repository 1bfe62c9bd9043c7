//! The gauntlet: ways of reading or changing the world behind a recorder's back.
//!
//! Each is told truthfully, refused, or makes the record incomplete with a reason. `docs/recorder.md` refers to the
//! names. `calls` shows that no call could be left out of the lists.

mod calls;
mod elsewhere;
pub(crate) mod evasions;
mod expect;
mod foreign;
mod probes;
