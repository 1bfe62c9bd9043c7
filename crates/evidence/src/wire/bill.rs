//! What the written forms of a bill of materials share: references, a name for the document, what a form cannot hold.

use std::io::{self, Write};

use crate::bom::{Bom, Package};
use crate::{Digest, Hasher, Timestamp};

/// How a bill is to be written.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// The time to write. Without one, the bill's own is taken, if it was read from a document; else the form's field is left
    /// out, or, where the form demands one, holds the beginning of time. The same input has the same bytes.
    pub timestamp: Option<Timestamp>,
    /// The version of this program.
    pub tool_version: String,
}

/// What the form cannot hold, or holds only as text that no other reader understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// Of how many packages or relations.
    pub count: u64,
    /// What, for people.
    pub what: &'static str,
}

/// A form of a bill of materials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// CycloneDX 1.6 JSON (ECMA-424).
    CycloneDx,
    /// SPDX 2.3 JSON.
    Spdx2,
    /// SPDX 3.0.1 JSON-LD.
    Spdx3,
}

/// Writes a bill. Its packages must be in order ([`Bom::arrange`]).
pub fn write(bom: &Bom, form: Form, style: &Style, out: &mut dyn Write) -> io::Result<Vec<Loss>> {
    match form {
        Form::CycloneDx => super::cyclonedx::write(bom, style, out),
        Form::Spdx2 => super::spdx::write(bom, style, out),
        Form::Spdx3 => super::spdx3::write(bom, style, out),
    }
}

impl Style {
    /// The time as text, if there is one.
    pub(super) fn time(&self, bom: &Bom) -> Option<String> {
        match &self.timestamp {
            Some(time) => Some(time.to_string()),
            None => bom.made.clone(),
        }
    }
}

/// Names the content of a bill: a digest over all of it, whatever the form.
pub(super) fn digest(bom: &Bom) -> Digest {
    let mut hasher = Hasher::new();
    let mut part = |text: &[u8]| {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    for package in std::iter::once(&bom.subject).chain(&bom.packages) {
        part(package.purl.as_deref().unwrap_or_default().as_bytes());
        part(package.namespace.as_bytes());
        part(package.name.as_bytes());
        part(package.version.as_bytes());
        part(&[package.kind as u8, package.state as u8, package.place as u8]);
        for hash in &package.hashes {
            part(hash.hex().as_bytes());
        }
        for evidence in &package.evidence {
            part(evidence.path.as_bytes());
        }
    }
    for (from, to) in &bom.relations {
        part(&from.to_be_bytes());
        part(&to.to_be_bytes());
    }
    for place in &bom.direct {
        part(&place.to_be_bytes());
    }
    hasher.finish()
}

/// The reference of a package within its document: its purl, else what it is called with its place.
pub(super) fn reference(package: &Package, place: usize) -> String {
    match package.purl.as_deref() {
        Some(purl) => purl.to_owned(),
        None => format!("{}:{}@{}#{place}", package.kind.word(), package.full_name(), package.version),
    }
}

/// Groups sorted relations by their first side.
pub(super) fn grouped(relations: &[(u32, u32)]) -> impl Iterator<Item = (u32, &[(u32, u32)])> {
    relations.chunk_by(|a, b| a.0 == b.0).filter_map(|group| Some((group.first()?.0, group)))
}

/// Separates the elements of a list.
pub(super) struct Comma(bool);

impl Comma {
    pub(super) fn new() -> Self {
        Self(false)
    }

    /// Writes what stands before the next element: each on a line of its own.
    pub(super) fn before(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let separator: &[u8] = if self.0 { b",\n" } else { b"\n" };
        self.0 = true;
        out.write_all(separator)
    }
}

/// Removes control characters: some readers refuse them, and they name nothing.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Lists what both SPDX forms keep only as text; `evidence` says where that of packages goes.
pub(super) fn kept_as_text(bom: &Bom, evidence: &'static str) -> Vec<Loss> {
    let count = |what: fn(&Package) -> bool| bom.packages.iter().filter(|package| what(package)).count();
    let mut losses = Vec::new();
    lose(&mut losses, count(|package| !package.evidence.is_empty()), evidence);
    let properties = count(|package| !package.properties.is_empty());
    lose(&mut losses, properties, "packages whose properties are text in `comment`");
    losses
}

/// Adds a loss if it has happened.
pub(super) fn lose(losses: &mut Vec<Loss>, count: usize, what: &'static str) {
    if count > 0 {
        losses.push(Loss { count: count as u64, what });
    }
}
