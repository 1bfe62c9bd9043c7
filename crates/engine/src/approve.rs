//! `approve`: a person judges a finding and takes responsibility for it, signed and logged.

use std::path::{Path, PathBuf};

use attest::{Envelope, Signer};
use evidence::statement::{Approval, ResourceDescriptor, Statement};
use evidence::{Digest, Finding, Timestamp};
use judge::gate::{Approvals, Weighed, Weight};

use crate::approver::{self, RELEASE_PERSON};
use crate::assess::policy;
use crate::error::{Error, Result};
use crate::files;
use crate::world::{Passphrase, World};

/// The largest file that is taken as evidence, and how many one approval may name.
const EVIDENCE_MAX_BYTES: u64 = 64 << 20;
const EVIDENCE_MAX: usize = 32;

/// What to approve.
#[derive(Clone, Debug)]
pub struct Approve {
    /// The finding's id, as `gate` prints it.
    pub finding: String,
    /// Why it may pass.
    pub reason: String,
    /// From when on the approval no longer holds.
    pub expires: Timestamp,
    /// Files that show what was looked at.
    pub evidence: Vec<PathBuf>,
}

/// Who approves with a key of their own; else the release key signs.
#[derive(Clone)]
pub struct Person {
    /// What the person is called.
    pub name: String,
    /// What opens the person's key.
    pub passphrase: Passphrase,
}

/// An approval in the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Approved {
    /// The finding.
    pub finding: Finding,
    /// Who approved it.
    pub person: String,
    /// Short name of the key.
    pub key: String,
    /// The evidence, by digest.
    pub evidence: Vec<ResourceDescriptor>,
    /// Its place in the log.
    pub log_index: u64,
    /// Digest of the statement.
    pub statement: Digest,
    /// Who has approved it by now and who is missing, if it takes more than one approval.
    pub approvals: Option<Approvals>,
}

/// Approves one of the findings of an assessment, or of what advisories were matched with.
///
/// Order: the evidence goes into the vault (objects that nothing names: harmless), then the approval into the log.
pub fn approve(
    world: &World,
    findings: &[Weighed],
    approve: &Approve,
    person: Option<&Person>,
    passphrase: &Passphrase,
) -> Result<Approved> {
    let weighed = findings
        .iter()
        .find(|weighed| weighed.finding.id == approve.finding && weighed.weight != Weight::Passes)
        .ok_or_else(|| Error::NoFinding(approve.finding.clone()))?;
    let finding = weighed.finding.clone();
    if !weighed.approvable {
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
    let (name, key) = match person {
        Some(person) => ("approver", approver::open(world, &person.name, &person.passphrase)?),
        None => ("release", world.release_key(passphrase)?),
    };
    let log_key = world.log_key(passphrase)?;
    let evidence = keep(world, &approve.evidence)?;
    let predicate = Approval {
        finding: finding.id.clone(),
        reason: approve.reason.clone(),
        approved: world.now(),
        expires: approve.expires,
        evidence: evidence.clone(),
    };
    // A finding without a digest of its own is named by its id alone.
    let about = finding.subject.path.as_ref().map_or_else(|| finding.id.clone(), ToString::to_string);
    let digest = finding.subject.digest.unwrap_or_else(|| Digest::of(finding.id.as_bytes()));
    let statement = Statement::new(vec![ResourceDescriptor::named(about, &digest)], &predicate);
    let envelope = Envelope::sign(&statement, &key).map_err(|source| Error::Key { name, source })?;
    let inclusions = world.append(std::slice::from_ref(&envelope), &log_key)?;
    let log_index = inclusions.first().map_or(0, |inclusion| inclusion.index);
    let person = person.map_or(RELEASE_PERSON, |person| person.name.as_str()).to_owned();
    let approvals = weighed.approvals.clone().map(|mut approvals| {
        approvals.persons.insert(person.clone());
        approvals.evidence |= !evidence.is_empty();
        approvals
    });
    let key = key.public_key().short();
    Ok(Approved { finding, person, key, evidence, log_index, statement: envelope.id(), approvals })
}

/// Puts the evidence into the vault, file by file.
fn keep(world: &World, paths: &[PathBuf]) -> Result<Vec<ResourceDescriptor>> {
    let bad = |path: &Path, reason: String| Error::Evidence { path: path.to_path_buf(), reason };
    if let Some(path) = paths.get(EVIDENCE_MAX) {
        return Err(bad(path, format!("an approval names at most {EVIDENCE_MAX} files")));
    }
    let keep = |path: &PathBuf| {
        let bytes = files::read(path, EVIDENCE_MAX_BYTES)?;
        if bytes.is_empty() {
            return Err(bad(path, "it is empty".to_owned()));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Ok(ResourceDescriptor::named(name, &world.put(&bytes)?))
    };
    paths.iter().map(keep).collect()
}
