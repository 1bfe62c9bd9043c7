//! The server over loopback, by a client that knows nothing of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod client;
mod ending;
mod hostile;
mod log;
mod witness;
