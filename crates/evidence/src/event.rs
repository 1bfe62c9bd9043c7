//! What a recorder sees, one event at a time, in the order in which the kernel let it happen.
//!
//! Events are the raw trace: sealed in columnar segments in the vault and reduced to a
//! [`Record`](crate::record::Record). They carry paths already resolved in the traced process's own root
//! and working directory.

use crate::{BytePath, Digest};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    /// A process came into being: `process` is the child, `other` its parent.
    Fork,
    /// A program was started: `path` the executable, `digest` of its bytes, `arguments` its argv, `environment`
    /// those of its variables that change what it loads or runs; `input`/`output` the identities of the pipes that
    /// are its standard input and output; `detail` is `socket-input` if its standard input is a socket that leads off the machine, `local-socket-input` if
    /// it is another.
    Exec,
    /// A file was opened for reading: `path`, and `digest` of the bytes as read.
    Read,
    /// A file was opened for writing or created: `path`.
    Write,
    /// A path was renamed: `path` to `target`.
    Rename,
    /// A path was removed.
    Unlink,
    /// A hard link was made: `path` is the existing file, `target` the new name.
    Link,
    /// A symbolic link was made: `path` is the new link, `target` its text.
    Symlink,
    /// A connection was opened: `target` is the address, such as `tcp:198.51.100.7:443` or `unix:/run/x`.
    Connect,
    /// A socket was bound to the address in `target`.
    Bind,
    /// A process ended: `status` as by `waitpid` when the recorder could see it.
    Exit,
    /// At the end of the build: a file that had been written was left with these bytes (`digest`, `size`).
    Left,
    /// At the end of the build: an input no longer has the bytes that were read (`digest` is what it has now).
    Mutated,
    /// A call was refused by the recorder: `path` or `target` says what, `detail` why.
    Refused,
    /// Something could not be observed; `detail` names it. The record is incomplete.
    Gap,
    /// A file's attributes were changed, not its content: `path`, and `detail` is `mode 0755`, `owner`, `times`,
    /// `xattr` or `acl`.
    Attribute,
    /// A folder was made: `path`.
    Mkdir,
    /// A file was mapped as code: `path`, `digest`.
    Map,
    /// A file without a path was made in memory: `target` is its name.
    Memory,
    /// A process reached into another: `detail` is `ptrace`, `read`, `write`, `memory` (`/proc/N/mem`), `environment`
    /// or `descriptor`; `other` is the other process if it is traced, else `target` is its program.
    Reach,
    /// What paths mean was changed for a process: `detail` is the call (`mount`, `unshare`, `chroot`, …), `path` where.
    Namespace,
    /// A socket began to accept connections: `target` is the address.
    Listen,
    /// A descriptor was sent over a socket: `path` is what it refers to.
    Pass,
    /// An input was changed while the build ran, before or after it was read, and no traced process did it: `path`;
    /// `detail` is `bytes`, `attributes` or `replaced`; `target` is the writer (`pid 7 /usr/bin/x`) if it was found.
    Foreign,
    /// A host name was asked for: `target`. A refused one has an `errno`.
    Resolve,
    /// A connection to a named host was asked of the egress proxy: `target` is `host:port`. A refused one has an
    /// `errno`.
    Request,
}

impl EventKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 26] = [
        Self::Fork,
        Self::Exec,
        Self::Read,
        Self::Write,
        Self::Rename,
        Self::Unlink,
        Self::Link,
        Self::Symlink,
        Self::Connect,
        Self::Bind,
        Self::Exit,
        Self::Left,
        Self::Mutated,
        Self::Refused,
        Self::Gap,
        Self::Attribute,
        Self::Mkdir,
        Self::Map,
        Self::Memory,
        Self::Reach,
        Self::Namespace,
        Self::Listen,
        Self::Pass,
        Self::Foreign,
        Self::Resolve,
        Self::Request,
    ];

    /// Returns the stable word for this kind, as stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Read => "read",
            Self::Write => "write",
            Self::Rename => "rename",
            Self::Unlink => "unlink",
            Self::Link => "link",
            Self::Symlink => "symlink",
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Exit => "exit",
            Self::Left => "left",
            Self::Mutated => "mutated",
            Self::Refused => "refused",
            Self::Gap => "gap",
            Self::Attribute => "attribute",
            Self::Mkdir => "mkdir",
            Self::Map => "map",
            Self::Memory => "memory",
            Self::Reach => "reach",
            Self::Namespace => "namespace",
            Self::Listen => "listen",
            Self::Pass => "pass",
            Self::Foreign => "foreign",
            Self::Resolve => "resolve",
            Self::Request => "request",
        }
    }

    /// Returns the kind for a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One event. Fields that a kind does not use are empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Position in the trace, from 0, without gaps.
    pub sequence: u64,
    /// Nanoseconds since the recording began (monotonic clock).
    pub at_ns: u64,
    /// The process: an index that is never reused within a trace, unlike the kernel's pid. The first is 0.
    pub process: u32,
    /// The other process concerned (parent of a fork).
    pub other: Option<u32>,
    /// What happened.
    pub kind: EventKind,
    /// The path acted on, absolute and resolved.
    pub path: Option<BytePath>,
    /// The second path or the address.
    pub target: Option<BytePath>,
    /// Digest of the content as read, executed or left.
    pub digest: Option<Digest>,
    /// Size in bytes of that content.
    pub size: Option<u64>,
    /// What the first bytes of that content say it is, where that matters: `elf`, `pe`, `macho`.
    pub format: Option<String>,
    /// 0 for success, else the kernel's `errno` (a failed open of an absent file is an event too).
    pub errno: u16,
    /// Exit status of a process: the code, or 128 + signal.
    pub status: Option<i32>,
    /// The arguments of an exec.
    pub arguments: Vec<BytePath>,
    /// The variables of an exec that change what is loaded or run (`LD_PRELOAD=…`, `RUSTC_WRAPPER=…`), and no others.
    pub environment: Vec<BytePath>,
    /// Identity (inode) of the pipe on standard input at exec.
    pub input: Option<u64>,
    /// Identity (inode) of the pipe on standard output at exec.
    pub output: Option<u64>,
    /// Reason of a gap or a refusal, in stable kebab-case. For `Read`: `not-in-commit` (a tracked source has other bytes
    /// than in the commit, though it had not when the build began), `uncommitted` (it had before), or `hashed-beside`
    /// (the digest was not taken before use).
    pub detail: Option<String>,
}

impl Event {
    /// Makes an event with all optional fields empty.
    pub fn new(kind: EventKind, process: u32) -> Self {
        Self {
            sequence: 0,
            at_ns: 0,
            process,
            other: None,
            kind,
            path: None,
            target: None,
            digest: None,
            size: None,
            format: None,
            errno: 0,
            status: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            input: None,
            output: None,
            detail: None,
        }
    }
}
