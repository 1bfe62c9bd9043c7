//! The index against a plain reading, real documents, damage.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod differential;
mod imports;
mod scores;
