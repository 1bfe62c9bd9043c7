//! What a verifier trusts: one file, made by `init` and handed to customers.

use evidence::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::key::PublicKey;
use crate::x509::Certificate;
use crate::{clients, from_base64};

/// The `schema` of a trust file.
pub const SCHEMA: &str = "urn:countersign:trust:v1";
/// The longest trust file that is read.
pub const MAX_BYTES: usize = 4 << 20;

/// A vendor's trust file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trust {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Keys whose signature on a verification summary releases an artifact.
    pub release_keys: Vec<TrustedKey>,
    /// Keys of machines that record builds.
    pub builder_keys: Vec<TrustedKey>,
    /// Keys of people who may approve findings. They release nothing.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approver_keys: Vec<ApproverKey>,
    /// The transparency log.
    pub log: TrustedLog,
    /// Artifacts that are no longer vouched for.
    pub revoked: Vec<Revoked>,
    /// From when on this file is too old to say who is trusted; none means never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// Levels and properties that the gate must have found: each stands in the verification summary.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub required_levels: Vec<String>,
    /// Which witnesses must have cosigned the log, as a C2SP tlog-policy; none means that nobody has to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub witness_policy: Option<String>,
    /// Authorities whose certificates standard clients ask for. They let nobody release anything: the key in a certificate must be a
    /// release key besides.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub authorities: Vec<Authority>,
    /// SHA-256 of the canonical form of all the rest, in files for customers: what was damaged on the way is told from what was said.
    /// It says nothing about who wrote the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
}

/// A key and since when it holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedKey {
    /// SubjectPublicKeyInfo in DER, base64.
    pub public_key: PublicKey,
    /// Since when.
    pub since: Timestamp,
    /// From which entry of the log on its signatures count; none means from the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<u64>,
    /// From which entry of the log on its signatures do not count; none means that it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retired: Option<Retired>,
}

/// The end of a key. The place in the log decides, not a clock: who has stolen a key can write any time into a
/// statement, but cannot put it before an entry that witnesses have seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retired {
    /// Entries of the log from this index on do not count.
    pub index: u64,
    /// Why.
    pub reason: String,
}

/// The key of a person who may approve findings. A removed one stays, for what it approved before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApproverKey {
    /// What the person is called.
    pub name: String,
    /// SubjectPublicKeyInfo in DER, base64.
    pub public_key: PublicKey,
    /// Since when.
    pub since: Timestamp,
    /// From when on new approvals by it do not count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub removed: Option<Timestamp>,
}

/// The log, by its C2SP verifier key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedLog {
    /// `origin+hash+key` as in C2SP signed-note.
    pub verifier_key: String,
}

