//! SPDX 3.0.1 JSON-LD: a graph of elements, in the profiles core, software and simple licensing.
//!
//! Written in a stream: of a package nothing is kept but the number of its licence expression, and an identifier is put together
//! where it is written.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::bill::{Comma, Loss, Style, clean, digest, grouped, kept_as_text};
use super::spdx::{licence, texts};
use crate::bom::{Bom, Kind, Package};
use crate::{Digest, bom::Hash};

#[cfg(test)]
mod tests;

const CREATION: &str = "_:creation";
const BEGINNING: &str = "1970-01-01T00:00:00Z";

/// The graph while it is written.
struct Graph<'o> {
    out: &'o mut dyn Write,
    comma: Comma,
    base: String,
}

impl Graph<'_> {
    fn element(&mut self, element: &Value) -> io::Result<()> {
        self.comma.before(self.out)?;
        Ok(serde_json::to_writer(&mut *self.out, element)?)
    }

    fn id(&self, name: &str) -> String {
        format!("{}:{name}", self.base)
    }

    fn package(&self, place: usize) -> String {
        Id { base: &self.base, place }.to_string()
    }

    fn relation(&mut self, number: usize, from: &str, kind: &str, to: To) -> io::Result<()> {
        let relation = Relation {
            creation_info: CREATION,
            from,
            relationship_type: kind,
            id: &self.id(&format!("relation-{kind}-{number}")),
            to: Ids { base: &self.base, to },
            r#type: "Relationship",
        };
        self.comma.before(self.out)?;
        Ok(serde_json::to_writer(&mut *self.out, &relation)?)
    }
}

/// A relation, its fields in the order of their names as those of all elements are.
#[derive(Serialize)]
struct Relation<'a> {
    #[serde(rename = "creationInfo")]
    creation_info: &'a str,
    from: &'a str,
    #[serde(rename = "relationshipType")]
    relationship_type: &'a str,
    #[serde(rename = "spdxId")]
    id: &'a str,
    to: Ids<'a>,
    r#type: &'a str,
}

/// Where a relation leads.
enum To<'a> {
    /// To one element.
    Element(&'a str),
    /// To the first packages, so many.
    First(usize),
    /// To packages by their places.
    Places(&'a [u32]),
    /// To the packages on the second sides, of so many that there are.
    Group(&'a [(u32, u32)], usize),
}

/// Identifiers that are put together as they are written: a bill contains a million packages.
struct Ids<'a> {
    base: &'a str,
    to: To<'a>,
}

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = |place: usize| Id { base: self.base, place };
        match self.to {
            To::Element(name) => serializer.collect_seq([name]),
            To::First(count) => serializer.collect_seq((0..count).map(id)),
            To::Places(places) => serializer.collect_seq(places.iter().map(|place| id(*place as usize))),
            To::Group(group, count) => {
                let places = group.iter().map(|(_, to)| *to as usize).filter(|place| *place < count);
                serializer.collect_seq(places.map(id))
            }
        }
    }
}

