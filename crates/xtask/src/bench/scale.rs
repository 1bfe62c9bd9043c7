//! Large builds, of many events or of many processes: how much memory the recorder takes, and how long it takes to end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use super::{countersign, record};

const EVENTS: &str = "1000000";
const PROCESSES: &str = "100000";

/// What a large build has much of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Much {
    Events,
    Processes,
}

pub(super) fn run(much: Much, count: Option<&str>) -> Result<()> {
    let program = crate::program("release")?;
    let own = std::env::current_exe()?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    ensure!(countersign(&program, folder.path(), &["init"]).output()?.status.success(), "`init` failed");
    let mut run = countersign(&program, folder.path(), &["run", "-q", "--"]);
    let (work, usual) = match much {
        Much::Events => ("probes", EVENTS),
        Much::Processes => ("forks", PROCESSES),
    };
    run.arg(&own).args(["bench", work, count.unwrap_or(usual)]);
    let began = Instant::now();
    let mut child = run.spawn()?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak_kib(child.id()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = SystemTime::now();
    ensure!(child.wait()?.success(), "the recording failed");
    let build_ended = fs::metadata(folder.path().join("ended"))?.modified()?;
    let tail = ended.duration_since(build_ended)?.as_secs_f64();
    let (events, bytes) = record::events(&program, folder.path())?;
    println!("{events} events in {:.1} s", began.elapsed().as_secs_f64());
    println!("  peak memory of the recorder  {:.1} MiB", peak as f64 / 1024.0);
    println!("  from the build's end to ours {tail:.2} s");
    println!("  {:.2} bytes an event at rest", bytes as f64 / events as f64);
    Ok(())
}

fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What is recorded: opens of a few hundred files as a compiler looks for headers, most of them absent.
pub(super) fn probes(count: u64) -> Result<()> {
    for folder in 0..20 {
        fs::create_dir_all(format!("include{folder}"))?;
    }
    for file in 0..100 {
        fs::write(format!("include19/header{file}.h"), format!("header {file}\n"))?;
    }
    for number in 0..count {
        let (file, folder) = (number / 20 % 100, number % 20);
        drop(fs::File::open(Path::new(&format!("include{folder}/header{file}.h"))));
    }
    ended()
}

/// The same: programs that do nothing, one after another.
pub(super) fn forks(count: u64) -> Result<()> {
    for _ in 0..count {
        ensure!(Command::new("true").status()?.success(), "`true` failed");
    }
    ended()
}

fn ended() -> Result<()> {
    fs::write("ended", "").context("cannot say that it has ended")
}
