//! Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1`): Ed25519, signature type 0x04.
//!
//! A witness says: "at this time, this was the newest tree of this log that I know of, and it extends all earlier
//! ones that I have cosigned". A key of a witness is of another type than a log's, so that neither can be taken for
//! the other.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::note::{NoteError, SignatureLine, is_key_name};

/// Signature type of a timestamped Ed25519 cosignature.
const COSIGNATURE_TYPE: u8 = 0x04;

/// The verifier key of a witness: `name+hash+base64(0x04 ‖ key)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WitnessKey {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl WitnessKey {
    /// Makes a key.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key);
        }
        let hash = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', COSIGNATURE_TYPE])
            .chain_update(key)
            .finalize();
        let id = [hash[0], hash[1], hash[2], hash[3]];
        Ok(Self { name: name.to_owned(), id, key })
    }

    /// Parses the text form; the hash in it must be right.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let typed = STANDARD.decode(encoded).map_err(|_| NoteError::Key)?;
        let Some((&COSIGNATURE_TYPE, raw)) = typed.split_first() else { return Err(NoteError::Key) };
        let key = Self::new(name, raw.try_into().map_err(|_| NoteError::Key)?)?;
        if key.to_string() == text { Ok(key) } else { Err(NoteError::Key) }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the raw key, by which two keys are the same whatever they are called.
    pub fn raw(&self) -> &[u8; 32] {
        &self.key
    }

    /// Verifies a line if it is this witness's: `None` if it is another's, else the time of the cosignature in
    /// seconds since 1970, or that it is invalid.
    pub(crate) fn verify(&self, text: &str, line: &SignatureLine<'_>) -> Option<Result<u64, NoteError>> {
        if line.name != self.name || line.id != self.id {
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

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[COSIGNATURE_TYPE], &self.key[..]].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), STANDARD.encode(typed))
    }
}

/// A witness's key pair in memory.
pub struct Cosigner {
    pair: Ed25519KeyPair,
    public: WitnessKey,
}

impl Cosigner {
    /// Takes a PKCS#8 document (version 1 or 2).
    pub fn from_pkcs8(name: &str, der: &[u8]) -> Result<Self, NoteError> {
        Self::new(name, Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NoteError::PrivateKey)?)
    }

    /// Takes a 32-byte seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        Self::new(name, Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::PrivateKey)?)
    }

    fn new(name: &str, pair: Ed25519KeyPair) -> Result<Self, NoteError> {
        let key: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| NoteError::PrivateKey)?;
        Ok(Self { public: WitnessKey::new(name, key)?, pair })
    }

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
