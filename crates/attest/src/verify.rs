//! The verifier: from untrusted bytes and a trust file to types that prove what was checked.
//!
//! Two implementations must agree: `sigstore-verify` checks signature, inclusion proof and checkpoint as every
//! standard client would; ours checks the same again with `tlog`, and that nothing in the bundle is left
//! unchecked. No network: keys, log and authorities come from the trust file alone. A clock is asked in one place only:
//! `sigstore-verify` does not take authorities whose time has not come yet.

use evidence::statement::{
    Predicate, Provenance, ResourceDescriptor, Statement, StatementError, VerificationSummary,
};
use evidence::{Digest, Timestamp, wire};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{DerPublicKey, Sha256Hash};
use sigstore_verify::{Error, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

use crate::authority::Authority;
use crate::bundle::{Bundle, MAX_BYTES};
use crate::envelope::Envelope;
use crate::key::PublicKey;
use crate::timestamp;
use crate::trust::{Trust, TrustedKey};

/// A statement whose signature, key and place in the log have been verified. Only this module makes one.
#[derive(Clone, PartialEq, Debug)]
pub struct Verified {
    statement: Statement,
    id: Digest,
    key: PublicKey,
    log_index: u64,
    witnesses: Vec<String>,
    certified: Option<Certified>,
}

/// What a certificate adds to a verified statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certified {
    /// Who signed, by the certificate.
    pub identity: String,
    /// Who vouches for that name.
    pub issuer: String,
    /// When it was there at the latest, by the timestamp authority.
    pub time: Timestamp,
}

impl Verified {
    /// The statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Digest of the signed bytes: the statement's name in vault and log.
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// The key that signed it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its place in the log.
    pub fn log_index(&self) -> u64 {
        self.log_index
    }

    /// What the certificate says, if it was signed by one.
    pub fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }

    /// The witnesses whose cosignature on the log was verified.
    pub fn witnesses(&self) -> &[String] {
        &self.witnesses
    }
}

/// An artifact that a release key vouches for. Only this module makes one.
#[derive(Clone, PartialEq, Debug)]
pub struct VerifiedRelease {
    verified: Verified,
    artifact: Digest,
    summary: VerificationSummary,
}

impl VerifiedRelease {
    /// The verified statement.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The artifact.
    pub fn artifact(&self) -> &Digest {
        &self.artifact
    }

    /// What the gate said about it.
    pub fn summary(&self) -> &VerificationSummary {
        &self.summary
    }

    /// Tells whether the gate relied on this statement.
    pub fn relied_on(&self, statement: &Digest) -> bool {
        self.summary.input_attestations.iter().any(|input| input.sha256() == Some(*statement))
    }

    /// How many of how many independent builders came to these bytes, if the gate says so.
    pub fn reproduced(&self) -> Option<(u32, u32)> {
        let levels = self.summary.verified_levels.iter();
        levels
            .filter_map(|level| level.strip_prefix(REPRODUCED)?.split_once("_OF_"))
            .find_map(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)))
    }
}

/// How a verification summary begins to say how many builders agreed: `COUNTERSIGN_REPRODUCED_2_OF_3`.
pub const REPRODUCED: &str = "COUNTERSIGN_REPRODUCED_";

