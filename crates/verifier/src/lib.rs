//! The customer's check: files and whole folders against their bundles, a release manifest and one trust file.
//!
//! Offline: nothing is fetched, and the clock is an argument that only says whether the trust file is too old. It
//! knows no store and no policy; `evidence`, `tlog` and `attest` are all that it stands on. Every reason for a no has
//! a code of its own, so that "not verified", "trust is stale" and "revoked" are never taken for each other.

mod explain;
mod files;
mod manifest;
mod report;
mod sentences;
mod verify;

pub use explain::explain;
pub use files::{VerifyError, digest_of, read_bounded};
pub use manifest::{Manifest, ManifestError};
pub use report::{Build, FileReport, Problem, Reason, Report, Verdict};
pub use verify::{Options, verify};

/// Name of a release's manifest in a folder: what `sha256sum` writes, itself released like any artifact.
pub const MANIFEST: &str = "SHA256SUMS";
/// What the name of a release's bundle ends in.
pub const BUNDLE_SUFFIX: &str = ".sigstore.json";
/// What the name of the bundle with the build's provenance ends in.
pub const PROVENANCE_SUFFIX: &str = ".provenance.sigstore.json";
