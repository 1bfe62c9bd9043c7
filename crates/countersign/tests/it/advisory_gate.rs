//! Advisories at the gate: attacks and what is exploited deny, two people answer for them, and it comes back when version, bytes or
//! time change.

use serde_json::{Value, json};

use crate::advisories::{record, today};
use crate::approvals::{add, approve, finding};
use crate::sandbox::{Answer, Sandbox};

const RUN: [&str; 9] = [
    "run",
    "--product",
    "p",
    "--output",
    "out",
    "--",
    "sh",
    "-c",
    "sh node_modules/evil/run.sh > out; cat node_modules/evil/package.json > /dev/null",
];

/// A package whose script writes a word; the build runs it.
fn package(sandbox: &Sandbox, version: &str, word: &str) {
    std::fs::create_dir_all(sandbox.path("node_modules/evil")).unwrap();
    sandbox.write("node_modules/evil/package.json", format!(r#"{{"name": "evil", "version": "{version}"}}"#));
    sandbox.write("node_modules/evil/run.sh", format!("echo {word}\n"));
}

fn gate(sandbox: &Sandbox) -> Answer {
    sandbox.run(&["gate", "out", "--json"])
}

fn weight(sandbox: &Sandbox, code: &str) -> Value {
    finding(&gate(sandbox), |finding| finding["code"] == code)["weight"].clone()
}

#[test]
fn a_package_that_is_an_attack_denies_until_two_people_answer_for_it() {
    let sandbox = Sandbox::new();
    package(&sandbox, "1.0.0", "harmless");
    for name in ["anna", "bob"] {
        add(&sandbox, name);
    }
    sandbox.ok(&RUN);
    let without = gate(&sandbox);
    assert_eq!((without.code, &without.json()["advisories"]), (0, &Value::Null), "{}", without.out);
    sandbox.write("a.json", record("MAL-1", &today(), "evil", ""));
    // One build has it already.
    assert_eq!(sandbox.run(&["advisories", "import", "a.json"]).code, 1);
    let code = "malicious-package-executed";
    let denied = gate(&sandbox);
    let found = finding(&denied, |finding| finding["code"] == code);
    assert_eq!(
        (denied.code, &found["weight"], &found["approvable"]),
        (1, &json!("denies"), &json!(true)),
        "{}",
        denied.out
    );
    let snapshot = denied.json()["advisories"]["snapshot"]["id"].as_str().unwrap().to_owned();
    assert!(
        found["because"].as_array().unwrap().contains(&json!(format!("snapshot {snapshot}"))),
        "{found:#}"
    );
    assert_eq!(sandbox.run(&["sign", "out"]).code, 1, "nothing is signed");
    let id = found["id"].as_str().unwrap().to_owned();
    assert_eq!(approve(&sandbox, &id, Some("anna"), &[]).code, 0);
    assert_eq!(weight(&sandbox, code), "awaits-second");
    let second = approve(&sandbox, &id, Some("bob"), &[]);
    assert_eq!((second.code, &second.json()["covered"]), (0, &json!(true)), "{}{}", second.out, second.err);
    assert_eq!((weight(&sandbox, code), gate(&sandbox).code), (json!("approved"), 0));
    // `match` counts it among what is suppressed, with reason, people and end.
    let matched = sandbox.run(&["advisories", "match", "latest", "--json"]).json();
    let suppressed = &matched["suppressed"][0];
    assert_eq!(
        (&suppressed["status"], &suppressed["reason"]),
        (&json!("approved"), &json!("a test; a test")),
        "{matched:#}"
    );
    assert!(suppressed["author"].as_str().unwrap().contains("anna") && suppressed["expires"].is_string());
    let text = sandbox.run(&["gate", "out"]).out;
    assert!(text.contains("0 suppressed by statements, 1 approved"), "{text}");
    // The next build of the same bytes is covered as well; the intent of its signature names the snapshot.
    sandbox.ok(&RUN);
    sandbox.ok(&["sign", "out"]);
    let intents = sandbox.ok(&["log", "show", "--json"]).out;
    assert!(intents.contains("intent"), "{intents}");
    // Other bytes, another version: it comes back.
    package(&sandbox, "1.0.0", "other");
    sandbox.ok(&RUN);
    assert_eq!(weight(&sandbox, code), "denies");
    package(&sandbox, "1.0.1", "harmless");
    sandbox.ok(&RUN);
    assert_eq!(weight(&sandbox, code), "denies");
    // No policy can allow it, and the developer's machine needs two people as well.
    sandbox.write(".countersign/policy.toml", format!("[findings]\n{code} = \"allow\"\n"));
    assert_eq!(gate(&sandbox).code, 2);
    sandbox.write(".countersign/policy.toml", "machine = \"developer\"\n");
    let found = finding(&gate(&sandbox), |finding| finding["code"] == code);
    let id = found["id"].as_str().unwrap().to_owned();
    assert_eq!(approve(&sandbox, &id, Some("anna"), &[]).code, 0);
    assert_eq!(weight(&sandbox, code), "awaits-second");
    // A version that is fixed is no finding.
    package(&sandbox, "2.0.0", "harmless");
    sandbox.ok(&RUN);
    assert_eq!(gate(&sandbox).code, 0);
}

#[test]
fn an_approval_of_what_is_exploited_ends() {
    let sandbox = Sandbox::new();
    sandbox.write(".countersign/policy.toml", "version = 1\n");
    package(&sandbox, "1.0.0", "harmless");
    for name in ["anna", "bob"] {
        add(&sandbox, name);
    }
    sandbox.ok(&RUN);
    sandbox.write("a.json", record("GHSA-1", &today(), "evil", r#", "aliases": ["CVE-2026-1"]"#));
    sandbox.run(&["advisories", "import", "a.json"]);
    let weights = || {
        let answer = gate(&sandbox);
        let document = answer.json();
        let found = document["findings"].as_array().unwrap().clone();
        let ours = found.into_iter().find(|one| one["title"].as_str().unwrap().contains("GHSA-1")).unwrap();
        (answer.code, ours["code"].as_str().unwrap().to_owned(), ours["weight"].as_str().unwrap().to_owned())
    };
    let told = |code: i32, word: &str, weight: &str| (code, word.to_owned(), weight.to_owned());
    assert_eq!(
        weights(),
        told(0, "vulnerable-package", "passes"),
        "reported, unless the policy asks for more"
    );
    sandbox.write(".countersign/policy.toml", "[advisories]\ndeny_from = \"unscored\"\n");
    assert_eq!(weights(), told(1, "vulnerable-package", "denies"));
    sandbox.write(".countersign/policy.toml", "version = 1\n");
    sandbox.write(
        "kev.json",
        r#"{"catalogVersion": "1", "vulnerabilities": [{"cveID": "CVE-2026-1", "dateAdded": "2026-01-01"}]}"#,
    );
    sandbox.run(&["advisories", "import", "kev.json"]);
    assert_eq!(weights(), told(1, "exploited-package", "denies"));
    let found = finding(&gate(&sandbox), |finding| finding["code"] == "exploited-package");
    let id = found["id"].as_str().unwrap().to_owned();
    for name in ["anna", "bob"] {
        assert_eq!(approve(&sandbox, &id, Some(name), &[]).code, 0);
    }
    assert_eq!(weights(), told(0, "exploited-package", "approved"));
    // Approvals hold for no time at all now.
    sandbox.write(".countersign/policy.toml", "[approvals]\nmax_days = 0\n");
    assert_eq!(weights(), told(1, "exploited-package", "denies"));
    assert!(gate(&sandbox).codes().contains(&"approval-expired".to_owned()));
}

#[test]
fn the_policy_says_whether_advisories_are_asked_and_how_old_they_may_be() {
    let sandbox = Sandbox::new();
    package(&sandbox, "1.0.0", "harmless");
    sandbox.ok(&RUN);
    let policy = |text: &str| sandbox.write(".countersign/policy.toml", format!("[advisories]\n{text}\n"));
    policy("gate = \"required\"");
    assert_eq!(weight(&sandbox, "advisory-index-missing"), "denies");
    policy("gate = \"never\"");
    assert_eq!(gate(&sandbox).code, 0);
    sandbox.write("a.json", record("MAL-1", "2020-01-01T00:00:00Z", "evil", ""));
    sandbox.run(&["advisories", "import", "a.json"]);
    assert_eq!(gate(&sandbox).code, 0, "never is never");
    sandbox.write("b.json", record("MAL-1", "2020-01-01T00:00:00Z", "another", ""));
    sandbox.ok(&["advisories", "import", "b.json", "--replace"]);
    policy("");
    let stale = finding(&gate(&sandbox), |finding| finding["code"] == "advisory-index-stale");
    assert_eq!(stale["weight"], "denies");
    assert!(stale["title"].as_str().unwrap().contains("days old; at most 7 are allowed"), "{stale:#}");
    policy("max_age_days = 100000");
    assert_eq!(gate(&sandbox).code, 0);
    sandbox.write(".countersign/policy.toml", "[findings]\nadvisory-index-stale = \"allow\"\n");
    assert_eq!((gate(&sandbox).code, weight(&sandbox, "advisory-index-stale")), (0, json!("passes")));
}

#[test]
fn a_finding_of_a_bill_is_approved_for_that_product() {
    let sandbox = Sandbox::new();
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    let bill = |name: &str| {
        format!(
            r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {{"component": {{"type": "application", "name": "{name}",
            "version": "1.0"}}}}, "components": [{{"type": "library", "name": "bad", "version": "1.0.0", "purl": "pkg:npm/bad@1.0.0"}}]}}"#
        )
    };
    sandbox.write("app.json", bill("app"));
    sandbox.write("other.json", bill("other"));
    let ask = |file: &str| sandbox.run(&["advisories", "match", file, "--json"]);
    let found = ask("app.json");
    let id = found.json()["findings"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(found.code, 1);
    let approved = approve(&sandbox, &id, None, &["--advisories", "app.json"]);
    assert_eq!(approved.code, 0, "{}{}", approved.out, approved.err);
    let after = ask("app.json");
    assert_eq!((after.code, after.json()["suppressed"].as_array().unwrap().len()), (0, 1));
    assert_eq!(ask("other.json").code, 1, "another product");
}
