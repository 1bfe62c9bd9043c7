//! A folder of its own with a store of its own, in which the real program is run.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Why a drill could not be run. That an attack is missed is no error: it is the score.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// No such control.
    #[error("the drill `{drill}` has no control `{control}`")]
    NoControl {
        /// The drill.
        drill: &'static str,
        /// The control.
        control: String,
    },
    /// A program that the drill needs is not installed.
    #[error("the drill needs `{0}`, which is not installed")]
    NoProgram(String),
    /// The sandbox could not be made or used.
    #[error("cannot use the sandbox")]
    Sandbox(#[from] io::Error),
    /// A preparing step did not do what it should.
    #[error("`countersign {command}` failed in the sandbox: {said}")]
    Step {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
}

/// Opens the keys of the sandbox, which are thrown away with it.
const PASSPHRASE: &str = "a drill, not a secret";

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// The answer of one command.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) document: Value,
}

impl Answer {
    pub(crate) fn verdict(&self) -> &str {
        self.document.get("verdict").and_then(Value::as_str).unwrap_or("none")
    }

    /// All of them, for people.
    pub(crate) fn all(&self) -> Vec<String> {
        self.findings().into_iter().map(|(code, path)| format!("{code}: {path}")).collect()
    }

    /// What denies under one of some codes, about a file whose path ends so, for a reason that has these words.
    pub(crate) fn evidence(&self, codes: &[&str], file: &str, words: &str) -> Vec<String> {
        let found = self.document.get("findings").and_then(Value::as_array);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("?").to_owned();
        let denies = found.into_iter().flatten().filter(|finding| text(finding.get("weight")) == "denies");
        denies
            .filter(|finding| codes.contains(&text(finding.get("code")).as_str()))
            .filter(|finding| text(finding.pointer("/subject/path")).ends_with(file))
            .filter_map(|finding| {
                let reasons = finding.get("because").and_then(Value::as_array);
                let mut reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
                let reason = reasons.find(|reason| reason.contains(words))?;
                Some(format!(
                    "{}: {}, {reason}",
                    text(finding.get("code")),
                    text(finding.pointer("/subject/path"))
                ))
            })
            .collect()
    }

    /// The findings of one code, for people; an error counts where its words are given as a code.
    pub(crate) fn of_code(&self, code: &str) -> Vec<String> {
        let error = self.document.get("error").and_then(Value::as_str).unwrap_or("");
        let found = self.document.get("findings").and_then(Value::as_array);
        let words = |finding: &Value| {
            let because = finding.get("because").and_then(Value::as_array).cloned().unwrap_or_default();
            let because: Vec<&str> = because.iter().filter_map(Value::as_str).collect();
            format!("{code}: {}", because.join("; "))
        };
        found
            .into_iter()
            .flatten()
            .filter(|finding| finding.get("code").and_then(Value::as_str) == Some(code))
            .map(words)
            .chain(error.contains(code).then(|| error.to_owned()))
            .collect()
    }

    /// Lists the findings that deny, or all where nothing is weighed, as code and path.
    pub(crate) fn findings(&self) -> Vec<(String, String)> {
        let findings = self.document.get("findings").and_then(Value::as_array);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("?").to_owned();
        findings
            .into_iter()
            .flatten()
            .filter(|finding| {
                finding.get("weight").and_then(Value::as_str).is_none_or(|weight| weight == "denies")
            })
            .map(|finding| (text(finding.get("code")), text(finding.pointer("/subject/path"))))
            .collect()
    }
}

/// A command that goes on until this is dropped.
pub(crate) struct Started {
    child: Child,
    document: Value,
}

