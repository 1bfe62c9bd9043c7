//! Rules about what a source, a class or a package does for the first time.

use super::*;
use Severity::{High, Low, Medium};

fn source(name: &str, capabilities: &[&str], hooks: &[&str]) -> Node {
    let content = Content {
        kind: "text".into(),
        capabilities: set(capabilities),
        hooks: set(hooks),
        longest_line: 80,
        ..Content::default()
    };
    node(name, None, content)
}

/// Judges one change in a release of several files.
fn judged(
    others: &[Node],
    releases: (&str, &str),
    old: Option<&Node>,
    new: &Node,
) -> Vec<(String, Severity)> {
    let mut folder = Node::leaf("old".into(), "folder", Digest::of(b"old"), 0);
    folder.members = others.iter().chain(old).cloned().collect();
    let mut around = Around::of(&folder, new);
    around.releases = (releases.0.to_owned(), releases.1.to_owned());
    let found = suspicions(&new.name, old, new, &around);
    found.into_iter().map(|finding| (finding.code, finding.severity)).collect()
}

const PATCH: (&str, &str) = ("1.2.3", "1.2.4");
const LEAP: (&str, &str) = ("1.2.3", "2.0.0");

fn with(name: &str, change: impl FnOnce(&mut Content)) -> Node {
    let mut node = source(name, &[], &[]);
    change(node.content.as_mut().unwrap());
    node.digest = Some(Digest::of(format!("{name}{:?}", node.content).as_bytes()));
    node
}

fn at_load(name: &str, family: &str, line: &str) -> Node {
    with(name, |content| {
        content.at_load.insert(family.to_owned(), line.to_owned());
    })
}

#[test]
fn the_first_source_that_starts_programs_is_told_from_one_more() {
    let starts = ["process-start/script"];
    let (before, after) = (source("a/b.py", &[], &[]), source("a/b.py", &starts, &[]));
    let others = [source("a/c.py", &starts, &[])];
    let high = [("capability-added".to_owned(), High)];
    assert_eq!(judged(&[], LEAP, Some(&before), &after), high);
    assert_eq!(judged(&[], LEAP, None, &after), high);
    assert_eq!(judged(&others, PATCH, Some(&before), &after), high);
    for release in [LEAP, ("1.2.3", "1.3.0"), ("1.2", "1.3"), ("", "")] {
        let low = [("capability-added".to_owned(), Low)];
        assert_eq!(judged(&others, release, Some(&before), &after), low, "{release:?}");
    }
    assert_eq!(judged(&others, LEAP, None, &after), []);
    assert_eq!(judged(&[], PATCH, Some(&after), &after), []);
    // What nobody runs, and what only tests run.
    for name in ["README.md", "a/tests/b.py", "conftest.py", "docs/x.js"] {
        let found = judged(&[], PATCH, Some(&source(name, &[], &[])), &source(name, &starts, &[]));
        assert_eq!(found, [("capability-added".to_owned(), Low)], "{name}");
    }
}

#[test]
fn what_a_source_does_at_load_is_told_by_family() {
    let starts = |name: &str, line: &str| at_load(name, "process start", line);
    let (before, after) = (source("a.py", &[], &[]), starts("a.py", "x"));
    let high = [("runs-when-loaded".to_owned(), High)];
    assert_eq!(judged(&[], LEAP, Some(&before), &after), high);
    assert_eq!(judged(&[], LEAP, None, &after), high);
    assert_eq!(judged(&[], PATCH, Some(&after), &starts("a.py", "y")), []);
    assert_eq!(judged(&[], PATCH, Some(&after), &before), []);
    let aside = judged(&[], PATCH, None, &starts("a/tests/a.py", "x"));
    assert_eq!(aside, [("runs-when-loaded".to_owned(), Low)]);
    // A bundle has the words of all that is in it; what starts programs is asked for there as well.
    let bundle = |mut node: Node| {
        node.content.as_mut().unwrap().longest_line = 90_000;
        node
    };
    let plain = bundle(source("a.js", &[], &[]));
    let medium = [("runs-when-loaded".to_owned(), Severity::Medium)];
    assert_eq!(judged(&[], PATCH, Some(&plain), &bundle(at_load("a.js", "network", "fetch(x)"))), medium);
    assert_eq!(judged(&[], PATCH, Some(&plain), &bundle(starts("a.js", "x"))), high);
}

