//! What a build read, compared with the commit, and with what earlier builds knew.

use std::process::Command;

use crate::sandbox::Sandbox;

fn git(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"];
    let done =
        Command::new("git").args(identity).args(arguments).current_dir(sandbox.path("")).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn committed() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", ".countersign\ndist\ndemo\n");
    git(&sandbox, &["init", "-q"]);
    git(&sandbox, &["add", "-A"]);
    git(&sandbox, &["commit", "-qm", "first"]);
    sandbox
}

#[test]
fn the_commit_stands_in_record_and_provenance() {
    let sandbox = committed();
    let commit = git(&sandbox, &["rev-parse", "HEAD"]);
    assert_eq!(sandbox.build("1.0.0")["checkout"]["commit"], commit.as_str());
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    assert_eq!(
        (shown["document"]["checkout"]["files"].as_u64(), shown["document"]["checkout"]["changed"].as_u64()),
        (Some(5), Some(0))
    );
    assert!(sandbox.ok(&["show", "latest"]).out.contains(&commit));
    let bundle: serde_json::Value =
        serde_json::from_slice(&sandbox.read("dist/demo.tar.gz.provenance.sigstore.json")).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let decoded =
        Command::new("sh").args(["-c", &format!("echo '{payload}' | base64 -d")]).output().unwrap().stdout;
    let statement: serde_json::Value = serde_json::from_slice(&decoded).unwrap();
    let first = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0];
    assert_eq!(first["digest"]["gitCommit"], commit.as_str());
    assert!(first["uri"].as_str().unwrap().starts_with("git+file:///"));
}

/// The file of remembered digests is a cache that only the builder's key can fill.
#[test]
fn remembered_digests_that_somebody_else_wrote_are_not_used() {
    let sandbox = committed();
    sandbox.build("1.0.0");
    let before = sandbox.ok(&["show", "latest", "--inputs", "--json"]).json()["inputs"].clone();
    let path = sandbox.path(".countersign/digests");
    let written = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&written).into_owned();
    let digests = text.match_indices("sha256:").count();
    assert!(digests > 20, "the toolchain is remembered: {digests}");
    // Every digest becomes another one; the signature no longer fits.
    let poisoned = text.replace("sha256:0", "sha256:1");
    assert_ne!(poisoned, text);
    let tail = &poisoned[poisoned.find("urn:").unwrap()..];
    let head = &written[..usize::from(written[0]) + 1];
    std::fs::write(&path, [head, tail.as_bytes()].concat()).unwrap();
    sandbox.build("1.0.1");
    let inputs = |document: &serde_json::Value| {
        let files = document.as_array().unwrap().iter();
        files.map(|file| (file["path"].to_string(), file["read"].to_string())).collect::<Vec<_>>()
    };
    let after = sandbox.ok(&["show", "latest", "--inputs", "--json"]).json()["inputs"].clone();
    assert_eq!(inputs(&before), inputs(&after));
    assert_ne!(std::fs::read(&path).unwrap(), [head, tail.as_bytes()].concat(), "and it is written anew");
    for broken in [&b""[..], b"\xff", b"\x03abc"] {
        std::fs::write(&path, broken).unwrap();
        sandbox.build("1.0.2");
    }
}

/// Where the kernel notifies nobody, the record is complete all the same, says how it was made, and is signed.
#[test]
fn a_build_whose_processes_are_stopped_is_signed_like_any_other() {
    let sandbox = Sandbox::new();
    let run = ["run", "--tracer", "ptrace", "--product", "demo", "--output", "dist/*.gz", "--", "make", "-s"];
    sandbox.ok(&run);
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    assert_eq!(shown["document"]["machine"]["tracer"], "ptrace");
    assert_eq!(shown["document"]["completeness"]["complete"], true);
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    sandbox.ok(&["verify", "dist/demo.tar.gz"]);
}

/// Where nothing can be traced, a record says so; a policy decides whether that is enough.
#[test]
fn a_snapshot_is_signed_only_if_the_policy_says_so_and_the_signature_does_not_claim_more() {
    let sandbox = Sandbox::new();
    let run =
        ["run", "--tracer", "snapshot", "--product", "demo", "--output", "dist/*.gz", "--", "make", "-s"];
    sandbox.ok(&run);
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    assert_eq!(shown["document"]["machine"]["tracer"], "snapshot");
    let denied = sandbox.run(&["sign", "dist/demo.tar.gz", "--json"]);
    assert_eq!((denied.code, denied.codes().contains(&"inputs-not-observed".to_owned())), (1, true));
    sandbox.write(".countersign/policy.toml", "[findings]\ninputs-not-observed = \"allow\"\n");
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    sandbox.ok(&["verify", "dist/demo.tar.gz"]);
    let bundle: serde_json::Value =
        serde_json::from_slice(&sandbox.read("dist/demo.tar.gz.sigstore.json")).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let decoded =
        Command::new("sh").args(["-c", &format!("echo '{payload}' | base64 -d")]).output().unwrap().stdout;
    let statement: serde_json::Value = serde_json::from_slice(&decoded).unwrap();
    assert_eq!(statement["predicate"]["verifiedLevels"], serde_json::json!(["SLSA_BUILD_LEVEL_1"]));
}
