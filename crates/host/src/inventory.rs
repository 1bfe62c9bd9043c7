//! What lies on this machine: the walk through a folder for the packages in it, and probes for what starts, trusts or may
//! change the machine. Nothing is executed, nothing is written but the cache of the walk.
//!
//! | module | what it does |
//! |---|---|
//! | `walk` | goes through folders, two at a time, and hands files to the catalogers |
//! | `cache` | what files said before, by identity and time of last change |
//! | `mounts` | which file systems are entered |
//! | `links` | whose links lead to a file |
//! | `root` | a machine's folders: the running one or another root |
//! | `programs`, `extensions`, `skills`, `images`, `startup`, `trusted`, `live` | the probes |

mod cache;
mod extensions;
mod images;
mod links;
mod live;
mod mounts;
mod programs;
mod root;
mod skills;
mod startup;
mod trusted;
mod walk;

use evidence::inventory::Item;

pub use links::{owners_of_files, owners_of_links};
pub use mounts::holds_files;
pub use root::Root;
pub use walk::{Walk, Walked, walk};

/// Lets other work of the machine go first, from now on: nobody waits for an inventory. What the kernel refuses changes nothing.
pub fn make_way() {
    const STEPS: i32 = 10;
    rustix::process::nice(STEPS).ok();
}

/// Reads one sort of facts about a machine.
pub struct Probe {
    /// The section that it fills.
    pub section: &'static str,
    read: fn(&Root, &mut Facts),
}

/// What a probe has found.
#[derive(Debug, Default)]
pub struct Facts {
    /// Items, in any order.
    pub items: Vec<Item>,
    /// What could not be seen, and why.
    pub gaps: Vec<String>,
}

/// All probes.
pub const PROBES: &[Probe] = &[
    Probe { section: "toolchains", read: programs::toolchains },
    Probe { section: "privileged-files", read: programs::privileged },
    Probe { section: "editor-extensions", read: extensions::editors },
    Probe { section: "browser-extensions", read: extensions::browsers },
    Probe { section: "mcp-servers", read: extensions::mcp_servers },
    Probe { section: "agent-skills", read: skills::read },
    Probe { section: "container-images", read: images::read },
    Probe { section: "services", read: startup::services },
    Probe { section: "scheduled-jobs", read: startup::scheduled },
    Probe { section: "trust-roots", read: trusted::roots },
    Probe { section: "ssh-keys", read: trusted::ssh_keys },
    Probe { section: "credentials", read: trusted::credentials },
    Probe { section: "package-manager-settings", read: trusted::settings },
    Probe { section: "listening", read: live::listening },
    Probe { section: "kernel-modules", read: live::modules },
];

impl Probe {
    /// Reads the facts; items sorted, each once.
    pub fn facts(&self, root: &Root) -> Facts {
        let mut facts = Facts::default();
        (self.read)(root, &mut facts);
        facts.items.sort();
        facts.items.dedup();
        facts.gaps.sort();
        facts.gaps.dedup();
        facts
    }
}

#[cfg(test)]
mod tests;
