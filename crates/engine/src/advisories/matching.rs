//! `advisories match`: everything that was seen, asked about in one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::{Digest, Finding, Problem, Purl, Subject, Timestamp};
use feeds::affected::Outcome;
use feeds::snapshot::At;
use feeds::vex::{Statement, Status};
use feeds::{Package, Snapshot};
use host::Mapped;
use judge::codes;
use judge::matching::{Advisory, Certainty, Exploitation, Priority, Ranked, Sighting, Verdict, rank};
use serde::Serialize;

use super::targets::{self, Target};
use super::{integrity, names, open};
use crate::World;
use crate::error::Result;

/// How matching is done.
#[derive(Clone, Debug)]
pub struct Matching {
    /// A folder with lists of popular names, `npm.txt.gz`, `pypi.txt`: names that look like one of them are a finding.
    pub names: Option<std::path::PathBuf>,
    /// Older advisories are a finding.
    pub max_age_days: u32,
    /// Now.
    pub now: Timestamp,
}

/// Which snapshot an answer rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SnapshotView {
    /// Its name.
    pub id: Digest,
    /// When it was made.
    pub created: Timestamp,
    /// When its newest record was modified.
    pub newest: Option<Timestamp>,
    /// How many days ago that was; where no record says, how long ago anything was read.
    pub age_days: u32,
}

impl SnapshotView {
    pub(super) fn of<D: AsRef<[u8]>>(snapshot: &Snapshot<D>, now: Timestamp) -> Self {
        let manifest = snapshot.manifest();
        let newest = manifest.newest();
        let from = newest.unwrap_or_else(|| manifest.last_read()).unix();
        let age = now.unix().saturating_sub(from).max(0) / 86_400;
        Self {
            id: *snapshot.id(),
            created: manifest.created,
            newest,
            age_days: u32::try_from(age).unwrap_or(u32::MAX),
        }
    }
}

/// What matching found.
#[derive(Clone, PartialEq, Debug)]
pub struct Matched {
    /// The verdict.
    pub verdict: Verdict,
    /// The snapshot.
    pub snapshot: SnapshotView,
    /// What is affected, the most urgent first.
    pub ranked: Vec<Ranked>,
    /// What else there is to say: stale or missing advisories, bytes that differ, names that look like others.
    pub others: Vec<Finding>,
    /// What somebody says is not affected.
    pub suppressed: Vec<Suppressed>,
    /// What advisories said once, and took back.
    pub retracted: Vec<Retracted>,
    /// Packages that were asked about.
    pub packages: u64,
    /// Files whose bytes were asked about.
    pub artifacts: u64,
    /// Packages that could not be asked about, by why.
    pub unasked: BTreeMap<String, u64>,
    /// Packages of tests and caches, which are not part of anything.
    pub left_out: u64,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// An advisory that somebody says does not apply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Suppressed {
    /// The package.
    pub package: String,
    /// The advisory.
    pub advisory: String,
    /// `not_affected` or `fixed`.
    pub status: String,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The document.
    pub source: String,
}

/// An advisory that was taken back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Retracted {
    /// The package.
    pub package: String,
    /// The advisory.
    pub advisory: String,
    /// When it was taken back.
    pub withdrawn: Timestamp,
}

impl Matched {
    /// All findings, the most urgent first.
    pub fn findings(&self) -> Vec<Finding> {
        self.ranked.iter().map(|ranked| ranked.finding.clone()).chain(self.others.iter().cloned()).collect()
    }
}

