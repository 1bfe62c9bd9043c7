//! Differences between what two builds used: sources, dependencies, toolchain.

use std::collections::{BTreeMap, BTreeSet};

use evidence::record::{File, Record, Role};
use evidence::{BytePath, Component, Digest, Finding, Node, Subject};

use super::{Area, Change, Difference, Side, Status, examples, written};
use crate::codes;

/// What changed among the inputs, and which of it may explain a changed output.
#[derive(Default)]
pub(super) struct Inputs<'a> {
    /// Paths (in the new record) whose change explains what was made from them.
    pub(super) causes: BTreeMap<&'a BytePath, String>,
    /// Whether any source was removed: it explains what is gone.
    pub(super) source_removed: bool,
    pub(super) differences: Vec<Difference>,
    pub(super) findings: Vec<Finding>,
}

/// Compares the inputs of two records.
pub(super) fn inputs<'a>(old: &Side<'a>, new: &Side<'a>) -> Inputs<'a> {
    let mut result = Inputs::default();
    let before = by_name(old.record);
    let after = by_name(new.record);
    let mut toolchain = Grouped::default();
    let mut dependencies = Grouped::default();
    for (name, file) in &after {
        let earlier = before.get(name).copied();
        if earlier.is_some_and(|earlier| earlier.read == file.read) {
            continue;
        }
        match file.role {
            Role::Source if is_prebuilt(file) => prebuilt(&mut result, old, new, name, earlier, file),
            Role::Source => {
                let change = if earlier.is_some() { Change::Changed } else { Change::Added };
                result.causes.insert(&file.path, format!("source `{}` {}", show(name), word(change)));
                result.differences.push(difference(Area::Source, name, change, earlier, Some(file)));
            }
            Role::Toolchain => toolchain.add(earlier, file),
            Role::Dependency => dependencies.add(earlier, file),
            Role::Generated | Role::Output => {}
        }
    }
    for (name, file) in &before {
        if file.role == Role::Source && !after.contains_key(name) {
            result.source_removed = true;
            result.differences.push(difference(Area::Source, name, Change::Removed, Some(file), None));
        }
    }
    packages(&mut result, old.record, new.record, toolchain, Area::Toolchain);
    packages(&mut result, old.record, new.record, dependencies, Area::Dependency);
    result
}

/// Inputs by a name that is the same in both builds: relative to the working directory where they lie below it.
fn by_name(record: &Record) -> BTreeMap<&[u8], &File> {
    record
        .files
        .iter()
        .filter(|file| file.is_input() && !file.read.is_empty())
        .map(|file| (relative(record, &file.path), file))
        .collect()
}

/// Returns the path relative to the record's working directory where it lies below it, else as it is.
pub(super) fn relative<'p>(record: &Record, path: &'p BytePath) -> &'p [u8] {
    let workdir = record.workdir.as_bytes();
    if workdir.len() > 1 && path.is_below(workdir) {
        let rest = &path.as_bytes()[workdir.len()..];
        return rest.strip_prefix(b"/").unwrap_or(rest);
    }
    path.as_bytes()
}

/// A binary among the sources: nobody in this project wrote its bytes, so its change explains nothing.
pub(super) fn is_prebuilt(file: &File) -> bool {
    file.format.is_some()
}

fn prebuilt(result: &mut Inputs, old: &Side, new: &Side, name: &[u8], earlier: Option<&File>, file: &File) {
    let subject = Subject { path: Some(BytePath::from(name)), digest: file.content() };
    let change = if earlier.is_some() { Change::Changed } else { Change::Added };
    let mut difference = difference(Area::Source, name, change, earlier, Some(file));
    difference.status = Status::Drift;
    result.differences.push(difference);
    let Some(earlier) = earlier else {
        let because = vec![format!("the baseline did not use `{}`", show(name))];
        result.findings.push(codes::PREBUILT_ADDED.finding(subject, because));
        return;
    };
    let before = earlier.content().and_then(|digest| find(old, &digest));
    let after = file.content().and_then(|digest| find(new, &digest));
    let version = |node: Option<&Node>| node.and_then(|node| node.executables.first()?.version.clone());
    let versions = (version(before), version(after));
    let mut because = vec![format!("`{}` has other bytes than in the baseline", show(name))];
    if let (Some(before), Some(after)) = (before, after) {
        because.extend(super::executables::describe(before, after));
    }
    let code = match versions {
        (Some(old), Some(new)) if old != new => &codes::PREBUILT_UPDATED,
        _ => &codes::PREBUILT_CHANGED,
    };
    result.findings.push(code.finding(subject, because));
}

