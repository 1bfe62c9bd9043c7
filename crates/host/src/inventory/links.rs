//! Whose links lead to a file. A trace has the file that a link led to; whoever removes the link's package breaks the build all the
//! same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Facts, Root};

const INFO: &str = "var/lib/dpkg/info";

/// Finds the packages of dpkg that own symbolic links to any of these files.
pub fn owners_of_links(root: &Root, files: &BTreeSet<Vec<u8>>) -> BTreeSet<String> {
    owners(root, |line| {
        let relative = line.trim_start_matches('/');
        let is_link = fs::symlink_metadata(root.path().join(relative)).is_ok_and(|facts| facts.is_symlink());
        is_link && leads_to(root, line, files)
    })
}

/// Finds the packages of dpkg that own any of these files. The database may know them by another way to their folder.
pub fn owners_of_files(root: &Root, files: &BTreeSet<Vec<u8>>) -> BTreeSet<String> {
    let name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
    let names: BTreeSet<Vec<u8>> = files.iter().filter_map(|file| name(file)).collect();
    owners(root, |line| {
        name(line.as_bytes()).is_some_and(|name| names.contains(&name)) && leads_to(root, line, files)
    })
}

fn leads_to(root: &Root, line: &str, files: &BTreeSet<Vec<u8>>) -> bool {
    root.resolve(Path::new(line)).is_some_and(|target| files.contains(root.inside(&target).as_bytes()))
}

/// The packages of dpkg of whose files one is such.
fn owners(root: &Root, such: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut owners = BTreeSet::new();
    let mut facts = Facts::default();
    for list in root.list(INFO, &mut facts) {
        let name = list.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(package) = name.strip_suffix(".list") else { continue };
        let Some(text) = root.text(&list, &mut facts) else { continue };
        if text.lines().any(&such) {
            owners.insert(package.split(':').next().unwrap_or(package).to_owned());
        }
    }
    owners
}
