//! Members of two inspected artifacts, paired and judged; and comparison where there is no record.

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::Contrast;
use evidence::{BytePath, Digest, Node, Severity, Tree};

use super::names::without_versions;
use super::plausible::{EXPECTED, is_code, one_release, releases_of};
use super::signals::{Around, suspicions};
use super::{Area, Change, Comparison, Difference, Status, causes, executables, pairing, written};
use crate::anomalies::{anomalies, subject};
use crate::codes::{self, Code};

/// What the caller knows about the source of two artifacts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceChanged {
    /// It is the same: every difference is drift.
    No,
    /// It changed: what differs may come from that.
    Yes,
    /// Not known.
    Unknown,
}

/// One difference between paired members, not yet explained.
pub(super) struct MemberDifference<'a> {
    /// Path in the tree where it stands (the new one, if it is there).
    pub(super) path: BytePath,
    /// The member before.
    pub(super) old: Option<&'a Node>,
    /// The member now.
    pub(super) new: Option<&'a Node>,
    /// Whether the difference is only in a container's own bytes: all members are equal.
    pub(super) container_only: bool,
}

impl MemberDifference<'_> {
    pub(super) fn change(&self) -> Change {
        match (self.old, self.new) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        }
    }

    pub(super) fn difference(&self, area: Area, status: Status, explained_by: Vec<String>) -> Difference {
        Difference {
            area,
            path: self.path.to_string(),
            change: self.change(),
            old: written(self.old.and_then(|node| node.digest)),
            new: written(self.new.and_then(|node| node.digest)),
            status,
            explained_by,
        }
    }

    pub(super) fn code(&self) -> &'static Code {
        match self.change() {
            Change::Added => &codes::UNEXPLAINED_MEMBER,
            Change::Removed => &codes::UNEXPLAINED_MEMBER_REMOVAL,
            Change::Changed => &codes::UNEXPLAINED_MEMBER_CHANGE,
        }
    }

    /// Says in words what is different, for a finding.
    pub(super) fn notes(&self) -> Vec<String> {
        match (self.old, self.new) {
            (Some(old), Some(new)) => {
                let mut notes = vec![format!("{} bytes → {} bytes", old.size, new.size)];
                notes.extend(executables::describe(old, new));
                notes
            }
            (None, Some(new)) => vec![format!("{} of {} bytes", new.format, new.size)],
            (Some(old), None) => vec![format!("was {} of {} bytes", old.format, old.size)],
            (None, None) => Vec::new(),
        }
    }

    /// Tells whether both hold the same bytes, so that only rights or the like differ.
    fn is_of_rights(&self) -> bool {
        self.old.zip(self.new).is_some_and(|(old, new)| old.digest.is_some() && old.digest == new.digest)
    }

    /// Tells whether the members, each judged by itself, account for this difference.
    pub(super) fn is_spoken_for(&self) -> bool {
        let opened = |node: Option<&Node>| node.is_none_or(|node| !node.members.is_empty());
        opened(self.old) && opened(self.new)
    }

    /// Judges the container's own bytes when only these differ.
    pub(super) fn container_code(&self) -> &'static Code {
        let (old, new) = (self.old.map_or(0, |node| node.size), self.new.map_or(0, |node| node.size));
        // Timestamps and compression move sizes a little; a hidden payload moves them more.
        if new > old.saturating_add(4096).saturating_add(old / 10) {
            &codes::CONTAINER_GREW
        } else {
            &codes::CONTAINER_REWRITTEN
        }
    }
}

