//! What is on a machine against what may be: the last accepted look at it, where credentials belong, and software that nobody
//! mends any more.

use std::collections::{BTreeMap, BTreeSet};

use evidence::inventory::{Item, Section};
use evidence::{Finding, Subject, Timestamp};
use serde::Deserialize;

use crate::codes;
use crate::detect::MachineRole;
use crate::policy::is_like;

/// The list of discontinued software that comes with the program.
pub const END_OF_LIFE: &str = include_str!("machines.eol.toml");

/// Sections in which something new is unexpected: what runs, or changes what is trusted.
const TOOLS: &[&str] = &[
    "packages",
    "toolchains",
    "editor-extensions",
    "browser-extensions",
    "mcp-servers",
    "services",
    "scheduled-jobs",
    "privileged-files",
    "trust-roots",
    "ssh-keys",
];
const CREDENTIALS: &str = "credentials";
const PACKAGES: &str = "packages";

/// Software that its makers no longer mend.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndOfLife {
    /// Names, `*` stands for anything.
    pub names: Vec<String>,
    /// Types of package URLs to which the names belong; all, if none is named.
    #[serde(default)]
    pub types: Vec<String>,
    /// Beginnings of versions, each a whole part: `3.8` is `3.8.1`, and not `3.80`. All, if none is named.
    #[serde(default)]
    pub versions: Vec<String>,
    /// Since when, as a day: `2023-09-11`.
    pub since: String,
    /// What to use instead, or where it is said.
    #[serde(default)]
    pub note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    software: Vec<EndOfLife>,
}

/// Reads a list of discontinued software.
///
/// # Errors
/// What is not understood.
pub fn end_of_life(text: &str) -> Result<Vec<EndOfLife>, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.software)
}

/// What is known about a machine.
pub struct Machine<'a> {
    /// What it is for.
    pub role: MachineRole,
    /// What is on it, by section.
    pub sections: &'a BTreeMap<String, Section>,
    /// What was on it when it was accepted last.
    pub accepted: Option<&'a BTreeMap<String, Section>>,
    /// Software that may be on any machine.
    pub allowed: &'a [String],
    /// Software that nobody mends.
    pub end_of_life: &'a [EndOfLife],
    /// The moment.
    pub now: Timestamp,
}

/// Judges a machine: the worst first.
pub fn judge(machine: &Machine<'_>) -> Vec<Finding> {
    let mut findings = unexpected(machine);
    findings.extend(misplaced(machine));
    findings.extend(discontinued(machine));
    findings
        .sort_by(|a, b| (std::cmp::Reverse(a.severity), &a.id).cmp(&(std::cmp::Reverse(b.severity), &b.id)));
    findings.dedup();
    findings
}

/// What tells one thing from another: of a package not its version, of other things also where they are and what they are.
fn key(section: &str, item: &Item) -> String {
    if section == PACKAGES {
        let purl = item.purl.as_deref().unwrap_or(&item.name);
        return purl.split(['@', '?']).next().unwrap_or(purl).to_owned();
    }
    let path = item.path.as_ref().map(ToString::to_string).unwrap_or_default();
    // A root certificate, a key, or a program with another's rights is another one if its bytes are.
    let bytes = matches!(section, "trust-roots" | "ssh-keys" | "privileged-files");
    let digest = item.digest.filter(|_| bytes).map(|digest| digest.to_string()).unwrap_or_default();
    format!("{}\0{path}\0{digest}", item.name)
}

fn subject(item: &Item) -> Subject {
    let name = match (&item.purl, &item.path) {
        (Some(purl), _) => purl.as_str().into(),
        (None, Some(path)) => path.clone(),
        (None, None) => item.name.as_str().into(),
    };
    Subject { path: Some(name), digest: item.digest }
}

fn unexpected(machine: &Machine<'_>) -> Vec<Finding> {
    let Some(accepted) = machine.accepted.filter(|_| machine.role != MachineRole::Developer) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (name, section) in machine.sections.iter().filter(|(name, _)| TOOLS.contains(&name.as_str())) {
        let known: BTreeSet<String> = accepted
            .get(name)
            .into_iter()
            .flat_map(|section| &section.items)
            .map(|item| key(name, item))
            .collect();
        for item in section.items.iter().filter(|item| !known.contains(&key(name, item))) {
            let may = |pattern: &String| {
                is_like(&item.name, pattern)
                    || item.purl.as_deref().is_some_and(|purl| is_like(purl, pattern))
            };
            if machine.allowed.iter().any(may) {
                continue;
            }
            let mut because = vec![format!("in the section {name}, and not in the accepted look")];
            because.extend(item.path.iter().map(|path| format!("at {path}")));
            findings.push(codes::UNEXPECTED_SOFTWARE.finding(subject(item), because));
        }
    }
    findings
}

fn misplaced(machine: &Machine<'_>) -> Vec<Finding> {
    if machine.role != MachineRole::Developer {
        return Vec::new();
    }
    let items = machine.sections.get(CREDENTIALS).into_iter().flat_map(|section| &section.items);
    items.map(|item| codes::CREDENTIAL_MISPLACED.finding(subject(item), vec![item.name.clone()])).collect()
}

fn discontinued(machine: &Machine<'_>) -> Vec<Finding> {
    let today = machine.now.to_string();
    let mut findings = Vec::new();
    for section in machine.sections.iter().filter(|(name, _)| TOOLS.contains(&name.as_str())).map(|(_, s)| s)
    {
        for item in &section.items {
            let ended = machine.end_of_life.iter().filter(|ended| ended.since.as_str() <= today.as_str());
            for ended in ended.filter(|ended| ended.is(item)) {
                let mut because = vec![format!("{} {} since {}", item.name, item.version, ended.since)];
                because.extend(Some(ended.note.clone()).filter(|note| !note.is_empty()));
                findings.push(codes::END_OF_LIFE.finding(subject(item), because));
            }
        }
    }
    findings
}

