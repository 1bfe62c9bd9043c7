//! The locks: all writers of a store hold one while they append, and who sequences a log holds one for as long as it
//! does.

use std::fs::File;
use std::path::Path;

use crate::error::StoreError;

/// Held until dropped, also by the death of its process.
#[derive(Debug)]
pub struct StoreLock {
    file: File,
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
        Ok(Self { file })
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        release(&self.file);
    }
}

/// Held by the one process that sequences a log; also ended by its death.
#[derive(Debug)]
pub struct SequencerLock {
    file: File,
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
            Ok(()) => Ok(Self { file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Sequenced(path.to_path_buf())),
            Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        }
    }
}

impl Drop for SequencerLock {
    fn drop(&mut self) {
        release(&self.file);
    }
}

/// Gives a lock back in so many words: closing the file would leave it with a child that another thread has forked and
/// that has not executed its program yet, for it shares the open file (flock(2)).
fn release(file: &File) {
    // It cannot fail on a file that is open; if it did, closing would still give the lock back.
    file.unlock().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_though_a_child_still_shares_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = SequencerLock::acquire(&path).unwrap();
        let forked = held.file.try_clone().unwrap();
        assert!(matches!(SequencerLock::acquire(&path), Err(StoreError::Sequenced(_))));
        drop(held);
        let again = SequencerLock::acquire(&path).unwrap();
        drop((again, forked));
        let held = StoreLock::acquire(&path).unwrap();
        let forked = held.file.try_clone().unwrap();
        drop(held);
        assert!(SequencerLock::acquire(&path).is_ok());
        drop(forked);
    }
}
