//! Package URLs (ECMA-427): read, checked and written in the canonical form, with the rules of each type.
//!
//! [`Purl::parse`] is strict and takes what the standard calls a purl. [`Purl::parse_lenient`] takes what other people's
//! documents hold: it mends what can be read in one way only, such as upper-case qualifier keys or an unencoded `@`, and
//! does not insist on a namespace. Both end in the same canonical form, which is what is compared and stored.

mod rules;

use std::collections::BTreeMap;
use std::fmt;

use rules::{Need, Rule};

/// A purl longer than this is not read: no registry has such names.
const LENGTH_MAX: usize = 8 << 10;
/// So many qualifiers have a meaning.
const QUALIFIERS_MAX: usize = 64;

/// Why a text is no package URL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin with `pkg:`.
    #[error("a package URL begins with `pkg:`")]
    Scheme,
    /// The type is missing or has characters that no type has.
    #[error("`{0}` is no package type")]
    Type(String),
    /// There is no name.
    #[error("a package URL has a name")]
    Name,
    /// The type asks for a namespace.
    #[error("a package of type `{0}` has a namespace")]
    NamespaceMissing(String),
    /// The type has no namespaces.
    #[error("a package of type `{0}` has no namespace")]
    NamespaceProhibited(String),
    /// A qualifier's key has characters that no key has, or a key comes twice.
    #[error("`{0}` is no qualifier, or is there twice")]
    Qualifier(String),
    /// The type asks for a qualifier.
    #[error("a package of type `{kind}` has the qualifier `{key}`")]
    QualifierMissing {
        /// The type.
        kind: String,
        /// The qualifier that it needs.
        key: &'static str,
    },
    /// A component has characters that the type does not allow.
    #[error("`{0}` has characters that this type does not allow")]
    Characters(String),
    /// A percent sign is followed by something else than the digits of a byte of UTF-8.
    #[error("`{0}` is not percent-encoded UTF-8")]
    Encoding(String),
    /// It is longer than anybody's.
    #[error("too long for a package URL")]
    Length,
}

/// A package URL: type, namespace, name, version, qualifiers, subpath, all decoded and normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Purl {
    kind: String,
    namespace: Option<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
    subpath: Option<String>,
}

/// The parts of a package URL as they stand, decoded: what [`Purl::build`] checks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// Type.
    pub kind: String,
    /// Namespace, its segments joined by `/`; may be empty.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version; may be empty.
    pub version: String,
    /// Qualifiers.
    pub qualifiers: Vec<(String, String)>,
    /// Path inside the package; may be empty.
    pub subpath: String,
}

/// Writes the canonical form of parts that a package database vouches for: normalised, and not checked again.
pub fn canonical(parts: Parts) -> String {
    let qualifiers = parts.qualifiers.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    Purl::normal(parts, qualifiers, Reading::Lenient).to_string()
}

impl Purl {
    /// Reads a package URL as the standard has it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::build(split(text, Reading::Strict)?)
    }

    /// Reads a package URL as people write it.
    pub fn parse_lenient(text: &str) -> Result<Self, Error> {
        Self::make(split(text, Reading::Lenient)?, Reading::Lenient)
    }

    /// Makes a package URL of its parts; the rules of its type hold afterwards.
    pub fn build(parts: Parts) -> Result<Self, Error> {
        Self::make(parts, Reading::Strict)
    }

    /// Makes a package URL of its parts where the namespace may be missing: Debian packages of no known distribution, Go's
    /// standard library.
    pub fn build_lenient(parts: Parts) -> Result<Self, Error> {
        Self::make(parts, Reading::Lenient)
    }

    fn make(parts: Parts, reading: Reading) -> Result<Self, Error> {
        let kind = parts.kind.to_ascii_lowercase();
        let starts_well = kind.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well
            || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
        {
            return Err(Error::Type(parts.kind));
        }
        let mut qualifiers = BTreeMap::new();
        for (key, value) in &parts.qualifiers {
            let known = match reading {
                Reading::Strict => key.clone(),
                Reading::Lenient => key.to_ascii_lowercase(),
            };
            if value.is_empty() {
                continue;
            }
            if !is_key(&known) || qualifiers.len() >= QUALIFIERS_MAX || qualifiers.contains_key(&known) {
                return Err(Error::Qualifier(known));
            }
            qualifiers.insert(known, value.clone());
        }
        let purl = Self::normal(parts, qualifiers, reading);
        purl.check(reading)?;
        Ok(purl)
    }

    fn normal(parts: Parts, qualifiers: BTreeMap<String, String>, reading: Reading) -> Self {
        let kind = parts.kind.to_ascii_lowercase();
        let rule = Rule::of(&kind);
        let namespace = segments(&parts.namespace, |_| true);
        let subpath = segments(&parts.subpath, |segment| !matches!(segment, "." | ".."));
        let mut purl = Self {
            namespace: (!namespace.is_empty()).then(|| rule.namespace(namespace)),
            name: rule.name(parts.name.trim_matches('/'), &qualifiers),
            version: (!parts.version.is_empty()).then(|| rule.version(parts.version)),
            qualifiers,
            subpath: (!subpath.is_empty()).then(|| rule.subpath(subpath)),
            kind,
        };
        purl.tidy(reading);
        purl
    }

    /// What documents write differently for the same package: a scope inside the name.
    fn tidy(&mut self, reading: Reading) {
        let whole_name = matches!(self.kind.as_str(), "npm" | "golang" | "composer");
        if reading == Reading::Lenient
            && whole_name
            && self.namespace.is_none()
            && let Some((namespace, name)) = self.name.rsplit_once('/')
        {
            (self.namespace, self.name) = (Some(namespace.to_owned()), name.to_owned());
        }
        // The namespace of a repository is its host; all that follows is its name.
        if self.kind == "git"
            && let Some((host, above)) = self.namespace.as_deref().and_then(|all| all.split_once('/'))
        {
            self.name = format!("{above}/{}", self.name);
            self.namespace = Some(host.to_owned());
        }
    }

    fn check(&self, reading: Reading) -> Result<(), Error> {
        let rule = Rule::of(&self.kind);
        if self.name.is_empty() {
            return Err(Error::Name);
        }
        match (rule.need(), self.namespace.is_some()) {
            (Need::Prohibited, true) => return Err(Error::NamespaceProhibited(self.kind.clone())),
            (Need::Required, false) if reading == Reading::Strict => {
                return Err(Error::NamespaceMissing(self.kind.clone()));
            }
            _ => {}
        }
        if reading == Reading::Strict
            && let Some(key) = rule.qualifier().filter(|key| !self.qualifiers.contains_key(*key))
        {
            return Err(Error::QualifierMissing { kind: self.kind.clone(), key });
        }
        rule.check(&self.name, self.version.as_deref())
    }

    /// Returns the type: `npm`, `deb`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the namespace, its segments joined by `/`.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Returns a qualifier.
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.get(key).map(String::as_str)
    }

    /// Returns all qualifiers, by key.
    pub fn qualifiers(&self) -> &BTreeMap<String, String> {
        &self.qualifiers
    }

    /// Returns the path inside the package.
    pub fn subpath(&self) -> Option<&str> {
        self.subpath.as_deref()
    }

    /// Returns the canonical form without version, qualifiers and subpath: what stays when a package is updated.
    pub fn identity(&self) -> String {
        let mut text = String::new();
        self.write_identity(&mut text);
        text
    }

    fn write_identity(&self, text: &mut String) {
        text.push_str("pkg:");
        text.push_str(&self.kind);
        text.push('/');
        for segment in self.namespace.iter().flat_map(|namespace| namespace.split('/')) {
            encode(segment, text);
            text.push('/');
        }
        for (position, segment) in self.name_segments().enumerate() {
            if position > 0 {
                text.push('/');
            }
            encode(segment, text);
        }
    }

    /// Only a repository's name has segments; elsewhere a slash in a name is a character like others.
    fn name_segments(&self) -> impl Iterator<Item = &str> {
        let has_segments = self.kind == "git";
        self.name.split(move |c| has_segments && c == '/')
    }
}

