//! A log that is served: the write API of Rekor v2 over a sequencer with group commit, and the reads of tlog-tiles.
//!
//! Its folder has the log (`log/`, plain files), the head (`heads.db`), two journals, the key (`key.pem`, encrypted),
//! the verifier key, and a timestamp authority (`timestamp*`). One process at a time: a second one is refused at the lock, and one on another machine at the
//! head. Only signatures by known keys are taken where `keys` names some.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use attest::key::Cost;
use attest::trust::TrustedLog;
use attest::{EncryptedKey, Inclusion, PublicKey, clients, rekor};
use evidence::Timestamp;
use store::{FileJournal, Heads, SequencerLock, SqliteHeads, TileDirectory};
use tlog::{Ed25519Signer, GroupLimits, Log, NoteSigner as _, Sequencer, Submission, Tiles};

use crate::error::{Error, Result};
use crate::files;
use crate::ledger::LOG_HEAD;
use crate::timestamping::Stamping;
use crate::world::{Passphrase, log_error, store_error};

/// A log that takes entries.
pub struct LogService {
    tiles: Arc<TileDirectory>,
    inbox: Option<Sender<Submission>>,
    committer: Option<JoinHandle<std::result::Result<(), tlog::LogError>>>,
    verifier_key: String,
    key_id: [u8; 32],
    keys: Vec<PublicKey>,
    stamping: Stamping,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// The entry stands in the log: a Rekor `TransparencyLogEntry` in JSON.
    Entry(Vec<u8>),
    /// It was not logged.
    Refused {
        /// The status code.
        status: u16,
        /// Why.
        words: String,
    },
}

impl LogService {
    /// Opens a log for writing, and makes it if there is none: `origin` is its name then. Completes what an earlier
    /// process had acknowledged. With `keys`, entries by others are refused. `now` is when its timestamp authority is made, if there
    /// is none.
    pub fn open(
        folder: &Path,
        origin: &str,
        keys: Vec<PublicKey>,
        passphrase: &Passphrase,
        limits: GroupLimits,
        now: Timestamp,
    ) -> Result<Self> {
        let fail = |source| Error::Write { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder.join("log")).map_err(fail)?;
        let lock = SequencerLock::acquire(&folder.join("lock")).map_err(store_error)?;
        let signer = signer(folder, origin, passphrase)?;
        let stamping = Stamping::open(folder, origin, passphrase, now)?;
        let tiles = Arc::new(TileDirectory::open(&folder.join("log")).map_err(store_error)?);
        let verifier_key = signer.verifier_key().to_string();
        files::write(&folder.join("verifier-key.txt"), format!("{verifier_key}\n").as_bytes())?;
        let key_id = TrustedLog { verifier_key: verifier_key.clone() }.key_id().map_err(log_error)?;
        let heads = heads(&folder.join("heads.db"), &tiles, &signer)?;
        let journals =
            [FileJournal::open(&folder.join("journal-a")), FileJournal::open(&folder.join("journal-b"))];
        let [first, second] = journals;
        let journals = [first.map_err(store_error)?, second.map_err(store_error)?];
        let (inbox, submissions) = channel();
        let (opened, is_open) = channel();
        let written = Arc::clone(&tiles);
        let committer = std::thread::Builder::new().name("sequencer".into()).spawn(move || {
            let _lock = lock;
            let cell = heads.cell(LOG_HEAD);
            match Sequencer::open(&*written, &cell, [&journals[0], &journals[1]], &signer) {
                Ok(mut sequencer) => {
                    // Whoever opens the log has gone away only if the process ends.
                    opened.send(Ok(())).ok();
                    tlog::commit_groups(&mut sequencer, &*written, &submissions, &limits)
                }
                Err(error) => {
                    opened.send(Err(error)).ok();
                    Ok(())
                }
            }
        });
        let committer = committer.map_err(fail)?;
        is_open.recv().map_err(log_error)?.map_err(log_error)?;
        Ok(Self {
            tiles,
            inbox: Some(inbox),
            committer: Some(committer),
            verifier_key,
            key_id,
            keys,
            stamping,
        })
    }

    /// The log's key, as trust files and policies write it.
    pub fn verifier_key(&self) -> &str {
        &self.verifier_key
    }