/// Finds the inspected member with these bytes among a side's outputs.
fn find<'a>(side: &Side<'a>, digest: &Digest) -> Option<&'a Node> {
    let mut stack: Vec<&Node> = side.trees.values().map(|tree| &tree.root).collect();
    while let Some(node) = stack.pop() {
        if node.digest == Some(*digest) && !node.executables.is_empty() {
            return Some(node);
        }
        stack.extend(&node.members);
    }
    None
}

/// Changed files by the package that owns them now; `None` for those that none owns.
#[derive(Default)]
struct Grouped<'a> {
    by_package: BTreeMap<Option<&'a str>, Vec<(Option<&'a File>, &'a File)>>,
}

impl<'a> Grouped<'a> {
    fn add(&mut self, earlier: Option<&'a File>, file: &'a File) {
        self.by_package.entry(file.package.as_deref()).or_default().push((earlier, file));
    }
}

fn packages<'a>(result: &mut Inputs<'a>, old: &Record, new: &'a Record, groups: Grouped<'a>, area: Area) {
    let before: BTreeMap<&str, &Component> = versions(old);
    for (purl, files) in groups.by_package {
        let component = purl.and_then(|purl| new.components.iter().find(|component| component.purl == purl));
        match component {
            Some(component) => package(result, &before, component, files, area),
            None => unowned(result, files, area),
        }
    }
}

fn versions(record: &Record) -> BTreeMap<&str, &Component> {
    record.components.iter().map(|component| (component.identity(), component)).collect()
}

fn package<'a>(
    result: &mut Inputs<'a>,
    before: &BTreeMap<&str, &Component>,
    component: &'a Component,
    files: Vec<(Option<&File>, &'a File)>,
    area: Area,
) {
    let earlier = before.get(component.identity());
    let subject = Subject { path: Some(component.purl.as_str().into()), digest: None };
    let mut row = Difference {
        area,
        path: component.identity().to_owned(),
        change: Change::Changed,
        old: earlier.map(|earlier| earlier.version.clone()),
        new: Some(component.version.clone()),
        status: Status::Noted,
        explained_by: Vec::new(),
    };
    match earlier {
        Some(earlier) if earlier.version == component.version => {
            // Files of it that the baseline did not use say nothing; files that it used must be the same.
            let changed: Vec<&File> =
                files.iter().filter_map(|(earlier, file)| earlier.map(|_| *file)).collect();
            if changed.is_empty() {
                return;
            }
            row.status = Status::Drift;
            let mut because = vec![format!("version {} as in the baseline", component.version)];
            because.extend(examples(
                changed.iter().map(|file| format!("`{}` is now {}", file.path, shown(file))),
            ));
            let code = if area == Area::Dependency {
                &codes::DEPENDENCY_TAMPERED
            } else {
                &codes::TOOLCHAIN_TAMPERED
            };
            result.findings.push(code.finding(subject, because));
        }
        Some(earlier) => {
            let cause = format!("package `{}` {} → {}", component.name, earlier.version, component.version);
            let code =
                if area == Area::Dependency { &codes::DEPENDENCY_UPDATED } else { &codes::TOOLCHAIN_UPDATED };
            result.findings.push(code.finding(subject, vec![cause.clone()]));
            result.causes.extend(files.iter().map(|(_, file)| (&file.path, cause.clone())));
        }
        None => {
            row.change = Change::Added;
            if area == Area::Dependency {
                row.status = Status::Drift;
                let because = examples(
                    files.iter().map(|(_, file)| format!("`{}` was read, {}", file.path, shown(file))),
                );
                result.findings.push(codes::DEPENDENCY_ADDED.finding(subject, because));
            }
        }
    }
    result.differences.push(row);
}

