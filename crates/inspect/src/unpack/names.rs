//! What the names of all members together show: ways out of the folder, and two contents of one name.

use std::collections::BTreeSet;

use evidence::{BytePath, Node};

use super::Container;

/// No system unpacks a longer path (`PATH_MAX` of Linux).
const PATH_MAX_BYTES: usize = 4096;

impl Container<'_, '_> {
    /// Notes names that would leave the folder they are unpacked to, and names that stand for two contents.
    pub(super) fn check_names(&mut self) {
        // Static libraries have members of one name honestly: a linker goes by the order.
        let may_repeat = self.node.format == "ar";
        let members = &self.node.members;
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|a, b| members[*a].name.cmp(&members[*b].name));
        let mut problems = Vec::new();
        let ways_out: BTreeSet<&[u8]> = members
            .iter()
            .filter(|member| member.format == "symlink" && leads_out(member))
            .map(|member| member.name.as_bytes())
            .collect();
        for (place, number) in order.iter().enumerate() {
            let member = &members[*number];
            let name = member.name.as_bytes();
            let mut parents =
                name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &name[..at]);
            if escapes(name) {
                problems.push((member.name.clone(), "path-escapes", "the name leaves the folder"));
            } else if member.format == "hardlink"
                && member.link.as_ref().is_some_and(|link| escapes(link.as_bytes()))
            {
                problems.push((member.name.clone(), "path-escapes", "the link leaves the folder"));
            } else if !ways_out.is_empty()
                && name.len() <= PATH_MAX_BYTES
                && parents.any(|parent| ways_out.contains(parent))
            {
                problems.push((
                    member.name.clone(),
                    "path-escapes",
                    "it lies behind a link out of the folder",
                ));
            }
            let earlier = place.checked_sub(1).map(|place| &members[order[place]]);
            if let Some(earlier) = earlier.filter(|earlier| !may_repeat && earlier.name == member.name)
                && (earlier.digest != member.digest || earlier.format != member.format)
            {
                problems.push((member.name.clone(), "duplicate-name", "two members of this name differ"));
            }
        }
        for (name, kind, detail) in problems {
            self.member_problem(&name, kind, detail);
        }
    }
}

/// Tells whether a symbolic link's target, which counts from the link's own folder, is outside.
fn leads_out(link: &Node) -> bool {
    let target = link.link.as_ref().map_or(&b""[..], BytePath::as_bytes);
    let folder = link.name.as_bytes().iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    escapes(target)
        && (target.starts_with(b"/") || escapes(&[&link.name.as_bytes()[..folder], target].concat()))
}

/// Tells whether a name is absolute or climbs out of the folder that it is relative to, on any system.
fn escapes(bytes: &[u8]) -> bool {
    let absolute = matches!(bytes, [b'/' | b'\\', ..])
        || matches!(bytes, [drive, b':', ..] if drive.is_ascii_alphabetic());
    let mut depth = 0_i64;
    let climbs = bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| {
        match part {
            b".." => depth -= 1,
            b"" | b"." => {}
            _ => depth += 1,
        }
        depth < 0
    });
    absolute || climbs
}
