//! Pages of public logs: made by hand, real entries of the field's own vectors, and hostile ones.

use attest::authority::{AuthorityKeys, Claims, create};
use attest::exported::{Page, PageError, Signed, read, same_certificate};
use attest::key::Cost;
use attest::{Certificate, Credential, EncryptedKey, KeyPair, Leaf, Signer};
use base64::Engine as _;
use evidence::{Digest, Timestamp};
use serde_json::{Value, json};

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn key() -> KeyPair {
    EncryptedKey::generate_p256(b"a test", Cost::Machine).unwrap().1
}

fn certificate(subject: &KeyPair) -> Certificate {
    let (root, timestamps, certificate_log) = (key(), key(), key());
    let parts = AuthorityKeys { root: &root, timestamps: &timestamps, certificate_log: &certificate_log };
    let claims = Claims {
        identity: "https://vendor.example/releases",
        issuer: "https://vendor.example",
        source_repository: None,
    };
    let now = Timestamp::from_unix(1_700_000_000);
    let authority = create(&parts, &claims, "Vendor", now, [[1; 16], [2; 16]]).unwrap();
    authority.certify(&parts, subject.public_key(), now, [7; 16]).unwrap()
}

fn vector(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_be_bytes()[8 - width..], bytes].concat()
}

/// `TimestampedEntry` (RFC 6962, section 3.4).
fn timestamped(kind: u8, certificate: &[u8]) -> Vec<u8> {
    let issuer: &[u8] = if kind == 1 { &[9; 32] } else { &[] };
    [&[0, 0, 1, 2, 3, 4, 5, 6, 0, kind], issuer, &vector(3, certificate), &[0, 0]].concat()
}

/// The first element of a certificate, which is what was signed.
fn to_be_signed(certificate: &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([certificate[6], certificate[7]]));
    assert_eq!((certificate[0], certificate[1], certificate[4], certificate[5]), (0x30, 0x82, 0x30, 0x82));
    certificate[4..8 + length].to_vec()
}

fn rekor_page(bodies: &[Value]) -> Vec<u8> {
    let entries: serde_json::Map<String, Value> = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| {
            let entry = json!({"body": base64(body.to_string()), "integratedTime": 1, "logID": "c0", "logIndex": 70 + number});
            (format!("uuid{number}"), entry)
        })
        .collect();
    Value::Object(entries).to_string().into_bytes()
}

fn bodies(key: &KeyPair, certificate: &Certificate) -> Vec<Value> {
    let (signature, digest) = (key.sign(b"s").unwrap(), Digest::of(b"s"));
    let hash = json!({"algorithm": "sha256", "value": digest.hex()});
    let pem = base64(key.public_key().pem());
    let certified = base64(certificate.pem());
    vec![
        json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": hash}, "signature": {"content": base64(&signature), "publicKey": {"content": pem}}}}),
        json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {"envelopeHash": hash, "payloadHash": hash,
            "signatures": [{"signature": base64(b"other"), "verifier": base64("not a key")},
                {"signature": base64(&signature), "verifier": certified}]}}),
        json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {"hash": hash, "payloadHash": hash,
            "envelope": {"payloadType": "x", "signatures": [{"sig": base64(base64(&signature)), "publicKey": pem}]}}}}),
        // A kind that nobody has thought of yet: the key is found all the same.
        json!({"apiVersion": "9", "kind": "novel", "spec": {"deep": [{"er": {"holder": certified}}]}}),
    ]
}

