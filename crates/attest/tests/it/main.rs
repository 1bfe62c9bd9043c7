//! Tests of the offline verifier, with a whole small vendor in memory.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod certified;
mod exported;
mod release;
