//! What all commands share: the store, the clock, the passphrase, the way of speaking.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use engine::evidence::Timestamp;
use engine::{Error, Passphrase, World};

use crate::args::Common;

/// The variable that may hold the passphrase; it never reaches a child.
const PASSPHRASE: &str = "COUNTERSIGN_PASSPHRASE";

pub(crate) struct Context {
    store: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

impl Context {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            store: common.store.clone(),
            passphrase_file: common.passphrase_file.clone(),
            json: common.json,
            quiet: common.quiet,
            verbose: common.verbose,
        }
    }

    pub(crate) fn now() -> Timestamp {
        Timestamp::from_unix(jiff::Timestamp::now().as_second())
    }

    /// Where a new store goes.
    pub(crate) fn new_store(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(|| PathBuf::from(".countersign"))
    }

    /// The store in use, whether it is there or not.
    pub(crate) fn store(&self) -> Result<PathBuf> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        Ok(engine::find_store(&here).unwrap_or_else(|| here.join(".countersign")))
    }

    pub(crate) fn world(&self) -> Result<World> {
        Ok(World::open(&self.store()?, Self::now())?)
    }

    /// Opens the store if there is one; without one, what needs none still works.
    pub(crate) fn world_if_any(&self) -> Result<Option<World>> {
        match self.world() {
            Ok(world) => Ok(Some(world)),
            Err(error) if self.store.is_none() && matches!(error.downcast_ref(), Some(Error::NoStore(_))) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The passphrase of existing keys.
    pub(crate) fn passphrase(&self) -> Result<Passphrase> {
        match self.given_passphrase()? {
            Some(passphrase) => Ok(passphrase),
            None => Ok(Passphrase::new(ask("Passphrase of the keys: ")?)),
        }
    }

    /// The passphrase of keys to be made; a person types it twice.
    pub(crate) fn new_passphrase(&self) -> Result<Passphrase> {
        if let Some(passphrase) = self.given_passphrase()? {
            return Ok(passphrase);
        }
        let first = ask("New passphrase for the keys: ")?;
        anyhow::ensure!(first == ask("Once more: ")?, "the two passphrases differ");
        Ok(Passphrase::new(first))
    }

    fn given_passphrase(&self) -> Result<Option<Passphrase>> {
        if let Some(path) = &self.passphrase_file {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let end =
                bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
            return Ok(Some(Passphrase::new(bytes[..end].to_vec())));
        }
        let value = std::env::var_os(PASSPHRASE);
        Ok(value.map(|value| Passphrase::new(value.into_encoded_bytes())))
    }

    /// The trust file that a verification uses.
    pub(crate) fn trust(&self, given: Option<&Path>) -> Result<PathBuf> {
        if let Some(given) = given {
            return Ok(given.to_path_buf());
        }
        let store = self.store()?;
        let trust = engine::trust_file(&store);
        if trust.is_file() {
            Ok(trust)
        } else {
            anyhow::bail!(UsageError("no trust file: give the vendor's with `--trust FILE`".into()))
        }
    }
}

/// What was typed cannot be done: exit 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn ask(prompt: &str) -> Result<Vec<u8>> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::NoPassphrase.into());
    }
    Ok(rpassword::prompt_password(prompt).context("cannot ask for the passphrase")?.into_bytes())
}
