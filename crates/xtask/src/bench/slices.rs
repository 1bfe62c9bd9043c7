//! The cost of one event: many short slices of a loop, with and without the recorder, in turns; once with the other
//! processors busy, as in a parallel build, and once with them idle. The lower quartile is what a machine does when
//! nothing else disturbs it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{countersign, quantile};

const SLICES: usize = 200;
const OPENS: u32 = 200;
const ROUNDS: usize = 5;

pub(super) fn run() -> Result<()> {
    let program = crate::program("release")?;
    let own = std::env::current_exe()?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    fs::write(folder.path().join("present"), "a small header\n")?;
    ensure!(countersign(&program, folder.path(), &["init"]).output()?.status.success(), "`init` failed");
    let place = folder.path().canonicalize()?.display().to_string();
    let arguments = ["bench", "opens", &place, &SLICES.to_string()].map(str::to_owned);
    println!("{} slices of {OPENS} calls, interleaved; microseconds a call", SLICES * ROUNDS);
    for busy in [true, false] {
        let others = std::thread::available_parallelism()?.get() - 1;
        let stop = Arc::new(AtomicBool::new(!busy));
        let burners: Vec<_> = (0..others)
            .map(|_| Arc::clone(&stop))
            .map(|stop| std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {}))
            .collect();
        println!("{others} other processors {}", if busy { "busy" } else { "idle" });
        let measured = rounds(&program, &own, folder.path(), &arguments);
        stop.store(true, Ordering::Relaxed);
        burners.into_iter().for_each(|burner| drop(burner.join()));
        measured?;
    }
    Ok(())
}

fn rounds(program: &Path, own: &Path, folder: &Path, arguments: &[String]) -> Result<()> {
    let (mut bare, mut recorded) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        collect(crate::command(own).args(arguments).current_dir(folder), &mut bare)?;
        let mut run = countersign(program, folder, &["run", "-q", "--"]);
        collect(run.arg(own).args(arguments), &mut recorded)?;
    }
    for (at, what) in ["open and close of a file", "open of an absent file"].iter().enumerate() {
        let p = |values: &[f64], part| quantile(values, part);
        let (bare, recorded) = (&bare[at], &recorded[at]);
        println!(
            "  {what:<26} p25 {:.2} → {:.2} (+{:.2})   p50 {:.2} → {:.2} (+{:.2})",
            p(bare, 0.25),
            p(recorded, 0.25),
            p(recorded, 0.25) - p(bare, 0.25),
            p(bare, 0.5),
            p(recorded, 0.5),
            p(recorded, 0.5) - p(bare, 0.5)
        );
    }
    Ok(())
}

fn collect(command: &mut Command, into: &mut [Vec<f64>; 2]) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8(output.stdout)?.lines() {
        let (first, second) = line.split_once(' ').context("two figures a line")?;
        into[0].push(first.parse()?);
        into[1].push(second.parse()?);
    }
    Ok(())
}

/// What is measured: prints for each slice the microseconds of one open and close, and of one failed open.
pub(super) fn opens(folder: &Path, slices: usize) -> Result<()> {
    let (present, absent) = (folder.join("present"), folder.join("absent"));
    let mut lines = String::new();
    let slice = |path: &Path| {
        let began = Instant::now();
        for _ in 0..OPENS {
            drop(File::open(path));
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(OPENS)
    };
    for _ in 0..slices {
        lines += &format!("{} {}\n", slice(&present), slice(&absent));
    }
    std::io::stdout().write_all(lines.as_bytes())?;
    Ok(())
}
