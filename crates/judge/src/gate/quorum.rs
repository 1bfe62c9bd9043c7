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
pub(super) fn findings(
    quorum: Option<&Quorum>,
    policy: &Policy,
    about: &dyn Fn() -> Subject,
) -> Vec<Finding> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_deny_where_some_are_required_and_others_always() {
        let codes = |quorum: Option<Quorum>, required: u32| -> Vec<String> {
            let policy = Policy::parse(format!("[quorum]\nbuilders = {required}").as_bytes()).unwrap();
            let findings = findings(quorum.as_ref(), &policy, &Subject::default);
            findings.into_iter().map(|finding| finding.code).collect()
        };
        let made = |agreed, others: &[&str]| {
            Some(Quorum { agreed, of: 3, others: others.iter().map(|&words| words.to_owned()).collect() })
        };
        assert!(codes(None, 0).is_empty());
        assert!(codes(made(2, &[]), 2).is_empty());
        assert_eq!(codes(None, 2), ["quorum-missing"]);
        assert_eq!(codes(made(1, &[]), 2), ["quorum-missing"]);
        assert_eq!(codes(made(2, &["c made other bytes"]), 0), ["quorum-disagreement"]);
        assert_eq!(codes(made(1, &["c made other bytes"]), 2), ["quorum-disagreement", "quorum-missing"]);
    }
}
