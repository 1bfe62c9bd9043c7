//! A sorted table of byte strings: blocks in which each string tells only what differs from the one before.
//!
//! A string's number is its place. Finding one is a binary search over the first strings of the blocks, then a walk over at
//! most [`TOGETHER`] strings; nothing is read but these.

use std::cmp::Ordering;

use super::bytes::{Reader, put, u32_at};

/// Strings in a block.
const TOGETHER: usize = 16;

/// Writes a table. The strings are sorted, and none comes twice.
pub(super) fn write(names: &[&[u8]]) -> Vec<u8> {
    let (mut data, mut offsets) = (Vec::new(), Vec::new());
    let mut before: &[u8] = &[];
    for (number, name) in names.iter().enumerate() {
        let shared = if number % TOGETHER == 0 {
            offsets.push(data.len() as u32);
            0
        } else {
            before.iter().zip(*name).take_while(|(one, other)| one == other).count()
        };
        put(&mut data, shared as u64);
        put(&mut data, (name.len() - shared) as u64);
        data.extend(&name[shared..]);
        before = name;
    }
    let mut table = (names.len() as u32).to_le_bytes().to_vec();
    offsets.iter().for_each(|offset| table.extend(offset.to_le_bytes()));
    table.extend(data);
    table
}

/// A table as it lies.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    count: usize,
    offsets: &'a [u8],
    data: &'a [u8],
}

impl<'a> Names<'a> {
    pub(super) fn open(table: &'a [u8]) -> Option<Self> {
        let count = u32_at(table, 0)? as usize;
        let blocks = count.div_ceil(TOGETHER).checked_mul(4)?;
        let (offsets, data) = table.get(4..)?.split_at_checked(blocks)?;
        Some(Self { count, offsets, data })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn block(&self, block: usize) -> Option<Reader<'a>> {
        let at = u32_at(self.offsets, block)? as usize;
        Some(Reader::new(self.data.get(at..)?))
    }

    fn first(&self, block: usize) -> Option<&'a [u8]> {
        let mut reader = self.block(block)?;
        reader.number()?;
        reader.bytes()
    }

    /// Finds a string.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.count.div_ceil(TOGETHER));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first(middle)? <= name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let block = low.checked_sub(1)?;
        let mut found = None;
        self.walk(block, &mut |number, known| match known.cmp(name) {
            Ordering::Less => true,
            order => {
                found = order.is_eq().then_some(number);
                false
            }
        })?;
        found
    }

    /// Returns the string with a number.
    pub(super) fn at(&self, number: usize) -> Option<Vec<u8>> {
        let mut found = None;
        self.walk(number / TOGETHER, &mut |at, known| {
            if at == number {
                found = Some(known.to_vec());
            }
            at < number
        })?;
        found
    }

    /// Hands over all strings in order.
    pub(super) fn each(&self, take: &mut dyn FnMut(usize, &[u8])) -> Option<()> {
        for block in 0..self.count.div_ceil(TOGETHER) {
            self.walk(block, &mut |number, name| {
                take(number, name);
                true
            })?;
        }
        Some(())
    }

    fn walk(&self, block: usize, take: &mut dyn FnMut(usize, &[u8]) -> bool) -> Option<()> {
        let mut reader = self.block(block)?;
        let mut name = Vec::new();
        let start = block * TOGETHER;
        for number in start..self.count.min(start + TOGETHER) {
            let shared = reader.size()?;
            if shared > name.len() {
                return None;
            }
            name.truncate(shared);
            name.extend(reader.bytes()?);
            if !take(number, &name) {
                break;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_found_and_no_others() {
        let names: Vec<String> = (0..1000).map(|number| format!("npm\0package-{number:04}")).collect();
        let bytes: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let table = write(&bytes);
        let names = Names::open(&table).unwrap();
        for (number, name) in bytes.iter().enumerate() {
            assert_eq!(names.find(name), Some(number));
            assert_eq!(names.at(number).as_deref(), Some(*name));
        }
        for name in [&b""[..], b"a", b"npm\0package-0000a", b"npm\0package-9999", b"z"] {
            assert_eq!(names.find(name), None);
        }
        assert!(table.len() < 8 * 1000, "{}", table.len());
        assert_eq!(Names::open(&write(&[])).unwrap().find(b"x"), None);
        for at in 0..table.len().min(400) {
            let mut damaged = table.clone();
            damaged[at] ^= 0xff;
            if let Some(names) = Names::open(&damaged) {
                bytes.iter().take(40).for_each(|name| {
                    names.find(name);
                });
                names.at(3);
            }
        }
    }
}
