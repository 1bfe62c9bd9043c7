//! Roles bound to keys by the policy: who builds, signs, asks for a release, audits.

use serde_json::Value;

use crate::sandbox::{Answer, Sandbox};

fn person(sandbox: &Sandbox, name: &str) -> String {
    let file = format!("{name}.pass");
    sandbox.write(&file, format!("only {name} knows\n"));
    let added = sandbox.ok(&["approver", "add", name, "--passphrase-file", &file, "--json"]).json();
    added["key"].as_str().unwrap().to_owned()
}

fn policy(sandbox: &Sandbox, roles: &str) {
    sandbox.write(".countersign/policy.toml", format!("version = 1\n[roles]\n{roles}\n"));
}

fn sign(sandbox: &Sandbox, name: Option<&str>) -> Answer {
    let file = name.map(|name| format!("{name}.pass"));
    let mut words = vec!["sign", "dist/demo.tar.gz", "--json"];
    if let (Some(name), Some(file)) = (name, &file) {
        words.extend(["--as", name, "--passphrase-file", file]);
    }
    sandbox.run(&words)
}

fn keys(sandbox: &Sandbox) -> (String, String) {
    let shown = sandbox.ok(&["log", "show", "--json"]).json();
    let entries = shown["entries"].as_array().unwrap();
    let by = |kind: &str| {
        let entry: &Value = entries.iter().rev().find(|entry| entry["kind"] == kind).unwrap();
        entry["key"].as_str().unwrap().to_owned()
    };
    (by("release"), by("record"))
}

#[test]
fn a_bound_role_is_nobody_else_s() {
    let sandbox = Sandbox::released();
    let (release, builder) = keys(&sandbox);
    policy(&sandbox, &format!("builder = ['{builder}']\nsigner = ['{release}']"));
    assert_eq!(sign(&sandbox, None).code, 0);
    policy(&sandbox, "builder = ['0123456789ab']");
    let denied = sign(&sandbox, None);
    assert_eq!(
        (denied.code, denied.codes().contains(&"role-denied".to_owned())),
        (1, true),
        "{}",
        denied.out
    );
    policy(&sandbox, &format!("builder = ['{builder}']\nsigner = ['0123456789ab']"));
    assert!(sign(&sandbox, None).codes().contains(&"role-denied".to_owned()));
    // Two roles of one key are no policy at all.
    policy(&sandbox, &format!("builder = ['{builder}']\nsigner = ['{builder}']"));
    let refused = sign(&sandbox, None);
    assert!(refused.code == 2 && refused.err.contains("exclude each other"), "{}", refused.err);
}

