//! Whether packages are what their lock files say: the bytes that a build really read against the hashes beside the names.

use std::collections::BTreeMap;

use evidence::bom::Algorithm;
use evidence::record::File;
use evidence::{Digest, Finding, Record, Subject};
use inspect::catalog::{Scan, candidates};
use judge::codes;

use crate::World;
use crate::error::Result;
use crate::records::RecordView;

/// Checks the records among what was named against the lock files that the builds had read.
pub(super) fn check(world: Option<&World>, names: &[String]) -> Result<Vec<Finding>> {
    let Some(world) = world else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    for name in names.iter().filter(|name| !name.starts_with("pkg:") && !std::path::Path::new(name).exists())
    {
        let view = crate::show(world, name)?;
        findings.extend(record(&view));
    }
    Ok(findings)
}

/// Archives by their file names: `serde-1.0.0.crate`, `requests-2.32.0-py3-none-any.whl`.
fn archives(record: &Record) -> BTreeMap<String, Vec<(&File, Digest)>> {
    let mut found: BTreeMap<String, Vec<(&File, Digest)>> = BTreeMap::new();
    for file in &record.files {
        let path = file.path.to_string();
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_archive = [".crate", ".whl", ".tar.gz", ".gem"].iter().any(|end| name.ends_with(end));
        if is_archive {
            found.entry(name.to_owned()).or_default().extend(file.read.iter().map(|digest| (file, *digest)));
        }
    }
    found
}

/// Lock files lie where the build read them; their content is taken from the disk if it still has the recorded bytes.
fn record(view: &RecordView) -> Vec<Finding> {
    let archives = archives(&view.record);
    if archives.is_empty() {
        return Vec::new();
    }
    let mut scan = Scan::new();
    for file in &view.record.files {
        if candidates(file.path.as_bytes()).documents.is_empty() {
            continue;
        }
        let path = file.path.to_string();
        let Ok(bytes) = crate::files::read(std::path::Path::new(&path), inspect::catalog::DOCUMENT_MAX_BYTES)
        else {
            continue;
        };
        if file.read.contains(&Digest::of(&bytes)) {
            scan.offer(&file.path, &bytes);
        }
    }
    let catalog = scan.finish();
    let mut findings = Vec::new();
    for package in &catalog.bom.packages {
        let wanted: Vec<&str> = package
            .hashes
            .iter()
            .filter(|hash| hash.algorithm == Algorithm::Sha256)
            .map(|hash| &*hash.hex)
            .collect();
        if wanted.is_empty() {
            continue;
        }
        for (name, files) in &archives {
            if !is_of(name, package.ecosystem(), &package.name, &package.version) {
                continue;
            }
            for (file, digest) in files.iter().filter(|(_, digest)| !wanted.contains(&digest.hex().as_str()))
            {
                let said =
                    package.evidence.first().map_or_else(String::new, |evidence| evidence.path.to_string());
                let because = vec![
                    format!("{said} says sha256:{}", wanted.join(" or sha256:")),
                    format!("r{} read {} with {digest}", view.number, file.path),
                ];
                let subject =
                    Subject { path: package.purl.as_deref().map(Into::into), digest: Some(*digest) };
                findings.push(codes::PACKAGE_BYTES_DIFFER.finding(subject, because));
            }
        }
    }
    findings
}

fn is_of(archive: &str, ecosystem: Option<&str>, name: &str, version: &str) -> bool {
    let normal = |text: &str| text.to_lowercase().replace(['_', '.'], "-");
    match ecosystem {
        Some("cargo") => archive == format!("{name}-{version}.crate"),
        Some("gem") => archive == format!("{name}-{version}.gem"),
        Some("pypi") => {
            let (archive, start) = (normal(archive), normal(&format!("{name}-{version}-")));
            archive.starts_with(&start)
        }
        _ => false,
    }
}
