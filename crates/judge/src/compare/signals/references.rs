//! The rule about what a .NET program refers to for the first time: the net, other programs, code that it makes of bytes.

use std::collections::BTreeSet;

use evidence::tree::Executable;
use evidence::{Severity, references};

use super::{Around, Findings};
use crate::codes;

/// The families of members to which an image refers ([`evidence::references`]).
pub(super) fn families(image: &Executable) -> impl Iterator<Item = &'static str> {
    image.references.iter().filter_map(|reference| references::family(reference))
}

/// Names the references of a family that no image of the old release had.
pub(super) fn judge(before: &Executable, after: &Executable, around: &Around, findings: &mut Findings) {
    if before.managed.is_none() {
        return;
    }
    let known: BTreeSet<&str> = families(before).chain(around.references.iter().copied()).collect();
    let new = after.references.iter().filter_map(|reference| {
        let family = references::family(reference).filter(|family| !known.contains(family))?;
        Some(format!("it {family} now: `{reference}`"))
    });
    let because: Vec<String> = super::super::examples(new);
    if !because.is_empty() {
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
}
