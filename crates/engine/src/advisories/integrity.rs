//! Whether packages are what their lock files say: the bytes that a build really read against the hashes beside the names, and the
//! lock files against the manifests.
//!
//! A record has SHA-256 only. Where a lock file has another hash (npm's SHA-512, Go's `h1`), the archive that the record names, or
//! that lies in the package manager's cache, is hashed again from the disk: the build's own archive counts only while it still has
//! the recorded SHA-256. An archive that is what the lock file says then speaks for its members: each file of the package that
//! the build read must have the member's bytes. What could not be compared is said with the reason.

mod archive;
mod locks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evidence::bom::{Algorithm, Package, State};
use evidence::record::File;
use evidence::{BytePath, Digest, Finding, Purl, Subject};
use inspect::catalog::{Scan, candidates};
use judge::codes;

use self::archive::{Archive, Wanted};
use crate::error::Result;
use crate::files;
use crate::records::RecordView;

/// So many packages and files are named in one finding.
const NAMED_MAX: usize = 12;

/// Checks a record against the lock files that its build had read; returns the findings, and what the lock files say.
pub(super) fn record(view: &RecordView) -> (Vec<Finding>, Vec<Package>) {
    let mut scan = Scan::new();
    let (mut documents, mut changed) = (Vec::new(), Vec::new());
    for file in &view.record.files {
        if candidates(file.path.as_bytes()).documents.is_empty() && !locks::is_manifest(&file.path) {
            continue;
        }
        if file.read.is_empty() {
            continue;
        }
        match on_disk(file) {
            Some(bytes) => {
                scan.offer(&file.path, &bytes);
                if locks::is_manifest(&file.path) || locks::is_lock(&file.path) {
                    documents.push((file.path.clone(), bytes));
                }
            }
            None if locks::is_lock(&file.path) => {
                changed.push(format!("{} no longer has the bytes that the build read", file.path));
            }
            None => {}
        }
    }
    let packages: Vec<Package> = scan.finish().bom.packages;
    let mut findings = locks::check(&documents);
    findings.extend(scripts(view));
    let mut checked = Checked { unchecked: BTreeMap::new(), findings: Vec::new() };
    let read = Read::of(view);
    for package in &packages {
        checked.package(package, &read, view.number);
    }
    findings.extend(checked.findings);
    let mut because = changed;
    because.extend(checked.unchecked.into_iter().map(|(why, names)| {
        let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = if names.len() > NAMED_MAX { ", …" } else { "" };
        format!("{why}: {} ({}{more})", names.len(), shown.join(", "))
    }));
    if !because.is_empty() {
        findings.push(codes::PACKAGE_BYTES_UNCHECKED.finding(Subject::default(), because));
    }
    (findings, packages)
}

/// Checks the lock files of a folder against the manifests beside them.
pub(super) fn manifests(folder: &Path) -> Result<Vec<Finding>> {
    let fail = |source| crate::Error::Read { path: folder.to_path_buf(), source };
    let mut documents = Vec::new();
    for (relative, file) in crate::inspect_path::walk(folder).map_err(fail)? {
        let wanted = locks::is_manifest(&relative) || locks::is_lock(&relative);
        let is_file = std::fs::symlink_metadata(&file).is_ok_and(|facts| facts.is_file());
        if wanted && is_file && !relative.to_string().contains("node_modules/") {
            documents.push((relative, files::read(&file, inspect::catalog::DOCUMENT_MAX_BYTES)?));
        }
    }
    Ok(locks::check(&documents))
}

/// Reads a recorded file, if it still has bytes that the build read.
fn on_disk(file: &File) -> Option<Vec<u8>> {
    let path = file.path.to_string();
    let bytes = files::read(Path::new(&path), archive::FILE_MAX_BYTES).ok()?;
    file.read.iter().chain(&file.left).any(|digest| *digest == Digest::of(&bytes)).then_some(bytes)
}

/// Scripts of packages that ran while they were installed.
fn scripts(view: &RecordView) -> Vec<Finding> {
    let scripts = judge::matching::install_scripts(&view.record);
    scripts
        .into_iter()
        .map(|script| {
            let subject = Subject { path: Some(script.package.as_str().into()), digest: script.digest };
            let because = vec![format!("`{}` under `{}`", script.command, script.installer)];
            codes::INSTALL_SCRIPT_RAN.finding(subject, because)
        })
        .collect()
}

