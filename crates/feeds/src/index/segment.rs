//! Reading a segment where it lies.

use evidence::{Digest, Hasher};
use versions::Order;

use super::bytes::{Reader, u32_at};
use super::names::Names;
use super::{
    ARTIFACT_BYTES, ENTRY_INCOMPARABLE, ENTRY_RELEASE, FLAG_MALICIOUS, MAGIC, RANGE_UNREADABLE, RECORD_BYTES,
    SECTIONS, Section, TEXTS_TOGETHER, order_of,
};
use crate::affected::{Doubt, Outcome, Step, Walk};
use crate::package::Package;

/// A block of texts is never larger.
const TEXTS_MAX_BYTES: usize = 64 << 20;

/// An open segment.
pub struct Segment<D> {
    data: D,
    places: [(usize, usize); SECTIONS],
}

/// Bytes that are no segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// It begins otherwise, or is of another version.
    #[error("it is no segment of this version's advisory index")]
    Magic,
    /// A part lies outside.
    #[error("it is cut short")]
    Short,
    /// Its bytes are not those that were written.
    #[error("its digest is wrong")]
    Digest,
}

/// A record that speaks of a package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hit {
    /// The record's number in its segment.
    pub record: u32,
    /// What it says of the version.
    pub outcome: Outcome,
    /// Whether it lists versions, ours not among them, and yet has a range of all there are.
    pub disputed: bool,
}

/// What is known of a record.
#[derive(Clone, PartialEq, Debug)]
pub struct Advisory {
    /// Its id.
    pub id: String,
    /// One line.
    pub summary: String,
    /// Other ids.
    pub aliases: Vec<String>,
    /// Records that it was made from.
    pub upstream: Vec<String>,
    /// The keys of the packages that it speaks of.
    pub packages: Vec<String>,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
    /// When it was taken back.
    pub withdrawn: Option<i64>,
    /// Whether the package itself is an attack.
    pub malicious: bool,
    /// The best CVSS vector, its score in tenths and its version.
    pub cvss: Option<(String, u8, u8)>,
    /// What the database says in words: 1 low … 4 critical; 0 nothing.
    pub severity: u8,
    /// Records of one group are about one thing.
    pub group: u32,
    /// Hash of its document.
    pub hash: u64,
}

impl<D: AsRef<[u8]>> Segment<D> {
    /// Opens a segment: checks where its parts lie, and reads nothing else.
    pub fn open(data: D) -> Result<Self, OpenError> {
        let bytes = data.as_ref();
        if !bytes.starts_with(MAGIC) {
            return Err(OpenError::Magic);
        }
        let table = bytes.get(MAGIC.len() + 32..).ok_or(OpenError::Short)?;
        let mut places = [(0, 0); SECTIONS];
        for (number, place) in places.iter_mut().enumerate() {
            let at = |offset: usize| {
                let bytes = table.get(number * 16 + offset..).and_then(|rest| rest.first_chunk());
                bytes.and_then(|bytes| usize::try_from(u64::from_le_bytes(*bytes)).ok())
            };
            let (Some(start), Some(length)) = (at(0), at(8)) else { return Err(OpenError::Short) };
            let end = start.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(OpenError::Short)?;
            *place = (start, end);
        }
        Ok(Self { data, places })
    }

    /// Checks every byte against the digest in front.
    pub fn verify(&self) -> Result<(), OpenError> {
        let bytes = self.data.as_ref();
        let (head, body) = bytes.split_at_checked(MAGIC.len() + 32).ok_or(OpenError::Short)?;
        let mut hasher = Hasher::new();
        hasher.update(body);
        if hasher.finish().as_bytes() == &head[MAGIC.len()..] { Ok(()) } else { Err(OpenError::Digest) }
    }

    pub(super) fn part(&self, section: Section) -> &[u8] {
        let (start, end) = self.places[section as usize];
        self.data.as_ref().get(start..end).unwrap_or(&[])
    }

