//! `rebuild`: a recorded build once more, from its recorded sources, where much is different on purpose.
//!
//! The sources are copied out of the folder in which they were recorded (or another that is named), each only if it
//! still has the digest that the record gives; then the same command is recorded there. What differs: the folder, the
//! time, and as far as the machine has the means the time zone, locale, host name, file-mode mask, user variables and
//! number of processors. The second record stands beside the first like any other; the result is a signed statement.

mod conditions;
mod influence;
mod sources;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use evidence::record::{Exit, Record};
use evidence::statement::{RebuildStatement, ResourceDescriptor, Statement};
use evidence::{BytePath, Digest, Finding, Subject, Timestamp};
use judge::codes;
use judge::compare::Comparison;

use crate::assess::{compare_records, hash_file};
use crate::compare::causes;
use crate::error::{Error, Result};
use crate::files;
use crate::inspect_path::FILE_MAX_BYTES;
use crate::job::FetchedJob;
use crate::record::{Run, TracerKind, run};
use crate::records::{self, RecordView};
use crate::sign::{append_one, signed};
use crate::world::{Passphrase, World};
use conditions::Condition;
pub use influence::Influence;
use influence::Trials;
use sources::{copy_sources, fetch_sources};

/// What to repeat.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// The record.
    pub record: String,
    /// Where the sources are, if not where they were recorded.
    pub from: Option<SourcesFrom>,
    /// Keep everything as it was but the folder.
    pub same_conditions: bool,
    /// Put the clock ahead too, where `faketime` is installed. Programs that wait for each other by the clock may wait for ever then,
    /// as cargo does.
    pub vary_clock: bool,
    /// Find out what an output that differs follows, by building again with one thing varied at a time.
    pub bisect: bool,
    /// The caller's environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Where the sources of a build come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourcesFrom {
    /// A folder.
    Folder(PathBuf),
    /// Another builder's store, served at a URL; the record is one of that store.
    Service(String),
}

/// What came of it.
#[derive(Debug)]
pub struct Rebuilt {
    /// The record that was repeated: `r7`, and whose it is if not ours.
    pub first: String,
    /// The record of the repetition.
    pub second: u64,
    /// What was made different.
    pub variations: Vec<String>,
    /// Outputs, with whether they came out the same.
    pub outputs: Vec<(BytePath, bool)>,
    /// How the repetition ended; if it failed, nothing can be said of its outputs.
    pub exit: Exit,
    /// What the outputs that differ follow, if that was asked for.
    pub influences: Vec<Influence>,
    /// How the two records differ; none for another builder's, of which we have the digests alone.
    pub comparison: Option<Comparison>,
    /// Where the statement stands in the log.
    pub log_index: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Where below its own folder the repetition is built.
const BUILT: &str = "elsewhere/build";

/// What is repeated.
enum First {
    Ours(Box<RecordView>),
    Theirs(Box<FetchedJob>),
}

impl First {
    fn record(&self) -> &Record {
        match self {
            Self::Ours(view) => &view.record,
            Self::Theirs(job) => &job.record,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Ours(view) => view.digest,
            Self::Theirs(job) => job.digest,
        }
    }

    /// The first build's output of some bytes, as a file, if it is still to be had.
    fn output(&self, digest: &Digest, at: &BytePath, place: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Ours(view) => {
                let first = path(&view.record.workdir).join(path(at));
                Ok(Some(first).filter(|first| hash_file(first).is_ok_and(|found| found == *digest)))
            }
            Self::Theirs(job) => {
                let Some(bytes) = job.content(digest)? else { return Ok(None) };
                let name = path(at);
                let first = place.join("theirs").join(name.file_name().unwrap_or(name.as_os_str()));
                let fail = |source| Error::Write { path: first.clone(), source };
                std::fs::create_dir_all(place.join("theirs")).map_err(fail)?;
                std::fs::write(&first, bytes).map_err(fail)?;
                Ok(Some(first))
            }
        }
    }
}

