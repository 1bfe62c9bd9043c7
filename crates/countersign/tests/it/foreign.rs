//! Other people's clients, offline, on our bundles: each accepts them, and refuses each with one character changed.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::sandbox::Sandbox;

/// The places of a bundle that everybody's checks must cover, as JSON pointers.
const SIGNED: &[&str] = &["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"];
const LOGGED: &[&str] = &[
    "/verificationMaterial/tlogEntries/0/canonicalizedBody",
    "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
    "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
];

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must set {name}");
        eprintln!("SKIPPED: {name} is not set");
    }
    value
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// A release with everything that a client needs beside it.
fn released() -> Sandbox {
    let sandbox = Sandbox::released();
    sandbox.ok(&["trust", "export", "trust.json", "--sigstore", "sigstore"]);
    let trust: Value = serde_json::from_slice(&sandbox.read("trust.json")).unwrap();
    let key = trust["releaseKeys"][0]["publicKey"].as_str().unwrap();
    sandbox.write("key.pem", format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"));
    sandbox
}

/// Changes one character in the middle of a text of the bundle. Of a checkpoint it is the root: clients may go by the key's id
/// and not look at the name behind it.
fn changed(bundle: &Value, pointer: &str) -> Value {
    let mut bundle = bundle.clone();
    let text = bundle.pointer_mut(pointer).unwrap();
    let mut characters: Vec<char> = text.as_str().unwrap().chars().collect();
    let lines: Vec<usize> =
        characters.iter().enumerate().filter(|(_, one)| **one == '\n').map(|(at, _)| at).collect();
    let middle = lines.get(1).map_or(characters.len() / 2, |root| root + 10);
    characters[middle] = if characters[middle] == 'A' { 'B' } else { 'A' };
    *text = characters.into_iter().collect::<String>().into();
    bundle
}

fn check(places: &[&str], client: impl Fn(&Sandbox, &str, &str) -> Output) {
    let sandbox = released();
    let artifact = "dist/demo.tar.gz";
    let accepted = client(&sandbox, "dist/demo.tar.gz.sigstore.json", artifact);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    assert_eq!(String::from_utf8_lossy(&accepted.stdout).trim(), "verified");
    let bundle: Value = serde_json::from_slice(&sandbox.read("dist/demo.tar.gz.sigstore.json")).unwrap();
    for place in places {
        sandbox.write("changed.json", changed(&bundle, place).to_string());
        assert!(!client(&sandbox, "changed.json", artifact).status.success(), "{place} was changed");
    }
    sandbox.write("other", "another artifact");
    assert!(!client(&sandbox, "dist/demo.tar.gz.sigstore.json", "other").status.success());
}

fn with(program: &str, name: &'static str) -> impl Fn(&Sandbox, &str, &str) -> Output {
    let program = program.to_owned();
    move |sandbox, bundle, artifact| {
        Command::new(&program)
            .arg(script(name))
            .args([bundle, "sigstore/trusted_root.json", "key.pem", artifact])
            .current_dir(sandbox.path(""))
            .output()
            .unwrap()
    }
}

#[test]
fn sigstore_js_verifies_our_release() {
    if variable("COUNTERSIGN_TEST_NODE").is_none() {
        return;
    }
    check(&[SIGNED, LOGGED].concat(), with("node", "by_sigstore.mjs"));
}

#[test]
fn sigstore_python_verifies_our_release() {
    let Some(python) = variable("COUNTERSIGN_TEST_PYTHON") else { return };
    check(&[SIGNED, LOGGED].concat(), with(&python, "by_sigstore.py"));
}

#[test]
fn securesystemslib_verifies_our_release() {
    let Some(python) = variable("COUNTERSIGN_TEST_PYTHON") else { return };
    check(SIGNED, with(&python, "by_securesystemslib.py"));
}

#[test]
fn sigstore_clients_find_our_log() {
    let sandbox = released();
    let config: Value = serde_json::from_slice(&sandbox.read("sigstore/signing_config.v0.2.json")).unwrap();
    assert_eq!(config["rekorTlogUrls"][0]["majorApiVersion"], 2);
    let root: Value = serde_json::from_slice(&sandbox.read("sigstore/trusted_root.json")).unwrap();
    assert_eq!(root["tlogs"][0]["publicKey"]["keyDetails"], "PKIX_ED25519");
}
