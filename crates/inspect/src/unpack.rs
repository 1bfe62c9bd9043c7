//! Containers: their members, one by one, within the budget.

mod apfs;
mod ar;
mod asar;
mod attached;
mod cab;
mod cfb;
mod cpio;
mod crc32c;
mod decmpfs;
mod dmg;
mod ext;
mod fat;
mod hfs;
mod iso;
mod joined;
mod lzfse;
mod names;
mod oci;
mod partitions;
mod reading;
mod rpm;
mod sevenz;
mod squashfs;
mod stream;
mod tar;
mod xar;
pub(crate) mod xml;
pub(crate) mod zip;

use std::io::{self, Read};
use std::rc::Rc;

use evidence::tree::Packing;
use evidence::{BytePath, Digest, Node};

use crate::budget::Exhausted;
use crate::format::Format;
use crate::open::{Inspection, Known};
use crate::room::Held;
use crate::source::{CHUNK_BYTES, Open, Source};

use self::reading::{Fails, Metered, is_zero, named};

pub(crate) use apfs::is_container as is_apfs_container;
pub(crate) use dmg::TRAILER_BYTES as DMG_TRAILER_BYTES;
pub(crate) use ext::is_volume as is_ext_volume;
pub(crate) use fat::is_volume as is_fat_volume;
pub(crate) use hfs::is_volume as is_hfs_volume;
pub(crate) use oci::Documents;
pub(crate) use partitions::is_disk;
pub(crate) use stream::decoder;
pub(crate) use tar::is_header as is_tar_header;

/// How much more is held at a time of what has no known size.
const STEP_MIN_BYTES: u64 = 1 << 20;
const STEP_MAX_BYTES: u64 = 32 << 20;

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
        Format::Zip
        | Format::Tar
        | Format::Cpio
        | Format::Ar
        | Format::SevenZip
        | Format::Iso
        | Format::Squashfs
        | Format::Dmg
        | Format::Hfs
        | Format::Apfs
        | Format::Ext
        | Format::Fat
        | Format::Partitions
        | Format::Asar => read_where_it_lies(&mut container, format, &Source::Held(bytes)),
        Format::Rpm => rpm::members(&mut container, bytes),
        Format::Cfb => cfb::members(&mut container, bytes),
        Format::Cab => cab::members(&mut container, bytes),
        Format::Xar => xar::members(&mut container, bytes),
        Format::Gzip
        | Format::Bzip2
        | Format::Xz
        | Format::Lzma
        | Format::Lzip
        | Format::Zstd
        | Format::Lz4
        | Format::Brotli
        | Format::Pbzx => stream::members(&mut container, format, &Source::Held(bytes)),
        Format::Pe | Format::Elf | Format::MachO | Format::Wasm | Format::Data => {
            attached::members(&mut container, format, bytes);
        }
        Format::Unsupported(_) => {}
    }
    container.finish();
}

/// Opens all members of a container that is not held.
pub(crate) fn members_of_source(
    inspection: &mut Inspection,
    node: &mut Node,
    path: &BytePath,
    format: Format,
    source: &Source,
) {
    let mut container = Container { inspection, node, path, documents: Documents::default() };
    if is_read_where_it_lies(format) {
        read_where_it_lies(&mut container, format, source);
    } else if format == Format::Data {
        attached::members_of_source(&mut container, source);
    } else if is_container(format) {
        let size = source.length().unwrap_or(u64::MAX);
        container.inspection.too_large(path, size);
    }
    container.finish();
}

/// What has to be held does not fit.
fn too_large() -> io::Error {
    io::Error::other(Exhausted("too many bytes to be held in memory"))
}

/// Tells whether a name is that of a Windows catalog.
fn is_catalog_name(name: &[u8]) -> bool {
    name.len() > 4 && name[name.len() - 4..].eq_ignore_ascii_case(b".cat")
}

