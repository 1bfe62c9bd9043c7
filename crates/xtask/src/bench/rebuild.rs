//! Five real projects, each recorded and rebuilt under other conditions: C, Rust, a Python wheel, an npm tarball, a Debian package from
//! its source package. Their sources come from the registries; the table says what came out as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{countersign, must, projects};

/// A project, what it makes, and how.
struct Project {
    name: &'static str,
    folder: PathBuf,
    build: String,
    output: &'static str,
}

const NAMES: &[&str] = &["lua", "memchr", "packaging", "semver", "hello"];

/// Rebuilds all, or one.
pub(super) fn run(only: &str) -> Result<()> {
    let program = crate::program("dev")?;
    let below = tempfile::Builder::new().prefix("rebuild-").tempdir()?;
    let mut table = vec![
        "| project | kind | outputs the same | what differs, and why |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    let mut variations = Vec::new();
    for name in NAMES.iter().filter(|name| name.contains(only)) {
        let (kind, project) = prepare(name, below.path()).with_context(|| (*name).to_owned())?;
        let answer = one(&program, &project).with_context(|| (*name).to_owned())?;
        let outputs =
            answer["outputs"].as_array().with_context(|| format!("{name}: not rebuilt: {answer}"))?;
        let same = outputs.iter().filter(|output| output["same"] == true).count();
        let why: Vec<&str> = answer["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|finding| finding["because"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .take(3)
            .collect();
        let why = if why.is_empty() { "nothing".to_owned() } else { why.join("; ") };
        table.push(format!("| {} | {kind} | {same} of {} | {why} |", project.name, outputs.len()));
        variations = answer["variations"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        println!("{}", table.last().map_or("", String::as_str));
    }
    println!("\n{}\n\nvaried: {}", table.join("\n"), variations.join("; "));
    Ok(())
}

fn one(program: &Path, project: &Project) -> Result<Value> {
    must(&mut countersign(program, &project.folder, &["init"]))?;
    let run =
        ["run", "--product", project.name, "--output", project.output, "--", "sh", "-c", &project.build];
    must(&mut countersign(program, &project.folder, &run))?;
    let mut rebuild = vec!["rebuild", "latest", "--bisect", "--json"];
    // Cargo waits by the clock, and for ever if that is not the kernel's.
    if project.name != "memchr" {
        rebuild.push("--vary-clock");
    }
    let output = countersign(program, &project.folder, &rebuild).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{}: {said}", project.name))
}

fn prepare(name: &'static str, below: &Path) -> Result<(&'static str, Project)> {
    Ok(match name {
        "lua" => {
            let lua = projects::write("lua", below)?;
            let build = "make -s -j2 dist".to_owned();
            ("C", Project { name, folder: lua.folder, build, output: "dist/*" })
        }
        "memchr" => ("Rust", rust(name, "2.7.6", below)?),
        "packaging" => ("Python wheel", wheel(name, "25.0", below)?),
        "semver" => ("npm tarball", npm(name, "7.7.3", below)?),
        "hello" => ("Debian package", debian(name, below)?),
        other => bail!("no project `{other}`"),
    })
}

/// A library from crates.io with its dependencies beside it, so that it builds without the net and without a home.
fn rust(name: &'static str, version: &str, below: &Path) -> Result<Project> {
    let (fetch, folder) = (below.join("fetch"), below.join(name));
    fs::create_dir_all(fetch.join("src"))?;
    fs::write(fetch.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\n{name} = \"={version}\"\n"
    );
    fs::write(fetch.join("Cargo.toml"), manifest)?;
    must(crate::command("cargo").args(["vendor", "--quiet", "vendor"]).current_dir(&fetch))?;
    fs::rename(fetch.join("vendor").join(name), &folder)?;
    // The checksums of a vendored copy are for its own place.
    fs::remove_file(folder.join(".cargo-checksum.json")).ok();
    let vendored = crate::command("cargo")
        .args(["vendor", "--quiet", "--locked", "vendor"])
        .current_dir(&folder)
        .output()?;
    ensure!(vendored.status.success(), "{}", String::from_utf8_lossy(&vendored.stderr));
    fs::create_dir_all(folder.join(".cargo"))?;
    let config =
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
    fs::write(folder.join(".cargo/config.toml"), config)?;
    let toolchain = Command::new("rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = String::from_utf8(toolchain.stdout)?.trim().to_owned();
    let build = format!(
        "PATH={sysroot}/bin:$PATH CARGO_HOME=$PWD/.home CARGO_TARGET_DIR=target CARGO_INCREMENTAL=0 cargo build -q --release --offline --locked"
    );
    Ok(Project { name, folder, build, output: "target/release/libmemchr.rlib" })
}

/// A source distribution from PyPI, built by its own backend in an environment beside it.
fn wheel(name: &'static str, version: &str, below: &Path) -> Result<Project> {
    let (python, folder) = (below.join("python"), below.join(name));
    must(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    let pip = |words: &[&str]| {
        let mut command = Command::new(python.join("bin/pip"));
        command.arg("--disable-pip-version-check").args(words).current_dir(below);
        must(&mut command)
    };
    pip(&["install", "-q", "flit_core==3.12.0"])?;
    pip(&[
        "download",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-binary",
        ":all:",
        "-d",
        "sdist",
        &format!("{name}=={version}"),
    ])?;
    unpack(&below.join("sdist"), &folder)?;
    let build = format!("mkdir -p dist && {}/bin/python -m flit_core.wheel --outdir dist", python.display());
    Ok(Project { name, folder, build, output: "dist/*.whl" })
}

/// A package from npm, packed again.
fn npm(name: &'static str, version: &str, below: &Path) -> Result<Project> {
    let (folder, parts) = (below.join(name), below.join("tarball"));
    fs::create_dir_all(&parts)?;
    must(Command::new("npm").args(["pack", "--silent", &format!("{name}@{version}")]).current_dir(&parts))?;
    unpack(&parts, &folder)?;
    let build = "mkdir -p dist && npm pack --silent --ignore-scripts --offline --cache $PWD/.cache --pack-destination dist";
    Ok(Project { name, folder, build: build.into(), output: "dist/*.tgz" })
}

/// A source package of Debian, built by its own rules but for its tests, which want more programs. It is unpacked within the recorded
/// build, which writes over some of its sources: what is repeated begins with the source package.
fn debian(name: &'static str, below: &Path) -> Result<Project> {
    let folder = below.join(name);
    fs::create_dir(&folder)?;
    projects::source_package(&folder, name)?;
    let described = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "dsc"))
        .context("no description of the source package")?;
    let described = described.file_name().and_then(|name| name.to_str()).context("not a name")?.to_owned();
    let build = format!(
        "dpkg-source --no-check -x {described} {name} && cd {name} && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -b -us -uc -d"
    );
    Ok(Project { name, folder, build, output: "*.deb" })
}

/// Unpacks the one archive in a folder, without its top folder.
fn unpack(from: &Path, to: &Path) -> Result<()> {
    let archive = fs::read_dir(from)?.flatten().next().context("nothing was downloaded")?.path();
    fs::create_dir_all(to)?;
    must(Command::new("tar").args(["--strip-components=1", "-xf"]).arg(archive).arg("-C").arg(to))
}
