//! Bills of materials judged: whether one says what it must, and how the declared, the observed and the shipped one of a
//! release differ.

use std::collections::{BTreeMap, BTreeSet};

use evidence::bom::{Kind, Package};
use evidence::{Bom, BytePath, Finding, Subject, licence};

use crate::codes;

/// How well a bill does what a set of rules asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// One row for each rule.
    pub rules: Vec<Row>,
    /// 0 to 100: the mean of all rules, each by the part of packages that meet it.
    pub score: u32,
    /// A finding for each demand that is not met.
    pub findings: Vec<Finding>,
}

/// How far one rule is met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The set of rules: `ntia`, `bsi`, `quality`.
    pub set: &'static str,
    /// What is asked for.
    pub asks: &'static str,
    /// Packages, or documents, that have it.
    pub met: usize,
    /// Of so many.
    pub of: usize,
    /// Some that do not.
    pub examples: Vec<String>,
    /// Whether the set demands it; else it is good to have.
    pub demanded: bool,
}

/// The rules of a set that every package has to meet.
type Rule = (&'static str, &'static str, bool, fn(&Package) -> bool);

/// "The Minimum Elements For a Software Bill of Materials" (NTIA, 2021), section IV; BSI TR-03183-2, version 2, sections 5.2.2
/// to 5.2.4; and what makes a bill useful beyond them.
const OF_PACKAGES: &[Rule] = &[
    ("ntia", "component name", true, |package| !package.name.is_empty()),
    ("ntia", "version", true, |package| !package.version.is_empty()),
    ("ntia", "supplier name", true, |package| package.supplier.is_some()),
    ("ntia", "other unique identifier", true, |package| package.purl.is_some() || !package.cpes.is_empty()),
    ("bsi", "creator of the component", true, |package| package.supplier.is_some()),
    ("bsi", "distribution licences", true, |package| !package.licences.is_empty()),
    ("bsi", "SHA-512 of the component as deployed", true, |package| {
        package.hashes.iter().any(|hash| hash.algorithm == evidence::bom::Algorithm::Sha512)
    }),
    ("bsi", "file name or place", true, |package| !package.evidence.is_empty()),
    ("quality", "package URL", false, |package| package.purl.is_some()),
    ("quality", "licences are SPDX expressions", false, |package| {
        !package.licences.is_empty()
            && package.licences.iter().all(|text| licence::expression(text).is_some())
    }),
    ("quality", "any digest", false, |package| !package.hashes.is_empty()),
    ("quality", "evidence", false, |package| !package.evidence.is_empty()),
];

const EXAMPLES: usize = 3;

/// Checks a bill against all sets. Files and systems are no components that anybody supplies: they are not asked.
pub fn check(bom: &Bom) -> Checked {
    let asked: Vec<&Package> = bom
        .packages
        .iter()
        .filter(|package| !matches!(package.kind, Kind::File | Kind::OperatingSystem))
        .collect();
    let mut rules: Vec<Row> = OF_PACKAGES
        .iter()
        .map(|(set, asks, demanded, has)| {
            let lacking = || asked.iter().filter(|package| !has(package));
            Row {
                set,
                asks,
                met: asked.len() - lacking().count(),
                of: asked.len(),
                examples: lacking().take(EXAMPLES).map(|package| called(package)).collect(),
                demanded: *demanded,
            }
        })
        .collect();
    let document = |set, asks, met: bool, demanded| Row {
        set,
        asks,
        met: usize::from(met),
        of: 1,
        examples: Vec::new(),
        demanded,
    };
    let related = !bom.relations.is_empty() || !bom.direct.is_empty();
    rules.extend([
        document("ntia", "dependency relationships", related || asked.len() < 2, true),
        document("ntia", "author of the document", !bom.authors.is_empty() || !bom.tools.is_empty(), true),
        document("ntia", "timestamp", bom.made.is_some(), true),
        document("bsi", "creator of the document", !bom.authors.is_empty(), true),
        document("bsi", "what the document is about", !bom.subject.name.is_empty(), true),
        document("quality", "says whether it is complete", says_completeness(bom), false),
    ]);
    let part = |row: &Row| (row.met * 100).checked_div(row.of).unwrap_or(100);
    let score = rules.iter().map(part).sum::<usize>() / rules.len().max(1);
    let mut findings = Vec::new();
    for row in rules.iter().filter(|row| row.demanded && row.met < row.of) {
        let mut because = vec![format!("{}: {}: {} of {}", row.set, row.asks, row.met, row.of)];
        because.extend(row.examples.iter().map(|example| format!("not {example}")));
        findings.push(codes::SBOM_ELEMENT_MISSING.finding(subject(bom), because));
    }
    // A bill without a single package lists nothing that could lack anything.
    if asked.is_empty() {
        findings.push(codes::SBOM_ELEMENT_MISSING.finding(subject(bom), vec!["no package is listed".into()]));
    }
    Checked { rules, score: u32::try_from(score).unwrap_or(0), findings }
}

