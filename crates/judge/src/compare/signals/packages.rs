//! Rules about what a package runs by itself, what it begins with, and what it asks for.

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::Content;
use evidence::{Node, Severity};

use super::{Around, Findings};
use crate::codes;
use crate::compare::names::without_versions;

/// Hooks that run by themselves; others run when somebody calls or publishes.
const AUTOMATIC: &[&str] = &[
    "npm-install",
    "python-start",
    "deb-install",
    "rpm-install",
    "device-command",
    "image-start",
    "image-user",
    "image-environment",
    "nuget-install",
    "conda-install",
    "nsis-install",
    "nsis-start",
    "msi-shortcut",
    "msi-install",
    "medium",
    "msi-service",
    "msi-start",
    "nuget-command",
    "gem-install",
    "python-build",
    "python-path",
    "java-start",
    "java-build",
    "editor",
    "every program",
    "every start",
    "rights",
    "login",
    "package manager",
    "cron",
    "shell start",
    "machine start",
    "usual-program",
    "python-library",
    "alias",
    "cargo-script",
    "cargo-macro",
    "cargo-settings",
    "java-agent",
    "plug-in",
    "settings",
];
/// Hooks that run when somebody calls, and that a release which mends things hardly adds.
const SELDOM: &[&str] =
    &["entry-point", "java-service", "cargo-build", "device", "session start", "unit-command"];
/// How functions that become programs begin, among the hooks.
const ENTRY_POINT: &str = "entry-point: ";
/// The place of what a package asks for from outside of its registry, among the hooks.
const SOURCE: &str = "source";

/// Whether a hook runs by itself.
pub(super) fn is_automatic(hook: &str) -> bool {
    AUTOMATIC.contains(&hook.split(": ").next().unwrap_or_default())
}

/// What runs by itself and did not, packages from elsewhere, and what somebody has to call.
pub(super) fn hooks(before: &Content, after: &Content, around: &Around, findings: &mut Findings) {
    let plain = |hook: &String, release: &str| without_versions(hook.as_bytes(), release);
    let known: BTreeSet<Vec<u8>> = before.hooks.iter().map(|hook| plain(hook, &around.releases.0)).collect();
    let new: Vec<&String> = after
        .hooks
        .iter()
        .filter(|hook| !known.contains(&plain(hook, &around.releases.1)))
        // The parts of an image are called by their digests: those of two releases cannot be paired.
        .filter(|hook| !around.image_hooks.contains(&without_versions(hook.as_bytes(), "")))
        .collect();
    let place = |hook: &str| hook.split(": ").next().unwrap_or_default().to_owned();
    let (automatic, called): (Vec<&String>, Vec<&String>) =
        new.into_iter().partition(|hook| is_automatic(hook));
    if !automatic.is_empty() {
        findings.add(&codes::INSTALL_HOOK_ADDED, super::super::examples(automatic));
    }
    let (elsewhere, called): (Vec<&String>, Vec<&String>) =
        called.into_iter().partition(|hook| place(hook) == SOURCE);
    if !elsewhere.is_empty() {
        findings.add(&codes::DEPENDENCY_ELSEWHERE, super::super::examples(elsewhere));
    }
    if !called.is_empty() {
        let code = codes::INSTALL_HOOK_ADDED;
        let mends = is_patch(&around.releases.0, &around.releases.1);
        let is_new = mends && called.iter().any(|hook| SELDOM.contains(&place(hook).as_str()));
        let severity = if is_new { code.severity } else { Severity::Low };
        findings.add(&codes::Code { severity, ..code }, super::super::examples(called));
    }
}

