//! squashfs images, version 4.0 (Linux `fs/squashfs/squashfs_fs.h`): snaps, AppImages, firmware. Blocks are unpacked as they
//! are needed.

mod image;

use std::collections::BTreeSet;
use std::rc::Rc;

use evidence::BytePath;

use self::image::{Failure, Image, Inode, Kind};
use super::Container;

pub(super) fn members(container: &mut Container, bytes: &[u8]) {
    let mut image = match Image::read(bytes) {
        Ok(image) => image,
        Err(what) => return container.malformed(what),
    };
    if let Err(failure) = walk(container, &mut image) {
        report(container, None, failure);
    }
    let after = image.after();
    if after.iter().any(|byte| *byte != 0) && container.admit() {
        container.bytes("#after".into(), after);
    }
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
        Kind::File(file) => match image.content(container, file) {
            Ok(content) => {
                let member = container.inspection.member(container.node, container.path, name, &content);
                container.push(member).mode = mode;
            }
            Err(failure) => report(container, Some(&name), failure),
        },
    }
}

fn report(container: &mut Container, name: Option<&BytePath>, failure: Failure) {
    let path = name.map_or_else(|| container.path.clone(), |name| container.node.join(container.path, name));
    match failure {
        Failure::Malformed(what) => container.inspection.problem(&path, "malformed-squashfs", what),
        Failure::Compression(number) => {
            let detail = format!("compression {number} is not known");
            container.inspection.problem(&path, "unsupported-compression", detail);
        }
        Failure::Exhausted(what) => container.inspection.exhausted(&path, what),
    }
}
