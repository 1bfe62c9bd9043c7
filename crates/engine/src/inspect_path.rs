//! `inspect`: opens files and folders without executing anything.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use evidence::{BytePath, Tree};
use inspect::Budget;

use crate::error::{Error, Result};
use crate::files;

/// A larger file is not opened in memory.
pub(crate) const FILE_MAX_BYTES: u64 = 4 << 30;

/// Inspects bytes under a name, with the default budget.
pub(crate) fn inspect_bytes(name: &BytePath, bytes: &[u8]) -> Tree {
    inspect::open_file(name, bytes, &mut Budget::default())
}

/// Inspects a file or a folder.
pub fn inspect(path: &Path) -> Result<Tree> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let name = BytePath::from(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(inspect_bytes(&name, &files::read(path, FILE_MAX_BYTES)?));
    }
    let contents = contents(path).map_err(fail)?;
    Ok(inspect::folder(&name, contents, &mut Budget::default()))
}

/// Reads the files below a folder one by one, in order.
pub(crate) fn contents(folder: &Path) -> io::Result<impl Iterator<Item = (BytePath, io::Result<Vec<u8>>)>> {
    Ok(walk(folder)?.into_iter().map(|(relative, file)| {
        let content = read_entry(&file);
        (relative, content)
    }))
}

/// Lists the files below a folder by their paths relative to it, sorted.
pub(crate) fn walk(folder: &Path) -> io::Result<Vec<(BytePath, PathBuf)>> {
    let mut found = Vec::new();
    let mut stack = vec![folder.to_path_buf()];
    while let Some(at) = stack.pop() {
        for entry in std::fs::read_dir(&at)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                stack.push(entry.path());
            } else {
                let path = entry.path();
                let relative = path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_bytes().into();
                found.push((relative, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a regular file; the target of a link counts as its content, so that a retargeted link is a difference.
fn read_entry(path: &Path) -> io::Result<Vec<u8>> {
    let kind = std::fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        return Ok(std::fs::read_link(path)?.as_os_str().as_bytes().to_vec());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a link"));
    }
    files::read(path, FILE_MAX_BYTES).map_err(|error| match error {
        Error::Read { source, .. } => source,
        other => io::Error::other(other),
    })
}
