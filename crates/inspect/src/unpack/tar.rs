//! tar: POSIX, GNU and pax. Links are facts, not followed.

use evidence::{BytePath, Digest, Node};

use super::{content, unread};
use crate::open::Inspection;

pub(super) fn members(inspection: &mut Inspection, node: &mut Node, path: &BytePath, bytes: &[u8]) {
    let mut archive = ::tar::Archive::new(bytes);
    let entries = match archive.entries() {
        Ok(entries) => entries,
        Err(error) => return inspection.problem(path, "malformed-tar", error),
    };
    for entry in entries {
        let mut entry = match entry {
            Ok(entry) => entry,
            // What follows a damaged header cannot be told apart from content.
            Err(error) => return inspection.problem(path, "malformed-tar", error),
        };
        if let Err(what) = inspection.budget.member() {
            return inspection.exhausted(path, what);
        }
        let name = BytePath::new(entry.path_bytes().into_owned());
        let at = node.join(path, &name);
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().ok().map(|mode| mode & 0o7777);
        let link = entry.link_name_bytes().map(|link| BytePath::new(link.into_owned()));
        let mut member = if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            match content(inspection, &mut entry) {
                Ok(bytes) => inspection.member(node, path, name, &bytes),
                Err(why) => {
                    unread(inspection, &at, "tar", why);
                    continue;
                }
            }
        } else {
            let word = match kind {
                kind if kind.is_dir() => "directory",
                kind if kind.is_symlink() => "symlink",
                kind if kind.is_hard_link() => "hardlink",
                kind if kind.is_fifo() => "fifo",
                kind if kind.is_block_special() || kind.is_character_special() => "device",
                _ => "other",
            };
            Node::leaf(name, word, Digest::of(link.as_ref().map_or(b"", |link| link.as_bytes())), 0)
        };
        member.mode = mode;
        member.link = link;
        node.members.push(member);
    }
}
