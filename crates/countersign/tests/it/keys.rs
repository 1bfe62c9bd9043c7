//! Keys that somebody else holds: a PKCS#11 token, a plug-in, a key service; new keys, the end of keys, counted keys.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::conversation::{Request, play, signature};
use crate::sandbox::Sandbox;

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI must have {program}");
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

pub(crate) fn openssl(sandbox: &Sandbox, words: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(words).current_dir(sandbox.path("")).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A P-256 key pair in `hsm.pem` (PKCS#8) and `hsm.pub`.
pub(crate) fn key_pair(sandbox: &Sandbox) {
    openssl(
        sandbox,
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "hsm.pem"],
    );
    openssl(sandbox, &["pkey", "-in", "hsm.pem", "-pubout", "-out", "hsm.pub"]);
}

/// A whole release with a key that is not the store's: made, verified, monitored; no private key lies in the store.
pub(crate) fn released_with(sandbox: &Sandbox, uri: &str, variables: &[(&str, String)]) {
    let ok = |words: &[&str]| {
        let mut command = sandbox.command(words);
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    };
    ok(&["init", "--release-key", uri]);
    assert!(!sandbox.path(".countersign/keys/release.pem").exists());
    ok(&["run", "--product", "demo", "--output", "dist/*.tar.gz", "--", "make", "-s"]);
    ok(&["sign", "dist/demo.tar.gz"]);
    let verified: Value = serde_json::from_str(&ok(&["verify", "dist/demo.tar.gz", "--json"])).unwrap();
    let trust: Value = serde_json::from_slice(&sandbox.read(".countersign/trust.json")).unwrap();
    openssl(sandbox, &["pkey", "-pubin", "-in", "hsm.pub", "-outform", "DER", "-out", "hsm.der"]);
    let digest = openssl(sandbox, &["dgst", "-sha256", "-r", "hsm.der"]);
    let short = String::from_utf8_lossy(&digest[..12]).into_owned();
    assert_eq!(verified["release"]["key"], short, "it is the key that the holder has");
    assert_eq!(trust["releaseKeys"].as_array().unwrap().len(), 1);
    ok(&["monitor"]);
}

#[test]
fn a_token_holds_the_release_key() {
    if !there("softhsm2-util") {
        return;
    }
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    fs::create_dir(sandbox.path("tokens")).unwrap();
    sandbox.write("softhsm2.conf", format!("directories.tokendir = {}\n", sandbox.path("tokens").display()));
    let conf = ("SOFTHSM2_CONF", sandbox.path("softhsm2.conf").display().to_string());
    let util = |words: &[&str]| {
        let output = Command::new("softhsm2-util")
            .args(words)
            .env(conf.0, &conf.1)
            .current_dir(sandbox.path(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    util(&["--init-token", "--free", "--label", "vendor hsm", "--so-pin", "12345678", "--pin", "2468"]);
    let import =
        ["--import", "hsm.pem", "--token", "vendor hsm", "--label", "release", "--id", "A1", "--pin", "2468"];
    util(&import);
    sandbox.write("pin", "2468\n");
    let pin = sandbox.path("pin").display().to_string();
    let uri = format!("pkcs11:token=vendor%20hsm;object=release?module-path={SOFTHSM}&pin-source=file:{pin}");
    released_with(&sandbox, &uri, std::slice::from_ref(&conf));
    // A wrong PIN, another key, another library, none.
    let refused = |change: &dyn Fn(&str) -> String| {
        let mut command = sandbox.command(&["trust", "new-key", "release", "--key", &change(&uri)]);
        let output = command.env(conf.0, &conf.1).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    sandbox.write("wrong", "1357\n");
    let wrong = sandbox.path("wrong").display().to_string();
    assert!(refused(&|uri| uri.replace(&pin, &wrong)).contains("refused"));
    assert!(refused(&|uri| uri.replace("object=release", "object=other")).contains("0 private"));
    assert!(refused(&|uri| uri.replace("vendor%20hsm", "another")).contains("no token `another`"));
    assert!(
        refused(&|uri| uri.replace(SOFTHSM, "/lib/x86_64-linux-gnu/libc.so.6")).contains("cannot be used")
    );
    // A library that ends its process takes the helper with it, not us.
    sandbox.write("crash.c", "__attribute__((constructor)) static void end(void) { __builtin_trap(); }\n");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "crash.so", "crash.c"])
        .current_dir(sandbox.path(""))
        .status()
        .unwrap();
    assert!(built.success());
    let crash = sandbox.path("crash.so").display().to_string();
    assert!(refused(&|uri| uri.replace(SOFTHSM, &crash)).contains("crashed"));
    let trust: Value = serde_json::from_slice(&sandbox.read(".countersign/trust.json")).unwrap();
    assert_eq!(trust["releaseKeys"].as_array().unwrap().len(), 1, "none of these is trusted");
}

/// A plug-in as cosign would find it: the protocol's two methods over an openssl key.
const PLUGIN: &str = r#"#!/usr/bin/env python3
import base64, json, os, subprocess, sys
assert sys.argv[1] == "1", sys.argv
request = json.loads(sys.argv[2])
init = request["initOptions"]
assert init["protocolVersion"] == "1" and init["hashFunc"] == 5, init
assert "COUNTERSIGN_PASSPHRASE" not in os.environ
method, key = request["methodName"], init["keyResourceID"]
def answer(value):
    print(json.dumps(value))
if method == "publicKey":
    assert request["publicKey"] == {"publicKeyOptions": {"rpcOptions": {}}}
    pem = open(key + ".pub", "rb").read()
    answer({"publicKey": {"publicKeyPEM": base64.b64encode(pem).decode()}})
elif method == "signMessage":
    options = request["signMessage"]["signOptions"]
    assert options["messageOptions"] == {"hashFunc": 5}, options
    message = sys.stdin.buffer.read() + os.environ.get("CHANGE", "").encode()
    if os.environ.get("REFUSE"):
        answer({"errorMessage": "the operator said no"})
    else:
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key + ".pem"], input=message, stdout=subprocess.PIPE, check=True).stdout
        answer({"signMessage": {"signature": base64.b64encode(signature).decode()}})
else:
    answer({"errorMessage": "not known: " + method})
sys.exit(3)
"#;

#[test]
fn a_plug_in_of_cosign_s_protocol_holds_the_release_key() {
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    fs::create_dir(sandbox.path("bin")).unwrap();
    sandbox.write("bin/sigstore-kms-testkms", PLUGIN);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(sandbox.path("bin/sigstore-kms-testkms"), mode).unwrap();
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    let uri = format!("testkms://{}", sandbox.path("hsm").display());
    released_with(&sandbox, &uri, &[("PATH", path.clone())]);
    // What comes back is checked: another message signed, nothing signed, no program.
    let size = || sandbox.ok(&["log", "show", "--json"]).json()["entries"].as_array().unwrap().len();
    let before = size();
    for (variable, value, words) in [
        ("CHANGE", "x", "does not verify"),
        ("REFUSE", "1", "the operator said no"),
        ("PATH", "/usr/bin:/bin", "cannot be run"),
    ] {
        let mut command = sandbox.command(&["sign", "dist/demo.tar.gz"]);
        let output = command.env("PATH", &path).env(variable, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{variable}: {said}");
    }
    assert_eq!(size(), before, "nothing was logged");
}

/// What a transit engine answers (HashiCorp Vault API, "Transit secrets engine").
fn answer(folder: &std::path::Path, request: &Request) -> (u16, Value) {
    assert_eq!(request.header("x-vault-token"), "s.recorded");
    if request.line == "GET /v1/transit/keys/release HTTP/1.1" {
        let pem = fs::read_to_string(folder.join("hsm.pub")).unwrap();
        let key = json!({"request_id": "0", "lease_id": "", "renewable": false, "data": {
            "type": "ecdsa-p256", "name": "release", "latest_version": 3, "min_available_version": 0,
            "exportable": false, "keys": {"3": {"creation_time": "2026-01-01T00:00:00Z", "name": "P-256", "public_key": pem}},
        }});
        return (200, key);
    }
    assert_eq!(request.line, "POST /v1/transit/sign/release/sha2-256 HTTP/1.1");
    let asked = request.json();
    assert_eq!(asked["prehashed"], true);
    assert_eq!((&asked["marshaling_algorithm"], &asked["key_version"]), (&json!("asn1"), &json!(3)));
    let digest = STANDARD.decode(asked["input"].as_str().unwrap()).unwrap();
    let signature = STANDARD.encode(signature(folder, &digest));
    (200, json!({"data": {"key_version": 3, "signature": format!("vault:v3:{signature}")}}))
}

#[test]
fn a_transit_engine_holds_the_release_key() {
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    sandbox.write("token", "s.recorded\n");
    // `init` asks for the key; `sign` asks for it and signs the policy, the intent and the release.
    let folder = sandbox.path("");
    let (address, served) = play(5, move |request| answer(&folder, request));
    let token = sandbox.path("token").display().to_string();
    let uri = format!("hashivault://release?address={address}&token-file={token}");
    released_with(&sandbox, &uri, &[]);
    let asked = served.join().unwrap();
    assert_eq!(asked.iter().filter(|line| line.starts_with("POST")).count(), 3, "{asked:?}");
    let gone = sandbox.run(&["sign", "dist/demo.tar.gz"]);
    assert!(gone.code != 0 && gone.err.contains("cannot reach"), "{}", gone.err);
}

#[test]
fn keys_are_exchanged_at_a_place_in_the_log() {
    let sandbox = Sandbox::released();
    let artifact = "dist/demo.tar.gz";
    let key =
        || sandbox.ok(&["verify", artifact, "--json"]).json()["release"]["key"].as_str().unwrap().to_owned();
    let old = key();
    fs::copy(sandbox.path("dist/demo.tar.gz.sigstore.json"), sandbox.path("old.json")).unwrap();
    let made = sandbox.ok(&["trust", "new-key", "release", "--json"]).json();
    let new = made["key"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    sandbox.ok(&["trust", "retire-key", &old, "--reason", "rotated"]);
    sandbox.ok(&["sign", artifact]);
    assert_eq!(key(), new);
    // What the old key signed before stays good; the new one counts from its place on.
    sandbox.ok(&["verify", artifact, "--bundle", "old.json"]);
    let mut trust: Value = serde_json::from_slice(&sandbox.read(".countersign/trust.json")).unwrap();
    trust["releaseKeys"][1]["from"] = json!(1_000);
    sandbox.write("later.json", trust.to_string());
    let early = sandbox.run(&["verify", artifact, "--trust", "later.json", "--json"]);
    assert_eq!((early.code, early.codes()), (1, vec!["key-retired".to_owned()]));
    // The builder's key too, and both after one another without a release key that counts.
    let builder = sandbox.ok(&["trust", "new-key", "builder", "--json"]).json()["key"].clone();
    sandbox.build("1.0.1");
    let shown = sandbox.ok(&["log", "show", "--json"]).json();
    let last = shown["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["key"], builder);
    sandbox.ok(&["trust", "retire-key", &new, "--reason", "stolen"]);
    let refused = sandbox.run(&["sign", artifact]);
    assert!(refused.code == 2 && refused.err.contains("does not count: stolen"), "{}", refused.err);
    sandbox.ok(&["trust", "new-key", "release"]);
    sandbox.ok(&["sign", artifact]);
    sandbox.ok(&["log", "check"]);
    sandbox.ok(&["monitor", "--sweep", "dist"]);
    sandbox.ok(&["fsck"]);
}

#[test]
fn what_a_key_has_signed_is_counted() {
    let sandbox = Sandbox::released();
    let monitor = || sandbox.run(&["monitor", "--json"]);
    let good = monitor();
    assert_eq!((good.code, good.json()["counted"].as_u64()), (0, Some(1)), "{}", good.out);
    let key = sandbox.ok(&["verify", "dist/demo.tar.gz", "--json"]).json()["release"]["key"].clone();
    let key = key.as_str().unwrap();
    let count = |difference: i64| {
        let script = "import sqlite3, sys\n\
            db = sqlite3.connect('.countersign/heads.db')\n\
            name = 'signatures-' + sys.argv[1]\n\
            table = [row[0] for row in db.execute(\"select name from sqlite_master where type='table'\")][0]\n\
            columns = [row[1] for row in db.execute(f'pragma table_info({table})')]\n\
            value = int(bytes(db.execute(f'select {columns[1]} from {table} where {columns[0]}=?', (name,)).fetchone()[0]))\n\
            new = str(value + int(sys.argv[2])).encode()\n\
            db.execute(f'update {table} set {columns[1]}=? where {columns[0]}=?', (new, name))\n\
            db.commit()\n";
        let done = Command::new("python3")
            .args(["-c", script, key, &difference.to_string()])
            .current_dir(sandbox.path(""))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    // One signature more than the log has: made here, and not logged. One fewer: made elsewhere.
    for difference in [1, -2] {
        count(difference);
        let wrong = monitor();
        assert_eq!((wrong.code, wrong.codes()), (1, vec!["counter-mismatch".to_owned()]), "{}", wrong.out);
        assert_eq!(wrong.json()["verdict"], "unrecorded-signature");
    }
    sandbox.ok(&["trust", "count", key, "--reason", "a command was interrupted"]);
    assert_eq!(monitor().code, 0, "{}", monitor().out);
    assert!(sandbox.ok(&["log", "show", "--json"]).out.contains("\"kind\": \"key\""));
    assert_eq!(sandbox.run(&["trust", "count", "nobody", "--reason", "x"]).code, 2);
}