/// The identifier of the package in a place.
struct Id<'a> {
    base: &'a str,
    place: usize,
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:package-{}", self.base, self.place)
    }
}

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Writes a bill.
pub fn write(bom: &Bom, style: &Style, out: &mut dyn Write) -> io::Result<Vec<Loss>> {
    let base = format!("urn:countersign:sbom:{}", digest(bom).hex());
    out.write_all(b"{\"@context\":\"https://spdx.org/rdf/3.0.1/spdx-context.jsonld\",\n\"@graph\":[")?;
    let mut graph = Graph { out, comma: Comma::new(), base };
    let (subject, agent) = (graph.id("subject"), graph.id("agent"));
    declare_tools(&mut graph, bom, style, &agent)?;
    graph.element(&json!({
        "type": "SoftwareAgent", "spdxId": agent, "creationInfo": CREATION, "name": "countersign",
    }))?;
    let suppliers = declare_suppliers(&mut graph, bom)?;
    let licences = declare_licences(&mut graph, bom)?;
    let mut root = element(&bom.subject, &subject, &suppliers);
    root["name"] =
        if bom.subject.name.is_empty() { "unnamed".into() } else { bom.subject.name.as_ref().into() };
    graph.element(&root)?;
    for (place, package) in bom.packages.iter().enumerate() {
        graph.element(&element(package, &graph.package(place), &suppliers))?;
    }
    for (number, expression) in licences.iter().enumerate() {
        let Some(expression) = expression else { continue };
        let from = number.checked_sub(1).map_or_else(|| subject.clone(), |place| graph.package(place));
        let expression = graph.id(&format!("licence-{expression}"));
        graph.relation(number, &from, "hasDeclaredLicense", To::Element(&expression))?;
    }
    drop(licences);
    let count = bom.packages.len();
    if count > 0 {
        graph.relation(0, &subject, "contains", To::First(count))?;
    }
    let is_there = |place: u32| (place as usize) < count;
    if bom.direct.iter().any(|place| is_there(*place)) {
        let direct: Vec<u32> = bom.direct.iter().copied().filter(|place| is_there(*place)).collect();
        graph.relation(0, &subject, "dependsOn", To::Places(&direct))?;
    }
    for (from, group) in grouped(&bom.relations) {
        if is_there(from) {
            let id = graph.package(from as usize);
            graph.relation(from as usize + 1, &id, "dependsOn", To::Group(group, count))?;
        }
    }
    let document = graph.id("document");
    let bill = graph.id("bill");
    graph.element(&json!({
        "type": "software_Sbom", "spdxId": bill, "creationInfo": CREATION, "rootElement": [subject],
    }))?;
    graph.element(&json!({
        "type": "SpdxDocument", "spdxId": document, "creationInfo": CREATION, "rootElement": [bill],
        "profileConformance": ["core", "software", "simpleLicensing"],
    }))?;
    out.write_all(b"]\n}\n")?;
    Ok(kept_as_text(bom, "packages whose evidence is text in `software_sourceInfo`"))
}

/// Writes who made the document, with what and when.
fn declare_tools(graph: &mut Graph, bom: &Bom, style: &Style, agent: &str) -> io::Result<()> {
    let mut tools = vec![format!("countersign {}", style.tool_version)];
    tools.extend(bom.tools.iter().map(|tool| clean(tool)));
    let ids: Vec<String> = (0..tools.len()).map(|number| graph.id(&format!("tool-{number}"))).collect();
    let authors: Vec<String> =
        (0..bom.authors.len()).map(|number| graph.id(&format!("author-{number}"))).collect();
    let made_by: Vec<String> = std::iter::once(agent.to_owned()).chain(authors.clone()).collect();
    graph.element(&json!({
        "type": "CreationInfo", "@id": CREATION, "specVersion": "3.0.1",
        "created": style.time(bom).unwrap_or_else(|| BEGINNING.to_owned()),
        "createdBy": made_by, "createdUsing": ids,
    }))?;
    for (tool, id) in tools.iter().zip(&ids) {
        graph.element(&json!({"type": "Tool", "spdxId": id, "creationInfo": CREATION, "name": tool}))?;
    }
    for (author, id) in bom.authors.iter().zip(&authors) {
        graph.element(&json!({
            "type": "Agent", "spdxId": id, "creationInfo": CREATION, "name": clean(author),
        }))?;
    }
    Ok(())
}

/// Writes each supplier once; returns their identifiers.
fn declare_suppliers(graph: &mut Graph, bom: &Bom) -> io::Result<BTreeMap<String, String>> {
    let mut suppliers = BTreeMap::new();
    for package in std::iter::once(&bom.subject).chain(&bom.packages) {
        let Some(name) = package.supplier.as_deref().map(clean).filter(|name| !name.is_empty()) else {
            continue;
        };
        if let Entry::Vacant(entry) = suppliers.entry(name) {
            let name = entry.key();
            let id = graph.id(&format!("supplier-{}", &Digest::of(name.as_bytes()).hex()[..16]));
            graph.element(
                &json!({"type": "Organization", "spdxId": id, "creationInfo": CREATION, "name": name}),
            )?;
            entry.insert(id);
        }
    }
    Ok(suppliers)
}

