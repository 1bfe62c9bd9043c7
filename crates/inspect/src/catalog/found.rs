//! What one document says: packages with the parts of their names, before they are put together.

use std::borrow::Cow;

use evidence::bom::{Algorithm, Hash, Kind, State};
use serde::Deserialize;

use super::PACKAGES_MAX;

/// What a document says. The cache of a scan keeps it as bytes ([`Self::keep`]).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The packages.
    pub packages: Vec<Stated>,
    /// Places in `packages`: the first depends on the second.
    pub relations: Vec<(u32, u32)>,
    /// A place in `packages`, and the name of a package of the same ecosystem on which it depends.
    pub needs: Vec<(u32, String)>,
    /// Places in `packages` that what the document belongs to depends on.
    pub direct: Vec<u32>,
    /// What could not be read: kind and detail.
    pub problems: Vec<(String, String)>,
    /// The operating system that the document describes.
    pub system: Option<System>,
}

/// An operating system as `os-release(5)` names it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct System {
    /// `debian`.
    pub id: String,
    /// `12`.
    pub version: String,
}

/// One package as a document states it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stated {
    /// The purl type; empty where none fits.
    pub ecosystem: Cow<'static, str>,
    /// Name space as the ecosystem writes it. Empty for the package of a distribution: `os-release` says which.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version; may be empty.
    pub version: String,
    /// Purl qualifiers, in any order; empty values are left out.
    pub qualifiers: Vec<(Cow<'static, str>, String)>,
    /// What sort of thing it is, in CycloneDX's word; empty for a library.
    pub kind: Cow<'static, str>,
    /// How it is known.
    pub state: State,
    /// Licences as written.
    pub licences: Vec<String>,
    /// Supplier.
    pub supplier: Option<String>,
    /// Digests: algorithm's word and hexadecimal digits.
    pub hashes: Vec<(Cow<'static, str>, String)>,
    /// CPE 2.3 names.
    pub cpes: Vec<String>,
    /// Names by which others depend on it, beside its own.
    pub provides: Vec<String>,
    /// Anything else.
    pub properties: Vec<(Cow<'static, str>, String)>,
}

impl Stated {
    /// Makes a package of an ecosystem.
    pub(super) fn new(
        ecosystem: &'static str,
        name: impl Into<String>,
        version: impl Into<String>,
        state: State,
    ) -> Self {
        Self {
            ecosystem: ecosystem.into(),
            name: name.into(),
            version: version.into(),
            state,
            ..Self::default()
        }
    }

    /// Sets the name space.
    pub(super) fn in_space(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Takes what stands before the last `separator` of the name as the name space.
    pub(super) fn split_name(mut self, separator: char) -> Self {
        if let Some((space, name)) = self.name.rsplit_once(separator) {
            (self.namespace, self.name) = (space.to_owned(), name.to_owned());
        }
        self
    }

    /// Adds a purl qualifier, unless the value is empty.
    pub(super) fn qualified(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.qualifiers.push((name.into(), value));
        }
        self
    }

    /// Adds a property, unless the value is empty.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.properties.push((name.into(), value));
        }
        self
    }

    /// Says that it is another sort of thing than a library.
    pub(super) fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind.word().into();
        self
    }

    /// Adds a digest in hexadecimal digits; what is no digest is left out.
    pub(super) fn hash(&mut self, algorithm: Algorithm, hex: &str) {
        if let Some(hash) = Hash::new(algorithm, hex) {
            self.hashes.push((algorithm.cyclonedx().into(), hash.hex()));
        }
    }

    /// Adds the digests of a subresource integrity text: `sha512-BASE64`, several separated by blanks.
    pub(super) fn integrity(&mut self, text: &str) {
        for word in text.split_ascii_whitespace() {
            let Some((algorithm, digest)) = word.split_once('-') else { continue };
            let Some(algorithm) = Algorithm::of(algorithm) else { continue };
            if let Some(bytes) = super::lines::base64(digest) {
                self.hash(algorithm, &hex(&bytes));
            }
        }
    }

    /// Adds a licence as written, unless it is empty.
    pub(super) fn licence(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() && text.len() < 1000 {
            self.licences.push(text.to_owned());
        }
    }
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a text cannot fail");
        text
    })
}

impl Found {
    /// Takes a package; returns its place, unless there are too many.
    pub(super) fn take(&mut self, package: Stated) -> Option<u32> {
        if package.name.is_empty() {
            return None;
        }
        if self.packages.len() >= PACKAGES_MAX {
            if self.problems.last().is_none_or(|(kind, _)| kind != "budget-exhausted") {
                self.problem("budget-exhausted", "too many packages in one document");
            }
            return None;
        }
        let place = u32::try_from(self.packages.len()).ok()?;
        self.packages.push(package);
        Some(place)
    }

    /// Notes what could not be read.
    pub(super) fn problem(&mut self, kind: &str, detail: impl ToString) {
        // A hostile document has at most so many problems; the last says that there are more.
        if self.problems.len() < 100 {
            let detail: String = detail.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
            self.problems.push((kind.to_owned(), detail));
        }
    }

    /// Parses JSON; what it is not is a problem.
    pub(super) fn json<'a, T: Deserialize<'a>>(&mut self, bytes: &'a [u8]) -> Option<T> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        serde_json::from_slice(bytes).map_err(|error| self.problem("malformed-json", error)).ok()
    }

    /// Parses TOML; what it is not is a problem.
    pub(super) fn toml<T: for<'a> Deserialize<'a>>(&mut self, bytes: &[u8]) -> Option<T> {
        let text = std::str::from_utf8(bytes).map_err(|error| self.problem("malformed-toml", error)).ok()?;
        toml::from_str(text).map_err(|error| self.problem("malformed-toml", error.message())).ok()
    }

    /// Tells whether the document said nothing at all.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.problems.is_empty() && self.system.is_none()
    }
}
