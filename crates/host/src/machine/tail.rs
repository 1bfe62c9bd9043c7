//! Reading a log as it grows, over rotations, and noticing when it was cut or rewritten.
//!
//! A position names device and inode and covers the last bytes before it by a digest. So it is seen if the file was
//! replaced (then the rest of the old one is looked for beside it, as log rotation leaves it there), if it became shorter,
//! and if what had been read is no longer there.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evidence::Digest;
use evidence::machine::Position;

/// How many bytes before a position its digest covers.
const COVERED_BYTES: u64 = 1024;

/// A log that is followed.
pub struct Tail {
    path: PathBuf,
    position: Option<Position>,
}

/// What is new in a log.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Chunk {
    /// Bytes that have not been read before.
    pub bytes: Vec<u8>,
    /// What is missing before them: `log-replaced`, `log-truncated` or `log-rewritten`.
    pub gap: Option<&'static str>,
    /// Whether nothing follows for now.
    pub end: bool,
    /// Whether these are the last bytes of a file that has been rotated away: an unfinished line stays unfinished.
    pub rotated: bool,
}

impl Tail {
    /// Follows a log from where it was left, or from its beginning.
    pub fn new(path: PathBuf, position: Option<Position>) -> Self {
        Self { path, position }
    }

    /// The log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it has been read.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Reads on, at most `max` bytes; how many of them were used is said by [`Self::used`] or, if none, not at all.
    pub fn read(&mut self, max: usize) -> io::Result<Chunk> {
        let mut file = open(&self.path)?;
        let facts = file.metadata()?;
        let mut gap = None;
        let mut rotated = false;
        if let Some(position) = self.position.clone() {
            if (facts.dev(), facts.ino()) != (position.device, position.inode) {
                match self.rotated(&position)? {
                    Some((old, length)) if holds(&old, length, &position)? => {
                        if length > position.offset {
                            file = old;
                            rotated = true;
                        } else {
                            self.position = None;
                        }
                    }
                    _ => {
                        gap = Some("log-replaced");
                        self.position = None;
                    }
                }
            } else if facts.len() < position.offset {
                gap = Some("log-truncated");
                self.position = None;
            } else if !holds(&file, facts.len(), &position)? {
                gap = Some("log-rewritten");
                self.position = None;
            }
        }
        let facts = file.metadata()?;
        if self.position.is_none() {
            self.position = Some(beginning(&facts));
        }
        let offset = self.position.as_ref().map_or(0, |position| position.offset);
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(max as u64).read_to_end(&mut bytes)?;
        let end = bytes.len() < max;
        Ok(Chunk { end: end && !rotated, rotated: rotated && end, bytes, gap })
    }

    /// Says how many bytes of a chunk were used; the rest will be read again.
    pub fn used(&mut self, chunk: &[u8], used: usize) {
        let Some(position) = self.position.as_mut().filter(|_| used > 0) else { return };
        let used_bytes = chunk.get(..used).unwrap_or(chunk);
        position.offset += used_bytes.len() as u64;
        let covered = COVERED_BYTES.min(position.offset);
        if let Some(from) = used_bytes.len().checked_sub(usize::try_from(covered).unwrap_or(usize::MAX)) {
            position.covered = covered;
            position.digest = Digest::of(&used_bytes[from..]);
        } else {
            position.covered = used_bytes.len() as u64;
            position.digest = Digest::of(used_bytes);
        }
    }

    /// Looks for the file that was read so far, under the name that rotation gave it.
    fn rotated(&self, position: &Position) -> io::Result<Option<(File, u64)>> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(None);
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
                continue;
            }
            let Ok(facts) = fs::symlink_metadata(entry.path()) else { continue };
            if facts.is_file() && (facts.dev(), facts.ino()) == (position.device, position.inode) {
                return Ok(Some((open(&entry.path())?, facts.len())));
            }
        }
        Ok(None)
    }
}

/// Opens a regular file; a pipe in its place would keep us waiting.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

fn beginning(facts: &Metadata) -> Position {
    Position {
        device: facts.dev(),
        inode: facts.ino(),
        offset: 0,
        covered: 0,
        digest: Digest::of(b""),
        cursor: None,
    }
}

/// Tells whether the bytes before a position are still those that were read.
fn holds(file: &File, length: u64, position: &Position) -> io::Result<bool> {
    let covered = position.covered.min(COVERED_BYTES);
    let Some(from) = position.offset.checked_sub(covered).filter(|_| length >= position.offset) else {
        return Ok(false);
    };
    let mut file = file;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(covered).read_to_end(&mut bytes)?;
    Ok(Digest::of(&bytes) == position.digest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(tail: &mut Tail) -> (String, Option<&'static str>) {
        let chunk = tail.read(4096).unwrap();
        tail.used(&chunk.bytes, chunk.bytes.len());
        (String::from_utf8(chunk.bytes).unwrap(), chunk.gap)
    }

    #[test]
    fn a_log_is_followed_over_rotation_and_what_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.log");
        let append = |text: &str| {
            File::options()
                .create(true)
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        append("one\n");
        let mut tail = Tail::new(path.clone(), None);
        assert_eq!(read(&mut tail), ("one\n".into(), None));
        assert_eq!(read(&mut tail), (String::new(), None));
        append("two\n");
        // As logrotate does; another process goes on from the position.
        fs::rename(&path, folder.path().join("auth.log.1")).unwrap();
        append("three\n");
        let mut tail = Tail::new(path.clone(), tail.position().cloned());
        assert_eq!(read(&mut tail), ("two\n".into(), None));
        assert_eq!(read(&mut tail), ("three\n".into(), None));
        fs::write(&path, "x\n").unwrap();
        assert_eq!(read(&mut tail), ("x\n".into(), Some("log-truncated")));
        fs::write(&path, "y\nz\n").unwrap();
        assert_eq!(read(&mut tail), ("y\nz\n".into(), Some("log-rewritten")));
        fs::remove_file(&path).unwrap();
        assert!(tail.read(10).is_err());
        let mut other = File::create(folder.path().join("keep")).unwrap();
        other.write_all(b"holds an inode").unwrap();
        append("new\n");
        let (text, gap) = read(&mut tail);
        assert_eq!(text, "new\n");
        assert!(gap.is_some());
    }

    #[test]
    fn what_was_not_used_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "whole\nhal").unwrap();
        let mut tail = Tail::new(path.clone(), None);
        let chunk = tail.read(4096).unwrap();
        tail.used(&chunk.bytes, 6);
        File::options().append(true).open(&path).unwrap().write_all(b"f\n").unwrap();
        assert_eq!(read(&mut tail), ("half\n".into(), None));
    }
}
