//! A transparency log in files: C2SP tlog-tiles, checkpoints as signed notes, proofs, and a sequencer over two
//! small seams.
//!
//! It knows nothing of builds. A reader trusts nothing that it has not hashed up to a signed checkpoint.

mod checkpoint;
mod cosignature;
mod edge;
mod group;
mod journal;
mod log;
mod merkle;
mod note;
mod path;
mod policy;
mod seam;
mod sequencer;
mod witness;

pub use checkpoint::{Checkpoint, CheckpointError, VerifiedCheckpoint};
pub use cosignature::{Cosigner, WitnessKey};
pub use group::{GroupLimits, Receipt, Submission, commit_groups};
pub use journal::Journal;
pub use log::{Appended, CheckReport, Damage, ENTRY_MAX_BYTES, InclusionProof, Log, LogError};
pub use merkle::{
    Hash, ProofError, leaf_hash, node_hash, prove_consistency, prove_inclusion, root_of, verify_consistency,
    verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};
pub use note::{Ed25519Signer, NoteError, NoteSigner, VerifierKey};
pub use path::{ENTRIES, tile_path};
pub use policy::{Cosigned, PolicyError, PolicyLog, PolicyWitness, WitnessPolicy};
pub use seam::{Fault, HeadCell, MemoryHead, MemoryJournal, MemoryTiles, SeamError, Tiles};
pub use sequencer::{Batch, Sequencer, Settlement, recover};
pub use witness::{WitnessAnswer, add_checkpoint, add_checkpoint_body};
