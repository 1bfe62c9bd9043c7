//! Rules about what a package runs by itself, what it begins with, and what it asks for.

use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::{Content, Hook, Place};
use evidence::{Node, Severity};

use super::{Around, Findings};
use crate::codes;
use crate::compare::names::without_versions;

/// When what a hook names runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// By itself: at installation, at a build, at a start, or in place of what somebody means to call.
    Alone,
    /// When somebody calls, and a release that mends things hardly adds it.
    Seldom,
    /// When somebody calls or publishes.
    Called,
    /// It is asked for from outside of the registry.
    Elsewhere,
}

const fn runs(place: Place) -> Runs {
    use Place::{
        Alias, CargoBuild, CargoMacro, CargoScript, CargoSettings, CondaInstall, Cron, DebInstall, Device,
        DeviceCommand, Editor, EntryPoint, EveryProgram, EveryStart, GemInstall, GypCommand,
        ImageEnvironment, ImageStart, ImageUser, JavaAgent, JavaBuild, JavaService, JavaStart, Login,
        MachineStart, Medium, MsiInstall, MsiProperty, MsiService, MsiShortcut, MsiStart, NpmInstall,
        NpmPublish, NsisInstall, NsisStart, NugetBuild, NugetCommand, NugetInstall, PackageManager, PlugIn,
        PythonBuild, PythonLibrary, PythonPath, PythonStart, Rights, RpmInstall, SessionStart, Settings,
        ShellStart, Source, UnitCommand, UsualProgram,
    };
    match place {
        Alias | CargoMacro | CargoScript | CargoSettings | CondaInstall | Cron | DebInstall
        | DeviceCommand | Editor | EveryProgram | EveryStart | GemInstall | ImageEnvironment | ImageStart
        | ImageUser | JavaAgent | JavaBuild | JavaStart | Login | MachineStart | Medium | MsiInstall
        | MsiService | MsiShortcut | MsiStart | NpmInstall | NsisInstall | NsisStart | NugetCommand
        | NugetInstall | PackageManager | PlugIn | PythonBuild | PythonLibrary | PythonPath | PythonStart
        | Rights | RpmInstall | Settings | ShellStart | UsualProgram => Runs::Alone,
        CargoBuild | Device | EntryPoint | JavaService | SessionStart | UnitCommand => Runs::Seldom,
        GypCommand | MsiProperty | NpmPublish | NugetBuild => Runs::Called,
        Source => Runs::Elsewhere,
    }
}

/// Whether a hook runs by itself.
pub(super) fn is_automatic(hook: &Hook) -> bool {
    runs(hook.place) == Runs::Alone
}

/// Whether the configuration of a container's image has it.
pub(super) const fn is_of_image(place: Place) -> bool {
    matches!(place, Place::ImageStart | Place::ImageUser | Place::ImageEnvironment)
}

/// A hook without what moves with the release, and without the folder into which systems move all others (the `/usr` merge).
pub(super) fn plain(hook: &Hook, release: &str) -> Hook {
    let command = without_versions(hook.command.as_bytes(), release);
    let command = String::from_utf8_lossy(&command);
    let merged = command.strip_prefix("./usr/").map(|rest| format!("./{rest}"));
    Hook { place: hook.place, command: merged.unwrap_or_else(|| command.into_owned()) }
}

/// What runs by itself and did not, packages from elsewhere, and what somebody has to call.
pub(super) fn hooks(before: &Content, after: &Content, around: &Around, findings: &mut Findings) {
    let known: BTreeSet<Hook> = before.hooks.iter().map(|hook| plain(hook, &around.releases.0)).collect();
    let new: Vec<&Hook> = after
        .hooks
        .iter()
        .filter(|hook| !known.contains(&plain(hook, &around.releases.1)))
        // The parts of an image are called by their digests: those of two releases cannot be paired.
        .filter(|hook| !around.image_hooks.contains(&plain(hook, "")))
        .collect();
    let (automatic, called): (Vec<&Hook>, Vec<&Hook>) = new.into_iter().partition(|hook| is_automatic(hook));
    if !automatic.is_empty() {
        findings.add(&codes::INSTALL_HOOK_ADDED, super::super::examples(automatic));
    }
    let (elsewhere, called): (Vec<&Hook>, Vec<&Hook>) =
        called.into_iter().partition(|hook| runs(hook.place) == Runs::Elsewhere);
    if !elsewhere.is_empty() {
        findings.add(&codes::DEPENDENCY_ELSEWHERE, super::super::examples(elsewhere));
    }
    if !called.is_empty() {
        let code = codes::INSTALL_HOOK_ADDED;
        let mends = is_patch(&around.releases.0, &around.releases.1);
        let is_new = mends && called.iter().any(|hook| runs(hook.place) == Runs::Seldom);
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
    let points = content.hooks.iter().filter(|hook| hook.place == Place::EntryPoint);
    let functions = points.filter_map(|hook| {
        let (name, function) = hook.command.split_once('=')?;
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

/// Whether the first number moved: what was there before may be gone ("Semantic Versioning", 8). Releases that are not known do not move.
pub(super) fn is_leap(releases: &(String, String)) -> bool {
    let first = |release: &str| release.split(['.', '-', '+']).next().unwrap_or_default().to_owned();
    first(&releases.0) != first(&releases.1)
}

/// Whether at most the third number moved ("Semantic Versioning", 6: fixes that change nothing else).
pub(super) fn is_patch(old: &str, new: &str) -> bool {
    let parts =
        |release: &str| -> Vec<String> { release.split(['.', '-', '+']).map(str::to_owned).collect() };
    let (old, new) = (parts(old), parts(new));
    old.len() >= 3 && new.len() >= 3 && old[..2] == new[..2]
}
