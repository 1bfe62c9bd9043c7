//! Pages of public logs that somebody exported: whose signatures and certificates stand in them.
//!
//! Read are Rekor's entries as JSON (`/api/v1/log/entries`, versions 0.0.1 of all kinds), its newer entry bundles (C2SP
//! tlog-tiles), and Certificate Transparency: `get-entries` (RFC 6962, section 4.6) and data tiles (C2SP static-ct-api). Nothing is
//! verified here: a page may leave entries out or invent them. It is searched for what should not be there; it proves nothing.
//!
//! Entries are read by shape, not by kind, so that a kind of entry that is new is searched too: wherever a key or certificate
//! stands, it is found.

mod bearer;
mod certificates;
mod rekor;

pub use bearer::Bearer;
pub use certificates::same_certificate;

use evidence::Digest;

/// The longest page that is read.
pub const PAGE_MAX_BYTES: usize = 64 << 20;
/// The longest entry of one that is read: certificates and their chains are the largest.
pub const ENTRY_MAX_BYTES: usize = 4 << 20;
/// More entries in a page are not read: logs hand out a thousand at most.
pub const ENTRIES_MAX: usize = 100_000;

/// One entry of a public log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// Its place in the log, where the page says it.
    pub index: Option<u64>,
    /// Its place in the page, from 0.
    pub position: usize,
    /// What it is: `hashedrekord`, `dsse`, `certificate`, `precertificate`…
    pub kind: String,
    /// The SHA-256 digests that it names.
    pub digests: Vec<Digest>,
    /// Who signed, or who is certified.
    pub signed: Vec<Signed>,
}

/// A signature of an entry and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// The signature; none where the entry has none beside the key: in certificates, and in kinds that do not keep it.
    pub signature: Option<Vec<u8>>,
    /// Key and names.
    pub bearer: Bearer,
}

/// What a page gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// Its entries.
    pub entries: Vec<Exported>,
    /// Those that could not be read: position and why.
    pub unread: Vec<(usize, String)>,
}

/// What a file of an export is, by its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Entry bundle of tlog-tiles, whose first entry has this index.
    Entries(u64),
    /// Data tile of static-ct-api, whose first entry has this index.
    Data(u64),
    /// JSON.
    Json,
}

/// A file that is no page of a log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PageError {
    /// Too large.
    #[error("a page of more than {PAGE_MAX_BYTES} bytes")]
    Size,
    /// More entries than are read.
    #[error("a page of more than {ENTRIES_MAX} entries")]
    Entries,
    /// Of no known form.
    #[error("neither Rekor's entries nor a page of a certificate log: {0}")]
    Form(String),
}

/// Tells whether a file of an exported log holds no entries: hashes and names, checkpoints.
pub fn is_beside(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts.last().copied().unwrap_or_default();
    let tile = parts.iter().rposition(|part| *part == "tile");
    let kind = tile.and_then(|at| parts.get(at + 1));
    name == "checkpoint"
        || name == "verifier-key.txt"
        || kind.is_some_and(|kind| *kind == "names" || kind.parse::<u8>().is_ok())
}

/// Reads a page. The path (with `/` between its parts) says what a tile is; anything else is JSON.
pub fn read(path: &str, bytes: &[u8]) -> Result<Page, PageError> {
    if bytes.len() > PAGE_MAX_BYTES {
        return Err(PageError::Size);
    }
    match form(path) {
        Form::Entries(first) => rekor::bundle(bytes, first),
        Form::Data(first) => certificates::tile(bytes, first),
        Form::Json => match certificates::page(bytes) {
            Some(page) => page,
            None => rekor::page(bytes),
        },
    }
}

fn form(path: &str) -> Form {
    let parts: Vec<&str> = path.split('/').collect();
    let Some(tile) = parts.iter().rposition(|part| *part == "tile") else { return Form::Json };
    let Some((kind, number)) = parts.get(tile + 1..).and_then(<[&str]>::split_first) else {
        return Form::Json;
    };
    match (*kind, tile_index(number)) {
        ("entries", Some(index)) => Form::Entries(index),
        ("data", Some(index)) => Form::Data(index),
        _ => Form::Json,
    }
}

/// Reads the number in a tile's path (tlog-tiles, "Merkle Tree"): `x001/x234/067[.p/5]`; returns the index of its first entry.
fn tile_index(parts: &[&str]) -> Option<u64> {
    let parts = match parts {
        [whole @ .., last, width] if last.ends_with(".p") && width.parse::<u8>().is_ok() => {
            let mut whole = whole.to_vec();
            whole.push(last.trim_end_matches(".p"));
            whole
        }
        whole => whole.to_vec(),
    };
    let mut number = 0_u64;
    for (place, part) in parts.iter().enumerate() {
        let digits = if place + 1 < parts.len() { part.strip_prefix('x')? } else { *part };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    (!parts.is_empty()).then_some(number)?.checked_mul(256)
}

/// Bytes from which numbers and vectors are taken (RFC 8446, section 3).
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A big-endian number of so many bytes, at most eight.
    fn number(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A vector with its length before it.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_a_tile_is() {
        for (path, expected) in [
            ("tile/entries/000", Form::Entries(0)),
            ("export/tile/entries/x001/234.p/5", Form::Entries(1234 * 256)),
            ("tile/data/x001/x234/067", Form::Data(1_234_067 * 256)),
            ("tile/entries/01", Form::Json),
            ("tile/entries/x001", Form::Json),
            ("tile/entries", Form::Json),
            ("page.json", Form::Json),
        ] {
            assert_eq!(form(path), expected, "{path}");
        }
        assert!(is_beside("a/tile/0/000.p/3") && is_beside("checkpoint") && is_beside("tile/names/000"));
        assert!(!is_beside("tile/entries/000") && !is_beside("tile/data/000") && !is_beside("0/000"));
    }
}
