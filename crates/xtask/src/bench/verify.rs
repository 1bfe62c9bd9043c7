//! Verification of one artifact and `--help`, against starting a program that does nothing; and what one bundle costs
//! among many.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use super::{countersign, measure, median, must};

const RUNS: usize = 41;
/// Files of a folder that is verified by one process.
const FILES: usize = 400;

pub(super) fn run() -> Result<()> {
    let program = crate::program("release")?;
    crate::must(Command::new("cargo").args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "countersign-verifier",
    ]))?;
    let small = program.with_file_name("countersign-verify");
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    fs::create_dir(folder.path().join("dist"))?;
    fs::write(folder.path().join("source"), vec![7; 1 << 20])?;
    for arguments in [
        &["init"][..],
        &["run", "-q", "--output", "dist/*", "--", "cp", "source", "dist/artifact"],
        &["sign", "dist/artifact"],
    ] {
        must(&mut countersign(&program, folder.path(), arguments))?;
    }
    let verify = ["verify", "dist/artifact", "--trust", ".countersign/trust.json"];
    let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        let commands: [(&Path, &[&str]); 4] = [
            (Path::new("true"), &[]),
            (&program, &["--help"]),
            (&program, &verify),
            (&small, &["--trust", ".countersign/trust.json", "dist/artifact"]),
        ];
        for (times, (program, arguments)) in times.iter_mut().zip(commands) {
            let began = Instant::now();
            must(&mut countersign(program, folder.path(), arguments))?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let [bare, help, verify, alone] = times.each_ref().map(|times| median(times));
    println!("{RUNS} interleaved runs, medians: true {bare:.2} ms");
    println!("  --help                          {help:.2} ms   {:.1}× true", help / bare);
    println!("  verify (1 MiB, two bundles)     {verify:.2} ms   {:.1}× true", verify / bare);
    println!("  countersign-verify, the same    {alone:.2} ms   {:.1}× true", alone / bare);
    many(folder.path(), &small)
}

/// A folder of equal files, each with the bundle of the release alone: what one more costs.
fn many(folder: &Path, program: &Path) -> Result<()> {
    let large = folder.join("many");
    fs::create_dir(&large)?;
    fs::write(folder.join("source"), b"small")?;
    let program_of = crate::program("release")?;
    for arguments in [
        &["run", "-q", "--product", "small", "--output", "dist/*", "--", "cp", "source", "dist/artifact"][..],
        &["sign", "dist/artifact"],
    ] {
        must(&mut countersign(&program_of, folder, arguments))?;
    }
    for number in 0..FILES {
        fs::copy(folder.join("dist/artifact"), large.join(format!("{number}")))?;
        fs::copy(folder.join("dist/artifact.sigstore.json"), large.join(format!("{number}.sigstore.json")))?;
    }
    let arguments = ["--trust", ".countersign/trust.json", "many"];
    let mut costs = Vec::new();
    for _ in 0..5 {
        let cost = measure(|| must(&mut countersign(program, folder, &arguments)))?;
        costs.push(cost);
    }
    let each = |value: f64| value * 1000.0 / FILES as f64;
    let cpu = median(&costs.iter().map(|cost| each(cost.cpu)).collect::<Vec<_>>());
    let wall = median(&costs.iter().map(|cost| each(cost.wall)).collect::<Vec<_>>());
    println!("  {FILES} files by one process       {cpu:.2} ms CPU, {wall:.2} ms wall a bundle");
    Ok(())
}
