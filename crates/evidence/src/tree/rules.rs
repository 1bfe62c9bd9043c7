//! What rules of the user say of a member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A YARA rule that matches. Bounded by who makes it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleMatch {
    /// The rule's name.
    pub rule: String,
    /// The file that has it, below the folder of the rules.
    pub file: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// What it says of itself: `description`, `author`, `severity`, ….
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub meta: BTreeMap<String, String>,
    /// Its strings that are in the member.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub strings: Vec<MatchedString>,
}

/// A string of a rule that is in the member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchedString {
    /// Its name in the rule, with the `$`.
    pub name: String,
    /// How often it was found.
    pub count: u64,
    /// Where: the first offsets, in bytes.
    pub offsets: Vec<u64>,
    /// Length of the first match in bytes.
    pub length: u64,
    /// The first bytes of the first match, escaped to ASCII.
    pub text: String,
}
