//! Heads: the few named cells that change, by compare-and-swap.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tlog::{HeadCell, SeamError};

use crate::error::StoreError;

/// Named cells.
pub trait Heads {
    /// Reads a cell.
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces `old` by `new`, or refuses with [`StoreError::Conflict`]; durable when this returns.
    fn replace(&self, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), StoreError>;

    /// Returns one cell as the log's head.
    fn cell<'a>(&'a self, name: &'a str) -> HeadsCell<'a>
    where
        Self: Sized + Sync,
    {
        HeadsCell { heads: self, name }
    }
}

/// One cell, as the log sees it.
pub struct HeadsCell<'a> {
    heads: &'a (dyn Heads + Sync),
    name: &'a str,
}

impl HeadCell for HeadsCell<'_> {
    fn load(&self) -> Result<Option<Vec<u8>>, SeamError> {
        self.heads.load(self.name).map_err(seam)
    }

    fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<(), SeamError> {
        self.heads.replace(self.name, old, new).map_err(seam)
    }
}

pub(crate) fn seam(error: StoreError) -> SeamError {
    match error {
        StoreError::Conflict(_) => SeamError::Conflict,
        StoreError::Io { attempt, path, source } => {
            SeamError::Io { attempt: format!("{attempt} `{}`", path.display()), source }
        }
        other => SeamError::Io { attempt: "use the store".into(), source: std::io::Error::other(other) },
    }
}

/// Heads in a SQLite file, synced at every change.
pub struct SqliteHeads {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl SqliteHeads {
    /// Makes a new file.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let heads = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let sql = "CREATE TABLE heads (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID";
        heads.with(|connection| connection.execute(sql, []).map(drop))?;
        Ok(heads)
    }

    /// Opens an existing file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing(path.to_path_buf()));
        }
        match Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
            Ok(heads) => Ok(heads),
            // A read-only store can still be read.
            Err(StoreError::Database { .. }) => Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
            Err(error) => Err(error),
        }
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let connection = Connection::open_with_flags(path, flags).map_err(StoreError::database(path))?;
        let setup = "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000";
        connection.execute_batch(setup).map_err(StoreError::database(path))?;
        Ok(Self { path: path.to_path_buf(), connection: Mutex::new(connection) })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        run(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner))
            .map_err(StoreError::database(&self.path))
    }
}

const SELECT: &str = "SELECT value FROM heads WHERE name = ?1";

impl Heads for SqliteHeads {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|connection| connection.query_row(SELECT, [name], |row| row.get(0)).optional())
    }

    fn replace(&self, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), StoreError> {
        let replaced = self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let now: Option<Vec<u8>> = transaction.query_row(SELECT, [name], |row| row.get(0)).optional()?;
            if now.as_deref() != old {
                return Ok(false);
            }
            let sql = "INSERT INTO heads (name, value) VALUES (?1, ?2) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            transaction.execute(sql, params![name, new])?;
            transaction.commit()?;
            Ok(true)
        })?;
        if replaced { Ok(()) } else { Err(StoreError::Conflict(name.to_owned())) }
    }
}

/// Heads in memory, for tests.
#[derive(Default)]
pub struct MemoryHeads {
    cells: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Heads for MemoryHeads {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.cells.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn replace(&self, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), StoreError> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.get(name).map(Vec::as_slice) != old {
            return Err(StoreError::Conflict(name.to_owned()));
        }
        cells.insert(name.to_owned(), new.to_vec());
        Ok(())
    }
}
