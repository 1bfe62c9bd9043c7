//! Puts together what documents said: one component for each package, its evidence, its relations.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use evidence::bom::{Algorithm, Evidence, Hash, Kind, Package, Property};
use evidence::{Bom, BytePath, Problem};

use super::found::{Found, Stated, System};
use super::place::place;
use super::{Candidates, Cataloger, DOCUMENT_MAX_BYTES, candidates, licence, manifest, nix, purl};

/// A name that more packages have says nothing.
const SAME_NAME_MAX: usize = 8;

/// The result of a scan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalog {
    /// The packages, each with where it was found; those in caches and fixtures too.
    pub bom: Bom,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// The operating systems that were found, by the place of their root.
    pub systems: Vec<(BytePath, System)>,
}

/// What one cataloger found in one file.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The file, relative to what is scanned.
    pub path: BytePath,
    /// The cataloger's name.
    pub by: String,
    /// What it found.
    pub found: Found,
}

/// Files that have been catalogued so far.
#[derive(Debug, Default)]
pub struct Scan {
    readings: Vec<Reading>,
    problems: Vec<Problem>,
}

impl Scan {
    /// Starts with nothing read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a file whose content is at hand, if a cataloger wants it. Tells whether one did.
    pub fn offer(&mut self, path: &BytePath, bytes: &[u8]) -> bool {
        let Candidates { documents, program } = candidates(path.as_bytes());
        for cataloger in &documents {
            self.read(cataloger, path, bytes);
        }
        let readings = if program { super::read_program(&bytes) } else { Vec::new() };
        let wanted = !documents.is_empty() || !readings.is_empty();
        for (by, found) in readings {
            self.take(Reading { path: path.clone(), by: by.to_owned(), found });
        }
        wanted
    }

    /// Reads a file by one cataloger.
    pub fn read(&mut self, cataloger: &Cataloger, path: &BytePath, bytes: &[u8]) {
        let bytes = match usize::try_from(cataloger.most_bytes()) {
            Ok(most) if cataloger.wants_beginning() => &bytes[..bytes.len().min(most)],
            _ => bytes,
        };
        if bytes.len() as u64 > DOCUMENT_MAX_BYTES {
            self.problem(path, "budget-exhausted", "the document is too large");
            return;
        }
        let found = super::read(cataloger, path, bytes);
        self.take(Reading { path: path.clone(), by: cataloger.name.to_owned(), found });
    }

    /// Takes what was found before, as a cache keeps it.
    pub fn take(&mut self, reading: Reading) {
        if !reading.found.is_empty() {
            self.readings.push(reading);
        }
    }

    /// Takes folders of a Nix store by their names, and paths below them.
    pub fn store_paths<'p>(&mut self, paths: impl Iterator<Item = &'p [u8]>) {
        let mut seen = HashSet::new();
        for (path, found) in paths.filter_map(nix::below_store) {
            if seen.insert(path.clone()) {
                self.take(Reading { path, by: nix::STORE.to_owned(), found });
            }
        }
    }

    /// Takes what another scan has read.
    pub fn extend(&mut self, other: Self) {
        self.readings.extend(other.readings);
        self.problems.extend(other.problems);
    }

    /// Notes what could not be read.
    pub fn problem(&mut self, path: &BytePath, kind: &str, detail: &str) {
        self.problems.push(Problem { path: path.clone(), kind: kind.to_owned(), detail: detail.to_owned() });
    }

    /// Leaves out readings, such as those of files that an upper layer of an image replaces.
    pub fn retain(&mut self, keep: impl Fn(&Reading) -> bool) {
        self.readings.retain(keep);
    }

    /// The readings so far.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Puts everything together. The order in which files were offered does not matter.
    pub fn finish(mut self) -> Catalog {
        let superseded = manifest::superseded(&self.readings);
        self.readings.retain(|reading| !superseded(reading));
        self.readings.sort_by(|a, b| (&a.path, &a.by).cmp(&(&b.path, &b.by)));
        let systems = Systems::of(&self.readings);
        let asking: HashSet<String> = self
            .readings
            .iter()
            .filter(|reading| !reading.found.needs.is_empty())
            .map(|reading| reading.by.clone())
            .collect();
        let mut bom = Bom::default();
        let mut needs: Vec<(u32, u32, String)> = Vec::new();
        let mut names: HashMap<(u32, String), Vec<u32>> = HashMap::new();
        let mut spaces: HashMap<(String, BytePath), u32> = HashMap::new();
        for reading in self.readings {
            for (kind, detail) in reading.found.problems {
                self.problems.push(Problem { path: reading.path.clone(), kind, detail });
            }
            let first = u32::try_from(bom.packages.len()).unwrap_or(u32::MAX);
            let path = Arc::new(reading.path);
            let by: std::borrow::Cow<'static, str> = match static_name(&reading.by) {
                Some(name) => name.into(),
                None => reading.by.into(),
            };
            let count = reading.found.packages.len();
            for (place, mut stated) in reading.found.packages.into_iter().enumerate() {
                if is_of_distribution(&stated) && stated.namespace.is_empty() {
                    systems.complete(&path, &mut stated);
                }
                let number = first + u32::try_from(place).unwrap_or(u32::MAX);
                // Names are followed only where somebody asks for names.
                if asking.contains(by.as_ref()) {
                    let next = u32::try_from(spaces.len()).unwrap_or(u32::MAX);
                    let space = *spaces.entry((by.to_string(), space_of(&by, &path))).or_insert(next);
                    for name in std::iter::once(&stated.name).chain(&stated.provides) {
                        let list = names.entry((space, name.to_lowercase())).or_default();
                        if list.last() != Some(&number) {
                            list.push(number);
                        }
                    }
                }
                bom.packages.push(package(stated, Evidence { path: path.clone(), by: by.clone() }));
            }
            let inside = |place: &u32| (*place as usize) < count;
            bom.relations.extend(
                reading
                    .found
                    .relations
                    .iter()
                    .filter(|(from, to)| inside(from) && inside(to))
                    .map(|(from, to)| (first + from, first + to)),
            );
            bom.direct
                .extend(reading.found.direct.iter().filter(|place| inside(place)).map(|place| first + place));
            if let Some(space) = spaces.get(&(by.to_string(), space_of(&by, &path))) {
                let inside = reading.found.needs.into_iter().filter(|(from, _)| inside(from));
                needs.extend(inside.map(|(from, name)| (first + from, *space, name)));
            }
        }
        for (from, space, name) in needs {
            // A name that several packages have or provide may mean each of them: a package of two architectures, say.
            let to = names.get(&(space, name.to_lowercase())).filter(|list| list.len() <= SAME_NAME_MAX);
            bom.relations.extend(to.into_iter().flatten().map(|to| (from, *to)));
        }
        bom.arrange();
        self.problems.sort();
        self.problems.dedup();
        Catalog { bom, problems: self.problems, systems: systems.0 }
    }
}

