//! Why the store could not do its work.

use std::path::{Path, PathBuf};

use evidence::Digest;

/// What was attempted and failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A part of the store is not there.
    #[error("`{0}` is missing from the store")]
    Missing(PathBuf),
    /// Another process sequences the log.
    #[error("another process writes this log: it holds `{0}`")]
    Sequenced(PathBuf),
    /// No object with this digest.
    #[error("object {0} is not in the vault")]
    NoObject(Digest),
    /// An object has other bytes than its name says.
    #[error("object {digest} in the vault has other bytes: `{path}` is corrupt")]
    Corrupt {
        /// Its name.
        digest: Digest,
        /// Where it lies.
        path: PathBuf,
    },
    /// An object is larger than the reader wants to hold.
    #[error("object {digest} is larger than {limit} bytes")]
    TooLarge {
        /// Its name.
        digest: Digest,
        /// The limit.
        limit: u64,
    },
    /// A file operation failed.
    #[error("cannot {attempt} `{path}`")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A database refused.
    #[error("cannot use the database `{path}`")]
    Database {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The index has another version; it can be rebuilt.
    #[error("the index `{path}` has version {found}, not {wanted}")]
    IndexVersion {
        /// Its file.
        path: PathBuf,
        /// What it has.
        found: i64,
        /// What we have.
        wanted: i64,
    },
    /// A stored value does not have its form.
    #[error("a value in `{path}` is malformed")]
    Value {
        /// The database.
        path: PathBuf,
    },
    /// A head is not what the writer took it for.
    #[error("the head `{0}` was replaced by somebody else")]
    Conflict(String),
    /// A segment could not be written or read.
    #[error("malformed trace segment: {0}")]
    Segment(String),
}

impl StoreError {
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { attempt, path, source }
    }

    pub(crate) fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Database { path: path.clone(), source }
    }

    /// Tells whether a database found no room on its disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }

    /// Tells whether throwing the index away and rebuilding it would help.
    pub fn is_rebuildable(&self) -> bool {
        match self {
            Self::IndexVersion { .. } | Self::Value { .. } => true,
            Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }
}
