//! in-toto statements (Statement v1) and the predicates that Countersign makes.
//!
//! A statement says something about subjects named by digest. Signing it is not done here (`attest`).

mod events;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Position;
use crate::record::Completeness;
use crate::{BytePath, Digest, Timestamp};

pub use events::{
    AuditStatement, BuilderVote, KeyChange, KeyStatement, QuorumStatement, RebuildStatement, ReleaseRequest,
    SigningEvent,
};

/// `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// DSSE payload type of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The `buildType` of a command recorded by Countersign; documented in `docs/manual/provenance.md`.
pub const BUILD_TYPE: &str = "urn:countersign:build:traced-command:v1";

/// An in-toto statement whose predicate has not been read yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// Always [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What the statement is about.
    pub subject: Vec<ResourceDescriptor>,
    /// Which predicate follows.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
}

/// A predicate type of the in-toto framework.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The `predicateType` URI.
    const TYPE: &'static str;
}

/// Bytes that are not a statement of the expected form.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not an in-toto Statement v1.
    #[error("not an in-toto statement v1")]
    Statement(#[source] serde_json::Error),
    /// A `_type` other than Statement v1.
    #[error("statement type `{0}` is not {STATEMENT_TYPE}")]
    Type(String),
    /// Another predicate than the one asked for.
    #[error("predicate type `{found}` where `{wanted}` was expected")]
    PredicateType {
        /// The type in the statement.
        found: String,
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// The predicate does not have the form that its type prescribes.
    #[error("malformed predicate of type `{kind}`")]
    Predicate {
        /// Its type.
        kind: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Statement {
    /// Makes a statement.
    pub fn new<P: Predicate>(subject: Vec<ResourceDescriptor>, predicate: &P) -> Self {
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: P::TYPE.to_owned(),
            predicate: serde_json::to_value(predicate).expect("predicates have string keys and no floats"),
        }
    }

    /// Parses the payload of an envelope.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let statement: Self = serde_json::from_slice(payload).map_err(StatementError::Statement)?;
        if statement.kind != STATEMENT_TYPE {
            return Err(StatementError::Type(statement.kind));
        }
        Ok(statement)
    }

    /// Reads the predicate as type `P`, or says what it is instead.
    pub fn predicate<P: Predicate>(&self) -> Result<P, StatementError> {
        if self.predicate_type != P::TYPE {
            return Err(StatementError::PredicateType {
                found: self.predicate_type.clone(),
                wanted: P::TYPE,
            });
        }
        P::deserialize(&self.predicate).map_err(|source| StatementError::Predicate { kind: P::TYPE, source })
    }

    /// Tells whether one of the subjects has these bytes.
    pub fn is_about(&self, digest: &Digest) -> bool {
        self.subject.iter().any(|subject| subject.sha256() == Some(*digest))
    }
}

/// An in-toto ResourceDescriptor (in-toto attestation spec, `resource_descriptor.md`), with the fields we use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceDescriptor {
    /// A name, unique in its list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Where it is or what it is called globally: `file:///usr/bin/cc`, a purl.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uri: Option<String>,
    /// Its digests; we always give `sha256`, bare hexadecimal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub digest: BTreeMap<String, String>,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub media_type: Option<String>,
    /// More about it: `role`, `package`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: BTreeMap<String, String>,
}

impl ResourceDescriptor {
    /// Makes a descriptor of named bytes.
    pub fn named(name: impl Into<String>, digest: &Digest) -> Self {
        Self { name: Some(name.into()), digest: sha256_set(digest), ..Self::default() }
    }

    /// Returns its SHA-256, if it has a well-formed one.
    pub fn sha256(&self) -> Option<Digest> {
        self.digest.get("sha256").and_then(|hex| Digest::from_hex(hex).ok())
    }

    /// Adds the media type.
    pub fn with_media_type(mut self, media_type: &str) -> Self {
        self.media_type = Some(media_type.to_owned());
        self
    }
}

/// Writes a digest as an in-toto DigestSet.
pub fn sha256_set(digest: &Digest) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), digest.hex())])
}

/// SLSA Provenance v1 (slsa.dev/spec/v1.2/provenance).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// What was built, from what.
    pub build_definition: BuildDefinition,
    /// Who built it, when, and what else came out.
    pub run_details: RunDetails,
}

