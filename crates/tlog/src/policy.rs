//! Which cosignatures make a checkpoint believable: policy files of C2SP tlog-policy, read and applied.
//!
//! A file is lines of `log`, `witness`, `group` and exactly one `quorum`. Names are octets without meaning outside
//! of the file. A group only names what stands before it, so evaluation is one pass and cannot loop.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::VerifiedCheckpoint;
use crate::cosignature::WitnessKey;
use crate::note::{NoteError, VerifierKey};

/// A larger file is not read.
const FILE_MAX_BYTES: usize = 1 << 20;
/// More logs, witnesses or groups are not read.
const LINES_MAX: usize = 1024;

/// Why a file is not a policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// A line that cannot be understood.
    #[error("line {line} of the witness policy: {reason}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file as a whole.
    #[error("the witness policy {0}")]
    File(&'static str),
}

/// A log that a policy accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyLog {
    /// Its key; the name is its origin.
    pub key: VerifierKey,
    /// Where it is.
    pub url: Option<String>,
}

/// A witness that a policy knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyWitness {
    /// Its key.
    pub key: WitnessKey,
    /// Its submission prefix.
    pub url: Option<String>,
}

/// What is counted: a witness, or k of the nodes before it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Witness(usize),
    Group { threshold: usize, members: Vec<usize> },
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WitnessPolicy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    nodes: Vec<Node>,
    /// Index of the node that has to hold; none for `quorum none`.
    quorum: Option<usize>,
}

/// The witnesses whose cosignatures on a checkpoint verify, and when they made them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigned {
    /// Name of each witness's key and the time in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// Whether they are enough.
    pub quorum: bool,
}

impl WitnessPolicy {
    /// Reads a policy file.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        if file.len() > FILE_MAX_BYTES {
            return Err(PolicyError::File("is larger than 1 MiB"));
        }
        if file.iter().any(|byte| (*byte < 0x20 && !matches!(byte, b'\t' | b'\n')) || *byte == 0x7f) {
            return Err(PolicyError::File("has control characters"));
        }
        let mut reader = Reader::default();
        for (number, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let words: Vec<&[u8]> =
                line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
            if words.first().is_none_or(|word| word.starts_with(b"#")) {
                continue;
            }
            reader.line(&words).map_err(|reason| PolicyError::Line { line: number + 1, reason })?;
        }
        let quorum = reader.quorum.ok_or(PolicyError::File("has no quorum"))?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, nodes: reader.nodes, quorum })
    }

    /// The logs that it accepts; none means that the log is known from elsewhere.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses that it knows.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Verifies the cosignatures on a checkpoint whose log's signature has been verified, and weighs them. An
    /// invalid signature that names a known witness is an error; lines by keys that nobody knows are ignored, as the
    /// specification wants it.
    pub fn weigh(&self, checkpoint: &VerifiedCheckpoint) -> Result<Cosigned, NoteError> {
        let mut held = BTreeSet::new();
        let mut witnesses = Vec::new();
        for (index, witness) in self.witnesses.iter().enumerate() {
            if let Some(time) = checkpoint.cosigned_by(&witness.key)? {
                held.insert(index);
                witnesses.push((witness.key.name().to_owned(), time));
            }
        }
        let mut holds: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            holds.push(match node {
                Node::Witness(index) => held.contains(index),
                Node::Group { threshold, members } => {
                    members.iter().filter(|member| holds.get(**member) == Some(&true)).count() >= *threshold
                }
            });
        }
        let quorum = self.quorum.is_none_or(|node| holds.get(node) == Some(&true));
        Ok(Cosigned { witnesses, quorum })
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    nodes: Vec<Node>,
    names: BTreeMap<Vec<u8>, usize>,
    /// Nodes that are a member of a group already: each counts in one way only.
    taken: BTreeSet<usize>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, words: &[&[u8]]) -> Result<(), &'static str> {
        if self.nodes.len() + self.logs.len() >= LINES_MAX {
            return Err("more lines than are read");
        }
        match words {
            [b"log", key] => self.log(key, None),
            [b"log", key, url] => self.log(key, Some(url)),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"group", name, threshold, members @ ..] => self.group(name, threshold, members),
            [b"quorum", name] => self.close(name),
            _ => Err("neither `log`, `witness`, `group` nor `quorum` with their words"),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&[u8]>) -> Result<(), &'static str> {
        let key = VerifierKey::parse(text(key)?).map_err(|_| "not the verifier key of a log")?;
        if self.logs.iter().any(|log| log.key.raw() == key.raw()) {
            return Err("the key of this log stands there twice");
        }
        self.logs.push(PolicyLog { key, url: url.map(text).transpose()?.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&[u8]>) -> Result<(), &'static str> {
        let key = WitnessKey::parse(text(key)?).map_err(|_| "not the verifier key of a witness")?;
        if self.witnesses.iter().any(|witness| witness.key.raw() == key.raw()) {
            return Err("the key of this witness stands there twice");
        }
        let url = url.map(text).transpose()?.map(str::to_owned);
        self.witnesses.push(PolicyWitness { key, url });
        let node = Node::Witness(self.witnesses.len() - 1);
        self.name(name, node)
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], members: &[&[u8]]) -> Result<(), &'static str> {
        let mut indices = Vec::new();
        for member in members {
            let index = *self.names.get(*member).ok_or("a member that is not defined before")?;
            if !self.taken.insert(index) {
                return Err("a member that stands in a group already");
            }
            indices.push(index);
        }
        let threshold = match threshold {
            b"all" => indices.len(),
            b"any" => 1,
            number => {
                let word = text(number)?;
                word.parse().ok().filter(|k: &usize| k.to_string() == word).ok_or("not a threshold")?
            }
        };
        if threshold == 0 || threshold > indices.len() {
            return Err("a threshold that the members cannot reach, or that nobody has to");
        }
        self.name(name, Node::Group { threshold, members: indices })
    }

    fn close(&mut self, name: &[u8]) -> Result<(), &'static str> {
        let node = match name {
            b"none" => None,
            name => Some(*self.names.get(name).ok_or("a quorum that is not defined before")?),
        };
        if self.quorum.replace(node).is_some() {
            return Err("a second quorum");
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8], node: Node) -> Result<(), &'static str> {
        if name == b"none" || self.names.insert(name.to_vec(), self.nodes.len()).is_some() {
            return Err("a name that is taken");
        }
        self.nodes.push(node);
        Ok(())
    }
}

fn text(word: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(word).map_err(|_| "not text")
}
