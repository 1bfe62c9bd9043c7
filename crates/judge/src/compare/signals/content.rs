//! Rules about what a member holds and can do.

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::Content;
use evidence::{Node, Severity};

use super::load::is_from_system;
use super::packages::{begins, hooks, wants};
use super::programs::{another, executables, first_to_start};
use super::sources::{
    LINE_SHORT_MAX_BYTES, SOURCES, classes, is_run, loaded, takes_up, talks, together, tricks, unsought,
};
use super::{Around, Findings, OTHERWISE, Structure, safeguards};
use crate::codes;

/// New imports of these families were in none of 630 honest changes: one suffices together with nothing else.
const GRAVE: &[&str] = &["code-injection/import", "credential-access/import", "persistence/import"];
/// Bytes behind the end of a picture or font: fewer are padding.
const APPENDED_MIN_BYTES: u64 = 64;
/// What pictures and fonts are called, by their content.
const MEDIA: &[&str] = &["png", "jpeg", "gif", "webp", "font", "icon", "pdf", "mp3", "mp4", "ogg", "flac"];
/// A few invisible characters stand in tables of Unicode; data needs more.
const INVISIBLE_MIN: u64 = 24;
/// Encoded strings and lines must grow so much to be a partner of a capability.
const ENCODED_GROWTH_MIN_BYTES: u64 = 1024;
const LINE_GROWTH_MIN_BYTES: u64 = 2000;
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
    safeguards::lost(before, after, around, new, findings);
    safeguards::weakened(before, after, around, new, findings);
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
    let calls = talks(before, after, around, new, findings);
    let hosts: Vec<&String> = after.hosts.difference(&before.hosts).collect();
    if is_script && !hosts.is_empty() && !before.more_hosts {
        partners.push(format!("new hosts: {}", super::super::examples(&hosts).join(", ")));
        if is_run(new, after) && !calls {
            fetches(before, after, &hosts, findings);
        }
    }
    compound(old, new, structure, &partners, findings);
    let is_told = tricks(before, after, new, findings)
        || together(before, after, new, findings)
        || takes_up(before, around, new, findings)
        || first_to_start(before, new, around, findings);
    obfuscated(after, is_script, &partners, findings);
    partners.extend(structure.otherwise(before, after));
    capabilities(before, after, is_script, &partners, is_told, findings);
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
    is_told: bool,
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
    } else if !is_told {
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

/// Folders with what limits programs and people.
const LIMITS: &[&str] =
    &["etc/apparmor", "etc/security/", "etc/selinux/", "etc/audit/", "etc/pam.d/", "etc/sudoers"];

/// A layer of an image that takes limits away which lower layers have.
fn takes_away(new: &Node, findings: &mut Findings) {
    let name = new.name.to_string();
    if new.format == "whiteout"
        && LIMITS.iter().any(|folder| name.trim_start_matches("./").starts_with(folder))
    {
        let because = vec![format!("the layer takes away what lower ones limit by: `{name}`")];
        findings.add(&codes::Code { severity: Severity::High, ..codes::HARDENING_LOST }, because);
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
    loaded(before, after, around, node, findings);
    begins(before, after, around, node, findings);
    wants(before, after, around, findings);
    classes(before, after, around, node, findings);
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
    let mut known: BTreeSet<&str> = embedded_code(before).map(|(kind, _)| kind).collect();
    // The slices of a universal image are the image.
    if node.format == "macho" && node.executables.len() > 1 {
        known.insert("macho");
    }
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

/// Bytecode of Python where the interpreter takes it for a module, without a source that could be read (PEP 3147, "Case 4").
pub(super) fn is_loose_bytecode(node: &Node) -> bool {
    let path = node.name.as_bytes();
    node.content.as_ref().is_some_and(|content| content.kind == "pyc")
        && path.ends_with(b".pyc")
        && !path.split(|byte| *byte == b'/').any(|folder| folder == b"__pycache__")
}

/// Judges a member that was not there before.
pub(super) fn added(new: &Node, around: &Around, findings: &mut Findings) {
    if let Some(after) = &new.content {
        common(&Content::default(), after, around, new, findings);
        talks(&Content::default(), after, around, new, findings);
        unsought(new, after, around, findings);
    }
    rights(None, new, findings);
    takes_away(new, findings);
    links(None, new, findings);
    if is_loose_bytecode(new) && !around.loose_bytecode {
        findings.add(&codes::FOREIGN_EXECUTABLE, vec!["bytecode without its source".to_owned()]);
    }
    executables(new, around, findings);
    first_to_start(&Content::default(), new, around, findings);
}
