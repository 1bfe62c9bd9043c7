//! Builds that are held back from the network.

use crate::sandbox::Sandbox;

const CONNECT: &str = "import socket
try: socket.create_connection(('203.0.113.7', 443), 2)
except OSError as error: print(error)
open('out', 'w').write('made')
";

fn run(sandbox: &Sandbox, more: &[&str], script: &str) -> serde_json::Value {
    sandbox.write("build.py", script);
    let mut arguments = vec!["run", "--json", "--product", "p", "--output", "out"];
    arguments.extend(more);
    arguments.extend(["--", "python3", "-S", "build.py"]);
    sandbox.ok(&arguments).json()
}

#[test]
fn a_build_that_is_denied_the_network_is_signed_if_it_does_not_try() {
    let sandbox = Sandbox::new();
    let recorded = run(&sandbox, &["--egress", "deny"], "open('out', 'w').write('made')");
    assert!(recorded["network"].as_str().unwrap().starts_with("denied-"), "{recorded}");
    sandbox.ok(&["sign", "out"]);
    let bundle: serde_json::Value =
        serde_json::from_slice(&sandbox.read("out.provenance.sigstore.json")).unwrap();
    let decoded = std::process::Command::new("sh")
        .args(["-c", &format!("echo '{}' | base64 -d", bundle["dsseEnvelope"]["payload"].as_str().unwrap())])
        .output()
        .unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&decoded.stdout).unwrap();
    assert_eq!(
        statement.pointer("/predicate/buildDefinition/internalParameters/network"),
        Some(&recorded["network"]),
        "the provenance says how the build was held back"
    );

    let recorded = run(&sandbox, &["--egress", "deny"], CONNECT);
    let found = recorded["detections"]["found"].as_array().unwrap();
    assert!(found.iter().any(|one| one["finding"]["code"] == "network-in-build-phase"), "{found:?}");
    let denied = sandbox.run(&["sign", "out", "--json"]);
    assert!(
        denied.code == 1 && denied.codes().contains(&"network-in-build-phase".to_owned()),
        "{}",
        denied.out
    );
}

#[test]
fn a_list_is_read_before_anything_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("hosts", "# what we need\ncrates.io\n*.crates.io fetch-only\n");
    let recorded = run(&sandbox, &["--egress", "allow", "hosts"], "open('out', 'w').write('made')");
    assert!(recorded["network"].as_str().unwrap().starts_with("allowed-"), "{recorded}");
    sandbox.write("hosts", "crates.io and more\n");
    let answer = sandbox.run(&["run", "--egress", "allow", "hosts", "--", "touch", "ran"]);
    assert!(answer.code == 125 && answer.err.contains("line 1"), "{}", answer.err);
    assert!(!sandbox.path("ran").exists());
    let answer = sandbox.run(&["run", "--egress", "deny", "--tracer", "snapshot", "--", "touch", "ran"]);
    assert!(answer.code == 125 && !sandbox.path("ran").exists(), "{}", answer.err);
    let answer = sandbox.run(&["run", "--egress", "sometimes", "--", "true"]);
    assert_eq!(answer.code, 2);
}
