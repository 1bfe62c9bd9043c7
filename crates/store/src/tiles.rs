//! The log's tiles as plain files that a web server could hand out.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tlog::{SeamError, Tiles};

use crate::error::StoreError;
use crate::heads::seam;
use crate::vault::sync_folder;

/// Tiles in a folder.
#[derive(Debug)]
pub struct TileDirectory {
    root: PathBuf,
    /// Files and folders that were staged and are not synced yet.
    staged: Mutex<Staged>,
}

#[derive(Debug, Default)]
struct Staged {
    files: Vec<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl TileDirectory {
    /// Opens a folder of tiles.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        if !root.is_dir() {
            return Err(StoreError::Missing(root.to_path_buf()));
        }
        Ok(Self { root: root.to_path_buf(), staged: Mutex::default() })
    }

    fn path(&self, path: &str) -> Result<PathBuf, SeamError> {
        let relative = Path::new(path);
        if relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(relative));
        }
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        Err(SeamError::Io { attempt: format!("use the tile path `{path}`"), source })
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.root);
        let mut made = Vec::new();
        let mut missing = folder;
        while !missing.is_dir() {
            made.push(missing);
            missing = missing.parent().unwrap_or(&self.root);
        }
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        let mut file = tempfile::Builder::new()
            .prefix(".tile-")
            .tempfile_in(folder)
            .map_err(StoreError::io("create a file in", folder))?;
        file.write_all(bytes).map_err(StoreError::io("write", path))?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(StoreError::io("write", path))?;
        file.as_file().sync_all().map_err(StoreError::io("sync", path))?;
        file.persist(path).map_err(|error| StoreError::io("name", path)(error.error))?;
        sync_folder(folder)?;
        made.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
    }
}

/// Threads that sync at the same time: the file system commits what they ask for together.
const SYNCING_MAX: usize = 16;

impl TileDirectory {
    fn stage_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.root);
        let mut folders = BTreeSet::from([folder.to_path_buf()]);
        let mut missing = folder;
        while !missing.is_dir() {
            missing = missing.parent().unwrap_or(&self.root);
            folders.insert(missing.to_path_buf());
        }
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        // One writer, so the name is its own; an old one is what a crash has left.
        let mut name = std::ffi::OsString::from(".staged-");
        name.push(path.file_name().unwrap_or_default());
        let temporary = folder.join(name);
        fs::write(&temporary, bytes).map_err(StoreError::io("write", &temporary))?;
        fs::rename(&temporary, path).map_err(StoreError::io("name", path))?;
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged.files.push(path.to_path_buf());
        staged.folders.extend(folders);
        Ok(())
    }

    fn sync_staged(&self) -> Result<(), StoreError> {
        let staged = std::mem::take(&mut *self.staged.lock().unwrap_or_else(PoisonError::into_inner));
        let all: Vec<&PathBuf> = staged.files.iter().chain(&staged.folders).collect();
        let next = AtomicUsize::new(0);
        let run = || loop {
            let Some(path) = all.get(next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
            fs::File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))?;
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..SYNCING_MAX.min(all.len())).map(|_| scope.spawn(run)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

impl Tiles for TileDirectory {
    fn stage(&self, path: &str, bytes: &[u8]) -> Result<(), SeamError> {
        let file = self.path(path)?;
        self.stage_file(&file, bytes).map_err(seam)
    }

    fn settle(&self) -> Result<(), SeamError> {
        self.sync_staged().map_err(seam)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SeamError> {
        let file = self.path(path)?;
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SeamError::Io { attempt: format!("read `{}`", file.display()), source }),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), SeamError> {
        let file = self.path(path)?;
        self.write_file(&file, bytes).map_err(seam)
    }
}
