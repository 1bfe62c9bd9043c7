//! Every occurrence of every writing system call of `sign` fails in turn, with an input/output error and with a full
//! disk; then the store must be sound, the log must go on from the checkpoint that was published before, and signing
//! again must succeed. By `strace`'s fault injection: the program under test is the one that is released.

pub(crate) mod served;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// What writes, makes, names, takes away or makes durable.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "unlink",
    "unlinkat",
    "ftruncate",
    "linkat",
    "flock",
    "fchmod",
];
const ERRORS: &[&str] = &["EIO", "ENOSPC"];

pub(crate) fn run(every: usize) -> Result<()> {
    ensure!(Command::new("strace").arg("--version").output().is_ok(), "this needs strace");
    let program = crate::program("dev")?;
    let folder = tempfile::Builder::new().prefix("faults-").tempdir()?;
    let store = folder.path().join(".countersign");
    let release = |content: &str| -> Result<()> {
        fs::write(folder.path().join("source"), content)?;
        let run =
            ["run", "-q", "--product", content, "--output", "artifact", "--", "cp", "source", "artifact"];
        must(&program, folder.path(), &run)
    };
    must(&program, folder.path(), &["init"])?;
    release("one")?;
    must(&program, folder.path(), &["sign", "artifact"])?;
    fs::copy(store.join("log/checkpoint"), folder.path().join("kept"))?;
    release("two")?;
    let before = folder.path().join("before");
    copy(&store, &before)?;
    let (mut tried, mut survived, mut failed) = (0, 0, Vec::new());
    for call in CALLS {
        let count = occurrences(&program, folder.path(), call)?;
        restore(&before, &store)?;
        for number in (1..=count).step_by(every) {
            for error in ERRORS {
                let inject = format!("inject={call}:error={error}:when={number}");
                let output = traced(&program, folder.path(), &["-e", &inject])?;
                tried += 1;
                survived += usize::from(output.status.success());
                let sound = ask(&program, folder.path(), &["fsck"])?.success()
                    && ask(&program, folder.path(), &["log", "check", "--against", "kept"])?.success()
                    && ask(&program, folder.path(), &["sign", "artifact"])?.success()
                    && ask(&program, folder.path(), &["verify", "artifact"])?.success();
                if !sound {
                    failed.push(inject);
                }
                restore(&before, &store)?;
                for name in ["artifact.sigstore.json", "artifact.provenance.sigstore.json"] {
                    fs::remove_file(folder.path().join(name)).ok();
                }
            }
        }
        println!("{call}: {count} occurrences");
    }
    println!(
        "{tried} faults; {survived} times `sign` went on, else it ended with an error; {} left damage",
        failed.len()
    );
    ensure!(failed.is_empty(), "not sound after {}", failed.join(", "));
    Ok(())
}

/// How often `sign` makes a call, counted by letting it run.
fn occurrences(program: &Path, folder: &Path, call: &str) -> Result<usize> {
    let log = folder.join("calls");
    let trace = format!("trace={call}");
    let path = log.display().to_string();
    let output = traced(program, folder, &["-e", &trace, "-o", &path])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&log)?;
    Ok(text.lines().filter(|line| line.contains(&format!("{call}("))).count())
}

fn traced(program: &Path, folder: &Path, options: &[&str]) -> Result<Output> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options);
    if !options.contains(&"-o") {
        command.args(["-o", "/dev/null"]);
    }
    command.arg(program).args(["sign", "artifact"]);
    Ok(environment(&mut command, folder).output()?)
}

fn ask(program: &Path, folder: &Path, arguments: &[&str]) -> Result<std::process::ExitStatus> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(environment(&mut command, folder).status()?)
}

fn must(program: &Path, folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = environment(Command::new(program).args(arguments), folder).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn environment<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .current_dir(folder)
        .env_remove("COUNTERSIGN_STORE")
        .env("COUNTERSIGN_PASSPHRASE", "only for these faults")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().context("cannot run cp")?;
    ensure!(status.success(), "cannot copy the store");
    Ok(())
}

fn restore(before: &Path, store: &Path) -> Result<()> {
    fs::remove_dir_all(store)?;
    copy(before, store)
}
