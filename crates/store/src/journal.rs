//! A journal of the log's sequencer as a file: appended to, synced at each append, emptied when its tiles are written.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tlog::{Journal, SeamError};

use crate::error::StoreError;
use crate::heads::seam;
use crate::vault::sync_folder;

/// A longer journal is not read: a sequencer empties it long before.
const JOURNAL_MAX_BYTES: u64 = 4 << 30;

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    file: File,
    length: Mutex<u64>,
}

impl FileJournal {
    /// Opens a journal, and makes it if it is not there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let is_new = !path.is_file();
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(StoreError::io("open", path))?;
        if is_new && let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        let length = file.metadata().map_err(StoreError::io("look at", path))?.len();
        Ok(Self { path: path.to_path_buf(), file, length: Mutex::new(length) })
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write_all_at(bytes, *length).map_err(StoreError::io("write", &self.path))?;
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        *length += bytes.len() as u64;
        Ok(())
    }

    fn content(&self) -> Result<Vec<u8>, StoreError> {
        let file = File::open(&self.path).map_err(StoreError::io("open", &self.path))?;
        let mut bytes = Vec::new();
        file.take(JOURNAL_MAX_BYTES).read_to_end(&mut bytes).map_err(StoreError::io("read", &self.path))?;
        Ok(bytes)
    }

    fn empty(&self) -> Result<(), StoreError> {
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.set_len(0).map_err(StoreError::io("empty", &self.path))?;
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        *length = 0;
        Ok(())
    }
}

impl Journal for FileJournal {
    fn append(&self, bytes: &[u8]) -> Result<(), SeamError> {
        self.write(bytes).map_err(seam)
    }

    fn read(&self) -> Result<Vec<u8>, SeamError> {
        self.content().map_err(seam)
    }

    fn clear(&self) -> Result<(), SeamError> {
        self.empty().map_err(seam)
    }
}
