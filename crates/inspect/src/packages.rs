//! What package databases say: dpkg, the cargo registry, `node_modules`, Python's dist-info. Pure readers of bytes.

use evidence::{BytePath, purl};

use crate::unpack::xml::{Event, Reader, attribute};

/// A package as a database names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Package {
    /// The purl type: `deb`, `cargo`, `npm`, `pypi`.
    pub ecosystem: &'static str,
    /// The purl namespace, unescaped; may be empty.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Purl qualifiers, sorted by name.
    pub qualifiers: Vec<(&'static str, String)>,
}

impl Package {
    /// Returns the canonical package URL (ECMA-427).
    pub fn purl(&self) -> String {
        let qualifiers = self.qualifiers.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        purl::canonical(purl::Parts {
            kind: self.ecosystem.to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            qualifiers: qualifiers.collect(),
            subpath: String::new(),
        })
    }
}

/// Reads dpkg's `status` file: the packages that are installed. `distribution` is the `ID` of `os-release`.
pub fn dpkg_status(status: &[u8], distribution: &str) -> Vec<Package> {
    let text = String::from_utf8_lossy(status);
    let installed = text.split("\n\n").filter_map(|paragraph| {
        let field = |name: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
        };
        if !field("Status")?.ends_with(" installed") {
            return None;
        }
        Some(Package {
            ecosystem: "deb",
            namespace: distribution.to_owned(),
            name: field("Package")?,
            version: field("Version")?,
            qualifiers: vec![("arch", field("Architecture")?)],
        })
    });
    installed.collect()
}

/// Reads a list of the files of a dpkg package.
pub fn dpkg_list(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b'\n').filter(|line| line.len() > 2)
}

/// Reads `ID` from `os-release` (`os-release(5)`).
pub fn distribution(os_release: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(os_release);
    text.lines().find_map(|line| Some(line.strip_prefix("ID=")?.trim_matches(['"', '\'']).to_owned()))
}

/// An extension of Visual Studio, as its `extension.vsixmanifest` names it (VSIX extension schema 2.0).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StudioExtension {
    /// Its identity.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Who publishes it.
    pub publisher: String,
    /// What it is called.
    pub title: String,
}

/// Reads `extension.vsixmanifest`; `None` if it has no identity.
pub fn studio_extension(manifest: &[u8]) -> Option<StudioExtension> {
    let mut found = StudioExtension::default();
    let mut element: &[u8] = b"";
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..500).unwrap_or(bytes)).into_owned();
    for event in Reader::new(manifest) {
        match event {
            Event::Open(b"Identity", attributes) if found.id.is_empty() => {
                let value = |name| attribute(attributes, name).map(text).unwrap_or_default();
                (found.id, found.version, found.publisher) =
                    (value("Id"), value("Version"), value("Publisher"));
            }
            Event::Open(name, _) => element = name,
            Event::Text(name) if element == b"DisplayName" => found.title = text(&name),
            _ => {}
        }
    }
    (!found.id.is_empty()).then_some(found)
}

/// Finds the crate in whose unpacked source a path lies: `…/registry/src/INDEX/NAME-VERSION/…`.
pub fn cargo_registry(path: &BytePath) -> Option<Package> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    let (_, rest) = text.split_once("/registry/src/")?;
    let mut parts = rest.split('/');
    let folder = parts.nth(1)?;
    parts.next()?;
    // The version is what follows the first hyphen that leaves a valid version.
    let split = folder.match_indices('-').map(|(at, _)| at).find(|at| {
        let mut parts = folder[at + 1..].split('.');
        let major = parts
            .next()
            .is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        major && parts.count() >= 2
    })?;
    Some(Package {
        ecosystem: "cargo",
        namespace: String::new(),
        name: folder[..split].to_owned(),
        version: folder[split + 1..].to_owned(),
        qualifiers: Vec::new(),
    })
}

/// Finds the manifest of the npm package in which a path lies: the innermost `node_modules/[@scope/]name`.
pub fn npm_manifest(path: &BytePath) -> Option<BytePath> {
    const FOLDER: &[u8] = b"/node_modules/";
    let bytes = path.as_bytes();
    let at = bytes.windows(FOLDER.len()).rposition(|window| window == FOLDER)? + FOLDER.len();
    let scoped = bytes.get(at) == Some(&b'@');
    let slashes = if scoped { 2 } else { 1 };
    let (end, _) = bytes[at..].iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(slashes - 1)?;
    Some(BytePath::new([&bytes[..at + end], b"/package.json"].concat()))
}

