//! `sbom`: bills of materials: of what a recorded build was observed to use, and of files, folders, archives and images.

mod path;

use std::io::Write;
use std::path::Path;

use evidence::wire::bill::{Form, Loss, Style};
use evidence::{Bom, Problem};
use inspect::sbom::Document;

use crate::error::{Error, Result};
use crate::records::RecordView;

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
