//! The vault: immutable objects named by their digest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use evidence::{Digest, Hasher};

use crate::error::StoreError;

/// Immutable objects by digest.
pub trait Vault {
    /// Puts what a reader gives; durable when this returns. An object that is there already is left alone.
    fn put(&self, content: &mut dyn Read) -> Result<Digest, StoreError>;

    /// Opens an object. The reader fails at the end if the bytes were not those of the digest.
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read>, StoreError>;

    /// Lists all objects, sorted.
    fn list(&self) -> Result<Vec<Digest>, StoreError>;

    /// Puts bytes.
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.put(&mut &*bytes)
    }

    /// Reads an object of at most `limit` bytes; what is returned has the digest.
    fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError>;
}

/// A vault in a folder: `ab/cdef…` by the hex digits of the digest.
#[derive(Debug)]
pub struct DirectoryVault {
    root: PathBuf,
}

impl DirectoryVault {
    /// Makes an empty vault in an existing folder.
    pub fn create(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root.join("tmp")).map_err(StoreError::io("create", root))?;
        Self::open_at(root)
    }

    /// Opens a vault.
    pub fn open_at(root: &Path) -> Result<Self, StoreError> {
        if !root.is_dir() {
            return Err(StoreError::Missing(root.to_path_buf()));
        }
        Ok(Self { root: root.to_path_buf() })
    }

    /// Returns where an object lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(&hex[..2]).join(&hex[2..])
    }

    /// Removes what puts that never ended have left behind.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        let folder = self.root.join("tmp");
        let mut swept = 0;
        for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
            let path = entry.map_err(StoreError::io("list", &folder))?.path();
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            swept += 1;
        }
        Ok(swept)
    }
}

/// Order of effects: temporary file, sync, rename, sync of the folder. A crash before the rename leaves a
/// temporary file that `sweep` removes; after it, the object.
impl Vault for DirectoryVault {
    fn put(&self, content: &mut dyn Read) -> Result<Digest, StoreError> {
        let folder = self.root.join("tmp");
        let mut file = tempfile::Builder::new()
            .prefix("put-")
            .tempfile_in(&folder)
            .map_err(StoreError::io("create a file in", &folder))?;
        let mut hasher = Hasher::new();
        let mut size = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io("read what goes into", &self.root)(error)),
            };
            hasher.update(&buffer[..length]);
            size += length as u64;
            file.write_all(&buffer[..length]).map_err(StoreError::io("write into", &folder))?;
        }
        let digest = hasher.finish();
        let path = self.path(&digest);
        if fs::symlink_metadata(&path).is_ok_and(|known| known.is_file() && known.len() == size) {
            return Ok(digest);
        }
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        file.as_file().set_permissions(read_only).map_err(StoreError::io("write into", &folder))?;
        file.as_file().sync_all().map_err(StoreError::io("sync", &folder))?;
        let shelf = path.parent().unwrap_or(&self.root);
        if !shelf.is_dir() {
            fs::create_dir_all(shelf).map_err(StoreError::io("create", shelf))?;
            sync_folder(&self.root)?;
        }
        file.persist(&path).map_err(|error| StoreError::io("name", &path)(error.error))?;
        sync_folder(shelf)?;
        Ok(digest)
    }

    fn open(&self, digest: &Digest) -> Result<Box<dyn Read>, StoreError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Box::new(Verifying { inner: file, hasher: Some(Hasher::new()), digest: *digest })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NoObject(*digest)),
            Err(error) => Err(StoreError::io("open", &path)(error)),
        }
    }

    fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let mut found = Vec::new();
        for shelf in fs::read_dir(&self.root).map_err(StoreError::io("list", &self.root))? {
            let shelf = shelf.map_err(StoreError::io("list", &self.root))?.path();
            let Some(first) = shelf.file_name().and_then(|name| name.to_str()).filter(|name| name.len() == 2)
            else {
                continue;
            };
            for object in fs::read_dir(&shelf).map_err(StoreError::io("list", &shelf))? {
                let object = object.map_err(StoreError::io("list", &shelf))?.file_name();
                let name = object.to_str().and_then(|rest| Digest::from_hex(&format!("{first}{rest}")).ok());
                found.extend(name);
            }
        }
        found.sort();
        Ok(found)
    }

    fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let reader = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoObject(*digest),
            _ => StoreError::io("open", &path)(error),
        })?;
        let mut bytes = Vec::new();
        reader
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("read", &path))?;
        checked(bytes, digest, limit, path)
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", folder))
}

fn checked(bytes: Vec<u8>, digest: &Digest, limit: u64, path: PathBuf) -> Result<Vec<u8>, StoreError> {
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge { digest: *digest, limit });
    }
    if Digest::of(&bytes) != *digest {
        return Err(StoreError::Corrupt { digest: *digest, path });
    }
    Ok(bytes)
}

struct Verifying<R> {
    inner: R,
    hasher: Option<Hasher>,
    digest: Digest,
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..length]);
            }
            return Ok(length);
        }
        if buffer.is_empty() || self.hasher.take().is_none_or(|hasher| hasher.finish() == self.digest) {
            return Ok(0);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("object {} is corrupt", self.digest)))
    }
}

/// A vault in memory, for tests; it can be made to fail.
#[derive(Default)]
pub struct MemoryVault {
    objects: Mutex<(BTreeMap<Digest, Vec<u8>>, bool)>,
}

impl MemoryVault {
    /// Makes every put fail, as on a full disk, until told otherwise.
    pub fn fill_up(&self, full: bool) {
        self.objects().1 = full;
    }

    /// Changes an object behind the vault's back.
    pub fn tamper(&self, digest: &Digest, bytes: &[u8]) {
        self.objects().0.insert(*digest, bytes.to_vec());
    }

    fn objects(&self) -> MutexGuard<'_, (BTreeMap<Digest, Vec<u8>>, bool)> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault for MemoryVault {
    fn put(&self, content: &mut dyn Read) -> Result<Digest, StoreError> {
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("read what goes into", Path::new("memory")))?;
        let mut objects = self.objects();
        if objects.1 {
            return Err(StoreError::io("write into", Path::new("memory"))(io::ErrorKind::StorageFull.into()));
        }
        let digest = Digest::of(&bytes);
        objects.0.insert(digest, bytes);
        Ok(digest)
    }

    fn open(&self, digest: &Digest) -> Result<Box<dyn Read>, StoreError> {
        let bytes = self.objects().0.get(digest).cloned().ok_or(StoreError::NoObject(*digest))?;
        Ok(Box::new(Verifying {
            inner: io::Cursor::new(bytes),
            hasher: Some(Hasher::new()),
            digest: *digest,
        }))
    }

    fn list(&self) -> Result<Vec<Digest>, StoreError> {
        Ok(self.objects().0.keys().copied().collect())
    }

    fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.objects().0.get(digest).cloned().ok_or(StoreError::NoObject(*digest))?;
        checked(bytes, digest, limit, PathBuf::from("memory"))
    }
}
