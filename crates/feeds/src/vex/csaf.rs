//! CSAF 2.0 and 2.1: which products are affected, not affected, fixed. Products are found by their purls, in the tree of branches, the
//! list, and relationships; a branch that names versions says for which ones a purl without version stands.

use std::collections::{BTreeMap, BTreeSet};

use evidence::purl::Parts;
use evidence::{Digest, Purl};
use serde_json::Value;

use super::{PRODUCTS_MAX, RANGE, Statement, Status, best, canonical, joined, list, moment, sha256, text};

/// What a product id stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Product {
    purl: String,
    /// Part of the product, where the id stands for one in the other.
    component: Option<String>,
    /// The bytes of its files, where they are named.
    hashes: Vec<Digest>,
}

/// The branch that says for which versions its products stand: its category and its name.
type Versions<'a> = Option<(&'a str, &'a str)>;

/// Branches are followed so deep.
const DEPTH_MAX: usize = 64;

pub(super) fn read(document: &Value, source: &str) -> Vec<Statement> {
    let products = products(document);
    let head = document.get("document");
    let author = head.and_then(|head| head.get("publisher")).and_then(|publisher| publisher.get("name"));
    let tracking = head.and_then(|head| head.get("tracking"));
    let mut statements = Vec::new();
    for vulnerability in list(document, "vulnerabilities") {
        let mut ids = vec![text(vulnerability.get("cve")).to_owned()];
        ids.extend(list(vulnerability, "ids").map(|id| text(id.get("text")).to_owned()));
        ids.retain(|id| !id.is_empty());
        if ids.is_empty() {
            continue;
        }
        let said = Statement {
            vulnerabilities: ids,
            author: text(author).to_owned(),
            at: moment(tracking.and_then(|tracking| tracking.get("current_release_date"))),
            document: text(tracking.and_then(|tracking| tracking.get("id"))).to_owned(),
            summary: summary(head, vulnerability),
            vector: best(vectors(vulnerability).into_iter()),
            ..Statement::new(Status::Affected, source)
        };
        let statuses = vulnerability.get("product_status").and_then(Value::as_object);
        for (word, named) in statuses.into_iter().flatten() {
            let Some(status) = status(word) else { continue };
            let named: BTreeSet<&str> =
                named.as_array().into_iter().flatten().take(PRODUCTS_MAX).filter_map(Value::as_str).collect();
            let reason = reason(vulnerability, &named);
            let found: BTreeSet<&Product> =
                named.iter().filter_map(|id| products.get(id)).flatten().collect();
            // Products with parts or bytes of their own are statements of their own.
            let (plain, own): (Vec<&Product>, Vec<&Product>) =
                found.into_iter().partition(|one| one.component.is_none() && one.hashes.is_empty());
            let plain = Statement {
                status,
                products: plain.into_iter().map(|one| one.purl.clone()).collect(),
                reason,
                ..said.clone()
            };
            statements.extend(own.into_iter().map(|one| Statement {
                products: vec![one.purl.clone()],
                components: one.component.iter().cloned().collect(),
                hashes: one.hashes.clone(),
                ..plain.clone()
            }));
            if !plain.products.is_empty() {
                statements.push(plain);
            }
        }
    }
    statements
}

/// `first_affected`, `last_affected` and `recommended` are single products about which another list says the same.
fn status(word: &str) -> Option<Status> {
    match word {
        "first_affected" | "last_affected" => Some(Status::Affected),
        word => Status::parse(word),
    }
}

/// Why: the labels of flags and the impact statements that name one of the products, or none.
fn reason(vulnerability: &Value, named: &BTreeSet<&str>) -> String {
    let concerns = |one: &Value| {
        let mut ids = list(one, "product_ids").filter_map(Value::as_str).peekable();
        ids.peek().is_none() || ids.any(|id| named.contains(id))
    };
    let flags = list(vulnerability, "flags").filter(|one| concerns(one)).map(|one| text(one.get("label")));
    let impacts = list(vulnerability, "threats")
        .filter(|one| text(one.get("category")) == "impact" && concerns(one))
        .map(|one| text(one.get("details")));
    let words: BTreeSet<&str> = flags.chain(impacts).take(8).collect();
    joined(&words.into_iter().collect::<Vec<_>>()).chars().take(500).collect()
}