impl EndOfLife {
    fn is(&self, item: &Item) -> bool {
        let kind = item.purl.as_deref().and_then(|purl| purl.strip_prefix("pkg:")?.split('/').next());
        let of_type =
            self.types.is_empty() || kind.is_some_and(|kind| self.types.iter().any(|one| one == kind));
        // Distributions write an epoch before.
        let version = item.version.split_once(':').map_or(item.version.as_str(), |(_, version)| version);
        let begins = |start: &String| {
            version
                .strip_prefix(start.as_str())
                .is_some_and(|rest| rest.is_empty() || !rest.starts_with(|next: char| next.is_ascii_digit()))
        };
        of_type
            && self.names.iter().any(|pattern| is_like(&item.name, pattern))
            && (self.versions.is_empty() || self.versions.iter().any(begins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(items: &[(&str, Item)]) -> BTreeMap<String, Section> {
        let mut sections: BTreeMap<String, Section> = BTreeMap::new();
        for (section, item) in items {
            sections.entry((*section).to_owned()).or_default().items.push(item.clone());
        }
        sections
    }

    fn package(name: &str, version: &str) -> Item {
        Item {
            name: name.into(),
            version: version.into(),
            purl: Some(format!("pkg:deb/debian/{name}@{version}?arch=amd64")),
            ..Item::default()
        }
    }

    fn codes_of(
        role: MachineRole,
        now: &BTreeMap<String, Section>,
        accepted: Option<&BTreeMap<String, Section>>,
        allowed: &[String],
    ) -> Vec<(String, String)> {
        let list = end_of_life(END_OF_LIFE).unwrap();
        let machine = Machine {
            role,
            sections: now,
            accepted,
            allowed,
            end_of_life: &list,
            now: "2026-11-26T00:00:00Z".parse().unwrap(),
        };
        let told = |finding: Finding| {
            (finding.code, finding.subject.path.map(|path| path.to_string()).unwrap_or_default())
        };
        judge(&machine).into_iter().map(told).collect()
    }

    #[test]
    fn what_is_new_on_a_build_machine_is_unexpected_and_an_update_is_not() {
        let before = sections(&[
            ("packages", package("gcc", "12")),
            ("toolchains", Item::named("cc").at("/usr/bin/cc")),
        ]);
        let after = sections(&[
            ("packages", package("gcc", "13")),
            ("packages", package("nmap", "7")),
            ("toolchains", Item::named("cc").at("/usr/bin/cc")),
            ("toolchains", Item::named("cc").at("/tmp/cc")),
            ("listening", Item::named("tcp 0.0.0.0:1")),
        ]);
        let found = codes_of(MachineRole::Build, &after, Some(&before), &[]);
        let unexpected = |what: &str| ("unexpected-software".to_owned(), what.to_owned());
        let mut expected = vec![unexpected("/tmp/cc"), unexpected("pkg:deb/debian/nmap@7?arch=amd64")];
        expected.sort();
        let mut found_sorted = found;
        found_sorted.sort();
        assert_eq!(found_sorted, expected);
        let allowed = ["nmap".to_owned(), "cc".to_owned()];
        assert!(codes_of(MachineRole::Sign, &after, Some(&before), &allowed).is_empty());
        assert!(
            codes_of(MachineRole::Developer, &after, Some(&before), &[]).is_empty(),
            "people try things out"
        );
        assert!(codes_of(MachineRole::Build, &after, None, &[]).is_empty(), "nothing was accepted");
    }

    #[test]
    fn another_root_certificate_by_the_same_name_is_new() {
        let root = |bytes: &[u8]| Item {
            digest: Some(evidence::Digest::of(bytes)),
            ..Item::named("corp").at("/usr/local/share/ca-certificates/corp.crt")
        };
        let (before, after) =
            (sections(&[("trust-roots", root(b"1"))]), sections(&[("trust-roots", root(b"2"))]));
        assert_eq!(codes_of(MachineRole::Sign, &after, Some(&before), &[]).len(), 1);
        assert_eq!(codes_of(MachineRole::Sign, &before, Some(&before), &[]).len(), 0);
    }

    #[test]
    fn credentials_belong_where_builds_and_signing_are() {
        let machine = sections(&[("credentials", Item::named("npm token").at("/home/anna/.npmrc"))]);
        let found = codes_of(MachineRole::Developer, &machine, None, &[]);
        assert_eq!(found, [("credential-misplaced".to_owned(), "/home/anna/.npmrc".to_owned())]);
        assert!(codes_of(MachineRole::Build, &machine, None, &[]).is_empty());
    }

    #[test]
    fn discontinued_software_is_found_by_whole_parts_of_its_version() {
        let found =
            |item: Item| codes_of(MachineRole::Developer, &sections(&[("packages", item)]), None, &[]).len();
        assert_eq!(found(package("python2.7", "2.7.18-13.2")), 1);
        assert_eq!(found(package("openssl", "1.1.1n-0+deb11u5")), 1);
        assert_eq!(found(package("openssl", "3.0.11-1~deb12u2")), 0);
        assert_eq!(found(package("nodejs", "16.20.2-1")), 1);
        assert_eq!(found(package("nodejs", "160.1")), 0);
        assert_eq!(found(Item::named("X_TRADER")), 1);
        let list = end_of_life("[[software]]\nnames = ['x']\nsince = '2999-01-01'\n").unwrap();
        assert!(list[0].is(&Item::named("x")));
        assert!(end_of_life("[[software]]\nnames = ['x']\n").is_err());
    }
}
