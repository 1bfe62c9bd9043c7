//! Whole builds: bare, recorded by us, and under strace in its two ways, in turns.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::projects::{self, Project};
use super::{Cost, countersign, measure, median, must};

const ROUNDS: usize = 7;

/// The calls that our recorder asks about, in strace's words.
const SAME_CALLS: &str = "trace=%file,%process,%network";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bare,
    Recorded,
    StraceFilter,
    StraceAll,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Bare, "untraced"),
    (Way::Recorded, "countersign run"),
    (Way::StraceFilter, "strace -f --seccomp-bpf"),
    (Way::StraceAll, "strace -f"),
];

pub(super) fn run(names: &[&str]) -> Result<()> {
    let strace = Command::new("strace").arg("--version").output();
    if !strace.is_ok_and(|output| output.status.success()) {
        bail!("the peer is not here: apt-get install strace");
    }
    let program = crate::program("release")?;
    let below = tempfile::Builder::new().prefix("bench-").tempdir()?;
    for name in names {
        let project = projects::write(name, below.path())?;
        countersign(&program, &project.folder, &["init"]).output()?;
        let mut costs = [const { Vec::new() }; WAYS.len()];
        // Once for nothing: the page cache is warm for everybody.
        once(Way::Bare, &program, &project)?;
        for round in 1..=ROUNDS {
            for ((way, _), costs) in WAYS.iter().zip(&mut costs) {
                costs.push(once(*way, &program, &project)?);
            }
            eprintln!(
                "{name}, round {round} of {ROUNDS}: {:.2?}",
                costs.each_ref().map(|costs| costs[round - 1].wall)
            );
        }
        print(name, &costs, &program, &project.folder)?;
    }
    Ok(())
}

fn once(way: Way, program: &Path, project: &Project) -> Result<Cost> {
    let shell = |script: &str| must(crate::command("sh").args(["-c", script]).current_dir(&project.folder));
    shell(project.clean)?;
    // A cold cache of digests: every input is hashed.
    fs::remove_file(project.folder.join(".countersign/digests")).ok();
    let log = project.folder.join(".countersign/strace.log");
    let strace = |more: &[&str]| {
        let mut command = crate::command("strace");
        command
            .args(["-f", "-o"])
            .arg(&log)
            .args(more)
            .args(["sh", "-c", project.build])
            .current_dir(&project.folder);
        measure(|| must(&mut command))
    };
    let cost = match way {
        Way::Bare => measure(|| shell(project.build)),
        Way::Recorded => {
            let run = ["run", "-q", "--product", "bench", "--", "sh", "-c", project.build];
            measure(|| must(&mut countersign(program, &project.folder, &run)))
        }
        Way::StraceFilter => strace(&["--seccomp-bpf", "-e", SAME_CALLS]),
        Way::StraceAll => strace(&[]),
    };
    fs::remove_file(&log).ok();
    cost
}

fn print(name: &str, costs: &[Vec<Cost>; WAYS.len()], program: &Path, folder: &Path) -> Result<()> {
    let medians = |of: fn(&Cost) -> f64| {
        costs.each_ref().map(|costs| median(&costs.iter().map(of).collect::<Vec<_>>()))
    };
    let (cpu, wall) = (medians(|cost| cost.cpu), medians(|cost| cost.wall));
    println!(
        "{name}: {ROUNDS} interleaved rounds, medians; everything is hashed, key opening, signing and logging included"
    );
    for (at, (_, way)) in WAYS.iter().enumerate() {
        println!(
            "  {way:<24} CPU {:6.2} s  ratio {:.3}   wall {:6.2} s  ratio {:.3}",
            cpu[at],
            cpu[at] / cpu[0],
            wall[at],
            wall[at] / wall[0]
        );
    }
    let over = |at: usize| cpu[at] - cpu[0];
    println!("  our overhead in CPU is {:.2} of that of strace --seccomp-bpf", over(1) / over(2));
    let (events, bytes) = events(program, folder)?;
    println!("  {events} events, {bytes} bytes sealed, {:.2} bytes an event", bytes as f64 / events as f64);
    Ok(())
}

/// Events and sealed bytes of the latest record.
pub(super) fn events(program: &Path, folder: &Path) -> Result<(u64, u64)> {
    let shown = countersign(program, folder, &["show", "latest", "--json"]).output()?;
    let shown: serde_json::Value =
        serde_json::from_slice(&shown.stdout).context("`show` printed no document")?;
    let segments =
        shown.pointer("/document/segments").and_then(serde_json::Value::as_array).context("no segments")?;
    let sum = |field: &str| segments.iter().filter_map(|segment| segment[field].as_u64()).sum::<u64>();
    Ok((sum("events"), sum("size")))
}
