//! An archive of a package: what its hash is by any algorithm that lock files use, and what is in it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use evidence::bom::{Algorithm, Package};
use evidence::record::File;
use evidence::{BytePath, Digest, Node};
use inspect::Budget;
use sha2::Digest as _;

use crate::files;
use crate::inspect_path::inspect_bytes;

/// No archive is larger.
pub(super) const FILE_MAX_BYTES: u64 = 512 << 20;

/// What a lock file says of the bytes of a package.
pub(super) struct Wanted {
    hashes: Vec<(Algorithm, String)>,
    /// Go's `h1`: SHA-256 over the sorted list of the files' SHA-256 (`golang.org/x/mod/sumdb/dirhash`, Hash1).
    h1: Option<Vec<u8>>,
}

impl Wanted {
    pub(super) fn of(package: &Package, go_sum: Option<&str>) -> Self {
        let hashes = package.hashes.iter().map(|hash| (hash.algorithm, hash.hex())).collect();
        let h1 = go_sum.and_then(|sum| inspect::catalog::base64(sum.strip_prefix("h1:")?));
        Self { hashes, h1 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty() && self.h1.is_none()
    }

    pub(super) fn of_algorithm(&self, algorithm: Algorithm) -> impl Iterator<Item = &str> {
        self.hashes.iter().filter(move |(known, _)| *known == algorithm).map(|(_, hex)| hex.as_str())
    }

    pub(super) fn words(&self) -> String {
        let known = self.hashes.iter().map(|(algorithm, hex)| format!("{} {hex}", algorithm.cyclonedx()));
        let h1 = self.h1.iter().map(|h1| format!("h1 {}", hex(h1)));
        known.chain(h1).collect::<Vec<_>>().join(" or ")
    }
}

/// An archive that could be one of a package.
pub(super) struct Archive {
    pub(super) path: BytePath,
    /// The SHA-256 with which the build read it.
    pub(super) digest: Option<Digest>,
    pub(super) was_read: bool,
    recorded: Vec<Digest>,
    bytes: OnceCell<Option<Vec<u8>>>,
}

/// Why an archive is not what a lock file says, as far as anybody can tell.
pub(super) enum Failed {
    /// It has other bytes; what they come to.
    Differs(String),
    /// It is no longer there with the bytes that the build read.
    Gone,
    /// No hash of the lock file is one that counts.
    Weak,
}

impl Archive {
    /// One that the build read.
    pub(super) fn read(file: &File) -> Self {
        let recorded: Vec<Digest> = file.read.iter().chain(&file.left).copied().collect();
        Self {
            path: file.path.clone(),
            digest: recorded.first().copied(),
            was_read: true,
            recorded,
            bytes: OnceCell::new(),
        }
    }

    /// One that lies in a cache.
    pub(super) fn cached(path: &str) -> Self {
        Self {
            path: path.into(),
            digest: None,
            was_read: false,
            recorded: Vec::new(),
            bytes: OnceCell::new(),
        }
    }

    pub(super) fn exists(&self) -> bool {
        Path::new(&self.path.to_string()).is_file()
    }

    /// Its bytes, if it still has those that the build read.
    fn bytes(&self) -> Option<&Vec<u8>> {
        let read = self.bytes.get_or_init(|| {
            let bytes = files::read(Path::new(&self.path.to_string()), FILE_MAX_BYTES).ok()?;
            (!self.was_read || self.recorded.contains(&Digest::of(&bytes))).then_some(bytes)
        });
        read.as_ref()
    }

