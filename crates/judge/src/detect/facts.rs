//! What is known about machine and project besides the events. Data only: whoever gathers it lives elsewhere.

use std::collections::BTreeMap;

use evidence::{BytePath, Digest};
use serde::Deserialize;

/// What a machine is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineRole {
    /// People work on it.
    #[default]
    Developer,
    /// Only builds run on it: every detection is at least high.
    Build,
    /// It holds signing keys: every detection is at least high.
    Sign,
}

impl MachineRole {
    /// Returns the word that rules use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::Build => "build",
            Self::Sign => "sign",
        }
    }
}

/// Facts for one trace. What is absent makes the rules that need it unevaluated, and they say so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The home folders of people and services on the machine; absent if empty.
    pub homes: Vec<BytePath>,
    /// The folder of the project that is built.
    pub project: Option<BytePath>,
    /// What the machine is for.
    pub machine: MachineRole,
    /// The files tracked by version control, absolute; with the digest of the committed bytes where known.
    pub tracked: Option<BTreeMap<BytePath, Option<Digest>>>,
    /// The files owned by installed packages (a toolchain manifest), with their digests where known.
    pub owned: Option<BTreeMap<BytePath, Option<Digest>>>,
    /// The hosts that builds may talk to: names, addresses, or `*.example.org`.
    pub hosts: Option<Vec<String>>,
    /// Whether everything was fetched before the trace began.
    pub network_over: Option<bool>,
    /// The recorder's own folders; absent if empty.
    pub own_folders: Vec<BytePath>,
}

/// One fact that a rule may need.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Need {
    Homes,
    Project,
    Tracked,
    Owned,
    Hosts,
    NetworkOver,
    OwnFolders,
}

impl Need {
    /// Says what is missing, if it is.
    pub(super) fn missing(self, facts: &Facts) -> Option<&'static str> {
        let (there, what) = match self {
            Self::Homes => (!facts.homes.is_empty(), "no home folders are known"),
            Self::Project => (facts.project.is_some(), "the project folder is not known"),
            Self::Tracked => (facts.tracked.is_some(), "the files tracked by version control are not known"),
            Self::Owned => (facts.owned.is_some(), "the files owned by packages are not known"),
            Self::Hosts => (facts.hosts.is_some(), "no list of allowed hosts is given"),
            Self::NetworkOver => {
                (facts.network_over.is_some(), "it is not known when everything was fetched")
            }
            Self::OwnFolders => (!facts.own_folders.is_empty(), "the recorder's folders are not known"),
        };
        (!there).then_some(what)
    }
}

/// What lies below a folder, without the slash; `None` for the folder itself and for everything else.
pub(super) fn below<'a>(path: &'a [u8], folder: &[u8]) -> Option<&'a [u8]> {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    path.strip_prefix(folder)?.strip_prefix(b"/").filter(|rest| !rest.is_empty())
}

impl Facts {
    pub(super) fn home_path<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        self.homes.iter().find_map(|home| below(path, home.as_bytes()))
    }

    pub(super) fn project_path<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        self.project.as_ref().and_then(|project| below(path, project.as_bytes()))
    }

    /// Tells whether a host is on the list of allowed ones.
    pub(super) fn allows(&self, host: &[u8]) -> bool {
        self.hosts.iter().flatten().any(|allowed| match allowed.strip_prefix('*') {
            Some(end) => {
                host.len() >= end.len() && host[host.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
            }
            None => host.eq_ignore_ascii_case(allowed.as_bytes()),
        })
    }
}
