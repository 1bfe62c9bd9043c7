//! `fuzz`: runs the fuzz targets on the stable compiler, one reader at a time, with coverage feedback.
//!
//! What is found lies in `fuzz/artifacts`; a defect is mended with a test that shows it. What is new and small goes to
//! `crates/inspect/corpus`, which `cargo test` replays.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// SanitizerCoverage by the compiler's own passes: what libFuzzer needs, without a nightly compiler.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The readers of containers, images and content: one binary, an own corpus each.
const READERS: &[&str] = &[
    "pe",
    "authenticode",
    "catalog",
    "apk",
    "zip",
    "tar",
    "msi",
    "asar",
    "elf",
    "macho",
    "wasm",
    "ar",
    "cpio",
    "rpm",
    "cab",
    "7z",
    "gzip",
    "bzip2",
    "xz",
    "lzma",
    "zstd",
    "lz4",
    "brotli",
    "xar",
    "pbzx",
    "dmg",
    "hfs",
    "apfs",
    "iso",
    "squashfs",
    "ext",
    "fat",
    "partitions",
    "attached",
    "content",
];
/// The targets that are binaries of their own.
const TARGETS: &[&str] =
    &["advisories", "documents", "packages", "locks", "machine", "dns", "hello", "head", "yara"];

/// Inputs are cut to this: what a reader decides stands in headers.
const INPUT_MAX_BYTES: usize = 64 << 10;
/// An input that takes longer is a defect.
const INPUT_MAX_SECONDS: u32 = 10;
/// So is one that needs more memory.
const MEMORY_MAX_MIB: u32 = 1024;
/// What the replayed corpus keeps of a reader.
const KEPT_FILES: usize = 12;
const KEPT_MAX_BYTES: u64 = 4096;

pub(crate) fn run(words: &[&str]) -> Result<()> {
    let mut names = Vec::new();
    let mut seconds = 60_u32;
    let mut keep = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => seconds = words.next().context("`--seconds` needs a number")?.parse()?,
            "--keep" => keep = true,
            "all" => names.extend(READERS.iter().chain(TARGETS)),
            name if READERS.contains(&name) || TARGETS.contains(&name) => names.push(name),
            other => bail!("no target `{other}`; there are: all {} {}", READERS.join(" "), TARGETS.join(" ")),
        }
    }
    ensure!(
        !names.is_empty(),
        "cargo xtask fuzz TARGET… [--seconds N] [--keep]\ntargets: all {} {}",
        READERS.join(" "),
        TARGETS.join(" ")
    );
    let binaries = build()?;
    let mut table = Vec::new();
    for name in names {
        let figures = one(&binaries, name, seconds)?;
        if keep && READERS.contains(&name) {
            kept(&binaries, name)?;
        }
        println!("{figures}");
        table.push(figures);
    }
    println!("\n{}", table.join("\n"));
    Ok(())
}

fn fuzz_root() -> PathBuf {
    crate::root().join("fuzz")
}

/// Builds the targets, and writes the seeds.
fn build() -> Result<PathBuf> {
    let metadata = crate::metadata()?;
    let target = Path::new(metadata["target_directory"].as_str().context("no target folder")?).join("fuzz");
    let manifest = fuzz_root().join("Cargo.toml");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).arg("--manifest-path").arg(&manifest).env("CARGO_TARGET_DIR", &target);
        command
    };
    crate::must(&mut cargo(&["run", "--quiet", "--bin", "seeds"]))?;
    let mut build = cargo(&["build", "--release", "--target", TRIPLE, "--bin", "inspect"]);
    for target in TARGETS {
        build.args(["--bin", target]);
    }
    crate::must(build.env("RUSTFLAGS", FLAGS))?;
    Ok(target.join(TRIPLE).join("release"))
}

fn fuzzer(binaries: &Path, name: &str) -> Command {
    let binary = if READERS.contains(&name) { "inspect" } else { name };
    let mut command = Command::new(binaries.join(binary));
    if READERS.contains(&name) {
        command.env("COUNTERSIGN_FUZZ_READER", name);
    }
    command
}

/// Runs one target for so many seconds of its own CPU time, however busy the machine is; fails on what it finds.
fn one(binaries: &Path, name: &str, seconds: u32) -> Result<String> {
    let corpus = fuzz_root().join("corpus").join(name);
    let artifacts = fuzz_root().join("artifacts").join(name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let began = children_cpu()?;
    let (mut inputs, mut covered, mut memory) = (0, 0, 0);
    let mut spent = 0.0;
    while spent < f64::from(seconds) {
        let left = (f64::from(seconds) - spent).ceil();
        let output = fuzzer(binaries, name)
            .arg(&corpus)
            .arg(format!("-max_total_time={left}"))
            .arg(format!("-max_len={INPUT_MAX_BYTES}"))
            .arg(format!("-timeout={INPUT_MAX_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MAX_MIB}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-print_final_stats=1")
            .output()
            .with_context(|| format!("cannot run the target `{name}`"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let tail: Vec<&str> = said.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("`{name}` found a defect:\n{}", tail.join("\n"));
        }
        inputs += figure(&said, "stat::number_of_executed_units:")?;
        memory = memory.max(figure(&said, "stat::peak_rss_mb:")?);
        covered = covered.max(edges(&said).with_context(|| format!("`{name}` does not say what it covers"))?);
        spent = children_cpu()? - began;
    }
    Ok(format!(
        "| {name} | {spent:.0} s | {inputs} inputs | {covered} edges | {memory} MiB | nothing found |"
    ))
}

/// A number of the statistics at the end.
fn figure(said: &str, key: &str) -> Result<u64> {
    let value = said.lines().find_map(|line| line.strip_prefix(key));
    value.with_context(|| format!("no `{key}`"))?.trim().parse().context("not a number")
}

/// What the last line of progress says of coverage.
fn edges(said: &str) -> Option<u64> {
    said.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "cov:");
        words.nth(1)?.parse().ok()
    })
}

/// The CPU time of ended children, in seconds: the 16th and 17th field of `/proc/self/stat` (proc_pid_stat(5)), in ticks
/// of 10 ms.
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, after) = stat.rsplit_once(')').context("no name in `/proc/self/stat`")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a field is missing")?.parse()?) };
    Ok((ticks(13)? + ticks(14)?) as f64 / 100.0)
}

/// Keeps the smallest inputs that together reach what the corpus reaches.
fn kept(binaries: &Path, name: &str) -> Result<()> {
    let corpus = fuzz_root().join("corpus").join(name);
    let merged = fuzz_root().join("merged").join(name);
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    let status = fuzzer(binaries, name).arg("-merge=1").arg(&merged).arg(&corpus).output()?.status;
    ensure!(status.success(), "the corpus of `{name}` cannot be merged");
    let mut by_size = BTreeMap::new();
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        let size = entry.metadata()?.len();
        if size <= KEPT_MAX_BYTES {
            by_size.insert((size, entry.file_name()), entry.path());
        }
    }
    let into = crate::root().join("crates/inspect/corpus").join(name);
    if into.exists() {
        fs::remove_dir_all(&into)?;
    }
    fs::create_dir_all(&into)?;
    // Spread over the sizes: the smallest alone would all be cut in the header.
    let step = (by_size.len() / KEPT_FILES).max(1);
    for ((_, file), path) in by_size.iter().step_by(step).take(KEPT_FILES) {
        fs::copy(path, into.join(file))?;
    }
    Ok(())
}
