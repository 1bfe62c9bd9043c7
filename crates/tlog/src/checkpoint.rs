//! Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log, as a signed note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cosignature::WitnessKey;
use crate::merkle::Hash;
use crate::note::{self, NoteError, NoteSigner, VerifierKey};

/// What a checkpoint says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// A checkpoint whose signature was verified. Only [`Checkpoint::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    key: VerifierKey,
    note: String,
}

/// Why a checkpoint was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error("the checkpoint's signature does not verify: {0}")]
    Note(#[from] NoteError),
    /// Its text.
    #[error("malformed checkpoint: {0}")]
    Malformed(&'static str),
    /// Another log's.
    #[error("the checkpoint is of log `{found}`, not `{wanted}`")]
    Origin {
        /// What it says.
        found: String,
        /// What it should say.
        wanted: String,
    },
}

impl Checkpoint {
    /// Writes the text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Signs the checkpoint.
    pub fn sign(&self, signer: &dyn NoteSigner) -> Result<String, NoteError> {
        note::sign(&self.text(), signer)
    }

    /// Verifies a signed checkpoint: signature by `key`, whose name is the origin; exact form. Extension lines
    /// are refused: we write none, and what they mean is not known.
    pub fn verify(signed: &str, key: &VerifierKey) -> Result<VerifiedCheckpoint, CheckpointError> {
        let checkpoint = Self::parse(note::open(signed, key)?)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin { found: checkpoint.origin, wanted: key.name().to_owned() });
        }
        Ok(VerifiedCheckpoint { checkpoint, key: key.clone(), note: signed.to_owned() })
    }

    /// Reads the text of a checkpoint, of which no signature has been checked.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("three lines are expected"));
        };
        let size: u64 = size.parse().map_err(|_| CheckpointError::Malformed("the size"))?;
        let root = STANDARD.decode(root).map_err(|_| CheckpointError::Malformed("the root"))?;
        let root = root.try_into().map_err(|_| CheckpointError::Malformed("the root"))?;
        let checkpoint = Self { origin: origin.to_owned(), size, root: Hash::from_bytes(root) };
        // One checkpoint, one spelling: no leading zeros, no other line ends.
        if checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Malformed("not in its one form"))
        }
    }
}

impl VerifiedCheckpoint {
    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Its root.
    pub fn root(&self) -> &Hash {
        &self.checkpoint.root
    }

    /// The signed note.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        self.checkpoint.text()
    }

    /// Returns when a witness cosigned it, in seconds since 1970, or none if it did not. A line that names the
    /// witness and is not its is an error.
    pub fn cosigned_by(&self, witness: &WitnessKey) -> Result<Option<u64>, NoteError> {
        let (text, lines) = note::read(&self.note)?;
        let mut newest = None;
        for line in &lines {
            if let Some(time) = witness.verify(text, line) {
                newest = newest.max(Some(time?));
            }
        }
        Ok(newest)
    }

    /// Tells whether each signature line names the log or one of these witnesses, so that no line is there that
    /// nobody has checked.
    pub fn is_only_by(&self, witnesses: &[&WitnessKey]) -> bool {
        let Ok((text, lines)) = note::read(&self.note) else { return false };
        lines.iter().all(|line| {
            self.key.is_named_by(line) || witnesses.iter().any(|witness| witness.verify(text, line).is_some())
        })
    }

    /// Adds the cosignatures in a witness's answer that are by this witness and verify; returns whether one was
    /// there.
    pub fn add_cosignatures(&mut self, answer: &str, witness: &WitnessKey) -> Result<bool, NoteError> {
        let text = self.text();
        let mut added = false;
        for written in answer.lines() {
            let line = note::line(written)?;
            if let Some(time) = witness.verify(&text, &line) {
                time?;
                self.note.push_str(written);
                self.note.push('\n');
                added = true;
            }
        }
        Ok(added)
    }
}