/// Why something was not verified. Each has its own finding code.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// Not a bundle in the one form that we write.
    #[error("the bundle is malformed: {0}")]
    Malformed(String),
    /// Signed by a key or identity that is not trusted for this.
    #[error("not by a trusted key or identity: {0}")]
    UnknownKey(String),
    /// The key is no longer trusted at this place of the log.
    #[error(
        "the key {key} does not count from entry {from} of the log on, and this is entry {index}: {reason}"
    )]
    RetiredKey {
        /// Short name of the key.
        key: String,
        /// From where on it does not count.
        from: u64,
        /// Where this statement stands.
        index: u64,
        /// Why it was retired.
        reason: String,
    },
    /// The key is not yet trusted at this place of the log.
    #[error("the key {key} counts from entry {from} of the log on, and this is entry {index}")]
    EarlyKey {
        /// Short name of the key.
        key: String,
        /// From where on it counts.
        from: u64,
        /// Where this statement stands.
        index: u64,
    },
    /// Too few of the witnesses that the trust file names have cosigned the log.
    #[error("the log is not cosigned by enough witnesses: {0}")]
    Witnesses(String),
    /// The gate did not find what the trust file requires.
    #[error("the release does not have the required level `{0}`")]
    Level(String),
    /// The signature does not verify.
    #[error("the signature is invalid: {0}")]
    Signature(String),
    /// Certificate or timestamp do not verify, or are of an authority that is not trusted.
    #[error("the certificate is not to be believed: {0}")]
    Certificate(String),
    /// The log entry, proof or checkpoint does not verify.
    #[error("the log proof is invalid: {0}")]
    Log(String),
    /// The statement is not about this artifact.
    #[error("the statement is about {found}, the file is {artifact}")]
    Artifact {
        /// The file's digest.
        artifact: Digest,
        /// What the statement names.
        found: String,
    },
    /// The bundle is for other bytes than those that were read.
    #[error("{0}")]
    OtherBytes(String),
    /// The statement is of another kind, or does not say what it should.
    #[error("{0}")]
    Statement(String),
    /// The vendor took the artifact back.
    #[error("revoked since {since}: {reason}")]
    Revoked {
        /// Why.
        reason: String,
        /// Since when.
        since: evidence::Timestamp,
    },
}

impl Rejection {
    /// Returns the finding code of this reason; each has a page in `docs/findings/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "bundle-malformed",
            Self::UnknownKey(_) => "release-key-unknown",
            Self::RetiredKey { .. } | Self::EarlyKey { .. } => "key-retired",
            Self::Signature(_) => "signature-invalid",
            Self::Certificate(_) => "certificate-invalid",
            Self::Log(_) => "log-proof-invalid",
            Self::Witnesses(_) => "witnesses-missing",
            Self::Level(_) => "level-missing",
            Self::Artifact { .. } | Self::OtherBytes(_) => "artifact-mismatch",
            Self::Statement(_) => "not-a-release",
            Self::Revoked { .. } => "revoked",
        }
    }
}

impl From<StatementError> for Rejection {
    fn from(error: StatementError) -> Self {
        Self::Statement(error.to_string())
    }
}

/// Verifies the bundle of a release for an artifact with this digest.
pub fn release(artifact: &Digest, bundle: &[u8], trust: &Trust) -> Result<VerifiedRelease, Rejection> {
    let bundle = read(bundle)?;
    let key =
        trust.release_key(&bundle.key_hint()).ok_or_else(|| Rejection::UnknownKey(bundle.key_hint()))?;
    let verified = verify(artifact, &bundle, key, trust)?;
    let summary: VerificationSummary = verified.statement.predicate()?;
    if summary.verification_result != "PASSED" {
        return Err(Rejection::Statement(format!("the gate's result is `{}`", summary.verification_result)));
    }
    if let Some(level) = trust.required_levels.iter().find(|level| !summary.verified_levels.contains(level)) {
        return Err(Rejection::Level(level.clone()));
    }
    if let Some(revoked) = trust.revoked.iter().find(|revoked| revoked.digest == *artifact) {
        return Err(Rejection::Revoked { reason: revoked.reason.clone(), since: revoked.since });
    }
    Ok(VerifiedRelease { verified, artifact: *artifact, summary })
}

/// Verifies the bundle of a build's provenance for an artifact with this digest.
pub fn provenance(
    artifact: &Digest,
    bundle: &[u8],
    trust: &Trust,
) -> Result<(Verified, Provenance), Rejection> {
    let bundle = read(bundle)?;
    let key =
        trust.builder_key(&bundle.key_hint()).ok_or_else(|| Rejection::UnknownKey(bundle.key_hint()))?;
    let verified = verify(artifact, &bundle, key, trust)?;
    let provenance: Provenance = verified.statement.predicate()?;
    Ok((verified, provenance))
}

