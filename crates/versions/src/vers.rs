//! VERS: ranges of versions in one notation for all ecosystems (`vers:npm/>=1.0.0|<2.0.0`).

use std::cmp::Ordering;
use std::fmt;

use crate::Order;

/// So many constraints are read.
const CONSTRAINTS_MAX: usize = 10_000;

/// So many constraints of an order with cycles are sorted.
const CYCLES_MAX: usize = 500;

/// Why a text is no VERS range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin with `vers:` and a scheme.
    #[error("a range begins with `vers:`, a scheme and `/`")]
    Scheme,
    /// There is white space in it.
    #[error("a range has no white space")]
    Whitespace,
    /// A constraint is empty, or stands beside `*`.
    #[error("a constraint is empty, or stands beside `*`")]
    Constraint,
    /// A version is not percent-encoded as the standard has it.
    #[error("`{0}` is not in canonical percent-encoding")]
    Encoding(String),
    /// A version cannot be read by the rules of the scheme.
    #[error("`{0}` is no version of this scheme")]
    Version(String),
    /// The constraints are not in the order of their versions.
    #[error("the constraints are not sorted by version")]
    Unsorted,
    /// Too many constraints.
    #[error("more than {CONSTRAINTS_MAX} constraints")]
    Length,
}

/// A comparator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Comparator {
    /// `=`, which is not written.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

use Comparator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};

impl Comparator {
    /// Returns the sign; `=` for equality.
    pub const fn sign(self) -> &'static str {
        match self {
            Equal => "=",
            NotEqual => "!=",
            Less => "<",
            LessOrEqual => "<=",
            Greater => ">",
            GreaterOrEqual => ">=",
        }
    }
}

/// A range: a scheme and its constraints; none stands for all versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    scheme: String,
    order: Option<Order>,
    constraints: Vec<(Comparator, String)>,
}

impl Range {
    /// Reads a range in canonical form: sorted, encoded as it must be, no white space.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let range = Self::read(text)?;
        if range.sorted()? != range.constraints {
            return Err(Error::Unsorted);
        }
        Ok(range)
    }

    /// Reads a range whose constraints are in any order, and sorts them.
    pub fn parse_lenient(text: &str) -> Result<Self, Error> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut range = Self::read(&compact)?;
        range.constraints = range.sorted()?;
        Ok(range)
    }

    fn read(text: &str) -> Result<Self, Error> {
        if text.contains(char::is_whitespace) {
            return Err(Error::Whitespace);
        }
        let (scheme, list) =
            text.strip_prefix("vers:").and_then(|rest| rest.split_once('/')).ok_or(Error::Scheme)?;
        let good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        if scheme.is_empty() || !scheme.bytes().all(good) {
            return Err(Error::Scheme);
        }
        let mut constraints = Vec::new();
        if list != "*" {
            for part in list.split('|') {
                constraints.push(constraint(scheme, part)?);
                if constraints.len() > CONSTRAINTS_MAX {
                    return Err(Error::Length);
                }
            }
        }
        Ok(Self { scheme: scheme.to_owned(), order: Order::of(scheme), constraints })
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the constraints, versions decoded.
    pub fn constraints(&self) -> &[(Comparator, String)] {
        &self.constraints
    }

    /// Constraints of a scheme that nobody knows stay as they are: nothing can be said about their order.
    fn sorted(&self) -> Result<Vec<(Comparator, String)>, Error> {
        let Some(order) = self.order else { return Ok(self.constraints.clone()) };
        let mut keyed = Vec::new();
        for (comparator, version) in &self.constraints {
            let key = match order.key(version) {
                Some(key) => key,
                // What nobody needs to compare may be anything.
                None if self.constraints.len() == 1 => Vec::new(),
                None => return Err(Error::Version(version.clone())),
            };
            keyed.push((key, *comparator, version.clone()));
        }
        // By insertion: what has cycles must not be sorted by what counts on an order.
        for at in 1..keyed.len().min(if order.has_cycles() { CYCLES_MAX } else { 0 }) {
            let mut place = at;
            while place > 0 && order.compare_keys(&keyed[place - 1].0, &keyed[place].0) == Ordering::Greater {
                keyed.swap(place - 1, place);
                place -= 1;
            }
        }
        if !order.has_cycles() {
            keyed.sort_by(|left, right| left.0.cmp(&right.0));
        }
        Ok(keyed.into_iter().map(|(_, comparator, version)| (comparator, version)).collect())
    }

    /// Tells whether a version lies in the range; none if it cannot be compared.
    pub fn contains(&self, version: &str) -> Option<bool> {
        if self.constraints.is_empty() {
            return Some(true);
        }
        let order = self.order?;
        let mut compared = Vec::new();
        for (comparator, bound) in &self.constraints {
            compared.push((*comparator, order.compare(version, bound)?));
        }
        if compared.iter().any(|(comparator, found)| *comparator == NotEqual && *found == Ordering::Equal) {
            return Some(false);
        }
        let exact = |(comparator, found): &(Comparator, Ordering)| {
            matches!(comparator, Equal | LessOrEqual | GreaterOrEqual) && *found == Ordering::Equal
        };
        if compared.iter().any(exact) {
            return Some(true);
        }
        compared.retain(|(comparator, _)| !matches!(comparator, Equal | NotEqual));
        Some(between(&compared))
    }
}

