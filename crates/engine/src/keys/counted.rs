//! How many signatures a key file has made: a cell of the store beside the log's head, raised before each signature.
//!
//! Whoever copies the file signs without raising it, and whoever signs here without logging raises it alone: `monitor` compares
//! it with the log. A crash between the two leaves one signature too many; `trust count` begins anew and says so in the log.

use std::path::PathBuf;

use attest::{KeyError, PublicKey, Signer};
use store::{Heads, SqliteHeads, StoreError, StoreLock};

use crate::error::Result;
use crate::world::store_error;

/// Name of the cell.
fn cell(key: &PublicKey) -> String {
    format!("signatures-{}", key.short())
}

/// Begins to count; what was counted before is forgotten.
pub(crate) fn begin(heads: &SqliteHeads, key: &PublicKey, count: u64) -> Result<()> {
    let name = cell(key);
    let before = heads.load(&name).map_err(store_error)?;
    heads.replace(&name, before.as_deref(), count.to_string().as_bytes()).map_err(store_error)
}

/// Returns the count; none for keys that nobody counts.
pub(crate) fn count(heads: &SqliteHeads, key: &PublicKey) -> Result<Option<u64>> {
    read(heads, key).map_err(store_error)
}

fn read(heads: &SqliteHeads, key: &PublicKey) -> std::result::Result<Option<u64>, StoreError> {
    let Some(bytes) = heads.load(&cell(key))? else { return Ok(None) };
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    // A cell that holds no number was changed behind our back: no count is equal to that of the log.
    Ok(Some(number.unwrap_or(u64::MAX)))
}

/// A signer whose signatures are counted.
pub(super) struct Counted {
    pub(super) inner: Box<dyn Signer>,
    pub(super) heads: PathBuf,
    /// The lock that all writers of the store hold.
    pub(super) lock: PathBuf,
}

impl Counted {
    fn raise(&self) -> std::result::Result<(), StoreError> {
        let _lock = StoreLock::acquire(&self.lock)?;
        let heads = SqliteHeads::open(&self.heads)?;
        let name = cell(self.inner.public_key());
        loop {
            let Some(before) = heads.load(&name)? else { return Ok(()) };
            let number = read(&heads, self.inner.public_key())?.unwrap_or(u64::MAX);
            match heads.replace(&name, Some(&before), number.saturating_add(1).to_string().as_bytes()) {
                Err(StoreError::Conflict(_)) => {}
                result => return result,
            }
        }
    }
}

impl Signer for Counted {
    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, KeyError> {
        self.raise().map_err(|error| KeyError::Count(Box::new(error)))?;
        self.inner.sign(message)
    }

    fn counter(&self) -> std::result::Result<Option<u64>, KeyError> {
        let heads = SqliteHeads::open(&self.heads);
        heads
            .and_then(|heads| read(&heads, self.inner.public_key()))
            .map_err(|error| KeyError::Count(Box::new(error)))
    }
}
