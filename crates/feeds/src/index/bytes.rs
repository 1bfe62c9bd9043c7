//! Numbers and texts in postings.

/// Writes a number in as few bytes as it needs (LEB128).
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes bytes with their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Reads what the above wrote. Every read is checked; none at the end or where it is damaged.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.size()?;
        self.take(length)
    }
}

/// Reads a number of 4 bytes at a place of a column.
pub(super) fn u32_at(column: &[u8], place: usize) -> Option<u32> {
    let at = place.checked_mul(4)?;
    Some(u32::from_le_bytes(*column.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        for number in [0, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1] {
            put(&mut out, number);
        }
        put_bytes(&mut out, b"abc");
        let mut reader = Reader::new(&out);
        for number in [0, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1] {
            assert_eq!(reader.number(), Some(number));
        }
        assert_eq!(reader.bytes(), Some(&b"abc"[..]));
        assert!(reader.number().is_none());
    }
}
