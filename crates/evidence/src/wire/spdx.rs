//! SPDX 2.3 JSON.
//!
//! Files are packages with the purpose `FILE`: SPDX demands a SHA-1 of what it calls a file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::bill::{Comma, Loss, Style, clean, digest, grouped, kept_as_text, lose};
use crate::bom::{Bom, Kind, Package};
use crate::licence;

/// What SPDX demands where no time is given: the same input has the same bytes.
const BEGINNING: &str = "1970-01-01T00:00:00Z";
const SUBJECT: &str = "SPDXRef-Subject";

/// Writes a bill.
pub fn write(bom: &Bom, style: &Style, out: &mut dyn Write) -> io::Result<Vec<Loss>> {
    let name = if bom.subject.name.is_empty() { "unnamed" } else { bom.subject.name.as_ref() };
    let mut creators = vec![format!("Tool: countersign-{}", style.tool_version)];
    creators.extend(bom.tools.iter().map(|tool| format!("Tool: {}", clean(tool))));
    creators
        .extend(bom.authors.iter().map(|author| format!("Organization: {}", without_parentheses(author))));
    let creation = json!({
        "created": style.time(bom).unwrap_or_else(|| BEGINNING.to_owned()),
        "creators": creators,
    });
    let quoted = |text: &str| Value::from(text).to_string();
    writeln!(
        out,
        "{{\"spdxVersion\":\"SPDX-2.3\",\n\"dataLicense\":\"CC0-1.0\",\n\"SPDXID\":\"SPDXRef-DOCUMENT\",\n\"name\":{},\n\
         \"documentNamespace\":\"urn:countersign:sbom:{}\",\n\"creationInfo\":{creation},",
        quoted(&clean(name)),
        digest(bom).hex()
    )?;
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    out.write_all(b"\"packages\":[")?;
    let mut comma = Comma::new();
    comma.before(out)?;
    let mut subject = package(&bom.subject, SUBJECT.to_owned(), &mut named);
    subject.insert("name".into(), name.into());
    serde_json::to_writer(&mut *out, &subject)?;
    for (place, known) in bom.packages.iter().enumerate() {
        comma.before(out)?;
        serde_json::to_writer(&mut *out, &package(known, id(known, place), &mut named))?;
    }
    out.write_all(b"],\n\"hasExtractedLicensingInfos\":[")?;
    let mut comma = Comma::new();
    for (id, text) in &named {
        comma.before(out)?;
        let info = json!({"licenseId": id, "name": text, "extractedText": text});
        serde_json::to_writer(&mut *out, &info)?;
    }
    out.write_all(b"],\n\"relationships\":[")?;
    let mut comma = Comma::new();
    let mut relation = |from: &str, kind: &str, to: &str| -> io::Result<()> {
        comma.before(out)?;
        let row = json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
        Ok(serde_json::to_writer(&mut *out, &row)?)
    };
    let id_at = |place: u32| bom.packages.get(place as usize).map(|package| id(package, place as usize));
    relation("SPDXRef-DOCUMENT", "DESCRIBES", SUBJECT)?;
    for (place, known) in bom.packages.iter().enumerate() {
        relation(SUBJECT, "CONTAINS", &id(known, place))?;
    }
    for to in bom.direct.iter().filter_map(|place| id_at(*place)) {
        relation(SUBJECT, "DEPENDS_ON", &to)?;
    }
    for (from, group) in grouped(&bom.relations) {
        let Some(from) = id_at(from) else { continue };
        for to in group.iter().filter_map(|(_, to)| id_at(*to)) {
            relation(&from, "DEPENDS_ON", &to)?;
        }
    }
    out.write_all(b"]\n}\n")?;
    let mut losses = kept_as_text(bom, "packages whose evidence is text in `sourceInfo`");
    let without_purpose =
        |package: &&Package| matches!(package.kind, Kind::Platform | Kind::Model | Kind::Data | Kind::Asset);
    let kinds = bom.packages.iter().filter(without_purpose).count();
    lose(&mut losses, kinds, "packages of a kind that SPDX 2.3 has no purpose for: it is text in `comment`");
    Ok(losses)
}

/// An identifier: unique by the place, readable by the name.
fn id(package: &Package, place: usize) -> String {
    let name: String = package
        .name
        .chars()
        .take(60)
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    format!("SPDXRef-Package-{place}-{name}")
}

