//! `sbom`: bills of materials: of what a recorded build was observed to use, and of files, folders, archives and images.

mod path;

use std::io::Write;
use std::path::Path;

use evidence::wire::bill::{Form, Loss, Style};
use evidence::{Bom, Problem};
use inspect::sbom::Document;

use crate::error::{Error, Result};
use crate::records::RecordView;
use crate::world::World;

pub use path::{Bill, BillOf, bill};

/// Writes the observed SBOM of a record as CycloneDX 1.6 JSON. The bytes are those that its provenance names.
pub fn sbom(view: &RecordView) -> Vec<u8> {
    evidence::wire::cyclonedx::observed(&view.record, &view.digest)
}

/// The observed SBOM of a record, to be written in other forms.
pub fn sbom_of_record(view: &RecordView) -> Result<Bom> {
    let (document, _) = inspect::sbom::read(sbom(view).as_slice());
    match document {
        Some(document) => Ok(document.bom),
        None => Err(Error::Document { kind: "bill of materials", digest: view.digest }),
    }
}

/// Reads a document of another maker, or of our own. What is no bill of materials at all is an error.
pub fn sbom_read(path: &Path) -> Result<(Document, Vec<Problem>)> {
    let file =
        std::fs::File::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let (document, mut problems) = inspect::sbom::read(file);
    let name = evidence::BytePath::from(path.as_os_str().as_encoded_bytes());
    for problem in &mut problems {
        problem.path = name.clone();
    }
    match document {
        Some(document) => Ok((document, problems)),
        None => Err(Error::NoBill {
            path: path.to_path_buf(),
            detail: problems.first().map(|problem| problem.detail.clone()).unwrap_or_default(),
        }),
    }
}

/// Writes a bill; returns what the form cannot hold.
pub fn sbom_write(bom: &Bom, form: Form, style: &Style, out: &mut dyn Write) -> Result<Vec<Loss>> {
    evidence::wire::bill::write(bom, form, style, out)
        .map_err(|source| Error::Write { path: "the bill of materials".into(), source })
}

/// Reads what a person typed: a document, a record, or a path of which a bill is made.
pub fn sbom_of_text(world: Option<&World>, text: &str) -> Result<(Bom, Vec<Problem>)> {
    let path = Path::new(text);
    if !path.exists() {
        let world = world.ok_or_else(|| Error::NoRecord(text.to_owned()))?;
        return Ok((sbom_of_record(&crate::records::show(world, text)?)?, Vec::new()));
    }
    if path.is_file()
        && path.extension().is_some_and(|extension| extension == "json")
        && let Ok((document, problems)) = sbom_read(path)
    {
        return Ok((document.bom, problems));
    }
    let bill = bill(&BillOf { path, all: false, cache: None })?;
    Ok((bill.bom, bill.problems))
}

/// Puts bills together into one: the same package is one with all evidence, and what each bill was of is a package that depends
/// on what its bill said it did.
pub fn sbom_merge(bills: Vec<Bom>, name: &str, version: &str) -> Bom {
    let mut merged = Bom::default();
    (merged.subject.name, merged.subject.version) = (name.into(), version.into());
    merged.subject.kind = evidence::bom::Kind::Application;
    for bill in bills {
        let first = u32::try_from(merged.packages.len()).unwrap_or(u32::MAX);
        merged.packages.extend(bill.packages);
        merged.relations.extend(bill.relations.iter().map(|(from, to)| (first + from, first + to)));
        if !bill.subject.name.is_empty() {
            let subject = u32::try_from(merged.packages.len()).unwrap_or(u32::MAX);
            merged.packages.push(bill.subject);
            merged.direct.push(subject);
            merged.relations.extend(bill.direct.iter().map(|to| (subject, first + to)));
        } else {
            merged.direct.extend(bill.direct.iter().map(|to| first + to));
        }
        merged.tools.extend(bill.tools);
        merged.authors.extend(bill.authors);
        merged.properties.extend(bill.properties);
    }
    for list in [&mut merged.tools, &mut merged.authors] {
        list.sort();
        list.dedup();
    }
    merged.properties.sort();
    merged.properties.dedup();
    merged.arrange();
    merged
}