/// Reads `name` and `version` of an npm manifest.
pub fn npm_package(manifest: &[u8]) -> Option<Package> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    let full = manifest.get("name")?.as_str()?;
    let (namespace, name) = full.split_once('/').unwrap_or(("", full));
    Some(Package {
        ecosystem: "npm",
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        version: manifest.get("version")?.as_str()?.to_owned(),
        qualifiers: Vec::new(),
    })
}

/// Reads `Name` and `Version` of a Python distribution's `METADATA` (core metadata, PEP 566).
pub fn python_metadata(metadata: &[u8]) -> Option<Package> {
    let text = String::from_utf8_lossy(metadata);
    let headers = text.split("\n\n").next()?;
    let field = |name: &str| {
        headers.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim().to_owned()))
    };
    Some(Package {
        ecosystem: "pypi",
        namespace: String::new(),
        // The purl name is normalised (PEP 503).
        name: field("Name")?.to_ascii_lowercase().replace(['_', '.'], "-"),
        version: field("Version")?,
        qualifiers: Vec::new(),
    })
}

/// Reads the paths of a Python distribution's `RECORD` (PEP 376), relative to its `site-packages`.
pub fn python_record(record: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    record.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let path = match line.strip_prefix(b"\"") {
            // A path with a comma is quoted; a quote in it is doubled.
            Some(quoted) => {
                let end = quoted.windows(2).position(|window| window == b"\",")?;
                String::from_utf8_lossy(&quoted[..end]).replace("\"\"", "\"").into_bytes()
            }
            None => line.split(|byte| *byte == b',').next()?.to_vec(),
        };
        (!path.is_empty()).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purls_are_canonical() {
        let status =
            b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2:1.0+dfsg~1\n\n\
            Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n";
        let packages = dpkg_status(status, "debian");
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].purl(), "pkg:deb/debian/libc6@2:1.0%2Bdfsg~1?arch=amd64");
        let npm = npm_package(br#"{"name": "@babel/core", "version": "7.0.0"}"#).unwrap();
        assert_eq!(npm.purl(), "pkg:npm/%40babel/core@7.0.0");
    }

    #[test]
    fn owners_are_found_by_path() {
        let cargo = |path: &str| cargo_registry(&path.into()).map(|package| package.purl());
        assert_eq!(
            cargo("/h/.cargo/registry/src/i-1/serde-json-core-1.0.2/src/lib.rs").unwrap(),
            "pkg:cargo/serde-json-core@1.0.2"
        );
        assert_eq!(
            cargo("/h/.cargo/registry/src/i-1/md-5-0.10.6/src/lib.rs").unwrap(),
            "pkg:cargo/md-5@0.10.6"
        );
        assert_eq!(cargo("/h/.cargo/registry/src/i-1/x"), None);
        let npm = |path: &str| npm_manifest(&path.into()).map(|path| path.to_string());
        assert_eq!(
            npm("/w/node_modules/a/node_modules/@s/b/lib/x.js").unwrap(),
            "/w/node_modules/a/node_modules/@s/b/package.json"
        );
        assert_eq!(npm("/w/node_modules/.package-lock.json"), None);
    }

    #[test]
    fn extensions_of_visual_studio_are_read() {
        let manifest = br#"<?xml version="1.0"?><PackageManifest Version="2.0.0"><Metadata><Identity Id="A.b" Version="1.2" Language="en-US" Publisher="P" /><DisplayName>A B</DisplayName></Metadata></PackageManifest>"#;
        let expected = StudioExtension {
            id: "A.b".into(),
            version: "1.2".into(),
            publisher: "P".into(),
            title: "A B".into(),
        };
        assert_eq!(studio_extension(manifest), Some(expected));
        assert_eq!(studio_extension(b"<Identity Version=\"1\"/>"), None);
        (0..manifest.len()).for_each(|at| drop(studio_extension(&manifest[..at])));
    }

    #[test]
    fn python_distributions_are_read() {
        let package =
            python_metadata(b"Metadata-Version: 2.1\nName: Foo_Bar.baz\nVersion: 1.0\n\nName: no\n").unwrap();
        assert_eq!(package.purl(), "pkg:pypi/foo-bar-baz@1.0");
        let paths: Vec<_> = python_record(b"a/b.py,sha256=x,3\n\"c,\"\"d.py\",,\n../bin/x,,\r\n\n").collect();
        assert_eq!(paths, [b"a/b.py".to_vec(), b"c,\"d.py".to_vec(), b"../bin/x".to_vec()]);
    }
}
