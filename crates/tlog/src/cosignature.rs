//! Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1`): Ed25519, signature type 0x04.
//!
//! A witness says: "at this time, this was the newest tree of this log that I know of, and it extends all earlier
//! ones that I have cosigned". A key of a witness is of another type than a log's, so that neither can be taken for
//! the other.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::note::{NoteError, PrivateKey, PublicKey, SignatureLine};

/// Signature type of a timestamped Ed25519 cosignature.
const COSIGNATURE_TYPE: u8 = 0x04;

/// The key by which cosignatures of a witness are verified.
pub type WitnessKey = PublicKey<COSIGNATURE_TYPE>;

/// A witness's key pair in memory.
pub type Cosigner = PrivateKey<COSIGNATURE_TYPE>;

impl PublicKey<COSIGNATURE_TYPE> {
    /// Verifies a line if it is this witness's: `None` if it is another's, else the time of the cosignature in
    /// seconds since 1970, or that it is invalid.
    pub(crate) fn verify(&self, text: &str, line: &SignatureLine<'_>) -> Option<Result<u64, NoteError>> {
        if !self.is_named_by(line) {
            return None;
        }
        let invalid = || NoteError::Invalid(self.name.clone());
        let Some((time, signature)) = line.signature.split_first_chunk::<8>() else {
            return Some(Err(invalid()));
        };
        let time = u64::from_be_bytes(*time);
        let verified =
            UnparsedPublicKey::new(&ED25519, &self.key).verify(message(text, time).as_bytes(), signature);
        Some(verified.map(|()| time).map_err(|_| invalid()))
    }
}

impl PrivateKey<COSIGNATURE_TYPE> {
    /// Returns the public half.
    pub fn key(&self) -> &WitnessKey {
        &self.public
    }

    /// Signs the text of a checkpoint at a time in seconds since 1970; returns the signature line with its newline.
    pub fn cosign(&self, text: &str, time: u64) -> String {
        let signature = self.pair.sign(message(text, time).as_bytes());
        let bytes = [&self.public.id[..], &time.to_be_bytes(), signature.as_ref()].concat();
        format!("— {} {}\n", self.public.name, STANDARD.encode(bytes))
    }
}

fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
