//! What somebody says is affected or not: OpenVEX 0.2, CycloneDX VEX, CSAF 2.0 and 2.1. Products without a purl are passed over:
//! nothing here could be matched with them.

mod book;
mod csaf;
mod signed;

use std::collections::BTreeMap;

use evidence::{Digest, Purl, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use book::{About, Book};
pub use signed::{Envelope, envelope};

/// So many products are taken from one statement.
const PRODUCTS_MAX: usize = 10_000;

/// What a statement says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The product is not affected.
    NotAffected,
    /// It is affected.
    Affected,
    /// It was, and this version is not any more.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

impl Status {
    /// Returns the word of OpenVEX.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotAffected => "not_affected",
            Self::Affected => "affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "not_affected" | "known_not_affected" | "false_positive" => Some(Self::NotAffected),
            "affected" | "known_affected" | "exploitable" => Some(Self::Affected),
            "fixed" | "first_fixed" | "resolved" | "resolved_with_pedigree" => Some(Self::Fixed),
            "under_investigation" | "in_triage" => Some(Self::UnderInvestigation),
            _ => None,
        }
    }
}

/// One statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Ids of the vulnerability.
    pub vulnerabilities: Vec<String>,
    /// Purls of products, canonical.
    pub products: Vec<String>,
    /// Purls of what in the products it is about; empty if it is about the products themselves.
    pub components: Vec<String>,
    /// What it says.
    pub status: Status,
    /// The bytes of the products that it is about, where it names them; other bytes are another question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Digest>,
    /// Why: a justification, or an impact statement.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// When.
    pub at: Option<Timestamp>,
    /// The document.
    pub source: String,
    /// The document's own id; a later version of it takes the place of this one. Empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
    /// What it is about, in one line; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The best CVSS vector that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// The key whose signature was verified when the document was imported, by the name that the importer knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

impl Statement {
    /// Begins a statement that says nothing yet.
    fn new(status: Status, source: &str) -> Self {
        Self {
            vulnerabilities: Vec::new(),
            products: Vec::new(),
            components: Vec::new(),
            status,
            hashes: Vec::new(),
            reason: String::new(),
            author: String::new(),
            at: None,
            source: source.to_owned(),
            document: String::new(),
            summary: String::new(),
            vector: None,
            signer: None,
        }
    }
}

/// Reads a document of any of the three formats; none if it is none of them.
pub fn read(document: &Value, source: &str) -> Option<Vec<Statement>> {
    if document.get("bomFormat").is_some() {
        return document
            .get("vulnerabilities")
            .and_then(Value::as_array)
            .map(|list| cyclonedx(document, list, source));
    }
    if document.get("document").and_then(|document| document.get("csaf_version")).is_some() {
        return Some(csaf::read(document, source));
    }
    // A statement of in-toto around it.
    if let Some(predicate) = document.get("predicate").filter(|_| document.get("predicateType").is_some()) {
        let inner = text(document.get("predicateType")).contains("openvex");
        return inner.then(|| openvex(predicate, source));
    }
    let context = document.get("@context").and_then(Value::as_str)?;
    context.contains("openvex").then(|| openvex(document, source))
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten().take(PRODUCTS_MAX)
}

fn moment(value: Option<&Value>) -> Option<Timestamp> {
    value.and_then(Value::as_str)?.parse().ok()
}

fn canonical(purl: &str) -> Option<String> {
    Purl::parse_lenient(purl).ok().map(|purl| purl.to_string())
}

fn sha256(hex: &str) -> Option<Digest> {
    Digest::from_hex(&hex.to_ascii_lowercase()).ok()
}

/// A product of OpenVEX: its id or its identifiers; older documents have a plain string.
fn product(value: &Value) -> Option<String> {
    let named = value.get("identifiers").and_then(|ids| ids.get("purl")).and_then(Value::as_str);
    let id = value.get("@id").and_then(Value::as_str).or(value.as_str());
    named.and_then(canonical).or_else(|| id.and_then(canonical))
}

