//! What the tests of the catalogers share.

use evidence::BytePath;

use super::{Catalog, Scan};

/// Catalogs files.
pub(super) fn scan(files: &[(&str, &[u8])]) -> Catalog {
    let mut scan = Scan::new();
    for (path, bytes) in files {
        damage(path, bytes);
        assert!(scan.offer(&BytePath::from(*path), bytes), "nobody wants {path}");
    }
    scan.finish()
}

/// Reads damaged copies: none may panic, whatever it finds.
fn damage(path: &str, bytes: &[u8]) {
    let path = BytePath::from(path);
    let read = |damaged: &[u8]| {
        let mut scan = Scan::new();
        scan.offer(&path, damaged);
        scan.finish();
    };
    let step = (bytes.len() / 150).max(1);
    let mut damaged = bytes.to_vec();
    for at in (0..bytes.len()).step_by(step) {
        for wrong in [bytes[at] ^ 1, 0xff, b'"', b'\n', b':'] {
            damaged[at] = wrong;
            read(&damaged);
        }
        damaged[at] = bytes[at];
        read(&bytes[..at]);
        read(&bytes[at..]);
    }
}

/// The purls, sorted.
pub(super) fn purls(catalog: &Catalog) -> Vec<&str> {
    catalog.bom.packages.iter().filter_map(|package| package.purl.as_deref()).collect()
}

/// The names on both sides of the relations.
pub(super) fn relations(catalog: &Catalog) -> Vec<(&str, &str)> {
    let name = |place: &u32| catalog.bom.packages[*place as usize].name.as_ref();
    catalog.bom.relations.iter().map(|(from, to)| (name(from), name(to))).collect()
}

/// The names of what is depended upon directly.
pub(super) fn direct(catalog: &Catalog) -> Vec<&str> {
    catalog.bom.direct.iter().map(|place| catalog.bom.packages[*place as usize].name.as_ref()).collect()
}
