//! What happened on a build machine, in and outside of recorded builds: who came, with which rights, and what changed.
//!
//! These are claims of the machine's own logs, and as trustworthy as they: whoever is root there can forge them before
//! they are collected, and not afterwards.

use serde::{Deserialize, Serialize};

use crate::{BytePath, Digest, Timestamp};

/// The `schema` of a batch of events.
pub const EVENTS_SCHEMA: &str = "urn:countersign:machine-events:v1";
/// The `schema` of the state of watched files.
pub const WATCHED_SCHEMA: &str = "urn:countersign:watched-files:v1";

/// A batch of events, in the order in which they were collected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineEvents {
    /// Always [`EVENTS_SCHEMA`].
    pub schema: String,
    /// The events.
    pub events: Vec<MachineEvent>,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineEventKind {
    /// Somebody came in.
    Login,
    /// Somebody left.
    Logout,
    /// Somebody tried to come in.
    LoginFailed,
    /// Somebody took on another user's rights.
    Privilege,
    /// Somebody tried to.
    PrivilegeFailed,
    /// Somebody who had logged in started a program.
    Executed,
    /// The machine was started: nobody is logged in.
    Boot,
    /// A watched file was changed.
    Changed,
    /// An entry that somebody without rights wrote under the name of a service.
    Forged,
    /// Something is missing from a log, or could not be observed.
    Gap,
}

impl MachineEventKind {
    /// Returns the kebab-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::LoginFailed => "login-failed",
            Self::Privilege => "privilege",
            Self::PrivilegeFailed => "privilege-failed",
            Self::Executed => "executed",
            Self::Boot => "boot",
            Self::Changed => "changed",
            Self::Forged => "forged",
            Self::Gap => "gap",
        }
    }
}

/// One event. Fields that a kind does not use are absent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineEvent {
    /// When it happened, as its source says.
    pub at: Timestamp,
    /// What happened.
    pub kind: MachineEventKind,
    /// Who says so: `auth-log`, `journal`, `audit`, `wtmp`, `btmp`, `paths`.
    pub source: String,
    /// The program that wrote the entry (`sshd`, `sudo`), that held a changed file open, or that was started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub program: Option<BytePath>,
    /// The process that wrote the entry, or that was started; logins and logouts of one session have the same.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<u64>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<BytePath>,
    /// Whose rights were taken on, or had if they were not the user's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<BytePath>,
    /// From where: an address or host name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<BytePath>,
    /// The port there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub port: Option<u16>,
    /// The terminal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub terminal: Option<BytePath>,
    /// How somebody showed who they are: `publickey`, `password`, ….
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<BytePath>,
    /// With which key: `ED25519 SHA256:…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<BytePath>,
    /// What was run, secrets removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<BytePath>,
    /// The watched file, or the log with a gap.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<BytePath>,
    /// The file as it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<FileState>,
    /// The file as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<FileState>,
    /// More, in stable kebab-case where there is a list of it; for gaps, what is missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<BytePath>,
}

impl MachineEvent {
    /// Makes an event with all optional fields absent.
    pub fn new(kind: MachineEventKind, at: Timestamp, source: &str) -> Self {
        Self {
            at,
            kind,
            source: source.to_owned(),
            program: None,
            process: None,
            user: None,
            target: None,
            from: None,
            port: None,
            terminal: None,
            method: None,
            key: None,
            command: None,
            path: None,
            before: None,
            after: None,
            detail: None,
        }
    }

    /// Makes the event that something is missing.
    pub fn gap(at: Timestamp, source: &str, path: BytePath, what: &str) -> Self {
        Self { path: Some(path), detail: Some(what.into()), ..Self::new(MachineEventKind::Gap, at, source) }
    }
}

/// A file as it was at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileState {
    /// The device it lies on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Type and mode.
    pub mode: u32,
    /// Its owner.
    pub owner: u32,
    /// Its size in bytes.
    pub size: u64,
    /// When the kernel last changed anything about it (`st_ctime`), in nanoseconds since 1970: no program sets it.
    pub changed_ns: i64,
    /// Digest of its bytes, or of the text of a symbolic link; absent if it is too large or cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
}

/// The watched files at the end of a batch: what the next watch compares with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedFiles {
    /// Always [`WATCHED_SCHEMA`].
    pub schema: String,
    /// What was asked to be watched.
    pub paths: Vec<BytePath>,
    /// The files, by path.
    pub files: Vec<WatchedFile>,
}

/// One watched file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedFile {
    /// Its path.
    pub path: BytePath,
    /// What it was like.
    pub state: FileState,
}

impl Position {
    /// Makes the position behind an entry of the journal.
    pub fn cursor(cursor: String) -> Self {
        let digest = Digest::of(b"");
        Self { device: 0, inode: 0, offset: 0, covered: 0, digest, cursor: Some(cursor) }
    }
}

/// How far a log has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    /// The device it lies on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Bytes read.
    pub offset: u64,
    /// How many of the bytes before the offset the digest covers.
    pub covered: u64,
    /// Their digest: a log that was rewritten since does not have them any more.
    pub digest: Digest,
    /// For the journal, whose files are its own affair: the cursor of the last entry. Everything else is empty then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<String>,
}
