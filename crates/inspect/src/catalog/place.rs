//! Where a document lies, as far as its path says whether it speaks of anything that is part of the whole.
//!
//! Only folders below the one that is scanned count: a project that itself lies in a folder `tests` is no fixture.

use evidence::bom::{Place, State};

/// Folders of downloads and of build products, by their last components.
const CACHES: &[&str] = &[
    ".cargo/registry",
    ".cargo/git",
    "cargo/registry",
    "cargo/git",
    "registry/src",
    "registry/cache",
    "_cacache",
    ".npm",
    ".yarn/cache",
    ".pnpm-store",
    ".bun/install/cache",
    ".m2/repository",
    ".gradle/caches",
    ".ivy2/cache",
    "go/pkg/mod",
    ".nuget/packages",
    ".gem/cache",
    ".cache",
    ".stack/snapshots",
    "var/cache",
    "Library/Caches",
    "conda/pkgs",
    "anaconda3/pkgs",
    "miniconda3/pkgs",
    "target/package",
    ".deno/npm",
    "__pycache__",
];

/// Folders of other people's sources and packages: lock files and manifests in them speak of their own development.
const VENDORED: &[&str] = &[
    "node_modules",
    "vendor",
    "vendored",
    "third_party",
    "third-party",
    "thirdparty",
    "site-packages",
    "dist-packages",
    "bower_components",
    "rustlib/src",
];

/// Folders of tests, samples and templates.
const FIXTURES: &[&str] = &[
    "test",
    "tests",
    "__tests__",
    "testdata",
    "test-data",
    "test_data",
    "testing",
    "testsuite",
    "fixture",
    "fixtures",
    "__fixtures__",
    "spec",
    "specs",
    "example",
    "examples",
    "sample",
    "samples",
    "demo",
    "demos",
    "benchmark",
    "benchmarks",
    "template",
    "templates",
];

/// Classifies a document by its path relative to what is scanned.
pub(super) fn place(path: &[u8], state: State) -> Place {
    let folders =
        path.iter().rposition(|byte| matches!(byte, b'/' | b'!')).map_or(&b""[..], |end| &path[..end]);
    if within(folders, CACHES) {
        return Place::Cache;
    }
    let stated = matches!(state, State::Locked | State::Declared);
    if stated && within(folders, VENDORED) {
        return Place::Vendored;
    }
    // What is installed below a folder `tests` of an installed tree is part of no product either, but a package database is
    // believed wherever it is.
    if within(folders, FIXTURES) && (stated || within(folders, &["node_modules", "site-packages"])) {
        return Place::Fixture;
    }
    Place::Product
}

/// Tells whether one of the lists' folders is in a path, component by component.
fn within(folders: &[u8], list: &[&str]) -> bool {
    let mut end = folders.len();
    loop {
        let prefix = &folders[..end];
        let ends = |name: &&str| {
            prefix
                .strip_suffix(name.as_bytes())
                .is_some_and(|before| before.last().is_none_or(|byte| matches!(byte, b'/' | b'!')))
        };
        if list.iter().any(ends) {
            return true;
        }
        match prefix.iter().rposition(|byte| matches!(byte, b'/' | b'!')) {
            Some(at) => end = at,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_vendored_sources_and_fixtures_are_told_apart() {
        for (path, state, expected) in [
            ("home/u/.cargo/registry/src/i/a-1.0.0/Cargo.lock", State::Locked, Place::Cache),
            ("app/node_modules/a/package-lock.json", State::Locked, Place::Vendored),
            ("app/node_modules/a/package.json", State::Installed, Place::Product),
            ("app/node_modules/a/test/b/package.json", State::Installed, Place::Fixture),
            ("app/tests/data/Cargo.lock", State::Locked, Place::Fixture),
            ("app/tests/var/lib/dpkg/status", State::Installed, Place::Product),
            ("app/Cargo.lock", State::Locked, Place::Product),
            ("contests/Cargo.lock", State::Locked, Place::Product),
            ("Cargo.lock", State::Locked, Place::Product),
        ] {
            assert_eq!(place(path.as_bytes(), state), expected, "{path}");
        }
    }
}
