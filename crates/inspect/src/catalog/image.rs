//! Layers of container images: what a layer above replaces or deletes is not part of the image.

use std::collections::{HashMap, HashSet};

use evidence::{BytePath, Node};

use super::Scan;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The layers of one image, lowest first.
pub(crate) struct Image {
    /// The paths of the layers.
    layers: Vec<Vec<u8>>,
}

impl Image {
    /// Takes the names of layers in their container.
    pub(crate) fn new(container: &BytePath, separator: u8, names: Vec<String>) -> Self {
        let path = |name: String| [container.as_bytes(), &[separator], name.as_bytes()].concat();
        Self { layers: names.into_iter().map(path).collect() }
    }
}

/// What a layer says of the layers below it.
#[derive(Default)]
struct Layer {
    /// Files of which a cataloger speaks and that the layer has too.
    files: HashSet<Vec<u8>>,
    /// Files and folders that it deletes.
    deleted: HashSet<Vec<u8>>,
    /// Folders of which it deletes all that was in them.
    emptied: HashSet<Vec<u8>>,
}

/// Leaves out the readings of files that no image shows: in every image that has their layer, a layer above replaces or deletes
/// them.
pub(crate) fn drop_replaced(root: &Node, images: &[Image], scan: &mut Scan) {
    if images.is_empty() {
        return;
    }
    let paths: HashSet<&[u8]> = images.iter().flat_map(|image| &image.layers).map(Vec::as_slice).collect();
    let split = |path: &BytePath| -> Option<(Vec<u8>, Vec<u8>)> {
        let bytes = path.as_bytes();
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'!').map(|(at, _)| at);
        let end = ends.rfind(|end| paths.contains(&bytes[..*end]))?;
        // Behind the layer stands its archive, if it is compressed: `layer!layer.tar!path`.
        let inside = &bytes[end + 1..];
        let archive =
            inside.iter().position(|byte| *byte == b'!').filter(|at| inside[..*at].ends_with(b".tar"));
        let inner = archive.map_or(inside, |at| &inside[at + 1..]);
        Some((bytes[..end].to_vec(), inner.strip_prefix(b"./").unwrap_or(inner).to_vec()))
    };
    let wanted: HashSet<Vec<u8>> =
        scan.readings().iter().filter_map(|reading| split(&reading.path)).map(|(_, inner)| inner).collect();
    let mut layers: HashMap<Vec<u8>, Layer> = HashMap::new();
    root.walk(|path, _| {
        let Some((layer, inner)) = split(path) else { return };
        let known = layers.entry(layer).or_default();
        let (folder, name) = match inner.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&inner[..at], &inner[at + 1..]),
            None => (&b""[..], inner.as_slice()),
        };
        if name == OPAQUE {
            known.emptied.insert(folder.to_vec());
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            let path = if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() };
            known.deleted.insert(path);
        } else if wanted.contains(&inner) {
            known.files.insert(inner);
        }
    });
    scan.retain(|reading| {
        let Some((layer, inner)) = split(&reading.path) else { return true };
        let mut with_it = images.iter().filter(|image| image.layers.contains(&layer)).peekable();
        if with_it.peek().is_none() {
            return true;
        }
        with_it.any(|image| {
            let above = image.layers.iter().rev().take_while(|path| **path != layer);
            !above.filter_map(|path| layers.get(path)).any(|above| hides(above, &inner))
        })
    });
}

fn hides(layer: &Layer, path: &[u8]) -> bool {
    if layer.files.contains(path) || layer.deleted.contains(path) {
        return true;
    }
    let mut folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    layer.emptied.contains(&b""[..])
        || folders.any(|folder| layer.deleted.contains(folder) || layer.emptied.contains(folder))
}
