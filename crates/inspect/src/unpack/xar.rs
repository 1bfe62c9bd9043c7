//! xar archives, and so Apple's flat packages (`.pkg`): a table of contents in XML, and a heap. Their payloads in `pbzx`, a row
//! of xz streams, are read by [`Pbzx`].

use std::io::{self, Read};
use std::rc::Rc;

use evidence::BytePath;

use super::xml::{self, Event};
use super::{Container, stream};
use crate::bytes::{be16, be64, between, slice};
use crate::format::Format;
use crate::source::Source;

/// A table of contents of a million files.
const CONTENTS_MAX_BYTES: u64 = 256 << 20;

/// What the table says of one file.
#[derive(Default)]
struct Entry {
    parent: Option<usize>,
    name: Vec<u8>,
    kind: Vec<u8>,
    mode: Option<u32>,
    link: Option<Vec<u8>>,
    offset: Option<u64>,
    length: u64,
    size: u64,
    encoding: Vec<u8>,
}

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let header = (be16(bytes, 4), be64(bytes, 8), be64(bytes, 16));
    let (Some(header_bytes), Some(packed), Some(size)) = header else {
        return container.malformed("its header is cut off");
    };
    let heap = u64::from(header_bytes).saturating_add(packed);
    let Some(table) = slice(bytes, u64::from(header_bytes), packed).filter(|_| size <= CONTENTS_MAX_BYTES)
    else {
        return container.malformed("its table of contents lies outside, or is too large");
    };
    let table = match container.content(flate2::read::ZlibDecoder::new(table), packed) {
        Ok(table) => table,
        Err(error) => return container.failed(&error),
    };
    let limit = usize::try_from(container.inspection.budget.members).unwrap_or(usize::MAX);
    let (entries, mut ranges) = entries(&table, limit, heap);
    let mut paths: Vec<Rc<Vec<u8>>> = Vec::new();
    for entry in &entries {
        if !container.admit() {
            return;
        }
        let parent = entry.parent.and_then(|parent| paths.get(parent));
        let path = match parent {
            Some(parent) => [parent.as_slice(), b"/", &entry.name].concat(),
            None => entry.name.clone(),
        };
        paths.push(Rc::new(path.clone()));
        member(container, entry, BytePath::new(path), bytes, heap);
    }
    let start = usize::try_from(heap).unwrap_or(usize::MAX);
    container.unlisted(between(bytes, &mut ranges, start, bytes.len()));
}

fn member(container: &mut Container, entry: &Entry, name: BytePath, bytes: &[u8], heap: u64) {
    let word = match entry.kind.as_slice() {
        b"file" | b"" => "",
        b"directory" => "directory",
        b"symlink" => "symlink",
        b"hardlink" => "hardlink",
        b"fifo" => "fifo",
        b"character special" | b"block special" => "device",
        _ => "other",
    };
    // A hard link may have the content of its file.
    let has_content = word.is_empty() || word == "hardlink" && entry.offset.is_some();
    if !has_content {
        let link = entry.link.clone().filter(|_| word.ends_with("link")).map(BytePath::new);
        container.leaf(name, word, link).mode = entry.mode;
        return;
    }
    let Some(offset) = entry.offset else {
        container.bytes(name, b"").mode = entry.mode;
        return;
    };
    let Some(packed) = heap.checked_add(offset).and_then(|at| slice(bytes, at, entry.length)) else {
        return container.malformed_member(&name, "its content lies outside");
    };
    let decoder: io::Result<Box<dyn Read + '_>> = match entry.encoding.as_slice() {
        b"" | b"application/octet-stream" => {
            container.bytes(name, packed).mode = entry.mode;
            return;
        }
        // In spite of its name it is zlib (RFC 1950).
        b"application/x-gzip" => Ok(Box::new(flate2::read::ZlibDecoder::new(packed))),
        b"application/x-bzip2" => stream::decoder(Format::Bzip2, packed),
        b"application/x-xz" => stream::decoder(Format::Xz, packed),
        b"application/x-lzma" if packed.starts_with(b"\xfd7zXZ\0") => stream::decoder(Format::Xz, packed),
        b"application/x-lzma" => stream::decoder(Format::Lzma, packed),
        other => {
            let detail = format!("encoding {} is not known", BytePath::from(other));
            return container.member_problem(&name, "unsupported-compression", detail);
        }
    };
    match decoder.and_then(|decoder| container.content(decoder, entry.length)) {
        Ok(content) if content.len() as u64 == entry.size => {
            let member = container.inspection.member(container.node, container.path, name, &content);
            container.push(member).mode = entry.mode;
        }
        Ok(_) => container.malformed_member(&name, "it has another size than the table says"),
        Err(error) => container.failed_member(&name, &error),
    }
}