    /// Checks it against what a lock file says. Returns its bytes, if they are still there.
    pub(super) fn check(&self, wanted: &Wanted) -> Result<Option<Vec<u8>>, Failed> {
        // Against SHA-256 the record itself answers, whatever became of the file.
        let sha256: Vec<&str> = wanted.of_algorithm(Algorithm::Sha256).collect();
        if self.was_read && !sha256.is_empty() {
            if let Some(other) = self.recorded.iter().find(|digest| !sha256.contains(&digest.hex().as_str()))
            {
                return Err(Failed::Differs(other.to_string()));
            }
            return Ok(self.bytes().cloned());
        }
        let bytes = self.bytes().ok_or(Failed::Gone)?;
        if let Some(expected) = &wanted.h1 {
            let found = h1(bytes).ok_or(Failed::Gone)?;
            return match found == *expected {
                true => Ok(Some(bytes.clone())),
                false => Err(Failed::Differs(format!("h1 {}", hex(&found)))),
            };
        }
        for (algorithm, of) in [
            (Algorithm::Sha512, sha512 as fn(&[u8]) -> String),
            (Algorithm::Sha384, sha384),
            (Algorithm::Sha256, |bytes| Digest::of(bytes).hex()),
        ] {
            let mut expected = wanted.of_algorithm(algorithm).peekable();
            if expected.peek().is_some() {
                let found = of(bytes);
                return match expected.any(|hex| hex == found) {
                    true => Ok(Some(bytes.clone())),
                    false => Err(Failed::Differs(format!("{} {found}", algorithm.cyclonedx()))),
                };
            }
        }
        Err(Failed::Weak)
    }
}

fn sha512(bytes: &[u8]) -> String {
    hex(&sha2::Sha512::digest(bytes))
}

fn sha384(bytes: &[u8]) -> String {
    hex(&sha2::Sha384::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a text cannot fail");
        text
    })
}

/// Go's Hash1 of a module's zip; none if it cannot be read whole.
fn h1(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut files: BTreeMap<String, Digest> = BTreeMap::new();
    let mut whole = true;
    let read = inspect::zip_files(bytes, &mut Budget::default(), &mut |name, content| match content {
        Ok(bytes) => {
            let name = name.to_string();
            // A folder has no content; Go's zips have none.
            if !name.ends_with('/') {
                whole &= files.insert(name, Digest::of(&bytes)).is_none();
            }
        }
        Err(_) => whole = false,
    });
    if read.is_err() || !whole || files.is_empty() {
        return None;
    }
    let mut hasher = sha2::Sha256::new();
    for (name, digest) in &files {
        hasher.update(format!("{}  {name}\n", digest.hex()));
    }
    Some(hasher.finalize().to_vec())
}

/// The members of an archive of a package, by where they lie in the package; none if it cannot be read.
pub(super) fn members(
    kind: &str,
    package: &Package,
    path: &BytePath,
    bytes: &[u8],
) -> Option<BTreeMap<String, Digest>> {
    let mut members = BTreeMap::new();
    if kind == "golang" || path.to_string().ends_with(".whl") {
        let start = if kind == "golang" {
            format!("{}@{}/", package.full_name(), package.version)
        } else {
            String::new()
        };
        let take = &mut |name: &BytePath, content: std::io::Result<Vec<u8>>| {
            if let (Ok(bytes), Some(inside)) = (content, name.to_string().strip_prefix(&start)) {
                // What pip writes anew when it installs.
                if !inside.contains(".dist-info/") {
                    members.insert(inside.to_owned(), Digest::of(&bytes));
                }
            }
        };
        inspect::zip_files(bytes, &mut Budget::default(), take).ok()?;
        return Some(members);
    }
    let tree = inspect_bytes(path, bytes);
    // A compressed archive has one member, the archive.
    let mut at: &Node = &tree.root;
    while let [only] = at.members.as_slice()
        && !only.members.is_empty()
    {
        at = only;
    }
    for member in &at.members {
        let name = member.name.to_string();
        let name = name.trim_start_matches("./");
        // Everything lies in one folder: `package/`, `serde-1.0.0/`.
        if let (Some((_, inside)), Some(digest)) = (name.split_once('/'), member.digest) {
            members.insert(inside.to_owned(), digest);
        }
    }
    (!members.is_empty()).then_some(members)
}

/// Tells whether a file is called like an archive of some package.
pub(super) fn is_archive(name: &str) -> bool {
    [".crate", ".whl", ".tar.gz", ".tgz", ".gem", ".zip"].iter().any(|end| name.ends_with(end))
}

