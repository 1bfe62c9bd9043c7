use std::process::Command;
use std::sync::Arc;

use attest::key::Cost;
use attest::{Credential, EncryptedKey, KeyPair, Leaf, Signer, rekor};
use engine::{GroupLimits, LogService, Passphrase};
use evidence::{Digest, Timestamp};
use serde_json::Value;
use server::{Limits, Serving, log_routes, serve};

use crate::client::ask;

fn passphrase() -> Passphrase {
    Passphrase::new(b"only for these tests".to_vec())
}

fn open(folder: &std::path::Path, keys: Vec<attest::PublicKey>) -> engine::Result<LogService> {
    LogService::open(folder, "log.example", keys, &passphrase(), GroupLimits::default(), now())
}

fn start(service: LogService) -> Serving {
    serve("127.0.0.1:0", Limits::default(), log_routes(Arc::new(service), now)).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_unix(1_700_000_000)
}

fn key() -> KeyPair {
    EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap().1
}

fn signed(key: &KeyPair, message: &[u8]) -> Leaf {
    let signature = key.sign(message).unwrap();
    Leaf { statement: Digest::of(message), signature, credential: Credential::Key(key.public_key().clone()) }
}

#[test]
fn an_entry_is_proven_at_once_and_its_tiles_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let service = open(folder.path(), Vec::new()).unwrap();
    let verifier_key = tlog::VerifierKey::parse(service.verifier_key()).unwrap();
    let serving = start(service);
    let address = serving.address();
    for number in 0..5u8 {
        let leaf = signed(&key, &[number]);
        let (status, body) = ask(address, "POST", "/api/v2/log/entries", &rekor::write(&leaf));
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        let entry: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(entry["logIndex"], number.to_string());
        // Whatever the server says: the proof leads to a root that the log's key has signed.
        let note = entry["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap();
        let checkpoint = tlog::Checkpoint::verify(note, &verifier_key).unwrap();
        assert_eq!(checkpoint.size(), u64::from(number) + 1);
    }
    drop(serving);
    // Everything is in files that a plain web server could hand out.
    let service = open(folder.path(), Vec::new()).unwrap();
    let serving = start(service);
    let address = serving.address();
    let (status, note) = ask(address, "GET", "/checkpoint", b"");
    let checkpoint = tlog::Checkpoint::verify(std::str::from_utf8(&note).unwrap(), &verifier_key).unwrap();
    assert_eq!((status, checkpoint.size()), (200, 5));
    assert_eq!(ask(address, "GET", "/api/v2/checkpoint", b"").1, note);
    let (status, hashes) = ask(address, "GET", "/tile/0/000.p/5", b"");
    assert_eq!((status, hashes.len()), (200, 160));
    assert_eq!(ask(address, "GET", "/tile/entries/000.p/5", b"").0, 200);
    for absent in [
        "/tile/0/001",
        "/tile/../key.pem",
        "/tile/%2e%2e/key.pem",
        "/key.pem",
        "/tile/0/000.p/5/../../../checkpoint",
    ] {
        assert_eq!(ask(address, "GET", absent, b"").0, 404, "{absent}");
    }
}

#[test]
fn what_does_not_verify_is_not_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (key(), key());
    let service = open(folder.path(), vec![ours.public_key().clone()]).unwrap();
    let serving = start(service);
    let address = serving.address();
    let good = signed(&ours, b"x");
    let bad = Leaf { statement: Digest::of(b"y"), ..good.clone() };
    for (body, expected) in [
        (rekor::write(&bad), 400),
        (b"{}".to_vec(), 400),
        (rekor::write(&signed(&theirs, b"x")), 403),
        (rekor::write(&good), 201),
    ] {
        assert_eq!(ask(address, "POST", "/api/v2/log/entries", &body).0, expected);
    }
    assert_eq!(ask(address, "DELETE", "/api/v2/log/entries", b"").0, 405);
}

#[test]
fn a_second_sequencer_of_one_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), Vec::new()).unwrap();
    let Err(error) = open(folder.path(), Vec::new()) else { panic!("two sequencers") };
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("another process writes this log")
    );
    first.close().unwrap();
    open(folder.path(), Vec::new()).unwrap().close().unwrap();
}

#[test]
fn what_is_asked_for_is_stamped() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |words: &[&str]| Command::new("openssl").args(words).output().unwrap();
    std::fs::write(at("message"), b"a signature").unwrap();
    let (message, query, reply) = (at("message"), at("query"), at("reply"));
    assert!(
        openssl(&["ts", "-query", "-data", &message, "-sha256", "-cert", "-out", &query]).status.success()
    );
    let log = folder.path().join("served");
    for _ in 0..2 {
        let serving = start(open(&log, Vec::new()).unwrap());
        let request = std::fs::read(&query).unwrap();
        let (status, answer) = ask(serving.address(), "POST", "/api/v1/timestamp", &request);
        assert_eq!(status, 201);
        std::fs::write(&reply, answer).unwrap();
        let (root_der, root) = (log.join("timestamp-root.der").display().to_string(), at("root.pem"));
        assert!(openssl(&["x509", "-in", &root_der, "-inform", "DER", "-out", &root]).status.success());
        let words = ["ts", "-verify", "-queryfile", &query, "-in", &reply, "-CAfile", &root];
        let verified = openssl(&[&words[..], &["-attime", "1700000000"]].concat());
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        // The same authority after a restart.
    }
    let serving = start(open(&log, Vec::new()).unwrap());
    let (status, refused) = ask(serving.address(), "POST", "/api/v1/timestamp", b"nonsense");
    assert_eq!(status, 201, "RFC 3161 has a form for refusals");
    std::fs::write(&reply, refused).unwrap();
    let shown = openssl(&["ts", "-reply", "-in", &reply, "-text"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("Rejected") && shown.contains("the data submitted has the wrong format"),
        "{shown}"
    );
}
