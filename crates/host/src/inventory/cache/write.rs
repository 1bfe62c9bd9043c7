//! Writes a cache: what an earlier one has where nothing changed, byte for byte, and what was seen anew.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use evidence::{BytePath, Digest};
use inspect::catalog::{Found, put_bytes, put_number};

use super::{At, Cache, Identity, Known, Mark, Record, VERSION};

/// What a walk has seen of a folder.
pub(in super::super) enum Looked<'c> {
    /// All is as its record says.
    Same(At),
    /// All but some files, by their places among those that matter.
    Files(At, Vec<(usize, Now<'c>)>),
    /// It was listed.
    Listed(BytePath, Fresh<'c>),
}

/// A folder that was listed.
pub(in super::super) struct Fresh<'c> {
    /// Nothing, if it may change without its times showing it.
    pub(in super::super) identity: Option<Identity>,
    pub(in super::super) files: u64,
    /// The folders in it, and where their earlier records begin.
    pub(in super::super) inner: Vec<(Vec<u8>, At)>,
    pub(in super::super) wanted: Vec<(Vec<u8>, Now<'c>)>,
}

/// What is known of a file now.
pub(in super::super) enum Now<'c> {
    /// What was known before.
    Known(Known<'c>),
    /// Nobody wants it.
    PassedOver(Identity),
    /// It was read, and this was found, as bytes.
    Read(Identity, Vec<u8>),
}

impl Now<'_> {
    pub(in super::super) const NOTHING: Self = Now::Known(Known::NOTHING);

    /// A file that was read.
    pub(in super::super) fn read(identity: Identity, found: &[(String, Found)]) -> Self {
        let (mut bytes, mut one) = (Vec::new(), Vec::new());
        for (by, found) in found {
            put_bytes(&mut bytes, by.as_bytes());
            one.clear();
            found.keep(&mut one);
            put_bytes(&mut bytes, &one);
        }
        Self::Read(identity, bytes)
    }
}

impl Identity {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|number| out.extend(number.to_le_bytes()));
    }
}

/// Writes what this look has seen. What was changed at most two seconds before the look began may be changed again without its
/// times showing it: it is read anew next time.
pub(in super::super) fn write(path: &Path, cache: &Cache, looked: Vec<Looked>, began: i64) -> io::Result<()> {
    let mut tree = Tree { cache, began, listed: HashMap::new(), same: HashSet::new(), files: HashMap::new() };
    for one in looked {
        match one {
            Looked::Same(at) => drop(tree.same.insert(at)),
            Looked::Files(at, files) => drop(tree.files.insert(at, files)),
            Looked::Listed(path, folder) => drop(tree.listed.insert(path, folder)),
        }
    }
    let mut written = Written::default();
    let root = tree.records(&mut written);
    let mut body = Vec::with_capacity(24 + written.records.len());
    for number in [root, written.folders, written.files] {
        body.extend(number.to_le_bytes());
    }
    body.append(&mut written.records);
    let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut out = File::create(&temporary)?;
    out.write_all(VERSION.as_bytes())?;
    out.write_all(Digest::of(&body).as_bytes())?;
    out.write_all(&body)?;
    drop(out);
    fs::rename(&temporary, path)
}

/// The records so far.
#[derive(Default)]
struct Written {
    records: Vec<u8>,
    folders: u64,
    files: u64,
}

/// What was seen, by where it is found again. Each is taken once: a cache that leads in a circle ends.
struct Tree<'c> {
    cache: &'c Cache,
    began: i64,
    listed: HashMap<BytePath, Fresh<'c>>,
    same: HashSet<At>,
    files: HashMap<At, Vec<(usize, Now<'c>)>>,
}

/// A folder whose record is being written.
struct Open<'c> {
    path: Vec<u8>,
    folder: Folder<'c>,
    inner: Vec<(Vec<u8>, At)>,
    /// Where the new records of the first of these begin.
    offsets: Vec<u64>,
}

