//! Measurements that print a ratio against the bare work, in one interleaved run. Never a test: machines differ.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

const PAIRS: usize = 7;

/// A build of Lua, untraced and recorded, in turns.
pub(crate) fn record() -> Result<()> {
    let program = crate::program("release")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    crate::lua::write(folder.path())?;
    countersign(&program, folder.path(), &["init"])?;
    let build = ["make", "-s", "-j1", "dist"];
    let run = ["run", "-q", "--product", "lua", "--output", "dist/*", "--", "make", "-s", "-j1", "dist"];
    let clean = || must(Command::new("make").args(["-s", "clean"]).current_dir(folder.path()));
    clean()?;
    must(Command::new(build[0]).args(&build[1..]).current_dir(folder.path()))?;
    let (mut bare, mut recorded) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        clean()?;
        bare.push(measure(|| must(Command::new(build[0]).args(&build[1..]).current_dir(folder.path())))?);
        clean()?;
        recorded.push(measure(|| countersign(&program, folder.path(), &run))?);
        eprintln!("pair {}: bare {:?}, recorded {:?}", pair + 1, bare[pair], recorded[pair]);
    }
    let shown = Command::new(&program)
        .args(["show", "latest", "--json"])
        .current_dir(folder.path())
        .env_remove("COUNTERSIGN_STORE")
        .output()?;
    let shown: serde_json::Value =
        serde_json::from_slice(&shown.stdout).context("`show` printed no document")?;
    let segments =
        shown.pointer("/document/segments").and_then(serde_json::Value::as_array).context("no segments")?;
    let sum = |field: &str| segments.iter().filter_map(|segment| segment[field].as_u64()).sum::<u64>();
    let (events, bytes) = (sum("events"), sum("size"));
    let median = |of: fn(&Cost) -> f64, costs: &[Cost]| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let wall = (median(|cost| cost.wall, &bare), median(|cost| cost.wall, &recorded));
    let cpu = (median(|cost| cost.cpu, &bare), median(|cost| cost.cpu, &recorded));
    println!(
        "build of Lua, {PAIRS} interleaved pairs, medians (bare → recorded, with keys, inspection and log):"
    );
    println!("  wall  {:.2} s → {:.2} s   ratio {:.3}", wall.0, wall.1, wall.1 / wall.0);
    println!("  CPU   {:.2} s → {:.2} s   ratio {:.3}", cpu.0, cpu.1, cpu.1 / cpu.0);
    println!("  {events} events, {bytes} bytes sealed, {:.2} bytes an event", bytes as f64 / events as f64);
    Ok(())
}

/// Verification of one artifact and `--help`, against starting a program that does nothing.
pub(crate) fn verify() -> Result<()> {
    const RUNS: usize = 41;
    let program = crate::program("release")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    fs::create_dir(folder.path().join("dist"))?;
    fs::write(folder.path().join("source"), vec![7; 1 << 20])?;
    countersign(&program, folder.path(), &["init"])?;
    countersign(
        &program,
        folder.path(),
        &["run", "-q", "--output", "dist/*", "--", "cp", "source", "dist/artifact"],
    )?;
    countersign(&program, folder.path(), &["sign", "dist/artifact"])?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        let commands: [(&Path, &[&str]); 3] = [
            (Path::new("true"), &[]),
            (&program, &["--help"]),
            (&program, &["verify", "dist/artifact", "--trust", ".countersign/trust.json"]),
        ];
        for (times, (program, arguments)) in times.iter_mut().zip(commands) {
            let began = Instant::now();
            countersign(program, folder.path(), arguments)?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let [bare, help, verify] = times.each_mut().map(median);
    println!("{RUNS} interleaved runs, medians: true {bare:.2} ms");
    println!("  --help                {help:.2} ms   {:.1}× true", help / bare);
    println!("  verify (1 MiB file)   {verify:.2} ms   {:.1}× true", verify / bare);
    Ok(())
}

#[derive(Debug)]
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

fn must(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).env_remove("MAKEFLAGS").status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn countersign(program: &Path, folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env("COUNTERSIGN_PASSPHRASE", "only a measurement")
        .env_remove("COUNTERSIGN_STORE");
    must(&mut command)
}
