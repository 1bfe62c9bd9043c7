//! Log entries: Rekor v2's `hashedrekord` 0.0.2, for every signature that Countersign makes.
//!
//! One kind of entry for all: the digest is that of the DSSE pre-authentication encoding, so standard clients
//! verify our bundles, and the statement itself is found in the vault under the same digest. The log thus holds
//! every signature and no content.

use evidence::{Digest, wire};
use serde::{Deserialize, Serialize};

use crate::Base64;
use crate::key::PublicKey;
use crate::x509::Certificate;

/// A log entry, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Digest of the signed bytes.
    pub statement: Digest,
    /// The signature over them.
    pub signature: Vec<u8>,
    /// Whose signature it is.
    pub credential: Credential,
}

/// By what a signature says whose it is: a bare key, or a certificate for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// A key that who verifies knows.
    Key(PublicKey),
    /// A certificate, for those who know an authority.
    Certificate(Certificate),
}

impl Credential {
    /// Returns the key that made the signature.
    pub fn key(&self) -> &PublicKey {
        match self {
            Self::Key(key) => key,
            Self::Certificate(certificate) => certificate.key(),
        }
    }

    /// Returns the certificate, if there is one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Key(_) => None,
            Self::Certificate(certificate) => Some(certificate),
        }
    }
}

/// Bytes that are not a log entry of ours.
#[derive(Debug, thiserror::Error)]
#[error("not a hashedrekord 0.0.2 entry in canonical form")]
pub struct LeafError;

impl Leaf {
    /// Writes the entry as canonical JSON: the bytes that are hashed into the log.
    pub fn encode(&self) -> Vec<u8> {
        wire::canonical(&Entry {
            api_version: "0.0.2".into(),
            kind: "hashedrekord".into(),
            spec: Spec {
                hashed_rekord_v002: HashedRekord {
                    data: Data {
                        algorithm: "SHA2_256".into(),
                        digest: Base64(self.statement.as_bytes().to_vec()),
                    },
                    signature: Signature {
                        content: Base64(self.signature.clone()),
                        verifier: Verifier::from(&self.credential),
                    },
                },
            },
        })
    }

    /// Reads an entry; only the bytes that [`Leaf::encode`] writes are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let entry: Entry = serde_json::from_slice(bytes).map_err(|_| LeafError)?;
        let rekord = entry.spec.hashed_rekord_v002;
        let digest: [u8; 32] = rekord.data.digest.0.try_into().map_err(|_| LeafError)?;
        let leaf = Self {
            statement: Digest::from_bytes(digest),
            signature: rekord.signature.content.0,
            credential: rekord.signature.verifier.credential()?,
        };
        if leaf.encode() == bytes { Ok(leaf) } else { Err(LeafError) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(rename = "hashedRekordV002")]
    hashed_rekord_v002: HashedRekord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekord {
    data: Data,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    algorithm: String,
    digest: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    content: Base64,
    verifier: Verifier,
}

/// Rekor's `Verifier` message: exactly one of key and certificate.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Verifier {
    key_details: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    public_key: Option<RawKey>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    x509_certificate: Option<RawCertificate>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawKey {
    raw_bytes: PublicKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawCertificate {
    raw_bytes: Certificate,
}

/// The one algorithm that is logged.
const KEY_DETAILS: &str = "PKIX_ECDSA_P256_SHA_256";

impl Verifier {
    /// Takes the one credential.
    pub(crate) fn credential(self) -> Result<Credential, LeafError> {
        match (self.public_key, self.x509_certificate) {
            _ if self.key_details != KEY_DETAILS => Err(LeafError),
            (Some(key), None) => Ok(Credential::Key(key.raw_bytes)),
            (None, Some(certificate)) => Ok(Credential::Certificate(certificate.raw_bytes)),
            _ => Err(LeafError),
        }
    }
}

impl From<&Credential> for Verifier {
    fn from(credential: &Credential) -> Self {
        let (public_key, x509_certificate) = match credential {
            Credential::Key(key) => (Some(RawKey { raw_bytes: key.clone() }), None),
            Credential::Certificate(certificate) => {
                (None, Some(RawCertificate { raw_bytes: certificate.clone() }))
            }
        };
        Self { key_details: KEY_DETAILS.into(), public_key, x509_certificate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Cost, EncryptedKey, Signer};

    #[test]
    fn an_entry_has_one_spelling() {
        let (_, pair) = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap();
        let leaf = Leaf {
            statement: Digest::of(b"s"),
            signature: pair.sign(b"s").unwrap(),
            credential: Credential::Key(pair.public_key().clone()),
        };
        let bytes = leaf.encode();
        assert_eq!(Leaf::decode(&bytes).unwrap(), leaf);
        let text = String::from_utf8(bytes).unwrap();
        for other in
            [text.replace("SHA2_256", "SHA2_512"), text.replace("0.0.2", "0.0.1"), format!("{text} ")]
        {
            assert!(Leaf::decode(other.as_bytes()).is_err());
        }
    }
}
