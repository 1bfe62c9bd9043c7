//! Rules about what a member holds and can do.

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::Content;
use evidence::{Node, Severity};

use super::load::is_from_system;
use super::programs::{another, executables};
use super::{Around, Findings, OTHERWISE, Structure};
use crate::codes;
use crate::compare::names::without_versions;

/// New imports of these families were in none of 630 honest changes: one suffices together with nothing else.
const GRAVE: &[&str] = &["code-injection/import", "credential-access/import", "persistence/import"];
/// Hooks that run by themselves; others run when somebody calls or publishes.
const AUTOMATIC: &[&str] = &[
    "npm-install",
    "python-start",
    "deb-install",
    "nuget-install",
    "conda-install",
    "nsis-install",
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
];
/// The place of what a package asks for from outside of its registry, among the hooks.
const SOURCE: &str = "source";
/// Bytes behind the end of a picture or font: fewer are padding.
const APPENDED_MIN_BYTES: u64 = 64;
/// What pictures and fonts are called, by their content.
const MEDIA: &[&str] = &["png", "jpeg", "gif", "webp", "font", "icon", "pdf", "mp3", "mp4", "ogg", "flac"];
/// Endings of source text, in which nobody needs invisible characters.
const SOURCES: &[&str] = &[
    "js", "mjs", "cjs", "ts", "jsx", "tsx", "py", "c", "h", "cc", "cpp", "rs", "go", "java", "rb", "sh",
    "ps1", "php",
];
/// A few invisible characters stand in tables of Unicode; data needs more.
const INVISIBLE_MIN: u64 = 24;
/// Encoded strings and lines must grow so much to be a partner of a capability.
const ENCODED_GROWTH_MIN_BYTES: u64 = 1024;
const LINE_GROWTH_MIN_BYTES: u64 = 2000;
/// Scripts with longer lines are bundles: there, a long line says nothing.
const LINE_SHORT_MAX_BYTES: u64 = 1000;
const RANDOM_GROWTH_MIN: u64 = 2;

pub(super) fn changed(
    old: &Node,
    new: &Node,
    around: &Around,
    structure: &Structure,
    findings: &mut Findings,
) {
    let nothing = Content::default();
    let (before, after) =
        (old.content.as_ref().unwrap_or(&nothing), new.content.as_ref().unwrap_or(&nothing));
    common(before, after, around, new, findings);
    rights(Some(old), new, findings);
    links(Some(old), new, findings);
    replaced(old, new, around, findings);
    let mut partners = structure.partners.clone();
    if after.random_windows >= before.random_windows + RANDOM_GROWTH_MIN.max(before.random_windows / 2) {
        partners.push(format!(
            "{} random-looking windows, there were {}",
            after.random_windows, before.random_windows
        ));
    }
    if after.longest_encoded >= before.longest_encoded + ENCODED_GROWTH_MIN_BYTES {
        partners.push(format!("an encoded string of {} bytes", after.longest_encoded));
    }
    let is_script = matches!(after.kind.as_str(), "text" | "script");
    if is_script
        && before.longest_line < LINE_SHORT_MAX_BYTES
        && after.longest_line >= before.longest_line + LINE_GROWTH_MIN_BYTES
    {
        partners
            .push(format!("a line of {} bytes, the longest was {}", after.longest_line, before.longest_line));
    }
    if after.bidirectional > before.bidirectional || after.invisible > before.invisible {
        partners.push("hidden characters".to_owned());
    }
    let hosts: Vec<&String> = after.hosts.difference(&before.hosts).collect();
    if is_script && !hosts.is_empty() && !before.more_hosts {
        partners.push(format!("new hosts: {}", super::super::examples(&hosts).join(", ")));
        if is_run(new, after) {
            fetches(before, after, &hosts, findings);
        }
    }
    compound(old, new, structure, &partners, findings);
    if !tricks(before, after, new, findings) {
        together(before, after, new, findings);
    }
    obfuscated(after, is_script, &partners, findings);
    partners.extend(structure.otherwise(before, after));
    capabilities(before, after, is_script, &partners, findings);
}

