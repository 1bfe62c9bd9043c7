//! What an import changes for us: only that. Who was told of an advisory hears when it is taken back.
//!
//! What was told is a file beside the index. It is written after the notices are made: a crash in between tells them again,
//! never not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use judge::matching::Certainty;
use serde::{Deserialize, Serialize};
use store::Index;
use store::occurrences::Role;

use super::affected::Where;
use super::assets::{Asset, Assets, assets};
use super::{folder, matching, open};
use crate::World;
use crate::error::{Error, Result};
use crate::files;
use crate::world::store_error;

const FILE: &str = "told-2.json";
const TOLD_MAX_BYTES: u64 = 1 << 30;

/// Something that has changed for what we have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Notice {
    /// What has changed.
    pub kind: NoticeKind,
    /// The advisory.
    pub advisory: String,
    /// The packages that it is about, as they were seen.
    pub packages: Vec<String>,
    /// The builds: those that are new, or for a retraction those that were told.
    pub records: Vec<u64>,
    /// The builds, products and machines by name: `r7`, `product app 1.0`, `machine build-1`.
    pub assets: Vec<String>,
    /// In words.
    pub detail: String,
}

/// What has changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// Builds are affected that were not before.
    NewlyAffected,
    /// It is taken back, or no longer about what we have.
    Retracted,
    /// It is worse, or less bad, than it was.
    SeverityChanged,
    /// It is exploited now.
    ExploitationChanged,
}

/// What was told of an advisory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    packages: BTreeSet<String>,
    assets: BTreeSet<String>,
    score: u8,
    exploited: bool,
}

/// Compares what the new snapshot says of what we have with what was told.
pub(super) fn after_import(world: &World, store: &Path) -> Result<Vec<Notice>> {
    let path = folder(store).join(FILE);
    let mut told: BTreeMap<String, Told> = match files::read(&path, TOLD_MAX_BYTES) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Error::Advisories(format!("`{}`: {error}", path.display()).into()))?,
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let snapshot = open(store)?;
    let all = assets(world, store)?;
    let asking = Where::new(world, &snapshot, &all)?;
    let mut ids = concerning(world, &asking, &all)?;
    ids.extend(told.keys().cloned());
    let mut notices = Vec::new();
    for id in ids {
        let now = state(&asking, &all, &id)?;
        notices.extend(differences(&id, told.get(&id), now.as_ref()));
        match now {
            Some(now) => told.insert(id, now),
            None => told.remove(&id),
        };
    }
    let bytes = serde_json::to_vec(&told).map_err(|error| Error::Advisories(Box::new(error)))?;
    files::write(&path, &bytes)?;
    notices.sort();
    Ok(notices)
}

/// The advisories that could be about what we have, all of them: a build or a product may have come since the last import, a
/// statement may have ended, and what it suppressed may be exploited now.
fn concerning<D: AsRef<[u8]>>(
    world: &World,
    asking: &Where<'_, D>,
    all: &Assets,
) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for key in all.occurrences.packages() {
        let Some((ecosystem, name)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once('\0'))
        else {
            continue;
        };
        for (version, _) in all.occurrences.versions(key) {
            let package = feeds::Package::new(ecosystem, name, version);
            let hits = asking.snapshot.matches(&package).into_iter();
            ids.extend(hits.filter_map(|hit| asking.snapshot.advisory(hit.at)).map(|advisory| advisory.id));
            let said = asking.book.of_package(&package);
            ids.extend(said.iter().flat_map(|about| about.statement.vulnerabilities.iter().cloned()));
        }
    }
    let mut artifacts = Vec::new();
    asking.snapshot.each_artifact(&mut |digest, at| artifacts.push((*digest, at)));
    for (digest, at) in artifacts {
        if !world.index.sightings(&digest).map_err(store_error)?.is_empty() {
            ids.extend(asking.snapshot.advisory(at).map(|advisory| advisory.id));
        }
    }
    Ok(ids)
}

