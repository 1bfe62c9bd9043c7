//! `gate`: assembles the case of one artifact and judges it. Signs nothing, writes nothing.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use attest::{PublicKey, Rejection};
use evidence::statement::{Approval, Provenance as ProvenancePredicate, ResourceDescriptor};
use evidence::{BytePath, Digest, Finding, Hasher, Problem, Tree};
use judge::Policy;
use judge::compare::{self, Comparison, Side};
use judge::gate::{Approved, Baseline, Case, Decision, Evidence, Provenance, gate};
use judge::roles::{Actor, Role};
use store::{Index, RecordRow};

use crate::approver;
use crate::error::{Error, Result};
use crate::inspect_path::inspect_file;
use crate::keys::{self, KeyRole};
use crate::records::{self, RecordView};
use crate::rules::Rules;
use crate::world::{World, store_error};

/// What the gate looked at and decided.
#[derive(Debug)]
pub struct Assessment {
    /// Digest of the artifact.
    pub artifact: Digest,
    /// Its file name.
    pub name: BytePath,
    /// The record that it comes from.
    pub record: Option<RecordView>,
    /// The record it was compared with, and how that was chosen.
    pub baseline: Option<(RecordView, &'static str)>,
    /// The comparison.
    pub comparison: Option<Comparison>,
    /// What could not be read in the artifact.
    pub problems: Vec<Problem>,
    /// What advisories say of the record, if they were asked and there are any.
    pub advisories: Option<crate::advisories::Matched>,
    /// Digest of the policy.
    pub policy: Digest,
    /// The answer.
    pub decision: Decision,
    /// The bytes of the policy, for the log.
    pub(crate) policy_bytes: Vec<u8>,
    /// The bytes of the rule files that it names.
    pub(crate) rule_bytes: Vec<Vec<u8>>,
    /// Index of the provenance statement in the log.
    pub(crate) provenance_index: Option<u64>,
}

/// Judges one artifact against the policy.
pub fn assess(world: &World, path: &Path) -> Result<Assessment> {
    assess_for(world, path, None)
}

/// The same where somebody asks for the release.
pub(crate) fn assess_for(world: &World, path: &Path, asks: Option<&Actor>) -> Result<Assessment> {
    let (policy, policy_bytes) = world.policy()?;
    let name = BytePath::from(path.file_name().map_or(&[][..], std::os::unix::ffi::OsStrExt::as_bytes));
    let artifact = hash_file(path)?;
    let view = record_of(world, &artifact)?;
    let (provenance, provenance_index) = match &view {
        Some(view) => provenance(world, view, &artifact)?,
        None => (Provenance::Missing, None),
    };
    let tree = artifact_tree(world, path, &name, &artifact, view.as_ref())?;
    let baseline = match &view {
        Some(view) => baseline(world, view)?,
        None => None,
    };
    let comparison = match (&view, &baseline) {
        (Some(view), Some((before, _))) => Some(compare_records(world, before, view)?),
        _ => None,
    };
    let advice = match &view {
        Some(view) => crate::advisories::advise(world, view, &policy)?,
        None => None,
    };
    let rules = Rules::load(world, &policy);
    let matched = rules.matched(path, &artifact)?;
    let actors = actors(world, view.as_ref(), asks)?;
    let decision = {
        let mut case = Case {
            artifact,
            name: name.clone(),
            record: view.as_ref().map(|view| Evidence { digest: view.digest, document: &view.record }),
            provenance,
            tree: &tree,
            baseline: baseline
                .as_ref()
                .zip(comparison.as_ref())
                .map(|((before, _), comparison)| Baseline { record: before.digest, comparison }),
            approvals: &rules.approvals(approvals(world)?, view.as_ref().map(|view| &view.record)),
            quorum: crate::quorum::about(world, &artifact)?,
            advised: advice.as_ref().map(|advice| &advice.advised),
            actors: &actors,
            ruled: &matched,
        };
        if rules.ask_nothing() {
            gate(&case, &policy, world.now())
        } else {
            // Rules see what was found without them; what they add is weighed with all the rest.
            let found = gate(&case, &policy, world.now());
            let ruled = rules.judge(&case, found.findings(), world.now());
            let ruled: Vec<Finding> = matched.iter().cloned().chain(ruled).collect();
            case.ruled = &ruled;
            gate(&case, &policy, world.now())
        }
    };
    let policy = policy.digest;
    Ok(Assessment {
        artifact,
        name,
        record: view,
        baseline,
        comparison,
        problems: tree.problems,
        advisories: advice.and_then(|advice| advice.matched),
        policy,
        decision,
        policy_bytes,
        rule_bytes: rules.into_bytes(),
        provenance_index,
    })
}

/// Whose keys have to do with a release: the one that signed the record, the one that would sign now, who asks.
fn actors(world: &World, view: Option<&RecordView>, asks: Option<&Actor>) -> Result<Vec<Actor>> {
    let person = |key: &PublicKey| {
        let known = world.trust.approver_keys.iter().find(|known| known.public_key == *key);
        known.map(|known| known.name.clone())
    };
    let actor = |role, key: &PublicKey| Actor { role, key: key.short(), person: person(key) };
    let mut actors: Vec<Actor> = asks.cloned().into_iter().collect();
    if let Some(view) = view {
        actors.push(actor(Role::Builder, world.leaf(view.log_index)?.credential.key()));
    }
    actors.extend(keys::current(world, KeyRole::Release).map(|key| actor(Role::Signer, key)));
    Ok(actors)
}

/// Compares two records with the inspections of their outputs.
pub(crate) fn compare_records(world: &World, old: &RecordView, new: &RecordView) -> Result<Comparison> {
    let old_trees = records::trees(world, &old.record)?;
    let new_trees = records::trees(world, &new.record)?;
    Ok(compare::records(
        &Side { record: &old.record, trees: &old_trees },
        &Side { record: &new.record, trees: &new_trees },
    ))
}

/// Hashes a file.
pub fn hash_file(path: &Path) -> Result<Digest> {
    let fail = |source| Error::Read { path: path.to_path_buf(), source };
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Lists where the outputs of the latest record lie, as far as they still have its bytes.
pub fn latest_outputs(world: &World) -> Result<Vec<PathBuf>> {
    let view = records::show(world, "latest")?;
    let workdir = PathBuf::from(OsString::from_vec(view.record.workdir.as_bytes().to_vec()));
    let paths = view
        .record
        .outputs
        .iter()
        .map(|output| (workdir.join(OsString::from_vec(output.path.as_bytes().to_vec())), output.digest));
    Ok(paths
        .filter(|(path, digest)| hash_file(path).is_ok_and(|found| found == *digest))
        .map(|(path, _)| path)
        .collect())
}

/// Finds the newest record that can be vouched for and names the artifact, else the newest that names it at all.
fn record_of(world: &World, artifact: &Digest) -> Result<Option<RecordView>> {
    let rows = world.index.records_with_output(artifact).map_err(store_error)?;
    let best = rows.iter().filter(|row| row.complete).max_by_key(|row| row.number);
    best.or_else(|| rows.iter().max_by_key(|row| row.number)).map(|row| records::view(world, row)).transpose()
}

/// Looks for the provenance that was logged with a record.
fn provenance(world: &World, view: &RecordView, artifact: &Digest) -> Result<(Provenance, Option<u64>)> {
    let index = view.log_index + 1;
    if index >= world.with_log(|log| Ok(log.size()))? {
        return Ok((Provenance::Missing, None));
    }
    let envelope = world.envelope(index)?;
    match attest::verify::logged::<ProvenancePredicate>(&envelope, index, &world.builder_keys()) {
        Ok((verified, predicate)) => {
            let invocation = predicate.run_details.metadata.invocation_id;
            if invocation != view.digest.to_string() || !verified.statement().is_about(artifact) {
                let reason = "it does not name this artifact and record".to_owned();
                return Ok((Provenance::Invalid { reason }, None));
            }
            Ok((Provenance::Verified { statement: *verified.id() }, Some(index)))
        }
        // The next entry belongs to something else: this record has none.
        Err(Rejection::Statement(_)) => Ok((Provenance::Missing, None)),
        Err(Rejection::UnknownKey(_)) => {
            let kind = evidence::statement::Statement::parse(&envelope.payload)
                .map(|statement| statement.predicate_type);
            if kind.is_ok_and(|kind| kind == <ProvenancePredicate as evidence::statement::Predicate>::TYPE) {
                Ok((Provenance::UnknownBuilder { key: envelope.key().short() }, None))
            } else {
                Ok((Provenance::Missing, None))
            }
        }
        Err(rejection) => Ok((Provenance::Invalid { reason: rejection.to_string() }, None)),
    }
}

/// Returns the inspection of the artifact: the one made when it was recorded, if its bytes are those, else a
/// fresh one.
fn artifact_tree(
    world: &World,
    path: &Path,
    name: &BytePath,
    artifact: &Digest,
    view: Option<&RecordView>,
) -> Result<Tree> {
    if let Some(output) = view.and_then(|view| view.record.output(artifact)) {
        return world.document("inspection", &output.tree);
    }
    let tree = inspect_file(name, path)?;
    if tree.root.digest != Some(*artifact) {
        return Err(Error::Unstable(path.to_path_buf()));
    }
    Ok(tree)
}

/// Chooses what to compare with: the last signed release of the product before this record, else its last
/// complete record before this one.
fn baseline(world: &World, view: &RecordView) -> Result<Option<(RecordView, &'static str)>> {
    let earlier =
        |row: &&RecordRow| row.number < view.number && row.complete && row.product == view.record.product;
    let rows = records::records(world)?;
    let signed: Vec<u64> = world
        .index
        .signed_records(&view.record.product)
        .map_err(store_error)?
        .into_iter()
        .filter(|number| *number < view.number)
        .collect();
    let last_signed =
        rows.iter().filter(earlier).filter(|row| signed.contains(&row.number)).max_by_key(|row| row.number);
    if let Some(row) = last_signed {
        return Ok(Some((records::view(world, row)?, "last signed release")));
    }
    let last = rows.iter().filter(earlier).max_by_key(|row| row.number);
    last.map(|row| Ok((records::view(world, row)?, "last complete record"))).transpose()
}

/// Lists the approvals that count: by somebody who could approve when the approval was logged.
pub(crate) fn approvals(world: &World) -> Result<Vec<Approved>> {
    let mut approvals = Vec::new();
    for row in world.index.approvals().map_err(store_error)? {
        let envelope = world.envelope(row.log_index)?;
        let key = std::slice::from_ref(envelope.key());
        let (_, approval) = attest::verify::logged::<Approval>(&envelope, row.log_index, key)
            .map_err(crate::world::log_error)?;
        let Some(person) = approver::person(world, envelope.key(), row.log_index)? else {
            continue;
        };
        approvals.push(Approved {
            finding: approval.finding,
            person,
            key: envelope.key().short(),
            reason: approval.reason,
            evidence: approval.evidence.iter().filter_map(ResourceDescriptor::sha256).collect(),
            approved: approval.approved,
            expires: approval.expires,
        });
    }
    Ok(approvals)
}

/// The policy in force, checked, for those who only want to know whether it can be used.
pub(crate) fn policy(world: &World) -> Result<Policy> {
    Ok(world.policy()?.0)
}
