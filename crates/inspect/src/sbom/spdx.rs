//! SPDX 2.2 and 2.3 (ISO/IEC 5962) JSON.

use std::sync::Arc;

use evidence::BytePath;
use evidence::bom::{Algorithm, Evidence, Hash, Kind, Package, Place, Property, State};
use serde::Deserialize;

use super::Parts;
use crate::catalog::{List, Text};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Creation {
    created: Text,
    creators: List<Text>,
}

impl Creation {
    pub(super) fn take(self, parts: &mut Parts) {
        parts.bom.made = self.created.0;
        for creator in self.creators.0 {
            match creator.as_str().split_once(": ") {
                Some(("Tool", tool)) => parts.bom.tools.push(tool.to_owned()),
                Some((_, who)) => parts.bom.authors.push(who.to_owned()),
                None => {}
            }
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SpdxPackage {
    #[serde(rename = "SPDXID")]
    id: Text,
    name: Text,
    #[serde(rename = "versionInfo")]
    version: Text,
    supplier: Text,
    originator: Text,
    #[serde(rename = "licenseConcluded")]
    concluded: Text,
    #[serde(rename = "licenseDeclared")]
    declared: Text,
    checksums: List<Checksum>,
    #[serde(rename = "externalRefs")]
    references: List<Reference>,
    #[serde(rename = "primaryPackagePurpose")]
    purpose: Text,
    #[serde(rename = "sourceInfo")]
    source: Text,
    comment: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Checksum {
    algorithm: Text,
    #[serde(rename = "checksumValue")]
    value: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    #[serde(rename = "referenceType")]
    kind: Text,
    #[serde(rename = "referenceLocator")]
    locator: Text,
}

/// `NOASSERTION` and `NONE` say that nothing is said.
fn said(text: &Text) -> Option<&str> {
    text.0.as_deref().filter(|text| !text.is_empty() && !matches!(*text, "NOASSERTION" | "NONE"))
}

fn hashes(parts: &mut Parts, name: &str, checksums: List<Checksum>) -> Vec<Hash> {
    let mut hashes = Vec::new();
    for checksum in checksums.0 {
        let algorithm = Algorithm::of(checksum.algorithm.as_str());
        match algorithm.and_then(|algorithm| Hash::new(algorithm, checksum.value.as_str())) {
            Some(hash) => hashes.push(hash),
            None => parts.problem("malformed-hash", &format!("{name}: {}", checksum.algorithm.as_str())),
        }
    }
    hashes.sort();
    hashes
}

pub(super) fn package(parts: &mut Parts, spdx: SpdxPackage) {
    let mut package = Package {
        name: spdx.name.as_str().into(),
        version: said(&spdx.version).unwrap_or_default().into(),
        hashes: hashes(parts, spdx.name.as_str(), spdx.checksums),
        ..Package::default()
    };
    let supplier = said(&spdx.supplier).or(said(&spdx.originator));
    package.supplier = supplier.map(|text| {
        text.strip_prefix("Organization: ").or(text.strip_prefix("Person: ")).unwrap_or(text).into()
    });
    package.licences.extend(said(&spdx.declared).or(said(&spdx.concluded)).map(Into::into));
    for reference in spdx.references.0 {
        match reference.kind.as_str() {
            "purl" => package.purl = reference.locator.0.map(Into::into),
            "cpe23Type" | "http://spdx.org/rdf/references/cpe23Type" => {
                package.cpes.extend(reference.locator.0.map(Box::<str>::from));
            }
            _ => {}
        }
    }
    package.cpes.sort();
    package.cpes.dedup();
    package.kind = kind(spdx.purpose.as_str());
    fields(&mut package, spdx.comment.as_str(), spdx.source.as_str());
    parts.package(spdx.id.as_str(), package);
}

pub(super) fn kind(purpose: &str) -> Kind {
    let word = purpose.to_ascii_lowercase().replace(['_', '-'], "");
    match word.as_str() {
        "application" => Kind::Application,
        "framework" => Kind::Framework,
        "container" => Kind::Container,
        "operatingsystem" => Kind::OperatingSystem,
        "device" => Kind::Device,
        "devicedriver" => Kind::DeviceDriver,
        "firmware" => Kind::Firmware,
        "file" => Kind::File,
        "platform" => Kind::Platform,
        "model" => Kind::Model,
        "data" => Kind::Data,
        _ => Kind::Library,
    }
}

/// Takes back what our own documents write in lines: `name=value` in the comment, `path (by)` as the source.
pub(super) fn fields(package: &mut Package, comment: &str, source: &str) {
    for line in comment.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        match name {
            "state" => package.state = State::of(value).unwrap_or_default(),
            "place" => package.place = Place::of(value).unwrap_or_default(),
            "namespace" => package.namespace = value.into(),
            "kind" => package.kind = Kind::of(value).unwrap_or(package.kind),
            _ => package.properties.push(Property { name: name.to_owned().into(), value: value.into() }),
        }
    }
    for line in source.strip_prefix("found in ").unwrap_or_default().lines() {
        let (path, by) = line.rsplit_once(" by ").unwrap_or((line, ""));
        let path = BytePath::from_escaped(path).unwrap_or_else(|| BytePath::from(path));
        package.evidence.push(Evidence { path: Arc::new(path), by: by.to_owned().into() });
    }
    package.evidence.sort();
    package.properties.sort();
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct File {
    #[serde(rename = "SPDXID")]
    id: Text,
    #[serde(rename = "fileName")]
    name: Text,
    checksums: List<Checksum>,
}

pub(super) fn file(parts: &mut Parts, file: File) {
    let hashes = hashes(parts, file.name.as_str(), file.checksums);
    let package = Package { name: file.name.as_str().into(), kind: Kind::File, hashes, ..Package::default() };
    parts.package(file.id.as_str(), package);
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Relationship {
    #[serde(rename = "spdxElementId")]
    from: Text,
    #[serde(rename = "relationshipType")]
    kind: Text,
    #[serde(rename = "relatedSpdxElement")]
    to: Text,
}

pub(super) fn relationship(parts: &mut Parts, relationship: Relationship) {
    let (from, to) = (relationship.from.as_str(), relationship.to.as_str());
    match relationship.kind.as_str() {
        "DESCRIBES" => {
            parts.describes(to);
        }
        "DESCRIBED_BY" => {
            parts.describes(from);
        }
        "DEPENDS_ON" | "HAS_PREREQUISITE" => parts.relation(from, to),
        "DEPENDENCY_OF"
        | "PREREQUISITE_FOR"
        | "RUNTIME_DEPENDENCY_OF"
        | "DEV_DEPENDENCY_OF"
        | "BUILD_DEPENDENCY_OF"
        | "OPTIONAL_DEPENDENCY_OF"
        | "PROVIDED_DEPENDENCY_OF"
        | "TEST_DEPENDENCY_OF" => parts.relation(to, from),
        // Containment is no dependency.
        _ => {}
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Extracted {
    #[serde(rename = "licenseId")]
    id: Text,
    name: Text,
}

/// The names of licences that are no SPDX licences.
pub(super) fn extracted(parts: &mut Parts, licence: Extracted) {
    if let Some(name) = licence.name.0 {
        parts.bom.properties.push(Property { name: licence.id.take().into(), value: name.into() });
    }
}
