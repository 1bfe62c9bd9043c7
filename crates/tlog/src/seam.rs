//! The two seams of the log, and what stands behind them in tests: memory that fails on command.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Why a seam could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum SeamError {
    /// The head is not what the writer took it for: somebody else has written.
    #[error("the head was replaced by somebody else")]
    Conflict,
    /// Reading or writing failed.
    #[error("cannot {attempt}")]
    Io {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// Where tiles and the published checkpoint are.
pub trait Tiles {
    /// Reads a file by its path in the log; `None` if there is none.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SeamError>;

    /// Writes a file whole; durable when this returns. May replace what an append that never ended has left.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), SeamError>;

    /// Writes a file whole; durable only after the next [`Tiles::settle`].
    fn stage(&self, path: &str, bytes: &[u8]) -> Result<(), SeamError> {
        self.write(path, bytes)
    }

    /// Makes everything durable that was staged.
    fn settle(&self) -> Result<(), SeamError> {
        Ok(())
    }
}

/// The one cell that says which tree is the log's.
pub trait HeadCell {
    /// Reads it.
    fn load(&self) -> Result<Option<Vec<u8>>, SeamError>;

    /// Replaces `old` by `new`, or refuses with [`SeamError::Conflict`]; durable when this returns.
    fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<(), SeamError>;
}

/// When the next writes fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The n-th write from now fails and does nothing.
    Before(usize),
    /// The n-th write from now is done and then reported as failed.
    After(usize),
}

#[derive(Default)]
struct Faulty {
    fault: Option<Fault>,
}

impl Faulty {
    fn run(&mut self, write: impl FnOnce()) -> Result<(), SeamError> {
        let failed = || SeamError::Io {
            attempt: "write (injected fault)".into(),
            source: std::io::Error::other("fault"),
        };
        let (done, outcome) = match self.fault {
            None => (true, Ok(())),
            Some(Fault::Before(0)) => (false, Err(failed())),
            Some(Fault::After(0)) => (true, Err(failed())),
            Some(Fault::Before(count)) => {
                self.fault = Some(Fault::Before(count - 1));
                (true, Ok(()))
            }
            Some(Fault::After(count)) => {
                self.fault = Some(Fault::After(count - 1));
                (true, Ok(()))
            }
        };
        if outcome.is_err() {
            self.fault = None;
        }
        if done {
            write();
        }
        outcome
    }
}

/// Tiles in memory.
#[derive(Default)]
pub struct MemoryTiles {
    files: Mutex<(BTreeMap<String, Vec<u8>>, Faulty)>,
}

impl MemoryTiles {
    /// Makes a coming write fail.
    pub fn fail(&self, fault: Fault) {
        self.with(|files| files.1.fault = Some(fault));
    }

    /// Takes a fault back that has not struck yet.
    pub fn heal(&self) {
        self.with(|files| files.1.fault = None);
    }

    /// Changes files behind the log's back.
    pub fn tamper(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) {
        self.with(|files| change(&mut files.0));
    }

    fn with<T>(&self, use_files: impl FnOnce(&mut (BTreeMap<String, Vec<u8>>, Faulty)) -> T) -> T {
        use_files(&mut self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Tiles for MemoryTiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SeamError> {
        Ok(self.with(|files| files.0.get(path).cloned()))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), SeamError> {
        self.with(|(files, faulty)| faulty.run(|| drop(files.insert(path.to_owned(), bytes.to_vec()))))
    }
}

/// A head in memory.
#[derive(Default)]
pub struct MemoryHead {
    cell: Mutex<(Option<Vec<u8>>, Faulty)>,
}

impl MemoryHead {
    /// Makes a coming replacement fail.
    pub fn fail(&self, fault: Fault) {
        self.cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.fault = Some(fault);
    }
}

impl MemoryHead {
    /// Takes a fault back that has not struck yet.
    pub fn heal(&self) {
        self.cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.fault = None;
    }
}

impl HeadCell for MemoryHead {
    fn load(&self) -> Result<Option<Vec<u8>>, SeamError> {
        Ok(self.cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0.clone())
    }

    fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<(), SeamError> {
        let mut cell = self.cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (value, faulty) = &mut *cell;
        if value.as_deref() != old {
            return Err(SeamError::Conflict);
        }
        faulty.run(|| *value = Some(new.to_vec()))
    }
}

/// A journal in memory.
#[derive(Default)]
pub struct MemoryJournal {
    bytes: Mutex<(Vec<u8>, Faulty)>,
}

impl MemoryJournal {
    /// Makes a coming write fail.
    pub fn fail(&self, fault: Fault) {
        self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.fault = Some(fault);
    }

    /// Takes a fault back that has not struck yet.
    pub fn heal(&self) {
        self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.fault = None;
    }

    /// Changes the bytes behind the sequencer's back.
    pub fn tamper(&self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0);
    }
}

impl crate::Journal for MemoryJournal {
    fn append(&self, bytes: &[u8]) -> Result<(), SeamError> {
        let mut guard = self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (written, faulty) = &mut *guard;
        faulty.run(|| written.extend_from_slice(bytes))
    }

    fn read(&self) -> Result<Vec<u8>, SeamError> {
        Ok(self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0.clone())
    }

    fn clear(&self) -> Result<(), SeamError> {
        let mut guard = self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (written, faulty) = &mut *guard;
        faulty.run(|| written.clear())
    }
}
