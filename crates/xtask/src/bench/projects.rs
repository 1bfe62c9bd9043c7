//! The projects that are built: each is written once, and brought back to its beginning before every build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A project in a folder, how to build it, and how to undo that.
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
    pub(crate) build: &'static str,
    pub(crate) clean: &'static str,
}

/// Writes a project below a folder.
pub(crate) fn write(name: &str, below: &Path) -> Result<Project> {
    let folder = below.join(name);
    fs::create_dir(&folder)?;
    match name {
        "lua" => {
            crate::lua::write(&folder)?;
            Ok(Project { folder, build: "make -s -j2 dist", clean: "make -s clean" })
        }
        "xz" => xz(folder),
        "cargo" => cargo(folder),
        other => bail!("`{other}` is not one of lua, xz, cargo"),
    }
}

/// The configure script of XZ Utils, from its Debian source package: thousands of small programs and few compiles.
fn xz(folder: PathBuf) -> Result<Project> {
    let archive = match std::env::var_os("COUNTERSIGN_BENCH_XZ") {
        Some(archive) => PathBuf::from(archive),
        None => {
            source_package(&folder, "xz-utils")
                .context("cannot get the source of xz-utils; name its archive in COUNTERSIGN_BENCH_XZ")?;
            let archive = fs::read_dir(&folder)?
                .flatten()
                .map(|entry| entry.path())
                .find(|path| path.to_string_lossy().contains(".orig.tar."));
            archive.context("the source package has no archive")?
        }
    };
    let unpack = [
        "-xf",
        archive.to_str().context("a path that is not text")?,
        "--strip-components=1",
        "--one-top-level=build",
    ];
    super::must(Command::new("tar").args(unpack).current_dir(&folder))?;
    Ok(Project {
        folder: folder.join("build"),
        build: "./configure -q --disable-dependency-tracking",
        clean: "make -s distclean 2>/dev/null; rm -rf config.log config.status confdefs.h conftest* Makefile",
    })
}

/// Downloads a source package with lists of its own, so that the machine's stay as they are.
pub(crate) fn source_package(folder: &Path, name: &str) -> Result<()> {
    let (lists, parts) = (folder.join("lists"), folder.join("sources"));
    fs::create_dir_all(lists.join("partial"))?;
    fs::create_dir_all(&parts)?;
    // The machine's own sources, in both forms (`sources.list(5)`), for source packages.
    let mut machine = vec![PathBuf::from("/etc/apt/sources.list")];
    machine.extend(fs::read_dir("/etc/apt/sources.list.d")?.flatten().map(|entry| entry.path()));
    for path in machine.iter().filter(|path| path.is_file()) {
        let name = path.file_name().context("a file without a name")?;
        let of_sources = |line: &str| match line.strip_prefix("deb ") {
            Some(rest) => format!("deb-src {rest}\n"),
            None if line.starts_with("Types:") => "Types: deb-src\n".to_owned(),
            None => format!("{line}\n"),
        };
        fs::write(parts.join(name), fs::read_to_string(path)?.lines().map(of_sources).collect::<String>())?;
    }
    for step in [&["update"][..], &["source", "--download-only", name]] {
        let options = [
            "Dir::Etc::sourcelist=-".into(),
            format!("Dir::Etc::sourceparts={}", parts.display()),
            format!("Dir::State::Lists={}", lists.display()),
            "APT::Get::List-Cleanup=0".into(),
        ];
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        super::must(command.args(["-qq"]).args(step).current_dir(folder))?;
    }
    Ok(())
}

/// A Rust project with dependencies: our own vocabulary, in a workspace of its own, offline.
fn cargo(folder: PathBuf) -> Result<Project> {
    let root = crate::root();
    let copied = Command::new("cp").arg("-r").arg(root.join("crates/evidence")).arg(&folder).status()?;
    ensure!(copied.success(), "cannot copy a crate");
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    // The workspace's own settings, with one member.
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: String = manifest
        .lines()
        .map(|line| if line.starts_with("members") { "members = [\"evidence\"]" } else { line })
        .filter(|line| !line.contains("path = \"crates/") && !line.starts_with("exclude"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let build = "CARGO_TARGET_DIR=target cargo build -q --offline";
    super::must(crate::command("sh").args(["-c", build]).current_dir(&folder))?;
    Ok(Project { folder, build, clean: "rm -rf target" })
}
