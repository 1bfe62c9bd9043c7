//! A product that is followed by its bill of materials: which packages shipped in which release of it.

use serde::{Deserialize, Serialize};

use crate::{Digest, Timestamp};

/// A product's release and the packages in it. Each names the one before it, so that the newest leads to all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// `urn:countersign:followed:v1`.
    pub schema: String,
    /// The product.
    pub product: String,
    /// Its release; empty if nobody says.
    pub release: String,
    /// When the bill was made, as it says itself; else when it was taken in.
    pub made: Timestamp,
    /// When it was taken in.
    pub added: Timestamp,
    /// SHA-256 of the bill as it was given.
    pub bill: Digest,
    /// A list of package URLs, sorted, each once, one a line.
    pub packages: Digest,
    /// How many there are.
    pub count: u64,
    /// The one that was taken in before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
}
