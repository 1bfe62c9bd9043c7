//! What the trust file demands and whom it names, changed; and the same for standard Sigstore clients.

use std::path::{Path, PathBuf};

use attest::Signer;
use attest::clients::{self, client_trust_config};
use attest::trust::{Retired, TrustedKey, TrustedLog};
use evidence::statement::{KeyChange, KeyStatement, ResourceDescriptor, Statement};
use evidence::{Digest, Timestamp};

use judge::roles::Actor;

use crate::error::{Error, Result};
use crate::files;
use crate::keys::{self, KeyRole};
use crate::publish::OtherLog;
use crate::sign::{append_one, signed};
use crate::world::{Passphrase, World, log_error};

/// What changes in a trust file; none leaves as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustChange {
    /// Until when it may be relied on; inner none is for ever.
    pub expires: Option<Option<Timestamp>>,
    /// Levels that every release must have.
    pub required_levels: Option<Vec<String>>,
    /// The C2SP tlog-policy of witnesses; inner none is nobody.
    pub witness_policy: Option<Option<String>>,
}

/// Changes what the trust file demands. A witness policy that names another log than ours is refused.
pub fn trust_set(world: &World, change: TrustChange) -> Result<PathBuf> {
    if let Some(Some(text)) = &change.witness_policy {
        let policy = tlog::WitnessPolicy::parse(text.as_bytes()).map_err(log_error)?;
        let ours = |log: &tlog::PolicyLog| log.key.to_string() == world.trust.log.verifier_key;
        if !policy.logs().is_empty() && !policy.logs().iter().any(ours) {
            return Err(Error::ForeignPolicy(world.trust.log.verifier_key.clone()));
        }
    }
    world.change_trust(|trust| {
        if let Some(expires) = change.expires {
            trust.expires = expires;
        }
        if let Some(levels) = change.required_levels {
            trust.required_levels = levels;
        }
        if let Some(policy) = change.witness_policy {
            trust.witness_policy = policy;
        }
    })
}

/// Lets a key no longer count: signatures behind the present end of the log are not believed. What it signed before
/// stays good.
pub fn retire_key(world: &World, short: &str, reason: &str) -> Result<PathBuf> {
    let trust = &world.trust;
    let mut keys = trust.release_keys.iter().chain(&trust.builder_keys);
    let known = keys.any(|key| key.public_key.short() == short);
    if !known {
        return Err(Error::NoSuchKey(short.to_owned()));
    }
    let index = world.with_log(|log| Ok(log.size()))?;
    world.change_trust(|trust| {
        for key in trust.release_keys.iter_mut().chain(&mut trust.builder_keys) {
            if key.public_key.short() == short && key.retired.is_none() {
                key.retired = Some(Retired { index, reason: reason.to_owned() });
            }
        }
    })
}

/// A key that was made, or taken from a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewKeyMade {
    /// What it is for.
    pub role: &'static str,
    /// Its short name.
    pub key: String,
    /// From which entry of the log on it counts: that of the statement about it.
    pub from: u64,
    /// The trust file that now names it.
    pub trust_file: PathBuf,
}

/// Makes a new release or builder key, or takes the one that a URI names, and lets it count from here on. The key before keeps what
/// it signed; it can go on until `retire_key` ends it, and is used no more by this store.
///
/// Order: the key file, the statement in the log (by the key before, or by the new one where that has ended), the trust file. A crash
/// after each leaves a key that counts for nothing.
pub fn new_key(
    world: &World,
    role: KeyRole,
    uri: Option<&str>,
    passphrase: &Passphrase,
) -> Result<NewKeyMade> {
    let name = role.word();
    let log_key = world.log_key(passphrase)?;
    let new = keys::create(&world.layout(), &world.heads, role, uri, passphrase, world.clock())?;
    let public_key = new.public_key().clone();
    let short = public_key.short();
    if world.trust.names(&public_key) {
        return Err(Error::KeyTaken(short));
    }
    let actor = Actor { role: role.actor(), key: short.clone(), person: None };
    if let Some(why) = world.policy()?.0.roles.refuses(&actor) {
        return Err(Error::Role(why));
    }
    let statement =
        KeyStatement { role: name.into(), change: KeyChange::Added, reason: None, since: world.now() };
    let subject = ResourceDescriptor::named(format!("{name} key"), &Digest::of(public_key.der()));
    let by: Box<dyn Signer> = match (role, world.release_key(passphrase)) {
        (_, Ok(release)) => release,
        (KeyRole::Release, Err(Error::KeyOut { .. })) => new,
        (_, Err(error)) => return Err(error),
    };
    let envelope = signed(&Statement::new(vec![subject], &statement), &by)?;
    let from = append_one(world, &envelope, &log_key)?.index;
    let since = world.now();
    let trust_file = world.change_trust(|trust| {
        let list = match role {
            KeyRole::Release => &mut trust.release_keys,
            KeyRole::Builder => &mut trust.builder_keys,
        };
        list.push(TrustedKey { public_key, since, from: Some(from), retired: None });
    })?;
    Ok(NewKeyMade { role: name, key: short, from, trust_file })
}

