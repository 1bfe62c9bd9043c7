//! Where the files of an artifact lie, for paths that lead from one of them to a folder.

use std::collections::BTreeSet;

use evidence::{BytePath, Node};

/// What a search path begins with if it is counted from the folder of the image (`ld.so`(8), "`$ORIGIN`"; `dyld`(1)).
const OWN_FOLDER: &[&str] = &["$ORIGIN", "${ORIGIN}", "@loader_path"];

/// The paths of all files, without steps that lead nowhere. Empty if no executable looks for libraries from its own folder on.
#[derive(Default)]
pub(super) struct Places {
    paths: BTreeSet<Vec<u8>>,
    /// The folder that is the artifact itself, with its `/`, if it is one.
    root: Vec<u8>,
}

impl Places {
    pub(super) fn of(root: &Node) -> Self {
        let mut places = Self::default();
        if root.format == "folder" {
            places.root = [root.name.as_bytes(), b"/"].concat();
        }
        let mut asked = false;
        root.walk(|_, node| {
            let mut paths = node.executables.iter().flat_map(|image| &image.search_paths);
            asked |= paths.any(|path| path.split(':').any(|path| after_origin(path).is_some()));
        });
        if asked {
            root.walk(|path, _| {
                if let Some((container, inside)) = places.split(path)
                    && let Some(plain) = resolved(b"", inside)
                {
                    places.paths.insert([container, &plain].concat());
                }
            });
        }
        places
    }

    /// Returns the folder to which a search path of the file leads, if the archive of the file has none of that name. What leads out
    /// of the archive is for others to provide: nobody can say here what is there.
    pub(super) fn absent(&self, file: &BytePath, search_path: &str) -> Option<String> {
        let rest = after_origin(search_path)?;
        let (container, inside) = self.split(file)?;
        let base = inside.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &inside[..at]);
        let folder = resolved(base, rest.as_bytes())?;
        if folder.is_empty() || is_elsewhere(inside) {
            return None;
        }
        let count = |begin: &[u8]| {
            self.paths.range(begin.to_vec()..).take(2).take_while(|path| path.starts_with(begin)).count()
        };
        // A file that is compressed by itself has nothing beside it, whatever is there where it is unpacked.
        let is_alone = count(container) < 2;
        let is_there = count(&[container, &folder, b"/"].concat()) > 0;
        (!is_there && !is_alone).then(|| String::from_utf8_lossy(&folder).into_owned())
    }

    /// Splits a path into that of its archive or folder and the rest; `None` if it lies in none.
    fn split<'a>(&self, path: &'a BytePath) -> Option<(&'a [u8], &'a [u8])> {
        let bytes = path.as_bytes();
        let at = match bytes.iter().rposition(|byte| *byte == b'!') {
            Some(at) => at + 1,
            None if !self.root.is_empty() && bytes.starts_with(&self.root) => self.root.len(),
            None => return None,
        };
        Some(bytes.split_at(at))
    }
}

/// What of a wheel is installed somewhere else than it lies (PyPA, "Binary distribution format").
fn is_elsewhere(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').next().is_some_and(|first| first.ends_with(b".data"))
}

/// What follows the folder of the image in a search path.
fn after_origin(path: &str) -> Option<&str> {
    let rest = OWN_FOLDER.iter().find_map(|own| path.strip_prefix(own))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Goes from a folder along a path; `None` if that leads above the begin.
fn resolved(folder: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut steps: Vec<&[u8]> = Vec::new();
    for step in folder.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match step {
            b"" | b"." => {}
            b".." => _ = steps.pop()?,
            step => steps.push(step),
        }
    }
    Some(steps.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Digest;
    use evidence::tree::Executable;

    fn artifact(format: &str, names: &[&str]) -> Node {
        let mut root = Node::leaf("a".into(), format, Digest::of(b"a"), 0);
        root.members = names
            .iter()
            .map(|name| {
                let mut node = Node::leaf((*name).into(), "elf", Digest::of(name.as_bytes()), 0);
                let image = Executable { search_paths: ["$ORIGIN".to_owned()].into(), ..Default::default() };
                node.executables.push(image);
                node
            })
            .collect();
        root
    }

    #[test]
    fn a_path_is_followed_from_the_folder_of_its_file() {
        let names = ["pkg/sub/m.so", "./pkg.libs/x.so", "pkg-1.data/scripts/tool", "top.so"];
        for (format, between) in [("zip", "!"), ("folder", "/")] {
            let places = Places::of(&artifact(format, &names));
            let absent =
                |file: &str, path: &str| places.absent(&format!("a{between}{file}").as_str().into(), path);
            for there in
                ["$ORIGIN", "$ORIGIN/", "${ORIGIN}/../../pkg.libs", "@loader_path/..", "$ORIGIN/../.."]
            {
                assert_eq!(absent("pkg/sub/m.so", there), None, "{there}");
            }
            assert_eq!(absent("pkg/sub/m.so", "$ORIGIN/../lib"), Some("pkg/lib".into()));
            assert_eq!(absent("pkg/sub/m.so", "$ORIGIN/m.so"), Some("pkg/sub/m.so".into()));
            assert_eq!(absent("pkg/sub/m.so", "@loader_path/../../pkg.lib"), Some("pkg.lib".into()));
            assert_eq!(absent("top.so", "$ORIGIN/.hidden"), Some(".hidden".into()));
            // Out of the archive, elsewhere, and of no folder of the file.
            for beyond in ["$ORIGIN/../../../lib", "$ORIGINAL/x", "/opt/x", "@executable_path/x"] {
                assert_eq!(absent("pkg/sub/m.so", beyond), None, "{beyond}");
            }
            assert_eq!(absent("pkg-1.data/scripts/tool", "$ORIGIN/../lib"), None);
        }
        // Nobody knows what lies beside a file that was given alone.
        let alone = Places::of(&artifact("gzip", &["m.so"]));
        assert_eq!(alone.absent(&"a!m.so".into(), "$ORIGIN/lib"), None);
        assert_eq!(alone.absent(&"a".into(), "$ORIGIN/lib"), None);
    }
}
