//! What the index of occurrences is of: builds, products by their bills, looks at machines; each a number, in the order in which
//! they came. Derived: a file that is not of what the store has is made anew.

use std::collections::BTreeMap;
use std::path::Path;

use evidence::inventory::{Inventory, Section};
use evidence::{Digest, Followed, Purl, Timestamp};
use feeds::Package;
use judge::Policy;
use judge::detect::MachineRole;
use judge::matching::{Grade, seen};
use serde::{Deserialize, Serialize};
use store::occurrences::{Occurrences, Role};
use store::{Index, RecordRow};

use super::{bills, folder};
use crate::World;
use crate::error::{Error, Result};
use crate::files;
use crate::inventory::{PACKAGES, inventories};
use crate::world::store_error;

const FILE: &str = "occurrences";
const FILE_MAX_BYTES: u64 = 16 << 30;
/// A section or list that is read again for the next look is kept: it seldom changes.
const KEPT_MAX: usize = 64;

/// Where packages were.
pub(super) struct Assets {
    /// Which versions of which packages, by asset.
    pub(super) occurrences: Occurrences,
    /// What each asset is.
    pub(super) list: Vec<Asset>,
}

/// Something that has packages.
pub(super) enum Asset {
    /// A recorded build, with when an output of it was first and last signed.
    Build(RecordRow, Option<(Timestamp, Timestamp)>),
    /// A product, by its bill.
    Product(Followed),
    /// A look at a machine.
    Machine(Inventory, MachineRole),
}

impl Asset {
    /// What it is called: `r7`, `app 1.0`, `build-1`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Build(row, _) => format!("r{}", row.number),
            Self::Product(bill) => format!("{} {}", bill.product, bill.release).trim_end().to_owned(),
            Self::Machine(look, _) => look.host.clone(),
        }
    }
}

/// What an asset in the file was made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Source {
    Build(Digest),
    Product(Digest),
    Machine(Digest, bool),
}

/// Brings the index of occurrences up to date with what the store has.
pub(super) fn assets(world: &World, store: &Path) -> Result<Assets> {
    let policy = crate::assess::policy(world)?;
    let now = Now::of(world, &policy)?;
    let path = folder(store).join(FILE);
    // One that cannot be read, or is of other things than these, is made anew.
    let (mut sources, mut occurrences) = files::read(&path, FILE_MAX_BYTES)
        .ok()
        .and_then(|bytes| known(&bytes))
        .filter(|(sources, _)| now.has_all(sources))
        .unwrap_or_default();
    let before = sources.len();
    now.add(world, &mut sources, &mut occurrences)?;
    if sources.len() != before {
        std::fs::create_dir_all(folder(store))
            .map_err(|source| Error::Write { path: folder(store), source })?;
        files::write(&path, &written(&sources, &occurrences)?)?;
    }
    let list = now.list(&sources);
    Ok(Assets { occurrences, list })
}

/// What the store has now, of each kind in order.
struct Now {
    builds: Vec<RecordRow>,
    signed: BTreeMap<u64, (Timestamp, Timestamp)>,
    products: Vec<(Digest, Followed)>,
    looks: Vec<(Digest, Inventory, MachineRole)>,
}

impl Now {
    fn of(world: &World, policy: &Policy) -> Result<Self> {
        let mut signed: BTreeMap<u64, (Timestamp, Timestamp)> = BTreeMap::new();
        for row in world.index.signatures().map_err(store_error)? {
            let (first, last) = signed.entry(row.record).or_insert((row.signed, row.signed));
            (*first, *last) = ((*first).min(row.signed), (*last).max(row.signed));
        }
        let mut looks: Vec<(Digest, Inventory, MachineRole)> = inventories(world)?
            .into_iter()
            .map(|(digest, look)| {
                let role = policy.role_of(&look.host);
                (digest, look, role)
            })
            .collect();
        looks.reverse();
        let mut products = bills::followed(world)?;
        products.reverse();
        Ok(Self { builds: world.index.records().map_err(store_error)?, signed, products, looks })
    }

    /// The sources of a kind, in order.
    fn sources(&self) -> [Vec<Source>; 3] {
        [
            self.builds.iter().map(|row| Source::Build(row.digest)).collect(),
            self.products.iter().map(|(digest, _)| Source::Product(*digest)).collect(),
            self.looks
                .iter()
                .map(|(digest, _, role)| Source::Machine(*digest, *role == MachineRole::Developer))
                .collect(),
        ]
    }

    /// Tells whether these are the first of what there is now: another store, one that was set back, or a policy that says
    /// otherwise what a machine is for, has others.
    fn has_all(&self, known: &[Source]) -> bool {
        let all = self.sources();
        let mut next = [0; 3];
        known.iter().all(|source| {
            let kind = kind(source);
            next[kind] += 1;
            all[kind].get(next[kind] - 1) == Some(source)
        })
    }

