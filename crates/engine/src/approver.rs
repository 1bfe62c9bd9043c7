//! `approver add|list|remove`: the people who may answer for findings, each with a key of their own.
//!
//! The trust file says who there is; the log says since when and until when, in statements by the release key. An
//! approval counts only if both know the key, and only if it stands in the log behind the addition and before the
//! removal: a clock that was put back, or an old trust file that was put back, brings nobody back.

use std::path::PathBuf;

use attest::key::Cost;
use attest::trust::ApproverKey;
use attest::{EncryptedKey, Envelope, PublicKey, Signer};
use evidence::statement::{ApproverChange, ApproverStatement, ResourceDescriptor, Statement};
use evidence::{Digest, Timestamp};
use store::Index;

use crate::error::{Error, Result};
use crate::files;
use crate::init::PASSPHRASE_MIN;
use crate::ledger::kind_of;
use crate::world::{Passphrase, World, store_error};

/// What approvals by the release key are called: that key alone is one person.
pub const RELEASE_PERSON: &str = "release";
/// The longest name.
const NAME_MAX: usize = 64;

/// A person who may approve, or might once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approver {
    /// What the person is called.
    pub name: String,
    /// Short name of the key.
    pub key: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when, if no longer.
    pub removed: Option<Timestamp>,
    /// Whether the log knows of it; approvals count only then.
    pub logged: bool,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApproverChanged {
    /// What the person is called.
    pub name: String,
    /// Short name of the key.
    pub key: String,
    /// Place of the statement in the log.
    pub log_index: u64,
    /// The trust file that now says so.
    pub trust_file: PathBuf,
    /// The person's key file.
    pub key_file: PathBuf,
}

/// Where an approver stands in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Standing {
    name: String,
    added: u64,
    removed: Option<u64>,
}

/// Makes a person's key and lets it approve.
///
/// Order: the key file, the statement in the log, the trust file. A crash after each leaves a key that nobody knows,
/// or one that the log knows and the trust file does not: it counts for nothing, and `approver add` again makes
/// another.
pub fn approver_add(
    world: &World,
    name: &str,
    own: &Passphrase,
    passphrase: &Passphrase,
) -> Result<ApproverChanged> {
    check_name(world, name)?;
    if own.bytes().len() < PASSPHRASE_MIN {
        return Err(Error::WeakPassphrase(PASSPHRASE_MIN));
    }
    // Else whoever can use the store is two people.
    if own.bytes() == passphrase.bytes() {
        return Err(Error::SharedPassphrase);
    }
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let (file, pair) = EncryptedKey::generate_p256(own.bytes(), Cost::High)
        .map_err(|source| Error::Key { name: "approver", source })?;
    let key_file = world.layout().key(&key_name(name));
    // What lies there under this name counts for nothing any more.
    match std::fs::remove_file(&key_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Write { path: key_file, source: error });
        }
        Ok(()) | Err(_) => files::write_secret(&key_file, file.pem().as_bytes())?,
    }
    let log_index = log_change(world, name, pair.public_key(), ApproverChange::Added, &release, &log_key)?;
    let key = ApproverKey {
        name: name.to_owned(),
        public_key: pair.public_key().clone(),
        since: world.now(),
        removed: None,
    };
    let short = key.public_key.short();
    let trust_file = world.change_trust(|trust| trust.approver_keys.push(key))?;
    Ok(ApproverChanged { name: name.to_owned(), key: short, log_index, trust_file, key_file })
}

/// Lists everybody, also those who have been removed.
pub fn approvers(world: &World) -> Result<Vec<Approver>> {
    let keys = world.trust.approver_keys.iter();
    keys.map(|key| {
        let standing = standing(world, &key.public_key)?;
        let removed_in_log = standing.as_ref().and_then(|standing| standing.removed);
        let removed = match (key.removed, removed_in_log) {
            (None, Some(index)) => {
                Some(world.statement::<ApproverStatement>(index, &world.release_keys())?.1.since)
            }
            (removed, _) => removed,
        };
        Ok(Approver {
            name: key.name.clone(),
            key: key.public_key.short(),
            since: key.since,
            removed,
            logged: standing.is_some_and(|standing| standing.name == key.name),
        })
    })
    .collect()
}

