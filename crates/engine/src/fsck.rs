//! `fsck`: re-hashes the vault, checks the log and every statement in it, and rebuilds the index from nothing.

use std::collections::BTreeSet;
use std::io;

use evidence::statement::{
    Approval, InventoryAccepted, MachineReport, Provenance, RecordStatement, Statement,
};
use evidence::{Digest, Finding, Record, Subject};
use judge::codes;
use store::{Index, StoreError, Vault};

use crate::error::Result;
use crate::log::{damage, unrecorded};
use crate::world::{World, store_error};

/// What a check of the whole store found.
#[derive(Clone, PartialEq, Debug)]
pub struct FsckReport {
    /// Objects in the vault.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries in the log.
    pub entries: u64,
    /// Records in the rebuilt index.
    pub records: u64,
    /// Leftovers of writes that never ended, removed.
    pub swept: u64,
    /// Recordings without a recorder; the next `run` seals them as incomplete.
    pub abandoned: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Checks everything. `progress` is told how many objects of how many have been read.
pub fn fsck(world: &World, progress: &mut dyn FnMut(u64, u64)) -> Result<FsckReport> {
    let lock = world.lock()?;
    let swept = world.vault.sweep().map_err(store_error)? as u64;
    let mut findings = Vec::new();
    let objects = world.vault.list().map_err(store_error)?;
    let mut sound = BTreeSet::new();
    let mut bytes = 0;
    for (done, digest) in objects.iter().enumerate() {
        progress(done as u64, objects.len() as u64);
        match rehash(world, digest) {
            Ok(size) => {
                bytes += size;
                sound.insert(*digest);
            }
            Err(error) => findings.push(object(&codes::OBJECT_CORRUPT, digest, vec![error.to_string()])),
        }
    }
    let damaged = damage(world)?;
    let mut records = 0;
    if damaged.is_empty() {
        findings.extend(missing(world, &sound, &objects)?);
        if findings.is_empty() {
            findings.extend(unrecorded(world)?);
        }
        // What is derived is derived anew; with damaged sources it stays as it is.
        if findings.is_empty() {
            world.index.clear().map_err(store_error)?;
            world.catch_up()?;
        }
        records = world.index.records().map_err(store_error)?.len() as u64;
    }
    findings.extend(damaged);
    let entries = world.with_log(|log| Ok(log.size()))?;
    let abandoned = crate::record::abandoned(world)?.len() as u64;
    drop(lock);
    Ok(FsckReport { objects: objects.len() as u64, bytes, entries, records, swept, abandoned, findings })
}

fn rehash(world: &World, digest: &Digest) -> std::result::Result<u64, StoreError> {
    let path = world.vault.path(digest);
    let mut reader = world.vault.open(digest)?;
    io::copy(&mut reader, &mut io::sink()).map_err(|_| StoreError::Corrupt { digest: *digest, path })
}

fn object(code: &codes::Code, digest: &Digest, because: Vec<String>) -> Finding {
    code.finding(Subject { path: None, digest: Some(*digest) }, because)
}

/// Follows every reference from the log into the vault.
fn missing(world: &World, sound: &BTreeSet<Digest>, listed: &[Digest]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut need = |digest: &Digest, by: String| {
        // A corrupt object is there; it has its own finding.
        if listed.binary_search(digest).is_err() {
            findings.push(object(&codes::OBJECT_MISSING, digest, vec![format!("named by {by}")]));
        }
        sound.contains(digest)
    };
    for index in 0..world.with_log(|log| Ok(log.size()))? {
        let leaf = world.leaf(index)?;
        if !need(&leaf.statement, format!("entry {index} of the log")) {
            continue;
        }
        let Ok(statement) = Statement::parse(&world.envelope(index)?.payload) else { continue };
        if statement.predicate::<RecordStatement>().is_ok() {
            for digest in statement.subject.iter().filter_map(evidence::statement::ResourceDescriptor::sha256)
            {
                if !need(&digest, format!("entry {index} of the log")) {
                    continue;
                }
                let record: Record = world.document("record", &digest)?;
                for segment in &record.segments {
                    need(&segment.digest, format!("record {}", digest.short()));
                }
                for output in &record.outputs {
                    need(&output.tree, format!("record {}", digest.short()));
                }
            }
        } else if let Ok(approval) = statement.predicate::<Approval>() {
            for digest in approval.evidence.iter().filter_map(evidence::statement::ResourceDescriptor::sha256)
            {
                need(&digest, format!("entry {index} of the log"));
            }
        } else if statement.predicate::<MachineReport>().is_ok()
            || statement.predicate::<InventoryAccepted>().is_ok()
        {
            for digest in statement.subject.iter().filter_map(evidence::statement::ResourceDescriptor::sha256)
            {
                need(&digest, format!("entry {index} of the log"));
            }
        } else if let Ok(provenance) = statement.predicate::<Provenance>() {
            for product in &provenance.run_details.byproducts {
                if let Some(digest) = product.sha256() {
                    need(&digest, format!("entry {index} of the log"));
                }
            }
        }
    }
    Ok(findings)
}
