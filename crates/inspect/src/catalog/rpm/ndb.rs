//! rpm's own "new database": pages of slots, each with the place of a blob in blocks of 16 bytes.

use super::{ALL_MAX_BYTES, HEADER_MAX_BYTES};
use crate::bytes::{le32, slice};

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT: u32 = u32::from_le_bytes(*b"Slot");
const BLOB: u32 = u32::from_le_bytes(*b"BlbS");
const PAGE_BYTES: u64 = 4096;
const SLOT_BYTES: u64 = 16;
const BLOCK_BYTES: u64 = 16;
const SLOT_PAGES_MAX: u32 = 2048;

pub(super) fn blobs(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    if le32(bytes, 0) != Some(MAGIC) {
        return Err("not an ndb file");
    }
    let pages = le32(bytes, 12).filter(|pages| *pages <= SLOT_PAGES_MAX).ok_or("too many pages of slots")?;
    let mut total = 0_usize;
    // The first two slots of the first page are the file's header.
    for number in 2..u64::from(pages) * (PAGE_BYTES / SLOT_BYTES) {
        let slot = slice(bytes, number * SLOT_BYTES, SLOT_BYTES).ok_or("a slot lies outside")?;
        if le32(slot, 0) != Some(SLOT) {
            return Err("a slot is damaged");
        }
        let (index, offset) = (le32(slot, 4).unwrap_or(0), le32(slot, 8).unwrap_or(0));
        if index == 0 {
            continue;
        }
        let at = u64::from(offset) * BLOCK_BYTES;
        let head = slice(bytes, at, 16).ok_or("a blob lies outside")?;
        if le32(head, 0) != Some(BLOB) || le32(head, 4) != Some(index) {
            return Err("a blob is damaged");
        }
        let length = le32(head, 12).unwrap_or(0);
        total = total.saturating_add(length as usize);
        if length as usize > HEADER_MAX_BYTES || total > ALL_MAX_BYTES {
            return Err("the database is too large");
        }
        take(slice(bytes, at + 16, length.into()).ok_or("a blob lies outside")?);
    }
    Ok(())
}
