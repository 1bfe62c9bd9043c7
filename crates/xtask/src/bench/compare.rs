//! `compare` beside `diffoscope` on pairs of real releases, in one interleaved run: CPU, wall time, peak memory of the largest process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::drift::{Release, fetch, folder};
use super::{median, must};

/// Ours is quick, so its median is taken; the peer runs once a pair.
const ROUNDS: usize = 5;
const PEER: &str = "diffoscope==332";
/// The peer is ended after so long.
const PATIENCE_SECONDS: &str = "600";

const PAIRS: [[Release; 2]; 4] = [
    [release("pypi", "numpy", "2.1.2", "windows"), release("pypi", "numpy", "2.1.3", "windows")],
    [release("pypi", "numpy", "2.1.2", "linux"), release("pypi", "numpy", "2.1.3", "linux")],
    [release("npm", "typescript", "5.6.2", ""), release("npm", "typescript", "5.6.3", "")],
    [release("deb", "libssl3", "3.0.20-1~deb12u2", ""), release("deb", "libssl3", "3.0.22-1~deb12u2", "")],
];

const fn release(
    registry: &'static str,
    name: &'static str,
    version: &'static str,
    platform: &'static str,
) -> Release<'static> {
    Release { registry, name, version, platform }
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
struct Run {
    cpu: f64,
    wall: f64,
    peak_mib: f64,
}

pub(super) fn run() -> Result<()> {
    let (program, cache) = (crate::program("release")?, folder()?);
    let peer = peer(&cache)?;
    println!("{:44} {:>16} {:>16} {:>10} {:>10}", "pair", "CPU s (ratio)", "wall s (ratio)", "MiB", "theirs");
    for [old, new] in PAIRS {
        let name = format!("{} {} → {} {}", old.name, old.version, new.version, old.platform);
        let (old, new) = match (fetch(&cache, old), fetch(&cache, new)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(error), _) | (_, Err(error)) if old.registry == "deb" => {
                println!("{name}: ABSENT: {error:#}");
                continue;
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let mut ours = Vec::new();
        let mut theirs = None;
        for round in 0..ROUNDS {
            ours.push(measured(&program, &[Path::new("compare"), &old, &new])?);
            if round == ROUNDS / 2 {
                let mut arguments = ["-k", "5", PATIENCE_SECONDS].map(Path::new).to_vec();
                arguments.extend([&peer, Path::new("--text"), Path::new("/dev/null"), &old, &new]);
                theirs = Some(measured(Path::new("timeout"), &arguments)?);
            }
        }
        let theirs = theirs.context("the peer has not run")?;
        let of = |part: fn(&Run) -> f64| median(&ours.iter().map(part).collect::<Vec<_>>());
        let (cpu, wall) = (of(|run| run.cpu), of(|run| run.wall));
        println!(
            "{name:44} {:>16} {:>16} {:>10.0} {:>10.0}",
            format!("{cpu:.2} ({:.0}×)", theirs.cpu / cpu),
            format!("{wall:.2} ({:.0}×)", theirs.wall / wall),
            of(|run| run.peak_mib),
            theirs.peak_mib
        );
    }
    println!("a ratio is what diffoscope takes, divided by what we take");
    Ok(())
}

/// Installs the peer beside the build products. It needs `libmagic` and `libarchive` of the system.
fn peer(cache: &Path) -> Result<PathBuf> {
    let folder = cache.with_file_name("diffoscope");
    let program = folder.join("bin/diffoscope");
    if !program.exists() {
        must(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PEER];
        must(Command::new(folder.join("bin/python")).args(install))?;
    }
    must(Command::new(&program).arg("--version"))?;
    Ok(program)
}

/// Runs a program under `time(1)`, which tells CPU seconds and peak memory of all its processes.
fn measured(program: &Path, arguments: &[&Path]) -> Result<Run> {
    let told = tempfile::NamedTempFile::new()?;
    let program: PathBuf = program.into();
    let began = Instant::now();
    let status = Command::new("/usr/bin/time")
        .args(["-q", "-f", "%U %S %M", "-o"])
        .arg(told.path())
        .arg(&program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run time(1)")?;
    let wall = began.elapsed().as_secs_f64();
    // Both say 1 for "differs"; ours says 3 for "undetermined", and `timeout` 124.
    let code = status.code().context("the program was killed")?;
    ensure!([0, 1, 3, 124].contains(&code), "{} failed with {code}", program.display());
    let text = std::fs::read_to_string(told.path())?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next().context("time(1) said nothing")?.context("time(1) said no number");
    let (user, system, peak) = (next()?, next()?, next()?);
    Ok(Run { cpu: user + system, wall, peak_mib: peak / 1024.0 })
}
