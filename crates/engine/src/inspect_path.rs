//! `inspect`: opens files and folders without executing anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::tree::{CodeSignature, RuleMatch};
use evidence::{BytePath, Digest, Hasher, Node, Problem, Tree};
use inspect::detached::{self, Detached, Keys};
use inspect::{Budget, Entry, Matcher, Opened, Twins, Wishes};

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

/// What somebody trusts, by files.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// Certificates: signatures are followed to them.
    pub roots: Vec<PathBuf>,
    /// Certificates: timestamps are followed to them.
    pub timestamp_roots: Vec<PathBuf>,
    /// Windows catalogs: they are asked for images without a signature of their own.
    pub catalogs: Vec<PathBuf>,
    /// Public keys of OpenPGP and minisign: signatures beside files are verified with them.
    pub keys: Vec<PathBuf>,
    /// YARA rules, which are put to every member.
    pub rules: Option<Arc<Rules>>,
}

/// Compiled YARA rules.
#[derive(Debug)]
pub struct Rules(yara::Rules);

impl Rules {
    /// Reads and compiles the YARA rules of a file or folder.
    ///
    /// # Errors
    /// If a file cannot be read, includes what is not below the folder, or has a rule that does not compile.
    pub fn load(path: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(yara::Rules::load(path, yara::Limits::default())?)))
    }

    /// Compiles rule files that somebody has read, by their names. They may include each other, and nothing else.
    pub(crate) fn of_texts(texts: &BTreeMap<String, String>) -> std::result::Result<Arc<Self>, yara::Error> {
        Ok(Arc::new(Self(yara::Rules::of_texts(texts, yara::Limits::default())?)))
    }
}

impl Matcher for Rules {
    fn look(&self, place: &BytePath, name: &BytePath, bytes: &[u8]) -> (Vec<RuleMatch>, Option<String>) {
        let looked = self.0.look(&place.to_string(), &name.to_string(), bytes);
        let open = looked.open.map(|open| match open {
            yara::Open::Time(what) | yara::Open::Matches(what) | yara::Open::Failed(what) => what,
        });
        (looked.matches, open)
    }
}

/// Inspects a file or a folder, and puts rules to every member.
pub(crate) fn inspect_with_rules(path: &Path, rules: &Arc<Rules>) -> Result<Tree> {
    let matcher: Arc<dyn Matcher> = Arc::clone(rules) as Arc<dyn Matcher>;
    open(path, &Wishes { matcher: Some(matcher), ..Wishes::default() }).map(|(tree, _)| tree)
}

/// Inspects a file or a folder beside the one that it is compared with.
pub(crate) fn inspect_beside(path: &Path, twins: &Arc<Twins>) -> Result<Tree> {
    open(path, &Wishes { twins: Some(Arc::clone(twins)), ..Wishes::default() }).map(|(tree, _)| tree)
}

/// Inspects a file or a folder with wishes; says whether it is a folder.
fn open(path: &Path, wishes: &Wishes) -> Result<(Tree, bool)> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let name = BytePath::from(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    let facts = std::fs::metadata(path).map_err(fail)?;
    let what = if facts.is_dir() {
        Opened::Folder(contents(path).map_err(fail)?)
    } else if facts.is_file() {
        Opened::File(regular(path).map_err(fail)?)
    } else {
        Opened::Bytes(files::read(path, FILE_MAX_BYTES)?)
    };
    let tree = inspect::open_with(&name, what, wishes, &mut Budget::default()).map_err(fail)?;
    Ok((tree, facts.is_dir()))
}

