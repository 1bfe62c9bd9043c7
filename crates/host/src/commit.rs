//! The commit that a project is checked out at: what each source should be.
//!
//! An implant that swaps a source while the compiler runs must make it read bytes that are in no commit, however well
//! it restores them (SUNSPOT, 2020). The blobs' names come from the tree of `HEAD`, not from the working copy; the
//! bytes that the build reads are hashed in git's way in the same pass as in ours (`gitformat-pack(5)`, "object
//! name": the digest over `blob SIZE\0` and the content).
//!
//! Not compared: submodules, symbolic links, and files that git converts on the way to the working copy (filters such
//! as LFS, line ends, `ident`), whose bytes are not those of the blob.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evidence::BytePath;
use sha1_checked::{Digest as _, Sha1};

/// The most that git may answer to one question: a tree of a million files is below it.
const ANSWER_MAX_BYTES: u64 = 256 << 20;

/// What the files of a commit are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// Its name, hexadecimal.
    pub id: String,
    /// The top of the working copy.
    pub root: PathBuf,
    /// By absolute path, the name of the blob.
    pub blobs: BTreeMap<BytePath, BlobName>,
    /// Files that differed from the commit before the build began.
    pub changed: BTreeSet<BytePath>,
    /// How many files are not compared because git converts them.
    pub converted: usize,
}

/// The name of a blob: SHA-1 or SHA-256, as the repository has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlobName {
    /// The older format.
    Sha1([u8; 20]),
    /// The newer one.
    Sha256([u8; 32]),
}

/// Why a commit is not known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoCommit {
    /// The folder is in no repository, or the repository has no commit yet.
    #[error("the folder is not in a git repository with a commit")]
    NoRepository,
    /// There is no git.
    #[error("git is not installed")]
    NoGit,
    /// Git did not answer as it should.
    #[error("git did not answer: {0}")]
    Git(String),
}

impl Commit {
    /// Reads the commit that a folder is checked out at.
    pub fn of(folder: &Path) -> Result<Self, NoCommit> {
        let place = git(folder, &["rev-parse", "--show-toplevel", "HEAD"])?;
        let mut lines = place.split(|byte| *byte == b'\n');
        let (Some(root), Some(id)) = (lines.next(), lines.next()) else { return Err(NoCommit::NoRepository) };
        let root = PathBuf::from(OsString::from_vec(root.to_vec()));
        let id = String::from_utf8_lossy(id).into_owned();
        let absolute = |name: &[u8]| BytePath::new([root.as_os_str().as_bytes(), b"/", name].concat());
        let mut commit = Self { id: id.clone(), root: root.clone(), ..Self::default() };
        for entry in records(&git(&root, &["ls-tree", "-r", "-z", "--full-tree", &id])?) {
            if let Some((name, blob)) = tree_entry(entry) {
                commit.blobs.insert(absolute(name), blob);
            }
        }
        let converting =
            [":(attr:filter)", ":(attr:ident)", ":(attr:working-tree-encoding)", ":(attr:eol=crlf)"];
        for attribute in converting {
            for name in records(&git(&root, &["ls-files", "-z", "--", attribute])?) {
                commit.converted += usize::from(commit.blobs.remove(&absolute(name)).is_some());
            }
        }
        let differing =
            ["diff", "-z", "--name-only", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", &id];
        for name in records(&git(&root, &differing)?) {
            commit.changed.insert(absolute(name));
        }
        Ok(commit)
    }
}

impl BlobName {
    fn from_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (at, pair) in text.chunks(2).enumerate() {
            *bytes.get_mut(at)? = digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?;
        }
        match text.len() {
            40 => bytes[..20].try_into().ok().map(Self::Sha1),
            64 => Some(Self::Sha256(bytes)),
            _ => None,
        }
    }

    /// Begins to hash a content of this size as a blob of the same format.
    pub(crate) fn hasher(&self, size: u64) -> BlobHasher {
        let head = format!("blob {size}\0");
        let mut hasher = match self {
            Self::Sha1(_) => BlobHasher::Sha1(Box::default()),
            Self::Sha256(_) => BlobHasher::Sha256(evidence::Hasher::new()),
        };
        hasher.update(head.as_bytes());
        hasher
    }
}