fn subject(bom: &Bom) -> Subject {
    Subject { path: Some(BytePath::from(bom.subject.name.as_ref())), digest: None }
}

fn says_completeness(bom: &Bom) -> bool {
    bom.properties.iter().any(|property| {
        matches!(property.name.as_ref(), "completeness" | "countersign:complete" | "countersign:completeness")
    })
}

fn called(package: &Package) -> String {
    match package.purl.as_deref() {
        Some(purl) => purl.to_owned(),
        None => format!("{} {}", package.full_name(), package.version).trim_end().to_owned(),
    }
}

/// The bills of one release. What is not known is not compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bills<'a> {
    /// What lock files and manifests declare.
    pub declared: Option<&'a Bom>,
    /// What the recorded build was seen to read.
    pub observed: Option<&'a Bom>,
    /// What is in the artifact.
    pub shipped: Option<&'a Bom>,
}

/// A package in all bills: type, name space and name, with the versions.
type Known<'a> = BTreeMap<String, (BTreeSet<String>, &'a Package)>;

/// Compares the bills of a release.
///
/// A package is the same by its purl without qualifiers. What a program carries of which no build knows is critical: it
/// came from somewhere that nobody watched.
pub fn differences(bills: &Bills) -> Vec<Finding> {
    let (declared, observed, shipped) =
        (bills.declared.map(known), bills.observed.map(known), bills.shipped.map(known));
    let mut findings = Vec::new();
    if let (Some(shipped), Some(observed)) = (&shipped, &observed) {
        missing(shipped, observed, &codes::SHIPPED_NOT_RECORDED, "the record", &mut findings);
    }
    if let (Some(observed), Some(declared)) = (&observed, &declared) {
        // What the system brings (compilers, libraries) is not what lock files declare.
        let of_languages: Known = observed
            .iter()
            .filter(|(key, _)| ecosystems(declared).iter().any(|kind| key.starts_with(kind.as_str())))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        missing(&of_languages, declared, &codes::USED_NOT_DECLARED, "the declaration", &mut findings);
        missing(declared, observed, &codes::DECLARED_NOT_USED, "the record", &mut findings);
    }
    findings
}

/// The beginnings of the keys of all ecosystems in a bill.
fn ecosystems(known: &Known) -> BTreeSet<String> {
    known.keys().filter_map(|key| Some(format!("{}/", key.split('/').next()?))).collect()
}

fn missing(list: &Known, other: &Known, code: &codes::Code, place: &str, findings: &mut Vec<Finding>) {
    for (key, (versions, package)) in list {
        let there = other.get(key).map(|(versions, _)| versions.clone()).unwrap_or_default();
        for version in versions {
            if there.contains(version) || (version.is_empty() && !there.is_empty()) || there.contains("") {
                continue;
            }
            let mut because = vec![format!("{key}@{version}")];
            if !there.is_empty() {
                let other: Vec<&str> = there.iter().map(String::as_str).collect();
                because.push(format!("{place} has {}", other.join(", ")));
            }
            because.extend(package.evidence.first().map(|evidence| format!("found in {}", evidence.path)));
            let path = BytePath::from(called(package));
            findings.push(code.finding(Subject { path: Some(path), digest: None }, because));
        }
    }
}

