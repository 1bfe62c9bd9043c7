//! Rust: `Cargo.lock`, and the unpacked crates of a registry or of vendored sources.

use std::collections::HashMap;

use evidence::bom::{Algorithm, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::loose::{Flag, List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "cargo-lock", wants: &[Pattern::Name("Cargo.lock")], read: lock },
    Cataloger { name: "cargo-install", wants: &[Pattern::Name(".crates2.json")], read: installed },
];

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
    /// Where version 1 has the checksums.
    #[serde(default)]
    metadata: Table<Text>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// `Cargo.lock` of all versions. A package without a source is one of the workspace itself.
fn lock(input: &Input, found: &mut Found) {
    let Some(lock) = found.toml::<Lock>(input.bytes) else { return };
    let mut places: HashMap<(String, String), u32> = HashMap::new();
    let mut by_name: HashMap<String, Vec<u32>> = HashMap::new();
    let mut dependencies = Vec::with_capacity(lock.package.len());
    for package in lock.package {
        let mut stated = Stated::new("cargo", package.name.as_str(), package.version.as_str(), State::Locked);
        let checksum = package.checksum.or_else(|| {
            let source = package.source.as_deref()?;
            let key = format!("checksum {} {} ({source})", package.name, package.version);
            lock.metadata.0.get(&key)?.0.clone()
        });
        if let Some(checksum) = &checksum {
            stated.hash(Algorithm::Sha256, checksum);
        }
        stated = match package.source.as_deref() {
            None => stated.with("own", "true"),
            Some(source) => match source.strip_prefix("git+") {
                Some(url) => stated.qualified("vcs_url", format!("git+{url}")),
                None => stated.with("registry", source),
            },
        };
        let Some(place) = found.take(stated) else { break };
        by_name.entry(package.name.clone()).or_default().push(place);
        places.insert((package.name, package.version), place);
        dependencies.push((place, package.source.is_none(), package.dependencies));
    }
    for (from, own, list) in dependencies {
        for dependency in list {
            let mut words = dependency.split(' ');
            let name = words.next().unwrap_or_default();
            let to = match words.next() {
                Some(version) => places.get(&(name.to_owned(), version.to_owned())).copied(),
                None => by_name.get(name).and_then(|places| places.first()).copied(),
            };
            if let Some(to) = to {
                found.relations.push((from, to));
                if own {
                    found.direct.push(to);
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Installs {
    #[serde(default)]
    installs: Table<Install>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Install {
    bins: List<Text>,
    #[serde(rename = "no_default_features")]
    _bare: Flag,
}

/// What `cargo install` has put into a folder of programs: `"name 1.0.0 (registry+…)"`.
fn installed(input: &Input, found: &mut Found) {
    let Some(list) = found.json::<Installs>(input.bytes) else { return };
    for (key, install) in list.installs.0 {
        let mut words = key.splitn(3, ' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let programs: Vec<&str> = install.bins.0.iter().map(Text::as_str).collect();
        found.take(
            Stated::new("cargo", name, version, State::Installed)
                .kind(evidence::bom::Kind::Application)
                .with("programs", programs.join(" ")),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, relations, scan};

    #[test]
    fn a_lock_file_of_each_version_is_read() {
        let sum = "5".repeat(64);
        let lock = format!(
            "version = 3\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"log\",\n \"rand 0.8.5\",\n]\n\
             [[package]]\nname = \"log\"\nversion = \"0.4.20\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{sum}\"\n\
             [[package]]\nname = \"rand\"\nversion = \"0.7.3\"\nsource = \"registry+x\"\n\
             [[package]]\nname = \"rand\"\nversion = \"0.8.5\"\nsource = \"git+https://x.test/r?rev=1#abc\"\ndependencies = [\"log\"]\n"
        );
        let catalog = scan(&[("Cargo.lock", lock.as_bytes())]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:cargo/app@0.1.0",
                "pkg:cargo/log@0.4.20",
                "pkg:cargo/rand@0.7.3",
                "pkg:cargo/rand@0.8.5?vcs_url=git%2Bhttps:%2F%2Fx.test%2Fr%3Frev%3D1%23abc",
            ]
        );
        assert_eq!(relations(&catalog), [("app", "log"), ("app", "rand"), ("rand", "log")]);
        assert_eq!(direct(&catalog), ["log", "rand"]);
        assert_eq!(catalog.bom.packages[1].hashes[0].hex(), sum);
        let old = format!(
            "[[package]]\nname = \"log\"\nversion = \"0.4.20\"\nsource = \"registry+i\"\n[metadata]\n\"checksum log 0.4.20 (registry+i)\" = \"{sum}\"\n"
        );
        assert_eq!(scan(&[("Cargo.lock", old.as_bytes())]).bom.packages[0].hashes.len(), 1);
        let wrong = scan(&[("Cargo.lock", b"[[package]]\nname = 7\n")]);
        assert_eq!((wrong.bom.packages.len(), wrong.problems[0].kind.as_str()), (0, "malformed-toml"));
    }

    #[test]
    fn installed_programs_are_read() {
        let list = br#"{"installs":{"ripgrep 14.1.0 (registry+https://x)":{"version_req":null,"bins":["rg"],"features":[]}}}"#;
        let catalog = scan(&[("root/.cargo/.crates2.json", list)]);
        assert_eq!(purls(&catalog), ["pkg:cargo/ripgrep@14.1.0"]);
        assert_eq!(catalog.bom.packages[0].kind.word(), "application");
    }
}
