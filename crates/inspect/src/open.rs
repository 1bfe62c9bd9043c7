//! Opens a file or a folder: names it, hashes it, and goes into what it holds.

mod crew;
mod kept;
mod matcher;
mod member;
mod pass;
mod signed;
mod twins;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;

use evidence::{BytePath, Digest, Hasher, Node, Problem, Tree};

use crate::budget::{Budget, Exhausted};
use crate::catalog::{Image, Scan};
use crate::content::{Siblings, Sums};
use crate::extract::Wanted;
use crate::format::{Format, format, format_by_name};
use crate::room::{Held, Room};
use crate::source::Source;
use crate::{executable, unpack};

use self::crew::Crew;
use self::kept::Hashed;
use self::pass::{EDGE_BYTES, Pass, ends_as_disk_image};
use self::signed::both_schemes;

pub use self::matcher::Matcher;
pub use self::twins::Twins;
pub(crate) use self::twins::{Claim, Key, Known, Turn};
pub use self::wishes::Wishes;

/// What an inspection for packages holds: programs are read whole for them.
const CATALOGUED_MAX_BYTES: u64 = 2 << 30;
/// Smaller files are held: that is quicker than to read them where they lie.
const NEAR_MAX_BYTES: u64 = 2 << 20;

/// Where an inspection is, and what it has to say beside the facts.
pub(crate) struct Inspection<'a> {
    pub(crate) budget: &'a mut Budget,
    /// What an installer's database calls the files of the cabinet that is opened next.
    pub(crate) cabinet_names: Rc<BTreeMap<Vec<u8>, BytePath>>,
    /// What may be held in memory.
    pub(crate) room: Rc<Room>,
    /// Certificates that signatures and timestamps are to lead to.
    pub(crate) trusted: executable::Trusted,
    /// Catalogs that list images without a signature of their own.
    pub(crate) catalogs: executable::Catalogs,
    /// Rules of somebody's own that are put to each member.
    matcher: Option<Arc<dyn Matcher>>,
    /// The members of the artifact that this one is compared with.
    twins: Option<Arc<Twins>>,
    /// What others wait for, if the member that is opened next has it.
    pub(crate) claim: Option<Claim>,
    /// Who looks at members while the next ones are unpacked.
    crew: Crew,
    problems: Vec<Problem>,
    depth: u32,
    /// Members of the container that is being read, as far as they have to be compared with each other.
    pub(crate) siblings: Siblings,
    /// Sums of the files of the Debian package that is being read.
    sums: Option<Sums>,
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
            room: Room::beside_others(budget.held_bytes),
            budget,
            cabinet_names: Rc::default(),
            trusted: executable::Trusted::default(),
            catalogs: executable::Catalogs::default(),
            matcher: None,
            twins: None,
            claim: None,
            crew: Crew::default(),
            problems: Vec::new(),
            depth: 0,
            siblings: Siblings::default(),
            sums: None,
            wanted: None,
            catalog: None,
        }
    }

    /// Looks at packages only; who asks has the memory for it.
    fn for_packages(budget: &'a mut Budget) -> Self {
        let room = Room::of_bytes(CATALOGUED_MAX_BYTES);
        budget.facts_bytes = CATALOGUED_MAX_BYTES;
        Self { catalog: Some(Catalogued::default()), room, ..Self::new(budget) }
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

    /// Holds the files of a Debian package against the sums in its control archive, which comes first.
    fn sums_of_package(&mut self, archive: &Node, name: &BytePath, bytes: &[u8]) {
        let archive = archive.name.as_bytes();
        if archive == b"control.tar" && matches!(name.as_bytes(), b"./md5sums" | b"md5sums") {
            self.sums = Some(Sums::read(bytes));
        } else if archive == b"data.tar"
            && let Some(reason) = self.sums.as_ref().and_then(|sums| sums.contradict(name.as_bytes(), bytes))
        {
            self.siblings.contradict(name, "md5sums", reason);
        }
    }

    /// Opens a member whose bytes are not held.
    pub(crate) fn far_member(
        &mut self,
        container: &Node,
        path: &BytePath,
        name: BytePath,
        source: &Source,
    ) -> io::Result<Node> {
        self.passing_member(container, path, name, source, &mut source.reader())
    }

    /// Opens a member whose bytes are not held, and which a reader is just coming to: it is read by that, if once suffices.
    pub(crate) fn passing_member(
        &mut self,
        container: &Node,
        path: &BytePath,
        name: BytePath,
        source: &Source,
        passing: &mut dyn Read,
    ) -> io::Result<Node> {
        let path = container.join(path, &name);
        self.far(name, &path, source, passing)
    }

    /// Opens an archive that is read front to back: it is hashed as it passes, and nothing of it is held but what its members need.
    fn stream(
        &mut self,
        name: BytePath,
        path: &BytePath,
        format: Format,
        source: &Source,
        passing: &mut dyn Read,
    ) -> Node {
        let mut node = Node::leaf(name, format.word(), Digest::of(b""), 0);
        let mut hashed = Hashed { reader: passing, hasher: Hasher::new(), bytes: 0 };
        self.descend(&mut node, |inspection, node| {
            unpack::members_of_stream(inspection, node, path, format, &mut hashed, source);
        });
        // What the archive's reader left is content all the same. Why it cannot be read is said already.
        let whole = io::copy(&mut hashed, &mut io::sink()).is_ok();
        node.digest = whole.then(|| hashed.hasher.finish());
        node.size = hashed.bytes;
        if whole {
            self.match_far(&mut node, path, source);
        }
        node
    }

    /// Opens what is not held. The error says why its bytes cannot be read to their end.
    fn far(
        &mut self,
        name: BytePath,
        path: &BytePath,
        source: &Source,
        passing: &mut dyn Read,
    ) -> io::Result<Node> {
        // Nobody is to wait for what is not held.
        self.claim = None;
        let start = source.some(0, EDGE_BYTES)?;
        let mut format = match format(&start) {
            Format::Data => format_by_name(name.as_bytes(), &start),
            known => known,
        };
        if matches!(format, Format::Tar | Format::Cpio) && self.may_descend() {
            return Ok(self.stream(name, path, format, source, passing));
        }
        if self.wanted.is_some() {
            return Ok(self.far_wanted(name, path, format, source));
        }
        let is_content =
            matches!(format, Format::Data | Format::Pe | Format::Elf | Format::MachO | Format::Wasm);
        let pass = Pass::over(passing, &name, format, is_content && self.catalog.is_none())?;
        if source.length().is_some_and(|length| length != pass.size) {
            return Err(io::Error::other("it is cut off"));
        }
        if format != Format::Zip && pass.ends_as_disk_image() {
            format = Format::Dmg;
        }
        let source = source.clone().of_length(pass.size);
        let mut node = Node::leaf(name, format.word(), pass.digest, pass.size);
        match format {
            Format::Unsupported(word) => {
                self.problem(path, "unsupported-container", format!("{word} is recognised and not opened"));
            }
            Format::Pe | Format::Elf | Format::MachO | Format::Wasm => self.too_large(path, pass.size),
            _ => {}
        }
        if self.may_descend() {
            self.descend(&mut node, |inspection, node| {
                unpack::members_of_source(inspection, node, path, format, &source);
            });
        } else if unpack::is_container(format) {
            self.exhausted(path, Exhausted("containers nested too deep"));
        }
        node.content = pass.content.filter(|_| format != Format::Dmg);
        self.match_far(&mut node, path, &source);
        Ok(node)
    }

    /// Goes through what is not held for the members below it that are wanted.
    fn far_wanted(&mut self, name: BytePath, path: &BytePath, format: Format, source: &Source) -> Node {
        let mut node = Node::leaf(name, format.word(), Digest::of(b""), source.length().unwrap_or(0));
        if self.wanted.as_ref().is_some_and(|wanted| wanted.is_below(path)) && self.may_descend() {
            self.descend(&mut node, |inspection, node| {
                unpack::members_of_source(inspection, node, path, format, source);
            });
        }
        node
    }

    /// Notes that something is read in memory only, and larger than that.
    pub(crate) fn too_large(&mut self, path: &BytePath, size: u64) {
        let most = self.room.most();
        let detail = format!("its {size} bytes do not fit into the {most} that are held of such a format");
        self.problem(path, "budget-exhausted", detail);
    }

    /// Opens a file: in memory if it is small, or of a format that is read so and not too large.
    fn source(&mut self, name: BytePath, path: &BytePath, source: &Source) -> io::Result<Node> {
        match self.near(source)? {
            Some(held) => Ok(self.node(name, path, &held)),
            None => self.far(name, path, source, &mut source.reader()),
        }
    }

    /// Holds what is better held: small files, and formats that are read in memory.
    pub(crate) fn near(&mut self, source: &Source) -> io::Result<Option<Held>> {
        let Some(size) = source.length() else { return Ok(None) };
        if self.passes(source)? {
            return Ok(None);
        }
        let is_small = size <= NEAR_MAX_BYTES.min(self.room.most() / 64);
        if !is_small && self.catalog.is_none() && source.is_at_hand() {
            let found = format(&source.some(0, EDGE_BYTES)?);
            let end = source.some(size.saturating_sub(EDGE_BYTES as u64), EDGE_BYTES)?;
            if unpack::is_read_where_it_lies(found) || ends_as_disk_image(&end) {
                return Ok(None);
            }
        }
        let mut hold = self.room.hold();
        if !self.grow(&mut hold, size) {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        source.reader().read_to_end(&mut bytes)?;
        Ok(Some(Held { bytes, hold }))
    }

    /// Tells whether packages are looked for in an archive that is better read front to back than held: a layer of an image.
    pub(crate) fn passes(&self, source: &Source) -> io::Result<bool> {
        if self.catalog.is_none() || source.length().is_some_and(|size| size <= NEAR_MAX_BYTES) {
            return Ok(false);
        }
        Ok(source.is_at_hand() && matches!(format(&source.some(0, EDGE_BYTES)?), Format::Tar | Format::Cpio))
    }

    /// Reads the members of a container, one level deeper.
    fn descend(&mut self, node: &mut Node, read: impl FnOnce(&mut Self, &mut Node)) {
        self.depth += 1;
        let aside = self.land_aside();
        self.claim = None;
        let outer = std::mem::take(&mut self.siblings);
        // A package may have others in it.
        let sums = if node.format == "ar" { self.sums.take() } else { None };
        read(self, node);
        self.land_back(aside);
        if node.format == "ar" {
            self.sums = sums;
        }
        let signature = std::mem::replace(&mut self.siblings, outer).judge(&mut node.members, &self.trusted);
        node.signature = match (node.signature.take(), signature) {
            (Some(own), Some(jar)) if own.kind == "apk" => Some(Box::new(both_schemes(*own, &jar))),
            (own, jar) => jar.map(Box::new).or(own),
        };
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
}

/// What is opened: bytes that somebody holds, or a file that is read where it lies.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// A regular file.
    File(File),
}

/// An entry of a folder.
#[derive(Debug)]
pub enum Entry {
    /// A regular file.
    File(File),
    /// The target of a link: it counts as content, so that a link that leads elsewhere is a difference.
    Link(Vec<u8>),
}

/// Opens bytes under a name.
pub fn open_file(name: &BytePath, bytes: &[u8], budget: &mut Budget) -> Tree {
    let mut inspection = Inspection::new(budget);
    let root = inspection.node(name.clone(), name, bytes);
    Tree { root, problems: inspection.problems }
}

/// Opens a file under a name. Whatever its size, little of it is held: 220 MiB at most, of all files that are open at a time.
///
/// # Errors
/// If the file cannot be read, or is changed meanwhile.
pub fn open(name: &BytePath, file: File, budget: &mut Budget) -> io::Result<Tree> {
    let source = Source::file(file)?;
    let mut inspection = Inspection::new(budget);
    let root = inspection.source(name.clone(), name, &source)?;
    Ok(Tree { root, problems: inspection.problems })
}

/// Opens a file under a name for the packages of which it and its members speak. Of an image, what a layer above replaces or
/// deletes does not count.
pub fn catalog_file(name: &BytePath, bytes: &[u8], budget: &mut Budget) -> (Tree, Scan) {
    let mut inspection = Inspection::for_packages(budget);
    let root = inspection.node(name.clone(), name, bytes);
    inspection.catalogued(root)
}

/// Opens a file for its packages, as [`catalog_file`] does, without holding more of it than its largest member.
///
/// # Errors
/// If the file cannot be read, or is changed meanwhile.
pub fn catalog_path(name: &BytePath, file: File, budget: &mut Budget) -> io::Result<(Tree, Scan)> {
    let source = Source::file(file)?;
    let mut inspection = Inspection::for_packages(budget);
    let root = inspection.source(name.clone(), name, &source)?;
    Ok(inspection.catalogued(root))
}

/// Opens the files of a folder for the packages of which they and their members speak.
pub fn catalog_folder(
    name: &BytePath,
    files: impl Iterator<Item = (BytePath, io::Result<Entry>)>,
    budget: &mut Budget,
) -> (Tree, Scan) {
    let mut inspection = Inspection::for_packages(budget);
    let root = inspection.folder(name, files);
    inspection.catalogued(root)
}

/// Returns the bytes of members, by their paths as [`open`] would write them; at most `room` bytes in all.
///
/// A member that is not there, or for which there is no room, is not in the answer.
///
/// # Errors
/// If the file cannot be read, or is changed meanwhile.
pub fn extract(
    name: &BytePath,
    input: Input<'_>,
    paths: BTreeSet<BytePath>,
    room: usize,
    budget: &mut Budget,
) -> io::Result<BTreeMap<BytePath, Vec<u8>>> {
    let mut inspection = Inspection::new(budget);
    inspection.wanted = Some(Wanted::new(paths, room));
    match input {
        Input::Bytes(bytes) => _ = inspection.node(name.clone(), name, bytes),
        Input::File(file) => _ = inspection.source(name.clone(), name, &Source::file(file)?)?,
    }
    Ok(inspection.wanted.map(Wanted::found).unwrap_or_default())
}

/// Opens a file under a name, as [`open`] does, or the files of a folder, given by their paths relative to it.
///
/// # Errors
/// If the file cannot be read, or is changed meanwhile.
pub fn open_with(
    name: &BytePath,
    what: Opened<impl Iterator<Item = (BytePath, io::Result<Entry>)>>,
    wishes: &Wishes,
    budget: &mut Budget,
) -> io::Result<Tree> {
    let mut inspection = Inspection::new(budget);
    let roots = |list: &Vec<Vec<u8>>| executable::Roots(Arc::new(list.clone()));
    inspection.trusted =
        executable::Trusted { signers: roots(&wishes.roots), timestamps: roots(&wishes.timestamp_roots) };
    inspection.catalogs = wishes.catalogs(&inspection.trusted);
    inspection.matcher.clone_from(&wishes.matcher);
    inspection.twins.clone_from(&wishes.twins);
    let root = match what {
        Opened::File(file) => inspection.source(name.clone(), name, &Source::file(file)?)?,
        Opened::Folder(entries) => inspection.folder(name, entries),
        Opened::Bytes(bytes) => inspection.node(name.clone(), name, &bytes),
    };
    Ok(Tree { root, problems: inspection.problems })
}

/// What [`open_with`] opens.
#[derive(Debug)]
pub enum Opened<I> {
    /// A regular file.
    File(File),
    /// The files of a folder.
    Folder(I),
    /// What came through a pipe.
    Bytes(Vec<u8>),
}

/// Opens the files of a folder, given by their paths relative to it.
pub fn folder(
    name: &BytePath,
    files: impl Iterator<Item = (BytePath, io::Result<Entry>)>,
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
        let mut store: Vec<Vec<u8>> = Vec::new();
        tree.root.walk(|path, _| {
            let path = path.as_bytes();
            if memchr::memmem::find(path, b"nix/store/").is_some() {
                store.push(path.to_vec());
            }
        });
        scan.store_paths(store.iter().map(Vec::as_slice));
        crate::catalog::drop_replaced(&tree.root, &images, &mut scan);
        (tree, scan)
    }

    /// Opens an entry of a folder.
    fn entry(
        &mut self,
        folder: &Node,
        path: &BytePath,
        name: BytePath,
        entry: Entry,
        documents: &mut unpack::Documents,
        place: usize,
    ) -> io::Result<Node> {
        let source = match entry {
            Entry::Link(target) => return Ok(self.member(folder, path, name, &target)),
            Entry::File(file) => Source::file(file)?,
        };
        match self.near(&source)? {
            Some(held) => {
                documents.note(&name, &held);
                Ok(self.held_member(folder, path, name, held, place))
            }
            None => self.far_member(folder, path, name, &source),
        }
    }

    fn folder(
        &mut self,
        name: &BytePath,
        files: impl Iterator<Item = (BytePath, io::Result<Entry>)>,
    ) -> Node {
        let inspection = self;
        let mut root = Node::leaf(name.clone(), "folder", Digest::of(b""), 0);
        root.digest = None;
        let mut documents = unpack::Documents::default();
        for (relative, content) in files {
            if let Err(what) = inspection.budget.member().and_then(|()| inspection.budget.facts(1)) {
                inspection.exhausted(name, what);
                break;
            }
            let (path, place) = (root.join(name, &relative), root.members.len());
            let opened = content
                .and_then(|entry| inspection.entry(&root, name, relative, entry, &mut documents, place));
            match opened {
                Ok(node) => {
                    root.size = root.size.saturating_add(node.size);
                    inspection.keep(&node);
                    root.members.push(node);
                }
                Err(error) => inspection.problem(&path, "unreadable", error),
            }
        }
        inspection.land_into(&mut root.members);
        let siblings = std::mem::take(&mut inspection.siblings);
        root.signature = siblings.judge(&mut root.members, &inspection.trusted).map(Box::new);
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
