//! `monitor --public-log`: exported pages of Rekor and of certificate logs, through the binary.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::sandbox::{Answer, Sandbox};

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn openssl(sandbox: &Sandbox, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(sandbox.path("")).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A key of somebody's own and a certificate for it, in PEM and DER.
fn certificate(sandbox: &Sandbox, name: &str, alternative: &str) {
    let key = format!("{name}.key");
    openssl(sandbox, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]);
    let (pem, der) = (format!("{name}.pem"), format!("{name}.der"));
    let names = format!("subjectAltName={alternative}");
    openssl(
        sandbox,
        &[
            "req", "-x509", "-new", "-key", &key, "-days", "9", "-subj", "/CN=x", "-addext", &names, "-out",
            &pem,
        ],
    );
    openssl(sandbox, &["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
}

fn monitor(sandbox: &Sandbox, more: &[&str]) -> Answer {
    sandbox.run(&[&["monitor", "--json", "--public-log", "public"], more].concat())
}

fn rekor(sandbox: &Sandbox, file: &str, body: &Value) {
    fs::create_dir_all(sandbox.path("public")).unwrap();
    let page = json!({"108e9186e8c5677a": {"body": base64(body.to_string()), "logIndex": 7}});
    sandbox.write(&format!("public/{file}"), page.to_string());
}

fn hashedrekord(digest: &str, signature: &str, holder: &str) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": digest}},
        "signature": {"content": signature, "publicKey": {"content": base64(holder)}},
    }})
}

#[test]
fn what_public_rekor_has_of_us_must_be_in_our_log() {
    let sandbox = Sandbox::released();
    // Our own log as anybody reads it: every signature in it is ours, and recorded.
    sandbox.ok(&["log", "export", "public"]);
    let own = monitor(&sandbox, &[]).json();
    assert_eq!(own["verdict"], "consistent", "{own:#}");
    let (read, seen) = (own["publicEntries"].as_u64(), own["publicSightings"].as_u64());
    assert!(read == seen && read >= own["size"].as_u64(), "{own:#}");
    // The release's signature in the older form; then another by the same key, made past the gate.
    let bundle: Value = serde_json::from_slice(&sandbox.read("dist/demo.tar.gz.sigstore.json")).unwrap();
    let signature = bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap();
    let trust: Value = serde_json::from_slice(&sandbox.read(".countersign/trust.json")).unwrap();
    let key = trust["releaseKeys"][0]["publicKey"].as_str().unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
    let digest = "ab".repeat(32);
    rekor(&sandbox, "1.json", &hashedrekord(&digest, signature, &pem));
    assert_eq!(monitor(&sandbox, &[]).code, 0);
    rekor(&sandbox, "2.json", &hashedrekord(&digest, &base64(b"made past the gate"), &pem));
    let seen = monitor(&sandbox, &[]);
    assert_eq!((seen.code, seen.codes()), (1, vec!["unrecorded-signature".to_owned()]), "{}", seen.out);
    let finding = &seen.json()["findings"][0];
    assert_eq!(
        (&finding["severity"], &finding["subject"]["path"]),
        (&json!("critical"), &json!("public/2.json"))
    );
    assert!(finding["because"][0].as_str().unwrap().starts_with("entry 7 (hashedrekord)"), "{finding:#}");
    assert_eq!(finding["subject"]["digest"], format!("sha256:{digest}"));
    // A kind that is not known: the key stands in it, and no signature that could be compared.
    fs::remove_file(sandbox.path("public/2.json")).unwrap();
    rekor(&sandbox, "3.json", &json!({"kind": "novel", "spec": {"who": [base64(&pem)]}}));
    assert!(monitor(&sandbox, &[]).out.contains("no signature to compare"));
}

#[test]
fn our_names_in_other_people_s_certificates_are_found() {
    let sandbox = Sandbox::released();
    certificate(&sandbox, "stolen", "email:releases@vendor.example");
    let pem = String::from_utf8(sandbox.read("stolen.pem")).unwrap();
    rekor(&sandbox, "page.json", &hashedrekord(&"cd".repeat(32), &base64(b"s"), &pem));
    assert_eq!(monitor(&sandbox, &[]).code, 0, "nobody said that this name is ours");
    for name in ["Releases@vendor.example", "@vendor.example", "releases@*"] {
        let seen = monitor(&sandbox, &["--identity", name]);
        assert_eq!((seen.code, seen.codes()), (1, vec!["unrecorded-signature".to_owned()]), "{name}");
        assert!(seen.out.contains("our name `releases@vendor.example`"), "{}", seen.out);
    }
    assert_eq!(monitor(&sandbox, &["--identity", "other@vendor.example"]).code, 0);
    assert_eq!(monitor(&sandbox, &["--identity", "*"]).code, 2);
    // Under our name, but over what went through the gate: a signer of its own, with a certificate of the moment.
    certificate(&sandbox, "keyless", "URI:https://ci.example/vendor/app");
    let signer = "openssl dgst -sha256 -sign keyless.key -out {out} {in}";
    sandbox.ok(&["sign", "dist/demo.tar.gz", "--with", signer, "--detached", ".sig"]);
    let digest = Command::new("sha256sum").arg(sandbox.path("dist/demo.tar.gz")).output().unwrap();
    let digest = String::from_utf8_lossy(&digest.stdout[..64]).into_owned();
    let pem = String::from_utf8(sandbox.read("keyless.pem")).unwrap();
    let signature = base64(sandbox.read("dist/demo.tar.gz.sig"));
    rekor(&sandbox, "page.json", &hashedrekord(&digest, &signature, &pem));
    let seen = monitor(&sandbox, &["--identity", "https://ci.example/*"]).json();
    assert_eq!((&seen["verdict"], &seen["publicSightings"]), (&json!("consistent"), &json!(1)), "{seen:#}");
    let other = hashedrekord(&"ef".repeat(32), &signature, &pem);
    rekor(&sandbox, "page.json", &other);
    assert_eq!(monitor(&sandbox, &["--identity", "https://ci.example/*"]).code, 1);
}

