//! Findings and problems: two of the three things that must never be confused.
//!
//! A *finding* is a coded result of judging. A *problem* is input that could not be read; it travels beside a
//! result, and the policy judges it. (The third, an *error*, means that we could not do our work, and belongs
//! to the crate that failed.)

use serde::{Deserialize, Serialize};

use crate::{BytePath, Digest};

/// How bad a finding is. Ordered: `Info` is the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; never blocks.
    Info,
    /// Unusual, harmless alone.
    Low,
    /// Needs a look.
    Medium,
    /// Likely wrong.
    High,
    /// Never seen in honest builds.
    Critical,
}

impl Severity {
    /// Returns the lower-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a finding is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Where it is; something inside a container is written `outer.zip!inner/x.dll`, level by level.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<BytePath>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
}

/// One coded result of judging. Each code has a page in `docs/findings/`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Names this finding for approvals: `f-` and 16 hex digits over code, subject and reasons.
    pub id: String,
    /// Stable kebab-case code.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence for people.
    pub title: String,
    /// What it is about.
    pub subject: Subject,
    /// The evidence it rests on.
    pub because: Vec<String>,
    /// What to do next.
    pub hint: String,
}

impl Finding {
    /// Makes a finding and derives its `id`.
    ///
    /// The id covers code, subject (with digest) and reasons, so an approval of one finding never carries over
    /// to other bytes at the same place. Title, hint and severity are wording and do not enter.
    pub fn new(
        code: &str,
        severity: Severity,
        title: impl Into<String>,
        subject: Subject,
        because: Vec<String>,
        hint: impl Into<String>,
    ) -> Self {
        let mut hasher = crate::Hasher::new();
        let mut part = |text: &[u8]| {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text);
        };
        part(code.as_bytes());
        part(subject.path.as_ref().map_or(&[], BytePath::as_bytes));
        part(subject.digest.as_ref().map_or(&[], |digest| digest.as_bytes().as_slice()));
        for reason in &because {
            part(reason.as_bytes());
        }
        let id = format!("f-{}", hex::encode(&hasher.finish().as_bytes()[..8]));
        Self { id, code: code.to_owned(), severity, title: title.into(), subject, because, hint: hint.into() }
    }
}

/// Input that could not be read. Never silently dropped: the gate denies while one is unjudged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Where, written as in [`Subject::path`].
    pub path: BytePath,
    /// Stable kebab-case kind, such as `malformed-pe` or `budget-exceeded`.
    pub kind: String,
    /// What exactly, for people.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_covers_subject_digest_and_reasons() {
        let make = |code: &str, bytes: &[u8], reason: &str| {
            let subject = Subject { path: Some("a".into()), digest: Some(Digest::of(bytes)) };
            Finding::new(code, Severity::High, "t", subject, vec![reason.into()], "h").id
        };
        let id = make("x", b"1", "r");
        assert_eq!(id.len(), 18);
        assert_eq!(id, make("x", b"1", "r"));
        for other in [make("y", b"1", "r"), make("x", b"2", "r"), make("x", b"1", "s")] {
            assert_ne!(id, other);
        }
    }
}
