//! `Cargo.toml` and `package.json` of projects without a lock file: what they ask for is declared, and nobody says which version
//! there will be. Where a lock file lies beside a manifest or above it, the manifest says nothing: see [`superseded`].

use std::collections::BTreeSet;

use evidence::BytePath;
use evidence::bom::State;
use serde::Deserialize;

use super::found::{Found, Stated};
use super::loose::{Either, Table, Text};
use super::{Cataloger, Input, Pattern, Reading, npm};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: CARGO, wants: &[Pattern::Name("Cargo.toml")], read: cargo },
    Cataloger { name: NPM, wants: &[Pattern::Name("package.json")], read: npm },
];

const CARGO: &str = "cargo-manifest";
const NPM: &str = "npm-manifest";
/// The readers of lock files that are made from a manifest.
const LOCKS: [(&str, &[&str]); 2] =
    [(CARGO, &["cargo-lock"]), (NPM, &["npm-lock", "pnpm-lock", "yarn-lock", "bun-lock"])];

/// Where others' manifests lie, by the hundred: unpacked crates, installed packages.
const OF_OTHERS: [&str; 4] = ["node_modules/", "registry/src/", "git/checkouts/", "share/nodejs/"];

fn is_of_others(path: &str) -> bool {
    OF_OTHERS.iter().any(|folder| path.contains(folder))
}

