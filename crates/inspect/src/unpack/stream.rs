//! Compressed streams: one member, under the name without its ending.

use std::io::Read;

use evidence::{BytePath, Node};

use super::{content, unread};
use crate::open::Inspection;

/// Endings and what they become.
const ENDINGS: &[(&[u8], &[u8])] = &[
    (b".tgz", b".tar"),
    (b".tbz", b".tar"),
    (b".tbz2", b".tar"),
    (b".txz", b".tar"),
    (b".tzst", b".tar"),
    (b".gz", b""),
    (b".bz2", b""),
    (b".xz", b""),
    (b".zst", b""),
];

pub(super) fn member(inspection: &mut Inspection, node: &mut Node, path: &BytePath, reader: impl Read) {
    let bytes = match content(inspection, reader) {
        Ok(bytes) => bytes,
        Err(why) => return unread(inspection, path, &node.format.clone(), why),
    };
    if let Err(what) = inspection.budget.member() {
        return inspection.exhausted(path, what);
    }
    let name = inner_name(node.name.file_name());
    let member = inspection.member(node, path, name, &bytes);
    node.members.push(member);
}

fn inner_name(name: &[u8]) -> BytePath {
    for (ending, instead) in ENDINGS {
        if let Some(stem) = name.strip_suffix(*ending)
            && !stem.is_empty()
        {
            return BytePath::new([stem, instead].concat());
        }
    }
    BytePath::from("content")
}
