//! Signatures over evidence: keys and signers, DSSE envelopes, log entries, Sigstore bundles, and the verifier
//! that a customer runs offline.
//!
//! Verification needs only this crate and those below it, never the network, and returns types that nobody
//! else can make ([`Verified`]). Reading files, clocks and passphrases is the caller's.

pub mod authority;
pub mod bundle;
pub mod clients;
pub mod envelope;
pub mod exported;
pub mod foreign;
pub mod key;
pub mod leaf;
pub mod passphrase;
pub mod rekor;
pub mod timestamp;
pub mod trust;
pub mod verify;
pub mod x509;

pub use authority::Authority;
pub use bundle::{Bundle, Inclusion};
pub use envelope::Envelope;
pub use key::{EncryptedKey, KeyError, KeyPair, PublicKey, Signer};
pub use leaf::{Credential, Leaf};
pub use passphrase::Passphrase;
pub use trust::Trust;
pub use verify::{Rejection, Verified, VerifiedRelease};
pub use x509::Certificate;

use base64::Engine as _;

/// Encodes as standard base64 with padding (RFC 4648, section 4).
fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Decodes standard base64; only the one canonical spelling is accepted.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (to_base64(&bytes) == text).then_some(bytes)
}

/// Encodes as base64url without padding (RFC 4648, section 5), as JSON Web Keys have it.
pub fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

/// Bytes that are written as base64 in JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base64(pub Vec<u8>);

impl serde::Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.0))
    }
}

impl<'de> serde::Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        from_base64(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not canonical base64"))
    }
}
