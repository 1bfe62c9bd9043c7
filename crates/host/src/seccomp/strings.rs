//! Strings in the memory of a caller that starts a program: its path, its arguments and its variables.

use evidence::BytePath;

use super::caller::PATH_MAX;
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

/// No page is smaller, so what lies between two multiples of this is there as a whole or not at all.
const PAGE_BYTES: usize = 4096;
const POINTER_BYTES: usize = 8;

/// A caller's memory, of which each page is read once, and many at a time: a question costs more than an answer.
pub(super) struct Strings {
    thread: i32,
    /// By address.
    pages: Vec<(u64, Box<[u8]>)>,
}

impl Strings {
    pub(super) fn of(thread: i32) -> Self {
        Self { thread, pages: Vec::new() }
    }

    /// Reads the pages that hold these addresses; what is not to be had is asked for again when it is needed.
    pub(super) fn fetch(&mut self, addresses: impl Iterator<Item = u64>) {
        let mut starts: Vec<u64> = addresses.map(page_of).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|start| self.find(*start).is_err());
        if starts.is_empty() {
            return;
        }
        let pieces: Vec<_> = starts.iter().map(|start| (*start, PAGE_BYTES as u64)).collect();
        let mut bytes = vec![0; pieces.len() * PAGE_BYTES];
        let read = sys::read_pieces(self.thread, &pieces, &mut bytes).unwrap_or(0);
        let pages = bytes[..read].chunks_exact(PAGE_BYTES).map(Box::from);
        self.pages.extend(starts.into_iter().zip(pages));
        self.pages.sort_unstable_by_key(|(start, _)| *start);
    }

    /// Reads a path; `None` if it is not readable or too long.
    pub(super) fn path(&mut self, address: u64) -> Option<Vec<u8>> {
        let text = self.at(address, PATH_MAX, &mut Vec::new())?.to_vec();
        (text.len() < PATH_MAX).then_some(text)
    }

    /// Reads the addresses of a list of strings that ends with a null.
    pub(super) fn addresses(&mut self, list: u64) -> Option<Vec<u64>> {
        let mut addresses = Vec::new();
        let mut at = list;
        while list != 0 && addresses.len() < ARGUMENTS_MAX {
            let rest = self.rest(at)?;
            let (pointers, odd) = rest.as_chunks::<POINTER_BYTES>();
            let words = pointers.iter().map(|pointer| u64::from_ne_bytes(*pointer));
            addresses.extend(words.clone().take_while(|word| *word != 0));
            if words.clone().any(|word| word == 0) {
                break;
            }
            // One that begins in this page and ends in the next.
            let (pointers, odd) = (pointers.len() * POINTER_BYTES, odd.to_vec());
            at = at.checked_add(pointers as u64)?;
            if odd.is_empty() {
                continue;
            }
            let more = self.rest(page_of(at).checked_add(PAGE_BYTES as u64)?)?;
            let pointer = [&odd, &more[..POINTER_BYTES - odd.len()]].concat();
            match u64::from_ne_bytes(pointer.try_into().ok()?) {
                0 => break,
                address => addresses.push(address),
            }
            at = at.checked_add(POINTER_BYTES as u64)?;
        }
        addresses.truncate(ARGUMENTS_MAX);
        Some(addresses)
    }

    /// Reads strings; of each what is kept of it, if anything.
    pub(super) fn list(&mut self, addresses: &[u64], keep: impl Fn(&[u8]) -> Option<&[u8]>) -> Option<List> {
        let mut list = List { kept: Vec::new(), cut: addresses.len() >= ARGUMENTS_MAX };
        let mut bytes = 0;
        let mut joined = Vec::new();
        for address in addresses {
            let text = self.at(*address, ARGUMENTS_MAX_BYTES - bytes, &mut joined)?;
            bytes += text.len() + 1;
            list.kept.extend(keep(text).map(BytePath::new));
            if bytes >= ARGUMENTS_MAX_BYTES {
                list.cut = true;
                break;
            }
        }
        Some(list)
    }

    /// Returns the string at an address; what is longer than the limit is cut. It is put together in `joined` if it lies
    /// in several pages.
    fn at<'s>(&'s mut self, address: u64, limit: usize, joined: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        let end_of = |text: &[u8]| text.iter().position(|byte| *byte == 0);
        if let Some(end) = end_of(self.rest(address)?) {
            return self.rest(address)?.get(..end.min(limit));
        }
        joined.clear();
        loop {
            let rest = self.rest(address.checked_add(joined.len() as u64)?)?;
            let end = end_of(rest);
            joined.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            if end.is_some() || joined.len() >= limit {
                joined.truncate(limit);
                return Some(joined);
            }
        }
    }

    /// What lies between an address and the end of its page.
    fn rest(&mut self, address: u64) -> Option<&[u8]> {
        let start = page_of(address);
        let at = match self.find(start) {
            Ok(at) => at,
            Err(at) => {
                let mut page = vec![0; PAGE_BYTES];
                if sys::read_memory(self.thread, start, &mut page).ok()? != PAGE_BYTES {
                    return None;
                }
                self.pages.insert(at, (start, page.into()));
                at
            }
        };
        self.pages[at].1.get((address - start) as usize..)
    }

    fn find(&self, start: u64) -> Result<usize, usize> {
        self.pages.binary_search_by_key(&start, |(start, _)| *start)
    }
}

fn page_of(address: u64) -> u64 {
    address - address % PAGE_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Strings {
        Strings::of(i32::try_from(std::process::id()).unwrap())
    }

    #[test]
    fn lists_are_read_as_they_lie() {
        let long = "x".repeat(3 * PAGE_BYTES);
        let texts = ["cc\0", "-c\0", &format!("{long}\0"), "\0"];
        let pointers: Vec<u64> = texts.iter().map(|text| text.as_ptr() as u64).chain([0, 7]).collect();
        let mut strings = own();
        strings.fetch([pointers.as_ptr() as u64, texts[0].as_ptr() as u64, 8].into_iter());
        let addresses = strings.addresses(pointers.as_ptr() as u64).unwrap();
        assert_eq!(addresses, pointers[..4]);
        strings.fetch(addresses.iter().copied());
        let list = strings.list(&addresses, |text| (text != b"-c").then_some(text)).unwrap();
        assert_eq!(list.kept, ["cc", long.as_str(), ""].map(BytePath::from));
        assert!(!list.cut);
    }

    #[test]
    fn an_odd_address_and_a_null_list_are_lists() {
        let text = "a\0";
        let mut bytes = vec![0_u8; 1];
        bytes.extend_from_slice(&(text.as_ptr() as u64).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        assert_eq!(own().addresses(bytes.as_ptr() as u64 + 1).unwrap(), [text.as_ptr() as u64]);
        assert_eq!(own().addresses(0).unwrap(), [0_u64; 0]);
    }

    #[test]
    fn what_is_not_there_is_none() {
        assert!(own().addresses(8).is_none());
        assert!(own().list(&[8], |text| Some(text)).is_none());
        assert!(own().path(8).is_none());
        let endless = vec![b'a'; 4 * PAGE_BYTES];
        assert!(own().path(endless.as_ptr() as u64).is_none());
    }

    #[test]
    fn too_much_is_cut() {
        let text = [vec![b'a'; 3 << 20], vec![0]].concat();
        let list = own().list(&[text.as_ptr() as u64, text.as_ptr() as u64], |text| Some(text)).unwrap();
        assert!(list.cut);
        assert_eq!(list.kept.iter().map(|text| text.as_bytes().len()).sum::<usize>(), ARGUMENTS_MAX_BYTES);
    }
}
