//! `sbom`: the bill of materials of what a recorded build was observed to use.

use crate::records::RecordView;

/// Writes the observed SBOM of a record as CycloneDX 1.6 JSON. The bytes are those that its provenance names.
pub fn sbom(view: &RecordView) -> Vec<u8> {
    evidence::wire::cyclonedx::observed(&view.record, &view.digest)
}
