//! How versions are ordered, ecosystem by ecosystem.
//!
//! A version is turned into a key: bytes that compare as the ecosystem compares its versions. So there is one way of
//! comparing, keys can be stored and searched as they are, and the laws of an order (antisymmetry, transitivity) hold by
//! construction. What has no key cannot be compared: the answer is *unknown*, never a guess.
//!
//! Three ecosystems have no order in the strict sense, because their own rules have cycles: Maven, Arch Linux where only
//! one side has a release, and PHP's `#` (docs/advisories.md). Their keys are compared in pairs
//! ([`Order::compare_keys`]), as the ecosystem does.

mod alpine;
mod composer;
mod debian;
mod gem;
mod key;
mod maven;
mod plain;
mod pypi;
mod rpm;
mod semver;
pub mod vers;

use std::cmp::Ordering;

use key::Key;

/// A version longer than this has no key: nobody's is.
pub const VERSION_MAX: usize = 1 << 10;

/// The rules by which versions are ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Order {
    /// Alpine's `apk`, also Wolfi and Chainguard.
    Alpine,
    /// Arch Linux's `vercmp`.
    Alpm,
    /// Composer and PHP's `version_compare`.
    Composer,
    /// Conan.
    Conan,
    /// R's `package_version`.
    Cran,
    /// RFC 3339 moments.
    Datetime,
    /// `dpkg --compare-versions` (deb-version(7)).
    Debian,
    /// `Gem::Version`.
    Gem,
    /// Portage (PMS, "Version comparison").
    Gentoo,
    /// Haskell's `Data.Version`.
    Hackage,
    /// Code points.
    Lexicographic,
    /// Maven's `ComparableVersion`.
    Maven,
    /// `NuGetVersion`.
    Nuget,
    /// OpenSSL before and since 3.0.
    Openssl,
    /// Dart's `pub_semver`: build metadata counts.
    Pub,
    /// PEP 440, and before it the versions that people made up.
    Pypi,
    /// `rpmvercmp`.
    Rpm,
    /// Semantic versions 2.0, read leniently: a `v` in front, fewer or more numbers, leading zeros.
    Semver,
}

/// OSV's names of ecosystems (without suffix), purl types and VERS schemes, in lower case.
const NAMES: &[(&str, Order)] = &[
    ("actions", Order::Semver),
    ("almalinux", Order::Rpm),
    ("alpaquita", Order::Alpine),
    ("alpine", Order::Alpine),
    ("alpm", Order::Alpm),
    ("apk", Order::Alpine),
    ("azure linux", Order::Rpm),
    ("bellsoft hardened containers", Order::Alpine),
    ("bioconductor", Order::Semver),
    ("bitnami", Order::Semver),
    ("brew", Order::Semver),
    ("cargo", Order::Semver),
    ("chainguard", Order::Alpine),
    ("composer", Order::Composer),
    ("conan", Order::Conan),
    ("conancenter", Order::Conan),
    ("cran", Order::Cran),
    ("crates.io", Order::Semver),
    ("datetime", Order::Datetime),
    ("deb", Order::Debian),
    ("debian", Order::Debian),
    ("docker hardened images", Order::Semver),
    ("gem", Order::Gem),
    ("gentoo", Order::Gentoo),
    ("ghc", Order::Semver),
    ("github", Order::Semver),
    ("github actions", Order::Semver),
    ("githubactions", Order::Semver),
    ("go", Order::Semver),
    ("golang", Order::Semver),
    ("gomod", Order::Semver),
    ("hackage", Order::Hackage),
    ("hex", Order::Semver),
    ("homebrew", Order::Semver),
    ("julia", Order::Semver),
    ("lexicographic", Order::Lexicographic),
    ("mageia", Order::Rpm),
    ("maven", Order::Maven),
    ("minimos", Order::Alpine),
    ("npm", Order::Semver),
    ("nuget", Order::Nuget),
    ("opam", Order::Debian),
    ("openeuler", Order::Rpm),
    ("openssl", Order::Openssl),
    ("opensuse", Order::Rpm),
    ("otp", Order::Semver),
    ("packagist", Order::Composer),
    ("pub", Order::Pub),
    ("pypi", Order::Pypi),
    ("red hat", Order::Rpm),
    ("redhat", Order::Rpm),
    ("rocky linux", Order::Rpm),
    ("rpm", Order::Rpm),
    ("rubygems", Order::Gem),
    ("semver", Order::Semver),
    ("suse", Order::Rpm),
    ("swift", Order::Semver),
    ("swifturl", Order::Semver),
    ("ubuntu", Order::Debian),
    ("vscode", Order::Semver),
    ("vscode-extension", Order::Semver),
    ("wolfi", Order::Alpine),
];