/// Checks a statement from vault and log: the signature by one of the given keys, the predicate's type. The log
/// entry itself has been proven by the log's reader.
pub fn logged<P: Predicate>(
    envelope: &Envelope,
    log_index: u64,
    keys: &[PublicKey],
) -> Result<(Verified, P), Rejection> {
    if !keys.contains(envelope.key()) {
        return Err(Rejection::UnknownKey(envelope.key().hint()));
    }
    let statement = envelope.open().map_err(|error| Rejection::Signature(error.to_string()))?;
    let predicate = statement.predicate()?;
    Ok((
        Verified {
            statement,
            id: envelope.id(),
            key: envelope.key().clone(),
            log_index,
            witnesses: Vec::new(),
            certified: None,
        },
        predicate,
    ))
}

fn read(bytes: &[u8]) -> Result<Bundle, Rejection> {
    if bytes.len() > MAX_BYTES {
        return Err(Rejection::Malformed(format!("larger than {MAX_BYTES} bytes")));
    }
    let bundle = Bundle::decode(bytes).map_err(|error| Rejection::Malformed(error.to_string()))?;
    if bundle.has_fixed_fields() {
        Ok(bundle)
    } else {
        Err(Rejection::Malformed("unexpected media type".into()))
    }
}

fn verify(
    artifact: &Digest,
    bundle: &Bundle,
    trusted: &TrustedKey,
    trust: &Trust,
) -> Result<Verified, Rejection> {
    let key = &trusted.public_key;
    let envelope = bundle.envelope(key);
    // Ours: the entry is exactly this signature's, every repeated field repeats what is proven.
    let (log_index, checkpoint) = included(bundle, &envelope, trust)?;
    if let Some(retired) = trusted.retired.as_ref().filter(|retired| log_index >= retired.index) {
        let (from, reason) = (retired.index, retired.reason.clone());
        return Err(Rejection::RetiredKey { key: key.short(), from, index: log_index, reason });
    }
    if let Some(from) = trusted.from.filter(|from| log_index < *from) {
        return Err(Rejection::EarlyKey { key: key.short(), from, index: log_index });
    }
    let witnesses = witnessed(&checkpoint, trust)?;
    let statement = envelope.open().map_err(|error| Rejection::Signature(error.to_string()))?;
    if wire::canonical(&statement) != envelope.payload {
        return Err(Rejection::Malformed("the statement is not in canonical form".into()));
    }
    if !statement.is_about(artifact) {
        let found: Vec<String> =
            statement.subject.iter().filter_map(ResourceDescriptor::sha256).map(|d| d.to_string()).collect();
        return Err(Rejection::Artifact { artifact: *artifact, found: found.join(", ") });
    }
    // Theirs: the same bundle, as any standard client reads it.
    let certified = second_opinion(artifact, bundle, key, trust)?;
    Ok(Verified { statement, id: envelope.id(), key: key.clone(), log_index, witnesses, certified })
}

fn included(
    bundle: &Bundle,
    envelope: &Envelope,
    trust: &Trust,
) -> Result<(u64, tlog::VerifiedCheckpoint), Rejection> {
    let log = |reason: &str| Rejection::Log(reason.to_owned());
    if bundle.body() != envelope.leaf().encode() {
        return Err(log("the log entry is not for this signature"));
    }
    let (log_key_id, _) = trust.log.ed25519().map_err(|error| Rejection::Log(error.to_string()))?;
    if bundle.log_key_id() != log_key_id {
        return Err(log("the entry is from another log"));
    }
    let inclusion = bundle.inclusion().ok_or_else(|| log("its fields contradict each other"))?;
    let key = tlog::VerifierKey::parse(&trust.log.verifier_key)
        .map_err(|error| Rejection::Log(error.to_string()))?;
    let checkpoint = tlog::Checkpoint::verify(&inclusion.checkpoint, &key)
        .map_err(|error| Rejection::Log(error.to_string()))?;
    if checkpoint.size() != inclusion.size || *checkpoint.root().as_bytes() != inclusion.root {
        return Err(log("the proof is for another tree than the checkpoint"));
    }
    let hashes: Vec<tlog::Hash> = inclusion.hashes.iter().map(|hash| tlog::Hash::from_bytes(*hash)).collect();
    let leaf = tlog::leaf_hash(bundle.body());
    tlog::verify_inclusion(&hashes, inclusion.index, inclusion.size, &leaf, checkpoint.root())
        .map_err(|error| Rejection::Log(error.to_string()))?;
    Ok((inclusion.index, checkpoint))
}

