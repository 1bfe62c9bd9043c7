//! Segments of the index: immutable files that are opened where they lie, without reading them.
//!
//! Everything is found by binary search in sorted tables; a posting holds the bounds of ranges as keys, so that nothing is
//! parsed when a package is looked up. All reading is checked: a damaged segment makes answers undetermined, never a panic.

mod build;
mod bytes;
mod names;
mod segment;
mod unbuild;

pub use build::Builder;
pub use segment::{Advisory, Hit, OpenError, Segment};

/// Begins every segment. The keys of versions are part of the format: another way of making them is another number.
const MAGIC: &[u8; 8] = b"CADX0001";

/// The parts of a segment, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
enum Section {
    /// Ids of records, sorted: a record's number is its place here.
    Ids,
    /// Names of packages, sorted.
    Packages,
    /// Where the posting of each package begins, 4 bytes each.
    PostingOffsets,
    /// Postings.
    Postings,
    /// Fixed columns of records, [`RECORD_BYTES`] each.
    Records,
    /// Where each block of texts begins, 4 bytes each.
    TextOffsets,
    /// Compressed blocks of texts.
    Texts,
    /// Other ids, sorted.
    Aliases,
    /// Where the list of records of each begins, 4 bytes each.
    AliasOffsets,
    /// Lists of records.
    AliasLists,
    /// Digests of artifacts, sorted, each with the number of its record.
    Artifacts,
    /// Records of earlier segments that this one replaces: segment and record, 4 bytes each, sorted.
    Replaced,
}

const SECTIONS: usize = 12;
/// Modified, withdrawn, hash of the document, group, flags, severity, score, version of CVSS.
const RECORD_BYTES: usize = 32;
const ARTIFACT_BYTES: usize = 36;
/// Records whose texts are compressed together.
const TEXTS_TOGETHER: usize = 64;

const FLAG_MALICIOUS: u8 = 1;

/// Flags of an entry in a posting.
const ENTRY_RELEASE: u8 = 1;
const ENTRY_INCOMPARABLE: u8 = 2;

/// Flags of a range.
const RANGE_UNREADABLE: u8 = 1;

/// The number of an order that nobody knows.
const ORDER_UNKNOWN: u8 = u8::MAX;

fn order_number(order: Option<versions::Order>) -> u8 {
    let found = order.and_then(|order| versions::Order::ALL.iter().position(|known| *known == order));
    found.and_then(|number| u8::try_from(number).ok()).unwrap_or(ORDER_UNKNOWN)
}

fn order_of(number: u8) -> Option<versions::Order> {
    versions::Order::ALL.get(usize::from(number)).copied()
}
