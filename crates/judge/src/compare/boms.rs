//! Two bills of materials: components added, removed, updated; other bytes, supplier or licence under the same version;
//! what depends on what. The same questions as for artifacts, one level up.

use std::collections::{BTreeMap, BTreeSet};

use evidence::bom::{Kind, Package};
use evidence::{Bom, Digest, Finding, Problem, Subject};

use super::plausible::EXPECTED;
use super::{Area, Change, Comparison, Difference, SourceChanged, Status, Verdict};
use crate::codes::{self, Code};

/// Compares two bills of materials.
pub fn boms(old: &Bom, new: &Bom, source: SourceChanged, problems: Vec<Problem>) -> Comparison {
    let standing = Standing::of(old, new, source);
    let mut rows = Rows { standing: &standing, differences: Vec::new(), findings: Vec::new() };
    let (before, after) = (by_identity(old), by_identity(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let none = BTreeMap::new();
    for name in names {
        rows.component(name, before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
    }
    rows.relations(old, new);
    let Rows { differences, findings, .. } = rows;
    let anything = !differences.is_empty();
    let mut comparison = Comparison::conclude(differences, findings, problems);
    if standing.is_open() && anything && comparison.verdict == Verdict::Explained {
        comparison.verdict = Verdict::Undetermined;
    }
    comparison
}

/// What is known about the two as a whole.
enum Standing {
    /// The source is said to have changed.
    Changed,
    /// It is said to be the same, or both are bills of one release, as the text says.
    Same(String),
    /// They are bills of two releases.
    Releases(String, String),
    /// Nothing.
    Open,
}

impl Standing {
    fn of(old: &Bom, new: &Bom, source: SourceChanged) -> Self {
        let (before, after) = (&old.subject.version, &new.subject.version);
        match source {
            SourceChanged::Yes => Self::Changed,
            SourceChanged::No => Self::Same("the source is said to be the same".into()),
            SourceChanged::Unknown if before.is_empty() || after.is_empty() => Self::Open,
            SourceChanged::Unknown if before == after => {
                Self::Same(format!("both say that they are of release {after}"))
            }
            SourceChanged::Unknown => Self::Releases(before.to_string(), after.to_string()),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

/// Versions of one component.
type Versions<'a> = BTreeMap<&'a str, &'a Package>;

fn by_identity(bom: &Bom) -> BTreeMap<String, Versions<'_>> {
    let mut map: BTreeMap<String, Versions> = BTreeMap::new();
    for package in &bom.packages {
        map.entry(identity(package)).or_default().insert(&package.version, package);
    }
    map
}

/// What stays the same when a component is updated: the purl without version, checksums and addresses.
fn identity(package: &Package) -> String {
    let Some(purl) = package.purl.as_deref() else {
        return format!("{} {}", package.kind.word(), package.full_name());
    };
    let (bare, qualifiers) = purl.split_once('?').unwrap_or((purl, ""));
    // The version follows the last `@`; an `@` of a scope is percent-encoded in a canonical purl.
    let name = bare.rfind('@').map_or(bare, |at| &bare[..at]);
    let kept: Vec<&str> = qualifiers
        .split(['&', '#'])
        .filter(|pair| ["arch=", "classifier=", "type="].iter().any(|key| pair.starts_with(key)))
        .collect();
    if kept.is_empty() { name.to_owned() } else { format!("{name}?{}", kept.join("&")) }
}

struct Rows<'a> {
    standing: &'a Standing,
    differences: Vec<Difference>,
    findings: Vec<Finding>,
}

impl Rows<'_> {
    fn component(&mut self, name: &str, old: &Versions, new: &Versions) {
        for (version, after) in new {
            if let Some(before) = old.get(version) {
                self.same_version(name, version, before, after);
            }
        }
        let left: Vec<_> = old.iter().filter(|(version, _)| !new.contains_key(*version)).collect();
        let come: Vec<_> = new.iter().filter(|(version, _)| !old.contains_key(*version)).collect();
        // As many as there are on both sides are updates; what is left over came or went.
        for place in 0..left.len().max(come.len()) {
            let (before, after) = (left.get(place), come.get(place));
            let change = match (before, after) {
                (Some(_), Some(_)) => Change::Changed,
                (None, _) => Change::Added,
                _ => Change::Removed,
            };
            let says = |one: Option<&(&&str, &&Package)>| one.map(|(version, _)| (**version).to_owned());
            let package = after.or(before).map(|(_, package)| **package);
            self.row(name, change, says(before), says(after), package);
            if let (Some((_, before)), Some((_, after))) = (before, after) {
                self.terms(name, before, after);
            }
        }
    }

    /// A version is published once: its bytes do not change.
    fn same_version(&mut self, name: &str, version: &str, old: &Package, new: &Package) {
        let other = new.hashes.iter().find_map(|now| {
            let then: Vec<_> = old.hashes.iter().filter(|then| then.algorithm == now.algorithm).collect();
            let differs = !then.is_empty()
                && !then.iter().any(|then| new.hashes.contains(then))
                && !old.hashes.contains(now);
            differs.then(|| (then[0], now))
        });
        if let Some((then, now)) = other {
            let written =
                |hash: &evidence::bom::Hash| Some(format!("{}:{}", hash.algorithm.spdx3(), hash.hex()));
            if new.kind == Kind::File || version.is_empty() {
                self.row(name, Change::Changed, written(then), written(now), Some(new));
            } else {
                let because = vec![
                    format!("version {version} in both"),
                    format!("{} {} → {}", now.algorithm.cyclonedx(), then.hex(), now.hex()),
                ];
                self.finding(&codes::COMPONENT_HASH_CHANGED, name, Some(new), because);
                self.push(name, Change::Changed, written(then), written(now), Status::Drift, Vec::new());
            }
        }
        self.terms(name, old, new);
    }

    /// Supplier and licence: whose it is and under which terms.
    fn terms(&mut self, name: &str, old: &Package, new: &Package) {
        if let (Some(then), Some(now)) = (&old.supplier, &new.supplier)
            && then != now
        {
            let because = vec![format!("`{then}` → `{now}`")];
            self.finding(&codes::COMPONENT_SUPPLIER_CHANGED, name, Some(new), because);
        }
        if !old.licences.is_empty() && !new.licences.is_empty() && old.licences != new.licences {
            let because = vec![format!("`{}` → `{}`", old.licences.join(", "), new.licences.join(", "))];
            self.finding(&codes::COMPONENT_LICENCE_CHANGED, name, Some(new), because);
        }
    }

    fn row(
        &mut self,
        name: &str,
        change: Change,
        old: Option<String>,
        new: Option<String>,
        package: Option<&Package>,
    ) {
        let (status, explained_by) = match self.standing {
            Standing::Changed => (Status::Explained, vec!["the source is said to have changed".to_owned()]),
            Standing::Releases(from, to) => {
                (Status::Expected, vec![format!("release {from} → {to}: {EXPECTED}")])
            }
            Standing::Open => (Status::Noted, Vec::new()),
            Standing::Same(why) => {
                let says = |version: &Option<String>| version.clone().unwrap_or_else(|| "absent".into());
                let because = vec![why.clone(), format!("{} → {}", says(&old), says(&new))];
                self.finding(&codes::COMPONENT_DRIFT, name, package, because);
                (Status::Drift, Vec::new())
            }
        };
        self.push(name, change, old, new, status, explained_by);
    }

    fn push(
        &mut self,
        name: &str,
        change: Change,
        old: Option<String>,
        new: Option<String>,
        status: Status,
        explained_by: Vec<String>,
    ) {
        let path = name.to_owned();
        self.differences.push(Difference {
            area: Area::Dependency,
            path,
            change,
            old,
            new,
            status,
            explained_by,
        });
    }

    fn finding(&mut self, code: &Code, name: &str, package: Option<&Package>, because: Vec<String>) {
        let sha256 = package.and_then(|package| {
            let mut hashes = package.hashes.iter();
            hashes.find(|hash| hash.algorithm == evidence::bom::Algorithm::Sha256)
        });
        let digest = sha256.and_then(|hash| format!("sha256:{}", hash.hex()).parse::<Digest>().ok());
        self.findings.push(code.finding(Subject { path: Some(name.into()), digest }, because));
    }

    /// What depends on what, where both ends are in both bills: the rest is told by what came and went.
    fn relations(&mut self, old: &Bom, new: &Bom) {
        let (before, after) = (edges(old), edges(new));
        let known = |bom: &Bom| -> BTreeSet<String> {
            bom.packages.iter().map(identity).chain([String::new()]).collect()
        };
        let (then, now) = (known(old), known(new));
        let both = |name: &String| then.contains(name) && now.contains(name);
        // A bill that says nothing of relations does not say that there are none.
        if before.is_empty() || after.is_empty() {
            return;
        }
        for (edges, others, change) in [(&after, &before, Change::Added), (&before, &after, Change::Removed)]
        {
            for (from, to) in edges.difference(others).filter(|(from, to)| both(from) && both(to)) {
                let from = if from.is_empty() { "the product" } else { from };
                let status =
                    if matches!(self.standing, Standing::Same(_)) { Status::Drift } else { Status::Noted };
                self.push(&format!("{from} → {to}"), change, None, None, status, Vec::new());
            }
        }
    }
}

fn edges(bom: &Bom) -> BTreeSet<(String, String)> {
    let name = |place: &u32| bom.packages.get(*place as usize).map(identity);
    let direct = bom.direct.iter().filter_map(|to| Some((String::new(), name(to)?)));
    let others = bom.relations.iter().filter_map(|(from, to)| Some((name(from)?, name(to)?)));
    direct.chain(others).filter(|(from, to)| from != to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::bom::{Algorithm, Hash};

    fn package(purl: &str, digit: char) -> Package {
        let version = purl.rsplit('@').next().unwrap();
        Package {
            purl: Some(purl.into()),
            version: version.into(),
            hashes: vec![Hash::new(Algorithm::Sha256, &digit.to_string().repeat(64)).unwrap()],
            supplier: Some("A".into()),
            licences: vec!["MIT".into()],
            ..Package::default()
        }
    }

    fn bom(release: &str, packages: &[(&str, char)]) -> Bom {
        let mut bom = Bom {
            packages: packages.iter().map(|(purl, digit)| package(purl, *digit)).collect(),
            ..Bom::default()
        };
        bom.subject.version = release.into();
        bom.arrange();
        bom
    }

    fn compared(old: &Bom, new: &Bom) -> Comparison {
        boms(old, new, SourceChanged::Unknown, Vec::new())
    }

    fn codes_of(comparison: &Comparison) -> Vec<&str> {
        comparison.findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn an_update_between_releases_is_expected_and_the_same_is_the_same() {
        let old = bom("1", &[("pkg:npm/a@1", '1'), ("pkg:npm/b@1", '2')]);
        let new = bom("2", &[("pkg:npm/a@2", '3'), ("pkg:npm/c@1", '4')]);
        assert_eq!(compared(&old, &old).verdict, Verdict::Same);
        let result = compared(&old, &new);
        assert_eq!((result.verdict, codes_of(&result)), (Verdict::Explained, vec![]));
        let rows: Vec<_> =
            result.differences.iter().map(|row| (row.path.as_str(), row.change, row.status)).collect();
        assert_eq!(
            rows,
            [
                ("pkg:npm/a", Change::Changed, Status::Expected),
                ("pkg:npm/b", Change::Removed, Status::Expected),
                ("pkg:npm/c", Change::Added, Status::Expected),
            ]
        );
    }

    #[test]
    fn other_bytes_under_the_same_version_are_always_high() {
        let old = bom("1", &[("pkg:npm/a@1", '1')]);
        let new = bom("2", &[("pkg:npm/a@1", '2')]);
        for source in [SourceChanged::Unknown, SourceChanged::Yes, SourceChanged::No] {
            let result = boms(&old, &new, source, Vec::new());
            assert_eq!((result.verdict, codes_of(&result)), (Verdict::Drift, vec!["component-hash-changed"]));
            assert!(result.findings[0].severity >= evidence::Severity::High);
        }
        let mut more = old.clone();
        more.packages[0].hashes.push(Hash::new(Algorithm::Sha1, &"a".repeat(40)).unwrap());
        assert_eq!(
            codes_of(&compared(&old, &more)),
            Vec::<&str>::new(),
            "another algorithm is no other content"
        );
    }

    #[test]
    fn a_file_without_version_may_change_between_releases() {
        let file = |digit: char| {
            let mut bom = bom("1", &[]);
            bom.subject.version = digit.to_string().into();
            let mut file = package("x@", digit);
            (file.purl, file.kind, file.name, file.version) = (None, Kind::File, "bin/x".into(), "".into());
            bom.packages = vec![file];
            bom
        };
        assert_eq!(codes_of(&compared(&file('1'), &file('2'))), Vec::<&str>::new());
    }

    #[test]
    fn components_of_one_release_do_not_differ() {
        let old = bom("1", &[("pkg:npm/a@1", '1')]);
        let new = bom("1", &[("pkg:npm/a@1", '1'), ("pkg:npm/evil@1", '6')]);
        let result = compared(&old, &new);
        assert_eq!((result.verdict, codes_of(&result)), (Verdict::Drift, vec!["component-drift"]));
        let open = boms(&bom("", &[("pkg:npm/a@1", '1')]), &new, SourceChanged::Unknown, Vec::new());
        assert_eq!((open.verdict, codes_of(&open)), (Verdict::Undetermined, vec![]));
        assert_eq!(boms(&old, &new, SourceChanged::Yes, Vec::new()).verdict, Verdict::Explained);
    }

    #[test]
    fn supplier_and_licence_are_watched() {
        let old = bom("1", &[("pkg:npm/a@1", '1')]);
        let mut new = bom("2", &[("pkg:npm/a@2", '2')]);
        new.packages[0].supplier = Some("B".into());
        new.packages[0].licences = vec!["GPL-3.0-only".into()];
        assert_eq!(
            codes_of(&compared(&old, &new)),
            ["component-supplier-changed", "component-licence-changed"]
        );
        new.packages[0].supplier = None;
        new.packages[0].licences.clear();
        assert_eq!(codes_of(&compared(&old, &new)), Vec::<&str>::new(), "not to say it is not to change it");
    }

    #[test]
    fn relations_are_compared_where_both_ends_are_known() {
        let packages = [("pkg:npm/a@1", '1'), ("pkg:npm/b@1", '2')];
        let (mut old, mut new) = (bom("1", &packages), bom("2", &packages));
        (old.direct, new.direct) = (vec![0], vec![0, 1]);
        new.relations = vec![(0, 1)];
        let result = compared(&old, &new);
        let rows: Vec<_> = result.differences.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(rows, ["pkg:npm/a → pkg:npm/b", "the product → pkg:npm/b"]);
        old.direct.clear();
        assert!(compared(&old, &new).differences.is_empty(), "a bill without relations says nothing of them");
    }
}