    pub(super) fn names(&self, section: Section) -> Option<Names<'_>> {
        Names::open(self.part(section))
    }

    /// Returns how many records it has.
    pub fn len(&self) -> usize {
        self.names(Section::Ids).map_or(0, |names| names.len())
    }

    /// Tells whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many packages it names.
    pub fn packages(&self) -> usize {
        self.names(Section::Packages).map_or(0, |names| names.len())
    }

    /// Finds what its records say of a package.
    pub fn matches(&self, package: &Package) -> Vec<Hit> {
        let mut hits = Vec::new();
        let Some(place) = self.names(Section::Packages).and_then(|names| names.find(&package.key())) else {
            return hits;
        };
        let posting = u32_at(self.part(Section::PostingOffsets), place)
            .and_then(|at| self.part(Section::Postings).get(at as usize..));
        let read = posting.and_then(|posting| walk(posting, package, &mut hits));
        if read.is_none() {
            hits.push(Hit { record: 0, outcome: Outcome::Undetermined(Doubt::Damaged), disputed: false });
        }
        hits
    }

    /// Finds the records whose id or alias this is.
    pub fn find(&self, id: &str) -> Vec<u32> {
        let mut found: Vec<u32> = self
            .names(Section::Ids)
            .and_then(|names| names.find(id.as_bytes()))
            .and_then(|number| u32::try_from(number).ok())
            .into_iter()
            .collect();
        let list =
            self.names(Section::Aliases).and_then(|names| names.find(id.as_bytes())).and_then(|place| {
                let at = u32_at(self.part(Section::AliasOffsets), place)? as usize;
                let mut reader = Reader::new(self.part(Section::AliasLists).get(at..)?);
                let count = reader.size()?;
                (0..count).map(|_| u32::try_from(reader.number()?).ok()).collect::<Option<Vec<u32>>>()
            });
        found.extend(list.into_iter().flatten());
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Finds the records that name an artifact by its digest.
    pub fn artifact(&self, digest: &Digest) -> Vec<u32> {
        let table = self.part(Section::Artifacts);
        let entry = |place: usize| table.get(place * ARTIFACT_BYTES..(place + 1) * ARTIFACT_BYTES);
        let (mut low, mut high) = (0, table.len() / ARTIFACT_BYTES);
        while low < high {
            let middle = low + (high - low) / 2;
            match entry(middle) {
                Some(entry) if entry[..32] < digest.as_bytes()[..] => low = middle + 1,
                _ => high = middle,
            }
        }
        let mut found = Vec::new();
        while let Some(entry) = entry(low).filter(|entry| entry[..32] == digest.as_bytes()[..]) {
            found.extend(entry[32..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes)));
            low += 1;
        }
        found
    }

    /// Returns the digests of the artifacts that a record names.
    pub fn artifacts_of(&self, record: u32) -> Vec<Digest> {
        let entries = self.part(Section::Artifacts).chunks_exact(ARTIFACT_BYTES);
        let own = entries.filter(|entry| u32_at(&entry[32..], 0) == Some(record));
        own.filter_map(|entry| entry.first_chunk().map(|bytes| Digest::from_bytes(*bytes))).collect()
    }

    /// Hands over the digests of all artifacts, each with the number of its record.
    pub fn each_artifact(&self, take: &mut dyn FnMut(&Digest, u32)) {
        for entry in self.part(Section::Artifacts).chunks_exact(ARTIFACT_BYTES) {
            if let (Some(bytes), Some(record)) = (entry.first_chunk(), u32_at(&entry[32..], 0)) {
                take(&Digest::from_bytes(*bytes), record);
            }
        }
    }

    /// Says how many digests of artifacts there are.
    pub fn artifacts(&self) -> usize {
        self.part(Section::Artifacts).len() / ARTIFACT_BYTES
    }

    /// Returns the record with a number.
    pub fn advisory(&self, record: u32) -> Option<Advisory> {
        self.advisory_of(record, &self.text(record)?)
    }

    /// Returns the record with a number, whose texts are these.
    pub(super) fn advisory_of(&self, record: u32, text: &str) -> Option<Advisory> {
        let at = record as usize * RECORD_BYTES;
        let column = self.part(Section::Records).get(at..at + RECORD_BYTES)?;
        let number = |at: usize| column.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let id = String::from_utf8(self.names(Section::Ids)?.at(record as usize)?).ok()?;
        let mut parts = text.split('\u{1f}');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (summary, aliases, upstream, vector, packages) = (next(), next(), next(), next(), next());
        let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let [flags, severity, tenths, version] = *column.last_chunk()?;
        let withdrawn = number(8)? as i64;
        Some(Advisory {
            id,
            summary,
            aliases: words(&aliases),
            upstream: words(&upstream),
            packages: packages.split('\u{1d}').filter(|key| !key.is_empty()).map(str::to_owned).collect(),
            modified: number(0)? as i64,
            withdrawn: (withdrawn != 0).then_some(withdrawn),
            malicious: flags & FLAG_MALICIOUS != 0,
            cvss: (tenths != u8::MAX).then_some((vector, tenths, version)),
            severity,
            group: u32_at(column, 6)?,
            hash: number(16)?,
        })
    }

    /// Returns the id of a record.
    pub fn id(&self, record: u32) -> Option<String> {
        String::from_utf8(self.names(Section::Ids)?.at(record as usize)?).ok()
    }

    /// Returns when a record was modified, and the hash of its document.
    pub fn version_of(&self, record: u32) -> Option<(i64, u64)> {
        let column = self.part(Section::Records).get(record as usize * RECORD_BYTES..)?;
        let modified = i64::from_le_bytes(*column.first_chunk()?);
        Some((modified, u64::from_le_bytes(*column.get(16..)?.first_chunk()?)))
    }

    /// Returns when the newest record was modified.
    pub fn newest(&self) -> Option<i64> {
        let columns = self.part(Section::Records).chunks_exact(RECORD_BYTES);
        columns.filter_map(|column| column.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))).max()
    }

    /// Unpacks a block of texts.
    pub(super) fn block(&self, block: usize) -> Option<Vec<u8>> {
        let at = u32_at(self.part(Section::TextOffsets), block)? as usize;
        let mut reader = Reader::new(self.part(Section::Texts).get(at..)?);
        let length = u32::from_le_bytes(*reader.take(4)?.first_chunk()?) as usize;
        zstd::bulk::decompress(reader.take(length)?, TEXTS_MAX_BYTES).ok()
    }

    fn text(&self, record: u32) -> Option<String> {
        let texts = self.block(record as usize / TEXTS_TOGETHER)?;
        let text = texts.split(|byte| *byte == 0x1e).nth(record as usize % TEXTS_TOGETHER)?;
        String::from_utf8(text.to_vec()).ok()
    }

    /// Returns the records of earlier segments that this one replaces.
    pub fn replaced(&self) -> impl Iterator<Item = (u32, u32)> {
        let pairs = self.part(Section::Replaced).chunks_exact(8);
        pairs.filter_map(|pair| Some((u32_at(pair, 0)?, u32_at(pair, 1)?)))
    }

    /// Hands over the keys of all packages, with how many records speak of each.
    pub fn each_package(&self, take: &mut dyn FnMut(&[u8])) {
        if let Some(names) = self.names(Section::Packages) {
            names.each(&mut |_, name| take(name));
        }
    }
}

