//! A folder with a small C project, and the program run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const PASSPHRASE: &str = "only for these tests";

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The codes of the findings, sorted.
    pub(crate) fn codes(&self) -> Vec<String> {
        let document = self.json();
        let findings = document["findings"].as_array().unwrap().clone();
        let mut codes: Vec<String> =
            findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
        codes.sort();
        codes.dedup();
        codes
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

const MAKEFILE: &str = "all: dist/demo.tar.gz
dist/demo.tar.gz: demo notes.txt
\tmkdir -p dist
\ttar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -czf $@ demo notes.txt
demo: main.c part.h
\tcc -O1 -o $@ main.c
";

impl Sandbox {
    /// A project without a store.
    pub(crate) fn bare() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        sandbox.write("Makefile", MAKEFILE);
        sandbox.write("main.c", "#include \"part.h\"\nint main(void) { return ANSWER - 42; }\n");
        sandbox.write("part.h", "#define ANSWER 42\n");
        sandbox.write("notes.txt", "notes\n");
        sandbox
    }

    /// A project with a store.
    pub(crate) fn new() -> Self {
        let sandbox = Self::bare();
        sandbox.ok(&["init"]);
        sandbox
    }

    /// A project with one recorded, signed release.
    pub(crate) fn released() -> Self {
        let sandbox = Self::new();
        sandbox.build("1.0.0");
        sandbox.ok(&["sign", "dist/demo.tar.gz"]);
        sandbox.ok(&["trust", "export", "trust.json"]);
        sandbox
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("COUNTERSIGN_STORE")
            .env_remove("MAKEFLAGS")
            .env("COUNTERSIGN_PASSPHRASE", PASSPHRASE);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.command(arguments).output().unwrap().into()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> Answer {
        let answer = self.run(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {}{}", answer.out, answer.err);
        answer
    }

    /// Records a clean build.
    pub(crate) fn build(&self, release: &str) -> Value {
        fs::remove_dir_all(self.path("dist")).ok();
        fs::remove_file(self.path("demo")).ok();
        let run = [
            "run",
            "--json",
            "--product",
            "demo",
            "--release",
            release,
            "--output",
            "dist/*.tar.gz",
            "--",
            "make",
            "-s",
        ];
        self.ok(&run).json()
    }
}
