//! Which package a file of this machine belongs to: dpkg, the cargo registry, `node_modules`, Python's dist-info.
//!
//! What the databases say is read by [`inspect::packages`]; this is where they lie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
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

/// The package databases of this machine. What lies below a project or a registry is looked up when it is asked for.
#[derive(Default)]
pub struct Packages {
    dpkg: Dpkg,
    npm: HashMap<BytePath, Option<Package>>,
    pythons: HashMap<PathBuf, Python>,
}

impl Packages {
    /// Reads what the system's package manager has installed.
    pub fn read() -> Self {
        Self { dpkg: Dpkg::read(Path::new(DPKG)), ..Self::default() }
    }

    /// Tells whether a package owns a file, by its real path.
    pub fn owns(&mut self, path: &BytePath) -> bool {
        self.owner(path).is_some()
    }

    /// Finds the owners of files, by their real paths. A file that no database names has none.
    pub fn owners(&mut self, paths: &[&BytePath]) -> Owners {
        let mut found = Found::default();
        for path in paths {
            if let Some((package, evidence)) = self.owner(path) {
                found.add(path, &package, evidence);
            }
        }
        found.owners()
    }

    fn owner(&mut self, path: &BytePath) -> Option<(Package, BytePath)> {
        if let Some((package, list)) = self.dpkg.owner(path) {
            return Some((package.clone(), list));
        }
        if let Some(package) = cargo_registry(path) {
            return Some((package, BytePath::new(crate_root(path))));
        }
        if let Some(manifest) = npm_manifest(path) {
            let package = self.npm.entry(manifest.clone()).or_insert_with_key(|manifest| {
                read(&path_of(manifest)).and_then(|bytes| npm_package(&bytes))
            });
            return package.clone().map(|package| (package, manifest));
        }
        let site = site_packages(path)?;
        let python = self.pythons.entry(site.clone()).or_insert_with(|| Python::read(&site));
        python.owners.get(path.as_bytes()).cloned()
    }
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

/// The packages of Debian and its relatives.
#[derive(Default)]
struct Dpkg {
    packages: HashMap<String, Package>,
    lists: Vec<List>,
    /// By the hash of a path, where it stands: list and offset. Whoever finds something compares the path.
    places: HashMap<u64, (u32, u32), BuildHasherDefault<Hashed>>,
    hasher: RandomState,
}

/// The files of one package.
struct List {
    package: String,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Takes a key that is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Dpkg {
    fn read(root: &Path) -> Self {
        let Some(status) = read(&root.join("status")) else { return Self::default() };
        let os = read(Path::new("/etc/os-release"))
            .and_then(|text| distribution(&text))
            .unwrap_or_else(|| "debian".into());
        let mut dpkg = Self::default();
        for package in dpkg_status(&status, &os) {
            let architecture =
                package.qualifiers.first().map(|(_, value)| value.clone()).unwrap_or_else(|| "all".into());
            dpkg.packages.insert(format!("{}:{architecture}", package.name), package.clone());
            dpkg.packages.insert(package.name.clone(), package);
        }
        for entry in fs::read_dir(root.join("info")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".list")) else { continue };
            let Some(bytes) = read(&entry.path()) else { continue };
            dpkg.lists.push(List { package: name.to_owned(), path: entry.path(), bytes });
        }
        for (number, list) in dpkg.lists.iter().enumerate() {
            for path in dpkg_list(&list.bytes) {
                let offset = path.as_ptr() as usize - list.bytes.as_ptr() as usize;
                if let (Ok(number), Ok(offset)) = (u32::try_from(number), u32::try_from(offset)) {
                    dpkg.places.insert(dpkg.hasher.hash_one(path), (number, offset));
                }
            }
        }
        dpkg
    }

    fn owner(&self, path: &BytePath) -> Option<(&Package, BytePath)> {
        // A list names `/bin/sh` where the real path is `/usr/bin/sh` since the merge of both.
        let merged = path.as_bytes().strip_prefix(b"/usr");
        let list = self.list(path.as_bytes()).or_else(|| self.list(merged?))?;
        Some((self.packages.get(&list.package)?, BytePath::from(list.path.as_os_str().as_bytes())))
    }

    fn list(&self, path: &[u8]) -> Option<&List> {
        let (number, offset) = self.places.get(&self.hasher.hash_one(path))?;
        let list = self.lists.get(*number as usize)?;
        let rest = list.bytes.get(*offset as usize..)?.strip_prefix(path)?;
        rest.first().is_none_or(|byte| *byte == b'\n').then_some(list)
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
