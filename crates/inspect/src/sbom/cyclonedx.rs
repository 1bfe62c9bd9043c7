//! CycloneDX (ECMA-424) JSON.

use std::sync::Arc;

use evidence::BytePath;
use evidence::bom::{Algorithm, Evidence, Hash, Kind, Package, Place, Property, State};
use serde::Deserialize;

use super::Parts;
use crate::catalog::{List, Text, Whole};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Metadata {
    timestamp: Text,
    tools: Whole<Tools>,
    authors: List<Contact>,
    component: Whole<Component>,
    properties: List<Named>,
}

/// Since 1.5 an object, before a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tools {
    Object {
        #[serde(default)]
        components: List<Tool>,
    },
    List(List<Tool>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tool {
    name: Text,
    version: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Contact {
    name: Text,
    email: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: Text,
    value: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Component {
    #[serde(rename = "type")]
    kind: Text,
    #[serde(rename = "bom-ref")]
    reference: Text,
    group: Text,
    name: Text,
    version: Text,
    purl: Text,
    cpe: Text,
    publisher: Text,
    author: Text,
    supplier: Whole<Contact>,
    licenses: List<Licence>,
    hashes: List<Digest>,
    evidence: Whole<Found>,
    properties: List<Named>,
    components: List<Component>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Licence {
    expression: Text,
    license: Whole<LicenceName>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LicenceName {
    id: Text,
    name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Digest {
    alg: Text,
    content: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Found {
    identity: Whole<Identities>,
    occurrences: List<Occurrence>,
}

/// Since 1.6 a list, in 1.5 one object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Identities {
    One(Identity),
    Many(List<Identity>),
}

#[derive(Deserialize)]
struct Identity {
    methods: List<Method>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Method {
    value: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Occurrence {
    location: Text,
    #[serde(rename = "additionalContext")]
    context: Text,
}

impl Metadata {
    pub(super) fn take(self, parts: &mut Parts) {
        parts.bom.made = self.timestamp.0;
        let tools = match self.tools.0 {
            Some(Tools::Object { components }) => components.0,
            Some(Tools::List(list)) => list.0,
            None => Vec::new(),
        };
        for tool in tools {
            parts
                .bom
                .tools
                .push(format!("{} {}", tool.name.as_str(), tool.version.as_str()).trim().to_owned());
        }
        for author in self.authors.0 {
            parts.bom.authors.extend(author.name.0.or(author.email.0));
        }
        for property in self.properties.0 {
            parts
                .bom
                .properties
                .push(Property { name: property.name.take().into(), value: property.value.take().into() });
        }
        if let Some(mut component) = self.component.0 {
            let inner = std::mem::take(&mut component.components.0);
            let reference = component.reference.as_str().to_owned();
            parts.bom.subject = component.package(parts);
            parts.describes(&reference);
            for component in inner {
                self::component(parts, component);
            }
        }
    }
}

impl Component {
    fn package(self, parts: &mut Parts) -> Package {
        let kind = Kind::of(self.kind.as_str()).unwrap_or_default();
        let mut package = Package {
            purl: self.purl.0.map(Into::into),
            namespace: self.group.take().into(),
            name: self.name.take().into(),
            version: self.version.take().into(),
            kind,
            supplier: self
                .supplier
                .0
                .and_then(|contact| contact.name.0)
                .or(self.publisher.0)
                .or(self.author.0)
                .map(Into::into),
            cpes: self.cpe.0.into_iter().map(Into::into).collect(),
            ..Package::default()
        };
        for licence in self.licenses.0 {
            let named = licence.license.0.unwrap_or_default();
            package.licences.extend(licence.expression.0.or(named.id.0).or(named.name.0).map(Into::into));
        }
        for digest in self.hashes.0 {
            let algorithm = Algorithm::of(digest.alg.as_str());
            match algorithm.and_then(|algorithm| Hash::new(algorithm, digest.content.as_str())) {
                Some(hash) => package.hashes.push(hash),
                None => {
                    parts.problem("malformed-hash", &format!("{}: {}", package.name, digest.alg.as_str()))
                }
            }
        }
        let found = self.evidence.0.unwrap_or_default();
        let occurrences =
            found.occurrences.0.into_iter().map(|one| (one.location.take(), one.context.take()));
        let identities = match found.identity.0 {
            Some(Identities::One(one)) => vec![one],
            Some(Identities::Many(list)) => list.0,
            None => Vec::new(),
        };
        let methods = identities.into_iter().flat_map(|identity| identity.methods.0);
        let mut evidence: Vec<(String, String)> = occurrences.collect();
        if evidence.is_empty() {
            evidence.extend(methods.filter_map(|method| Some((method.value.0?, String::new()))));
        }
        for (path, by) in evidence {
            let path = BytePath::from_escaped(&path).unwrap_or_else(|| BytePath::from(path));
            package.evidence.push(Evidence { path: Arc::new(path), by: by.into() });
        }
        for property in self.properties.0 {
            let value = property.value.take();
            match property.name.as_str() {
                "countersign:state" => package.state = State::of(&value).unwrap_or_default(),
                "countersign:place" => package.place = Place::of(&value).unwrap_or_default(),
                "countersign:cpe" => package.cpes.push(value.into()),
                // syft says where it found a package in properties.
                name if name.starts_with("syft:location:") && name.ends_with(":path") => {
                    package
                        .evidence
                        .push(Evidence { path: Arc::new(BytePath::from(value)), by: "syft".into() });
                }
                name if name.starts_with("syft:") => {}
                name => {
                    let name = name.strip_prefix("countersign:").unwrap_or(name).to_owned();
                    package.properties.push(Property { name: name.into(), value: value.into() });
                }
            }
        }
        package.licences.sort();
        package.licences.dedup();
        package.hashes.sort();
        package.cpes.sort();
        package.cpes.dedup();
        package.evidence.sort();
        package.evidence.dedup();
        package.properties.sort();
        package
    }
}

/// Takes a component and those inside it.
pub(super) fn component(parts: &mut Parts, component: Component) {
    let mut waiting = vec![component];
    while let Some(mut component) = waiting.pop() {
        waiting.append(&mut component.components.0);
        let reference = component.reference.as_str().to_owned();
        let package = component.package(parts);
        parts.package(&reference, package);
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Dependency {
    r#ref: Text,
    #[serde(rename = "dependsOn")]
    depends_on: List<Text>,
}

pub(super) fn dependency(parts: &mut Parts, dependency: Dependency) {
    for to in dependency.depends_on.0 {
        parts.relation(dependency.r#ref.as_str(), to.as_str());
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Composition {
    aggregate: Text,
}

/// What the document says of its own completeness.
pub(super) fn composition(parts: &mut Parts, composition: Composition) {
    if let Some(aggregate) = composition.aggregate.0 {
        parts.bom.properties.push(Property { name: "completeness".into(), value: aggregate.into() });
    }
}
