//! What one traced build did, reduced from its events: the document that everything later rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BytePath, Component, Digest, Finding, Timestamp};

/// The `schema` of a record.
pub const SCHEMA: &str = "urn:countersign:record:v1";

/// A recorded build.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Which product was built; empty if not given.
    pub product: String,
    /// Which release of it; empty if not given.
    pub release: String,
    /// The command and its arguments, secrets removed.
    pub command: Vec<BytePath>,
    /// Where it ran.
    pub workdir: BytePath,
    /// The commit that the project was checked out at, if it is in a repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkout: Option<Checkout>,
    /// When it began.
    pub started: Timestamp,
    /// When the last byte of it had been hashed.
    pub finished: Timestamp,
    /// How the command ended.
    pub exit: Exit,
    /// What the recorder can vouch for.
    pub completeness: Completeness,
    /// The machine it ran on.
    pub machine: Machine,
    /// The environment that the command was given.
    pub environment: Vec<Variable>,
    /// The processes, by index.
    pub processes: Vec<Process>,
    /// The files that were read, executed, or written and left, by path.
    pub files: Vec<File>,
    /// Who talked to whom.
    pub network: Vec<Destination>,
    /// Packages to which read files belong.
    pub components: Vec<Component>,
    /// Files that match the declared outputs, as left at the end.
    pub outputs: Vec<Artifact>,
    /// What the detection rules found while it ran.
    #[serde(default)]
    pub detections: Detections,
    /// The raw trace: sealed Parquet segments in the vault, in order.
    pub segments: Vec<Segment>,
}

/// A working copy of a repository, as it was when the build began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkout {
    /// Name of the commit, hexadecimal.
    pub commit: String,
    /// The top of the working copy.
    pub root: BytePath,
    /// Files that the commit has, each compared as it was read.
    pub files: u64,
    /// Files that differed from the commit already.
    pub changed: u64,
    /// Files that are not compared because the version control converts them.
    pub converted: u64,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody saw it: the recorder was stopped first.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The completeness claim: what was seen, and what was not.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completeness {
    /// Whether the record tells everything. False as soon as anything below says otherwise.
    pub complete: bool,
    /// Events observed.
    pub events: u64,
    /// Events known to be lost.
    pub dropped: u64,
    /// Events whose path could not be resolved.
    pub unresolved: u64,
    /// Calls refused by the recorder.
    pub refused: u64,
    /// Inputs hashed before the build could use them.
    pub hashed_before_use: u64,
    /// Inputs hashed only afterwards.
    pub hashed_after: u64,
    /// Files of the project that were watched for changes from outside while the build ran.
    #[serde(default)]
    pub watched_files: u64,
    /// Files of the project that were not, because there were too many or the kernel did not allow it; at least so many.
    #[serde(default)]
    pub unwatched_files: u64,
    /// Whether the build was stopped from outside (Ctrl-C, a killed recorder).
    pub interrupted: bool,
    /// What could not be observed: reason → how often.
    pub gaps: BTreeMap<String, u64>,
}

/// The machine and the way of tracing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// `x86_64`, ….
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    /// The tracing mode: `seccomp`, ….
    pub tracer: String,
    /// How the build was held back from the network: `observed` (not at all), `denied-namespace`,
    /// `denied-notification`, `allowed-namespace`, `allowed-notification`; empty if nobody can say.
    #[serde(default)]
    pub network: String,
    /// Version of the recorder.
    pub recorder: String,
}

/// One environment variable. Only allow-listed values are kept; the rest only as keyed digests, so that two
/// records can be compared and no secret can be guessed from a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: BytePath,
    /// Its value, if the name is on the allow-list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<BytePath>,
    /// SHA-256 over the store's salt, name and value, if it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub salted_digest: Option<Digest>,
}

/// One process, from fork to exit; it may have run several programs one after another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its index in the trace.
    pub index: u32,
    /// Its parent's index; the first has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<u32>,
    /// Nanoseconds after the start of the recording at which it was first seen.
    pub started_ns: u64,
    /// Nanoseconds at which its end was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished_ns: Option<u64>,
    /// Its exit status, if the recorder could see it: the code, or 128 + signal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<i32>,
    /// The programs it ran.
    pub programs: Vec<Program>,
}

