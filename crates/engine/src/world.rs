//! The world that the use cases act on: one evidence store, and the caller's clock and passphrase.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attest::{EncryptedKey, PublicKey, Signer, Trust};
use evidence::{Digest, Timestamp};
use judge::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{DirectoryVault, Heads, SqliteHeads, SqliteIndex, TileDirectory, Vault};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::files;
use crate::keys::{self, KeyRole};

/// Name of a store's folder.
const STORE_NAME: &str = ".countersign";
/// Name of the head that holds the salt of environment digests.
pub(crate) const SALT_HEAD: &str = "salt";
/// No stored document is larger.
const DOCUMENT_MAX_BYTES: u64 = 1 << 30;

/// What opens the keys: a passphrase, and credentials for services that hold keys.
#[derive(Clone)]
pub struct Passphrase {
    word: attest::Passphrase,
    credentials: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Passphrase {
    /// Takes the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { word: attest::Passphrase::new(bytes), credentials: BTreeMap::new() }
    }

    /// Takes credentials, each by the name of its variable ([`crate::CREDENTIAL_VARIABLES`]).
    #[must_use]
    pub fn with_credentials(mut self, found: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.credentials.extend(found.into_iter().map(|(name, value)| (name, Zeroizing::new(value))));
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.word.bytes()
    }

    /// The passphrase itself, with what was derived from it.
    pub(crate) fn word(&self) -> &attest::Passphrase {
        &self.word
    }

    pub(crate) fn credential(&self, name: &str) -> Option<Zeroizing<String>> {
        self.credentials.get(name).cloned()
    }
}

/// The moment that the caller named, going on: services want to know when they are asked, and a use case may take minutes.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    now: Timestamp,
    since: Instant,
}

impl Clock {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { now, since: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.since.elapsed().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_unix(self.now.unix().saturating_add(passed))
    }
}

/// An open evidence store.
pub struct World {
    root: PathBuf,
    pub(crate) vault: DirectoryVault,
    pub(crate) heads: SqliteHeads,
    pub(crate) tiles: TileDirectory,
    pub(crate) index: SqliteIndex,
    pub(crate) trust: Trust,
    clock: Clock,
}

/// Where things lie in a store.
pub(crate) struct Layout<'a>(pub(crate) &'a Path);

impl Layout<'_> {
    pub(crate) fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
    pub(crate) fn heads(&self) -> PathBuf {
        self.0.join("heads.db")
    }
    pub(crate) fn index(&self) -> PathBuf {
        self.0.join("index.db")
    }
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(format!("{name}.pem"))
    }
    /// The URI of a key that somebody else holds.
    pub(crate) fn key_uri(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(format!("{name}.uri"))
    }
    /// What a recorded build may not read: the keys, and the salt.
    pub(crate) fn secrets(&self) -> Vec<PathBuf> {
        vec![self.0.join("keys"), self.heads()]
    }
    pub(crate) fn trust(&self) -> PathBuf {
        self.0.join("trust.json")
    }
    pub(crate) fn policy(&self) -> PathBuf {
        self.0.join("policy.toml")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
    /// Digests of the machine's files, for later builds.
    pub(crate) fn digests(&self) -> PathBuf {
        self.0.join("digests")
    }
    /// Detection rules of one's own.
    pub(crate) fn rules(&self) -> PathBuf {
        self.0.join("rules")
    }
    /// Held by the one watch over this machine that reports into this store.
    pub(crate) fn watch_lock(&self) -> PathBuf {
        self.0.join("watch.lock")
    }
    pub(crate) fn recordings(&self) -> PathBuf {
        self.0.join("recordings")
    }
}

/// Finds the store that serves a folder: `.countersign` in it or in the nearest parent that has one.
pub fn find_store(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(STORE_NAME)).find(|store| store.is_dir())
}

/// Returns where a store keeps its trust file.
pub fn trust_file(store: &Path) -> PathBuf {
    Layout(store).trust()
}

/// Writes the trust file where a customer's copy goes.
pub fn trust_export(world: &World, to: &Path) -> Result<()> {
    files::write(to, &world.trust.sealed().to_json())
}

impl World {
    /// Opens a store. `now` is the moment of the use case.
    pub fn open(root: &Path, now: Timestamp) -> Result<Self> {
        let layout = Layout(root);
        if !layout.trust().is_file() {
            return Err(Error::NoStore(root.to_path_buf()));
        }
        let trust = read_trust(&layout.trust())?;
        let vault = DirectoryVault::open_at(&layout.objects()).map_err(store_error)?;
        let heads = SqliteHeads::open(&layout.heads()).map_err(store_error)?;
        let tiles = TileDirectory::open(&layout.log()).map_err(log_error)?;
        let index = open_index(&layout.index())?;
        let world =
            Self { root: root.to_path_buf(), vault, heads, tiles, index, trust, clock: Clock::at(now) };
        world.catch_up()?;
        Ok(world)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout(&self.root)
    }

