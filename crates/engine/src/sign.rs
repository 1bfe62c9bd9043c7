//! `sign`: gate, intent, signature, outcome. The order is the heart of it: a signature without a logged intent
//! is, by definition, an incident.
//!
//! Order of effects, and what a crash after each leaves:
//! 1. the gate permits (nothing is written);
//! 2. the intent is logged (an intent without an outcome: visible, harmless, the next `sign` makes its own), and the
//!    witnesses that the trust file demands have cosigned it: a forked log ends here;
//! 3. the release key signs in memory; where the trust file has an authority, a certificate for the key is made, and a
//!    timestamp for the signature;
//! 4. the signature is logged: the outcome; the witnesses cosign again;
//! 5. the bundles are written beside the artifact, whole or not at all (`sign` again writes them again);
//! 6. another log, if one is named, gets the signature too (`sign` again submits another one).

use std::path::{Path, PathBuf};

use attest::{Bundle, Envelope, Inclusion, Signer};
use evidence::statement::{
    Intent, PolicyStatement, ReleaseRequest, ResourceDescriptor, Revocation, Statement, VerificationSummary,
    Verifier, sha256_set,
};
use evidence::{Digest, Finding, Subject, Timestamp};
use judge::codes;
use judge::gate::Permit;
use judge::roles::{Actor, Role};
use store::{Heads, StoreError};
use tlog::Ed25519Signer;

use crate::approve::Person;
use crate::approver;
use crate::assess::{Assessment, assess_for, hash_file};
use crate::authority;
use crate::cosign::{cosigned_note, must_be_witnessed};
use crate::error::{Error, Result};
use crate::files;
use crate::native::{self, NativeSigner};
use crate::publish::{OtherLog, publish};
use crate::world::{Passphrase, World, log_error, store_error};

/// Name of the head that holds the digest of the policy logged last.
const POLICY_HEAD: &str = "policy";

/// What came of an attempt to sign.
#[derive(Debug)]
pub struct SignOutcome {
    /// What the gate looked at and decided.
    pub assessment: Assessment,
    /// The signature, if it permitted.
    pub signed: Option<Signed>,
    /// Why what a vendor's signer wrote was not let out.
    pub refused: Vec<Finding>,
}

/// A signature that was made and logged.
#[derive(Clone, PartialEq, Debug)]
pub struct Signed {
    /// Digest of what was released: with a vendor's signature in it, another than what was built.
    pub artifact: Digest,
    /// The bundle that was written.
    pub bundle: PathBuf,
    /// The bundle of the build's provenance, where the artifact still has the bytes that were built.
    pub provenance_bundle: Option<PathBuf>,
    /// What a vendor's signer made.
    pub native: Option<PathBuf>,
    /// The bundle with another log's proof.
    pub published: Option<PathBuf>,
    /// Place of the intent in the log.
    pub intent_index: u64,
    /// Place of the signature in the log.
    pub log_index: u64,
    /// Short name of the key.
    pub key: String,
}

/// How to sign.
#[derive(Default)]
pub struct SignRequest<'a> {
    /// A vendor's signer that goes first.
    pub with: Option<&'a NativeSigner>,
    /// Who asks for the release.
    pub person: Option<&'a Person>,
    /// Another log that gets the signature too.
    pub other_log: Option<&'a OtherLog>,
}

/// A permit whose intent is in the log: the only thing that the release key signs for.
struct LoggedPermit {
    permit: Permit,
    intent: Digest,
    index: u64,
}

