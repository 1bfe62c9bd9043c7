//! The names in a block of a folder.

use crate::bytes::{le16, le32};

const HEAD_BYTES: usize = 8;

/// A name, and the number of its inode.
pub(super) struct Entry<'b> {
    pub(super) inode: u32,
    pub(super) name: &'b [u8],
}

/// Reads the names of a block, and says what is wrong with it. An index (`htree`) has the form of entries without an inode, so that
/// who reads all blocks in their order needs none.
pub(super) fn names(block: &[u8]) -> (Vec<Entry<'_>>, Option<&'static str>) {
    let (mut entries, mut at, mut wrong) = (Vec::new(), 0, None);
    while at < block.len() {
        // Linux asks for no more than 255 bytes, with a kind behind them or without.
        let head = (le32(block, at), le16(block, at + 4), block.get(at + 6));
        let (Some(inode), Some(length), Some(name_length)) = head else {
            return (entries, Some("a folder's entry is cut off"));
        };
        // Blocks of 64 KiB have entries that are longer than the number can say.
        let length = match usize::from(length) {
            0 | 0xffff if block.len() == 1 << 16 => block.len(),
            length => length,
        };
        let rest = block.get(at..at.saturating_add(length)).unwrap_or_default();
        if length < HEAD_BYTES || length % 4 != 0 || rest.is_empty() {
            return (entries, Some("a folder's entry has an impossible length"));
        }
        match rest.get(HEAD_BYTES..HEAD_BYTES + usize::from(*name_length)) {
            _ if inode == 0 => {}
            None => wrong = Some("a folder's name is longer than its entry"),
            Some(b"." | b"..") => {}
            Some(b"") => wrong = Some("a folder's name is empty"),
            Some(name) if name.iter().any(|byte| matches!(byte, b'/' | 0)) => {
                wrong = Some("a folder's name has a slash or a zero");
            }
            Some(name) => entries.push(Entry { inode, name }),
        }
        at += length;
    }
    (entries, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u32, length: u16, name: &[u8]) -> Vec<u8> {
        let mut bytes = inode.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend([name.len() as u8, 1]);
        bytes.extend(name);
        bytes.resize(bytes.len().next_multiple_of(4).max(usize::from(length)), 0);
        bytes
    }

    fn check(block: &[u8], expected: &[&[u8]], is_wrong: bool) {
        let (entries, wrong) = names(block);
        let found: Vec<&[u8]> = entries.iter().map(|entry| entry.name).collect();
        assert_eq!((found.as_slice(), wrong.is_some()), (expected, is_wrong), "{wrong:?}");
    }

    #[test]
    fn entries_are_read_until_one_is_wrong() {
        let first = [entry(2, 12, b"."), entry(2, 12, b".."), entry(12, 16, b"abc")].concat();
        let with = |more: &[u8]| [&first, more].concat();
        check(&first, &[b"abc"], false);
        check(&with(&entry(0, 12, b"gone")), &[b"abc"], false);
        check(&with(&entry(13, 0, b"x")), &[b"abc"], true);
        check(&with(&entry(13, 4, b"x")), &[b"abc"], true);
        check(&with(&entry(13, 13, b"x")), &[b"abc"], true);
        check(&with(&entry(13, 9999, b"x")[..12]), &[b"abc"], true);
        check(&with(&entry(13, 8, b"x")[..8]), &[b"abc"], true);
        check(&with(&[7]), &[b"abc"], true);
        check(&with(&[entry(13, 12, b"a/b"), entry(14, 12, b"z")].concat()), &[b"abc", b"z"], true);
        check(&with(&entry(13, 8, b"")), &[b"abc"], true);
    }

    #[test]
    fn a_name_may_end_a_block_of_64_kib() {
        for length in [0, 0xffff] {
            let mut block = entry(12, 0, b"abc");
            block[4..6].copy_from_slice(&u16::to_le_bytes(length));
            block.resize(1 << 16, 0);
            check(&block, &[b"abc"], false);
        }
    }
}
