//! Where paths led before, so that the kernel is asked less often.
//!
//! What is remembered saves questions and decides nothing: a file is opened by its path each time, and what is remembered
//! counts only if it is the same file. Everything is forgotten as soon as the tree does what could make a path lead
//! elsewhere, or to a pipe, which must not be opened to see what it is.

use std::collections::HashMap;

use evidence::BytePath;
use rustix::fs::Stat;

/// So many paths are remembered.
const PATHS_MAX: usize = 1 << 14;

type Identity = (u64, u64);

/// Paths and files.
#[derive(Default)]
pub(super) struct Seen {
    /// A path as it was said, the file to which it led, and that file's real path.
    paths: HashMap<BytePath, (Identity, BytePath)>,
    /// Files that were mapped, and their real paths.
    files: HashMap<Identity, BytePath>,
}

impl Seen {
    pub(super) fn knows(&self, said: &BytePath) -> bool {
        self.paths.contains_key(said)
    }

    /// Returns the real path of a file that was found by this path, if this is it.
    pub(super) fn path(&self, said: &BytePath, stat: &Stat) -> Option<&BytePath> {
        self.paths.get(said).filter(|(file, _)| *file == identity(stat)).map(|(_, real)| real)
    }

    /// Remembers a file with content.
    pub(super) fn found(&mut self, said: &BytePath, stat: &Stat, real: &BytePath) {
        if self.paths.len() >= PATHS_MAX {
            self.paths.clear();
        }
        self.paths.insert(said.clone(), (identity(stat), real.clone()));
    }

    pub(super) fn mapped_path(&self, stat: &Stat) -> Option<&BytePath> {
        self.files.get(&identity(stat))
    }

    pub(super) fn mapped(&mut self, stat: &Stat, real: &BytePath) {
        if self.files.len() >= PATHS_MAX {
            self.files.clear();
        }
        self.files.insert(identity(stat), real.clone());
    }

    pub(super) fn forget(&mut self) {
        self.paths.clear();
        self.files.clear();
    }
}

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}
