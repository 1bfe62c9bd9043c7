//! SPDX 3.0 JSON-LD: a graph of elements, each with a type; the relations are elements too.

use evidence::bom::{Algorithm, Hash, Kind, Package};
use serde::Deserialize;

use super::{Parts, spdx};
use crate::catalog::{List, Text, Whole};

/// The fields of all sorts of elements that matter here.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Element {
    #[serde(rename = "type", alias = "@type")]
    kind: Text,
    #[serde(rename = "spdxId", alias = "@id")]
    id: Text,
    name: Text,
    comment: Text,
    created: Text,
    #[serde(rename = "createdUsing")]
    created_using: List<Text>,
    #[serde(rename = "rootElement")]
    roots: List<Text>,
    #[serde(rename = "software_packageVersion", alias = "packageVersion")]
    version: Text,
    #[serde(rename = "software_packageUrl", alias = "packageUrl")]
    purl: Text,
    #[serde(rename = "software_primaryPurpose", alias = "primaryPurpose")]
    purpose: Text,
    #[serde(rename = "software_sourceInfo", alias = "sourceInfo")]
    source: Text,
    #[serde(rename = "suppliedBy")]
    supplied_by: Text,
    #[serde(rename = "verifiedUsing")]
    verified: List<Verified>,
    #[serde(rename = "externalIdentifier")]
    identifiers: List<Identifier>,
    #[serde(rename = "simplelicensing_licenseExpression", alias = "licenseExpression")]
    expression: Text,
    from: Text,
    to: Whole<OneOrMany>,
    #[serde(rename = "relationshipType")]
    relationship: Text,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(List<Text>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Verified {
    algorithm: Text,
    #[serde(rename = "hashValue")]
    value: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Identifier {
    #[serde(rename = "externalIdentifierType")]
    kind: Text,
    identifier: Text,
}

pub(super) fn element(parts: &mut Parts, element: Element) {
    let kind = element.kind.as_str();
    match kind.rsplit(['/', '_']).next().unwrap_or(kind) {
        "Package" | "File" | "AIPackage" | "DatasetPackage" => package(parts, element),
        "Relationship" | "LifecycleScopedRelationship" => relation(parts, element),
        "Sbom" | "Bom" => {
            for root in &element.roots.0 {
                parts.describes(root.as_str());
            }
        }
        "CreationInfo" if parts.bom.made.is_none() => parts.bom.made = element.created.0,
        "Tool" => parts.bom.tools.extend(element.name.0),
        "Person" | "Organization" | "SoftwareAgent" | "Agent" => {
            if let Some(name) = element.name.0 {
                let key = parts.key(element.id.as_str());
                parts.texts.insert(key, name.into());
            }
        }
        "LicenseExpression" => {
            if let Some(expression) = element.expression.0 {
                let key = parts.key(element.id.as_str());
                parts.texts.insert(key, expression.into());
            }
        }
        _ => {}
    }
}

fn package(parts: &mut Parts, element: Element) {
    let file = element.kind.as_str().ends_with("File");
    let mut package = Package {
        name: element.name.as_str().into(),
        version: element.version.take().into(),
        purl: element.purl.0.map(Into::into),
        kind: if file { Kind::File } else { spdx::kind(element.purpose.as_str()) },
        ..Package::default()
    };
    for verified in element.verified.0 {
        let algorithm = Algorithm::of(verified.algorithm.as_str());
        match algorithm.and_then(|algorithm| Hash::new(algorithm, verified.value.as_str())) {
            Some(hash) => package.hashes.push(hash),
            None => {
                parts.problem("malformed-hash", &format!("{}: {}", package.name, verified.algorithm.as_str()))
            }
        }
    }
    package.hashes.sort();
    for identifier in element.identifiers.0 {
        match identifier.kind.as_str() {
            "packageUrl" if package.purl.is_none() => package.purl = identifier.identifier.0.map(Into::into),
            "cpe23" => package.cpes.extend(identifier.identifier.0.map(Box::<str>::from)),
            _ => {}
        }
    }
    package.cpes.sort();
    spdx::fields(&mut package, element.comment.as_str(), element.source.as_str());
    // The supplier is an element of its own, which in our documents stands before.
    let supplier = parts.key(element.supplied_by.as_str());
    package.supplier = parts.texts.get(&supplier).map(|text| text.as_ref().into());
    parts.package(element.id.as_str(), package);
}

fn relation(parts: &mut Parts, element: Element) {
    let from = element.from.take();
    let targets: Vec<String> = match element.to.0 {
        Some(OneOrMany::One(one)) => vec![one],
        Some(OneOrMany::Many(list)) => list.0.into_iter().map(Text::take).collect(),
        None => Vec::new(),
    };
    for to in targets {
        match element.relationship.as_str() {
            "dependsOn" | "hasPrerequisite" => parts.relation(&from, &to),
            "hasDeclaredLicense" | "hasConcludedLicense" => {
                let pair = (parts.key(&from), parts.key(&to));
                parts.licences.push(pair);
            }
            _ => {}
        }
    }
}
