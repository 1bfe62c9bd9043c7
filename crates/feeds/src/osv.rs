//! OSV documents (schema 1.7): what of them counts.
//!
//! What a database adds (`database_specific`, `ecosystem_specific`) never changes whether a version is affected; it only tells
//! malicious packages and digests of their artifacts.

use evidence::{Digest, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::affected::Affected;

/// One record.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its id: `GHSA-…`, `MAL-…`.
    pub id: String,
    /// When it was last changed, in seconds since 1970; the year 1 where a database does not say.
    pub modified: i64,
    /// When it was taken back.
    pub withdrawn: Option<i64>,
    /// Other ids of the same thing.
    pub aliases: Vec<String>,
    /// Records that it was made from. They do not make it the same thing.
    pub upstream: Vec<String>,
    /// One line.
    pub summary: String,
    /// The best CVSS vector that it has, with its score in tenths and its version.
    pub cvss: Option<Cvss>,
    /// What the database says in words: 1 low … 4 critical.
    pub severity: u8,
    /// Whether the package itself is an attack.
    pub malicious: bool,
    /// Digests of artifacts of the package.
    pub artifacts: Vec<Digest>,
    /// Which versions of which packages.
    pub affected: Vec<Affected>,
    /// What is wrong with it, though it could be read.
    pub faults: Vec<&'static str>,
}

/// A CVSS vector and what it comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cvss {
    /// The vector.
    pub vector: String,
    /// The score in tenths.
    pub tenths: u8,
    /// The major version.
    pub version: u8,
}

/// An artifact list longer than this is cut.
const ARTIFACTS_MAX: usize = 10_000;
const SUMMARY_MAX: usize = 200;

#[derive(Deserialize)]
struct Document {
    id: String,
    modified: String,
    withdrawn: Option<String>,
    aliases: Option<Vec<String>>,
    upstream: Option<Vec<String>>,
    summary: Option<String>,
    severity: Option<Vec<SeverityEntry>>,
    affected: Option<Vec<AffectedEntry>>,
    database_specific: Option<DatabaseSpecific>,
}

#[derive(Deserialize)]
struct SeverityEntry {
    #[serde(rename = "type")]
    kind: Option<String>,
    score: Option<Value>,
}

/// One entry of `affected`, as written.
#[derive(Deserialize)]
pub struct AffectedEntry {
    /// The package, if it is not about a repository alone.
    pub package: Option<PackageEntry>,
    /// Ranges.
    pub ranges: Option<Vec<RangeEntry>>,
    /// Versions one by one.
    pub versions: Option<Vec<String>>,
    severity: Option<Vec<SeverityEntry>>,
    database_specific: Option<AffectedSpecific>,
}

/// A package, as written.
#[derive(Deserialize)]
pub struct PackageEntry {
    /// The ecosystem, with its suffix.
    pub ecosystem: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The purl, which stands in for both where they are missing.
    pub purl: Option<String>,
}

/// A range, as written.
#[derive(Deserialize)]
pub struct RangeEntry {
    /// `SEMVER`, `ECOSYSTEM`, `GIT`, or what nobody knows.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Events in any order.
    pub events: Option<Vec<EventEntry>>,
}

/// An event, as written. It should have one key.
#[derive(Deserialize)]
pub struct EventEntry {
    /// From here on.
    pub introduced: Option<String>,
    /// No longer from here on.
    pub fixed: Option<String>,
    /// No longer after this.
    pub last_affected: Option<String>,
    /// Nothing is said from here on.
    pub limit: Option<String>,
}

