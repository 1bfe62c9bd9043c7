//! A release in another log too: one that is served by `serve --log`, or any of Rekor v2's write API.
//!
//! The store's own log stays what counts for our verifier; the other is for those who watch it, and for standard clients who know it.
//! What it answers is believed only as far as it proves itself: the entry is ours, and its proof leads to a checkpoint by the key
//! that was named beforehand.

use std::path::{Path, PathBuf};

use attest::bundle::read_log_entry;
use attest::trust::TrustedLog;
use attest::{Bundle, Envelope, rekor};
use tlog::{Checkpoint, Hash, VerifierKey, leaf_hash, verify_inclusion};

use crate::error::{Error, Result};
use crate::files;
use crate::sign::with_suffix;
use crate::world::log_error;

/// What the name of a bundle with the other log's proof ends in.
const SUFFIX: &str = ".published.sigstore.json";

/// Another log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherLog {
    /// Where it is served.
    pub url: String,
    /// Its verifier key: `origin+hash+key`.
    pub verifier_key: String,
}

/// Submits a signature to another log and writes the bundle with that log's proof beside the artifact.
pub(crate) fn publish(
    log: &OtherLog,
    envelope: &Envelope,
    timestamp: Option<&[u8]>,
    artifact: &Path,
) -> Result<PathBuf> {
    let url = format!("{}/api/v2/log/entries", log.url.trim_end_matches('/'));
    let wrong = |why: &str| Error::OtherLog(url.clone(), why.to_owned());
    let key = VerifierKey::parse(log.verifier_key.trim()).map_err(log_error)?;
    let leaf = envelope.leaf();
    let (status, answer) =
        host::outbound::exchange(&url, Some(&rekor::write(&leaf))).map_err(Error::Outbound)?;
    if status != 200 && status != 201 {
        let words = String::from_utf8_lossy(&answer);
        return Err(wrong(&format!("it answered {status}: {}", words.trim())));
    }
    let (body, inclusion) = read_log_entry(&answer).ok_or_else(|| wrong("its answer is no log entry"))?;
    if body != leaf.encode() {
        return Err(wrong("it has logged something else"));
    }
    let checkpoint = Checkpoint::verify(&inclusion.checkpoint, &key)
        .map_err(|error| wrong(&format!("its checkpoint does not verify: {error}")))?;
    if checkpoint.size() != inclusion.size || *checkpoint.root().as_bytes() != inclusion.root {
        return Err(wrong("its proof is for another tree than its checkpoint"));
    }
    let hashes: Vec<Hash> = inclusion.hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect();
    verify_inclusion(&hashes, inclusion.index, inclusion.size, &leaf_hash(&body), checkpoint.root())
        .map_err(|error| wrong(&format!("its proof does not verify: {error}")))?;
    let log = TrustedLog { verifier_key: key.to_string() };
    let bundle = Bundle::new(envelope, &inclusion, log.key_id().map_err(log_error)?, timestamp);
    let path = with_suffix(artifact, SUFFIX);
    files::write(&path, &bundle.encode())?;
    Ok(path)
}
