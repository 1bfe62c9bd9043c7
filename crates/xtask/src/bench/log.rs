//! The transparency log: durable appends with their proofs, a log of ten million entries, and a log behind HTTP. The
//! measuring programs are examples of the crates that they measure.

use std::process::Command;

use anyhow::Result;

/// Appends for some seconds, then a large log.
pub(super) fn run(arguments: &[&str]) -> Result<()> {
    example("countersign-store", "bench_log", arguments)
}

/// Verified entries over loopback.
pub(super) fn serve(arguments: &[&str]) -> Result<()> {
    example("countersign-server", "bench_http", arguments)
}

fn example(package: &str, name: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--quiet", "--package", package, "--example", name, "--"]);
    crate::must(command.args(arguments))
}
