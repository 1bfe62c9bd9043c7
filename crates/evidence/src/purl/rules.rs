//! What each package type asks of its purls, as the type definitions of purl-spec have it.

use std::collections::BTreeMap;

use super::Error;

/// Whether a type has namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Required,
    Optional,
    Prohibited,
}

use Need::{Optional, Prohibited, Required};

/// The rules of one type.
#[derive(Debug)]
pub(super) struct Rule {
    kind: &'static str,
    need: Need,
    /// What is lower-cased: any of `n` namespace, `m` name, `v` version, `s` subpath.
    lower: &'static str,
    qualifier: Option<&'static str>,
}

const fn rule(kind: &'static str, need: Need, lower: &'static str) -> Rule {
    Rule { kind, need, lower, qualifier: None }
}

/// A type that nobody has registered: nothing is normalised, nothing is required.
const UNKNOWN: Rule = rule("", Optional, "");

const RULES: &[Rule] = &[
    rule("alpm", Required, "nm"),
    rule("apk", Required, "nm"),
    rule("bazel", Prohibited, ""),
    rule("bitbucket", Required, "nm"),
    rule("bitnami", Prohibited, "m"),
    rule("brew", Optional, "nm"),
    rule("cargo", Prohibited, ""),
    rule("chrome-extension", Prohibited, "m"),
    rule("cocoapods", Prohibited, ""),
    rule("composer", Required, "nm"),
    rule("conan", Optional, ""),
    rule("conda", Prohibited, ""),
    rule("cpan", Optional, ""),
    rule("cran", Prohibited, ""),
    rule("deb", Required, "nm"),
    rule("docker", Optional, ""),
    rule("gem", Prohibited, ""),
    rule("generic", Optional, ""),
    // The definition says that names are case sensitive, its tests lower-case them; the tests are what others run.
    rule("git", Required, "nm"),
    rule("github", Required, "nm"),
    // `stdlib` and `toolchain` have none.
    rule("golang", Optional, ""),
    rule("hackage", Prohibited, ""),
    rule("hex", Optional, "nm"),
    rule("huggingface", Required, "v"),
    Rule { kind: "julia", need: Prohibited, lower: "", qualifier: Some("uuid") },
    rule("luarocks", Optional, "nm"),
    rule("maven", Required, ""),
    rule("mlflow", Prohibited, ""),
    rule("npm", Optional, ""),
    rule("nuget", Prohibited, ""),
    rule("oci", Prohibited, "mv"),
    rule("opam", Prohibited, ""),
    rule("otp", Prohibited, "ms"),
    rule("pub", Prohibited, "m"),
    rule("pypi", Prohibited, "mv"),
    rule("qpkg", Required, "n"),
    rule("rpm", Required, "n"),
    Rule { kind: "swid", need: Optional, lower: "", qualifier: Some("tag_id") },
    rule("swift", Required, ""),
    rule("vcpkg", Prohibited, ""),
    rule("vscode-extension", Required, "nmv"),
    rule("yocto", Optional, "n"),
];

impl Rule {
    pub(super) fn of(kind: &str) -> &'static Self {
        RULES.iter().find(|rule| rule.kind == kind).unwrap_or(&UNKNOWN)
    }

    pub(super) fn need(&self) -> Need {
        self.need
    }

    pub(super) fn qualifier(&self) -> Option<&'static str> {
        self.qualifier
    }

    fn lowers(&self, part: char, text: String) -> String {
        if self.lower.contains(part) { text.to_lowercase() } else { text }
    }

    pub(super) fn namespace(&self, text: String) -> String {
        self.lowers('n', text)
    }

    pub(super) fn version(&self, text: String) -> String {
        self.lowers('v', text)
    }

    pub(super) fn subpath(&self, text: String) -> String {
        self.lowers('s', text)
    }

    pub(super) fn name(&self, text: &str, qualifiers: &BTreeMap<String, String>) -> String {
        let name = self.lowers('m', text.to_owned());
        match self.kind {
            "pypi" => name.replace('_', "-"),
            "pub" => name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"),
            // Databricks does not tell cases apart, Azure ML does.
            "mlflow" if qualifiers.get("repository_url").is_some_and(|url| url.contains("databricks")) => {
                name.to_lowercase()
            }
            _ => name,
        }
    }

    pub(super) fn check(&self, name: &str, version: Option<&str>) -> Result<(), Error> {
        let good = match self.kind {
            "chrome-extension" => name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'a'..=b'p')),
            // A distribution, not a module.
            "cpan" => !name.contains("::"),
            _ => true,
        };
        if !good {
            return Err(Error::Characters(name.to_owned()));
        }
        if let (Some(version), "chrome-extension") = (version, self.kind) {
            let parts: Vec<&str> = version.split('.').collect();
            let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if parts.len() > 4 || !parts.iter().all(number) {
                return Err(Error::Characters(version.to_owned()));
            }
        }
        Ok(())
    }
}
