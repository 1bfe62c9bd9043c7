//! A bill of materials: packages, how each is known, and what depends on what.
//!
//! This is what catalogers produce, what documents of other makers are read into, and what [`crate::wire`] writes as
//! CycloneDX or SPDX. A [`Component`](crate::Component) of a record is its small sister: what a build was seen to use.

use std::borrow::Cow;
use std::sync::Arc;

use crate::BytePath;

/// Packages and their relations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bom {
    /// What the bill is of.
    pub subject: Package,
    /// The packages, sorted, each once.
    pub packages: Vec<Package>,
    /// Pairs of places in `packages`: the first depends on the second. Sorted.
    pub relations: Vec<(u32, u32)>,
    /// Places in `packages` that the subject itself depends on. Sorted.
    pub direct: Vec<u32>,
    /// Who or what made the bill, where that is known.
    pub tools: Vec<String>,
    /// People or organisations that answer for the bill.
    pub authors: Vec<String>,
    /// When it was made, as written (RFC 3339), where that is known.
    pub made: Option<String>,
    /// What the bill says of itself beside this: completeness, the form it was read from.
    pub properties: Vec<Property>,
}

/// One package, file, model or system.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Package {
    /// Canonical package URL (ECMA-427), where the ecosystem has one.
    pub purl: Option<Box<str>>,
    /// Name space: a scope, a group, a distribution; may be empty.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Version; empty where none is known.
    pub version: Box<str>,
    /// What sort of thing it is.
    pub kind: Kind,
    /// How it is known.
    pub state: State,
    /// Where it was found.
    pub place: Place,
    /// Licences as declared: SPDX expressions, else names. Shared: few texts are those of most packages.
    pub licences: Vec<Arc<str>>,
    /// Who supplies it.
    pub supplier: Option<Box<str>>,
    /// Digests of the package as published, or of the file.
    pub hashes: Vec<Hash>,
    /// CPE 2.3 names.
    pub cpes: Vec<Box<str>>,
    /// What said so. Sorted.
    pub evidence: Vec<Evidence>,
    /// Anything else, sorted by name.
    pub properties: Vec<Property>,
}

/// The sort of a package, in the words of CycloneDX.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[expect(missing_docs, reason = "the words are those of the standard")]
pub enum Kind {
    #[default]
    Library,
    Application,
    Framework,
    Container,
    Platform,
    OperatingSystem,
    Device,
    DeviceDriver,
    Firmware,
    File,
    Model,
    Data,
    Asset,
}

const KINDS: [(Kind, &str); 13] = [
    (Kind::Library, "library"),
    (Kind::Application, "application"),
    (Kind::Framework, "framework"),
    (Kind::Container, "container"),
    (Kind::Platform, "platform"),
    (Kind::OperatingSystem, "operating-system"),
    (Kind::Device, "device"),
    (Kind::DeviceDriver, "device-driver"),
    (Kind::Firmware, "firmware"),
    (Kind::File, "file"),
    (Kind::Model, "machine-learning-model"),
    (Kind::Data, "data"),
    (Kind::Asset, "cryptographic-asset"),
];

impl Kind {
    /// Returns CycloneDX's word.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("library", |(_, word)| word)
    }

    /// Finds a kind by CycloneDX's word.
    pub fn of(word: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// How a package is known. Ordered: the first is the strongest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum State {
    /// It is there: a package database or an unpacked package says so.
    #[default]
    Installed,
    /// Its code is inside a program or an archive.
    Embedded,
    /// A lock file names exactly this version.
    Locked,
    /// A manifest asks for it; the version may be open.
    Declared,
}

const STATES: [(State, &str); 4] = [
    (State::Installed, "installed"),
    (State::Embedded, "embedded"),
    (State::Locked, "locked"),
    (State::Declared, "declared"),
];

impl State {
    /// Returns the word.
    pub fn word(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("installed", |(_, word)| word)
    }

    /// Finds a state by its word.
    pub fn of(word: &str) -> Option<Self> {
        STATES.iter().find(|(_, known)| *known == word).map(|(state, _)| *state)
    }
}

/// Where a package was found, as far as that says whether it is part of anything. Ordered: what counts most is first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Place {
    /// Where packages belong.
    #[default]
    Product,
    /// In the sources of another package: its own lock files and examples.
    Vendored,
    /// In a folder of tests or samples.
    Fixture,
    /// In a download or build cache.
    Cache,
}

const PLACES: [(Place, &str); 4] = [
    (Place::Product, "product"),
    (Place::Vendored, "vendored"),
    (Place::Fixture, "fixture"),
    (Place::Cache, "cache"),
];

impl Place {
    /// Returns the word.
    pub fn word(self) -> &'static str {
        PLACES.iter().find(|(place, _)| *place == self).map_or("product", |(_, word)| word)
    }

    /// Finds a place by its word.
    pub fn of(word: &str) -> Option<Self> {
        PLACES.iter().find(|(_, known)| *known == word).map(|(place, _)| *place)
    }
}