/// What a build read, by how packages are found in it.
struct Read<'a> {
    /// Files of each package: its purl's name and version, and where the file lies in the package.
    by_package: BTreeMap<(String, String), Vec<(String, &'a File)>>,
    /// Files by their names.
    by_name: BTreeMap<String, Vec<&'a File>>,
    /// Where npm keeps what it fetched.
    npm_cache: BTreeSet<String>,
}

impl<'a> Read<'a> {
    fn of(view: &'a RecordView) -> Self {
        let mut read =
            Self { by_package: BTreeMap::new(), by_name: BTreeMap::new(), npm_cache: BTreeSet::new() };
        for file in &view.record.files {
            let path = file.path.to_string();
            if let Some((start, _)) = path.split_once("/_cacache/") {
                read.npm_cache.insert(format!("{start}/_cacache"));
            }
            if let Some((key, inside)) = place_of(&path, file.package.as_deref()) {
                read.by_package.entry(key).or_default().push((inside, file));
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            if archive::is_archive(name) {
                read.by_name.entry(name.to_owned()).or_default().push(file);
            }
        }
        read
    }
}

/// Tells which package a file is of, and where in the package it lies.
fn place_of(path: &str, purl: Option<&str>) -> Option<((String, String), String)> {
    // Go's module cache: `…/pkg/mod/golang.org/x/net@v0.17.0/http2/frame.go`; capitals are written `!c`.
    if let Some((_, rest)) = path.split_once("/pkg/mod/")
        && !rest.starts_with("cache/")
    {
        let (module, rest) = rest.split_once('@')?;
        let (version, inside) = rest.split_once('/')?;
        let name = format!("golang/{}", archive::unescaped(module));
        return Some(((name, archive::unescaped(version)), inside.to_owned()));
    }
    let purl = Purl::parse_lenient(purl?).ok()?;
    let name = match purl.namespace() {
        Some(namespace) => format!("{namespace}/{}", purl.name()),
        None => purl.name().to_owned(),
    };
    let after = |mark: &str| path.rfind(mark).map(|at| &path[at + mark.len()..]);
    let inside = match purl.kind() {
        "npm" => after(&format!("/node_modules/{name}/"))?,
        "cargo" => after(&format!("/{name}-{}/", purl.version()?))?,
        "pypi" => after("/site-packages/").or_else(|| after("/dist-packages/"))?,
        _ => return None,
    };
    Some(((format!("{}/{name}", purl.kind()), purl.version()?.to_owned()), inside.to_owned()))
}

struct Checked {
    unchecked: BTreeMap<String, BTreeSet<String>>,
    findings: Vec<Finding>,
}

impl Checked {
    fn package(&mut self, package: &Package, read: &Read<'_>, record: u64) {
        let Some(kind) = package.ecosystem() else { return };
        if !matches!(kind, "cargo" | "gem" | "golang" | "npm" | "pypi") || package.version.is_empty() {
            return;
        }
        let go_sum = package.properties.iter().find(|property| property.name == "go-sum");
        if package.state != State::Locked && go_sum.is_none() {
            return;
        }
        let wanted = Wanted::of(package, go_sum.map(|property| &*property.value));
        let key = (format!("{kind}/{}", package.full_name()), package.version.to_string());
        let used = read.by_package.get(&key).map_or(&[][..], Vec::as_slice);
        let name = format!("{} {}", package.full_name(), package.version);
        let archives = archives(package, &wanted, read, used);
        if archives.is_empty() && used.is_empty() {
            // The build did not touch it.
            return;
        }
        if wanted.is_empty() {
            let why = format!("{kind}: the lock file has no hash");
            self.unchecked.entry(why).or_default().insert(name);
            return;
        }
        let mut reference = None;
        let mut why = format!("{kind}: no archive of it was read, and none with its hash is in a cache");
        for archive in archives {
            match archive.check(&wanted) {
                Ok(bytes) => reference = reference.or(bytes.map(|bytes| (archive.path.clone(), bytes))),
                Err(archive::Failed::Differs(found)) if archive.was_read => {
                    self.differs(package, &archive.path, archive.digest, record, &wanted, &found);
                    return;
                }
                // What lies in a cache and was not read by this build proves nothing about it.
                Err(archive::Failed::Differs(_)) => {}
                Err(archive::Failed::Gone) => {
                    why = format!("{kind}: the archive no longer has the bytes that the build read");
                }
                Err(archive::Failed::Weak) => why = format!("{kind}: the lock file has no hash that counts"),
            }
        }
        match reference {
            Some((path, bytes)) if !used.is_empty() => match archive::members(kind, package, &path, &bytes) {
                Some(members) => self.members(package, &path, &members, used, record),
                None => {
                    let why = format!("{kind}: the archive could not be opened");
                    self.unchecked.entry(why).or_default().insert(name);
                }
            },
            Some(_) => {}
            None => {
                self.unchecked.entry(why).or_default().insert(name);
            }
        }
    }

