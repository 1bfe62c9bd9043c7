//! Rules about sources that somebody runs: scripts, modules, build scripts, classes.

use std::collections::BTreeSet;

use evidence::tree::Content;
use evidence::{Node, Severity};

use super::packages::{is_automatic, is_patch};
use super::{Around, Findings};
use crate::codes;

/// Families that a bundle hardly takes up by chance.
const GRAVE_AT_LOAD: &[&str] =
    &["process start", "persistence", "credentials", "interception", "environment"];
/// Folders of sources that the package itself does not load.
const ASIDE: &[&[u8]] = &[
    b"test",
    b"tests",
    b"testing",
    b"example",
    b"examples",
    b"doc",
    b"docs",
    b"bench",
    b"benchmarks",
    b"benches",
    b"samples",
];
/// Endings of source text, in which nobody needs invisible characters.
pub(super) const SOURCES: &[&str] = &[
    "js", "mjs", "cjs", "ts", "jsx", "tsx", "py", "c", "h", "cc", "cpp", "rs", "go", "java", "rb", "sh",
    "ps1", "php", "pl", "pm", "bat", "cmd", "vbs", "nsi", "nsh", "iss",
];
/// Scripts with longer lines are bundles: there, a long line says nothing.
pub(super) const LINE_SHORT_MAX_BYTES: u64 = 1000;

/// What a source does as soon as it is loaded, and did not: by family, for its lines may move.
pub(super) fn loaded(
    before: &Content,
    after: &Content,
    around: &Around,
    node: &Node,
    findings: &mut Findings,
) {
    let new: Vec<(&String, &String)> =
        after.at_load.iter().filter(|(family, _)| !before.at_load.contains_key(*family)).collect();
    if new.is_empty() {
        return;
    }
    // In a bundle stands what all of its parts do.
    let is_usual = is_bundle(node) && (before.longest_line >= LINE_SHORT_MAX_BYTES || around.bundles);
    let grave = new.iter().any(|(family, _)| GRAVE_AT_LOAD.contains(&family.as_str()));
    let severity = match (is_aside(node), is_usual && !grave) {
        (true, _) => Severity::Low,
        (false, true) => Severity::Medium,
        (false, false) => codes::RUNS_WHEN_LOADED.severity,
    };
    let because = new.iter().map(|(family, line)| format!("{family}: {line}")).collect();
    findings.add(&codes::Code { severity, ..codes::RUNS_WHEN_LOADED }, because);
}