/// Tells whether a file is called like an archive of this package.
pub(super) fn is_of(archive: &str, kind: &str, package: &Package) -> bool {
    let (name, version) = (&*package.name, &*package.version);
    let normal = |text: &str| text.to_lowercase().replace(['_', '.'], "-");
    match kind {
        "cargo" => archive == format!("{name}-{version}.crate"),
        "gem" => archive == format!("{name}-{version}.gem"),
        "npm" => {
            let scope = package.namespace.trim_start_matches('@');
            archive == format!("{name}-{version}.tgz") || archive == format!("{scope}-{name}-{version}.tgz")
        }
        "golang" => archive == format!("{}.zip", escaped(version)),
        "pypi" => {
            let ours = archive.get(..name.len()).is_some_and(|start| normal(start) == normal(name));
            let rest =
                archive.get(name.len()..).and_then(|rest| rest.strip_prefix('-')?.strip_prefix(version));
            ours && rest.is_some_and(|rest| rest.starts_with('-') || matches!(rest, ".tar.gz" | ".zip"))
        }
        _ => false,
    }
}

/// Where Go keeps the archive of a module, below `pkg/mod`.
pub(super) fn go_zip(package: &Package) -> String {
    format!("cache/download/{}/@v/{}.zip", escaped(&package.full_name()), escaped(&package.version))
}

/// Go writes a capital `C` as `!c` in paths (`golang.org/x/mod/module`, EscapePath).
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(c.to_ascii_lowercase());
        out
    })
}

pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut capital = false;
    for c in text.chars() {
        match (c, capital) {
            ('!', false) => capital = true,
            (c, true) => {
                out.push(c.to_ascii_uppercase());
                capital = false;
            }
            (c, false) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_hash_is_that_of_dirhash() {
        let zip = forge::zip_stored(&[("m@v1.0.0/b.go", b"package m\n"), ("m@v1.0.0/a.go", b"")]).unwrap();
        // `printf "%s  %s\n" HASH NAME … | sha256sum` over the sorted names.
        let list = format!(
            "{}  m@v1.0.0/a.go\n{}  m@v1.0.0/b.go\n",
            Digest::of(b"").hex(),
            Digest::of(b"package m\n").hex()
        );
        assert_eq!(h1(&zip), Some(Digest::of(list.as_bytes()).as_bytes().to_vec()));
        assert_eq!(h1(b"no zip"), None);
    }

    #[test]
    fn archives_are_told_by_their_names() {
        let package = |namespace: &str, name: &str, version: &str| Package {
            namespace: namespace.into(),
            name: name.into(),
            version: version.into(),
            ..Package::default()
        };
        for (archive, kind, package, expected) in [
            ("serde-1.0.0.crate", "cargo", package("", "serde", "1.0.0"), true),
            ("serde_json-1.0.0.crate", "cargo", package("", "serde", "1.0.0"), false),
            ("core-7.0.0.tgz", "npm", package("@babel", "core", "7.0.0"), true),
            ("babel-core-7.0.0.tgz", "npm", package("@babel", "core", "7.0.0"), true),
            ("Foo_Bar-1.0-py3-none-any.whl", "pypi", package("", "foo-bar", "1.0"), true),
            ("foo_bar-1.0.1-py3-none-any.whl", "pypi", package("", "foo-bar", "1.0"), false),
            ("foo-bar-1.0.tar.gz", "pypi", package("", "foo-bar", "1.0"), true),
            ("v1.0.0.zip", "golang", package("example.test", "m", "v1.0.0"), true),
        ] {
            assert_eq!(is_of(archive, kind, &package), expected, "{archive}");
        }
        assert_eq!(
            go_zip(&package("github.com/Azure", "SDK", "v1")),
            "cache/download/github.com/!azure/!s!d!k/@v/v1.zip"
        );
        assert_eq!(unescaped("github.com/!azure"), "github.com/Azure");
    }
}