impl Predicate for Provenance {
    const TYPE: &'static str = "https://slsa.dev/provenance/v1";
}

/// SLSA `BuildDefinition`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildDefinition {
    /// Always [`BUILD_TYPE`].
    pub build_type: String,
    /// What the user asked for. Closed: a verifier rejects unknown fields.
    pub external_parameters: ExternalParameters,
    /// How it was observed.
    pub internal_parameters: InternalParameters,
    /// Every input by digest, with its role.
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// What the user of the recorder asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalParameters {
    /// The recorded command.
    pub command: Vec<BytePath>,
    /// Where it ran.
    pub workdir: BytePath,
    /// The product.
    pub product: String,
    /// The release.
    pub release: String,
}

/// How the build was observed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InternalParameters {
    /// Tracing mode.
    pub tracer: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub architecture: String,
    /// Whether the network was open, and how it was watched.
    pub network: String,
}

/// SLSA `RunDetails`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunDetails {
    /// The builder.
    pub builder: Builder,
    /// When, and how completely it was seen.
    pub metadata: BuildMetadata,
    /// Record, trace segments and SBOM, by digest.
    pub byproducts: Vec<ResourceDescriptor>,
}

/// SLSA `Builder`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Builder {
    /// One id per key and tracing mode.
    pub id: String,
    /// Versions of its parts.
    pub version: BTreeMap<String, String>,
}

/// SLSA `BuildMetadata`, with the completeness claim as a vendor field (spec: `<vendor>_<fieldname>`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildMetadata {
    /// Digest of the record.
    pub invocation_id: String,
    /// When the build began.
    pub started_on: Timestamp,
    /// When its last byte had been hashed.
    pub finished_on: Timestamp,
    /// What the recorder can vouch for.
    #[serde(rename = "countersign_completeness")]
    pub completeness: Completeness,
}

/// A record exists: made for every recorded build, also a failed or incomplete one. The subject is the record
/// document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordStatement {
    /// The product, or empty.
    pub product: String,
    /// The release, or empty.
    pub release: String,
    /// Whether it ended well and was seen completely.
    pub attestable: bool,
    /// When the recording ended.
    pub finished: Timestamp,
}

impl Predicate for RecordStatement {
    const TYPE: &'static str = "urn:countersign:predicate:record:v1";
}

/// The intent to sign: logged before any release signature is made. The subject is the artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intent {
    /// The record from which the artifact comes.
    pub record: Digest,
    /// The provenance statement that names it.
    pub provenance: Digest,
    /// The policy under which the gate permitted it.
    pub policy: Digest,
    /// The record it was compared with, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub baseline: Option<Digest>,
    /// The snapshot of the advisories that were asked, if they were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advisories: Option<Digest>,
    /// Findings that approvals cover.
    pub approved: Vec<String>,
    /// Who asked for the release: their statement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<Digest>,
    /// When the gate decided.
    pub decided: Timestamp,
}

impl Predicate for Intent {
    const TYPE: &'static str = "urn:countersign:predicate:intent:v1";
}

/// SLSA Verification Summary v1 (slsa.dev/spec/v1.2/verification_summary): what the gate vouches for, and what
/// customers check. The subject is the artifact; this signature is the outcome of the intent that it names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerificationSummary {
    /// Who verified.
    pub verifier: Verifier,
    /// When.
    pub time_verified: Timestamp,
    /// What the artifact is called.
    pub resource_uri: String,
    /// The policy that it passed.
    pub policy: ResourceDescriptor,
    /// The statements that the gate relied on: provenance and intent.
    pub input_attestations: Vec<ResourceDescriptor>,
    /// `PASSED`.
    pub verification_result: String,
    /// Levels and own properties that hold.
    pub verified_levels: Vec<String>,
    /// Version of the SLSA specification.
    pub slsa_version: String,
}

impl Predicate for VerificationSummary {
    const TYPE: &'static str = "https://slsa.dev/verification_summary/v1";
}

/// Who made a verification summary.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verifier {
    /// An identifier of the gate.
    pub id: String,
}

/// A person judged a finding and takes responsibility for letting it pass. The subject is what the finding is
/// about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The finding's id.
    pub finding: String,
    /// Why it may pass.
    pub reason: String,
    /// When it was approved.
    pub approved: Timestamp,
    /// From when on it no longer holds.
    pub expires: Timestamp,
    /// What the person looked at, by digest; kept in the vault.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub evidence: Vec<ResourceDescriptor>,
}