fn unowned<'a>(result: &mut Inputs<'a>, files: Vec<(Option<&File>, &'a File)>, area: Area) {
    for (earlier, file) in files {
        let change = if earlier.is_some() { Change::Changed } else { Change::Added };
        let mut row = difference(area, file.path.as_bytes(), change, earlier, Some(file));
        let subject = Subject { path: Some(file.path.clone()), digest: file.content() };
        let configuration =
            [b"/etc".as_slice(), b"/var", b"/run", b"/tmp"].iter().any(|top| file.path.is_below(top));
        let because = vec![match earlier {
            Some(_) => "it has other bytes than in the baseline".to_owned(),
            None => "the baseline did not use it".to_owned(),
        }];
        if area == Area::Toolchain && configuration && file.format.is_none() {
            result.findings.push(codes::MACHINE_FILE_CHANGED.finding(subject, because));
        } else if area == Area::Toolchain && earlier.is_none() && file.format.is_none() {
            // Another header or script of the machine that was not needed before.
            result.findings.push(codes::MACHINE_FILE_CHANGED.finding(subject, because));
        } else {
            row.status = Status::Drift;
            let code =
                if area == Area::Toolchain { &codes::TOOLCHAIN_CHANGED } else { &codes::DEPENDENCY_CHANGED };
            result.findings.push(code.finding(subject, because));
        }
        result.differences.push(row);
    }
}

fn difference(area: Area, name: &[u8], change: Change, old: Option<&File>, new: Option<&File>) -> Difference {
    Difference {
        area,
        path: show(name),
        change,
        old: written(old.and_then(File::content)),
        new: written(new.and_then(File::content)),
        status: Status::Noted,
        explained_by: Vec::new(),
    }
}

/// Writes a file's digest: reasons name it, so that an approval holds for these bytes only.
fn shown(file: &File) -> String {
    file.content().map_or_else(|| "of unknown content".to_owned(), |digest| digest.to_string())
}

fn show(name: &[u8]) -> String {
    BytePath::from(name).to_string()
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "is new",
        Change::Removed => "is gone",
        Change::Changed => "changed",
    }
}

/// Returns the identities of the programs that a record ran, with one process that ran each.
pub(super) fn programs(record: &Record) -> BTreeMap<&[u8], u32> {
    let mut programs = BTreeMap::new();
    for process in &record.processes {
        for program in &process.programs {
            programs.entry(relative(record, &program.path)).or_insert(process.index);
        }
    }
    programs
}

/// Returns the addresses that a record talked to, with ephemeral ports of this machine left out.
pub(crate) fn destinations(record: &Record) -> BTreeSet<(String, bool)> {
    record
        .network
        .iter()
        .map(|destination| {
            let text = destination.address.to_string();
            let local = is_local(&text);
            let name = match text.rsplit_once(':') {
                Some((host, port))
                    if local
                        && (text.starts_with("tcp:") || text.starts_with("udp:"))
                        && !port.is_empty() =>
                {
                    format!("{host}:*")
                }
                _ => text,
            };
            (format!("{} {name}", destination.action), local)
        })
        .collect()
}

fn is_local(address: &str) -> bool {
    let host = address.split_once(':').map_or("", |(_, rest)| rest);
    match address.split(':').next() {
        Some("unix" | "netlink") => true,
        _ => {
            host.starts_with("127.")
                || host.starts_with("[::1]")
                || host.starts_with("0.0.0.0:")
                || host.starts_with("[::]:")
        }
    }
}
