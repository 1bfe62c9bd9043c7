//! A detection is closed by two people with evidence, for a while. Each condition is left out once.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Answer, PASSPHRASE, Sandbox};

/// A store with two approvers and a build that copied a private key out of the home folder.
struct Detected {
    sandbox: Sandbox,
    _home: tempfile::TempDir,
    id: String,
}

impl Detected {
    fn new() -> Self {
        Self::with("", "base64 \"$HOME/.ssh/id_x\" > out", "credential-read")
    }

    fn with(policy: &str, script: &str, code: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write(".countersign/policy.toml", format!("version = 1\n{policy}"));
        Self::of(sandbox, script, code)
    }

    fn of(sandbox: Sandbox, script: &str, code: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        fs::write(home.path().join(".ssh/id_x"), "HARMLESS").unwrap();
        sandbox.write("report.txt", "a test key, made for this machine\n");
        for name in ["anna", "bob"] {
            add(&sandbox, name);
        }
        let run = ["run", "--product", "p", "--output", "out", "--", "sh", "-c", script];
        let recorded: Answer = sandbox.command(&run).env("HOME", home.path()).output().unwrap().into();
        assert_eq!(recorded.code, 0, "{}", recorded.err);
        let denied = sandbox.run(&["gate", "out", "--json"]);
        let found = finding(&denied, |finding| finding["code"] == code);
        assert_eq!((denied.code, found["weight"].as_str()), (1, Some("denies")), "{}", denied.out);
        let id = found["id"].as_str().unwrap().to_owned();
        Self { sandbox, _home: home, id }
    }

    /// What becomes of the finding at the gate; the exit code says the same.
    fn weight(&self) -> String {
        let answer = self.sandbox.run(&["gate", "out", "--json"]);
        let weight = finding(&answer, |finding| finding["id"] == self.id.as_str())["weight"].clone();
        assert_eq!(answer.code, i32::from(weight != "approved"), "{}", answer.out);
        weight.as_str().unwrap().to_owned()
    }

    fn approve(&self, person: Option<&str>, more: &[&str]) -> Answer {
        approve(&self.sandbox, &self.id, person, more)
    }
}

pub(crate) fn finding(answer: &Answer, is: impl Fn(&Value) -> bool) -> Value {
    let document = answer.json();
    let found = document["findings"].as_array().unwrap().iter().find(|finding| is(finding)).cloned();
    found.unwrap_or_else(|| panic!("no such finding: {}{}", answer.out, answer.err))
}

pub(crate) fn add(sandbox: &Sandbox, name: &str) -> Value {
    let file = format!("{name}.pass");
    sandbox.write(&file, format!("only {name} knows\n"));
    sandbox.ok(&["approver", "add", name, "--passphrase-file", &file, "--json"]).json()
}

pub(crate) fn approve(sandbox: &Sandbox, id: &str, person: Option<&str>, more: &[&str]) -> Answer {
    let file = person.map(|name| format!("{name}.pass"));
    let mut arguments = vec!["approve", id, "--reason", "a test", "--json"];
    if let (Some(name), Some(file)) = (person, &file) {
        arguments.extend(["--as", name, "--passphrase-file", file]);
    }
    if !more.contains(&"--expires") {
        arguments.extend(["--expires", "30d"]);
    }
    arguments.extend(more);
    sandbox.run(&arguments)
}

const EVIDENCE: &[&str] = &["--evidence", "report.txt"];