/// One piece of evidence.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Evidence {
    /// The file that said so. Shared: a lock file names thousands of packages.
    pub path: Arc<BytePath>,
    /// Which reader understood it.
    pub by: Cow<'static, str>,
}

/// A digest by any algorithm that ecosystems use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hash {
    /// Which.
    pub algorithm: Algorithm,
    /// The digest itself: half as long as its digits.
    bytes: Box<[u8]>,
}

/// Algorithms of digests, with CycloneDX's and SPDX's words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the names are the algorithms'")]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    Blake2b256,
    Blake2b384,
    Blake2b512,
    Blake3,
}

/// Algorithm, CycloneDX's word, SPDX 2.3's, SPDX 3's, hexadecimal digits.
const ALGORITHMS: [(Algorithm, &str, &str, &str, usize); 12] = [
    (Algorithm::Md5, "MD5", "MD5", "md5", 32),
    (Algorithm::Sha1, "SHA-1", "SHA1", "sha1", 40),
    (Algorithm::Sha256, "SHA-256", "SHA256", "sha256", 64),
    (Algorithm::Sha384, "SHA-384", "SHA384", "sha384", 96),
    (Algorithm::Sha512, "SHA-512", "SHA512", "sha512", 128),
    (Algorithm::Sha3_256, "SHA3-256", "SHA3-256", "sha3_256", 64),
    (Algorithm::Sha3_384, "SHA3-384", "SHA3-384", "sha3_384", 96),
    (Algorithm::Sha3_512, "SHA3-512", "SHA3-512", "sha3_512", 128),
    (Algorithm::Blake2b256, "BLAKE2b-256", "BLAKE2b-256", "blake2b256", 64),
    (Algorithm::Blake2b384, "BLAKE2b-384", "BLAKE2b-384", "blake2b384", 96),
    (Algorithm::Blake2b512, "BLAKE2b-512", "BLAKE2b-512", "blake2b512", 128),
    (Algorithm::Blake3, "BLAKE3", "BLAKE3", "blake3", 64),
];

impl Algorithm {
    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str, usize) {
        ALGORITHMS.iter().find(|row| row.0 == self).unwrap_or(&ALGORITHMS[0])
    }

    /// Returns CycloneDX's word.
    pub fn cyclonedx(self) -> &'static str {
        self.row().1
    }

    /// Returns SPDX 2.3's word.
    pub fn spdx(self) -> &'static str {
        self.row().2
    }

    /// Returns SPDX 3's word.
    pub fn spdx3(self) -> &'static str {
        self.row().3
    }

    /// Finds an algorithm by any of these words, whatever their case.
    pub fn of(word: &str) -> Option<Self> {
        let is = |known: &str| known.eq_ignore_ascii_case(word);
        ALGORITHMS.iter().find(|row| is(row.1) || is(row.2) || is(row.3)).map(|row| row.0)
    }
}

impl Hash {
    /// Takes a digest in hexadecimal digits; `None` if it cannot be one.
    pub fn new(algorithm: Algorithm, hex: &str) -> Option<Self> {
        let bytes = hex::decode(hex).ok().filter(|_| hex.len() == algorithm.row().4)?;
        Some(Self { algorithm, bytes: bytes.into() })
    }

    /// Returns the lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }
}

/// A name and a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Property {
    /// Name.
    pub name: Cow<'static, str>,
    /// Value.
    pub value: Box<str>,
}

impl Package {
    /// Returns the purl's type, if there is a purl.
    pub fn ecosystem(&self) -> Option<&str> {
        self.purl.as_deref()?.strip_prefix("pkg:")?.split('/').next()
    }

    /// Returns what a person calls it: with its name space, without the version.
    pub fn full_name(&self) -> String {
        match (self.namespace.is_empty(), self.ecosystem()) {
            (true, _) => self.name.to_string(),
            (false, Some("maven")) => format!("{}:{}", self.namespace, self.name),
            (false, Some("deb" | "rpm" | "apk" | "alpm")) => self.name.to_string(),
            (false, _) => format!("{}/{}", self.namespace, self.name),
        }
    }

    /// Adds what another report of the same package knows.
    pub fn merge(&mut self, other: Self) {
        self.kind = self.kind.min(other.kind);
        self.state = self.state.min(other.state);
        self.place = self.place.min(other.place);
        self.supplier = self.supplier.take().or(other.supplier);
        union(&mut self.licences, other.licences);
        union(&mut self.hashes, other.hashes);
        union(&mut self.cpes, other.cpes);
        union(&mut self.evidence, other.evidence);
        union(&mut self.properties, other.properties);
    }
}

