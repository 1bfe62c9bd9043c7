//! `watch`: detection over stored traces, and over what happens on a build machine between builds.

mod collect;
mod defaults;
mod presence;
mod replay;
mod reports;
mod sources;

pub use collect::{Collect, Collected, collect};
pub use defaults::Surroundings;
pub use presence::{MachineView, presence};
pub use replay::{Replay, Replayed, replay};
pub use sources::{LogKind, Source};
