//! Authenticode of a cabinet: the reserved part of its header says where the signature lies. The layout is that of `signtool` and of
//! `osslsigncode`.

use evidence::tree::CodeSignature;

use super::{FLAG_NEXT, FLAG_PREVIOUS, FLAG_RESERVE};
use crate::bytes::{le16, le32, slice};
use crate::executable::{Trusted, leaves_out, of_cabinet};

/// Size of the reserved part, and its first word, as signers write them.
const RESERVE_BYTES: u16 = 20;
const RESERVE_MARK: [u8; 4] = [0, 0, 0x10, 0];
/// Where it is in the file: mark, place and size of the signature, four bytes, and the last four, which are covered.
const RESERVE_AT: usize = 40;
const UNUSED_AT: usize = RESERVE_AT + 12;
const COVERED_AT: usize = RESERVE_AT + 16;
/// `CFHEADER.iCabinet`, which no digest is over.
const NUMBER_AT: usize = 34;

/// Reads the signature, if there is one.
pub(super) fn read(bytes: &[u8], trusted: &Trusted) -> Option<CodeSignature> {
    let flags = le16(bytes, 30)?;
    if flags & FLAG_RESERVE == 0 || le16(bytes, 36)? < RESERVE_BYTES {
        return None;
    }
    let (start, size) = (le32(bytes, RESERVE_AT + 4)?, le32(bytes, RESERVE_AT + 8)?);
    let structure = slice(bytes, u64::from(start), u64::from(size)).filter(|found| !found.is_empty())?;
    let from = usize::try_from(start).ok()?;
    let to = from + structure.len();
    // Signature of the file, then sizes and counts but the number in a set, then what follows the place of the signature.
    let parts = [bytes.get(..4)?, bytes.get(8..NUMBER_AT)?, bytes.get(COVERED_AT..from)?];
    let mut facts = of_cabinet(bytes, from, to, &parts, trusted);
    let is = |at: usize, expected: &[u8]| bytes.get(at..at + expected.len()) == Some(expected);
    let mut stretches = vec![("behind the signature", to, bytes.len())];
    if !is(4, &[0; 4]) {
        stretches.push(("reserved field of the header", 4, 8));
    }
    // In a set of cabinets each has its number.
    if flags & (FLAG_PREVIOUS | FLAG_NEXT) == 0 && !is(NUMBER_AT, &[0; 2]) {
        stretches.push(("number of the cabinet", NUMBER_AT, NUMBER_AT + 2));
    }
    if !is(36, &[20, 0, 0, 0]) || !is(RESERVE_AT, &RESERVE_MARK) {
        stretches.push(("sizes of reserved parts", 36, RESERVE_AT + 4));
    }
    if !is(UNUSED_AT, &[0; 4]) {
        stretches.push(("reserved part of the header", UNUSED_AT, COVERED_AT));
    }
    leaves_out(&mut facts, bytes, &stretches);
    facts.bytes_after_table = (bytes.len() - to) as u64;
    Some(facts)
}
