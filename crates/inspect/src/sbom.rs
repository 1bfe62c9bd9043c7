//! Bills of materials of other makers: CycloneDX JSON (1.2 to 1.7), SPDX 2.2 and 2.3 JSON, SPDX 3.0 JSON-LD, syft's JSON.
//!
//! One pass over a stream: an element is kept as a [`Package`] as soon as it is read, so that a document of hundreds of
//! megabytes takes about as much memory as its packages do. Which form it is need not be known before.

mod cyclonedx;
mod spdx;
mod spdx3;
mod syft;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::Arc;

use evidence::bom::{Package, Property};
use evidence::{Bom, Problem};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::catalog::{Text, Whole};

/// The form of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// CycloneDX JSON.
    CycloneDx,
    /// SPDX 2 JSON.
    Spdx2,
    /// SPDX 3 JSON-LD.
    Spdx3,
    /// syft's own JSON.
    Syft,
}

impl Form {
    /// Returns the name for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::CycloneDx => "CycloneDX",
            Self::Spdx2 => "SPDX 2",
            Self::Spdx3 => "SPDX 3",
            Self::Syft => "syft JSON",
        }
    }
}

/// A document that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Its form.
    pub form: Form,
    /// The version of the form, as written.
    pub version: String,
    /// What it says.
    pub bom: Bom,
}

/// Packages of one document.
const PACKAGES_MAX: usize = 5_000_000;
/// Relations of one document.
const RELATIONS_MAX: usize = 20_000_000;
/// Texts of licences that are kept to be shared.
const LICENCES_MAX: usize = 10_000;
/// Problems of one document; one more says that there are more.
const PROBLEMS_MAX: usize = 1_000;

/// Reads a document. What it is not, or what in it cannot be understood, is a problem; `None` if nothing is left.
pub fn read(source: impl Read) -> (Option<Document>, Vec<Problem>) {
    Parts::default().read(source)
}

/// Reads of a document only what its packages are called, and what it is of: for those who ask about a million of them. Licences,
/// hashes, evidence, properties and relations are passed over.
pub fn read_names(source: impl Read) -> (Option<Document>, Vec<Problem>) {
    Parts { names_only: true, ..Parts::default() }.read(source)
}

impl Parts {
    fn read(self, source: impl Read) -> (Option<Document>, Vec<Problem>) {
        let mut parts = self;
        let mut json =
            serde_json::Deserializer::from_reader(std::io::BufReader::with_capacity(1 << 16, source));
        let end = Root(&mut parts).deserialize(&mut json).and_then(|()| json.end());
        if let Err(error) = end {
            parts.problem("malformed-json", &error.to_string());
        }
        parts.finish()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    form: Option<(Form, String)>,
    bom: Bom,
    /// Place of the package of each reference, by the reference's hash.
    references: References,
    relations: Vec<(u128, u128)>,
    /// References of what the subject depends on, or of the subject.
    described: Vec<u128>,
    /// Licences by reference, for forms that keep them apart.
    licences: Vec<(u128, u128)>,
    texts: HashMap<u128, Arc<str>>,
    /// Licences that were read, each once.
    names: HashSet<Arc<str>>,
    keys: Keys,
    problems: Vec<Problem>,
    /// Whether only names are wanted.
    names_only: bool,
}

/// Places by keys: a list that is sorted when all is read, for a map would take several times as much.
#[derive(Default)]
struct References(Vec<([u8; 16], u32)>);

impl References {
    fn push(&mut self, key: u128, place: u32) {
        self.0.push((key.to_be_bytes(), place));
    }

    /// Brings them into order. Of the same key the last counts; the others' successors are returned, at most so many as are told.
    fn arrange(&mut self) -> Vec<u32> {
        self.0.sort_unstable();
        let pairs = self.0.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        pairs.map(|pair| pair[1].1).take(PROBLEMS_MAX + 1).collect()
    }

    fn get(&self, key: u128) -> Option<u32> {
        let key = key.to_be_bytes();
        let end = self.0.partition_point(|(known, _)| *known <= key);
        self.0.get(end.checked_sub(1)?).filter(|(known, _)| *known == key).map(|(_, place)| *place)
    }
}

/// Two keyed hashes of a reference: nobody outside can make two references look the same.
#[derive(Default)]
struct Keys(RandomState, RandomState);

impl Parts {
    fn key(&self, reference: &str) -> u128 {
        u128::from(self.keys.0.hash_one(reference)) << 64 | u128::from(self.keys.1.hash_one(reference))
    }

