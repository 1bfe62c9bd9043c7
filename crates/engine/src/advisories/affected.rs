//! `advisories affected`: which builds, products and machines had a package, answered from the index of occurrences without looking at
//! one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::{Purl, Timestamp};
use feeds::affected::Outcome;
use feeds::snapshot::At;
use feeds::vex::{Book, Status};
use feeds::{Package, Snapshot};
use judge::detect::MachineRole;
use judge::matching::Certainty;
use serde::Serialize;
use store::Index;
use store::occurrences::{Found, Occurrences, Role};

use super::assets::{Asset, Assets, assets};
use super::hearing::Hearing;
use super::{failed, matching, open};
use crate::World;
use crate::error::{Error, Result};
use crate::world::store_error;

/// What an advisory or a package touches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Affected {
    /// The versions that were seen and are affected: purl-like `ecosystem/name@version`; of artifacts, their digests.
    pub packages: Vec<String>,
    /// Where they were.
    pub rows: Vec<AffectedRow>,
    /// Between when that was.
    pub between: Option<(Timestamp, Timestamp)>,
    /// Between when releases with it were signed, or their bills made.
    pub shipped_between: Option<(Timestamp, Timestamp)>,
}

/// A build, a product or a machine that had it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AffectedRow {
    /// `build`, `product` or `machine`.
    pub kind: &'static str,
    /// What it is called: `r7`, `app 1.0`, `build-1`.
    pub name: String,
    /// The record's number, of a build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// The product.
    pub product: String,
    /// The release.
    pub release: String,
    /// How it had it.
    pub role: &'static str,
    /// When it was made, or first seen there.
    pub at: Timestamp,
    /// When it was last signed, or last seen there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of a machine: whether a later look does not show it any more; none if that look was partial, and of anything else.
    pub gone: Option<bool>,
}

/// Asks where packages were, after what statements suppress.
pub(super) struct Where<'a, D> {
    pub(super) world: &'a World,
    pub(super) snapshot: &'a Snapshot<D>,
    pub(super) book: Book,
    pub(super) hearing: Hearing,
    pub(super) occurrences: &'a Occurrences,
    /// The asset of each record, by number.
    pub(super) builds: BTreeMap<u64, u32>,
}

impl<'a, D: AsRef<[u8]>> Where<'a, D> {
    /// Prepares to ask a snapshot.
    pub(super) fn new(world: &'a World, snapshot: &'a Snapshot<D>, all: &'a Assets) -> Result<Self> {
        let builds = (0..).zip(&all.list).filter_map(|(number, asset)| match asset {
            Asset::Build(row, _) => Some((row.number, number)),
            Asset::Product(_) | Asset::Machine(..) => None,
        });
        Ok(Self {
            world,
            snapshot,
            book: Book::new(snapshot.statements().map_err(failed)?),
            hearing: Hearing::of(&crate::assess::policy(world)?.advisories, world.now())?,
            occurrences: &all.occurrences,
            builds: builds.collect(),
        })
    }

    /// Finds where a record's packages were, in versions that it speaks of, and where the bytes of its artifacts were seen, whatever
    /// they were called. What a statement says is not affected is left out, unless it is an attack or exploited.
    pub(super) fn of_record(&self, at: At) -> Result<(BTreeSet<String>, Found)> {
        let (mut packages, mut found) = (BTreeSet::new(), Found::default());
        let Some(record) = self.snapshot.advisory(at) else { return Ok((packages, found)) };
        for digest in self.snapshot.artifacts_of(at) {
            for seen in self.world.index.sightings(&digest).map_err(store_error)? {
                if let Some(asset) = self.builds.get(&seen.record) {
                    packages.insert(digest.to_string());
                    found.add(Role::BuildMachine, *asset);
                }
            }
        }
        let (advisory, _) = matching::advisory(self.snapshot, at, Certainty::Affected, false);
        let firm = advisory.malicious || advisory.exploitation.since.is_some();
        let names = |id: &str| id == advisory.id || advisory.aliases.contains(id);
        for key in &record.packages {
            let Some((ecosystem, name)) = key.split_once('\0') else { continue };
            for (version, seen) in self.occurrences.versions(key.as_bytes()) {
                let package = Package::new(ecosystem, name, version);
                let hit = self.snapshot.matches(&package).into_iter().find(|hit| hit.at == at);
                // What nobody can tell is told, too.
                if hit.is_none_or(|hit| hit.outcome == Outcome::NotAffected) {
                    continue;
                }
                if firm || !self.suppressed(&package, &names) {
                    packages.insert(format!("{ecosystem}/{name}@{version}"));
                    seen.add_to(&mut found);
                }
            }
        }
        Ok((packages, found))
    }

