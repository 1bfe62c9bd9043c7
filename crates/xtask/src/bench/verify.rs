//! Verification of one artifact and `--help`, against starting a program that does nothing.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::{countersign, median, must};

const RUNS: usize = 41;

pub(super) fn run() -> Result<()> {
    let program = crate::program("release")?;
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
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        let commands: [(&Path, &[&str]); 3] = [
            (Path::new("true"), &[]),
            (&program, &["--help"]),
            (&program, &["verify", "dist/artifact", "--trust", ".countersign/trust.json"]),
        ];
        for (times, (program, arguments)) in times.iter_mut().zip(commands) {
            let began = Instant::now();
            must(&mut countersign(program, folder.path(), arguments))?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let [bare, help, verify] = times.each_ref().map(|times| median(times));
    println!("{RUNS} interleaved runs, medians: true {bare:.2} ms");
    println!("  --help                {help:.2} ms   {:.1}× true", help / bare);
    println!("  verify (1 MiB file)   {verify:.2} ms   {:.1}× true", verify / bare);
    Ok(())
}
