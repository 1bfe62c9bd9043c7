//! `advisories match`: everything that was seen, asked about in one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::bom::Algorithm;
use evidence::{Digest, Finding, Problem, Purl, Severity, Subject, Timestamp};
use feeds::affected::Outcome;
use feeds::snapshot::At;
use feeds::vex::{Book, Statement, Status};
use feeds::{Package, Snapshot};
use host::Mapped;
use judge::gate::{Weighed, Weight, holding, weigh_advice};
use judge::matching::{Advisory, Certainty, Exploitation, Priority, Ranked, Sighting, Verdict, rank};
use judge::{Policy, codes};
use serde::Serialize;

use super::confusion;
use super::hearing::Hearing;
use super::names::Names;
use super::targets::{self, Artifact, Named, Target};
use super::{integrity, open_at};
use crate::World;
use crate::error::Result;
use crate::records::RecordView;

/// How matching is done.
#[derive(Clone, Debug)]
pub struct Matching {
    /// A folder with lists of popular names, `npm.txt.gz`, `pypi.txt`, instead of those that were imported: names that look like
    /// one of them are a finding.
    pub names: Option<std::path::PathBuf>,
    /// Older advisories are a finding; else what the policy says.
    pub max_age_days: Option<u32>,
    /// For so many days after its date a statement counts; else what the policy says.
    pub vex_max_days: Option<u32>,
    /// The snapshot to ask, by the beginning of its name; else the current one.
    pub snapshot: Option<String>,
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
    /// What somebody says is not affected, and what people have approved.
    pub suppressed: Vec<Suppressed>,
    /// Statements that would suppress something and are not heard, by why.
    pub unheard: BTreeMap<String, u64>,
    /// What becomes of each finding by the approvals of the store, those that approvals cover included; empty without a store.
    pub weighed: Vec<Weighed>,
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
    /// How many problems more there were.
    pub more_problems: u64,
}

/// An advisory that somebody says does not apply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Suppressed {
    /// The package.
    pub package: String,
    /// The advisory.
    pub advisory: String,
    /// `not_affected`, `fixed`, or `approved`.
    pub status: String,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// From when on it counts no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The document, or the finding that was approved.
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
    let snapshot = open_at(store, options.snapshot.as_deref())?;
    let mut policy = match world {
        Some(world) => world.policy()?.0,
        None => Policy::silent(),
    };
    policy.advisories.max_age_days = options.max_age_days.unwrap_or(policy.advisories.max_age_days);
    policy.advisories.vex_max_days = options.vex_max_days.unwrap_or(policy.advisories.vex_max_days);
    let mut asking = Asking::new(&snapshot, &policy, options.now)?;
    asking.names = Names::of(options.names.clone());
    for name in names {
        let target = targets::read(world, name, &mut |named| asking.package(&named))?;
        asking.rest(target);
        let is_record = !name.starts_with("pkg:") && !Path::new(name).exists();
        match world {
            Some(world) if is_record => asking.used(&crate::show(world, name)?),
            _ if Path::new(name).is_dir() => asking.others.extend(integrity::manifests(Path::new(name))?),
            _ => {}
        }
    }
    let mut matched = asking.finish()?;
    if let Some(world) = world {
        approved(&mut matched, world, &policy)?;
    }
    matched.verdict = verdict(&matched);
    Ok(matched)
}

/// What a release's record comes to at the gate.
pub(crate) fn of_record(
    snapshot: &Snapshot<Mapped>,
    view: &RecordView,
    policy: &Policy,
    now: Timestamp,
) -> Result<Matched> {
    let mut asking = Asking::new(snapshot, policy, now)?;
    let target = targets::of_record(view, &mut |named| asking.package(&named));
    asking.rest(target);
    asking.used(view);
    asking.finish()
}

/// Unknown is never clean. What is only worth knowing is no doubt.
fn verdict(matched: &Matched) -> Verdict {
    let proves = [codes::PACKAGE_BYTES_DIFFER.word, codes::DEPENDENCY_CONFUSION.word];
    let affected = matched.ranked.iter().any(|ranked| ranked.priority != Priority::Undetermined)
        || matched.others.iter().any(|finding| proves.contains(&finding.code.as_str()));
    let doubts = !matched.ranked.is_empty()
        || matched.others.iter().any(|finding| finding.severity > Severity::Info)
        || !matched.problems.is_empty();
    match (affected, doubts) {
        (true, _) => Verdict::Affected,
        (false, true) => Verdict::Undetermined,
        (false, false) if matched.packages + matched.artifacts == 0 => Verdict::Undetermined,
        (false, false) => Verdict::Clean,
    }
}

