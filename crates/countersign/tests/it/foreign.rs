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

/// The same for what only bundles with certificates have.
const CERTIFIED: &[&str] = &[
    "/verificationMaterial/certificate/rawBytes",
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
];

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

/// A release by a certificate, and the commands that `verify --explain` prints for it.
struct Explained {
    sandbox: Sandbox,
    script: String,
}

impl Explained {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.ok(&[
            "trust",
            "authority",
            "--identity",
            "https://vendor.example/releases",
            "--issuer",
            "https://vendor.example",
            "--source-repository",
            "https://github.com/vendor/demo",
        ]);
        sandbox.build("1.0.0");
        sandbox.ok(&["sign", "dist/demo.tar.gz"]);
        let script = sandbox.ok(&["verify", "--explain", "dist/demo.tar.gz"]).out;
        let script = script.split_once("# The same by other tools").unwrap().1.to_owned();
        let explained = Self { sandbox, script: format!("#{script}") };
        // The files that it writes: everything before the first tool is named.
        let files = explained.script.split_once("\n# gh ").unwrap().0.to_owned();
        assert!(explained.shell(&files, &[]).status.success());
        explained
    }

    fn shell(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.sandbox.path("")).env("HOME", self.sandbox.path(""));
        command.env_remove("GH_TOKEN").envs(variables.iter().copied()).output().unwrap()
    }

    /// Runs the one printed command that begins with a word: on the release, on each changed one, on another file.
    fn check(&self, program: &str, places: &[&str], variables: &[(&str, &str)]) {
        let begins = format!("{program} ");
        let commands: Vec<&str> = self.script.lines().filter(|line| line.starts_with(&begins)).collect();
        let [command] = commands.as_slice() else { panic!("{program}: {commands:?}") };
        let run = || self.shell(command, variables);
        let accepted = run();
        assert!(accepted.status.success(), "{command}: {}", String::from_utf8_lossy(&accepted.stderr));
        let name = "dist/demo.tar.gz.sigstore.json";
        let original = self.sandbox.read(name);
        let bundle: Value = serde_json::from_slice(&original).unwrap();
        for place in places {
            self.sandbox.write(name, changed(&bundle, place).to_string());
            assert!(!run().status.success(), "{program}: {place} was changed");
        }
        self.sandbox.write(name, original);
        let artifact = self.sandbox.read("dist/demo.tar.gz");
        self.sandbox.write("dist/demo.tar.gz", [&artifact[..], b"x"].concat());
        assert!(!run().status.success(), "{program}: another artifact");
        self.sandbox.write("dist/demo.tar.gz", &artifact);
        assert!(run().status.success(), "{program}: as it was");
    }
}

#[test]
fn what_is_explained_is_what_gh_sigstore_python_and_sigstore_js_do() {
    let Some(python) = variable("COUNTERSIGN_TEST_PYTHON") else { return };
    let Some(node) = variable("COUNTERSIGN_TEST_NODE") else { return };
    let explained = Explained::new();
    let path = format!(
        "{}:{}",
        Path::new(&python).parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let places = [SIGNED, LOGGED, CERTIFIED].concat();
    for program in ["gh attestation verify", "sigstore", "node"] {
        explained.check(program, &places, &[("PATH", &path), ("COUNTERSIGN_NODE", &node)]);
    }
}

#[test]
fn a_certified_release_is_verified_by_ours_and_by_anybody_s_rules() {
    let explained = Explained::new();
    let sandbox = &explained.sandbox;
    let artifact = "dist/demo.tar.gz";
    let verified = sandbox.ok(&["verify", artifact]).out;
    assert!(verified.contains("Its certificate says `https://vendor.example/releases`"), "{verified}");
    let by_identity = [
        "verify",
        artifact,
        "--trusted-root",
        "trusted_root.json",
        "--certificate-identity",
        "https://vendor.example/releases",
        "--certificate-oidc-issuer",
        "https://vendor.example",
    ];
    sandbox.ok(&by_identity);
    assert_eq!(sandbox.run(&["monitor", "--sweep", "dist", "--json"]).json()["verdict"], "consistent");
    let name = "dist/demo.tar.gz.sigstore.json";
    let original = sandbox.read(name);
    let bundle: Value = serde_json::from_slice(&original).unwrap();
    for place in [SIGNED, LOGGED, CERTIFIED].concat() {
        sandbox.write(name, changed(&bundle, place).to_string());
        assert_eq!(sandbox.run(&["verify", artifact]).code, 1, "{place} was changed");
        assert_ne!(sandbox.run(&by_identity).code, 0, "{place} was changed");
    }
    sandbox.write(name, original);
    // A new authority: what the old one has certified stays good, and new releases are by the new one.
    sandbox.ok(&["trust", "authority", "--identity", "urn:vendor:2", "--issuer", "https://vendor.example"]);
    sandbox.ok(&["verify", artifact]);
    sandbox.ok(&["sign", artifact]);
    assert!(sandbox.ok(&["verify", artifact]).out.contains("`urn:vendor:2`"));
    let refused =
        sandbox.run(&["trust", "authority", "--identity", "no uri", "--issuer", "https://a.example"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
}
