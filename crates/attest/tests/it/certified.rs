//! Releases by certificates: made by our authority, checked by our verifier and by openssl.

use std::process::Command;

use attest::authority::{AuthorityKeys, Claims, create};
use attest::key::Cost;
use attest::timestamp::{Request, RequestError, Stamper, is_canonical, refusal};
use attest::verify::release;
use attest::{Authority, Bundle, Certificate, EncryptedKey, Envelope, Inclusion, KeyPair, Rejection, Signer};
use evidence::statement::{ResourceDescriptor, Statement};
use evidence::{Digest, Timestamp};
use tlog::{Log, MemoryHead, MemoryTiles};

use crate::release::{ARTIFACT, Vendor, summary, vendor};

const NOW: i64 = 1_700_000_000;

pub(crate) struct Keys {
    root: KeyPair,
    timestamps: KeyPair,
    certificate_log: KeyPair,
}

impl Keys {
    fn new() -> Self {
        let key = || EncryptedKey::generate_p256(b"a test", Cost::Machine).unwrap().1;
        Self { root: key(), timestamps: key(), certificate_log: key() }
    }

    fn parts(&self) -> AuthorityKeys<'_> {
        AuthorityKeys {
            root: &self.root,
            timestamps: &self.timestamps,
            certificate_log: &self.certificate_log,
        }
    }
}

fn authority(keys: &Keys, now: i64) -> Authority {
    let claims = Claims {
        identity: "https://vendor.example/releases",
        issuer: "https://vendor.example",
        source_repository: Some("https://git.example/vendor/demo"),
    };
    create(
        &keys.parts(),
        &claims,
        "Vendor, \"quoted\" + Söhne",
        Timestamp::from_unix(now),
        [[0xff; 16], [2; 16]],
    )
    .unwrap()
}

fn stamp(authority: &Authority, keys: &Keys, message: &[u8], now: i64) -> Vec<u8> {
    let stamper =
        Stamper { signer: &keys.timestamps, certificate: &authority.timestamps, root: &authority.root };
    stamper.respond(&Request::of(Digest::of(message)), Timestamp::from_unix(now), [9; 16]).unwrap()
}

/// A release whose certificate was made at one moment and whose timestamp at another.
fn certified(vendor: &Vendor, authority: &Authority, keys: &Keys, made: i64, stamped: i64) -> Vec<u8> {
    let statement =
        Statement::new(vec![ResourceDescriptor::named("a", &Digest::of(ARTIFACT))], &summary("PASSED"));
    let key = vendor.release.public_key();
    let certificate = authority.certify(&keys.parts(), key, Timestamp::from_unix(made), [7; 16]).unwrap();
    let envelope = Envelope::sign(&statement, &vendor.release).unwrap().certified(certificate).unwrap();
    let (tiles, head) = (MemoryTiles::default(), MemoryHead::default());
    let mut log = Log::create(&tiles, &head, &vendor.log_key).unwrap();
    log.append(&[b"one".to_vec(), envelope.leaf().encode(), b"three".to_vec()], &vendor.log_key).unwrap();
    let inclusion = Inclusion::from(&log.inclusion_proof(1).unwrap());
    let timestamp = stamp(authority, keys, &envelope.signature, stamped);
    Bundle::new(&envelope, &inclusion, vendor.trust.log.key_id().unwrap(), Some(&timestamp)).encode()
}

fn with_authority() -> (Vendor, Keys, Authority) {
    let (mut vendor, keys) = (vendor(), Keys::new());
    let authority = authority(&keys, NOW - 1000);
    vendor.trust.authorities.push(authority.clone());
    (vendor, keys, authority)
}

#[test]
fn a_certified_release_is_verified() {
    let (vendor, keys, authority) = with_authority();
    let bundle = certified(&vendor, &authority, &keys, NOW, NOW + 1);
    let verified = release(&Digest::of(ARTIFACT), &bundle, &vendor.trust).unwrap();
    let certified = verified.verified().certified().unwrap();
    assert_eq!(certified.identity, "https://vendor.example/releases");
    assert_eq!(certified.issuer, "https://vendor.example");
    assert_eq!(certified.time, Timestamp::from_unix(NOW + 1));
}

