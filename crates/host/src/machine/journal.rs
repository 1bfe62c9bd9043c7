//! The systemd journal, through its own program: `journalctl -o json`, from a cursor on.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where the journal's program is.
const PROGRAM: &str = "/usr/bin/journalctl";
/// There if the journal is being written.
const RUNNING: &str = "/run/systemd/journal/socket";
/// The services that tell of logins and rights.
const SERVICES: &[&str] = &["sshd", "sshd-session", "sshd-auth", "sudo", "su", "login"];

/// Returns the program that reads this machine's journal, if it has one.
pub fn journal_program() -> Option<PathBuf> {
    let there = |path: &str| std::path::Path::new(path).exists();
    (there(PROGRAM) && there(RUNNING)).then(|| PROGRAM.into())
}

/// Reads entries of the services behind a cursor, at most `max` bytes; the last line may be cut.
pub fn journal_after(program: &std::path::Path, cursor: Option<&str>, max: usize) -> io::Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(["--output=json", "--no-pager", "--quiet"]);
    command.args(SERVICES.iter().map(|name| format!("--identifier={name}")));
    command.args(cursor.map(|cursor| format!("--after-cursor={cursor}")));
    // Nothing of ours is its business: the passphrase least of all.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut bytes = Vec::new();
    let read = match child.stdout.take() {
        Some(out) => out.take(max as u64).read_to_end(&mut bytes),
        None => Ok(0),
    };
    let cut = bytes.len() >= max || read.is_err();
    if cut {
        // It still wants to write what is read the next time.
        child.kill().ok();
    }
    let status = child.wait()?;
    read?;
    if !cut && !status.success() {
        return Err(io::Error::other(format!("it ended with {status}")));
    }
    Ok(bytes)
}
