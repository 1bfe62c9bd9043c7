//! Containers: their members, one by one, within the budget.

mod ar;
mod asar;
mod attached;
mod cab;
mod cfb;
mod cpio;
mod dmg;
mod hfs;
mod iso;
mod oci;
mod rpm;
mod sevenz;
mod squashfs;
mod stream;
mod tar;
mod xar;
pub(crate) mod xml;
pub(crate) mod zip;

use std::collections::BTreeSet;
use std::io::{self, Read};

use evidence::tree::Packing;
use evidence::{BytePath, Digest, Node};

use crate::budget::Exhausted;
use crate::format::Format;
use crate::open::Inspection;

pub(crate) use dmg::TRAILER_BYTES as DMG_TRAILER_BYTES;
pub(crate) use hfs::is_volume as is_hfs_volume;
pub(crate) use oci::Documents;
pub(crate) use tar::is_header as is_tar_header;

/// No system unpacks a longer path (`PATH_MAX` of Linux).
const PATH_MAX_BYTES: usize = 4096;

/// Opens all members of a container whose bytes are at hand.
pub(crate) fn members(
    inspection: &mut Inspection,
    node: &mut Node,
    path: &BytePath,
    format: Format,
    bytes: &[u8],
) {
    let mut container = Container { inspection, node, path, documents: Documents::default() };
    match format {
        Format::Zip => zip::members(&mut container, bytes),
        Format::Tar => tar::members(&mut container, bytes),
        Format::Cpio => cpio::members(&mut container, bytes),
        Format::Ar => ar::members(&mut container, bytes),
        Format::Rpm => rpm::members(&mut container, bytes),
        Format::Cfb => cfb::members(&mut container, bytes),
        Format::Cab => cab::members(&mut container, bytes),
        Format::SevenZip => sevenz::members(&mut container, bytes),
        Format::Iso => iso::members(&mut container, bytes),
        Format::Squashfs => squashfs::members(&mut container, bytes),
        Format::Xar => xar::members(&mut container, bytes),
        Format::Dmg => dmg::members(&mut container, bytes),
        Format::Hfs => hfs::members(&mut container, bytes),
        Format::Asar => asar::members(&mut container, bytes),
        Format::Gzip
        | Format::Bzip2
        | Format::Xz
        | Format::Lzma
        | Format::Lzip
        | Format::Zstd
        | Format::Lz4
        | Format::Brotli
        | Format::Pbzx => stream::members(&mut container, format, bytes),
        Format::Pe | Format::Elf | Format::MachO | Format::Wasm | Format::Data => {
            attached::members(&mut container, format, bytes);
        }
        Format::Unsupported(_) => {}
    }
    container.finish();
}

/// Tells whether a file is a container, or has one attached.
pub(crate) fn has_members(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Pe | Format::Elf | Format::MachO | Format::Wasm | Format::Data => {
            attached::is_there(format, bytes)
        }
        Format::Unsupported(_) => false,
        _ => true,
    }
}

/// Hands over the files of a zip archive one by one, unpacked within the budget: for those who want contents, not a
/// judgement about them. The error says why the archive cannot be read further.
pub fn zip_files(
    bytes: &[u8],
    budget: &mut crate::Budget,
    take: &mut dyn FnMut(&BytePath, io::Result<Vec<u8>>),
) -> Result<(), &'static str> {
    zip::files(bytes, budget, take)
}

/// Opens the members of an archive that can be read front to back.
pub(crate) fn members_of_stream(
    inspection: &mut Inspection,
    node: &mut Node,
    path: &BytePath,
    format: Format,
    reader: impl Read,
) {
    let mut container = Container { inspection, node, path, documents: Documents::default() };
    match format {
        Format::Tar => tar::members(&mut container, reader),
        _ => cpio::members(&mut container, reader),
    }
    container.finish();
}

/// A container while its members are read.
struct Container<'i, 'b> {
    inspection: &'i mut Inspection<'b>,
    node: &'i mut Node,
    path: &'i BytePath,
    /// Documents of a container image, if it is one.
    documents: Documents,
}

impl Container<'_, '_> {
    /// Notes a problem of the container itself.
    fn problem(&mut self, kind: &str, detail: impl ToString) {
        self.inspection.problem(self.path, kind, detail);
    }

    /// Notes a problem of one member.
    fn member_problem(&mut self, name: &BytePath, kind: &str, detail: impl ToString) {
        let path = self.node.join(self.path, name);
        self.inspection.problem(&path, kind, detail);
    }

