//! The order of what matters, each place with the inputs that led to it.

use std::collections::BTreeSet;

use evidence::{BytePath, Digest, Finding, Severity, Subject};
use serde::{Deserialize, Serialize};

use super::grade::Grade;
use crate::codes;

/// Where a package was used. Ordered: the last weighs most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// A document names it; nobody knows what that is of.
    Listed,
    /// It is part of a product.
    Shipped,
    /// A recorded build used it.
    Build,
}

/// A package that was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Its purl, or the path of an artifact.
    pub package: String,
    /// How it was used.
    pub grade: Grade,
    /// Where.
    pub used: Use,
    /// What it is part of: a record, a document, a file.
    pub within: String,
    /// What that is of, whatever its release: a product. What is approved of one is not approved of another.
    pub product: String,
    /// What showed it.
    pub because: String,
    /// The file.
    pub path: Option<BytePath>,
    /// The file's bytes.
    pub digest: Option<Digest>,
}

/// What is known of exploitation.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Exploitation {
    /// Listed as exploited; the day, if it is told (days since 1970).
    pub since: Option<u32>,
    /// Used by ransomware.
    pub ransomware: bool,
    /// EPSS.
    pub epss: Option<f32>,
    /// EPSS's percentile.
    pub percentile: Option<f32>,
    /// SSVC: exploitation is active.
    pub active: bool,
    /// SSVC: an attack can be automated.
    pub automatable: bool,
}

/// How sure it is that the version is affected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Certainty {
    /// It is.
    Affected,
    /// It is, though the record lists versions and this is not one of them.
    Disputed,
    /// Nobody can tell, and why.
    Doubtful(&'static str),
}

/// An advisory, as far as it matters here.
#[derive(Clone, PartialEq, Debug)]
pub struct Advisory {
    /// Its id.
    pub id: String,
    /// Other ids of the same thing.
    pub aliases: BTreeSet<String>,
    /// One line.
    pub summary: String,
    /// The package itself is an attack.
    pub malicious: bool,
    /// CVSS: the score in tenths, and the vector.
    pub score: Option<(u8, String)>,
    /// What the database says in words: 1 low … 4 critical; 0 nothing.
    pub severity: u8,
    /// What is known of exploitation.
    pub exploitation: Exploitation,
    /// How sure it is.
    pub certainty: Certainty,
    /// The artifact's digest is named, not the package.
    pub by_digest: bool,
}

/// How urgent it is. Ordered: the first is the most urgent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// A malicious package ran on a build system.
    MaliciousExecuted,
    /// A malicious package, anywhere.
    Malicious,
    /// Known to be exploited.
    Exploited,
    /// Likely to be exploited: SSVC says active, or EPSS at least 0.1 or above 95 % of all.
    Likely,
    /// Scored by its CVSS vector.
    Scored,
    /// Neither score nor sign of exploitation.
    Unscored,
    /// Nobody can tell whether it is affected.
    Undetermined,
}

impl Priority {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MaliciousExecuted => "malicious-executed",
            Self::Malicious => "malicious",
            Self::Exploited => "exploited",
            Self::Likely => "likely",
            Self::Scored => "scored",
            Self::Unscored => "unscored",
            Self::Undetermined => "undetermined",
        }
    }
}

/// One thing to look at: a package and what all advisories about one fault say of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Ranked {
    /// How urgent.
    pub priority: Priority,
    /// Everything that led there, in the order in which it counts.
    pub inputs: Vec<String>,
    /// The package.
    pub sighting: Sighting,
    /// The advisory by which it is called.
    pub advisory: Advisory,
    /// What it comes to.
    pub finding: Finding,
}

impl Ranked {
    /// Whether two people have to answer for it: an attack, or what is known to be exploited.
    pub fn takes_two(&self) -> bool {
        self.advisory.malicious || self.advisory.exploitation.since.is_some()
    }
}

/// EPSS from which on exploitation is likely.
const EPSS_LIKELY: f32 = 0.1;
const PERCENTILE_LIKELY: f32 = 0.95;

/// Ranks sightings, each with the advisories that speak of it. Advisories that share an id are about one thing.
pub fn rank(sightings: Vec<(Sighting, Vec<Advisory>)>) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = Vec::new();
    for (sighting, advisories) in sightings {
        ranked.extend(joined(advisories).into_iter().map(|advisory| one(sighting.clone(), advisory)));
    }
    ranked.sort_by_key(order);
    ranked
}

