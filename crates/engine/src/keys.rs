//! Where private keys are: in an encrypted file of the store, or with somebody whom a URI names; and how one is opened.
//!
//! A key of the store lies in `keys/ROLE-NAME.pem`, or is named by the URI in `keys/ROLE-NAME.uri`; `keys/ROLE.pem` is the first one,
//! from `init`. Which one is used is the trust file's to say: the newest that has not ended and is here. Whoever holds a key is not
//! believed: each signature is verified with the key that the trust file names before anything is done with it.

mod cloud;
pub(crate) mod counted;
mod plugin;
mod token;
mod uri;
mod vault;

use attest::key::Cost;
use attest::trust::TrustedKey;
use attest::{EncryptedKey, KeyError, PublicKey, Signer};
use judge::roles::Role;
use serde_json::Value;
use store::SqliteHeads;

use crate::error::{Error, Result};
use crate::files;
use crate::world::{Clock, Layout, Passphrase, World};

pub use cloud::VARIABLES as CREDENTIAL_VARIABLES;
pub use token::HELPER as TOKEN_HELPER;

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

    pub(crate) const fn actor(self) -> Role {
        match self {
            Self::Release => Role::Signer,
            Self::Builder => Role::Builder,
        }
    }

    /// What may open a key of this role: a recorded build inherits the environment, so a builder's credentials never stand there.
    fn opens(self, passphrase: &Passphrase) -> Passphrase {
        match self {
            Self::Release => passphrase.clone(),
            Self::Builder => Passphrase::new(passphrase.bytes().to_vec()),
        }
    }

    const fn cost(self) -> Cost {
        match self {
            Self::Release => Cost::High,
            Self::Builder => Cost::Machine,
        }
    }
}

/// Names the key of a role that would be opened now, as far as that can be told without opening it.
pub(crate) fn current(world: &World, role: KeyRole) -> Option<&PublicKey> {
    let trusted = match role {
        KeyRole::Release => &world.trust.release_keys,
        KeyRole::Builder => &world.trust.builder_keys,
    };
    let layout = world.layout();
    let named = |key: &&TrustedKey| {
        let file = format!("{}-{}", role.word(), key.public_key.short());
        layout.key(&file).is_file() || layout.key_uri(&file).is_file()
    };
    let mut holding = trusted.iter().rev().filter(|key| key.retired.is_none());
    let found = holding.clone().find(named).or_else(|| holding.next_back());
    found.map(|key| &key.public_key)
}

/// Opens the key of a role that counts now.
pub(crate) fn open(
    world: &World,
    role: KeyRole,
    trusted: &[TrustedKey],
    passphrase: &Passphrase,
) -> Result<Box<dyn Signer>> {
    let (layout, name) = (world.layout(), role.word());
    let named = |key: &TrustedKey| format!("{name}-{}", key.public_key.short());
    let here = |key: &&TrustedKey| layout.key(&named(key)).is_file() || layout.key_uri(&named(key)).is_file();
    let newest = trusted.iter().rev().filter(|key| key.retired.is_none()).find(here);
    // Where none counts, the newest that is here says why.
    let newest = newest.or_else(|| trusted.iter().rev().find(here));
    let file = newest.map_or_else(|| name.to_owned(), named);
    let uri = layout.key_uri(&file);
    let signer = if uri.is_file() {
        held(name, files::read_text(&uri, 1 << 16)?.trim(), &role.opens(passphrase), world.clock())?
    } else {
        let inner = world.open_file_key(name, &file, passphrase)?;
        match role {
            KeyRole::Release => {
                Box::new(counted::Counted { inner, heads: layout.heads(), lock: layout.lock() })
            }
            // A builder's key also signs what is remembered between builds, which no log has.
            KeyRole::Builder => inner,
        }
    };
    let out = |reason: &str| {
        let key = signer.public_key().short();
        Err(Error::KeyOut { name, key, reason: reason.to_owned() })
    };
    match trusted.iter().find(|key| key.public_key == *signer.public_key()) {
        None => out("the trust file does not name it"),
        Some(TrustedKey { retired: Some(retired), .. }) => out(&retired.reason),
        Some(_) => Ok(signer),
    }
}

