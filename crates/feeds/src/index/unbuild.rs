//! Taking a segment apart again: its records as they were written, so that several can become one. Versions come back as their keys;
//! nothing is read anew, so that what was exact stays so.

use std::collections::BTreeMap;

use evidence::Digest;

use super::bytes::{Reader, u32_at};
use super::{
    ARTIFACT_BYTES, ENTRY_INCOMPARABLE, ENTRY_RELEASE, RANGE_UNREADABLE, Section, Segment, TEXTS_TOGETHER,
    order_of,
};
use crate::affected::{Affected, Event, Range};
use crate::osv::{Cvss, Record};
use crate::package::Package;

/// Returns the records in the order of their numbers, each with the hash of its document; none if the segment is damaged.
pub(super) fn records<D: AsRef<[u8]>>(segment: &Segment<D>) -> Option<Vec<(Record, u64)>> {
    let mut affected = postings(segment)?;
    let mut artifacts = artifacts(segment)?;
    let mut records = Vec::with_capacity(segment.len());
    let mut block = Vec::new();
    for number in 0..u32::try_from(segment.len()).ok()? {
        let place = number as usize % TEXTS_TOGETHER;
        if place == 0 {
            block = segment.block(number as usize / TEXTS_TOGETHER)?;
        }
        let text = block.split(|byte| *byte == 0x1e).nth(place)?;
        let known = segment.advisory_of(number, std::str::from_utf8(text).ok()?)?;
        let mut affected = affected.remove(&number).unwrap_or_default();
        // Packages of which the record says nothing have no posting; that it names them stays.
        for key in &known.packages {
            let (ecosystem, name) = key.split_once('\0')?;
            if !affected.iter().any(|one| one.package.ecosystem == ecosystem && one.package.name == name) {
                affected.push(Affected {
                    package: package(ecosystem, name, None),
                    order: None,
                    ranges: Vec::new(),
                    versions: Vec::new(),
                    listed: Vec::new(),
                    incomparable: false,
                });
            }
        }
        let record = Record {
            id: known.id,
            modified: known.modified,
            withdrawn: known.withdrawn,
            aliases: known.aliases,
            upstream: known.upstream,
            summary: known.summary,
            cvss: known.cvss.map(|(vector, tenths, version)| Cvss { vector, tenths, version }),
            severity: known.severity,
            malicious: known.malicious,
            artifacts: artifacts.remove(&number).unwrap_or_default(),
            affected,
            faults: Vec::new(),
        };
        records.push((record, known.hash));
    }
    Some(records)
}

/// A package as it was: its name is in its normal form already.
fn package(ecosystem: &str, name: &str, release: Option<&str>) -> Package {
    Package {
        ecosystem: ecosystem.to_owned(),
        name: name.to_owned(),
        version: String::new(),
        release: release.map(str::to_owned),
    }
}

fn artifacts<D: AsRef<[u8]>>(segment: &Segment<D>) -> Option<BTreeMap<u32, Vec<Digest>>> {
    let mut found: BTreeMap<u32, Vec<Digest>> = BTreeMap::new();
    for entry in segment.part(Section::Artifacts).chunks_exact(ARTIFACT_BYTES) {
        let (digest, number) = entry.split_first_chunk::<32>()?;
        found.entry(u32_at(number, 0)?).or_default().push(Digest::from_bytes(*digest));
    }
    Some(found)
}

fn postings<D: AsRef<[u8]>>(segment: &Segment<D>) -> Option<BTreeMap<u32, Vec<Affected>>> {
    let mut found: BTreeMap<u32, Vec<Affected>> = BTreeMap::new();
    let mut whole = Some(());
    segment.names(Section::Packages)?.each(&mut |place, key| {
        let read = std::str::from_utf8(key).ok().and_then(|key| key.split_once('\0')).and_then(|named| {
            let at = u32_at(segment.part(Section::PostingOffsets), place)?;
            posting(segment.part(Section::Postings).get(at as usize..)?, named, &mut found)
        });
        if read.is_none() {
            whole = None;
        }
    })?;
    whole.map(|()| found)
}