    /// Finds where packages were that somebody's statement calls affected.
    pub(super) fn of_statements(&self, id: &str) -> (BTreeSet<String>, Found) {
        let (mut packages, mut found) = (BTreeSet::new(), Found::default());
        let affected = self.book.naming(id).filter(|one| one.status == Status::Affected);
        let named = affected.flat_map(|one| one.products.iter().chain(&one.components));
        let keys: BTreeSet<(String, String)> = named
            .filter_map(|text| Package::of_purl(&Purl::parse_lenient(text).ok()?))
            .map(|package| (package.ecosystem, package.name))
            .collect();
        let names = |known: &str| known == id;
        for (ecosystem, name) in keys {
            let key = Package::new(&ecosystem, &name, "").key();
            for (version, seen) in self.occurrences.versions(&key) {
                let package = Package::new(&ecosystem, &name, version);
                let is = self.book.of_package(&package).iter().any(|about| {
                    about.statement.status == Status::Affected
                        && about.statement.vulnerabilities.iter().any(|known| known == id)
                });
                if is && !self.suppressed(&package, &names) {
                    packages.insert(format!("{ecosystem}/{name}@{version}"));
                    seen.add_to(&mut found);
                }
            }
        }
        (packages, found)
    }

    fn suppressed(&self, package: &Package, names: &dyn Fn(&str) -> bool) -> bool {
        let said = self.book.of_package(package);
        self.hearing.latest(&said, names, &[], &mut BTreeMap::new()).is_some()
    }
}

/// Finds the builds, products and machines that an advisory, or a package, touches.
pub fn affected(store: &Path, world: &World, what: &str) -> Result<Affected> {
    let all = assets(world, store)?;
    let (mut packages, mut found) = (BTreeSet::new(), Found::default());
    if what.starts_with("pkg:") {
        let purl =
            Purl::parse_lenient(what).map_err(|error| Error::NoTarget(format!("`{what}`: {error}")))?;
        let package = Package::of_purl(&purl)
            .ok_or_else(|| Error::NoTarget(format!("`{what}` is of a type that no advisory knows")))?;
        for (version, seen) in all.occurrences.versions(&package.key()) {
            if package.version.is_empty() || package.version == version {
                packages.insert(format!("{}/{}@{version}", package.ecosystem, package.name));
                seen.add_to(&mut found);
            }
        }
    } else {
        let snapshot = open(store)?;
        let asking = Where::new(world, &snapshot, &all)?;
        let records = snapshot.find(what);
        if records.is_empty() && asking.book.naming(what).next().is_none() {
            return Err(Error::NoTarget(format!("the index has no advisory `{what}`")));
        }
        let of_records = records.into_iter().map(|at| asking.of_record(at));
        for answer in of_records.chain([Ok(asking.of_statements(what))]) {
            let (some, there) = answer?;
            packages.extend(some);
            found.join(&there);
        }
    }
    Ok(rows_of(packages, &found, &all))
}

