//! The policy file: TOML, unknown keys rejected, strict where it is silent.

use std::collections::BTreeMap;

use evidence::{Digest, Severity};
use serde::Deserialize;

use crate::codes;
use crate::detect::MachineRole;
use crate::roles::{self, Roles};

/// The policy that `init` writes. It says what an empty file means, line by line; a test holds the two together.
pub const DEFAULT: &str = include_str!("policy.default.toml");

/// What the gate demands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Digest of the file's bytes; verdicts name it.
    pub digest: Digest,
    /// Findings from this severity on deny.
    pub deny_from: Severity,
    /// Whether a release without anything to compare with is denied.
    pub baseline_required: bool,
    /// The longest time for which an approval may hold, in days.
    pub approval_max_days: u32,
    /// How many different people must approve a detection on a build or signing machine; at least 1.
    pub approval_persons: u32,
    /// Whether one of them must name evidence.
    pub approval_evidence: bool,
    /// How many independent builders must have come to the same bytes; 0 asks nobody.
    pub quorum_builders: u32,
    /// What the machine of the store is for: how severe detections are.
    pub machine: MachineRole,
    /// Who may do what.
    pub roles: Roles,
    /// Codes that are treated otherwise than by severity.
    pub exceptions: BTreeMap<String, Treatment>,
}

/// What to do with a finding regardless of its severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Report it, but never deny for it.
    Allow,
    /// Deny for it, whatever its severity.
    Deny,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML of the documented form.
    #[error("malformed policy")]
    Form(#[source] toml::de::Error),
    /// Not UTF-8.
    #[error("the policy is not UTF-8 text")]
    Text,
    /// A finding code that does not exist.
    #[error("the policy names the finding code `{0}`, which does not exist")]
    UnknownCode(String),
    /// A finding code that cannot be allowed.
    #[error("the policy allows `{0}`, which can never be allowed")]
    NeverAllowed(String),
    /// Somebody has roles that exclude each other.
    #[error("roles exclude each other: {0}")]
    Roles(String),
    /// Approvals by nobody.
    #[error("`approvals.persons` is 0: somebody has to answer for a detection")]
    NoPersons,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Baseline {
    #[serde(rename = "when-available")]
    WhenAvailable,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    version: u32,
    deny_from: Severity,
    baseline: Baseline,
    machine: MachineRole,
    approvals: Approvals,
    quorum: Quorum,
    roles: roles::File,
    findings: BTreeMap<String, Treatment>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Quorum {
    builders: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Approvals {
    max_days: u32,
    persons: u32,
    evidence: bool,
}

impl Default for File {
    fn default() -> Self {
        Self {
            version: 1,
            deny_from: Severity::Medium,
            baseline: Baseline::WhenAvailable,
            machine: MachineRole::Build,
            approvals: Approvals::default(),
            quorum: Quorum::default(),
            roles: roles::File::default(),
            findings: BTreeMap::new(),
        }
    }
}

impl Default for Approvals {
    fn default() -> Self {
        Self { max_days: 90, persons: 2, evidence: true }
    }
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PolicyError::Text)?;
        let file: File = toml::from_str(text).map_err(PolicyError::Form)?;
        if file.version != 1 {
            let message = format!("version {} is not supported; this is a version 1 reader", file.version);
            return Err(PolicyError::Form(serde::de::Error::custom(message)));
        }
        for (word, treatment) in &file.findings {
            let code = codes::find(word).ok_or_else(|| PolicyError::UnknownCode(word.clone()))?;
            if *treatment == Treatment::Allow && !code.approvable {
                return Err(PolicyError::NeverAllowed(word.clone()));
            }
        }
        if file.approvals.persons == 0 {
            return Err(PolicyError::NoPersons);
        }
        Ok(Self {
            digest: Digest::of(bytes),
            deny_from: file.deny_from,
            baseline_required: matches!(file.baseline, Baseline::Required),
            machine: file.machine,
            approval_max_days: file.approvals.max_days,
            approval_persons: file.approvals.persons,
            approval_evidence: file.approvals.evidence,
            quorum_builders: file.quorum.builders,
            roles: Roles::new(file.roles).map_err(PolicyError::Roles)?,
            exceptions: file.findings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_says_what_silence_means() {
        let written = Policy::parse(DEFAULT.as_bytes()).unwrap();
        let silent = Policy::parse(b"").unwrap();
        assert_eq!(Policy { digest: silent.digest, ..written }, silent);
        assert_eq!(silent.deny_from, Severity::Medium);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (text, expected) in [
            ("denyfrom = \"low\"", "malformed policy"),
            ("version = 2", "malformed policy"),
            ("deny_from = \"severe\"", "malformed policy"),
            ("[approvals]\ndays = 1", "malformed policy"),
            ("[approvals]\npersons = 0", "somebody has to answer"),
            ("[approvals]\npersons = -1", "malformed policy"),
            ("[approvals]\nevidence = 1", "malformed policy"),
            ("[quorum]\nbuilders = -1", "malformed policy"),
            ("[roles]\nboss = ['x']", "malformed policy"),
            ("[roles]\nbuilder = ['x']\nsigner = ['x']", "exclude each other"),
            ("[findings]\nquorum-disagreement = \"allow\"", "can never be allowed"),
            ("[findings]\nno-such-code = \"allow\"", "does not exist"),
            ("[findings]\nbuild-failed = \"allow\"", "can never be allowed"),
        ] {
            let error = Policy::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Policy::parse(b"\xff").is_err());
    }
}
