//! The smallest build system, shown on a real one: a machine made by `debootstrap`, three recorded builds, the list of what they do not
//! need, and the same builds with the same results in a copy from which that list was removed. Needs root, because a system is installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::images::MIRROR;
use crate::bench::projects;

/// What the machine has besides the smallest system: what its owners once needed.
const INSTALLED: &str = "build-essential,python3-setuptools,python3-wheel,nodejs,ruby,cmake,git,openssh-server,openssh-client,curl,\
    jq,vim-tiny,rsync,ca-certificates";

/// A project below `/projects` of the machine, and how it is built there.
const PROJECTS: [(&str, &str); 3] = [
    ("lua", "make -s -j2 dist"),
    (
        "xz",
        "./configure -q --disable-dependency-tracking && make -s && mkdir -p dist && cp src/xz/.libs/xz src/liblzma/.libs/liblzma.a dist",
    ),
    ("wheel", "SOURCE_DATE_EPOCH=1700000000 python3 setup.py -q bdist_wheel"),
];

pub(crate) fn run() -> Result<()> {
    let program = crate::program("release")?;
    let below = tempfile::Builder::new().prefix("unused-").tempdir()?;
    let machine = below.path().join("machine");
    install(&machine)?;
    fs::copy(&program, machine.join("usr/local/bin/countersign"))?;
    write_projects(&machine.join("projects"), below.path())?;
    let clean = below.path().join("clean");
    crate::must(Command::new("cp").arg("-a").args([machine.join("projects"), clean.clone()]))?;

    within(&machine, "cd /projects && countersign init")?;
    for (name, build) in PROJECTS {
        let record = format!(
            "cd /projects/{name} && countersign run -q --product {name} --output 'dist/*' -- sh -c '{build}'"
        );
        within(&machine, &record)?;
    }
    let before = sums(&machine)?;
    within(&machine, "cd /projects && countersign inventory collect -q > /dev/null || test $? = 3")?;
    let shown = within(&machine, "cd /projects && countersign inventory unused --since 1d")?;
    println!("$ countersign inventory unused --since 1d\n{shown}");
    let answer = within(&machine, "cd /projects && countersign inventory unused --since 1d --json")?;
    let answer: Value = serde_json::from_str(&answer).context("no document")?;
    let command = answer["command"].as_str().context("no removal command")?;

    let copy = below.path().join("copy");
    crate::must(Command::new("cp").arg("-a").args([&machine, &copy]))?;
    let removal = command.replace(" -s ", " -y ");
    ensure!(removal != command, "the command does not simulate: {command}");
    within(&copy, &format!("DEBIAN_FRONTEND=noninteractive {removal} > /dev/null"))?;
    for (name, build) in PROJECTS {
        let project = copy.join("projects").join(name);
        fs::remove_dir_all(&project)?;
        crate::must(Command::new("cp").arg("-a").args([clean.join(name), project]))?;
        within(&copy, &format!("cd /projects/{name} && sh -c '{build}'"))?;
    }
    let after = sums(&copy)?;
    ensure!(!before.is_empty() && before == after, "the builds made other bytes:\n{before}\n{after}");
    let of = |root: &Path| -> Result<(u64, u64)> { Ok((packages(root)?, kibibytes(root)? / 1024)) };
    let ((packages, size), (packages_left, size_left)) = (of(&machine)?, of(&copy)?);
    println!(
        "{} packages became {packages_left}, {size} MiB became {size_left}; {} files of three builds are the same:\n{after}",
        packages,
        after.lines().count()
    );
    Ok(())
}

/// Installs the machine from where this one gets its packages.
fn install(machine: &Path) -> Result<()> {
    let there = Command::new("debootstrap").arg("--version").output();
    ensure!(there.is_ok_and(|output| output.status.success()), "apt-get install debootstrap");
    let script = format!(
        "{MIRROR}\n. /etc/os-release\ndebootstrap --variant=minbase --include=\"$1\" \"$VERSION_CODENAME\" \"$2\" \"$MIRROR\" > /dev/null"
    );
    crate::must(Command::new("sh").args(["-ec", script.as_str(), "install", INSTALLED]).arg(machine))
}

fn write_projects(work: &Path, below: &Path) -> Result<()> {
    fs::create_dir(work)?;
    projects::write("lua", work)?;
    // Its sources come with the archive beside them.
    let fetched = below.join("fetched");
    fs::create_dir(&fetched)?;
    let xz = projects::write("xz", &fetched)?;
    fs::rename(&xz.folder, work.join("xz"))?;
    let python = below.join("python");
    crate::must(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    let pip = |words: &[&str]| {
        crate::must(
            Command::new(python.join("bin/pip")).args(["-q", "--disable-pip-version-check"]).args(words),
        )
    };
    pip(&["install", "setuptools==75.1.0", "wheel==0.44.0"])?;
    let sdist = below.join("sdist");
    let to = sdist.to_str().context("a path that is not text")?;
    pip(&["download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "-d", to, "six==1.16.0"])?;
    let archive = fs::read_dir(&sdist)?.flatten().next().context("nothing was downloaded")?.path();
    fs::create_dir(work.join("wheel"))?;
    crate::must(
        Command::new("tar")
            .args(["--strip-components=1", "-xf"])
            .arg(archive)
            .arg("-C")
            .arg(work.join("wheel")),
    )
}

/// Runs a script in the machine, which sees `/proc` and `/dev` while it does.
fn within(root: &Path, script: &str) -> Result<String> {
    eprintln!("machine$ {script}");
    let enter =
        "mount -t proc proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && exec chroot \"$1\" sh -c \"$2\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", enter, "within"])
        .arg(root)
        .arg(script)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("COUNTERSIGN_STORE", "/projects/.countersign")
        .env("COUNTERSIGN_PASSPHRASE", "only a measurement")
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{script}` failed in the machine: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The digests of all that was built.
fn sums(root: &Path) -> Result<String> {
    within(root, "cd /projects && find */dist -type f | sort | xargs sha256sum")
}

fn packages(root: &Path) -> Result<u64> {
    Ok(within(root, "dpkg-query -f '${db:Status-Abbrev}\\n' -W | grep -c '^ii'")?.trim().parse()?)
}

/// What the system takes, without the projects.
fn kibibytes(root: &Path) -> Result<u64> {
    let output = Command::new("du").args(["-skx", "--exclude=projects"]).arg(root).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("`du` says nothing")?.parse()?)
}
