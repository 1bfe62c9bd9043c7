//! What somebody states: CSAF that calls products affected, statements that end, statements that are signed.

use std::process::Command;

use serde_json::json;

use crate::advisories::{record, today};
use crate::sandbox::{Answer, Sandbox};

fn ask(sandbox: &Sandbox, more: &[&str]) -> Answer {
    sandbox.run(&[&["advisories", "match", "--json"], more].concat())
}

#[test]
fn what_a_vendor_calls_affected_is_a_finding() {
    let sandbox = Sandbox::new();
    let product = |category: &str, name: &str, id: &str, purl: &str| {
        json!({"category": category, "name": name, "product": {"product_id": id, "name": id,
               "product_identification_helper": {"purl": purl}}})
    };
    let document = json!({"document": {"csaf_version": "2.0", "category": "csaf_security_advisory", "title": "a fault in a",
            "publisher": {"name": "vendor"}, "tracking": {"id": "V-1", "current_release_date": today(), "version": "1"}},
        "product_tree": {"branches": [{"category": "vendor", "name": "v", "branches": [{"category": "product_name", "name": "a",
            "branches": [product("product_version_range", "vers:npm/<2.0.0", "A", "pkg:npm/a"),
                         product("product_version", "2.0.0", "A2", "pkg:npm/a@2.0.0"),
                         product("product_version_range", "old ones", "B", "pkg:npm/b")]}]}]},
        "vulnerabilities": [{"cve": "CVE-2026-7", "product_status": {"known_affected": ["A", "B"], "fixed": ["A2"]},
            "scores": [{"products": ["A"], "cvss_v3": {"vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}]}]});
    sandbox.write("csaf.json", document.to_string());
    sandbox.write("a.json", record("GHSA-9", &today(), "other", ""));
    sandbox.ok(&["advisories", "import", "csaf.json", "a.json"]);
    let affected = ask(&sandbox, &["pkg:npm/a@1.9.0"]);
    assert_eq!((affected.code, affected.codes()), (1, vec!["vulnerable-package".to_owned()]));
    let ranked = affected.json()["ranked"][0].clone();
    assert_eq!((&ranked["advisory"], &ranked["priority"]), (&json!("CVE-2026-7"), &json!("scored")));
    assert!(ranked["inputs"].to_string().contains("a fault in a"), "{ranked:#}");
    assert_eq!(ask(&sandbox, &["pkg:npm/a@2.0.0"]).code, 0);
    assert_eq!(ask(&sandbox, &["pkg:npm/b@1.0.0"]).codes(), ["advisory-undetermined"], "a range in prose");
    // An OSV record of the same id is the same thing.
    sandbox.write("b.json", record("GHSA-7", &today(), "a", r#", "aliases": ["CVE-2026-7"]"#));
    sandbox.ok(&["advisories", "import", "b.json"]);
    let one = ask(&sandbox, &["pkg:npm/a@1.9.0"]).json()["ranked"].as_array().unwrap().len();
    assert_eq!(one, 1);
    // Products that are followed hear of it by the CSAF document alone.
    sandbox.write(
        "app.json",
        r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"component": {"type": "application", "name": "app", "version": "1"}},
        "components": [{"type": "library", "name": "c", "version": "1.0.0", "purl": "pkg:npm/c@1.0.0"}]}"#,
    );
    sandbox.ok(&["advisories", "follow", "app.json"]);
    let later = document
        .to_string()
        .replace("pkg:npm/a\"", "pkg:npm/c\"")
        .replace("CVE-2026-7", "CVE-2026-8")
        .replace("V-1", "V-2");
    sandbox.write("later.json", later);
    let news = sandbox.run(&["advisories", "import", "later.json", "--json"]);
    assert_eq!(
        (news.code, &news.json()["notices"][0]["advisory"]),
        (1, &json!("CVE-2026-8")),
        "{}",
        news.out
    );
    assert_eq!(sandbox.run(&["advisories", "affected", "CVE-2026-8"]).code, 1);
}

fn vex(at: &str, reason: &str) -> String {
    format!(
        r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "urn:vex:1", "author": "us", "timestamp": "{at}", "statements": [
        {{"vulnerability": {{"name": "GHSA-1"}}, "status": "not_affected", {reason} "products": [{{"@id": "pkg:npm/bad@1.0.0"}}]}}]}}"#
    )
}

const REASON: &str = r#""justification": "vulnerable_code_not_in_execute_path","#;

#[test]
fn a_statement_needs_a_reason_and_ends() {
    let sandbox = Sandbox::bare();
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.write("vex.json", vex("2026-01-01T00:00:00Z", REASON));
    sandbox.ok(&["advisories", "import", "a.json", "vex.json"]);
    let heard = ask(&sandbox, &["pkg:npm/bad@1.0.0", "--vex-max-age", "3650"]);
    assert_eq!((heard.code, heard.json()["suppressed"].as_array().unwrap().len()), (0, 1));
    assert!(heard.json()["suppressed"][0]["expires"].is_string());
    let ended = ask(&sandbox, &["pkg:npm/bad@1.0.0", "--vex-max-age", "1"]);
    assert_eq!((ended.code, &ended.json()["unheard"]), (1, &json!({"have expired": 1})), "it comes back");
    sandbox.write("vex.json", vex("2026-01-02T00:00:00Z", ""));
    sandbox.ok(&["advisories", "import", "vex.json"]);
    let silent = ask(&sandbox, &["pkg:npm/bad@1.0.0", "--vex-max-age", "3650"]);
    assert_eq!((silent.code, &silent.json()["unheard"]), (1, &json!({"give no reason": 1})));
}

#[test]
fn a_statement_about_bytes_is_about_no_others() {
    let sandbox = Sandbox::bare();
    let advisory = record("GHSA-1", &today(), "bad", "").replace("\"npm\"", "\"crates.io\"");
    sandbox.write("a.json", advisory);
    let (ours, theirs) = ("a".repeat(64), "b".repeat(64));
    sandbox.write(
        "vex.json",
        format!(
            r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "author": "us", "timestamp": "{}", "statements": [{{"vulnerability": {{"name": "GHSA-1"}},
            "status": "not_affected", {REASON} "products": [{{"@id": "pkg:cargo/bad@1.0.0", "hashes": {{"sha-256": "{ours}"}}}}]}}]}}"#,
            today()
        ),
    );
    sandbox.ok(&["advisories", "import", "a.json", "vex.json"]);
    let lock = |checksum: &str| {
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        sandbox.write(
            "Cargo.lock",
            format!("version = 4\n\n[[package]]\nname = \"bad\"\nversion = \"1.0.0\"\nsource = \"{source}\"\nchecksum = \"{checksum}\"\n"),
        );
        ask(&sandbox, &["Cargo.lock"])
    };
    assert_eq!(lock(&ours).code, 0);
    let other = lock(&theirs);
    assert_eq!(
        (other.code, &other.json()["unheard"]),
        (1, &json!({"are about other bytes than were seen": 1}))
    );
    assert_eq!(ask(&sandbox, &["pkg:cargo/bad@1.0.0"]).code, 1, "nobody knows the bytes");
}

/// Signs a document with a key of the folder: DSSE, as OpenSSL can.
fn signed(sandbox: &Sandbox, key: &str, content: &str) -> String {
    let kind = "application/vnd.openvex+json";
    sandbox.write("to-sign", format!("DSSEv1 {} {kind} {} {content}", kind.len(), content.len()));
    let run = |program: &str, arguments: &[&str]| {
        let out = Command::new(program).args(arguments).current_dir(sandbox.path(".")).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    run("openssl", &["dgst", "-sha256", "-sign", key, "-out", "signature", "to-sign"]);
    sandbox.write("payload", content);
    let base64 = |file: &str| String::from_utf8(run("base64", &["-w0", file])).unwrap();
    json!({"payloadType": kind, "payload": base64("payload"), "signatures": [{"sig": base64("signature")}]})
        .to_string()
}

#[test]
fn only_those_who_may_take_a_finding_away() {
    let sandbox = Sandbox::new();
    let openssl = |arguments: &[&str]| {
        let out = Command::new("openssl").args(arguments).current_dir(sandbox.path(".")).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    for key in ["ours.pem", "theirs.pem"] {
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key]);
    }
    let public = openssl(&["ec", "-in", "ours.pem", "-pubout"]);
    let policy = |products: &str| {
        sandbox.write(
            ".countersign/policy.toml",
            format!(
                "[advisories]\nvex = \"signed\"\n[advisories.issuers]\n\"us\" = {{ key = \"\"\"{public}\"\"\", products = [{products}] }}\n"
            ),
        );
    };
    policy("");
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    let matched = || ask(&sandbox, &["pkg:npm/bad@1.0.0"]);
    let unheard = |answer: &Answer| answer.json()["unheard"].clone();
    // Nobody has signed it.
    sandbox.write("vex.json", vex(&today(), REASON));
    sandbox.ok(&["advisories", "import", "vex.json"]);
    let answer = matched();
    assert_eq!((answer.code, unheard(&answer)), (1, json!({"are signed by nobody who is trusted": 1})));
    // Somebody else has: it is not even taken in.
    let content = vex(&today(), REASON);
    sandbox.write("signed.json", signed(&sandbox, "theirs.pem", &content));
    let imported = sandbox.run(&["advisories", "import", "signed.json", "a.json", "--json"]).json();
    assert_eq!(imported["problems"][0]["kind"], "unverified-signature", "{imported:#}");
    // We have.
    sandbox.write("signed.json", signed(&sandbox, "ours.pem", &content));
    sandbox.ok(&["advisories", "import", "signed.json"]);
    let answer = matched();
    assert_eq!(
        (answer.code, answer.json()["suppressed"].as_array().unwrap().len()),
        (0, 1),
        "{}",
        answer.out
    );
    // We may not speak of that product any more.
    policy("\"pkg:npm/ours\"");
    assert_eq!(matched().code, 1);
    // Our key is another one now.
    let other = openssl(&["ec", "-in", "theirs.pem", "-pubout"]);
    sandbox.write(
        ".countersign/policy.toml",
        format!(
            "[advisories]\nvex = \"signed\"\n[advisories.issuers]\n\"us\" = {{ key = \"\"\"{other}\"\"\" }}\n"
        ),
    );
    assert_eq!(matched().code, 1);
    sandbox.write(".countersign/policy.toml", "[advisories.issuers]\n\"us\" = { key = \"nonsense\" }\n");
    let wrong = matched();
    assert_ne!(wrong.code, 0);
    assert!(wrong.err.contains("`us`"), "{}", wrong.err);
}