/// Takes out what people have approved, and counts it among what is suppressed.
fn approved(matched: &mut Matched, world: &World, policy: &Policy) -> Result<()> {
    let (approvals, now) = (crate::assess::approvals(world)?, world.now());
    let cover = |finding: &Finding, package: String, advisory: String| {
        let holding = holding(&finding.id, &approvals, policy, now);
        let joined = |part: fn(&judge::gate::Approved) -> &String| {
            holding.iter().map(|one| part(one).as_str()).collect::<Vec<_>>().join("; ")
        };
        Suppressed {
            package,
            advisory,
            status: "approved".to_owned(),
            reason: joined(|one| &one.reason),
            author: joined(|one| &one.person),
            at: holding.iter().map(|one| one.approved).max(),
            expires: holding.iter().map(|one| one.expires).min(),
            source: finding.id.clone(),
        }
    };
    let mut suppressed = Vec::new();
    matched.ranked.retain(|ranked| {
        let weighed = weigh_advice(ranked, &approvals, policy, now);
        let covered = weighed.weight == Weight::Approved;
        if covered {
            let (package, advisory) = (ranked.sighting.package.clone(), ranked.advisory.id.clone());
            suppressed.push(cover(&ranked.finding, package, advisory));
        }
        matched.weighed.push(weighed);
        !covered
    });
    matched.others.retain(|finding| {
        let approvable = codes::find(&finding.code).is_some_and(|code| code.approvable);
        let covered = approvable && !holding(&finding.id, &approvals, policy, now).is_empty();
        if covered {
            let path = finding.subject.path.as_ref().map(ToString::to_string).unwrap_or_default();
            suppressed.push(cover(finding, path, finding.code.clone()));
        }
        let weight = if covered { Weight::Approved } else { Weight::Denies };
        matched.weighed.push(Weighed { finding: finding.clone(), weight, approvable, approvals: None });
        !covered
    });
    matched.suppressed.extend(suppressed);
    matched.suppressed.sort();
    Ok(())
}

/// One question to one snapshot, package by package.
struct Asking<'a> {
    snapshot: &'a Snapshot<Mapped>,
    policy: &'a Policy,
    book: Book,
    hearing: Hearing,
    names: Names,
    matched: Matched,
    sightings: Vec<(Sighting, Vec<Advisory>)>,
    others: Vec<Finding>,
}

impl<'a> Asking<'a> {
    fn new(snapshot: &'a Snapshot<Mapped>, policy: &'a Policy, now: Timestamp) -> Result<Self> {
        let matched = Matched {
            verdict: Verdict::Undetermined,
            snapshot: SnapshotView::of(snapshot, now),
            ranked: Vec::new(),
            others: Vec::new(),
            suppressed: Vec::new(),
            unheard: BTreeMap::new(),
            weighed: Vec::new(),
            retracted: Vec::new(),
            packages: 0,
            artifacts: 0,
            unasked: BTreeMap::new(),
            left_out: 0,
            problems: Vec::new(),
            more_problems: 0,
        };
        Ok(Self {
            snapshot,
            policy,
            book: Book::new(snapshot.statements().map_err(super::failed)?),
            hearing: Hearing::of(&policy.advisories, now)?,
            names: Names::of(None),
            matched,
            sightings: Vec::new(),
            others: Vec::new(),
        })
    }

    fn package(&mut self, named: &Named<'_>) {
        let said = self.book.about(&named.purl, named.product);
        let mut found = match lookup(self.snapshot, &named.purl) {
            Ok(found) => {
                self.matched.packages += 1;
                found
            }
            Err(why) => {
                *self.matched.unasked.entry(why).or_default() += 1;
                Vec::new()
            }
        };
        let affected = said.iter().filter(|about| about.itself && about.statement.status == Status::Affected);
        found.extend(affected.map(|about| {
            let certainty = match about.certain {
                true => Certainty::Affected,
                false => Certainty::Doubtful(
                    "the versions that the advisory names cannot be compared with this one",
                ),
            };
            (stated(self.snapshot, about.statement, certainty), None)
        }));
        if !found.is_empty() {
            let hashes = named.package.into_iter().flat_map(|package| &package.hashes);
            let sha256 = hashes.filter(|hash| hash.algorithm == Algorithm::Sha256);
            let bytes: Vec<Digest> = sha256
                .filter_map(|hash| Digest::from_hex(&hash.hex()).ok())
                .chain(named.sighting.digest)
                .collect();
            let said = (said.as_slice(), bytes.as_slice());
            let kept = keep(&mut self.matched, &self.hearing, said, &named.purl, found);
            if !kept.is_empty() {
                self.sightings.push((named.sighting.clone(), kept));
            }
        }
        self.others.extend(self.names.like(self.snapshot, named));
        self.others.extend(confusion::check(&self.policy.dependencies, named));
    }

    /// Takes what was seen beside packages.
    fn rest(&mut self, target: Target) {
        self.matched.left_out += target.left_out;
        self.matched.problems.extend(target.problems);
        self.matched.more_problems += target.more_problems;
        for (why, count) in target.unasked {
            *self.matched.unasked.entry(why).or_default() += count;
        }
        if self.snapshot.has_artifacts() {
            self.matched.artifacts += target.artifacts.len() as u64;
            self.sightings.extend(artifacts(self.snapshot, target.artifacts));
        }
    }