#[test]
fn keys_signatures_and_names_are_found_in_every_kind() {
    let key = key();
    let certificate = certificate(&key);
    let signature = key.sign(b"s").unwrap();
    let page = read("export/page.json", &rekor_page(&bodies(&key, &certificate))).unwrap();
    let kinds: Vec<&str> = page.entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["hashedrekord", "dsse", "intoto", "novel"]);
    assert!(page.unread.is_empty());
    for entry in &page.entries {
        let [signed] = entry.signed.as_slice() else { panic!("{entry:?}") };
        assert_eq!(signed.bearer.key.as_deref(), Some(key.public_key().der()), "{}", entry.kind);
        let named = entry.kind == "dsse" || entry.kind == "novel";
        assert_eq!(signed.bearer.names.contains(&"https://vendor.example/releases".to_owned()), named);
        if entry.kind == "novel" {
            assert_eq!((entry.digests.len(), &signed.signature), (0, &None));
        } else {
            assert!(entry.digests.contains(&Digest::of(b"s")), "{}", entry.kind);
            let length = signed.signature.as_ref().unwrap().len();
            assert!((70..=72).contains(&length), "{}: {length}", entry.kind);
        }
    }
    assert_eq!(page.entries[2].index, Some(72));
    // The same as a list, and one a line.
    let whole: Value = serde_json::from_slice(&rekor_page(&bodies(&key, &certificate))).unwrap();
    let list = json!([whole, whole]).to_string();
    assert_eq!(read("list.json", list.as_bytes()).unwrap().entries.len(), 8);
    let lines = format!("{whole}\n{whole}\n");
    assert_eq!(read("lines.json", lines.as_bytes()).unwrap().entries.len(), 8);
    // The newer form: our own leaves in an entry bundle.
    let leaf = Leaf {
        statement: Digest::of(b"s"),
        signature: signature.clone(),
        credential: Credential::Certificate(certificate),
    };
    let bundle = [vector(2, &leaf.encode()), vector(2, b"{}")].concat();
    let page = read("tile/entries/x001/002.p/2", &bundle).unwrap();
    assert_eq!(page.unread.len(), 1);
    let [entry] = page.entries.as_slice() else { panic!("{page:?}") };
    assert_eq!((entry.index, entry.digests.as_slice()), (Some(1002 * 256), [Digest::of(b"s")].as_slice()));
    assert_eq!(entry.signed[0].signature, Some(signature));
}

#[test]
fn logged_certificates_are_read_before_and_after_they_are_made() {
    let key = key();
    let certificate = certificate(&key);
    let tbs = to_be_signed(certificate.der());
    let leaf = |kind, bytes: &[u8]| {
        let leaf = [&[0, 0], timestamped(kind, bytes).as_slice()].concat();
        json!({"leaf_input": base64(leaf), "extra_data": ""})
    };
    let answer =
        json!({"entries": [leaf(0, certificate.der()), leaf(1, &tbs), leaf(2, &tbs), {"leaf_input": "!"}]});
    let page = read("get-entries", answer.to_string().as_bytes()).unwrap();
    let unread: Vec<usize> = page.unread.iter().map(|(position, _)| *position).collect();
    assert_eq!((page.entries.len(), unread), (2, vec![2, 3]));
    let tile = [
        [timestamped(0, certificate.der()), vector(2, &[1; 64])].concat(),
        [timestamped(1, &tbs), vector(3, certificate.der()), vector(2, &[])].concat(),
    ];
    let tiles = read("tile/data/000.p/2", &tile.concat()).unwrap();
    assert_eq!(tiles.entries[1].index, Some(1));
    for entry in page.entries.iter().chain(&tiles.entries) {
        let bearer = &entry.signed[0].bearer;
        assert_eq!(bearer.key.as_deref(), Some(key.public_key().der()));
        assert_eq!(bearer.names, ["https://vendor.example/releases"]);
    }
    assert!(same_certificate(certificate.der(), certificate.der()));
    // What is logged before has no signed certificate timestamps, as this one's list: it is the same without.
    assert!(!same_certificate(&tbs, certificate.der()), "the list is in it still");
    assert!(!same_certificate(&self::certificate(&key).der()[..9], certificate.der()));
}

