//! Things outside the build that a case meets: a process, shared memory. They go when the case is over.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::probes::probes;

/// A process that no recorder sees, and its number.
pub(super) struct Bystander(Child);

impl Bystander {
    pub(super) fn wait() -> Self {
        Self(Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap())
    }

    pub(super) fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A segment or queue that somebody else has made, and its number.
pub(super) struct Shared {
    kind: &'static str,
    pub(super) id: String,
}

impl Shared {
    pub(super) fn make(kind: &'static str) -> Self {
        let made = Command::new(probes()).arg(format!("make-{kind}")).output().unwrap();
        Self { kind, id: String::from_utf8(made.stdout).unwrap() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        Command::new(probes()).args([&format!("drop-{}", self.kind), &self.id]).status().ok();
    }
}

pub(super) fn compile(source: &Path, program: &Path, options: &[&str]) {
    let built = Command::new("gcc")
        .args(["-O1", "-w", "-o"])
        .arg(program)
        .arg(source)
        .args(options)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}