fn openvex(document: &Value, source: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    for statement in list(document, "statements") {
        let vulnerability = statement.get("vulnerability");
        let named = vulnerability.and_then(|one| one.get("name").or(one.get("@id"))).and_then(Value::as_str);
        let mut vulnerabilities: Vec<String> =
            named.or(vulnerability.and_then(Value::as_str)).map(last_part).into_iter().collect();
        if let Some(vulnerability) = vulnerability {
            vulnerabilities.extend(list(vulnerability, "aliases").filter_map(Value::as_str).map(last_part));
        }
        let Some(status) = Status::parse(text(statement.get("status"))) else { continue };
        let why = [text(statement.get("justification")), text(statement.get("impact_statement"))];
        let products: Vec<&Value> = list(statement, "products").collect();
        // Each product has parts and bytes of its own: one statement for each that has.
        let (with, without): (Vec<&Value>, Vec<&Value>) = products
            .into_iter()
            .partition(|product| product.get("subcomponents").or_else(|| product.get("hashes")).is_some());
        let mut groups: Vec<(Vec<String>, Vec<String>, Vec<Digest>)> = with
            .into_iter()
            .map(|one| {
                let components = list(one, "subcomponents").filter_map(product).collect();
                let hash = one.get("hashes").and_then(|hashes| hashes.get("sha-256")).and_then(Value::as_str);
                let hashes = hash.and_then(sha256).into_iter().collect();
                (product(one).into_iter().collect(), components, hashes)
            })
            .collect();
        groups.push((without.into_iter().filter_map(product).collect(), Vec::new(), Vec::new()));
        for (products, components, hashes) in
            groups.into_iter().filter(|(products, _, _)| !products.is_empty())
        {
            // The newest word about a statement is when it was last looked at.
            let at = [statement.get("last_updated"), statement.get("timestamp")].into_iter().find_map(moment);
            let document_at =
                [document.get("last_updated"), document.get("timestamp")].into_iter().find_map(moment);
            statements.push(Statement {
                vulnerabilities: vulnerabilities.clone(),
                products,
                components,
                hashes,
                reason: joined(&why),
                author: text(document.get("author")).to_owned(),
                at: at.or(document_at),
                document: text(document.get("@id")).to_owned(),
                summary: text(vulnerability.and_then(|one| one.get("description"))).to_owned(),
                ..Statement::new(status, source)
            });
        }
    }
    statements
}

/// The last part of an address: `https://nvd.nist.gov/vuln/detail/CVE-2021-1`.
fn last_part(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
}

fn cyclonedx(document: &Value, vulnerabilities: &[Value], source: &str) -> Vec<Statement> {
    let mut purls: BTreeMap<&str, String> = BTreeMap::new();
    let root = document.get("metadata").and_then(|metadata| metadata.get("component"));
    for component in root.into_iter().chain(list(document, "components")) {
        let reference = component.get("bom-ref").and_then(Value::as_str);
        let purl = component.get("purl").and_then(Value::as_str).and_then(canonical);
        if let (Some(reference), Some(purl)) = (reference, purl) {
            purls.insert(reference, purl);
        }
    }
    let mut statements = Vec::new();
    for vulnerability in vulnerabilities.iter().take(PRODUCTS_MAX) {
        let Some(analysis) = vulnerability.get("analysis") else { continue };
        let Some(status) = Status::parse(text(analysis.get("state"))) else { continue };
        let affects = list(vulnerability, "affects").filter_map(|one| one.get("ref").and_then(Value::as_str));
        // A BOM-Link ends in the reference: `urn:cdx:…#ref`.
        let products: Vec<String> = affects
            .filter_map(|one| {
                let local = one.rsplit_once('#').map_or(one, |(_, local)| local);
                purls.get(local).cloned().or_else(|| canonical(local))
            })
            .collect();
        let why = [text(analysis.get("justification")), text(analysis.get("detail"))];
        let mut ids = vec![text(vulnerability.get("id")).to_owned()];
        ids.extend(list(vulnerability, "references").map(|one| text(one.get("id")).to_owned()));
        ids.retain(|id| !id.is_empty());
        if products.is_empty() || ids.is_empty() {
            continue;
        }
        let ratings =
            list(vulnerability, "ratings").filter_map(|one| one.get("vector").and_then(Value::as_str));
        let dates = [analysis.get("lastUpdated"), analysis.get("firstIssued")];
        let made = document.get("metadata").and_then(|metadata| metadata.get("timestamp"));
        statements.push(Statement {
            vulnerabilities: ids,
            products,
            reason: joined(&why),
            author: text(root.and_then(|root| root.get("name"))).to_owned(),
            at: dates.into_iter().chain([made]).find_map(moment),
            document: text(document.get("serialNumber")).to_owned(),
            summary: text(vulnerability.get("description")).chars().take(200).collect(),
            vector: best(ratings),
            ..Statement::new(status, source)
        });
    }
    statements
}

/// Takes the vector of the newest version of CVSS; of one version the one that scores highest.
fn best<'a>(vectors: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = vectors.filter_map(crate::osv::score);
    scored.max_by_key(|one| (one.version, one.tenths)).map(|one| one.vector)
}

