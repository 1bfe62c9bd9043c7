//! A witness: cosigns the checkpoints of logs, as long as each goes on from the last.
//!
//! Its folder has a key (`key.pem`, encrypted), its state (`witness.db`, one cell for each log) and its public key
//! (`witness.vkey`), which goes into the policies of those who rely on it.

use std::path::Path;

use attest::EncryptedKey;
use attest::key::Cost;
use evidence::Digest;
use store::{Heads, SqliteHeads};
use tlog::{Cosigner, VerifierKey};

pub use tlog::WitnessAnswer;

use crate::error::{Error, Result};
use crate::files;
use crate::world::{Passphrase, log_error, store_error};

/// A witness that is ready to answer.
pub struct Witness {
    cosigner: Cosigner,
    logs: Vec<VerifierKey>,
    heads: SqliteHeads,
}

impl Witness {
    /// Opens a witness, and makes it if there is none: `name` is its name then, and must be the same later.
    pub fn open(folder: &Path, name: &str, logs: &[String], passphrase: &Passphrase) -> Result<Self> {
        let fail = |source| Error::Write { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(fail)?;
        let (key, state) = (folder.join("key.pem"), folder.join("witness.db"));
        if !key.is_file() {
            let (encrypted, _) = EncryptedKey::generate_ed25519(passphrase.bytes(), Cost::Machine)
                .map_err(|source| Error::Key { name: "witness", source })?;
            SqliteHeads::create(&state).map_err(store_error)?;
            files::write_secret(&key, encrypted.pem().as_bytes())?;
        }
        let encrypted = EncryptedKey::from_pem(files::read_text(&key, 1 << 16)?);
        let der = encrypted
            .open_pkcs8(passphrase.word())
            .map_err(|source| Error::Key { name: "witness", source })?;
        let cosigner = Cosigner::from_pkcs8(name, &der).map_err(log_error)?;
        let logs =
            logs.iter().map(|log| VerifierKey::parse(log.trim())).collect::<std::result::Result<_, _>>();
        let witness = Self {
            cosigner,
            logs: logs.map_err(log_error)?,
            heads: SqliteHeads::open(&state).map_err(store_error)?,
        };
        files::write(&folder.join("witness.vkey"), format!("{}\n", witness.key()).as_bytes())?;
        Ok(witness)
    }

    /// The verifier key, as policies write it.
    pub fn key(&self) -> String {
        self.cosigner.key().to_string()
    }

    /// Answers an `add-checkpoint` request at a time in seconds since 1970.
    pub fn add_checkpoint(&self, body: &[u8], time: u64) -> Result<WitnessAnswer> {
        let cell = |origin: &str| -> Box<dyn tlog::HeadCell + '_> {
            Box::new(Cell { heads: &self.heads, origin: origin.to_owned() })
        };
        tlog::add_checkpoint(&self.cosigner, &self.logs, cell, body, time).map_err(log_error)
    }

    /// Returns the newest checkpoint that was cosigned of the log whose origin has this SHA-256, hexadecimal.
    pub fn newest(&self, origin_hash: &str) -> Result<Option<Vec<u8>>> {
        let log = self.logs.iter().find(|log| Digest::of(log.name().as_bytes()).hex() == origin_hash);
        let Some(log) = log else { return Ok(None) };
        self.heads.load(log.name()).map_err(store_error)
    }
}

/// One log's cell, by its origin.
struct Cell<'a> {
    heads: &'a SqliteHeads,
    origin: String,
}

impl tlog::HeadCell for Cell<'_> {
    fn load(&self) -> std::result::Result<Option<Vec<u8>>, tlog::SeamError> {
        tlog::HeadCell::load(&self.heads.cell(&self.origin))
    }

    fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> std::result::Result<(), tlog::SeamError> {
        tlog::HeadCell::replace(&self.heads.cell(&self.origin), old, new)
    }
}
