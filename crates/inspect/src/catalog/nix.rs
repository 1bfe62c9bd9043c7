//! Nix: the store's database, the manifests of profiles, and store paths by their names alone, as an image without a database
//! has them. What a store path is called (`HASH-NAME-VERSION-OUTPUT`) is all that Nix itself knows of names and versions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evidence::BytePath;
use evidence::bom::State;
use serde::Deserialize;

use super::found::{Found, Stated};
use super::loose::{Either, List, Text};
use super::{Cataloger, Input, Pattern, sqlite};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "nix-database", wants: &[Pattern::End("nix/var/nix/db/db.sqlite")], read: database },
    Cataloger {
        name: "nix-profile",
        wants: &[Pattern::Name("manifest.json"), Pattern::Name("manifest.nix")],
        read: profile,
    },
];

/// The reader of store paths that no database describes.
pub(super) const STORE: &str = "nix-store";

/// The alphabet of hashes in store paths: Nix's base 32.
const ALPHABET: &[u8] = b"0123456789abcdfghijklmnpqrsvwxyz";
const HASH_LENGTH: usize = 32;
/// Outputs of derivations, as far as names of store paths say them.
const OUTPUTS: &[&str] =
    &["bin", "debug", "dev", "devdoc", "devman", "doc", "info", "lib", "man", "out", "static"];
/// What ends so is a recipe, a source or a change of one, not something installed.
const NOT_INSTALLED: &[&str] = &[
    ".drv", ".patch", ".diff", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tar.lz",
    ".zip", ".sh", ".nix", ".json", ".toml", ".conf", ".lock", "-source", ".service", ".chroot",
];

/// Takes the package of a store path such as `nix/store/0c5f…-hello-2.12.1-dev`. What has no version has no package.
fn package(path: &str) -> Option<Stated> {
    let name = path.rsplit('/').next()?;
    let (hash, name) = name.split_at_checked(HASH_LENGTH)?;
    let name = name.strip_prefix('-')?;
    if !hash.bytes().all(|byte| ALPHABET.contains(&byte))
        || name.len() > 211
        || NOT_INSTALLED.iter().any(|end| name.ends_with(end))
    {
        return None;
    }
    // The version begins behind the first dash that no letter follows (`parseDrvName`).
    let bytes = name.as_bytes();
    let dash = (1..bytes.len().checked_sub(1)?)
        .find(|at| bytes[*at] == b'-' && !bytes[at + 1].is_ascii_alphabetic())?;
    let (name, version) = (name.get(..dash)?, name.get(dash + 1..)?);
    let (version, output) = match version.rsplit_once('-') {
        Some((version, output)) if OUTPUTS.contains(&output) => (version, output),
        _ => (version, ""),
    };
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| {
        Stated::new("nix", name, version, State::Installed)
            .qualified("output", output)
            .qualified("outputhash", hash)
    })
}

