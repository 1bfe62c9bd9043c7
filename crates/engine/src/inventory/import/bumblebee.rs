//! Records of bumblebee (github.com/perplexityai/bumblebee, `docs/schema/v0.1.0` and `v0.2.0`): one JSON object a line, `package`,
//! `finding`, and at the end of a run `scan_summary`.

use std::collections::{BTreeMap, BTreeSet};

use evidence::BytePath;
use evidence::inventory::Item;
use evidence::purl::Purl;
use serde::Deserialize;

use super::{PACKAGES, Sections};

/// Ecosystems, our section, and the type of their package URLs.
const ECOSYSTEMS: &[(&str, &str, Option<&str>)] = &[
    ("npm", PACKAGES, Some("npm")),
    ("pypi", PACKAGES, Some("pypi")),
    ("go", PACKAGES, Some("golang")),
    ("rubygems", PACKAGES, Some("gem")),
    ("packagist", PACKAGES, Some("composer")),
    ("homebrew", PACKAGES, Some("brew")),
    ("cargo", PACKAGES, Some("cargo")),
    ("conda", PACKAGES, Some("conda")),
    ("mcp", "mcp-servers", None),
    ("agent-skill", "agent-skills", None),
    ("editor-extension", "editor-extensions", None),
    ("browser-extension", "browser-extensions", None),
];
const SCANNER: &str = "bumblebee";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    record_type: String,
    scanner_name: String,
    schema_version: String,
    run_id: String,
    endpoint: Endpoint,
    ecosystem: String,
    package_name: String,
    normalized_name: String,
    version: String,
    source_type: String,
    source_file: String,
    install_scope: String,
    package_manager: String,
    requested_spec: String,
    server_name: String,
    lifecycle_scripts: Vec<String>,
    catalog_id: String,
    status: String,
    timed_out: bool,
    package_records_suppressed: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    hostname: String,
    device_id: String,
}

/// Tells whether the first line is a record of this program.
pub(super) fn is_record(bytes: &[u8]) -> bool {
    let first = bytes.split(|byte| *byte == b'\n').find(|line| !line.iter().all(u8::is_ascii_whitespace));
    let record = first.and_then(|line| serde_json::from_slice::<Record>(line).ok());
    record.is_some_and(|record| record.scanner_name == SCANNER && !record.record_type.is_empty())
}

pub(super) fn read(bytes: &[u8], gaps: &mut BTreeSet<String>) -> Result<Sections, String> {
    let (mut sections, mut machines) = (Sections::new(), BTreeSet::new());
    // Of each run, whether its end says that it is complete.
    let mut runs: BTreeMap<String, bool> = BTreeMap::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record: Record =
            serde_json::from_slice(line).map_err(|error| format!("line {number}: {error}"))?;
        if record.scanner_name != SCANNER && record.record_type != "diagnostic" {
            return Err(format!("line {number}: not a record of bumblebee"));
        }
        if !record.schema_version.is_empty() && !record.schema_version.starts_with("0.") {
            return Err(format!("line {number}: the schema {} is not known", record.schema_version));
        }
        if record.record_type != "diagnostic" {
            let Endpoint { hostname, device_id } = &record.endpoint;
            machines.insert(if device_id.is_empty() { hostname.clone() } else { device_id.clone() });
            runs.entry(record.run_id.clone()).or_default();
        }
        match record.record_type.as_str() {
            "package" | "finding" => match item(&record) {
                Some((section, item)) => sections.entry(section.to_owned()).or_default().items.push(item),
                None => {
                    gaps.insert(format!("line {number}: the ecosystem `{}` is not known", record.ecosystem));
                }
            },
            "scan_summary" => {
                let whole = record.status == "complete"
                    && !record.timed_out
                    && record.package_records_suppressed == 0;
                runs.insert(record.run_id, whole);
            }
            "diagnostic" => {
                gaps.insert(format!("line {number}: bumblebee could not read something"));
            }
            other => {
                gaps.insert(format!("line {number}: the record type `{other}` is not known"));
            }
        }
    }
    if machines.len() > 1 {
        return Err(format!("records of {} machines: one at a time", machines.len()));
    }
    for (run, _) in runs.iter().filter(|(_, whole)| !**whole) {
        gaps.insert(format!("the run `{run}` has no end that says that it is complete"));
    }
    Ok(sections)
}

