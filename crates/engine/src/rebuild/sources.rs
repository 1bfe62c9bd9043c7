//! The sources of a repetition: what the first build read, with the bytes that were recorded, and nothing else.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use evidence::record::{File, Record, Role};

use super::path;
use crate::assess::hash_file;
use crate::error::{Error, Result};
use crate::job::FetchedJob;

/// Folders of which the names do not matter to a build.
const PASSED_OVER: &[&str] = &[".git", ".hg", ".svn", ".countersign"];
/// So many files that were not read are put there by their names.
const PLACEHOLDERS_MAX: usize = 200_000;

/// The sources in the order of their paths, or the other way round: on many file systems a folder lists them as they were written.
fn sources(record: &Record, reverse: bool) -> Vec<&File> {
    let mut files: Vec<&File> = record.files.iter().filter(|file| file.role == Role::Source).collect();
    if reverse {
        files.reverse();
    }
    files
}

/// Copies what the build read of the project and did not make, each only with the bytes that were recorded; what it did not read
/// is there by its name. As in a clean clone there are no empty folders: a target of `make` may be one.
pub(super) fn copy_sources(record: &Record, from: &Path, to: &Path, reverse: bool) -> Result<()> {
    let mut copied = BTreeSet::new();
    for file in sources(record, reverse) {
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
    placeholders(record, from, to, &copied)?;
    // A build that was seen and read nothing of the project needs nothing of it.
    if copied.is_empty() && record.machine.tracer == "snapshot" { Err(Error::NoSources) } else { Ok(()) }
}

/// Fetches the sources of another builder's record, each by a digest that the record names.
pub(super) fn fetch_sources(job: &FetchedJob, to: &Path, reverse: bool) -> Result<()> {
    let mut fetched = BTreeSet::new();
    for file in sources(&job.record, reverse) {
        let Ok(below) = path(&file.path).strip_prefix(path(&job.record.workdir)).map(Path::to_path_buf)
        else {
            continue;
        };
        if !below.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(Error::NoSources);
        }
        let offered = job.job.sources.iter().find(|source| source.path == file.path);
        let digest = offered.map(|source| source.digest).filter(|digest| file.read.contains(digest));
        let missing = || Error::SourceMissing(below.clone());
        let bytes = job.content(&digest.ok_or_else(missing)?)?.ok_or_else(missing)?;
        let target = to.join(&below);
        let fail = |source| Error::Write { path: target.clone(), source };
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        std::fs::write(&target, bytes).map_err(fail)?;
        let executable = offered.is_some_and(|source| source.executable);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(if executable { 0o755 } else { 0o644 });
        std::fs::set_permissions(&target, mode).map_err(fail)?;
        fetched.insert(below);
    }
    if fetched.is_empty() && job.record.machine.tracer == "snapshot" { Err(Error::NoSources) } else { Ok(()) }
}

/// Puts empty files where the project has files that the first build did not read. It may have asked whether they are there (as cargo asks
/// for a library's first file), which is not recorded; their bytes did not matter to it, so none are given.
fn placeholders(record: &Record, from: &Path, to: &Path, copied: &BTreeSet<PathBuf>) -> Result<()> {
    let workdir = path(&record.workdir);
    let below = |file: &File| path(&file.path).strip_prefix(&workdir).map(Path::to_path_buf).ok();
    // What the build made is not there when it begins.
    let known: HashSet<PathBuf> = record.files.iter().filter_map(below).collect();
    let mut folders = vec![PathBuf::new()];
    let mut made = 0;
    while let Some(folder) = folders.pop() {
        let at = from.join(&folder);
        let fail = |source| Error::Read { path: at.clone(), source };
        let mut entries =
            std::fs::read_dir(&at).map_err(fail)?.collect::<std::io::Result<Vec<_>>>().map_err(fail)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(fail)?;
            if kind.is_dir() {
                if !PASSED_OVER.iter().any(|passed| entry.file_name() == *passed) {
                    folders.push(name);
                }
            } else if kind.is_file() && !copied.contains(&name) && !known.contains(&name) {
                made += 1;
                if made > PLACEHOLDERS_MAX {
                    return Ok(());
                }
                let target = to.join(&name);
                let fail = |source| Error::Write { path: target.clone(), source };
                if let Some(parent) = target.parent() {
                    std::fs::create_dir_all(parent).map_err(fail)?;
                }
                std::fs::File::create_new(&target).map_err(fail)?;
            }
        }
    }
    Ok(())
}
