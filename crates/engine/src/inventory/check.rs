//! What is on a machine against what may be, and who said that it may.

use std::collections::BTreeMap;
use std::path::Path;

use attest::Envelope;
use evidence::inventory::{Inventory, Section};
use evidence::statement::{InventoryAccepted, Predicate, ResourceDescriptor, Statement};
use evidence::{Digest, Finding, Timestamp};
use judge::detect::MachineRole;
use judge::machines::{END_OF_LIFE, EndOfLife, Machine, end_of_life};
use store::Index as _;

use super::inventories;
use crate::error::{Error, Result};
use crate::files;
use crate::ledger::kind_of;
use crate::world::{Passphrase, World, store_error};

/// A list of discontinued software is not larger.
const LIST_MAX_BYTES: u64 = 16 << 20;

/// A judged machine.
#[derive(Debug)]
pub struct InventoryChecked {
    /// The machine's name.
    pub host: String,
    /// What it is for.
    pub role: MachineRole,
    /// When it was looked at.
    pub collected: Timestamp,
    /// The accepted look that it was held against, and when that was accepted.
    pub accepted: Option<(Digest, Timestamp)>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be seen: it may be there all the same.
    pub gaps: Vec<String>,
}

impl InventoryChecked {
    /// Whether a look at such a machine is held against an accepted one, where that is asked for.
    pub fn is_compared(&self) -> bool {
        self.accepted.is_some() || self.role == MachineRole::Developer
    }

    /// Whether nothing is there that may not be. A look that has not seen everything, or that nothing was held against, says
    /// only what is wrong: `None` if it found nothing.
    pub fn is_clean(&self) -> Option<bool> {
        if !self.findings.is_empty() {
            return Some(false);
        }
        (self.gaps.is_empty() && self.is_compared()).then_some(true)
    }
}

/// Judges the newest look at a machine.
pub fn inventory_check(
    world: &World,
    host: Option<&str>,
    list: Option<&Path>,
    now: Timestamp,
) -> Result<InventoryChecked> {
    let (_, look) = newest(world, host)?;
    let policy = world.policy()?.0;
    let role = policy.role_of(&look.host);
    let accepted = accepted(world, &look.host)?;
    let before = accepted.as_ref().map(|(digest, _)| sections(world, digest)).transpose()?;
    let software = discontinued(list)?;
    let sections = sections_of(world, &look)?;
    let machine = Machine {
        role,
        sections: &sections,
        accepted: before.as_ref(),
        allowed: &policy.allowed_software,
        end_of_life: &software,
        now,
    };
    let findings = judge::machines::judge(&machine);
    Ok(InventoryChecked {
        host: look.host,
        role,
        collected: look.collected,
        accepted,
        findings,
        gaps: look.gaps,
    })
}

/// Accepts the newest look at a machine: what it shows may be there. Order: the statement is signed, then logged; a crash
/// before leaves nothing.
pub fn inventory_accept(
    world: &World,
    host: Option<&str>,
    reason: &str,
    passphrase: &Passphrase,
    now: Timestamp,
) -> Result<(Digest, Inventory)> {
    let (digest, look) = newest(world, host)?;
    let builder = world.builder_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let about = InventoryAccepted { host: look.host.clone(), reason: reason.to_owned(), accepted: now };
    let subject = vec![ResourceDescriptor::named(InventoryAccepted::LOOK, &digest)];
    let envelope = Envelope::sign(&Statement::new(subject, &about), builder.as_ref())
        .map_err(|source| Error::Key { name: "builder", source })?;
    world.append(std::slice::from_ref(&envelope), &log_key)?;
    Ok((digest, look))
}

/// The newest look at a machine, or at any if none is named.
fn newest(world: &World, host: Option<&str>) -> Result<(Digest, Inventory)> {
    let mut looks = inventories(world)?.into_iter();
    looks
        .find(|(_, look)| host.is_none_or(|host| look.host == host))
        .ok_or_else(|| Error::NoLook(host.map(str::to_owned)))
}

/// The look at a machine that was accepted last: signed by a builder key of this store, and logged.
fn accepted(world: &World, host: &str) -> Result<Option<(Digest, Timestamp)>> {
    let rows = world.index.entries_of(kind_of(InventoryAccepted::TYPE)).map_err(store_error)?;
    for row in rows.iter().rev() {
        let (verified, about) = world.statement::<InventoryAccepted>(row.log_index, &world.builder_keys())?;
        if about.host != host {
            continue;
        }
        let subject = verified.statement().subject.first().and_then(ResourceDescriptor::sha256);
        return match subject {
            Some(digest) => Ok(Some((digest, about.accepted))),
            None => Err(Error::Document { kind: "accepted inventory", digest: Digest::of(b"") }),
        };
    }
    Ok(None)
}

fn sections(world: &World, look: &Digest) -> Result<BTreeMap<String, Section>> {
    sections_of(world, &world.document("inventory", look)?)
}

fn sections_of(world: &World, look: &Inventory) -> Result<BTreeMap<String, Section>> {
    let read =
        |(name, digest): (&String, &Digest)| Ok((name.clone(), world.document("inventory section", digest)?));
    look.sections.iter().map(read).collect()
}

fn discontinued(list: Option<&Path>) -> Result<Vec<EndOfLife>> {
    let fail = |path: &Path, source| Error::EndOfLife { path: path.to_path_buf(), source };
    let mut software = end_of_life(END_OF_LIFE).map_err(|source| fail(Path::new("builtin"), source))?;
    if let Some(path) = list {
        let text = files::read_text(path, LIST_MAX_BYTES)?;
        software.extend(end_of_life(&text).map_err(|source| fail(path, source))?);
    }
    Ok(software)
}
