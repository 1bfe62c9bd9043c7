//! Package URLs (ECMA-427) of what documents state, in the canonical form of each type.

use evidence::purl::{Parts, Purl};

use super::found::Stated;

/// Writes the purl of a package; `None` where its ecosystem has none, or where the parts make none.
pub(super) fn purl(stated: &Stated) -> Option<String> {
    if stated.ecosystem.is_empty() {
        return None;
    }
    let qualifiers = stated.qualifiers.iter().filter(|(_, value)| !value.is_empty());
    let parts = Parts {
        kind: stated.ecosystem.to_string(),
        namespace: stated.namespace.clone(),
        name: stated.name.clone(),
        version: stated.version.clone(),
        qualifiers: qualifiers.map(|(key, value)| (key.to_string(), value.clone())).collect(),
        subpath: String::new(),
    };
    // Databases have packages without the name space that the type demands: the standard library of Go, a system of no name.
    Purl::build_lenient(parts).ok().map(|purl| purl.to_string())
}