/// Weighs the cosignatures on the log. A line that neither the log nor a known witness has made is refused: no byte
/// of our bundles goes unchecked.
fn witnessed(checkpoint: &tlog::VerifiedCheckpoint, trust: &Trust) -> Result<Vec<String>, Rejection> {
    let policy = trust.witnesses().map_err(|error| Rejection::Witnesses(error.to_string()))?;
    let known: Vec<&tlog::WitnessKey> =
        policy.iter().flat_map(|policy| policy.witnesses()).map(|witness| &witness.key).collect();
    if !checkpoint.is_only_by(&known) {
        return Err(Rejection::Log(
            "its checkpoint has a signature by nobody whom the trust file names".into(),
        ));
    }
    let Some(policy) = policy else { return Ok(Vec::new()) };
    let cosigned = policy.weigh(checkpoint).map_err(|error| Rejection::Log(error.to_string()))?;
    let names: Vec<String> = cosigned.witnesses.into_iter().map(|(name, _)| name).collect();
    if cosigned.quorum {
        return Ok(names);
    }
    let have = if names.is_empty() { "by none".to_owned() } else { format!("only by {}", names.join(", ")) };
    Err(Rejection::Witnesses(have))
}

/// The authority that could have certified this bundle: that of the moment which its timestamp names. Whether the timestamp is
/// true is checked with the keys of that authority alone.
fn authority<'t>(bundle: &Bundle, trust: &'t Trust) -> Result<Option<&'t Authority>, Rejection> {
    let Some(certificate) = bundle.certificate() else { return Ok(None) };
    let no = |words: &str| Rejection::Certificate(words.to_owned());
    let time = bundle.timestamp().and_then(timestamp::claimed_time);
    let time = time.ok_or_else(|| no("it has no timestamp"))?;
    let found = trust.authority_of(certificate, time);
    found.map(Some).ok_or_else(|| no(&format!("the trust file names no authority for {time}")))
}

fn second_opinion(
    artifact: &Digest,
    bundle: &Bundle,
    key: &PublicKey,
    trust: &Trust,
) -> Result<Option<Certified>, Rejection> {
    let authority = authority(bundle, trust)?;
    let root = trust.sigstore_trusted_root().map_err(|error| Rejection::Log(error.to_string()))?;
    let root = TrustedRoot::from_json(&root).map_err(|error| Rejection::Log(error.to_string()))?;
    let verifier = Verifier::new(&root).map_err(|error| Rejection::Log(error.to_string()))?;
    let text = String::from_utf8(bundle.encode()).map_err(|error| Rejection::Malformed(error.to_string()))?;
    let bundle = sigstore_verify::types::Bundle::from_json(&text)
        .map_err(|error| Rejection::Malformed(error.to_string()))?;
    let digest =
        Sha256Hash::from_hex(&artifact.hex()).map_err(|error| Rejection::Malformed(error.to_string()))?;
    let result = match authority {
        None => {
            let policy = PublicKeyVerificationPolicy::new(DerPublicKey::new(key.der().to_vec()));
            verifier.verify(digest, &bundle, &policy)
        }
        Some(authority) => {
            let policy = VerificationPolicy::new(authority.identity.as_str(), authority.issuer.as_str());
            verifier.verify(digest, &bundle, &policy)
        }
    };
    let result = result.map_err(|error| match error {
        Error::Certificate(_)
        | Error::Timestamp(_)
        | Error::IdentityMismatch { .. }
        | Error::IssuerMismatch { .. } => Rejection::Certificate(error.to_string()),
        error => Rejection::Signature(error.to_string()),
    })?;
    if !result.tlog_verified() {
        return Err(Rejection::Log("the second verifier did not check the log".into()));
    }
    let Some(authority) = authority else { return Ok(None) };
    let times = result.verified_timestamps();
    match times.first() {
        Some(time) if result.certificate_verified() && result.sct_verified() => Ok(Some(Certified {
            identity: authority.identity.clone(),
            issuer: authority.issuer.clone(),
            time: Timestamp::from_unix(time.as_second()),
        })),
        _ => Err(Rejection::Certificate("the second verifier did not check it".into())),
    }
}
