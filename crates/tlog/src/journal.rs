//! The journal of the sequencer: batches of entries with the checkpoint that was signed over them, durable before
//! anybody hears of them, and written into tiles later.
//!
//! A record is a mark, the length and SHA-256 of what follows, and that: the index of its first entry, the signed
//! checkpoint, the entries. What a crash or a failing disk has torn does not have its digest and ends the journal: it
//! was never acknowledged. What has its digest is believed only as far as the checkpoint in it verifies.

use sha2::{Digest, Sha256};

use crate::log::{ENTRY_MAX_BYTES, LogError};
use crate::seam::SeamError;

/// Where batches wait for their tiles.
pub trait Journal {
    /// Adds bytes at the end; durable when this returns. After an error nothing is known of the end.
    fn append(&self, bytes: &[u8]) -> Result<(), SeamError>;

    /// Reads everything.
    fn read(&self) -> Result<Vec<u8>, SeamError>;

    /// Empties it; durable when this returns.
    fn clear(&self) -> Result<(), SeamError>;
}

const MARK: &[u8; 8] = b"CSTLOGJ1";
const HEADER_BYTES: usize = 8 + 4 + 32;

/// One batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) first_index: u64,
    pub(crate) note: String,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Record {
    pub(crate) fn encode(first_index: u64, note: &str, entries: &[Vec<u8>]) -> Result<Vec<u8>, LogError> {
        let size: usize = entries.iter().map(|entry| entry.len() + 2).sum::<usize>() + note.len() + 16;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + size);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&[0; 4 + 32]);
        bytes.extend_from_slice(&first_index.to_be_bytes());
        bytes.extend_from_slice(&(note.len() as u32).to_be_bytes());
        bytes.extend_from_slice(note.as_bytes());
        bytes.extend_from_slice(&(entries.len() as u32).to_be_bytes());
        for entry in entries {
            let length = u16::try_from(entry.len()).map_err(|_| LogError::EntrySize(entry.len()))?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        let length =
            u32::try_from(bytes.len() - HEADER_BYTES).map_err(|_| LogError::BatchSize(entries.len()))?;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let digest = Sha256::digest(&bytes[HEADER_BYTES..]);
        bytes[12..HEADER_BYTES].copy_from_slice(&digest);
        Ok(bytes)
    }

    /// Reads all whole records. What follows the last of them was torn off by a crash and is dropped; but whole
    /// records behind a broken one are no tear: something was acknowledged and is damaged now.
    pub(crate) fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, LogError> {
        let mut records = Vec::new();
        while let Some((record, rest)) = Self::read(bytes) {
            records.push(record);
            bytes = rest;
        }
        let damaged = (1..bytes.len()).any(|at| {
            let rest = bytes.get(at..).unwrap_or_default();
            rest.starts_with(MARK) && Self::read(rest).is_some()
        });
        if damaged { Err(LogError::JournalDamaged) } else { Ok(records) }
    }

    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let rest = bytes.strip_prefix(MARK)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if Sha256::digest(payload).as_slice() != digest {
            return None;
        }
        let (first_index, payload) = payload.split_first_chunk::<8>()?;
        let (length, payload) = payload.split_first_chunk::<4>()?;
        let (note, payload) = payload.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (count, mut payload) = payload.split_first_chunk::<4>()?;
        let mut entries = Vec::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let (length, tail) = payload.split_first_chunk::<2>()?;
            let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            debug_assert!(entry.len() <= ENTRY_MAX_BYTES);
            entries.push(entry.to_vec());
            payload = tail;
        }
        let note = String::from_utf8(note.to_vec()).ok()?;
        payload
            .is_empty()
            .then_some((Self { first_index: u64::from_be_bytes(*first_index), note, entries }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_records_are_read() {
        let one = Record::encode(7, "note", &[b"a".to_vec(), Vec::new()]).unwrap();
        let two = Record::encode(9, "more", &[b"b".to_vec()]).unwrap();
        let both = [one.clone(), two].concat();
        assert_eq!(Record::read_all(&both).unwrap().len(), 2);
        for cut in 0..both.len() {
            let read = Record::read_all(&both[..cut]).unwrap();
            assert_eq!(read.len(), usize::from(cut >= one.len()), "{cut}");
        }
        for position in 0..both.len() {
            let mut flipped = both.clone();
            flipped[position] ^= 0x10;
            match Record::read_all(&flipped) {
                Ok(read) => assert!(read.len() == 1 && position >= one.len(), "{position}"),
                Err(error) => assert!(position < one.len(), "{position}: {error}"),
            }
        }
    }
}
