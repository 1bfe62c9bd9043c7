//! The policy file: TOML, unknown keys rejected, strict where it is silent.

use std::collections::BTreeMap;

use evidence::{Digest, Severity};
use serde::Deserialize;

use crate::codes;
use crate::detect::MachineRole;
use crate::matching::Priority;
use crate::roles::{self, Roles};

/// The policy that `init` writes. It says what an empty file means, line by line; a test holds the two together.
pub const DEFAULT: &str = include_str!("policy.default.toml");

/// What the gate demands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Digest of the file's bytes; verdicts name it.
    pub digest: Digest,
    /// Findings from this severity on deny.
    pub deny_from: Severity,
    /// Whether a release without anything to compare with is denied.
    pub baseline_required: bool,
    /// The longest time for which an approval may hold, in days.
    pub approval_max_days: u32,
    /// How many different people must approve a detection on a build or signing machine; at least 1.
    pub approval_persons: u32,
    /// Whether one of them must name evidence.
    pub approval_evidence: bool,
    /// How many independent builders must have come to the same bytes; 0 asks nobody.
    pub quorum_builders: u32,
    /// What the machine of the store is for: how severe detections are.
    pub machine: MachineRole,
    /// What advisories decide.
    pub advisories: Advisories,
    /// Which names are ours, and where they come from.
    pub dependencies: Dependencies,
    /// What machines are for, by pattern of their names; others are for what [`Policy::machine`] says.
    pub machines: BTreeMap<String, MachineRole>,
    /// Names of software that may be on any machine, though it was not accepted there; `*` stands for anything.
    pub allowed_software: Vec<String>,
    /// Who may do what.
    pub roles: Roles,
    /// Rules in other languages.
    pub rules: Rules,
    /// Codes that are treated otherwise than by severity.
    pub exceptions: BTreeMap<String, Treatment>,
}

/// Rules in other languages, by the names of their files in the store's folder; each file is bound by its digest, so that a verdict
/// that names the policy names them too. They can deny, and permit nothing that is denied otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// What a release must be, in Rego.
    pub rego: BTreeMap<String, Digest>,
    /// Who may do what, in Cedar.
    pub cedar: BTreeMap<String, Digest>,
    /// What no release and no member of one may match, in YARA.
    pub yara: BTreeMap<String, Digest>,
}

/// What advisories decide.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advisories {
    /// Whether the record of a release is matched at the gate.
    pub gate: Asked,
    /// Older advisories are a finding.
    pub max_age_days: u32,
    /// How urgent a finding must be to deny. Attacks always do.
    pub deny_from: Priority,
    /// Whose statements count.
    pub vex: Heard,
    /// For so many days after its date a statement counts.
    pub vex_max_days: u32,
    /// Who signs statements, by name.
    pub issuers: BTreeMap<String, Issuer>,
}

/// Whether advisories are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// If the store has an index.
    WhenAvailable,
    /// A release without an index has a finding.
    Required,
    /// Not at all.
    Never,
}

/// Whose statements suppress findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// Those of every document that was imported.
    Any,
    /// Those that an issuer of the policy has signed.
    Signed,
}

/// Somebody who signs statements.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The public key: PEM, or the base64 of its DER (SubjectPublicKeyInfo, P-256).
    pub key: String,
    /// Beginnings of the package URLs that the issuer may speak of; empty for all.
    #[serde(default)]
    pub products: Vec<String>,
}

/// Which names are ours, and where they come from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dependencies {
    /// Names that only our own registries serve, with `*` for anything: `npm:@corp/*`, `pypi:corp-*`, `corp.*`.
    pub internal: Vec<String>,
    /// Beginnings of the addresses of our own registries.
    pub registries: Vec<String>,
}

impl Default for Advisories {
    fn default() -> Self {
        Self {
            gate: Asked::WhenAvailable,
            max_age_days: 7,
            deny_from: Priority::Exploited,
            vex: Heard::Any,
            vex_max_days: 365,
            issuers: BTreeMap::new(),
        }
    }
}

