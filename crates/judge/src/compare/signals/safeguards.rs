//! Rules about what protects: a source that compares secrets in constant time no more, draws numbers that can be guessed, or asks nobody
//! for a certificate.
//!
//! What a patient attacker changes brings nothing new: no host, no program, no import. But what protects is called by few names, and
//! those are there, or not.

use std::collections::BTreeMap;

use evidence::tree::Content;
use evidence::{Node, Severity};

use super::packages::is_leap;
use super::sources::{is_aside, is_bundle, is_run};
use super::{Around, Findings};
use crate::codes;

/// Endings of files by which programs are set up.
const SETTINGS: &[&str] = &["config", "conf", "cfg", "ini", "yml", "yaml", "toml", "json"];

/// How many sources of an artifact protect, and by what.
#[derive(Default)]
pub(super) struct Guards(BTreeMap<String, usize>);

impl Guards {
    pub(super) fn count(&mut self, node: &Node) {
        let content = node.content.as_ref().filter(|content| is_run(node, content) && !is_aside(node));
        for guard in content.into_iter().flat_map(|content| &content.safeguards) {
            *self.0.entry(guard.clone()).or_default() += 1;
        }
    }

    fn of(&self, guard: &str) -> usize {
        self.0.get(guard).copied().unwrap_or(0)
    }
}

/// A source protects no more, and no other one does in its place.
pub(super) fn lost(before: &Content, after: &Content, around: &Around, node: &Node, findings: &mut Findings) {
    // In a bundle stands what all of its parts do.
    if !is_run(node, after) || is_aside(node) || is_bundle(node) {
        return;
    }
    let gone = before.safeguards.difference(&after.safeguards);
    let gone = gone.filter(|guard| around.guards.1.of(guard) < around.guards.0.of(guard));
    let because: Vec<String> = gone
        .map(|guard| {
            let (old, new) = (around.guards.0.of(guard), around.guards.1.of(guard));
            format!("{guard}: not in this source any more, and in {new} sources where there were {old}")
        })
        .collect();
    add(because, around, findings);
}

/// A source or a file of settings takes protection away, and did not.
pub(super) fn weakened(
    before: &Content,
    after: &Content,
    around: &Around,
    node: &Node,
    findings: &mut Findings,
) {
    let name = node.name.to_string();
    let is_settings = SETTINGS.iter().any(|ending| name.ends_with(ending));
    if !(is_run(node, after) || is_settings) || is_aside(node) || is_bundle(node) {
        return;
    }
    let new = after.weakenings.difference(&before.weakenings);
    let because: Vec<String> = new.map(|what| format!("{what}: new in this file")).collect();
    add(because, around, findings);
}

fn add(because: Vec<String>, around: &Around, findings: &mut Findings) {
    if because.is_empty() {
        return;
    }
    // What is made anew may do without.
    let severity = if is_leap(&around.releases) { Severity::Medium } else { codes::SAFEGUARD_LOST.severity };
    findings.add(&codes::Code { severity, ..codes::SAFEGUARD_LOST }, because);
}
