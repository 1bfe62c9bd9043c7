//! `compare` beside `diffoscope` on pairs of real releases, in one interleaved run: CPU, wall time, peak memory of the largest process.
//! Then `inspect` of large archives, an image and an installer, which are made of real releases.

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

/// No input takes more memory.
pub(super) const MEMORY_MAX_MIB: f64 = 250e6 / 1048576.0;
const LARGE: &str = include_str!("compare/large.py");
const TREE: &str = "a desktop application's tree";
/// What is opened of the large inputs. Where the program that makes one is missing, so is the file.
const LARGE_INPUTS: [&str; 8] = [
    "large.tar",
    "large.tar.xz",
    "large.tar.zst",
    "large.zip",
    "large.7z",
    "large.iso",
    "large.squashfs",
    "installer.exe",
];

const PAIRS: [[Release; 2]; 5] = [
    [release("pypi", "numpy", "2.1.2", "windows"), release("pypi", "numpy", "2.1.3", "windows")],
    [release("pypi", "numpy", "2.1.2", "linux"), release("pypi", "numpy", "2.1.3", "linux")],
    [release("npm", "typescript", "5.6.2", ""), release("npm", "typescript", "5.6.3", "")],
    [release("pypi", "pyqt6-qt6", "6.7.2", "windows"), release("pypi", "pyqt6-qt6", "6.7.3", "windows")],
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
pub(super) struct Run {
    pub(super) cpu: f64,
    pub(super) wall: f64,
    pub(super) peak_mib: f64,
}

/// Measures the pairs whose name contains a text, and with `tree` and `large` what is made of releases.
pub(super) fn run(only: &str) -> Result<()> {
    let (program, cache) = (crate::program("release")?, folder()?);
    let peer = peer(&cache)?;
    println!("{:44} {:>16} {:>16} {:>10} {:>10}", "pair", "CPU s (ratio)", "wall s (ratio)", "MiB", "theirs");
    for [old, new] in PAIRS {
        let name = format!("{} {} → {} {}", old.name, old.version, new.version, old.platform);
        if !name.contains(only) {
            continue;
        }
        let (old, new) = match (fetch(&cache, old), fetch(&cache, new)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(error), _) | (_, Err(error)) if old.registry == "deb" => {
                println!("{name}: ABSENT: {error:#}");
                continue;
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        pair(&program, &peer, &name, &old, &new)?;
    }
    if TREE.contains(only) {
        let made = large(&cache)?;
        pair(&program, &peer, TREE, &made.join("application-1.0"), &made.join("application-1.1"))?;
    }
    println!(
        "a ratio is what diffoscope takes, divided by what we take; it is ended after {PATIENCE_SECONDS} s"
    );
    if "large".contains(only) { large_inputs(&program, &large(&cache)?) } else { Ok(()) }
}

/// Opens the large inputs.
fn large_inputs(program: &Path, made: &Path) -> Result<()> {
    println!("\n{:20} {:>10} {:>10} {:>10} {:>10}", "inspect", "MB", "CPU s", "wall s", "MiB");
    for name in LARGE_INPUTS {
        let file = made.join(name);
        let Ok(facts) = std::fs::metadata(&file) else {
            println!("{name}: ABSENT");
            continue;
        };
        let run = measured(program, &[Path::new("inspect"), &file])?;
        let size = facts.len() as f64 / 1e6;
        println!("{name:20} {size:>10.0} {:>10.2} {:>10.2} {:>10.0}", run.cpu, run.wall, run.peak_mib);
        ensure!(run.peak_mib <= MEMORY_MAX_MIB, "{name} took {:.0} MiB", run.peak_mib);
    }
    Ok(())
}

/// Measures one pair.
fn pair(program: &Path, peer: &Path, name: &str, old: &Path, new: &Path) -> Result<()> {
    let mut ours = Vec::new();
    let mut theirs = None;
    for round in 0..ROUNDS {
        ours.push(measured(program, &[Path::new("compare"), old, new])?);
        if round == ROUNDS / 2 {
            let mut arguments = ["-k", "5", PATIENCE_SECONDS].map(Path::new).to_vec();
            arguments.extend([peer, Path::new("--text"), Path::new("/dev/null"), old, new]);
            theirs = Some(measured(Path::new("timeout"), &arguments)?);
        }
    }
    let theirs = theirs.context("the peer has not run")?;
    let of = |part: fn(&Run) -> f64| median(&ours.iter().map(part).collect::<Vec<_>>());
    let (cpu, wall, peak) = (of(|run| run.cpu), of(|run| run.wall), of(|run| run.peak_mib));
    println!(
        "{name:44} {:>16} {:>16} {peak:>10.0} {:>10.0}",
        format!("{cpu:.2} ({:.0}×)", theirs.cpu / cpu),
        format!("{wall:.2} ({:.0}×)", theirs.wall / wall),
        theirs.peak_mib
    );
    ensure!(peak <= MEMORY_MAX_MIB, "{name} took {peak:.0} MiB");
    Ok(())
}

/// Makes the large inputs, once.
fn large(cache: &Path) -> Result<PathBuf> {
    let folder = cache.with_file_name("large");
    if folder.join("installer.exe").exists() {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let mut command = Command::new("python3");
    command.args(["-c", LARGE]).arg(&folder);
    for (number, version) in ["6.7.2", "6.7.3"].into_iter().enumerate() {
        if number > 0 {
            command.arg("--");
        }
        for name in ["pyqt6-qt6", "pyqt6-webengine-qt6"] {
            command.arg(fetch(cache, release("pypi", name, version, "windows"))?);
        }
    }
    must(&mut command)?;
    Ok(folder)
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
pub(super) fn measured(program: &Path, arguments: &[&Path]) -> Result<Run> {
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