/// Judges an artifact and, if it is permitted, signs it; with a vendor's signer, that one first. Only then is the
/// passphrase asked for. `clock` is for certificate and timestamp: a vendor's signer may take its time.
pub fn sign(
    world: &World,
    path: &Path,
    request: &SignRequest<'_>,
    passphrase: &dyn Fn() -> std::result::Result<Passphrase, String>,
    clock: &dyn Fn() -> Timestamp,
) -> Result<SignOutcome> {
    let asking =
        request.person.map(|person| approver::open(world, &person.name, &person.passphrase)).transpose()?;
    let asks = request.person.zip(asking.as_ref()).map(|(person, key)| Actor {
        role: Role::Releaser,
        key: key.public_key().short(),
        person: Some(person.name.clone()),
    });
    let mut assessment = assess_for(world, path, asks.as_ref())?;
    if asks.is_none() && world.policy()?.0.roles.binds(Role::Releaser) {
        let subject = Subject { path: Some(assessment.name.clone()), digest: Some(assessment.artifact) };
        let because =
            "the policy names releasers, and none of them asks: `countersign sign --as NAME`".to_owned();
        let refused = vec![codes::ROLE_DENIED.finding(subject, vec![because])];
        return Ok(SignOutcome { assessment, signed: None, refused });
    }
    let permit = match assessment.decision.take_permit() {
        Some(permit) => permit,
        None => return Ok(SignOutcome { assessment, signed: None, refused: Vec::new() }),
    };
    let provenance_index = assessment.provenance_index.ok_or(Error::NoRecord("provenance".into()))?;
    let passphrase = passphrase().map_err(Error::Passphrase)?;
    let release = world.release_key(&passphrase)?;
    let log_key = world.log_key(&passphrase)?;
    let authority = authority::open(world, &passphrase, clock())?;
    log_policy(world, &assessment, &release, &log_key)?;
    let asked = match &asking {
        Some(key) => Some(log_request(world, &permit, key, &log_key)?),
        None => None,
    };
    let logged = log_intent(world, permit, asked, &release, &log_key)?;
    let intent_index = logged.index;
    // Before there is a signature: if a witness has seen another history, none is made.
    must_be_witnessed(world, &host::outbound::exchange)?;
    let native = match request.with {
        Some(signer) => Some(signed_natively(world, path, signer, &logged, &release, &log_key)?),
        None => None,
    };
    if let Some(native) = &native
        && !native.findings.is_empty()
    {
        return Ok(SignOutcome { assessment, signed: None, refused: native.findings.clone() });
    }
    let artifact = native.as_ref().and_then(|native| native.artifact).unwrap_or(assessment.artifact);
    let event = native.as_ref().map(|native| native.event);
    let envelope = countersign(world, logged, artifact, event, &release)?;
    let (envelope, timestamp) = match &authority {
        Some(authority) => authority.certified(envelope, clock)?,
        None => (envelope, None),
    };
    let log_index = append_one(world, &envelope, &log_key)?.index;
    must_be_witnessed(world, &host::outbound::exchange)?;

    // The bundles carry proofs for one and the same checkpoint.
    let bundle = with_suffix(path, ".sigstore.json");
    let provenance_bundle = with_suffix(path, ".provenance.sigstore.json");
    // The provenance is about what the build made; what a signer has changed since has other bytes.
    let is_as_built = artifact == assessment.artifact;
    if is_as_built {
        files::write(&provenance_bundle, &bundle_of(world, provenance_index, None)?.encode())?;
    }
    files::write(&bundle, &bundle_of(world, log_index, timestamp.as_deref())?.encode())?;
    if hash_file(path)? != artifact {
        return Err(Error::Unstable(path.to_path_buf()));
    }
    let published = match request.other_log {
        Some(log) => Some(publish(log, &envelope, timestamp.as_deref(), path)?),
        None => None,
    };
    let key = release.public_key().short();
    let native = native.map(|native| native.file);
    let provenance_bundle = is_as_built.then_some(provenance_bundle);
    Ok(SignOutcome {
        assessment,
        signed: Some(Signed {
            artifact,
            bundle,
            provenance_bundle,
            native,
            published,
            intent_index,
            log_index,
            key,
        }),
        refused: Vec::new(),
    })
}

/// What a vendor's signer made, in place and logged.
struct SignedNatively {
    /// The artifact's digest now, if the signature is in it.
    artifact: Option<Digest>,
    /// The signing event.
    event: Digest,
    /// What was written.
    file: PathBuf,
    /// Why it was refused.
    findings: Vec<Finding>,
}

