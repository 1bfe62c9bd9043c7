//! Software components, identified by package URL (ECMA-427).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::BytePath;

/// One package that a package database vouches for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Canonical package URL with version.
    pub purl: String,
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// `deb`, `cargo`, `npm`, `pypi`: the purl type.
    pub ecosystem: String,
    /// The files that said so: a status file, a manifest.
    pub evidence: BTreeSet<BytePath>,
}

impl Component {
    /// Returns the purl without version and qualifiers: what stays the same when a package is updated.
    pub fn identity(&self) -> &str {
        let end = self.purl.find(['?', '#']).unwrap_or(self.purl.len());
        let bare = &self.purl[..end];
        // The version follows the last `@`; an `@` of a scope is percent-encoded in a canonical purl.
        bare.rfind('@').map_or(bare, |at| &bare[..at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_drops_the_version() {
        let component = Component {
            purl: "pkg:npm/%40babel/core@7.0.0?arch=x".into(),
            name: "core".into(),
            version: "7.0.0".into(),
            ecosystem: "npm".into(),
            evidence: BTreeSet::new(),
        };
        assert_eq!(component.identity(), "pkg:npm/%40babel/core");
    }
}