/// Opens a container of a format that needs to hold little of it.
fn read_where_it_lies(container: &mut Container, format: Format, source: &Source) {
    let read = match format {
        Format::Zip => zip::members(container, source),
        Format::Tar => tar::members(container, &mut source.reader(), source),
        Format::Cpio => cpio::members(container, &mut source.reader(), source),
        Format::Ar => ar::members(container, source),
        Format::SevenZip => sevenz::members(container, source),
        Format::Iso => iso::members(container, source),
        Format::Squashfs => squashfs::members(container, source),
        Format::Ext => ext::members(container, source),
        Format::Fat => fat::members(container, source),
        Format::Partitions => partitions::members(container, source),
        Format::Asar => asar::members(container, source),
        Format::Dmg => dmg::members(container, source),
        Format::Hfs => hfs::members(container, source),
        Format::Apfs => apfs::members(container, source),
        other => {
            stream::members(container, other, source);
            Ok(())
        }
    };
    if let Err(error) = read {
        container.failed(&error);
    }
}

/// Tells whether a container's reader holds little of it.
pub(crate) fn is_read_where_it_lies(format: Format) -> bool {
    matches!(
        format,
        Format::Zip
            | Format::Tar
            | Format::Cpio
            | Format::Ar
            | Format::SevenZip
            | Format::Iso
            | Format::Squashfs
            | Format::Dmg
            | Format::Hfs
            | Format::Apfs
            | Format::Ext
            | Format::Fat
            | Format::Partitions
            | Format::Asar
            | Format::Gzip
            | Format::Bzip2
            | Format::Xz
            | Format::Lzma
            | Format::Lzip
            | Format::Zstd
            | Format::Lz4
            | Format::Brotli
            | Format::Pbzx
    )
}

/// Tells whether a format is that of a container.
pub(crate) fn is_container(format: Format) -> bool {
    !matches!(
        format,
        Format::Pe | Format::Elf | Format::MachO | Format::Wasm | Format::Data | Format::Unsupported(_)
    )
}

