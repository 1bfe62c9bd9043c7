//! A build machine between builds: its logs as they grow, watched files as they change, and signals to stop.

mod journal;
mod paths;
mod stop;
mod tail;

pub use journal::{journal_after, journal_program};
pub use paths::{PathChange, Paths, States};
pub use stop::{Stop, Woken};
pub use tail::{Chunk, Tail};

/// The machine's name.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