#[test]
fn two_people_with_evidence_close_a_detection() {
    let case = Detected::new();
    let sandbox = &case.sandbox;
    assert_eq!(sandbox.run(&["sign", "out"]).code, 1);

    let first = case.approve(Some("anna"), EVIDENCE).json();
    assert_eq!((first["person"].as_str(), first["covered"].as_bool()), (Some("anna"), Some(false)));
    assert!(first["evidence"][0]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(case.weight(), "awaits-second");
    let denied = sandbox.run(&["sign", "out", "--json"]);
    let found = finding(&denied, |finding| finding["id"] == case.id.as_str());
    assert_eq!((denied.code, found["weight"].as_str()), (1, Some("awaits-second")));
    assert_eq!(found["approvals"]["persons"], serde_json::json!(["anna"]));
    assert_eq!(
        (found["approvals"]["persons_needed"].as_u64(), found["approvable"].as_bool()),
        (Some(2), Some(true))
    );
    assert!(found["approvals"]["hint"].as_str().unwrap().contains("countersign approve f-"), "{found}");
    let told = sandbox.run(&["gate", "out"]).out;
    assert!(
        told.contains("awaits-second") && told.contains("approved by anna, awaits one more person"),
        "{told}"
    );

    assert_eq!(case.approve(Some("anna"), EVIDENCE).code, 0);
    assert_eq!(case.weight(), "awaits-second", "the same person twice is one");

    let second = case.approve(Some("bob"), &[]).json();
    assert_eq!((second["covered"].as_bool(), second["hint"].is_null()), (Some(true), true));
    assert_eq!(case.weight(), "approved");
    assert_eq!(sandbox.ok(&["sign", "out", "--json"]).json()["verdict"], "signed");
    sandbox.ok(&["verify", "out"]);
    assert_eq!(sandbox.ok(&["log", "check", "--json"]).json()["verdict"], "consistent");
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["verdict"], "sound");
    assert_eq!(case.weight(), "approved", "the rebuilt index knows them all");
    let log = sandbox.ok(&["log", "show", "--json"]).json();
    let kinds: Vec<&str> =
        log["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "approver").count(), 2);
    assert_eq!(kinds.iter().filter(|kind| **kind == "approval").count(), 3);

    // The evidence is part of the store.
    let digest = first["evidence"][0]["digest"].as_str().unwrap()["sha256:".len()..].to_owned();
    fs::remove_file(sandbox.path(format!(".countersign/objects/{}/{}", &digest[..2], &digest[2..]))).unwrap();
    assert_eq!(sandbox.run(&["fsck", "--json"]).codes(), ["object-missing"]);
}

#[test]
fn without_evidence_two_people_do_not_suffice() {
    let case = Detected::new();
    for name in ["anna", "bob"] {
        assert_eq!(case.approve(Some(name), &[]).code, 0);
    }
    assert_eq!(case.weight(), "awaits-evidence");
    assert!(case.sandbox.run(&["gate", "out"]).out.contains("--evidence FILE"));
    case.sandbox.write("empty.txt", "");
    assert_eq!(case.approve(Some("bob"), &["--evidence", "empty.txt"]).code, 2);
    assert_eq!(case.approve(Some("bob"), &["--evidence", "absent.txt"]).code, 2);
    let big = fs::File::create(case.sandbox.path("big")).unwrap();
    big.set_len((64 << 20) + 1).unwrap();
    assert_eq!(case.approve(Some("bob"), &["--evidence", "big"]).code, 2);
    assert_eq!(case.weight(), "awaits-evidence", "what was refused left nothing");
    assert_eq!(case.approve(Some("bob"), EVIDENCE).code, 0);
    assert_eq!(case.weight(), "approved");
}

#[test]
fn the_release_key_is_one_person() {
    let case = Detected::new();
    for _ in 0..2 {
        let by_release = case.approve(None, EVIDENCE).json();
        assert_eq!(by_release["person"], "release");
    }
    assert_eq!(case.weight(), "awaits-second");
    assert_eq!(case.approve(Some("anna"), &[]).code, 0);
    assert_eq!(case.weight(), "approved");
}

#[test]
fn an_approval_that_has_run_out_is_missing_again() {
    let case = Detected::new();
    assert_eq!(case.approve(Some("anna"), EVIDENCE).code, 0);
    let soon = std::process::Command::new("date")
        .args(["-u", "-d", "+20 seconds", "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    let began = std::time::Instant::now();
    let soon = String::from_utf8(soon.stdout).unwrap();
    assert_eq!(case.approve(Some("bob"), &["--expires", soon.trim()]).code, 0);
    assert_eq!(case.weight(), "approved");
    std::thread::sleep(std::time::Duration::from_secs(21).saturating_sub(began.elapsed()));
    assert_eq!(case.weight(), "awaits-second");
    let denied = case.sandbox.run(&["sign", "out", "--json"]);
    assert_eq!(denied.code, 1);
    assert!(denied.codes().contains(&"approval-expired".to_owned()), "{:?}", denied.codes());
}

#[test]
fn who_was_removed_approves_no_longer() {
    let case = Detected::new();
    let sandbox = &case.sandbox;
    assert_eq!(case.approve(Some("anna"), EVIDENCE).code, 0);
    let before = sandbox.read(".countersign/trust.json");
    for name in ["anna", "bob"] {
        sandbox.ok(&["approver", "remove", name]);
    }
    assert_eq!(case.weight(), "awaits-second", "what anna approved before she left still counts");
    let refused = case.approve(Some("bob"), EVIDENCE);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("no approver `bob`"), "{}", refused.err);
    // An old trust file does not bring anybody back: the log knows.
    sandbox.write(".countersign/trust.json", &before);
    assert_eq!(case.approve(Some("bob"), EVIDENCE).code, 2);
    let listed = sandbox.ok(&["approver", "list", "--json"]).json();
    assert!(listed["approvers"].as_array().unwrap().iter().all(|one| one["removed"].is_string()), "{listed}");
    assert_eq!(case.weight(), "awaits-second");
    // Who comes back has a new key and is the person of before.
    sandbox.ok(&["approver", "remove", "anna"]);
    add(sandbox, "anna");
    assert_eq!(case.approve(Some("anna"), EVIDENCE).code, 0);
    assert_eq!(case.weight(), "awaits-second");
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["verdict"], "sound");
}

#[test]
fn a_key_that_the_log_does_not_know_is_nobody() {
    let case = Detected::new();
    let sandbox = &case.sandbox;
    for name in ["anna", "bob"] {
        assert_eq!(case.approve(Some(name), EVIDENCE).code, 0);
    }
    assert_eq!(case.weight(), "approved");
    let good = sandbox.read(".countersign/trust.json");
    let trust: Value = serde_json::from_slice(&good).unwrap();
    let (anna, bob) = (&trust["approverKeys"][0]["publicKey"], &trust["approverKeys"][1]["publicKey"]);
    let text = String::from_utf8(good.clone()).unwrap();
    // One byte of the point: no longer on the curve, or another key.
    let key = bob.as_str().unwrap();
    let at = key.len() - 20;
    let other = if &key[at..=at] == "A" { "B" } else { "A" };
    let flipped = format!("{}{other}{}", &key[..at], &key[at + 1..]);
    sandbox.write(".countersign/trust.json", text.replace(key, &flipped));
    assert_ne!(sandbox.run(&["sign", "out"]).code, 0);
    assert!(!sandbox.path("out.sigstore.json").exists());
    // A builder's key in the place of bob's: a key has one purpose, so this is no trust file.
    let builder = trust["builderKeys"][0]["publicKey"].as_str().unwrap();
    sandbox.write(".countersign/trust.json", text.replace(key, builder));
    let refused = sandbox.run(&["gate", "out"]);
    assert!(refused.code == 2 && refused.err.contains("a key has one purpose"), "{}", refused.err);
    // Another key in the place of bob's: his approval is by nobody, and the log has an entry by a stranger.
    sandbox.ok(&["init", "--store", "other"]);
    let other: Value = serde_json::from_slice(&sandbox.read("other/trust.json")).unwrap();
    for stranger in [&other["builderKeys"][0]["publicKey"], anna] {
        sandbox.write(".countersign/trust.json", text.replace(key, stranger.as_str().unwrap()));
        assert_eq!(case.weight(), "awaits-second");
        assert_eq!(sandbox.run(&["fsck", "--json"]).codes(), ["log-entry-foreign"]);
        assert_eq!(case.approve(Some("bob"), EVIDENCE).code, 2);
    }
    // Another name for the same key makes no other person.
    sandbox.write(".countersign/trust.json", text.replace("\"bob\"", "\"carl\""));
    sandbox.write("carl.pass", "only bob knows\n");
    assert_eq!(case.approve(Some("carl"), EVIDENCE).code, 2);
    assert_eq!(case.weight(), "approved", "the log calls him bob");
    sandbox.write(".countersign/trust.json", &good);
    assert_eq!(case.weight(), "approved");
}

#[test]
fn the_policy_says_how_many() {
    let alone =
        Detected::with("approvals.persons = 1\n", "base64 \"$HOME/.ssh/id_x\" > out", "credential-read");
    assert_eq!(alone.approve(Some("anna"), &[]).code, 0);
    assert_eq!(alone.weight(), "awaits-evidence");
    assert_eq!(alone.approve(Some("anna"), EVIDENCE).code, 0);
    assert_eq!(alone.weight(), "approved");
    let at_home =
        Detected::with("machine = \"developer\"\n", "base64 \"$HOME/.ssh/id_x\" > out", "credential-read");
    assert_eq!(at_home.approve(None, &[]).json()["covered"], true);
    assert_eq!(at_home.weight(), "approved");
}

const OWN_RULE: &str = "id: OWN-001
code: our-own-marker
title: 'the marker was read'
severity: high
attack: [T1005]
cases: ['ours']
hint: 'find out who reads it'
detection:
  read:
    kind: read
    project-path: marker.txt
  condition: read
tests:
  match:
    - [run: make > cat x, read: /src/p/marker.txt]
  silent:
    - [run: make > cat x, read: /src/p/other.txt]
";

#[test]
fn what_a_rule_of_one_s_own_found_can_be_approved() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path(".countersign/rules")).unwrap();
    sandbox.write(".countersign/rules/own.yaml", OWN_RULE);
    sandbox.write("marker.txt", "x\n");
    let case = Detected::of(sandbox, "cat marker.txt > out", "our-own-marker");
    assert_eq!(case.approve(Some("anna"), EVIDENCE).code, 0);
    assert_eq!(case.weight(), "awaits-second");
    assert_eq!(case.approve(Some("bob"), &[]).code, 0);
    assert_eq!(case.weight(), "approved");
}