/// Tells whether a file is a container, or has one attached.
pub(crate) fn has_members(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Unsupported(_) => false,
        other => is_container(other) || attached::is_there(format, bytes),
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

/// Opens the members of an archive that can be read front to back: by a reader that passes once, and the source for what has to be
/// read again.
pub(crate) fn members_of_stream(
    inspection: &mut Inspection,
    node: &mut Node,
    path: &BytePath,
    format: Format,
    reader: &mut dyn Read,
    source: &Source,
) {
    let mut container = Container { inspection, node, path, documents: Documents::default() };
    let read = match format {
        Format::Tar => tar::members(&mut container, reader, source),
        _ => cpio::members(&mut container, reader, source),
    };
    if let Err(error) = read {
        container.failed(&error);
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
        match named(error) {
            Some((kind, detail)) => self.problem(kind, detail),
            None => self.malformed(error),
        }
    }

    /// Notes why a member was not read.
    fn failed_member(&mut self, name: &BytePath, error: &io::Error) {
        match named(error) {
            Some((kind, detail)) => self.member_problem(name, kind, detail),
            None => self.malformed_member(name, error),
        }
    }

    /// Notes why a member was not unpacked, if only because its compression is not known.
    fn failed_unpacking(&mut self, name: &BytePath, error: &io::Error) {
        if error.kind() == io::ErrorKind::Unsupported {
            self.member_problem(name, "unsupported-compression", error);
        } else {
            self.failed_member(name, error);
        }
    }

    /// Pays for one more member. After `false` the reader stops.
    #[must_use]
    fn admit(&mut self) -> bool {
        let paid = match (self.inspection.budget.bytes, self.inspection.budget.facts_bytes) {
            (0, _) => Err(Exhausted("too many bytes")),
            (_, 0) => Err(Exhausted("too many facts")),
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

    /// Takes a member that stands in the container as it is, held or not. Nothing is taken if it cannot be read.
    fn stored(&mut self, name: BytePath, source: &Source) -> io::Result<&mut Node> {
        let member = match source {
            Source::Held(bytes) => return Ok(self.held(name, bytes)),
            Source::Far(_) => match self.inspection.near(source)? {
                Some(held) => {
                    self.inspection.budget.pay(held.len() as u64);
                    return Ok(self.unpacked_member(name, held));
                }
                None => self.inspection.far_member(self.node, self.path, name, source)?,
            },
        };
        self.inspection.budget.pay(member.size);
        Ok(self.push(member))
    }

    fn held(&mut self, name: BytePath, bytes: &[u8]) -> &mut Node {
        self.inspection.budget.pay(bytes.len() as u64);
        self.opened(name, bytes)
    }

    /// Takes a member that was paid for when it was unpacked.
    fn opened(&mut self, name: BytePath, bytes: &[u8]) -> &mut Node {
        // Container images are told from documents in them.
        if self.node.format == "tar" {
            self.documents.note(&name, bytes);
        }
        let member = self.inspection.member(self.node, self.path, name, bytes);
        self.push(member)
    }

    /// Takes a member that was paid for when it was unpacked, and that nobody else needs.
    fn unpacked_member(&mut self, name: BytePath, held: Held) -> &mut Node {
        if self.node.format == "tar" {
            self.documents.note(&name, &held);
        }
        let place = self.node.members.len();
        let member = self.inspection.held_member(self.node, self.path, name, held, place);
        self.push(member)
    }

    /// Takes a member that was found in another artifact; `None` if the budget would not suffice for it.
    fn known(&mut self, known: Box<Known>, packed: u64) -> Option<&mut Node> {
        let (room, _) = self.inspection.budget.room(packed);
        let (size, place) = (known.node.size, self.node.members.len());
        if size > room {
            return None;
        }
        let member = match self.inspection.known_member(self.node, self.path, known, place) {
            Ok(member) => member,
            Err(known) => self.inspection.spend(known.symbols, known.facts_bytes).then_some(known.node)?,
        };
        self.inspection.budget.pay(size);
        Some(self.push(member))
    }

    /// Takes a member that a decoder gives, of a size that is known or not, from so many packed bytes. Nothing is taken if it cannot be
    /// read to its end.
    fn unpacked(
        &mut self,
        name: BytePath,
        size: Option<u64>,
        packed: u64,
        open: Open<'_>,
    ) -> io::Result<&mut Node> {
        let (room, what) = self.inspection.budget.room(packed);
        if size.is_none_or(|size| size <= room)
            && let Some(held) = self.if_there_is_room(&mut open()?, size, packed)?
        {
            return Ok(self.unpacked_member(name, held));
        }
        let metered: Open = Rc::new(move || Ok(Box::new(Metered { reader: open()?, left: room, what })));
        let source = Source::decoded(metered);
        let member = self.inspection.far_member(self.node, self.path, name, &source)?;
        self.inspection.budget.pay(member.size);
        Ok(self.push(member))
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

    /// Takes what of a container no range accounts for between `start` and `end`, but for zeros.
    fn gaps(&mut self, source: &Source, mut ranges: Vec<(u64, u64)>, start: u64, end: u64) -> io::Result<()> {
        ranges.sort_unstable();
        ranges.push((end, end));
        let (mut at, mut number) = (start, 0);
        for (from, to) in ranges {
            let gap = from.min(end).checked_sub(at).and_then(|length| source.part(at, length));
            at = at.max(to);
            if let Some(gap) = gap.filter(|gap| gap.length() != Some(0))
                && !is_zero(&gap)?
            {
                if !self.admit() {
                    return Ok(());
                }
                number += 1;
                self.stored(BytePath::from(format!("#unlisted/{number}")), &gap)?;
            }
        }
        Ok(())
    }

    /// Takes what stands somewhere if it is not only zeros; `false` when the budget is spent.
    fn unless_zero(&mut self, name: &str, source: Option<Source>) -> io::Result<bool> {
        match source {
            Some(source) if !is_zero(&source)? => {
                let paid = self.admit();
                if paid {
                    self.stored(name.into(), &source)?;
                }
                Ok(paid)
            }
            _ => Ok(true),
        }
    }

    /// Takes a member that is put together from so many bytes of the container, and may be much larger than that.
    fn assembled(&mut self, name: BytePath, packed: u64, source: &Source) -> io::Result<&mut Node> {
        let (room, what) = self.inspection.budget.room(packed);
        if source.length().is_none_or(|size| size > room) {
            return Err(io::Error::other(what));
        }
        self.stored(name, source)
    }

    /// Takes a member of a known size that a decoder gives once, because others lie behind it. What is too large to be held and
    /// cannot be opened front to back is only hashed and looked through.
    fn once(
        &mut self,
        name: BytePath,
        size: u64,
        packed: u64,
        reader: &mut dyn Read,
    ) -> io::Result<&mut Node> {
        let (room, what) = self.inspection.budget.room(packed);
        if size > room {
            return Err(io::Error::other(what));
        }
        if let Some(held) = self.if_there_is_room(reader, Some(size), packed)? {
            if held.len() as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(self.unpacked_member(name, held));
        }
        let mut start = Vec::new();
        reader.take(CHUNK_BYTES as u64).read_to_end(&mut start)?;
        let again = Exhausted("it is too large to be read again from a solid archive");
        let copy = start.clone();
        let open: Open = Rc::new(move || Ok(Box::new(io::Cursor::new(copy.clone()).chain(Fails(again)))));
        let source = Source::decoded(open).of_length(size);
        let mut passing = start.as_slice().chain(reader);
        let member = self.inspection.passing_member(self.node, self.path, name, &source, &mut passing)?;
        self.inspection.budget.pay(member.size);
        Ok(self.push(member))
    }

    /// Takes a member of an archive whose reader has just come to its place in the source, held if there is room for it.
    fn passing(
        &mut self,
        name: BytePath,
        passing: &mut dyn Read,
        source: &Source,
        place: u64,
        size: u64,
    ) -> io::Result<()> {
        let part = source.part(place, size).ok_or(io::ErrorKind::UnexpectedEof)?;
        if !self.inspection.passes(&part)?
            && let Some(held) = self.if_there_is_room(passing, Some(size), size)?
        {
            if (held.len() as u64) < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unpacked_member(name, held);
            return Ok(());
        }
        let member = self.inspection.passing_member(self.node, self.path, name, &part, passing)?;
        self.inspection.budget.pay(member.size);
        self.push(member);
        Ok(())
    }

    /// Reads a decoder's output into memory, and pays for it.
    fn content(&mut self, mut reader: impl Read, packed: u64) -> io::Result<Held> {
        self.if_there_is_room(&mut reader, None, packed)?.ok_or_else(too_large)
    }

    /// Reads a decoder's output into memory, and pays for it; `None` if there is no room for it.
    fn if_there_is_room(
        &mut self,
        reader: &mut dyn Read,
        size: Option<u64>,
        packed: u64,
    ) -> io::Result<Option<Held>> {
        let (room, what) = self.inspection.budget.room(packed);
        let mut held = Held { bytes: Vec::new(), hold: self.inspection.room.hold() };
        let mut read = Ok(0);
        // One byte more than is expected is asked for: so the end is noticed.
        while held.bytes.len() as u64 == held.hold.bytes() && held.bytes.len() as u64 <= room {
            let more = match (size, held.hold.bytes()) {
                (Some(size), 0) => size.saturating_add(1),
                (_, before) => before.clamp(STEP_MIN_BYTES, STEP_MAX_BYTES),
            };
            let more = more.min((room - held.bytes.len() as u64).saturating_add(1));
            if !self.inspection.grow(&mut held.hold, more) {
                self.inspection.budget.pay(held.bytes.len() as u64);
                return Ok(None);
            }
            held.bytes.reserve_exact(more.min(STEP_MAX_BYTES) as usize);
            read = reader.take(more).read_to_end(&mut held.bytes);
            if read.is_err() {
                break;
            }
        }
        self.inspection.budget.pay(held.bytes.len() as u64);
        read?;
        if held.bytes.len() as u64 > room {
            return Err(io::Error::other(what));
        }
        held.hold.shrink(held.bytes.len() as u64);
        Ok(Some(held))
    }

    /// Says how the container writes the members that were taken since there were `from`.
    fn packed(&mut self, from: usize, packing: &Packing) {
        for member in self.node.members.iter_mut().skip(from) {
            member.packing = Some(packing.clone());
        }
    }

    fn push(&mut self, member: Node) -> &mut Node {
        self.inspection.keep(&member);
        self.node.members.push(member);
        self.node.members.last_mut().expect("a member was just added")
    }

    /// Says what only all members together show.
    fn finish(&mut self) {
        self.inspection.land_into(&mut self.node.members);
        for (name, kind, detail) in names::check(self.node) {
            self.member_problem(&name, kind, detail);
        }
        let (findings, layers) = std::mem::take(&mut self.documents).check(self.node);
        for (name, kind, detail) in findings {
            self.member_problem(&name, kind, detail);
        }
        self.inspection.image(self.path, b'!', layers);
    }
}