/// Reads the table: its files, and all stretches of the file that it accounts for.
fn entries(table: &[u8], limit: usize, heap: u64) -> (Vec<Entry>, Vec<(usize, usize)>) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut ranges = Vec::new();
    let mut open: Vec<&[u8]> = Vec::new();
    let mut files: Vec<usize> = Vec::new();
    // The last two numbers of a `data`, `checksum`, `signature` or `ea` element.
    let (mut offset, mut length) = (None, None);
    let mut is_base64 = false;
    for event in xml::Reader::new(table) {
        match event {
            Event::Open(name, attributes) => {
                if name == b"file" {
                    if entries.len() > limit {
                        break;
                    }
                    entries.push(Entry { parent: files.last().copied(), ..Entry::default() });
                    files.push(entries.len() - 1);
                }
                let in_data = matches!(open.as_slice(), [.., b"file", b"data"]);
                is_base64 = name == b"name" && xml::attribute(attributes, "enctype") == Some(b"base64");
                if name == b"encoding"
                    && in_data
                    && let Some(entry) = files.last().and_then(|file| entries.get_mut(*file))
                {
                    entry.encoding = xml::attribute(attributes, "style").unwrap_or(b"").to_vec();
                }
                open.push(name);
            }
            Event::Close(name) => {
                if name == b"file" {
                    files.pop();
                }
                if let (
                    b"data" | b"checksum" | b"signature" | b"x-signature" | b"ea",
                    Some(at),
                    Some(count),
                ) = (name, offset, length)
                {
                    let from = usize::try_from(heap.saturating_add(at)).unwrap_or(usize::MAX);
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    ranges.push((from, from.saturating_add(count)));
                    (offset, length) = (None, None);
                }
                open.pop();
            }
            Event::Text(text) => {
                let number = || std::str::from_utf8(&text).ok()?.parse::<u64>().ok();
                match open.last() {
                    Some(&b"offset") => offset = number(),
                    // In `data` the length is that in the heap, elsewhere it is the size.
                    Some(&b"length") => length = number(),
                    Some(&b"size") if length.is_none() => length = number(),
                    _ => {}
                }
                let Some(entry) = files.last().and_then(|file| entries.get_mut(*file)) else { continue };
                match open.as_slice() {
                    [.., b"file", b"name"] if is_base64 => {
                        entry.name = crate::base64::decode(&text).unwrap_or(text)
                    }
                    [.., b"file", b"name"] => entry.name = text,
                    [.., b"file", b"type"] => entry.kind = text,
                    [.., b"file", b"link"] => entry.link = Some(text),
                    [.., b"file", b"mode"] => {
                        let text = std::str::from_utf8(&text).ok();
                        entry.mode =
                            text.and_then(|text| u32::from_str_radix(text, 8).ok()).map(|mode| mode & 0o7777);
                    }
                    [.., b"file", b"data", b"offset"] => entry.offset = number(),
                    [.., b"file", b"data", b"length"] => entry.length = number().unwrap_or(0),
                    [.., b"file", b"data", b"size"] => entry.size = number().unwrap_or(0),
                    _ => {}
                }
            }
        }
    }
    (entries, ranges)
}

/// A `pbzx` stream: chunks that are xz or stored, each behind its unpacked and packed size.
pub(super) struct Pbzx<'a> {
    source: Source<'a>,
    at: u64,
    chunk: Option<Box<dyn Read + 'a>>,
}

impl<'a> Pbzx<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, at: 12, chunk: None }
    }

    /// Goes to the next chunk; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Box<dyn Read + 'a>>> {
        let cut_off = || io::Error::other("a chunk is cut off");
        let head = self.source.some(self.at, 16)?;
        if head.is_empty() {
            return Ok(None);
        }
        let size = be64(&head, 8).ok_or_else(cut_off)?;
        let chunk = self.source.part(self.at + 16, size).ok_or_else(cut_off)?;
        self.at += 16 + size;
        let is_xz = chunk.some(0, 6)?.as_ref() == b"\xfd7zXZ\0";
        Ok(Some(if is_xz { stream::of_source(Format::Xz, &chunk)? } else { Box::new(chunk.reader()) }))
    }
}

impl Read for Pbzx<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(chunk) = &mut self.chunk {
                let read = chunk.read(into)?;
                if read > 0 {
                    return Ok(read);
                }
            }
            match self.next()? {
                Some(chunk) => self.chunk = Some(chunk),
                None => return Ok(0),
            }
        }
    }
}
