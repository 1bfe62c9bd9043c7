//! `init`: a new store with its keys, log, policy and trust file.

use std::path::{Path, PathBuf};

use attest::key::Cost;
use attest::trust::{SCHEMA, Trust, TrustedKey, TrustedLog};
use attest::{EncryptedKey, Signer};
use evidence::Timestamp;
use store::{DirectoryVault, Heads, SqliteHeads, SqliteIndex, TileDirectory};
use tlog::NoteSigner;

use crate::error::{Error, Result};
use crate::files;
use crate::keys::{self, KeyRole};
use crate::ledger::LOG_HEAD;
use crate::world::{Clock, Layout, Passphrase, SALT_HEAD, log_error, store_error};

/// The shortest passphrase that is accepted.
pub(crate) const PASSPHRASE_MIN: usize = 8;

/// What was made.
#[derive(Debug)]
pub struct Initialised {
    /// The store's folder.
    pub store: PathBuf,
    /// The file to give to customers.
    pub trust_file: PathBuf,
    /// The policy to edit.
    pub policy_file: PathBuf,
    /// Short name of the release key.
    pub release_key: String,
    /// Short name of the builder key.
    pub builder_key: String,
    /// The log's origin.
    pub log_origin: String,
}

/// Makes a store in `root`, which must not hold one. With `release_uri`, the release key is one that somebody holds already.
///
/// Order: everything is made in a folder beside it, synced, and renamed into place, so a crash leaves either no
/// store or a whole one.
pub fn init(
    root: &Path,
    origin: Option<&str>,
    release_uri: Option<&str>,
    passphrase: &Passphrase,
    now: Timestamp,
) -> Result<Initialised> {
    if passphrase.bytes().len() < PASSPHRASE_MIN {
        return Err(Error::WeakPassphrase(PASSPHRASE_MIN));
    }
    if root.exists() {
        return Err(Error::StoreExists(root.to_path_buf()));
    }
    let fail = |source| Error::Write { path: root.to_path_buf(), source };
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(fail)?;
    let staging = tempfile::Builder::new().prefix(".countersign-init-").tempdir_in(parent).map_err(fail)?;
    let layout = Layout(staging.path());
    for folder in [layout.objects(), layout.log(), layout.recordings(), staging.path().join("keys")] {
        std::fs::create_dir(&folder).map_err(fail)?;
    }
    let private: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(staging.path().join("keys"), private).map_err(fail)?;
    files::write(&staging.path().join(".gitignore"), b"*\n")?;

    let (builder_file, builder) = generate("builder", Cost::Machine, passphrase)?;
    // Every build opens both.
    let (log_file, log_der) = builder_file
        .derivation()
        .and_then(|how| EncryptedKey::generate_ed25519(passphrase.bytes(), how))
        .map_err(|source| Error::Key { name: "log", source })?;
    DirectoryVault::create(&layout.objects()).map_err(store_error)?;
    let heads = SqliteHeads::create(&layout.heads()).map_err(store_error)?;
    let release: Box<dyn Signer> = match release_uri {
        Some(_) => keys::create(&layout, &heads, KeyRole::Release, release_uri, passphrase, Clock::at(now))?,
        None => {
            let (file, pair) = generate("release", Cost::High, passphrase)?;
            files::write_secret(&layout.key("release"), file.pem().as_bytes())?;
            keys::counted::begin(&heads, pair.public_key(), 0)?;
            Box::new(pair)
        }
    };
    for (name, file) in [("builder", &builder_file), ("log", &log_file)] {
        files::write_secret(&layout.key(name), file.pem().as_bytes())?;
    }

    let origin = origin
        .map_or_else(|| format!("{}.log.countersign.invalid", release.public_key().short()), str::to_owned);
    let log_signer = tlog::Ed25519Signer::from_pkcs8(&origin, &log_der).map_err(log_error)?;
    let trust = Trust {
        schema: SCHEMA.into(),
        release_keys: vec![TrustedKey {
            public_key: release.public_key().clone(),
            since: now,
            from: None,
            retired: None,
        }],
        builder_keys: vec![TrustedKey {
            public_key: builder.public_key().clone(),
            since: now,
            from: None,
            retired: None,
        }],
        log: TrustedLog { verifier_key: log_signer.verifier_key().to_string() },
        approver_keys: Vec::new(),
        revoked: Vec::new(),
        expires: None,
        required_levels: Vec::new(),
        witness_policy: None,
        authorities: Vec::new(),
        digest: None,
    };
    files::write(&layout.trust(), &trust.to_json())?;
    files::write(&layout.policy(), judge::policy::DEFAULT.as_bytes())?;

    heads
        .replace(
            SALT_HEAD,
            None,
            &attest::key::random().map_err(|source| Error::Key { name: "salt", source })?,
        )
        .map_err(store_error)?;
    let tiles = TileDirectory::open(&layout.log()).map_err(store_error)?;
    SqliteIndex::open(&layout.index()).map_err(store_error)?;
    tlog::Log::create(&tiles, &heads.cell(LOG_HEAD), &log_signer)
        .and_then(|log| log.publish())
        .map_err(log_error)?;
    drop(heads);

    std::fs::rename(staging.keep(), root).map_err(fail)?;
    std::fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(fail)?;
    let layout = Layout(root);
    Ok(Initialised {
        store: root.to_path_buf(),
        trust_file: layout.trust(),
        policy_file: layout.policy(),
        release_key: release.public_key().short(),
        builder_key: builder.public_key().short(),
        log_origin: origin,
    })
}

fn generate(
    name: &'static str,
    cost: Cost,
    passphrase: &Passphrase,
) -> Result<(EncryptedKey, attest::KeyPair)> {
    EncryptedKey::generate_p256(passphrase.bytes(), cost).map_err(|source| Error::Key { name, source })
}