#[test]
fn certificates_that_nobody_asked_for_are_found() {
    let sandbox = Sandbox::released();
    certificate(&sandbox, "ours", "DNS:www.vendor.example");
    certificate(&sandbox, "theirs", "DNS:www.vendor.example");
    certificate(&sandbox, "else", "DNS:www.else.example");
    fs::create_dir_all(sandbox.path("public/tile/data/x001/002.p")).unwrap();
    let entry = |kind: u8, certificate: &[u8]| {
        let length = &(certificate.len() as u32).to_be_bytes()[1..];
        let issuer: &[u8] = if kind == 1 { &[3; 32] } else { &[] };
        [&[0, 0, 1, 2, 3, 4, 5, 6, 0, kind], issuer, length, certificate, &[0, 0]].concat()
    };
    // What was to be signed of a certificate is its first element.
    let unsigned = |name: &str| {
        let der = sandbox.read(&format!("{name}.der"));
        let length = usize::from(u16::from_be_bytes([der[6], der[7]]));
        der[4..8 + length].to_vec()
    };
    let page = |entries: &[Vec<u8>]| {
        let leaves: Vec<Value> = entries
            .iter()
            .map(
                |entry| json!({"leaf_input": base64([&[0, 0], entry.as_slice()].concat()), "extra_data": ""}),
            )
            .collect();
        json!({"entries": leaves}).to_string()
    };
    let known = [
        entry(0, &sandbox.read("ours.der")),
        entry(1, &unsigned("ours")),
        entry(0, &sandbox.read("else.der")),
    ];
    sandbox.write("public/get-entries.json", page(&known));
    sandbox.write("public/checkpoint", "not read");
    let search = ["--identity", "*.vendor.example", "--certificate", "ours.pem"];
    let seen = monitor(&sandbox, &search).json();
    assert_eq!((&seen["verdict"], &seen["publicSightings"]), (&json!("consistent"), &json!(2)), "{seen:#}");
    // Another certificate for the same name, logged before it was made, in a page and in a tile.
    let tile = [entry(1, &unsigned("theirs")), vec![0, 0, 1, 9, 0, 0]].concat();
    sandbox.write("public/tile/data/x001/002.p/1", &tile);
    let seen = monitor(&sandbox, &search);
    assert_eq!((seen.code, seen.codes()), (1, vec!["unrecorded-signature".to_owned()]), "{}", seen.out);
    assert!(
        seen.out.contains("entry 256512 (precertificate) has our name `www.vendor.example`"),
        "{}",
        seen.out
    );
    // A certificate for our key in another name.
    fs::remove_dir_all(sandbox.path("public/tile")).unwrap();
    openssl(
        &sandbox,
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            "ours.key",
            "-subj",
            "/CN=y",
            "-outform",
            "DER",
            "-out",
            "again.der",
        ],
    );
    sandbox.write("public/more.json", page(&[entry(0, &sandbox.read("again.der"))]));
    assert_eq!(monitor(&sandbox, &search).code, 1);
    // What cannot be read is a problem, never silence; with our name in it, a finding.
    sandbox.write("public/more.json", page(&[entry(0, b"no certificate"), entry(9, b"")]));
    let seen = monitor(&sandbox, &search);
    assert_eq!((seen.code, &seen.json()["verdict"]), (3, &json!("undetermined")), "{}", seen.out);
    assert_eq!(seen.json()["problems"].as_array().unwrap().len(), 2, "{}", seen.out);
    sandbox.write("public/more.json", page(&[entry(0, b"damaged: www.vendor.example")]));
    assert_eq!(monitor(&sandbox, &search).code, 1);
    sandbox.write("public/more.json", "no page");
    assert_eq!(monitor(&sandbox, &search).code, 3);
    assert_eq!(sandbox.run(&["monitor", "--identity", "@vendor.example"]).code, 2, "in which log?");
    assert_eq!(monitor(&sandbox, &["--certificate", "main.c"]).code, 2);
}
