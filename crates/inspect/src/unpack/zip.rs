//! ZIP. The central directory is what installers believe; what it does not account for is a problem.

use std::io::Cursor;

use evidence::{BytePath, Digest, Node};

use super::{content, unread};
use crate::open::Inspection;

pub(super) fn members(inspection: &mut Inspection, node: &mut Node, path: &BytePath, bytes: &[u8]) {
    let mut archive = match ::zip::ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(error) => return inspection.problem(path, "malformed-zip", error),
    };
    // The library keeps one entry per name; a second one of the same name would be what others unpack.
    let listed = listed(bytes);
    if listed.is_some_and(|listed| listed != archive.len()) {
        inspection.problem(
            path,
            "malformed-zip",
            format!("{} names for {} entries", archive.len(), listed.unwrap_or(0)),
        );
    }
    for number in 0..archive.len() {
        if let Err(what) = inspection.budget.member() {
            return inspection.exhausted(path, what);
        }
        let file = match archive.by_index(number) {
            Ok(file) => file,
            Err(error) => {
                let at = node.join(path, &BytePath::from(format!("#{number}")));
                inspection.problem(&at, "malformed-zip", error);
                continue;
            }
        };
        let name = BytePath::new(file.name_raw().to_vec());
        let at = node.join(path, &name);
        // Tools that stream believe the local header; one that says another name deceives them or us.
        if local_name(bytes, file.header_start()).is_none_or(|local| local != name.as_bytes()) {
            inspection.problem(&at, "malformed-zip", "the local header names it otherwise");
        }
        let mode = file.unix_mode().map(|mode| mode & 0o7777);
        let (is_folder, is_link) = (file.is_dir(), file.is_symlink());
        let mut member = if is_folder {
            Node::leaf(name, "directory", Digest::of(b""), 0)
        } else {
            match content(inspection, file) {
                Ok(bytes) if is_link => {
                    let mut member = Node::leaf(name, "symlink", Digest::of(&bytes), bytes.len() as u64);
                    member.link = Some(BytePath::new(bytes));
                    member
                }
                Ok(bytes) => inspection.member(node, path, name, &bytes),
                Err(why) => {
                    unread(inspection, &at, "zip", why);
                    continue;
                }
            }
        };
        member.mode = mode;
        node.members.push(member);
    }
}

/// Reads a name from a local header (APPNOTE 4.3.7).
fn local_name(bytes: &[u8], header: u64) -> Option<&[u8]> {
    let header = bytes.get(usize::try_from(header).ok()?..)?;
    let length = u16::from_le_bytes(header.get(26..28)?.try_into().ok()?);
    header.get(30..30 + usize::from(length))
}

/// Counts the entries of the central directory by its signature, where the end record says it begins (APPNOTE 4.3.16).
fn listed(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = u16::from_le_bytes(bytes.get(end + 10..end + 12)?.try_into().ok()?);
    // 0xFFFF sends the reader to the 64-bit record.
    (count != u16::MAX).then_some(usize::from(count))
}
