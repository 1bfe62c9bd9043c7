//! asar, the archive of Electron applications: a JSON directory in two Chromium pickles, then the contents. Each content
//! is compared with the hashes of its `integrity` record, which Electron itself checks only if a fuse is set.

use std::io::{self, Read, Write};
use std::rc::Rc;

use evidence::{BytePath, Digest, Hasher};
use serde_json::{Map, Value};

use super::Container;
use crate::budget::Exhausted;
use crate::bytes::le32;
use crate::source::Source;

const JSON_START: u64 = 16;
/// A directory of a million files.
const JSON_MAX_BYTES: u32 = 256 << 20;
/// The parsed text needs so many times its size.
const JSON_HELD_TIMES: u64 = 6;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let mut hold = container.inspection.room.hold();
    let Some((json, data_start)) = directory(source)? else {
        return Err(io::Error::other("the directory cannot be read"));
    };
    if !container.inspection.grow(&mut hold, u64::from(json).saturating_mul(JSON_HELD_TIMES)) {
        return Err(io::Error::other(Exhausted("its directory is too large")));
    }
    let Some(directory) = source.exactly(JSON_START, json as usize)? else {
        return Err(io::Error::other("the directory cannot be read"));
    };
    // The nesting of the JSON is limited by its parser, and so is the depth of folders.
    let root: Value = serde_json::from_slice(&directory)?;
    drop(directory);
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
                return Ok(());
            }
            let path = BytePath::new(path);
            if let Err(error) = file(container, &mut ranges, path.clone(), node, source, data_start) {
                container.failed_member(&path, &error);
            }
            continue;
        };
        let Some(files) = files.as_object() else {
            container.malformed_member(&BytePath::new(path), "its `files` are not an object");
            continue;
        };
        let path = Rc::new(path);
        stack.extend(files.iter().map(|(name, child)| (Rc::clone(&path), name.as_str(), child)));
    }
    container.gaps(source, ranges, data_start, source.length().unwrap_or(data_start))
}

/// Reads the lengths in front: a pickle of one number, and a pickle of one text with its length.
fn directory(source: &Source) -> io::Result<Option<(u32, u64)>> {
    let head = source.some(0, JSON_START as usize)?;
    let (Some(pickle), Some(json)) = (le32(&head, 4), le32(&head, 12)) else { return Ok(None) };
    let data_start = 8 + u64::from(pickle);
    let fits = json <= JSON_MAX_BYTES && JSON_START + u64::from(json) <= data_start;
    Ok(fits.then_some((json, data_start)))
}

fn file(
    container: &mut Container,
    ranges: &mut Vec<(u64, u64)>,
    name: BytePath,
    entry: &Map<String, Value>,
    source: &Source,
    data_start: u64,
) -> io::Result<()> {
    if let Some(target) = entry.get("link").and_then(Value::as_str) {
        container.leaf(name, "symlink", Some(target.into()));
        return Ok(());
    }
    let Some(size) = entry.get("size").and_then(Value::as_u64) else {
        return Err(io::Error::other("it has no size"));
    };
    if entry.get("unpacked") == Some(&Value::Bool(true)) {
        // It lies in the folder `NAME.asar.unpacked`, and is read there.
        let member = container.leaf(name, "unpacked", None);
        (member.digest, member.size) = (None, size);
        return Ok(());
    }
    let offset = entry.get("offset").and_then(Value::as_str).and_then(|offset| offset.parse::<u64>().ok());
    let start = offset.and_then(|offset| offset.checked_add(data_start));
    let content = start.and_then(|start| Some((start, source.part(start, size)?)));
    let Some((start, content)) = content else {
        return Err(io::Error::other("its content lies outside the archive"));
    };
    // Inside the archive, so that both ends fit.
    ranges.push((start, start + size));
    if let Some(integrity) = entry.get("integrity")
        && let Err(detail) = check(integrity, &content)?
    {
        container.member_problem(&name, "asar-integrity", detail);
    }
    let executable = entry.get("executable") == Some(&Value::Bool(true));
    container.stored(name, &content)?.mode = executable.then_some(0o755);
    Ok(())
}

/// Compares a content with the hash of the whole and the hashes of its blocks.
fn check(integrity: &Value, content: &Source) -> io::Result<Result<(), &'static str>> {
    if integrity.get("algorithm").and_then(Value::as_str) != Some("SHA256") {
        return Ok(Err("its hash is not of a known algorithm"));
    }
    let same = |claimed: &Value, digest: Digest| claimed.as_str().is_some_and(|hex| hex == digest.hex());
    let size = content.length().unwrap_or(0);
    let block_bytes = integrity.get("blockSize").and_then(Value::as_u64).filter(|size| *size > 0);
    let blocks = integrity.get("blocks").and_then(Value::as_array);
    let (mut whole, mut reader) = (Hasher::new(), content.reader());
    let (mut found, mut left) = (Vec::new(), size);
    // An empty file has one block, the hash of nothing.
    while left > 0 || found.is_empty() {
        let length = block_bytes.unwrap_or(u64::MAX).min(left);
        let mut block = Both { whole: &mut whole, block: Hasher::new() };
        io::copy(&mut reader.by_ref().take(length), &mut block)?;
        found.push(block.block.finish());
        left -= length;
        // More blocks than there are to compare with need no hashing one by one.
        if found.len() > blocks.map_or(0, Vec::len) {
            io::copy(&mut reader, &mut Both { whole: &mut whole, block: Hasher::new() })?;
            break;
        }
    }
    if !integrity.get("hash").is_some_and(|hash| same(hash, whole.finish())) {
        return Ok(Err("its hash is not the one in the directory"));
    }
    let (Some(block_bytes), Some(blocks)) = (block_bytes, blocks) else {
        return Ok(Err("it has no hashes of blocks"));
    };
    let expected = size.div_ceil(block_bytes).max(1);
    if blocks.len() as u64 != expected && !(size == 0 && blocks.is_empty()) {
        return Ok(Err("the number of its blocks is not that of its size"));
    }
    if blocks.iter().zip(found).all(|(claimed, digest)| same(claimed, digest)) {
        Ok(Ok(()))
    } else {
        Ok(Err("the hash of a block is not the one in the directory"))
    }
}

/// Hashes the whole and one block at a time.
struct Both<'a> {
    whole: &'a mut Hasher,
    block: Hasher,
}

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.whole.update(bytes);
        self.block.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
