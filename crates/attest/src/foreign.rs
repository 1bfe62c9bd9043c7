//! Anybody's Sigstore bundles: GitHub attestations, npm, PyPI, other companies' builders, keyless or by a managed
//! key.
//!
//! What is checked is exactly what every standard client checks, by `sigstore-verify`; what we add is that the
//! caller has to say whose signature it expects. A certificate without an expected identity proves only that
//! somebody has an e-mail address.

use std::io::Read;

use serde_json::Value;
use sigstore_verify::trust_root::{SigstoreInstance, TrustedRoot};
use sigstore_verify::types::{Bundle, DerPublicKey, Sha256Hash, SignatureContent};
use sigstore_verify::{Error, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

use crate::bundle::MAX_BYTES;
use crate::key::PublicKey;
use crate::verify::Rejection;
use evidence::Digest;

/// The longest trusted root that is read.
pub const ROOT_MAX_BYTES: usize = 4 << 20;

/// Whose signature is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signatory {
    /// A certificate of this identity (an e-mail address, or the URI of a workflow) that this OIDC issuer vouches for.
    Certificate {
        /// The subject alternative name, exactly.
        identity: String,
        /// The issuer's URL, exactly.
        issuer: String,
    },
    /// A public key, PEM.
    Key(String),
}

/// What a verified provenance statement says about a build; claims of the signatory, not facts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BuildClaims {
    /// `predicateType` of the statement.
    pub predicate_type: Option<String>,
    /// The builder's id.
    pub builder: Option<String>,
    /// The source, with its revision where it is named.
    pub source: Option<String>,
}

/// A bundle of somebody that was verified. Only [`verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedForeign {
    signer: String,
    issuer: Option<String>,
    log_index: Option<u64>,
    times: Vec<String>,
    claims: BuildClaims,
}

impl VerifiedForeign {
    /// Who signed: the certificate's identity, or the key's short name.
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// Who vouches for that identity; none for a key.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Its place in the log.
    pub fn log_index(&self) -> Option<u64> {
        self.log_index
    }

    /// The times that log or timestamp authority vouch for, RFC 3339.
    pub fn times(&self) -> &[String] {
        &self.times
    }

    /// What the statement says of the build.
    pub fn claims(&self) -> &BuildClaims {
        &self.claims
    }
}

/// What is verified: bytes, or a digest that the caller computed.
pub enum Artifact<'a> {
    /// The bytes.
    Bytes(&'a mut dyn Read),
    /// Their digest.
    Digest(Digest),
}

/// Returns the trusted root of the public Sigstore instance, as it was when this program was built.
pub fn public_root() -> &'static str {
    SigstoreInstance::PublicGood.embedded_trusted_root_json()
}

/// Verifies a bundle against a Sigstore trusted root and an expected signatory. A log entry with inclusion proof and
/// checkpoint is required; nothing can be skipped.
pub fn verify(
    artifact: Artifact<'_>,
    bundle: &[u8],
    trusted_root: &str,
    signatory: &Signatory,
) -> Result<VerifiedForeign, Rejection> {
    let malformed = |error: &dyn std::fmt::Display| Rejection::Malformed(error.to_string());
    if bundle.len() > MAX_BYTES || trusted_root.len() > ROOT_MAX_BYTES {
        return Err(Rejection::Malformed("bundle or trusted root is too large".into()));
    }
    let root = TrustedRoot::from_json(trusted_root).map_err(|error| malformed(&error))?;
    let verifier = Verifier::new(&root).map_err(|error| malformed(&error))?;
    let text = std::str::from_utf8(bundle).map_err(|error| malformed(&error))?;
    let bundle = Bundle::from_json(text).map_err(|error| malformed(&error))?;
    let result = match signatory {
        Signatory::Certificate { identity, issuer } => {
            let policy = VerificationPolicy::new(identity.as_str(), issuer.as_str());
            run(&verifier, artifact, &bundle, &policy)
        }
        Signatory::Key(pem) => {
            let key = DerPublicKey::from_pem(pem).map_err(|error| malformed(&error))?;
            run(&verifier, artifact, &bundle, &PublicKeyVerificationPolicy::new(key))
        }
    }?;
    if !result.tlog_verified() {
        return Err(Rejection::Log("the bundle proves no place in a log".into()));
    }
    let signer = match signatory {
        Signatory::Certificate { .. }
            if !(result.certificate_verified() && result.identity_policy_checked()) =>
        {
            return Err(Rejection::Signature("the certificate was not checked".into()));
        }
        Signatory::Certificate { identity, .. } => identity.clone(),
        Signatory::Key(pem) => key_name(pem)?,
    };
    let entry = bundle.verification_material.tlog_entries.first();
    Ok(VerifiedForeign {
        signer,
        issuer: result.issuer().map(str::to_owned),
        log_index: entry.and_then(|entry| entry.log_index.to_string().parse().ok()),
        times: result.verified_timestamps().iter().map(ToString::to_string).collect(),
        claims: claims(&bundle),
    })
}

