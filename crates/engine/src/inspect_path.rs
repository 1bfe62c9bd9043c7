//! `inspect`: opens files and folders without executing anything.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use evidence::{BytePath, Tree};
use inspect::{Budget, Entry, Opened, Wishes};

use crate::error::{Error, Result};
use crate::files;

/// A larger file is not opened.
pub(crate) const FILE_MAX_BYTES: u64 = 4 << 30;

/// The roots of a large program have two megabytes.
const ROOTS_MAX_BYTES: u64 = 64 << 20;

/// Inspects bytes under a name, with the default budget.
pub(crate) fn inspect_bytes(name: &BytePath, bytes: &[u8]) -> Tree {
    inspect::open_file(name, bytes, &mut Budget::default())
}

/// Inspects a file under a name, with the default budget. It is read where it lies.
pub(crate) fn inspect_file(name: &BytePath, path: &Path) -> Result<Tree> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let file = regular(path).map_err(fail)?;
    inspect::open(name, file, &mut Budget::default()).map_err(fail)
}

/// Opens a file that may be read where it lies.
pub(crate) fn regular(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    if facts.len() > FILE_MAX_BYTES {
        let detail = format!("larger than {FILE_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, detail));
    }
    Ok(file)
}

/// Inspects a file or a folder.
pub fn inspect(path: &Path) -> Result<Tree> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let name = BytePath::from(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    let facts = std::fs::metadata(path).map_err(fail)?;
    if facts.is_file() {
        return inspect_file(&name, path);
    }
    if !facts.is_dir() {
        return Ok(inspect_bytes(&name, &files::read(path, FILE_MAX_BYTES)?));
    }
    let contents = contents(path).map_err(fail)?;
    Ok(inspect::folder(&name, contents, &mut Budget::default()))
}

/// Inspects a file or a folder, and follows signatures to the certificates in files that somebody trusts.
pub fn inspect_to_roots(path: &Path, roots: &[PathBuf]) -> Result<Tree> {
    if roots.is_empty() {
        return inspect(path);
    }
    let mut wishes = Wishes::default();
    for file in roots {
        if wishes.add_roots(&files::read(file, ROOTS_MAX_BYTES)?) == 0 {
            let source = io::Error::new(io::ErrorKind::InvalidData, "there is no certificate in it");
            return Err(Error::Read { path: file.clone(), source });
        }
    }
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let name = BytePath::from(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    let what = if path.is_dir() {
        Opened::Folder(contents(path).map_err(fail)?)
    } else {
        Opened::File(regular(path).map_err(fail)?)
    };
    inspect::open_with(&name, what, &wishes, &mut Budget::default()).map_err(fail)
}

/// Opens the files below a folder one by one, in order.
pub(crate) fn contents(folder: &Path) -> io::Result<impl Iterator<Item = (BytePath, io::Result<Entry>)>> {
    Ok(walk(folder)?.into_iter().map(|(relative, file)| {
        let content = entry(&file);
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

/// Opens a regular file; the target of a link counts as its content, so that a retargeted link is a difference.
fn entry(path: &Path) -> io::Result<Entry> {
    let kind = std::fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        return Ok(Entry::Link(std::fs::read_link(path)?.as_os_str().as_bytes().to_vec()));
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a link"));
    }
    regular(path).map(Entry::File)
}