fn package(package: &Package, id: String, named: &mut BTreeMap<String, String>) -> Map<String, Value> {
    let mut spdx = Map::new();
    let mut set = |key: &str, value: Value| {
        spdx.insert(key.to_owned(), value);
    };
    set("SPDXID", id.into());
    set("name", package.name.as_ref().into());
    set("downloadLocation", "NOASSERTION".into());
    set("filesAnalyzed", false.into());
    set("licenseConcluded", "NOASSERTION".into());
    set("licenseDeclared", licence(&package.licences, named).into());
    set("copyrightText", "NOASSERTION".into());
    if !package.version.is_empty() {
        set("versionInfo", package.version.as_ref().into());
    }
    let supplier = package.supplier.as_deref().map(without_parentheses).filter(|name| !name.is_empty());
    let supplier = supplier.map_or_else(|| "NOASSERTION".to_owned(), |name| format!("Organization: {name}"));
    set("supplier", supplier.into());
    if let Some(purpose) = purpose(package.kind) {
        set("primaryPackagePurpose", purpose.into());
    }
    if !package.hashes.is_empty() {
        let list = package.hashes.iter();
        let list = list.map(|hash| json!({"algorithm": hash.algorithm.spdx(), "checksumValue": hash.hex()}));
        set("checksums", list.collect());
    }
    let purl = package.purl.iter().map(|purl| ("PACKAGE-MANAGER", "purl", purl));
    let references = purl.chain(package.cpes.iter().map(|cpe| ("SECURITY", "cpe23Type", cpe)));
    let references: Vec<Value> = references
        .map(|(category, kind, locator)| {
            json!({"referenceCategory": category, "referenceType": kind, "referenceLocator": locator})
        })
        .collect();
    if !references.is_empty() {
        set("externalRefs", references.into());
    }
    let (comment, source) = texts(package);
    set("comment", comment.into());
    if !source.is_empty() {
        set("sourceInfo", source.into());
    }
    spdx
}

/// What SPDX has no fields for, in lines: `name=value`, and the evidence.
pub(super) fn texts(package: &Package) -> (String, String) {
    let mut comment = format!("state={}\nplace={}", package.state.word(), package.place.word());
    if !package.namespace.is_empty() {
        comment += &format!("\nnamespace={}", clean(&package.namespace));
    }
    if purpose(package.kind).is_none() {
        comment += &format!("\nkind={}", package.kind.word());
    }
    for property in &package.properties {
        comment += &format!("\n{}={}", clean(&property.name), clean(&property.value));
    }
    let evidence: Vec<String> =
        package.evidence.iter().map(|one| format!("{} by {}", one.path, clean(&one.by))).collect();
    let source =
        if evidence.is_empty() { String::new() } else { format!("found in {}", evidence.join("\n")) };
    (comment, source)
}

fn purpose(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Library => "LIBRARY",
        Kind::Application => "APPLICATION",
        Kind::Framework => "FRAMEWORK",
        Kind::Container => "CONTAINER",
        Kind::OperatingSystem => "OPERATING-SYSTEM",
        Kind::Device => "DEVICE",
        // SPDX 2.3 has no drivers; they are code of a device.
        Kind::Firmware | Kind::DeviceDriver => "FIRMWARE",
        Kind::File => "FILE",
        Kind::Platform | Kind::Model | Kind::Data | Kind::Asset => return None,
    })
}

/// One expression for all licences; what is not of the SPDX list becomes a reference.
pub(super) fn licence(list: &[std::sync::Arc<str>], named: &mut BTreeMap<String, String>) -> String {
    let parts: Vec<String> = list
        .iter()
        .map(|text| {
            licence::expression(text).unwrap_or_else(|| {
                let id = licence::reference(text);
                named.insert(id.clone(), clean(text));
                id
            })
        })
        .collect();
    for part in parts.iter().flat_map(|part| part.split(['(', ')', ' '])) {
        if part.starts_with("LicenseRef-") {
            named.entry(part.to_owned()).or_insert_with(|| part.to_owned());
        }
    }
    match parts.as_slice() {
        [] => "NOASSERTION".to_owned(),
        [one] => one.clone(),
        several => several
            .iter()
            .map(|part| if part.contains(" OR ") { format!("({part})") } else { part.clone() })
            .collect::<Vec<_>>()
            .join(" AND "),
    }
}

/// A name with an address as SPDX writes it: `Name (address)`; other parentheses have a meaning there.
fn without_parentheses(text: &str) -> String {
    let text = clean(text);
    let (name, address) = match text.split_once('<') {
        Some((name, rest)) => (name, rest.split('>').next().unwrap_or_default()),
        None => (text.as_str(), ""),
    };
    let plain = |text: &str| -> String { text.chars().filter(|c| !matches!(c, '(' | ')')).collect() };
    let (name, address) = (plain(name).trim().to_owned(), plain(address).trim().to_owned());
    match (name.as_str(), address.as_str()) {
        ("", address) => address.to_owned(),
        (name, address) if address.contains('@') => format!("{name} ({address})"),
        (name, _) => name.to_owned(),
    }
}
