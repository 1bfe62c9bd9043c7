//! Berkeley DB's hash tables (`db_page.h`), as rpm used them until 4.16: pages of entries, where a value is on pages of its own.

use super::{ALL_MAX_BYTES, HEADER_MAX_BYTES};
use crate::bytes::{le16, le32};

const HASH_MAGIC: u32 = 0x0006_1561;
const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_HASH: u8 = 13;
const PAGE_OVERFLOW: u8 = 7;
const HEAD_BYTES: usize = 26;
/// The entry of a value that is on pages of its own.
const OFF_PAGE: u8 = 3;

pub(super) fn blobs(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    if le32(bytes, 12) != Some(HASH_MAGIC) {
        return Err("not a hash table of Berkeley DB");
    }
    let page_bytes = le32(bytes, 20).and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    if !page_bytes.is_power_of_two() || !(512..=65536).contains(&page_bytes) {
        return Err("the page size is impossible");
    }
    let last = le32(bytes, 32).unwrap_or(0);
    let page = |number: u32| -> Option<&[u8]> {
        let start = usize::try_from(number).ok()?.checked_mul(page_bytes)?;
        bytes.get(start..start.checked_add(page_bytes)?)
    };
    let mut total = 0_usize;
    for number in 1..=last {
        let Some(head) = page(number) else { return Err("a page lies outside") };
        if !matches!(head.get(25), Some(&(PAGE_HASH | PAGE_HASH_UNSORTED))) {
            continue;
        }
        let entries = usize::from(le16(head, 20).unwrap_or(0));
        // Keys and values alternate.
        for entry in (1..entries).step_by(2) {
            let at = usize::from(le16(head, HEAD_BYTES + entry * 2).ok_or("an entry lies outside")?);
            if head.get(at) != Some(&OFF_PAGE) {
                continue;
            }
            let (Some(mut next), Some(length)) = (le32(head, at + 4), le32(head, at + 8)) else {
                return Err("an entry lies outside");
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            total = total.saturating_add(length);
            if length > HEADER_MAX_BYTES || total > ALL_MAX_BYTES {
                return Err("the database is too large");
            }
            let mut value = Vec::new();
            while next != 0 && value.len() < length {
                let overflow = page(next).ok_or("a page lies outside")?;
                if overflow.get(25) != Some(&PAGE_OVERFLOW) {
                    return Err("a value goes on in a page of another kind");
                }
                let used = usize::from(le16(overflow, 22).unwrap_or(0));
                let part = overflow.get(HEAD_BYTES..HEAD_BYTES + used).filter(|part| !part.is_empty());
                value.extend_from_slice(part.ok_or("a page says that it holds more than it can")?);
                next = le32(overflow, 16).unwrap_or(0);
            }
            value.truncate(length);
            take(&value);
        }
    }
    Ok(())
}
