//! The file systems ext2, ext3 and ext4 (Linux, `fs/ext4/ext4.h` and `Documentation/filesystems/ext4`): what has a name. What lies in
//! blocks of no file is not looked for.

mod blocks;
mod names;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use evidence::BytePath;

use self::names::{Entry, names};
use self::volume::{Inode, Kind, Volume};
use super::{Container, partitions};
use crate::budget::Exhausted;
use crate::source::Source;

pub(crate) use self::volume::is_volume;

const BOOT_BYTES: u64 = 1024;
const ROOT: u32 = 2;
/// A link's target is in one block, and is a path.
const TARGET_MAX_BYTES: u64 = 4096;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let volume = Volume::read(source)?;
    partitions::tell_if_beside(container, source)?;
    for (kind, what) in volume.doubts() {
        container.problem(kind, what);
    }
    if volume.is_journal() {
        return Ok(());
    }
    Walk { volume: &volume, folders: [ROOT].into(), first_names: BTreeMap::new() }.all(container);
    let after = source.length().and_then(|length| length.checked_sub(volume.bytes()));
    let after = after.and_then(|length| source.part(volume.bytes(), length));
    for (name, part) in [("#system-area", source.part(0, BOOT_BYTES)), ("#after", after)] {
        container.unless_zero(name, part)?;
    }
    Ok(())
}

struct Walk<'v, 'a> {
    volume: &'v Volume<'a>,
    /// Folders that have been come to.
    folders: BTreeSet<u32>,
    /// The first names of inodes that have several.
    first_names: BTreeMap<u32, BytePath>,
}

type Folders = Vec<(Rc<Vec<u8>>, u32)>;