/// One program image run by a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The executable file.
    pub path: BytePath,
    /// Digest of its bytes; absent if they could not be read (then the record is incomplete).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
    /// Its arguments, secrets removed.
    pub arguments: Vec<BytePath>,
    /// When it was started.
    pub started_ns: u64,
    /// The pipe on its standard input.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input: Option<u64>,
    /// The pipe on its standard output.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<u64>,
}

/// What part a file played.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An input from the project's own folder.
    Source,
    /// An input from the machine: compilers, system headers and libraries.
    Toolchain,
    /// An input that a package manager fetched, or that lies outside project and machine.
    Dependency,
    /// Written by the build and not declared an output.
    Generated,
    /// Declared an output.
    Output,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] =
        [Self::Source, Self::Toolchain, Self::Dependency, Self::Generated, Self::Output];

    /// Returns the kebab-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Toolchain => "toolchain",
            Self::Dependency => "dependency",
            Self::Generated => "generated",
            Self::Output => "output",
        }
    }
}

/// One file, under one path, over the whole build.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path.
    pub path: BytePath,
    /// The part it played.
    pub role: Role,
    /// The digests of its bytes as they were read or executed, in order of first appearance.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub read: Vec<Digest>,
    /// The digest of its bytes as left at the end, if the build wrote it and it still existed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left: Option<Digest>,
    /// Size of the bytes last seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<u64>,
    /// What the first bytes say it is, where that matters: `elf`, `pe`, `macho`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    /// Who read or executed it, and when first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub readers: Vec<Access>,
    /// Who wrote it (opened for writing, renamed or linked to this path), and when.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub writers: Vec<Access>,
    /// Paths whose content came here by rename or link.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub moved_from: BTreeSet<BytePath>,
    /// The package that owns it: a purl in [`Record::components`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub package: Option<String>,
    /// Whether it had other bytes at the end than when read, and no traced process had written it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub mutated: bool,
}

/// One process touching one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The process.
    pub process: u32,
    /// When, in nanoseconds after the start.
    pub at_ns: u64,
}

/// One network or socket address that was connected to or bound.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// `tcp:198.51.100.7:443`, `udp:[2001:db8::1]:53`, `unix:/run/docker.sock`, ….
    pub address: BytePath,
    /// `connect`, `bind`, `listen`, or `request` (of the egress proxy).
    pub action: String,
    /// The processes that did.
    pub processes: BTreeSet<u32>,
}

/// Named, hashed bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Path relative to the working directory where it lies below it, else absolute.
    pub path: BytePath,
    /// Digest of the bytes as left.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// The inspection of it: a [`Tree`](crate::Tree) document in the vault.
    pub tree: Digest,
}

/// What detection rules found in one recording.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detections {
    /// Digest of the rule set; absent if no rules were asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rules: Option<Digest>,
    /// The matches, in order.
    pub found: Vec<Detected>,
    /// Rules that could not be asked, because a fact was missing.
    pub not_evaluated: Vec<NotEvaluated>,
}

/// One match of a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detected {
    /// The finding.
    pub finding: Finding,
    /// The event that completed the match.
    pub sequence: u64,
    /// When it was, in nanoseconds after the start.
    pub at_ns: u64,
}

/// A rule that could not be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotEvaluated {
    /// The rule.
    pub rule: String,
    /// Which fact was missing.
    pub reason: String,
}

/// One sealed part of the raw trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The Parquet object in the vault.
    pub digest: Digest,
    /// Events in it.
    pub events: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Record {
    /// Tells whether the build ended well and the recorder saw everything.
    pub fn is_attestable(&self) -> bool {
        self.exit == Exit::Code(0) && self.completeness.complete
    }

    /// Finds the output with these bytes.
    pub fn output(&self, digest: &Digest) -> Option<&Artifact> {
        self.outputs.iter().find(|output| output.digest == *digest)
    }
}

impl Completeness {
    /// Tells whether nothing stands here that speaks against a whole record.
    pub fn is_unbroken(&self) -> bool {
        self.gaps.is_empty() && self.dropped == 0 && self.unresolved == 0 && !self.interrupted
    }
}

impl File {
    /// Returns the last digest known of it: as left, else as last read.
    pub fn content(&self) -> Option<Digest> {
        self.left.or_else(|| self.read.last().copied())
    }

    /// Tells whether the build used bytes that it had not itself written here.
    pub fn is_input(&self) -> bool {
        !matches!(self.role, Role::Generated | Role::Output)
    }
}
