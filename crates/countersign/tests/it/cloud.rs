//! Release keys in the key services of Amazon, Google and Azure: recorded conversations, played back over loopback. What is asked
//! must be what was recorded, to the last header; Amazon's signatures of requests are recomputed by Python's own HMAC.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::conversation::{Request, play, signature};
use crate::keys::{key_pair, openssl, released_with};
use crate::sandbox::Sandbox;

/// Amazon's own description of the algorithm, followed in Python.
const SIGV4: &str = r#"
import hashlib, hmac, json, re, sys, datetime
request, secret = json.load(sys.stdin), "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
headers = request["headers"]
credential, signed, signature = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})", headers["authorization"]).groups()
names = signed.split(";")
assert names == sorted(names) and set(names) == set(request["signed"]), names
date, region, service, end = credential.split("/")
assert (region, service, end) == ("eu-central-1", "kms", "aws4_request"), credential
moment = headers["x-amz-date"]
age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.strptime(moment + "+0000", "%Y%m%dT%H%M%SZ%z")
assert moment.startswith(date) and abs(age.total_seconds()) < 120, moment
digest = lambda text: hashlib.sha256(text.encode()).hexdigest()
canonical = "\n".join(["POST", "/", "", *(name + ":" + headers[name] for name in names), "", signed, digest(request["body"])])
key = ("AWS4" + secret).encode()
for part in [date, region, service, end, "\n".join(["AWS4-HMAC-SHA256", moment, credential, digest(canonical)])]:
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
assert key.hex() == signature, "the signature is another"
"#;