fn rows_of(packages: BTreeSet<String>, found: &Found, all: &Assets) -> Affected {
    // Of each machine, the last look and the last complete one.
    let mut newest: BTreeMap<&str, (Timestamp, Option<Timestamp>)> = BTreeMap::new();
    for asset in &all.list {
        if let Asset::Machine(look, _) = asset {
            let (last, complete) = newest.entry(&look.host).or_insert((look.collected, None));
            *last = (*last).max(look.collected);
            *complete = (*complete).max(look.complete.then_some(look.collected));
        }
    }
    let mut rows: BTreeMap<(u8, String, &'static str), AffectedRow> = BTreeMap::new();
    for role in Role::ALL {
        for asset in found.assets(role).filter_map(|number| all.list.get(number as usize)) {
            let row = row(asset, role);
            let order = match asset {
                Asset::Product(_) => 0,
                Asset::Build(..) => 1,
                Asset::Machine(..) => 2,
            };
            let number = row.record.map_or_else(|| row.name.clone(), |number| format!("{number:020}"));
            let known = rows.entry((order, number, row.role)).or_insert_with(|| row.clone());
            known.at = known.at.min(row.at);
            known.until = known.until.max(row.until);
        }
    }
    let mut rows: Vec<AffectedRow> = rows.into_values().collect();
    for row in rows.iter_mut().filter(|row| row.kind == "machine") {
        let last = row.until.unwrap_or(row.at);
        row.gone = match newest.get(row.name.as_str()) {
            Some((_, Some(complete))) if *complete > last => Some(true),
            Some((newest, _)) if *newest > last => None,
            _ => Some(false),
        };
    }
    let ends = |row: &AffectedRow| [Some(row.at), row.until];
    let between = |list: Vec<Timestamp>| list.iter().min().copied().zip(list.iter().max().copied());
    let times = |which: &dyn Fn(&&AffectedRow) -> bool| {
        between(rows.iter().filter(which).flat_map(ends).flatten().collect())
    };
    let signed: Vec<Timestamp> = found
        .assets(Role::Shipped)
        .filter_map(|number| all.list.get(number as usize))
        .flat_map(|asset| match asset {
            Asset::Build(_, signed) => signed.map_or([None, None], |(first, last)| [Some(first), Some(last)]),
            Asset::Product(bill) => [Some(bill.made), None],
            Asset::Machine(..) => [None, None],
        })
        .flatten()
        .collect();
    Affected {
        packages: packages.into_iter().collect(),
        between: times(&|_| true),
        shipped_between: between(signed),
        rows,
    }
}

fn row(asset: &Asset, role: Role) -> AffectedRow {
    let name = asset.name();
    match asset {
        Asset::Build(record, signed) => AffectedRow {
            kind: "build",
            name,
            record: Some(record.number),
            product: record.product.clone(),
            release: record.release.clone(),
            role: match (role, signed) {
                (Role::Shipped, Some(_)) => "shipped",
                // Nothing that this build made was signed: it did not ship from here.
                (Role::Shipped, None) => "linked in a build",
                (Role::Executed, _) => "executed in a build",
                (Role::BuildMachine | Role::DeveloperMachine, _) => "present in a build",
            },
            at: record.finished,
            until: signed.filter(|_| role == Role::Shipped).map(|(_, last)| last),
            gone: None,
        },
        Asset::Product(bill) => AffectedRow {
            kind: "product",
            name,
            record: None,
            product: bill.product.clone(),
            release: bill.release.clone(),
            role: "shipped",
            at: bill.made,
            until: None,
            gone: None,
        },
        Asset::Machine(look, purpose) => AffectedRow {
            kind: "machine",
            name,
            record: None,
            product: String::new(),
            release: String::new(),
            role: match purpose {
                MachineRole::Developer => "installed on a developer machine",
                MachineRole::Build => "installed on a build machine",
                MachineRole::Sign => "installed on a signing machine",
            },
            at: look.collected,
            until: Some(look.collected),
            gone: None,
        },
    }
}
