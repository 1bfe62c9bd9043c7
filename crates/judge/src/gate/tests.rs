//! The gate: each thing amiss denies with its own code.

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
    ruled: Vec<Finding>,
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
        ruled: vec![],
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
        advised: None,
        actors: &world.actors,
        ruled: &world.ruled,
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
        reason: String::new(),
        evidence: vec![Digest::of(b"looked at")],
        approved: Timestamp::from_unix(approved),
        expires: Timestamp::from_unix(expires),
    }
}

#[test]
fn what_rules_deny_nothing_permits() {
    let ruled = |world: &mut World| {
        world.ruled = vec![codes::RULE_DENIED.finding(Subject::default(), vec!["no".into()])];
    };
    assert_eq!(denies(ruled), ["rule-denied"]);
    let lenient = |world: &mut World| {
        ruled(world);
        world.policy = "deny_from = 'critical'";
        let finding = world.ruled[0].id.clone();
        world.approvals =
            vec![approval(&finding, "anna", NOW - 1, NOW + 9), approval(&finding, "ben", NOW - 1, NOW + 9)];
    };
    assert_eq!(denies(lenient), ["rule-denied"], "nobody can approve it away");
    let allow = Policy::parse(b"[findings]\nrule-denied = 'allow'");
    assert!(allow.is_err_and(|error| error.to_string().contains("can never be allowed")));
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
    assert_eq!(denies(|w| w.provenance = Provenance::Invalid { reason: "x".into() }), ["provenance-invalid"]);
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
    let drift = |policy: &'static str| denies(|w| *w = World { old: built("v2", "A1"), policy, ..honest() });
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
    let both = |id: &str| vec![approval(id, "anna", NOW - 1, NOW + 1), approval(id, "bob", NOW - 1, NOW + 1)];
    assert_eq!(detected("our-own", "", &|_| vec![]).0, Weight::Denies);
    assert_eq!(detected("our-own", "deny_from = \"critical\"", &|_| vec![]).0, Weight::Denies);
    assert_eq!(detected("our-own", "", &both).0, Weight::Approved);
    assert_eq!(detected("build-failed", "", &both).0, Weight::Denies, "a rule cannot soften what is final");
    // An unknown code that no rule found stays denied.
    let subject = Subject { path: Some("a".into()), digest: None };
    let foreign = Finding::new("our-own", evidence::Severity::High, "t", subject, vec![], "h");
    let policy = Policy::parse(b"").unwrap();
    let approvals = both(&foreign.id);
    let weighed = weigh(foreign, Origin::Evidence, &approvals, &policy, Timestamp::from_unix(NOW));
    assert_eq!((weighed.weight, weighed.approvable), (Weight::Denies, false));
}
