//! `rebuild`: a recorded build once more, from its recorded sources, where much is different on purpose.
//!
//! The sources are copied out of the folder in which they were recorded (or another that is named), each only if it
//! still has the digest that the record gives; then the same command is recorded there. What differs: the folder, the
//! time, and as far as the machine has the means the time zone, locale, host name, file-mode mask, user variables and
//! number of processors. The second record stands beside the first like any other; the result is a signed statement.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evidence::record::{Record, Role};
use evidence::statement::{RebuildStatement, ResourceDescriptor, Statement};
use evidence::{BytePath, Digest, Finding, Subject, Timestamp};
use judge::codes;
use judge::compare::Comparison;

use crate::assess::{compare_records, hash_file};
use crate::compare::causes;
use crate::error::{Error, Result};
use crate::files;
use crate::inspect_path::FILE_MAX_BYTES;
use crate::record::{Run, TracerKind, run};
use crate::records;
use crate::sign::{append_one, signed};
use crate::world::{Passphrase, World};

/// What to repeat.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// The record.
    pub record: String,
    /// Where the sources are, if not where they were recorded.
    pub from: Option<PathBuf>,
    /// Keep everything as it was but the folder.
    pub same_conditions: bool,
    /// The caller's environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Rebuilt {
    /// The record that was repeated.
    pub first: u64,
    /// The record of the repetition.
    pub second: u64,
    /// What was made different.
    pub variations: Vec<String>,
    /// Outputs, with whether they came out the same.
    pub outputs: Vec<(BytePath, bool)>,
    /// How the two records differ.
    pub comparison: Comparison,
    /// Where the statement stands in the log.
    pub log_index: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Where below its own folder the repetition is built.
const BUILT: &str = "elsewhere/build";

/// Repeats a build.
pub fn rebuild(
    world: &World,
    what: &Rebuild,
    passphrase: &Passphrase,
    now: &dyn Fn() -> Timestamp,
) -> Result<Rebuilt> {
    let view = records::show(world, &what.record)?;
    let record = &view.record;
    let fail = |source| Error::Write { path: PathBuf::from("a folder for the rebuild"), source };
    let place = tempfile::Builder::new().prefix("countersign-rebuild-").tempdir().map_err(fail)?;
    let folder = place.path().join(BUILT);
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let recorded_at = path(&record.workdir);
    copy_sources(record, what.from.as_deref().unwrap_or(&recorded_at), &folder)?;
    let (prefix, variations) = if what.same_conditions { (Vec::new(), Vec::new()) } else { conditions() };
    let mut variations = variations;
    variations.insert(0, format!("folder: {} instead of {}", "another", record.workdir));
    let command = prefix.into_iter().chain(record.command.iter().map(|word| path(word).into_os_string()));
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
    let differing: Vec<String> =
        outputs.iter().filter(|(_, same)| !same).map(|(path, _)| path.to_string()).collect();
    let comparison = compare_records(world, &view, &second)?;
    let findings = record
        .outputs
        .iter()
        .filter(|output| differing.contains(&output.path.to_string()))
        .map(|output| {
            let subject = Subject { path: Some(output.path.clone()), digest: Some(output.digest) };
            let built = place.path().join(BUILT).join(path(&output.path));
            let first = recorded_at.join(path(&output.path));
            // The first build's output, if it still lies there as it was recorded.
            let is_there = hash_file(&first).is_ok_and(|found| found == output.digest);
            let mut because = if is_there && built.is_file() { causes(&first, &built)? } else { Vec::new() };
            if built.is_file() {
                because.extend(traces(&files::read(&built, FILE_MAX_BYTES)?, place.path()));
            }
            if because.is_empty() {
                because.push(suspects(&variations));
            }
            Ok(codes::NOT_REPRODUCED.finding(subject, because))
        })
        .collect::<Result<_>>()?;
    let log_index = log(world, &view.record, view.digest, second.digest, &variations, differing, passphrase)?;
    Ok(Rebuilt {
        first: view.number,
        second: second.number,
        variations,
        outputs,
        comparison,
        log_index,
        findings,
    })
}

fn log(
    world: &World,
    record: &Record,
    first: Digest,
    second: Digest,
    variations: &[String],
    differing: Vec<String>,
    passphrase: &Passphrase,
) -> Result<u64> {
    let statement = RebuildStatement {
        verdict: if differing.is_empty() { "same" } else { "differs" }.into(),
        first,
        second,
        variations: variations.to_vec(),
        differing,
        decided: world.now(),
    };
    let subjects = record
        .outputs
        .iter()
        .map(|output| ResourceDescriptor::named(output.path.to_string(), &output.digest))
        .collect();
    let builder = world.builder_key(passphrase)?;
    let envelope = signed(&Statement::new(subjects, &statement), &builder)?;
    Ok(append_one(world, &envelope, &world.log_key(passphrase)?)?.index)
}

/// Copies what the build read of the project and did not make, each only with the bytes that were recorded. As in a clean
/// clone there are no empty folders: a target of `make` may be one.
fn copy_sources(record: &Record, from: &Path, to: &Path) -> Result<()> {
    let mut copied = BTreeSet::new();
    for file in record.files.iter().filter(|file| file.role == Role::Source) {
        let Ok(below) = path(&file.path).strip_prefix(path(&record.workdir)).map(Path::to_path_buf) else {
            continue;
        };
        let source = from.join(&below);
        let found = hash_file(&source)?;
        if !file.read.contains(&found) {
            return Err(Error::SourceChanged { path: source, found });
        }
        let target = to.join(&below);
        let fail = |source| Error::Write { path: target.clone(), source };
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        std::fs::copy(&source, &target).map_err(fail)?;
        copied.insert(below);
    }
    // A build that was seen and read nothing of the project needs nothing of it.
    if copied.is_empty() && record.machine.tracer == "snapshot" { Err(Error::NoSources) } else { Ok(()) }
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
    format!("one of these matters to it: {}; most often the time: use SOURCE_DATE_EPOCH", varied.join(", "))
}

/// What is put before the command to make its surroundings different, and what that is in words.
fn conditions() -> (Vec<OsString>, Vec<String>) {
    let mut prefix: Vec<&str> = vec![
        "env",
        "TZ=Pacific/Kiritimati",
        "LC_ALL=C.UTF-8",
        "LANG=C.UTF-8",
        "HOME=/nonexistent/rebuild",
        "USER=rebuild",
        "LOGNAME=rebuild",
    ];
    let mut said = vec![
        "time: later".to_owned(),
        "time zone: Pacific/Kiritimati".to_owned(),
        "locale: C.UTF-8".to_owned(),
        "HOME, USER, LOGNAME: rebuild".to_owned(),
        "file-mode mask: 0077".to_owned(),
    ];
    if works(&["taskset", "-c", "0", "true"]) {
        prefix.extend(["taskset", "-c", "0"]);
        said.push("processors: 1".to_owned());
    }
    let script = if works(&["unshare", "--uts", "sh", "-c", "hostname rebuild.invalid"]) {
        prefix.extend(["unshare", "--uts"]);
        said.push("host name: rebuild.invalid".to_owned());
        "hostname rebuild.invalid; umask 0077; exec \"$@\""
    } else {
        "umask 0077; exec \"$@\""
    };
    prefix.extend(["sh", "-c", script, "rebuild"]);
    (prefix.into_iter().map(OsString::from).collect(), said)
}

fn works(words: &[&str]) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn path(path: &BytePath) -> PathBuf {
    PathBuf::from(OsString::from_vec(path.as_bytes().to_vec()))
}
