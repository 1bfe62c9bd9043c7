//! The quality of judgement: what `compare` finds between consecutive real releases, and in real releases that were
//! attacked with harmless markers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::must;

const RELEASES: &str = include_str!("drift/releases.txt");
const ATTACKS: &str = include_str!("drift/attacks.py");

/// More findings of this severity a pair of honest releases would be noise.
const HIGH_MAX_A_PAIR: f64 = 0.1;

/// What the attacks are made from besides the releases of the list: it holds a library that Microsoft has signed.
const SIGNED: Release =
    Release { registry: "pypi", name: "pyqt5-qt5", version: "5.15.2", platform: "windows" };

/// One release of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release<'a> {
    pub(super) registry: &'a str,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) platform: &'a str,
}

/// What was found: how often each code at each severity.
type Found = BTreeMap<(String, String), usize>;

/// Compares all honest pairs (whose name contains a text) and all attacks.
pub(super) fn run(only: &str) -> Result<()> {
    let program = crate::program("release")?;
    let cache = folder()?;
    let honest = honest(&program, &cache, only)?;
    let attacks = attacks(&program, &cache)?;
    ensure!(honest && attacks, "the goals are not reached");
    Ok(())
}

/// Where releases are kept between runs.
pub(super) fn folder() -> Result<PathBuf> {
    let metadata = crate::metadata()?;
    let target = metadata["target_directory"].as_str().context("no target folder")?;
    let folder = Path::new(target).join("releases");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn honest(program: &Path, cache: &Path, only: &str) -> Result<bool> {
    let mut sum: BTreeMap<String, usize> = BTreeMap::new();
    let (mut pairs, mut absent) = (0_usize, 0_usize);
    println!("Consecutive honest releases; findings by severity:");
    for line in RELEASES.lines().filter(|line| !line.starts_with('#') && line.contains(only)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [registry, name, old, new, ref rest @ ..] = words[..] else { bail!("malformed line: {line}") };
        let platform = rest.first().copied().unwrap_or("");
        let of = |version| fetch(cache, Release { registry, name, version, platform });
        let (old, new) = match (of(old), of(new)) {
            (Ok(old), Ok(new)) => (old, new),
            // A mirror keeps few versions of a package; registries keep all.
            (Err(error), _) | (_, Err(error)) if registry == "deb" => {
                println!("  ABSENT {line}: {error:#}");
                absent += 1;
                continue;
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let (verdict, found) = compare(program, &old, &new)?;
        pairs += 1;
        for ((severity, _), count) in &found {
            *sum.entry(severity.clone()).or_default() += count;
        }
        let loud: Vec<String> = found
            .iter()
            .filter(|((severity, _), _)| severity != "info" && severity != "low")
            .map(|((severity, code), count)| format!("{severity} {code} ×{count}"))
            .collect();
        println!("  {line}: {verdict}; {}", if loud.is_empty() { "quiet".into() } else { loud.join(", ") });
    }
    ensure!(pairs > 0, "no pair of releases has `{only}` in its line");
    let count = |severity: &str| sum.get(severity).copied().unwrap_or(0);
    let a_pair = |severity: &str| count(severity) as f64 / pairs as f64;
    println!("{pairs} honest pairs ({absent} absent); findings a pair:");
    for severity in ["critical", "high", "medium", "low", "info"] {
        println!("  {severity:8} {:5}  {:.2}", count(severity), a_pair(severity));
    }
    Ok(count("critical") == 0 && a_pair("high") <= HIGH_MAX_A_PAIR)
}

fn attacks(program: &Path, cache: &Path) -> Result<bool> {
    fetch(cache, SIGNED)?;
    for (name, platform) in
        [("numpy", "windows"), ("numpy", "linux"), ("numpy", "macos"), ("cryptography", "windows")]
    {
        for version in if name == "numpy" { ["2.1.2", "2.1.3"] } else { ["43.0.1", "43.0.3"] } {
            fetch(cache, Release { registry: "pypi", name, version, platform })?;
        }
    }
    for version in ["0.24.0", "0.24.2"] {
        fetch(cache, Release { registry: "npm", name: "esbuild", version, platform: "" })?;
    }
    let work = tempfile::Builder::new().prefix("drift-").tempdir()?;
    let script = work.path().join("attacks.py");
    fs::write(&script, ATTACKS)?;
    println!("Attacks on real releases, each over an unchanged release and over an honest update:");
    let (mut seen, mut missed) = (0, 0);
    let list = Command::new("python3").arg(&script).arg("--list").output()?;
    ensure!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    for name in String::from_utf8(list.stdout)?.lines() {
        let pair = work.path().join("pair");
        if pair.exists() {
            fs::remove_dir_all(&pair)?;
        }
        // Prints, line by line, the old artifact, the new one, and the member that was attacked.
        let made = Command::new("python3").arg(&script).args([cache, &pair]).arg(name).output()?;
        ensure!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
        let made = String::from_utf8(made.stdout)?;
        let mut lines = made.lines();
        let (Some(old), Some(new), Some(member)) = (lines.next(), lines.next(), lines.next()) else {
            bail!("{name}: the attack says nothing")
        };
        let (verdict, found) = compare_at(program, Path::new(old), Path::new(new), member)?;
        let codes: Vec<String> = found
            .keys()
            .filter(|(severity, _)| severity == "high" || severity == "critical")
            .map(|(severity, code)| format!("{severity} {code}"))
            .collect();
        if codes.is_empty() {
            missed += 1;
        } else {
            seen += 1;
        }
        println!(
            "  {name}: {}",
            if codes.is_empty() { format!("MISSED ({verdict})") } else { codes.join(", ") }
        );
    }
    println!(
        "{seen} of {} attacks found at high or critical, at the member that was attacked",
        seen + missed
    );
    Ok(missed == 0)
}

/// Gets the one file of a release; what was fetched once is kept.
pub(super) fn fetch(cache: &Path, release: Release) -> Result<PathBuf> {
    let Release { registry, name, version, platform } = release;
    let folder = cache.join(format!("{registry}-{}-{version}-{platform}", name.replace('/', "+")));
    let only = || -> Result<PathBuf> {
        let mut files = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
        let first = files.next().context("nothing was downloaded")?;
        ensure!(files.next().is_none(), "{} has more than one file", folder.display());
        Ok(first)
    };
    if let Ok(file) = only() {
        return Ok(file);
    }
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let mut command = match registry {
        "pypi" => {
            let mut command = Command::new("python3");
            command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
            command.args(["--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]);
            for tag in platform_tags(platform)? {
                command.args(["--platform", tag]);
            }
            command.arg(format!("{name}=={version}"));
            command
        }
        "npm" => {
            let mut command = Command::new("npm");
            command.args(["pack", "--silent", &format!("{name}@{version}")]);
            command
        }
        "deb" => {
            let mut command = Command::new("apt-get");
            command.args(["-qq", "download", &format!("{name}={version}")]);
            command
        }
        other => bail!("`{other}` is not a registry"),
    };
    must(command.current_dir(&partial))?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&partial, &folder)?;
    only()
}

fn platform_tags(platform: &str) -> Result<&'static [&'static str]> {
    Ok(match platform {
        "windows" => &["win_amd64"],
        "linux" => &["manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64"],
        "macos" => &[
            "macosx_14_0_arm64",
            "macosx_12_0_arm64",
            "macosx_11_0_arm64",
            "macosx_10_15_universal2",
            "macosx_10_9_universal2",
        ],
        other => bail!("`{other}` is not a platform"),
    })
}

fn compare(program: &Path, old: &Path, new: &Path) -> Result<(String, Found)> {
    compare_at(program, old, new, "")
}

/// Compares two artifacts, and counts what is found at a member.
fn compare_at(program: &Path, old: &Path, new: &Path, member: &str) -> Result<(String, Found)> {
    let output = crate::command(program).args(["compare", "--json"]).args([old, new]).output()?;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}", String::from_utf8_lossy(&output.stderr)))?;
    let mut found = Found::new();
    for finding in document["findings"].as_array().context("no findings")? {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("malformed finding");
        if finding["subject"]["path"].as_str().is_some_and(|path| path.contains(member)) {
            *found.entry((text(&finding["severity"])?, text(&finding["code"])?)).or_default() += 1;
        }
    }
    Ok((document["verdict"].as_str().context("no verdict")?.to_owned(), found))
}