/// Removes a person: what was approved before keeps counting, nothing after it does.
///
/// A crash between the two effects leaves a logged removal that the trust file does not name yet; it counts already,
/// and `approver remove` again completes it.
pub fn approver_remove(world: &World, name: &str, passphrase: &Passphrase) -> Result<ApproverChanged> {
    let key = active(world, name)?.public_key.clone();
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let log_index = log_change(world, name, &key, ApproverChange::Removed, &release, &log_key)?;
    let trust_file = world.change_trust(|trust| {
        for one in trust.approver_keys.iter_mut().filter(|one| one.public_key == key && one.removed.is_none())
        {
            one.removed = Some(world.now());
        }
    })?;
    let key_file = world.layout().key(&key_name(name));
    Ok(ApproverChanged { name: name.to_owned(), key: key.short(), log_index, trust_file, key_file })
}

/// Opens a person's key, if the person may approve now.
pub(crate) fn open(world: &World, name: &str, own: &Passphrase) -> Result<Box<dyn Signer>> {
    let known = active(world, name)?;
    let standing = standing(world, &known.public_key)?;
    if standing.is_none_or(|standing| standing.removed.is_some() || standing.name != known.name) {
        return Err(Error::NoApprover(name.to_owned()));
    }
    let pair = world.open_file_key("approver", &key_name(name), own)?;
    if pair.public_key() == &known.public_key { Ok(pair) } else { Err(Error::NoApprover(name.to_owned())) }
}

/// Says whose approval an entry of the log is, if it counts.
pub(crate) fn person(world: &World, key: &PublicKey, log_index: u64) -> Result<Option<String>> {
    if world.release_keys().contains(key) {
        return Ok(Some(RELEASE_PERSON.to_owned()));
    }
    let Some(known) = world.trust.approver_keys.iter().find(|known| known.public_key == *key) else {
        return Ok(None);
    };
    // The log's name, not the trust file's: nobody becomes two people by an edit.
    Ok(standing(world, key)?
        .filter(|standing| standing.counts(log_index, known.removed))
        .map(|standing| standing.name))
}

impl Standing {
    /// Tells whether an approval at this place counts. The order of the log decides, for the clock of an approval is
    /// the approver's own; where the trust file knows of a removal that the log does not show, nothing counts.
    fn counts(&self, log_index: u64, removed: Option<Timestamp>) -> bool {
        let in_time = match self.removed {
            Some(index) => log_index < index,
            None => removed.is_none(),
        };
        self.added < log_index && in_time
    }
}

/// Reads what the log says of a key. Only statements by the release key are heard.
fn standing(world: &World, key: &PublicKey) -> Result<Option<Standing>> {
    let kind = kind_of(<ApproverStatement as evidence::statement::Predicate>::TYPE);
    let release_keys = world.release_keys();
    let mut standing: Option<Standing> = None;
    let entries = world.index.entries_about(&Digest::of(key.der())).map_err(store_error)?;
    for entry in entries.iter().filter(|entry| entry.kind == kind) {
        let envelope = world.envelope(entry.log_index)?;
        let Ok((_, said)) =
            attest::verify::logged::<ApproverStatement>(&envelope, entry.log_index, &release_keys)
        else {
            continue;
        };
        match (said.change, &mut standing) {
            (ApproverChange::Added, None) => {
                standing = Some(Standing { name: said.name, added: entry.log_index, removed: None });
            }
            (ApproverChange::Removed, Some(known)) if known.removed.is_none() => {
                known.removed = Some(entry.log_index);
            }
            // A key is added once and removed once.
            (ApproverChange::Added, Some(_)) | (ApproverChange::Removed, _) => {}
        }
    }
    Ok(standing)
}

fn active<'w>(world: &'w World, name: &str) -> Result<&'w ApproverKey> {
    let mut keys = world.trust.approver_keys.iter();
    keys.find(|key| key.name == name && key.removed.is_none())
        .ok_or_else(|| Error::NoApprover(name.to_owned()))
}

