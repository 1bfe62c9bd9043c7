//! What is looked at: package URLs, bills of materials, lock files, folders, archives, records. Packages are handed over one by one
//! and not kept: a bill may have a million.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use evidence::bom::{Bom, Kind, Package, Place, State};
use evidence::{BytePath, Digest, Problem, Purl};
use inspect::catalog::{Scan, candidates};
use judge::matching::{Grade, Seen, Sighting, Use, seen};

use crate::error::{Error, Result};
use crate::inspect_path::{FILE_MAX_BYTES, walk};
use crate::records::RecordView;
use crate::{World, files};

/// A package that was seen.
pub(super) struct Named<'a> {
    /// What it is called.
    pub(super) purl: Purl,
    /// How it was seen.
    pub(super) sighting: Sighting,
    /// What it is part of, if that has a purl.
    pub(super) product: Option<&'a Purl>,
    /// What the document says of it beside its name: where it comes from.
    pub(super) package: Option<&'a Package>,
}

/// Takes packages.
pub(super) type Take<'a> = &'a mut dyn FnMut(Named<'_>);

/// What was seen in one target beside packages.
#[derive(Default)]
pub(super) struct Target {
    /// Artifacts by digest.
    pub(super) artifacts: Vec<Artifact>,
    /// How many packages could not be asked about, by why.
    pub(super) unasked: BTreeMap<String, u64>,
    /// Packages left out because they are of tests and caches.
    pub(super) left_out: u64,
    pub(super) problems: Vec<Problem>,
    /// How many problems more there were.
    pub(super) more_problems: u64,
}

/// A file that was seen.
pub(super) struct Artifact {
    pub(super) path: BytePath,
    pub(super) digest: Digest,
    pub(super) grade: Grade,
    pub(super) used: Use,
    /// What it is part of.
    pub(super) within: String,
    /// What that is of.
    pub(super) product: String,
}

/// So many problems are told one by one.
const PROBLEMS_MAX: usize = 1_000;

/// Reads a target.
pub(super) fn read(world: Option<&World>, name: &str, take: Take<'_>) -> Result<Target> {
    if name.starts_with("pkg:") {
        let purl =
            Purl::parse_lenient(name).map_err(|error| Error::NoTarget(format!("`{name}`: {error}")))?;
        let place = Where { within: name, product: "", used: Use::Listed };
        take(place.listed(purl, Grade::Listed, "named on the command line"));
        return Ok(Target::default());
    }
    let path = Path::new(name);
    if path.exists() {
        return of_path(path, take);
    }
    match world {
        Some(world) => Ok(of_record(&crate::show(world, name)?, take)),
        None => Err(Error::NoTarget(format!(
            "`{name}` is neither a file nor a package URL, and there is no store"
        ))),
    }
}

/// Where packages are seen.
#[derive(Clone, Copy)]
struct Where<'a> {
    within: &'a str,
    product: &'a str,
    used: Use,
}

impl Where<'_> {
    fn listed(&self, purl: Purl, grade: Grade, because: &str) -> Named<'static> {
        let sighting = Sighting {
            package: purl.to_string(),
            grade,
            used: self.used,
            within: self.within.to_owned(),
            product: self.product.to_owned(),
            because: because.to_owned(),
            path: None,
            digest: None,
        };
        Named { purl, sighting, product: None, package: None }
    }
}

impl Target {
    fn problem(&mut self, path: &str, kind: &str, detail: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.into(), kind: kind.to_owned(), detail });
        } else {
            self.more_problems += 1;
        }
    }

    fn bom(&mut self, bom: &Bom, within: &str, used: Use, take: Take<'_>) {
        let product = bom.subject.purl.as_deref().and_then(|purl| Purl::parse_lenient(purl).ok());
        let named = if bom.subject.name.is_empty() { within } else { &*bom.subject.name };
        let place = Where { within, product: named, used };
        let exact: BTreeSet<(&str, &str)> = match bom.packages.iter().any(|one| one.state == State::Declared)
        {
            true => bom
                .packages
                .iter()
                .filter(|package| package.state != State::Declared)
                .map(|package| (&*package.namespace, &*package.name))
                .collect(),
            false => BTreeSet::new(),
        };
        for package in &bom.packages {
            if matches!(package.place, Place::Fixture | Place::Cache) {
                self.left_out += 1;
                continue;
            }
            // What a manifest asks for is answered by the lock file or the installed package beside it.
            if package.state == State::Declared && exact.contains(&(&*package.namespace, &*package.name)) {
                continue;
            }
            let Some(text) = package.purl.as_deref() else {
                if matches!(package.kind, Kind::Library | Kind::Application | Kind::Framework) {
                    *self.unasked.entry("without a package URL".to_owned()).or_default() += 1;
                }
                continue;
            };
            let grade = match package.state {
                State::Installed | State::Embedded => Grade::Present,
                State::Locked | State::Declared => Grade::Listed,
            };
            let because = package.evidence.first().map_or_else(
                || "the document names it".to_owned(),
                |evidence| format!("{} {}", package.state.word(), evidence.path),
            );
            match Purl::parse_lenient(text) {
                Ok(purl) => take(Named {
                    product: product.as_ref(),
                    package: Some(package),
                    ..place.listed(purl, grade, &because)
                }),
                Err(error) => {
                    let detail = format!("`{}`: {error}", text.chars().take(200).collect::<String>());
                    self.problem(within, "malformed-purl", detail);
                }
            }
        }
    }
}

