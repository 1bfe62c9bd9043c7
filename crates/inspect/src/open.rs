//! Opens a file or a folder: names it, hashes it, and goes into what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::rc::Rc;

use evidence::{BytePath, Digest, Hasher, Node, Problem, Tree};

use crate::budget::{Budget, Exhausted};
use crate::catalog::{Image, Scan};
use crate::content::{self, Siblings};
use crate::extract::Wanted;
use crate::format::{Format, format, format_by_name};
use crate::{executable, unpack};

/// Bytes of all names of one inspection: a folder's long name is repeated in the name of each member.
const NAMES_MAX_BYTES: usize = 256 << 20;

/// Where an inspection is, and what it has to say beside the facts.
pub(crate) struct Inspection<'a> {
    pub(crate) budget: &'a mut Budget,
    /// What an installer's database calls the files of the cabinet that is opened next.
    pub(crate) cabinet_names: Rc<BTreeMap<Vec<u8>, BytePath>>,
    /// Bytes of names that the tree may still have.
    pub(crate) names_room: usize,
    problems: Vec<Problem>,
    depth: u32,
    /// Members of the container that is being read, as far as they have to be compared with each other.
    siblings: Siblings,
    /// Members whose bytes are wanted; facts are not, then.
    wanted: Option<Wanted>,
    /// Takes what members say of packages. With it, nothing else is looked at but names, digests and formats.
    catalog: Option<Catalogued>,
}

/// What opening a file or folder showed of packages.
#[derive(Default)]
struct Catalogued {
    scan: Scan,
    /// The layers of the images that were found, lowest first: containers with the names of members.
    images: Vec<Image>,
}

impl<'a> Inspection<'a> {
    fn new(budget: &'a mut Budget) -> Self {
        Self {
            budget,
            cabinet_names: Rc::default(),
            names_room: NAMES_MAX_BYTES,
            problems: Vec::new(),
            depth: 0,
            siblings: Siblings::default(),
            wanted: None,
            catalog: None,
        }
    }

    /// Notes the layers of an image, if packages are looked for.
    pub(crate) fn image(&mut self, container: &BytePath, separator: u8, layers: Vec<Vec<String>>) {
        if let Some(catalog) = &mut self.catalog {
            let images = layers.into_iter().map(|layers| Image::new(container, separator, layers));
            catalog.images.extend(images);
        }
    }

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
        if self.wanted.is_none() && self.catalog.is_none() {
            self.siblings.take(&name, bytes);
        }
        self.node(name, &path, bytes)
    }

    /// Opens a member that is an archive and comes from a decoder: only its own members are held in memory.
    pub(crate) fn stream(
        &mut self,
        container: &Node,
        path: &BytePath,
        name: BytePath,
        format: Format,
        reader: impl Read,
    ) -> Node {
        let path = container.join(path, &name);
        let mut node = Node::leaf(name, format.word(), Digest::of(b""), 0);
        let mut hashed = Hashed { reader, hasher: Hasher::new(), bytes: 0 };
        self.descend(&mut node, |inspection, node| {
            unpack::members_of_stream(inspection, node, &path, format, &mut hashed);
        });
        // What the archive's reader left is content all the same. Why it cannot be read is said already.
        let whole = io::copy(&mut hashed, &mut io::sink()).is_ok();
        node.digest = whole.then(|| hashed.hasher.finish());
        node.size = hashed.bytes;
        node
    }

    /// Reads the members of a container, one level deeper.
    fn descend(&mut self, node: &mut Node, read: impl FnOnce(&mut Self, &mut Node)) {
        self.depth += 1;
        let outer = std::mem::take(&mut self.siblings);
        read(self, node);
        let signature = std::mem::replace(&mut self.siblings, outer).judge(&mut node.members);
        node.signature = signature.map(Box::new).or(node.signature.take());
        self.depth -= 1;
        if node.members.len() > 1 {
            let mut names = Hasher::new();
            for member in &node.members {
                names.update(member.name.as_bytes());
                names.update(b"\0");
            }
            node.order = Some(names.finish());
        }
        // Equal names stay in the container's order: the sort is stable.
        node.members.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Tells whether one more level may be opened.
    pub(crate) fn may_descend(&self) -> bool {
        self.depth < self.budget.depth
    }

    fn node(&mut self, name: BytePath, path: &BytePath, bytes: &[u8]) -> Node {
        let format = match format(bytes) {
            Format::Data => format_by_name(name.as_bytes(), bytes),
            known => known,
        };
        if let Some(wanted) = &mut self.wanted {
            wanted.take(path, bytes);
            let mut node = Node::leaf(name, format.word(), Digest::of(b""), bytes.len() as u64);
            if wanted.is_below(path) && self.may_descend() {
                self.descend(&mut node, |inspection, node| {
                    unpack::members(inspection, node, path, format, bytes);
                });
            }
            return node;
        }
        let mut node = Node::leaf(name, format.word(), Digest::of(bytes), bytes.len() as u64);
        match format {
            Format::Unsupported(word) => {
                self.problem(path, "unsupported-container", format!("{word} is recognised and not opened"));
            }
            Format::Pe | Format::Elf | Format::MachO | Format::Wasm if self.catalog.is_none() => {
                executable::read(self, &mut node, path, format, bytes);
            }
            _ => {}
        }
        if let Some(catalog) = &mut self.catalog {
            catalog.scan.offer(path, bytes);
        }
        if self.may_descend() {
            self.descend(&mut node, |inspection, node| {
                unpack::members(inspection, node, path, format, bytes);
            });
        } else if unpack::has_members(format, bytes) {
            self.exhausted(path, Exhausted("containers nested too deep"));
        }
        if matches!(format, Format::Data | Format::Pe | Format::Elf | Format::MachO | Format::Wasm)
            && self.catalog.is_none()
        {
            node.content = content::read(&node, format, bytes);
        }
        node
    }
}