impl Order {
    /// All orders.
    pub const ALL: [Self; 18] = [
        Self::Alpine,
        Self::Alpm,
        Self::Composer,
        Self::Conan,
        Self::Cran,
        Self::Datetime,
        Self::Debian,
        Self::Gem,
        Self::Gentoo,
        Self::Hackage,
        Self::Lexicographic,
        Self::Maven,
        Self::Nuget,
        Self::Openssl,
        Self::Pub,
        Self::Pypi,
        Self::Rpm,
        Self::Semver,
    ];

    /// Finds the order of an ecosystem: OSV's name (`Debian:12`, `crates.io`), a purl type or a VERS scheme.
    pub fn of(ecosystem: &str) -> Option<Self> {
        let name = ecosystem.split(':').next().unwrap_or(ecosystem).trim().to_ascii_lowercase();
        let at = NAMES.binary_search_by_key(&name.as_str(), |(known, _)| *known).ok()?;
        NAMES.get(at).map(|(_, order)| *order)
    }

    /// Returns the names under which orders are found, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Makes the key of a version: bytes that compare as the versions do. What has none cannot be compared.
    pub fn key(self, version: &str) -> Option<Vec<u8>> {
        let version = version.trim();
        if version.is_empty() || version.len() > VERSION_MAX || version.bytes().any(|byte| byte < b' ') {
            return None;
        }
        let mut key = Key::default();
        match self {
            Self::Alpine => alpine::apk(version, &mut key),
            Self::Alpm => rpm::alpm(version, &mut key),
            Self::Composer => composer::key(version, &mut key),
            Self::Conan => plain::conan(version, &mut key),
            Self::Cran => plain::cran(version, &mut key),
            Self::Datetime => plain::datetime(version, &mut key),
            Self::Debian => debian::key(version, &mut key),
            Self::Gem => gem::key(version, &mut key),
            Self::Gentoo => alpine::gentoo(version, &mut key),
            Self::Hackage => plain::hackage(version, &mut key),
            Self::Lexicographic => plain::lexicographic(version, &mut key),
            Self::Maven => maven::key(version, &mut key),
            Self::Nuget => semver::nuget(version, &mut key),
            Self::Openssl => plain::openssl(version, &mut key),
            Self::Pub => semver::pub_semver(version, &mut key),
            Self::Pypi => pypi::key(version, &mut key),
            Self::Rpm => rpm::rpm(version, &mut key),
            Self::Semver => semver::semver(version, &mut key),
        }?;
        Some(key.done())
    }

    /// Compares two keys of this order.
    pub fn compare_keys(self, left: &[u8], right: &[u8]) -> Ordering {
        match self {
            Self::Alpm => rpm::compare_alpm(left, right),
            Self::Composer => composer::compare(left, right),
            Self::Maven => maven::compare(left, right),
            _ => left.cmp(right),
        }
    }

    /// Tells whether the ecosystem's own rules have cycles, so that its versions cannot be sorted.
    pub const fn has_cycles(self) -> bool {
        matches!(self, Self::Alpm | Self::Composer | Self::Maven)
    }

    /// Compares two versions; none if one of them cannot be read by these rules.
    pub fn compare(self, left: &str, right: &str) -> Option<Ordering> {
        Some(self.compare_keys(&self.key(left)?, &self.key(right)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        assert!(NAMES.is_sorted());
        assert_eq!(Order::of("Debian:12"), Some(Order::Debian));
        assert_eq!(Order::of("Ubuntu:22.04:LTS"), Some(Order::Debian));
        assert_eq!(Order::of("crates.io"), Some(Order::Semver));
        assert_eq!(Order::of("Wonderland"), None);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for (order, version) in
            [(Order::Semver, "latest"), (Order::Cran, "1.x"), (Order::Semver, ""), (Order::Pypi, "1\u{0}2")]
        {
            assert_eq!(order.compare(version, "1.0.0"), None, "{version}");
        }
        assert_eq!(Order::Maven.compare(&"1".repeat(VERSION_MAX + 1), "1"), None);
    }
}