/// Adds what is not there, and sorts.
fn union<T: Ord>(list: &mut Vec<T>, more: Vec<T>) {
    if more.is_empty() {
        return;
    }
    list.extend(more);
    list.sort();
    list.dedup();
}

impl Bom {
    /// Brings packages into order, makes of those that are the same one with all evidence, and moves the relations along.
    ///
    /// Two packages are the same if they have the same purl, or, without one, the same kind, name, version and first
    /// piece of evidence.
    pub fn arrange(&mut self) {
        let mut order: Vec<u32> = (0_u32..).take(self.packages.len()).collect();
        order.sort_by(|a, b| key(&self.packages[*a as usize]).cmp(&key(&self.packages[*b as usize])));
        // Brought into order in place: a second list of a million packages would be most of the memory.
        for new in 0..order.len() {
            let mut old = order[new] as usize;
            // What stood there was exchanged already, and with what, the order says.
            while old < new {
                old = order[old] as usize;
            }
            self.packages.swap(new, old);
        }
        let (mut places, mut next) = (vec![0_u32; order.len()], 0_u32);
        for (new, old) in order.iter().enumerate() {
            if new > 0 && key(&self.packages[new - 1]) != key(&self.packages[new]) {
                next += 1;
            }
            places[*old as usize] = next;
        }
        drop(order);
        self.packages.dedup_by(|later, earlier| {
            let same = key(earlier) == key(later);
            if same {
                earlier.merge(std::mem::take(later));
            }
            same
        });
        let moved = |place: u32| places.get(place as usize).copied();
        self.relations = std::mem::take(&mut self.relations)
            .into_iter()
            .filter_map(|(from, to)| Some((moved(from)?, moved(to)?)))
            .filter(|(from, to)| from != to)
            .collect();
        self.relations.sort_unstable();
        self.relations.dedup();
        self.direct = std::mem::take(&mut self.direct).into_iter().filter_map(moved).collect();
        self.direct.sort_unstable();
        self.direct.dedup();
        self.packages.shrink_to_fit();
    }

    /// Leaves out the packages for which `keep` says no; relations through them go with them. Returns how many went.
    pub fn retain(&mut self, keep: impl Fn(&Package) -> bool) -> usize {
        let before = self.packages.len();
        let mut places = Vec::with_capacity(before);
        let mut next = 0_u32;
        for package in &self.packages {
            let kept = keep(package);
            places.push(kept.then_some(next));
            next += u32::from(kept);
        }
        let mut place = places.iter();
        self.packages.retain(|_| place.next().is_some_and(Option::is_some));
        let moved = |place: u32| places.get(place as usize).copied().flatten();
        self.relations = std::mem::take(&mut self.relations)
            .into_iter()
            .filter_map(|(from, to)| Some((moved(from)?, moved(to)?)))
            .collect();
        self.direct = std::mem::take(&mut self.direct).into_iter().filter_map(moved).collect();
        before - self.packages.len()
    }
}

/// What makes two packages the same.
fn key(package: &Package) -> (Option<&str>, Kind, &str, &str, &str, Option<&Evidence>) {
    match package.purl.as_deref() {
        Some(purl) => (Some(purl), Kind::Library, "", "", "", None),
        None => (
            None,
            package.kind,
            &package.namespace,
            &package.name,
            &package.version,
            package.evidence.first(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(purl: &str, path: &str) -> Package {
        let evidence = Evidence { path: Arc::new(path.into()), by: "test".into() };
        Package { purl: Some(purl.into()), evidence: vec![evidence], ..Package::default() }
    }

    #[test]
    fn the_same_package_twice_is_one_with_two_pieces_of_evidence() {
        let mut bom = Bom {
            packages: vec![package("pkg:a/b@2", "y"), package("pkg:a/b@1", "x"), package("pkg:a/b@2", "x")],
            relations: vec![(0, 1), (2, 1), (0, 2)],
            direct: vec![2],
            ..Bom::default()
        };
        bom.packages[0].place = Place::Cache;
        bom.arrange();
        assert_eq!(bom.packages.len(), 2);
        assert_eq!((bom.packages[1].evidence.len(), bom.packages[1].place), (2, Place::Product));
        assert_eq!((bom.relations.as_slice(), bom.direct.as_slice()), (&[(1, 0)][..], &[1][..]));
        assert_eq!(bom.retain(|package| package.evidence.len() > 1), 1);
        assert_eq!((bom.relations.len(), bom.direct.as_slice()), (0, &[0][..]));
    }

    #[test]
    fn a_digest_has_the_length_of_its_algorithm() {
        assert!(Hash::new(Algorithm::Sha256, &"Ab".repeat(32)).is_some());
        assert!(Hash::new(Algorithm::Sha256, "ab").is_none());
        assert!(Hash::new(Algorithm::Md5, &"xy".repeat(16)).is_none());
        assert_eq!(Algorithm::of("sha512"), Some(Algorithm::Sha512));
    }
}
