//! What a build may not touch, and what it may not even read: the recorder itself, the store, its keys.

use std::path::PathBuf;

use evidence::BytePath;

use super::supervisor::Supervisor;

impl Supervisor<'_, '_> {
    /// Tells whether a path may not be changed.
    pub(super) fn is_protected(&self, path: &BytePath) -> bool {
        self.is_own_process(path) || below(&self.launch.protected, path)
    }

    /// Tells whether a path may not even be read.
    pub(super) fn is_secret(&self, path: &BytePath) -> bool {
        self.is_own_process(path) || below(&self.launch.secret, path)
    }

    pub(super) fn is_own_process(&self, path: &BytePath) -> bool {
        let number =
            path.as_bytes().strip_prefix(b"/proc/").and_then(|rest| rest.split(|byte| *byte == b'/').next());
        let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        // A thread has a folder as well, which is in no list.
        number.is_some_and(|number| self.is_recorder(number))
    }

    /// Tells whether moving a path would move what is ours alone.
    pub(super) fn holds_protected(&self, path: &BytePath) -> bool {
        let mut folders = self.launch.protected.iter();
        folders.any(|folder| BytePath::new(folder.as_os_str().as_encoded_bytes()).is_below(path.as_bytes()))
    }
}

fn below(folders: &[PathBuf], path: &BytePath) -> bool {
    folders.iter().any(|folder| path.is_below(folder.as_os_str().as_encoded_bytes()))
}
