//! Tests of the readers on made, real and damaged files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod containers;
mod damage;
mod images;
