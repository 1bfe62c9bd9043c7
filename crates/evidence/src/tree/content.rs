//! What the bytes of a member show, whatever its format. Bounded: no list has more than [`Content::LIST_MAX`] items.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Hook;

/// Facts about the bytes of one member.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// What the bytes are, in one word: `text`, `script`, `png`, `json`, `pyc`, `wasm`, `class`, …; empty if nothing says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The kind that the name claims, where the bytes are another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// The interpreter that the first line names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Executables and archives inside, in file order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub embedded: Vec<Embedded>,
    /// Windows of 64 KiB with more than 7.97 bits of entropy a byte.
    #[serde(skip_serializing_if = "is_zero")]
    pub random_windows: u64,
    /// Runs of at least 512 characters of base64 or hexadecimal.
    #[serde(skip_serializing_if = "is_zero")]
    pub encoded_strings: u64,
    /// Length of the longest of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub longest_encoded: u64,
    /// Length of the longest line of a text, in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub longest_line: u64,
    /// Of a text: the smallest hashes of its lines, in order. Texts that share lines share these (bottom-k sketch; Cohen and Kaplan,
    /// 2007).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sketch: Vec<u32>,
    /// Hosts that the bytes name: of URLs, domains by their top level, IPv4 addresses.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// Whether there were more hosts than are listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_hosts: bool,
    /// Those of them that code names, outside of comments, where it calls somebody.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub called_hosts: BTreeSet<String>,
    /// Those of them that other code names, outside of comments.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub code_hosts: BTreeSet<String>,
    /// Bidirectional control characters in a text (U+202A–202E, U+2066–2069).
    #[serde(skip_serializing_if = "is_zero")]
    pub bidirectional: u64,
    /// Invisible characters in a text: zero-width, tags, supplementary variation selectors.
    #[serde(skip_serializing_if = "is_zero")]
    pub invisible: u64,
    /// Words of a text that mix Latin letters with Cyrillic ones that look the same.
    #[serde(skip_serializing_if = "is_zero")]
    pub lookalikes: u64,
    /// Lines of a text in which something stands far to the right, behind more blanks than a screen has columns.
    #[serde(skip_serializing_if = "is_zero")]
    pub far_right: u64,
    /// Bytes behind the end that the file's own format states: of pictures and fonts.
    #[serde(skip_serializing_if = "is_zero")]
    pub appended_bytes: u64,
    /// What runs when the package is installed or its runtime starts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hooks: BTreeSet<Hook>,
    /// What a source does as soon as somebody loads it: of each family the first line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub at_load: BTreeMap<String, String>,
    /// Files that a package begins with, by what names them: `main`, `bin NAME`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub entry_files: BTreeMap<String, String>,
    /// Which product a manifest says that this is, and which release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Names of the packages that a package asks for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub requirements: BTreeSet<String>,
    /// Bytecode that was not compiled from the source beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// What in a source protects: random numbers that nobody guesses, comparisons in constant time.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub safeguards: BTreeSet<String>,
    /// What in a text takes protection away: certificates that are not checked, data that is loaded as code.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub weakenings: BTreeSet<String>,
    /// What it can do: families of the capability table, as `family/rule`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<String>,
}

impl Content {
    /// No list of a member has more items.
    pub const LIST_MAX: usize = 64;
    /// A sketch has so many hashes.
    pub const SKETCH_MAX: usize = 16;
}

/// What a manifest calls its product.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// As the manifest writes it.
    pub name: String,
    /// The release.
    pub version: String,
}

/// An executable or archive inside other data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// `pe`, `elf`, `macho`, `zip`, `7z`, `cab`, ….
    pub kind: String,
    /// Offset in the member.
    pub offset: u64,
}

/// How bytecode differs from the source beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stale {
    /// The source member.
    pub source: String,
    /// What does not fit, in words.
    pub reason: String,
    /// Whether nothing runs it as it is: a Python that finds other sizes compiles again, a list of tags is no code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
