//! Which versions a record speaks of: the ranges of OSV in a form in which one comparison decides.
//!
//! The evaluation is that of the OSV schema, section "Evaluation": a version is affected if it is listed, or if it lies before
//! the limits of a range and the last event at or before it has introduced the fault. Ranges of type `GIT` and of types that
//! nobody knows are passed over, not stopped at.

use std::cmp::Ordering;

use versions::Order;

use crate::osv::{AffectedEntry, EventEntry, RangeEntry};
use crate::package::Package;

/// What a record says of one package.
#[derive(Clone, PartialEq, Debug)]
pub struct Affected {
    /// The package, without version.
    pub package: Package,
    /// How its versions are ordered; none if nobody knows the ecosystem.
    pub order: Option<Order>,
    /// The ranges that versions can be compared with.
    pub ranges: Vec<Range>,
    /// Versions one by one.
    pub versions: Vec<String>,
    /// Versions as a segment has them: whether it is a key, and the key or the version. What is read from a document has none.
    pub(crate) listed: Vec<(bool, Vec<u8>)>,
    /// Whether there are ranges that no version can be compared with: commits, unknown types.
    pub incomparable: bool,
}

/// One range.
#[derive(Clone, PartialEq, Debug)]
pub struct Range {
    /// How its versions are ordered; none if nobody knows the ecosystem.
    pub order: Option<Order>,
    /// Whether an event could not be read.
    pub unreadable: bool,
    /// The events in the order of their versions.
    pub events: Vec<Event>,
    /// Keys before which a version must lie; empty if there is no limit.
    pub limits: Vec<Vec<u8>>,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Introduced before all versions (`"0"`).
    Start,
    /// Introduced at this key.
    Introduced(Vec<u8>),
    /// Fixed at this key.
    Fixed(Vec<u8>),
    /// Affected up to and with this key.
    LastAffected(Vec<u8>),
}

/// What a record says of one version of a package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// Nothing.
    NotAffected,
    /// Nobody can tell.
    Undetermined(Doubt),
    /// It is affected.
    Affected,
}

/// Why nobody can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Doubt {
    /// The version is not known.
    NoVersion,
    /// The version cannot be read by the rules of the ecosystem.
    UnreadableVersion,
    /// A bound of the range cannot be read.
    UnreadableRange,
    /// Nobody knows how the ecosystem orders its versions.
    UnknownOrder,
    /// The record names commits only.
    CommitsOnly,
    /// The record is about one release of a distribution, and ours is not known.
    UnknownRelease,
    /// The index is damaged here.
    Damaged,
}

impl Doubt {
    /// Says it in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoVersion => "the version is not known",
            Self::UnreadableVersion => "the version cannot be read by the rules of its ecosystem",
            Self::UnreadableRange => "a bound of the advisory's range cannot be read",
            Self::UnknownOrder => "nobody knows how this ecosystem orders its versions",
            Self::CommitsOnly => "the advisory names commits only",
            Self::UnknownRelease => {
                "the advisory is about one release of the distribution, and ours is not known"
            }
            Self::Damaged => "the index is damaged",
        }
    }
}

impl Affected {
    /// Takes an entry as written; none for one without package, which speaks of commits only.
    pub(crate) fn of(entry: AffectedEntry, faults: &mut Vec<&'static str>) -> Option<Self> {
        let named = entry.package?;
        let package = match (named.ecosystem, named.name, named.purl) {
            (Some(ecosystem), Some(name), _) => Package::new(&ecosystem, &name, ""),
            (_, _, Some(purl)) => {
                let purl = evidence::Purl::parse_lenient(&purl).ok();
                match purl.as_ref().and_then(Package::of_purl) {
                    Some(package) => Package { version: String::new(), ..package },
                    None => {
                        faults.push("a package has neither name nor a purl that can be read");
                        return None;
                    }
                }
            }
            _ => {
                faults.push("a package has no name");
                return None;
            }
        };
        let control = |text: &str| text.contains(char::is_control);
        if control(&package.ecosystem) || control(&package.name) {
            faults.push("a package's name has control characters");
            return None;
        }
        let order = Order::of(&package.ecosystem);
        let (mut ranges, mut incomparable) = (Vec::new(), false);
        for range in entry.ranges.unwrap_or_default() {
            let order = match range.kind.as_deref() {
                Some("SEMVER") => Some(Order::Semver),
                Some("ECOSYSTEM") => order,
                _ => {
                    incomparable = true;
                    continue;
                }
            };
            ranges.push(Range::of(range, order, faults));
        }
        let versions = entry.versions.unwrap_or_default();
        if ranges.is_empty() && versions.is_empty() && !incomparable {
            faults.push("a package has neither ranges nor versions, so it matches nothing");
        }
        Some(Self { package, order, ranges, versions, listed: Vec::new(), incomparable })
    }
}

