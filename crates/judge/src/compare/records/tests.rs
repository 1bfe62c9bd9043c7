//! Two sketched builds of one small product, and what is said about each way in which the second may differ.

use evidence::record::{Artifact, Destination, Role};
use evidence::{Component, Digest, Node};

use super::*;
use crate::compare::Verdict;
use crate::lineage::tests::Sketch;

/// `cc` compiles `main.c`, `tar` packs the result and a prebuilt library into `dist/a.tar`.
struct Build {
    main_c: &'static str,
    compiled: &'static str,
    library: &'static str,
    compiler: &'static str,
    compiler_version: &'static str,
    dependency: &'static str,
    extra: Option<&'static str>,
}

const GOOD: Build = Build {
    main_c: "int main;",
    compiled: "compiled",
    library: "library 1",
    compiler: "cc 1",
    compiler_version: "1",
    dependency: "crate source",
    extra: None,
};

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

fn component(purl: &str, ecosystem: &str, name: &str, version: &str) -> Component {
    Component {
        purl: purl.into(),
        name: name.into(),
        version: version.into(),
        ecosystem: ecosystem.into(),
        evidence: ["/db".into()].into(),
    }
}

impl Build {
    fn made(&self) -> (Record, BTreeMap<BytePath, Tree>) {
        let mut record = Sketch::new()
            .process(0, None, 0, "/bin/make")
            .process(1, Some(0), 10, "/usr/bin/cc")
            .process(2, Some(0), 20, "/usr/bin/tar")
            .file("/w/main.c", Role::Source, self.main_c, &[(1, 11)], &[])
            .file("/w/vendor/lib.dll", Role::Source, self.library, &[(2, 21)], &[])
            .file("/usr/bin/cc", Role::Toolchain, self.compiler, &[(1, 10)], &[])
            .file("/reg/dep-1.0.0/lib.rs", Role::Dependency, self.dependency, &[(1, 11)], &[])
            .file("/w/main", Role::Generated, self.compiled, &[(2, 21)], &[(1, 12)])
            .file("/w/dist/a.tar", Role::Output, &self.packed(), &[], &[(2, 22)])
            .0;
        for file in &mut record.files {
            match file.path.as_bytes() {
                b"/w/vendor/lib.dll" => file.format = Some("pe".into()),
                b"/usr/bin/cc" => {
                    file.package = Some(format!("pkg:deb/debian/gcc@{}", self.compiler_version))
                }
                b"/reg/dep-1.0.0/lib.rs" => file.package = Some("pkg:cargo/dep@1.0.0".into()),
                _ => {}
            }
        }
        record.components = vec![
            component("pkg:cargo/dep@1.0.0", "cargo", "dep", "1.0.0"),
            component(
                &format!("pkg:deb/debian/gcc@{}", self.compiler_version),
                "deb",
                "gcc",
                self.compiler_version,
            ),
        ];
        let leaf = |name: &str, content: &str| {
            Node::leaf(name.into(), "data", digest(content), content.len() as u64)
        };
        let mut root =
            Node::leaf("dist/a.tar".into(), "tar", digest(&self.packed()), self.packed().len() as u64);
        root.members = vec![leaf("lib.dll", self.library), leaf("main", self.compiled)];
        root.members.extend(self.extra.map(|content| leaf("zextra", content)));
        record.outputs = vec![Artifact {
            path: "dist/a.tar".into(),
            digest: digest(&self.packed()),
            size: self.packed().len() as u64,
            tree: digest("tree"),
        }];
        let trees = BTreeMap::from([("dist/a.tar".into(), Tree { root, problems: Vec::new() })]);
        (record, trees)
    }

    fn packed(&self) -> String {
        format!("{}|{}|{}", self.compiled, self.library, self.extra.unwrap_or(""))
    }
}

fn compared(old: &Build, new: &Build, change: impl Fn(&mut Record)) -> Comparison {
    let ((old, old_trees), (mut new, new_trees)) = (old.made(), new.made());
    change(&mut new);
    let (old, new) = (Side { record: &old, trees: &old_trees }, Side { record: &new, trees: &new_trees });
    let comparison = records(&old, &new);
    assert_eq!(comparison, records(&old, &new), "the same each time");
    comparison
}