/// Asks about everything in the targets.
pub fn match_advisories(
    store: &Path,
    world: Option<&World>,
    names: &[String],
    options: &Matching,
) -> Result<Matched> {
    let snapshot = open(store)?;
    let targets = names.iter().map(|name| targets::read(world, name)).collect::<Result<Vec<Target>>>()?;
    let mut others = integrity::check(world, names)?;
    if let Some(folder) = &options.names {
        others.extend(names::check(folder, &targets)?);
    }
    let mut matched = ask(&snapshot, targets, options.now)?;
    if matched.snapshot.age_days > options.max_age_days {
        let because = vec![
            format!(
                "the newest record is {} days old; at most {} are allowed",
                matched.snapshot.age_days, options.max_age_days
            ),
            format!("snapshot {}", matched.snapshot.id),
        ];
        others.push(codes::ADVISORY_INDEX_STALE.finding(Subject::default(), because));
    }
    if !matched.unasked.is_empty() {
        let because = matched.unasked.iter().map(|(why, count)| format!("{count} packages {why}")).collect();
        others.push(codes::ADVISORIES_MISSING.finding(Subject::default(), because));
    }
    matched.others = others;
    matched.verdict = verdict(&matched);
    Ok(matched)
}

/// Unknown is never clean.
fn verdict(matched: &Matched) -> Verdict {
    let affected = matched.ranked.iter().any(|ranked| ranked.priority != Priority::Undetermined)
        || matched.others.iter().any(|finding| finding.code == codes::PACKAGE_BYTES_DIFFER.word);
    let doubts = !matched.ranked.is_empty() || !matched.others.is_empty() || !matched.problems.is_empty();
    match (affected, doubts) {
        (true, _) => Verdict::Affected,
        (false, true) => Verdict::Undetermined,
        (false, false) if matched.packages + matched.artifacts == 0 => Verdict::Undetermined,
        (false, false) => Verdict::Clean,
    }
}

fn ask(snapshot: &Snapshot<Mapped>, targets: Vec<Target>, now: Timestamp) -> Result<Matched> {
    let statements = snapshot.statements().map_err(super::failed)?;
    let mut matched = Matched {
        verdict: Verdict::Undetermined,
        snapshot: SnapshotView::of(snapshot, now),
        ranked: Vec::new(),
        others: Vec::new(),
        suppressed: Vec::new(),
        retracted: Vec::new(),
        packages: 0,
        artifacts: 0,
        unasked: BTreeMap::new(),
        left_out: 0,
        problems: Vec::new(),
    };
    let mut sightings = Vec::new();
    for target in targets {
        matched.left_out += target.left_out;
        matched.problems.extend(target.problems);
        target.unasked.into_iter().for_each(|why| *matched.unasked.entry(why).or_default() += 1);
        for (purl, sighting) in target.packages {
            match lookup(snapshot, &purl) {
                Err(why) => *matched.unasked.entry(why).or_default() += 1,
                Ok(found) => {
                    matched.packages += 1;
                    let kept = keep(&mut matched, &statements, &purl, target.product.as_ref(), found);
                    sightings.push((sighting, kept));
                }
            }
        }
        if snapshot.has_artifacts() {
            matched.artifacts += target.artifacts.len() as u64;
            sightings.extend(artifacts(snapshot, target.artifacts));
        }
    }
    matched.ranked = rank(sightings);
    matched.suppressed.sort();
    matched.suppressed.dedup();
    matched.retracted.sort();
    matched.retracted.dedup();
    Ok(matched)
}

/// Finds what advisories say of a package. The error says why nobody can.
pub(super) fn lookup<D: AsRef<[u8]>>(
    snapshot: &Snapshot<D>,
    purl: &Purl,
) -> std::result::Result<Vec<(Advisory, Option<i64>)>, String> {
    let package = Package::of_purl(purl)
        .ok_or_else(|| format!("of the type `{}`, of which no advisories are known", purl.kind()))?;
    if !snapshot.manifest().ecosystems.contains_key(&package.ecosystem) {
        return Err(format!("of `{}`, of which no advisories were imported", package.ecosystem));
    }
    let mut found = Vec::new();
    for hit in snapshot.matches(&package) {
        let certainty = match hit.outcome {
            Outcome::NotAffected => continue,
            Outcome::Undetermined(doubt) => Certainty::Doubtful(doubt.words()),
            Outcome::Affected if hit.disputed => Certainty::Disputed,
            Outcome::Affected => Certainty::Affected,
        };
        found.push(advisory(snapshot, hit.at, certainty, false));
    }
    Ok(found)
}

