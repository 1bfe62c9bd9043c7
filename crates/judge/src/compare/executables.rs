//! What changed inside an executable, in words.

use evidence::Node;

use super::signals::slices;

/// Describes in words what is new in a changed executable, for the reasons of a finding.
pub(super) fn describe(old: &Node, new: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    for (before, after) in slices(old, new) {
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
