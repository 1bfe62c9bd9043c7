//! Signatures that are about more than the bytes that hold them.

use evidence::tree::CodeSignature;
use evidence::{BytePath, Node};

use super::Inspection;
use crate::budget::Exhausted;
use crate::executable;

impl Inspection<'_> {
    /// Reads a Windows catalog, and keeps what it lists for its siblings.
    pub(super) fn signed_list(&mut self, node: &mut Node, path: &BytePath, bytes: &[u8]) {
        match executable::Catalog::read(bytes, &self.trusted) {
            Some(list) => {
                node.signature = Some(Box::new(list.facts()));
                if !self.siblings.catalog(&node.name, list, bytes.len()) {
                    self.exhausted(path, Exhausted("more catalogs than are kept"));
                }
            }
            None if bytes.len() > executable::CATALOG_MAX_BYTES => {
                self.exhausted(path, Exhausted("a catalog larger than is read"));
            }
            None => self.problem(path, "malformed-catalog", "it is no signed list"),
        }
    }
}

/// A package that is signed in the way of Java archives as well: each reader of it believes one of the two.
pub(super) fn both_schemes(mut package: CodeSignature, archive: &CodeSignature) -> CodeSignature {
    let worse = |one: Option<bool>, other: Option<bool>| if other == Some(false) { other } else { one };
    package.digest_matches = worse(package.digest_matches, archive.digest_matches);
    package.signature_valid = worse(package.signature_valid, archive.signature_valid);
    package.missing_schemes.extend(archive.missing_schemes.iter().cloned());
    package.flags.extend(archive.flags.iter().cloned());
    let there = &package.flags;
    package.missing_schemes.retain(|scheme| !there.contains(scheme));
    package
}
