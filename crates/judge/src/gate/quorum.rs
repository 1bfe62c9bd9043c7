//! What independent builders say about an artifact, weighed by the policy.

use evidence::{Finding, Subject};

use crate::codes;
use crate::policy::Policy;

/// The newest statement about who came to an artifact's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    /// Builders, each with its own key, that came to these bytes.
    pub agreed: u32,
    /// Builders that were asked.
    pub of: u32,
    /// Those that came to others, in words.
    pub others: Vec<String>,
}

/// Disagreement denies whatever the policy says; too few denies where the policy requires some.
pub(super) fn findings(quorum: Option<&Quorum>, policy: &Policy, about: &dyn Fn() -> Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(quorum) = quorum.filter(|quorum| !quorum.others.is_empty()) {
        findings.push(codes::QUORUM_DISAGREEMENT.finding(about(), quorum.others.clone()));
    }
    let agreed = quorum.map_or(0, |quorum| quorum.agreed);
    if agreed < policy.quorum_builders {
        let because = format!("{agreed} agree, {} are required", policy.quorum_builders);
        findings.push(codes::QUORUM_MISSING.finding(about(), vec![because]));
    }
    findings
}
