//! In what state this machine is: facts for a [posture](evidence::posture). Nothing is executed and nothing is changed.
//!
//! Each fact says what was read for it. What cannot be read, or what only the running machine could tell, is unknown; a
//! fact is never left out.
//!
//! | module | facts |
//! |---|---|
//! | `disks` | file systems and swap areas that are not encrypted |
//! | `kernel` | secure boot, lockdown, what processes may do to each other, the clock |
//! | `updates` | packages that wait for an update, of dpkg, apk and rpm |
//! | `accounts` | superusers, administrators, sudo |
//! | `ssh` | who may log in over the network, and how |
//! | `firewall`, `agents`, `screens` | packet filters, detection agents, locks of screens |

mod accounts;
mod agents;
mod disks;
mod firewall;
mod kernel;
mod screens;
mod ssh;
mod updates;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use evidence::posture::{Fact, Value};

use crate::inventory::{self, Root};

const NOT_LIVE: &str = "only the running machine can tell";

/// By whose rules versions are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Versions {
    /// dpkg's.
    Debian,
    /// apk's.
    Alpine,
    /// rpm's, with the epoch in front.
    Rpm,
}

/// How two versions of packages of the machine compare; `None` if nobody can say.
pub type Compare<'a> = &'a dyn Fn(Versions, &str, &str) -> Option<Ordering>;

/// Looks at a machine; `now` is in seconds since 1970.
pub fn posture(root: &Root, now: i64, compare: Compare<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(disks::facts(root));
    facts.extend(kernel::facts(root));
    facts.extend(updates::facts(root, now, compare));
    facts.extend(accounts::facts(root));
    facts.extend(ssh::facts(root));
    facts.extend(firewall::facts(root));
    facts.extend(agents::facts(root));
    facts.extend(screens::facts(root));
    facts
}

/// What was found, or why it is not known.
type Found = Result<Value, String>;

fn fact(name: &str, found: Found, read: &[&str]) -> Fact {
    Fact {
        name: name.to_owned(),
        value: found.unwrap_or_else(Value::Unknown),
        read: read.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// A list, in its one order.
fn list(mut items: Vec<String>) -> Value {
    items.sort();
    items.dedup();
    Value::List(items)
}

/// Reads a text of the machine: `None` if there is none, an error if it cannot be read.
fn text(root: &Root, inside: impl AsRef<Path>) -> Result<Option<String>, String> {
    let mut gaps = inventory::Facts::default();
    let text = root.text(inside, &mut gaps);
    match gaps.gaps.pop() {
        Some(gap) => Err(gap),
        None => Ok(text),
    }
}

/// Lists a folder of the machine: empty if there is none, an error if it cannot be listed.
fn entries(root: &Root, inside: impl AsRef<Path>) -> Result<Vec<PathBuf>, String> {
    let mut gaps = inventory::Facts::default();
    let entries = root.list(inside, &mut gaps);
    match gaps.gaps.pop() {
        Some(gap) => Err(gap),
        None => Ok(entries),
    }
}

/// Tells whether something is there.
fn exists(root: &Root, inside: &str) -> bool {
    root.resolve(Path::new(inside)).is_some_and(|path| path.exists())
}

#[cfg(test)]
mod tests;