/// Takes what is asked for: a plain version is one, anything else a wish.
fn declare(found: &mut Found, mut stated: Stated, wanted: &str, is_version: bool, role: &'static str) {
    if is_version {
        wanted.clone_into(&mut stated.version);
    } else {
        stated = stated.with("wanted", wanted);
    }
    let place = found.take(stated.with("role", role));
    found.direct.extend(place);
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cargo {
    #[serde(flatten)]
    tables: Dependencies,
    workspace: Either<Dependencies>,
    target: Table<Dependencies>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Dependencies {
    dependencies: Table<Wish>,
    #[serde(rename = "dev-dependencies")]
    dev: Table<Wish>,
    #[serde(rename = "build-dependencies")]
    build: Table<Wish>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wish {
    Version(String),
    Described(Box<Described>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Described {
    version: Text,
    package: Text,
    path: Text,
    git: Text,
}

fn cargo(input: &Input, found: &mut Found) {
    if is_of_others(input.path) {
        return;
    }
    let Some(manifest) = found.toml::<Cargo>(input.bytes) else { return };
    let tables = [Some(manifest.tables), manifest.workspace.0];
    for table in tables.into_iter().flatten().chain(manifest.target.0.into_values()) {
        let roles = [(table.dependencies, ""), (table.dev, "development"), (table.build, "build")];
        for (key, wish, role) in roles
            .into_iter()
            .flat_map(|(table, role)| table.0.into_iter().map(move |(key, wish)| (key, wish, role)))
        {
            let wish = match wish {
                Wish::Version(version) => Described { version: Text(Some(version)), ..Described::default() },
                Wish::Described(wish) => *wish,
            };
            // A folder of the project itself; what the workspace says of a name stands there.
            let elsewhere = !wish.path.as_str().is_empty();
            let git = wish.git.as_str();
            if elsewhere || wish.version.as_str().is_empty() && git.is_empty() {
                continue;
            }
            let name = Some(wish.package.as_str()).filter(|name| !name.is_empty()).unwrap_or(&key);
            let mut stated = Stated::new("cargo", name, "", State::Declared);
            if !git.is_empty() {
                stated = stated.qualified("vcs_url", format!("git+{git}"));
            }
            // `=1.2.3` is that version; `1.2.3` is that or a later one.
            let wanted = wish.version.as_str().trim();
            let exact =
                wanted.strip_prefix('=').map(str::trim).filter(|version| version.split('.').count() == 3);
            declare(found, stated, exact.unwrap_or(wanted), exact.is_some(), role);
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Npm {
    dependencies: Table<Text>,
    #[serde(rename = "devDependencies")]
    dev: Table<Text>,
    #[serde(rename = "optionalDependencies")]
    optional: Table<Text>,
    #[serde(rename = "peerDependencies")]
    peer: Table<Text>,
}

fn npm(input: &Input, found: &mut Found) {
    if is_of_others(input.path) {
        return;
    }
    // What is no JSON, the reader of installed packages says where it matters.
    let Ok(manifest) = serde_json::from_slice::<Npm>(input.bytes) else { return };
    let roles = [
        (manifest.dependencies, ""),
        (manifest.dev, "development"),
        (manifest.optional, "optional"),
        (manifest.peer, "peer"),
    ];
    for (key, wanted, role) in roles
        .into_iter()
        .flat_map(|(table, role)| table.0.into_iter().map(move |(key, text)| (key, text, role)))
    {
        let wanted = wanted.as_str();
        // A folder of the project itself.
        if ["workspace:", "file:", "link:", "portal:"].iter().any(|start| wanted.starts_with(start)) {
            continue;
        }
        // `npm:other@^1.0.0` is another package under this name.
        let (name, wanted) = match wanted.strip_prefix("npm:") {
            Some(real) => match real.rfind('@').filter(|at| *at > 0) {
                Some(at) => (&real[..at], &real[at + 1..]),
                None => (real, ""),
            },
            None => (key.as_str(), wanted),
        };
        let is_version = wanted.split('.').count() >= 3
            && wanted.starts_with(|c: char| c.is_ascii_digit())
            && !wanted.contains([' ', 'x', '*', '|', '<', '>']);
        declare(found, npm::package(name, "", State::Declared), wanted, is_version, role);
    }
}

/// Tells which readings of manifests say nothing, because a lock file beside them or above speaks for them.
pub(super) fn superseded(readings: &[Reading]) -> impl Fn(&Reading) -> bool + use<> {
    let folder = |path: &BytePath| -> Vec<u8> {
        let bytes = path.as_bytes();
        let end = bytes.iter().rposition(|byte| matches!(byte, b'/' | b'!')).unwrap_or(0);
        bytes[..end].to_vec()
    };
    let locked: Vec<BTreeSet<Vec<u8>>> = LOCKS
        .iter()
        .map(|(_, locks)| {
            let readings = readings.iter().filter(|reading| locks.contains(&reading.by.as_str()));
            readings.map(|reading| folder(&reading.path)).collect()
        })
        .collect();
    move |reading| {
        let Some(number) = LOCKS.iter().position(|(manifest, _)| reading.by == *manifest) else {
            return false;
        };
        let mut folder = folder(&reading.path);
        loop {
            if locked[number].contains(&folder) {
                return true;
            }
            match folder.iter().rposition(|byte| matches!(byte, b'/' | b'!')) {
                Some(end) => folder.truncate(end),
                None => return !folder.is_empty() && locked[number].contains(&b""[..]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, scan};

    const CARGO: &[u8] = b"[package]\nname = \"app\"\n[dependencies]\nlog = \"0.4\"\nexact = \"=1.2.3\"\nnamed = { version = \"2\", package = \"real\" }\nown = { path = \"own\" }\nshared = { workspace = true }\ng = { git = \"https://x.test/g\" }\nodd = 7\n[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[dev-dependencies]\ntempfile = \"3\"\n[workspace.dependencies]\nserde = \"1\"\n";

    #[test]
    fn what_a_manifest_asks_for_is_declared() {
        let catalog = scan(&[("app/Cargo.toml", CARGO)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:cargo/exact@1.2.3",
                "pkg:cargo/g?vcs_url=git%2Bhttps:%2F%2Fx.test%2Fg",
                "pkg:cargo/libc",
                "pkg:cargo/log",
                "pkg:cargo/real",
                "pkg:cargo/serde",
                "pkg:cargo/tempfile",
            ]
        );
        assert!(catalog.bom.packages.iter().all(|package| package.state.word() == "declared"));
        let npm = br#"{"name":"app","dependencies":{"a":"^1.0.0","b":"1.2.3","c":"npm:@s/real@^2","w":"workspace:*"},"devDependencies":{"d":"latest","e":7}}"#;
        let catalog = scan(&[("app/package.json", npm)]);
        assert_eq!(
            purls(&catalog),
            ["pkg:npm/%40s/real", "pkg:npm/a", "pkg:npm/b@1.2.3", "pkg:npm/d", "pkg:npm/e"]
        );
        assert_eq!(direct(&catalog).len(), 5);
    }

    #[test]
    fn a_lock_file_beside_or_above_speaks_instead() {
        let lock =
            b"version = 3\n[[package]]\nname = \"log\"\nversion = \"0.4.20\"\nsource = \"registry+x\"\n";
        for path in ["Cargo.lock", "a/Cargo.lock", "a/b/Cargo.lock"] {
            let catalog = scan(&[("a/b/Cargo.toml", CARGO), (path, lock)]);
            assert_eq!(purls(&catalog), ["pkg:cargo/log@0.4.20"], "{path}");
        }
        let beside = scan(&[("a/b/Cargo.toml", CARGO), ("a/c/Cargo.lock", lock)]);
        assert_eq!(beside.bom.packages.len(), 8);
        let of_others = br#"{"name":"x","version":"1.0.0","dependencies":{"a":"1.0.0"}}"#;
        assert_eq!(purls(&scan(&[("node_modules/x/package.json", of_others)])), ["pkg:npm/x@1.0.0"]);
    }
}