impl Predicate for Approval {
    const TYPE: &'static str = "urn:countersign:predicate:approval:v1";
}

/// A person may approve findings from here on, or no longer. The subject is the person's public key: the digest of
/// its DER form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApproverStatement {
    /// What the person is called.
    pub name: String,
    /// What happened.
    pub change: ApproverChange,
    /// When.
    pub since: Timestamp,
}

impl Predicate for ApproverStatement {
    const TYPE: &'static str = "urn:countersign:predicate:approver:v1";
}

/// What happens to an approver. The place of the statement in the log counts, not its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApproverChange {
    /// Approvals behind this statement count.
    Added,
    /// Approvals behind this statement do not.
    Removed,
}

/// A policy is in force from here on. The subject is the policy file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyStatement {
    /// When it was first seen.
    pub since: Timestamp,
}

impl Predicate for PolicyStatement {
    const TYPE: &'static str = "urn:countersign:predicate:policy:v1";
}

/// An artifact is no longer vouched for. The subject is the artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocation {
    /// Why.
    pub reason: String,
    /// Since when.
    pub revoked: Timestamp,
}

impl Predicate for Revocation {
    const TYPE: &'static str = "urn:countersign:predicate:revocation:v1";
}

/// What happened on a build machine in a span of time that was watched. The subjects are the batch of events
/// (`machine-events`) and the state of the watched files at its end (`watched-files`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineReport {
    /// The machine's name.
    pub host: String,
    /// Since when it was watched without a break.
    pub started: Timestamp,
    /// Until when.
    pub finished: Timestamp,
    /// How many events there were.
    pub events: u64,
    /// What is missing: reason → how often.
    pub gaps: BTreeMap<String, u64>,
    /// How far each log has been read; the next watch goes on from there.
    pub positions: BTreeMap<String, Position>,
}

impl MachineReport {
    /// Name of the subject that is the batch of events.
    pub const EVENTS: &'static str = "machine-events";
    /// Name of the subject that is the state of the watched files.
    pub const WATCHED: &'static str = "watched-files";
}

impl Predicate for MachineReport {
    const TYPE: &'static str = "urn:countersign:predicate:machine-report:v1";
}

/// That what a look at a machine showed may be on it: later looks are held against this one. The subject is the look.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryAccepted {
    /// The machine's name.
    pub host: String,
    /// Why.
    pub reason: String,
    /// When it was accepted.
    pub accepted: Timestamp,
}

impl InventoryAccepted {
    /// Name of the subject that is the look.
    pub const LOOK: &'static str = "inventory";
}

impl Predicate for InventoryAccepted {
    const TYPE: &'static str = "urn:countersign:predicate:inventory-accepted:v1";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predicate_is_read_only_as_what_it_is() {
        let predicate = PolicyStatement { since: Timestamp::from_unix(0) };
        let statement = Statement::new(vec![ResourceDescriptor::named("p", &Digest::of(b"p"))], &predicate);
        let bytes = crate::wire::canonical(&statement);
        let read = Statement::parse(&bytes).unwrap();
        assert!(read.is_about(&Digest::of(b"p")));
        assert_eq!(read.predicate::<PolicyStatement>().unwrap(), predicate);
        assert!(matches!(read.predicate::<Intent>(), Err(StatementError::PredicateType { .. })));
        let other = String::from_utf8(bytes).unwrap().replace("Statement/v1", "Statement/v9");
        assert!(matches!(Statement::parse(other.as_bytes()), Err(StatementError::Type(_))));
    }

    #[test]
    fn an_approval_of_before_there_was_evidence_is_still_one() {
        let old = r#"{"finding":"f-1","reason":"r","approved":"2026-01-01T00:00:00Z","expires":"2026-02-01T00:00:00Z"}"#;
        let approval: Approval = serde_json::from_str(old).unwrap();
        assert_eq!(approval.evidence, []);
        assert_eq!(crate::wire::canonical(&approval).len(), old.len(), "and is written as it was");
        assert!(serde_json::from_str::<Approval>(&old.replace("reason", "Reason")).is_err());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x","predicate":{},"x":1}"#;
        assert!(Statement::parse(text.as_bytes()).is_err());
    }
}