fn item(record: &Record) -> Option<(&'static str, Item)> {
    let (_, section, kind) = ECOSYSTEMS.iter().find(|(known, ..)| *known == record.ecosystem)?;
    let names = [&record.package_name, &record.normalized_name, &record.server_name];
    let name = names.into_iter().find(|name| !name.is_empty())?;
    let mut item = Item::named(name.clone());
    item.version.clone_from(&record.version);
    if let Some(kind) = kind {
        // A version is part of the URL, and what cannot be one is left out.
        let version = if record.version.is_empty() { String::new() } else { format!("@{}", record.version) };
        item.purl =
            Purl::parse_lenient(&format!("pkg:{kind}/{name}{version}")).ok().map(|purl| purl.to_string());
    }
    item.path = Some(record.source_file.as_str()).filter(|path| !path.is_empty()).map(BytePath::from);
    let item = item
        .with("seen-by", SCANNER)
        .with("source", record.source_type.as_str())
        .with("scope", record.install_scope.as_str())
        .with("package-manager", record.package_manager.as_str())
        .with("wanted", record.requested_spec.as_str())
        .with("lifecycle-scripts", record.lifecycle_scripts.join(" "))
        // What its own list says of it.
        .with("exposure", record.catalog_id.as_str());
    // The name of a server or skill here, beside that of its package.
    let item =
        if record.server_name == *name { item } else { item.with("called", record.server_name.as_str()) };
    Some((section, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str, host: &str) -> String {
        format!(
            r#"{{"record_id":"x","schema_version":"0.2.0","scanner_name":"bumblebee","scanner_version":"1","run_id":"r","endpoint":{{"hostname":"{host}","os":"linux","arch":"amd64","username":"u","uid":"1"}},{fields}}}"#
        )
    }

    fn package(ecosystem: &str, name: &str, version: &str) -> String {
        line(
            &format!(
                r#""record_type":"package","ecosystem":"{ecosystem}","package_name":"{name}","normalized_name":"{name}","version":"{version}","source_file":"/h/{name}","source_type":"t","has_lifecycle_scripts":false,"confidence":"high""#
            ),
            "dev-1",
        )
    }

    fn summary(status: &str) -> String {
        line(&format!(r#""record_type":"scan_summary","status":"{status}","counts":{{}}"#), "dev-1")
    }

    #[test]
    fn records_become_items_of_their_sections() {
        let text = [
            package("npm", "@s/a", "1.0.0"),
            package("mcp", "@x/mcp", ""),
            package("editor-extension", "p.e", "2"),
            package("agent-skill", "o/r", ""),
            package("weird", "w", "1"),
            summary("complete"),
        ]
        .join("\n");
        assert!(is_record(text.as_bytes()));
        let mut gaps = BTreeSet::new();
        let sections = read(text.as_bytes(), &mut gaps).unwrap();
        let names: Vec<&str> = sections.keys().map(String::as_str).collect();
        assert_eq!(names, ["agent-skills", "editor-extensions", "mcp-servers", "packages"]);
        let npm = &sections["packages"].items[0];
        assert_eq!(npm.purl.as_deref(), Some("pkg:npm/%40s/a@1.0.0"));
        assert_eq!(npm.path, Some(BytePath::from("/h/@s/a")));
        assert_eq!(gaps.into_iter().collect::<Vec<_>>(), ["line 5: the ecosystem `weird` is not known"]);
    }

    #[test]
    fn a_run_without_a_good_end_is_a_gap_and_two_machines_are_refused() {
        for end in [String::new(), summary("partial")] {
            let mut gaps = BTreeSet::new();
            read([package("pypi", "a", "1"), end].join("\n").as_bytes(), &mut gaps).unwrap();
            assert_eq!(gaps.len(), 1);
        }
        let other = line(r#""record_type":"scan_summary","status":"complete""#, "dev-2");
        let text = [package("pypi", "a", "1"), other].join("\n");
        assert!(read(text.as_bytes(), &mut BTreeSet::new()).unwrap_err().contains("2 machines"));
        for wrong in
            [r#"{"record_type":"package"}"#, r#"{"record_type":"package","scanner_name":"x"}"#, "[]", ""]
        {
            assert!(!is_record(wrong.as_bytes()));
        }
        let broken = [package("pypi", "a", "1"), "{".to_owned()].join("\n");
        assert!(read(broken.as_bytes(), &mut BTreeSet::new()).unwrap_err().starts_with("line 2"));
    }
}