/// An artifact that the vendor took back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoked {
    /// The artifact's digest.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A file that is not a usable trust file.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Too large to be one.
    #[error("the trust file is larger than {MAX_BYTES} bytes")]
    Size,
    /// Not of the expected form.
    #[error("malformed trust file")]
    Form(#[source] serde_json::Error),
    /// Another schema.
    #[error("trust file has schema `{0}` where `{SCHEMA}` was expected")]
    Schema(String),
    /// The witness policy is none.
    #[error("the trust file's witness policy cannot be used")]
    Witnesses(#[source] tlog::PolicyError),
    /// It was changed after it had been written.
    #[error("the trust file is not as it was written: its digest does not fit")]
    Digest,
    /// One key for two purposes.
    #[error("the key {key} is named as {one} and as {other}; a key has one purpose")]
    Shared {
        /// Its short name.
        key: String,
        /// The one purpose.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The log's key is not an Ed25519 verifier key.
    #[error("the trust file's log key is not an Ed25519 verifier key")]
    LogKey,
}

impl Trust {
    /// Reads a trust file. Unknown fields are refused: a file that says more than we understand may say "not".
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > MAX_BYTES {
            return Err(TrustError::Size);
        }
        let trust: Self = serde_json::from_slice(bytes).map_err(TrustError::Form)?;
        if trust.schema != SCHEMA {
            return Err(TrustError::Schema(trust.schema));
        }
        trust.log.ed25519()?;
        trust.witnesses()?;
        trust.separate()?;
        // One that is sealed has one spelling, too.
        if trust.digest.is_some_and(|digest| digest != trust.content_digest() || trust.to_json() != bytes) {
            return Err(TrustError::Digest);
        }
        Ok(trust)
    }

    /// Writes the trust file, indented for people.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a trust file has string keys");
        text.push(b'\n');
        text
    }

    /// Returns the file for customers: with the digest of what it says.
    pub fn sealed(&self) -> Self {
        Self { digest: Some(self.content_digest()), ..self.clone() }
    }

    fn content_digest(&self) -> Digest {
        Digest::of(&evidence::wire::canonical(&Self { digest: None, ..self.clone() }))
    }

    /// A key has one purpose: those who build, sign and approve are never the same.
    fn separate(&self) -> Result<(), TrustError> {
        let (mut seen, mut keys) = (std::collections::BTreeMap::new(), Vec::new());
        keys.extend(self.release_keys.iter().map(|key| (&key.public_key, "release")));
        keys.extend(self.builder_keys.iter().map(|key| (&key.public_key, "builder")));
        keys.extend(self.approver_keys.iter().map(|key| (&key.public_key, "approver")));
        for (key, role) in keys {
            if let Some(other) = seen.insert(key, role).filter(|other| *other != role) {
                return Err(TrustError::Shared { key: key.short(), one: other, other: role });
            }
        }
        Ok(())
    }

    /// Tells whether a key is named for anything.
    pub fn names(&self, key: &PublicKey) -> bool {
        let trusted = self.release_keys.iter().chain(&self.builder_keys).map(|known| &known.public_key);
        trusted.chain(self.approver_keys.iter().map(|known| &known.public_key)).any(|known| known == key)
    }

    /// Tells whether the file is too old to be relied on at a moment.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Reads the witness policy.
    pub fn witnesses(&self) -> Result<Option<tlog::WitnessPolicy>, TrustError> {
        let policy = self.witness_policy.as_deref().map(str::as_bytes).map(tlog::WitnessPolicy::parse);
        policy.transpose().map_err(TrustError::Witnesses)
    }

    /// Finds a release key by the hint that a bundle carries.
    pub fn release_key(&self, hint: &str) -> Option<&TrustedKey> {
        self.release_keys.iter().find(|key| key.public_key.hint() == hint)
    }

    /// Finds a builder key by its hint.
    pub fn builder_key(&self, hint: &str) -> Option<&TrustedKey> {
        self.builder_keys.iter().find(|key| key.public_key.hint() == hint)
    }

    /// Writes the Sigstore trusted root (protobuf-specs `TrustedRoot` v0.1) that names our log, for standard
    /// clients and for our own use of one.
    pub fn sigstore_trusted_root(&self) -> Result<String, TrustError> {
        self.sigstore_trusted_root_at(&format!("https://{}", self.log.origin()))
    }

    /// Writes the same for a log that is served at a URL.
    pub fn sigstore_trusted_root_at(&self, url: &str) -> Result<String, TrustError> {
        clients::trusted_root(&self.log, url, &self.authorities, &[])
    }

    /// Writes the Sigstore signing configuration (protobuf-specs `SigningConfig` v0.2) that leads clients to our log.
    pub fn signing_config(&self, url: &str, since: Timestamp) -> String {
        let stamps = self.authorities.iter().any(|authority| authority.until.is_none());
        clients::signing_config(url, since, stamps)
    }

    /// Finds the authority that has certified something at a moment. In the second in which one follows another there are two.
    pub fn authority_of(&self, certificate: &Certificate, moment: Timestamp) -> Option<&Authority> {
        let mut holding = self.authorities.iter().filter(|authority| authority.holds_at(moment));
        let first = holding.next()?;
        let issued = |authority: &&Authority| authority.root.has_issued(certificate);
        if issued(&first) { Some(first) } else { holding.find(issued).or(Some(first)) }
    }
}

impl TrustedLog {
    /// Returns the log's origin: the name part of its verifier key.
    pub fn origin(&self) -> &str {
        self.verifier_key.split('+').next().unwrap_or(&self.verifier_key)
    }

