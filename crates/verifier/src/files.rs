//! Reading: hashing without holding, documents up to a bound, folders without following links.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use evidence::{Digest, Hasher};

/// Why the check itself could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder has more files than are looked at.
    #[error("`{0}` has more than {FILES_MAX} files")]
    TooMany(PathBuf),
}

/// More files of one folder are not looked at.
pub(crate) const FILES_MAX: usize = 5_000_000;

/// Hashes a file.
pub fn digest_of(path: &Path) -> Result<Digest, VerifyError> {
    let fail = |source| VerifyError::Read { path: path.to_path_buf(), source };
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Reads a file of at most `max_bytes`; none if there is no such file, and empty bytes if it is larger, which no
/// reader takes for a document.
pub fn read_bounded(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, VerifyError> {
    let fail = |source| VerifyError::Read { path: path.to_path_buf(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(if bytes.len() as u64 > max_bytes { Vec::new() } else { bytes }))
}

/// What stands in a folder.
#[derive(Default)]
pub(crate) struct Listing {
    /// Regular files, relative to the folder, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Links, devices and sockets: they have no bytes of their own to verify.
    pub(crate) others: Vec<PathBuf>,
}

/// Lists a folder and all below it; links are not followed.
pub(crate) fn list(folder: &Path) -> Result<Listing, VerifyError> {
    let mut listing = Listing::default();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let at = folder.join(&below);
        let fail = |source| VerifyError::Read { path: at.clone(), source };
        for entry in fs::read_dir(&at).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let kind = entry.file_type().map_err(fail)?;
            let path = below.join(entry.file_name());
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() {
                listing.files.push(path);
            } else {
                listing.others.push(path);
            }
            if listing.files.len() + listing.others.len() > FILES_MAX {
                return Err(VerifyError::TooMany(folder.to_path_buf()));
            }
        }
    }
    listing.files.sort();
    listing.others.sort();
    Ok(listing)
}