/// Finds all differences between two nodes, outermost first.
pub(super) fn differences<'a>(
    name: &BytePath,
    old: &'a Node,
    new: &'a Node,
    releases: (&str, &str),
) -> Vec<MemberDifference<'a>> {
    let mut found = Vec::new();
    let mut stack = vec![(name.clone(), Some(old), Some(new))];
    while let Some((path, old, new)) = stack.pop() {
        let (before, after) = match (old, new) {
            (Some(before), Some(after)) => (before, after),
            (None, None) => continue,
            (one, other) => {
                // Everything below comes or goes with it, and each member is named.
                for member in one.or(other).map_or(&[][..], |node| &node.members) {
                    let at =
                        one.or(other).map_or_else(|| path.clone(), |node| node.join(&path, &member.name));
                    stack.push((at, one.map(|_| member), other.map(|_| member)));
                }
                found.push(MemberDifference { path, old: one, new: other, container_only: false });
                continue;
            }
        };
        // The facts of equal bytes may differ by their name: a file in a folder that runs what lies there.
        let equal = before.digest == after.digest
            && before.mode == after.mode
            && before.link == after.link
            && before.content == after.content;
        if equal && before.digest.is_some() {
            continue;
        }
        let opened = !before.members.is_empty() && !after.members.is_empty();
        if !equal {
            found.push(MemberDifference { path: path.clone(), old, new, container_only: false });
        }
        if opened || before.format == "folder" {
            for (old, new) in pairing::members(by_name(before), by_name(after), releases) {
                let member = new.or(old).map_or_else(BytePath::default, |node: &Node| node.name.clone());
                stack.push((after.join(&path, &member), old, new));
            }
        }
    }
    // A container of which no member differs is its own kind of difference.
    let paths: Vec<BytePath> = found.iter().map(|difference| difference.path.clone()).collect();
    for difference in &mut found {
        let container = difference.old.zip(difference.new).is_some_and(|(old, new)| {
            !old.members.is_empty() && !new.members.is_empty() && old.mode == new.mode && old.link == new.link
        });
        if container {
            let inside = [difference.path.as_bytes(), b"!"].concat();
            difference.container_only = !paths.iter().any(|path| path.as_bytes().starts_with(&inside));
        }
    }
    found
}

/// Keys members by name; equal names of one container are told apart by their order. Import libraries have one name
/// for thousands of members, so that each name counts its own.
fn by_name(node: &Node) -> BTreeMap<Vec<u8>, &Node> {
    let mut map = BTreeMap::new();
    let mut times: BTreeMap<&[u8], u32> = BTreeMap::new();
    for member in &node.members {
        let name = member.name.as_bytes();
        let again = times.entry(name).or_insert(0);
        let mut key = name.to_vec();
        while map.contains_key(&key) {
            *again += 1;
            // Four bytes sort as the number does.
            key = [name, b"\0again", &again.to_be_bytes()].concat();
        }
        map.insert(key, member);
    }
    map
}

/// The bytes of members side by side, by the path of the new one.
pub type Contrasts = BTreeMap<BytePath, Contrast>;

/// Lists the members of which it is worth to look at the bytes: changed ones whose difference no member of theirs
/// accounts for. Each with the digests of both versions.
pub fn worth_a_look(old: &Tree, new: &Tree) -> Vec<(BytePath, Digest, Digest)> {
    let releases = releases_of(&old.root, &new.root);
    let states = releases.as_ref().map_or(("", ""), |(old, new)| (old.as_str(), new.as_str()));
    let found = differences(&new.root.name, &old.root, &new.root, states);
    found
        .into_iter()
        .filter(|difference| !difference.is_spoken_for())
        .filter_map(|difference| {
            let (old, new) = (difference.old?.digest?, difference.new?.digest?);
            (old != new).then_some((difference.path, old, new))
        })
        .collect()
}

/// Problems that are no inability of ours: readers of such archives come to different members.
const MISLEADING: &[&str] = &["duplicate-name", "path-escapes", "asar-integrity"];

/// Names what an archive misleads with, and did not before.
fn misleading(old: &Tree, new: &Tree, releases: (&str, &str)) -> Vec<evidence::Finding> {
    let place = |problem: &evidence::Problem, release: &str| {
        (problem.kind.clone(), without_versions(problem.path.as_bytes(), release))
    };
    let known: BTreeSet<_> = old.problems.iter().map(|problem| place(problem, releases.0)).collect();
    let found = new.problems.iter().filter(|problem| MISLEADING.contains(&problem.kind.as_str()));
    let new = found.filter(|problem| !known.contains(&place(problem, releases.1)));
    new.map(|problem| {
        let subject = evidence::Subject { path: Some(problem.path.clone()), digest: None };
        codes::ARCHIVE_MISLEADS.finding(subject, vec![format!("{}: {}", problem.kind, problem.detail)])
    })
    .collect()
}

