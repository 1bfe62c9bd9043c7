//! Tests through the binary: few, whole, with real compilers and the peers' own tools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod advisories;
mod approvals;
mod bad_input;
mod comparisons;
mod crashes;
mod drills;
mod egress;
mod faults;
mod foreign;
mod keys;
mod peers;
mod release;
mod roles;
mod sandbox;
mod sbom;
mod served;
mod sources;
mod terminal;
mod trust;
mod watch;
