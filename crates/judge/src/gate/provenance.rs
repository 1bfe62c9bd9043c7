//! What the gate knows of where an artifact comes from.

use evidence::Digest;

/// What is known about an artifact's provenance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Provenance {
    /// There is none.
    Missing,
    /// It does not verify, or does not name this artifact and record.
    Invalid {
        /// Why.
        reason: String,
    },
    /// Its signature is good, but nobody knows the key.
    UnknownBuilder {
        /// Short name of the key.
        key: String,
    },
    /// Signed by a known builder; names this artifact and this record.
    Verified {
        /// Digest of the statement.
        statement: Digest,
    },
}
