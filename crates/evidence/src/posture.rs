//! In what state a machine is: facts that decide whether it may hold credentials, each with what was read for it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The `schema` of a posture.
pub const SCHEMA: &str = "urn:countersign:posture-facts:v1";

/// The state of one machine at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posture {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The machine's name.
    pub host: String,
    /// When it was looked at.
    pub at: Timestamp,
    /// The facts, by name, each once.
    pub facts: Vec<Fact>,
}

impl Posture {
    /// Returns a fact by its name.
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.name == name)
    }
}

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What it is about: `secure-boot`.
    pub name: String,
    /// What was found.
    pub value: Value,
    /// What was read to find it.
    pub read: Vec<String>,
}

/// What was found. Not to know is a value: it must never look like a good one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Value {
    /// It is so, or not.
    Flag(bool),
    /// How much.
    Number(u64),
    /// Which one.
    Word(String),
    /// All of them, sorted; there may be none.
    List(Vec<String>),
    /// It could not be found out, because of this.
    Unknown(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
            Self::List(items) if items.is_empty() => f.write_str("none"),
            Self::List(items) => f.write_str(&items.join(", ")),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// What came of trying to reach an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reached {
    /// The connection was made, and given up at once.
    Open,
    /// Somebody refused it: the machine there, or a filter on the way.
    Refused,
    /// Nothing came back, or there is no way.
    Silent(String),
    /// It could not be tried.
    Unknown(String),
}
