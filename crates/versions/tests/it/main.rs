//! Version orders against the field's vectors, second opinions and the laws of an order.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod laws;
mod vectors;
