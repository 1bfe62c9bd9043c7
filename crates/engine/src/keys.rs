//! Where private keys are: in an encrypted file of the store, or with somebody whom a URI names; and how one is opened.
//!
//! A key of the store lies in `keys/ROLE-NAME.pem`, or is named by the URI in `keys/ROLE-NAME.uri`; `keys/ROLE.pem` is the first one,
//! from `init`. Which one is used is the trust file's to say: the newest that has not ended and is here.

use attest::key::Cost;
use attest::trust::TrustedKey;
use attest::{EncryptedKey, Signer};

use crate::error::{Error, Result};
use crate::files;
use crate::world::{Passphrase, World};

/// What a key of a store is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRole {
    /// Releases, intents, revocations.
    Release,
    /// Records and provenance.
    Builder,
}

impl KeyRole {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Builder => "builder",
        }
    }
}

/// Opens the key of a role that counts now.
pub(crate) fn open(
    world: &World,
    role: &'static str,
    trusted: &[TrustedKey],
    passphrase: &Passphrase,
) -> Result<Box<dyn Signer>> {
    let layout = world.layout();
    let named = |key: &&TrustedKey| layout.key(&format!("{role}-{}", key.public_key.short())).is_file();
    let newest = trusted.iter().rev().filter(|key| key.retired.is_none()).find(named);
    let file = newest.map_or_else(|| role.to_owned(), |key| format!("{role}-{}", key.public_key.short()));
    let signer = world.open_file_key(role, &file, passphrase)?;
    let out = |reason: &str| {
        let key = signer.public_key().short();
        Err(Error::KeyOut { name: role, key, reason: reason.to_owned() })
    };
    match trusted.iter().find(|key| key.public_key == *signer.public_key()) {
        None => out("the trust file does not name it"),
        Some(TrustedKey { retired: Some(retired), .. }) => out(&retired.reason),
        Some(_) => Ok(signer),
    }
}

/// Makes a key of a role. Nobody trusts it yet.
pub(crate) fn create(
    world: &World,
    role: KeyRole,
    _uri: Option<&str>,
    passphrase: &Passphrase,
) -> Result<Box<dyn Signer>> {
    let name = role.word();
    let cost = match role {
        KeyRole::Release => Cost::High,
        KeyRole::Builder => Cost::Machine,
    };
    let (file, pair) = EncryptedKey::generate_p256(passphrase.bytes(), cost)
        .map_err(|source| Error::Key { name, source })?;
    let path = world.layout().key(&format!("{name}-{}", pair.public_key().short()));
    files::write_secret(&path, file.pem().as_bytes())?;
    Ok(Box::new(pair))
}
