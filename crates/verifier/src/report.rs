//! What came of a check.

use std::path::PathBuf;

use attest::VerifiedRelease;
use evidence::{Digest, Timestamp};

/// Why something is not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// The finding code; each has a page in `docs/findings/`.
    pub code: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Its digest, if it has bytes.
    pub digest: Option<Digest>,
    /// What exactly.
    pub because: String,
}

/// Something that could not be looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// Stable kebab-case kind.
    pub kind: &'static str,
    /// What exactly.
    pub detail: String,
}

/// What the build's provenance says, from the bundle that the release relied on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// The builder's id.
    pub builder: String,
    /// Product and release.
    pub product: String,
    /// The commit, with its repository, if the build was of one.
    pub source: Option<String>,
    /// Inputs that the provenance lists.
    pub inputs: usize,
    /// When it ended.
    pub finished: Timestamp,
}

/// One file.
#[derive(Clone, PartialEq, Debug)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// Its digest.
    pub artifact: Digest,
    /// Its release, if it has one of its own that was verified.
    pub release: Option<VerifiedRelease>,
    /// The manifest that lists it, if it was verified that way.
    pub manifest: Option<PathBuf>,
    /// What its provenance says, if that lies beside it and was verified.
    pub build: Option<Build>,
    /// Why it is not verified; none if it is.
    pub reasons: Vec<Reason>,
}

/// Everything that was checked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// The files, in order of their paths.
    pub files: Vec<FileReport>,
    /// What is wrong with the whole: a stale trust file, files that are missing.
    pub reasons: Vec<Reason>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
}

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything is as it should be.
    Verified,
    /// Something is not.
    Rejected,
    /// Nothing is wrong, but what was asked cannot be told: the trust file is too old, or something was unreadable.
    Undetermined,
}

impl Verdict {
    /// Returns the lower-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Rejected => "rejected",
            Self::Undetermined => "undetermined",
        }
    }

    /// Returns the exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Rejected => 1,
            Self::Undetermined => 3,
        }
    }
}

/// The one code that leaves a check undecided instead of answering no.
pub(crate) const STALE: &str = "trust-stale";

impl Report {
    /// All reasons, those of files first.
    pub fn all_reasons(&self) -> impl Iterator<Item = &Reason> {
        self.files.iter().flat_map(|file| &file.reasons).chain(&self.reasons)
    }

    /// The answer. No file at all is no yes.
    pub fn verdict(&self) -> Verdict {
        let mut reasons = self.all_reasons().peekable();
        if reasons.peek().is_none() && self.problems.is_empty() && !self.files.is_empty() {
            return Verdict::Verified;
        }
        if reasons.any(|reason| reason.code != STALE) { Verdict::Rejected } else { Verdict::Undetermined }
    }
}