fn signed_natively(
    world: &World,
    path: &Path,
    signer: &NativeSigner,
    logged: &LoggedPermit,
    release: &dyn Signer,
    log_key: &Ed25519Signer,
) -> Result<SignedNatively> {
    let native = native::run(path, logged.permit.artifact(), signer, logged.intent, world.now())?;
    let envelope = signed(&native::statement(path, signer, &native), release)?;
    append_one(world, &envelope, log_key)?;
    let file = native::destination(path, signer);
    if let Some(bytes) = &native.signed {
        files::write(&file, bytes)?;
    }
    let artifact = native.signed.as_deref().filter(|_| signer.detached.is_none()).map(Digest::of);
    Ok(SignedNatively { artifact, event: envelope.id(), file, findings: native.findings })
}

/// Returns the path beside an artifact where a file about it stands.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Logs the policy when it is first used, so that every verdict names a policy that the log knows.
fn log_policy(
    world: &World,
    assessment: &Assessment,
    release: &dyn Signer,
    log_key: &Ed25519Signer,
) -> Result<()> {
    let known = world.heads.load(POLICY_HEAD).map_err(store_error)?;
    let digest = assessment.policy.to_string().into_bytes();
    if known.as_deref() == Some(&digest) {
        return Ok(());
    }
    world.put(&assessment.policy_bytes)?;
    for rules in &assessment.rule_bytes {
        world.put(rules)?;
    }
    let subject = ResourceDescriptor::named("policy.toml", &assessment.policy);
    let statement = Statement::new(vec![subject], &PolicyStatement { since: world.now() });
    append_one(world, &signed(&statement, release)?, log_key)?;
    match world.heads.replace(POLICY_HEAD, known.as_deref(), &digest) {
        // Somebody else signed at the same time and logged the same policy: it stands there twice, which is harmless.
        Err(StoreError::Conflict(_))
            if world.heads.load(POLICY_HEAD).map_err(store_error)?.as_deref() == Some(&digest) =>
        {
            Ok(())
        }
        result => result.map_err(store_error),
    }
}

/// Logs who asks for the release; returns the statement's digest.
fn log_request(world: &World, permit: &Permit, key: &dyn Signer, log_key: &Ed25519Signer) -> Result<Digest> {
    let said = ReleaseRequest { record: *permit.record(), decided: world.now() };
    let subject = ResourceDescriptor::named(permit.name().to_string(), permit.artifact());
    let statement = Statement::new(vec![subject], &said);
    let envelope =
        Envelope::sign(&statement, key).map_err(|source| Error::Key { name: "approver", source })?;
    append_one(world, &envelope, log_key)?;
    Ok(envelope.id())
}

fn log_intent(
    world: &World,
    permit: Permit,
    request: Option<Digest>,
    release: &dyn Signer,
    log_key: &Ed25519Signer,
) -> Result<LoggedPermit> {
    let intent = Intent {
        record: *permit.record(),
        provenance: *permit.provenance(),
        policy: *permit.policy(),
        baseline: permit.baseline().copied(),
        advisories: permit.advisories().copied(),
        approved: permit.approved().to_vec(),
        request,
        decided: permit.decided(),
    };
    let subject = ResourceDescriptor::named(permit.name().to_string(), permit.artifact());
    let envelope = signed(&Statement::new(vec![subject], &intent), release)?;
    let index = append_one(world, &envelope, log_key)?.index;
    Ok(LoggedPermit { permit, intent: envelope.id(), index })
}