    /// Takes in what is new.
    fn add(&self, world: &World, sources: &mut Vec<Source>, all: &mut Occurrences) -> Result<()> {
        let mut next = [0; 3];
        sources.iter().for_each(|source| next[kind(source)] += 1);
        let mut kept: BTreeMap<Digest, Vec<Package>> = BTreeMap::new();
        let [builds, products, looks] = self.sources();
        for (row, source) in self.builds.iter().zip(builds).skip(next[0]) {
            let view = crate::records::view(world, row)?;
            let asset = all.asset();
            for (text, seen) in seen(&view.record) {
                let Some(package) = package(text) else { continue };
                let role = if seen.grade >= Grade::Loaded { Role::Executed } else { Role::BuildMachine };
                all.add(&package.key(), &package.version, role, asset..asset + 1);
                if seen.grade == Grade::Linked && row.complete {
                    all.add(&package.key(), &package.version, Role::Shipped, asset..asset + 1);
                }
            }
            sources.push(source);
        }
        let listed = self.products.iter().zip(products).skip(next[1]);
        for ((_, product), source) in listed {
            let text = world.read(&product.packages)?;
            let asset = all.asset();
            for package in String::from_utf8_lossy(&text).lines().filter_map(package) {
                all.add(&package.key(), &package.version, Role::Shipped, asset..asset + 1);
            }
            sources.push(source);
        }
        for ((_, look, role), source) in self.looks.iter().zip(looks).skip(next[2]) {
            let asset = all.asset();
            sources.push(source);
            let Some(section) = look.sections.get(PACKAGES) else { continue };
            if !kept.contains_key(section) {
                if kept.len() >= KEPT_MAX {
                    kept.clear();
                }
                let items = world.document::<Section>("inventory section", section)?.items;
                let packages = items.iter().filter_map(|item| package(item.purl.as_deref()?));
                kept.insert(*section, packages.collect());
            }
            let role =
                if *role == MachineRole::Developer { Role::DeveloperMachine } else { Role::BuildMachine };
            for package in kept.get(section).into_iter().flatten() {
                all.add(&package.key(), &package.version, role, asset..asset + 1);
            }
        }
        Ok(())
    }

    fn list(self, sources: &[Source]) -> Vec<Asset> {
        let signed = self.signed;
        let mut builds = self.builds.into_iter();
        let mut products = self.products.into_iter();
        let mut looks = self.looks.into_iter();
        let asset = |source: &Source| match source {
            Source::Build(_) => builds.next().map(|row| {
                let signed = signed.get(&row.number).copied();
                Asset::Build(row, signed)
            }),
            Source::Product(_) => products.next().map(|(_, product)| Asset::Product(product)),
            Source::Machine(..) => looks.next().map(|(_, look, role)| Asset::Machine(look, role)),
        };
        sources.iter().filter_map(asset).collect()
    }
}

fn kind(source: &Source) -> usize {
    match source {
        Source::Build(_) => 0,
        Source::Product(_) => 1,
        Source::Machine(..) => 2,
    }
}

fn package(purl: &str) -> Option<Package> {
    Purl::parse_lenient(purl).ok().as_ref().and_then(Package::of_purl)
}

/// Reads the file: the length of the list of sources, the list, the occurrences.
fn known(bytes: &[u8]) -> Option<(Vec<Source>, Occurrences)> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (list, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let sources: Vec<Source> = serde_json::from_slice(list).ok()?;
    let all = Occurrences::read(rest)?;
    (all.assets() as usize == sources.len()).then_some((sources, all))
}

fn written(sources: &[Source], all: &Occurrences) -> Result<Vec<u8>> {
    let list = serde_json::to_vec(sources).map_err(|error| Error::Advisories(Box::new(error)))?;
    Ok([&(list.len() as u64).to_le_bytes(), list.as_slice(), &all.write()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(content: &[u8]) -> RecordRow {
        let at = Timestamp::from_unix(0);
        RecordRow {
            number: 1,
            digest: Digest::of(content),
            log_index: 0,
            product: "p".into(),
            release: "1".into(),
            outcome: "ok".into(),
            complete: true,
            started: at,
            finished: at,
        }
    }

    fn now(builds: &[&[u8]], looks: &[(&[u8], MachineRole)]) -> Now {
        let look = Inventory {
            schema: String::new(),
            host: "h".into(),
            root: "/".into(),
            collected: Timestamp::from_unix(0),
            complete: true,
            gaps: Vec::new(),
            sections: BTreeMap::new(),
            counts: BTreeMap::new(),
            previous: None,
        };
        Now {
            builds: builds.iter().map(|content| row(content)).collect(),
            signed: BTreeMap::new(),
            products: Vec::new(),
            looks: looks.iter().map(|(content, role)| (Digest::of(content), look.clone(), *role)).collect(),
        }
    }

    #[test]
    fn occurrences_of_other_things_are_not_taken() {
        let mut all = Occurrences::default();
        all.add(b"npm\0a", "1", Role::Executed, 0..3);
        let sources = vec![
            Source::Build(Digest::of(b"first")),
            Source::Machine(Digest::of(b"look"), false),
            Source::Build(Digest::of(b"second")),
        ];
        let file = written(&sources, &all).unwrap();
        let (read, occurrences) = known(&file).unwrap();
        assert_eq!((&read, &occurrences), (&sources, &all));
        let build = MachineRole::Build;
        let look: (&[u8], MachineRole) = (b"look", build);
        assert!(
            now(&[b"first", b"second", b"third"], &[look]).has_all(&read),
            "what came since is added to it"
        );
        assert!(!now(&[b"first", b"other"], &[look]).has_all(&read));
        assert!(!now(&[b"first"], &[look]).has_all(&read), "a store that was set back has fewer");
        assert!(!now(&[b"first", b"second"], &[(b"look", MachineRole::Developer)]).has_all(&read));
        assert!(known(&file[1..]).is_none() && known(b"").is_none());
        let mut fewer = sources;
        fewer.pop();
        assert!(known(&written(&fewer, &all).unwrap()).is_none());
    }
}
