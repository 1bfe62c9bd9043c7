//! `verify`: the customer's check, offline. The work is done by `verifier` for our own releases and by
//! `attest::foreign` for anybody's bundles; here their reasons become findings.

use std::path::{Path, PathBuf};

use attest::foreign::{self, Artifact, VerifiedForeign};
use attest::{Rejection, Trust};
use evidence::{BytePath, Digest, Finding, Problem, Subject, Timestamp};
use judge::codes;
use verifier::{Options, Reason, Report, VerifyError};

pub use attest::foreign::Signatory;

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
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The bundle of the one file; beside it under its usual name if not given.
    pub bundle: Option<PathBuf>,
    /// The manifest of a folder.
    pub manifest: Option<PathBuf>,
    /// The vendor's trust file.
    pub trust: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Verification {
    /// Everything, file by file.
    pub report: Report,
    /// What is wrong; none if all is verified.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// Whom was trusted.
    pub trust: Trust,
}

/// Verifies files and folders. What is wrong with them is a finding; what is wrong with us is an error.
pub fn verify(verify: &Verify, now: Timestamp) -> Result<Verification> {
    let trust = read_trust(&verify.trust)?;
    let options = Options {
        trust: &trust,
        trust_file: &verify.trust,
        now,
        bundle: verify.bundle.as_deref(),
        manifest: verify.manifest.as_deref(),
    };
    let report = verifier::verify(&verify.paths, &options).map_err(verify_error)?;
    let findings = report.all_reasons().map(finding).collect();
    let problems = report
        .problems
        .iter()
        .map(|problem| Problem {
            path: byte_path(&problem.path),
            kind: problem.kind.into(),
            detail: problem.detail.clone(),
        })
        .collect();
    Ok(Verification { report, findings, problems, trust })
}

/// Writes the commands by which other tools check the same.
pub fn explain(artifact: &Path, trust_file: &Path) -> Result<String> {
    Ok(verifier::explain(artifact, trust_file, &read_trust(trust_file)?))
}

/// What to verify of somebody else's.
#[derive(Clone, Debug)]
pub struct VerifyForeign {
    /// A file, or `sha256:…`.
    pub artifact: PathBuf,
    /// Its bundle or bundles; beside it under a usual name if not given.
    pub bundle: Option<PathBuf>,
    /// The Sigstore trusted root; that of the public instance if not given.
    pub trusted_root: Option<PathBuf>,
    /// Whose signature is expected.
    pub signatory: Signatory,
}

/// What came of it.
#[derive(Debug)]
pub struct ForeignVerification {
    /// The artifact's digest.
    pub artifact: Digest,
    /// Who signed and what is claimed, if it was verified.
    pub verified: Option<VerifiedForeign>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Verifies a Sigstore bundle of any builder. Of a file with several bundles one has to verify.
pub fn verify_foreign(verify: &VerifyForeign) -> Result<ForeignVerification> {
    let by_digest: Option<Digest> = verify.artifact.to_str().and_then(|text| text.parse().ok());
    let artifact = match by_digest {
        Some(digest) => digest,
        None => hash_file(&verify.artifact)?,
    };
    let path = by_digest.is_none().then(|| byte_path(&verify.artifact));
    let rejected = |rejection: &Rejection| {
        let subject = Subject { path: path.clone(), digest: Some(artifact) };
        let code = codes::find(rejection.code()).unwrap_or(&codes::SIGNATURE_INVALID);
        let findings = vec![code.finding(subject, vec![rejection.to_string()])];
        ForeignVerification { artifact, verified: None, findings }
    };
    let root = match &verify.trusted_root {
        Some(path) => files::read_text(path, foreign::ROOT_MAX_BYTES as u64)?,
        None => foreign::public_root().to_owned(),
    };
    let Some(bytes) = bundle_bytes(verify, by_digest.is_some())? else {
        let subject = Subject { path, digest: Some(artifact) };
        let because = "there is no bundle beside it".to_owned();
        let findings = vec![codes::BUNDLE_MISSING.finding(subject, vec![because])];
        return Ok(ForeignVerification { artifact, verified: None, findings });
    };
    let mut last = Rejection::Malformed("it is empty".into());
    for bundle in foreign::bundles(&bytes) {
        let outcome = if by_digest.is_some() {
            foreign::verify(Artifact::Digest(artifact), &bundle, &root, &verify.signatory)
        } else {
            let path = &verify.artifact;
            let mut file =
                std::fs::File::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            foreign::verify(Artifact::Bytes(&mut file), &bundle, &root, &verify.signatory)
        };
        match outcome {
            Ok(verified) => {
                return Ok(ForeignVerification { artifact, verified: Some(verified), findings: Vec::new() });
            }
            Err(rejection) => last = rejection,
        }
    }
    Ok(rejected(&last))
}

/// Reads the bundle that was named, or one that stands beside the file under a name that others use.
fn bundle_bytes(verify: &VerifyForeign, by_digest: bool) -> Result<Option<Vec<u8>>> {
    if let Some(bundle) = &verify.bundle {
        return files::read(bundle, BUNDLE_MAX_BYTES).map(Some);
    }
    if by_digest {
        return Ok(None);
    }
    for suffix in [".sigstore.json", ".sigstore", ".intoto.jsonl", ".jsonl"] {
        let found = verifier::read_bounded(&with_suffix(&verify.artifact, suffix), BUNDLE_MAX_BYTES);
        if let Some(bytes) = found.map_err(verify_error)? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Every reason has a code of the list; a test holds the two together.
fn finding(reason: &Reason) -> Finding {
    let subject = Subject { path: Some(byte_path(&reason.path)), digest: reason.digest };
    let code = codes::find(reason.code).unwrap_or(&codes::SIGNATURE_INVALID);
    code.finding(subject, vec![reason.because.clone()])
}

fn byte_path(path: &Path) -> BytePath {
    BytePath::from(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

fn verify_error(error: VerifyError) -> Error {
    match error {
        VerifyError::Read { path, source } => Error::Read { path, source },
        VerifyError::TooMany(path) => {
            Error::Read { path, source: std::io::Error::other("more files than are looked at") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_finding_code() {
        let digest = Digest::of(b"x");
        let since = Timestamp::from_unix(0);
        let text = String::new;
        let rejections = [
            Rejection::Malformed(text()),
            Rejection::UnknownKey(text()),
            Rejection::RetiredKey { key: text(), from: 0, index: 0, reason: text() },
            Rejection::EarlyKey { key: text(), from: 0, index: 0 },
            Rejection::Signature(text()),
            Rejection::Certificate(text()),
            Rejection::Log(text()),
            Rejection::Witnesses(text()),
            Rejection::Level(text()),
            Rejection::Artifact { artifact: digest, found: text() },
            Rejection::OtherBytes(text()),
            Rejection::Statement(text()),
            Rejection::Revoked { reason: text(), since },
        ];
        let words = rejections.iter().map(Rejection::code);
        let own = [
            "bundle-missing",
            "provenance-mismatch",
            "trust-stale",
            "manifest-malformed",
            "file-unlisted",
            "file-missing",
        ];
        for word in words.chain(own) {
            assert!(codes::find(word).is_some(), "{word}");
        }
    }
}