/// Returns the name as the list of catalogers has it.
fn static_name(name: &str) -> Option<&'static str> {
    let catalogers = super::ALL.iter().copied().flatten().map(|cataloger| cataloger.name);
    catalogers.chain(super::program::NAMES).chain([nix::STORE]).find(|known| *known == name)
}

/// The folder within which names of dependencies are followed: two above a package's own document (`site-packages`), the
/// document itself for a database. Snaps and Flatpaks find each other wherever they are mounted, in the same container.
fn space_of(by: &str, path: &BytePath) -> BytePath {
    let bytes = path.as_bytes();
    if matches!(by, "snap" | "flatpak") {
        let end = bytes.iter().rposition(|byte| *byte == b'!').unwrap_or(0);
        return BytePath::from(&bytes[..end]);
    }
    let mut parents = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let end = parents.nth(1).unwrap_or(0);
    BytePath::from(&bytes[..end])
}

fn is_of_distribution(stated: &Stated) -> bool {
    matches!(stated.ecosystem.as_ref(), "deb" | "apk" | "rpm" | "alpm")
}

fn package(stated: Stated, evidence: Evidence) -> Package {
    let purl = purl::purl(&stated).map(Into::into);
    let mut licences: Vec<Box<str>> =
        stated.licences.iter().map(|licence| licence::normalised(licence).into()).collect();
    licences.sort();
    licences.dedup();
    let mut properties: Vec<Property> =
        stated.properties.into_iter().map(|(name, value)| Property { name, value: value.into() }).collect();
    properties.sort();
    let mut hashes: Vec<Hash> = stated
        .hashes
        .iter()
        .filter_map(|(algorithm, hex)| Hash::new(Algorithm::of(algorithm)?, hex))
        .collect();
    hashes.sort();
    hashes.dedup();
    Package {
        purl,
        place: place(evidence.path.as_bytes(), stated.state),
        namespace: stated.namespace.into(),
        name: stated.name.into(),
        version: stated.version.into(),
        kind: Kind::of(&stated.kind).unwrap_or_default(),
        state: stated.state,
        licences,
        supplier: stated.supplier.map(Into::into),
        hashes,
        cpes: stated.cpes.into_iter().map(Into::into).collect(),
        evidence: vec![evidence],
        properties,
    }
}

/// The systems, by the place of their root. A database without one of its own takes that of the nearest folder above, else
/// that of another layer of the same image.
struct Systems(Vec<(BytePath, System)>);

impl Systems {
    fn of(readings: &[Reading]) -> Self {
        let found = readings.iter().filter_map(|reading| {
            let system = reading.found.system.clone()?;
            let bytes = reading.path.as_bytes();
            let root = ["etc/os-release", "usr/lib/os-release"]
                .iter()
                .find_map(|end| bytes.strip_suffix(end.as_bytes()))
                .unwrap_or(bytes);
            Some((BytePath::from(root), system))
        });
        let mut systems: Vec<_> = found.collect();
        systems.dedup_by(|a, b| a.0 == b.0);
        Self(systems)
    }

    fn complete(&self, path: &BytePath, stated: &mut Stated) {
        let nearest = self
            .0
            .iter()
            .filter(|(root, _)| path.as_bytes().starts_with(root.as_bytes()))
            .max_by_key(|(root, _)| root.as_bytes().len());
        let container =
            |path: &[u8]| path.iter().position(|byte| *byte == b'!').map(|end| path[..end].to_vec());
        let beside = || {
            let own = container(path.as_bytes())?;
            self.0.iter().rfind(|(root, _)| container(root.as_bytes()).as_ref() == Some(&own))
        };
        // All layers of an image of which nothing but one system is known.
        let only = || {
            let (first, rest) = self.0.split_first()?;
            let one = rest.iter().all(|(_, system)| *system == first.1);
            (one && path.as_bytes().contains(&b'!')).then_some(first)
        };
        match nearest.or_else(beside).or_else(only) {
            Some((_, system)) => {
                stated.namespace = system.id.clone();
                let distribution = [system.id.as_str(), system.version.as_str()];
                let distribution: Vec<_> = distribution.into_iter().filter(|part| !part.is_empty()).collect();
                stated.qualifiers.push(("distro".into(), distribution.join("-")));
            }
            None => {
                stated.namespace = match stated.ecosystem.as_ref() {
                    "deb" => "debian".into(),
                    "apk" => "alpine".into(),
                    "alpm" => "arch".into(),
                    _ => String::new(),
                };
            }
        }
    }
}