/// Inspects a file or a folder with the signatures that lie beside files, and asks who of those that are trusted has signed.
pub fn inspect_trusting(path: &Path, trusted: &Trusted) -> Result<Tree> {
    let matcher = trusted.rules.clone().map(|rules| rules as Arc<dyn Matcher>);
    let mut wishes = Wishes { matcher, ..Wishes::default() };
    for file in &trusted.roots {
        if wishes.add_roots(&files::read(file, ROOTS_MAX_BYTES)?) == 0 {
            return Err(nothing(file, "there is no certificate in it"));
        }
    }
    for file in &trusted.timestamp_roots {
        if wishes.add_timestamp_roots(&files::read(file, ROOTS_MAX_BYTES)?) == 0 {
            return Err(nothing(file, "there is no certificate in it"));
        }
    }
    for file in &trusted.catalogs {
        if !wishes.add_catalog(&file.display().to_string(), &files::read(file, ROOTS_MAX_BYTES)?) {
            return Err(nothing(file, "it is no Windows catalog, or a larger one than is read"));
        }
    }
    let mut keys = Keys::default();
    for file in &trusted.keys {
        if keys.add(&files::read(file, detached::KEYS_MAX_BYTES)?) == 0 {
            return Err(nothing(file, "there is no key of OpenPGP or minisign in it"));
        }
    }
    let (mut tree, is_folder) = open(path, &wishes)?;
    let name = tree.root.name.clone();
    let mut problems = Vec::new();
    if !is_folder {
        beside(&mut tree.root, path, &name, &keys, &mut problems);
    } else {
        for member in &mut tree.root.members {
            let file = path.join(std::ffi::OsStr::from_bytes(member.name.as_bytes()));
            let place = BytePath::new([name.as_bytes(), b"/", member.name.as_bytes()].concat());
            beside(member, &file, &place, &keys, &mut problems);
        }
    }
    tree.problems.extend(problems);
    Ok(tree)
}

fn nothing(file: &Path, what: &'static str) -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidData, what);
    Error::Read { path: file.to_path_buf(), source }
}

/// Reads the signature that lies beside a file, if there is one, and the file has none of its own.
fn beside(node: &mut Node, file: &Path, place: &BytePath, keys: &Keys, problems: &mut Vec<Problem>) {
    if node.signature.is_some() || node.digest.is_none() {
        return;
    }
    for ending in detached::ENDINGS {
        let mut signature = file.as_os_str().to_owned();
        signature.push(ending);
        // A signature that is not there is the usual case; what is no signature is an ordinary file.
        let small = std::fs::metadata(&signature)
            .is_ok_and(|facts| facts.is_file() && facts.len() <= detached::SIGNATURE_MAX_BYTES);
        let read = small.then(|| std::fs::read(&signature).ok().and_then(|bytes| Detached::read(&bytes)));
        let Some(found) = read.flatten() else { continue };
        match judged(&found, file, keys, node.digest) {
            Ok(facts) => node.signature = Some(Box::new(facts)),
            Err(error) => problems.push(Problem {
                path: place.clone(),
                kind: "changed-while-read".to_owned(),
                detail: error.to_string(),
            }),
        }
        return;
    }
}

/// Verifies a signature over the bytes that were inspected.
fn judged(found: &Detached, file: &Path, keys: &Keys, digest: Option<Digest>) -> io::Result<CodeSignature> {
    let mut content = Hashed { file: File::open(file)?, hasher: Hasher::new() };
    let facts = found.facts(keys, &mut content)?;
    if facts.signature_valid.is_some() && Some(content.hasher.finish()) != digest {
        return Err(io::Error::other("the file was changed while it was read"));
    }
    Ok(facts)
}

/// A file that is hashed as it is read.
struct Hashed {
    file: File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.hasher.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Opens the files below a folder one by one, in order.
pub(crate) fn contents(folder: &Path) -> io::Result<impl Iterator<Item = (BytePath, io::Result<Entry>)>> {
    // Catalogs first: images are held against them.
    let mut files = walk(folder)?;
    files.sort_by_key(|(name, _)| !name.as_bytes().to_ascii_lowercase().ends_with(b".cat"));
    Ok(files.into_iter().map(|(relative, file)| {
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
