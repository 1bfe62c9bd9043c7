//! Programs and libraries: what compilers write into them of their packages (`cargo auditable`, Go's build information), the
//! version strings of C libraries that are often built in, the names of .NET assemblies and the versions of programs for
//! Windows. Read by ranges: of a program of hundreds of megabytes, only the sections that say something.

mod golang;
mod rust;
mod sections;
#[cfg(test)]
mod tests;
mod versions;
mod windows;

use std::io;

use super::found::Found;
use sections::Section;

/// The content of a file, read where it is needed.
pub trait Content {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Reads `length` bytes; fewer only at the end.
    fn range(&self, at: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl Content for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn range(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(self.len());
        let end = start.saturating_add(length).min(self.len());
        Ok(self[start..end].to_vec())
    }
}

/// The names under which the readers of programs report.
pub(super) const NAMES: [&str; 4] = ["rust-program", "go-program", "version-string", "windows-program"];

/// Bytes of a section that are read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// A reader of one kind of facts.
type Reader = fn(&dyn Content, &[Section], &mut Found) -> io::Result<()>;

/// Reads what a program says of its packages. What is no program says nothing.
pub fn read_program(content: &dyn Content) -> Vec<(&'static str, Found)> {
    let mut readings = Vec::new();
    let sections = match sections::of(content) {
        Ok(Some(sections)) => sections,
        // Neither is a damaged program one that says something; what is wrong with it, `inspect` tells.
        Ok(None) | Err(_) => return readings,
    };
    let readers: [Reader; 4] = [rust::read, golang::read, versions::read, windows::read];
    for (name, read) in NAMES.into_iter().zip(readers) {
        let mut found = Found::default();
        if let Err(error) = read(content, &sections, &mut found) {
            found.problem("unreadable", error);
        }
        if !found.is_empty() {
            readings.push((name, found));
        }
    }
    readings
}

/// Tells whether a file of this name is a library, whether or not it may be executed.
pub fn is_library_name(name: &[u8]) -> bool {
    let ends = [&b".so"[..], b".dll", b".exe", b".dylib", b".node", b".pyd"];
    ends.iter().any(|end| name.ends_with(end)) || memchr::memmem::find(name, b".so.").is_some()
}

/// Reads a section, at most so many bytes of it.
fn whole(content: &dyn Content, section: &Section, most: u64) -> io::Result<Vec<u8>> {
    content.range(section.offset, usize::try_from(section.size.min(most)).unwrap_or(usize::MAX))
}