/// What decides, first to last.
fn order(ranked: &Ranked) -> impl Ord + use<> {
    let advisory = &ranked.advisory;
    let epss = advisory.exploitation.epss.map_or(0, |epss| (epss * 1e6) as u32);
    let score = advisory.score.as_ref().map_or(0, |(tenths, _)| *tenths).max(tenths_of(advisory.severity));
    (
        ranked.priority,
        std::cmp::Reverse((advisory.exploitation.ransomware, epss.checked_div(100_000), score)),
        std::cmp::Reverse((ranked.sighting.used, ranked.sighting.grade, epss)),
        (ranked.sighting.package.clone(), advisory.id.clone(), ranked.sighting.within.clone()),
    )
}

/// What a word of a database comes to where a score is asked for: the middle of its range in CVSS.
fn tenths_of(word: u8) -> u8 {
    match word {
        1 => 20,
        2 => 55,
        3 => 80,
        4 => 95,
        _ => 0,
    }
}

/// Puts advisories about one thing together: those that name each other. The worst that any says counts.
fn joined(advisories: Vec<Advisory>) -> Vec<Advisory> {
    let mut groups: Vec<Advisory> = Vec::new();
    for advisory in advisories {
        let names = |one: &Advisory| -> BTreeSet<String> {
            one.aliases.iter().cloned().chain([one.id.clone()]).collect()
        };
        let mut merged = advisory;
        let ours = names(&merged);
        let (same, other): (Vec<Advisory>, Vec<Advisory>) =
            groups.into_iter().partition(|group| !names(group).is_disjoint(&ours));
        groups = other;
        for group in same {
            merged = merge(group, merged);
        }
        groups.push(merged);
    }
    groups
}

fn merge(mut one: Advisory, other: Advisory) -> Advisory {
    one.aliases.extend(other.aliases);
    // The name of an attack says more than that of a weakness.
    let place =
        |id: &str| ["MAL-", "GHSA-", "CVE-"].iter().position(|start| id.starts_with(start)).unwrap_or(3);
    let (named, also) =
        if place(&other.id) < place(&one.id) { (other.id, one.id) } else { (one.id, other.id) };
    one.id = named;
    one.aliases.insert(also);
    one.aliases.remove(&one.id);
    if one.summary.is_empty() {
        one.summary = other.summary;
    }
    one.malicious |= other.malicious;
    one.by_digest |= other.by_digest;
    one.severity = one.severity.max(other.severity);
    one.certainty = one.certainty.min(other.certainty);
    one.score = one.score.max(other.score);
    let (a, b) = (one.exploitation, other.exploitation);
    one.exploitation = Exploitation {
        since: a.since.or(b.since),
        ransomware: a.ransomware || b.ransomware,
        epss: a.epss.max_of(b.epss),
        percentile: a.percentile.max_of(b.percentile),
        active: a.active || b.active,
        automatable: a.automatable || b.automatable,
    };
    one
}

trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}

impl MaxOf for Option<f32> {
    fn max_of(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        }
    }
}

fn one(sighting: Sighting, advisory: Advisory) -> Ranked {
    let ran = sighting.grade >= Grade::Loaded && sighting.used == Use::Build;
    let exploitation = advisory.exploitation;
    let likely = exploitation.active
        || exploitation.epss.is_some_and(|epss| epss >= EPSS_LIKELY)
        || exploitation.percentile.is_some_and(|percentile| percentile >= PERCENTILE_LIKELY);
    let priority = match advisory.certainty {
        Certainty::Doubtful(_) => Priority::Undetermined,
        _ if advisory.malicious && ran => Priority::MaliciousExecuted,
        _ if advisory.malicious => Priority::Malicious,
        _ if exploitation.since.is_some() => Priority::Exploited,
        _ if likely => Priority::Likely,
        _ if advisory.score.is_some() || advisory.severity > 0 => Priority::Scored,
        _ => Priority::Unscored,
    };
    let inputs = inputs(&sighting, &advisory);
    let finding = finding(priority, &sighting, &advisory, &inputs);
    Ranked { priority, inputs, sighting, advisory, finding }
}