/// Makes a key of a role, or takes the one that a URI names. Nobody trusts it yet.
pub(crate) fn create(
    layout: &Layout<'_>,
    heads: &SqliteHeads,
    role: KeyRole,
    uri: Option<&str>,
    passphrase: &Passphrase,
    clock: Clock,
) -> Result<Box<dyn Signer>> {
    let name = role.word();
    if let Some(uri) = uri {
        let signer = held(name, uri, &role.opens(passphrase), clock)?;
        let path = layout.key_uri(&format!("{name}-{}", signer.public_key().short()));
        files::write(&path, format!("{uri}\n").as_bytes())?;
        return Ok(signer);
    }
    let key = |source| Error::Key { name, source };
    let how = match role {
        // Every build opens it and the log's key: one derivation is enough.
        KeyRole::Builder => {
            let log = EncryptedKey::from_pem(files::read_text(&layout.key("log"), 1 << 16)?);
            log.derivation().map_err(key)?
        }
        KeyRole::Release => role.cost().into(),
    };
    let (file, pair) = EncryptedKey::generate_p256(passphrase.bytes(), how).map_err(key)?;
    let path = layout.key(&format!("{name}-{}", pair.public_key().short()));
    files::write_secret(&path, file.pem().as_bytes())?;
    if role == KeyRole::Release {
        counted::begin(heads, pair.public_key(), 0)?;
        return Ok(Box::new(counted::Counted {
            inner: Box::new(pair),
            heads: layout.heads(),
            lock: layout.lock(),
        }));
    }
    Ok(Box::new(pair))
}

/// Opens a key that somebody else holds.
fn held(name: &'static str, uri: &str, passphrase: &Passphrase, clock: Clock) -> Result<Box<dyn Signer>> {
    let key = |source| Error::Key { name, source };
    Ok(match uri::Holder::parse(uri, passphrase)? {
        uri::Holder::Amazon(at) => Box::new(cloud::Amazon::open(at, clock).map_err(key)?),
        uri::Holder::Google(at) => Box::new(cloud::Google::open(at).map_err(key)?),
        uri::Holder::Azure(at) => Box::new(cloud::Azure::open(at).map_err(key)?),
        uri::Holder::Token(at) => Box::new(token::Token::open(at).map_err(key)?),
        uri::Holder::Vault(at) => Box::new(vault::Vault::open(at).map_err(key)?),
        uri::Holder::Plugin { name, resource } => {
            Box::new(plugin::Plugin::open(&name, &resource).map_err(key)?)
        }
    })
}

/// Calls a key service; only a sound answer in JSON is one.
fn service(url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> std::result::Result<Value, KeyError> {
    let (status, bytes) = host::outbound::call(url, headers, body).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        KeyError::Holder(format!("{error}{cause}"))
    })?;
    let answer = serde_json::from_slice::<Value>(&bytes);
    if status != 200 {
        let reason = answer.ok().and_then(|answer| reason(&answer));
        let reason = reason.map(|word| format!(" ({word})")).unwrap_or_default();
        return Err(KeyError::Holder(format!("`{url}` answered {status}{reason}")));
    }
    answer.map_err(|_| KeyError::Holder(format!("`{url}` answered no JSON")))
}

/// The one word by which a service says why it refuses; never its sentences, in which anything may stand.
fn reason(answer: &Value) -> Option<String> {
    let places = ["/__type", "/error/status", "/error/code"];
    let word = places.iter().find_map(|place| answer.pointer(place)?.as_str())?;
    let word = word.rsplit('#').next().unwrap_or(word);
    let plain = word.len() <= 60 && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then(|| word.to_owned())
}

fn unexpected(field: &str) -> KeyError {
    KeyError::Holder(format!("the key service's answer has no usable `{field}`"))
}

/// Lets a signature through only if the key that is expected verifies it.
fn checked(key: &PublicKey, message: &[u8], signature: Vec<u8>) -> std::result::Result<Vec<u8>, KeyError> {
    if key.verifies(message, &signature) {
        return Ok(signature);
    }
    Err(KeyError::Holder("the signature that came back does not verify with the key".into()))
}
