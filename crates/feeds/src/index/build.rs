//! Writing a segment: records by id, packages by name, each posting with one list of versions for all its records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evidence::Hasher;
use versions::Order;

use super::bytes::{put, put_bytes};
use super::{
    ARTIFACT_BYTES, ENTRY_INCOMPARABLE, ENTRY_RELEASE, FLAG_MALICIOUS, MAGIC, RANGE_UNREADABLE, SECTIONS,
    Section, TEXTS_TOGETHER, names, order_number,
};
use crate::affected::{Affected, Event, Range};
use crate::osv::Record;

/// Level of compression: beyond it texts hardly shrink, and time goes by.
const LEVEL: i32 = 6;

/// Records on their way into a segment. Of two with one id the later one counts.
#[derive(Default)]
pub struct Builder {
    records: BTreeMap<String, (Record, u64)>,
    replaced: BTreeSet<(u32, u32)>,
}

/// What a segment holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Records.
    pub records: usize,
    /// Packages.
    pub packages: usize,
}

impl Builder {
    /// Takes a record, and a hash of its document by which a change is noticed. Of two with one id the one that was modified
    /// later counts; of equals, the later one taken.
    pub fn add(&mut self, record: Record, hash: u64) {
        match self.records.get(&record.id) {
            Some((known, _)) if known.modified > record.modified => {}
            _ => {
                self.records.insert(record.id.clone(), (record, hash));
            }
        }
    }

    /// Takes every record of a segment that is left when those named are not, as they are.
    pub fn absorb<D: AsRef<[u8]>>(
        &mut self,
        segment: &super::Segment<D>,
        left_out: &dyn Fn(u32) -> bool,
    ) -> Option<()> {
        for (number, (record, hash)) in (0..).zip(super::unbuild::records(segment)?) {
            if !left_out(number) {
                self.add(record, hash);
            }
        }
        Some(())
    }

    /// Returns the records taken so far.
    pub fn records(&self) -> impl Iterator<Item = (&Record, u64)> {
        self.records.values().map(|(record, hash)| (record, *hash))
    }

    /// Leaves out records.
    pub fn retain(&mut self, mut keep: impl FnMut(&Record, u64) -> bool) {
        self.records.retain(|_, (record, hash)| keep(record, *hash));
    }

    /// Notes that a record of an earlier segment counts no more.
    pub fn replace(&mut self, segment: u32, record: u32) {
        self.replaced.insert((segment, record));
    }

    /// Writes the segment.
    pub fn write(self) -> (Vec<u8>, Counts) {
        let records: Vec<(Record, u64)> = self.records.into_values().collect();
        let mut sections: [Vec<u8>; SECTIONS] = Default::default();
        let ids: Vec<&[u8]> = records.iter().map(|(record, _)| record.id.as_bytes()).collect();
        sections[Section::Ids as usize] = names::write(&ids);
        let groups = groups(&records);
        for ((record, hash), group) in records.iter().zip(&groups) {
            column(record, *hash, *group, &mut sections[Section::Records as usize]);
        }
        texts(&records, &mut sections);
        aliases(&records, &mut sections);
        artifacts(&records, &mut sections[Section::Artifacts as usize]);
        let packages = postings(&records, &mut sections);
        for (segment, record) in &self.replaced {
            sections[Section::Replaced as usize].extend(segment.to_le_bytes());
            sections[Section::Replaced as usize].extend(record.to_le_bytes());
        }
        (assemble(&sections), Counts { records: records.len(), packages })
    }
}

fn assemble(sections: &[Vec<u8>; SECTIONS]) -> Vec<u8> {
    let head = MAGIC.len() + 32 + SECTIONS * 16;
    let mut body = Vec::new();
    let mut at = head as u64;
    for section in sections {
        body.extend(at.to_le_bytes());
        body.extend((section.len() as u64).to_le_bytes());
        at += section.len() as u64;
    }
    sections.iter().for_each(|section| body.extend(section));
    let mut hasher = Hasher::new();
    hasher.update(&body);
    [MAGIC.as_slice(), hasher.finish().as_bytes(), &body].concat()
}

