//! syft's own JSON.

use std::sync::Arc;

use evidence::BytePath;
use evidence::bom::{Evidence, Package, Property};
use serde::Deserialize;

use super::Parts;
use crate::catalog::{List, Text};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Schema {
    pub(super) version: Text,
    pub(super) url: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Descriptor {
    pub(super) name: Text,
    pub(super) version: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Source {
    name: Text,
    version: Text,
}

impl Source {
    pub(super) fn take(self, parts: &mut Parts) {
        parts.bom.subject.name = self.name.take().into();
        parts.bom.subject.version = self.version.take().into();
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Artifact {
    id: Text,
    name: Text,
    version: Text,
    r#type: Text,
    #[serde(rename = "foundBy")]
    found_by: Text,
    locations: List<Location>,
    licenses: List<Licence>,
    cpes: List<Cpe>,
    purl: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    path: Text,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Licence {
    Written(String),
    Described {
        #[serde(default)]
        value: Text,
        #[serde(rename = "spdxExpression", default)]
        expression: Text,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Cpe {
    Written(String),
    Described { cpe: Text },
}

pub(super) fn artifact(parts: &mut Parts, artifact: Artifact) {
    let mut package = Package {
        name: artifact.name.take().into(),
        version: artifact.version.take().into(),
        purl: artifact.purl.0.filter(|purl| !purl.is_empty()).map(Into::into),
        ..Package::default()
    };
    for licence in artifact.licenses.0 {
        package.licences.extend(match licence {
            Licence::Written(text) => Some(text.into()),
            Licence::Described { value, expression } => {
                expression.0.filter(|text| !text.is_empty()).or(value.0).map(Into::into)
            }
        });
    }
    for cpe in artifact.cpes.0 {
        package.cpes.extend(match cpe {
            Cpe::Written(text) => Some(text.into()),
            Cpe::Described { cpe } => cpe.0.map(Into::into),
        });
    }
    package.licences.sort();
    package.licences.dedup();
    package.cpes.sort();
    let by: std::borrow::Cow<'static, str> = artifact.found_by.take().into();
    for location in artifact.locations.0 {
        // syft's paths begin at the root of what was scanned.
        let path = location.path.as_str().trim_start_matches('/');
        package.evidence.push(Evidence { path: Arc::new(BytePath::from(path)), by: by.clone() });
    }
    package.evidence.sort();
    package.evidence.dedup();
    package
        .properties
        .extend(artifact.r#type.0.map(|kind| Property { name: "syft-type".into(), value: kind.into() }));
    parts.package(artifact.id.as_str(), package);
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Relationship {
    parent: Text,
    child: Text,
    r#type: Text,
}

pub(super) fn relationship(parts: &mut Parts, relationship: Relationship) {
    // "parent is a dependency of child".
    if relationship.r#type.as_str() == "dependency-of" {
        parts.relation(relationship.child.as_str(), relationship.parent.as_str());
    }
}
