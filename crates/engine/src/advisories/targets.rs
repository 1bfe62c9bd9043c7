//! What is looked at: package URLs, bills of materials, lock files, folders, records.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use evidence::bom::{Bom, Kind, Place, State};
use evidence::{BytePath, Digest, Problem, Purl};
use inspect::catalog::{Scan, candidates};
use judge::matching::{Grade, Seen, Sighting, Use, seen};

use crate::error::{Error, Result};
use crate::inspect_path::{FILE_MAX_BYTES, walk};
use crate::records::RecordView;
use crate::{World, files};

/// What was seen in one target.
#[derive(Default)]
pub(super) struct Target {
    /// Packages, with their purl read.
    pub(super) packages: Vec<(Purl, Sighting)>,
    /// Artifacts by digest: path, digest, how they were used.
    pub(super) artifacts: Vec<(BytePath, Digest, Grade, Use, String)>,
    /// What the target itself is.
    pub(super) product: Option<Purl>,
    /// Packages that could not be asked about, by why.
    pub(super) unasked: Vec<String>,
    /// Packages left out because they are of tests and caches.
    pub(super) left_out: u64,
    pub(super) problems: Vec<Problem>,
}

/// Reads a target.
pub(super) fn read(world: Option<&World>, name: &str) -> Result<Target> {
    if name.starts_with("pkg:") {
        let purl =
            Purl::parse_lenient(name).map_err(|error| Error::NoTarget(format!("`{name}`: {error}")))?;
        let mut target = Target::default();
        target.listed(purl, name, Grade::Listed, Use::Listed, "named on the command line");
        return Ok(target);
    }
    let path = Path::new(name);
    if path.exists() {
        return of_path(path);
    }
    match world {
        Some(world) => Ok(of_record(&crate::show(world, name)?)),
        None => Err(Error::NoTarget(format!(
            "`{name}` is neither a file nor a package URL, and there is no store"
        ))),
    }
}

impl Target {
    fn listed(&mut self, purl: Purl, within: &str, grade: Grade, used: Use, because: &str) {
        let sighting = Sighting {
            package: purl.to_string(),
            grade,
            used,
            within: within.to_owned(),
            because: because.to_owned(),
            path: None,
            digest: None,
        };
        self.packages.push((purl, sighting));
    }

    fn bom(&mut self, bom: &Bom, within: &str, used: Use) {
        self.product = bom.subject.purl.as_deref().and_then(|purl| Purl::parse_lenient(purl).ok());
        let exact: BTreeSet<(&str, &str)> = bom
            .packages
            .iter()
            .filter(|package| package.state != State::Declared)
            .map(|package| (&*package.namespace, &*package.name))
            .collect();
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
                    self.unasked.push("without a package URL".to_owned());
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
                Ok(purl) => self.listed(purl, within, grade, used, &because),
                Err(error) => self.problems.push(Problem {
                    path: within.into(),
                    kind: "malformed-purl".into(),
                    detail: format!("`{}`: {error}", text.chars().take(200).collect::<String>()),
                }),
            }
        }
    }
}

fn of_path(path: &Path) -> Result<Target> {
    let within = path.display().to_string();
    let mut target = Target::default();
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    if std::fs::metadata(path).map_err(fail)?.is_dir() {
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
        return finish(scan, target, &within);
    }
    let name = BytePath::from(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
    if !candidates(name.as_bytes()).documents.is_empty() {
        let mut scan = Scan::new();
        scan.offer(&name, &files::read(path, inspect::catalog::DOCUMENT_MAX_BYTES)?);
        return finish(scan, target, &within);
    }
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut head = [0; 256];
    let length = std::io::Read::read(&mut &file, &mut head).map_err(fail)?;
    let head = head[..length].trim_ascii_start();
    if head.starts_with(b"pkg:") || head.starts_with(b"#") {
        list(&files::read_text(path, FILE_MAX_BYTES)?, &within, &mut target);
        return Ok(target);
    }
    if !head.starts_with(b"{") {
        return Err(Error::NoTarget(format!(
            "`{within}` is no bill of materials, lock file, folder or list of package URLs"
        )));
    }
    let file = std::fs::File::open(path).map_err(fail)?;
    let (document, problems) = inspect::sbom::read(file);
    for problem in problems {
        let inner = problem.path.to_string();
        let path = if inner.is_empty() { within.clone() } else { format!("{within}!{inner}") };
        target.problems.push(Problem { path: path.as_str().into(), ..problem });
    }
    if let Some(document) = document {
        target.bom(&document.bom, &within, Use::Shipped);
    }
    Ok(target)
}

fn finish(scan: Scan, mut target: Target, within: &str) -> Result<Target> {
    let catalog = scan.finish();
    target.problems.extend(catalog.problems);
    target.bom(&catalog.bom, within, Use::Listed);
    Ok(target)
}

/// One package URL a line.
fn list(text: &str, within: &str, target: &mut Target) {
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Purl::parse_lenient(line) {
            Ok(purl) => target.listed(purl, within, Grade::Listed, Use::Listed, &format!("line {number}")),
            Err(error) => target.problems.push(Problem {
                path: format!("{within}:{number}").as_str().into(),
                kind: "malformed-purl".into(),
                detail: error.to_string(),
            }),
        }
    }
}

/// What a recorded build used: packages as they were used, and every byte that it read, ran or left.
pub(super) fn of_record(view: &RecordView) -> Target {
    let within = format!("r{}", view.number);
    let mut target = Target::default();
    for (text, Seen { grade, because, path, digest }) in seen(&view.record) {
        match Purl::parse_lenient(text) {
            Ok(purl) => {
                let sighting = Sighting {
                    package: purl.to_string(),
                    grade,
                    used: Use::Build,
                    within: within.clone(),
                    because,
                    path,
                    digest,
                };
                target.packages.push((purl, sighting));
            }
            Err(error) => target.problems.push(Problem {
                path: within.as_str().into(),
                kind: "malformed-purl".into(),
                detail: format!("`{text}`: {error}"),
            }),
        }
    }
    let ran: BTreeSet<Digest> = view
        .record
        .processes
        .iter()
        .flat_map(|process| &process.programs)
        .filter_map(|program| program.digest)
        .collect();
    for file in &view.record.files {
        let digests: BTreeSet<Digest> = file.read.iter().chain(&file.left).copied().collect();
        for digest in digests {
            let grade = if ran.contains(&digest) { Grade::Executed } else { Grade::Present };
            target.artifacts.push((file.path.clone(), digest, grade, Use::Build, within.clone()));
        }
    }
    for output in &view.record.outputs {
        target.artifacts.push((
            output.path.clone(),
            output.digest,
            Grade::Present,
            Use::Shipped,
            within.clone(),
        ));
    }
    target
}
