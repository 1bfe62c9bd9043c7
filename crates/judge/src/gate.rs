//! The gate: all evidence about one artifact, a policy and a moment in; a permit or a denial out.

mod advised;
mod provenance;
mod quorum;
mod weigh;

use std::collections::BTreeSet;

use crate::anomalies::anomalies;
use crate::codes;
use crate::compare::{self, Comparison};
use crate::policy::Policy;
use crate::roles::{Actor, Role};
use evidence::record::{Exit, Record};
use evidence::{BytePath, Digest, Finding, Problem, Subject, Timestamp, Tree};

pub use advised::Advised;
pub use provenance::Provenance;
pub use quorum::Quorum;
pub use weigh::{Approvals, Approved, Weighed, Weight, holding, weigh_advice};
use weigh::{Detected, Origin, expired, weigh};

/// All evidence about one artifact. Whoever assembles it has verified signatures and digests; what could not be
/// found is absent, and absence is denied.
pub struct Case<'a> {
    /// Digest of the artifact's bytes, hashed by the gate's own machine just now.
    pub artifact: Digest,
    /// What it is called.
    pub name: BytePath,
    /// The record that names it as an output.
    pub record: Option<Evidence<&'a Record>>,
    /// Its provenance.
    pub provenance: Provenance,
    /// What inspection found in it.
    pub tree: &'a Tree,
    /// How its record compares with the baseline.
    pub baseline: Option<Baseline<'a>>,
    /// Approvals in the log, signature verified.
    pub approvals: &'a [Approved],
    /// What independent builders made, if they were asked.
    pub quorum: Option<Quorum>,
    /// What advisories say of the record, if they were asked.
    pub advised: Option<&'a Advised>,
    /// Whose keys have built this and would sign it, and who asks for the release.
    pub actors: &'a [Actor],
    /// What rules in other languages found, those of YARA among them.
    pub ruled: &'a [Finding],
}

/// A document with its digest.
#[derive(Clone, Copy)]
pub struct Evidence<T> {
    /// The digest by which it is kept.
    pub digest: Digest,
    /// The document.
    pub document: T,
}

/// The release compared against.
pub struct Baseline<'a> {
    /// Digest of its record.
    pub record: Digest,
    /// The result.
    pub comparison: &'a Comparison,
}

/// The gate's answer: findings, and a permit unless one of them denies.
#[derive(Debug)]
pub struct Decision {
    permit: Option<Permit>,
    permitted: bool,
    findings: Vec<Weighed>,
}

/// Leave to sign one artifact, once. Only [`gate`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    artifact: Digest,
    name: BytePath,
    record: Digest,
    provenance: Digest,
    policy: Digest,
    baseline: Option<Digest>,
    observed: bool,
    approved: Vec<String>,
    advisories: Option<Digest>,
    reproduced: Option<(u32, u32)>,
    decided: Timestamp,
}

impl Permit {
    /// How many of how many builders came to these bytes, if they were asked.
    pub fn reproduced(&self) -> Option<(u32, u32)> {
        self.reproduced
    }

    /// The artifact that may be signed.
    pub fn artifact(&self) -> &Digest {
        &self.artifact
    }

    /// What it is called.
    pub fn name(&self) -> &BytePath {
        &self.name
    }

    /// Its record.
    pub fn record(&self) -> &Digest {
        &self.record
    }

    /// Its provenance statement.
    pub fn provenance(&self) -> &Digest {
        &self.provenance
    }

    /// The policy that it passed.
    pub fn policy(&self) -> &Digest {
        &self.policy
    }

    /// The record it was compared with.
    pub fn baseline(&self) -> Option<&Digest> {
        self.baseline.as_ref()
    }

    /// Whether the recorder saw what the build read.
    pub fn is_observed(&self) -> bool {
        self.observed
    }

    /// The findings that approvals cover.
    pub fn approved(&self) -> &[String] {
        &self.approved
    }

