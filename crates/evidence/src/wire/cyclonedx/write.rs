//! Any bill of materials as CycloneDX 1.6, package by package: a bill of a million packages is never held as text.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::uuid;
use crate::bom::{Bom, Package};
use crate::licence;
use crate::wire::bill::{Comma, Loss, Style, clean, digest, grouped, lose, reference};

/// The reference of what the bill is of.
const SUBJECT: &str = "subject";

/// Writes a bill.
pub fn write(bom: &Bom, style: &Style, out: &mut dyn Write) -> io::Result<Vec<Loss>> {
    let references: Vec<String> =
        bom.packages.iter().enumerate().map(|(place, package)| reference(package, place)).collect();
    writeln!(
        out,
        "{{\"$schema\":\"http://cyclonedx.org/schema/bom-1.6.schema.json\",\n\"bomFormat\":\"CycloneDX\",\n\"specVersion\":\"1.6\",\n\
         \"serialNumber\":\"urn:uuid:{}\",\n\"version\":1,\n\"metadata\":{},",
        uuid(&digest(bom)),
        metadata(bom, style)
    )?;
    out.write_all(b"\"components\":[")?;
    let mut comma = Comma::new();
    for (package, reference) in bom.packages.iter().zip(&references) {
        comma.before(out)?;
        serde_json::to_writer(&mut *out, &component(package, reference))?;
    }
    out.write_all(b"],\n\"dependencies\":[")?;
    let mut comma = Comma::new();
    comma.before(out)?;
    let name = |place: u32| references.get(place as usize).map(String::as_str).unwrap_or_default();
    let direct: Vec<&str> = bom.direct.iter().map(|place| name(*place)).collect();
    serde_json::to_writer(&mut *out, &json!({"ref": SUBJECT, "dependsOn": direct}))?;
    for (from, group) in grouped(&bom.relations) {
        comma.before(out)?;
        let to: Vec<&str> = group.iter().map(|(_, to)| name(*to)).collect();
        serde_json::to_writer(&mut *out, &json!({"ref": name(from), "dependsOn": to}))?;
    }
    out.write_all(b"]\n}\n")?;
    let mut losses = Vec::new();
    let several = bom.packages.iter().filter(|package| package.cpes.len() > 1).count();
    lose(&mut losses, several, "packages with several CPE names: all but the first are properties");
    Ok(losses)
}

fn metadata(bom: &Bom, style: &Style) -> Value {
    let mut subject = component(&bom.subject, SUBJECT);
    if bom.subject.name.is_empty() {
        subject["name"] = "unnamed".into();
    }
    let mut tools =
        vec![json!({"type": "application", "name": "countersign", "version": style.tool_version})];
    tools.extend(bom.tools.iter().map(|tool| json!({"type": "application", "name": clean(tool)})));
    let mut metadata = json!({"tools": {"components": tools}, "component": subject});
    if let Some(time) = style.time(bom) {
        metadata["timestamp"] = time.into();
    }
    if !bom.authors.is_empty() {
        metadata["authors"] = bom.authors.iter().map(|author| json!({"name": clean(author)})).collect();
    }
    if !bom.properties.is_empty() {
        metadata["properties"] = bom
            .properties
            .iter()
            .map(|property| json!({"name": property.name, "value": property.value}))
            .collect();
    }
    metadata
}

fn component(package: &Package, reference: &str) -> Value {
    let mut component = Map::new();
    let mut set = |key: &str, value: Value| {
        component.insert(key.to_owned(), value);
    };
    set("type", package.kind.word().into());
    set("bom-ref", reference.into());
    set("name", package.name.as_ref().into());
    if !package.namespace.is_empty() {
        set("group", package.namespace.as_ref().into());
    }
    if !package.version.is_empty() {
        set("version", package.version.as_ref().into());
    }
    if let Some(purl) = &package.purl {
        set("purl", purl.as_ref().into());
    }
    if let Some(cpe) = package.cpes.first() {
        set("cpe", cpe.as_ref().into());
    }
    if let Some(supplier) = &package.supplier {
        set("supplier", json!({"name": clean(supplier)}));
    }
    if !package.licences.is_empty() {
        set("licenses", licences(&package.licences));
    }
    if !package.hashes.is_empty() {
        let list = package.hashes.iter();
        let list = list.map(|hash| json!({"alg": hash.algorithm.cyclonedx(), "content": hash.hex()}));
        set("hashes", list.collect());
    }
    if !package.evidence.is_empty() {
        let occurrence = |evidence: &crate::bom::Evidence| {
            if evidence.by.is_empty() {
                json!({"location": evidence.path.to_string()})
            } else {
                json!({"location": evidence.path.to_string(), "additionalContext": evidence.by})
            }
        };
        set("evidence", json!({"occurrences": package.evidence.iter().map(occurrence).collect::<Value>()}));
    }
    if reference != SUBJECT {
        let mut properties = vec![
            super::property("state", package.state.word()),
            super::property("place", package.place.word()),
        ];
        properties.extend(package.cpes.iter().skip(1).map(|cpe| super::property("cpe", cpe)));
        properties.extend(package.properties.iter().map(|known| super::property(&known.name, &known.value)));
        set("properties", properties.into());
    }
    Value::Object(component)
}

/// One expression stands alone; several licences stand by identifier or name.
fn licences(list: &[std::sync::Arc<str>]) -> Value {
    if let [one] = list
        && let Some(expression) = licence::expression(one)
        && licence::identifier(&expression).is_none()
    {
        return json!([{"expression": expression}]);
    }
    list.iter()
        .map(|text| match licence::identifier(text) {
            Some(id) => json!({"license": {"id": id}}),
            None => json!({"license": {"name": clean(text)}}),
        })
        .collect()
}