/// The canonical form.
impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_identity(&mut text);
        if let Some(version) = &self.version {
            text.push('@');
            encode(version, &mut text);
        }
        for (position, (key, value)) in self.qualifiers.iter().enumerate() {
            text.push(if position == 0 { '?' } else { '&' });
            text.push_str(key);
            text.push('=');
            encode(value, &mut text);
        }
        for (position, segment) in self.subpath.iter().flat_map(|path| path.split('/')).enumerate() {
            text.push(if position == 0 { '#' } else { '/' });
            encode(segment, &mut text);
        }
        f.write_str(&text)
    }
}

impl std::str::FromStr for Purl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Strict,
    Lenient,
}

/// Takes a purl apart from right to left (ECMA-427, "How to parse a purl string").
fn split(text: &str, reading: Reading) -> Result<Parts, Error> {
    if text.len() > LENGTH_MAX {
        return Err(Error::Length);
    }
    let (rest, subpath) = text.rsplit_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.rsplit_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').ok_or(Error::Scheme)?;
    if !scheme.eq_ignore_ascii_case("pkg") {
        return Err(Error::Scheme);
    }
    let (kind, rest) = rest.trim_matches('/').split_once('/').ok_or(Error::Name)?;
    // An `@` right after a slash begins a scope that somebody has not encoded, not a version.
    let (path, version) = match rest.rsplit_once('@') {
        Some((path, version)) if !(path.is_empty() || path.ends_with('/')) || !version.contains('/') => {
            (path, version)
        }
        _ => (rest, ""),
    };
    let path = if reading == Reading::Strict { path } else { path.trim_end_matches('/') };
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut qualifiers = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        qualifiers.push((key.to_owned(), decode(value)?));
    }
    Ok(Parts {
        kind: kind.to_owned(),
        namespace: decode_segments(namespace, reading)?,
        name: decode(name)?,
        version: decode(version)?,
        qualifiers,
        subpath: decode_segments(subpath, reading)?,
    })
}

/// An encoded slash inside a segment has no canonical form; people who encode a whole namespace mean its segments.
fn decode_segments(text: &str, reading: Reading) -> Result<String, Error> {
    let mut decoded = Vec::new();
    for segment in text.split('/').filter(|segment| !segment.is_empty()) {
        let plain = decode(segment)?;
        if reading == Reading::Strict && plain.contains('/') {
            return Err(Error::Encoding(segment.to_owned()));
        }
        decoded.push(plain);
    }
    Ok(decoded.join("/"))
}

fn segments(text: &str, keep: impl Fn(&str) -> bool) -> String {
    let kept: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty() && keep(segment)).collect();
    kept.join("/")
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        })
}

fn decode(text: &str) -> Result<String, Error> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let wrong = || Error::Encoding(text.to_owned());
    let bytes = crate::wire::percent::decoded(text).ok_or_else(wrong)?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Percent-encodes what is not unreserved; the colon stays (ECMA-427, "Character encoding").
fn encode(plain: &str, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in plain.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                text.push(char::from(byte));
            }
            other => {
                text.push('%');
                text.push(char::from(DIGITS[usize::from(other >> 4)]));
                text.push(char::from(DIGITS[usize::from(other & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