/// The same version, made by the same tools, and yet with new parts: 0 of 630 honest changes.
fn compound(old: &Node, new: &Node, structure: &Structure, partners: &[String], findings: &mut Findings) {
    if !structure.same_version || !structure.same_tools {
        return;
    }
    let mut because = partners.to_vec();
    for (before, after) in super::slices(old, new) {
        let code = |image: &evidence::tree::Executable| -> BTreeMap<String, String> {
            let code = image.sections.iter().filter(|section| section.executable);
            code.map(|section| (section.name.clone(), section.digest.to_string())).collect()
        };
        if code(before) == code(after) && before.sections.len() == after.sections.len() {
            continue;
        }
        let new_sections = after.sections.len() > before.sections.len();
        let imports: Vec<&String> =
            after.imports.difference(&before.imports).filter(|name| is_from_system(name)).collect();
        let exports: Vec<&String> = after.exports.difference(&before.exports).collect();
        if new_sections {
            because.push("a new section".to_owned());
        }
        if !imports.is_empty() {
            because
                .push(format!("new imports from the system: {}", super::super::examples(imports).join(", ")));
        }
        if !exports.is_empty() {
            because.push(format!("new exports: {}", super::super::examples(exports).join(", ")));
        }
        if let Some(version) = after.version.as_deref().filter(|_| !because.is_empty()) {
            because.push(format!("it says that it is version {version}, as before, by the same tools"));
        }
    }
    if !because.is_empty() {
        findings.add(&codes::SAME_VERSION_CHANGED, because);
    }
}

