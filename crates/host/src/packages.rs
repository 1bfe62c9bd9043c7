//! Which package a file of this machine belongs to: dpkg, the cargo registry, `node_modules`, Python's dist-info.
//!
//! What the databases say is read by [`inspect::packages`]; this is where they lie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use evidence::{BytePath, Component};
use inspect::packages::{
    Package, cargo_registry, distribution, dpkg_list, dpkg_status, npm_manifest, npm_package,
    python_metadata, python_record,
};

const DPKG: &str = "/var/lib/dpkg";

/// A database file larger than this is not believed.
const DATABASE_MAX_BYTES: u64 = 256 << 20;

/// The owners that were found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Owners {
    /// Path → purl.
    pub by_path: BTreeMap<BytePath, String>,
    /// The packages, sorted by purl.
    pub components: Vec<Component>,
}

/// Finds the owners of files, by their real paths. A file that no database names has none.
pub fn owners(paths: &[&BytePath]) -> Owners {
    let mut found = Found::default();
    let dpkg = Dpkg::read(Path::new(DPKG), paths);
    let mut pythons: HashMap<PathBuf, Python> = HashMap::new();
    for path in paths {
        if let Some((package, list)) = dpkg.owner(path) {
            found.add(path, package, list);
        } else if let Some(package) = cargo_registry(path) {
            found.add(path, &package, BytePath::new(crate_root(path)));
        } else if let Some(manifest) = npm_manifest(path) {
            if let Some(package) = read(&path_of(&manifest)).and_then(|bytes| npm_package(&bytes)) {
                found.add(path, &package, manifest);
            }
        } else if let Some(site) = site_packages(path) {
            let python = pythons.entry(site.clone()).or_insert_with(|| Python::read(&site));
            if let Some((package, record)) = python.owners.get(path.as_bytes()) {
                found.add(path, package, record.clone());
            }
        }
    }
    found.owners()
}

#[derive(Default)]
struct Found {
    by_path: BTreeMap<BytePath, String>,
    components: BTreeMap<String, Component>,
}

impl Found {
    fn add(&mut self, path: &BytePath, package: &Package, evidence: BytePath) {
        let purl = package.purl();
        self.by_path.insert(path.clone(), purl.clone());
        let component = self.components.entry(purl.clone()).or_insert_with(|| Component {
            purl,
            name: package.name.clone(),
            version: package.version.clone(),
            ecosystem: package.ecosystem.to_owned(),
            evidence: BTreeSet::new(),
        });
        component.evidence.insert(evidence);
    }

    fn owners(self) -> Owners {
        Owners { by_path: self.by_path, components: self.components.into_values().collect() }
    }
}

/// The packages of Debian and its relatives, as far as they own what is asked for.
#[derive(Default)]
struct Dpkg {
    packages: HashMap<String, Package>,
    owners: HashMap<Vec<u8>, (String, BytePath)>,
}

impl Dpkg {
    fn read(root: &Path, paths: &[&BytePath]) -> Self {
        let Some(status) = read(&root.join("status")) else { return Self::default() };
        let os = read(Path::new("/etc/os-release"))
            .and_then(|text| distribution(&text))
            .unwrap_or_else(|| "debian".into());
        let mut packages = HashMap::new();
        for package in dpkg_status(&status, &os) {
            let architecture =
                package.qualifiers.first().map(|(_, value)| value.clone()).unwrap_or_else(|| "all".into());
            packages.insert(format!("{}:{architecture}", package.name), package.clone());
            packages.insert(package.name.clone(), package);
        }
        // A list names `/bin/sh` where the real path is `/usr/bin/sh` since the merge of both.
        let mut wanted: BTreeSet<&[u8]> = BTreeSet::new();
        for path in paths {
            wanted.insert(path.as_bytes());
            wanted.extend(path.as_bytes().strip_prefix(b"/usr"));
        }
        let mut owners = HashMap::new();
        for entry in fs::read_dir(root.join("info")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".list")) else { continue };
            let Some(list) = read(&entry.path()) else { continue };
            for path in dpkg_list(&list).filter(|path| wanted.contains(path)) {
                let evidence = BytePath::new(entry.path().into_os_string().into_encoded_bytes());
                owners.insert(path.to_vec(), (name.to_owned(), evidence));
            }
        }
        Self { packages, owners }
    }

    fn owner(&self, path: &BytePath) -> Option<(&Package, BytePath)> {
        let merged = path.as_bytes().strip_prefix(b"/usr");
        let (name, list) = self.owners.get(path.as_bytes()).or_else(|| self.owners.get(merged?))?;
        Some((self.packages.get(name)?, list.clone()))
    }
}

/// The distributions of one `site-packages`.
#[derive(Default)]
struct Python {
    owners: HashMap<Vec<u8>, (Package, BytePath)>,
}

impl Python {
    fn read(site: &Path) -> Self {
        let mut owners = HashMap::new();
        for entry in fs::read_dir(site).into_iter().flatten().flatten() {
            let folder = entry.path();
            if folder.extension() != Some(OsStr::new("dist-info")) {
                continue;
            }
            let Some(package) = read(&folder.join("METADATA")).and_then(|bytes| python_metadata(&bytes))
            else {
                continue;
            };
            let record = folder.join("RECORD");
            let evidence = BytePath::new(record.clone().into_os_string().into_encoded_bytes());
            for path in read(&record).iter().flat_map(|bytes| python_record(bytes)) {
                let full = site.join(OsStr::from_bytes(&path)).into_os_string().into_encoded_bytes();
                owners.insert(full, (package.clone(), evidence.clone()));
            }
        }
        Self { owners }
    }
}

fn site_packages(path: &BytePath) -> Option<PathBuf> {
    let path = path_of(path);
    let names = ["site-packages", "dist-packages"].map(OsStr::new);
    path.ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| names.contains(&name)))
        .map(Path::to_path_buf)
}

/// The unpacked folder of a registry crate: its name is the evidence.
fn crate_root(path: &BytePath) -> Vec<u8> {
    let full = path_of(path);
    let depth = full.ancestors().position(|folder| {
        folder.parent().and_then(Path::parent).is_some_and(|at| at.ends_with("registry/src"))
    });
    let root = depth.and_then(|depth| full.ancestors().nth(depth)).unwrap_or(&full);
    root.as_os_str().as_bytes().to_vec()
}

fn path_of(path: &BytePath) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let facts = fs::metadata(path).ok()?;
    if !facts.is_file() || facts.len() > DATABASE_MAX_BYTES {
        return None;
    }
    fs::read(path).ok()
}
