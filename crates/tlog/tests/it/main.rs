//! The log at its seams: proofs against vectors, faults at each write, corruption of each file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod log;
mod note;
mod proofs;
mod sequencer;
mod witness;
