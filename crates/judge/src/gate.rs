//! The gate: all evidence about one artifact, a policy and a moment in; a permit or a denial out.

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

pub use quorum::Quorum;
pub use weigh::{Approvals, Approved, Weighed, Weight};
use weigh::{Detected, expired, weigh};

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
    /// Whose keys have built this and would sign it, and who asks for the release.
    pub actors: &'a [Actor],
}

/// A document with its digest.
#[derive(Clone, Copy)]
pub struct Evidence<T> {
    /// The digest by which it is kept.
    pub digest: Digest,
    /// The document.
    pub document: T,
}

/// What is known about an artifact's provenance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Provenance {
    /// There is none.
    Missing,
    /// It does not verify, or does not name this artifact and record.
    Invalid {
        /// Why.
        reason: String,
    },
    /// Its signature is good, but nobody knows the key.
    UnknownBuilder {
        /// Short name of the key.
        key: String,
    },
    /// Signed by a known builder; names this artifact and this record.
    Verified {
        /// Digest of the statement.
        statement: Digest,
    },
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
            let detected = detected.has(&finding);
            weigh(finding, detected, &approvals, policy, now)
        })
        .collect();
    for finding in expired(&weighed, case, policy, now) {
        weighed.push(weigh(finding, false, &[], policy, now));
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

fn unread(problem: &Problem) -> Finding {
    let subject = Subject { path: Some(problem.path.clone()), digest: None };
    codes::UNREAD_INPUT.finding(subject, vec![format!("{}: {}", problem.kind, problem.detail)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::Side;
    use crate::lineage::tests::Sketch;
    use evidence::Node;
    use evidence::record::{Artifact, Role};

    const NOW: i64 = 1_000_000;

    struct World {
        old: Record,
        new: Record,
        trees: BTreeMap<BytePath, Tree>,
        provenance: Provenance,
        approvals: Vec<Approved>,
        actors: Vec<Actor>,
        policy: &'static str,
    }

    fn built(source: &str, output: &str) -> Record {
        let mut record = Sketch::new()
            .process(0, None, 0, "/bin/make")
            .process(1, Some(0), 10, "/bin/cc")
            .file("/w/a.c", Role::Source, source, &[(1, 12)], &[])
            .file("/w/a", Role::Output, output, &[], &[(1, 13)])
            .0;
        let digest = Digest::of(output.as_bytes());
        record.outputs = vec![Artifact { path: "a".into(), digest, size: 1, tree: digest }];
        record
    }

    fn tree(output: &str) -> BTreeMap<BytePath, Tree> {
        let root = Node::leaf("a".into(), "data", Digest::of(output.as_bytes()), 1);
        BTreeMap::from([("a".into(), Tree { root, problems: vec![] })])
    }

    fn honest() -> World {
        World {
            old: built("v1", "A1"),
            new: built("v2", "A2"),
            trees: tree("A2"),
            provenance: Provenance::Verified { statement: Digest::of(b"p") },
            approvals: vec![],
            actors: vec![],
            policy: "",
        }
    }

    fn decide(world: &World) -> Decision {
        let old_trees = tree("A1");
        let comparison = compare::records(
            &Side { record: &world.old, trees: &old_trees },
            &Side { record: &world.new, trees: &world.trees },
        );
        let tree = &world.trees[&BytePath::from("a")];
        let case = Case {
            artifact: Digest::of(b"A2"),
            name: "a".into(),
            record: Some(Evidence { digest: Digest::of(b"r"), document: &world.new }),
            provenance: world.provenance.clone(),
            tree,
            baseline: Some(Baseline { record: Digest::of(b"b"), comparison: &comparison }),
            approvals: &world.approvals,
            quorum: None,
            actors: &world.actors,
        };
        gate(&case, &Policy::parse(world.policy.as_bytes()).unwrap(), Timestamp::from_unix(NOW))
    }

    /// The codes that deny; empty for a permit.
    fn denies(change: impl FnOnce(&mut World)) -> Vec<String> {
        let mut world = honest();
        change(&mut world);
        let decision = decide(&world);
        let codes: Vec<String> = decision
            .findings()
            .iter()
            .filter(|weighed| weighed.weight.denies())
            .map(|weighed| weighed.finding.code.clone())
            .collect();
        assert_eq!(codes.is_empty(), decision.is_permit());
        codes
    }

    /// An approval with evidence, by a person whose key is called as the person is.
    fn approval(finding: &str, person: &str, approved: i64, expires: i64) -> Approved {
        Approved {
            finding: finding.into(),
            person: person.into(),
            key: person.into(),
            evidence: vec![Digest::of(b"looked at")],
            approved: Timestamp::from_unix(approved),
            expires: Timestamp::from_unix(expires),
        }
    }

    #[test]
    fn keys_do_only_what_their_role_is() {
        use crate::roles::Role;
        let actor = |role, key: &str, person: Option<&str>| Actor {
            role,
            key: key.into(),
            person: person.map(str::to_owned),
        };
        let with = |actors: Vec<Actor>, policy: &'static str| {
            denies(|world| (world.actors, world.policy) = (actors.clone(), policy))
        };
        let good = vec![actor(Role::Builder, "k1", None), actor(Role::Signer, "k2", None)];
        assert_eq!(with(good.clone(), ""), Vec::<String>::new());
        assert_eq!(with(good.clone(), "[roles]\nbuilder = ['k1']\nsigner = ['k2']"), Vec::<String>::new());
        assert_eq!(with(good.clone(), "[roles]\nbuilder = ['k3']"), ["role-denied"]);
        assert_eq!(with(good, "[roles]\neveryday = ['k2']"), ["role-denied"]);
        assert_eq!(with(vec![actor(Role::Signer, "k2", Some("anna"))], ""), ["role-denied"]);
        assert_eq!(
            with(vec![actor(Role::Releaser, "k4", Some("ben"))], "[roles]\nreleaser = ['carol']"),
            ["role-denied"]
        );
    }

    #[test]
    fn who_asks_for_a_release_does_not_approve_it() {
        use crate::roles::Role;
        let mut world = World { old: built("v2", "A1"), ..honest() };
        let id = decide(&world).findings()[0].finding.id.clone();
        assert!(!decide(&world).is_permit());
        world.approvals = vec![approval(&id, "anna", NOW - 1, NOW + 1)];
        assert!(decide(&world).is_permit());
        world.actors = vec![Actor { role: Role::Releaser, key: "k".into(), person: Some("anna".into()) }];
        assert!(!decide(&world).is_permit(), "anna asks and approves");
        world.actors[0].person = Some("ben".into());
        assert!(decide(&world).is_permit());
        world.policy = "[roles]\napprover = ['carol']";
        assert!(!decide(&world).is_permit(), "anna is no approver");
    }

    #[test]
    fn an_honest_release_is_permitted() {
        assert_eq!(denies(|_| ()), Vec::<String>::new());
        let mut decision = decide(&honest());
        let permit = decision.take_permit().unwrap();
        assert_eq!(decision.take_permit(), None, "a permit is used once");
        assert_eq!(*permit.artifact(), Digest::of(b"A2"));
        assert_eq!(permit.baseline(), Some(&Digest::of(b"b")));
    }

    #[test]
    fn each_thing_amiss_denies_with_its_own_code() {
        use evidence::record::Exit;
        assert_eq!(denies(|w| w.provenance = Provenance::Missing), ["provenance-missing"]);
        assert_eq!(
            denies(|w| w.provenance = Provenance::Invalid { reason: "x".into() }),
            ["provenance-invalid"]
        );
        assert_eq!(
            denies(|w| w.provenance = Provenance::UnknownBuilder { key: "k".into() }),
            ["builder-unknown"]
        );
        assert_eq!(denies(|w| w.new.exit = Exit::Code(1)), ["build-failed"]);
        assert_eq!(denies(|w| w.new.exit = Exit::Unknown), ["build-failed"]);
        assert_eq!(denies(|w| w.new.completeness.complete = false), ["record-incomplete"]);
        assert_eq!(
            denies(|w| w.new.outputs.clear()),
            ["artifact-not-recorded", "unexplained-output-removal"][..1]
        );
        assert_eq!(denies(|w| w.new.completeness.refused = 1), ["access-refused"]);
        assert_eq!(denies(|w| w.new.files[0].mutated = true), ["input-mutated"]);
        assert_eq!(denies(|w| w.new.machine.tracer = "snapshot".into()), ["inputs-not-observed"]);
        let unread = |w: &mut World| {
            let problem = Problem { path: "a!b".into(), kind: "malformed-zip".into(), detail: "x".into() };
            w.trees.get_mut(&BytePath::from("a")).unwrap().problems.push(problem);
        };
        assert_eq!(denies(unread), ["unread-input"]);
        // The same source, another output.
        assert_eq!(denies(|w| w.old = built("v2", "A1")), ["unexplained-output-change"]);
    }

    #[test]
    fn an_approval_covers_its_finding_until_it_expires() {
        let drifted = || World { old: built("v2", "A1"), ..honest() };
        let id = decide(&drifted()).findings()[0].finding.id.clone();
        let with = |finding: &str, approved: i64, expires: i64, policy: &'static str| {
            let approvals = vec![approval(finding, "anna", approved, expires)];
            denies(|w| *w = World { approvals, policy, ..drifted() })
        };
        let denied = ["unexplained-output-change"];
        assert_eq!(with(&id, NOW - 1, NOW + 1, ""), Vec::<String>::new());
        assert_eq!(with(&id, NOW - 1, NOW, ""), denied, "expired");
        assert_eq!(with(&id, NOW + 1, NOW + 2, ""), denied, "from the future");
        assert_eq!(
            with(&id, NOW - 2 * 86_400, NOW + 1, "approvals.max_days = 1"),
            denied,
            "older than the policy allows"
        );
        assert_eq!(with("f-0000000000000000", NOW - 1, NOW + 1, ""), denied, "another finding");
    }

    #[test]
    fn what_is_final_cannot_be_approved() {
        let failed = || {
            let mut world = honest();
            world.new.exit = evidence::record::Exit::Code(2);
            world
        };
        let finding = decide(&failed()).findings()[0].finding.id.clone();
        let approvals = vec![approval(&finding, "anna", NOW - 9, NOW + 9)];
        assert_eq!(denies(|w| *w = World { approvals, ..failed() }), ["build-failed"]);
    }

    #[test]
    fn a_policy_may_allow_or_deny_single_codes() {
        let drift =
            |policy: &'static str| denies(|w| *w = World { old: built("v2", "A1"), policy, ..honest() });
        assert_eq!(drift("[findings]\nunexplained-output-change = \"allow\""), Vec::<String>::new());
        assert_eq!(drift("deny_from = \"critical\""), Vec::<String>::new());
    }

    fn detection(code: &str) -> evidence::record::Detected {
        let subject = Subject { path: Some("/h/.ssh/id_x".into()), digest: None };
        let finding = Finding::new(code, evidence::Severity::High, "t", subject, vec!["r".into()], "h");
        evidence::record::Detected { finding, sequence: 7, at_ns: 1 }
    }

    /// What becomes of a detection with these approvals under this policy; also whether there is a permit.
    fn detected(
        code: &str,
        policy: &'static str,
        approvals: &dyn Fn(&str) -> Vec<Approved>,
    ) -> (Weight, bool, Option<String>) {
        let mut world = World { policy, ..honest() };
        let detection = detection(code);
        let id = detection.finding.id.clone();
        world.new.detections.found.push(detection);
        world.approvals = approvals(&id);
        let decision = decide(&world);
        let weighed = decision.findings().iter().find(|weighed| weighed.finding.id == id).unwrap();
        let hint = weighed.approvals.as_ref().and_then(|approvals| approvals.hint(&id));
        assert_eq!(decision.is_permit(), !weighed.weight.denies());
        (weighed.weight, decision.is_permit(), hint)
    }

    #[test]
    fn a_detection_takes_two_people_and_evidence() {
        let by = |person: &'static str| {
            move |id: &str| Approved { evidence: vec![], ..approval(id, person, NOW - 1, NOW + 1) }
        };
        let (anna, bob) = (by("anna"), by("bob"));
        let proven = |approved: Approved| Approved { evidence: vec![Digest::of(b"e")], ..approved };
        let both = |id: &str| vec![proven(anna(id)), bob(id)];
        let check = |expected: Weight, approvals: &dyn Fn(&str) -> Vec<Approved>, why: &str| {
            assert_eq!(detected("credential-read", "", approvals).0, expected, "{why}");
        };
        check(Weight::Denies, &|_| vec![], "nobody");
        check(Weight::Approved, &both, "two people, one with evidence");
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id))], "one");
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id)), proven(anna(id))], "the same twice");
        let new_key = |id: &str| Approved { key: "new".into(), ..proven(anna(id)) };
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id)), new_key(id)], "the same with another key");
        let other_name = |id: &str| Approved { person: "bob".into(), ..proven(anna(id)) };
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id)), other_name(id)], "one key, two names");
        check(Weight::AwaitsEvidence, &|id| vec![anna(id), bob(id)], "no evidence");
        let late = |id: &str| Approved { expires: Timestamp::from_unix(NOW), ..proven(bob(id)) };
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id)), late(id)], "one has expired");
        check(Weight::AwaitsEvidence, &|id| vec![anna(id), bob(id), late(id)], "the evidence has expired");
        let early = |id: &str| Approved { approved: Timestamp::from_unix(NOW + 1), ..bob(id) };
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id)), early(id)], "one is from the future");
        let elsewhere = |_: &str| bob("f-0000000000000000");
        check(Weight::AwaitsSecond, &|id| vec![proven(anna(id)), elsewhere(id)], "one is for another");

        let old = |id: &str| Approved { approved: Timestamp::from_unix(NOW - 2 * 86_400), ..bob(id) };
        let with = |policy: &'static str, approvals: &dyn Fn(&str) -> Vec<Approved>| {
            detected("credential-read", policy, approvals).0
        };
        let aged = |id: &str| vec![proven(anna(id)), old(id)];
        assert_eq!(with("approvals.max_days = 1", &aged), Weight::AwaitsSecond, "older than allowed");
        assert_eq!(with("approvals.max_days = 3", &aged), Weight::Approved);
        assert_eq!(with("machine = \"sign\"", &|id| vec![proven(anna(id))]), Weight::AwaitsSecond);
        assert_eq!(with("machine = \"developer\"", &|id| vec![anna(id)]), Weight::Approved);
        assert_eq!(with("approvals.persons = 1", &|id| vec![anna(id)]), Weight::AwaitsEvidence);
        assert_eq!(with("approvals.persons = 1", &|id| vec![proven(anna(id))]), Weight::Approved);
        assert_eq!(with("approvals.evidence = false", &|id| vec![anna(id), bob(id)]), Weight::Approved);
        assert_eq!(with("approvals.persons = 3", &both), Weight::AwaitsSecond);
        assert_eq!(with("[findings]\ncredential-read = \"allow\"", &|_| vec![]), Weight::Passes);
    }

    #[test]
    fn the_hint_says_who_is_missing() {
        let anna = |id: &str| Approved { evidence: vec![], ..approval(id, "anna", NOW - 1, NOW + 1) };
        let hint = |approvals: &dyn Fn(&str) -> Vec<Approved>| detected("credential-read", "", approvals).2;
        let text = hint(&|id| vec![anna(id)]).unwrap();
        assert!(text.starts_with("approved by anna, awaits one more person, with evidence"), "{text}");
        assert!(text.contains(" --as NAME ") && text.contains(" --evidence FILE"), "{text}");
        let text = hint(&|_| vec![]).unwrap();
        assert!(text.contains("awaits 2 more people"), "{text}");
        assert_eq!(hint(&|id| vec![anna(id), approval(id, "bob", NOW - 1, NOW + 1)]), None);
    }

    #[test]
    fn a_rule_of_one_s_own_is_denied_and_can_be_approved() {
        let both =
            |id: &str| vec![approval(id, "anna", NOW - 1, NOW + 1), approval(id, "bob", NOW - 1, NOW + 1)];
        assert_eq!(detected("our-own", "", &|_| vec![]).0, Weight::Denies);
        assert_eq!(detected("our-own", "deny_from = \"critical\"", &|_| vec![]).0, Weight::Denies);
        assert_eq!(detected("our-own", "", &both).0, Weight::Approved);
        assert_eq!(
            detected("build-failed", "", &both).0,
            Weight::Denies,
            "a rule cannot soften what is final"
        );
        // An unknown code that no rule found stays denied.
        let subject = Subject { path: Some("a".into()), digest: None };
        let foreign = Finding::new("our-own", evidence::Severity::High, "t", subject, vec![], "h");
        let policy = Policy::parse(b"").unwrap();
        let approvals = both(&foreign.id);
        let weighed = weigh(foreign, false, &approvals, &policy, Timestamp::from_unix(NOW));
        assert_eq!((weighed.weight, weighed.approvable), (Weight::Denies, false));
    }
}