fn check_sigv4(request: &Request, signed: &[&str]) {
    let headers: serde_json::Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let body = String::from_utf8(request.body.clone()).unwrap();
    let document = json!({"headers": headers, "body": body, "signed": signed}).to_string();
    let mut child = Command::new("python3").args(["-c", SIGV4]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{document}");
}

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn amazon_holds_the_release_key() {
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    sandbox.write(
        "credentials",
        "[other]\naws_access_key_id = WRONG\n[release]\naws_access_key_id = AKIDEXAMPLE\n\
         aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\naws_session_token = FwoGZXIvYXdzEXAMPLE\n",
    );
    openssl(&sandbox, &["pkey", "-pubin", "-in", "hsm.pub", "-outform", "DER", "-out", "hsm.der"]);
    let folder = sandbox.path("");
    // `init` asks for the key; `sign` asks for it and signs the policy, the intent and the release.
    let (address, served) = play(5, move |request| {
        assert_eq!(request.line, "POST / HTTP/1.1");
        assert_eq!(request.header("content-type"), "application/x-amz-json-1.1");
        assert_eq!(request.header("x-amz-security-token"), "FwoGZXIvYXdzEXAMPLE");
        let signed = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
        check_sigv4(request, &signed);
        let asked = request.json();
        match request.header("x-amz-target") {
            "TrentService.GetPublicKey" => {
                assert_eq!(asked, json!({"KeyId": "alias/release"}));
                let der = STANDARD.encode(fs::read(folder.join("hsm.der")).unwrap());
                let answer = json!({"CustomerMasterKeySpec": "ECC_NIST_P256", "KeyId": ARN, "KeySpec": "ECC_NIST_P256",
                    "KeyUsage": "SIGN_VERIFY", "PublicKey": der, "SigningAlgorithms": ["ECDSA_SHA_256"]});
                (200, answer)
            }
            "TrentService.Sign" => {
                let message = STANDARD.decode(asked["Message"].as_str().unwrap()).unwrap();
                let expected = json!({"KeyId": ARN, "Message": asked["Message"], "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"});
                assert_eq!(asked, expected, "the key that answered, not what the alias may name now");
                let signature = STANDARD.encode(signature(&folder, &message));
                (200, json!({"KeyId": ARN, "Signature": signature, "SigningAlgorithm": "ECDSA_SHA_256"}))
            }
            other => panic!("{other}"),
        }
    });
    let file = sandbox.path("credentials").display().to_string();
    let uri = format!(
        "awskms:///alias/release?region=eu-central-1&address={address}&credentials-file={file}&profile=release"
    );
    released_with(&sandbox, &uri, &[]);
    assert_eq!(served.join().unwrap().len(), 5);
    let kept = fs::read_dir(sandbox.path(".countersign/keys")).unwrap();
    for entry in kept {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        assert!(!text.contains("AKIDEXAMPLE") && !text.contains("EXAMPLEKEY"), "no credentials are kept");
    }
}

#[test]
fn google_holds_the_release_key() {
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    let folder = sandbox.path("");
    const NAME: &str =
        "projects/vendor/locations/europe-west3/keyRings/ring/cryptoKeys/release/cryptoKeyVersions/2";
    let (address, served) = play(5, move |request| {
        assert_eq!(request.header("authorization"), "Bearer ya29.recorded");
        if request.line == format!("GET /v1/{NAME}/publicKey HTTP/1.1") {
            let pem = fs::read_to_string(folder.join("hsm.pub")).unwrap();
            let answer = json!({"pem": pem, "algorithm": "EC_SIGN_P256_SHA256", "pemCrc32c": "1", "name": NAME,
                "protectionLevel": "HSM"});
            return (200, answer);
        }
        assert_eq!(request.line, format!("POST /v1/{NAME}:asymmetricSign HTTP/1.1"));
        assert_eq!(request.header("content-type"), "application/json");
        let asked = request.json();
        let digest = STANDARD.decode(asked["digest"]["sha256"].as_str().unwrap()).unwrap();
        assert_eq!(asked, json!({"digest": {"sha256": asked["digest"]["sha256"]}}));
        (200, json!({"signature": STANDARD.encode(signature(&folder, &digest)), "name": NAME}))
    });
    let uri = format!("gcpkms://{NAME}?address={address}");
    let token = [("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.recorded".to_owned())];
    released_with(&sandbox, &uri, &token);
    assert_eq!(served.join().unwrap().iter().filter(|line| line.starts_with("POST")).count(), 3);
    let refused = sandbox.run(&["sign", "dist/demo.tar.gz"]);
    assert!(refused.code == 2 && refused.err.contains("CLOUDSDK_AUTH_ACCESS_TOKEN"), "{}", refused.err);
}

#[test]
fn azure_holds_the_release_key() {
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    sandbox.write("token", "eyJ0.recorded\n");
    let folder = sandbox.path("");
    const VERSION: &str = "9885aa558e8d448789683188f8c194b0";
    let point = openssl(&sandbox, &["pkey", "-pubin", "-in", "hsm.pub", "-outform", "DER"])[27..].to_vec();
    let (address, served) = play(5, move |request| {
        assert_eq!(request.header("authorization"), "Bearer eyJ0.recorded");
        // Where the key says that it lives is not followed: only its version counts.
        let kid = format!("https://elsewhere.example/keys/release/{VERSION}");
        if request.line == "GET /keys/release?api-version=7.4 HTTP/1.1" {
            let key = json!({"kid": kid, "kty": "EC-HSM", "key_ops": ["sign"], "crv": "P-256",
                "x": URL_SAFE_NO_PAD.encode(&point[..32]), "y": URL_SAFE_NO_PAD.encode(&point[32..])});
            return (200, json!({"key": key, "attributes": {"enabled": true}}));
        }
        assert_eq!(request.line, format!("POST /keys/release/{VERSION}/sign?api-version=7.4 HTTP/1.1"));
        let asked = request.json();
        assert_eq!(asked["alg"], "ES256");
        let digest = URL_SAFE_NO_PAD.decode(asked["value"].as_str().unwrap()).unwrap();
        // SEQUENCE { INTEGER r, INTEGER s } to 32 bytes each.
        let der = signature(&folder, &digest);
        let mut rest = &der[2..];
        let mut fixed = Vec::new();
        for _ in 0..2 {
            let (number, after) = rest[2..].split_at(usize::from(rest[1]));
            let number = &number[number.len().saturating_sub(32)..];
            fixed.extend(vec![0; 32 - number.len()]);
            fixed.extend_from_slice(number);
            rest = after;
        }
        (200, json!({"kid": kid, "value": URL_SAFE_NO_PAD.encode(fixed)}))
    });
    let token = sandbox.path("token").display().to_string();
    let uri = format!("azurekms://vendor.vault.azure.net/release?address={address}&token-file={token}");
    released_with(&sandbox, &uri, &[]);
    assert_eq!(served.join().unwrap().len(), 5);
}

#[test]
fn what_a_key_service_says_is_not_believed() {
    let sandbox = Sandbox::bare();
    key_pair(&sandbox);
    sandbox.ok(&["init"]);
    sandbox.write("token", "secret-token\n");
    let token = sandbox.path("token").display().to_string();
    const NAME: &str = "projects/vendor/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
    let refused = |status: u16, answer: Value, words: &str| {
        let (address, served) = play(1, move |_| (status, answer.clone()));
        let uri = format!("gcpkms://{NAME}?address={address}&token-file={token}");
        let said = sandbox.run(&["trust", "new-key", "release", "--key", &uri]);
        served.join().unwrap();
        assert!(
            matches!(said.code, 2 | 3) && said.err.contains(words),
            "{words}: {} {}",
            said.code,
            said.err
        );
        assert!(!said.err.contains("secret-token") && !said.err.contains("sentence"), "{}", said.err);
    };
    let pem = fs::read_to_string(sandbox.path("hsm.pub")).unwrap();
    let denied = json!({"error": {"code": 403, "message": "a sentence", "status": "PERMISSION_DENIED"}});
    refused(403, denied, "answered 403 (PERMISSION_DENIED)");
    refused(500, json!("a sentence"), "answered 500");
    refused(200, json!({"pem": pem, "algorithm": "RSA_SIGN_PSS_2048_SHA256"}), "no key for EC_SIGN_P256");
    refused(200, json!({"pem": "-----BEGIN", "algorithm": "EC_SIGN_P256_SHA256"}), "not a key");
    refused(200, json!({}), "no key for EC_SIGN_P256");
    // A signature by another key, or over another message: nothing is logged.
    let size = || sandbox.ok(&["log", "show", "--json"]).json()["entries"].as_array().unwrap().len();
    let before = size();
    let answer = json!({"pem": pem, "algorithm": "EC_SIGN_P256_SHA256", "signature": STANDARD.encode(signature(&sandbox.path(""), &[7; 32]))});
    let (address, served) = play(2, move |_| (200, answer.clone()));
    let uri = format!("gcpkms://{NAME}?address={address}&token-file={token}");
    sandbox.ok(&["trust", "new-key", "release", "--key", &uri]);
    assert_eq!(size(), before + 1);
    sandbox.ok(&["run", "--product", "demo", "--output", "dist/*.tar.gz", "--", "make", "-s"]);
    let (built, said) = (size(), sandbox.run(&["sign", "dist/demo.tar.gz"]));
    assert!(said.code != 0, "{}", said.err);
    assert_eq!(size(), built);
    drop(served);
}