fn inputs(sighting: &Sighting, advisory: &Advisory) -> Vec<String> {
    let mut inputs = Vec::new();
    let what = if advisory.malicious { "malicious package" } else { "vulnerability" };
    let names: Vec<&str> =
        std::iter::once(&advisory.id).chain(&advisory.aliases).map(String::as_str).take(6).collect();
    inputs.push(format!("{what} {}: {}", names.join(", "), advisory.summary));
    if advisory.by_digest {
        inputs.push("its bytes are named by their digest".to_owned());
    }
    match advisory.certainty {
        Certainty::Affected => {}
        Certainty::Disputed => {
            inputs.push(
                "the advisory lists versions, and this is not one of them, though its range is all"
                    .to_owned(),
            );
        }
        Certainty::Doubtful(why) => inputs.push(format!("undetermined: {why}")),
    }
    let exploitation = advisory.exploitation;
    if let Some(day) = exploitation.since {
        let since = if day == 0 { String::new() } else { format!(" since {}", date(day)) };
        let ransomware = if exploitation.ransomware { ", by ransomware too" } else { "" };
        inputs.push(format!("known to be exploited{since}{ransomware}"));
    }
    if exploitation.active || exploitation.automatable {
        let words = [(exploitation.active, "exploitation active"), (exploitation.automatable, "automatable")];
        let said: Vec<&str> = words.iter().filter(|(said, _)| *said).map(|(_, word)| *word).collect();
        inputs.push(format!("SSVC: {}", said.join(", ")));
    }
    if let Some(epss) = exploitation.epss {
        let above = exploitation
            .percentile
            .map_or(String::new(), |part| format!(", above {:.1} % of all", part * 100.0));
        inputs.push(format!("EPSS {epss:.3}{above}"));
    }
    if let Some((tenths, vector)) = &advisory.score {
        inputs.push(format!("CVSS {}.{} ({vector})", tenths / 10, tenths % 10));
    } else if let Some(word) = ["", "low", "moderate", "high", "critical"]
        .get(usize::from(advisory.severity))
        .filter(|word| !word.is_empty())
    {
        inputs.push(format!("severity {word}, as the database says; there is no vector"));
    }
    inputs.push(format!("{} in {}: {}", sighting.grade.word(), sighting.within, sighting.because));
    inputs
}

fn date(day: u32) -> String {
    let text = evidence::Timestamp::from_unix(i64::from(day) * 86_400).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn finding(priority: Priority, sighting: &Sighting, advisory: &Advisory, inputs: &[String]) -> Finding {
    let code = match priority {
        Priority::MaliciousExecuted => &codes::MALICIOUS_PACKAGE_EXECUTED,
        Priority::Malicious if advisory.by_digest => &codes::MALICIOUS_ARTIFACT,
        Priority::Malicious => &codes::MALICIOUS_PACKAGE,
        Priority::Exploited => &codes::EXPLOITED_PACKAGE,
        Priority::Likely | Priority::Scored | Priority::Unscored => &codes::VULNERABLE_PACKAGE,
        Priority::Undetermined => &codes::ADVISORY_UNDETERMINED,
    };
    // The subject is the package and the bytes that were seen: another version or other bytes are another finding.
    let subject = Subject { path: Some(sighting.package.as_str().into()), digest: sighting.digest };
    // Only what does not change from day to day and from build to build: a score of tomorrow must not make another
    // finding of it, and neither must the next record of the same bytes.
    let what = if advisory.malicious { "malicious package" } else { "vulnerability" };
    let place = if sighting.product.is_empty() { "what was named" } else { &sighting.product };
    let because = vec![format!("{what} {}", advisory.id), format!("{} in {place}", sighting.grade.word())];
    let mut finding = code.finding(subject, because);
    // Behind the name of the finding: what shows it this time.
    finding.because.extend(inputs.last().cloned());
    finding.title = format!("{} is {}: {}", sighting.package, said(priority), advisory.id);
    if std::ptr::eq(code, &codes::VULNERABLE_PACKAGE) {
        finding.severity = severity(advisory);
    }
    finding
}

fn said(priority: Priority) -> &'static str {
    match priority {
        Priority::MaliciousExecuted => "malicious and ran in a build",
        Priority::Malicious => "malicious",
        Priority::Exploited => "affected and exploited",
        Priority::Likely => "affected and likely to be exploited",
        Priority::Scored | Priority::Unscored => "affected",
        Priority::Undetermined => "perhaps affected",
    }
}

/// By the vector; without one, by the database's word; without that, nobody knows, which is not low.
fn severity(advisory: &Advisory) -> Severity {
    let by_vector = advisory.score.as_ref().map(|(tenths, _)| match tenths {
        90.. => Severity::Critical,
        70.. => Severity::High,
        40.. => Severity::Medium,
        1.. => Severity::Low,
        0 => Severity::Info,
    });
    by_vector.unwrap_or(match advisory.severity {
        4 => Severity::Critical,
        1 => Severity::Low,
        2 => Severity::Medium,
        _ => Severity::High,
    })
}
