//! ar: static libraries and Debian packages. GNU and BSD long names (`ar(5)`).

use std::borrow::Cow;
use std::io;

use evidence::BytePath;
use evidence::tree::Packing;

use super::Container;
use crate::bytes::until_zero;
use crate::source::Source;

const MAGIC_BYTES: u64 = 8;
const HEADER_BYTES: usize = 60;
/// The table of long names; that of the largest static libraries has a megabyte.
const NAMES_MAX_BYTES: usize = 16 << 20;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let mut names = Cow::Borrowed(&b""[..]);
    let mut at = MAGIC_BYTES;
    loop {
        let header = source.some(at, HEADER_BYTES)?;
        if header.is_empty() {
            return Ok(());
        }
        if header.get(58..) != Some(b"`\n") {
            return Err(io::Error::other(format!("no header at byte {at}")));
        }
        let Some(size) = number(&header[48..58]) else {
            return Err(io::Error::other(format!("no size at byte {at}")));
        };
        let (start, size) = (at + HEADER_BYTES as u64, size as u64);
        let Some(mut content) = source.part(start, size) else {
            return Err(io::Error::other(format!("the member at byte {at} is cut off")));
        };
        at = start + size + size % 2;
        if !container.admit() {
            return Ok(());
        }
        let field = header[..16].trim_ascii_end();
        let name = if field == b"//" {
            names = content.some(0, NAMES_MAX_BYTES)?;
            b"#names".to_vec()
        } else if field == b"/" {
            b"#symbols".to_vec()
        } else if let Some(special) = field.strip_prefix(b"/").and_then(|name| name.strip_suffix(b"/")) {
            // `/SYM64/` of GNU, `/<ECSYMBOLS>/` of Microsoft: tables, not paths.
            [b"#".as_slice(), special].concat()
        } else if let Some(offset) = field.strip_prefix(b"/").and_then(number) {
            let long = names.get(offset..).unwrap_or(b"");
            let end = long.iter().position(|byte| *byte == b'\n').unwrap_or(long.len());
            long[..end].strip_suffix(b"/").unwrap_or(&long[..end]).to_vec()
        } else if let Some(length) = field
            .strip_prefix(b"#1/")
            .and_then(number)
            .filter(|length| *length as u64 <= size && *length <= NAMES_MAX_BYTES)
        {
            let name = content.some(0, length)?;
            if let Some(rest) = content.part(length as u64, size - length as u64) {
                content = rest;
            }
            until_zero(&name).to_vec()
        } else {
            field.strip_suffix(b"/").unwrap_or(field).to_vec()
        };
        let field = |from: usize, to: usize| number(&header[from..to]);
        let owner = field(28, 34).zip(field(34, 40)).map(|(user, group)| format!("{user}:{group}"));
        let modified = field(16, 28).and_then(|seconds| i64::try_from(seconds).ok());
        container.stored(BytePath::new(name), &content)?.packing = Some(Packing { modified, owner });
    }
}

fn number(field: &[u8]) -> Option<usize> {
    std::str::from_utf8(field).ok()?.trim_end().parse().ok()
}
