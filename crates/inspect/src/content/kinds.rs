//! What bytes are, and what a name says they are.

use evidence::BytePath;

use super::base;
use crate::format::Format;

/// Magic numbers: offset, bytes, kind.
const MAGICS: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
    (0, b"\0\0\x01\0", "icon"),
    (0, b"BM", "bitmap"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"ID3", "mp3"),
    (4, b"ftyp", "mp4"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"OTTO", "font"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"%PDF-", "pdf"),
    (0, b"\0asm", "wasm"),
    (0, b"\xca\xfe\xba\xbe\0\0\0", "class"),
    (0, b"dex\n", "dex"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"\x1bLua", "lua-bytecode"),
];

/// What a file's extension promises.
const EXTENSIONS: &[(&str, &str)] = &[
    ("png", "png"),
    ("jpg", "jpeg"),
    ("jpeg", "jpeg"),
    ("gif", "gif"),
    ("ico", "icon"),
    ("bmp", "bitmap"),
    ("webp", "webp"),
    ("svg", "text"),
    ("ttf", "font"),
    ("otf", "font"),
    ("woff", "font"),
    ("woff2", "font"),
    ("pdf", "pdf"),
    ("mp3", "mp3"),
    ("txt", "text"),
    ("md", "text"),
    ("rst", "text"),
    ("css", "text"),
    ("html", "text"),
    ("json", "text"),
    ("xml", "text"),
    ("csv", "text"),
    ("js", "text"),
    ("py", "text"),
    ("h", "text"),
    ("c", "text"),
];

/// What a script or a program must not be called.
const RUNNABLE: &[&str] = &["pe", "elf", "macho", "script", "class", "wasm", "dex"];
/// Names under which a script is at home.
const SCRIPTS: &[&str] = &["js", "py"];
const SAMPLE_BYTES: usize = 8192;

/// Names the kind of content in one word; empty if nothing tells.
pub(super) fn of_bytes(format: Format, bytes: &[u8]) -> &'static str {
    match format {
        Format::Data => {}
        other => return other.word(),
    }
    if bytes.is_empty() {
        return "";
    }
    if bytes.starts_with(b"#!") && is_readable(bytes) {
        return "script";
    }
    if is_bytecode(bytes) {
        return "pyc";
    }
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    // Two letters are too few for text not to have them as well.
    let text = is_readable(bytes);
    let magic = MAGICS.iter().find(|(offset, magic, _)| at(*offset, magic) && (magic.len() > 2 || !text));
    match magic {
        Some((_, _, kind)) => kind,
        None if text => "text",
        None => "",
    }
}

/// CPython bytecode: a version, a line break, and flags that PEP 552 knows.
fn is_bytecode(bytes: &[u8]) -> bool {
    match bytes.first_chunk::<16>() {
        Some([low, high, b'\r', b'\n', flags, 0, 0, 0, ..]) => {
            (3390..4200).contains(&u16::from_le_bytes([*low, *high])) && *flags <= 3
        }
        _ => false,
    }
}

/// Text is UTF-8 without zeros, as far as the beginning shows.
fn is_readable(bytes: &[u8]) -> bool {
    let sample = bytes.get(..SAMPLE_BYTES).unwrap_or(bytes);
    if memchr::memchr(0, sample).is_some() {
        return false;
    }
    match std::str::from_utf8(sample) {
        Ok(_) => true,
        // The sample may end inside a character.
        Err(error) => error.error_len().is_none() && sample.len() == SAMPLE_BYTES,
    }
}

pub(super) fn is_text(kind: &str) -> bool {
    matches!(kind, "text" | "script")
}

/// Whether random-looking bytes are in the nature of the kind.
pub(super) fn is_compressed(kind: &str) -> bool {
    matches!(kind, "png" | "jpeg" | "gif" | "webp" | "ogg" | "flac" | "mp3" | "mp4" | "font" | "pdf")
}

/// Returns what a name claims, where code stands under a harmless name or an image is none.
pub(super) fn claimed(name: &BytePath, kind: &str) -> Option<&'static str> {
    let base = String::from_utf8_lossy(base(name)).to_ascii_lowercase();
    let (_, extension) = base.rsplit_once('.')?;
    let (_, claim) = EXTENSIONS.iter().find(|(known, _)| *known == extension)?;
    let scripted = kind == "script" && (SCRIPTS.contains(&extension) || *claim == "text");
    (RUNNABLE.contains(&kind) && !scripted).then_some(claim)
}
