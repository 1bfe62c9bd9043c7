//! YARA rules of somebody's own: read from a file or folder, compiled, and put to bytes that somebody holds.
//!
//! The language is that of YARA 4 (<https://yara.readthedocs.io>), as `boreal` speaks it. Nothing is executed but conditions; files
//! are read when rules are loaded, and then no more. The rules are the user's, the bytes an enemy's: time, matches and what is kept
//! of them are limited, and what a limit leaves open is never taken for "no match".

mod files;
mod scan;

use std::path::PathBuf;

pub use scan::{Limits, Looked, Open, Rules};

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There are no rules in what was given.
    #[error("{}: there is no rule in it (files end in .yar or .yara)", .0.display())]
    Nothing(PathBuf),
    /// An `include` is not allowed.
    #[error("{file}:{line}: include \"{include}\": {why}")]
    Include {
        /// The file that includes.
        file: String,
        /// In which line.
        line: usize,
        /// What it includes, as it is written.
        include: String,
        /// What is wrong about it.
        why: &'static str,
    },
    /// More rules than are read.
    #[error("{file}: {what}")]
    TooMuch {
        /// Where it was too much.
        file: String,
        /// What was.
        what: &'static str,
    },
    /// A rule does not compile. The text names file, line and column.
    #[error("{0}")]
    Compile(String),
}
