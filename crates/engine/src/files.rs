//! Reading and writing the few files outside the store: whole or not at all.

use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Reads a file of at most `max_bytes`.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > max_bytes {
        return Err(fail(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("larger than {max_bytes} bytes"),
        )));
    }
    Ok(bytes)
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    String::from_utf8(read(path, max_bytes)?)
        .map_err(|error| fail(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

/// Writes a file whole or not at all: temporary file, sync, rename, sync of the folder.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |source| Error::Write { path: path.to_path_buf(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".countersign-").tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}

/// Writes a new file that only its owner can read.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |source| Error::Write { path: path.to_path_buf(), source };
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let mut file = options.open(path).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)
}
