//! Lists of strings in a caller's memory: the arguments and variables of a program to be started.

use evidence::BytePath;

use crate::sys;

/// The most arguments and bytes of them that are recorded; the kernel's own limits are of this size.
const ARGUMENTS_MAX: usize = 1 << 16;
const ARGUMENTS_MAX_BYTES: usize = 2 << 20;

/// What was kept of a list.
pub(super) struct List {
    pub(super) kept: Vec<BytePath>,
    /// Whether it was longer than is recorded.
    pub(super) cut: bool,
}

/// A caller's strings, which mostly lie side by side: one read serves many.
pub(super) struct Strings {
    thread: i32,
    start: u64,
    bytes: Vec<u8>,
}

impl Strings {
    const WINDOW_BYTES: usize = 16 * 1024;

    pub(super) fn of(thread: i32) -> Self {
        Self { thread, start: 0, bytes: Vec::new() }
    }

    /// Returns the string at an address; what is longer than the limit is cut.
    pub(super) fn at(&mut self, address: u64, limit: usize) -> Option<Vec<u8>> {
        if let Some(found) = self.inside(address) {
            return Some(found[..found.len().min(limit)].to_vec());
        }
        let mut text = Vec::new();
        loop {
            self.start = address.checked_add(text.len() as u64)?;
            self.bytes.resize(Self::WINDOW_BYTES, 0);
            let read = sys::read_memory(self.thread, self.start, &mut self.bytes).ok()?;
            self.bytes.truncate(read);
            if read == 0 {
                return None;
            }
            let end = self.bytes.iter().position(|byte| *byte == 0);
            text.extend_from_slice(&self.bytes[..end.unwrap_or(read)]);
            if end.is_some() || text.len() >= limit {
                text.truncate(limit);
                return Some(text);
            }
        }
    }

    /// Reads a list of strings that ends with a null: of each what is kept of it, if anything.
    pub(super) fn list(&mut self, address: u64, keep: impl Fn(&[u8]) -> Option<&[u8]>) -> Option<List> {
        let mut list = List { kept: Vec::new(), cut: false };
        let (mut bytes, mut count, mut at) = (0, 0, address);
        if address == 0 {
            return Some(list);
        }
        loop {
            let mut pointers = [0; 512];
            let read = sys::read_memory(self.thread, at, &mut pointers).ok()?;
            for pointer in pointers[..read].as_chunks::<8>().0 {
                let pointer = u64::from_ne_bytes(*pointer);
                if pointer == 0 {
                    return Some(list);
                }
                let text = self.at(pointer, ARGUMENTS_MAX_BYTES - bytes)?;
                bytes += text.len() + 1;
                count += 1;
                list.kept.extend(keep(&text).map(BytePath::new));
                if count >= ARGUMENTS_MAX || bytes >= ARGUMENTS_MAX_BYTES {
                    list.cut = true;
                    return Some(list);
                }
            }
            if read < 8 {
                return None;
            }
            at = at.checked_add((read / 8 * 8) as u64)?;
        }
    }

    fn inside(&self, address: u64) -> Option<&[u8]> {
        let rest = self.bytes.get(usize::try_from(address.checked_sub(self.start)?).ok()?..)?;
        rest.iter().position(|byte| *byte == 0).map(|end| &rest[..end])
    }
}