fn of_path(path: &Path, take: Take<'_>) -> Result<Target> {
    let within = path.display().to_string();
    let mut target = Target::default();
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    if std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(finish(folder(path)?, target, &within, take));
    }
    let name = BytePath::from(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    if !candidates(name.as_bytes()).documents.is_empty() {
        let mut scan = Scan::new();
        scan.offer(&name, &files::read(path, inspect::catalog::DOCUMENT_MAX_BYTES)?);
        return Ok(finish(scan, target, &within, take));
    }
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut head = [0; 256];
    let length = std::io::Read::read(&mut &file, &mut head).map_err(fail)?;
    let head = head[..length].trim_ascii_start();
    if head.starts_with(b"pkg:") || head.starts_with(b"#") {
        list(&files::read_text(path, FILE_MAX_BYTES)?, &within, &mut target, take);
        return Ok(target);
    }
    if !head.starts_with(b"{") {
        return contents(path, &within, target, take);
    }
    let file = std::fs::File::open(path).map_err(fail)?;
    let (document, problems) = inspect::sbom::read_names(file);
    for problem in problems {
        let inner = problem.path.to_string();
        let path = if inner.is_empty() { within.clone() } else { format!("{within}!{inner}") };
        target.problems.push(Problem { path: path.as_str().into(), ..problem });
    }
    if let Some(document) = document {
        target.bom(&document.bom, &within, Use::Shipped, take);
    }
    Ok(target)
}

/// Reads the lock files, manifests and package databases of a folder.
pub(super) fn folder(path: &Path) -> Result<Scan> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let mut scan = Scan::new();
    for (relative, file) in walk(path).map_err(fail)? {
        if candidates(relative.as_bytes()).documents.is_empty() {
            continue;
        }
        match std::fs::symlink_metadata(&file).map(|facts| facts.is_file()) {
            Ok(true) => match files::read(&file, inspect::catalog::DOCUMENT_MAX_BYTES) {
                Ok(bytes) => drop(scan.offer(&relative, &bytes)),
                Err(error) => scan.problem(&relative, "unreadable-file", &error.to_string()),
            },
            _ => continue,
        }
    }
    Ok(scan)
}

/// What is in an archive, a program, an image: what ships.
fn contents(path: &Path, within: &str, mut target: Target, take: Take<'_>) -> Result<Target> {
    let bill = crate::bill(&crate::BillOf { path, all: false, cache: None })?;
    if bill.bom.packages.is_empty() && bill.problems.is_empty() {
        return Err(Error::NoTarget(format!(
            "`{within}` is no bill of materials, lock file, folder or list of package URLs, and no packages were found in it"
        )));
    }
    target.problems.extend(bill.problems);
    target.left_out += bill.left_out.values().map(|count| *count as u64).sum::<u64>();
    target.bom(&bill.bom, within, Use::Shipped, take);
    Ok(target)
}

fn finish(scan: Scan, mut target: Target, within: &str, take: Take<'_>) -> Target {
    let catalog = scan.finish();
    target.problems.extend(catalog.problems);
    target.bom(&catalog.bom, within, Use::Listed, take);
    target
}

/// One package URL a line.
fn list(text: &str, within: &str, target: &mut Target, take: Take<'_>) {
    let place = Where { within, product: within, used: Use::Listed };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Purl::parse_lenient(line) {
            Ok(purl) => take(place.listed(purl, Grade::Listed, &format!("line {number}"))),
            Err(error) => target.problem(&format!("{within}:{number}"), "malformed-purl", error.to_string()),
        }
    }
}

/// What a recorded build used: packages as they were used, and every byte that it read, ran or left.
pub(super) fn of_record(view: &RecordView, take: Take<'_>) -> Target {
    let within = format!("r{}", view.number);
    let product = view.record.product.clone();
    let mut target = Target::default();
    for (text, Seen { grade, because, path, digest }) in seen(&view.record) {
        match Purl::parse_lenient(text) {
            Ok(purl) => {
                let sighting = Sighting {
                    package: purl.to_string(),
                    grade,
                    used: Use::Build,
                    within: within.clone(),
                    product: product.clone(),
                    because,
                    path,
                    digest,
                };
                take(Named { purl, sighting, product: None, package: None });
            }
            Err(error) => target.problem(&within, "malformed-purl", format!("`{text}`: {error}")),
        }
    }
    let ran: BTreeSet<Digest> = view
        .record
        .processes
        .iter()
        .flat_map(|process| &process.programs)
        .filter_map(|program| program.digest)
        .collect();
    let mut artifact = |path: &BytePath, digest, grade, used| {
        let (path, within, product) = (path.clone(), within.clone(), product.clone());
        target.artifacts.push(Artifact { path, digest, grade, used, within, product });
    };
    for file in &view.record.files {
        let digests: BTreeSet<Digest> = file.read.iter().chain(&file.left).copied().collect();
        for digest in digests {
            let grade = if ran.contains(&digest) { Grade::Executed } else { Grade::Present };
            artifact(&file.path, digest, grade, Use::Build);
        }
    }
    for output in &view.record.outputs {
        artifact(&output.path, output.digest, Grade::Present, Use::Shipped);
    }
    target
}
