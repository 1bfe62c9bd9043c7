//! Tests through the binary: few, whole, with real compilers and the peers' own tools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod bad_input;
mod crashes;
mod drills;
mod peers;
mod release;
mod sandbox;
mod sources;
mod watch;