#[test]
fn hostile_pages_are_refused_or_read_in_part() {
    let key = key();
    let certificate = certificate(&key);
    let page = rekor_page(&bodies(&key, &certificate));
    let tile = [timestamped(0, certificate.der()), vector(2, &[1; 32])].concat();
    let bundle = vector(2, br#"{"kind":"x"}"#);
    for (path, bytes) in [("p.json", &page), ("tile/data/000", &tile), ("tile/entries/000", &bundle)] {
        for length in 1..bytes.len() {
            assert!(read(path, &bytes[..length]).is_err(), "{path}: {length}");
        }
        for position in (0..bytes.len()).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x40;
            read(path, &flipped).ok();
        }
    }
    let refused = |path: &str, bytes: &[u8]| matches!(read(path, bytes), Err(PageError::Form(_)));
    assert!(
        refused("x", b"") && refused("x", b"{\"a\":1}") && refused("x", b"\x1f\x8b") && refused("x", b"[1]")
    );
    assert_eq!(read("x", b"{}"), Ok(Page::default()));
    assert!(refused("tile/entries/000", &bundle.repeat(257)));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused("x", deep.as_bytes()));
    let body = json!({"kind": "x", "spec": "DEEP"}).to_string().replace("\"DEEP\"", &deep);
    let entry = json!({"u": {"body": base64(body)}}).to_string();
    assert_eq!(read("x", entry.as_bytes()).unwrap().unread.len(), 1);
    // A certificate that cannot be read is kept by its bytes.
    let broken = json!({"u": {"body": base64(json!({"kind": "hashedrekord", "spec": {"signature": {"content": base64(b"s"),
        "publicKey": {"content": base64(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(b"no certificate")))}}}}).to_string())}});
    let page = read("x", broken.to_string().as_bytes()).unwrap();
    let bearer = &page.entries[0].signed[0].bearer;
    assert_eq!((bearer.key.as_deref(), bearer.der.as_slice()), (None, b"no certificate".as_slice()));
}

#[test]
fn real_entries_of_rekor_are_read() {
    let vectors =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-conformance/bundle-verify");
    let Ok(folders) = std::fs::read_dir(vectors) else {
        println!("SKIPPED: {vectors} is absent");
        return;
    };
    let mut bodies = std::collections::BTreeMap::new();
    for folder in folders {
        let path = folder.unwrap().path().join("bundle.sigstore.json");
        let Ok(bundle) = std::fs::read(path).map(|bytes| serde_json::from_slice::<Value>(&bytes)) else {
            continue;
        };
        let entries =
            bundle.ok().and_then(|bundle| bundle.pointer("/verificationMaterial/tlogEntries").cloned());
        for entry in entries.iter().flat_map(|entries| entries.as_array()).flatten() {
            if let Some(body) = entry["canonicalizedBody"].as_str() {
                bodies.insert(body.to_owned(), json!({"body": body, "logIndex": bodies.len()}));
            }
        }
    }
    let page = read("real.json", json!(bodies).to_string().as_bytes()).unwrap();
    let kinds: std::collections::BTreeSet<&str> =
        page.entries.iter().map(|entry| entry.kind.as_str()).collect();
    println!(
        "{} real entries of {kinds:?}, {} unread: {:?}",
        page.entries.len(),
        page.unread.len(),
        page.unread
    );
    assert!(page.entries.len() >= 10 && kinds.contains("dsse") && kinds.contains("hashedrekord"));
    let mut opaque = 0;
    for entry in &page.entries {
        assert!(!entry.signed.is_empty() && !entry.digests.is_empty(), "{entry:?}");
        for Signed { signature, bearer } in &entry.signed {
            opaque += usize::from(bearer.key.is_none());
            assert!(signature.is_some(), "{entry:?}");
            assert!(bearer.key.is_none() || !bearer.is_certificate || !bearer.names.is_empty(), "{entry:?}");
        }
    }
    // Three of the vectors were damaged on purpose: no kind, no content, and a certificate that is not base64.
    assert_eq!((page.unread.len(), opaque), (2, 1), "{:?}", page.unread);
}
