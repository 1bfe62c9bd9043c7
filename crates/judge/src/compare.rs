//! Two releases side by side: what changed, what explains it, what nothing explains.
//!
//! With records, a difference in an output is *explained* when a source input changed and the trace shows that
//! the output was made from it. A copy of an input is explained only by that input. Without records there is
//! the caller's word on whether the source changed, and else plausibility: what releases do is *expected*, what
//! attacks do is not.

mod boms;
mod causes;
mod executables;
pub(crate) mod inputs;
mod members;
pub(crate) mod names;
mod pairing;
mod plausible;
mod records;
mod signals;

use std::collections::BTreeMap;

use evidence::{Digest, Finding, Problem, Severity};
use serde::Serialize;

pub use boms::boms;
pub use causes::Cause;
pub use members::{Contrasts, SourceChanged, trees, worth_a_look};
pub use records::{Side, is_observed, records, witnessed as records_witnessed};

/// The answer to a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing differs.
    Same,
    /// What differs is explained.
    Explained,
    /// Something differs that nothing explains.
    Drift,
    /// Something differs, and what was given does not suffice to explain it.
    Undetermined,
}

impl Verdict {
    /// Returns the lower-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Explained => "explained",
            Self::Drift => "drift",
            Self::Undetermined => "undetermined",
        }
    }
}

/// What kind of thing differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// A declared output.
    Output,
    /// A member of an output.
    Member,
    /// A source input.
    Source,
    /// A dependency.
    Dependency,
    /// A package of the toolchain, or one of its files.
    Toolchain,
    /// A program that ran.
    Process,
    /// An address.
    Network,
    /// The recorded command.
    Command,
}

/// In which way it differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only in the new one.
    Added,
    /// Only in the old one.
    Removed,
    /// In both, not the same.
    Changed,
}

/// Whether a difference is accounted for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The cause is known and listed.
    Explained,
    /// By plausibility only: the version changed, and honest releases change like this.
    Expected,
    /// Nothing explains it; a finding says so.
    Drift,
    /// It is itself a cause, or needs no explanation.
    Noted,
}

/// One difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Difference {
    /// What kind of thing.
    pub area: Area,
    /// Where: a path, written as in findings; a package; an address.
    pub path: String,
    /// In which way.
    pub change: Change,
    /// What it was: a digest, a version, a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Whether it is accounted for.
    pub status: Status,
    /// What explains it, a few examples.
    pub explained_by: Vec<String>,
}

/// The result of a comparison. The same inputs give the same value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Comparison {
    /// The answer.
    pub verdict: Verdict,
    /// All differences, sorted.
    pub differences: Vec<Difference>,
    /// What nothing explains, and what honest files do not show.
    pub findings: Vec<Finding>,
    /// What could not be read, on the new side.
    pub problems: Vec<Problem>,
    /// By path: why two builds of one source may differ there. Only if the source is said or known to be the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub causes: BTreeMap<String, Vec<Cause>>,
}

impl Comparison {
    /// Draws the verdict from what was collected, and puts everything in its one order.
    fn conclude(
        mut differences: Vec<Difference>,
        findings: Vec<Finding>,
        mut problems: Vec<Problem>,
    ) -> Self {
        differences.sort();
        differences.dedup();
        let mut findings = signals::collapse(findings);
        findings.sort_by(|a, b| {
            (std::cmp::Reverse(a.severity), &a.code, &a.subject, &a.id).cmp(&(
                std::cmp::Reverse(b.severity),
                &b.code,
                &b.subject,
                &b.id,
            ))
        });
        problems.sort();
        problems.dedup();
        let drifted = differences.iter().any(|difference| difference.status == Status::Drift)
            || findings.iter().any(|finding| finding.severity >= Severity::Medium);
        let verdict = if drifted {
            Verdict::Drift
        } else if !problems.is_empty() {
            Verdict::Undetermined
        } else if differences.is_empty() && findings.is_empty() {
            Verdict::Same
        } else {
            Verdict::Explained
        };
        Self { verdict, differences, findings, problems, causes: BTreeMap::new() }
    }
}

fn written(digest: Option<Digest>) -> Option<String> {
    digest.map(|digest| digest.to_string())
}

/// At most this many causes are written out for one difference.
const CAUSES_MAX: usize = 5;

/// Writes a few names of many.
fn examples<T: ToString>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    let all: Vec<T> = names.into_iter().collect();
    let mut shown: Vec<String> = all.iter().take(CAUSES_MAX).map(ToString::to_string).collect();
    if all.len() > CAUSES_MAX {
        shown.push(format!("and {} more", all.len() - CAUSES_MAX));
    }
    shown
}
