//! Checked reads of numbers and slices. What lies outside is `None`, never a panic.

/// Returns `length` bytes from `at`.
pub(crate) fn slice(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    let end = usize::try_from(at.checked_add(length)?).ok()?;
    bytes.get(usize::try_from(at).ok()?..end)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// Returns the bytes up to the first zero.
pub(crate) fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

/// Reads an octal number as `ar`, `cpio` and `tar` write it: blanks and zeros around it are allowed, an empty field is 0.
pub(crate) fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_zero(field)).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// Returns what no range accounts for between `start` and `end`, without stretches of zeros only. Sorts the ranges.
pub(crate) fn between<'a>(
    bytes: &'a [u8],
    ranges: &mut [(usize, usize)],
    start: usize,
    end: usize,
) -> Vec<&'a [u8]> {
    ranges.sort_unstable();
    let (mut found, mut at) = (Vec::new(), start);
    for (from, to) in ranges.iter().copied().chain([(end, end)]) {
        if let Some(gap) = bytes.get(at..from.min(end))
            && gap.iter().any(|byte| *byte != 0)
        {
            found.push(gap);
        }
        at = at.max(to);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_no_range_covers() {
        let bytes = b"ab....cd\0\0\0ef";
        let gaps = between(bytes, &mut [(8, 8), (2, 4), (3, 6), (11, 11)], 0, 13);
        assert_eq!(gaps, [&b"ab"[..], b"cd", b"ef"]);
        assert_eq!(between(bytes, &mut [(0, 100)], 0, 13), Vec::<&[u8]>::new());
        assert_eq!(between(bytes, &mut [], 5, 99), Vec::<&[u8]>::new());
    }

    #[test]
    fn numbers_outside_are_none() {
        assert_eq!((le32(b"abc", 0), be64(&[0; 8], 1), le16(b"ab", usize::MAX)), (None, None, None));
        assert_eq!((octal(b" 17 \0x"), octal(b"\0"), octal(b"9")), (Some(15), Some(0), None));
        assert_eq!(slice(b"abc", u64::MAX, 2), None);
    }
}
