//! Signed notes (C2SP signed-note) and their Ed25519 keys. A key is of one signature type, so that one of a witness is never
//! taken for that of a log.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A longer note is not read.
const NOTE_MAX_BYTES: usize = 1 << 20;
/// A note with more signature lines is not read.
const SIGNATURES_MAX: usize = 100;
/// Signature type of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;

/// Why a note or a key was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// Not a verifier key.
    #[error("malformed verifier key")]
    Key,
    /// Not a private key.
    #[error("not an Ed25519 private key in PKCS#8")]
    PrivateKey,
    /// No signature by the key.
    #[error("the note is not signed by `{0}`")]
    Unsigned(String),
    /// A signature that names the key, and is not its.
    #[error("the signature by `{0}` is invalid")]
    Invalid(String),
}

/// Something that signs notes.
pub trait NoteSigner {
    /// Returns the verifier key.
    fn verifier_key(&self) -> &VerifierKey;

    /// Signs the text of a note.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, NoteError>;
}

/// A public Ed25519 key for one type of signature: `name+hash+base64(TYPE ‖ key)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey<const TYPE: u8> {
    pub(crate) name: String,
    pub(crate) id: [u8; 4],
    pub(crate) key: [u8; 32],
}

/// The key by which the notes of a log are verified.
pub type VerifierKey = PublicKey<ED25519_TYPE>;

impl<const TYPE: u8> PublicKey<TYPE> {
    /// Makes a key.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key);
        }
        let mut id = [0; 4];
        let hash = Sha256::new().chain_update(name).chain_update([b'\n', TYPE]).chain_update(key).finalize();
        id.copy_from_slice(&hash[..4]);
        Ok(Self { name: name.to_owned(), id, key })
    }

    /// Parses the text form; the hash in it must be right.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let typed = STANDARD.decode(encoded).map_err(|_| NoteError::Key)?;
        let raw = typed.strip_prefix(&[TYPE]).ok_or(NoteError::Key)?;
        let key = Self::new(name, raw.try_into().map_err(|_| NoteError::Key)?)?;
        if key.to_string() == text { Ok(key) } else { Err(NoteError::Key) }
    }

    /// Returns the name: for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the raw key, by which two keys are the same whatever they are called.
    pub fn raw(&self) -> &[u8; 32] {
        &self.key
    }

    /// Tells whether a signature line names this key.
    pub(crate) fn is_named_by(&self, line: &SignatureLine<'_>) -> bool {
        line.name == self.name && line.id == self.id
    }
}

/// Tells whether a text can be the name of a key.
fn is_key_name(name: &str) -> bool {
    let unfit = |character: char| character.is_whitespace() || character == '+' || character.is_control();
    !name.is_empty() && name.len() <= 255 && !name.chars().any(unfit)
}

impl<const TYPE: u8> fmt::Display for PublicKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[TYPE], &self.key[..]].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), STANDARD.encode(typed))
    }
}

/// A key pair in memory, for one type of signature.
pub struct PrivateKey<const TYPE: u8> {
    pub(crate) pair: Ed25519KeyPair,
    pub(crate) public: PublicKey<TYPE>,
}

/// An Ed25519 key that signs notes.
pub type Ed25519Signer = PrivateKey<ED25519_TYPE>;

impl<const TYPE: u8> PrivateKey<TYPE> {
    /// Takes a PKCS#8 document (version 1 or 2).
    pub fn from_pkcs8(name: &str, der: &[u8]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NoteError::PrivateKey)?;
        Self::new(name, pair)
    }

    /// Takes a 32-byte seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        Self::new(name, Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::PrivateKey)?)
    }

    fn new(name: &str, pair: Ed25519KeyPair) -> Result<Self, NoteError> {
        let key: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| NoteError::PrivateKey)?;
        Ok(Self { public: PublicKey::new(name, key)?, pair })
    }
}

impl NoteSigner for Ed25519Signer {
    fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, NoteError> {
        Ok(self.pair.sign(text).as_ref().to_vec())
    }
}

/// Signs a text, which must end in a newline.
pub(crate) fn sign(text: &str, signer: &dyn NoteSigner) -> Result<String, NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end in a newline"));
    }
    let key = signer.verifier_key();
    let signature = [&key.id[..], &signer.sign(text.as_bytes())?].concat();
    Ok(format!("{text}\n— {} {}\n", key.name, STANDARD.encode(signature)))
}

/// A line of a note's signature block, read but not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SignatureLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: [u8; 4],
    pub(crate) signature: Vec<u8>,
}

/// Reads a note into its text and its signature lines; nothing is verified.
pub(crate) fn read(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>), NoteError> {
    if note.len() > NOTE_MAX_BYTES {
        return Err(NoteError::Malformed("too long"));
    }
    if note.chars().any(|character| character != '\n' && character.is_ascii_control()) {
        return Err(NoteError::Malformed("control character"));
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed("no signatures"))?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    if !signatures.ends_with('\n') {
        return Err(NoteError::Malformed("a signature line without end"));
    }
    let lines: Vec<SignatureLine<'_>> = signatures.lines().map(line).collect::<Result<_, _>>()?;
    if lines.is_empty() || lines.len() > SIGNATURES_MAX {
        return Err(NoteError::Malformed("the number of signatures"));
    }
    Ok((text, lines))
}

/// Reads one signature line, without its newline.
pub(crate) fn line(line: &str) -> Result<SignatureLine<'_>, NoteError> {
    let (name, encoded) = line
        .strip_prefix("— ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or(NoteError::Malformed("a signature line"))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed("base64 of a signature"))?;
    let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed("a short signature"))?;
    Ok(SignatureLine { name, id: *id, signature: signature.to_vec() })
}

/// Verifies that a note carries a valid signature by `key`; returns its text. Signatures by other keys are
/// ignored, as the specification wants it.
pub(crate) fn open<'a>(note: &'a str, key: &VerifierKey) -> Result<&'a str, NoteError> {
    let (text, lines) = read(note)?;
    let mut valid = false;
    for line in lines.iter().filter(|line| key.is_named_by(line)) {
        UnparsedPublicKey::new(&ED25519, &key.key)
            .verify(text.as_bytes(), &line.signature)
            .map_err(|_| NoteError::Invalid(key.name.clone()))?;
        valid = true;
    }
    if valid { Ok(text) } else { Err(NoteError::Unsigned(key.name.clone())) }
}