/// Makes the release signature: a verification summary that names the intent and the provenance.
fn countersign(
    world: &World,
    logged: LoggedPermit,
    artifact: Digest,
    event: Option<Digest>,
    release: &dyn Signer,
) -> Result<Envelope> {
    let permit = logged.permit;
    let summary = VerificationSummary {
        verifier: Verifier { id: format!("urn:countersign:gate:{}", release.public_key().short()) },
        time_verified: world.now(),
        resource_uri: format!("urn:countersign:artifact:{}", permit.name()),
        policy: ResourceDescriptor {
            uri: Some(format!("urn:countersign:policy:{}", permit.policy())),
            digest: sha256_set(permit.policy()),
            ..ResourceDescriptor::default()
        },
        input_attestations: [
            Some(attestation("intent", &logged.intent)),
            Some(attestation("provenance", permit.provenance())),
            event.map(|event| attestation("signing-event", &event)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        verification_result: "PASSED".into(),
        verified_levels: std::iter::once("SLSA_BUILD_LEVEL_1".to_owned())
            .chain(permit.is_observed().then(|| "COUNTERSIGN_OBSERVED_COMPLETE".to_owned()))
            .chain(
                permit
                    .reproduced()
                    .map(|(agreed, of)| format!("{}{agreed}_OF_{of}", attest::verify::REPRODUCED)),
            )
            .collect(),
        slsa_version: "1.2".into(),
    };
    let subject = ResourceDescriptor::named(permit.name().to_string(), &artifact);
    signed(&Statement::new(vec![subject], &summary), release)
}

fn attestation(kind: &str, statement: &Digest) -> ResourceDescriptor {
    ResourceDescriptor {
        uri: Some(format!("urn:countersign:statement:{kind}")),
        digest: sha256_set(statement),
        ..ResourceDescriptor::default()
    }
}

pub(crate) fn signed(statement: &Statement, key: &dyn Signer) -> Result<Envelope> {
    Envelope::sign(statement, key).map_err(|source| Error::Key { name: "release", source })
}

pub(crate) fn append_one(world: &World, envelope: &Envelope, log_key: &Ed25519Signer) -> Result<Inclusion> {
    let mut inclusions = world.append(std::slice::from_ref(envelope), log_key)?;
    inclusions.pop().ok_or_else(|| log_error(std::io::Error::other("the log acknowledged nothing")))
}

/// Assembles the bundle of an entry with a proof for the newest checkpoint.
pub(crate) fn bundle_of(world: &World, index: u64, timestamp: Option<&[u8]>) -> Result<Bundle> {
    let envelope = world.envelope(index)?;
    let mut inclusion = world.inclusion(index)?;
    let checkpoint = world.with_log(|log| Ok(log.checkpoint().clone()))?;
    if let Some(cosigned) = cosigned_note(world, &checkpoint)?
        && checkpoint.note() == inclusion.checkpoint
    {
        inclusion.checkpoint = cosigned.note().to_owned();
    }
    let key_id = world.trust.log.key_id().map_err(log_error)?;
    Ok(Bundle::new(&envelope, &inclusion, key_id, timestamp))
}

/// An artifact that was taken back.
#[derive(Clone, PartialEq, Debug)]
pub struct Revoked {
    /// The artifact.
    pub artifact: Digest,
    /// Place of the revocation in the log.
    pub log_index: u64,
    /// The trust file that now names it: hand it to customers.
    pub trust_file: PathBuf,
}

/// Takes an artifact back: logs a signed revocation, then adds it to the trust file.
///
/// A crash between the two leaves a logged revocation that the trust file does not name yet; `revoke` again
/// completes it.
pub fn revoke(world: &World, artifact: &Digest, reason: &str, passphrase: &Passphrase) -> Result<Revoked> {
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let predicate = Revocation { reason: reason.to_owned(), revoked: world.now() };
    let statement = Statement::new(vec![ResourceDescriptor::named("artifact", artifact)], &predicate);
    let log_index = append_one(world, &signed(&statement, &release)?, &log_key)?.index;
    let trust_file = world.change_trust(|trust| {
        if !trust.revoked.iter().any(|revoked| revoked.digest == *artifact) {
            trust.revoked.push(attest::trust::Revoked {
                digest: *artifact,
                reason: reason.to_owned(),
                since: world.now(),
            });
        }
    })?;
    Ok(Revoked { artifact: *artifact, log_index, trust_file })
}