    /// Looks at how a recorded build came by its packages.
    fn used(&mut self, view: &RecordView) {
        let (findings, catalog) = integrity::record(view);
        self.others.extend(findings);
        for package in &catalog {
            self.others.extend(confusion::of_package(
                &self.policy.dependencies,
                package,
                &format!("r{}", view.number),
            ));
        }
    }

    fn finish(mut self) -> Result<Matched> {
        if let Some(error) = self.names.failed.take() {
            return Err(error);
        }
        let mut matched = self.matched;
        matched.ranked = rank(self.sightings);
        let snapshot = format!("snapshot {}", matched.snapshot.id);
        for ranked in &mut matched.ranked {
            ranked.finding.because.push(snapshot.clone());
        }
        matched.suppressed.sort();
        matched.suppressed.dedup();
        matched.retracted.sort();
        matched.retracted.dedup();
        matched.others = self.others;
        matched.others.sort_by(|one, other| {
            (&one.code, &one.subject, &one.id).cmp(&(&other.code, &other.subject, &other.id))
        });
        matched.others.dedup_by(|one, other| one.id == other.id);
        matched.others.extend(stale(&matched.snapshot, self.policy.advisories.max_age_days));
        if !matched.unasked.is_empty() {
            let because =
                matched.unasked.iter().map(|(why, count)| format!("{count} packages {why}")).collect();
            matched.others.push(codes::ADVISORIES_MISSING.finding(Subject::default(), because));
        }
        Ok(matched)
    }
}

/// Says how old the advisories are. The age stands in the title: the finding is the same until there are newer ones.
fn stale(snapshot: &SnapshotView, max_age_days: u32) -> Option<Finding> {
    if snapshot.age_days <= max_age_days {
        return None;
    }
    let newest = match snapshot.newest {
        Some(newest) => format!("the newest record was modified on {newest}"),
        None => "no record says when it was modified".to_owned(),
    };
    let because = vec![newest, format!("snapshot {}", snapshot.id)];
    let mut finding = codes::ADVISORY_INDEX_STALE.finding(Subject::default(), because);
    finding.title =
        format!("the advisories are {} days old; at most {max_age_days} are allowed", snapshot.age_days);
    Some(finding)
}

/// What somebody's statement says, as an advisory.
fn stated(snapshot: &Snapshot<Mapped>, statement: &Statement, certainty: Certainty) -> Advisory {
    let mut ids = statement.vulnerabilities.iter().cloned();
    let exploitation = exploitation(snapshot, statement.vulnerabilities.iter());
    let summary = match statement.summary.is_empty() {
        true => format!("{} says that it is affected", statement.author),
        false => statement.summary.clone(),
    };
    Advisory {
        id: ids.next().unwrap_or_default(),
        aliases: ids.collect(),
        summary,
        malicious: false,
        score: statement.vector.as_deref().and_then(feeds::osv::score).map(|cvss| (cvss.tenths, cvss.vector)),
        severity: 0,
        exploitation,
        certainty,
        by_digest: false,
    }
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
    let exploitation = exploitation(snapshot, ids);
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

/// What is known of the exploitation of any of these.
pub(super) fn exploitation<'a, D: AsRef<[u8]>>(
    snapshot: &Snapshot<D>,
    ids: impl Iterator<Item = &'a String>,
) -> Exploitation {
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
    exploitation
}

/// Takes out what was withdrawn and what somebody says is not affected. Nobody's word takes out an attack, or what is
/// known to be exploited.
fn keep(
    matched: &mut Matched,
    hearing: &Hearing,
    (said, bytes): (&[feeds::vex::About<'_>], &[Digest]),
    purl: &Purl,
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
        let names = |id: &str| id == advisory.id || advisory.aliases.contains(id);
        match hearing.latest(said, &names, bytes, &mut matched.unheard) {
            Some(_) if advisory.malicious || advisory.exploitation.since.is_some() => {
                let why = "are about an attack, or what is known to be exploited";
                *matched.unheard.entry(why.to_owned()).or_default() += 1;
                kept.push(advisory);
            }
            Some(statement) => matched.suppressed.push(Suppressed {
                package: purl.to_string(),
                advisory: advisory.id,
                status: statement.status.word().to_owned(),
                reason: statement.reason.clone(),
                author: statement.author.clone(),
                at: statement.at,
                expires: statement.at.map(|at| hearing.expires(at)),
                source: statement.source.clone(),
            }),
            None => kept.push(advisory),
        }
    }
    kept
}

fn artifacts(snapshot: &Snapshot<Mapped>, artifacts: Vec<Artifact>) -> Vec<(Sighting, Vec<Advisory>)> {
    let mut found = Vec::new();
    for Artifact { path, digest, grade, used, within, product } in artifacts {
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
                product,
                because: digest.to_string(),
                path: Some(path),
                digest: Some(digest),
            };
            found.push((sighting, named));
        }
    }
    found
}