/// Repeats a build.
pub fn rebuild(
    world: &World,
    what: &Rebuild,
    passphrase: &Passphrase,
    now: &dyn Fn() -> Timestamp,
    tell: &mut dyn FnMut(&str),
) -> Result<Rebuilt> {
    let first = match &what.from {
        Some(SourcesFrom::Service(url)) => {
            First::Theirs(Box::new(FetchedJob::fetch(world, url, &what.record)?))
        }
        _ => First::Ours(Box::new(records::show(world, &what.record)?)),
    };
    let record = first.record();
    let fail = |source| Error::Write { path: PathBuf::from("a folder for the rebuild"), source };
    let place = tempfile::Builder::new().prefix("countersign-rebuild-").tempdir().map_err(fail)?;
    let folder = place.path().join(BUILT);
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let varied = if what.same_conditions { Vec::new() } else { Condition::available(what.vary_clock) };
    if what.vary_clock && !varied.contains(&Condition::Clock) {
        return Err(Error::NoOtherClock);
    }
    let sources_to = |folder: &Path, reverse| match (&first, &what.from) {
        (First::Theirs(job), _) => fetch_sources(job, folder, reverse),
        (_, Some(SourcesFrom::Folder(from))) => copy_sources(record, from, folder, reverse),
        _ => copy_sources(record, &path(&record.workdir), folder, reverse),
    };
    sources_to(&folder, varied.contains(&Condition::FileOrder))?;
    let always = [format!("folder: another instead of {}", record.workdir), "time: later".to_owned()];
    let variations: Vec<String> = always.into_iter().chain(varied.iter().map(|one| one.words())).collect();
    let command = conditions::prefix(&varied)
        .into_iter()
        .chain(record.command.iter().map(|word| path(word).into_os_string()));
    let request = Run {
        product: record.product.clone(),
        release: record.release.clone(),
        outputs: record
            .outputs
            .iter()
            .map(|output| glob::Pattern::escape(&output.path.to_string()))
            .collect(),
        tracer: TracerKind::Auto,
        egress: host::Egress::Audit,
        baseline: false,
        fetched: false,
        command: command.collect(),
        workdir: folder,
        environment: what.environment.clone(),
    };
    let repeated = run(world, &request, passphrase, now, &mut |_| {})?;
    // The second record is read again as everybody reads it.
    let second = records::show(world, &format!("r{}", repeated.number))?;
    let outputs: Vec<(BytePath, bool)> = record
        .outputs
        .iter()
        .map(|output| (output.path.clone(), second.record.output(&output.digest).is_some()))
        .collect();
    let exit = repeated.exit;
    let failed = exit != Exit::Code(0);
    let differing: Vec<BytePath> = if failed { &[][..] } else { &outputs[..] }
        .iter()
        .filter(|(_, same)| !same)
        .map(|(path, _)| path.clone())
        .collect();
    let verdict = match (failed, differing.is_empty()) {
        (true, _) => "failed",
        (false, true) => "same",
        (false, false) => "differs",
    };
    let statement = RebuildStatement {
        verdict: verdict.into(),
        first: first.digest(),
        second: second.digest,
        variations: variations.clone(),
        differing: differing.iter().map(ToString::to_string).collect(),
        decided: world.now(),
    };
    // What follows explains it, and may fail.
    let log_index = log(world, record, &statement, passphrase)?;
    let influences = if what.bisect && !differing.is_empty() {
        let trials = Trials {
            record,
            place: place.path().join("trials"),
            sources: &sources_to,
            environment: &what.environment,
        };
        trials.influences(&differing, &varied, tell)?
    } else {
        Vec::new()
    };
    let comparison = match &first {
        First::Ours(view) => Some(compare_records(world, view, &second)?),
        First::Theirs(_) => None,
    };
    let findings = record
        .outputs
        .iter()
        .filter(|output| differing.contains(&output.path))
        .map(|output| {
            let subject = Subject { path: Some(output.path.clone()), digest: Some(output.digest) };
            let built = place.path().join(BUILT).join(path(&output.path));
            // What was tried says more than what is seen in the bytes.
            let follows = influences.iter().filter(|influence| influence.outputs.contains(&output.path));
            let mut because: Vec<String> = follows.map(Influence::words).collect();
            if because.is_empty() && what.bisect {
                because.push("no single one of the variations changes it".into());
            }
            if built.is_file() {
                if let Some(first) = first.output(&output.digest, &output.path, place.path())? {
                    because.extend(causes(&first, &built)?);
                }
                because.extend(traces(&files::read(&built, FILE_MAX_BYTES)?, place.path()));
            }
            if because.is_empty() {
                because.push(suspects(&variations));
            }
            Ok(codes::NOT_REPRODUCED.finding(subject, because))
        })
        .collect::<Result<_>>()?;
    let name = match (&first, &what.from) {
        (First::Ours(view), _) => format!("r{}", view.number),
        (First::Theirs(_), Some(SourcesFrom::Service(url))) => format!("{} of {url}", what.record),
        (First::Theirs(_), _) => what.record.clone(),
    };
    let second = second.number;
    Ok(Rebuilt {
        first: name,
        second,
        variations,
        outputs,
        exit,
        influences,
        comparison,
        log_index,
        findings,
    })
}

fn log(world: &World, record: &Record, statement: &RebuildStatement, passphrase: &Passphrase) -> Result<u64> {
    let subjects = record
        .outputs
        .iter()
        .map(|output| ResourceDescriptor::named(output.path.to_string(), &output.digest))
        .collect();
    let builder = world.builder_key(passphrase)?;
    let envelope = signed(&Statement::new(subjects, statement), &builder)?;
    Ok(append_one(world, &envelope, &world.log_key(passphrase)?)?.index)
}

/// Says what of that which was varied is seen in an output that differs, and how to mend it.
fn traces(built: &[u8], folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    [
        (
            folder.as_str(),
            "the folder's path is in it: `-ffile-prefix-map`, `--remap-path-prefix`, or relative paths",
        ),
        ("rebuild.invalid", "the host name is in it: do not write it, or set it for the build"),
        ("/nonexistent/rebuild", "HOME is in it: set HOME for the build"),
        ("+14", "the time zone is in it: set TZ=UTC, or use SOURCE_DATE_EPOCH"),
    ]
    .into_iter()
    .filter(|(needle, _)| built.windows(needle.len()).any(|window| window == needle.as_bytes()))
    .map(|(_, words)| words.to_owned())
    .collect()
}

/// Names all that was varied, where nothing of it is seen.
fn suspects(variations: &[String]) -> String {
    let varied: Vec<&str> = variations.iter().map(|words| words.split(':').next().unwrap_or(words)).collect();
    format!(
        "one of these matters to it: {}; most often the time: use SOURCE_DATE_EPOCH. `--bisect` finds out which",
        varied.join(", ")
    )
}

/// A recorded path as this machine writes it.
pub(crate) fn path(path: &BytePath) -> PathBuf {
    PathBuf::from(OsString::from_vec(path.as_bytes().to_vec()))
}
