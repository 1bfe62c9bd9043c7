//! asar, the archive of Electron applications: a JSON directory in two Chromium pickles, then the contents. Each content
//! is compared with the hashes of its `integrity` record, which Electron itself checks only if a fuse is set.

use std::rc::Rc;

use evidence::{BytePath, Digest};
use serde_json::{Map, Value};

use super::Container;
use crate::bytes::{between, le32, slice};

const JSON_START: u64 = 16;
/// A directory of a million files.
const JSON_MAX_BYTES: u32 = 256 << 20;

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let Some((directory, data_start)) = directory(bytes) else {
        return container.malformed("the directory cannot be read");
    };
    // The nesting of the JSON is limited by its parser, and so is the depth of folders.
    let root: Value = match serde_json::from_slice(directory) {
        Ok(root) => root,
        Err(error) => return container.malformed(error),
    };
    // Paths are joined when their turn comes: the names of folders may be long, and their files many.
    let mut stack = vec![(Rc::new(Vec::new()), "", &root)];
    let mut ranges = Vec::new();
    while let Some((folder, name, node)) = stack.pop() {
        let separator = if folder.is_empty() { &b""[..] } else { b"/" };
        let path = [folder.as_slice(), separator, name.as_bytes()].concat();
        let Some(node) = node.as_object() else {
            container.malformed_member(&BytePath::new(path), "its entry is not an object");
            continue;
        };
        let Some(files) = node.get("files") else {
            if !container.admit() {
                return;
            }
            file(container, &mut ranges, BytePath::new(path), node, bytes, data_start);
            continue;
        };
        let Some(files) = files.as_object() else {
            container.malformed_member(&BytePath::new(path), "its `files` are not an object");
            continue;
        };
        let path = Rc::new(path);
        stack.extend(files.iter().map(|(name, child)| (Rc::clone(&path), name.as_str(), child)));
    }
    let start = usize::try_from(data_start).unwrap_or(usize::MAX);
    let unlisted = between(bytes, &mut ranges, start, bytes.len());
    container.unlisted(unlisted);
}

/// Reads the lengths in front: a pickle of one number, and a pickle of one text with its length.
fn directory(bytes: &[u8]) -> Option<(&[u8], u64)> {
    let (pickle, json) = (le32(bytes, 4)?, le32(bytes, 12)?);
    if json > JSON_MAX_BYTES {
        return None;
    }
    let data_start = 8 + u64::from(pickle);
    let directory = slice(bytes, JSON_START, u64::from(json))?;
    (JSON_START + u64::from(json) <= data_start).then_some((directory, data_start))
}

fn file(
    container: &mut Container,
    ranges: &mut Vec<(usize, usize)>,
    name: BytePath,
    entry: &Map<String, Value>,
    bytes: &[u8],
    data_start: u64,
) {
    if let Some(target) = entry.get("link").and_then(Value::as_str) {
        container.leaf(name, "symlink", Some(target.into()));
        return;
    }
    let Some(size) = entry.get("size").and_then(Value::as_u64) else {
        return container.malformed_member(&name, "it has no size");
    };
    if entry.get("unpacked") == Some(&Value::Bool(true)) {
        // It lies in the folder `NAME.asar.unpacked`, and is read there.
        let member = container.leaf(name, "unpacked", None);
        (member.digest, member.size) = (None, size);
        return;
    }
    let content =
        entry.get("offset").and_then(Value::as_str).and_then(|offset| offset.parse::<u64>().ok()).and_then(
            |offset| {
                Some((offset.checked_add(data_start)?, slice(bytes, offset.checked_add(data_start)?, size)?))
            },
        );
    let Some((start, content)) = content else {
        return container.malformed_member(&name, "its content lies outside the archive");
    };
    // Inside the bytes, so that both ends fit.
    ranges.push((start as usize, start as usize + content.len()));
    if let Some(integrity) = entry.get("integrity")
        && let Err(detail) = check(integrity, content)
    {
        container.member_problem(&name, "asar-integrity", detail);
    }
    let executable = entry.get("executable") == Some(&Value::Bool(true));
    let member = container.bytes(name, content);
    member.mode = executable.then_some(0o755);
}

/// Compares a content with the hash of the whole and the hashes of its blocks.
fn check(integrity: &Value, content: &[u8]) -> Result<(), &'static str> {
    if integrity.get("algorithm").and_then(Value::as_str) != Some("SHA256") {
        return Err("its hash is not of a known algorithm");
    }
    let same = |claimed: &Value, content: &[u8]| {
        claimed.as_str().is_some_and(|hex| hex == Digest::of(content).hex())
    };
    if !integrity.get("hash").is_some_and(|hash| same(hash, content)) {
        return Err("its hash is not the one in the directory");
    }
    let (Some(block_bytes), Some(blocks)) = (
        integrity.get("blockSize").and_then(Value::as_u64).filter(|size| *size > 0),
        integrity.get("blocks").and_then(Value::as_array),
    ) else {
        return Err("it has no hashes of blocks");
    };
    let block_bytes = usize::try_from(block_bytes).unwrap_or(usize::MAX);
    // An empty file has one block, the hash of nothing.
    let expected = content.len().div_ceil(block_bytes).max(1);
    if blocks.len() != expected && !(content.is_empty() && blocks.is_empty()) {
        return Err("the number of its blocks is not that of its size");
    }
    let whole = [content];
    let pieces: Vec<&[u8]> =
        if content.is_empty() { whole.to_vec() } else { content.chunks(block_bytes).collect() };
    if blocks.iter().zip(pieces).all(|(claimed, piece)| same(claimed, piece)) {
        Ok(())
    } else {
        Err("the hash of a block is not the one in the directory")
    }
}
