//! What an advisory means for what was seen: how a package was used, how urgent that is, and why.
//!
//! The order is explained, not scored: the first thing that differs decides. A malicious package that ran on a build system
//! comes before everything; then malicious ones anywhere; then what is known to be exploited; then what is likely to be; then
//! the score of the vector. Among equals, what was executed comes before what is only listed.

mod grade;
mod names;
mod rank;
mod scripts;
#[cfg(test)]
mod tests;

pub use grade::{Grade, Seen, seen};
pub use names::Popular;
pub use rank::{Advisory, Certainty, Exploitation, Priority, Ranked, Sighting, Use, rank};
pub use scripts::{Script, install_scripts};

/// What matching comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No advisory speaks of anything that was seen, and all of it could be asked about.
    Clean,
    /// Nobody can tell.
    Undetermined,
    /// Something is affected.
    Affected,
}

impl Verdict {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Undetermined => "undetermined",
            Self::Affected => "affected",
        }
    }
}
