//! Rules about scripts, packages and media that a hold-out of attacks and honest releases asked for.

use super::*;
use Severity::{High, Low};

fn can(capabilities: &[&str]) -> Content {
    Content { kind: "text".into(), capabilities: set(capabilities), ..Content::default() }
}

#[test]
fn one_expression_says_enough_in_what_is_run() {
    for trick in ["decode-and-run/nested", "fetch-and-run/pipe", "obfuscation/names", "fetch-and-run/handler"]
    {
        let found = |name: &str, before: Content| {
            let new = node(name, None, can(&[trick]));
            found(Some(&node(name, None, before)), &new).contains(&("capability-added".to_owned(), High))
        };
        assert!(found("a/__init__.py", can(&[])), "{trick}");
        assert!(!found("a/__init__.py", can(&[trick])), "{trick}");
        assert!(!found("README.md", can(&[])), "{trick}");
        assert!(!found("a.mjs.map", can(&[])), "{trick}");
    }
    assert_eq!(
        found(None, &node("new.js", None, can(&["decode-and-run/nested"])))[..],
        [("capability-added".to_owned(), High)]
    );
    let pickle = Content { capabilities: set(&["code-in-data/pickle"]), ..Content::default() };
    assert_eq!(found(None, &node("model.pkl", None, pickle))[..], [("capability-added".to_owned(), High)]);
    content_check(
        "a.py",
        can(&["network/script"]),
        can(&["network/script", "process-start/script"]),
        &[("capability-added", Low)],
    );
}

#[test]
fn two_families_at_once_and_what_runs_by_itself() {
    let both = ["credential-access/script", "network/script"];
    let severities = |name: &str, before: &[&str], after: &[&str]| -> Vec<Severity> {
        let new = node(name, None, can(after));
        let found = found(Some(&node(name, None, can(before))), &new);
        found.into_iter().map(|(_, severity)| severity).collect()
    };
    assert!(severities("a.py", &[], &both).contains(&High));
    assert!(severities("a.js", &[], &["credential-access/script", "sends/script"]).contains(&High));
    assert!(!severities("a.js", &[], &["sends/script"]).contains(&High));
    assert!(!severities("a.py", &["network/script"], &both).contains(&High));
    assert!(!severities("a.md", &[], &both).contains(&High));
    let starts = ["process-start/script", "network/script"];
    assert!(severities("demo/setup.py", &[], &starts).contains(&High));
    assert!(!severities("demo/tool.py", &[], &starts).contains(&High));
    // A maintainer's script runs with all rights.
    let script =
        |capabilities: &[&str]| Content { hooks: set(&["deb-install: postinst"]), ..can(capabilities) };
    let harm = found(
        Some(&node("./postinst", None, script(&[]))),
        &node("./postinst", None, script(&["persistence/script"])),
    );
    assert!(harm.contains(&("capability-added".to_owned(), High)));
}

#[test]
fn what_is_asked_for_from_elsewhere() {
    let hook = |hook: &str| Content { hooks: set(&[hook]), ..Content::default() };
    let none = Content::default;
    let source = || hook("source: a git+https://x.invalid/a.git");
    content_check("package.json", none(), source(), &[("dependency-elsewhere", High)]);
    content_check("package.json", source(), source(), &[]);
    for automatic in [
        "python-path: x.pth: /tmp",
        "java-start: Launcher-Agent-Class: a",
        "login: root/.ssh/authorized_keys",
        "editor: x",
        "java-agent: Premain-Class: a",
        "plug-in: pytest11: a = b",
        "cargo-settings: rustc-wrapper = \"x\"",
        "cargo-macro: x",
    ] {
        content_check("x", none(), hook(automatic), &[("install-hook-added", High)]);
    }
    content_check("x", none(), hook("entry-point: console_scripts: a = b"), &[("install-hook-added", Low)]);
}

#[test]
fn text_that_is_not_read_as_it_stands() {
    let text = || Content { kind: "text".into(), longest_line: 80, ..Content::default() };
    let high: &[_] = &[("hidden-text", High)];
    content_check("a.py", text(), Content { lookalikes: 1, ..text() }, high);
    content_check("a.py", text(), Content { far_right: 1, ..text() }, high);
    content_check("a.po", text(), Content { lookalikes: 1, far_right: 1, ..text() }, &[]);
    content_check("a.py", Content { far_right: 2, ..text() }, Content { far_right: 2, ..text() }, &[]);
    // Tables of characters in bundles, which nobody reads on a screen.
    let bundle = |bidirectional| Content { longest_line: 90_000, bidirectional, ..text() };
    content_check("a.min.js", bundle(0), bundle(5), &[("hidden-text", Low)]);
    content_check("a.js", text(), bundle(5), high);
    content_check("a.min.js", bundle(0), Content { invisible: 90, ..bundle(5) }, high);
}