/// The packages of a bill that have a purl, and are no part of a toolchain.
fn known(bom: &Bom) -> Known<'_> {
    let mut known: Known = BTreeMap::new();
    for package in bom.packages.iter().filter(|package| package.kind != Kind::Platform) {
        let Some(purl) =
            package.purl.as_deref().and_then(|text| evidence::purl::Purl::parse_lenient(text).ok())
        else {
            continue;
        };
        // The release itself is not a dependency of itself.
        if package.properties.iter().any(|property| property.name == "own")
            || package.kind == Kind::Application
        {
            continue;
        }
        let key = purl.identity().trim_start_matches("pkg:").to_owned();
        let entry = known.entry(key).or_insert_with(|| (BTreeSet::new(), package));
        entry.0.insert(purl.version().unwrap_or_default().to_owned());
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(purl: &str) -> Package {
        Package { purl: Some(purl.into()), name: "n".into(), ..Package::default() }
    }

    fn bom(purls: &[&str]) -> Bom {
        Bom { packages: purls.iter().map(|purl| package(purl)).collect(), ..Bom::default() }
    }

    fn codes_of(findings: &[Finding]) -> Vec<(&str, String)> {
        let row =
            |finding: &'_ Finding| finding.subject.path.as_ref().map(ToString::to_string).unwrap_or_default();
        findings.iter().map(|finding| (finding.code.as_str(), row(finding))).collect()
    }

    #[test]
    fn what_is_shipped_and_not_recorded_is_critical() {
        let observed = bom(&["pkg:cargo/a@1.0.0", "pkg:deb/debian/gcc@12?arch=amd64"]);
        let good = bom(&["pkg:cargo/a@1.0.0"]);
        let bad = bom(&["pkg:cargo/a@1.0.0", "pkg:cargo/b@2.0.0"]);
        let bills = |shipped| Bills { observed: Some(&observed), shipped: Some(shipped), declared: None };
        assert_eq!(differences(&bills(&good)), []);
        let findings = differences(&bills(&bad));
        assert_eq!(codes_of(&findings), [("shipped-not-recorded", "pkg:cargo/b@2.0.0".to_owned())]);
        assert_eq!(findings[0].severity, evidence::Severity::Critical);
        let other = bom(&["pkg:cargo/a@1.0.1"]);
        assert_eq!(codes_of(&differences(&bills(&other)))[0].0, "shipped-not-recorded");
    }

    #[test]
    fn declared_and_used_are_compared_within_the_languages_that_are_declared() {
        let declared = bom(&["pkg:cargo/a@1.0.0", "pkg:cargo/unused@1.0.0"]);
        let observed = bom(&["pkg:cargo/a@1.0.0", "pkg:cargo/hidden@3.0.0", "pkg:deb/debian/gcc@12"]);
        let bills = Bills { declared: Some(&declared), observed: Some(&observed), shipped: None };
        assert_eq!(
            codes_of(&differences(&bills)),
            [
                ("used-not-declared", "pkg:cargo/hidden@3.0.0".to_owned()),
                ("declared-not-used", "pkg:cargo/unused@1.0.0".to_owned())
            ]
        );
        assert_eq!(differences(&Bills { declared: Some(&declared), ..Bills::default() }), []);
    }

    #[test]
    fn a_bill_says_what_it_lacks() {
        let mut full = bom(&["pkg:npm/a@1"]);
        full.made = Some("2026-01-01T00:00:00Z".into());
        (full.tools, full.authors) = (vec!["t".into()], vec!["A".into()]);
        full.subject.name = "app".into();
        let one = &mut full.packages[0];
        (one.version, one.supplier) = ("1".into(), Some("S".into()));
        one.licences.push("MIT".into());
        one.hashes.extend(evidence::bom::Hash::new(evidence::bom::Algorithm::Sha512, &"a".repeat(128)));
        one.evidence.push(evidence::bom::Evidence { path: std::sync::Arc::new("x".into()), by: "t".into() });
        let checked = check(&full);
        assert_eq!(checked.findings, []);
        assert!(checked.score > 90, "{checked:?}");
        full.packages[0].supplier = None;
        let checked = check(&full);
        assert_eq!(checked.findings.len(), 2, "NTIA and BSI both ask for it");
        assert!(checked.findings[0].because[1].contains("pkg:npm/a@1"));
        assert_eq!(check(&Bom::default()).findings.last().unwrap().because, ["no package is listed"]);
    }
}