impl Dependencies {
    /// Tells whether a package's name is one of ours: its purl type, and its name with its name space.
    pub fn is_internal(&self, kind: &str, name: &str) -> bool {
        self.internal.iter().any(|pattern| match pattern.split_once(':') {
            Some((of, pattern)) if !of.contains(['*', '/', '@', '.']) => of == kind && is_like(name, pattern),
            _ => is_like(name, pattern),
        })
    }

    /// Tells whether an address is one of our registries.
    pub fn is_ours(&self, address: &str) -> bool {
        self.registries.iter().any(|own| {
            let own = own.trim_end_matches('/');
            // `https://npm.corp` is not the beginning of `https://npm.corp.evil`.
            address.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        })
    }
}

impl Policy {
    /// What a machine of this name is for.
    pub fn role_of(&self, host: &str) -> MachineRole {
        self.machines
            .iter()
            .find(|(pattern, _)| is_like(host, pattern))
            .map_or(self.machine, |(_, role)| *role)
    }
}

/// Compares with a text in which `*` stands for anything.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What to do with a finding regardless of its severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Report it, but never deny for it.
    Allow,
    /// Deny for it, whatever its severity.
    Deny,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML of the documented form.
    #[error("malformed policy")]
    Form(#[source] toml::de::Error),
    /// Not UTF-8.
    #[error("the policy is not UTF-8 text")]
    Text,
    /// A finding code that does not exist.
    #[error("the policy names the finding code `{0}`, which does not exist")]
    UnknownCode(String),
    /// A finding code that cannot be allowed.
    #[error("the policy allows `{0}`, which can never be allowed")]
    NeverAllowed(String),
    /// Somebody has roles that exclude each other.
    #[error("roles exclude each other: {0}")]
    Roles(String),
    /// Approvals by nobody.
    #[error("`approvals.persons` is 0: somebody has to answer for a detection")]
    NoPersons,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Baseline {
    #[serde(rename = "when-available")]
    WhenAvailable,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    version: u32,
    deny_from: Severity,
    baseline: Baseline,
    machine: MachineRole,
    approvals: Approvals,
    quorum: Quorum,
    advisories: Advisories,
    dependencies: Dependencies,
    machines: BTreeMap<String, MachineRole>,
    inventory: Inventory,
    roles: roles::File,
    rules: Rules,
    findings: BTreeMap<String, Treatment>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Inventory {
    allow: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Quorum {
    builders: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Approvals {
    max_days: u32,
    persons: u32,
    evidence: bool,
}

impl Default for File {
    fn default() -> Self {
        Self {
            version: 1,
            deny_from: Severity::Medium,
            baseline: Baseline::WhenAvailable,
            machine: MachineRole::Build,
            approvals: Approvals::default(),
            quorum: Quorum::default(),
            advisories: Advisories::default(),
            dependencies: Dependencies::default(),
            machines: BTreeMap::new(),
            inventory: Inventory::default(),
            roles: roles::File::default(),
            rules: Rules::default(),
            findings: BTreeMap::new(),
        }
    }
}

impl Default for Approvals {
    fn default() -> Self {
        Self { max_days: 90, persons: 2, evidence: true }
    }
}

impl Policy {
    /// The policy of an empty file: what holds where there is no store.
    pub fn silent() -> Self {
        Self::parse(b"").expect("an empty policy is one")
    }

    /// Reads a policy file.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PolicyError::Text)?;
        let file: File = toml::from_str(text).map_err(PolicyError::Form)?;
        if file.version != 1 {
            let message = format!("version {} is not supported; this is a version 1 reader", file.version);
            return Err(PolicyError::Form(serde::de::Error::custom(message)));
        }
        for (word, treatment) in &file.findings {
            let code = codes::find(word).ok_or_else(|| PolicyError::UnknownCode(word.clone()))?;
            if *treatment == Treatment::Allow && (!code.approvable || code.two_people) {
                return Err(PolicyError::NeverAllowed(word.clone()));
            }
        }
        if file.approvals.persons == 0 {
            return Err(PolicyError::NoPersons);
        }
        Ok(Self {
            digest: Digest::of(bytes),
            deny_from: file.deny_from,
            baseline_required: matches!(file.baseline, Baseline::Required),
            machine: file.machine,
            approval_max_days: file.approvals.max_days,
            approval_persons: file.approvals.persons,
            approval_evidence: file.approvals.evidence,
            quorum_builders: file.quorum.builders,
            advisories: file.advisories,
            dependencies: file.dependencies,
            machines: file.machines,
            allowed_software: file.inventory.allow,
            roles: Roles::new(file.roles).map_err(PolicyError::Roles)?,
            rules: file.rules,
            exceptions: file.findings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_says_what_silence_means() {
        let written = Policy::parse(DEFAULT.as_bytes()).unwrap();
        let silent = Policy::parse(b"").unwrap();
        assert_eq!(Policy { digest: silent.digest, ..written }, silent);
        assert_eq!(silent.deny_from, Severity::Medium);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (text, expected) in [
            ("denyfrom = \"low\"", "malformed policy"),
            ("version = 2", "malformed policy"),
            ("deny_from = \"severe\"", "malformed policy"),
            ("[approvals]\ndays = 1", "malformed policy"),
            ("[approvals]\npersons = 0", "somebody has to answer"),
            ("[approvals]\npersons = -1", "malformed policy"),
            ("[approvals]\nevidence = 1", "malformed policy"),
            ("[quorum]\nbuilders = -1", "malformed policy"),
            ("[roles]\nboss = ['x']", "malformed policy"),
            ("[roles]\nbuilder = ['x']\nsigner = ['x']", "exclude each other"),
            ("[findings]\nquorum-disagreement = \"allow\"", "can never be allowed"),
            ("[rules]\nyara = [\"a.yar\"]", "malformed policy"),
            ("[rules]\nyara = { \"a.yar\" = \"sha256:00\" }", "malformed policy"),
            ("[findings]\nno-such-code = \"allow\"", "does not exist"),
            ("[findings]\nbuild-failed = \"allow\"", "can never be allowed"),
            ("[findings]\nmalicious-package = \"allow\"", "can never be allowed"),
            ("[findings]\nexploited-package = \"allow\"", "can never be allowed"),
            ("[advisories]\ngate = \"sometimes\"", "malformed policy"),
            ("[advisories]\ndeny_from = \"high\"", "malformed policy"),
            ("[advisories]\nvex = \"all\"", "malformed policy"),
            ("[advisories.issuers]\nwe = { product = [] }", "malformed policy"),
            ("[dependencies]\nnames = []", "malformed policy"),
            ("[machines]\n\"dev-*\" = \"laptop\"", "malformed policy"),
        ] {
            let error = Policy::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Policy::parse(b"\xff").is_err());
    }

    #[test]
    fn names_registries_and_machines_are_told_apart() {
        let text = "[dependencies]\ninternal = [\"npm:@corp/*\", \"corp-*\"]\nregistries = [\"https://npm.corp/\"]\n\
                    [machines]\n\"dev-*\" = \"developer\"";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let internal = |kind, name| policy.dependencies.is_internal(kind, name);
        assert!(internal("npm", "@corp/ui") && internal("npm", "corp-ui") && internal("pypi", "corp-ui"));
        assert!(!internal("pypi", "@corp/ui") && !internal("npm", "@corporate/ui") && !internal("npm", "a"));
        assert!(policy.dependencies.is_ours("https://npm.corp/ui/-/ui-1.tgz"));
        assert!(!policy.dependencies.is_ours("https://npm.corp.evil/ui/-/ui-1.tgz"));
        assert_eq!(policy.role_of("dev-anna"), MachineRole::Developer);
        assert_eq!(policy.role_of("build-1"), MachineRole::Build);
    }
}
