//! Readers around readers, and what their errors say.

use std::io::{self, Read};

use crate::budget::Exhausted;
use crate::source::{Changed, Scattered, Source};

/// What is read contradicts itself, or its format.
pub(super) fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Tells whether there are only zeros.
pub(super) fn is_zero(source: &Source) -> io::Result<bool> {
    if let Source::Held(bytes) = source {
        return Ok(bytes.iter().all(|byte| *byte == 0));
    }
    let (mut reader, mut buffer) = (source.reader(), [0; 16 << 10]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(true),
            read if buffer[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// A decoder that stops when it has given too much.
pub(super) struct Metered<R> {
    pub(super) reader: R,
    pub(super) left: u64,
    pub(super) what: Exhausted,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(self.what))?;
        Ok(read)
    }
}

/// What cannot be read.
pub(super) struct Fails(pub(super) Exhausted);

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(self.0))
    }
}

/// A reader that knows how far it has come.
pub(super) struct Counted<R> {
    pub(super) reader: R,
    pub(super) position: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A reader that adds up the bytes that it gives.
pub(super) struct Summed<R> {
    pub(super) reader: R,
    pub(super) sum: u32,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        let bytes = into.get(..read).unwrap_or_default();
        self.sum = bytes.iter().fold(self.sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        Ok(read)
    }
}

/// Names what is not the fault of the container's structure.
pub(super) fn named(error: &io::Error) -> Option<(&'static str, String)> {
    if let Some(what) = cause::<Exhausted>(error) {
        return Some(("budget-exhausted", what.0.to_owned()));
    }
    if let Some(what) = cause::<Scattered>(error) {
        return Some(("budget-exhausted", what.to_string()));
    }
    cause::<Changed>(error).map(|what| ("changed-while-read", what.to_string()))
}

/// Finds a cause of a type in an error.
fn cause<E: std::error::Error + Copy + 'static>(error: &io::Error) -> Option<E> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        if let Some(what) = error.downcast_ref::<E>() {
            return Some(*what);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as _),
            None => error.source(),
        };
    }
    None
}