/// Keys of the version under the orders that come up; most postings ask for one.
struct Keys<'a> {
    version: &'a str,
    known: Option<(Order, Option<Vec<u8>>)>,
}

impl Keys<'_> {
    fn of(&mut self, order: Order) -> Option<&[u8]> {
        if self.known.as_ref().is_none_or(|(known, _)| *known != order) {
            self.known = Some((order, order.key(self.version)));
        }
        self.known.as_ref().and_then(|(_, key)| key.as_deref())
    }
}

/// Walks over a posting. None where it is damaged.
fn walk(posting: &[u8], package: &Package, hits: &mut Vec<Hit>) -> Option<()> {
    let mut reader = Reader::new(posting);
    let mut keys = Keys { version: &package.version, known: None };
    let order = order_of(reader.byte()?);
    let listed = listed(&mut reader, order, &package.version, &mut keys)?;
    for _ in 0..reader.size()? {
        let record = u32::try_from(reader.number()?).ok()?;
        let flags = reader.byte()?;
        let release =
            if flags & ENTRY_RELEASE != 0 { Some(std::str::from_utf8(reader.bytes()?).ok()?) } else { None };
        let mut says = Says { outcome: Outcome::NotAffected, any: false, listed: false, everything: false };
        let mut place = 0;
        for _ in 0..reader.size()? {
            let start = place + reader.size()?;
            let end = start.checked_add(reader.size()?)?;
            says.listed = true;
            if listed.iter().any(|at| (start..end).contains(at)) {
                says.any = true;
                says.outcome = Outcome::Affected;
            }
            place = end;
        }
        let by_list = says.outcome == Outcome::Affected;
        for _ in 0..reader.size()? {
            range(&mut reader, &mut keys, &mut says)?;
        }
        if flags & ENTRY_INCOMPARABLE != 0 && !says.any && !says.listed {
            says.outcome = Outcome::Undetermined(Doubt::CommitsOnly);
        }
        if package.version.is_empty() {
            says.outcome = Outcome::Undetermined(Doubt::NoVersion);
        }
        let outcome = of_release(says.outcome, release, package.release.as_deref());
        if outcome != Outcome::NotAffected {
            let disputed = outcome == Outcome::Affected && says.listed && !by_list && says.everything;
            hits.push(Hit { record, outcome, disputed });
        }
    }
    Some(())
}