    fn problem(&mut self, kind: &str, detail: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            let detail = detail.chars().filter(|c| !c.is_control()).take(200).collect();
            self.problems.push(Problem { path: "".into(), kind: kind.to_owned(), detail });
        } else if self.problems.len() == PROBLEMS_MAX {
            let detail = "more problems of this document are not listed".to_owned();
            self.problems.push(Problem { path: "".into(), kind: "budget-exhausted".into(), detail });
        }
    }

    /// Takes a package under its reference; two of the same reference are a problem.
    fn package(&mut self, reference: &str, mut package: Package) -> Option<u32> {
        if self.bom.packages.len() >= PACKAGES_MAX {
            self.problem("budget-exhausted", "too many packages in one document");
            return None;
        }
        if let Some(purl) = package.purl.take() {
            // In the canonical form: what is the same must look the same.
            match evidence::purl::Purl::parse_lenient(&purl) {
                Ok(canonical) => package.purl = Some(canonical.to_string().into()),
                Err(_) => self.problem("malformed-purl", &purl),
            }
        }
        if self.names_only {
            package = Package {
                purl: package.purl,
                namespace: package.namespace,
                name: package.name,
                version: package.version,
                kind: package.kind,
                state: package.state,
                place: package.place,
                ..Package::default()
            };
        }
        for licence in &mut package.licences {
            match self.names.get(licence) {
                Some(known) => *licence = Arc::clone(known),
                None if self.names.len() < LICENCES_MAX => drop(self.names.insert(Arc::clone(licence))),
                None => {}
            }
        }
        // A list of one element has room for four as it grows.
        package.licences.shrink_to_fit();
        package.hashes.shrink_to_fit();
        package.cpes.shrink_to_fit();
        package.evidence.shrink_to_fit();
        package.properties.shrink_to_fit();
        let place = u32::try_from(self.bom.packages.len()).ok()?;
        // CycloneDX says what it is of without a reference.
        let by_reference = !self.names_only || !matches!(self.form, Some((Form::CycloneDx, _)));
        if !reference.is_empty() && by_reference {
            let key = self.key(reference);
            self.references.push(key, place);
        }
        self.bom.packages.push(package);
        Some(place)
    }

    /// Notes that the document is about what has this reference.
    fn describes(&mut self, reference: &str) {
        let key = self.key(reference);
        self.described.push(key);
    }

    fn relation(&mut self, from: &str, to: &str) {
        if self.names_only {
            return;
        }
        if self.relations.len() < RELATIONS_MAX {
            let pair = (self.key(from), self.key(to));
            self.relations.push(pair);
        } else if self.relations.len() == RELATIONS_MAX {
            self.problem("budget-exhausted", "too many relations in one document");
        }
    }

    fn finish(mut self) -> (Option<Document>, Vec<Problem>) {
        let Some((form, version)) = self.form.take() else {
            self.problem("unknown-sbom", "neither CycloneDX, SPDX nor syft's JSON");
            return (None, self.problems);
        };
        self.names = HashSet::new();
        for place in self.references.arrange() {
            let name = self.bom.packages.get(place as usize).map(Package::full_name).unwrap_or_default();
            self.problem("duplicate-reference", &name);
        }
        for (package, text) in std::mem::take(&mut self.licences) {
            if !self.names_only
                && let (Some(place), Some(text)) = (self.references.get(package), self.texts.get(&text))
                && let Some(package) = self.bom.packages.get_mut(place as usize)
                && !package.licences.contains(text)
            {
                package.licences.push(text.clone());
            }
        }
        self.described.sort_unstable();
        self.described.dedup();
        let described: Vec<u32> = self.described.iter().filter_map(|key| self.references.get(*key)).collect();
        let (places, keys): (HashSet<u32>, HashSet<u128>) =
            (described.iter().copied().collect(), self.described.iter().copied().collect());
        let mut dangling = 0;
        for (from, to) in std::mem::take(&mut self.relations) {
            match (self.references.get(from), self.references.get(to)) {
                (Some(from), Some(to)) if places.contains(&from) => {
                    self.bom.direct.push(to);
                    self.bom.relations.push((from, to));
                }
                (Some(from), Some(to)) => self.bom.relations.push((from, to)),
                (None, Some(to)) if keys.contains(&from) => self.bom.direct.push(to),
                _ => dangling += 1,
            }
        }
        if dangling > 0 {
            self.problem("dangling-relation", &format!("{dangling} relations name nothing in the document"));
        }
        self.references = References::default();
        // What a document describes as a package among the others is its subject.
        if let ([place], true) = (described.as_slice(), self.bom.subject.name.is_empty())
            && let Some(package) = self.bom.packages.get(*place as usize)
        {
            self.bom.subject = package.clone();
            let subject = *place as usize;
            self.bom.direct.retain(|to| *to as usize != subject);
            let next = std::cell::Cell::new(0);
            self.bom.retain(|_| next.replace(next.get() + 1) != subject);
        }
        self.bom.properties.push(Property {
            name: "countersign:read-from".into(),
            value: format!("{} {version}", form.word()).into(),
        });
        self.bom.arrange();
        (Some(Document { form, version, bom: self.bom }), self.problems)
    }
}

