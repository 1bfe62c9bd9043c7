//! The bill of materials of what lies somewhere: a folder, a file, an archive, an image.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use evidence::bom::{Algorithm, Hash, Kind, Package, Place, Property};
use evidence::{Bom, BytePath, Problem};
use host::inventory::{Walk, holds_files, walk};
use inspect::Budget;
use inspect::catalog::{Catalog, Scan};

use crate::error::{Error, Result};
use crate::inspect_path::{FILE_MAX_BYTES, contents};

/// What a bill is wanted of.
#[derive(Clone, Debug)]
pub struct BillOf<'a> {
    /// A folder or a file.
    pub path: &'a Path,
    /// Keep what lies in caches, in vendored sources and among tests.
    pub all: bool,
    /// Where to remember what files said, for a second look at a folder.
    pub cache: Option<&'a Path>,
}

/// A bill with what is to be said beside it.
#[derive(Debug)]
pub struct Bill {
    /// The bill.
    pub bom: Bom,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// How many packages were left out, by where they lie.
    pub left_out: BTreeMap<&'static str, usize>,
    /// How many files were looked at, and how many of them were read or known.
    pub files: u64,
    /// Files that a cataloger wanted.
    pub wanted: u64,
    /// Of these, those that were known from an earlier look.
    pub remembered: u64,
    /// Why what is there as a cache was of no use, in words that follow its name.
    pub forgotten: Option<&'static str>,
    /// File systems that were not entered, with their types.
    pub not_entered: Vec<(String, String)>,
}

/// Makes a bill.
pub fn bill(of: &BillOf) -> Result<Bill> {
    let fail = |source| Error::Read { path: of.path.to_path_buf(), source };
    let facts = std::fs::metadata(of.path).map_err(fail)?;
    let full = of.path.canonicalize().map_err(fail)?;
    let name = full.file_name().map_or(&b"root"[..], |name| name.as_bytes());
    let mut subject = Package {
        name: BytePath::from(name).to_string().into(),
        kind: Kind::Application,
        ..Package::default()
    };
    let mut bill = Bill {
        bom: Bom::default(),
        problems: Vec::new(),
        left_out: BTreeMap::new(),
        files: 1,
        wanted: 1,
        remembered: 0,
        forgotten: None,
        not_entered: Vec::new(),
    };
    let catalog = if !facts.is_dir() {
        if facts.len() > FILE_MAX_BYTES {
            let detail = format!("larger than {FILE_MAX_BYTES} bytes");
            return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, detail)));
        }
        let file = std::fs::File::open(of.path).map_err(fail)?;
        let opened = inspect::catalog_path(&BytePath::from(name), file, &mut Budget::default());
        let (tree, scan) = opened.map_err(fail)?;
        let digest = tree.root.digest.map(|digest| digest.hex());
        subject.hashes.extend(digest.and_then(|hex| Hash::new(Algorithm::Sha256, &hex)));
        subject.kind = if is_image(&tree.root) { Kind::Container } else { Kind::File };
        bill.problems = tree.problems;
        scan.finish()
    } else if full.join("oci-layout").is_file() {
        subject.kind = Kind::Container;
        let (tree, scan) = image(&full, name).map_err(fail)?;
        bill.problems = tree.problems;
        scan.finish()
    } else {
        let walked = walk(&Walk { root: &full, cache: of.cache, every_mount: false }).map_err(fail)?;
        (bill.files, bill.wanted, bill.remembered) = (walked.files, walked.wanted, walked.remembered);
        bill.forgotten = walked.forgotten;
        bill.not_entered = walked
            .not_entered
            .into_iter()
            .map(|(path, kind)| (BytePath::new(path.as_os_str().as_bytes()).to_string(), kind))
            .collect();
        walked.scan.finish()
    };
    let Catalog { bom, problems, systems } = catalog;
    bill.bom = bom;
    bill.problems.extend(problems);
    bill.problems.sort();
    bill.problems.dedup();
    if let Some((_, system)) = systems.iter().find(|(root, _)| root.as_bytes().is_empty()) {
        (subject.name, subject.version) = (system.id.as_str().into(), system.version.as_str().into());
        subject.kind = Kind::OperatingSystem;
    }
    bill.bom.subject = subject;
    if !of.all {
        for package in &bill.bom.packages {
            if package.place != Place::Product {
                *bill.left_out.entry(package.place.word()).or_default() += 1;
            }
        }
        bill.bom.retain(|package| package.place == Place::Product);
    }
    let complete = bill.problems.is_empty() && !bill.not_entered.iter().any(|(_, kind)| holds_files(kind));
    bill.bom.properties.push(Property {
        name: "countersign:complete".into(),
        value: if complete { "true" } else { "false" }.into(),
    });
    if !bill.problems.is_empty() {
        let count = bill.problems.len().to_string().into();
        bill.bom.properties.push(Property { name: "countersign:problems".into(), value: count });
    }
    Ok(bill)
}

/// Opens the layout of an image in a folder.
fn image(folder: &Path, name: &[u8]) -> io::Result<(evidence::Tree, Scan)> {
    let contents = contents(folder)?;
    Ok(inspect::catalog_folder(&BytePath::from(name), contents, &mut Budget::default()))
}

/// Tells whether an archive is an image as `docker save` writes it, or a layout.
fn is_image(root: &evidence::Node) -> bool {
    let mut found = false;
    root.walk(|_, node| {
        found |= node.members.iter().any(|member| {
            matches!(
                member.name.as_bytes(),
                b"manifest.json" | b"./manifest.json" | b"oci-layout" | b"./oci-layout"
            )
        });
    });
    found
}