fn joined(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(": ")
}

impl Statement {
    /// Tells whether it is about a package, in a product if the statement is about a part of one.
    pub fn is_about(&self, package: &Purl, product: Option<&Purl>) -> bool {
        let fits = |list: &[String], purl: &Purl| {
            let theirs = list.iter().filter_map(|text| Purl::parse_lenient(text).ok());
            theirs.map(|theirs| covers(&theirs, purl)).any(|covered| covered == Some(true))
        };
        if self.components.is_empty() {
            return fits(&self.products, package)
                || product.is_some_and(|product| fits(&self.products, product));
        }
        fits(&self.components, package) && product.is_some_and(|product| fits(&self.products, product))
    }
}

/// The qualifier in which a purl without version says for which ones it stands (VERS).
const RANGE: &str = "vers";

/// A purl without version stands for all versions, or for those of its range; other qualifiers count only where they are given.
/// None if nobody can tell whether the version lies in the range.
fn covers(theirs: &Purl, ours: &Purl) -> Option<bool> {
    let registry = |name: &str| name.replace("index.docker.io", "docker.io");
    let same =
        theirs.identity() == ours.identity()
            && theirs.version().is_none_or(|version| ours.version() == Some(version))
            && theirs.qualifiers().iter().filter(|(key, _)| *key != RANGE).all(|(key, value)| {
                ours.qualifier(key).is_some_and(|ours| registry(ours) == registry(value))
            });
    if same { in_range(theirs, ours.version()) } else { Some(false) }
}

fn in_range(theirs: &Purl, version: Option<&str>) -> Option<bool> {
    match theirs.qualifier(RANGE).filter(|_| theirs.version().is_none()) {
        None => Some(true),
        Some(range) => versions::vers::Range::parse_lenient(range).ok()?.contains(version?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn purl(text: &str) -> Purl {
        Purl::parse_lenient(text).unwrap()
    }

    #[test]
    fn openvex_is_read() {
        let document = json!({"@context": "https://openvex.dev/ns/v0.2.0", "author": "us", "timestamp": "2026-01-01T00:00:00Z",
            "statements": [
                {"vulnerability": {"name": "CVE-2021-1", "aliases": ["GHSA-1"]}, "status": "not_affected",
                 "justification": "component_not_present",
                 "products": [{"@id": "pkg:oci/app?repository_url=docker.io/x/app",
                               "subcomponents": [{"@id": "pkg:npm/lodash"}]}, {"@id": "pkg:npm/a@1"}]},
                {"vulnerability": {"name": "CVE-2"}, "status": "whatever", "products": [{"@id": "pkg:npm/a"}]}]});
        let statements = read(&document, "f").unwrap();
        assert_eq!(statements.len(), 2);
        let part = &statements[0];
        let app = purl("pkg:oci/app@sha256:0?repository_url=index.docker.io/x/app");
        assert_eq!(part.vulnerabilities, ["CVE-2021-1", "GHSA-1"]);
        assert!(part.is_about(&purl("pkg:npm/lodash@4"), Some(&app)));
        assert!(!part.is_about(&purl("pkg:npm/lodash@4"), None));
        assert!(statements[1].is_about(&purl("pkg:npm/a@1"), None));
        assert!(!statements[1].is_about(&purl("pkg:npm/a@2"), None));
    }

    #[test]
    fn cyclonedx_and_csaf_are_read() {
        let bom = json!({"bomFormat": "CycloneDX", "components": [{"bom-ref": "r", "purl": "pkg:npm/a@1"}],
            "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": "not_affected", "justification": "code_not_reachable"},
                                 "affects": [{"ref": "urn:cdx:1/1#r"}]}]});
        let statements = read(&bom, "f").unwrap();
        assert_eq!(statements[0].products, ["pkg:npm/a@1"]);
        let csaf = json!({"document": {"csaf_version": "2.0", "publisher": {"name": "p"}},
            "product_tree": {"branches": [{"branches": [{"product": {"product_id": "P",
                "product_identification_helper": {"purl": "pkg:rpm/redhat/a@1"}}}]}]},
            "vulnerabilities": [{"cve": "CVE-1", "product_status": {"known_not_affected": ["P", "Q"], "fixed": ["Q"]}}]});
        let statements = read(&csaf, "f").unwrap();
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0].status, Status::NotAffected);
        assert_eq!(read(&json!({"x": 1}), "f"), None);
    }
}
