//! Tests of the recorder with real compilers, shells and races.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod breadth;
mod builds;
mod calls;
mod commit;
mod edges;
mod egress;
mod gauntlet;
mod packages;
mod stopped;
mod tracing;
