//! `watch`: detection over stored traces, and over what happens on a build machine between builds.

mod replay;

pub use replay::{Replay, Replayed, replay};
