//! Keys: ECDSA P-256 with SHA-256 for statements, Ed25519 for the log's checkpoints; encrypted at rest.
//!
//! P-256 because Authenticode, PKCS#11, the cloud KMS and Rekor v2 all have it, and Rekor v2 refuses pure
//! Ed25519. Private keys are PKCS#8, encrypted with PBES2 (RFC 8018): scrypt and AES-256-CBC.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey,
};
use evidence::Digest;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};
use zeroize::Zeroizing;

use crate::passphrase::{Derivation, Passphrase, SALT_BYTES};
use crate::{from_base64, to_base64};

pub use crate::passphrase::Cost;

/// Something that signs: object-safe, so that a token or a KMS can stand behind it.
pub trait Signer {
    /// Returns the public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs a message: ECDSA P-256 over its SHA-256, ASN.1 DER encoded.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Returns how many signatures the key has made, by whoever holds it; none where nobody counts.
    fn counter(&self) -> Result<Option<u64>, KeyError> {
        Ok(None)
    }
}

impl<S: Signer + ?Sized> Signer for Box<S> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        (**self).sign(message)
    }

    fn counter(&self) -> Result<Option<u64>, KeyError> {
        (**self).counter()
    }
}

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The passphrase does not open the key.
    #[error("wrong passphrase")]
    Passphrase,
    /// The file does not hold an encrypted PKCS#8 key.
    #[error("not an encrypted PKCS#8 private key in PEM form")]
    Format,
    /// The decrypted bytes are not a key of the expected algorithm.
    #[error("not a key of the expected algorithm")]
    Algorithm,
    /// The cryptographic library refused.
    #[error("cannot {0}")]
    Crypto(&'static str),
    /// The signature could not be counted, so it was not made.
    #[error("cannot count the signature")]
    Count(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Who holds the key did not do what was asked.
    #[error("{0}")]
    Holder(String),
}

/// A P-256 public key as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Takes the DER bytes, if they are a P-256 key.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der).map_err(|_| KeyError::Algorithm)?;
        // The library also takes bare points; only the wrapped form is a name.
        if der.first() != Some(&0x30) {
            return Err(KeyError::Algorithm);
        }
        Ok(Self(der.to_vec()))
    }

    /// Takes the point of a key: 0x04, x, y (SEC 1, section 2.3.3).
    pub fn from_point(point: &[u8]) -> Result<Self, KeyError> {
        /// What stands before the point in a SubjectPublicKeyInfo of P-256 (RFC 5480).
        const BEFORE: &[u8] = &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        Self::from_der(&[BEFORE, point].concat())
    }

    /// Reads the PEM form that other tools write.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (label, document) = pkcs8::Document::from_pem(pem.trim()).map_err(|_| KeyError::Algorithm)?;
        if label != "PUBLIC KEY" {
            return Err(KeyError::Algorithm);
        }
        Self::from_der(document.as_bytes())
    }

    /// Returns the DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Returns the PEM form that other tools take.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.0)
    }

    /// Returns the hint by which bundles name this key: base64 of the SHA-256 of the DER form.
    pub fn hint(&self) -> String {
        to_base64(Digest::of(&self.0).as_bytes())
    }

    /// Returns a short name for people: the first twelve hex digits of the same SHA-256.
    pub fn short(&self) -> String {
        Digest::of(&self.0).short()
    }

    /// Tells whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .is_ok_and(|key| key.verify_sig(message, signature).is_ok())
    }

    /// Tells whether `signature` is this key's over a message with this SHA-256.
    pub fn verifies_digest(&self, digest: &Digest, signature: &[u8]) -> bool {
        let imported =
            aws_lc_rs::digest::Digest::import_less_safe(digest.as_bytes(), &aws_lc_rs::digest::SHA256);
        let (Ok(digest), Ok(key)) = (imported, ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)) else {
            return false;
        };
        key.verify_digest_sig(&digest, signature).is_ok()
    }
}

/// Writes bytes as PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = to_base64(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or("")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.short())
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.0))
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let der = from_base64(&text).ok_or_else(|| serde::de::Error::custom("not canonical base64"))?;
        Self::from_der(&der).map_err(serde::de::Error::custom)
    }
}

/// An opened P-256 key pair in memory.
pub struct KeyPair {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl KeyPair {
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_| KeyError::Algorithm)?;
        let public = pair.public_key().as_der().map_err(|_| KeyError::Crypto("encode a public key"))?;
        let public = PublicKey(public.as_ref().to_vec());
        Ok(Self { pair, public })
    }
}

