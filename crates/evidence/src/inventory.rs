//! What software is on a machine, and what starts, trusts or may change it: one look at one machine.
//!
//! A look is a small document that names its sections by digest: a section that has not changed since the last look is the
//! same object in the vault. Each look names the one before it, so that the newest leads to all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BytePath, Digest, Timestamp};

/// One look at one machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// `urn:countersign:inventory:v1`.
    pub schema: String,
    /// The machine's name.
    pub host: String,
    /// The folder that was looked at; `/` for the running machine.
    pub root: BytePath,
    /// When.
    pub collected: Timestamp,
    /// Whether everything could be seen. Only a complete look may say that something is gone.
    pub complete: bool,
    /// What could not be seen, and why.
    pub gaps: Vec<String>,
    /// The digest of each section, by its name.
    pub sections: BTreeMap<String, Digest>,
    /// How many items each section has.
    pub counts: BTreeMap<String, u64>,
    /// The look before this one, at whatever machine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
}

/// The items of one section, sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// The items.
    pub items: Vec<Item>,
}

/// One thing on a machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// Its version, where one is known.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub version: String,
    /// Its package URL, where it is a package.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub purl: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<BytePath>,
    /// The digest of its file. Of secrets there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
    /// Anything else that was read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub facts: BTreeMap<String, String>,
}

impl Item {
    /// Makes an item of its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a fact, unless it is empty.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.facts.insert(name.to_owned(), value);
        }
        self
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, path: impl Into<BytePath>) -> Self {
        self.path = Some(path.into());
        self
    }
}
