//! One member whose bytes are held: what it is, and what is found in it.

use std::sync::Arc;

use evidence::{BytePath, Digest, Node};

use super::Inspection;
use super::kept::facts_bytes;
use super::twins::{Key, Known, Turn};
use crate::budget::{Budget, Exhausted};
use crate::executable::{self, Trusted};
use crate::format::{Format, format, format_by_name};
use crate::room::Hold;
use crate::{content, unpack};

impl Inspection<'_> {
    /// Opens one member; `path` is the path of its container.
    pub(crate) fn member(&mut self, container: &Node, path: &BytePath, name: BytePath, bytes: &[u8]) -> Node {
        let path = container.join(path, &name);
        self.noted(container, &name, bytes);
        self.node(name, &path, bytes)
    }

    /// Shows a member to those that compare members with each other.
    pub(super) fn noted(&mut self, container: &Node, name: &BytePath, bytes: &[u8]) {
        if self.wanted.is_none() && self.catalog.is_none() {
            self.siblings.take(name, bytes);
            self.sums_of_package(container, name, bytes);
        }
    }

    pub(super) fn node(&mut self, name: BytePath, path: &BytePath, bytes: &[u8]) -> Node {
        let format = format_of(&name, bytes);
        if self.wanted.is_some() {
            return self.wanted_node(name, path, format, bytes);
        }
        if self.catalog.is_some() {
            return self.catalogued_node(name, path, format, bytes);
        }
        let mut node = Node::leaf(name, format.word(), Digest::of(bytes), bytes.len() as u64);
        if let Format::Unsupported(word) = format {
            self.problem(path, "unsupported-container", format!("{word} is recognised and not opened"));
        }
        // Who has members is of no use to others, and nobody is to wait for them.
        let is_leaf = is_leaf(format, bytes);
        let mut claim = self.claim.take().filter(|_| is_leaf);
        if is_leaf && claim.is_none() {
            let key =
                Key { digest: Digest::of(b""), name: node.name.clone(), packing: None, depth: self.depth };
            match self.turn(|| Some(Key { digest: node.digest?, ..key })) {
                Turn::Known(known) if self.spend(known.symbols, known.facts_bytes) => return known.node,
                Turn::Mine(own) => claim = Some(own),
                Turn::Known(_) | Turn::Alone => {}
            }
        }
        let before = (self.budget.symbols, self.budget.facts_bytes);
        let problems = facts(&mut node, format, bytes, &self.trusted, self.budget);
        let spent = (before.0 - self.budget.symbols, before.1 - self.budget.facts_bytes);
        if let Some(claim) = claim
            && problems.is_empty()
        {
            claim.fulfil(Known { node: node.clone(), symbols: spent.0, facts_bytes: spent.1 });
        }
        for problem in problems {
            self.problem(path, &format!("malformed-{}", format.word()), problem);
        }
        if format == Format::Pe {
            let mut images = std::mem::take(&mut node.executables);
            executable::listed(self, &node.name, bytes, &mut images);
            node.executables = images;
        }
        if executable::is_catalog(bytes) {
            self.signed_list(&mut node, path, bytes);
        }
        self.match_held(&mut node, path, bytes);
        if !is_leaf {
            self.opened(&mut node, path, format, bytes);
        }
        node
    }

    /// Opens the members of a member, if it has any.
    fn opened(&mut self, node: &mut Node, path: &BytePath, format: Format, bytes: &[u8]) {
        if self.may_descend() {
            self.descend(node, |inspection, node| {
                unpack::members(inspection, node, path, format, bytes);
            });
        } else if unpack::has_members(format, bytes) {
            self.exhausted(path, Exhausted("containers nested too deep"));
        }
    }

    fn wanted_node(&mut self, name: BytePath, path: &BytePath, format: Format, bytes: &[u8]) -> Node {
        let mut node = Node::leaf(name, format.word(), Digest::of(b""), bytes.len() as u64);
        let Some(wanted) = &mut self.wanted else { return node };
        wanted.take(path, bytes);
        if wanted.is_below(path) && self.may_descend() {
            self.descend(&mut node, |inspection, node| {
                unpack::members(inspection, node, path, format, bytes);
            });
        }
        node
    }

    /// What is asked for packages needs digests of the outermost file and of what an image's documents name, which lies in it.
    fn catalogued_node(&mut self, name: BytePath, path: &BytePath, format: Format, bytes: &[u8]) -> Node {
        let is_hashed = self.depth <= 1;
        let digest = Digest::of(if is_hashed { bytes } else { b"" });
        let mut node = Node::leaf(name, format.word(), digest, bytes.len() as u64);
        node.digest = node.digest.filter(|_| is_hashed);
        if let Format::Unsupported(word) = format {
            self.problem(path, "unsupported-container", format!("{word} is recognised and not opened"));
        }
        if let Some(catalog) = &mut self.catalog {
            catalog.scan.offer(path, bytes);
        }
        self.opened(&mut node, path, format, bytes);
        node
    }

    /// Tells whether the facts of a member depend on itself alone.
    pub(super) fn is_plain(&self) -> bool {
        self.wanted.is_none()
            && self.catalog.is_none()
            && self.matcher.is_none()
            && self.catalogs.is_empty()
            && !self.siblings.expects_catalogs()
    }

    /// How many containers deep the members are that are read now.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// Asks whether the other artifact of a comparison has the same member.
    pub(crate) fn turn(&self, key: impl FnOnce() -> Option<Key>) -> Turn {
        let Some(twins) = self.twins.as_ref().filter(|_| self.is_plain() && !self.trusted.is_asked()) else {
            return Turn::Alone;
        };
        match key() {
            Some(key) => Arc::clone(twins).turn(key, !self.room.is_large()),
            None => Turn::Alone,
        }
    }

    /// Pays what somebody else has found out; `false` if it would not have been found out, and then nothing has changed.
    pub(crate) fn spend(&mut self, symbols: u64, facts_bytes: u64) -> bool {
        let fits = self.budget.symbols > symbols && self.budget.facts_bytes > facts_bytes;
        if fits {
            self.budget.symbols -= symbols;
            self.budget.facts_bytes -= facts_bytes;
        }
        fits
    }

    /// Pays for a member that is kept. When nothing is left, no other one is admitted.
    pub(crate) fn keep(&mut self, node: &Node) {
        self.keep_bytes(size_of::<Node>() as u64 + facts_bytes(node));
    }

    pub(super) fn keep_bytes(&mut self, bytes: u64) {
        // Whoever comes next is told.
        if self.budget.facts(bytes).is_err() {
            self.budget.facts_bytes = 0;
        }
    }

    /// Holds more; what others read meanwhile is waited for if there is no room.
    #[must_use]
    pub(crate) fn grow(&mut self, hold: &mut Hold, bytes: u64) -> bool {
        if hold.grow(bytes) {
            return true;
        }
        self.land();
        hold.grow(bytes)
    }
}

pub(super) fn format_of(name: &BytePath, bytes: &[u8]) -> Format {
    match format(bytes) {
        Format::Data => format_by_name(name.as_bytes(), bytes),
        known => known,
    }
}

/// Tells whether a member is looked into and has no members of its own.
pub(super) fn is_leaf(format: Format, bytes: &[u8]) -> bool {
    has_facts(format) && !executable::is_catalog(bytes) && !unpack::has_members(format, bytes)
}

fn has_facts(format: Format) -> bool {
    matches!(format, Format::Data | Format::Pe | Format::Elf | Format::MachO | Format::Wasm)
}

/// Reads the facts of a member, which depend on nothing but its name and its bytes. Returns what of an image could not be read.
pub(super) fn facts(
    node: &mut Node,
    format: Format,
    bytes: &[u8],
    trusted: &Trusted,
    budget: &mut Budget,
) -> Vec<String> {
    if !has_facts(format) {
        return Vec::new();
    }
    let problems = match format {
        Format::Data => Vec::new(),
        _ => executable::read(node, format, bytes, trusted, budget),
    };
    node.content = content::read(node, format, bytes);
    problems
}
