//! The bytes of members that differ, side by side: for people, and to name the cause of a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use evidence::{BytePath, Digest, Tree};
use inspect::{Budget, Input};
use judge::compare::{Contrasts, worth_a_look};

use crate::error::{Error, Result};
use crate::inspect_path::regular;

/// So many members are looked at.
const MEMBERS_MAX: usize = 60;
/// So many bytes of each side are held for it.
const SIDE_MAX_BYTES: usize = 96 << 20;

/// Looks at members of two inspected files or folders.
pub(crate) fn look(old: (&Path, &Tree), new: (&Path, &Tree)) -> Result<Contrasts> {
    let mut pairs = worth_a_look(old.1, new.1);
    pairs.truncate(MEMBERS_MAX);
    let wanted_old: BTreeSet<Digest> = pairs.iter().map(|(_, before, _)| *before).collect();
    // A member may have had another name: its bytes are found by their digest.
    let mut places: BTreeMap<Digest, BytePath> = BTreeMap::new();
    old.1.root.walk(|path, node| {
        if let Some(digest) = node.digest.filter(|digest| wanted_old.contains(digest)) {
            places.entry(digest).or_insert_with(|| path.clone());
        }
    });
    let before = bytes_of(old.0, &old.1.root.name, places.values().cloned().collect())?;
    let after = bytes_of(new.0, &new.1.root.name, pairs.iter().map(|(path, ..)| path.clone()).collect())?;
    let mut contrasts = Contrasts::new();
    for (path, old_digest, _) in pairs {
        let old_bytes = places.get(&old_digest).and_then(|place| before.get(place));
        if let (Some(old_bytes), Some(new_bytes)) = (old_bytes, after.get(&path)) {
            contrasts.insert(path, inspect::contrast(old_bytes, new_bytes));
        }
    }
    Ok(contrasts)
}

/// Reads members of a file, or of the files of a folder.
fn bytes_of(path: &Path, name: &BytePath, wanted: BTreeSet<BytePath>) -> Result<BTreeMap<BytePath, Vec<u8>>> {
    if !path.is_dir() {
        return extract(path, name, wanted, SIDE_MAX_BYTES);
    }
    let mut by_file: BTreeMap<(PathBuf, BytePath), BTreeSet<BytePath>> = BTreeMap::new();
    for member in wanted {
        if let Some(file) = file_of(path, name, &member) {
            by_file.entry(file).or_default().insert(member);
        }
    }
    let mut found = BTreeMap::new();
    let mut room = SIDE_MAX_BYTES;
    for ((file, at), members) in by_file {
        let taken = extract(&file, &at, members, room)?;
        room = room.saturating_sub(taken.values().map(Vec::len).sum());
        found.extend(taken);
    }
    Ok(found)
}

fn extract(
    path: &Path,
    name: &BytePath,
    wanted: BTreeSet<BytePath>,
    room: usize,
) -> Result<BTreeMap<BytePath, Vec<u8>>> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let input = Input::File(regular(path).map_err(fail)?);
    inspect::extract(name, input, wanted, room, &mut Budget::default()).map_err(fail)
}

/// Finds the file of a folder in which a member lies: a file's own name may have the mark between levels in it.
fn file_of(folder: &Path, name: &BytePath, member: &BytePath) -> Option<(PathBuf, BytePath)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = member.as_bytes();
    let relative = bytes.strip_prefix(name.as_bytes())?.strip_prefix(b"/")?;
    let ends = relative.iter().enumerate().filter(|(_, byte)| **byte == b'!').map(|(at, _)| at);
    ends.chain([relative.len()]).find_map(|end| {
        let file = folder.join(std::ffi::OsStr::from_bytes(&relative[..end]));
        let is_file = std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
        is_file.then(|| (file, BytePath::from(&bytes[..bytes.len() - (relative.len() - end)])))
    })
}