    fn differs(
        &mut self,
        package: &Package,
        path: &BytePath,
        digest: Option<Digest>,
        record: u64,
        wanted: &Wanted,
        found: &str,
    ) {
        let said = package.evidence.first().map_or_else(String::new, |evidence| evidence.path.to_string());
        let because =
            vec![format!("{said} says {}", wanted.words()), format!("r{record} read {path} with {found}")];
        let subject = Subject { path: package.purl.as_deref().map(Into::into), digest };
        self.findings.push(codes::PACKAGE_BYTES_DIFFER.finding(subject, because));
    }

    /// Compares the files of a package that the build read with those in its archive. What is not in the archive was made later.
    fn members(
        &mut self,
        package: &Package,
        path: &BytePath,
        members: &BTreeMap<String, Digest>,
        used: &[(String, &File)],
        record: u64,
    ) {
        let mut differing = used.iter().filter_map(|(inside, file)| {
            let expected = members.get(inside)?;
            let other = file.read.iter().find(|digest| *digest != expected)?;
            Some((inside, file, expected, other))
        });
        for (inside, file, expected, other) in differing.by_ref().take(NAMED_MAX) {
            let because = vec![
                format!("{path}, which has the hash of the lock file, has {inside} with {expected}"),
                format!("r{record} read {} with {other}", file.path),
            ];
            let subject = Subject { path: package.purl.as_deref().map(Into::into), digest: Some(*other) };
            self.findings.push(codes::PACKAGE_BYTES_DIFFER.finding(subject, because));
        }
    }
}

/// The archives of a package: those that the build read, else those in the caches beside what it read.
fn archives(package: &Package, wanted: &Wanted, read: &Read<'_>, used: &[(String, &File)]) -> Vec<Archive> {
    let kind = package.ecosystem().unwrap_or_default();
    let mut found = Vec::new();
    for (name, files) in &read.by_name {
        if archive::is_of(name, kind, package) {
            let own = files
                .iter()
                .filter(|file| kind != "golang" || file.path.to_string().contains(&archive::go_zip(package)));
            found.extend(own.map(|file| Archive::read(file)));
        }
    }
    let sha512: Vec<&str> = wanted.of_algorithm(Algorithm::Sha512).collect();
    for cache in &read.npm_cache {
        for hex in sha512.iter().filter(|hex| hex.len() > 4 && kind == "npm") {
            let (one, two, rest) = (&hex[..2], &hex[2..4], &hex[4..]);
            found.push(Archive::cached(&format!("{cache}/content-v2/sha512/{one}/{two}/{rest}")));
        }
    }
    // The file lies in the package, the package beside the cache of archives.
    for (inside, file) in used.iter().take(1) {
        let path = file.path.to_string();
        let root = path.strip_suffix(inside).unwrap_or_default().trim_end_matches('/');
        match kind {
            "cargo" => {
                let cache = root.replacen("/registry/src/", "/registry/cache/", 1);
                if cache != root {
                    found.push(Archive::cached(&format!("{cache}.crate")));
                }
            }
            "golang" => {
                if let Some((start, _)) = root.split_once("/pkg/mod/") {
                    found.push(Archive::cached(&format!("{start}/pkg/mod/{}", archive::go_zip(package))));
                }
            }
            _ => {}
        }
    }
    found.retain(|archive| archive.was_read || archive.exists());
    found
}
