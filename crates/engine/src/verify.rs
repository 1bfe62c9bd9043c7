//! `verify`: the customer's check, offline, with nothing but the file, its bundle and the vendor's trust file.

use std::path::{Path, PathBuf};

use attest::verify::{Rejection, VerifiedRelease, provenance, release};
use evidence::{BytePath, Digest, Finding, Subject};
use judge::codes::{self, Code};

use crate::assess::hash_file;
use crate::error::{Error, Result};
use crate::files;
use crate::sign::with_suffix;
use crate::world::read_trust;

/// No bundle is larger.
const BUNDLE_MAX_BYTES: u64 = attest::bundle::MAX_BYTES as u64;

/// What to verify.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The file.
    pub artifact: PathBuf,
    /// Its bundle; beside it under its usual name if not given.
    pub bundle: Option<PathBuf>,
    /// The vendor's trust file.
    pub trust: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Verification {
    /// Digest of the file.
    pub artifact: Digest,
    /// The release, if everything is as it should be.
    pub release: Option<VerifiedRelease>,
    /// Whether the build's provenance was there and verified as well.
    pub provenance: bool,
    /// What is wrong; none if the release is verified.
    pub findings: Vec<Finding>,
}

/// Verifies a file. What is wrong with file or bundle is a finding; what is wrong with us is an error.
pub fn verify(verify: &Verify) -> Result<Verification> {
    let trust = read_trust(&verify.trust)?;
    let artifact = hash_file(&verify.artifact)?;
    let path = BytePath::from(std::os::unix::ffi::OsStrExt::as_bytes(verify.artifact.as_os_str()));
    let subject = Subject { path: Some(path), digest: Some(artifact) };
    let rejected = |code: &Code, because: String| Verification {
        artifact,
        release: None,
        provenance: false,
        findings: vec![code.finding(subject.clone(), vec![because])],
    };
    let bundle_path =
        verify.bundle.clone().unwrap_or_else(|| with_suffix(&verify.artifact, ".sigstore.json"));
    let Some(bundle) = optional(&bundle_path)? else {
        return Ok(rejected(&codes::BUNDLE_MISSING, format!("`{}` does not exist", bundle_path.display())));
    };
    let verified = match release(&artifact, &bundle, &trust) {
        Ok(verified) => verified,
        Err(rejection) => return Ok(rejected(code_of(&rejection), rejection.to_string())),
    };
    // The provenance is for those who want to know more; if it is there it must be the one that the gate relied on.
    let beside = with_suffix(&verify.artifact, ".provenance.sigstore.json");
    let Some(bundle) = optional(&beside)? else {
        return Ok(Verification {
            artifact,
            release: Some(verified),
            provenance: false,
            findings: Vec::new(),
        });
    };
    match provenance(&artifact, &bundle, &trust) {
        Ok((statement, _)) if verified.relied_on(statement.id()) => {
            Ok(Verification { artifact, release: Some(verified), provenance: true, findings: Vec::new() })
        }
        Ok(_) => Ok(rejected(&codes::PROVENANCE_MISMATCH, "the release names another provenance".into())),
        Err(rejection) => Ok(rejected(&codes::PROVENANCE_MISMATCH, rejection.to_string())),
    }
}

/// The finding for each reason of a rejection.
fn code_of(rejection: &Rejection) -> &'static Code {
    match rejection {
        Rejection::Malformed(_) => &codes::BUNDLE_MALFORMED,
        Rejection::UnknownKey(_) => &codes::RELEASE_KEY_UNKNOWN,
        Rejection::Signature(_) => &codes::SIGNATURE_INVALID,
        Rejection::Log(_) => &codes::LOG_PROOF_INVALID,
        Rejection::Artifact { .. } => &codes::ARTIFACT_MISMATCH,
        Rejection::Statement(_) => &codes::NOT_A_RELEASE,
        Rejection::Revoked { .. } => &codes::REVOKED,
    }
}

/// Reads a file that may be absent.
fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match files::read(path, BUNDLE_MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // A bundle that is too large is not ours; it is named as malformed by its reader.
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::FileTooLarge => {
            Ok(Some(Vec::new()))
        }
        Err(error) => Err(error),
    }
}