/// Seconds are the unit of timestamps: what was certified in the second in which another authority followed is not lost.
#[test]
fn in_the_second_of_a_change_both_authorities_count() {
    let (mut vendor, keys, first) = with_authority();
    let other = Keys::new();
    let second = Authority { identity: "urn:vendor:2".into(), ..authority(&other, NOW) };
    vendor.trust.authorities[0].until = Some(Timestamp::from_unix(NOW));
    vendor.trust.authorities.push(second.clone());
    let identity = |bundle: &[u8]| {
        let verified = release(&Digest::of(ARTIFACT), bundle, &vendor.trust);
        verified.map(|verified| verified.verified().certified().unwrap().identity.clone())
    };
    let by_first = certified(&vendor, &first, &keys, NOW, NOW);
    assert_eq!(identity(&by_first).unwrap(), "https://vendor.example/releases");
    let by_second = certified(&vendor, &second, &other, NOW, NOW);
    assert_eq!(identity(&by_second).unwrap(), "urn:vendor:2");
    let late = certified(&vendor, &first, &keys, NOW, NOW + 1);
    assert!(identity(&late).is_err());
}

/// A bit of every byte of a whole bundle, flipped alone: none is believed. Certificate and timestamp are in it.
#[test]
fn no_flipped_bit_of_a_certified_bundle_is_believed() {
    let (vendor, keys, authority) = with_authority();
    let bundle = certified(&vendor, &authority, &keys, NOW, NOW + 1);
    for position in 0..bundle.len() {
        let mut flipped = bundle.clone();
        flipped[position] ^= 1 << (position % 8);
        let result = release(&Digest::of(ARTIFACT), &flipped, &vendor.trust);
        assert!(result.is_err(), "byte {position}: {}", String::from_utf8_lossy(&flipped));
    }
}

fn code(result: Result<attest::VerifiedRelease, Rejection>) -> &'static str {
    result.map(|_| "verified").unwrap_or_else(|rejection| rejection.code())
}

#[test]
fn certificates_that_do_not_hold_are_refused() {
    let (vendor, keys, authority) = with_authority();
    let check = |bundle: &[u8], trust: &attest::Trust| code(release(&Digest::of(ARTIFACT), bundle, trust));
    let good = certified(&vendor, &authority, &keys, NOW, NOW + 600);
    assert_eq!(check(&good, &vendor.trust), "verified");
    // Used when it had expired, and before it was made.
    let expired = certified(&vendor, &authority, &keys, NOW, NOW + 601);
    assert_eq!(check(&expired, &vendor.trust), "certificate-invalid");
    let early = certified(&vendor, &authority, &keys, NOW, NOW - 1);
    assert_eq!(check(&early, &vendor.trust), "certificate-invalid");
    // The authority was ended before; and it is none that is known.
    let mut trust = vendor.trust.clone();
    trust.authorities[0].until = Some(Timestamp::from_unix(NOW));
    assert_eq!(check(&good, &trust), "certificate-invalid");
    trust.authorities.clear();
    assert_eq!(check(&good, &trust), "certificate-invalid");
    // Another authority that calls itself the same.
    let others = Keys::new();
    let other = self::authority(&others, NOW - 1000);
    let impostor = certified(&vendor, &other, &others, NOW, NOW + 1);
    assert_eq!(check(&impostor, &vendor.trust), "certificate-invalid");
    // Certified by ours, stamped by the other.
    let mut mixed = vendor.trust.clone();
    mixed.authorities[0].timestamps = other.timestamps.clone();
    assert_eq!(check(&good, &mixed), "certificate-invalid");
    let mut mixed = vendor.trust.clone();
    mixed.authorities[0].certificate_log = other.certificate_log.clone();
    assert_eq!(check(&good, &mixed), "certificate-invalid", "no promise by the log that is trusted");
    // Another identity.
    let mut renamed = vendor.trust.clone();
    renamed.authorities[0].identity = "https://vendor.example/other".into();
    assert_eq!(check(&good, &renamed), "certificate-invalid");
    // A certificate of ours lets nobody release: the key must be a release key.
    let mut without = vendor.trust.clone();
    without.release_keys.clear();
    assert_eq!(check(&good, &without), "release-key-unknown");
    let retired = attest::trust::Retired { index: 1, reason: "stolen".into() };
    let mut ended = vendor.trust.clone();
    ended.release_keys[0].retired = Some(retired);
    assert_eq!(check(&good, &ended), "key-retired");
}

#[test]
fn a_clock_that_is_wrong_by_years_certifies_and_stamps_nothing() {
    let (vendor, keys, authority) = with_authority();
    let stamper =
        Stamper { signer: &keys.timestamps, certificate: &authority.timestamps, root: &authority.root };
    for now in [0, NOW - 20 * 31_557_600, NOW + 20 * 31_557_600, i64::MAX, -1] {
        let now = Timestamp::from_unix(now);
        let key = vendor.release.public_key();
        assert!(authority.certify(&keys.parts(), key, now, [1; 16]).is_err(), "{now}");
        assert!(stamper.respond(&Request::of(Digest::of(b"x")), now, [1; 16]).is_err(), "{now}");
    }
}

