//! Lists of strings in a caller's memory: the arguments and variables of a program to be started.

use std::collections::HashMap;

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

const PAGE_BYTES: usize = 4096;

/// A caller's strings, which mostly lie side by side: each page of its memory is read once.
pub(super) struct Strings {
    thread: i32,
    pages: HashMap<u64, Vec<u8>>,
}

impl Strings {
    pub(super) fn of(thread: i32) -> Self {
        Self { thread, pages: HashMap::new() }
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
            let pointers = pointers[..read].as_chunks::<8>().0.iter().map(|raw| u64::from_ne_bytes(*raw));
            self.fetch(pointers.clone().take_while(|pointer| *pointer != 0));
            for pointer in pointers {
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

    /// Returns the string at an address; what is longer than the limit is cut.
    fn at(&mut self, address: u64, limit: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let at = address.checked_add(text.len() as u64)?;
            let within = (at % PAGE_BYTES as u64) as usize;
            let rest = &self.page(at - within as u64)?[within..];
            let end = rest.iter().position(|byte| *byte == 0);
            text.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            if end.is_some() || text.len() >= limit {
                text.truncate(limit);
                return Some(text);
            }
        }
    }

    /// Reads the pages in which strings begin, all at once; what is not to be had is asked for one by one later.
    fn fetch(&mut self, strings: impl Iterator<Item = u64>) {
        let mut starts: Vec<u64> = strings.map(|address| address - address % PAGE_BYTES as u64).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|start| !self.pages.contains_key(start));
        if starts.is_empty() {
            return;
        }
        let pieces: Vec<_> = starts.iter().map(|start| (*start, PAGE_BYTES as u64)).collect();
        let mut bytes = vec![0; pieces.len() * PAGE_BYTES];
        let read = sys::read_pieces(self.thread, &pieces, &mut bytes).unwrap_or(0);
        let pages = bytes[..read].chunks_exact(PAGE_BYTES).map(<[u8]>::to_vec);
        self.pages.extend(starts.into_iter().zip(pages));
    }

    fn page(&mut self, start: u64) -> Option<&[u8]> {
        if !self.pages.contains_key(&start) {
            let mut page = vec![0; PAGE_BYTES];
            if sys::read_memory(self.thread, start, &mut page).ok()? != PAGE_BYTES {
                return None;
            }
            self.pages.insert(start, page);
        }
        self.pages.get(&start).map(Vec::as_slice)
    }
}
