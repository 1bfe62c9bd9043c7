//! A job from another builder: fetched over HTTP, believed only as far as it proves itself.
//!
//! The record must be signed by a builder key of our trust file: what it commands is going to be run here. Each source must have the
//! bytes that the record names. No verdict is taken over: the other builder's outputs are digests to compare with.

use evidence::statement::RecordStatement;
use evidence::{Digest, Record};
use host::outbound;

use crate::error::{Error, Result};
use crate::evidence_service::{Job, no_job};
use crate::inspect_path::FILE_MAX_BYTES;
use crate::world::{World, log_error};

/// No record document is larger.
const RECORD_MAX_BYTES: u64 = 1 << 30;
/// No description of a job is larger.
const JOB_MAX_BYTES: u64 = 64 << 20;

/// A job that proved itself.
pub(crate) struct FetchedJob {
    pub(crate) record: Record,
    pub(crate) digest: Digest,
    pub(crate) job: Job,
    base: String,
}

impl FetchedJob {
    /// Asks a store that is served at a URL for a record's job.
    pub(crate) fn fetch(world: &World, url: &str, name: &str) -> Result<Self> {
        let base = format!("{}/jobs/{name}", url.trim_end_matches('/'));
        let bad = |why: &str| Error::Job(base.clone(), why.to_owned());
        let bytes = get(&base, JOB_MAX_BYTES)?.ok_or_else(|| no_job(name))?;
        let job: Job = serde_json::from_slice(&bytes).map_err(|_| bad("it is no job"))?;
        if !job.is_known() {
            return Err(bad("it is a job of another form"));
        }
        let envelope = attest::Envelope {
            payload: job.payload.0.clone(),
            signature: job.signature.0.clone(),
            credential: attest::Credential::Key(job.key.clone()),
        };
        let (verified, about) =
            attest::verify::logged::<RecordStatement>(&envelope, 0, &world.builder_keys()).map_err(|_| {
                bad("it is not signed by a builder of our trust file: `countersign trust add-builder`")
            })?;
        if !verified.statement().is_about(&job.record) {
            return Err(bad("the signed statement is about another record"));
        }
        if !about.attestable {
            return Err(bad("that build failed or was not seen completely"));
        }
        let found = Self { record: record(&base, &job)?, digest: job.record, job, base };
        Ok(found)
    }

    /// Fetches content by its digest; whatever else is answered is refused.
    pub(crate) fn content(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let found = get(&format!("{}/{}", self.base, digest.hex()), FILE_MAX_BYTES)?;
        match found {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Some(_) => Err(Error::Job(self.base.clone(), format!("what it sends is not {digest}"))),
            None => Ok(None),
        }
    }
}

fn record(base: &str, job: &Job) -> Result<Record> {
    let bad = |why: &str| Error::Job(base.to_owned(), why.to_owned());
    let bytes = get(&format!("{base}/{}", job.record.hex()), RECORD_MAX_BYTES)?;
    let bytes = bytes.ok_or_else(|| bad("it does not show its record"))?;
    if Digest::of(&bytes) != job.record {
        return Err(bad("the record is not the one that was signed"));
    }
    evidence::wire::from_canonical(&bytes).map_err(|_| bad("the record is malformed"))
}

fn get(url: &str, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    match outbound::fetch(url, max_bytes).map_err(Error::Outbound)? {
        (200, bytes) => Ok(Some(bytes)),
        (404, _) => Ok(None),
        (status, _) => Err(log_error(std::io::Error::other(format!("`{url}` answered {status}")))),
    }
}
