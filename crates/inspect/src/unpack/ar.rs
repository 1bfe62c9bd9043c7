//! ar: static libraries and Debian packages. GNU and BSD long names (`ar(5)`).

use evidence::BytePath;
use evidence::tree::Packing;

use super::Container;

const MAGIC_BYTES: usize = 8;
const HEADER_BYTES: usize = 60;

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let mut names: &[u8] = b"";
    let mut at = MAGIC_BYTES;
    while at < bytes.len() {
        let Some(header) = bytes.get(at..at + HEADER_BYTES).filter(|header| header[58..] == *b"`\n") else {
            return container.malformed(format!("no header at byte {at}"));
        };
        let Some(size) = number(&header[48..58]) else {
            return container.malformed(format!("no size at byte {at}"));
        };
        let start = at + HEADER_BYTES;
        let Some(mut content) = start.checked_add(size).and_then(|end| bytes.get(start..end)) else {
            return container.malformed(format!("the member at byte {at} is cut off"));
        };
        at = start + size + size % 2;
        if !container.admit() {
            return;
        }
        let field = header[..16].trim_ascii_end();
        let name = if field == b"//" {
            names = content;
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
        } else if let Some(length) =
            field.strip_prefix(b"#1/").and_then(number).filter(|length| *length <= content.len())
        {
            let (name, rest) = content.split_at(length);
            content = rest;
            name.split(|byte| *byte == 0).next().unwrap_or(name).to_vec()
        } else {
            field.strip_suffix(b"/").unwrap_or(field).to_vec()
        };
        let field = |from: usize, to: usize| number(&header[from..to]);
        let owner = field(28, 34).zip(field(34, 40)).map(|(user, group)| format!("{user}:{group}"));
        let modified = field(16, 28).and_then(|seconds| i64::try_from(seconds).ok());
        container.bytes(BytePath::new(name), content).packing = Some(Packing { modified, owner });
    }
}

fn number(field: &[u8]) -> Option<usize> {
    std::str::from_utf8(field).ok()?.trim_end().parse().ok()
}