    /// The moment of this use case.
    pub fn now(&self) -> Timestamp {
        self.clock.now
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// What this store trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Changes the trust file as it is now, under the store's lock; this world keeps the one that it was opened with.
    pub(crate) fn change_trust(&self, change: impl FnOnce(&mut Trust)) -> Result<PathBuf> {
        let path = self.layout().trust();
        let lock = self.lock()?;
        let mut trust = read_trust(&path)?;
        change(&mut trust);
        files::write(&path, &trust.to_json())?;
        drop(lock);
        Ok(path)
    }

    pub(crate) fn release_keys(&self) -> Vec<PublicKey> {
        self.trust.release_keys.iter().map(|key| key.public_key.clone()).collect()
    }

    pub(crate) fn approver_keys(&self) -> Vec<PublicKey> {
        self.trust.approver_keys.iter().map(|key| key.public_key.clone()).collect()
    }

    pub(crate) fn builder_keys(&self) -> Vec<PublicKey> {
        self.trust.builder_keys.iter().map(|key| key.public_key.clone()).collect()
    }

    /// Opens the key that signs records.
    pub(crate) fn builder_key(&self, passphrase: &Passphrase) -> Result<Box<dyn Signer>> {
        keys::open(self, KeyRole::Builder, &self.trust.builder_keys, passphrase)
    }

    /// Opens the key that signs releases, intents and approvals.
    pub(crate) fn release_key(&self, passphrase: &Passphrase) -> Result<Box<dyn Signer>> {
        keys::open(self, KeyRole::Release, &self.trust.release_keys, passphrase)
    }

    /// Opens the key that signs the log's checkpoints.
    pub(crate) fn log_key(&self, passphrase: &Passphrase) -> Result<tlog::Ed25519Signer> {
        let name = "log";
        let encrypted = self.encrypted_key(name)?;
        let der = encrypted.open_pkcs8(passphrase.word()).map_err(|source| Error::Key { name, source })?;
        tlog::Ed25519Signer::from_pkcs8(self.trust.log.origin(), &der).map_err(log_error)
    }

    /// Opens a key by what it is and by what its file is called.
    pub(crate) fn open_file_key(
        &self,
        name: &'static str,
        file: &str,
        passphrase: &Passphrase,
    ) -> Result<Box<dyn Signer>> {
        let pair = self.encrypted_key(file)?.open_p256(passphrase.word());
        Ok(Box::new(pair.map_err(|source| Error::Key { name, source })?))
    }

    fn encrypted_key(&self, name: &str) -> Result<EncryptedKey> {
        let pem = files::read_text(&self.layout().key(name), 1 << 16)?;
        Ok(EncryptedKey::from_pem(pem))
    }

    /// Reads the policy in force.
    pub(crate) fn policy(&self) -> Result<(Policy, Vec<u8>)> {
        let path = self.layout().policy();
        let bytes = files::read(&path, 1 << 20)?;
        let policy = Policy::parse(&bytes).map_err(|source| Error::Policy { path, source })?;
        Ok((policy, bytes))
    }

    /// Puts a document in canonical form into the vault.
    pub(crate) fn put_document(&self, document: &impl Serialize) -> Result<Digest> {
        self.put(&evidence::wire::canonical(document))
    }

    /// Puts bytes into the vault.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest> {
        self.vault.put_bytes(bytes).map_err(store_error)
    }

    /// Reads bytes from the vault; they have the digest they are asked for.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.vault.read(digest, DOCUMENT_MAX_BYTES).map_err(store_error)
    }

    /// The secret of this store that keys the digests of environment values: without it they cannot be guessed.
    pub(crate) fn salt(&self) -> Result<Vec<u8>> {
        self.heads.load(SALT_HEAD).map_err(store_error)?.ok_or_else(|| Error::NoStore(self.root.clone()))
    }

    /// Reads a document from the vault.
    pub(crate) fn document<T: DeserializeOwned + Serialize>(
        &self,
        kind: &'static str,
        digest: &Digest,
    ) -> Result<T> {
        let bytes = self.read(digest)?;
        evidence::wire::from_canonical(&bytes).map_err(|_| Error::Document { kind, digest: *digest })
    }
}

/// Reads a trust file.
pub(crate) fn read_trust(path: &Path) -> Result<Trust> {
    let bytes = files::read(path, attest::trust::MAX_BYTES as u64)?;
    Trust::parse(&bytes).map_err(|source| Error::Trust { path: path.to_path_buf(), source })
}

/// Opens the index; one that is damaged or of another version is thrown away, for it can be rebuilt.
fn open_index(path: &Path) -> Result<SqliteIndex> {
    match SqliteIndex::open(path) {
        Ok(index) => Ok(index),
        Err(error) if error.is_rebuildable() => {
            std::fs::remove_file(path).map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
            SqliteIndex::open(path).map_err(store_error)
        }
        Err(error) => Err(store_error(error)),
    }
}

pub(crate) fn store_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Store(Box::new(error))
}

pub(crate) fn log_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Log(Box::new(error))
}