impl Signer for KeyPair {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature =
            self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Crypto("sign"))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Writes a signature as ASN.1 DER that came as r and s, 32 bytes each.
pub fn signature_from_fixed(fixed: &[u8]) -> Result<Vec<u8>, KeyError> {
    use der::Encode as _;
    let bad = || KeyError::Crypto("read a signature");
    let (r, s) = fixed.split_at_checked(32).filter(|(_, s)| s.len() == 32).ok_or_else(bad)?;
    let number = |bytes| der::asn1::UintRef::new(bytes).map_err(|_| bad());
    vec![number(r)?, number(s)?].to_der().map_err(|_| bad())
}

/// A private key at rest: PEM text of an encrypted PKCS#8 document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncryptedKey(String);

impl EncryptedKey {
    /// Takes the text of a key file.
    pub fn from_pem(pem: impl Into<String>) -> Self {
        Self(pem.into())
    }

    /// Returns the text for a key file.
    pub fn pem(&self) -> &str {
        &self.0
    }

    /// Makes a new P-256 key and encrypts it.
    pub fn generate_p256(passphrase: &[u8], how: impl Into<Derivation>) -> Result<(Self, KeyPair), KeyError> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Crypto("generate a P-256 key"))?;
        Ok((Self::encrypt(der.as_ref(), passphrase, how.into())?, KeyPair::from_pkcs8(der.as_ref())?))
    }

    /// Makes a new Ed25519 key and encrypts it; returns also its PKCS#8 (v1) bytes.
    pub fn generate_ed25519(
        passphrase: &[u8],
        how: impl Into<Derivation>,
    ) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Crypto("generate an Ed25519 key"))?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Crypto("encode an Ed25519 key"))?;
        Ok((Self::encrypt(der.as_ref(), passphrase, how.into())?, Zeroizing::new(der.as_ref().to_vec())))
    }

    /// Opens a P-256 key.
    pub fn open_p256(&self, passphrase: &Passphrase) -> Result<KeyPair, KeyError> {
        KeyPair::from_pkcs8(&self.decrypt(passphrase)?)
    }

    /// Opens any key to its PKCS#8 bytes, for signers that take these.
    pub fn open_pkcs8(&self, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.decrypt(passphrase)
    }

    /// The derivation of this key, for another key of the same passphrase. Only for keys that were made here.
    pub fn derivation(&self) -> Result<Derivation, KeyError> {
        let document = self.document()?;
        let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| KeyError::Format)?;
        let how = info
            .encryption_algorithm
            .pbes2()
            .and_then(|scheme| scheme.kdf.scrypt())
            .ok_or(KeyError::Format)?;
        let costs = [Cost::High, Cost::Machine];
        let cost = costs.into_iter().find(|cost| {
            cost.parameters().is_ok_and(|parameters| 1_u64 << parameters.log_n() == how.cost_parameter)
        });
        let salt = how.salt.try_into().map_err(|_| KeyError::Format)?;
        Ok(Derivation { cost: cost.ok_or(KeyError::Format)?, salt: Some(salt) })
    }

    fn document(&self) -> Result<SecretDocument, KeyError> {
        let (label, document) = SecretDocument::from_pem(&self.0).map_err(|_| KeyError::Format)?;
        if label == "ENCRYPTED PRIVATE KEY" { Ok(document) } else { Err(KeyError::Format) }
    }

    fn encrypt(der: &[u8], passphrase: &[u8], how: Derivation) -> Result<Self, KeyError> {
        let random = random()?;
        let (own_salt, iv) = random.split_at(SALT_BYTES);
        let iv: &[u8; 16] = iv.try_into().map_err(|_| KeyError::Crypto("draw random bytes"))?;
        let salt = how.salt.as_ref().map_or(own_salt, |salt| &salt[..]);
        let parameters = pbes2::Parameters::scrypt_aes256cbc(how.cost.parameters()?, salt, iv)
            .map_err(|_| KeyError::Crypto("set up scrypt"))?;
        let info = PrivateKeyInfo::try_from(der).map_err(|_| KeyError::Algorithm)?;
        let document = info
            .encrypt_with_params(parameters, passphrase)
            .map_err(|_| KeyError::Crypto("encrypt a private key"))?;
        let pem = document
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|_| KeyError::Crypto("write a private key"))?;
        Ok(Self(pem.to_string()))
    }

    fn decrypt(&self, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = self.document()?;
        let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| KeyError::Format)?;
        passphrase.decrypt(&info)
    }
}

