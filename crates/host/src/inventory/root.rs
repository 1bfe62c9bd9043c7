//! A machine's folders under a root: `/` for the running one, or where another machine's file system lies. Paths that are
//! written in it are resolved in it: a link of the other machine never leads into ours.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use evidence::{BytePath, Digest, Hasher};

use super::Facts;

/// A settings file larger than this is not read.
const FILE_MAX_BYTES: u64 = 16 << 20;
const LINKS_MAX: u32 = 20;
/// Entries of one folder.
const ENTRIES_MAX: usize = 100_000;

/// A machine's root folder.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// Takes a folder as the root of a machine.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.canonicalize()? })
    }

    /// Tells whether it is the machine that runs.
    pub fn is_live(&self) -> bool {
        self.path == Path::new("/")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Follows links as the machine itself would: `None` if there is nothing.
    pub(crate) fn resolve(&self, inside: &Path) -> Option<PathBuf> {
        let mut waiting: Vec<PathBuf> =
            inside.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect();
        let (mut at, mut links) = (self.path.clone(), 0);
        while let Some(part) = waiting.pop() {
            match part.components().next() {
                Some(Component::Normal(name)) => {
                    let next = at.join(name);
                    if fs::symlink_metadata(&next).ok()?.is_symlink() {
                        links += 1;
                        if links > LINKS_MAX {
                            return None;
                        }
                        let target = fs::read_link(&next).ok()?;
                        if target.is_absolute() {
                            at = self.path.clone();
                        }
                        waiting.extend(target.components().rev().map(|part| PathBuf::from(part.as_os_str())));
                    } else {
                        at = next;
                    }
                }
                Some(Component::ParentDir) if at != self.path => {
                    at.pop();
                }
                _ => {}
            }
        }
        Some(at)
    }

    /// The path as the machine itself has it.
    pub(crate) fn inside(&self, path: &Path) -> BytePath {
        let relative = path.strip_prefix(&self.path).unwrap_or(path);
        BytePath::new(Path::new("/").join(relative).into_os_string().into_encoded_bytes())
    }

    /// Reads a file, if it is there; what keeps it from being read is a gap.
    pub(crate) fn read(&self, inside: impl AsRef<Path>, facts: &mut Facts) -> Option<Vec<u8>> {
        let path = self.resolve(inside.as_ref())?;
        let read = || -> io::Result<Option<Vec<u8>>> {
            if !fs::metadata(&path)?.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            File::open(&path)?.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > FILE_MAX_BYTES {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            Ok(Some(bytes))
        };
        match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                facts.gaps.push(format!("{}: {error}", self.inside(&path)));
                None
            }
        }
    }

    /// Reads a text file.
    pub(crate) fn text(&self, inside: impl AsRef<Path>, facts: &mut Facts) -> Option<String> {
        self.read(inside, facts).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Lists a folder, sorted; what keeps it from being listed is a gap.
    pub(crate) fn list(&self, inside: impl AsRef<Path>, facts: &mut Facts) -> Vec<PathBuf> {
        let Some(folder) = self.resolve(inside.as_ref()).filter(|path| path.is_dir()) else {
            return Vec::new();
        };
        match fs::read_dir(&folder) {
            Ok(entries) => {
                let mut paths: Vec<PathBuf> = entries
                    .flatten()
                    .take(ENTRIES_MAX)
                    .map(|entry| {
                        Path::new("/").join(entry.path().strip_prefix(&self.path).unwrap_or(&entry.path()))
                    })
                    .collect();
                paths.sort();
                paths
            }
            Err(error) => {
                facts.gaps.push(format!("{}: {error}", self.inside(&folder)));
                Vec::new()
            }
        }
    }

    /// Hashes a file.
    pub(crate) fn digest(&self, inside: &Path, facts: &mut Facts) -> Option<Digest> {
        let path = self.resolve(inside)?;
        let hash = || -> io::Result<Digest> {
            let (mut file, mut hasher, mut buffer) = (File::open(&path)?, Hasher::new(), vec![0; 1 << 18]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(hasher.finish()),
                    read => hasher.update(buffer.get(..read).unwrap_or_default()),
                }
            }
        };
        hash().map_err(|error| facts.gaps.push(format!("{}: {error}", self.inside(&path)))).ok()
    }

    /// The home folders of people: those that `passwd(5)` names, as far as they are there, and on systems that keep people
    /// elsewhere, all folders in `/Users`.
    pub(crate) fn homes(&self, facts: &mut Facts) -> Vec<PathBuf> {
        let passwd = self.text("etc/passwd", facts).unwrap_or_default();
        let mut homes: Vec<PathBuf> = passwd
            .lines()
            .filter_map(|line| line.split(':').nth(5))
            .filter(|home| {
                home.starts_with("/home/") || home.starts_with("/root") || home.starts_with("/Users/")
            })
            .map(PathBuf::from)
            .collect();
        homes.extend(self.list("Users", facts));
        homes.sort();
        homes.dedup();
        homes.retain(|home| self.resolve(home).is_some_and(|path| path.is_dir()));
        homes
    }
}