/// A script of short lines that has an encoded string and a very long line now, and decodes and runs something: even
/// if it did that before.
fn obfuscated(after: &Content, is_script: bool, partners: &[String], findings: &mut Findings) {
    let has = |what: &str| partners.iter().any(|partner| partner.starts_with(what));
    if is_script
        && has("an encoded string")
        && has("a line of")
        && after.capabilities.iter().any(|name| name.starts_with("decode-and-run/"))
    {
        let because = [vec!["it decodes and runs".to_owned()], partners.to_vec()].concat();
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
}

fn capabilities(
    before: &Content,
    after: &Content,
    is_script: bool,
    partners: &[String],
    findings: &mut Findings,
) {
    let new: Vec<&String> = after.capabilities.difference(&before.capabilities).collect();
    if new.is_empty() {
        return;
    }
    let names: Vec<&str> = new.iter().map(|name| name.as_str()).collect();
    let mut because = vec![format!("new: {}", names.join(", "))];
    let grave = names.iter().any(|name| GRAVE.contains(name));
    // A script that decodes and runs needs one partner; one that only calls somebody needs to hide as well.
    let strong = names.iter().any(|name| {
        [
            "decode-and-run/",
            "process-start/",
            "credential-access/",
            "persistence/",
            "environment-sweep/",
            "code-in-memory/",
            "anti-analysis/",
        ]
        .iter()
        .any(|family| name.starts_with(family))
    });
    let structural: Vec<&String> = partners
        .iter()
        .filter(|partner| !is_script || !partner.starts_with("new hosts") || names.len() >= 2)
        .collect();
    if grave
        || ((strong || partners.iter().any(|partner| partner.starts_with(OTHERWISE)))
            && !structural.is_empty())
        || (!is_script && names.len() >= 2 && !structural.is_empty())
    {
        because.extend(structural.into_iter().map(|partner| format!("and in the same file: {partner}")));
        let code = codes::CAPABILITY_ADDED;
        findings.add(&codes::Code { severity: Severity::High, ..code }, because);
    } else {
        findings.add(&codes::CAPABILITY_ADDED, because);
    }
}

/// Families with which a script that calls a new host can run what it gets.
const RUNS: &[&str] = &["process-start/", "decode-and-run/"];

/// A script that fetches and runs things, as it did before, calls somebody else now.
/// In a bundle, whose words are everybody's, that is worth a look and no more.
fn fetches(before: &Content, after: &Content, hosts: &[&String], findings: &mut Findings) {
    let has = |family: &&str| after.capabilities.iter().any(|name| name.starts_with(*family));
    if has(&"network/") && RUNS.iter().any(has) {
        let because = vec![
            format!("new hosts: {}", super::super::examples(hosts).join(", ")),
            "it uses the network and starts programs or runs what it decodes".to_owned(),
        ];
        let is_bundle = before.longest_line >= LINE_SHORT_MAX_BYTES;
        let severity = if is_bundle { Severity::Medium } else { codes::HOST_ADDED.severity };
        findings.add(&codes::Code { severity, ..codes::HOST_ADDED }, because);
    }
}

/// The set-user-ID and set-group-ID bits.
const RIGHTS: u32 = 0o6000;

/// A file that runs with the rights of its owner, and did not.
fn rights(old: Option<&Node>, new: &Node, findings: &mut Findings) {
    let of = |node: &Node| node.mode.unwrap_or(0) & RIGHTS;
    let before = old.map_or(0, of);
    let is_file = new.link.is_none() && new.format != "directory";
    if is_file && of(new) & !before != 0 {
        let mode = |mode: Option<u32>| mode.map_or_else(|| "no mode".to_owned(), |mode| format!("{mode:o}"));
        let was = old.map_or_else(|| "it is new".to_owned(), |old| format!("it was {}", mode(old.mode)));
        findings.add(&codes::RIGHTS_ADDED, vec![format!("its mode is {}; {was}", mode(new.mode))]);
    }
}

/// Folders of somebody, and those in which everybody may write.
const SOMEBODYS: &[&[u8]] =
    &[b"/root/", b"/home/", b"/Users/", b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"C:\\Users\\"];

/// A symbolic link that leads into a folder of whoever unpacks it, or to where anybody may write.
fn links(old: Option<&Node>, new: &Node, findings: &mut Findings) {
    let Some(target) = new.link.as_ref().filter(|_| old.is_none_or(|old| old.link != new.link)) else {
        return;
    };
    let folder = [target.as_bytes(), b"/"].concat();
    if SOMEBODYS.iter().any(|begin| folder.starts_with(begin)) {
        findings.add(&codes::ARCHIVE_MISLEADS, vec![format!("it is a symbolic link to `{target}` now")]);
    }
}

/// What was a program is none any more, or the other way round, under the same name.
fn replaced(old: &Node, new: &Node, around: &Around, findings: &mut Findings) {
    let is_program = |node: &Node| matches!(node.format.as_str(), "pe" | "elf" | "macho");
    if is_program(old) && is_program(new) {
        another(old, new, findings);
    }
    let kind = |node: &Node| node.content.as_ref().map(|content| content.kind.clone()).unwrap_or_default();
    if MEDIA.contains(&kind(old).as_str()) && kind(new).is_empty() && new.format == "data" && new.size > 0 {
        let because = format!("it was a {}, and its content is of no known kind now", kind(old));
        findings.add(&codes::DISGUISED_FILE, vec![because]);
    }
    if !is_program(old) && is_program(new) && old.size > 0 {
        executables(new, around, findings);
    }
    if is_program(old) && !is_program(new) && new.link.is_none() {
        let because =
            vec![format!("{} of {} bytes → {} of {} bytes", old.format, old.size, new.format, new.size)];
        findings.add(&codes::EXECUTABLE_REPLACED, because);
    }
}

/// Rules that hold for changed and for new members alike; a new one is compared with nothing.
fn common(before: &Content, after: &Content, around: &Around, node: &Node, findings: &mut Findings) {
    hooks(before, after, around, findings);
    if !around.class_starts && class_starts(node) {
        let because = vec!["a class starts programs; none of this artifact did".to_owned()];
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
    if let Some(claim) = after.claims.as_ref().filter(|_| before.claims != after.claims) {
        findings.add(
            &codes::DISGUISED_FILE,
            vec![format!("the name says {claim}, the content is {}", after.kind)],
        );
    }
    let base = node.name.to_string();
    let is_source = base.rsplit_once('.').is_some_and(|(_, ending)| SOURCES.contains(&ending));
    let mut because = Vec::new();
    if after.bidirectional > before.bidirectional {
        because.push(format!(
            "{} bidirectional controls, there were {}",
            after.bidirectional, before.bidirectional
        ));
    }
    if after.invisible >= before.invisible + INVISIBLE_MIN {
        because.push(format!("{} invisible characters, there were {}", after.invisible, before.invisible));
    }
    // Nobody reads the lines of a bundle on a screen: tables of characters stand there as they are.
    let is_bundle = after.longest_line >= LINE_SHORT_MAX_BYTES
        && (before.kind.is_empty() || before.longest_line >= LINE_SHORT_MAX_BYTES);
    let only_order = because.len() == 1 && after.bidirectional > before.bidirectional;
    let severity = if is_bundle && only_order { Severity::Low } else { codes::HIDDEN_TEXT.severity };
    if after.lookalikes > before.lookalikes {
        because.push(format!("{} words with letters of another script among Latin ones", after.lookalikes));
    }
    if after.far_right > before.far_right {
        because.push(format!("{} lines with something behind hundreds of blanks", after.far_right));
    }
    if !because.is_empty() && (is_source || after.kind == "script") {
        findings.add(&codes::Code { severity, ..codes::HIDDEN_TEXT }, because);
    }
    if before.appended_bytes == 0 && after.appended_bytes >= APPENDED_MIN_BYTES {
        let because = format!("{} bytes behind the end of the {}", after.appended_bytes, after.kind);
        findings.add(&codes::OVERLAY_ADDED, vec![because]);
    }
    // Only code counts: archives among data are common in tests and documentation.
    let known: BTreeSet<&str> = embedded_code(before).map(|(kind, _)| kind).collect();
    let because: Vec<String> = embedded_code(after)
        .filter(|(kind, _)| !known.contains(kind))
        .map(|(kind, offset)| format!("{kind} at offset {offset}"))
        .collect();
    if !because.is_empty() {
        findings.add(&codes::EMBEDDED_PAYLOAD, super::super::examples(because));
    }
}

fn embedded_code(content: &Content) -> impl Iterator<Item = (&str, u64)> {
    let code = content.embedded.iter().filter(|one| matches!(one.kind.as_str(), "pe" | "elf" | "macho"));
    code.map(|one| (one.kind.as_str(), one.offset))
}

fn hooks(before: &Content, after: &Content, around: &Around, findings: &mut Findings) {
    let plain = |hook: &String, release: &str| without_versions(hook.as_bytes(), release);
    let known: BTreeSet<Vec<u8>> = before.hooks.iter().map(|hook| plain(hook, &around.releases.0)).collect();
    let new: Vec<&String> =
        after.hooks.iter().filter(|hook| !known.contains(&plain(hook, &around.releases.1))).collect();
    let place = |hook: &str| hook.split(": ").next().unwrap_or_default().to_owned();
    let (automatic, called): (Vec<&String>, Vec<&String>) =
        new.into_iter().partition(|hook| AUTOMATIC.contains(&place(hook).as_str()));
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
        findings.add(&codes::Code { severity: Severity::Low, ..code }, super::super::examples(called));
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
];

/// Whether somebody runs the file: not documentation, and no map of sources.
fn is_run(node: &Node, content: &Content) -> bool {
    let name = node.name.to_string();
    let is_source = name.rsplit_once('.').is_some_and(|(_, ending)| SOURCES.contains(&ending));
    is_source || content.kind == "script" || runs_by_itself(node, content)
}

/// Files that are run when a package is built or installed, besides those whose hooks say so.
const BUILDS: &[&[u8]] = &[b"setup.py", b"build.rs", b"extconf.rb"];

fn runs_by_itself(node: &Node, content: &Content) -> bool {
    let place = |hook: &String| hook.split(": ").next().unwrap_or_default().to_owned();
    BUILDS.contains(&node.name.file_name())
        || content.hooks.iter().map(place).any(|place| AUTOMATIC.contains(&place.as_str()))
}

/// Names tricks that are new, and says whether there are any.
fn tricks(before: &Content, after: &Content, node: &Node, findings: &mut Findings) -> bool {
    let new = after.capabilities.difference(&before.capabilities).map(String::as_str);
    let is_run = is_run(node, after);
    let new: Vec<&str> =
        new.filter(|name| TRICKS.contains(name) && (is_run || name.starts_with("code-in-data/"))).collect();
    if new.is_empty() {
        return false;
    }
    let because = vec![format!("new: {}", new.join(", "))];
    findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    true
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

/// Capabilities that say much together, or in a file that runs by itself, if they are new.
fn together(before: &Content, after: &Content, node: &Node, findings: &mut Findings) {
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
    if !because.is_empty() {
        findings.add(&codes::Code { severity: Severity::High, ..codes::CAPABILITY_ADDED }, because);
    }
}

/// Bytecode of Python where the interpreter takes it for a module, without a source that could be read (PEP 3147, "Case 4").
pub(super) fn is_loose_bytecode(node: &Node) -> bool {
    let path = node.name.as_bytes();
    node.content.as_ref().is_some_and(|content| content.kind == "pyc")
        && path.ends_with(b".pyc")
        && !path.split(|byte| *byte == b'/').any(|folder| folder == b"__pycache__")
}

/// A script of many others, with lines that nobody reads.
pub(super) fn is_bundle(node: &Node) -> bool {
    node.content.as_ref().is_some_and(|content| {
        matches!(content.kind.as_str(), "text" | "script") && content.longest_line >= LINE_SHORT_MAX_BYTES
    }) && [".js", ".mjs", ".cjs", ".map"]
        .iter()
        .any(|ending| node.name.as_bytes().ends_with(ending.as_bytes()))
}

/// A class that starts programs.
pub(super) fn class_starts(node: &Node) -> bool {
    node.content
        .as_ref()
        .is_some_and(|content| content.kind == "class" && content.capabilities.contains("process-start/jvm"))
}

fn unsought(new: &Node, after: &Content, around: &Around, findings: &mut Findings) {
    if tricks(&Content::default(), after, new, findings) {
        return;
    }
    if !new.executables.is_empty() || !matches!(after.kind.as_str(), "text" | "script" | "class") {
        return;
    }
    let has = |family: &str| after.capabilities.iter().any(|name| name.starts_with(family));
    if let Some((one, other)) = UNSOUGHT.iter().find(|(one, other)| has(one) && has(other)) {
        // The words of a bundle are those of all that is in it. Where bundles were before, one more is worth a look.
        let usual = *one == "decode-and-run/" && around.bundles && is_bundle(new);
        let severity = if usual { Severity::Medium } else { Severity::High };
        let what = [*one, *other].map(|family| family.trim_end_matches('/')).join(" and ");
        let because = vec![format!("a new file with {}", what.trim_end_matches(" and "))];
        findings.add(&codes::Code { severity, ..codes::CAPABILITY_ADDED }, because);
    }
}

/// Judges a member that was not there before.
pub(super) fn added(new: &Node, around: &Around, findings: &mut Findings) {
    if let Some(after) = &new.content {
        common(&Content::default(), after, around, new, findings);
        unsought(new, after, around, findings);
    }
    rights(None, new, findings);
    links(None, new, findings);
    if is_loose_bytecode(new) && !around.loose_bytecode {
        findings.add(&codes::FOREIGN_EXECUTABLE, vec!["bytecode without its source".to_owned()]);
    }
    executables(new, around, findings);
}
