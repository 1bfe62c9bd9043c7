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
        Ok(credentialed(match self.given_passphrase()? {
            Some(passphrase) => passphrase,
            None => Passphrase::new(ask("Passphrase of the keys: ")?),
        }))
    }

    /// The passphrase of the store's keys where `--passphrase-file` is a person's.
    pub(crate) fn store_passphrase(&self, file: Option<&Path>) -> Result<Passphrase> {
        match file.map(read_passphrase).transpose()?.or_else(passphrase_of_environment) {
            Some(passphrase) => Ok(credentialed(passphrase)),
            None => Ok(credentialed(Passphrase::new(ask("Passphrase of the store's keys: ")?))),
        }
    }

    /// The passphrase of a person's own key: never from the variable, which is the store's.
    pub(crate) fn own_passphrase(&self, name: &str) -> Result<Passphrase> {
        match &self.passphrase_file {
            Some(path) => read_passphrase(path),
            None => Ok(Passphrase::new(ask_own(&format!("Passphrase of {name}: "), name)?)),
        }
    }

    /// The passphrase of a person's key to be made; the person types it twice.
    pub(crate) fn new_own_passphrase(&self, name: &str) -> Result<Passphrase> {
        if let Some(path) = &self.passphrase_file {
            return read_passphrase(path);
        }
        let first = ask_own(&format!("New passphrase, known to {name} alone: "), name)?;
        anyhow::ensure!(first == ask_own("Once more: ", name)?, "the two passphrases differ");
        Ok(Passphrase::new(first))
    }

    /// The passphrase of keys to be made; a person types it twice.
    pub(crate) fn new_passphrase(&self) -> Result<Passphrase> {
        if let Some(passphrase) = self.given_passphrase()? {
            return Ok(credentialed(passphrase));
        }
        let first = ask("New passphrase for the keys: ")?;
        anyhow::ensure!(first == ask("Once more: ")?, "the two passphrases differ");
        Ok(credentialed(Passphrase::new(first)))
    }

    fn given_passphrase(&self) -> Result<Option<Passphrase>> {
        match &self.passphrase_file {
            Some(path) => read_passphrase(path).map(Some),
            None => Ok(passphrase_of_environment()),
        }
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

fn read_passphrase(path: &Path) -> Result<Passphrase> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    Ok(Passphrase::new(bytes[..end].to_vec()))
}

/// Adds what the environment has for services that hold keys.
fn credentialed(passphrase: Passphrase) -> Passphrase {
    let found = engine::CREDENTIAL_VARIABLES.iter();
    passphrase.with_credentials(found.filter_map(|name| Some((*name, std::env::var(name).ok()?))))
}

fn passphrase_of_environment() -> Option<Passphrase> {
    std::env::var_os(PASSPHRASE).map(|value| Passphrase::new(value.into_encoded_bytes()))
}

fn ask_own(prompt: &str, name: &str) -> Result<Vec<u8>> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::NoOwnPassphrase(name.to_owned()).into());
    }
    ask(prompt)
}

fn ask(prompt: &str) -> Result<Vec<u8>> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::NoPassphrase.into());
    }
    Ok(rpassword::prompt_password(prompt).context("cannot ask for the passphrase")?.into_bytes())
}