impl Started {
    /// A text of the document that it began with; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.document.get(name).and_then(Value::as_str).unwrap_or("")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a command has said, in order.
pub(crate) struct Watched {
    lines: Vec<String>,
}

impl Watched {
    /// The lines with certain words that came before a line with others, which must be there.
    pub(crate) fn before(&self, end: &str, words: &str) -> Vec<String> {
        let Some(end) = self.lines.iter().position(|line| line.contains(end)) else { return Vec::new() };
        self.lines[..end].iter().filter(|line| line.contains(words)).cloned().collect()
    }
}

impl Sandbox {
    pub(crate) fn new(program: &Path) -> Result<Self, DrillError> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("countersign-drill-").tempdir()?,
            program: program.to_path_buf(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), DrillError> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, content)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("COUNTERSIGN_STORE")
            .env("COUNTERSIGN_PASSPHRASE", PASSPHRASE);
        command
    }

    /// Runs a command and reads its document.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Answer, DrillError> {
        let output = self.command(arguments).arg("--json").output()?;
        let document = serde_json::from_slice(&output.stdout).map_err(|_| failed(arguments, &output))?;
        Ok(Answer { code: output.status.code(), document })
    }

    /// Lets the policy pass some codes: controls that are switched off.
    pub(crate) fn allow(&self, codes: &[&str]) -> Result<(), DrillError> {
        let lines: String = codes.iter().map(|code| format!("{code} = \"allow\"\n")).collect();
        let policy = std::fs::read_to_string(self.path(".countersign/policy.toml"))?;
        self.write(".countersign/policy.toml", (policy + &lines).as_bytes())
    }

    /// Starts a command that goes on, and waits for the document in which it says where it listens.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Started, DrillError> {
        let mut child = self.command(arguments).arg("--json").stdout(Stdio::piped()).spawn()?;
        let mut text = String::new();
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).lines() {
                let line = line?;
                text += &line;
                if line == "}" {
                    break;
                }
            }
        }
        let started = Started { child, document: serde_json::from_str(&text).unwrap_or(Value::Null) };
        if started.text("url").is_empty() {
            let said = format!("it did not say where it listens: {text}");
            return Err(DrillError::Step { command: arguments.join(" "), said });
        }
        Ok(started)
    }

    /// Records and signs a build that does nothing but copy `source` to `dist/app`.
    pub(crate) fn release(&self, product: &str, content: &[u8]) -> Result<(), DrillError> {
        self.record(product, content)?;
        self.must(&["sign", "dist/app"])
    }

    /// Records such a build.
    pub(crate) fn record(&self, product: &str, content: &[u8]) -> Result<(), DrillError> {
        self.write("source", content)?;
        self.write("dist/keep", b"")?;
        let run =
            ["run", "-q", "--product", product, "--output", "dist/app", "--", "cp", "source", "dist/app"];
        self.must(&run)
    }

    /// Copies a file or folder.
    pub(crate) fn copy(&self, from: &str, to: &Path) -> Result<(), DrillError> {
        let output = Command::new("cp").arg("-a").arg(self.path(from)).arg(to).output()?;
        if output.status.success() { Ok(()) } else { Err(failed(&["(cp)", from], &output)) }
    }

    /// Checks that programs are installed.
    pub(crate) fn needs(&self, programs: &[&str]) -> Result<(), DrillError> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let there =
            |program: &&&str| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
        match programs.iter().find(|program| !there(program)) {
            Some(absent) => Err(DrillError::NoProgram((*absent).to_owned())),
            None => Ok(()),
        }
    }

    /// Runs a command that must succeed, and keeps what it says on stderr, line by line. Its home folder is `home`.
    pub(crate) fn watch(&self, arguments: &[&str]) -> Result<Watched, DrillError> {
        let mut command = self.command(arguments);
        let output = command.env("HOME", self.path("home")).env_remove("MAKEFLAGS").output()?;
        if !output.status.success() {
            return Err(failed(arguments, &output));
        }
        let lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        Ok(Watched { lines })
    }

    /// Runs a command that must end with this code.
    pub(crate) fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<(), DrillError> {
        let output = self.command(arguments).output()?;
        if output.status.code() == Some(code) { Ok(()) } else { Err(failed(arguments, &output)) }
    }

    /// Runs a command that must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> Result<(), DrillError> {
        let output = self.command(arguments).output()?;
        if output.status.success() { Ok(()) } else { Err(failed(arguments, &output)) }
    }

    /// Runs a shell script without any recorder.
    pub(crate) fn shell(&self, script: &str) -> Result<(), DrillError> {
        let output = Command::new("sh").args(["-c", script]).current_dir(self.folder.path()).output()?;
        if output.status.success() { Ok(()) } else { Err(failed(&["(shell)", script], &output)) }
    }
}

fn failed(arguments: &[&str], output: &Output) -> DrillError {
    let said = [output.stderr.as_slice(), &output.stdout].concat();
    let said: String = String::from_utf8_lossy(&said).chars().take(2000).collect();
    DrillError::Step { command: arguments.join(" "), said: said.trim().to_owned() }
}
