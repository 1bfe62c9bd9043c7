//! Importing: documents become a segment, and the segment part of a new snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

use evidence::{Digest, Problem, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::manifest::{self, Manifest, SegmentEntry, Source};
use super::{At, Error, Snapshot};
use crate::documents::{self, Document, Form};
use crate::enrichment::{Enrichment, Kind};
use crate::index::{Builder, Segment};
use crate::osv;
use crate::vex::{self, Statement};

/// A fifth fewer records are asked about, from this many on.
const SHRINK_ASKED_FROM: u64 = 50;
/// So many later segments are opened beside the first.
const SEGMENTS_MAX: usize = 8;
/// So many problems are told one by one.
const PROBLEMS_MAX: usize = 1_000;

/// What to import.
pub struct Import<'a> {
    /// Files and folders, each with the name by which it is remembered.
    pub inputs: &'a [(String, PathBuf)],
    /// Now.
    pub now: Timestamp,
    /// What was known before is forgotten: the inputs are all there is.
    pub replace: bool,
    /// An ecosystem may shrink.
    pub may_shrink: bool,
    /// How many ids each source's own list had, if it has one.
    pub listed: &'a BTreeMap<String, u64>,
    /// Says who signed an envelope.
    pub opened: &'a dyn Fn(&vex::Envelope) -> Opened,
}

/// What is known of an envelope's signatures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opened {
    /// Somebody who is known signed it.
    By(String),
    /// No signature of somebody who is known.
    Unknown,
    /// Nobody is known who could have signed.
    Unasked,
}

impl Opened {
    /// Knows nobody.
    pub fn unasked(_: &vex::Envelope) -> Self {
        Self::Unasked
    }
}

/// What an import did.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// What the snapshot is called.
    pub snapshot: Digest,
    /// Records read, by kind of document.
    pub kinds: BTreeMap<String, u64>,
    /// Records that are new or have changed.
    pub changes: Vec<Change>,
    /// Vulnerabilities about which somebody has said something.
    pub stated: BTreeSet<String>,
    /// CVEs that were not known to be exploited before.
    pub newly_exploited: u64,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// How many more there were.
    pub more_problems: u64,
}

impl Imported {
    /// An import that had nothing to do.
    pub fn nothing(snapshot: Digest) -> Self {
        Self {
            snapshot,
            kinds: BTreeMap::new(),
            changes: Vec::new(),
            stated: BTreeSet::new(),
            newly_exploited: 0,
            problems: Vec::new(),
            more_problems: 0,
        }
    }
}

/// A record that is new or has changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It says something else.
    Changed,
    /// It was taken back.
    Withdrawn,
}

struct Reading<'a> {
    now: i64,
    opened: &'a dyn Fn(&vex::Envelope) -> Opened,
    names: BTreeMap<&'static str, BTreeSet<String>>,
    builder: Builder,
    enrichment: Enrichment,
    statements: Vec<Statement>,
    sources: BTreeMap<String, (BTreeMap<String, u64>, Option<i64>)>,
    problems: Vec<Problem>,
    more: u64,
}