fn column(record: &Record, hash: u64, group: u32, out: &mut Vec<u8>) {
    out.extend(record.modified.to_le_bytes());
    // Zero stands for one that counts; nothing was withdrawn in 1970.
    out.extend(record.withdrawn.unwrap_or(0).to_le_bytes());
    out.extend(hash.to_le_bytes());
    out.extend(group.to_le_bytes());
    let flags = if record.malicious { FLAG_MALICIOUS } else { 0 };
    let (tenths, version) = record.cvss.as_ref().map_or((u8::MAX, 0), |cvss| (cvss.tenths, cvss.version));
    out.extend([flags, record.severity, tenths, version]);
}

/// Finds which records are about one thing: those that `aliases` joins, however far.
fn groups(records: &[(Record, u64)]) -> Vec<u32> {
    fn root(parents: &mut [u32], mut at: u32) -> u32 {
        while parents[at as usize] != at {
            parents[at as usize] = parents[parents[at as usize] as usize];
            at = parents[at as usize];
        }
        at
    }
    let mut parents: Vec<u32> = (0..records.len() as u32).collect();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for (number, (record, _)) in records.iter().enumerate() {
        for name in std::iter::once(&record.id).chain(&record.aliases) {
            let other = *seen.entry(name).or_insert(number as u32);
            let (one, other) = (root(&mut parents, number as u32), root(&mut parents, other));
            parents[one.max(other) as usize] = one.min(other);
        }
    }
    (0..records.len() as u32).map(|number| root(&mut parents, number)).collect()
}

fn texts(records: &[(Record, u64)], sections: &mut [Vec<u8>; SECTIONS]) {
    for block in records.chunks(TEXTS_TOGETHER) {
        let mut text = String::new();
        for (record, _) in block {
            let vector = record.cvss.as_ref().map_or("", |cvss| cvss.vector.as_str());
            let mut packages: Vec<String> = record
                .affected
                .iter()
                .map(|affected| format!("{}\0{}", affected.package.ecosystem, affected.package.name))
                .collect();
            packages.sort();
            packages.dedup();
            let packages = packages.join("\u{1d}");
            let parts =
                [&record.summary, &record.aliases.join(" "), &record.upstream.join(" "), vector, &packages];
            text += &parts.join("\u{1f}");
            text.push('\u{1e}');
        }
        let at = sections[Section::Texts as usize].len() as u32;
        sections[Section::TextOffsets as usize].extend(at.to_le_bytes());
        let packed =
            zstd::bulk::compress(text.as_bytes(), LEVEL).expect("compression into memory does not fail");
        sections[Section::Texts as usize].extend((packed.len() as u32).to_le_bytes());
        sections[Section::Texts as usize].extend(packed);
    }
}

fn aliases(records: &[(Record, u64)], sections: &mut [Vec<u8>; SECTIONS]) {
    let mut lists: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    for (number, (record, _)) in records.iter().enumerate() {
        for alias in &record.aliases {
            lists.entry(alias.as_bytes()).or_default().push(number as u32);
        }
    }
    let names: Vec<&[u8]> = lists.keys().copied().collect();
    sections[Section::Aliases as usize] = names::write(&names);
    for list in lists.values() {
        let at = sections[Section::AliasLists as usize].len() as u32;
        sections[Section::AliasOffsets as usize].extend(at.to_le_bytes());
        let out = &mut sections[Section::AliasLists as usize];
        put(out, list.len() as u64);
        list.iter().for_each(|number| put(out, u64::from(*number)));
    }
}

fn artifacts(records: &[(Record, u64)], out: &mut Vec<u8>) {
    let mut all: Vec<([u8; 32], u32)> = Vec::new();
    for (number, (record, _)) in records.iter().enumerate() {
        all.extend(record.artifacts.iter().map(|digest| (*digest.as_bytes(), number as u32)));
    }
    all.sort_unstable();
    all.dedup();
    for (digest, number) in all {
        out.extend(digest);
        out.extend(number.to_le_bytes());
    }
    debug_assert_eq!(out.len() % ARTIFACT_BYTES, 0);
}

