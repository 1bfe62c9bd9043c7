//! What a Debian package says of its own files: `md5sums` in its control archive (Debian Policy, `deb-md5sums(5)`). It is no
//! signature, and MD5 is broken; but who changes a file of a package and not the list has not rebuilt the package.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

/// The list of a package of a million files.
const LIST_MAX_BYTES: usize = 64 << 20;

/// Sums by path.
#[derive(Default)]
pub(crate) struct Sums(BTreeMap<Vec<u8>, [u8; 16]>);

impl Sums {
    /// Reads rows of a sum in hexadecimal, two blanks, and a path from the root on.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let rows = bytes.get(..LIST_MAX_BYTES).unwrap_or(bytes).split(|byte| *byte == b'\n');
        Self(rows.filter_map(row).collect())
    }

    /// Says what is wrong with a member of the package's archive.
    pub(crate) fn contradict(&self, name: &[u8], bytes: &[u8]) -> Option<String> {
        let stated = self.0.get(name.strip_prefix(b"./").unwrap_or(name))?;
        let differs = Md5::digest(bytes)[..] != stated[..];
        differs.then(|| "the package's list of sums has another one for it".to_owned())
    }
}

fn row(line: &[u8]) -> Option<(Vec<u8>, [u8; 16])> {
    let (hex, path) = line.split_at_checked(32)?;
    let path = path.strip_prefix(b"  ")?;
    let text = std::str::from_utf8(hex).ok()?;
    let mut sum = [0; 16];
    for (at, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some((path.to_vec(), sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_held_against_files() {
        let sums = Sums::read(b"900150983cd24fb0d6963f7d28e17f72  usr/bin/a\nnonsense\n\n");
        assert_eq!(sums.contradict(b"./usr/bin/a", b"abc"), None);
        assert!(sums.contradict(b"usr/bin/a", b"abd").is_some());
        assert_eq!(sums.contradict(b"usr/bin/b", b"abd"), None);
    }
}
