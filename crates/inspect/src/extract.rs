//! The bytes of chosen members, at any depth: for people who want to look at what differs.

use std::collections::{BTreeMap, BTreeSet};

use evidence::BytePath;

/// Members that are wanted, by their paths as findings write them, and those found so far.
#[derive(Default)]
pub(crate) struct Wanted {
    paths: BTreeSet<BytePath>,
    found: BTreeMap<BytePath, Vec<u8>>,
    /// Bytes that may still be kept.
    room: usize,
}

impl Wanted {
    pub(crate) fn new(paths: BTreeSet<BytePath>, room: usize) -> Self {
        Self { paths, found: BTreeMap::new(), room }
    }

    /// Keeps a member if it is wanted. Of members with one name the first is kept: a second one is a problem already.
    pub(crate) fn take(&mut self, path: &BytePath, bytes: &[u8]) {
        if self.paths.contains(path) && bytes.len() <= self.room && !self.found.contains_key(path) {
            self.room -= bytes.len();
            self.found.insert(path.clone(), bytes.to_vec());
        }
    }

    /// Whether something below a path is wanted: else it need not be opened.
    pub(crate) fn is_below(&self, path: &BytePath) -> bool {
        let prefix = path.as_bytes();
        self.paths.range(path.clone()..).any(|wanted| {
            // Paths between a name and the names below it sort apart: `a`, `a b`, `a!x`.
            wanted.as_bytes().strip_prefix(prefix).is_some_and(|rest| matches!(rest, [b'!' | b'/', ..]))
        })
    }

    pub(crate) fn found(self) -> BTreeMap<BytePath, Vec<u8>> {
        self.found
    }
}
