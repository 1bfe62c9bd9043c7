//! Which catalogers want a file: looked up by its name, so that hundreds of thousands of files cost nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{ALL, Cataloger, Pattern};

/// The catalogers that want a file.
#[derive(Default)]
pub struct Candidates {
    /// Those that want it for its name.
    pub documents: Vec<&'static Cataloger>,
}

/// Finds the catalogers that want a file. `path` is separated by `/`; what is inside a container follows a `!`.
pub fn candidates(path: &[u8]) -> Candidates {
    let mut found = Candidates::default();
    let name = path.rsplit(|byte| matches!(byte, b'/' | b'!')).next().unwrap_or(path);
    let Ok(name) = std::str::from_utf8(name) else { return found };
    let mut add = |list: Option<&Vec<Entry>>| {
        for entry in list.into_iter().flatten() {
            if entry.fits(path, name)
                && !found.documents.iter().any(|known| std::ptr::eq(*known, entry.cataloger))
            {
                found.documents.push(entry.cataloger);
            }
        }
    };
    add(TABLE.names.get(name));
    if let Some((_, extension)) =
        name.rsplit_once('.').filter(|(_, extension)| extension.len() <= EXTENSION_MAX)
    {
        let mut lower = [0; EXTENSION_MAX];
        let lower = &mut lower[..extension.len()];
        lower.copy_from_slice(extension.as_bytes());
        lower.make_ascii_lowercase();
        add(std::str::from_utf8(lower).ok().and_then(|extension| TABLE.extensions.get(extension)));
    }
    let folder = path
        .rsplit(|byte| matches!(byte, b'/' | b'!'))
        .nth(1)
        .and_then(|name| std::str::from_utf8(name).ok());
    add(folder.and_then(|folder| TABLE.folders.get(folder)));
    found
}

const EXTENSION_MAX: usize = 16;

struct Entry {
    cataloger: &'static Cataloger,
    pattern: Pattern,
}

impl Entry {
    fn fits(&self, path: &[u8], name: &str) -> bool {
        match self.pattern {
            Pattern::Name(_) | Pattern::Extension(_) => true,
            Pattern::End(end) => ends_with(path, end),
            Pattern::Folder(folder) => {
                let parent = path.len().checked_sub(name.len() + 1).and_then(|end| path.get(..end));
                parent.is_some_and(|parent| ends_with(parent, folder))
            }
            Pattern::Around(prefix, suffix) => {
                name.len() >= prefix.len() + suffix.len()
                    && name.starts_with(prefix)
                    && name.ends_with(suffix)
            }
            Pattern::Program => false,
        }
    }
}

/// Tells whether a path ends with these components.
fn ends_with(path: &[u8], end: &str) -> bool {
    path.strip_suffix(end.as_bytes())
        .is_some_and(|before| before.last().is_none_or(|byte| matches!(byte, b'/' | b'!')))
}

#[derive(Default)]
struct Table {
    names: HashMap<&'static str, Vec<Entry>>,
    extensions: HashMap<&'static str, Vec<Entry>>,
    folders: HashMap<&'static str, Vec<Entry>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for cataloger in ALL.iter().copied().flatten() {
        for pattern in cataloger.wants.iter().copied() {
            let last = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
            let (list, key) = match pattern {
                Pattern::Name(name) => (&mut table.names, name),
                Pattern::End(end) => (&mut table.names, last(end)),
                Pattern::Extension(extension) => (&mut table.extensions, extension),
                Pattern::Around(_, suffix) => (&mut table.extensions, suffix.trim_start_matches('.')),
                Pattern::Folder(folder) => (&mut table.folders, last(folder)),
                Pattern::Program => continue,
            };
            list.entry(key).or_default().push(Entry { cataloger, pattern });
        }
    }
    table
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_wanted_by_name_end_extension_and_folder() {
        let names = |path: &str| -> Vec<&str> {
            candidates(path.as_bytes()).documents.iter().map(|cataloger| cataloger.name).collect()
        };
        assert_eq!(names("a/Cargo.lock"), ["cargo-lock"]);
        assert_eq!(names("x.tar!Cargo.lock"), ["cargo-lock"]);
        assert_eq!(names("var/lib/dpkg/status"), ["dpkg"]);
        assert_eq!(names("xvar/lib/dpkg/status"), Vec::<&str>::new());
        assert_eq!(names("i.tar!var/lib/dpkg/status.d/base"), ["dpkg"]);
        assert_eq!(names("p/requirements-dev.txt"), ["python-requirements"]);
        assert_eq!(names("p/notes.txt"), Vec::<&str>::new());
        assert_eq!(names("p/Cargo.lock.bak"), Vec::<&str>::new());
    }
}
