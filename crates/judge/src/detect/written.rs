//! Which files the build itself has written so far, and what kind of program did.

use std::collections::HashMap;

use evidence::{Event, EventKind};

use super::processes::Processes;
use super::roles::Roles;

/// The most files remembered.
pub(super) const WRITTEN_MAX: usize = 1 << 18;

/// Who wrote a file last.
#[derive(Clone, Copy)]
pub(super) struct Written {
    pub(super) roles: Roles,
    pub(super) from_network: bool,
}

/// The files written so far, by path.
#[derive(Default)]
pub(super) struct WrittenFiles {
    files: HashMap<Box<[u8]>, Written>,
    /// The limit was hit and has not been told yet.
    pub(super) full: bool,
}

impl WrittenFiles {
    pub(super) fn get(&self, path: &[u8]) -> Option<&Written> {
        self.files.get(path)
    }

    /// Notes what an event wrote or removed; after rules have looked at it.
    pub(super) fn note(&mut self, event: &Event, processes: &Processes) {
        let Some(path) = event.path.as_ref().filter(|_| event.errno == 0) else { return };
        let path = path.as_bytes();
        let by = || {
            let process = processes.get(event.process);
            Written { roles: process.roles, from_network: processes.is_online(event.process) }
        };
        match event.kind {
            EventKind::Write if !path.starts_with(b"/dev/") || path.starts_with(b"/dev/shm/") => {
                self.put(path, by());
            }
            EventKind::Rename | EventKind::Link => {
                let moved = match event.kind {
                    EventKind::Rename => self.files.remove(path),
                    _ => self.files.get(path).copied(),
                };
                // A file that the build did not write stays so under its new name, but the name is the build's.
                if let Some(target) = &event.target {
                    self.put(target.as_bytes(), moved.unwrap_or_else(by));
                }
            }
            EventKind::Unlink => {
                self.files.remove(path);
            }
            _ => {}
        }
    }

    fn put(&mut self, path: &[u8], written: Written) {
        if let Some(known) = self.files.get_mut(path) {
            *known = written;
        } else if self.files.len() < WRITTEN_MAX {
            self.files.insert(path.into(), written);
        } else {
            self.full = true;
        }
    }
}