/// Begins the count of a release key's signatures anew, at what the log has by it, and says so in the log.
///
/// Order: the statement, the count. A crash between the two leaves the count as wrong as it was.
pub fn count_key(world: &World, short: &str, reason: &str, passphrase: &Passphrase) -> Result<u64> {
    let release = world.release_key(passphrase)?;
    let log_key = world.log_key(passphrase)?;
    let known = world.trust.release_keys.iter().find(|key| key.public_key.short() == short);
    let key = &known.ok_or_else(|| Error::NoSuchKey(short.to_owned()))?.public_key;
    let statement = KeyStatement {
        role: KeyRole::Release.word().into(),
        change: KeyChange::Counted,
        reason: Some(reason.to_owned()),
        since: world.now(),
    };
    let subject = ResourceDescriptor::named("release key", &Digest::of(key.der()));
    append_one(world, &signed(&Statement::new(vec![subject], &statement), &release)?, &log_key)?;
    let size = world.with_log(|log| Ok(log.size()))?;
    let mut logged = 0;
    for index in 0..size {
        if world.leaf(index)?.credential.key() == key {
            logged += 1;
        }
    }
    keys::counted::begin(&world.heads, key, logged)?;
    Ok(logged)
}

/// Writes `trusted_root.json`, `signing_config.v0.2.json`, and both in `client_trust_config.json`, by which unmodified Sigstore
/// clients find and trust our log and our authorities; or, with our authorities, another log.
pub fn sigstore_export(
    world: &World,
    folder: &Path,
    url: Option<&str>,
    other_log: Option<&OtherLog>,
) -> Result<Vec<PathBuf>> {
    let fail = |source| Error::Write { path: folder.to_path_buf(), source };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let own = || format!("https://{}", world.trust.log.origin());
    let (log, url) = match other_log {
        Some(other) => (TrustedLog { verifier_key: other.verifier_key.trim().to_owned() }, other.url.clone()),
        None => (world.trust.log.clone(), url.map_or_else(own, str::to_owned)),
    };
    let root = clients::trusted_root(&log, &url, &world.trust.authorities, &[]).map_err(log_error)?;
    let config = world.trust.signing_config(&url, world.now());
    let both = client_trust_config(&root, &config).map_err(log_error)?;
    let mut written = Vec::new();
    let texts = [
        ("trusted_root.json", root),
        ("signing_config.v0.2.json", config),
        ("client_trust_config.json", both),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        files::write(&path, text.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// Returns all keys that a trust file names.
pub fn keys_of(trust_file: &Path) -> Result<Vec<attest::PublicKey>> {
    let trust = crate::world::read_trust(trust_file)?;
    let keys = trust.release_keys.iter().chain(&trust.builder_keys).map(|key| key.public_key.clone());
    Ok(keys.chain(trust.approver_keys.iter().map(|key| key.public_key.clone())).collect())
}

/// Trusts the builder keys that another store's trust file names. They build and release nothing here; their records
/// count for a quorum.
pub fn add_builders(world: &World, trust_file: &Path) -> Result<PathBuf> {
    let others = crate::world::read_trust(trust_file)?.builder_keys;
    let taken = |key: &&TrustedKey| {
        let is_builder = world.trust.builder_keys.iter().any(|known| known.public_key == key.public_key);
        !is_builder && world.trust.names(&key.public_key)
    };
    if let Some(key) = others.iter().find(taken) {
        return Err(Error::KeyTaken(key.public_key.short()));
    }
    world.change_trust(|trust| {
        for key in others {
            if !trust.builder_keys.iter().any(|known| known.public_key == key.public_key) {
                trust.builder_keys.push(key);
            }
        }
    })
}