    /// Notes that the container cannot be read further.
    fn malformed(&mut self, detail: impl ToString) {
        self.problem(&format!("malformed-{}", self.node.format.clone()), detail);
    }

    /// Notes that a member cannot be read.
    fn malformed_member(&mut self, name: &BytePath, detail: impl ToString) {
        self.member_problem(name, &format!("malformed-{}", self.node.format.clone()), detail);
    }

    /// Notes why reading the container stopped: the budget, or its content.
    fn failed(&mut self, error: &io::Error) {
        match exhausted(error) {
            Some(what) => self.inspection.exhausted(self.path, what),
            None => self.malformed(error),
        }
    }

    /// Notes why a member was not read.
    fn failed_member(&mut self, name: &BytePath, error: &io::Error) {
        match exhausted(error) {
            Some(what) => self.member_problem(name, "budget-exhausted", what.0),
            None => self.malformed_member(name, error),
        }
    }

    /// Pays for one more member. After `false` the reader stops.
    #[must_use]
    fn admit(&mut self) -> bool {
        let paid = match (self.inspection.budget.bytes, self.inspection.names_room) {
            (0, _) => Err(Exhausted("too many bytes")),
            (_, 0) => Err(Exhausted("too many bytes of names")),
            _ => self.inspection.budget.member(),
        };
        if let Err(what) = paid {
            self.inspection.exhausted(self.path, what);
        }
        paid.is_ok()
    }

    /// Takes a member whose bytes stand in the container as they are.
    fn bytes(&mut self, name: BytePath, bytes: &[u8]) -> &mut Node {
        self.inspection.budget.pay(bytes.len() as u64);
        let member = self.inspection.member(self.node, self.path, name, bytes);
        self.push(member)
    }

    /// Takes a member that has no content, or whose content is a link's target.
    fn leaf(&mut self, name: BytePath, word: &str, link: Option<BytePath>) -> &mut Node {
        let target = link.as_ref().map_or(&b""[..], BytePath::as_bytes);
        let mut member = Node::leaf(name, word, Digest::of(target), target.len() as u64);
        member.link = link;
        self.push(member)
    }

    /// Takes what no member accounts for.
    fn unlisted(&mut self, stretches: Vec<&[u8]>) {
        for (number, stretch) in stretches.into_iter().enumerate() {
            if !self.admit() {
                return;
            }
            self.bytes(BytePath::from(format!("#unlisted/{}", number + 1)), stretch);
        }
    }

    /// Reads a decoder's output, as far as there is room, and pays for it.
    fn content(&mut self, reader: impl Read, packed: u64) -> io::Result<Vec<u8>> {
        let (room, what) = self.inspection.budget.room(packed);
        let mut bytes = Vec::new();
        let read = reader.take(room.saturating_add(1)).read_to_end(&mut bytes);
        self.inspection.budget.pay(bytes.len() as u64);
        match read {
            Err(error) => Err(error),
            Ok(_) if bytes.len() as u64 > room => Err(io::Error::other(what)),
            Ok(_) => Ok(bytes),
        }
    }

    /// Says how the container writes the members that were taken since there were `from`.
    fn packed(&mut self, from: usize, packing: &Packing) {
        for member in self.node.members.iter_mut().skip(from) {
            member.packing = Some(packing.clone());
        }
    }

    fn push(&mut self, member: Node) -> &mut Node {
        let names_room = self.inspection.names_room.saturating_sub(member.name.as_bytes().len());
        self.inspection.names_room = names_room;
        self.node.members.push(member);
        self.node.members.last_mut().expect("a member was just added")
    }

    /// Says what only all members together show.
    fn finish(&mut self) {
        self.check_names();
        let (findings, layers) = std::mem::take(&mut self.documents).check(self.node);
        for (name, kind, detail) in findings {
            self.member_problem(&name, kind, detail);
        }
        self.inspection.image(self.path, b'!', layers);
    }

    /// Notes names that would leave the folder they are unpacked to, and names that stand for two contents.
    fn check_names(&mut self) {
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

/// Finds an exhausted budget in the causes of an error.
fn exhausted(error: &io::Error) -> Option<Exhausted> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        if let Some(what) = error.downcast_ref::<Exhausted>() {
            return Some(*what);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as _),
            None => error.source(),
        };
    }
    None
}
