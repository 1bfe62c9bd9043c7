//! CycloneDX 1.6 JSON (ECMA-424): the bill of materials of what a build was observed to use, and any other.
//!
//! Packages carry a purl, the files of them that were really read (with SHA-256) and the evidence; files that
//! no package owns stand by digest. Nothing is listed that was not read.

mod write;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use write::write;

use crate::record::{File, Record, Role};
use crate::{Component, Digest};

/// Writes the observed SBOM of a record. Deterministic: the time is the record's, the serial number is derived
/// from the record's digest.
pub fn observed(record: &Record, record_digest: &Digest) -> Vec<u8> {
    let mut owned: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    let mut unowned = Vec::new();
    for file in record.files.iter().filter(|file| file.is_input() && !file.read.is_empty()) {
        match &file.package {
            Some(purl) => owned.entry(purl).or_default().push(file),
            None => unowned.push(file),
        }
    }
    let mut components: Vec<Value> = record
        .components
        .iter()
        .filter_map(|component| owned.get(component.purl.as_str()).map(|files| package(component, files)))
        .collect();
    components.extend(unowned.into_iter().map(|file| file_component(file, "file:")));
    let product = if record.product.is_empty() { "unnamed" } else { &record.product };
    let outputs: Vec<Value> = record
        .outputs
        .iter()
        .map(|output| {
            json!({
                "type": "file", "bom-ref": format!("output:{}", output.path), "name": output.path.to_string(),
                "hashes": hashes(&output.digest), "properties": [property("role", Role::Output.word())],
            })
        })
        .collect();
    let mut subject = json!({
        "type": "application", "bom-ref": "product", "name": product, "components": outputs,
        "properties": [property("record", &record_digest.to_string())],
    });
    if !record.release.is_empty() {
        subject["version"] = json!(record.release);
    }
    let bom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": format!("urn:uuid:{}", uuid(record_digest)),
        "metadata": {
            "timestamp": record.finished.to_string(),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "countersign", "version": record.machine.recorder}]},
            "component": subject,
            "properties": [property("complete", &record.completeness.complete.to_string())],
        },
        "components": components,
        "dependencies": [],
    });
    super::canonical(&bom)
}

fn package(component: &Component, files: &[&File]) -> Value {
    let occurrences: Vec<Value> =
        files.iter().map(|file| json!({"location": file.path.to_string()})).collect();
    let methods: Vec<Value> = component
        .evidence
        .iter()
        .map(|source| json!({"technique": "manifest-analysis", "confidence": 1, "value": source.to_string()}))
        .collect();
    let parts: Vec<Value> =
        files.iter().map(|file| file_component(file, &format!("{}#", component.purl))).collect();
    json!({
        "type": "library", "bom-ref": component.purl, "name": component.name, "version": component.version,
        "purl": component.purl, "components": parts,
        "evidence": {
            "identity": [{"field": "purl", "confidence": 1, "methods": methods}],
            "occurrences": occurrences,
        },
    })
}

fn file_component(file: &File, prefix: &str) -> Value {
    let mut component = json!({
        "type": "file", "bom-ref": format!("{prefix}{}", file.path), "name": file.path.to_string(),
        "properties": [property("role", file.role.word())],
    });
    // A file that was read in several states is listed with the last; all states stand in the record.
    if let Some(digest) = file.read.last() {
        component["hashes"] = hashes(digest);
    }
    component
}

fn hashes(digest: &Digest) -> Value {
    json!([{"alg": "SHA-256", "content": digest.hex()}])
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": format!("countersign:{name}"), "value": value})
}

/// Derives a version 8 UUID (RFC 9562: custom) from a digest.
fn uuid(digest: &Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