/// The constraints, without equalities, cut the line into pieces; says whether the piece of the version is in.
fn between(compared: &[(Comparator, Ordering)]) -> bool {
    let (Some(first), Some(last)) = (compared.first(), compared.last()) else { return false };
    if matches!(first.0, Less | LessOrEqual) && first.1 == Ordering::Less {
        return true;
    }
    if matches!(last.0, Greater | GreaterOrEqual) && last.1 == Ordering::Greater {
        return true;
    }
    compared.windows(2).any(|pair| {
        matches!(pair, [(Greater | GreaterOrEqual, Ordering::Greater), (Less | LessOrEqual, Ordering::Less)])
    })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vers:{}/", self.scheme)?;
        if self.constraints.is_empty() {
            return f.write_str("*");
        }
        for (position, (comparator, version)) in self.constraints.iter().enumerate() {
            let bar = if position == 0 { "" } else { "|" };
            let sign = if *comparator == Equal { "" } else { comparator.sign() };
            write!(f, "{bar}{sign}{}", encoded(&self.scheme, version))?;
        }
        Ok(())
    }
}

fn constraint(scheme: &str, part: &str) -> Result<(Comparator, String), Error> {
    const SIGNS: [Comparator; 5] = [GreaterOrEqual, LessOrEqual, NotEqual, Less, Greater];
    let found = SIGNS.iter().find_map(|sign| Some((*sign, part.strip_prefix(sign.sign())?)));
    let (comparator, raw) = found.unwrap_or((Equal, part));
    if raw.is_empty() || raw == "*" {
        return Err(Error::Constraint);
    }
    let version = decoded(raw).ok_or_else(|| Error::Encoding(raw.to_owned()))?;
    if encoded(scheme, &version) != raw {
        return Err(Error::Encoding(raw.to_owned()));
    }
    if scheme == "datetime" && (version.contains(['t', 'z']) || Order::Datetime.key(&version).is_none()) {
        return Err(Error::Version(version));
    }
    Ok((comparator, version))
}

fn decoded(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            bytes.push((digit(after.first())? * 16 + digit(after.get(1))?) as u8);
            rest = after.get(2..).unwrap_or(&[]);
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Encodes what has a meaning in the notation, and what is not printable ASCII. A moment's colons stay.
fn encoded(scheme: &str, version: &str) -> String {
    let mut text = String::with_capacity(version.len());
    for byte in version.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'.' | b'-' | b'_' | b'~' | b'+' | b'^' | b'$' | b'(' | b')' | b',' | b'@' | b';'
            )
            || (byte == b':' && scheme == "datetime");
        // A colon elsewhere is accepted by everybody, an epoch has one.
        if plain || byte == b':' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