impl Range {
    fn of(range: RangeEntry, order: Option<Order>, faults: &mut Vec<&'static str>) -> Self {
        let mut made = Self { order, unreadable: false, events: Vec::new(), limits: Vec::new() };
        let mut unlimited = false;
        let entries = range.events.unwrap_or_default();
        for event in &entries {
            let EventEntry { introduced, fixed, last_affected, limit } = event;
            if introduced.as_deref() == Some("0") {
                made.events.push(Event::Start);
            } else if let Some(key) = made.key(introduced.as_deref()) {
                made.events.push(Event::Introduced(key));
            }
            if let Some(key) = made.key(fixed.as_deref()) {
                made.events.push(Event::Fixed(key));
            }
            if let Some(key) = made.key(last_affected.as_deref()) {
                made.events.push(Event::LastAffected(key));
            }
            match limit.as_deref() {
                Some("*") => unlimited = true,
                limit => {
                    if let Some(key) = made.key(limit) {
                        made.limits.push(key);
                    }
                }
            }
        }
        if unlimited {
            made.limits.clear();
        }
        let has = |what: fn(&EventEntry) -> bool| entries.iter().any(what);
        if has(|event| event.fixed.is_some()) && has(|event| event.last_affected.is_some()) {
            faults.push("a range has both `fixed` and `last_affected`");
        }
        if made.unreadable {
            faults.push("a bound of a range cannot be read");
        }
        if let Some(order) = order {
            sort(&mut made.events, order);
        }
        made
    }

    /// Makes the key of a bound. What cannot be read is remembered.
    fn key(&mut self, version: Option<&str>) -> Option<Vec<u8>> {
        let version = version?;
        let key = self.order.and_then(|order| order.key(version));
        if key.is_none() {
            self.unreadable = true;
        }
        key
    }

    /// Says whether the range is all versions there are.
    pub fn is_everything(&self) -> bool {
        !self.unreadable && self.limits.is_empty() && self.events == [Event::Start]
    }
}

/// Sorts by insertion: stable, and safe with orders that have cycles. At one version, what introduces comes first.
fn sort(events: &mut [Event], order: Order) {
    for at in 1..events.len() {
        let mut place = at;
        while place > 0 && before(&events[place], &events[place - 1], order) {
            events.swap(place, place - 1);
            place -= 1;
        }
    }
}

fn before(one: &Event, other: &Event, order: Order) -> bool {
    let place = |event: &Event| match event {
        Event::Start => 0,
        Event::Introduced(_) => 1,
        Event::Fixed(_) => 2,
        Event::LastAffected(_) => 3,
    };
    let keys = match (one.key(), other.key()) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(one), Some(other)) => order.compare_keys(one, other),
    };
    keys.then(place(one).cmp(&place(other))) == Ordering::Less
}

impl Event {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Start => None,
            Self::Introduced(key) | Self::Fixed(key) | Self::LastAffected(key) => Some(key),
        }
    }
}

/// An event while a range is walked, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    Start,
    Introduced(&'a [u8]),
    Fixed(&'a [u8]),
    LastAffected(&'a [u8]),
}

/// The state of a walk over the events of a range.
pub(crate) struct Walk<'a> {
    order: Order,
    version: &'a [u8],
    affected: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(order: Order, version: &'a [u8]) -> Self {
        Self { order, version, affected: false }
    }

    pub(crate) fn step(&mut self, step: Step<'_>) {
        let at = |key: &[u8]| self.order.compare_keys(self.version, key);
        self.affected = match step {
            Step::Start => true,
            Step::Introduced(key) if at(key).is_ge() => true,
            Step::Fixed(key) if at(key).is_ge() => false,
            Step::LastAffected(key) if at(key).is_gt() => false,
            _ => self.affected,
        };
    }

    /// Tells whether the version lies before a limit.
    pub(crate) fn is_before(&self, limit: &[u8]) -> bool {
        self.order.compare_keys(self.version, limit).is_lt()
    }

    pub(crate) fn affected(&self) -> bool {
        self.affected
    }
}