impl Walk<'_, '_> {
    /// Takes all that has a name, folder by folder.
    fn all(mut self, container: &mut Container) {
        let mut stack: Folders = vec![(Rc::default(), ROOT)];
        while let Some((path, number)) = stack.pop() {
            if container.inspection.budget.bytes == 0 {
                return container.inspection.exhausted(container.path, Exhausted("too many bytes"));
            }
            match self.folder(container, &path, number, &mut stack) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) if path.is_empty() => container.failed(&error),
                Err(error) => container.failed_member(&BytePath::new(path.to_vec()), &error),
            }
        }
    }

    /// Takes the names of one folder; `false` when the budget is spent.
    fn folder(
        &mut self,
        container: &mut Container,
        path: &Rc<Vec<u8>>,
        number: u32,
        stack: &mut Folders,
    ) -> io::Result<bool> {
        let inode = self.volume.inode(number)?;
        if inode.kind() != Some(Kind::Folder) {
            return Err(io::Error::other("the root is no folder"));
        }
        let wrong = |container: &mut Container, what| match path.as_slice() {
            b"" => container.malformed(what),
            path => container.malformed_member(&BytePath::from(path), what),
        };
        // A block at a time: a folder may be made to have more names than can be held.
        let mut each = |walk: &mut Self, container: &mut Container, block: &[u8]| {
            let (entries, what) = names(block);
            for entry in entries {
                if !container.admit() {
                    return false;
                }
                walk.entry(container, path, &entry, stack);
            }
            if let Some(what) = what {
                wrong(container, what);
            }
            true
        };
        if inode.is_inline() {
            let (front, rest) = self.volume.inline(&inode)?;
            // The first four bytes are the number of the folder above.
            let parts = [front.get(4..).unwrap_or_default(), rest];
            return Ok(parts.into_iter().all(|part| each(self, container, part)));
        }
        let volume = self.volume;
        for (at, length) in volume.pieces(container, &inode)?.each() {
            let Some(at) = at else {
                wrong(container, "a folder has a hole");
                continue;
            };
            for number in 0..length.div_ceil(volume.block_bytes) {
                let block = volume.block(container, at / volume.block_bytes + number)?;
                if !each(self, container, &block) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn entry(
        &mut self,
        container: &mut Container,
        path: &Rc<Vec<u8>>,
        entry: &Entry<'_>,
        stack: &mut Folders,
    ) {
        let separator = if path.is_empty() { &b""[..] } else { b"/" };
        let full = [path.as_slice(), separator, entry.name].concat();
        let name = BytePath::new(full.clone());
        match self.volume.inode(entry.inode) {
            Ok(inode) if inode.kind() == Some(Kind::Folder) => {
                container.leaf(name.clone(), "directory", None).mode = Some(inode.permissions());
                if inode.is_encrypted() {
                    container.member_problem(
                        &name,
                        "encrypted-member",
                        "its names cannot be read without a key",
                    );
                } else if self.folders.insert(entry.inode) {
                    stack.push((Rc::new(full), entry.inode));
                } else {
                    container.malformed_member(&name, "a folder is within itself, or in two places");
                }
                self.doubt(container, &name, &inode);
            }
            Ok(inode) => {
                if let Err(error) = self.member(container, &name, &inode) {
                    container.failed_member(&name, &error);
                }
                self.doubt(container, &name, &inode);
            }
            Err(error) => container.failed_member(&name, &error),
        }
    }

    fn doubt(&self, container: &mut Container, name: &BytePath, inode: &Inode) {
        if !self.volume.is_sound(inode) {
            container.malformed_member(name, "the checksum of its inode is wrong");
        }
    }

    /// Takes what is no folder.
    fn member(&mut self, container: &mut Container, name: &BytePath, inode: &Inode) -> io::Result<()> {
        let mode = Some(inode.permissions());
        if inode.links > 1 {
            if let Some(first) = self.first_names.get(&inode.number) {
                container.leaf(name.clone(), "hardlink", Some(first.clone())).mode = mode;
                return Ok(());
            }
            self.first_names.insert(inode.number, name.clone());
        }
        let word = match inode.kind() {
            Some(Kind::File) => return self.content(container, name, inode),
            Some(Kind::Link) => {
                let target = self.target(container, name, inode)?;
                if let Some(target) = target {
                    container.leaf(name.clone(), "symlink", Some(target)).mode = mode;
                }
                return Ok(());
            }
            Some(Kind::Device) => "device",
            Some(Kind::Fifo) => "fifo",
            Some(Kind::Socket) => "other",
            Some(Kind::Folder) | None => return Err(io::Error::other("its inode is of no known kind")),
        };
        container.leaf(name.clone(), word, None).mode = mode;
        Ok(())
    }

    /// Takes a regular file.
    fn content(&self, container: &mut Container, name: &BytePath, inode: &Inode) -> io::Result<()> {
        if inode.is_encrypted() {
            container.member_problem(name, "encrypted-member", "its content cannot be read without a key");
            return Ok(());
        }
        if inode.is_compressed() {
            let what = "the file system's compression is not opened";
            container.member_problem(name, "unsupported-compression", what);
            return Ok(());
        }
        let mode = Some(inode.permissions());
        if inode.is_inline() {
            let content = self.inline_content(inode)?;
            container.bytes(name.clone(), &content).mode = mode;
            return Ok(());
        }
        let pieces = self.volume.pieces(container, inode)?;
        let packed = pieces.packed();
        let content = self.volume.content(pieces)?;
        container.assembled(name.clone(), packed, &content)?.mode = mode;
        Ok(())
    }

    fn inline_content(&self, inode: &Inode) -> io::Result<Vec<u8>> {
        let (front, rest) = self.volume.inline(inode)?;
        let mut content = [front, rest].concat();
        let size = usize::try_from(inode.size).map_err(io::Error::other)?;
        if size > content.len() {
            return Err(io::Error::other("its content is shorter than its size says"));
        }
        content.truncate(size);
        Ok(content)
    }

    /// Reads where a link leads; `None` if that is encrypted, and then it is said.
    fn target(
        &self,
        container: &mut Container,
        name: &BytePath,
        inode: &Inode,
    ) -> io::Result<Option<BytePath>> {
        if inode.is_encrypted() {
            container.member_problem(name, "encrypted-member", "its target cannot be read without a key");
            return Ok(None);
        }
        if inode.size == 0 || inode.size > TARGET_MAX_BYTES {
            return Err(io::Error::other("its target has an impossible length"));
        }
        let target = if inode.is_inline() {
            self.inline_content(inode)?
        } else if self.volume.is_fast_link(inode) {
            let target = inode.map().get(..inode.size as usize);
            target.ok_or_else(|| io::Error::other("its target has an impossible length"))?.to_vec()
        } else {
            let pieces = self.volume.pieces(container, inode)?;
            container.pay(pieces.length())?;
            self.volume.content(pieces)?.some(0, inode.size as usize)?.into_owned()
        };
        Ok(Some(BytePath::new(target)))
    }
}

impl Container<'_, '_> {
    /// Pays for bytes of a container's own structures.
    pub(super) fn pay(&mut self, bytes: u64) -> io::Result<()> {
        if self.inspection.budget.bytes == 0 {
            return Err(io::Error::other(Exhausted("too many bytes")));
        }
        self.inspection.budget.pay(bytes);
        Ok(())
    }
}
