//! `compare`: two records, artifacts or folders.

use std::path::{Path, PathBuf};

use evidence::Tree;
use judge::compare::{Comparison, Contrasts, SourceChanged, trees};

use crate::assess::compare_records;
use crate::error::{Error, Result};
use crate::inspect_path::inspect;
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

/// Compares two of the same sort. To `look` takes a second reading of what differs.
pub fn compare(
    world: Option<&World>,
    old: &Comparand,
    new: &Comparand,
    source: SourceChanged,
    look_at_bytes: bool,
) -> Result<Compared> {
    match (old, new, world) {
        (Comparand::Record(old), Comparand::Record(new), Some(world)) => {
            Ok(Compared { comparison: compare_records(world, old, new)?, contrasts: Contrasts::new() })
        }
        (Comparand::Path(old), Comparand::Path(new), _) => {
            let (old_tree, new_tree) = both(old, new)?;
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

/// Inspects both at a time.
fn both(old: &Path, new: &Path) -> Result<(Tree, Tree)> {
    std::thread::scope(|scope| {
        let old = scope.spawn(|| inspect(old));
        let new = inspect(new);
        let old = old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((old?, new?))
    })
}
