//! What changed inside an executable, in words.

use std::collections::BTreeSet;

use evidence::Node;

use super::signals::slices;

/// Describes in words what is new in a changed executable, for the reasons of a finding.
pub(super) fn describe(old: &Node, new: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    for (before, after) in slices(old, new) {
        let added = |label: &str, before: &BTreeSet<String>, after: &BTreeSet<String>| {
            let names = super::examples(after.difference(before));
            (!names.is_empty()).then(|| format!("new {label}: {}", names.join(", ")))
        };
        notes.extend(added("libraries", &before.libraries, &after.libraries));
        notes.extend(added("imports", &before.imports, &after.imports));
        notes.extend(added("exports", &before.exports, &after.exports));
        notes.extend(added("search paths", &before.search_paths, &after.search_paths));
        let known: BTreeSet<&str> = before.sections.iter().map(|section| section.name.as_str()).collect();
        let names = after.sections.iter().map(|section| section.name.as_str());
        let sections: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
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
