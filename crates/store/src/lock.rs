//! The lock that all writers of a store hold while they append.

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