enum Folder<'c> {
    Known(Record<'c>, Vec<(usize, Now<'c>)>),
    Listed(Fresh<'c>),
}

impl<'c> Tree<'c> {
    /// Writes all records, those of inner folders first; returns where that of the root begins.
    fn records(&mut self, out: &mut Written) -> u64 {
        let Some(root) = self.open(Vec::new(), self.cache.root()) else { return 0 };
        let mut open = vec![root];
        while let Some(mut last) = open.pop() {
            match last.inner.get(last.offsets.len()) {
                Some((name, at)) => {
                    let mut path = last.path.clone();
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend(name);
                    match self.open(path, *at) {
                        Some(inner) => open.extend([last, inner]),
                        None => {
                            last.offsets.push(0);
                            open.push(last);
                        }
                    }
                }
                None => {
                    let at = self.record(last, out);
                    match open.last_mut() {
                        Some(outer) => outer.offsets.push(at),
                        None => return at,
                    }
                }
            }
        }
        0
    }

    /// Finds what was seen of a folder.
    fn open(&mut self, path: Vec<u8>, at: At) -> Option<Open<'c>> {
        let path = BytePath::new(path);
        let (folder, inner) = match self.listed.remove(&path) {
            Some(mut listed) => {
                let inner = std::mem::take(&mut listed.inner);
                (Folder::Listed(listed), inner)
            }
            None => {
                let files = match self.files.remove(&at) {
                    Some(files) => files,
                    None => self.same.remove(&at).then(Vec::new)?,
                };
                let record = self.cache.peek(at)?;
                let inner = record.inner().map(|(name, at)| (name.to_vec(), at)).collect();
                (Folder::Known(record, files), inner)
            }
        };
        Some(Open { path: path.into_bytes(), folder, inner, offsets: Vec::new() })
    }

    fn record(&self, open: Open, out: &mut Written) -> u64 {
        let at = out.records.len() as u64 + 1;
        let mut inner = Vec::new();
        for ((name, _), at) in open.inner.iter().zip(open.offsets) {
            put_bytes(&mut inner, name);
            put_number(&mut inner, at);
        }
        let mut wanted = Vec::new();
        let (identity, files) = match open.folder {
            Folder::Known(record, changed) => {
                let mut changed = changed.into_iter().peekable();
                for (place, (name, known)) in record.wanted().enumerate() {
                    put_bytes(&mut wanted, name);
                    let now = changed.next_if(|(changed, _)| *changed == place);
                    self.file(now.map_or(Now::Known(known), |(_, now)| now), &mut wanted, out);
                }
                (record.identity, record.files)
            }
            Folder::Listed(listed) => {
                for (name, now) in listed.wanted {
                    put_bytes(&mut wanted, &name);
                    self.file(now, &mut wanted, out);
                }
                (listed.identity.filter(|identity| identity.is_before(self.began)), listed.files)
            }
        };
        out.folders += 1;
        out.records.push(u8::from(identity.is_some()));
        if let Some(identity) = identity {
            identity.put(&mut out.records);
        }
        put_number(&mut out.records, files);
        put_bytes(&mut out.records, &inner);
        put_bytes(&mut out.records, &wanted);
        at
    }

    fn file(&self, now: Now, wanted: &mut Vec<u8>, out: &mut Written) {
        let (mark, identity, found) = match &now {
            Now::Known(known) => (known.mark, known.identity, known.found),
            Now::PassedOver(identity) => (Mark::PassedOver, Some(*identity), &[][..]),
            Now::Read(identity, found) => (Mark::Read, Some(*identity), found.as_slice()),
        };
        match identity.filter(|identity| mark != Mark::Nothing && identity.is_before(self.began)) {
            None => wanted.push(0),
            Some(identity) => {
                wanted.push(if mark == Mark::Read { 2 } else { 1 });
                identity.put(wanted);
                if mark == Mark::Read {
                    out.files += 1;
                    put_bytes(wanted, found);
                }
            }
        }
    }
}
