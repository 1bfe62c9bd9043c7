//! What an inspection found in a file or folder: a tree of members with their format facts.
//!
//! Facts are measurements only. What they mean is for `judge` to say.

mod content;
mod contrast;
mod executable;
mod hook;
mod packing;
mod rules;
mod signature;

use serde::{Deserialize, Serialize};

use crate::{BytePath, Digest, Problem};

pub use content::{Content, Embedded, Product, Stale};
pub use contrast::{Contrast, Region, Stretch};
pub use executable::{Entry, Executable, Resource, Section};
pub use hook::{Hook, NoHook, Place};
pub use packing::Packing;
pub use rules::{MatchedString, RuleMatch};
pub use signature::{CodeSignature, Uncovered};

/// The result of inspecting one artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// The artifact itself.
    pub root: Node,
    /// What could not be read, anywhere below.
    pub problems: Vec<Problem>,
}

/// One file, folder or member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The member's name as its container writes it; for the root, the name it was opened by.
    pub name: BytePath,
    /// What it is, in one word: `folder`, `zip`, `tar`, `gzip`, `pe`, `elf`, `macho`, `symlink`, `data`, ….
    pub format: String,
    /// Digest of the content. A folder has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
    /// Size of the content in bytes.
    pub size: u64,
    /// Unix permission bits, where the container has them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<u32>,
    /// Target of a link, where this is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub link: Option<BytePath>,
    /// How the container writes it, beside its content.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub packing: Option<Packing>,
    /// Digest of the members' names in the container's order, where there are two or more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<Digest>,
    /// The signature of a container: an installer database, a Java archive.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Box<CodeSignature>>,
    /// Facts of an executable format. A universal binary has one entry per slice.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub executables: Vec<Executable>,
    /// What its bytes show, whatever the format. Absent if there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<Content>,
    /// The rules of the user that match its bytes, where some were given.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rules: Vec<RuleMatch>,
    /// Members, sorted by name (and, for equal names, in the container's order).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub members: Vec<Node>,
}

impl Node {
    /// Makes a leaf of the given format.
    pub fn leaf(name: BytePath, format: &str, digest: Digest, size: u64) -> Self {
        Self {
            name,
            format: format.to_owned(),
            digest: Some(digest),
            size,
            mode: None,
            link: None,
            packing: None,
            order: None,
            signature: None,
            executables: Vec::new(),
            content: None,
            rules: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Visits this node and all below it, parents first, with their paths (`outer!inner`, `folder/file`).
    ///
    /// Iterative: an enemy's nesting must not become our stack.
    pub fn walk<'a>(&'a self, mut visit: impl FnMut(&BytePath, &'a Self)) {
        let mut stack = vec![(self.name.clone(), self)];
        while let Some((path, node)) = stack.pop() {
            visit(&path, node);
            for member in node.members.iter().rev() {
                stack.push((node.join(&path, &member.name), member));
            }
        }
    }

    /// Writes the path of a member of this node, which itself stands at `path`.
    pub fn join(&self, path: &BytePath, member: &BytePath) -> BytePath {
        let separator = if self.format == "folder" { b'/' } else { b'!' };
        let mut joined = path.as_bytes().to_vec();
        joined.push(separator);
        joined.extend_from_slice(member.as_bytes());
        BytePath::new(joined)
    }
}
