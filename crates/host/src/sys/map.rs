//! Files mapped into memory, for reading.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;

/// A file where it lies: pages are read when they are looked at, and shared with whoever else has it open.
///
/// The file must not be cut short while it is mapped: what is read then ends the process. It is for files that are written
/// once, named by their digest and only ever deleted, which leaves the mapping whole.
#[derive(Debug)]
pub struct Mapped {
    /// None for an empty file, which cannot be mapped.
    start: Option<NonNull<libc::c_void>>,
    length: usize,
}

// SAFETY: the pages are never written through this mapping, and belong to it alone until it is dropped.
unsafe impl Send for Mapped {}
// SAFETY: as above; reading from several threads is sound.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if length == 0 {
            return Ok(Self { start: None, length });
        }
        // SAFETY: the descriptor is open; the kernel chooses the place; private and read-only, so nothing of ours is replaced.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: NonNull::new(start), length })
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        match self.start {
            None => &[],
            // SAFETY: the mapping has this length, is readable, and lives as long as `self`.
            Some(start) => unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), self.length) },
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            // SAFETY: the mapping is ours, and nobody borrows from it any more.
            unsafe { libc::munmap(start.as_ptr(), self.length) };
        }
    }
}
