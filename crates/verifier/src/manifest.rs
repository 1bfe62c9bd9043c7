//! Release manifests: what `sha256sum` writes, so that every system has a second tool that reads them.
//!
//! A line is 64 hexadecimal digits, a blank, a blank or `*`, and a path. A path with a backslash or newline is escaped
//! and its line begins with a backslash (GNU coreutils). Absolute paths and `..` are refused: a manifest speaks only
//! of its own folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use evidence::Digest;

/// A larger manifest is not read.
pub(crate) const MANIFEST_MAX_BYTES: u64 = 256 << 20;

/// A manifest that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the manifest: {reason}")]
pub struct ManifestError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The files of a release.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// Digest by path, relative to the folder of the manifest.
    pub files: BTreeMap<PathBuf, Digest>,
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut files = BTreeMap::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let (path, digest) = entry(line).map_err(|reason| ManifestError { line: number + 1, reason })?;
            if files.insert(path, digest).is_some_and(|before| before != digest) {
                let reason = "a path that stands there twice, with another digest";
                return Err(ManifestError { line: number + 1, reason });
            }
        }
        Ok(Self { files })
    }
}

fn entry(line: &[u8]) -> Result<(PathBuf, Digest), &'static str> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (hex, rest) = line.split_at_checked(64).ok_or("no digest")?;
    let hex = std::str::from_utf8(hex).map_err(|_| "no digest")?;
    let digest = Digest::from_hex(hex).map_err(|_| "no digest")?;
    let path = rest
        .strip_prefix(b"  ")
        .or_else(|| rest.strip_prefix(b" *"))
        .filter(|path| !path.is_empty())
        .ok_or("no path behind the digest")?;
    let path = if escaped { unescape(path)? } else { path.to_vec() };
    let path = PathBuf::from(OsString::from_vec(path));
    Ok((relative(&path).ok_or("a path that leads out of the folder")?, digest))
}

fn unescape(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'\\') => b'\\',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                _ => return Err("an escape that is none"),
            },
            other => *other,
        });
    }
    Ok(bytes)
}

/// Takes `./` away; none if the path leads out of the folder.
fn relative(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!out.as_os_str().is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sha256sum_writes_is_read_and_nothing_else() {
        let hex = Digest::of(b"a").hex();
        let text = format!("{hex}  ./bin/a\n{hex} *b c\n\\{hex}  d\\\\e\\nf\n");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let paths: Vec<_> = manifest.files.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["b c", "bin/a", "d\\e\nf"]);
        let other = Digest::of(b"b").hex();
        for bad in [
            format!("{hex}  ../a"),
            format!("{hex}  /a"),
            format!("{hex} a"),
            format!("{hex}  "),
            format!("{}  a", &hex[1..]),
            format!("\\{hex}  a\\t"),
            format!("{hex}  a\n{other}  a"),
            "nonsense".into(),
        ] {
            assert!(Manifest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
