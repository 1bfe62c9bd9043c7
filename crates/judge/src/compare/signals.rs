//! What is suspicious in a changed or new member even if a source change explains that it changed.
//!
//! The rules and their noise over honest releases are in `docs/detection.md`. What code can do is never a reason by
//! itself: a capability counts with a partner in the same file.

mod alone;
mod apple;
mod containers;
mod content;
mod functions;
mod image;
mod load;
mod packages;
mod places;
mod programs;
mod references;
mod safeguards;
mod sources;
#[cfg(test)]
mod tests;
mod tools;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use evidence::tree::{Content, Executable, Hook};
use evidence::{BytePath, Digest, Finding, Hasher, Node};

use super::names::without_versions;
use crate::anomalies::subject;
use crate::codes::Code;
use crate::matched;

/// What the two artifacts hold, as far as a rule about one member has to know.
#[derive(Default)]
pub(super) struct Around<'a> {
    /// Names of the files of the new artifact, versions and hashes removed: what a library may be among.
    siblings: BTreeSet<Vec<u8>>,
    /// The same of the old artifact.
    earlier: BTreeSet<Vec<u8>>,
    /// The same without their numbers, if somebody has asked for one.
    skeletons: OnceCell<BTreeSet<String>>,
    /// Formats and machines of the executables of the old artifact.
    kinds: BTreeSet<(String, String)>,
    /// For which formats and machines the old artifact had a program, by its name without ending.
    ports: BTreeMap<Vec<u8>, BTreeSet<(String, String)>>,
    /// The images of the old artifact, by name without versions, format and machine.
    images: BTreeMap<(Vec<u8>, &'a str, &'a str), &'a Executable>,
    /// Whether the old artifact had bytecode without its source.
    pub(super) loose_bytecode: bool,
    /// The packages of the old artifact with classes that start programs, or make classes of bytes.
    packages: BTreeSet<(Vec<u8>, &'static str)>,
    /// Hosts that texts of the old artifact name.
    hosts: BTreeSet<String>,
    /// Those of them that its code names.
    code_hosts: BTreeSet<String>,
    /// What sources of the old artifact do, by family.
    families: BTreeSet<String>,
    /// How many sources of the old and of the new artifact protect, and by what.
    guards: (safeguards::Guards, safeguards::Guards),
    /// What images of containers in the old artifact start, as whom, and with which variables.
    image_hooks: BTreeSet<Hook>,
    /// Whether any image of the old artifact could start programs.
    starts_programs: bool,
    /// The files of the old artifact, by their paths inside the archive that they are in.
    files: BTreeSet<Vec<u8>>,
    /// Whether the old artifact had bundles of scripts.
    pub(super) bundles: bool,
    /// Digests of the old artifact: what was there before is not new at another place.
    known: BTreeSet<Digest>,
    /// What .NET images of the old artifact refer to, by family.
    references: BTreeSet<&'static str>,
    /// Compilers of the executables of the old artifact.
    compilers: BTreeSet<&'static str>,
    /// When the recorded build ended, in seconds since 1970.
    pub(super) built_until: Option<i64>,
    /// Where the files of the new artifact lie, if one of its executables looks for libraries somewhere.
    places: places::Places,
    /// The releases that the names of the artifacts state, or nothing.
    pub(super) releases: (String, String),
}