#[test]
fn a_host_that_code_calls_for_the_first_time() {
    let called = |name: &str, host: &str| with(name, |content| content.called_hosts = set(&[host]));
    let talks = |host: &str| called("a.js", host);
    let named = |host: &str| {
        let mut readme = source("README.md", &[], &[]);
        readme.content.as_mut().unwrap().hosts = set(&[host]);
        readme
    };
    let high = [("host-added".to_owned(), High)];
    for release in [PATCH, LEAP] {
        assert_eq!(judged(&[], release, Some(&talks("a.invalid")), &talks("b.invalid")), high);
        assert_eq!(judged(&[], release, None, &talks("b.invalid")), high);
    }
    assert_eq!(judged(&[named("b.invalid")], PATCH, Some(&talks("a.invalid")), &talks("b.invalid")), []);
    assert_eq!(judged(&[], PATCH, Some(&talks("a.invalid")), &talks("a.invalid")), []);
    let names = with("a.js", |content| content.code_hosts = set(&["b.invalid"]));
    assert_eq!(judged(&[], PATCH, None, &names), high);
    assert_eq!(judged(&[], LEAP, None, &names), [("host-added".to_owned(), Severity::Medium)]);
    // One more in a table of hosts; that one is called counts there as well.
    let table: Vec<String> = (0..64).map(|number| format!("c{number}.invalid")).collect();
    let table: Vec<&str> = table.iter().map(String::as_str).collect();
    let chains = [with("chains.js", |content| content.code_hosts = set(&table))];
    assert_eq!(judged(&chains, PATCH, None, &names), [("host-added".to_owned(), Severity::Medium)]);
    assert_eq!(judged(&chains, PATCH, None, &talks("b.invalid")), high);
    let aside = called("test/a.js", "b.invalid");
    assert_eq!(judged(&[], PATCH, None, &aside), []);
}

#[test]
fn a_package_begins_with_a_file_that_was_not_there() {
    let manifest = |main: &str| {
        with("package/package.json", |content| {
            content.entry_files.insert("main".to_owned(), main.to_owned());
        })
    };
    let entry = |module: &str| {
        source("a.dist-info/entry_points.txt", &[], &[&format!("entry-point: console_scripts: a = {module}")])
    };
    let others = [source("package/lib/other.js", &[], &[]), source("a/cli.py", &[], &[])];
    let moved = |old: &Node, new: &Node| judged(&others, PATCH, Some(old), new);
    let high = ("entry-moved".to_owned(), High);
    assert_eq!(moved(&manifest("lib/a.js"), &manifest("lib/new.js")), std::slice::from_ref(&high));
    assert_eq!(moved(&manifest("lib/a.js"), &manifest("lib/other")), []);
    assert_eq!(moved(&manifest("lib/a.js"), &manifest("lib/a.js")), []);
    assert!(moved(&entry("a.main:run"), &entry("a._x:run")).contains(&high));
    assert!(!moved(&entry("a.main:run"), &entry("a.cli:run")).contains(&high));
}