    /// Verifies a request of Rekor v2's write API, logs it, and answers with its place and proof.
    pub fn submit(&self, body: &[u8]) -> Result<Submitted> {
        let leaf = match rekor::read(body) {
            Ok(leaf) => leaf,
            Err(error) => return Ok(Submitted::Refused { status: 400, words: error.to_string() }),
        };
        if !self.keys.is_empty() && !self.keys.contains(leaf.credential.key()) {
            let words = format!("the key {} may not write to this log", leaf.credential.key().short());
            return Ok(Submitted::Refused { status: 403, words });
        }
        let (reply, answer) = channel();
        let inbox = self.inbox.as_ref().ok_or(Error::LogClosed)?;
        inbox.send(Submission { entries: vec![leaf.encode()], reply }).map_err(|_| Error::LogClosed)?;
        let receipt = answer.recv().map_err(|_| Error::LogClosed)?;
        let proof = receipt.proof(0).map_err(log_error)?;
        Ok(Submitted::Entry(attest::bundle::log_entry(&leaf, &Inclusion::from(&proof), self.key_id)))
    }

    /// Answers a time-stamp request (RFC 3161) by the clock of who asks.
    pub fn timestamp(&self, request: &[u8], now: Timestamp) -> Result<Vec<u8>> {
        self.stamping.answer(request, now)
    }

    /// Writes into a folder what unmodified Sigstore clients need to find and trust this log at a URL.
    pub fn write_client_files(&self, folder: &Path, url: &str, now: Timestamp) -> Result<()> {
        let log = TrustedLog { verifier_key: self.verifier_key.clone() };
        let timestamps = std::slice::from_ref(self.stamping.authority());
        let root = clients::trusted_root(&log, url, &[], timestamps).map_err(log_error)?;
        let config = clients::signing_config(url, now, true);
        let both = clients::client_trust_config(&root, &config).map_err(log_error)?;
        for (name, text) in [
            ("trusted_root.json", root),
            ("signing_config.v0.2.json", config),
            ("client_trust_config.json", both),
        ] {
            files::write(&folder.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// Reads the published checkpoint.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        self.tiles
            .read("checkpoint")
            .map_err(log_error)?
            .ok_or_else(|| Error::NoStore(PathBuf::from("checkpoint")))
    }

    /// Reads a tile by its path; only paths of the specification lead anywhere.
    pub fn tile(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let is_tile = path.starts_with("tile/")
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.'))
            && !path.contains("..");
        if is_tile { self.tiles.read(path).map_err(log_error) } else { Ok(None) }
    }

    /// Takes nothing more, writes the last tiles, and ends.
    pub fn close(mut self) -> Result<()> {
        self.inbox = None;
        match self.committer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map_err(log_error),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for LogService {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(committer) = self.committer.take() {
            // `close` tells of errors; here nobody is left to tell. The journal has everything.
            committer.join().ok();
        }
    }
}

fn signer(folder: &Path, origin: &str, passphrase: &Passphrase) -> Result<Ed25519Signer> {
    let path = folder.join("key.pem");
    let key = |source| Error::Key { name: "log", source };
    if !path.is_file() {
        let made = EncryptedKey::generate_ed25519(passphrase.bytes(), Cost::Machine).map_err(key)?;
        files::write_secret(&path, made.0.pem().as_bytes())?;
    }
    let encrypted = EncryptedKey::from_pem(files::read_text(&path, 1 << 16)?);
    let der = encrypted.open_pkcs8(passphrase.word()).map_err(key)?;
    Ed25519Signer::from_pkcs8(origin, &der).map_err(log_error)
}

/// Opens the head; a log of which only the folder was made before a crash is made now.
fn heads(path: &Path, tiles: &TileDirectory, signer: &Ed25519Signer) -> Result<SqliteHeads> {
    let heads = if path.is_file() { SqliteHeads::open(path) } else { SqliteHeads::create(path) };
    let heads = heads.map_err(store_error)?;
    if heads.load(LOG_HEAD).map_err(store_error)?.is_none() {
        Log::create(tiles, &heads.cell(LOG_HEAD), signer).map_err(log_error)?;
    }
    Ok(heads)
}
