//! SPDX 3.0.1 JSON-LD: a graph of elements, in the profiles core, software and simple licensing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::bill::{Comma, Loss, Style, clean, digest, grouped, kept_as_text};
use super::spdx::{licence, texts};
use crate::bom::{Bom, Kind, Package};
use crate::{Digest, bom::Hash};

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

    fn relation(&mut self, number: usize, from: &str, kind: &str, to: &[String]) -> io::Result<()> {
        let id = self.id(&format!("relation-{kind}-{number}"));
        self.element(&json!({
            "type": "Relationship", "spdxId": id, "creationInfo": CREATION, "from": from, "relationshipType": kind, "to": to,
        }))
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
    let mut named = BTreeMap::new();
    let licences: Vec<Option<String>> = std::iter::once(&bom.subject)
        .chain(&bom.packages)
        .map(|package| (!package.licences.is_empty()).then(|| licence(&package.licences, &mut named)))
        .collect();
    let expressions = declare_licences(&mut graph, &licences, &named)?;
    let ids: Vec<String> =
        (0..bom.packages.len()).map(|place| graph.id(&format!("package-{place}"))).collect();
    let mut root = element(&bom.subject, &subject, &suppliers);
    root["name"] =
        if bom.subject.name.is_empty() { "unnamed".into() } else { bom.subject.name.as_ref().into() };
    graph.element(&root)?;
    for (package, id) in bom.packages.iter().zip(&ids) {
        graph.element(&element(package, id, &suppliers))?;
    }
    let all = std::iter::once(&subject).chain(&ids);
    for (number, (id, licence)) in all.zip(&licences).enumerate() {
        if let Some(expression) = licence.as_ref().and_then(|licence| expressions.get(licence)) {
            graph.relation(number, id, "hasDeclaredLicense", std::slice::from_ref(expression))?;
        }
    }
    if !ids.is_empty() {
        graph.relation(0, &subject, "contains", &ids)?;
    }
    let at = |place: &u32| ids.get(*place as usize).cloned();
    let direct: Vec<String> = bom.direct.iter().filter_map(at).collect();
    if !direct.is_empty() {
        graph.relation(0, &subject, "dependsOn", &direct)?;
    }
    for (from, group) in grouped(&bom.relations) {
        let to: Vec<String> = group.iter().filter_map(|(_, to)| at(to)).collect();
        if let Some(id) = ids.get(from as usize) {
            graph.relation(from as usize + 1, id, "dependsOn", &to)?;
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

/// Writes each licence expression once, and the texts of those that are not of the SPDX list; returns their identifiers.
fn declare_licences(
    graph: &mut Graph,
    licences: &[Option<String>],
    named: &BTreeMap<String, String>,
) -> io::Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for (reference, text) in named {
        let id = graph.id(&format!("text-{reference}"));
        graph.element(&json!({
            "type": "simplelicensing_SimpleLicensingText", "spdxId": id, "creationInfo": CREATION, "name": reference,
            "simplelicensing_licenseText": text,
        }))?;
        texts.insert(reference.as_str(), id);
    }
    let mut expressions = BTreeMap::new();
    for expression in licences.iter().flatten() {
        if expressions.contains_key(expression) {
            continue;
        }
        let id = graph.id(&format!("licence-{}", expressions.len()));
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
        expressions.insert(expression.clone(), id);
    }
    Ok(expressions)
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