impl Reading<'_> {
    fn problem(&mut self, place: &str, kind: &str, detail: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: place.into(), kind: kind.to_owned(), detail });
        } else {
            self.more += 1;
        }
    }

    fn count(&mut self, source: &str, kind: &str, count: u64, modified: Option<i64>) {
        let (kinds, newest) = self.sources.entry(source.to_owned()).or_default();
        *kinds.entry(kind.to_owned()).or_default() += count;
        *newest = (*newest).max(modified);
    }

    fn document(&mut self, source: &str, document: &Document<'_>) {
        match document.form {
            Form::Table => return self.table(source, document),
            Form::Names(list) => return self.popular(source, list, document.bytes),
            Form::Json => {}
        }
        let why = match osv::read(document.bytes) {
            Ok(mut record) => {
                // A date to come would hide how old everything else is, and every change until then.
                if record.modified > self.now {
                    record.modified = self.now;
                    record.faults.push("it was modified in the future");
                }
                for fault in &record.faults {
                    self.problem(&document.place, "doubtful-advisory", format!("{}: {fault}", record.id));
                }
                // Those without a date say the year 1.
                let dated = record.modified > 0 && record.modified < self.now;
                let modified = dated.then_some(record.modified);
                self.count(source, "osv", 1, modified);
                let mut hasher = std::hash::DefaultHasher::new();
                hasher.write(document.bytes);
                self.builder.add(record, hasher.finish());
                return;
            }
            Err(why) => why,
        };
        match serde_json::from_slice::<Value>(document.bytes) {
            Ok(value) => self.other(source, document, &value, why),
            Err(_) => self.problem(&document.place, "malformed-advisory", why),
        }
    }

    fn other(&mut self, source: &str, document: &Document<'_>, value: &Value, why: String) {
        if let Some(count) = self.enrichment.read_exploited(value) {
            return self.count(source, "exploited", count as u64, None);
        }
        if let Some(envelope) = vex::envelope(value) {
            return self.signed(source, document, &envelope);
        }
        if let Some(statements) = vex::read(value, &document.place) {
            self.count(source, "vex", statements.len() as u64, None);
            self.statements.extend(statements);
            return;
        }
        let known = value.get("id").is_some() || value.get("affected").is_some();
        let kind = if known { "malformed-advisory" } else { "unknown-document" };
        let detail = if known { why } else { "no document of a kind that is known".to_owned() };
        self.problem(&document.place, kind, detail);
    }

    /// A signed document. One whose signature nobody knows is not heard where somebody is known; else it counts as unsigned.
    fn signed(&mut self, source: &str, document: &Document<'_>, envelope: &vex::Envelope) {
        let signer = match (self.opened)(envelope) {
            Opened::By(name) => Some(name),
            Opened::Unasked => None,
            Opened::Unknown => {
                let detail = "no issuer of the policy has signed it".to_owned();
                return self.problem(&document.place, "unverified-signature", detail);
            }
        };
        let read = serde_json::from_slice::<Value>(&envelope.payload).ok();
        match read.and_then(|value| vex::read(&value, &document.place)) {
            None => {
                let detail = "the envelope holds no statements".to_owned();
                self.problem(&document.place, "unknown-document", detail);
            }
            Some(statements) => {
                self.count(source, "vex", statements.len() as u64, None);
                self.statements
                    .extend(statements.into_iter().map(|one| Statement { signer: signer.clone(), ..one }));
            }
        }
    }

    fn popular(&mut self, source: &str, list: &'static str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#'));
        let known = self.names.entry(list).or_default();
        let before = known.len();
        known.extend(names.filter(|name| name.len() < 300).map(str::to_owned));
        let more = (known.len() - before) as u64;
        self.count(source, "names", more, None);
    }

    fn table(&mut self, source: &str, document: &Document<'_>) {
        let text = String::from_utf8_lossy(document.bytes);
        let mut wrong = Vec::new();
        let mut enrichment = std::mem::take(&mut self.enrichment);
        let read = enrichment.read_csv(&text, &mut |line, why| wrong.push((line, why)));
        self.enrichment = enrichment;
        match read {
            None => self.problem(
                &document.place,
                "unknown-document",
                "no table of a kind that is known".to_owned(),
            ),
            Some((kind, count)) => {
                let word = match kind {
                    Kind::Exploited => "exploited",
                    Kind::Epss => "epss",
                    Kind::Ssvc => "ssvc",
                };
                self.count(source, word, count as u64, None);
            }
        }
        for (line, why) in wrong {
            self.problem(&format!("{}:{line}", document.place), "malformed-row", why);
        }
    }
}