    /// Returns the full key id by which bundles name the log.
    pub fn key_id(&self) -> Result<[u8; 32], TrustError> {
        Ok(self.ed25519()?.0)
    }

    /// Returns the full key id, SHA-256(origin ‖ 0x0A ‖ 0x01 ‖ key) (C2SP signed-note), and the raw key.
    pub(crate) fn ed25519(&self) -> Result<([u8; 32], [u8; 32]), TrustError> {
        // The verifier key checks itself: its middle part must be the first four bytes of the key id.
        tlog::VerifierKey::parse(&self.verifier_key).map_err(|_| TrustError::LogKey)?;
        let encoded = self.verifier_key.splitn(3, '+').nth(2).ok_or(TrustError::LogKey)?;
        let typed = from_base64(encoded).ok_or(TrustError::LogKey)?;
        let (kind, raw) = typed.split_first().ok_or(TrustError::LogKey)?;
        let raw: [u8; 32] = raw.try_into().map_err(|_| TrustError::LogKey)?;
        if *kind != 0x01 {
            return Err(TrustError::LogKey);
        }
        let mut hasher = evidence::Hasher::new();
        for part in [self.origin().as_bytes(), b"\n\x01", &raw] {
            hasher.update(part);
        }
        Ok((*hasher.finish().as_bytes(), raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Cost, EncryptedKey, Signer};
    use tlog::NoteSigner;

    /// One bit of every byte of a file for customers, flipped alone: none is read.
    #[test]
    fn no_flipped_bit_of_a_sealed_file_is_read() {
        let key = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap().1.public_key().clone();
        let log = tlog::Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap();
        let since = Timestamp::from_unix(1_700_000_000);
        let trust = Trust {
            schema: SCHEMA.into(),
            release_keys: vec![TrustedKey {
                public_key: key,
                since,
                from: Some(12),
                retired: Some(Retired { index: 70, reason: "a text with spaces".into() }),
            }],
            builder_keys: Vec::new(),
            approver_keys: Vec::new(),
            log: TrustedLog { verifier_key: log.verifier_key().to_string() },
            revoked: vec![Revoked { digest: Digest::of(b"x"), reason: "a text".into(), since }],
            expires: Some(since),
            required_levels: vec!["SLSA_BUILD_LEVEL_1".into()],
            witness_policy: None,
            authorities: Vec::new(),
            digest: None,
        };
        let sealed = trust.sealed().to_json();
        assert_eq!(Trust::parse(&sealed).unwrap(), trust.sealed());
        for position in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[position] ^= 1 << bit;
                let read = Trust::parse(&flipped);
                assert!(read.is_err(), "bit {bit} of byte {position}: {}", String::from_utf8_lossy(&flipped));
            }
        }
        for cut in 0..sealed.len() - 1 {
            assert!(Trust::parse(&sealed[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn approvers_are_an_addition() {
        let key = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap().1.public_key().clone();
        let since = Timestamp::from_unix(0);
        let log = tlog::Ed25519Signer::from_seed("log.example", &[7; 32]).unwrap();
        let mut trust = Trust {
            schema: SCHEMA.into(),
            release_keys: Vec::new(),
            builder_keys: Vec::new(),
            approver_keys: Vec::new(),
            log: TrustedLog { verifier_key: log.verifier_key().to_string() },
            revoked: Vec::new(),
            expires: None,
            required_levels: Vec::new(),
            witness_policy: None,
            authorities: Vec::new(),
            digest: None,
        };
        let old = String::from_utf8(trust.to_json()).unwrap();
        assert!(!old.contains("approverKeys"), "a file without approvers is as it always was");
        assert_eq!(Trust::parse(old.as_bytes()).unwrap(), trust);
        trust.approver_keys.push(ApproverKey { name: "anna".into(), public_key: key, since, removed: None });
        let new = String::from_utf8(trust.to_json()).unwrap();
        let read = Trust::parse(new.as_bytes()).unwrap();
        assert_eq!(read, trust);
        assert!(read.release_key(&read.approver_keys[0].public_key.hint()).is_none(), "it releases nothing");
        assert!(Trust::parse(new.replace("\"name\"", "\"nick\"").as_bytes()).is_err());
    }
}
