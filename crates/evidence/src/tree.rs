//! What an inspection found in a file or folder: a tree of members with their format facts.
//!
//! Facts are measurements only. What they mean is for `judge` to say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{BytePath, Digest, Problem};

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
    /// Facts of an executable format. A universal binary has one entry per slice.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub executables: Vec<Executable>,
    /// Members, sorted by name (and, for equal names, in the container's order).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub members: Vec<Node>,
}

/// Facts about a PE, ELF or Mach-O image.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executable {
    /// `x86_64`, `aarch64`, `i386`, ….
    pub machine: String,
    /// `executable`, `library`, `object`, `driver`.
    pub kind: String,
    /// Sections in file order.
    pub sections: Vec<Section>,
    /// Libraries this loads: PE import DLLs, ELF `DT_NEEDED`, Mach-O `LC_LOAD_DYLIB`.
    pub libraries: BTreeSet<String>,
    /// Imported symbols; `library!symbol` for PE, the symbol for ELF and Mach-O.
    pub imports: BTreeSet<String>,
    /// Exported symbols.
    pub exports: BTreeSet<String>,
    /// PE `FileVersion`, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// ELF build id, PE PDB id, Mach-O UUID; hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build_id: Option<String>,
    /// ELF `PT_INTERP`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interpreter: Option<String>,
    /// `DT_RPATH`, `DT_RUNPATH`, `LC_RPATH`.
    pub search_paths: BTreeSet<String>,
    /// Hardening present: `aslr`, `nx`, `cfg`, `relro`, `bind-now`, `pie`, `high-entropy-va`, ….
    pub mitigations: BTreeSet<String>,
    /// Bytes after the last section that no header accounts for (the certificate table not counted).
    pub overlay_bytes: u64,
    /// Embedded code signature, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<CodeSignature>,
}

/// One section of an executable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its name, as far as it is text.
    pub name: String,
    /// Bytes in the file.
    pub size: u64,
    /// Digest of those bytes.
    pub digest: Digest,
    /// Shannon entropy in thousandths of a bit per byte, 0 to 8000.
    pub entropy_millibits: u32,
    /// Mapped writable.
    pub writable: bool,
    /// Mapped executable.
    pub executable: bool,
}

/// What a code signature block holds. Facts about the bytes; whether the signer is trusted is not asked here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSignature {
    /// `authenticode` or `apple`.
    pub kind: String,
    /// Whether the signed digest equals the digest recomputed over the image; absent if it could not be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest_matches: Option<bool>,
    /// The recomputed image digest (Authenticode), hexadecimal with its algorithm: `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image_digest: Option<String>,
    /// The signer certificate's common name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<String>,
    /// The signer certificate's organisation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organisation: Option<String>,
    /// Size of the whole certificate table in bytes.
    pub table_bytes: u64,
    /// Size of the PKCS#7 structure in bytes.
    pub signature_bytes: u64,
    /// Number of `WIN_CERTIFICATE` entries.
    pub entries: u32,
    /// Bytes after the PKCS#7 inside the table (padding up to 7 zero bytes is normal).
    pub trailing_bytes: u64,
    /// Whether any of those bytes is not zero.
    pub trailing_nonzero: bool,
    /// Entropy of those bytes in thousandths of a bit per byte.
    pub trailing_entropy_millibits: u32,
    /// Bytes of the file after the certificate table.
    pub bytes_after_table: u64,
    /// Unsigned attribute types that no honest signer uses (dotted OIDs).
    pub unknown_attributes: BTreeSet<String>,
    /// Size of the largest certificate in bytes.
    pub largest_certificate_bytes: u64,
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
            executables: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Visits this node and all below it, parents first, with their paths (`outer!inner`, `folder/file`).
    ///
    /// Iterative: an enemy's nesting must not become our stack.
    pub fn walk(&self, mut visit: impl FnMut(&BytePath, &Node)) {
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
