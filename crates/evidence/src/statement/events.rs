//! Statements about what happens around a release: native signatures, rebuilds, quorums of builders.

use serde::{Deserialize, Serialize};

use super::Predicate;
use crate::{Digest, Timestamp};

/// A vendor's own signer was run on a permitted artifact. The subjects are what came out: the signed file, or the
/// artifact and its detached signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningEvent {
    /// What kind of signature: `authenticode`, `container`, `detached`.
    pub method: String,
    /// Whether only a signature was added: `signed`, or `refused` where nothing was let out.
    pub outcome: String,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub because: Vec<String>,
    /// The artifact that was permitted.
    pub before: Digest,
    /// Digest of the image without its signature, before and behind (Authenticode).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image_digest: Option<String>,
    /// Common name in the signer's certificate, where the signature has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<String>,
    /// The program that was run.
    pub program: String,
    /// Digest of the whole command: it may hold secrets.
    pub command: Digest,
    /// The intent that was logged before.
    pub intent: Digest,
    /// When it ended.
    pub decided: Timestamp,
}

impl Predicate for SigningEvent {
    const TYPE: &'static str = "urn:countersign:predicate:signing-event:v1";
}

/// A key begins to count or ends to. The subject is the key, by the SHA-256 of its DER form; of an authority, that of its root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyStatement {
    /// What the key is for: `release`, `builder`, `authority`.
    pub role: String,
    /// What happens.
    pub change: KeyChange,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// When. The place of the statement in the log counts, not this clock.
    pub since: Timestamp,
}

impl Predicate for KeyStatement {
    const TYPE: &'static str = "urn:countersign:predicate:key:v1";
}

/// What happens to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChange {
    /// Signatures by it behind this statement count.
    Added,
    /// Signatures by it behind this statement do not.
    Retired,
    /// The count of its signatures begins anew at what the log has by it, this statement among them.
    Counted,
}

/// A person asks for a release. The subject is the artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The record from which the artifact comes.
    pub record: Digest,
    /// When it was asked for.
    pub decided: Timestamp,
}

impl Predicate for ReleaseRequest {
    const TYPE: &'static str = "urn:countersign:predicate:release-request:v1";
}

/// A person has looked at the log and at what lies around. The subject is the log's root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditStatement {
    /// Entries of the log that was looked at.
    pub size: u64,
    /// Codes of what was found.
    pub found: Vec<String>,
    /// How many things could not be looked at.
    pub problems: u64,
    /// When it ended.
    pub decided: Timestamp,
}

impl Predicate for AuditStatement {
    const TYPE: &'static str = "urn:countersign:predicate:audit:v1";
}

/// Several builders were asked for the same artifact. The subject is the artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuorumStatement {
    /// `agree`, `disagree`, `undetermined`.
    pub verdict: String,
    /// Builders, each with its own key, that came to the subject's bytes.
    pub agreed: u32,
    /// Builders that were asked.
    pub of: u32,
    /// How many have to agree.
    pub needed: u32,
    /// What each of them made.
    pub builders: Vec<BuilderVote>,
    /// When it was decided.
    pub decided: Timestamp,
}

/// What one builder made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuilderVote {
    /// Short name of the builder's key.
    pub builder: String,
    /// The record that it signed.
    pub record: Digest,
    /// What it made under the artifact's name; none if nothing, or nothing that counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<Digest>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub excluded: Option<String>,
}

impl Predicate for QuorumStatement {
    const TYPE: &'static str = "urn:countersign:predicate:quorum:v1";
}

/// A recorded build was repeated in another place. The subjects are the outputs of the first record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RebuildStatement {
    /// `same`, `differs`, or `failed` if the repetition did.
    pub verdict: String,
    /// The record that was repeated.
    pub first: Digest,
    /// The record of the repetition.
    pub second: Digest,
    /// What was made different on purpose.
    pub variations: Vec<String>,
    /// Outputs that came out otherwise.
    pub differing: Vec<String>,
    /// When it ended.
    pub decided: Timestamp,
}

impl Predicate for RebuildStatement {
    const TYPE: &'static str = "urn:countersign:predicate:rebuild:v1";
}