impl<'a> Around<'a> {
    pub(super) fn of(old: &'a Node, new: &Node) -> Self {
        let mut around = Self { places: places::Places::of(new), ..Self::default() };
        new.walk(|_, node| {
            around.siblings.insert(plain_name(node.name.as_bytes()));
            around.guards.1.count(node);
        });
        old.walk(|_, node| {
            around.known.extend(node.digest);
            around.guards.0.count(node);
            around.earlier.insert(plain_name(node.name.as_bytes()));
            around.packages.extend(sources::of_class(node));
            around.hosts.extend(node.content.iter().flat_map(|content| content.hosts.iter().cloned()));
            let of_code =
                node.content.iter().flat_map(|content| content.code_hosts.union(&content.called_hosts));
            around.code_hosts.extend(of_code.cloned());
            around.families.extend(sources::families(node).map(str::to_owned));
            let hooks = node.content.iter().flat_map(|content| &content.hooks);
            let of_images = hooks.filter(|hook| packages::is_of_image(hook.place));
            around.image_hooks.extend(of_images.map(|hook| packages::plain(hook, "")));
            around.starts_programs |= programs::starts_programs(node.content.as_ref());
            around.files.insert(without_versions(node.name.as_bytes(), ""));
            around.bundles |= sources::is_bundle(node);
            around.loose_bytecode |= content::is_loose_bytecode(node);
            for image in &node.executables {
                let port = (node.format.clone(), image.machine.clone());
                around.images.insert((stem(node), node.format.as_str(), image.machine.as_str()), image);
                around.ports.entry(stem(node)).or_default().insert(port);
                around.kinds.insert((node.format.clone(), image.machine.clone()));
                around.compilers.extend(tools::compilers(image));
                around.references.extend(references::families(image));
            }
        });
        around
    }

    /// Whether the old artifact had a library of that name: a part of the product now uses another part.
    fn had_library(&self, name: &str) -> bool {
        self.earlier.contains(&plain_name(name.as_bytes()))
    }

    /// Whether the old artifact had a library of that name but for the numbers in it.
    fn had_alike(&self, name: &str) -> bool {
        let skeleton = |name: &Vec<u8>| load::skeleton(&String::from_utf8_lossy(name));
        let known = self.skeletons.get_or_init(|| self.earlier.iter().map(skeleton).collect());
        known.contains(&skeleton(&plain_name(name.as_bytes())))
    }

    /// Whether the old artifact had a file at a path inside the archive of the new one, or a module of that name.
    fn had_file(&self, path: &str) -> bool {
        let folder = path.strip_suffix(".py").unwrap_or(path);
        let names = ["", ".js", ".cjs", ".mjs", "/index.js", "/__init__.py"];
        let known = |path: String| self.files.contains(&without_versions(path.as_bytes(), ""));
        known(path.to_owned()) || names.iter().any(|more| known(format!("{folder}{more}")))
    }

    /// For how many other kinds of machine a program of that name was there.
    fn ports(&self, node: &Node) -> usize {
        self.ports.get(&stem(node)).map_or(0, BTreeSet::len)
    }

    fn has_library(&self, name: &str) -> bool {
        self.siblings.contains(&plain_name(name.as_bytes()))
    }
}

/// The last part of the name of a program, without what Windows ends it with.
fn stem(node: &Node) -> Vec<u8> {
    let name = plain_name(node.name.as_bytes());
    name.strip_suffix(b".exe").map_or_else(|| name.clone(), <[u8]>::to_vec)
}

/// The last part of a path in lower case, without versions and hashes.
fn plain_name(path: &[u8]) -> Vec<u8> {
    let base = path.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(path);
    without_versions(&base.to_ascii_lowercase(), "")
}

/// Judges one pair of members, or a new member.
pub(super) fn suspicions(path: &BytePath, old: Option<&Node>, new: &Node, around: &Around) -> Vec<Finding> {
    let mut findings = Findings { path, node: new, found: Vec::new() };
    // Empty files are all alike.
    let is_known = new.size > 0 && new.digest.is_some_and(|digest| around.known.contains(&digest));
    if !is_known {
        findings.found.extend(matched::newly(path, old, new));
    }
    let Some(old) = old else {
        if !is_known {
            content::added(new, around, &mut findings);
            for image in &new.executables {
                let like = around.images.get(&(stem(new), new.format.as_str(), image.machine.as_str()));
                match like {
                    Some(before) => {
                        let mut structure = Structure::default();
                        image::judge(before, image, &mut structure, &mut findings);
                        load::judge(before, image, around, &mut structure, &mut findings);
                        references::judge(before, image, around, &mut findings);
                    }
                    None => alone::judge(image, &mut findings),
                }
                tools::added(image, around, &mut findings);
            }
        }
        return findings.found;
    };
    containers::judge(old, new, &mut findings);
    load::signature(old.signature.as_deref(), new.signature.as_deref(), None, &mut findings);
    let mut structure = Structure::default();
    for (before, after) in slices(old, new) {
        image::judge(before, after, &mut structure, &mut findings);
        load::judge(before, after, around, &mut structure, &mut findings);
        references::judge(before, after, around, &mut findings);
        tools::judge(before, after, around, &mut findings);
    }
    content::changed(old, new, around, &structure, &mut findings);
    findings.found
}