#[test]
fn one_more_package_in_a_release_that_mends_things() {
    let manifest = |wants: &[&str]| with("package/package.json", |content| content.requirements = set(wants));
    let (one, two) = (manifest(&["a"]), manifest(&["a", "b"]));
    let of = |releases| judged(&[], releases, Some(&one), &two);
    assert_eq!(of(PATCH), [("requirement-added".to_owned(), High)]);
    assert_eq!(of(("1.2.3", "1.3.0")), [("requirement-added".to_owned(), Low)]);
    assert_eq!(of(LEAP), [("requirement-added".to_owned(), Low)]);
    assert_eq!(judged(&[], PATCH, Some(&two), &one), []);
    assert_eq!(judged(&[], PATCH, None, &two), []);
    // Names that are meant to be taken for others, in any release.
    for (known, name, severity) in [
        ("eth-account", "eth-acount", High),
        ("requests", "reqeusts", High),
        ("requests", "request", High),
        ("lodash", "lodash1", Low),
        ("python3", "python4", Low),
        ("chalk", "debug", Low),
        ("abc", "abd", Low),
    ] {
        let found = judged(&[], LEAP, Some(&manifest(&[known])), &manifest(&[name]));
        assert_eq!(found, [("requirement-added".to_owned(), severity)], "{name}");
    }
    // A list that was cut says nothing.
    let many: Vec<String> = (0..Content::LIST_MAX).map(|number| format!("p{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(judged(&[], PATCH, Some(&one), &manifest(&many)), []);
}

#[test]
fn classes_are_judged_by_package() {
    let class = |name: &str, capabilities: &[&str]| {
        let content = Content {
            kind: "class".into(),
            capabilities: set(capabilities),
            hosts: set(&[name]),
            ..Content::default()
        };
        node(name, None, content)
    };
    let starts = ["process-start/jvm"];
    let others = [class("org/a/Run.class", &starts)];
    let high = [("capability-added".to_owned(), High)];
    assert_eq!(judged(&others, LEAP, None, &class("org/b/New.class", &starts)), high);
    assert_eq!(judged(&others, LEAP, None, &class("org/b/New.class", &["code-in-memory/jvm"])), high);
    assert_eq!(judged(&others, LEAP, None, &class("org/a/New.class", &starts)), []);
    assert_eq!(judged(&others, LEAP, None, &class("org/b/New.class", &["network/class"])), []);
}

#[test]
fn a_source_that_protects_less_is_told_from_one_whose_work_another_does() {
    let guarded = |name: &str, guards: &[&str]| with(name, |content| content.safeguards = set(guards));
    let (before, after) = (guarded("a/b.py", &["random"]), guarded("a/b.py", &[]));
    let lost = |severity| [("safeguard-lost".to_owned(), severity)];
    assert_eq!(judged(&[], PATCH, Some(&before), &after), lost(High));
    assert_eq!(judged(&[], LEAP, Some(&before), &after), lost(Medium));
    // One that protects still, that nobody runs, that only tests; and a bundle.
    assert_eq!(judged(&[], PATCH, Some(&before), &before), []);
    assert_eq!(judged(&[], PATCH, Some(&after), &before), []);
    for aside in ["a/b.md", "tests/b.py"] {
        assert_eq!(judged(&[], PATCH, Some(&guarded(aside, &["random"])), &guarded(aside, &[])), []);
    }
    // The work was moved.
    let mut old = Node::leaf("old".into(), "folder", Digest::of(b"old"), 0);
    let mut new = old.clone();
    old.members = vec![before.clone(), guarded("a/c.py", &[])];
    new.members = vec![after.clone(), guarded("a/c.py", &["random"])];
    let mut around = Around::of(&old, &new);
    around.releases = (PATCH.0.to_owned(), PATCH.1.to_owned());
    assert_eq!(suspicions(&after.name, Some(&before), &after, &around).len(), 0);
}

#[test]
fn what_takes_protection_away_is_told_once() {
    let weak = |name: &str, what: &[&str]| with(name, |content| content.weakenings = set(what));
    let lost = |severity| [("safeguard-lost".to_owned(), severity)];
    for name in ["a/b.py", "etc/ssh/sshd_config"] {
        let (before, after) = (weak(name, &[]), weak(name, &["certificates"]));
        assert_eq!(judged(&[], PATCH, Some(&before), &after), lost(High), "{name}");
        assert_eq!(judged(&[], LEAP, Some(&before), &after), lost(Medium), "{name}");
        assert_eq!(judged(&[], PATCH, Some(&after), &after), [], "{name}");
    }
    for name in ["docs/b.py", "README.md"] {
        assert_eq!(judged(&[], PATCH, Some(&weak(name, &[])), &weak(name, &["certificates"])), [], "{name}");
    }
}
