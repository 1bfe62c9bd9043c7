//! What standard Sigstore clients are told of a log and its authorities: `trusted_root.json`, `signing_config.v0.2.json`, and both in
//! one `client_trust_config.json` (sigstore/protobuf-specs). Nothing is secret in them, and nothing is decided here.

use evidence::{Digest, Timestamp};
use serde_json::{Value, json};

use crate::Base64;
use crate::authority::{Authority, TimestampAuthority};
use crate::trust::{TrustError, TrustedLog};
use crate::x509::Certificate;

/// Where below a log's address timestamps are made.
const TIMESTAMPS: &str = "/api/v1/timestamp";

/// Writes the trusted root (protobuf-specs `TrustedRoot` v0.1) of a log that is served at a URL, with authorities for certificates
/// and others for timestamps alone.
pub fn trusted_root(
    log: &TrustedLog,
    url: &str,
    authorities: &[Authority],
    timestamps: &[TimestampAuthority],
) -> Result<String, TrustError> {
    let (id, raw) = log.ed25519()?;
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4).
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend_from_slice(&raw);
    let organisation = log.origin();
    let authority = |common: &str, at: &str, certificates: &[&Certificate], valid: &Value| {
        let chain: Vec<Value> = certificates.iter().map(|one| json!({ "rawBytes": one })).collect();
        json!({
            "subject": {"organization": organisation, "commonName": common}, "uri": format!("{url}{at}"),
            "certChain": {"certificates": chain}, "validFor": valid,
        })
    };
    let window = |authority: &Authority| match authority.until {
        Some(until) => json!({"start": authority.since, "end": until}),
        None => json!({"start": authority.since}),
    };
    let certificate_authorities: Vec<Value> =
        authorities.iter().map(|one| authority("countersign root", "", &[&one.root], &window(one))).collect();
    let stamps = |root, certificate, valid: &Value| {
        authority("countersign timestamp authority", TIMESTAMPS, &[certificate, root], valid)
    };
    let timestamp_authorities: Vec<Value> = authorities
        .iter()
        .map(|one| stamps(&one.root, &one.timestamps, &window(one)))
        .chain(timestamps.iter().map(|one| {
            let valid = json!({"start": one.certificate.valid().0});
            stamps(&one.root, &one.certificate, &valid)
        }))
        .collect();
    let certificate_logs: Vec<Value> = authorities
        .iter()
        .map(|one| {
            let key = &one.certificate_log;
            json!({
                "baseUrl": url, "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": key, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": window(one),
                },
                // RFC 6962, section 3.2: the hash of the key.
                "logId": {"keyId": Base64(Digest::of(key.der()).as_bytes().to_vec())},
            })
        })
        .collect();
    let root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": Base64(spki), "keyDetails": "PKIX_ED25519",
                "validFor": {"start": "1970-01-01T00:00:00Z"},
            },
            "logId": {"keyId": Base64(id.to_vec())},
        }],
        "certificateAuthorities": certificate_authorities,
        "ctlogs": certificate_logs,
        "timestampAuthorities": timestamp_authorities,
    });
    Ok(root.to_string())
}

/// Writes the signing configuration (protobuf-specs `SigningConfig` v0.2) that leads clients to a log, and to its timestamps if it
/// makes some.
pub fn signing_config(url: &str, since: Timestamp, stamps: bool) -> String {
    let service = |url: &str, version: u32| {
        json!({
            "url": url, "majorApiVersion": version, "validFor": {"start": since}, "operator": "countersign",
        })
    };
    let timestamps: Vec<Value> =
        stamps.then(|| service(&format!("{url}{TIMESTAMPS}"), 1)).into_iter().collect();
    let config = json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [], "oidcUrls": [], "rekorTlogUrls": [service(url, 2)], "rekorTlogConfig": {"selector": "ANY"},
        "tsaUrls": timestamps, "tsaConfig": {"selector": "ANY"},
    });
    config.to_string()
}

/// Puts trusted root and signing configuration into one document (protobuf-specs `ClientTrustConfig` v0.1).
pub fn client_trust_config(root: &str, config: &str) -> Result<String, serde_json::Error> {
    let both = json!({
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": serde_json::from_str::<Value>(root)?,
        "signingConfig": serde_json::from_str::<Value>(config)?,
    });
    Ok(both.to_string())
}
