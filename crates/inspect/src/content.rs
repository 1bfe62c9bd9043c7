//! What the bytes of a member show, whatever its format: type, encoded and random parts, hosts, hidden characters,
//! hooks, capabilities. Linear in the size, and every list has a bound.
//!
//! Facts only: an address in a manual and one in a library read alike here; `judge` tells them apart.

mod bytecode;
mod capabilities;
mod hooks;
mod hosts;
mod kinds;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod vouch;

use std::collections::BTreeSet;

use evidence::tree::Content;
use evidence::{BytePath, Node};

use crate::format::Format;

pub(crate) use bytecode::Siblings;

/// Reads the facts of a member that is no container, whose format facts are in the node already.
pub(crate) fn read(node: &Node, format: Format, bytes: &[u8]) -> Option<Content> {
    let kind = kinds::of_bytes(format, bytes);
    let mut content = Content {
        kind: kind.to_owned(),
        claims: kinds::claimed(&node.name, kind).map(str::to_owned),
        ..Content::default()
    };
    let is_text = kinds::is_text(kind);
    if is_text {
        text::read(bytes, &mut content);
    }
    if !kinds::is_compressed(kind) {
        content.random_windows = scan::random_windows(bytes);
        (content.encoded_strings, content.longest_encoded) = scan::encoded(bytes);
        hosts::read(bytes, &mut content);
        let mut found = capabilities::of_imports(&node.executables);
        scan::literals(bytes, is_text, &mut content.embedded, &mut found);
        content.capabilities = capabilities::fulfilled(&found);
    }
    hooks::read(&node.name, bytes, &mut content.hooks);
    (content != Content::default()).then_some(content)
}

/// Keeps a list within its bound: what is first in order stays.
fn bound(list: &mut BTreeSet<String>) -> bool {
    let more = list.len() > Content::LIST_MAX;
    while list.len() > Content::LIST_MAX {
        list.pop_last();
    }
    more
}

/// The last part of a path.
fn base(name: &BytePath) -> &[u8] {
    let bytes = name.as_bytes();
    bytes.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(bytes)
}