#[test]
fn pictures_and_fonts() {
    let media =
        |kind: &str, appended_bytes| Content { kind: kind.into(), appended_bytes, ..Content::default() };
    content_check("a.png", media("png", 0), media("png", 4000), &[("overlay-added", High)]);
    content_check("a.png", media("png", 0), media("png", 40), &[]);
    content_check("a.png", media("png", 4000), media("png", 9000), &[]);
    let data = |content: Content| {
        let mut node = node("a.woff2", None, content);
        node.format = "data".into();
        node
    };
    let (font, noise, text) = (data(media("font", 0)), data(media("", 0)), data(media("text", 0)));
    assert_eq!(found(Some(&font), &noise), [("disguised-file".to_owned(), High)]);
    assert_eq!(found(Some(&font), &text), []);
    assert_eq!(found(Some(&noise), &font), []);
}

#[test]
fn a_new_host_in_a_bundle_is_worth_a_look() {
    let script = |hosts: &[&str], longest_line| Content {
        hosts: set(hosts),
        longest_line,
        ..can(&["network/script", "process-start/script"])
    };
    content_check("a.js", script(&["a.test"], 80), script(&["b.test"], 80), &[("host-added", High)]);
    let bundle = 50_000;
    content_check(
        "a.js",
        script(&["a.test"], bundle),
        script(&["b.test"], bundle),
        &[("host-added", Severity::Medium)],
    );
    content_check("a.js.map", script(&["a.test"], bundle), script(&["b.test"], bundle), &[]);
    content_check("README.md", script(&["a.test"], 80), script(&["b.test"], 80), &[]);
}

#[test]
fn one_more_bundle_among_bundles() {
    let script = |name: &str, longest_line| {
        let content = Content { longest_line, ..can(&["decode-and-run/script", "network/script"]) };
        node(name, None, content)
    };
    let severities = |old: &[Node], new: &Node| -> Vec<Severity> {
        let mut folder = Node::leaf("old".into(), "folder", Digest::of(b"old"), 0);
        folder.members = old.to_vec();
        let around = Around::of(&folder, new);
        suspicions(&new.name, None, new, &around).into_iter().map(|finding| finding.severity).collect()
    };
    let (bundle, plain) = (script("1.js", 90_000), script("1.js", 80));
    let bundles = [script("0.js", 80_000)];
    assert_eq!(severities(&bundles, &bundle), [Severity::Medium]);
    assert_eq!(severities(&[script("0.js", 90)], &bundle), [High]);
    assert_eq!(severities(&bundles, &plain), [High]);
    let sweep = Content { longest_line: 90_000, ..can(&["credential-access/script", "network/script"]) };
    assert_eq!(severities(&bundles, &node("1.js", None, sweep)), [High]);
}

#[test]
fn links_into_somebodys_folder_are_told_from_links_of_the_system() {
    let link = |target: &str| Node { link: Some(target.into()), ..node("cfg", None, Content::default()) };
    for (target, expected) in [
        ("/root/.ssh", true),
        ("/tmp", true),
        ("/tmpfiles", false),
        ("/usr/share/x", false),
        ("../lib/root/x", false),
    ] {
        let found =
            |old: Option<&Node>| found(old, &link(target)).contains(&("archive-misleads".to_owned(), High));
        assert_eq!(found(None), expected, "{target}");
        assert_eq!(found(Some(&link("/usr/x"))), expected, "{target}");
        assert!(!found(Some(&link(target))), "{target}");
    }
}

#[test]
fn the_first_class_that_starts_programs_is_named() {
    let class = |capabilities: &[&str]| Content { kind: "class".into(), ..can(capabilities) };
    let starts = class(&["process-start/jvm"]);
    let first = found(Some(&node("A.class", None, class(&[]))), &node("A.class", None, starts.clone()));
    assert!(first.contains(&("capability-added".to_owned(), High)));
    assert!(
        found(Some(&node("A.class", None, starts.clone())), &node("A.class", None, starts.clone()))
            .is_empty()
    );
    let text = Content { kind: "data".into(), ..starts };
    assert!(found(None, &node("a.bin", None, text)).is_empty());
}

#[test]
fn hooks_that_take_the_place_of_something_run_by_themselves() {
    let hooks = |hooks: &[&str]| Content { hooks: set(hooks), ..Content::default() };
    for hook in [
        "usual-program: git",
        "python-library: random.py",
        "alias: a is b",
        "cargo-script: src/x.rs",
        "machine start: ./lib/systemd/system/x.service",
        "rights: chmod u+s /bin/x",
    ] {
        content_check("x", hooks(&[]), hooks(&[hook]), &[("install-hook-added", High)]);
        content_check("x", hooks(&[hook]), hooks(&[hook]), &[]);
    }
    // Systems move all folders into `/usr`.
    let unit = |folder: &str| hooks(&[&format!("machine start: {folder}/systemd/system/x.service")]);
    content_check("x", unit("./lib"), unit("./usr/lib"), &[]);
    content_check("x", unit("./opt"), unit("./usr/lib"), &[("install-hook-added", High)]);
    content_check(
        "x",
        hooks(&[]),
        hooks(&["entry-point: console_scripts: a = b:c"]),
        &[("install-hook-added", Low)],
    );
}