/// Writes each licence expression once, and the texts of those that are not of the SPDX list; returns the number of that of the
/// subject and of each package.
fn declare_licences(graph: &mut Graph, bom: &Bom) -> io::Result<Vec<Option<u32>>> {
    let mut named = BTreeMap::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let licences: Vec<Option<u32>> = std::iter::once(&bom.subject)
        .chain(&bom.packages)
        .map(|package| {
            let next = u32::try_from(numbers.len()).expect("places of a bill are of 32 bits");
            let expression =
                (!package.licences.is_empty()).then(|| licence(&package.licences, &mut named))?;
            Some(*numbers.entry(expression).or_insert(next))
        })
        .collect();
    let mut texts = BTreeMap::new();
    for (reference, text) in &named {
        let id = graph.id(&format!("text-{reference}"));
        graph.element(&json!({
            "type": "simplelicensing_SimpleLicensingText", "spdxId": id, "creationInfo": CREATION, "name": reference,
            "simplelicensing_licenseText": text,
        }))?;
        texts.insert(reference.as_str(), id);
    }
    let mut expressions: Vec<(u32, String)> =
        numbers.into_iter().map(|(text, number)| (number, text)).collect();
    expressions.sort_unstable();
    for (number, expression) in &expressions {
        let id = graph.id(&format!("licence-{number}"));
        let mut element = json!({
            "type": "simplelicensing_LicenseExpression", "spdxId": id, "creationInfo": CREATION,
            "simplelicensing_licenseExpression": expression,
        });
        let used = expression.split(['(', ')', ' ']).filter_map(|word| Some((word, texts.get(word)?)));
        let used: Vec<Value> =
            used.map(|(word, id)| json!({"type": "DictionaryEntry", "key": word, "value": id})).collect();
        if !used.is_empty() {
            element["simplelicensing_customIdToUri"] = used.into();
        }
        graph.element(&element)?;
    }
    Ok(licences)
}

fn element(package: &Package, id: &str, suppliers: &BTreeMap<String, String>) -> Value {
    let (comment, source) = texts(package);
    let mut element = json!({
        "type": "software_Package", "spdxId": id, "creationInfo": CREATION, "name": package.name,
        "software_primaryPurpose": purpose(package.kind), "comment": comment,
    });
    if !package.version.is_empty() {
        element["software_packageVersion"] = package.version.as_ref().into();
    }
    if let Some(purl) = &package.purl {
        element["software_packageUrl"] = purl.as_ref().into();
    }
    if !source.is_empty() {
        element["software_sourceInfo"] = source.into();
    }
    if let Some(supplier) = package.supplier.as_deref().map(clean).and_then(|name| suppliers.get(&name)) {
        element["suppliedBy"] = supplier.as_str().into();
    }
    if !package.hashes.is_empty() {
        let hash = |hash: &Hash| json!({"type": "Hash", "algorithm": hash.algorithm.spdx3(), "hashValue": hash.hex()});
        element["verifiedUsing"] = package.hashes.iter().map(hash).collect();
    }
    if !package.cpes.is_empty() {
        let names = package.cpes.iter().map(
            |cpe| json!({"type": "ExternalIdentifier", "externalIdentifierType": "cpe23", "identifier": cpe}),
        );
        element["externalIdentifier"] = names.collect();
    }
    element
}

fn purpose(kind: Kind) -> &'static str {
    match kind {
        Kind::Library => "library",
        Kind::Application => "application",
        Kind::Framework => "framework",
        Kind::Container => "container",
        Kind::Platform => "platform",
        Kind::OperatingSystem => "operatingSystem",
        Kind::Device => "device",
        Kind::DeviceDriver => "deviceDriver",
        Kind::Firmware => "firmware",
        Kind::File => "file",
        Kind::Model => "model",
        Kind::Data => "data",
        Kind::Asset => "other",
    }
}
