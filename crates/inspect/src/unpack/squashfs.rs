//! squashfs images, version 4.0 (Linux `fs/squashfs/squashfs_fs.h`): snaps, AppImages, firmware. Blocks are unpacked as they
//! are needed.

mod image;

use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use evidence::{BytePath, Node};

use self::image::{Failure, Image, Inode, Kind};
use super::Container;
use crate::source::{Open, Source};

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let mut image = match Image::read(source) {
        Ok(image) => image,
        Err(failure) => {
            report(container, None, failure);
            return Ok(());
        }
    };
    if let Err(failure) = walk(container, &mut image) {
        report(container, None, failure);
    }
    container.unless_zero("#after", image.after())?;
    Ok(())
}

fn walk(container: &mut Container, image: &mut Image) -> Result<(), Failure> {
    let mut visited = BTreeSet::new();
    let mut stack = vec![(Rc::new(Vec::new()), image.root())];
    while let Some((path, at)) = stack.pop() {
        if !visited.insert(at) {
            return Err(Failure::Malformed("a folder is within itself"));
        }
        let folder = image.inode(container, at)?;
        let Kind::Folder { block, offset, size } = folder.kind else {
            return Err(Failure::Malformed("a folder's entry is not one of a folder"));
        };
        for entry in image.listing(container, block, offset, size)? {
            if !container.admit() {
                return Ok(());
            }
            let separator = if path.is_empty() { &b""[..] } else { b"/" };
            let name = [path.as_slice(), separator, &entry.name].concat();
            let inode = match image.inode(container, entry.inode) {
                Ok(inode) => inode,
                Err(failure) => {
                    report(container, Some(&BytePath::new(name)), failure);
                    continue;
                }
            };
            if matches!(inode.kind, Kind::Folder { .. }) {
                stack.push((Rc::new(name.clone()), entry.inode));
            }
            member(container, image, BytePath::new(name), &inode);
        }
    }
    Ok(())
}

fn member(container: &mut Container, image: &mut Image, name: BytePath, inode: &Inode) {
    let mode = Some(u32::from(inode.mode) & 0o7777);
    match &inode.kind {
        Kind::Folder { .. } => container.leaf(name, "directory", None).mode = mode,
        Kind::Link(target) => {
            container.leaf(name, "symlink", Some(BytePath::from(target.as_slice()))).mode = mode;
        }
        Kind::Device => container.leaf(name, "device", None).mode = mode,
        Kind::Fifo => container.leaf(name, "fifo", None).mode = mode,
        Kind::Other => container.leaf(name, "other", None).mode = mode,
        Kind::File(file) => match content(container, image, name.clone(), file) {
            Ok(member) => member.mode = mode,
            Err(failure) => report(container, Some(&name), failure),
        },
    }
}

fn content<'c>(
    container: &'c mut Container,
    image: &mut Image,
    name: BytePath,
    file: &image::File,
) -> Result<&'c mut Node, Failure> {
    let content = image.content(container, file)?;
    let open: Open = Rc::new(|| Ok(Box::new(content.clone())));
    container.unpacked(name, Some(file.size), Image::packed(file), open).map_err(Failure::Unreadable)
}

fn report(container: &mut Container, name: Option<&BytePath>, failure: Failure) {
    let inner = match failure {
        Failure::Unreadable(error) => match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Failure::Unreadable(error),
        },
        other => other,
    };
    let path = name.map_or_else(|| container.path.clone(), |name| container.node.join(container.path, name));
    match inner {
        Failure::Malformed(what) => container.inspection.problem(&path, "malformed-squashfs", what),
        Failure::Compression(_) => container.inspection.problem(&path, "unsupported-compression", inner),
        Failure::Exhausted(what) => container.inspection.exhausted(&path, what),
        Failure::Unreadable(error) => match name {
            Some(name) => container.failed_member(name, &error),
            None => container.failed(&error),
        },
    }
}