/// Draws 32 random bytes.
pub fn random() -> Result<[u8; 32], KeyError> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyError::Crypto("draw random bytes"))?;
    Ok(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_only_its_passphrase_opens_it() {
        let (file, pair) = EncryptedKey::generate_p256(b"correct horse", Cost::Machine).unwrap();
        let read = EncryptedKey::from_pem(file.pem());
        let opened = read.open_p256(&Passphrase::new("correct horse")).unwrap();
        assert_eq!(opened.public_key(), pair.public_key());
        assert!(matches!(read.open_p256(&Passphrase::new("wrong horse")), Err(KeyError::Passphrase)));
        assert!(matches!(
            EncryptedKey::from_pem("nonsense").open_p256(&Passphrase::new("x")),
            Err(KeyError::Format)
        ));
    }

    #[test]
    fn one_derivation_opens_keys_of_one_salt() {
        let (first, pair) = EncryptedKey::generate_p256(b"correct horse", Cost::Machine).unwrap();
        let how = first.derivation().unwrap();
        assert_eq!(how.cost, Cost::Machine);
        let (second, der) = EncryptedKey::generate_ed25519(b"correct horse", how).unwrap();
        assert_eq!(second.derivation().unwrap(), how);
        let (other, _) = EncryptedKey::generate_p256(b"correct horse", Cost::Machine).unwrap();
        assert_ne!(other.derivation().unwrap(), how);
        let passphrase = Passphrase::new("correct horse");
        assert_eq!(first.open_p256(&passphrase).unwrap().public_key(), pair.public_key());
        assert_eq!(second.open_pkcs8(&passphrase).unwrap(), der);
        assert_eq!(passphrase.derivations(), 1);
        other.open_p256(&passphrase).unwrap();
        assert_eq!(passphrase.derivations(), 2);
        // The library opens what we wrote, and a remembered derivation opens nothing that was changed.
        let document = second.document().unwrap();
        let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).unwrap();
        assert_eq!(info.decrypt("correct horse").unwrap().as_bytes(), &der[..]);
        for at in 0..info.encrypted_data.len() {
            let mut changed = info.encrypted_data.to_vec();
            changed[at] ^= 1;
            let changed = EncryptedPrivateKeyInfo { encrypted_data: &changed, ..info.clone() };
            if let Ok(opened) = passphrase.decrypt(&changed) {
                assert_ne!(opened, der); // CBC does not authenticate: the public key in the trust file does.
            }
        }
    }

    #[test]
    fn a_signature_is_bound_to_message_and_key() {
        let (_, pair) = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap();
        let (_, other) = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap();
        let signature = pair.sign(b"message").unwrap();
        assert!(pair.public_key().verifies(b"message", &signature));
        assert!(!pair.public_key().verifies(b"messagf", &signature));
        assert!(!other.public_key().verifies(b"message", &signature));
    }

    #[test]
    fn keys_and_signatures_have_other_forms_too() {
        let (_, pair) = EncryptedKey::generate_p256(b"p", Cost::Machine).unwrap();
        let key = pair.public_key();
        assert_eq!(&PublicKey::from_pem(&key.pem()).unwrap(), key);
        assert_eq!(&PublicKey::from_point(&key.der()[26..]).unwrap(), key);
        assert!(PublicKey::from_point(&key.der()[27..]).is_err());
        assert!(PublicKey::from_pem("-----BEGIN X-----\nAA==\n-----END X-----\n").is_err());
        for (fixed, expected) in [
            ([1; 64].to_vec(), 2 + 2 * 34),
            ([0xff; 64].to_vec(), 2 + 2 * 35),
            ([[0; 32], [1; 32]].concat(), 2 + 3 + 34),
        ] {
            assert_eq!(signature_from_fixed(&fixed).unwrap().len(), expected);
        }
        assert!(signature_from_fixed(&[1; 63]).is_err());
    }

    #[test]
    fn an_ed25519_key_is_not_a_p256_key() {
        let (file, der) = EncryptedKey::generate_ed25519(b"p", Cost::Machine).unwrap();
        assert_eq!(*file.open_pkcs8(&Passphrase::new("p")).unwrap(), *der);
        assert!(matches!(file.open_p256(&Passphrase::new("p")), Err(KeyError::Algorithm)));
    }
}
