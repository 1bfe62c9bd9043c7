//! Which catalogers want a file: looked up by its name, so that hundreds of thousands of files cost nothing.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::{ALL, Cataloger, Pattern};

/// The catalogers that want a file.
#[derive(Default)]
pub struct Candidates {
    /// Those that want it for its name.
    pub documents: Vec<&'static Cataloger>,
    /// Whether it may be a program, as far as its name says.
    pub program: bool,
}

impl Candidates {
    /// Tells whether nobody wants the file.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty() && !self.program
    }
}

/// Tells from the name of a file alone whether anybody may want it. Those in a folder whose every file is wanted are asked for by
/// their whole path: they have no extension, or a short one.
pub fn may_want(name: &[u8]) -> bool {
    !extension(name).is_some_and(|extension| OF_NO_PROGRAM.contains(&extension)) || TABLE.wants_name(name)
}

/// Extensions of files that are no programs, and that no cataloger wants for their extension.
const OF_NO_PROGRAM: &[&str] = &[
    "a",
    "bmp",
    "bz2",
    "c",
    "cc",
    "cmake",
    "cpp",
    "css",
    "csv",
    "d",
    "dat",
    "eot",
    "flow",
    "gif",
    "gz",
    "h",
    "hpp",
    "htm",
    "html",
    "ico",
    "idx",
    "inc",
    "ipp",
    "java",
    "jpeg",
    "jpg",
    "js",
    "jsx",
    "la",
    "less",
    "ll",
    "log",
    "lua",
    "m4",
    "map",
    "markdown",
    "md",
    "mdx",
    "mjs",
    "mo",
    "mp3",
    "mp4",
    "mts",
    "o",
    "obj",
    "otf",
    "pack",
    "pak",
    "pc",
    "pdf",
    "php",
    "pl",
    "pm",
    "png",
    "po",
    "pod",
    "ps1",
    "py",
    "pyc",
    "pyi",
    "pyo",
    "pyx",
    "rb",
    "rlib",
    "rmeta",
    "rs",
    "rst",
    "s",
    "scss",
    "sh",
    "snap",
    "sql",
    "svg",
    "tcl",
    "tex",
    "ts",
    "tsx",
    "ttf",
    "txt",
    "vim",
    "vue",
    "wasm",
    "woff",
    "woff2",
    "xhtml",
    "xml",
    "xsd",
    "xsl",
    "cts",
    "cjs",
    "json",
    "yml",
    "yaml",
    "toml",
    "lock",
    "properties",
    "rsrc",
    "bin-info",
    "timestamp",
    "sum",
    "pem",
    "crt",
    "exp",
    "out",
    "ini",
    "cfg",
    "conf",
    "patch",
    "diff",
];

fn extension(name: &[u8]) -> Option<&str> {
    let at = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0)?;
    std::str::from_utf8(&name[at + 1..]).ok()
}

/// Finds the catalogers that want a file. `path` is separated by `/`; what is inside a container follows a `!`.
pub fn candidates(path: &[u8]) -> Candidates {
    let mut found = Candidates::default();
    let name = path.rsplit(|byte| matches!(byte, b'/' | b'!')).next().unwrap_or(path);
    let Ok(name) = std::str::from_utf8(name) else { return found };
    found.program = extension(name.as_bytes()).is_none_or(|extension| !OF_NO_PROGRAM.contains(&extension));
    let documents = &mut found.documents;
    let mut add = |list: Option<&Vec<Entry>>| {
        for entry in list.into_iter().flatten() {
            if entry.fits(path, name) && !documents.iter().any(|known| std::ptr::eq(*known, entry.cataloger))
            {
                documents.push(entry.cataloger);
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
    /// Extensions of files that are wanted for their folder.
    folder_extensions: HashSet<&'static str>,
}

impl Table {
    fn wants_name(&self, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        if self.names.contains_key(name) {
            return true;
        }
        let of_extension = extension(name.as_bytes()).and_then(|extension| self.extensions.get(extension));
        of_extension.into_iter().flatten().any(|entry| match entry.pattern {
            Pattern::Around(prefix, suffix) => name.starts_with(prefix) && name.ends_with(suffix),
            _ => true,
        }) || !self.folder_extensions.is_empty()
            && extension(name.as_bytes()).is_some_and(|extension| self.folder_extensions.contains(extension))
    }
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
                Pattern::Around(_, suffix) => {
                    (&mut table.extensions, suffix.rsplit('.').next().unwrap_or(suffix))
                }
                Pattern::Folder(folder) => {
                    table.folder_extensions.extend(["json", "yml", "yaml", "conf", "txt"]);
                    (&mut table.folders, last(folder))
                }
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
