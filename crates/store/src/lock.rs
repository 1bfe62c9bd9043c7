//! The locks: all writers of a store hold one while they append, and who sequences a log holds one for as long as it
//! does.

use std::fs::File;
use std::path::Path;

use crate::error::StoreError;

/// Held until dropped, also by the death of its process.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Waits for the lock.
    pub fn acquire(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(StoreError::io("open the lock", path))?;
        file.lock().map_err(StoreError::io("lock", path))?;
        Ok(Self { _file: file })
    }
}

/// Held by the one process that sequences a log; also ended by its death.
#[derive(Debug)]
pub struct SequencerLock {
    _file: File,
}

impl SequencerLock {
    /// Takes the lock, or refuses at once with [`StoreError::Sequenced`] if another process has it.
    pub fn acquire(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(StoreError::io("open the lock", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Sequenced(path.to_path_buf())),
            Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        }
    }
}
