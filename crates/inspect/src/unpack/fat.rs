//! The file systems FAT12, FAT16 and FAT32 (Microsoft, "FAT: General Overview of On-Disk Format"; ECMA-107), with long names. What was
//! deleted is not looked for.

mod names;
mod volume;

use std::io;
use std::rc::Rc;

use evidence::BytePath;

use self::names::{Found, Names};
use self::volume::Volume;
use super::{Container, partitions};
use crate::budget::Exhausted;
use crate::source::Source;

pub(crate) use self::volume::is_volume;

pub(super) fn members(container: &mut Container, source: &Source) -> io::Result<()> {
    let mut volume = Volume::read(container, source)?;
    partitions::tell_if_beside(container, source)?;
    if let Some(length) = source.length()
        && length < volume.bytes()
    {
        container.malformed("it is cut off");
    }
    if !volume.tables_agree()? {
        container.malformed("its allocation tables differ");
    }
    walk(container, &mut volume);
    let after = source.length().and_then(|length| length.checked_sub(volume.bytes()));
    let after = after.and_then(|length| source.part(volume.bytes(), length));
    for (name, part) in [("#system-area", volume.system_area()), ("#after", after)] {
        container.unless_zero(name, part)?;
    }
    Ok(())
}

/// Takes all that has a name, folder by folder.
fn walk(container: &mut Container, volume: &mut Volume) {
    let mut stack = vec![(Rc::<Vec<u8>>::default(), None)];
    while let Some((path, cluster)) = stack.pop() {
        if container.inspection.budget.bytes == 0 {
            return container.inspection.exhausted(container.path, Exhausted("too many bytes"));
        }
        match folder(container, volume, &path, cluster, &mut stack) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) if path.is_empty() => container.failed(&error),
            Err(error) => container.failed_member(&BytePath::new(path.to_vec()), &error),
        }
    }
}

/// Takes the names of one folder, of which the first cluster is given but for the root's; `false` when the budget is spent.
fn folder(
    container: &mut Container,
    volume: &mut Volume,
    path: &Rc<Vec<u8>>,
    cluster: Option<u32>,
    stack: &mut Vec<(Rc<Vec<u8>>, Option<u32>)>,
) -> io::Result<bool> {
    let content = volume.folder(container, cluster)?;
    container.pay(content.length().unwrap_or(0))?;
    let mut names = Names::over(content.reader(), content.length().unwrap_or(0));
    while let Some(found) = names.next()? {
        let entry = match found {
            Found::Entry(entry) => entry,
            Found::Wrong(what) => {
                match path.as_slice() {
                    b"" => container.malformed(what),
                    path => container.malformed_member(&BytePath::from(path), what),
                }
                continue;
            }
        };
        if !container.admit() {
            return Ok(false);
        }
        let separator = if path.is_empty() { &b""[..] } else { b"/" };
        let full = [path.as_slice(), separator, &entry.name].concat();
        let name = BytePath::new(full.clone());
        if let Some(what) = entry.doubt {
            container.malformed_member(&name, what);
        }
        if entry.is_folder {
            container.leaf(name, "directory", None);
            stack.push((Rc::new(full), Some(entry.cluster)));
        } else if let Err(error) = file(container, volume, &name, entry.cluster, entry.size) {
            container.failed_member(&name, &error);
        }
    }
    Ok(true)
}

fn file(
    container: &mut Container,
    volume: &mut Volume,
    name: &BytePath,
    cluster: u32,
    size: u32,
) -> io::Result<()> {
    let (content, is_longer) = volume.file(container, cluster, size)?;
    if is_longer {
        container.malformed_member(name, "it has more clusters than its size says");
    }
    container.assembled(name.clone(), u64::from(size), &content)?;
    Ok(())
}
