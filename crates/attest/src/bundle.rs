//! Sigstore bundles, version 0.3 (protobuf-specs `sigstore_bundle.proto`), in the one form that we write: a
//! DSSE envelope, a public-key hint or a certificate with one timestamp, one log entry with inclusion proof and checkpoint.
//!
//! A bundle has exactly one spelling. Fields that repeat what is proven elsewhere (tree size, root hash, log
//! index of the proof) are compared with what they repeat, so no byte of a bundle is free to change.

use evidence::wire::{self, ParseError};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::key::PublicKey;
use crate::leaf::{Credential, Leaf};
use crate::timestamp;
use crate::x509::Certificate;
use crate::{Base64, from_base64};

/// Media type of a Sigstore bundle v0.3.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The longest bundle that is read. A provenance statement with thousands of inputs fits.
pub const MAX_BYTES: usize = 16 << 20;

/// A bundle, read but not verified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: DsseEnvelope,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerificationMaterial {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    public_key: Option<KeyHint>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    certificate: Option<RawCertificate>,
    tlog_entries: [LogEntry; 1],
    #[serde(skip_serializing_if = "Option::is_none", default)]
    timestamp_verification_data: Option<TimestampData>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawCertificate {
    raw_bytes: Certificate,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimestampData {
    rfc3161_timestamps: [SignedTimestamp; 1],
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignedTimestamp {
    signed_timestamp: Base64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyHint {
    hint: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogEntry {
    log_index: String,
    log_id: LogId,
    kind_version: KindVersion,
    inclusion_proof: InclusionProof,
    canonicalized_body: Base64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogId {
    key_id: Base64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KindVersion {
    kind: String,
    version: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InclusionProof {
    log_index: String,
    root_hash: Base64,
    tree_size: String,
    hashes: Vec<Base64>,
    checkpoint: CheckpointEnvelope,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointEnvelope {
    envelope: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DsseEnvelope {
    payload: Base64,
    payload_type: String,
    signatures: [DsseSignature; 1],
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DsseSignature {
    sig: Base64,
    keyid: String,
}

/// Where a statement stands in the log: what the log hands out after an append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inclusion {
    /// Index of the entry.
    pub index: u64,
    /// Size of the tree for which the proof holds.
    pub size: u64,
    /// Its root hash.
    pub root: [u8; 32],
    /// The proof, leaf to root.
    pub hashes: Vec<[u8; 32]>,
    /// The signed checkpoint (C2SP tlog-checkpoint).
    pub checkpoint: String,
}

impl Bundle {
    /// Assembles a bundle. `timestamp` is a response of a timestamp authority over the signature, for one by a certificate.
    pub fn new(
        envelope: &Envelope,
        inclusion: &Inclusion,
        log_key_id: [u8; 32],
        timestamp: Option<&[u8]>,
    ) -> Self {
        let (public_key, certificate) = match &envelope.credential {
            Credential::Key(key) => (Some(KeyHint { hint: key.hint() }), None),
            Credential::Certificate(certificate) => {
                (None, Some(RawCertificate { raw_bytes: certificate.clone() }))
            }
        };
        let timestamp_verification_data = timestamp.map(|response| TimestampData {
            rfc3161_timestamps: [SignedTimestamp { signed_timestamp: Base64(response.to_vec()) }],
        });
        Self {
            media_type: MEDIA_TYPE.into(),
            verification_material: VerificationMaterial {
                public_key,
                certificate,
                timestamp_verification_data,
                tlog_entries: [LogEntry::new(&envelope.leaf(), inclusion, log_key_id)],
            },
            dsse_envelope: DsseEnvelope {
                payload: Base64(envelope.payload.clone()),
                payload_type: evidence::statement::PAYLOAD_TYPE.into(),
                signatures: [DsseSignature { sig: Base64(envelope.signature.clone()), keyid: String::new() }],
            },
        }
    }

    /// Writes the bundle as canonical JSON.
    pub fn encode(&self) -> Vec<u8> {
        wire::canonical(self)
    }

    /// Reads a bundle in exactly the form that [`Bundle::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParseError> {
        wire::from_canonical(bytes)
    }

    /// Returns the hint that names the signing key: as carried, or that of the certificate's key.
    pub fn key_hint(&self) -> String {
        let material = &self.verification_material;
        match (&material.public_key, &material.certificate) {
            (_, Some(certificate)) => certificate.raw_bytes.key().hint(),
            (Some(key), None) => key.hint.clone(),
            (None, None) => String::new(),
        }
    }

    /// Returns the certificate, if it has one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.verification_material.certificate.as_ref().map(|certificate| &certificate.raw_bytes)
    }

    /// Returns the response of the timestamp authority, if it has one.
    pub fn timestamp(&self) -> Option<&[u8]> {
        let data = self.verification_material.timestamp_verification_data.as_ref()?;
        Some(&data.rfc3161_timestamps[0].signed_timestamp.0)
    }

    /// Returns the envelope as if made by `key` or by the certificate that it carries; whether it was is for the verifier to find
    /// out.
    pub fn envelope(&self, key: &PublicKey) -> Envelope {
        Envelope {
            payload: self.dsse_envelope.payload.0.clone(),
            signature: self.dsse_envelope.signatures[0].sig.0.clone(),
            credential: match self.certificate() {
                Some(certificate) => Credential::Certificate(certificate.clone()),
                None => Credential::Key(key.clone()),
            },
        }
    }

    /// Returns the log entry's bytes as carried in the bundle.
    pub fn body(&self) -> &[u8] {
        &self.entry().canonicalized_body.0
    }

    /// Returns the log entry, if it is one of ours.
    pub fn leaf(&self) -> Option<Leaf> {
        Leaf::decode(self.body()).ok()
    }

    /// Returns the full key id of the log as carried in the bundle.
    pub fn log_key_id(&self) -> &[u8] {
        &self.entry().log_id.key_id.0
    }

    /// Returns the claimed place in the log, if all repeated fields agree and have the right sizes.
    pub fn inclusion(&self) -> Option<Inclusion> {
        let entry = self.entry();
        let proof = &entry.inclusion_proof;
        let kind = &entry.kind_version;
        if proof.log_index != entry.log_index || kind.kind != "hashedrekord" || kind.version != "0.0.2" {
            return None;
        }
        Some(Inclusion {
            index: number(&proof.log_index)?,
            size: number(&proof.tree_size)?,
            root: proof.root_hash.0.as_slice().try_into().ok()?,
            hashes: proof
                .hashes
                .iter()
                .map(|hash| hash.0.as_slice().try_into().ok())
                .collect::<Option<_>>()?,
            checkpoint: proof.checkpoint.envelope.clone(),
        })
    }

    /// Tells whether the fixed fields have their fixed values: a key and nothing else, or a certificate and a timestamp in its one
    /// form.
    pub(crate) fn has_fixed_fields(&self) -> bool {
        let material = &self.verification_material;
        let credential = match (&material.public_key, &material.certificate, self.timestamp()) {
            (Some(_), None, None) => true,
            (None, Some(_), Some(response)) => timestamp::is_canonical(response),
            _ => false,
        };
        credential
            && self.media_type == MEDIA_TYPE
            && self.dsse_envelope.payload_type == evidence::statement::PAYLOAD_TYPE
            && self.dsse_envelope.signatures[0].keyid.is_empty()
    }

    fn entry(&self) -> &LogEntry {
        &self.verification_material.tlog_entries[0]
    }
}

impl LogEntry {
    fn new(leaf: &Leaf, inclusion: &Inclusion, log_key_id: [u8; 32]) -> Self {
        Self {
            log_index: inclusion.index.to_string(),
            log_id: LogId { key_id: Base64(log_key_id.to_vec()) },
            kind_version: KindVersion { kind: "hashedrekord".into(), version: "0.0.2".into() },
            inclusion_proof: InclusionProof {
                log_index: inclusion.index.to_string(),
                root_hash: Base64(inclusion.root.to_vec()),
                tree_size: inclusion.size.to_string(),
                hashes: inclusion.hashes.iter().map(|hash| Base64(hash.to_vec())).collect(),
                checkpoint: CheckpointEnvelope { envelope: inclusion.checkpoint.clone() },
            },
            canonicalized_body: Base64(leaf.encode()),
        }
    }
}

/// Writes a Rekor `TransparencyLogEntry`: what the log answers to who adds an entry.
pub fn log_entry(leaf: &Leaf, inclusion: &Inclusion, log_key_id: [u8; 32]) -> Vec<u8> {
    wire::canonical(&LogEntry::new(leaf, inclusion, log_key_id))
}

/// Reads a Rekor `TransparencyLogEntry` that a log answered: the entry's bytes, and its place. Nothing of it is believed yet; fields
/// that we do not need are let be, for other logs write more than ours.
pub fn read_log_entry(bytes: &[u8]) -> Option<(Vec<u8>, Inclusion)> {
    let answer: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |pointer: &str| answer.pointer(pointer)?.as_str();
    let raw = |pointer: &str| from_base64(text(pointer)?);
    let hashes = answer.pointer("/inclusionProof/hashes").and_then(serde_json::Value::as_array);
    let hashes = hashes.map_or(&[][..], Vec::as_slice).iter();
    let inclusion = Inclusion {
        // Protobuf's JSON leaves a zero out.
        index: number(text("/inclusionProof/logIndex").unwrap_or("0"))?,
        size: number(text("/inclusionProof/treeSize")?)?,
        root: raw("/inclusionProof/rootHash")?.try_into().ok()?,
        hashes: hashes.map(|hash| from_base64(hash.as_str()?)?.try_into().ok()).collect::<Option<_>>()?,
        checkpoint: text("/inclusionProof/checkpoint/envelope")?.to_owned(),
    };
    Some((raw("/canonicalizedBody")?, inclusion))
}

impl From<&tlog::InclusionProof> for Inclusion {
    fn from(proof: &tlog::InclusionProof) -> Self {
        Self {
            index: proof.index,
            size: proof.size,
            root: *proof.root.as_bytes(),
            hashes: proof.hashes.iter().map(|hash| *hash.as_bytes()).collect(),
            checkpoint: proof.checkpoint.clone(),
        }
    }
}

/// Reads a decimal number with one spelling.
fn number(text: &str) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (value.to_string() == text && i64::try_from(value).is_ok()).then_some(value)
}
