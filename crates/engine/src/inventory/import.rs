//! Looks that other programs have taken: osquery's tables of software, bumblebee's records, and bills of materials in CycloneDX.

mod bumblebee;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::inventory::{Inventory, Item, Section};
use evidence::purl::Purl;
use evidence::{BytePath, Digest, Timestamp};
use serde_json::Value;

use super::{Looked, PACKAGES};
use crate::error::{Error, Result};
use crate::files;

/// A file of another program is not larger.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// Tables of osquery (schema 5), our section, the type of their package URLs, and where the name stands.
const TABLES: &[(&str, &str, Option<&str>, &str)] = &[
    ("deb_packages", PACKAGES, Some("deb"), "name"),
    ("rpm_packages", PACKAGES, Some("rpm"), "name"),
    ("portage_packages", PACKAGES, None, "package"),
    ("python_packages", PACKAGES, Some("pypi"), "name"),
    ("npm_packages", PACKAGES, Some("npm"), "name"),
    ("homebrew_packages", PACKAGES, Some("brew"), "name"),
    ("chocolatey_packages", PACKAGES, Some("chocolatey"), "name"),
    ("programs", PACKAGES, None, "name"),
    ("apps", PACKAGES, None, "name"),
    ("vscode_extensions", "editor-extensions", None, "name"),
    ("chrome_extensions", "browser-extensions", None, "name"),
    ("firefox_addons", "browser-extensions", None, "name"),
    ("safari_extensions", "browser-extensions", None, "name"),
    ("kernel_modules", "kernel-modules", None, "name"),
];

/// Reads what another program has found on a machine. It is never a complete look: only ours may say that something is gone.
pub fn inventory_import(path: &Path, host: &str, now: Timestamp) -> Result<Looked> {
    let bytes = files::read(path, FILE_MAX_BYTES)?;
    let fail = |detail: String| Error::ForeignInventory { path: path.to_path_buf(), detail };
    let mut gaps: BTreeSet<String> = BTreeSet::new();
    let (by, sections) = match serde_json::from_slice::<Value>(&bytes) {
        Ok(document) if document["bomFormat"] == "CycloneDX" => ("CycloneDX", components(path)?),
        _ if bumblebee::is_record(&bytes) => ("bumblebee", bumblebee::read(&bytes, &mut gaps).map_err(fail)?),
        Ok(Value::Object(tables)) => {
            let mut sections = Sections::new();
            for (table, rows) in &tables {
                let rows = rows.as_array().ok_or_else(|| fail(format!("`{table}` is no list of rows")))?;
                take(table, rows.iter(), &mut sections, &mut gaps);
            }
            ("osquery", sections)
        }
        _ => ("osquery", results(&bytes, &mut gaps).map_err(fail)?),
    };
    if sections.values().all(|section| section.items.is_empty()) {
        return Err(fail(
            "neither a bill in CycloneDX, nor records of bumblebee, nor results of osquery with a table of software"
                .into(),
        ));
    }
    let mut sections = sections;
    for section in sections.values_mut() {
        section.items.sort();
        section.items.dedup();
    }
    gaps.insert(format!("seen by {by}: what it does not look for is not here"));
    let digest = |section: &Section| Digest::of(&evidence::wire::canonical(section));
    let inventory = Inventory {
        schema: evidence::wire::schema("inventory"),
        host: host.to_owned(),
        root: BytePath::from("/"),
        collected: now,
        complete: false,
        gaps: gaps.into_iter().take(1000).collect(),
        counts: sections.iter().map(|(name, section)| (name.clone(), section.items.len() as u64)).collect(),
        sections: sections.iter().map(|(name, section)| (name.clone(), digest(section))).collect(),
        previous: None,
    };
    Ok(Looked { inventory, sections, digest: None, shared: 0 })
}

type Sections = BTreeMap<String, Section>;

/// Lines of osquery's result log: events (`columns` with an `action`), or snapshots.
fn results(bytes: &[u8], gaps: &mut BTreeSet<String>) -> std::result::Result<Sections, String> {
    let mut sections = Sections::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row: Value = serde_json::from_slice(line).map_err(|error| format!("line {number}: {error}"))?;
        let name = row["name"].as_str().unwrap_or_default();
        // `pack_inventory_deb_packages`: a query is called after its table.
        let table = TABLES.iter().map(|(table, ..)| *table).find(|table| name.ends_with(table));
        let Some(table) = table else {
            gaps.insert(format!("the query `{name}` is not one of software"));
            continue;
        };
        match (row["columns"].is_object(), row["action"].as_str(), row["snapshot"].as_array()) {
            (true, Some("removed"), _) => remove(table, &row["columns"], &mut sections),
            (true, _, _) => take(table, std::iter::once(&row["columns"]), &mut sections, gaps),
            (false, _, Some(rows)) => take(table, rows.iter(), &mut sections, gaps),
            _ => return Err(format!("line {number}: neither `columns` nor `snapshot`")),
        }
    }
    Ok(sections)
}

fn take<'v>(
    table: &str,
    rows: impl Iterator<Item = &'v Value>,
    sections: &mut Sections,
    gaps: &mut BTreeSet<String>,
) {
    let Some((_, section, kind, name)) = TABLES.iter().find(|(known, ..)| *known == table) else {
        gaps.insert(format!("the table `{table}` is not one of software"));
        return;
    };
    let into = sections.entry((*section).to_owned()).or_default();
    for row in rows {
        match item(row, *kind, name) {
            Some(item) => into.items.push(item),
            None => {
                gaps.insert(format!("a row of `{table}` has no name"));
            }
        }
    }
}

fn remove(table: &str, row: &Value, sections: &mut Sections) {
    let Some((_, section, kind, name)) = TABLES.iter().find(|(known, ..)| *known == table) else { return };
    if let (Some(gone), Some(from)) = (item(row, *kind, name), sections.get_mut(*section)) {
        from.items.retain(|item| *item != gone);
    }
}

/// All values of osquery are texts.
fn item(row: &Value, kind: Option<&str>, name: &str) -> Option<Item> {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let mut item = Item::named(Some(text(name)).filter(|name| !name.is_empty())?);
    item.version =
        ["version", "bundle_short_version"].iter().map(|field| text(field)).find(|v| !v.is_empty())?;
    if let Some(kind) = kind {
        let purl = format!("pkg:{kind}/{}@{}", item.name, item.version);
        item.purl = Purl::parse_lenient(&purl).ok().map(|purl| purl.to_string());
    }
    let path = ["path", "install_location"].iter().map(|field| text(field)).find(|path| !path.is_empty());
    item.path = path.map(BytePath::from);
    Some(item.with("seen-by", "osquery"))
}

/// The packages of a bill.
fn components(path: &Path) -> Result<Sections> {
    let (document, _) = crate::sbom::sbom_read(path)?;
    let items = document.bom.packages.iter().map(|package| {
        let mut item = Item::named(package.full_name());
        item.version = package.version.to_string();
        item.purl = package.purl.as_deref().map(str::to_owned);
        item.with("seen-by", "cyclonedx")
    });
    Ok(Sections::from([(PACKAGES.to_owned(), Section { items: items.collect() })]))
}
