//! What becomes of one finding: it denies, awaits somebody, is approved or passes. Whether all of them together leave a
//! permit is not asked here.

use std::collections::BTreeSet;

use evidence::{Digest, Finding, Subject, Timestamp};
use serde::Serialize;

use super::Case;
use crate::codes;
use crate::detect::MachineRole;
use crate::matching::Ranked;
use crate::policy::{Policy, Treatment};

/// An approval, signature verified, by somebody who could give one when it was logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approved {
    /// The finding.
    pub finding: String,
    /// Who gave it: a person keeps the name with a new key.
    pub person: String,
    /// Short name of the key.
    pub key: String,
    /// Why it may pass.
    pub reason: String,
    /// Digests of what the person looked at.
    pub evidence: Vec<Digest>,
    /// When it was given.
    pub approved: Timestamp,
    /// From when on it no longer holds.
    pub expires: Timestamp,
}

/// What became of a finding at the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// It denies.
    Denies,
    /// It denies until somebody else approves it too.
    AwaitsSecond,
    /// It denies until an approval names evidence.
    AwaitsEvidence,
    /// An approval covers it.
    Approved,
    /// The policy lets it pass.
    Passes,
}

impl Weight {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denies => "denies",
            Self::AwaitsSecond => "awaits-second",
            Self::AwaitsEvidence => "awaits-evidence",
            Self::Approved => "approved",
            Self::Passes => "passes",
        }
    }

    /// Tells whether it stands in the way of a permit.
    pub const fn denies(self) -> bool {
        match self {
            Self::Denies | Self::AwaitsSecond | Self::AwaitsEvidence => true,
            Self::Approved | Self::Passes => false,
        }
    }
}

/// What approvals a detection has and what it takes to cover it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Approvals {
    /// Who approved it, as far as the approvals hold.
    pub persons: BTreeSet<String>,
    /// How many different people it takes.
    pub persons_needed: u32,
    /// Whether one of them named evidence.
    pub evidence: bool,
    /// Whether one of them has to.
    pub evidence_needed: bool,
}

impl Approvals {
    /// Returns what became of the finding by these approvals alone.
    pub fn weight(&self) -> Weight {
        let people_missing = (self.persons.len() as u64) < u64::from(self.persons_needed);
        match (people_missing, self.evidence_needed && !self.evidence) {
            _ if self.persons.is_empty() => Weight::Denies,
            (true, _) => Weight::AwaitsSecond,
            (false, true) => Weight::AwaitsEvidence,
            (false, false) => Weight::Approved,
        }
    }

    /// Says what is missing and what to type; nothing if it is covered.
    pub fn hint(&self, finding: &str) -> Option<String> {
        let missing = u64::from(self.persons_needed).saturating_sub(self.persons.len() as u64);
        let evidence = self.evidence_needed && !self.evidence;
        let by: Vec<&str> = self.persons.iter().map(String::as_str).collect();
        let by = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") };
        let wanted = match (missing, evidence) {
            (0, false) => return None,
            (0, true) => "evidence".to_owned(),
            (1, _) => "one more person".to_owned(),
            (missing, _) => format!("{missing} more people"),
        };
        let also = if missing > 0 && evidence { ", with evidence" } else { "" };
        let option = if evidence { " --evidence FILE" } else { "" };
        Some(format!(
            "approved by {by}, awaits {wanted}{also}: \
             `countersign approve {finding} --as NAME --reason … --expires …{option}`"
        ))
    }
}

/// A finding and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Weighed {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// What became of it.
    pub weight: Weight,
    /// Whether a person may answer for it.
    pub approvable: bool,
    /// Who did, and who is missing; only of a detection that takes more than one approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
}

/// What detection rules found in the record: by id, and by code and place, because what the record witnesses
/// itself is said once and in its own words.
pub(super) struct Detected<'a> {
    ids: BTreeSet<&'a str>,
    places: BTreeSet<(&'a str, &'a Subject)>,
}

impl<'a> Detected<'a> {
    pub(super) fn of(case: &'a Case) -> Self {
        let found = || {
            case.record.iter().flat_map(|record| &record.document.detections.found).map(|one| &one.finding)
        };
        Self {
            ids: found().map(|finding| finding.id.as_str()).collect(),
            places: found().map(|finding| (finding.code.as_str(), &finding.subject)).collect(),
        }
    }

    pub(super) fn has(&self, finding: &Finding) -> bool {
        self.ids.contains(finding.id.as_str()) || self.places.contains(&(&finding.code, &finding.subject))
    }
}

