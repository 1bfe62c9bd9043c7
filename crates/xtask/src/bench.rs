//! Measurements that print a ratio against the bare work or a named peer, in one interleaved run. Never a test:
//! machines differ.

mod advisories;
mod compare;
mod detect;
mod drift;
mod goals;
pub(crate) mod images;
mod large;
mod log;
pub(crate) mod projects;
mod rebuild;
mod record;
mod sbom;
mod scale;
mod slices;
mod verify;
mod view;
mod yara;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

const USAGE: &str =
    "  bench record [PROJECT]  whole builds (lua, xz, cargo) bare, recorded, and under strace, interleaved
  bench slices       the recorder's cost of one event, by slices of a loop of opens
  bench scale [EVENTS]           a build of a million events: memory, and how long the recording takes to end
  bench scale processes [COUNT]  the same of 100,000 processes
  bench detect       what the detection rules cost, beside the bare build
  bench compare [NAME] `compare` beside diffoscope on real releases (those whose name has NAME; `tree`, `large`)
  bench drift [NAME] what `compare` finds in honest updates (those whose line has NAME) and in attacked releases
  bench advisories   the advisory index: building, opening, asking; an advisory against 10^8 occurrences
  bench log [SECONDS [ENTRIES]]  durable appends with proofs; a large log opened and read
  bench serve [SECONDS]          verified entries over loopback HTTP
  bench sbom [NAME]  `sbom` beside syft, trivy and cdxgen, and the goals: npm, venv, cargo, go, java, images, large, root, inventory
  bench rebuild [NAME] five real projects recorded and rebuilt: lua, memchr, packaging, semver, hello
  bench yara         2,000 YARA rules on the largest member that rules are put to
  bench verify       verification of one artifact, and the start of the program
  bench trust        log, serve and verify, one after another";

/// Runs a measurement.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        ["record"] => record::run(&["lua", "xz", "cargo"]),
        ["record", project] => record::run(&[project]),
        ["slices"] => slices::run(),
        ["scale", "processes", count @ ..] => scale::run(scale::Much::Processes, count.first().copied()),
        ["scale", count @ ..] => scale::run(scale::Much::Events, count.first().copied()),
        ["detect"] => detect::run(),
        ["compare"] => compare::run(""),
        ["compare", name] => compare::run(name),
        ["drift"] => drift::run(""),
        ["drift", name] => drift::run(name),
        ["log", rest @ ..] => log::run(rest),
        ["serve", rest @ ..] => log::serve(rest),
        ["verify"] => verify::run(),
        ["yara"] => yara::run(),
        ["trust"] => {
            log::run(&[])?;
            log::serve(&[])?;
            verify::run()
        }
        ["rebuild"] => rebuild::run(""),
        ["rebuild", name] => rebuild::run(name),
        ["advisories"] => advisories::run(),
        ["sbom"] => sbom::run(""),
        ["sbom", name] => sbom::run(name),
        // What the two above run under the recorder.
        ["opens", folder, slices] => slices::opens(Path::new(folder), slices.parse()?),
        ["probes", count] => scale::probes(count.parse()?),
        ["forks", count] => scale::forks(count.parse()?),
        _ => bail!("{USAGE}"),
    }
}

/// What a piece of work has cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: f64,
    cpu: f64,
}

fn measure(work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (cpu, began) = (children_cpu()?, Instant::now());
    work()?;
    Ok(Cost { wall: began.elapsed().as_secs_f64(), cpu: children_cpu()? - cpu })
}

/// CPU seconds of all children that have ended (`proc_pid_stat(5)`, fields 16 and 17, in ticks of 10 ms).
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').context("malformed stat")?.1;
    let ticks =
        |field: usize| after.split_whitespace().nth(field - 3).and_then(|word| word.parse::<f64>().ok());
    Ok((ticks(16).context("no ticks")? + ticks(17).context("no ticks")?) / 100.0)
}

/// The value below which this part of the values lies.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn must(command: &mut Command) -> Result<()> {
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(())
}

/// Our program with its store and passphrase.
pub(crate) fn countersign(program: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = crate::command(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env("COUNTERSIGN_PASSPHRASE", "only a measurement")
        .env_remove("COUNTERSIGN_STORE");
    command
}