fn postings(records: &[(Record, u64)], sections: &mut [Vec<u8>; SECTIONS]) -> usize {
    let mut packages: BTreeMap<Vec<u8>, Vec<(u32, &Affected)>> = BTreeMap::new();
    for (number, (record, _)) in records.iter().enumerate() {
        for affected in &record.affected {
            let silent = affected.ranges.is_empty()
                && affected.versions.is_empty()
                && affected.listed.is_empty()
                && !affected.incomparable;
            if !silent {
                packages.entry(affected.package.key()).or_default().push((number as u32, affected));
            }
        }
    }
    let names: Vec<&[u8]> = packages.keys().map(Vec::as_slice).collect();
    sections[Section::Packages as usize] = names::write(&names);
    for entries in packages.values() {
        let at = sections[Section::Postings as usize].len() as u32;
        sections[Section::PostingOffsets as usize].extend(at.to_le_bytes());
        posting(entries, &mut sections[Section::Postings as usize]);
    }
    packages.len()
}

/// What a listed version is compared by: its key, or where it has none, itself.
type Listed = (bool, Vec<u8>);

fn posting(entries: &[(u32, &Affected)], out: &mut Vec<u8>) {
    let order = entries.iter().find_map(|(_, affected)| affected.order);
    let dictionary = dictionary(entries, order);
    let places: BTreeMap<&Listed, usize> = dictionary
        .values()
        .chain(entries.iter().flat_map(|(_, affected)| &affected.listed))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .enumerate()
        .map(|(place, listed)| (listed, place))
        .collect();
    out.push(order_number(order));
    put(out, places.len() as u64);
    for (keyed, bytes) in places.keys() {
        put(out, bytes.len() as u64 * 2 + u64::from(*keyed));
        out.extend(bytes);
    }
    put(out, entries.len() as u64);
    for (number, affected) in entries {
        put(out, u64::from(*number));
        let release = affected.package.release.as_deref();
        let release_flag = if release.is_some() { ENTRY_RELEASE } else { 0 };
        out.push(release_flag | if affected.incomparable { ENTRY_INCOMPARABLE } else { 0 });
        if let Some(release) = release {
            put_bytes(out, release.as_bytes());
        }
        let listed: BTreeSet<usize> = affected
            .versions
            .iter()
            .filter_map(|version| dictionary.get(version.as_str()))
            .chain(&affected.listed)
            .filter_map(|listed| places.get(listed).copied())
            .collect();
        let runs = runs(&listed);
        put(out, runs.len() as u64);
        let mut end = 0;
        for (start, length) in runs {
            put(out, (start - end) as u64);
            put(out, length as u64);
            end = start + length;
        }
        put(out, affected.ranges.len() as u64);
        affected.ranges.iter().for_each(|range| put_range(range, out));
    }
}

fn dictionary<'a>(entries: &[(u32, &'a Affected)], order: Option<Order>) -> HashMap<&'a str, Listed> {
    let mut dictionary = HashMap::new();
    for version in entries.iter().flat_map(|(_, affected)| &affected.versions) {
        dictionary.entry(version.as_str()).or_insert_with(|| {
            match order.and_then(|order| order.key(version)) {
                Some(key) => (true, key),
                None => (false, version.as_bytes().to_vec()),
            }
        });
    }
    dictionary
}

/// Joins numbers that follow each other.
fn runs(numbers: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == *number => *length += 1,
            _ => runs.push((*number, 1)),
        }
    }
    runs
}

fn put_range(range: &Range, out: &mut Vec<u8>) {
    out.push(order_number(range.order));
    out.push(if range.unreadable { RANGE_UNREADABLE } else { 0 });
    put(out, range.events.len() as u64);
    for event in &range.events {
        let (kind, key) = match event {
            Event::Start => (0, None),
            Event::Introduced(key) => (1, Some(key)),
            Event::Fixed(key) => (2, Some(key)),
            Event::LastAffected(key) => (3, Some(key)),
        };
        out.push(kind);
        if let Some(key) = key {
            put_bytes(out, key);
        }
    }
    put(out, range.limits.len() as u64);
    range.limits.iter().for_each(|limit| put_bytes(out, limit));
}
