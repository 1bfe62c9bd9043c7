//! Tests through the binary: few, whole, with real compilers and the peers' own tools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod advisories;
mod advisory_gate;
mod approvals;
mod assets;
mod bad_input;
mod cloud;
mod comparisons;
mod conversation;
mod crashes;
mod dependencies;
mod drills;
mod egress;
mod faults;
mod foreign;
mod keys;
mod peers;
mod posture;
mod public_logs;
mod release;
mod roles;
mod rules;
mod sandbox;
mod sbom;
mod served;
mod sources;
mod statements;
mod terminal;
mod trust;
mod watch;
