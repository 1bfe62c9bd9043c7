//! Which of what was varied an output follows, found by building again with one thing varied at a time.
//!
//! What stands in the bytes is found by reading them ([`crate::compare::causes`]); a name that was made from a path, or an order of
//! work, is not. So the build is repeated in one and the same new folder with nothing varied, then in another folder and once for each condition.
//! Nothing of this is recorded: it is diagnosis, not evidence.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use evidence::record::Record;
use evidence::{BytePath, Digest};

use super::conditions::{self, Condition};
use super::path;
use crate::assess::hash_file;
use crate::error::{Error, Result};
use crate::record::secrets::PASSPHRASE;

/// Of a build that fails so much is looked at to say why.
const SAID_MAX_BYTES: u64 = 1 << 20;

/// The folder of the trials, and another one of another length.
const HERE: &str = "trial/build";
const ELSEWHERE: &str = "another-trial/folder/build";
/// Two builds are so far apart that the seconds which a zip archive knows are different.
const COARSEST_CLOCK: Duration = Duration::from_millis(2_100);
/// The times of the sources, in seconds since 1970: all the same, and all others.
const TIME: u64 = 1_700_000_000;
const OTHER_TIME: u64 = 1_600_000_000;

/// Something that outputs follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Influence {
    /// `folder`, `time or chance`, or a condition.
    pub what: String,
    /// What people do about it.
    pub remedy: String,
    /// The outputs that follow it.
    pub outputs: Vec<BytePath>,
}

impl Influence {
    /// For the reasons of a finding.
    pub(super) fn words(&self) -> String {
        format!("it follows the {} (built again with nothing else varied); {}", self.what, self.remedy)
    }
}

/// The outputs of one repetition; `None` where it made none of that name.
type Made = BTreeMap<BytePath, Option<Digest>>;

/// One folder in which a build is repeated again and again.
pub(super) struct Trials<'a> {
    pub(super) record: &'a Record,
    /// Where the folders of the builds are; they are made anew for each.
    pub(super) place: PathBuf,
    /// Puts the sources into a folder, in reverse or not.
    pub(super) sources: &'a dyn Fn(&Path, bool) -> Result<()>,
    pub(super) environment: &'a [(OsString, OsString)],
}

impl Trials<'_> {
    /// Finds what the outputs that differ follow.
    pub(super) fn influences(
        &self,
        differing: &[BytePath],
        conditions: &[Condition],
        tell: &mut dyn FnMut(&str),
    ) -> Result<Vec<Influence>> {
        let mut influences = Vec::new();
        let mut note = |what: &str, remedy: &str, outputs: Vec<BytePath>| {
            if !outputs.is_empty() {
                influences.push(Influence { what: what.into(), remedy: remedy.into(), outputs });
            }
        };
        tell("once more, nothing varied");
        let began = Instant::now();
        let plain = self.build(HERE, &[])?;
        if plain.values().all(Option::is_none) {
            return Err(Error::NotRepeated(self.said()));
        }
        tell("the same again");
        std::thread::sleep(COARSEST_CLOCK.saturating_sub(began.elapsed()));
        let again = self.build(HERE, &[])?;
        tell("folder: another");
        let elsewhere = self.build(ELSEWHERE, &[])?;
        let mut varied = Vec::new();
        for condition in conditions {
            tell(&condition.words());
            varied.push((condition, self.build(HERE, &[*condition])?));
        }
        // What is a matter of minutes would look like a matter of each condition.
        tell("once more, nothing varied");
        let last = self.build(HERE, &[])?;
        let (steady, moving): (Vec<_>, Vec<_>) = differing.iter().cloned().partition(|output| {
            plain.get(output) == again.get(output) && plain.get(output) == last.get(output)
        });
        note(
            "time or chance",
            "take times from SOURCE_DATE_EPOCH; give random names and hashes a fixed seed",
            moving,
        );
        let follow = |varied: &Made| -> Vec<BytePath> {
            steady.iter().filter(|output| varied.get(*output) != plain.get(*output)).cloned().collect()
        };
        note(
            "folder",
            "build in a folder of one name, or map it: `-ffile-prefix-map`, `--remap-path-prefix`, `-trimpath`",
            follow(&elsewhere),
        );
        for (condition, varied) in varied {
            note(condition.name(), condition.remedy(), follow(&varied));
        }
        Ok(influences)
    }

    /// Where the last build's words are.
    fn said_at(&self) -> PathBuf {
        self.place.join("said")
    }

    /// The end of what the last build said.
    fn said(&self) -> String {
        let bytes = crate::files::read(&self.said_at(), SAID_MAX_BYTES);
        let text = bytes
            .map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    /// Repeats the build under these conditions. One that fails has made what it has made.
    fn build(&self, name: &str, conditions: &[Condition]) -> Result<Made> {
        let folder = self.place.join(name);
        let fail = |source| Error::Write { path: folder.clone(), source };
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => std::fs::create_dir_all(&folder).map_err(fail)?,
        }
        let said = File::create(self.said_at()).map_err(fail)?;
        (self.sources)(&folder, conditions.contains(&Condition::FileOrder))?;
        let time = if conditions.contains(&Condition::FileTimes) { OTHER_TIME } else { TIME };
        set_times(&folder, SystemTime::UNIX_EPOCH + Duration::from_secs(time)).map_err(fail)?;
        let prefix = conditions::prefix(conditions);
        let mut words = prefix.into_iter().chain(self.record.command.iter().map(|word| path(word).into()));
        let program = words.next().unwrap_or_default();
        Command::new(&program)
            .args(words)
            .current_dir(&folder)
            .env_clear()
            .envs(self.environment.iter().filter(|(name, _)| name != PASSPHRASE).cloned())
            .stdin(Stdio::null())
            .stderr(said)
            .status()
            .map_err(|source| Error::Read { path: PathBuf::from(program), source })?;
        self.record
            .outputs
            .iter()
            .map(|output| {
                let built = folder.join(path(&output.path));
                let digest = if built.is_file() { Some(hash_file(&built)?) } else { None };
                Ok((output.path.clone(), digest))
            })
            .collect()
    }
}

/// Gives all files below a folder one time of change.
fn set_times(folder: &Path, time: SystemTime) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_times(&entry.path(), time)?;
        } else if kind.is_file() {
            File::open(entry.path())?.set_modified(time)?;
        }
    }
    Ok(())
}