struct Says {
    outcome: Outcome,
    /// Whether anything could be compared.
    any: bool,
    /// Whether versions are listed.
    listed: bool,
    /// Whether a range of all versions there are says so.
    everything: bool,
}

/// Finds the places of the version in the list of the package.
fn listed(
    reader: &mut Reader<'_>,
    order: Option<Order>,
    version: &str,
    keys: &mut Keys<'_>,
) -> Option<Vec<usize>> {
    let mut places = Vec::new();
    let count = reader.size()?;
    let key = order.and_then(|order| Some((order, keys.of(order)?)));
    for place in 0..count {
        let head = reader.size()?;
        let bytes = reader.take(head / 2)?;
        let same = match (head % 2 == 1, key) {
            (true, Some((order, key))) => order.compare_keys(bytes, key).is_eq(),
            (true, None) => false,
            (false, _) => bytes == version.as_bytes(),
        };
        if same {
            places.push(place);
        }
    }
    Some(places)
}

/// Reads one range and what it says of the version.
fn range(reader: &mut Reader<'_>, keys: &mut Keys<'_>, says: &mut Says) -> Option<()> {
    let order = order_of(reader.byte()?);
    let unreadable = reader.byte()? & RANGE_UNREADABLE != 0;
    let key = order.and_then(|order| Some((order, keys.of(order)?)));
    let mut walk = key.map(|(order, key)| Walk::new(order, key));
    let (count, mut starts) = (reader.size()?, 0);
    for _ in 0..count {
        let step = match reader.byte()? {
            0 => Step::Start,
            1 => Step::Introduced(reader.bytes()?),
            2 => Step::Fixed(reader.bytes()?),
            3 => Step::LastAffected(reader.bytes()?),
            _ => return None,
        };
        starts += usize::from(matches!(step, Step::Start));
        if let Some(walk) = &mut walk {
            walk.step(step);
        }
    }
    let mut before = true;
    let limits = reader.size()?;
    for number in 0..limits {
        let limit = reader.bytes()?;
        let inside = walk.as_ref().is_some_and(|walk| walk.is_before(limit));
        before = inside || (number > 0 && before);
    }
    let everything = !unreadable && limits == 0 && count == 1 && starts == 1;
    let outcome = match walk {
        _ if everything => Outcome::Affected,
        _ if unreadable && order.is_none() => Outcome::Undetermined(Doubt::UnknownOrder),
        _ if unreadable => Outcome::Undetermined(Doubt::UnreadableRange),
        Some(walk) if before && walk.affected() => Outcome::Affected,
        Some(_) => Outcome::NotAffected,
        None if order.is_none() => Outcome::Undetermined(Doubt::UnknownOrder),
        None => Outcome::Undetermined(Doubt::UnreadableVersion),
    };
    says.any = true;
    says.everything |= everything;
    says.outcome = says.outcome.max(outcome);
    Some(())
}

/// An advisory about one release of a distribution says nothing of another.
fn of_release(outcome: Outcome, theirs: Option<&str>, ours: Option<&str>) -> Outcome {
    match (theirs, ours) {
        (None, _) => outcome,
        (Some(_), None) if outcome == Outcome::Affected => Outcome::Undetermined(Doubt::UnknownRelease),
        (Some(_), None) => outcome,
        (Some(theirs), Some(ours)) => {
            let number = |release: &str| {
                release.trim_start_matches('v').split(':').next().unwrap_or_default().to_owned()
            };
            if number(theirs) == number(ours) { outcome } else { Outcome::NotAffected }
        }
    }
}