/// Hashes a blob. A content that is part of a known attack on SHA-1 matches no name.
pub(crate) enum BlobHasher {
    Sha1(Box<Sha1>),
    Sha256(evidence::Hasher),
}

impl BlobHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn is(self, name: &BlobName) -> bool {
        match (self, name) {
            (Self::Sha1(hasher), BlobName::Sha1(expected)) => {
                let result = hasher.try_finalize();
                !result.has_collision() && result.hash().as_slice() == expected
            }
            (Self::Sha256(hasher), BlobName::Sha256(expected)) => hasher.finish().as_bytes() == expected,
            _ => false,
        }
    }
}

/// Asks git. It gets no terminal, no pager, no hooks, takes no locks and fetches nothing.
fn git(folder: &Path, question: &[&str]) -> Result<Vec<u8>, NoCommit> {
    let failed = |what: String| NoCommit::Git(what);
    let mut child = Command::new("git")
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.untrackedCache=false",
        ])
        .args(question)
        .current_dir(folder)
        .envs([
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("LC_ALL", "C"),
        ])
        .env_remove("COUNTERSIGN_PASSPHRASE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NoCommit::NoGit,
            _ => failed(error.to_string()),
        })?;
    let (mut answer, mut complaint) = (Vec::new(), Vec::new());
    let mut read = || -> std::io::Result<()> {
        if let Some(out) = child.stdout.take() {
            out.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
        }
        if let Some(err) = child.stderr.take() {
            err.take(4096).read_to_end(&mut complaint)?;
        }
        Ok(())
    };
    let outcome = read();
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    outcome.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        let absent = ["not a git repository", "ambiguous argument 'HEAD'", "unknown revision"];
        return Err(if absent.iter().any(|words| complaint.contains(words)) {
            NoCommit::NoRepository
        } else {
            failed(complaint)
        });
    }
    if answer.len() as u64 == ANSWER_MAX_BYTES {
        return Err(failed(format!("`git {}` says more than {ANSWER_MAX_BYTES} bytes", question.join(" "))));
    }
    Ok(answer)
}

fn records(answer: &[u8]) -> impl Iterator<Item = &[u8]> {
    answer.split(|byte| *byte == 0).filter(|record| !record.is_empty())
}

/// Reads one line of `ls-tree -z`: `MODE blob NAME\tPATH`; only regular files.
fn tree_entry(entry: &[u8]) -> Option<(&[u8], BlobName)> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let (facts, path) = (&entry[..tab], &entry[tab + 1..]);
    let mut words = facts.split(|byte| *byte == b' ');
    let (mode, kind, name) = (words.next()?, words.next()?, words.next()?);
    (mode.starts_with(b"100") && kind == b"blob").then_some(())?;
    Some((path, BlobName::from_hex(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(name: &BlobName, content: &[u8]) -> bool {
        let mut hasher = name.hasher(content.len() as u64);
        hasher.update(content);
        hasher.is(name)
    }

    #[test]
    fn blobs_are_named_as_git_names_them() {
        // `printf 'hello\n' | git hash-object --stdin`, in both formats.
        let name = BlobName::from_hex(b"ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        assert!(is(&name, b"hello\n") && !is(&name, b"hello"));
        let name =
            BlobName::from_hex(b"2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4").unwrap();
        assert!(is(&name, b"hello\n") && !is(&name, b"hellp\n"));
        assert_eq!(BlobName::from_hex(b"ce01"), None);
        assert_eq!(BlobName::from_hex(b"zz013625030ba8dba906f756967f9e9ca394464a"), None);
    }

    #[test]
    fn only_regular_files_of_a_tree_count() {
        let line =
            |mode: &str, kind: &str| format!("{mode} {kind} ce013625030ba8dba906f756967f9e9ca394464a\ta b");
        assert_eq!(tree_entry(line("100644", "blob").as_bytes()).unwrap().0, b"a b");
        assert!(tree_entry(line("100755", "blob").as_bytes()).is_some());
        for (mode, kind) in [("120000", "blob"), ("160000", "commit")] {
            assert_eq!(tree_entry(line(mode, kind).as_bytes()), None);
        }
        assert_eq!(tree_entry(b"100644 blob"), None);
    }
}