/// Where a finding comes from, as far as that decides what it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// What lies before the gate.
    Evidence,
    /// A detection rule.
    Rule,
    /// An advisory.
    Advisory {
        /// Whether it stands in the way of a release.
        denies: bool,
        /// Whether two people have to answer for it, whatever the policy says.
        two_people: bool,
    },
}

/// Weighs what an advisory says where there is no release: whether approvals cover it.
pub fn weigh_advice(ranked: &Ranked, approvals: &[Approved], policy: &Policy, now: Timestamp) -> Weighed {
    let origin = Origin::Advisory { denies: true, two_people: ranked.takes_two() };
    weigh(ranked.finding.clone(), origin, approvals, policy, now)
}

/// Returns the approvals of a finding that hold.
pub fn holding<'a>(
    finding: &str,
    approvals: &'a [Approved],
    policy: &Policy,
    now: Timestamp,
) -> Vec<&'a Approved> {
    approvals.iter().filter(|one| one.finding == finding && holds(one, policy, now)).collect()
}

pub(super) fn weigh(
    finding: Finding,
    origin: Origin,
    approvals: &[Approved],
    policy: &Policy,
    now: Timestamp,
) -> Weighed {
    let code = codes::find(&finding.code);
    let detected = origin == Origin::Rule;
    // A rule of one's own has a code of its own; a rule suspects, it does not prove.
    let approvable = code.map_or(detected, |code| code.approvable);
    let holding = if approvable { holding(&finding.id, approvals, policy, now) } else { Vec::new() };
    let required = match origin {
        Origin::Rule if approvable && policy.machine != MachineRole::Developer => {
            Some(required(&holding, policy.approval_persons, policy.approval_evidence))
        }
        Origin::Advisory { two_people: true, .. } if approvable => {
            Some(required(&holding, policy.approval_persons.max(2), false))
        }
        _ => None,
    };
    let by_approvals = match &required {
        Some(required) => required.weight(),
        None if holding.is_empty() => Weight::Denies,
        None => Weight::Approved,
    };
    let two_people = matches!(origin, Origin::Advisory { two_people: true, .. });
    let weight = match (policy.exceptions.get(&finding.code), origin) {
        _ if by_approvals == Weight::Approved => Weight::Approved,
        (Some(Treatment::Allow), _) if approvable && !two_people => Weight::Passes,
        (Some(Treatment::Deny), _) => by_approvals,
        (_, Origin::Advisory { denies: true, .. }) => by_approvals,
        (_, Origin::Advisory { denies: false, .. }) => Weight::Passes,
        _ if finding.severity >= policy.deny_from => by_approvals,
        // A code that is not in our list is unknown, and unknown is denied.
        _ if code.is_none() => by_approvals,
        _ => Weight::Passes,
    };
    let approvals = required.filter(|_| weight != Weight::Passes);
    Weighed { finding, weight, approvable, approvals }
}

/// Tells whether an approval holds at this moment. Whatever it says itself, the policy limits how long.
fn holds(approved: &Approved, policy: &Policy, now: Timestamp) -> bool {
    let latest = approved.approved.plus_days(policy.approval_max_days);
    approved.approved <= now && now < approved.expires.min(latest)
}

/// Counts people: one with two keys is one, and so are two names with one key.
fn required(holding: &[&Approved], persons_needed: u32, evidence_needed: bool) -> Approvals {
    let mut keys = BTreeSet::new();
    let mut persons = BTreeSet::new();
    for approved in holding {
        if !persons.contains(&approved.person) && keys.insert(&approved.key) {
            persons.insert(approved.person.clone());
        }
    }
    Approvals {
        persons,
        persons_needed,
        evidence: holding.iter().any(|approved| !approved.evidence.is_empty()),
        evidence_needed,
    }
}

pub(super) fn expired(weighed: &[Weighed], case: &Case, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    weighed
        .iter()
        .filter(|weighed| weighed.weight.denies())
        .filter_map(|weighed| {
            let mut ended = case.approvals.iter().filter(|approved| !holds(approved, policy, now));
            let approval = ended.find(|approved| approved.finding == weighed.finding.id)?;
            let because = vec![format!(
                "the approval of {} held until {}; it is {now}",
                approval.finding, approval.expires
            )];
            Some(codes::APPROVAL_EXPIRED.finding(weighed.finding.subject.clone(), because))
        })
        .collect()
}
