//! `compare`: two records, artifacts or folders.

use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::{BytePath, Problem, Tree};
use inspect::Twins;
use inspect::sbom::Document;
use judge::compare::{Comparison, Contrasts, SourceChanged, boms, trees};

use crate::assess::compare_records;
use crate::error::{Error, Result};
use crate::inspect_path::{Rules, inspect_beside, inspect_with_rules};
use crate::look::look;
use crate::records::{self, RecordView};
use crate::world::World;

/// One side of a comparison.
#[derive(Debug)]
pub enum Comparand {
    /// A record.
    Record(Box<RecordView>),
    /// A file or folder.
    Path(PathBuf),
}

impl Comparand {
    /// Reads what a person typed: a record's name if the store knows it, else a path.
    pub fn parse(world: Option<&World>, text: &str) -> Result<Self> {
        if let Some(world) = world
            && let Some(row) = records::find(world, text)?
        {
            return Ok(Self::Record(Box::new(records::view(world, &row)?)));
        }
        let path = Path::new(text);
        if path.exists() {
            return Ok(Self::Path(path.to_path_buf()));
        }
        if text == "latest" || text.strip_prefix('r').is_some_and(|rest| rest.parse::<u64>().is_ok()) {
            return Err(Error::NoRecord(text.to_owned()));
        }
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(Error::Read { path: path.to_path_buf(), source })
    }
}

/// A comparison, and the bytes of members side by side where somebody wanted to look.
#[derive(Debug)]
pub struct Compared {
    /// What differs, and what it means.
    pub comparison: Comparison,
    /// By the path of the new member.
    pub contrasts: Contrasts,
}

/// Compares two of the same sort. To `look` takes a second reading of what differs. Rules are put to the members of files and folders.
pub fn compare(
    world: Option<&World>,
    old: &Comparand,
    new: &Comparand,
    source: SourceChanged,
    look_at_bytes: bool,
    rules: Option<&Arc<Rules>>,
) -> Result<Compared> {
    match (old, new, world) {
        (Comparand::Record(old), Comparand::Record(new), Some(world)) => {
            Ok(Compared { comparison: compare_records(world, old, new)?, contrasts: Contrasts::new() })
        }
        (Comparand::Path(old), Comparand::Path(new), _) => {
            if let Some(comparison) = documents(old, new, source)? {
                return Ok(Compared { comparison, contrasts: Contrasts::new() });
            }
            let (old_tree, new_tree) = both(old, new, rules)?;
            // Two builds of one source: the bytes say why they differ.
            let contrasts = if look_at_bytes || source == SourceChanged::No {
                look((old, &old_tree), (new, &new_tree))?
            } else {
                Contrasts::new()
            };
            Ok(Compared { comparison: trees(&old_tree, &new_tree, source, &contrasts), contrasts })
        }
        _ => Err(Error::NotComparable(
            "a record with a file: give two records, or two files or folders".into(),
        )),
    }
}

/// Names why two builds of one source made different files, by what is seen in both: a line for each cause, with its remedy.
pub(crate) fn causes(old: &Path, new: &Path) -> Result<Vec<String>> {
    let (old_tree, new_tree) = both(old, new, None)?;
    let contrasts = look((old, &old_tree), (new, &new_tree))?;
    let comparison = trees(&old_tree, &new_tree, SourceChanged::No, &contrasts);
    let line = |(path, cause): (&String, &judge::compare::Cause)| {
        format!("{}: {path}: {}; {}", cause.kind, cause.evidence, cause.fix)
    };
    let each = comparison.causes.iter().flat_map(|(path, list)| list.iter().map(move |cause| (path, cause)));
    Ok(each.map(line).collect())
}

/// Compares two files that are bills of materials; `None` if they are not.
fn documents(old: &Path, new: &Path, source: SourceChanged) -> Result<Option<Comparison>> {
    let (Some(before), Some(after)) = (document(old)?, document(new)?) else { return Ok(None) };
    let (Some(then), Some(now)) = (before.0, after.0) else { return Ok(None) };
    let problems = before.1.into_iter().chain(after.1).collect();
    Ok(Some(boms(&then.bom, &now.bom, source, problems)))
}

/// Reads a bill of materials, if the file may be one: what else is JSON is compared as a file.
fn document(path: &Path) -> Result<Option<(Option<Document>, Vec<Problem>)>> {
    if path.is_dir() {
        return Ok(None);
    }
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let mut start = [0; 64];
    let read = file.read(&mut start).map_err(fail)?;
    if !start[..read].trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    file.rewind().map_err(fail)?;
    let (document, mut problems) = inspect::sbom::read(file);
    let name = path.file_name().unwrap_or(path.as_os_str()).as_bytes();
    for problem in &mut problems {
        problem.path = BytePath::from(name);
    }
    Ok(Some((document, problems)))
}

/// Inspects both at a time; what both have is read once.
fn both(old: &Path, new: &Path, rules: Option<&Arc<Rules>>) -> Result<(Tree, Tree)> {
    let twins = Arc::new(Twins::default());
    let open = |path| match rules {
        None => inspect_beside(path, &twins),
        Some(rules) => inspect_with_rules(path, rules),
    };
    std::thread::scope(|scope| {
        let old = scope.spawn(|| open(old));
        let new = open(new);
        let old = old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((old?, new?))
    })
}