/// Puts together what is known of a record. One that cannot be read is a doubt, not nothing.
pub(super) fn advisory<D: AsRef<[u8]>>(
    snapshot: &Snapshot<D>,
    at: At,
    certainty: Certainty,
    by_digest: bool,
) -> (Advisory, Option<i64>) {
    let Some(record) = snapshot.advisory(at) else {
        let lost = Advisory {
            id: format!("#{}/{}", at.segment, at.record),
            aliases: BTreeSet::new(),
            summary: "a record of the index cannot be read".to_owned(),
            malicious: false,
            score: None,
            severity: 0,
            exploitation: Exploitation::default(),
            certainty: Certainty::Doubtful("the index is damaged"),
            by_digest,
        };
        return (lost, None);
    };
    let ids = std::iter::once(&record.id).chain(&record.aliases).chain(&record.upstream);
    let mut exploitation = Exploitation::default();
    for facts in ids.filter_map(|id| snapshot.facts(id)) {
        exploitation.since = exploitation.since.or(facts.exploited_since);
        exploitation.ransomware |= facts.ransomware;
        exploitation.epss = exploitation.epss.into_iter().chain(facts.epss).reduce(f32::max);
        exploitation.percentile =
            exploitation.percentile.into_iter().chain(facts.percentile).reduce(f32::max);
        exploitation.active |= facts.active;
        exploitation.automatable |= facts.automatable;
    }
    let known = Advisory {
        id: record.id,
        aliases: record.aliases.into_iter().collect(),
        summary: record.summary,
        malicious: record.malicious,
        score: record.cvss.map(|(vector, tenths, _)| (tenths, vector)),
        severity: record.severity,
        exploitation,
        certainty,
        by_digest,
    };
    (known, record.withdrawn)
}

/// Takes out what was withdrawn and what somebody says is not affected. Nobody's word takes out an attack, or what is
/// known to be exploited.
fn keep(
    matched: &mut Matched,
    statements: &[Statement],
    purl: &Purl,
    product: Option<&Purl>,
    found: Vec<(Advisory, Option<i64>)>,
) -> Vec<Advisory> {
    let mut kept = Vec::new();
    for (advisory, withdrawn) in found {
        if let Some(withdrawn) = withdrawn {
            matched.retracted.push(Retracted {
                package: purl.to_string(),
                advisory: advisory.id,
                withdrawn: Timestamp::from_unix(withdrawn),
            });
            continue;
        }
        let names = |id: &String| *id == advisory.id || advisory.aliases.contains(id);
        // The latest word counts.
        let statement = statements
            .iter()
            .filter(|statement| {
                statement.vulnerabilities.iter().any(names) && statement.is_about(purl, product)
            })
            .max_by_key(|statement| statement.at);
        match statement.filter(|one| matches!(one.status, Status::NotAffected | Status::Fixed)) {
            Some(statement) if !advisory.malicious && advisory.exploitation.since.is_none() => {
                matched.suppressed.push(Suppressed {
                    package: purl.to_string(),
                    advisory: advisory.id,
                    status: statement.status.word().to_owned(),
                    reason: statement.reason.clone(),
                    author: statement.author.clone(),
                    at: statement.at,
                    source: statement.source.clone(),
                });
            }
            _ => kept.push(advisory),
        }
    }
    kept
}

type Artifact = (evidence::BytePath, Digest, judge::matching::Grade, judge::matching::Use, String);

fn artifacts(snapshot: &Snapshot<Mapped>, artifacts: Vec<Artifact>) -> Vec<(Sighting, Vec<Advisory>)> {
    let mut found = Vec::new();
    for (path, digest, grade, used, within) in artifacts {
        let named: Vec<Advisory> = snapshot
            .artifact(&digest)
            .into_iter()
            .map(|at| advisory(snapshot, at, Certainty::Affected, true))
            .filter(|(_, withdrawn)| withdrawn.is_none())
            .map(|(advisory, _)| advisory)
            .collect();
        if !named.is_empty() {
            let sighting = Sighting {
                package: path.to_string(),
                grade,
                used,
                within,
                because: digest.to_string(),
                path: Some(path),
                digest: Some(digest),
            };
            found.push((sighting, named));
        }
    }
    found
}