    /// The snapshot of the advisories that were asked.
    pub fn advisories(&self) -> Option<&Digest> {
        self.advisories.as_ref()
    }

    /// When the gate decided.
    pub fn decided(&self) -> Timestamp {
        self.decided
    }
}

impl Decision {
    /// Tells whether the artifact may be signed.
    pub fn is_permit(&self) -> bool {
        self.permitted
    }

    /// Takes the permit out; there is one, once.
    pub fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    /// Returns the findings, those that deny first.
    pub fn findings(&self) -> &[Weighed] {
        &self.findings
    }
}

/// Judges a case. Unknown is denied; a permit needs verified provenance from a known builder, a complete and
/// successful record that names the artifact, and no finding that denies.
pub fn gate(case: &Case, policy: &Policy, now: Timestamp) -> Decision {
    let detected = Detected::of(case);
    let approvals = counted(case, policy);
    let mut weighed: Vec<Weighed> = collect(case, policy)
        .into_iter()
        .map(|finding| {
            let origin = if detected.has(&finding) { Origin::Rule } else { Origin::Evidence };
            (finding, origin)
        })
        .chain(case.advised.into_iter().flat_map(|advised| advised.findings(policy)))
        .map(|(finding, origin)| weigh(finding, origin, &approvals, policy, now))
        .collect();
    for finding in expired(&weighed, case, policy, now) {
        weighed.push(weigh(finding, Origin::Evidence, &[], policy, now));
    }
    weighed.sort_by(|a, b| {
        let key = |weighed: &Weighed| (!weighed.weight.denies(), std::cmp::Reverse(weighed.finding.severity));
        (key(a), &a.finding.code, &a.finding.subject, &a.finding.id).cmp(&(
            key(b),
            &b.finding.code,
            &b.finding.subject,
            &b.finding.id,
        ))
    });
    weighed.dedup();
    let denied = weighed.iter().any(|weighed| weighed.weight.denies());
    // Stated again as types: whatever the findings say, without these there is nothing to permit.
    let permit = match (&case.record, &case.provenance) {
        (Some(record), Provenance::Verified { statement }) if !denied && record.document.is_attestable() => {
            let approved = weighed
                .iter()
                .filter(|weighed| weighed.weight == Weight::Approved)
                .map(|weighed| weighed.finding.id.clone())
                .collect();
            Some(Permit {
                artifact: case.artifact,
                name: case.name.clone(),
                record: record.digest,
                provenance: *statement,
                policy: policy.digest,
                baseline: case.baseline.as_ref().map(|baseline| baseline.record),
                observed: compare::is_observed(record.document),
                approved,
                advisories: case.advised.and_then(|advised| advised.snapshot),
                reproduced: case.quorum.as_ref().map(|quorum| (quorum.agreed, quorum.of)),
                decided: now,
            })
        }
        _ => None,
    };
    Decision { permitted: permit.is_some(), permit, findings: weighed }
}

/// The approvals by people who may approve, and who do not ask for this release themselves.
fn counted(case: &Case, policy: &Policy) -> Vec<Approved> {
    let asks = |approved: &Approved| {
        let mut releasers = case.actors.iter().filter(|actor| actor.role == Role::Releaser);
        releasers.any(|actor| actor.person.as_ref() == Some(&approved.person) || actor.key == approved.key)
    };
    let may = |approved: &Approved| {
        let (key, person) = (approved.key.clone(), Some(approved.person.clone()));
        policy.roles.refuses(&Actor { role: Role::Approver, key, person }).is_none()
    };
    case.approvals.iter().filter(|approved| may(approved) && !asks(approved)).cloned().collect()
}

