//! The witness's side of C2SP tlog-witness: one request in, one answer out, one cell of state for each log.
//!
//! The new checkpoint is in the cell before the cosignature leaves; check and replacement are one compare-and-swap, so
//! that two requests at a time cannot roll the cell back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::Checkpoint;
use crate::cosignature::Cosigner;
use crate::merkle::{Hash, verify_consistency};
use crate::note::{self, VerifierKey};
use crate::seam::{HeadCell, SeamError};

/// More lines of proof are refused, as the specification wants it.
const PROOF_MAX: usize = 63;

/// What a witness answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WitnessAnswer {
    /// 200: signature lines.
    Cosigned(String),
    /// 409: the size that the witness has cosigned last; the client is to go on from there.
    Size(u64),
    /// 409 or 422: the log's own key has signed something that does not go with what the witness has seen.
    Contradiction {
        /// The status code.
        status: u16,
        /// What exactly.
        words: String,
    },
    /// Any other no.
    Refused {
        /// The status code.
        status: u16,
        /// Why.
        words: &'static str,
    },
}

impl WitnessAnswer {
    /// What contradicts what, if that is the answer.
    pub fn contradiction(&self) -> Option<&str> {
        match self {
            Self::Contradiction { words, .. } => Some(words),
            _ => None,
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::Size(_) => 409,
            Self::Contradiction { status, .. } | Self::Refused { status, .. } => *status,
        }
    }
}

/// Writes the body of an `add-checkpoint` request.
pub fn add_checkpoint_body(old: u64, proof: &[Hash], checkpoint: &str) -> String {
    let mut body = format!("old {old}\n");
    for hash in proof {
        body += &STANDARD.encode(hash.as_bytes());
        body.push('\n');
    }
    body.push('\n');
    body + checkpoint
}

/// Answers an `add-checkpoint` request at a time in seconds since 1970. `logs` are the keys of the logs that are
/// witnessed; `cell` leads to the state of the log with an origin.
pub fn add_checkpoint<'c>(
    cosigner: &Cosigner,
    logs: &[VerifierKey],
    cell: impl Fn(&str) -> Box<dyn HeadCell + 'c>,
    body: &[u8],
    time: u64,
) -> Result<WitnessAnswer, SeamError> {
    let refused = |status, words| Ok(WitnessAnswer::Refused { status, words });
    let Some(request) = std::str::from_utf8(body).ok().and_then(Request::read) else {
        return refused(400, "not an add-checkpoint request");
    };
    let origin = request.checkpoint.lines().next().unwrap_or("");
    let keys: Vec<&VerifierKey> = logs.iter().filter(|key| key.name() == origin).collect();
    if keys.is_empty() {
        return refused(404, "no log of that origin is witnessed here");
    }
    let Some(checkpoint) = keys.iter().find_map(|key| Checkpoint::verify(request.checkpoint, key).ok())
    else {
        return refused(403, "the checkpoint is not signed by the log");
    };
    if request.old > checkpoint.size() {
        return refused(400, "the old size is larger than the new");
    }
    let cell = cell(origin);
    let stored = cell.load()?;
    let known = stored.as_deref().map(known).transpose()?;
    let known_size = known.as_ref().map_or(0, |known| known.size);
    if request.old != known_size {
        return Ok(WitnessAnswer::Size(known_size));
    }
    if let Some(known) = &known {
        if known.size == checkpoint.size() && known.root != *checkpoint.root() {
            let words = format!("{origin} has signed two trees of {} entries", known.size);
            return Ok(WitnessAnswer::Contradiction { status: 409, words });
        }
        let consistent = if known.size == 0 || known.size == checkpoint.size() {
            request.proof.is_empty()
        } else {
            let (old, new) = (known.size, checkpoint.size());
            verify_consistency(&request.proof, old, new, &known.root, checkpoint.root()).is_ok()
        };
        if !consistent {
            let words = format!(
                "{origin} has signed a tree of {} entries that is not shown to go on from the {} seen before",
                checkpoint.size(),
                known.size
            );
            return Ok(WitnessAnswer::Contradiction { status: 422, words });
        }
    } else if !request.proof.is_empty() {
        return refused(422, "a proof from the empty tree is empty");
    }
    match cell.replace(stored.as_deref(), checkpoint.note().as_bytes()) {
        Ok(()) => Ok(WitnessAnswer::Cosigned(cosigner.cosign(&checkpoint.text(), time))),
        Err(SeamError::Conflict) => {
            // Another request was faster: its size is the one to go on from.
            let stored = cell.load()?.as_deref().map(self::known).transpose()?;
            Ok(WitnessAnswer::Size(stored.map_or(0, |known| known.size)))
        }
        Err(error) => Err(error),
    }
}

/// Reads what the witness itself has stored.
fn known(stored: &[u8]) -> Result<Checkpoint, SeamError> {
    let damaged = || SeamError::Io {
        attempt: "read the witness's own state".into(),
        source: std::io::Error::from(std::io::ErrorKind::InvalidData),
    };
    let text = std::str::from_utf8(stored).map_err(|_| damaged())?;
    let (text, _) = note::read(text).map_err(|_| damaged())?;
    Checkpoint::parse(text).map_err(|_| damaged())
}

struct Request<'a> {
    old: u64,
    proof: Vec<Hash>,
    checkpoint: &'a str,
}

impl<'a> Request<'a> {
    fn read(body: &'a str) -> Option<Self> {
        let (first, mut rest) = body.split_once('\n')?;
        let number = first.strip_prefix("old ")?;
        let old: u64 = number.parse().ok()?;
        if old.to_string() != number {
            return None;
        }
        let mut proof = Vec::new();
        loop {
            let (line, tail) = rest.split_once('\n')?;
            rest = tail;
            if line.is_empty() {
                return Some(Self { old, proof, checkpoint: rest });
            }
            if proof.len() == PROOF_MAX {
                return None;
            }
            let bytes = STANDARD.decode(line).ok()?;
            proof.push(Hash::from_bytes(bytes.try_into().ok()?));
        }
    }
}
