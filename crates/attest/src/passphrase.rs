//! Passphrases, and the keys for encryption that are derived from them.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::pkcs5::pbes2::{EncryptionScheme, ScryptParams};
use pkcs8::pkcs5::{EncryptionScheme as Outer, scrypt};
use zeroize::Zeroizing;

use crate::key::KeyError;

/// The length of a salt, in bytes.
pub(crate) const SALT_BYTES: usize = 16;

/// How much work a passphrase guess costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost {
    /// scrypt N = 2^17, r = 8, p = 1 (128 MiB): for the release key.
    High,
    /// scrypt N = 2^14, r = 8, p = 1 (16 MiB): for machine keys that are opened at every build.
    Machine,
}

/// How the key is derived that encrypts a private key: with a salt of its own, or with that of another key of the same
/// passphrase, so that one derivation opens both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Derivation {
    pub(crate) cost: Cost,
    pub(crate) salt: Option<[u8; SALT_BYTES]>,
}

impl From<Cost> for Derivation {
    fn from(cost: Cost) -> Self {
        Self { cost, salt: None }
    }
}

impl Cost {
    pub(crate) fn parameters(self) -> Result<scrypt::Params, KeyError> {
        let log_n = match self {
            Self::High => 17,
            Self::Machine => 14,
        };
        scrypt::Params::new(log_n, 8, 1, KEY_BYTES).map_err(|_| KeyError::Crypto("set up scrypt"))
    }
}

/// The length of an AES-256 key.
const KEY_BYTES: usize = 32;
type Key = Zeroizing<[u8; KEY_BYTES]>;

/// What opens keys. What has been derived from it is kept as long as it lives.
#[derive(Clone)]
pub struct Passphrase {
    bytes: Zeroizing<Vec<u8>>,
    derived: Arc<Mutex<Vec<Derived>>>,
}

/// One derivation: all that it depends on besides the passphrase, and what came of it.
struct Derived {
    salt: Vec<u8>,
    cost: u64,
    block_size: u16,
    parallelization: u16,
    key: Key,
}

impl Passphrase {
    /// Takes the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: Zeroizing::new(bytes.into()), derived: Arc::default() }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many derivations there were.
    #[cfg(test)]
    pub(crate) fn derivations(&self) -> usize {
        self.derived.lock().unwrap().len()
    }

    /// Opens an encrypted PKCS#8 document (RFC 5958). Other derivations and ciphers than ours are left to the library.
    pub(crate) fn decrypt(&self, info: &EncryptedPrivateKeyInfo<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if let Outer::Pbes2(scheme) = &info.encryption_algorithm
            && let (Some(how), EncryptionScheme::Aes256Cbc { iv }) = (scheme.kdf.scrypt(), scheme.encryption)
            && how.key_length.is_none_or(|length| usize::from(length) == KEY_BYTES)
        {
            return open(&self.derive(how)?, *iv, info.encrypted_data);
        }
        let opened = info.decrypt(self.bytes()).map_err(|_| KeyError::Passphrase)?;
        Ok(Zeroizing::new(opened.as_bytes().to_vec()))
    }

    fn derive(&self, how: &ScryptParams<'_>) -> Result<Key, KeyError> {
        // A thread that panicked while it held the list left it whole: entries are added in one step.
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &&Derived| {
            known.salt == how.salt
                && known.cost == how.cost_parameter
                && known.block_size == how.block_size
                && known.parallelization == how.parallelization
        };
        if let Some(known) = derived.iter().find(is_same) {
            return Ok(known.key.clone());
        }
        let parameters = scrypt::Params::try_from(how).map_err(|_| KeyError::Format)?;
        let mut key = Key::default();
        scrypt::scrypt(self.bytes(), how.salt, &parameters, &mut key[..])
            .map_err(|_| KeyError::Crypto("derive a key"))?;
        derived.push(Derived {
            salt: how.salt.to_vec(),
            cost: how.cost_parameter,
            block_size: how.block_size,
            parallelization: how.parallelization,
            key: key.clone(),
        });
        Ok(key)
    }
}

/// Opens AES-256-CBC with the padding of PKCS#7. A wrong key is found by the padding, or by what is no key behind it.
fn open(key: &Key, iv: [u8; 16], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let set_up = |_| KeyError::Crypto("set up AES");
    let key = UnboundCipherKey::new(&AES_256, &key[..]).map_err(set_up)?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(set_up)?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = cipher
        .decrypt(&mut bytes, DecryptionContext::Iv128(iv.into()))
        .map_err(|_| KeyError::Passphrase)?
        .len();
    bytes.truncate(length);
    pkcs8::PrivateKeyInfo::try_from(bytes.as_slice()).map_err(|_| KeyError::Passphrase)?;
    Ok(bytes)
}
