//! What is kept of a member, and of bytes that pass.

use std::io::{self, Read};

use evidence::{Hasher, Node};

/// What an item of a list takes beside its text.
const ITEM_BYTES: usize = 64;

/// What a member takes in memory beside itself, about. Names of images are paid for when they are read.
pub(super) fn facts_bytes(node: &Node) -> u64 {
    let link = node.link.as_ref().map_or(0, |link| link.as_bytes().len());
    let owner = node.packing.as_ref().and_then(|packing| packing.owner.as_ref()).map_or(0, String::len);
    (node.name.as_bytes().len() + link + owner + 2 * ITEM_BYTES) as u64 + found_bytes(node)
}

/// What was found in the bytes of a member takes in memory, about.
pub(super) fn found_bytes(node: &Node) -> u64 {
    let mut bytes = 0;
    if let Some(content) = &node.content {
        let lists = [
            &content.hosts,
            &content.called_hosts,
            &content.code_hosts,
            &content.requirements,
            &content.capabilities,
            &content.safeguards,
            &content.weakenings,
        ];
        bytes += lists.iter().flat_map(|list| list.iter()).map(|item| item.len() + ITEM_BYTES).sum::<usize>();
        bytes += content.hooks.iter().map(|hook| hook.command.len() + ITEM_BYTES).sum::<usize>();
        bytes += content.product.as_ref().map_or(0, |product| product.name.len() + product.version.len());
        let maps = [&content.at_load, &content.entry_files];
        let pairs = maps.iter().flat_map(|map| map.iter());
        bytes += pairs.map(|(name, text)| name.len() + text.len() + ITEM_BYTES).sum::<usize>();
        bytes += content.embedded.len() * ITEM_BYTES + content.sketch.len() * 4;
    }
    for image in &node.executables {
        bytes += size_of_val(image) + image.sections.len() * 2 * ITEM_BYTES;
        bytes += image.resources.len() * 2 * ITEM_BYTES;
    }
    let texts = node.rules.iter().map(|rule| {
        let meta: usize = rule.meta.iter().map(|(name, value)| name.len() + value.len() + ITEM_BYTES).sum();
        let strings: usize = rule.strings.iter().map(|string| string.text.len() + 2 * ITEM_BYTES).sum();
        size_of_val(rule) + meta + strings + rule.tags.len() * ITEM_BYTES
    });
    bytes += texts.sum::<usize>();
    bytes as u64
}

/// A reader whose bytes are hashed as they pass.
pub(super) struct Hashed<R> {
    pub(super) reader: R,
    pub(super) hasher: Hasher,
    pub(super) bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.hasher.update(into.get(..read).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(read as u64);
        Ok(read)
    }
}
