//! Where evidence is kept: the [`Vault`] (immutable, by digest), the [`Heads`] (the few cells that change, by
//! compare-and-swap) and the [`Index`] (derived, rebuilt from the other two at will).
//!
//! SQL is spoken here and nowhere else. No verdict is taken from the index alone. Raw trace events are sealed
//! Parquet segments in the vault, never rows.

mod error;
mod heads;
mod index;
mod journal;
mod lock;
pub mod occurrences;
mod segment;
mod tiles;
mod vault;

pub use error::StoreError;
pub use heads::{Heads, HeadsCell, MemoryHeads, SqliteHeads};
pub use index::{ApprovalRow, EntryRow, Fact, FileRow, Index, RecordRow, SignatureRow, SqliteIndex};
pub use journal::FileJournal;
pub use lock::{SequencerLock, StoreLock};
pub use segment::{SEGMENT_ROWS_MAX, SegmentWriter, read_segment};
pub use tiles::TileDirectory;
pub use vault::{DirectoryVault, MemoryVault, Vault};