/// Reads the document's own fields, whichever form they belong to.
struct Root<'p>(&'p mut Parts);

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bill of materials")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let parts = self.0;
        let mut version = String::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "bomFormat" => {
                    if map.next_value::<Text>()?.as_str() == "CycloneDX" {
                        parts.form = Some((Form::CycloneDx, String::new()));
                    }
                }
                "specVersion" => version = map.next_value::<Text>()?.take(),
                "spdxVersion" => {
                    let text = map.next_value::<Text>()?.take();
                    if let Some(number) = text.strip_prefix("SPDX-") {
                        parts.form = Some((Form::Spdx2, number.to_owned()));
                    }
                }
                "@context" => {
                    let text = map.next_value::<Text>()?.take();
                    if text.contains("spdx.org/rdf/3") {
                        let number = text.split('/').find(|part| part.starts_with("3.")).unwrap_or("3");
                        parts.form = Some((Form::Spdx3, number.to_owned()));
                    }
                }
                "schema" => {
                    let schema = map.next_value::<Whole<syft::Schema>>()?.0.unwrap_or_default();
                    if schema.url.as_str().contains("syft") {
                        parts.form = Some((Form::Syft, schema.version.take()));
                    }
                }
                "metadata" => {
                    let metadata = map.next_value::<Whole<cyclonedx::Metadata>>()?;
                    metadata.0.unwrap_or_default().take(parts);
                }
                "components" => each(&mut map, parts, cyclonedx::component)?,
                "dependencies" => each(&mut map, parts, cyclonedx::dependency)?,
                "compositions" => each(&mut map, parts, cyclonedx::composition)?,
                "packages" => each(&mut map, parts, spdx::package)?,
                "files" => each(&mut map, parts, spdx::file)?,
                "relationships" => each(&mut map, parts, spdx::relationship)?,
                "documentDescribes" => {
                    each(&mut map, parts, |parts, text: Text| parts.describes(text.as_str()))?;
                }
                "hasExtractedLicensingInfos" => each(&mut map, parts, spdx::extracted)?,
                "creationInfo" => {
                    let creation = map.next_value::<Whole<spdx::Creation>>()?;
                    creation.0.unwrap_or_default().take(parts);
                }
                "@graph" => each(&mut map, parts, spdx3::element)?,
                "artifacts" => each(&mut map, parts, syft::artifact)?,
                "artifactRelationships" => each(&mut map, parts, syft::relationship)?,
                "source" => {
                    let source = map.next_value::<Whole<syft::Source>>()?;
                    source.0.unwrap_or_default().take(parts);
                }
                "descriptor" => {
                    let tool = map.next_value::<Whole<syft::Descriptor>>()?.0.unwrap_or_default();
                    if !tool.name.as_str().is_empty() {
                        parts.bom.tools.push(format!("{} {}", tool.name.as_str(), tool.version.as_str()));
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some((Form::CycloneDx, number)) = &mut parts.form {
            *number = version;
        }
        Ok(())
    }
}

/// Hands over the elements of a list one by one. What is no list is a problem.
fn each<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    parts: &mut Parts,
    take: fn(&mut Parts, T),
) -> Result<(), A::Error> {
    struct Each<'p, T>(&'p mut Parts, fn(&mut Parts, T));
    impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Each<'_, T> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, T> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while let Some(Whole(element)) = list.next_element::<Whole<T>>()? {
                match element {
                    Some(element) => (self.1)(self.0, element),
                    None => self.0.problem("malformed-element", "an element of a list is of another type"),
                }
            }
            Ok(())
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    }
    map.next_value_seed(Each(parts, take))
}