fn collect(case: &Case, policy: &Policy) -> Vec<Finding> {
    let about = || Subject { path: Some(case.name.clone()), digest: Some(case.artifact) };
    let mut findings = Vec::new();
    match &case.record {
        None => findings.push(
            codes::ARTIFACT_NOT_RECORDED
                .finding(about(), vec!["no record names this digest as an output".to_owned()]),
        ),
        Some(record) => findings.extend(recorded(record.document, case, &about)),
    }
    findings.extend(match &case.provenance {
        Provenance::Verified { .. } => None,
        Provenance::Missing if case.record.is_none() => None,
        Provenance::Missing => Some(codes::PROVENANCE_MISSING.finding(about(), Vec::new())),
        Provenance::Invalid { reason } => {
            Some(codes::PROVENANCE_INVALID.finding(about(), vec![reason.clone()]))
        }
        Provenance::UnknownBuilder { key } => {
            Some(codes::BUILDER_UNKNOWN.finding(about(), vec![format!("the key is {key}")]))
        }
    });
    match &case.baseline {
        Some(baseline) => {
            findings.extend(baseline.comparison.findings.iter().cloned());
            findings.extend(baseline.comparison.problems.iter().map(unread));
        }
        None => {
            let code = if policy.baseline_required { &codes::BASELINE_REQUIRED } else { &codes::NO_BASELINE };
            findings.push(code.finding(about(), Vec::new()));
        }
    }
    findings.extend(
        case.actors
            .iter()
            .filter_map(|actor| policy.roles.refuses(actor))
            .map(|why| codes::ROLE_DENIED.finding(about(), vec![why])),
    );
    findings.extend(case.ruled.iter().cloned());
    findings.extend(quorum::findings(case.quorum.as_ref(), policy, &about));
    findings.extend(anomalies(case.tree));
    findings.extend(case.tree.problems.iter().map(unread));
    findings.sort_by(|a, b| a.id.cmp(&b.id));
    findings.dedup_by(|a, b| a.id == b.id);
    findings
}

fn recorded(record: &Record, case: &Case, about: &dyn Fn() -> Subject) -> Vec<Finding> {
    let mut findings = compare::records_witnessed(record);
    if record.output(&case.artifact).is_none() {
        findings.push(
            codes::ARTIFACT_NOT_RECORDED
                .finding(about(), vec!["the record has no output with this digest".to_owned()]),
        );
    }
    // What the record itself witnesses is said once.
    let said: BTreeSet<(String, Subject)> =
        findings.iter().map(|finding| (finding.code.clone(), finding.subject.clone())).collect();
    let detected = record.detections.found.iter().map(|detected| &detected.finding);
    findings.extend(
        detected.filter(|finding| !said.contains(&(finding.code.clone(), finding.subject.clone()))).cloned(),
    );
    match record.exit {
        Exit::Code(0) => {}
        Exit::Code(code) => {
            findings.push(codes::BUILD_FAILED.finding(about(), vec![format!("exit code {code}")]))
        }
        Exit::Signal(signal) => {
            findings.push(codes::BUILD_FAILED.finding(about(), vec![format!("ended by signal {signal}")]))
        }
        Exit::Unknown => {
            findings.push(codes::BUILD_FAILED.finding(about(), vec!["its end was not seen".to_owned()]))
        }
    }
    if !record.completeness.complete {
        let completeness = &record.completeness;
        let mut because: Vec<String> =
            completeness.gaps.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
        for (label, count) in
            [("events lost", completeness.dropped), ("paths unresolved", completeness.unresolved)]
        {
            if count > 0 {
                because.push(format!("{label}: {count}"));
            }
        }
        if completeness.interrupted {
            because.push("the recording was interrupted".to_owned());
        }
        findings.push(codes::RECORD_INCOMPLETE.finding(about(), because));
    }
    findings
}

/// What could not be read, or not be decided, as a finding.
pub fn unread(problem: &Problem) -> Finding {
    let subject = Subject { path: Some(problem.path.clone()), digest: None };
    codes::UNREAD_INPUT.finding(subject, vec![format!("{}: {}", problem.kind, problem.detail)])
}

#[cfg(test)]
mod tests;