#[test]
fn openssl_verifies_chain_and_timestamp() {
    let (vendor, keys, authority) = with_authority();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| Command::new("openssl").args(arguments).output().unwrap();
    let key = vendor.release.public_key();
    let leaf = authority.certify(&keys.parts(), key, Timestamp::from_unix(NOW), [7; 16]).unwrap();
    std::fs::write(at("root.pem"), authority.root.pem()).unwrap();
    std::fs::write(at("leaf.pem"), leaf.pem()).unwrap();
    std::fs::write(at("tsa.pem"), authority.timestamps.pem()).unwrap();
    let time = NOW.to_string();
    let (root, leaf, tsa) = (at("root.pem"), at("leaf.pem"), at("tsa.pem"));
    let chain = openssl(&["verify", "-x509_strict", "-attime", &time, "-CAfile", &root, &leaf, &tsa]);
    assert!(chain.status.success(), "{}", String::from_utf8_lossy(&chain.stderr));
    std::fs::write(at("message"), b"a signature").unwrap();
    // A request as openssl writes it, with a nonce and a wish for certificates.
    let (message, query) = (at("message"), at("query"));
    assert!(
        openssl(&["ts", "-query", "-data", &message, "-sha256", "-cert", "-out", &query]).status.success()
    );
    let request = Request::read(&std::fs::read(&query).unwrap()).unwrap();
    let stamper =
        Stamper { signer: &keys.timestamps, certificate: &authority.timestamps, root: &authority.root };
    let response = stamper.respond(&request, Timestamp::from_unix(NOW), [9; 16]).unwrap();
    let reply = at("reply");
    let verify = |response: &[u8]| {
        std::fs::write(&reply, response).unwrap();
        let words =
            ["ts", "-verify", "-queryfile", &query, "-in", &reply, "-CAfile", &root, "-attime", &time];
        openssl(&words)
    };
    let verified = verify(&response);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let mut changed = response.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(!verify(&changed).status.success());
    assert!(!is_canonical(&response), "with certificates it is for others");
    // Without nonce and certificates, as it is in bundles.
    let plain = stamp(&authority, &keys, b"a signature", NOW);
    assert!(is_canonical(&plain));
    std::fs::write(&reply, &plain).unwrap();
    let words = [
        "ts",
        "-verify",
        "-data",
        &message,
        "-in",
        &reply,
        "-CAfile",
        &root,
        "-untrusted",
        &tsa,
        "-attime",
        &time,
    ];
    let verified = openssl(&words);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    // Another hash is refused in words that openssl understands.
    let sha512 = at("sha512");
    assert!(openssl(&["ts", "-query", "-data", &message, "-sha512", "-out", &sha512]).status.success());
    let error = Request::read(&std::fs::read(&sha512).unwrap()).unwrap_err();
    assert_eq!(error, RequestError::Algorithm);
    std::fs::write(&reply, refusal(error).unwrap()).unwrap();
    let shown = openssl(&["ts", "-reply", "-in", &reply, "-text"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Rejected") && shown.contains("unrecognized or unsupported algorithm"), "{shown}");
}

/// Requests and certificates come from anybody: every cut and every flipped bit is answered, none panics.
#[test]
fn hostile_bytes_are_refused_quietly() {
    let (_, keys, authority) = with_authority();
    let response = stamp(&authority, &keys, b"x", NOW);
    for position in 0..response.len() {
        assert!(!is_canonical(&response[..position]));
        let mut flipped = response.clone();
        flipped[position] ^= 1 << (position % 8);
        // Canonical or not: only that it is answered counts here; the verifier's test refuses all of them.
        is_canonical(&flipped);
    }
    let der = authority.root.der();
    for position in 0..der.len() {
        assert!(Certificate::from_der(&der[..position]).is_err());
        let mut flipped = der.to_vec();
        flipped[position] ^= 1 << (position % 8);
        if let Ok(read) = Certificate::from_der(&flipped) {
            assert_eq!(read.der(), flipped, "what is read has one spelling");
        }
    }
    assert!(Certificate::from_der(&[der, b"\0"].concat()).is_err());
    assert!(Certificate::from_der(&vec![0x30; 1 << 20]).is_err());
    assert_eq!(Request::read(&vec![0x30; 1 << 20]), Err(RequestError::Format));
    assert_eq!(Request::read(b""), Err(RequestError::Format));
}