/// A reader whose bytes are hashed as they pass.
struct Hashed<R> {
    reader: R,
    hasher: Hasher,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.hasher.update(into.get(..read).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(read as u64);
        Ok(read)
    }
}

/// Opens a file under a name.
pub fn open_file(name: &BytePath, bytes: &[u8], budget: &mut Budget) -> Tree {
    let mut inspection = Inspection::new(budget);
    let root = inspection.node(name.clone(), name, bytes);
    Tree { root, problems: inspection.problems }
}

/// Opens a file under a name for the packages of which it and its members speak. Of an image, what a layer above replaces or
/// deletes does not count.
pub fn catalog_file(name: &BytePath, bytes: &[u8], budget: &mut Budget) -> (Tree, Scan) {
    let mut inspection = Inspection::new(budget);
    inspection.catalog = Some(Catalogued::default());
    let root = inspection.node(name.clone(), name, bytes);
    inspection.catalogued(root)
}

/// Opens the files of a folder for the packages of which they and their members speak.
pub fn catalog_folder(
    name: &BytePath,
    files: impl Iterator<Item = (BytePath, io::Result<Vec<u8>>)>,
    budget: &mut Budget,
) -> (Tree, Scan) {
    let mut inspection = Inspection::new(budget);
    inspection.catalog = Some(Catalogued::default());
    let root = inspection.folder(name, files);
    inspection.catalogued(root)
}

/// Returns the bytes of members, by their paths as [`open_file`] would write them; at most `room` bytes in all.
///
/// A member that is not there, or for which there is no room, is not in the answer.
pub fn extract(
    name: &BytePath,
    bytes: &[u8],
    paths: BTreeSet<BytePath>,
    room: usize,
    budget: &mut Budget,
) -> BTreeMap<BytePath, Vec<u8>> {
    let mut inspection = Inspection::new(budget);
    inspection.wanted = Some(Wanted::new(paths, room));
    inspection.node(name.clone(), name, bytes);
    inspection.wanted.map(Wanted::found).unwrap_or_default()
}

/// Opens the files of a folder, given by their paths relative to it.
pub fn folder(
    name: &BytePath,
    files: impl Iterator<Item = (BytePath, io::Result<Vec<u8>>)>,
    budget: &mut Budget,
) -> Tree {
    let mut inspection = Inspection::new(budget);
    let root = inspection.folder(name, files);
    Tree { root, problems: inspection.problems }
}

impl Inspection<'_> {
    /// Ends an opening for packages.
    fn catalogued(self, root: Node) -> (Tree, Scan) {
        let tree = Tree { root, problems: self.problems };
        let Catalogued { mut scan, images } = self.catalog.unwrap_or_default();
        crate::catalog::drop_replaced(&tree.root, &images, &mut scan);
        (tree, scan)
    }

    fn folder(
        &mut self,
        name: &BytePath,
        files: impl Iterator<Item = (BytePath, io::Result<Vec<u8>>)>,
    ) -> Node {
        let inspection = self;
        let mut root = Node::leaf(name.clone(), "folder", Digest::of(b""), 0);
        root.digest = None;
        let mut documents = unpack::Documents::default();
        for (relative, content) in files {
            if let Err(what) = inspection.budget.member() {
                inspection.exhausted(name, what);
                break;
            }
            match content {
                Ok(bytes) => {
                    documents.note(&relative, &bytes);
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
        root.signature = std::mem::take(&mut inspection.siblings).judge(&mut root.members).map(Box::new);
        let (findings, layers) = documents.check(&mut root);
        for (member, kind, detail) in findings {
            let path = root.join(name, &member);
            inspection.problem(&path, kind, detail);
        }
        inspection.image(name, b'/', layers);
        root.members.sort_by(|a, b| a.name.cmp(&b.name));
        root
    }
}