/// `ValidPaths (id, path, hash, registrationTime, deriver, narSize, …)` and `Refs (referrer, reference)`.
fn database(input: &Input, found: &mut Found) {
    let mut places: HashMap<u64, u32> = HashMap::new();
    let result = sqlite::rows(input.bytes, "ValidPaths", &mut |key, columns| {
        let text = |place: usize| columns.get(place).map(|text| String::from_utf8_lossy(text).into_owned());
        let Some(mut stated) = text(1).and_then(|path| package(&path)) else { return };
        // Of the archive of all files (NAR), not of a file.
        stated = stated.with("nar-hash", text(2).unwrap_or_default());
        let deriver = text(4).unwrap_or_default();
        stated = stated.with("derivation", deriver.rsplit('/').next().unwrap_or_default());
        if let Some(place) = found.take(stated) {
            places.insert(key, place);
        }
    });
    let relations = result.and_then(|()| {
        sqlite::rows(input.bytes, "Refs", &mut |_, columns| {
            let place = |column: usize| places.get(&sqlite::number(columns.get(column)?)).copied();
            // A path that refers to itself depends on nothing.
            if let (Some(from), Some(to)) = (place(0), place(1))
                && from != to
            {
                found.relations.push((from, to));
            }
        })
    });
    if let Err(detail) = relations {
        found.problem("malformed-nix-database", detail);
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Manifest {
    elements: Elements,
}

/// A list in version 1 and 2, a mapping by name in version 3.
#[derive(Deserialize)]
#[serde(untagged)]
enum Elements {
    Named(BTreeMap<String, Either<Element>>),
    // Takes what is neither as an empty list.
    List(List<Element>),
}

impl Default for Elements {
    fn default() -> Self {
        Self::List(List::default())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Element {
    #[serde(rename = "storePaths")]
    store_paths: List<Text>,
    #[serde(rename = "originalUrl")]
    original_url: Text,
    #[serde(rename = "attrPath")]
    attribute: Text,
}

/// What a person has installed into a profile: `manifest.json` of `nix profile`, `manifest.nix` of `nix-env`.
fn profile(input: &Input, found: &mut Found) {
    if !input.path.contains("nix/store/") && !input.path.contains("nix/profile") {
        return;
    }
    if input.name() == "manifest.nix" {
        let text = input.text();
        // `{ name = "hello-2.12"; outPath = "/nix/store/…-hello-2.12"; … }`, written by Nix.
        let paths = text.match_indices("outPath = \"").filter_map(|(at, mark)| {
            text.get(at + mark.len()..)?.split('"').next().filter(|path| path.len() < 300)
        });
        for path in paths.collect::<BTreeSet<_>>() {
            let place = package(path).and_then(|stated| found.take(stated));
            found.direct.extend(place);
        }
        return;
    }
    let Some(manifest) = found.json::<Manifest>(input.bytes) else { return };
    let elements: Vec<Element> = match manifest.elements {
        Elements::List(list) => list.0,
        Elements::Named(named) => named.into_values().filter_map(|element| element.0).collect(),
    };
    for element in elements {
        for path in &element.store_paths.0 {
            let Some(stated) = package(path.as_str()) else { continue };
            let stated = stated
                .with("wanted", element.attribute.as_str())
                .with("source", element.original_url.as_str());
            let place = found.take(stated);
            found.direct.extend(place);
        }
    }
}

/// Takes the store path below which a path lies, and the package that it names.
pub(super) fn below_store(path: &[u8]) -> Option<(BytePath, Found)> {
    const MARK: &[u8] = b"nix/store/";
    let at = memchr::memmem::find(path, MARK)?;
    if !path.get(..at)?.last().is_none_or(|byte| matches!(byte, b'/' | b'!')) {
        return None;
    }
    let start = at + MARK.len();
    let rest = path.get(start..)?;
    let end = start + rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let folder = path.get(..end)?;
    let mut found = Found::default();
    found.take(package(std::str::from_utf8(path.get(start..end)?).ok()?)?);
    Some((BytePath::from(folder), found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{direct, purls, relations, scan};

    const HASH: &str = "0c5fxrwqvbyl2sicd9fr2w5w3j3sx1wl";

    #[test]
    fn names_of_store_paths_are_taken_apart() {
        for (name, expected) in [
            ("hello-2.12.1", Some(("hello", "2.12.1", ""))),
            ("openssl-3.0.13-dev", Some(("openssl", "3.0.13", "dev"))),
            ("python3.11-requests-2.31.0", Some(("python3.11-requests", "2.31.0", ""))),
            ("gcc-13.2.0-lib", Some(("gcc", "13.2.0", "lib"))),
            ("nix-unstable-2023", Some(("nix-unstable", "2023", ""))),
            ("hello-2.12.1.tar.gz", None),
            ("hello-2.12.1.drv", None),
            ("stdenv-linux", None),
            ("x-", None),
            ("", None),
        ] {
            let stated = package(&format!("/nix/store/{HASH}-{name}"));
            let parts = stated.as_ref().map(|stated| {
                let output = stated.qualifiers.iter().find(|(key, _)| key == "output");
                (
                    stated.name.as_str(),
                    stated.version.as_str(),
                    output.map_or("", |(_, value)| value.as_str()),
                )
            });
            assert_eq!(parts, expected, "{name}");
        }
        for other in ["/nix/store/short-a-1", "/nix/store/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-a-1", "é"] {
            assert_eq!(package(other), None, "{other}");
        }
    }

    #[test]
    fn profiles_say_what_was_asked_for() {
        let old = format!(
            "[ {{ meta = {{ }}; name = \"a-1.0\"; out = {{ outPath = \"/nix/store/{HASH}-a-1.0\"; }}; outPath = \"/nix/store/{HASH}-a-1.0\"; }} ]"
        );
        let list = format!(
            r#"{{"version":2,"elements":[{{"active":true,"attrPath":"legacyPackages.x.a","originalUrl":"flake:nixpkgs","storePaths":["/nix/store/{HASH}-a-1.0"]}}]}}"#
        );
        let named = format!(
            r#"{{"version":3,"elements":{{"a":{{"storePaths":["/nix/store/{HASH}-a-1.0"]}},"b":7}}}}"#
        );
        for (name, text) in [("manifest.nix", &old), ("manifest.json", &list), ("manifest.json", &named)] {
            let path = format!("nix/store/{HASH}-profile/{name}");
            let catalog = scan(&[(&path, text.as_bytes())]);
            assert_eq!(purls(&catalog), [format!("pkg:nix/a@1.0?outputhash={HASH}")], "{text}");
            assert_eq!(direct(&catalog), ["a"], "{text}");
        }
        let elsewhere = scan(&[("web/manifest.json", b"{\"elements\": 7}")]);
        assert_eq!((elsewhere.bom.packages.len(), elsewhere.problems.len()), (0, 0));
    }

    #[test]
    fn the_database_has_paths_and_what_they_refer_to() {
        let path = |name: &str| format!("/nix/store/{HASH}-{name}");
        let rows = [
            (1_u8, path("glibc-2.38-27"), "sha256:00"),
            (2, path("hello-2.12.1"), "sha256:01"),
            (3, path("hello-2.12.1.drv"), "sha256:02"),
        ];
        let file = crate::catalog::sqlite::tests::file(&[
            (
                "ValidPaths",
                rows.iter()
                    .map(|(key, path, hash)| {
                        (
                            u64::from(*key),
                            vec![
                                Vec::new(),
                                path.as_bytes().to_vec(),
                                hash.as_bytes().to_vec(),
                                vec![1],
                                Vec::new(),
                            ],
                        )
                    })
                    .collect(),
            ),
            (
                "Refs",
                vec![(1, vec![vec![2], vec![1]]), (2, vec![vec![2], vec![2]]), (3, vec![vec![2], vec![9]])],
            ),
        ]);
        let catalog = scan(&[("nix/var/nix/db/db.sqlite", &file)]);
        assert_eq!(
            purls(&catalog),
            [
                format!("pkg:nix/glibc@2.38-27?outputhash={HASH}"),
                format!("pkg:nix/hello@2.12.1?outputhash={HASH}")
            ]
        );
        assert_eq!(relations(&catalog), [("hello", "glibc")]);
        let wrong = scan(&[("nix/var/nix/db/db.sqlite", b"x")]);
        assert_eq!(wrong.problems[0].kind, "malformed-nix-database");
    }

    #[test]
    fn a_store_without_a_database_is_known_by_its_folders() {
        let (folder, found) = below_store(format!("l.tar!nix/store/{HASH}-a-1.0/bin/a").as_bytes()).unwrap();
        assert_eq!(folder, BytePath::from(format!("l.tar!nix/store/{HASH}-a-1.0").as_str()));
        assert_eq!(found.packages[0].name, "a");
        for other in [format!("xnix/store/{HASH}-a-1.0"), "nix/store/".to_owned(), "nix/store/x".to_owned()] {
            assert!(below_store(other.as_bytes()).is_none(), "{other}");
        }
    }
}
