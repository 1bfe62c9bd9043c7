//! Developer commands: `cargo xtask tidy|ci|demo|conformance|fuzz|bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer reads it")]

mod bench;
mod ci;
mod conformance;
mod demo;
mod faults;
mod fuzz;
mod lua;
mod quiet;
mod tidy;
mod unused;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const USAGE: &str = "cargo xtask COMMAND
  demo               record, compare, sign and verify a real C project, and see a poisoned release denied
  ci                 install what the tests need, then check and test everything
  tidy               layers, documentation pages, unsafe code, file lengths
  conformance        the field's own test suites, run against our program
  faults [log|witness] [N]  each system call by which `sign`, `serve --log` or `log witness` writes fails in turn (each Nth)
  rules              the tests of rules in Rego and Cedar, which are built only when asked for
  quiet              five clean rebuilds of three real projects raise no alarm
  unused             a machine made by debootstrap, smaller by what three recorded builds do not need, builds the same
  fuzz TARGET…       runs fuzz targets: --seconds N each; --keep takes what is new and small into the replayed corpus
  bench NAME         measurements: record, slices, scale, detect, compare, drift, sbom, advisories, log, serve, verify,
                     trust, rebuild";

/// Variables by which cargo tells its children about itself. A build that inherits them looks for libraries in places
/// where nobody's build does.
const OF_CARGO: &[&str] =
    &["LD_LIBRARY_PATH", "MAKEFLAGS", "CARGO_MAKEFLAGS", "RUSTUP_TOOLCHAIN", "CARGO_MANIFEST_DIR"];

/// Makes a command that is as if a person had typed it.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in OF_CARGO {
        command.env_remove(name);
    }
    command
}

/// What the features `rego` and `cedar` add: compiling both takes about four minutes of processor time.
fn rules() -> Result<()> {
    let features = ["--features", "rego,cedar", "--locked"];
    must(
        Command::new("cargo")
            .args(["test", "--package", "countersign-engine", "--lib"])
            .args(features)
            .arg("rules"),
    )?;
    let whole = ["test", "--package", "countersign", "--test", "it"];
    must(Command::new("cargo").args(whole).args(features).args(["--", "rules::"]))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo"] => demo::run(),
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["conformance"] => conformance::run(),
        ["faults"] => faults::run(1),
        ["faults", "log"] => faults::served::log(1),
        ["faults", "log", every] => faults::served::log(every.parse()?),
        ["faults", "witness"] => faults::served::witness(1),
        ["faults", "witness", every] => faults::served::witness(every.parse()?),
        ["faults", every] => faults::run(every.parse()?),
        ["rules"] => rules(),
        ["quiet"] => quiet::run(),
        ["unused"] => unused::run(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        _ => bail!("{USAGE}"),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}

/// Runs a command in the workspace; it must succeed.
fn must(command: &mut Command) -> Result<()> {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let words = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    eprintln!("$ {words}");
    let status = command.current_dir(root()).status().with_context(|| format!("cannot run `{words}`"))?;
    ensure!(status.success(), "`{words}` failed: {status}");
    Ok(())
}

/// What cargo knows of the workspace.
fn metadata() -> Result<serde_json::Value> {
    let output =
        Command::new("cargo").args(["metadata", "--format-version", "1"]).current_dir(root()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Builds the program and returns where it lies.
fn program(profile: &str) -> Result<PathBuf> {
    must(Command::new("cargo").args(["build", "--quiet", "--package", "countersign", "--profile", profile]))?;
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("no target folder")?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(Path::new(target).join(folder).join("countersign"))
}
