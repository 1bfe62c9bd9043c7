//! Whose links lead to a file. A trace has the file that a link led to; whoever removes the link's package breaks the build all the
//! same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Facts, Root};

const INFO: &str = "var/lib/dpkg/info";

/// Finds the packages of dpkg that own symbolic links to any of these files.
pub fn owners_of_links(root: &Root, files: &BTreeSet<Vec<u8>>) -> BTreeSet<String> {
    let mut owners = BTreeSet::new();
    let mut facts = Facts::default();
    for list in root.list(INFO, &mut facts) {
        let name = list.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(package) = name.strip_suffix(".list") else { continue };
        let Some(text) = root.text(&list, &mut facts) else { continue };
        let leads = text.lines().any(|line| {
            let relative = line.trim_start_matches('/');
            let is_link =
                fs::symlink_metadata(root.path().join(relative)).is_ok_and(|facts| facts.is_symlink());
            let target = is_link.then(|| root.resolve(Path::new(line))).flatten();
            target.is_some_and(|target| files.contains(root.inside(&target).as_bytes()))
        });
        if leads {
            owners.insert(package.split(':').next().unwrap_or(package).to_owned());
        }
    }
    owners
}
