//! What the bytes of a member show, whatever its format: type, encoded and random parts, hosts, hidden characters,
//! hooks, capabilities. Linear in the size, and every list has a bound.
//!
//! Facts only: an address in a manual and one in a library read alike here; `judge` tells them apart.

mod addresses;
mod asked;
mod bytecode;
mod capabilities;
mod ends;
mod hooks;
mod hosts;
mod kinds;
mod listed;
mod loaded;
mod pieces;
mod product;
mod scan;
mod sums;
#[cfg(test)]
mod tests;
mod text;
mod tricks;
mod vouch;

use std::collections::BTreeSet;

use evidence::tree::Content;
use evidence::{BytePath, Node};

use crate::format::Format;

pub(crate) use bytecode::Siblings;
pub(crate) use sums::Sums;

/// Reads the facts of a member that is no container, whose format facts are in the node already.
pub(crate) fn read(node: &Node, format: Format, bytes: &[u8]) -> Option<Content> {
    let mut reading = Reading::begin(&node.name, format, bytes);
    reading.found = capabilities::of_imports(&node.executables);
    reading.random(bytes);
    reading.window(bytes, 0, 0);
    reading.end()
}

/// The facts of a member while it is read, whole or in windows.
pub(crate) struct Reading<'a> {
    name: &'a BytePath,
    content: Content,
    found: capabilities::Found,
    tricks: BTreeSet<String>,
    is_text: bool,
    is_compressed: bool,
    is_pickle: bool,
}

impl<'a> Reading<'a> {
    /// Begins with the first bytes.
    pub(crate) fn begin(name: &'a BytePath, format: Format, start: &[u8]) -> Self {
        let kind = kinds::of_bytes(format, start);
        let claims = kinds::claimed(name, kind).map(str::to_owned);
        Self {
            name,
            content: Content { kind: kind.to_owned(), claims, ..Content::default() },
            found: capabilities::Found::default(),
            tricks: BTreeSet::new(),
            is_pickle: format == Format::Data && tricks::may_be_pickle(start),
            is_text: kinds::is_text(kind),
            is_compressed: kinds::is_compressed(kind),
        }
    }

    /// Looks for random parts. What is given begins at a multiple of 64 KiB, as does what is given next.
    pub(crate) fn random(&mut self, bytes: &[u8]) {
        if !self.is_compressed {
            self.content.random_windows += scan::random_windows(bytes);
        }
    }

    /// Looks at a window that begins at `offset` in the member; its first `known` bytes were looked at already. Windows are cut
    /// where texts end, so that no text lies in two.
    pub(crate) fn window(&mut self, window: &[u8], known: usize, offset: u64) {
        let bytes = window.get(known..).unwrap_or_default();
        let is_first = offset == 0 && known == 0;
        if self.is_text {
            text::read(bytes, is_first, &mut self.content);
            tricks::read(bytes, &mut self.tricks);
        }
        if self.is_pickle {
            tricks::pickle(bytes, &mut self.tricks);
        }
        if !self.is_compressed {
            let (count, longest) = scan::encoded(bytes);
            self.content.encoded_strings += count;
            self.content.longest_encoded = self.content.longest_encoded.max(longest);
            hosts::read(bytes, &mut self.content);
            scan::literals(window, known, offset, self.is_text, &mut self.content.embedded, &mut self.found);
        } else {
            // Programs stand behind pictures and fonts as well; what looks like an archive there may be chance.
            let mut found = Vec::new();
            scan::programs(window, known, offset, &mut found);
            self.content.embedded.extend(found);
            if is_first {
                self.content.appended_bytes = ends::appended(bytes, &self.content.kind);
            }
        }
        hooks::read(self.name, bytes, &mut self.content);
        if is_first {
            self.content.product = product::read(self.name, bytes);
        }
        if self.is_text {
            loaded::read(self.name, bytes, &mut self.content);
            addresses::read(self.name, bytes, &mut self.content);
        }
    }

    pub(crate) fn end(mut self) -> Option<Content> {
        if !self.is_compressed {
            self.content.capabilities = capabilities::fulfilled(&self.found);
        }
        self.content.capabilities.append(&mut self.tricks);
        let [guards, weakens] = capabilities::SAFEGUARDS.map(|family| {
            let found =
                self.content.capabilities.extract_if(family.to_owned().., |name| name.starts_with(family));
            found.map(|name| name[family.len()..].to_owned()).collect()
        });
        (self.content.safeguards, self.content.weakenings) = (guards, weakens);
        if self.content.kind == "class" {
            addresses::of_class(&mut self.content);
        }
        (self.content != Content::default()).then_some(self.content)
    }
}

/// Names the kind of bytes that have no name of their own; empty if nothing tells.
pub(crate) fn kind(bytes: &[u8]) -> &'static str {
    kinds::of_bytes(crate::format::format(bytes), bytes)
}

/// As much of a text as a fact keeps, without control characters.
fn short(text: &str) -> String {
    const TEXT_MAX: usize = 200;
    text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}

/// Keeps a list within its bound: what is first in order stays.
fn bound<T: Ord>(list: &mut BTreeSet<T>) -> bool {
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