/// What is to be told of an advisory; none if it is about nothing that we have.
fn state<D: AsRef<[u8]>>(asking: &Where<'_, D>, all: &Assets, id: &str) -> Result<Option<Told>> {
    let records = asking.snapshot.find(id);
    let own = records
        .iter()
        .find(|at| asking.snapshot.advisory(**at).is_some_and(|advisory| advisory.id == id))
        .copied();
    let (packages, found, score, exploited) = match own {
        Some(at) => {
            let (advisory, withdrawn) = matching::advisory(asking.snapshot, at, Certainty::Affected, false);
            if withdrawn.is_some() {
                return Ok(None);
            }
            let (packages, found) = asking.of_record(at)?;
            let score = advisory.score.map_or(advisory.severity.saturating_mul(25), |(tenths, _)| tenths);
            (packages, found, score, is_exploited(advisory.exploitation))
        }
        // Another record names it and is told under its own id.
        None if !records.is_empty() => return Ok(None),
        None => {
            let (packages, found) = asking.of_statements(id);
            let vectors = asking.book.naming(id).filter_map(|one| one.vector.as_deref());
            let score = vectors.filter_map(feeds::osv::score).map(|cvss| cvss.tenths).max().unwrap_or(0);
            let id = id.to_owned();
            (packages, found, score, is_exploited(matching::exploitation(asking.snapshot, [&id].into_iter())))
        }
    };
    let assets: BTreeSet<String> = Role::ALL
        .into_iter()
        .flat_map(|role| found.assets(role))
        .filter_map(|asset| all.list.get(asset as usize).map(called))
        .collect();
    Ok((!assets.is_empty()).then_some(Told { packages, assets, score, exploited }))
}

fn is_exploited(exploitation: judge::matching::Exploitation) -> bool {
    exploitation.since.is_some() || exploitation.active
}

/// What an asset is called in a notice.
fn called(asset: &Asset) -> String {
    match asset {
        Asset::Build(..) => asset.name(),
        Asset::Product(_) => format!("product {}", asset.name()),
        Asset::Machine(..) => format!("machine {}", asset.name()),
    }
}

/// `r7` is a build.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix('r')?.parse().ok()
}

fn differences(id: &str, before: Option<&Told>, now: Option<&Told>) -> Vec<Notice> {
    let notice = |kind, told: &Told, assets: Vec<String>, detail: String| Notice {
        kind,
        advisory: id.to_owned(),
        packages: told.packages.iter().cloned().collect(),
        records: assets.iter().filter_map(|name| number(name)).collect(),
        assets,
        detail,
    };
    let mut notices = Vec::new();
    match (before, now) {
        (Some(before), None) => {
            let assets = before.assets.iter().cloned().collect();
            let detail =
                "taken back, no longer about what we have, or said not to apply by a statement".to_owned();
            notices.push(notice(NoticeKind::Retracted, before, assets, detail));
        }
        (before, Some(now)) => {
            let told = before.cloned().unwrap_or_default();
            let new: Vec<String> = now.assets.difference(&told.assets).cloned().collect();
            if !new.is_empty() {
                let detail = format!("{} builds, products and machines", new.len());
                notices.push(notice(NoticeKind::NewlyAffected, now, new, detail));
            }
            let all: Vec<String> = now.assets.iter().cloned().collect();
            if before.is_some() && told.score != now.score {
                let detail = format!("from {} to {} of 100", told.score, now.score);
                notices.push(notice(NoticeKind::SeverityChanged, now, all.clone(), detail));
            }
            if before.is_some() && told.exploited != now.exploited {
                let detail = if now.exploited { "exploited now" } else { "no longer listed as exploited" };
                notices.push(notice(NoticeKind::ExploitationChanged, now, all, detail.to_owned()));
            }
        }
        (None, None) => {}
    }
    notices
}