/// A class that starts programs or makes classes of bytes, where none of its package did.
pub(super) fn classes(
    before: &Content,
    after: &Content,
    around: &Around,
    node: &Node,
    findings: &mut Findings,
) {
    if after.kind != "class" {
        return;
    }
    let package = node.name.folder();
    let new: Vec<&str> = CLASSES
        .iter()
        .copied()
        .filter(|name| after.capabilities.contains(*name) && !before.capabilities.contains(*name))
        .filter(|name| !around.packages.contains(&(package.to_vec(), name)))
        .collect();
    if !new.is_empty() {
        let because = vec![format!("{}: no class of this package did that", new.join(", "))];
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
}

/// Pairs of families that one new script or class hardly needs together, unless it fetches and runs, or takes and sends.
const UNSOUGHT: &[(&str, &str)] = &[
    ("decode-and-run/", "network/"),
    ("process-start/pipe-to-shell", ""),
    ("process-start/class", "network/class"),
    ("credential-access/", "network/"),
    ("credential-access/", "sends/"),
    ("credential-access/", "environment-sweep/"),
    ("environment-sweep/", "network/"),
    ("persistence/", "network/"),
];

/// Ways of running code that are told by one expression (`inspect`): no honest change of those measured had one.
const TRICKS: &[&str] = &[
    "decode-and-run/nested",
    "decode-and-run/pipe",
    "decode-and-run/module",
    "decode-and-run/file",
    "fetch-and-run/nested",
    "fetch-and-run/pipe",
    "fetch-and-run/handler",
    "obfuscation/names",
    "obfuscation/pieces",
    "obfuscation/escapes",
    "obfuscation/numbers",
    "obfuscation/symbols",
    "code-in-data/pickle",
    "decode-and-run/powershell",
    "decode-and-run/constructor",
    "obfuscation/reversed",
    "obfuscation/encoded-word",
    "drops-and-runs/script",
    "obfuscation/way-round",
    "obfuscation/masked",
    "obfuscation/packed",
    "decode-and-run/indirect",
    "decode-and-run/perl",
    "fetch-and-run/request",
    "wallets/script",
];

/// Folders whose files shells run, whatever they are called.
const SHELL_FOLDERS: &[&str] = &[
    "bash-completion/completions/",
    "bash_completion.d/",
    "zsh/site-functions/",
    "zsh/vendor-completions/",
    "profile.d/",
];

/// Whether somebody runs the file: not documentation, and no map of sources.
pub(super) fn is_run(node: &Node, content: &Content) -> bool {
    let name = node.name.to_string();
    if content.kind == "text" && SHELL_FOLDERS.iter().any(|folder| name.contains(folder)) {
        return true;
    }
    let is_source = name.rsplit_once('.').is_some_and(|(_, ending)| SOURCES.contains(&ending));
    is_source || content.kind == "script" || runs_by_itself(node, content)
}

/// Files that are run when a package is built or installed, besides those whose hooks say so.
const BUILDS: &[&[u8]] = &[b"setup.py", b"build.rs", b"extconf.rb"];

fn runs_by_itself(node: &Node, content: &Content) -> bool {
    BUILDS.contains(&node.name.file_name()) || content.hooks.iter().any(is_automatic)
}

/// Names tricks that are new, and says whether there are any.
pub(super) fn tricks(before: &Content, after: &Content, node: &Node, findings: &mut Findings) -> bool {
    let new = after.capabilities.difference(&before.capabilities).map(String::as_str);
    let is_run = is_run(node, after);
    let new: Vec<&str> =
        new.filter(|name| TRICKS.contains(name) && (is_run || name.starts_with("code-in-data/"))).collect();
    if new.is_empty() {
        return false;
    }
    let because = vec![format!("new: {}", new.join(", "))];
    // What a page tells people to type stands in its bundle, which starts nothing.
    let is_said = is_bundle(node)
        && new.iter().all(|name| *name == "fetch-and-run/pipe")
        && !after.capabilities.contains("process-start/script");
    let severity = if is_said { Severity::Medium } else { Severity::High };
    findings.add(&codes::Code { severity, ..codes::CAPABILITY_ADDED }, because);
    true
}

/// Families of which the first of a whole package is told.
pub(super) const FIRST: &[&str] = &[
    "process-start",
    "shell-command",
    "persistence",
    "credential-access",
    "decode-and-run",
    "environment-sweep",
    "anti-analysis",
    "network",
    "code-in-memory",
    "input-capture",
];

/// Whether a package itself runs a source.
fn is_source(node: &Node, content: &Content) -> bool {
    is_run(node, content) && !is_aside(node)
}

/// Endings of pages, and of templates of them.
const PAGES: &[&[u8]] = &[b".html", b".htm", b".xhtml", b".jinja", b".j2", b".vue", b".svelte"];

/// An artifact whose code names so many hosts is a table of them, as packages for many chains or services are.
const TABLE_MIN_HOSTS: usize = 64;

/// A source whose code names a host that nothing of the old release named. One of 565 honest pairs had one in code
/// that calls somebody, seven in other code, but one of them where the release only mends things. Says whether it is grave.
pub(super) fn talks(
    before: &Content,
    after: &Content,
    around: &Around,
    node: &Node,
    findings: &mut Findings,
) -> bool {
    let is_whole =
        [&before.called_hosts, &before.code_hosts].iter().all(|hosts| hosts.len() < Content::LIST_MAX);
    let is_page = PAGES.iter().any(|ending| node.name.as_bytes().ends_with(ending)) && !is_aside(node);
    // Of other files only those have such hosts that say where updates come from.
    let is_other =
        after.kind == "class" || (!after.called_hosts.is_empty() && !is_run(node, after) && !is_aside(node));
    if !(is_source(node, after) || is_page || is_other) || !is_whole {
        return false;
    }
    let new = |before: &BTreeSet<String>, after: &BTreeSet<String>| -> Vec<String> {
        after.difference(before).filter(|host| !around.hosts.contains(host.as_str())).cloned().collect()
    };
    let (called, named) =
        (new(&before.called_hosts, &after.called_hosts), new(&before.code_hosts, &after.code_hosts));
    let calls = !called.is_empty();
    let hosts = super::super::examples(if calls { called } else { named });
    if hosts.is_empty() {
        return false;
    }
    let mut because =
        vec![format!("its code names {}, which nothing of the old release named", hosts.join(", "))];
    if calls {
        because.push("it calls somebody, or stands between those who do".to_owned());
    }
    // Tables of hosts get longer with each release.
    let is_table = around.code_hosts.len() >= TABLE_MIN_HOSTS;
    let is_grave = calls || (is_patch(&around.releases.0, &around.releases.1) && !is_table);
    let severity = if is_grave { codes::HOST_ADDED.severity } else { Severity::Medium };
    findings.add(&codes::Code { severity, ..codes::HOST_ADDED }, because);
    is_grave
}

/// Families of what a source does that its package runs.
pub(super) fn families(node: &Node) -> impl Iterator<Item = &str> {
    let content = node.content.as_ref().filter(|content| is_run(node, content) && !is_aside(node));
    let names = content.into_iter().flat_map(|content| &content.capabilities);
    names.filter_map(|name| name.split('/').next().filter(|family| FIRST.contains(family)))
}

/// A source that does something of a kind which it did not do before. The first of its package counts always; others
/// in a release that only mends things. Says whether there is any.
pub(super) fn takes_up(before: &Content, around: &Around, node: &Node, findings: &mut Findings) -> bool {
    let earlier: BTreeSet<&str> =
        before.capabilities.iter().filter_map(|name| name.split('/').next()).collect();
    let new: BTreeSet<&str> = families(node).filter(|family| !earlier.contains(family)).collect();
    let (first, others): (Vec<&str>, Vec<&str>) =
        new.into_iter().partition(|family| !around.families.contains(*family));
    let mut because: Vec<String> =
        first.iter().map(|family| format!("{family}: no source of the old release did that")).collect();
    if is_patch(&around.releases.0, &around.releases.1) && !is_bundle(node) {
        because.extend(others.iter().map(|family| format!("{family}: new in this source")));
    }
    let is_told = !because.is_empty();
    if is_told {
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
    is_told
}

/// Whether a source is one that the package itself does not load: of its tests, its examples, its documentation.
pub(super) fn is_aside(node: &Node) -> bool {
    let base = node.name.file_name();
    node.name
        .as_bytes()
        .split(|byte| *byte == b'/')
        .any(|folder| ASIDE.contains(&folder.to_ascii_lowercase().as_slice()))
        || base == b"conftest.py"
        || base.starts_with(b"test_")
}

/// Families with which what a package runs by itself does harm alone.
const HARM: &[&str] = &[
    "process-start/pipe-to-shell",
    "credential-access/",
    "persistence/",
    "decode-and-run/",
    "environment-sweep/",
];
/// Families that are new at once only where somebody takes and sends, or fetches and runs.
const AT_ONCE: &[(&str, &str)] =
    &[("credential-access/", "network/"), ("credential-access/", "sends/"), ("process-start/", "network/")];

/// Capabilities that say much together, or in a file that runs by itself, if they are new. Says whether there are any.
pub(super) fn together(before: &Content, after: &Content, node: &Node, findings: &mut Findings) -> bool {
    let new: Vec<&String> = after.capabilities.difference(&before.capabilities).collect();
    let has = |family: &str| new.iter().any(|name| name.starts_with(family));
    let by_itself = runs_by_itself(node, after);
    // What starts programs and calls somebody is common, but in what runs by itself.
    let pair = AT_ONCE
        .iter()
        .find(|(one, other)| has(one) && has(other) && (by_itself || *one != "process-start/"))
        .filter(|_| is_run(node, after));
    let harm = HARM.iter().find(|family| by_itself && has(family));
    let mut because = Vec::new();
    because.extend(pair.map(|(one, other)| format!("{one} and {other}, both new").replace('/', "")));
    because.extend(harm.map(|family| format!("{}, and it runs by itself", family.trim_end_matches('/'))));
    let is_told = !because.is_empty();
    if is_told {
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
    is_told
}

/// A script of many others, with lines that nobody reads.
pub(super) fn is_bundle(node: &Node) -> bool {
    node.content.as_ref().is_some_and(|content| {
        matches!(content.kind.as_str(), "text" | "script") && content.longest_line >= LINE_SHORT_MAX_BYTES
    }) && [".js", ".mjs", ".cjs", ".map"]
        .iter()
        .any(|ending| node.name.as_bytes().ends_with(ending.as_bytes()))
}

/// What a class does that few of a package do, of which nothing is told by names alone.
const CLASSES: &[&str] = &[
    "process-start/jvm",
    "code-in-memory/jvm",
    "fetch-and-run/jvm",
    "drops-and-runs/jvm",
    "decode-and-run/jvm",
];

/// The package of a class, and what of the above it does.
pub(super) fn of_class(node: &Node) -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    let content = node.content.as_ref().filter(|content| content.kind == "class");
    let does = CLASSES
        .iter()
        .filter(move |name| content.is_some_and(|content| content.capabilities.contains(**name)));
    does.map(|name| (node.name.folder().to_vec(), *name))
}

pub(super) fn unsought(new: &Node, after: &Content, around: &Around, findings: &mut Findings) {
    if tricks(&Content::default(), after, new, findings) {
        return;
    }
    if !new.executables.is_empty() || !matches!(after.kind.as_str(), "text" | "script" | "class") {
        return;
    }
    let has = |family: &str| after.capabilities.iter().any(|name| name.starts_with(family));
    if let Some((one, other)) = UNSOUGHT.iter().find(|(one, other)| has(one) && has(other)) {
        // The words of a bundle are those of all that is in it. Where bundles were before, one more is worth a look.
        let usual = (*one == "decode-and-run/" && around.bundles
            || *one == "process-start/pipe-to-shell" && !after.capabilities.contains("process-start/script"))
            && is_bundle(new);
        let severity = if usual { Severity::Medium } else { Severity::High };
        let what = [*one, *other].map(|family| family.trim_end_matches('/')).join(" and ");
        let because = vec![format!("a new file with {}", what.trim_end_matches(" and "))];
        findings.add(&codes::Code { severity, ..codes::CAPABILITY_ADDED }, because);
        return;
    }
    takes_up(&Content::default(), around, new, findings);
}
