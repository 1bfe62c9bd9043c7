//! One pass over bytes that are not held: digest, size, and what they show, window by window.

use std::io::{self, Read};

use evidence::tree::Content;
use evidence::{BytePath, Digest, Hasher};

use crate::content::Reading;
use crate::format::Format;
use crate::unpack::DMG_TRAILER_BYTES;

/// What is looked at at a time; a multiple of the 64 KiB that entropy is measured over.
const WINDOW_BYTES: usize = 4 << 20;
/// A window is cut where a text ends, if one ends so near to its end.
const TEXT_MAX_BYTES: usize = 256 << 10;
/// Headers of what is embedded may begin so far before their mark.
const BEFORE_BYTES: usize = 1024;
/// What tells a format lies so near to the begin or end: an ISO image's mark is the farthest.
pub(super) const EDGE_BYTES: usize = 68 << 10;

/// What a pass found.
pub(super) struct Pass {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) content: Option<Content>,
    end: Vec<u8>,
}

impl Pass {
    /// Goes over all bytes; looks at what they show only if that `is_content`.
    pub(super) fn over(
        mut reader: impl Read,
        name: &BytePath,
        format: Format,
        is_content: bool,
    ) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        let mut size = 0_u64;
        let mut reading: Option<Reading> = None;
        let mut end = Vec::new();
        // Begins with bytes that were looked at, then those that were left over, then new ones.
        let mut buffer = Vec::new();
        let mut known = 0;
        loop {
            let old = buffer.len();
            let read = reader.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut buffer)?;
            let offset = size - old as u64;
            let new = buffer.get(old..).unwrap_or_default();
            hasher.update(new);
            size += read as u64;
            end.extend_from_slice(new.get(new.len().saturating_sub(EDGE_BYTES)..).unwrap_or_default());
            end.drain(..end.len().saturating_sub(EDGE_BYTES));
            let is_last = read < WINDOW_BYTES;
            if is_content {
                let reading = reading.get_or_insert_with(|| Reading::begin(name, format, &buffer));
                reading.random(new);
                let cut = if is_last { buffer.len() } else { cut(&buffer, known) };
                reading.window(buffer.get(..cut).unwrap_or_default(), known, offset);
                let keep = cut.saturating_sub(BEFORE_BYTES);
                known = cut - keep;
                buffer.drain(..keep);
            } else {
                buffer.clear();
            }
            if is_last {
                let content = reading.and_then(Reading::end);
                return Ok(Self { digest: hasher.finish(), size, content, end });
            }
        }
    }

    /// An Apple disk image is told by its trailer.
    pub(super) fn ends_as_disk_image(&self) -> bool {
        ends_as_disk_image(&self.end)
    }
}

pub(super) fn ends_as_disk_image(end: &[u8]) -> bool {
    let trailer = end.len().checked_sub(DMG_TRAILER_BYTES).and_then(|at| end.get(at..));
    trailer.is_some_and(|trailer| trailer.starts_with(b"koly"))
}

/// Where a window is cut: behind the last line, or else behind the last byte that no text has.
fn cut(buffer: &[u8], known: usize) -> usize {
    let from = buffer.len().saturating_sub(TEXT_MAX_BYTES).max(known);
    let rest = buffer.get(from..).unwrap_or_default();
    let line = memchr::memrchr(b'\n', rest);
    let other = || rest.iter().rposition(|byte| *byte < b' ' && *byte != b'\t');
    line.or_else(other).map_or(buffer.len(), |at| from + at + 1)
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

#[cfg(test)]
mod tests {
    use evidence::Node;

    use super::*;
    use crate::content;

    /// What is seen in windows is what is seen at once.
    #[test]
    fn windows_show_what_the_whole_shows() {
        let mut bytes = Vec::new();
        while bytes.len() < 2 * WINDOW_BYTES {
            bytes.extend_from_slice(b"a line of some length with nothing in it that matters at all\n");
        }
        let near = |at: usize, text: &[u8], bytes: &mut Vec<u8>| {
            bytes[at..at + text.len()].copy_from_slice(text);
        };
        near(WINDOW_BYTES - 20, b"\nhttps://split.example/over/two/windows\n", &mut bytes);
        near(WINDOW_BYTES - 4000, &forge::noise(3, 200), &mut bytes);
        near(100, b"\nexec(base64.b64decode(x))\n", &mut bytes);
        near(
            2 * WINDOW_BYTES - 6000,
            b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0abc\n",
            &mut bytes,
        );
        bytes.extend_from_slice(&[b"\n".as_slice(), &[b'x'; 9000]].concat());
        let program = forge::PeImage::default().bytes();
        near(2 * WINDOW_BYTES - 200, &program[..program.len().min(900)], &mut bytes);
        for name in ["a.txt", "a.bin"] {
            let name = BytePath::from(name);
            if name.as_bytes() == b"a.bin" {
                bytes[5] = 0;
            }
            let node = Node::leaf(name.clone(), "data", Digest::of(&bytes), bytes.len() as u64);
            let whole = content::read(&node, Format::Data, &bytes).unwrap();
            let pass = Pass::over(bytes.as_slice(), &name, Format::Data, true).unwrap();
            assert_eq!((pass.digest, pass.size), (Digest::of(&bytes), bytes.len() as u64));
            assert_eq!(pass.content.unwrap(), whole);
            assert!(whole.hosts.contains("split.example"), "{whole:?}");
            assert_eq!(whole.embedded.len(), 2);
        }
    }

    #[test]
    fn random_parts_are_counted_over_the_same_stretches() {
        let bytes = forge::noise(7, WINDOW_BYTES + (300 << 10));
        let name = BytePath::from("x");
        let pass = Pass::over(bytes.as_slice(), &name, Format::Data, true).unwrap();
        assert_eq!(pass.content.unwrap().random_windows, (bytes.len() >> 16) as u64);
        assert!(!ends_as_disk_image(&bytes));
    }
}
