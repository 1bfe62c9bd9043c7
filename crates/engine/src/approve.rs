//! `approve`: a person judges a finding and takes responsibility for it, signed and logged.

use attest::Envelope;
use evidence::statement::{Approval, ResourceDescriptor, Statement};
use evidence::{Digest, Finding, Timestamp};
use judge::codes;
use judge::gate::Weight;

use crate::assess::{Assessment, policy};
use crate::error::{Error, Result};
use crate::world::{Passphrase, World};

/// What to approve.
#[derive(Clone, Debug)]
pub struct Approve {
    /// The finding's id, as `gate` prints it.
    pub finding: String,
    /// Why it may pass.
    pub reason: String,
    /// From when on the approval no longer holds.
    pub expires: Timestamp,
}

/// An approval in the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Approved {
    /// The finding.
    pub finding: Finding,
    /// Its place in the log.
    pub log_index: u64,
    /// Digest of the statement.
    pub statement: Digest,
}

/// Approves a finding that stands in an assessment.
pub fn approve(
    world: &World,
    assessments: &[Assessment],
    approve: &Approve,
    passphrase: &Passphrase,
) -> Result<Approved> {
    let finding = assessments
        .iter()
        .flat_map(|assessment| assessment.decision.findings())
        .find(|weighed| weighed.finding.id == approve.finding && weighed.weight != Weight::Passes)
        .map(|weighed| weighed.finding.clone())
        .ok_or_else(|| Error::NoFinding(approve.finding.clone()))?;
    if !codes::find(&finding.code).is_some_and(|code| code.approvable) {
        return Err(Error::NotApprovable { code: finding.code });
    }
    let latest = world.now().plus_days(policy(world)?.approval_max_days);
    let impossible =
        |reason: &str| Error::ApprovalTime { expires: approve.expires, reason: reason.to_owned() };
    if approve.expires <= world.now() {
        return Err(impossible("it lies in the past"));
    }
    if approve.expires > latest {
        return Err(impossible(&format!("the policy allows at most until {latest}")));
    }
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let predicate = Approval {
        finding: finding.id.clone(),
        reason: approve.reason.clone(),
        approved: world.now(),
        expires: approve.expires,
    };
    // A finding without a digest of its own is named by its id alone.
    let name = finding.subject.path.as_ref().map_or_else(|| finding.id.clone(), ToString::to_string);
    let digest = finding.subject.digest.unwrap_or_else(|| Digest::of(finding.id.as_bytes()));
    let statement = Statement::new(vec![ResourceDescriptor::named(name, &digest)], &predicate);
    let envelope =
        Envelope::sign(&statement, &release).map_err(|source| Error::Key { name: "release", source })?;
    let inclusions = world.append(std::slice::from_ref(&envelope), &log_key)?;
    let log_index = inclusions.first().map_or(0, |inclusion| inclusion.index);
    Ok(Approved { finding, log_index, statement: envelope.id() })
}