/// Only what concerns us, and of any type: databases differ.
#[derive(Deserialize)]
struct DatabaseSpecific {
    severity: Option<Value>,
    cwe_ids: Option<Value>,
    leitwacht: Option<Value>,
    #[serde(rename = "malicious-packages-origins")]
    origins: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct AffectedSpecific {
    cwes: Option<Value>,
}

/// Reads one document. The error says what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Record, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document.id.is_empty() || document.id.len() > 200 || !is_plain(&document.id) {
        return Err("its id is empty, too long, or no id".to_owned());
    }
    let moment = |text: &str, what: &str| {
        text.parse::<Timestamp>().map(Timestamp::unix).map_err(|_| format!("`{what}` is not a moment"))
    };
    let modified = moment(&document.modified, "modified")?;
    let withdrawn = document.withdrawn.as_deref().map(|text| moment(text, "withdrawn")).transpose()?;
    let mut faults = Vec::new();
    let specific = document.database_specific.as_ref();
    let entries = document.affected.unwrap_or_default();
    let mut names = |list: Option<Vec<String>>| -> Vec<String> {
        let mut list = list.unwrap_or_default();
        let before = list.len();
        list.retain(|id| is_plain(id));
        if list.len() < before {
            faults.push("another id of it is no id");
        }
        list
    };
    let (aliases, upstream) = (names(document.aliases), names(document.upstream));
    let malicious = is_attack(&document.id)
        || aliases.iter().any(|alias| is_attack(alias))
        || specific.is_some_and(|specific| specific.origins.is_some())
        || is_attack_by_weakness(specific.and_then(|specific| specific.cwe_ids.as_ref()))
        || entries.iter().any(|entry| {
            is_attack_by_weakness(
                entry.database_specific.as_ref().and_then(|specific| specific.cwes.as_ref()),
            )
        });
    let vectors = document
        .severity
        .iter()
        .flatten()
        .chain(entries.iter().flat_map(|entry| entry.severity.iter().flatten()));
    let cvss = best(vectors, &mut faults);
    let severity = specific.and_then(|specific| specific.severity.as_ref()).map_or(0, word);
    let artifacts =
        specific.and_then(|specific| specific.leitwacht.as_ref()).map_or_else(Vec::new, artifacts);
    let affected = entries.into_iter().filter_map(|entry| Affected::of(entry, &mut faults)).collect();
    faults.sort_unstable();
    faults.dedup();
    let mut summary =
        document.summary.unwrap_or_default().replace(['\n', '\r', '\t', '\u{1f}', '\u{1e}'], " ");
    if let Some((end, _)) = summary.char_indices().nth(SUMMARY_MAX) {
        summary.truncate(end);
    }
    Ok(Record {
        id: document.id,
        modified,
        withdrawn,
        aliases,
        upstream,
        summary,
        cvss,
        severity,
        malicious,
        artifacts,
        affected,
        faults,
    })
}

/// An id is one word: in the index, blanks and control characters stand between ids.
fn is_plain(id: &str) -> bool {
    !id.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Ids of databases of attacks.
fn is_attack(id: &str) -> bool {
    id.starts_with("MAL-") || id.starts_with("LWA-")
}

/// CWE-506: embedded malicious code.
fn is_attack_by_weakness(list: Option<&Value>) -> bool {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|weakness| weakness == "CWE-506" || weakness.get("cweId").is_some_and(|id| id == "CWE-506"))
}

/// Takes the vector of the newest version of CVSS; of one version the one that scores highest.
fn best<'a>(
    entries: impl Iterator<Item = &'a SeverityEntry>,
    faults: &mut Vec<&'static str>,
) -> Option<Cvss> {
    let mut best: Option<Cvss> = None;
    for entry in entries {
        let kind = entry.kind.as_deref().unwrap_or_default();
        let Some(vector) = entry.score.as_ref().and_then(Value::as_str) else { continue };
        if !kind.starts_with("CVSS_") {
            continue;
        }
        match score(vector) {
            Some(found) => {
                let better = best
                    .as_ref()
                    .is_none_or(|best| (found.version, found.tenths) > (best.version, best.tenths));
                if better {
                    best = Some(found);
                }
            }
            None => faults.push("a CVSS vector cannot be read"),
        }
    }
    best
}

/// Scores a vector of any version.
pub fn score(vector: &str) -> Option<Cvss> {
    let parsed: cvss::Cvss = vector.parse().ok()?;
    let version = match parsed {
        cvss::Cvss::CvssV20(_) => 2,
        cvss::Cvss::CvssV30(_) | cvss::Cvss::CvssV31(_) => 3,
        cvss::Cvss::CvssV40(_) => 4,
        _ => return None,
    };
    let tenths = (parsed.score() * 10.0).round().clamp(0.0, 100.0) as u8;
    Some(Cvss { vector: vector.to_owned(), tenths, version })
}

fn word(value: &Value) -> u8 {
    match value.as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
        "low" => 1,
        "moderate" | "medium" => 2,
        "high" => 3,
        "critical" => 4,
        _ => 0,
    }
}

fn artifacts(specific: &Value) -> Vec<Digest> {
    let list = specific.get("indicators_observed").and_then(|observed| observed.get("sha256"));
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(ARTIFACTS_MAX)
        .filter_map(|digest| Digest::from_hex(&digest.as_str()?.to_ascii_lowercase()).ok())
        .collect()
}