/// A name becomes the name of a file, and is read by people who must not confuse two.
fn check_name(world: &World, name: &str) -> Result<()> {
    let bad = |reason: String| Err(Error::ApproverName { name: name.to_owned(), reason });
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(allowed) {
        return bad(format!("it is 1 to {NAME_MAX} letters, digits or `._-@+`"));
    }
    if !name.as_bytes()[0].is_ascii_alphanumeric() {
        return bad("it begins with a letter or digit".to_owned());
    }
    if name.eq_ignore_ascii_case(RELEASE_PERSON) {
        return bad("the release key is called so".to_owned());
    }
    for known in world.trust.approver_keys.iter().filter(|known| known.name.eq_ignore_ascii_case(name)) {
        if known.removed.is_none() {
            return bad(format!("`{}` is an approver already", known.name));
        }
        // A person who comes back stays one person.
        if known.name != name {
            return bad(format!("write it as before: `{}`", known.name));
        }
    }
    Ok(())
}

fn key_name(name: &str) -> String {
    format!("approver-{name}")
}

fn log_change(
    world: &World,
    name: &str,
    key: &PublicKey,
    change: ApproverChange,
    release: &dyn Signer,
    log_key: &tlog::Ed25519Signer,
) -> Result<u64> {
    let said = ApproverStatement { name: name.to_owned(), change, since: world.now() };
    let subject = ResourceDescriptor::named(format!("approver {name}"), &Digest::of(key.der()));
    let envelope = Envelope::sign(&Statement::new(vec![subject], &said), release)
        .map_err(|source| Error::Key { name: "release", source })?;
    let inclusions = world.append(std::slice::from_ref(&envelope), log_key)?;
    Ok(inclusions.first().map_or(0, |inclusion| inclusion.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_log_decides() {
        let active = Standing { name: "anna".into(), added: 3, removed: None };
        let gone = Standing { removed: Some(9), ..active.clone() };
        for (standing, log_index, removed, expected) in [
            (&active, 4, None, true),
            (&active, 2, None, false),
            (&active, 4, Some(10), false),
            (&gone, 8, Some(10), true),
            (&gone, 8, None, true),
            (&gone, 10, Some(10), false),
            (&gone, 10, None, false),
            (&gone, 2, None, false),
        ] {
            let counts = standing.counts(log_index, removed.map(Timestamp::from_unix));
            assert_eq!(counts, expected, "{standing:?} {log_index} {removed:?}");
        }
    }

    /// A person who was removed but knows both passphrases, with the old trust file put back.
    #[test]
    fn an_approval_after_the_removal_does_not_count() {
        use evidence::statement::Approval;
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("store");
        let store = Passphrase::new(b"of the store".to_vec());
        let own = Passphrase::new(b"of anna alone".to_vec());
        let now = Timestamp::from_unix(1000);
        let open_world = || World::open(&root, now).expect("a store");
        crate::init(&root, None, None, &store, now).expect("a store");
        approver_add(&open_world(), "anna", &own, &store).expect("an approver");
        let trust = std::fs::read(open_world().layout().trust()).expect("a trust file");
        let pair = open(&open_world(), "anna", &own).expect("her key");
        let approve = |approved: i64| {
            let world = open_world();
            let approval = Approval {
                finding: "f-1".into(),
                reason: "r".into(),
                approved: Timestamp::from_unix(approved),
                expires: Timestamp::from_unix(2000),
                evidence: Vec::new(),
            };
            let subject = ResourceDescriptor::named("f-1", &Digest::of(b"f-1"));
            let envelope =
                Envelope::sign(&Statement::new(vec![subject], &approval), &pair).expect("a signature");
            let log_key = world.log_key(&store).expect("the log key");
            world.append(&[envelope], &log_key).expect("an entry");
        };
        let counted = || crate::assess::approvals(&open_world()).expect("approvals").len();
        approve(1000);
        assert_eq!(counted(), 1);
        approver_remove(&open_world(), "anna", &store).expect("a removal");
        assert!(matches!(open(&open_world(), "anna", &own), Err(Error::NoApprover(_))));
        approve(999);
        assert_eq!(counted(), 1, "the earlier one counts, the later one does not");
        std::fs::write(open_world().layout().trust(), &trust).expect("the old trust file");
        approve(999);
        assert_eq!(counted(), 1, "nor with the old trust file");
        assert!(matches!(open(&open_world(), "anna", &own), Err(Error::NoApprover(_))));
        // Who comes back has a new key and is the same person.
        approver_remove(&open_world(), "anna", &store).expect("a removal");
        approver_add(&open_world(), "anna", &own, &store).expect("an approver");
        assert_eq!(crate::fsck(&open_world(), &mut |_, _| ()).expect("a report").findings, []);
        assert_eq!(counted(), 1);
    }
}
