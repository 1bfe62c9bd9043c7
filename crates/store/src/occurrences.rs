//! Where packages were: for each version of each package, which assets (records, products, machines) had it, in which role.
//!
//! Derived from records; deleted, it is made anew. Assets are numbered in the order in which they came, so that the versions of
//! a package lie in runs and a bitmap of a million assets takes a few bytes. A new advisory is answered by looking at the
//! versions that were ever seen of its packages, not at assets.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

const MAGIC: &[u8; 8] = b"CSOC0001";
/// No package is called longer, no asset either.
const NAME_MAX: usize = 1 << 14;

/// How an asset had a package. The order is that of the written form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It is part of what was shipped.
    Shipped,
    /// It ran in a build.
    Executed,
    /// It was there in a build, and did not run.
    BuildMachine,
    /// It was on a developer's machine.
    DeveloperMachine,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Shipped, Self::Executed, Self::BuildMachine, Self::DeveloperMachine];

    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Executed => "executed in a build",
            Self::BuildMachine => "present in a build",
            Self::DeveloperMachine => "on a developer's machine",
        }
    }
}

type Bitmaps = [RoaringBitmap; Role::ALL.len()];
type Versions = BTreeMap<Box<str>, Box<Bitmaps>>;

/// The occurrences of all packages.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Occurrences {
    assets: u32,
    /// Package key → version → assets by role.
    packages: BTreeMap<Box<[u8]>, Versions>,
}

impl Occurrences {
    /// Returns the number of the next asset.
    pub fn assets(&self) -> u32 {
        self.assets
    }

    /// Takes in a new asset; returns its number.
    pub fn asset(&mut self) -> u32 {
        self.assets += 1;
        self.assets - 1
    }

    /// Notes that assets of a run of numbers had a version of a package.
    pub fn add(&mut self, package: &[u8], version: &str, role: Role, assets: std::ops::Range<u32>) {
        self.assets = self.assets.max(assets.end);
        let versions = match self.packages.get_mut(package) {
            Some(versions) => versions,
            None => self.packages.entry(package.into()).or_default(),
        };
        if !versions.contains_key(version) {
            versions.insert(version.into(), Box::default());
        }
        if let Some(bitmaps) = versions.get_mut(version) {
            bitmaps[role as usize].insert_range(assets);
        }
    }

    /// Hands over the versions that were seen of a package.
    pub fn versions<'a>(&'a self, package: &[u8]) -> impl Iterator<Item = (&'a str, Seen<'a>)> {
        let versions = self.packages.get(package).into_iter().flatten();
        versions.map(|(version, bitmaps)| (&**version, Seen { bitmaps }))
    }

    /// Hands over the keys of the packages.
    pub fn packages(&self) -> impl Iterator<Item = &[u8]> {
        self.packages.keys().map(|key| &**key)
    }

    /// Counts occurrences.
    pub fn len(&self) -> u64 {
        self.packages
            .values()
            .flat_map(BTreeMap::values)
            .flat_map(|bitmaps| bitmaps.iter())
            .map(RoaringBitmap::len)
            .sum()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Writes everything.
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let count = |out: &mut Vec<u8>, count: usize| out.extend((count as u32).to_le_bytes());
        count(&mut out, self.assets as usize);
        count(&mut out, self.packages.len());
        for (package, versions) in &self.packages {
            count(&mut out, package.len());
            out.extend(&**package);
            count(&mut out, versions.len());
            for (version, bitmaps) in versions {
                count(&mut out, version.len());
                out.extend(version.as_bytes());
                for bitmap in bitmaps.iter() {
                    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
                    bitmap.serialize_into(&mut bytes).expect("writing into memory does not fail");
                    count(&mut out, bytes.len());
                    out.extend(bytes);
                }
            }
        }
        out
    }

    /// Reads what [`Occurrences::write`] wrote; none if it is something else or damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let assets = number(&mut rest)?;
        let mut packages = BTreeMap::new();
        for _ in 0..number(&mut rest)? {
            let package = part(&mut rest, NAME_MAX)?;
            let mut versions = BTreeMap::new();
            for _ in 0..number(&mut rest)? {
                let version = std::str::from_utf8(part(&mut rest, NAME_MAX)?).ok()?;
                let mut bitmaps = Box::<Bitmaps>::default();
                for bitmap in bitmaps.iter_mut() {
                    let bytes = part(&mut rest, usize::MAX)?;
                    *bitmap = RoaringBitmap::deserialize_from(bytes).ok()?;
                }
                versions.insert(version.into(), bitmaps);
            }
            packages.insert(package.into(), versions);
        }
        rest.is_empty().then_some(Self { assets, packages })
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn part<'a>(rest: &mut &'a [u8], most: usize) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (part, after) = rest.split_at_checked(length).filter(|_| length <= most)?;
    *rest = after;
    Some(part)
}

/// The assets that had one version of a package.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    bitmaps: &'a Bitmaps,
}

impl Seen<'_> {
    /// Adds its assets to those of others.
    pub fn add_to(&self, found: &mut Found) {
        for (bitmap, found) in self.bitmaps.iter().zip(&mut found.bitmaps) {
            *found |= bitmap;
        }
    }
}

/// Assets that were found, by role.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    bitmaps: Bitmaps,
}

impl Found {
    /// Hands over the assets in a role, in order.
    pub fn assets(&self, role: Role) -> impl Iterator<Item = u32> {
        self.bitmaps[role as usize].iter()
    }

    /// Adds one asset in a role.
    pub fn add(&mut self, role: Role, asset: u32) {
        self.bitmaps[role as usize].insert(asset);
    }

    /// Counts the assets in a role.
    pub fn count(&self, role: Role) -> u64 {
        self.bitmaps[role as usize].len()
    }

    /// Tells whether there is none in any role.
    pub fn is_empty(&self) -> bool {
        self.bitmaps.iter().all(RoaringBitmap::is_empty)
    }

    /// Adds what another has.
    pub fn join(&mut self, other: &Self) {
        for (bitmap, other) in self.bitmaps.iter_mut().zip(&other.bitmaps) {
            *bitmap |= other;
        }
    }

    /// Leaves only what another has not.
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for (bitmap, other) in left.bitmaps.iter_mut().zip(&other.bitmaps) {
            *bitmap -= other;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_found_and_survives() {
        let mut all = Occurrences::default();
        all.add(b"npm\0a", "1.0.0", Role::Shipped, 0..1000);
        all.add(b"npm\0a", "1.0.1", Role::Shipped, 1000..1005);
        all.add(b"npm\0a", "1.0.1", Role::Executed, 1001..1002);
        all.add(b"npm\0b", "2", Role::BuildMachine, 7..8);
        assert_eq!((all.len(), all.assets()), (1007, 1005));
        let mut found = Found::default();
        for (_, seen) in all.versions(b"npm\0a").filter(|(version, _)| *version == "1.0.1") {
            seen.add_to(&mut found);
        }
        assert_eq!(found.assets(Role::Shipped).collect::<Vec<_>>(), [1000, 1001, 1002, 1003, 1004]);
        assert_eq!(found.count(Role::Executed), 1);
        assert!(found.minus(&found).is_empty());
        assert_eq!(all.versions(b"npm\0c").count(), 0);
        let bytes = all.write();
        assert_eq!(Occurrences::read(&bytes), Some(all));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            Occurrences::read(&damaged);
            assert_eq!(Occurrences::read(&bytes[..at]), None);
        }
    }
}