/// Another file than before is what a package begins with, and the old release did not have it; or a program that it
/// installs is another function.
pub(super) fn begins(
    before: &Content,
    after: &Content,
    around: &Around,
    node: &Node,
    findings: &mut Findings,
) {
    let folder = String::from_utf8_lossy(node.name.folder());
    let root =
        folder.strip_suffix("/").and_then(|folder| folder.rsplit_once('/')).map_or("", |(root, _)| root);
    let earlier = entries(before);
    let mut because = Vec::new();
    for (name, entry) in entries(after) {
        let Some(was) = earlier.get(&name).filter(|was| **was != entry) else { continue };
        let path = match &entry {
            Entry::File(file) => format!("{folder}{file}"),
            // `module:function [extra]`, from the folder on in which the distribution lies.
            Entry::Function(function) => {
                let module = function.split([':', '[']).next().unwrap_or_default().trim();
                let between = if root.is_empty() { "" } else { "/" };
                format!("{root}{between}{}.py", module.replace('.', "/"))
            }
        };
        if !around.had_file(&path) {
            because.push(format!("{name} is {entry} now, it was {was}; the old release has no such file"));
        }
    }
    if !because.is_empty() {
        findings.add(&codes::ENTRY_MOVED, because);
    }
}

/// What a package begins with.
#[derive(PartialEq, Eq)]
enum Entry {
    File(String),
    Function(String),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::File(text) | Self::Function(text)) = self;
        f.write_str(text)
    }
}

fn entries(content: &Content) -> BTreeMap<String, Entry> {
    let files = content.entry_files.iter().map(|(name, file)| (name.clone(), Entry::File(file.clone())));
    let functions = content.hooks.iter().filter_map(|hook| {
        let (name, function) = hook.strip_prefix(ENTRY_POINT)?.split_once('=')?;
        Some((name.trim().to_owned(), Entry::Function(function.trim().to_owned())))
    });
    files.chain(functions).collect()
}

/// Packages that are asked for now, and were not.
pub(super) fn wants(before: &Content, after: &Content, around: &Around, findings: &mut Findings) {
    let is_whole = |content: &Content| content.requirements.len() < Content::LIST_MAX;
    if before.kind.is_empty() || !is_whole(before) || !is_whole(after) {
        return;
    }
    let new: Vec<&str> = after.requirements.difference(&before.requirements).map(String::as_str).collect();
    if new.is_empty() {
        return;
    }
    let is_patch = is_patch(&around.releases.0, &around.releases.1);
    let release = if is_patch { "a release that mends things" } else { "this release" };
    let mut because = vec![format!("{release} asks for {}", new.join(", "))];
    let alike = new
        .iter()
        .filter_map(|name| Some((name, before.requirements.iter().find(|known| is_alike(known, name))?)));
    let alike: Vec<String> =
        alike.map(|(name, known)| format!("{name} is written nearly like {known}")).collect();
    let severity =
        if is_patch || !alike.is_empty() { codes::REQUIREMENT_ADDED.severity } else { Severity::Low };
    because.extend(alike);
    findings.add(&codes::Code { severity, ..codes::REQUIREMENT_ADDED }, because);
}

/// Shorter names are alike by chance.
const ALIKE_MIN: usize = 5;

/// Whether two names differ in one letter that was left out, put in, replaced, or taken for its neighbour; numbers may
/// differ.
fn is_alike(known: &str, name: &str) -> bool {
    let (known, name) = (known.as_bytes(), name.as_bytes());
    if known.len().min(name.len()) < ALIKE_MIN {
        return false;
    }
    let same = known.iter().zip(name).take_while(|(one, other)| one == other).count();
    let (one, other) = (&known[same..], &name[same..]);
    let is_letter = |rest: &[u8]| rest.first().is_some_and(|byte| !byte.is_ascii_digit());
    match (one, other) {
        ([a, b, rest @ ..], [c, d, others @ ..]) if (a, b) == (d, c) && rest == others => true,
        ([_, rest @ ..], [_, others @ ..]) if rest == others => is_letter(one) && is_letter(other),
        ([_, rest @ ..], others) if rest == others => is_letter(one),
        (rest, [_, others @ ..]) if rest == others => is_letter(other),
        _ => false,
    }
}

/// Whether at most the third number moved ("Semantic Versioning", 6: fixes that change nothing else).
pub(super) fn is_patch(old: &str, new: &str) -> bool {
    let parts =
        |release: &str| -> Vec<String> { release.split(['.', '-', '+']).map(str::to_owned).collect() };
    let (old, new) = (parts(old), parts(new));
    old.len() >= 3 && new.len() >= 3 && old[..2] == new[..2]
}
