//! What an import changes for us: only that. Who was told of an advisory hears when it is taken back.
//!
//! What was told is a file beside the index. It is written after the notices are made: a crash in between tells them again,
//! never not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use feeds::Imported;
use judge::matching::Certainty;
use serde::{Deserialize, Serialize};
use store::occurrences::Role;

use super::affected::{occurrences, of_record};
use super::{folder, matching, open};
use crate::World;
use crate::error::{Error, Result};
use crate::files;

const FILE: &str = "told.json";
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
    records: BTreeSet<u64>,
    score: u8,
    exploited: bool,
}

/// Compares what the new snapshot says of what we have with what was told.
pub(super) fn after_import(world: &World, store: &Path, imported: &Imported) -> Result<Vec<Notice>> {
    let path = folder(store).join(FILE);
    let mut told: BTreeMap<String, Told> = match files::read(&path, TOLD_MAX_BYTES) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Error::Advisories(format!("`{}`: {error}", path.display()).into()))?,
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let snapshot = open(store)?;
    let (occurrences, rows) = occurrences(world, store)?;
    // What has changed, what was told before, and, the first time, everything that could be about what we have.
    let mut ids: BTreeSet<String> = imported.changes.iter().map(|change| change.id.clone()).collect();
    ids.extend(told.keys().cloned());
    if told.is_empty() {
        for key in occurrences.packages() {
            let Some((ecosystem, name)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once('\0'))
            else {
                continue;
            };
            for (version, _) in occurrences.versions(key) {
                let package = feeds::Package::new(ecosystem, name, version);
                let hits = snapshot.matches(&package).into_iter();
                ids.extend(hits.filter_map(|hit| snapshot.advisory(hit.at)).map(|advisory| advisory.id));
            }
        }
    }
    let mut notices = Vec::new();
    for id in ids {
        let now = state(&snapshot, &occurrences, &rows, &id);
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

/// What is to be told of an advisory; none if it is about nothing that we have.
fn state<D: AsRef<[u8]>>(
    snapshot: &feeds::Snapshot<D>,
    occurrences: &store::occurrences::Occurrences,
    rows: &[store::RecordRow],
    id: &str,
) -> Option<Told> {
    let at = snapshot
        .find(id)
        .into_iter()
        .find(|at| snapshot.advisory(*at).is_some_and(|advisory| advisory.id == id))?;
    let (advisory, withdrawn) = matching::advisory(snapshot, at, Certainty::Affected, false);
    if withdrawn.is_some() {
        return None;
    }
    let (packages, found) = of_record(snapshot, occurrences, at);
    let records: BTreeSet<u64> = Role::ALL
        .into_iter()
        .flat_map(|role| found.assets(role))
        .filter_map(|asset| rows.get(asset as usize).map(|row| row.number))
        .collect();
    let score = advisory.score.map_or(advisory.severity.saturating_mul(25), |(tenths, _)| tenths);
    let exploited = advisory.exploitation.since.is_some() || advisory.exploitation.active;
    (!records.is_empty()).then_some(Told { packages, records, score, exploited })
}

fn differences(id: &str, before: Option<&Told>, now: Option<&Told>) -> Vec<Notice> {
    let notice = |kind, told: &Told, records: Vec<u64>, detail: String| Notice {
        kind,
        advisory: id.to_owned(),
        packages: told.packages.iter().cloned().collect(),
        records,
        detail,
    };
    let mut notices = Vec::new();
    match (before, now) {
        (Some(before), None) => {
            let records = before.records.iter().copied().collect();
            let detail = "taken back, or no longer about what we have".to_owned();
            notices.push(notice(NoticeKind::Retracted, before, records, detail));
        }
        (before, Some(now)) => {
            let told = before.cloned().unwrap_or_default();
            let new: Vec<u64> = now.records.difference(&told.records).copied().collect();
            if !new.is_empty() {
                let detail = format!("{} builds", new.len());
                notices.push(notice(NoticeKind::NewlyAffected, now, new, detail));
            }
            let all: Vec<u64> = now.records.iter().copied().collect();
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