/// Pairs the images of two members: universal binaries by machine, others as they are.
pub(super) fn slices<'a>(old: &'a Node, new: &'a Node) -> Vec<(&'a Executable, &'a Executable)> {
    if let ([before], [after]) = (&old.executables[..], &new.executables[..]) {
        return vec![(before, after)];
    }
    let mut before: BTreeMap<&str, &Executable> = BTreeMap::new();
    for image in old.executables.iter().rev() {
        before.insert(&image.machine, image);
    }
    new.executables.iter().filter_map(|image| Some((*before.get(image.machine.as_str())?, image))).collect()
}

/// What changed in the shape of a file: the partners that make a capability count.
#[derive(Default)]
struct Structure {
    /// Reasons, in words.
    partners: Vec<String>,
    /// In which new ways an image of Windows imports.
    otherwise: Vec<String>,
    /// The file says that it is the same version as before.
    same_version: bool,
    /// Made by the same tools, as far as the file tells.
    same_tools: bool,
}

/// How the partner begins that says of new ways to import.
const OTHERWISE: &str = "imported otherwise: ";
/// What code gets with a library that was put into a finished image. The functions that load late are in each image that does so.
const OTHERWISE_FAMILIES: &[&str] =
    &["network/", "process-start/", "code-injection/", "credential-access/", "persistence/"];

impl Structure {
    /// A new way to import is a partner of what may be imported so.
    fn otherwise(&self, before: &Content, after: &Content) -> Option<String> {
        let mut new = after.capabilities.difference(&before.capabilities);
        let brings = new.any(|name| {
            name.ends_with("/import") && OTHERWISE_FAMILIES.iter().any(|family| name.starts_with(family))
        });
        (brings && !self.otherwise.is_empty()).then(|| format!("{OTHERWISE}{}", self.otherwise.join(", ")))
    }
}

/// Findings about one member.
struct Findings<'a> {
    path: &'a BytePath,
    node: &'a Node,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, code: &Code, because: Vec<String>) {
        self.found.push(code.finding(subject(self.path, self.node), because));
    }
}

/// Merges findings of one code for the same reasons into one: many files with one cause are one thing to look at.
/// The reasons then name the files and a digest over all of them, so that an approval holds for these bytes only.
pub(super) fn collapse(findings: Vec<Finding>) -> Vec<Finding> {
    let mut groups: BTreeMap<(String, Vec<String>), Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        groups.entry((finding.code.clone(), finding.because.clone())).or_default().push(finding);
    }
    let mut merged = Vec::new();
    for (_, mut group) in groups {
        // Two rules may give one reason for one member: the graver one stands.
        group.sort_by(|a, b| a.subject.cmp(&b.subject).then(b.severity.cmp(&a.severity)));
        group.dedup_by(|later, first| later.subject == first.subject);
        if group.len() == 1 {
            merged.append(&mut group);
            continue;
        }
        let mut hasher = Hasher::new();
        let mut paths = Vec::new();
        for subject in group.iter().map(|finding| &finding.subject) {
            let path = subject.path.as_ref().map(ToString::to_string).unwrap_or_default();
            let digest = subject.digest.map(|digest| digest.to_string()).unwrap_or_default();
            hasher.update(format!("{path}\0{digest}\0").as_bytes());
            paths.push(path);
        }
        let count = group.len();
        let gravest = group.iter().map(|finding| finding.severity).max();
        let first = group.swap_remove(0);
        let mut because = first.because.clone();
        because.push(format!("the same in {count} files: {}", super::examples(paths).join(", ")));
        because.push(format!("these files together: {}", hasher.finish()));
        merged.push(Finding::new(
            &first.code,
            gravest.unwrap_or(first.severity),
            first.title,
            first.subject,
            because,
            first.hint,
        ));
    }
    merged
}

/// Writes an entropy.
fn bits(millibits: u32) -> String {
    format!("{}.{:03} bits of entropy a byte", millibits / 1000, millibits % 1000)
}