#[test]
fn a_person_s_everyday_key_is_never_builder_or_signer() {
    let sandbox = Sandbox::released();
    let (release, builder) = keys(&sandbox);
    let anna = person(&sandbox, "anna");
    // Listed as everyday: what it has built or would sign is denied; it cannot be listed as both.
    for (everyday, role) in [(&builder, "builder"), (&release, "signer")] {
        policy(&sandbox, &format!("everyday = ['{everyday}']"));
        let denied = sign(&sandbox, None);
        assert!(denied.codes().contains(&"role-denied".to_owned()), "{role}: {}", denied.out);
        policy(&sandbox, &format!("everyday = ['{everyday}']\n{role} = ['{everyday}']"));
        assert_eq!(sign(&sandbox, None).code, 2, "{role}");
    }
    policy(&sandbox, "");
    assert_eq!(sign(&sandbox, None).code, 0);
    // Named as a person's in the trust file: nobody can make it a builder's or the release key there.
    let trust: Value = serde_json::from_slice(&sandbox.read(".countersign/trust.json")).unwrap();
    let personal = trust["approverKeys"][0]["publicKey"].clone();
    for list in ["builderKeys", "releaseKeys"] {
        let mut changed = trust.clone();
        changed[list].as_array_mut().unwrap().push(serde_json::json!({
            "publicKey": personal, "since": "2026-01-01T00:00:00Z",
        }));
        sandbox.write("other.json", changed.to_string());
        let refused = sandbox.run(&["verify", "dist/demo.tar.gz", "--trust", "other.json"]);
        assert!(
            refused.code == 2 && refused.err.contains("a key has one purpose"),
            "{list}: {}",
            refused.err
        );
        // Nor by another store's trust file.
        let mut theirs = trust.clone();
        theirs["approverKeys"] = serde_json::json!([]);
        theirs["builderKeys"] =
            serde_json::json!([{ "publicKey": personal, "since": "2026-01-01T00:00:00Z" }]);
        sandbox.write("theirs.json", theirs.to_string());
        let refused = sandbox.run(&["trust", "add-builder", "theirs.json"]);
        assert!(refused.code == 2 && refused.err.contains(&anna), "{}", refused.err);
    }
    // Nor with the key itself in hand, by a plug-in: see `keys.rs` for the protocol.
    sandbox
        .write(".countersign/policy.toml", format!("[roles]\neveryday = ['{}']\n", everyday_key(&sandbox)));
    for role in ["builder", "release"] {
        let mut command = sandbox.command(&["trust", "new-key", role, "--key", "everyday://mine"]);
        let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
        let refused: Answer = command.env("PATH", path).output().unwrap().into();
        assert!(refused.code == 2 && refused.err.contains("everyday key"), "{role}: {}", refused.err);
    }
}

/// Somebody's everyday key behind a plug-in; returns its short name.
fn everyday_key(sandbox: &Sandbox) -> String {
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    let script = "set -e; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out bin/k.pem; \
        openssl pkey -in bin/k.pem -pubout -out bin/k.pub; \
        openssl pkey -in bin/k.pem -pubout -outform DER | sha256sum | cut -c1-12";
    let made =
        std::process::Command::new("sh").args(["-c", script]).current_dir(sandbox.path("")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let plugin = "#!/bin/sh\nprintf '{\"publicKey\": {\"publicKeyPEM\": \"%s\"}}' \"$(base64 -w0 \"$(dirname \"$0\")/k.pub\")\"\n";
    sandbox.write("bin/sigstore-kms-everyday", plugin);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(sandbox.path("bin/sigstore-kms-everyday"), mode).unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[test]
fn releases_are_asked_for_and_audits_are_signed_by_those_who_may() {
    let sandbox = Sandbox::released();
    for name in ["anna", "carol", "dora"] {
        person(&sandbox, name);
    }
    policy(&sandbox, "approver = ['anna']\nreleaser = ['carol']\nauditor = ['dora']");
    for (name, expected) in [(None, 1), (Some("anna"), 1), (Some("dora"), 1), (Some("carol"), 0)] {
        let signed = sign(&sandbox, name);
        assert_eq!(signed.code, expected, "{name:?}: {}{}", signed.out, signed.err);
        assert_eq!(
            signed.codes().contains(&"role-denied".to_owned()),
            expected == 1,
            "{name:?}: {}",
            signed.out
        );
    }
    assert_ne!(sign(&sandbox, Some("nobody")).code, 0);
    let shown = sandbox.ok(&["log", "show", "--json"]).json();
    let kinds: Vec<&str> =
        shown["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    let end = &kinds[kinds.len() - 3..];
    assert_eq!(end, ["release-request", "intent", "release"], "{kinds:?}");
    let audit = |name: &str| {
        let file = format!("{name}.pass");
        sandbox.run(&["monitor", "--as", name, "--passphrase-file", &file, "--json"])
    };
    let audited = audit("dora");
    assert_eq!((audited.code, audited.json()["logIndex"].as_u64()), (0, Some(kinds.len() as u64)));
    let refused = audit("anna");
    assert!(refused.code == 2 && refused.err.contains("auditor"), "{}", refused.err);
    assert_eq!(sandbox.run(&["log", "check", "--json"]).json()["verdict"], "consistent");
    sandbox.ok(&["fsck"]);
}
