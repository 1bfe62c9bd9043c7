//! Opens a file or a folder: names it, hashes it, and goes into what it holds.

use std::io;

use evidence::{BytePath, Digest, Node, Problem, Tree};

use crate::budget::{Budget, Exhausted};
use crate::content::{self, Siblings};
use crate::format::{Format, format};
use crate::{executable, unpack};

/// Where an inspection is, and what it has to say beside the facts.
pub(crate) struct Inspection<'a> {
    pub(crate) budget: &'a mut Budget,
    problems: Vec<Problem>,
    depth: u32,
    /// Members of the container that is being read, as far as they have to be compared with each other.
    siblings: Siblings,
}

impl Inspection<'_> {
    pub(crate) fn problem(&mut self, path: &BytePath, kind: &str, detail: impl ToString) {
        // An enemy's text goes no further than this.
        let detail: String = detail.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        self.problems.push(Problem { path: path.clone(), kind: kind.to_owned(), detail });
    }

    pub(crate) fn exhausted(&mut self, path: &BytePath, what: Exhausted) {
        self.problem(path, "budget-exhausted", what.0);
    }

    /// Opens one member; `path` is the path of its container.
    pub(crate) fn member(&mut self, container: &Node, path: &BytePath, name: BytePath, bytes: &[u8]) -> Node {
        let path = container.join(path, &name);
        self.siblings.take(&name, bytes);
        self.node(name, &path, bytes)
    }

    fn node(&mut self, name: BytePath, path: &BytePath, bytes: &[u8]) -> Node {
        let format = format(bytes);
        let mut node = Node::leaf(name, format.word(), Digest::of(bytes), bytes.len() as u64);
        match format {
            Format::Data => {}
            Format::Unsupported(word) => {
                self.problem(path, "unsupported-container", format!("{word} is recognised and not opened"));
            }
            Format::Pe | Format::Elf | Format::MachO => {
                executable::read(self, &mut node, path, format, bytes);
            }
            _ if self.depth >= self.budget.depth => {
                self.exhausted(path, Exhausted("containers nested too deep"))
            }
            container => {
                self.depth += 1;
                let outer = std::mem::take(&mut self.siblings);
                unpack::members(self, &mut node, path, container, bytes);
                std::mem::replace(&mut self.siblings, outer).judge(&mut node.members);
                self.depth -= 1;
                // Equal names stay in the container's order: the sort is stable.
                node.members.sort_by(|a, b| a.name.cmp(&b.name));
            }
        }
        if matches!(format, Format::Data | Format::Pe | Format::Elf | Format::MachO) {
            node.content = content::read(&node, format, bytes);
        }
        node
    }
}

/// Opens a file under a name.
pub fn open_file(name: &BytePath, bytes: &[u8], budget: &mut Budget) -> Tree {
    let mut inspection = Inspection { budget, problems: Vec::new(), depth: 0, siblings: Siblings::default() };
    let root = inspection.node(name.clone(), name, bytes);
    Tree { root, problems: inspection.problems }
}

/// Opens the files of a folder, given by their paths relative to it.
pub fn folder(
    name: &BytePath,
    files: impl Iterator<Item = (BytePath, io::Result<Vec<u8>>)>,
    budget: &mut Budget,
) -> Tree {
    let mut inspection = Inspection { budget, problems: Vec::new(), depth: 0, siblings: Siblings::default() };
    let mut root = Node::leaf(name.clone(), "folder", Digest::of(b""), 0);
    root.digest = None;
    for (relative, content) in files {
        if let Err(what) = inspection.budget.member() {
            inspection.exhausted(name, what);
            break;
        }
        match content {
            Ok(bytes) => {
                let node = inspection.member(&root, name, relative, &bytes);
                root.size = root.size.saturating_add(node.size);
                root.members.push(node);
            }
            Err(error) => {
                let path = root.join(name, &relative);
                inspection.problem(&path, "unreadable", error);
            }
        }
    }
    std::mem::take(&mut inspection.siblings).judge(&mut root.members);
    root.members.sort_by(|a, b| a.name.cmp(&b.name));
    Tree { root, problems: inspection.problems }
}