fn codes(comparison: &Comparison) -> Vec<&str> {
    comparison.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn the_same_build_is_the_same() {
    let comparison = compared(&GOOD, &GOOD, |_| {});
    assert_eq!((comparison.verdict, comparison.findings.len()), (Verdict::Same, 0));
}

#[test]
fn a_changed_source_explains_what_was_made_of_it() {
    let comparison = compared(&GOOD, &Build { main_c: "int main2;", compiled: "compiled 2", ..GOOD }, |_| {});
    assert_eq!((comparison.verdict, codes(&comparison)), (Verdict::Explained, vec![]));
    let member = comparison.differences.iter().find(|row| row.path == "dist/a.tar!main").unwrap();
    assert!(member.explained_by.iter().any(|cause| cause.contains("main.c")), "{member:?}");
}

#[test]
fn a_member_that_changed_without_its_source_is_drift() {
    let comparison = compared(&GOOD, &Build { compiled: "compiled, and more", ..GOOD }, |_| {});
    assert_eq!((comparison.verdict, codes(&comparison)), (Verdict::Drift, vec!["unexplained-member-change"]));
}

#[test]
fn a_new_member_without_a_changed_source_is_drift() {
    let comparison = compared(&GOOD, &Build { extra: Some("payload"), ..GOOD }, |_| {});
    assert_eq!((comparison.verdict, codes(&comparison)), (Verdict::Drift, vec!["unexplained-member"]));
    assert_eq!(comparison.findings[0].subject.path.as_ref().unwrap().to_string(), "dist/a.tar!zextra");
}

#[test]
fn a_prebuilt_library_that_changed_is_drift_among_the_sources_and_in_the_output() {
    let comparison = compared(&GOOD, &Build { library: "library, poisoned", ..GOOD }, |_| {});
    assert_eq!(
        (comparison.verdict, codes(&comparison)),
        (Verdict::Drift, vec!["prebuilt-changed", "unexplained-member-change"])
    );
    let paths: Vec<_> = comparison
        .findings
        .iter()
        .map(|finding| finding.subject.path.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(paths, ["vendor/lib.dll", "dist/a.tar!lib.dll"]);
}

#[test]
fn a_package_s_file_changes_only_with_its_version() {
    let tampered = compared(&GOOD, &Build { compiler: "cc, poisoned", compiled: "other", ..GOOD }, |_| {});
    assert!(codes(&tampered).contains(&"toolchain-tampered"), "{:?}", codes(&tampered));
    assert_eq!(tampered.verdict, Verdict::Drift);
    let updated = compared(
        &GOOD,
        &Build { compiler: "cc 2", compiler_version: "2", compiled: "other", ..GOOD },
        |_| {},
    );
    assert_eq!((updated.verdict, codes(&updated)), (Verdict::Explained, vec!["toolchain-updated"]));
}

#[test]
fn a_published_dependency_never_changes() {
    let comparison =
        compared(&GOOD, &Build { dependency: "crate source, poisoned", compiled: "other", ..GOOD }, |_| {});
    assert!(codes(&comparison).contains(&"dependency-tampered"), "{:?}", codes(&comparison));
    assert_eq!(comparison.verdict, Verdict::Drift);
}

#[test]
fn new_programs_and_addresses_are_told() {
    let program =
        compared(&GOOD, &GOOD, |record| record.processes[2].programs[0].path = "/usr/bin/curl".into());
    assert!(codes(&program).contains(&"new-process"), "{:?}", codes(&program));
    let talk = |address: &str| {
        compared(&GOOD, &GOOD, |record| {
            record.network.push(Destination {
                address: address.into(),
                action: "connect".into(),
                processes: [1].into(),
            });
        })
    };
    assert_eq!(codes(&talk("tcp:198.51.100.7:443")), ["new-destination"]);
    assert_eq!(codes(&talk("unix:/run/x")), ["new-local-destination"]);
}

#[test]
fn what_the_recorder_saw_going_wrong_is_told() {
    let mutated = compared(&GOOD, &GOOD, |record| record.files[0].mutated = true);
    assert_eq!(codes(&mutated), ["input-mutated"]);
    let refused = compared(&GOOD, &GOOD, |record| record.completeness.refused = 1);
    assert_eq!(codes(&refused), ["access-refused"]);
}
