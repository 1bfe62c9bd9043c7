//! What changed inside an executable, as far as format facts tell.

use evidence::tree::Executable;
use evidence::{BytePath, Finding, Node};

use crate::anomalies::subject;
use crate::codes;

/// The signature block may grow by this much between releases: the largest change seen between honest releases
/// was 10,704 bytes, and honest tables are below 20,640.
const BLOCK_GROWTH_MAX_BYTES: u64 = 32 << 10;
/// A new section above both bounds is packed or encrypted; no honest release had one.
const PACKED_ENTROPY_MILLIBITS: u32 = 7200;
const PACKED_MIN_BYTES: u64 = 4096;

/// Judges what is suspicious in a changed executable even if a source change explains the difference.
pub(super) fn suspicions(path: &BytePath, old: &Node, new: &Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (before, after) in old.executables.iter().zip(&new.executables) {
        signature(path, new, before, after, &mut findings);
        for section in &after.sections {
            let known = before.sections.iter().any(|other| other.name == section.name);
            if known {
                continue;
            }
            if section.writable && section.executable {
                let because = vec![format!("section `{}` is new", section.name)];
                findings.push(codes::WRITABLE_CODE.finding(subject(path, new), because));
            }
            if section.entropy_millibits > PACKED_ENTROPY_MILLIBITS && section.size > PACKED_MIN_BYTES {
                let because = vec![format!(
                    "section `{}` is new, {} bytes with {}.{:03} bits of entropy a byte",
                    section.name,
                    section.size,
                    section.entropy_millibits / 1000,
                    section.entropy_millibits % 1000
                )];
                findings.push(codes::PACKED_SECTION.finding(subject(path, new), because));
            }
        }
    }
    findings
}

fn signature(
    path: &BytePath,
    node: &Node,
    before: &Executable,
    after: &Executable,
    findings: &mut Vec<Finding>,
) {
    let (Some(old), new) = (&before.signature, &after.signature) else { return };
    let Some(new) = new else {
        let because = vec![format!("it was signed by `{}`", old.signer.as_deref().unwrap_or("unknown"))];
        findings.push(codes::SIGNATURE_REMOVED.finding(subject(path, node), because));
        return;
    };
    let same_image = old.image_digest.is_some() && old.image_digest == new.image_digest;
    if same_image && new.table_bytes > old.table_bytes.saturating_add(BLOCK_GROWTH_MAX_BYTES) {
        let because = vec![format!(
            "the certificate table grew from {} to {} bytes; the signed image is the same",
            old.table_bytes, new.table_bytes
        )];
        findings.push(codes::SIGNATURE_BLOCK_GREW.finding(subject(path, node), because));
    }
    // The organisation, not the common name: vendors rotate the latter (0 of 630 honest changes of the former).
    if old.organisation.is_some() && old.organisation != new.organisation {
        let name =
            |organisation: &Option<String>| organisation.clone().unwrap_or_else(|| "unknown".to_owned());
        let because = vec![format!("`{}` → `{}`", name(&old.organisation), name(&new.organisation))];
        findings.push(codes::SIGNER_CHANGED.finding(subject(path, node), because));
    }
}

/// Describes in words what is new in a changed executable, for the reasons of a finding.
pub(super) fn describe(old: &Node, new: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    for (before, after) in old.executables.iter().zip(&new.executables) {
        let added = |label: &str,
                     before: &std::collections::BTreeSet<String>,
                     after: &std::collections::BTreeSet<String>| {
            let names = super::examples(after.difference(before));
            (!names.is_empty()).then(|| format!("new {label}: {}", names.join(", ")))
        };
        notes.extend(added("libraries", &before.libraries, &after.libraries));
        notes.extend(added("imports", &before.imports, &after.imports));
        notes.extend(added("exports", &before.exports, &after.exports));
        notes.extend(added("search paths", &before.search_paths, &after.search_paths));
        let sections: Vec<&str> = after
            .sections
            .iter()
            .filter(|section| !before.sections.iter().any(|other| other.name == section.name))
            .map(|section| section.name.as_str())
            .collect();
        if !sections.is_empty() {
            notes.push(format!("new sections: {}", super::examples(sections).join(", ")));
        }
        let lost = super::examples(before.mitigations.difference(&after.mitigations));
        if !lost.is_empty() {
            notes.push(format!("lost hardening: {}", lost.join(", ")));
        }
        if let (Some(old), Some(new)) = (&before.version, &after.version) {
            let same = if old == new { "same version" } else { "other version" };
            notes.push(format!("{same}: {old} → {new}"));
        }
    }
    notes
}