fn summary(head: Option<&Value>, vulnerability: &Value) -> String {
    let titles = [vulnerability.get("title"), head.and_then(|head| head.get("title"))];
    let title = titles.into_iter().map(text).find(|title| !title.is_empty()).unwrap_or_default();
    title.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Vectors: `scores` in 2.0, `metrics` in 2.1.
fn vectors(vulnerability: &Value) -> Vec<&str> {
    let scores = list(vulnerability, "scores");
    let metrics = list(vulnerability, "metrics").filter_map(|one| one.get("content"));
    let kinds = ["cvss_v2", "cvss_v3", "cvss_v4"];
    scores
        .chain(metrics)
        .flat_map(|one| kinds.iter().filter_map(|kind| one.get(kind)))
        .filter_map(|one| one.get("vectorString").and_then(Value::as_str))
        .collect()
}

/// The products by their ids.
fn products(document: &Value) -> BTreeMap<&str, Vec<Product>> {
    let mut found: BTreeMap<&str, Vec<Product>> = BTreeMap::new();
    let Some(tree) = document.get("product_tree") else { return found };
    let mut named: Vec<(&Value, Versions<'_>)> =
        list(tree, "full_product_names").map(|product| (product, None)).collect();
    let mut branches: Vec<(&Value, usize, Versions<'_>)> =
        list(tree, "branches").map(|branch| (branch, 0, None)).collect();
    while let Some((branch, depth, above)) = branches.pop() {
        let category = text(branch.get("category"));
        let versions = match category {
            "product_version" | "product_version_range" => Some((category, text(branch.get("name")))),
            _ => above,
        };
        if depth < DEPTH_MAX {
            branches.extend(list(branch, "branches").map(|one| (one, depth + 1, versions)));
        }
        named.extend(branch.get("product").map(|product| (product, versions)));
    }
    for (product, versions) in named {
        let whole: Vec<Product> =
            purls(product, versions).into_iter().map(|purl| whole(product, purl)).collect();
        if let Some(id) = product.get("product_id").and_then(Value::as_str).filter(|_| !whole.is_empty()) {
            found.entry(id).or_default().extend(whole);
        }
    }
    relationships(tree, &mut found);
    found
}

/// One product in another: what the combination is called, or a part of it in the whole.
fn relationships<'a>(tree: &'a Value, found: &mut BTreeMap<&'a str, Vec<Product>>) {
    for relation in list(tree, "relationships") {
        let Some(full) = relation.get("full_product_name") else { continue };
        let Some(id) = full.get("product_id").and_then(Value::as_str) else { continue };
        let own = purls(full, None);
        if !own.is_empty() {
            found.entry(id).or_default().extend(own.into_iter().map(|purl| whole(full, purl)));
            continue;
        }
        let side = |key: &str| {
            let id = relation.get(key).and_then(Value::as_str).unwrap_or_default();
            found.get(id).into_iter().flatten().filter(|one| one.component.is_none()).take(16).cloned()
        };
        let parts: Vec<Product> = side("product_reference").collect();
        let wholes: Vec<Product> = side("relates_to_product_reference").collect();
        let combined = parts.iter().flat_map(|part| {
            wholes.iter().map(|whole| Product {
                purl: whole.purl.clone(),
                component: Some(part.purl.clone()),
                hashes: part.hashes.clone(),
            })
        });
        let combined: Vec<Product> = combined.collect();
        // A part of something that has no purl, such as an operating system, is found wherever the part is.
        let combined = if wholes.is_empty() { parts } else { combined };
        found.entry(id).or_default().extend(combined);
    }
}

/// A product that stands for itself.
fn whole(product: &Value, purl: String) -> Product {
    let helper = product.get("product_identification_helper");
    let files = helper.into_iter().flat_map(|helper| list(helper, "hashes"));
    let hashes = files.flat_map(|file| list(file, "file_hashes"));
    let hashes = hashes.filter(|one| text(one.get("algorithm")).eq_ignore_ascii_case("sha256"));
    let hashes = hashes.filter_map(|one| sha256(one.get("value").and_then(Value::as_str)?)).collect();
    Product { purl, component: None, hashes }
}

fn purls(product: &Value, versions: Versions<'_>) -> Vec<String> {
    let helper = product.get("product_identification_helper");
    let single = helper.and_then(|helper| helper.get("purl")).and_then(Value::as_str);
    let many = helper.into_iter().flat_map(|helper| list(helper, "purls")).filter_map(Value::as_str);
    single.into_iter().chain(many).filter_map(|purl| of_versions(purl, versions)).collect()
}

/// Writes the versions of the branch into a purl that has none.
fn of_versions(text: &str, versions: Versions<'_>) -> Option<String> {
    let purl = Purl::parse_lenient(text).ok()?;
    let Some((category, name)) = versions.filter(|(_, name)| purl.version().is_none() && !name.is_empty())
    else {
        return canonical(text);
    };
    let mut qualifiers: Vec<(String, String)> =
        purl.qualifiers().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let exact = category == "product_version";
    if !exact {
        qualifiers.retain(|(key, _)| key != RANGE);
        qualifiers.push((RANGE.to_owned(), name.to_owned()));
    }
    let parts = Parts {
        kind: purl.kind().to_owned(),
        namespace: purl.namespace().unwrap_or_default().to_owned(),
        name: purl.name().to_owned(),
        version: if exact { name.to_owned() } else { String::new() },
        qualifiers,
        subpath: purl.subpath().unwrap_or_default().to_owned(),
    };
    Purl::build_lenient(parts).ok().map(|purl| purl.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_groups_and_parts_are_read() {
        let product =
            |id: &str, purl: &str| json!({"product_id": id, "product_identification_helper": {"purl": purl}});
        let document = json!({"document": {"csaf_version": "2.0", "title": "t", "publisher": {"name": "p"},
                "tracking": {"id": "P-1", "current_release_date": "2026-01-01T00:00:00Z"}},
            "product_tree": {
                "branches": [{"category": "vendor", "name": "v", "branches": [
                    {"category": "product_name", "name": "a", "branches": [
                        {"category": "product_version_range", "name": "vers:npm/>=1.0.0|<2.0.0",
                         "product": product("RANGE", "pkg:npm/a")},
                        {"category": "product_version_range", "name": "before the summer",
                         "product": product("PROSE", "pkg:npm/b")},
                        {"category": "product_version", "name": "3.0.0", "product": product("EXACT", "pkg:npm/c")}]}]}],
                "full_product_names": [product("APP", "pkg:oci/app"), {"product_id": "OS", "name": "no purl"}],
                "relationships": [
                    {"category": "default_component_of", "product_reference": "EXACT", "relates_to_product_reference": "APP",
                     "full_product_name": {"product_id": "C-IN-APP", "name": "c in app"}},
                    {"category": "default_component_of", "product_reference": "EXACT", "relates_to_product_reference": "OS",
                     "full_product_name": {"product_id": "C-IN-OS", "name": "c in os"}}]},
            "vulnerabilities": [{"cve": "CVE-1", "product_status": {"known_affected": ["RANGE", "PROSE"],
                    "known_not_affected": ["C-IN-APP"], "fixed": ["C-IN-OS"]},
                "scores": [{"products": ["RANGE"], "cvss_v3": {"vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
                "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["C-IN-APP"]}]}]});
        let statements = read(&document, "f");
        let purl = |text: &str| Purl::parse_lenient(text).unwrap();
        let of = |status: Status| statements.iter().find(|one| one.status == status).unwrap();
        let affected = of(Status::Affected);
        assert_eq!((affected.document.as_str(), affected.summary.as_str()), ("P-1", "t"));
        assert!(affected.vector.as_deref().unwrap().starts_with("CVSS:3.1"));
        for (version, is) in [("1.0.0", true), ("1.9.9", true), ("2.0.0", false), ("0.9.0", false)] {
            assert_eq!(affected.is_about(&purl(&format!("pkg:npm/a@{version}")), None), is, "{version}");
        }
        let prose = affected.products.iter().find(|text| text.starts_with("pkg:npm/b")).unwrap();
        assert_eq!(super::super::covers(&purl(prose), &purl("pkg:npm/b@1")), None, "nobody can tell");
        let not = of(Status::NotAffected);
        assert_eq!(not.reason, "vulnerable_code_not_present");
        assert_eq!(
            (not.products.as_slice(), not.components.as_slice()),
            (&["pkg:oci/app".to_owned()][..], &["pkg:npm/c@3.0.0".to_owned()][..])
        );
        assert!(of(Status::Fixed).is_about(&purl("pkg:npm/c@3.0.0"), None));
    }
}