fn run(
    verifier: &Verifier,
    artifact: Artifact<'_>,
    bundle: &Bundle,
    policy: &(impl sigstore_verify::Policy + ?Sized),
) -> Result<sigstore_verify::VerificationResult, Rejection> {
    let (digest, result) = match artifact {
        Artifact::Bytes(reader) => (None, verifier.verify_reader(reader, bundle, policy)),
        Artifact::Digest(digest) => {
            let hash = Sha256Hash::from_hex(&digest.hex())
                .map_err(|error| Rejection::Malformed(error.to_string()))?;
            (Some(digest), verifier.verify(hash, bundle, policy))
        }
    };
    result.map_err(|error| rejection(&error, digest))
}

/// Sorts the verifier's reasons into ours, each of which has its own finding code.
fn rejection(error: &Error, artifact: Option<Digest>) -> Rejection {
    let text = error.to_string();
    match error {
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => Rejection::UnknownKey(text),
        Error::ArtifactMismatch(_) => match artifact {
            Some(artifact) => Rejection::Artifact { artifact, found: text },
            None => Rejection::OtherBytes(text),
        },
        Error::TransparencyLog(_) => Rejection::Log(text),
        Error::InvalidBundle(_) | Error::UnsupportedBundle(_) | Error::Types(_) | Error::Bundle(_) => {
            Rejection::Malformed(text)
        }
        _ => Rejection::Signature(text),
    }
}

fn key_name(pem: &str) -> Result<String, Rejection> {
    let der = DerPublicKey::from_pem(pem).map_err(|error| Rejection::Malformed(error.to_string()))?;
    Ok(match PublicKey::from_der(der.as_bytes()) {
        Ok(key) => key.short(),
        // Another algorithm than ours: its digest names it all the same.
        Err(_) => Digest::of(der.as_bytes()).short(),
    })
}

/// Reads what an in-toto statement says of builder and source: SLSA provenance v1 and v0.2.
fn claims(bundle: &Bundle) -> BuildClaims {
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else { return BuildClaims::default() };
    let Ok(statement) = serde_json::from_slice::<Value>(envelope.payload.as_bytes()) else {
        return BuildClaims::default();
    };
    let text = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let predicate_type = text("/predicateType");
    let (builder, source) = match predicate_type.as_deref() {
        Some("https://slsa.dev/provenance/v1") => (
            text("/predicate/runDetails/builder/id"),
            source(
                text("/predicate/buildDefinition/resolvedDependencies/0/uri")
                    .or_else(|| text("/predicate/buildDefinition/externalParameters/workflow/repository")),
                text("/predicate/buildDefinition/resolvedDependencies/0/digest/gitCommit"),
            ),
        ),
        Some("https://slsa.dev/provenance/v0.2") => (
            text("/predicate/builder/id"),
            source(
                text("/predicate/invocation/configSource/uri"),
                text("/predicate/invocation/configSource/digest/sha1"),
            ),
        ),
        _ => (None, None),
    };
    BuildClaims { predicate_type, builder, source }
}

fn source(uri: Option<String>, revision: Option<String>) -> Option<String> {
    Some(match (uri?, revision) {
        (uri, Some(revision)) => format!("{uri} at {revision}"),
        (uri, None) => uri,
    })
}

/// Takes a file apart that holds several bundles: one a line (`gh attestation download`), or the registry's answer of
/// npm. A file that is one bundle is returned as it is.
pub fn bundles(file: &[u8]) -> Vec<Vec<u8>> {
    let lines: Vec<&[u8]> =
        file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let each_is_json =
        lines.iter().all(|line| serde_json::from_slice::<Value>(line).is_ok_and(|v| v.is_object()));
    if lines.len() > 1 && lines.len() <= BUNDLES_MAX && each_is_json {
        return lines.into_iter().map(<[u8]>::to_vec).collect();
    }
    let document = serde_json::from_slice::<Value>(file).ok();
    let attestations = document.as_ref().and_then(|document| document.get("attestations")?.as_array());
    match attestations {
        Some(list) => list
            .iter()
            .take(BUNDLES_MAX)
            .filter_map(|attestation| serde_json::to_vec(attestation.get("bundle")?).ok())
            .collect(),
        None => vec![file.to_vec()],
    }
}

/// More bundles of one file are not tried.
const BUNDLES_MAX: usize = 1000;