/// Imports documents into the index in a folder.
pub fn import(folder: &Path, options: &Import<'_>) -> Result<Imported, Error> {
    let _lock = lock(folder)?;
    let mut reading = Reading {
        now: options.now.unix(),
        opened: options.opened,
        names: BTreeMap::new(),
        builder: Builder::default(),
        enrichment: Enrichment::default(),
        statements: Vec::new(),
        sources: BTreeMap::new(),
        problems: Vec::new(),
        more: 0,
    };
    for (name, path) in options.inputs {
        let mut problems = Vec::new();
        documents::read(path, &mut |document| reading.document(name, &document), &mut problems);
        for problem in problems {
            reading.problem(&problem.path.to_string(), &problem.kind.clone(), problem.detail);
        }
    }
    if reading.sources.is_empty() {
        return Err(Error::Nothing);
    }
    let before = Snapshot::open(folder, &|path| std::fs::read(path))?;
    write(folder, options, reading, before)
}

/// One import at a time; the lock goes with the process.
fn lock(folder: &Path) -> Result<std::fs::File, Error> {
    let fail = |source| Error::Write { path: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let lock = std::fs::File::create(folder.join("lock")).map_err(fail)?;
    lock.lock().map_err(fail)?;
    Ok(lock)
}

/// Makes one segment of all. Returns the snapshot's name and how many segments there were; none if nothing was imported yet.
pub fn compact(folder: &Path, now: Timestamp) -> Result<Option<(Digest, usize)>, Error> {
    let _lock = lock(folder)?;
    let Some(before) = Snapshot::open(folder, &|path| std::fs::read(path))? else { return Ok(None) };
    let segments = before.manifest().segments.len();
    if segments < 2 {
        return Ok(Some((*before.id(), segments)));
    }
    before.verify()?;
    let mut manifest = before.manifest().clone();
    manifest.created = now;
    merge(folder, &mut manifest)?;
    let snapshot = manifest.write(folder)?;
    manifest.sweep(folder);
    Ok(Some((snapshot, segments)))
}

/// Makes one segment of those that a manifest names. The files of before stay until the sweep.
fn merge(folder: &Path, manifest: &mut Manifest) -> Result<(), Error> {
    let mut segments = Vec::new();
    for entry in &manifest.segments {
        let path = manifest::segment_path(folder, &entry.digest);
        let fail = |source| Error::Read { path: path.display().to_string(), source };
        let bytes = std::fs::read(&path).map_err(fail)?;
        let fail = |source| Error::Segment { digest: entry.digest, source };
        let segment = Segment::open(bytes).map_err(fail)?;
        segment.verify().map_err(fail)?;
        segments.push(segment);
    }
    let replaced: BTreeSet<(u32, u32)> = segments.iter().flat_map(Segment::replaced).collect();
    let mut builder = Builder::default();
    for (number, segment) in (0_u32..).zip(&segments) {
        builder.absorb(segment, &|record| replaced.contains(&(number, record))).ok_or(Error::Merge)?;
    }
    drop(segments);
    manifest.ecosystems = ecosystems(&builder, None);
    let (bytes, counts) = builder.write();
    let digest = Digest::of(&bytes);
    manifest::write(&manifest::segment_path(folder, &digest), &bytes)?;
    manifest.segments = vec![SegmentEntry {
        digest,
        bytes: bytes.len() as u64,
        records: counts.records as u64,
        packages: counts.packages as u64,
    }];
    Ok(())
}

/// Tells whether it is time: what came later is more than a tenth of what was there first, or in too many pieces.
fn is_scattered(segments: &[SegmentEntry]) -> bool {
    let Some((first, later)) = segments.split_first() else { return false };
    let bytes: u64 = later.iter().map(|segment| segment.bytes).sum();
    later.len() >= SEGMENTS_MAX || (!later.is_empty() && bytes.saturating_mul(10) > first.bytes)
}

fn write(
    folder: &Path,
    options: &Import<'_>,
    reading: Reading<'_>,
    before: Option<Snapshot<Vec<u8>>>,
) -> Result<Imported, Error> {
    let Reading { mut builder, enrichment, statements, sources, problems, more, names, .. } = reading;
    let kept = before.as_ref().filter(|_| !options.replace);
    let mut manifest = kept.map_or_else(|| Manifest::new(options.now), |kept| kept.manifest().clone());
    manifest.created = options.now;
    let changes = changes(&mut builder, before.as_ref(), options.replace);
    let fresh = ecosystems(&builder, kept);
    for (ecosystem, count) in fresh {
        *manifest.ecosystems.entry(ecosystem).or_default() += count;
    }
    if let Some(before) = before.as_ref().filter(|_| options.replace && !options.may_shrink) {
        all_stay(&before.manifest().ecosystems, &manifest.ecosystems)?;
    }
    if builder.records().next().is_some() {
        let (bytes, counts) = builder.write();
        let digest = Digest::of(&bytes);
        manifest::write(&manifest::segment_path(folder, &digest), &bytes)?;
        manifest.segments.push(SegmentEntry {
            digest,
            bytes: bytes.len() as u64,
            records: counts.records as u64,
            packages: counts.packages as u64,
        });
    }
    if is_scattered(&manifest.segments) {
        merge(folder, &mut manifest)?;
    }
    for (list, lines) in names {
        let lines: Vec<String> = lines.into_iter().collect();
        let bytes = lines.join("\n").into_bytes();
        let digest = Digest::of(&bytes);
        manifest::write(&manifest::names_path(folder, &digest), &bytes)?;
        manifest.names.insert(list.to_owned(), digest);
    }
    let stated = statements.iter().flat_map(|one| one.vulnerabilities.iter().cloned()).collect();
    let newly_exploited = enrich(folder, &mut manifest, enrichment, kept)?;
    state(folder, &mut manifest, statements, kept)?;
    let mut kinds = BTreeMap::new();
    for (name, (counted, newest)) in sources {
        for (kind, count) in &counted {
            *kinds.entry(kind.clone()).or_default() += count;
        }
        let newest = newest.map(Timestamp::from_unix);
        let known = manifest.sources.get(&name);
        let (earlier, listed) = (known.and_then(|one| one.newest), known.and_then(|one| one.listed));
        manifest.sources.insert(
            name.clone(),
            Source {
                kinds: counted,
                newest: newest.max(earlier),
                listed: options.listed.get(&name).copied().or(listed),
                read: options.now,
            },
        );
    }
    let snapshot = manifest.write(folder)?;
    manifest.sweep(folder);
    Ok(Imported { snapshot, kinds, changes, stated, newly_exploited, problems, more_problems: more })
}

/// Leaves only what is new or changed for the segment, and says what replaces what.
fn changes(builder: &mut Builder, before: Option<&Snapshot<Vec<u8>>>, replace: bool) -> Vec<Change> {
    let Some(before) = before else { return Vec::new() };
    let mut changes = Vec::new();
    let mut replaced: Vec<At> = Vec::new();
    builder.retain(|record, hash| {
        let known = before
            .find(&record.id)
            .into_iter()
            .find(|at| before.advisory_id(*at).is_some_and(|id| id == record.id));
        let kind = match known.and_then(|at| before.version_of(at)) {
            None => ChangeKind::Added,
            Some((modified, _)) if modified > record.modified => return replace,
            Some((_, known)) if known == hash => return replace,
            Some(_) if record.withdrawn.is_some() => ChangeKind::Withdrawn,
            Some(_) => ChangeKind::Changed,
        };
        replaced.extend(known);
        changes.push(Change { id: record.id.clone(), kind });
        true
    });
    if !replace {
        replaced.into_iter().for_each(|at| builder.replace(at.segment, at.record));
    }
    changes
}

/// Counts the records of each ecosystem that were not there before.
fn ecosystems(builder: &Builder, kept: Option<&Snapshot<Vec<u8>>>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (record, _) in builder.records() {
        if kept.is_some_and(|kept| !kept.find(&record.id).is_empty()) {
            continue;
        }
        let mut names: Vec<&str> =
            record.affected.iter().map(|affected| affected.package.ecosystem.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().for_each(|name| *counts.entry(name.to_owned()).or_default() += 1);
    }
    counts
}

/// Tells whether so many records are a fifth fewer than there were.
pub(crate) fn shrinks(before: u64, after: u64) -> bool {
    before >= SHRINK_ASKED_FROM && after.saturating_mul(5) <= before.saturating_mul(4)
}

fn all_stay(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Result<(), Error> {
    for (ecosystem, before) in before {
        let after = after.get(ecosystem).copied().unwrap_or(0);
        if shrinks(*before, after) {
            return Err(Error::Shrinks { ecosystem: ecosystem.clone(), before: *before, after });
        }
    }
    Ok(())
}

fn enrich(
    folder: &Path,
    manifest: &mut Manifest,
    fresh: Enrichment,
    kept: Option<&Snapshot<Vec<u8>>>,
) -> Result<u64, Error> {
    if fresh.is_empty() {
        return Ok(0);
    }
    let mut all = match kept.and_then(|kept| kept.enrichment.as_ref()) {
        // What was known of exploitation is not forgotten because its file is damaged.
        Some(bytes) => Enrichment::read(bytes)
            .ok_or_else(|| Error::Manifest("the file of exploitation data is damaged".into()))?,
        None => Enrichment::default(),
    };
    let exploited = |enrichment: &Enrichment| enrichment.exploited() as u64;
    let before = exploited(&all);
    all.merge(fresh);
    let bytes = all.write();
    let digest = Digest::of(&bytes);
    manifest::write(&manifest::enrichment_path(folder, &digest), &bytes)?;
    manifest.enrichment = Some(digest);
    Ok(exploited(&all).saturating_sub(before))
}

fn state(
    folder: &Path,
    manifest: &mut Manifest,
    mut fresh: Vec<Statement>,
    kept: Option<&Snapshot<Vec<u8>>>,
) -> Result<(), Error> {
    if fresh.is_empty() {
        return Ok(());
    }
    let mut all = kept.map_or_else(|| Ok(Vec::new()), Snapshot::statements)?;
    supersede(&mut all, &mut fresh);
    all.extend(fresh);
    all.sort();
    all.dedup();
    let bytes = serde_json::to_vec(&all).map_err(|error| Error::Manifest(error.to_string()))?;
    let digest = Digest::of(&bytes);
    manifest::write(&manifest::vex_path(folder, &digest), &bytes)?;
    manifest.vex = Some(digest);
    Ok(())
}

/// Forgets what an earlier version of a document said. An older one that is imported later does not count.
fn supersede(all: &mut Vec<Statement>, fresh: &mut Vec<Statement>) {
    fn newest<'a>(statements: impl Iterator<Item = &'a Statement>) -> BTreeMap<String, Option<Timestamp>> {
        let mut newest: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
        for one in statements.filter(|one| !one.document.is_empty()) {
            let known = newest.entry(one.document.clone()).or_insert(one.at);
            *known = (*known).max(one.at);
        }
        newest
    }
    let (old, new) = (newest(all.iter()), newest(fresh.iter()));
    let old_counts = |one: &Statement| match (new.get(&one.document), old.get(&one.document)) {
        (Some(new), Some(old)) => Some(old > new),
        _ => None,
    };
    all.retain(|one| old_counts(one) != Some(false));
    fresh.retain(|one| old_counts(one) != Some(true));
}

impl Snapshot<Vec<u8>> {
    fn advisory_id(&self, at: At) -> Option<String> {
        self.segments.get(at.segment as usize).and_then(|segment: &Segment<Vec<u8>>| segment.id(at.record))
    }
}
