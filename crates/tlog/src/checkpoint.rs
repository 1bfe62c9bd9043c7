//! Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log, as a signed note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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
        Ok(VerifiedCheckpoint { checkpoint, note: signed.to_owned() })
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
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
}