#[test]
fn a_person_has_a_name_and_a_passphrase_of_their_own() {
    let sandbox = Sandbox::new();
    sandbox.write("own", "only for this person");
    sandbox.write("store", PASSPHRASE);
    sandbox.write("short", "short");
    let add = |name: &str, file: &str| sandbox.run(&["approver", "add", name, "--passphrase-file", file]);
    for name in ["", "release", "Release", "a/b", "../x", ".hidden", "a b", &"a".repeat(65)] {
        assert_eq!(add(name, "own").code, 2, "{name}");
    }
    assert!(add("anna", "store").err.contains("store's keys"), "whoever opens the store would be two people");
    assert_eq!((add("anna", "short").code, add("anna", "absent").code), (2, 3));
    assert_eq!(sandbox.run(&["approver", "add", "anna"]).code, 2, "never from the variable");
    assert_eq!(sandbox.ok(&["approver", "list", "--json"]).json()["approvers"], serde_json::json!([]));
    assert!(!String::from_utf8(sandbox.read(".countersign/trust.json")).unwrap().contains("approverKeys"));

    assert_eq!(add("anna", "own").code, 0);
    assert_eq!(add("anna", "own").code, 2, "she is there already");
    assert_eq!(add("Anna", "own").code, 2, "nor under a name that is read the same");
    let key = fs::metadata(sandbox.path(".countersign/keys/approver-anna.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let told = sandbox.ok(&["approver", "list"]).out;
    assert!(told.contains("anna") && told.contains("since"), "{told}");
    assert_eq!(sandbox.run(&["approver", "remove", "bob"]).code, 2);

    // Not from the variable either when she approves; and the store's passphrase does not open her key.
    sandbox.write(".countersign/policy.toml", "version = 1\nbaseline = \"required\"\n");
    sandbox.build("1.0.0");
    let gate = ["gate", "dist/demo.tar.gz", "--json"];
    let id = finding(&sandbox.run(&gate), |finding| finding["code"] == "baseline-required")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let base = ["approve", &id, "--reason", "first", "--expires", "1d", "--as", "anna"];
    assert_eq!(sandbox.run(&base).code, 2);
    let with = |more: &[&str]| sandbox.run(&[&base[..], more].concat()).code;
    assert_eq!(with(&["--passphrase-file", "store"]), 2);
    assert_eq!(with(&["--passphrase-file", "own", "--store-passphrase-file", "own"]), 2);
    assert_eq!(sandbox.run(&gate).code, 1);
    // What no detection rule found takes one person, as ever.
    assert_eq!(with(&["--passphrase-file", "own", "--store-passphrase-file", "store"]), 0);
    assert_eq!(sandbox.run(&gate).code, 0);
}
