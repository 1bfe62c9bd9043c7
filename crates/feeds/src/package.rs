//! A package as advisories name it: an ecosystem, a name in its normal form, a version, and for distributions a release.

use evidence::Purl;

/// A package that may be affected.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Package {
    /// OSV's name of the ecosystem, in lower case and without release: `npm`, `crates.io`, `debian`.
    pub ecosystem: String,
    /// The name in its normal form: `@scope/name`, `group:artifact`.
    pub name: String,
    /// The version; empty if nobody knows it.
    pub version: String,
    /// The release of a distribution, if it is known: `12`, `22.04:LTS`.
    pub release: Option<String>,
}

/// Purl types and the ecosystems of OSV that they are in.
const ECOSYSTEMS: &[(&str, &str)] = &[
    ("bitnami", "bitnami"),
    ("brew", "homebrew"),
    ("cargo", "crates.io"),
    ("composer", "packagist"),
    ("conan", "conancenter"),
    ("cran", "cran"),
    ("gem", "rubygems"),
    ("githubactions", "github actions"),
    ("golang", "go"),
    ("hackage", "hackage"),
    ("hex", "hex"),
    ("julia", "julia"),
    ("maven", "maven"),
    ("npm", "npm"),
    ("nuget", "nuget"),
    ("opam", "opam"),
    ("pub", "pub"),
    ("pypi", "pypi"),
    ("swift", "swifturl"),
    ("vscode-extension", "vscode"),
];

/// Namespaces of `deb`, `rpm` and `apk` purls, and the ecosystems of OSV.
const DISTRIBUTIONS: &[(&str, &str)] = &[
    ("almalinux", "almalinux"),
    ("alpine", "alpine"),
    ("chainguard", "chainguard"),
    ("debian", "debian"),
    ("opensuse", "opensuse"),
    ("redhat", "red hat"),
    ("rhel", "red hat"),
    ("rocky", "rocky linux"),
    ("suse", "suse"),
    ("ubuntu", "ubuntu"),
    ("wolfi", "wolfi"),
];

impl Package {
    /// Finds what advisories call the package of a purl; none for types that no advisory knows.
    pub fn of_purl(purl: &Purl) -> Option<Self> {
        let version = purl.version().unwrap_or_default().to_owned();
        let joined = |separator: &str| match purl.namespace() {
            Some(namespace) => format!("{namespace}{separator}{}", purl.name()),
            None => purl.name().to_owned(),
        };
        if matches!(purl.kind(), "deb" | "rpm" | "apk") {
            return Self::of_distribution(purl, version);
        }
        let (_, ecosystem) = ECOSYSTEMS.iter().find(|(kind, _)| *kind == purl.kind())?;
        let name = match purl.kind() {
            "maven" => joined(":"),
            "vscode-extension" => joined("."),
            _ => joined("/"),
        };
        Some(Self::new(ecosystem, &name, &version))
    }

    fn of_distribution(purl: &Purl, version: String) -> Option<Self> {
        let (_, ecosystem) =
            DISTRIBUTIONS.iter().find(|(namespace, _)| Some(*namespace) == purl.namespace())?;
        let epoch = purl.qualifier("epoch").filter(|epoch| *epoch != "0");
        let version = match epoch {
            Some(epoch) if purl.kind() == "rpm" && !version.contains(':') => format!("{epoch}:{version}"),
            _ => version,
        };
        // `distro=debian-12`: the release stands behind the name.
        let release = purl
            .qualifier("distro")
            .map(|distro| distro.rsplit_once('-').map_or(distro, |(_, release)| release).to_owned());
        // Advisories of Debian and Ubuntu name source packages.
        let name = purl.qualifier("upstream").unwrap_or(purl.name());
        let name = name.split('@').next().unwrap_or(name);
        let mut package = Self::new(ecosystem, name, &version);
        package.release = release;
        Some(package)
    }

    /// Takes an ecosystem as OSV writes it (`Debian:12`), a name and a version.
    pub fn new(ecosystem: &str, name: &str, version: &str) -> Self {
        let (base, release) = match ecosystem.split_once(':') {
            Some((base, release)) => (base, Some(release.to_owned())),
            None => (ecosystem, None),
        };
        let ecosystem = base.trim().to_lowercase();
        Self {
            name: normal_name(&ecosystem, name),
            // A registry is not a release: `Maven:https://…`, `VSCode:https://open-vsx.org`.
            release: release.filter(|release| !release.contains("://")),
            version: version.trim().to_owned(),
            ecosystem,
        }
    }

    /// Returns what the index finds the package by.
    pub fn key(&self) -> Vec<u8> {
        [self.ecosystem.as_bytes(), &[0], self.name.as_bytes()].concat()
    }
}

/// Writes a name as the registry compares it.
fn normal_name(ecosystem: &str, name: &str) -> String {
    let name = name.trim();
    match ecosystem {
        // PEP 503.
        "pypi" => {
            let mut normal = String::with_capacity(name.len());
            for c in name.chars() {
                match c {
                    '-' | '_' | '.' if normal.ends_with('-') => {}
                    '-' | '_' | '.' => normal.push('-'),
                    _ => normal.extend(c.to_lowercase()),
                }
            }
            normal
        }
        "nuget" | "packagist" | "github actions" | "hex" | "vscode" | "homebrew" | "pub" => {
            name.to_lowercase()
        }
        // crates.io does not tell these apart.
        "crates.io" => name.to_lowercase().replace('_', "-"),
        "swifturl" => {
            let bare = name.trim_start_matches("https://").trim_end_matches(".git").to_lowercase();
            bare.strip_prefix("github.com/").map_or(bare.clone(), str::to_owned)
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purls_find_the_names_of_advisories() {
        for (purl, ecosystem, name) in [
            ("pkg:npm/%40babel/core@7.0.0", "npm", "@babel/core"),
            ("pkg:maven/org.apache/commons@1", "maven", "org.apache:commons"),
            ("pkg:pypi/Foo.Bar_baz@1", "pypi", "foo-bar-baz"),
            ("pkg:golang/github.com/a/b@v1", "go", "github.com/a/b"),
            ("pkg:golang/stdlib@1.22", "go", "stdlib"),
            ("pkg:cargo/serde_json@1", "crates.io", "serde-json"),
            ("pkg:swift/github.com/apple/swift-nio@2", "swifturl", "apple/swift-nio"),
            ("pkg:deb/debian/libc6@2?distro=debian-12&upstream=glibc", "debian", "glibc"),
        ] {
            let package = Package::of_purl(&Purl::parse_lenient(purl).unwrap()).unwrap();
            assert_eq!((package.ecosystem.as_str(), package.name.as_str()), (ecosystem, name));
        }
        assert_eq!(Package::of_purl(&Purl::parse("pkg:generic/x@1").unwrap()), None);
        assert_eq!(Package::new("Debian:12", "glibc", "2").release.as_deref(), Some("12"));
        assert_eq!(Package::new("VSCode:https://open-vsx.org", "a.b", "2").release, None);
    }
}
