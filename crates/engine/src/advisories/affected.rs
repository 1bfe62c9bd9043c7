//! `advisories affected`: which builds had a package, answered from the index of occurrences without looking at one of them.

use std::collections::BTreeSet;
use std::path::Path;

use evidence::{Digest, Purl, Timestamp};
use feeds::Package;
use feeds::affected::Outcome;
use feeds::snapshot::At;
use judge::matching::{Grade, seen};
use serde::Serialize;
use store::Index;
use store::occurrences::{Found, Occurrences, Role};

use super::{folder, open};
use crate::World;
use crate::error::{Error, Result};
use crate::files;
use crate::world::store_error;

const FILE: &str = "occurrences";
const OCCURRENCES_MAX_BYTES: u64 = 16 << 30;

/// What an advisory or a package touches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Affected {
    /// The versions that were seen and are affected: purl-like `ecosystem/name@version`.
    pub packages: Vec<String>,
    /// The builds.
    pub rows: Vec<AffectedRow>,
    /// Between when they were made.
    pub between: Option<(Timestamp, Timestamp)>,
}

/// A build that had it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AffectedRow {
    /// The record's number.
    pub record: u64,
    /// The product.
    pub product: String,
    /// The release.
    pub release: String,
    /// How the build had it.
    pub role: &'static str,
    /// When it was made.
    pub at: Timestamp,
}

/// Brings the index of occurrences up to date with the records, and returns it with the record of each asset.
pub(super) fn occurrences(world: &World, store: &Path) -> Result<(Occurrences, Vec<store::RecordRow>)> {
    let path = folder(store).join(FILE);
    let rows = world.index.records().map_err(store_error)?;
    // It is derived: one that cannot be read, or is of other records than these, is made anew.
    let mut all = files::read(&path, OCCURRENCES_MAX_BYTES)
        .ok()
        .and_then(|bytes| known(&bytes, &rows))
        .unwrap_or_default();
    let before = all.assets();
    for row in rows.iter().skip(before as usize) {
        let view = crate::records::view(world, row)?;
        let asset = all.asset();
        for (text, seen) in seen(&view.record) {
            let Some(package) = Purl::parse_lenient(text).ok().as_ref().and_then(Package::of_purl) else {
                continue;
            };
            let role = if seen.grade >= Grade::Loaded { Role::Executed } else { Role::BuildMachine };
            all.add(&package.key(), &package.version, role, asset..asset + 1);
            if seen.grade == Grade::Linked && row.complete {
                all.add(&package.key(), &package.version, Role::Shipped, asset..asset + 1);
            }
        }
    }
    if all.assets() != before {
        std::fs::create_dir_all(folder(store))
            .map_err(|source| Error::Write { path: folder(store), source })?;
        let newest = rows.last().map_or_else(|| Digest::of(b""), |row| row.digest);
        files::write(&path, &[newest.as_bytes(), all.write().as_slice()].concat())?;
    }
    Ok((all, rows))
}

/// Reads the file of occurrences: the digest of the newest record in it, then the occurrences. The record of that number must
/// be that one: another store, or one that was set back, has others.
fn known(bytes: &[u8], rows: &[store::RecordRow]) -> Option<Occurrences> {
    let (newest, bytes) = bytes.split_first_chunk::<32>()?;
    let all = Occurrences::read(bytes)?;
    let row = rows.get((all.assets() as usize).checked_sub(1)?)?;
    (row.digest.as_bytes() == newest).then_some(all)
}

/// Finds where a record's packages were, in versions that it speaks of.
pub(super) fn of_record<D: AsRef<[u8]>>(
    snapshot: &feeds::Snapshot<D>,
    occurrences: &Occurrences,
    at: At,
) -> (BTreeSet<String>, Found) {
    let (mut packages, mut found) = (BTreeSet::new(), Found::default());
    let Some(advisory) = snapshot.advisory(at) else { return (packages, found) };
    for key in &advisory.packages {
        let Some((ecosystem, name)) = key.split_once('\0') else { continue };
        for (version, seen) in occurrences.versions(key.as_bytes()) {
            let package = Package::new(ecosystem, name, version);
            let hit = snapshot.matches(&package).into_iter().find(|hit| hit.at == at);
            // What nobody can tell is told, too.
            if hit.is_some_and(|hit| hit.outcome != Outcome::NotAffected) {
                packages.insert(format!("{ecosystem}/{name}@{version}"));
                seen.add_to(&mut found);
            }
        }
    }
    (packages, found)
}

/// Finds the builds that an advisory, or a package, touches.
pub fn affected(store: &Path, world: &World, what: &str) -> Result<Affected> {
    let (occurrences, rows) = occurrences(world, store)?;
    let (mut packages, mut found) = (BTreeSet::new(), Found::default());
    if what.starts_with("pkg:") {
        let purl =
            Purl::parse_lenient(what).map_err(|error| Error::NoTarget(format!("`{what}`: {error}")))?;
        let package = Package::of_purl(&purl)
            .ok_or_else(|| Error::NoTarget(format!("`{what}` is of a type that no advisory knows")))?;
        for (version, seen) in occurrences.versions(&package.key()) {
            if package.version.is_empty() || package.version == version {
                packages.insert(format!("{}/{}@{version}", package.ecosystem, package.name));
                seen.add_to(&mut found);
            }
        }
    } else {
        let snapshot = open(store)?;
        let records = snapshot.find(what);
        if records.is_empty() {
            return Err(Error::NoTarget(format!("the index has no advisory `{what}`")));
        }
        for at in records {
            let (some, there) = of_record(&snapshot, &occurrences, at);
            packages.extend(some);
            found.join(&there);
        }
    }
    Ok(rows_of(packages, &found, &rows))
}

fn rows_of(packages: BTreeSet<String>, found: &Found, records: &[store::RecordRow]) -> Affected {
    let mut rows = Vec::new();
    for role in Role::ALL {
        for asset in found.assets(role) {
            let Some(row) = records.get(asset as usize) else { continue };
            rows.push(AffectedRow {
                record: row.number,
                product: row.product.clone(),
                release: row.release.clone(),
                role: role.word(),
                at: row.finished,
            });
        }
    }
    rows.sort_by(|one, other| (one.record, one.role).cmp(&(other.record, other.role)));
    let between = rows.iter().map(|row| row.at).min().zip(rows.iter().map(|row| row.at).max());
    Affected { packages: packages.into_iter().collect(), rows, between }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(content: &[u8]) -> store::RecordRow {
        let at = Timestamp::from_unix(0);
        store::RecordRow {
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

    #[test]
    fn occurrences_of_other_records_are_not_taken() {
        let mut all = Occurrences::default();
        all.add(b"npm\0a", "1", Role::Executed, 0..2);
        let file = [Digest::of(b"second").as_bytes().as_slice(), &all.write()].concat();
        let rows = [row(b"first"), row(b"second"), row(b"third")];
        assert_eq!(known(&file, &rows), Some(all), "what came since is added to it");
        assert_eq!(known(&file, &[row(b"first"), row(b"other")]), None);
        assert_eq!(known(&file, &rows[..1]), None, "a store that was set back has fewer");
        assert_eq!(known(&file[1..], &rows), None);
        assert_eq!(known(b"", &rows), None);
    }
}