/// Compares two artifacts or folders without a record. Who has looked at bytes hands over what was seen.
pub fn trees(old: &Tree, new: &Tree, source: SourceChanged, contrasts: &Contrasts) -> Comparison {
    let mut causes = BTreeMap::new();
    let mut differences_out = Vec::new();
    let mut findings = anomalies(new);
    let mut undetermined = false;
    let releases = releases_of(&old.root, &new.root);
    let release = one_release(&old.root, &new.root).filter(|_| source == SourceChanged::Unknown);
    let mut around = Around::of(&old.root, &new.root);
    let states = releases.as_ref().map_or(("", ""), |(old, new)| (old.as_str(), new.as_str()));
    let found = differences(&new.root.name, &old.root, &new.root, states);
    let one = || release.as_ref().map(|release| (release.clone(), release.clone()));
    around.releases = releases.clone().or_else(one).unwrap_or_default();
    for difference in found {
        let area = if difference.path == new.root.name { Area::Output } else { Area::Member };
        let suspicious = difference
            .new
            .map(|new| suspicions(&difference.path, difference.old, new, &around))
            .unwrap_or_default();
        let worst = suspicious.iter().map(|finding| finding.severity).max();
        findings.extend(suspicious);
        if let (SourceChanged::No, Some(before), Some(after)) = (source, difference.old, difference.new) {
            let found = causes::causes(before, after, contrasts.get(&difference.path));
            if !found.is_empty() {
                causes.insert(difference.path.to_string(), found);
            }
        }
        let node = difference.new.or(difference.old);
        let (status, explained_by) = if difference.container_only {
            let because = difference.notes();
            findings.extend(
                node.map(|node| {
                    difference.container_code().finding(subject(&difference.path, node), because)
                }),
            );
            (Status::Noted, Vec::new())
        } else if difference.is_spoken_for() {
            (Status::Noted, Vec::new())
        } else {
            match (source, &releases) {
                (SourceChanged::Yes, _) => {
                    (Status::Explained, vec!["the source is said to have changed".to_owned()])
                }
                (SourceChanged::No, _) => {
                    let code =
                        if area == Area::Output { &codes::UNEXPLAINED_DIFFERENCE } else { difference.code() };
                    findings.extend(
                        node.map(|node| code.finding(subject(&difference.path, node), difference.notes())),
                    );
                    (Status::Drift, Vec::new())
                }
                (SourceChanged::Unknown, _) if worst.is_some_and(|worst| worst >= Severity::Medium) => {
                    (Status::Drift, Vec::new())
                }
                (SourceChanged::Unknown, Some((old, new))) => {
                    (Status::Expected, vec![format!("release {old} → {new}: {EXPECTED}")])
                }
                (SourceChanged::Unknown, None) => match (&release, node) {
                    // What is packed with other rights is the same code.
                    (Some(_), _) if difference.is_of_rights() => (Status::Noted, Vec::new()),
                    (Some(release), Some(node)) if is_code(node) => {
                        let because =
                            [vec![format!("both say that they are release {release}")], difference.notes()]
                                .concat();
                        findings.push(
                            codes::UNEXPLAINED_DIFFERENCE.finding(subject(&difference.path, node), because),
                        );
                        (Status::Drift, Vec::new())
                    }
                    _ => {
                        undetermined = true;
                        (Status::Noted, Vec::new())
                    }
                },
            }
        };
        differences_out.push(difference.difference(area, status, explained_by));
    }
    findings.extend(misleading(old, new, states));
    let problems = old.problems.iter().chain(&new.problems).cloned().collect();
    let mut comparison = Comparison::conclude(differences_out, findings, problems);
    comparison.causes = causes;
    if undetermined && comparison.verdict == super::Verdict::Explained {
        comparison.verdict = super::Verdict::Undetermined;
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Verdict;

    fn leaf(name: &str, content: &str) -> Node {
        Node::leaf(name.into(), "data", Digest::of(content.as_bytes()), content.len() as u64)
    }

    fn zip(bytes: &str, members: Vec<Node>) -> Tree {
        let mut root = leaf("a.zip", bytes);
        root.format = "zip".into();
        root.members = members;
        Tree { root, problems: vec![] }
    }

    #[test]
    fn the_same_is_the_same() {
        let tree = zip("1", vec![leaf("x", "x")]);
        assert_eq!(trees(&tree, &tree, SourceChanged::No, &Contrasts::new()).verdict, Verdict::Same);
    }

    #[test]
    fn a_new_member_with_unchanged_source_is_drift_and_named() {
        let old = zip("1", vec![leaf("x", "x")]);
        let new = zip("2", vec![leaf("x", "x"), leaf("y", "y")]);
        let result = trees(&old, &new, SourceChanged::No, &Contrasts::new());
        assert_eq!(result.verdict, Verdict::Drift);
        assert_eq!(result.findings.len(), 1);
        assert_eq!(result.findings[0].code, "unexplained-member");
        assert_eq!(result.findings[0].subject.path.as_ref().unwrap().to_string(), "a.zip!y");
        assert_eq!(trees(&old, &new, SourceChanged::Yes, &Contrasts::new()).verdict, Verdict::Explained);
        assert_eq!(
            trees(&old, &new, SourceChanged::Unknown, &Contrasts::new()).verdict,
            Verdict::Undetermined
        );
    }

    #[test]
    fn new_timestamps_are_noted_and_a_swollen_container_is_drift() {
        let old = zip("1", vec![leaf("x", "x")]);
        let mut new = zip("2", vec![leaf("x", "x")]);
        let result = trees(&old, &new, SourceChanged::No, &Contrasts::new());
        assert_eq!(
            (result.verdict, result.findings[0].code.as_str()),
            (Verdict::Explained, "container-rewritten")
        );
        new.root.size += 10_000;
        let result = trees(&old, &new, SourceChanged::No, &Contrasts::new());
        assert_eq!((result.verdict, result.findings[0].code.as_str()), (Verdict::Drift, "container-grew"));
    }

    #[test]
    fn artifacts_of_one_release_may_be_packed_with_other_rights() {
        let artifact = |content: &str, mode: u32| {
            let mut script = leaf("a.py", content);
            script.mode = Some(mode);
            let mut tree = zip(&format!("{content}{mode}"), vec![script]);
            tree.root.name = "demo-1.0.0.zip".into();
            tree
        };
        let compared = |new: &Tree| {
            let comparison = trees(&artifact("x", 0o644), new, SourceChanged::Unknown, &Contrasts::new());
            comparison.findings.iter().map(|finding| finding.code.clone()).collect::<Vec<_>>()
        };
        assert!(!compared(&artifact("x", 0o664)).contains(&"unexplained-difference".to_owned()));
        assert!(compared(&artifact("y", 0o644)).contains(&"unexplained-difference".to_owned()));
        assert!(compared(&artifact("x", 0o4644)).contains(&"rights-added".to_owned()));
    }

    #[test]
    fn an_added_folder_names_what_is_in_it() {
        let old = zip("1", vec![leaf("x", "x")]);
        let mut inner = leaf("in.zip", "i");
        inner.format = "zip".into();
        inner.members = vec![leaf("evil", "e")];
        let new = zip("2", vec![leaf("x", "x"), inner]);
        let result = trees(&old, &new, SourceChanged::No, &Contrasts::new());
        let paths: Vec<_> =
            result.findings.iter().map(|f| f.subject.path.as_ref().unwrap().to_string()).collect();
        assert!(paths.contains(&"a.zip!in.zip!evil".to_owned()), "{paths:?}");
    }

    #[test]
    fn what_cannot_be_read_is_never_same() {
        let mut tree = zip("1", vec![]);
        tree.problems.push(evidence::Problem {
            path: "a.zip".into(),
            kind: "malformed-zip".into(),
            detail: String::new(),
        });
        assert_eq!(trees(&tree, &tree, SourceChanged::No, &Contrasts::new()).verdict, Verdict::Undetermined);
    }

    #[test]
    fn members_of_one_name_are_told_apart_by_their_order() {
        let library = |count: u32| {
            let mut node = Node::leaf("x.lib".into(), "ar", Digest::of(&count.to_be_bytes()), 1);
            for number in 0..count {
                let digest = Digest::of(&number.to_be_bytes());
                node.members.push(Node::leaf("x.dll".into(), "data", digest, 1));
            }
            node
        };
        let (old, new) = (library(30_000), library(30_001));
        let keys = by_name(&old);
        assert_eq!(keys.len(), 30_000);
        assert!(keys.values().zip(&old.members).all(|(keyed, member)| std::ptr::eq(*keyed, member)));
        let mut odd = library(2);
        odd.members.insert(
            0,
            Node::leaf(BytePath::new(b"x.dll\0again\0\0\0\x01".to_vec()), "data", Digest::of(b""), 0),
        );
        assert_eq!(by_name(&odd).len(), 3);
        let found = differences(&"x.lib".into(), &old, &new, ("", ""));
        let added: Vec<_> = found.iter().filter(|found| found.old.is_none()).collect();
        assert_eq!(added.len(), 1);
        assert_eq!(added[0].new.and_then(|node| node.digest), Some(Digest::of(&30_000_u32.to_be_bytes())));
    }
}
