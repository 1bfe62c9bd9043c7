//! Tests of the readers on made, real and damaged files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod android;
mod apfs;
mod apple;
mod attached;
mod catalogs;
mod catalogs_windows;
mod containers;
mod corpus;
mod damage;
mod detached;
mod disk_images;
mod disks;
mod far;
mod filesystems;
mod images;
mod images_oci;
mod matcher;
mod packages;
mod replay;
mod samples;
mod samples_apple;
mod samples_disk;
mod signatures;
mod streams;
mod twins;
mod windows;
mod zips;

use std::io::Write;

use evidence::{Node, Tree};
use inspect::{Budget, Entry, open_file};

fn open(name: &str, bytes: &[u8]) -> Tree {
    open_file(&name.into(), bytes, &mut Budget::default())
}

/// A file of a folder.
fn entry(bytes: &[u8]) -> Entry {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Entry::File(file)
}

fn paths(tree: &Tree) -> Vec<String> {
    let mut paths = Vec::new();
    tree.root.walk(|path, _| paths.push(path.to_string()));
    paths
}

/// Opens a file that is honest, and finds a member by the end of its path.
fn find(tree: &Tree, ending: &str) -> Node {
    let mut found = None;
    tree.root.walk(|path, node| {
        if path.to_string().ends_with(ending) {
            found = Some(node.clone());
        }
    });
    found.unwrap_or_else(|| panic!("no {ending} in {:?}", paths(tree)))
}

/// The kinds of the problems.
fn kinds(tree: &Tree) -> Vec<&str> {
    tree.problems.iter().map(|problem| problem.kind.as_str()).collect()
}