fn posting(
    bytes: &[u8],
    (ecosystem, name): (&str, &str),
    found: &mut BTreeMap<u32, Vec<Affected>>,
) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let order = order_of(reader.byte()?);
    let mut dictionary: Vec<(bool, &[u8])> = Vec::new();
    for _ in 0..reader.size()? {
        let head = reader.size()?;
        dictionary.push((head % 2 == 1, reader.take(head / 2)?));
    }
    for _ in 0..reader.size()? {
        let record = u32::try_from(reader.number()?).ok()?;
        let flags = reader.byte()?;
        let release =
            if flags & ENTRY_RELEASE != 0 { Some(std::str::from_utf8(reader.bytes()?).ok()?) } else { None };
        let (mut listed, mut place) = (Vec::new(), 0_usize);
        for _ in 0..reader.size()? {
            let start = place.checked_add(reader.size()?)?;
            let end = start.checked_add(reader.size()?)?;
            listed.extend(dictionary.get(start..end)?.iter().map(|(keyed, bytes)| (*keyed, bytes.to_vec())));
            place = end;
        }
        let mut ranges = Vec::new();
        for _ in 0..reader.size()? {
            ranges.push(range(&mut reader)?);
        }
        found.entry(record).or_default().push(Affected {
            package: package(ecosystem, name, release),
            order,
            ranges,
            versions: Vec::new(),
            listed,
            incomparable: flags & ENTRY_INCOMPARABLE != 0,
        });
    }
    Some(())
}

fn range(reader: &mut Reader<'_>) -> Option<Range> {
    let order = order_of(reader.byte()?);
    let unreadable = reader.byte()? & RANGE_UNREADABLE != 0;
    let (mut events, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..reader.size()? {
        events.push(match reader.byte()? {
            0 => Event::Start,
            1 => Event::Introduced(reader.bytes()?.to_vec()),
            2 => Event::Fixed(reader.bytes()?.to_vec()),
            3 => Event::LastAffected(reader.bytes()?.to_vec()),
            _ => return None,
        });
    }
    for _ in 0..reader.size()? {
        limits.push(reader.bytes()?.to_vec());
    }
    Some(Range { order, unreadable, events, limits })
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use super::*;

    #[test]
    fn a_segment_made_of_itself_is_the_same() {
        let documents = [
            r#"{"id": "A-1", "modified": "2026-01-01T00:00:00Z", "aliases": ["CVE-1"], "affected": [
                {"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0", "what"],
                 "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}, {"limit": "3.0.0"}]}]},
                {"package": {"ecosystem": "npm", "name": "silent"}},
                {"package": {"ecosystem": "npm", "name": "git"}, "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}]}"#,
            r#"{"id": "A-2", "modified": "2026-01-02T00:00:00Z", "withdrawn": "2026-01-03T00:00:00Z", "affected": [
                {"package": {"ecosystem": "Debian:12", "name": "b"},
                 "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1"}, {"last_affected": "2"}]}]},
                {"package": {"ecosystem": "nobody", "name": "b"},
                 "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1"}]}]}],
                "database_specific": {"leitwacht": {"indicators_observed": {"sha256": ["00000000000000000000000000000000000000000000000000000000000000aa"]}}}}"#,
            r#"{"id": "MAL-3", "modified": "2026-01-01T00:00:00Z", "affected": [
                {"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0", "1.1.0"]}],
                "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}"#,
        ];
        let mut builder = Builder::default();
        for document in documents {
            builder.add(crate::osv::read(document.as_bytes()).unwrap(), 7);
        }
        let written = builder.write().0;
        let mut again = Builder::default();
        again.absorb(&Segment::open(written.clone()).unwrap(), &|_| false).unwrap();
        assert_eq!(again.write().0, written);
        let mut fewer = Builder::default();
        fewer.absorb(&Segment::open(written.clone()).unwrap(), &|number| number == 0).unwrap();
        let fewer = Segment::open(fewer.write().0).unwrap();
        assert_eq!((fewer.len(), fewer.find("A-1").len(), fewer.find("MAL-3").len()), (2, 0, 1));
        for at in (0..written.len()).step_by(3) {
            let mut damaged = written.clone();
            damaged[at] ^= 0x5a;
            if let Ok(segment) = Segment::open(damaged) {
                Builder::default().absorb(&segment, &|_| false);
            }
        }
    }
}
