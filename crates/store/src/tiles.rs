//! The log's tiles as plain files that a web server could hand out.

use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use tlog::{SeamError, Tiles};

use crate::error::StoreError;
use crate::heads::seam;
use crate::vault::sync_folder;

/// Tiles in a folder.
#[derive(Debug)]
pub struct TileDirectory {
    root: PathBuf,
}

impl TileDirectory {
    /// Opens a folder of tiles.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        if !root.is_dir() {
            return Err(StoreError::Missing(root.to_path_buf()));
        }
        Ok(Self { root: root.to_path_buf() })
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

impl Tiles for TileDirectory {
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
