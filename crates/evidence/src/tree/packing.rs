//! What a container says of a member beside its name, mode and content: what a second build changes without meaning to.

use serde::{Deserialize, Serialize};

/// How a container writes a member.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Packing {
    /// When the member was last modified, in seconds since 1970. zip has local time: it is taken for UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
    /// Whose it is: `uid:gid`, and the names where there are any, as `uid:gid user:group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
