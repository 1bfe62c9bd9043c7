//! Reduces the stream of events to what a record keeps: processes, files, destinations.
//!
//! Memory grows with distinct processes, files and addresses, not with events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use evidence::record::{Access, Destination, File, Process, Program, Role};
use evidence::{BytePath, Digest, Event, EventKind};

/// What has been seen so far.
#[derive(Default)]
pub(crate) struct Reduction {
    /// Whether addresses of certain ranges stand for names: then the requests say who was meant.
    pub(crate) aliases: bool,
    processes: BTreeMap<u32, Process>,
    files: HashMap<BytePath, FileState>,
    /// Folders in which a file is, at any depth: only a rename of one of these takes files along.
    folders: HashSet<BytePath>,
    network: BTreeMap<(BytePath, &'static str), BTreeSet<u32>>,
}

#[derive(Default)]
struct FileState {
    read: Vec<Digest>,
    left: Option<Digest>,
    size: Option<u64>,
    format: Option<String>,
    readers: BTreeMap<u32, u64>,
    writers: BTreeMap<u32, u64>,
    moved_from: BTreeSet<BytePath>,
    first_read: Option<u64>,
    first_write: Option<u64>,
    mutated: bool,
}

/// What the reduction needs to know to tell roles apart.
pub(crate) struct Places<'a> {
    /// The working directory of the build.
    pub(crate) workdir: &'a BytePath,
    /// Tells whether a path is declared an output.
    pub(crate) is_output: &'a dyn Fn(&BytePath) -> bool,
}

impl Reduction {
    /// Takes in the next event.
    pub(crate) fn add(&mut self, event: &Event) {
        if event.errno != 0 {
            return; // An attempt that failed changed nothing; the trace keeps it.
        }
        let process = event.process;
        let at_ns = event.at_ns;
        match event.kind {
            EventKind::Fork => {
                let parent = event.other;
                self.process(process, at_ns).parent = parent;
            }
            EventKind::Exec => {
                let program = Program {
                    path: event.path.clone().unwrap_or_default(),
                    digest: event.digest,
                    arguments: event.arguments.clone(),
                    started_ns: at_ns,
                    input: event.input,
                    output: event.output,
                };
                self.process(process, at_ns).programs.push(program);
                self.read(event);
            }
            EventKind::Read | EventKind::Map => {
                self.process(process, at_ns);
                self.read(event);
            }
            EventKind::Write => {
                self.process(process, at_ns);
                self.written(event.path.as_ref(), process, at_ns);
            }
            EventKind::Rename | EventKind::Link => {
                self.process(process, at_ns);
                self.moved(event);
            }
            EventKind::Connect if self.aliases && event.target.as_ref().is_some_and(is_alias) => {}
            EventKind::Connect | EventKind::Bind | EventKind::Listen | EventKind::Request => {
                self.process(process, at_ns);
                let action = event.kind.word();
                let address = event.target.clone().unwrap_or_default();
                self.network.entry((address, action)).or_default().insert(process);
            }
            EventKind::Exit => {
                let known = self.process(process, at_ns);
                known.finished_ns = Some(at_ns);
                known.status = event.status;
            }
            EventKind::Left => {
                if let Some(path) = &event.path {
                    let file = self.file(path);
                    file.left = event.digest;
                    file.size = event.size;
                }
            }
            EventKind::Mutated => {
                if let Some(path) = &event.path {
                    self.file(path).mutated = true;
                }
            }
            // The trace keeps these, and the rules read them there.
            EventKind::Unlink
            | EventKind::Symlink
            | EventKind::Refused
            | EventKind::Gap
            | EventKind::Attribute
            | EventKind::Mkdir
            | EventKind::Memory
            | EventKind::Reach
            | EventKind::Namespace
            | EventKind::Pass
            | EventKind::Foreign
            | EventKind::Resolve => {}
        }
    }

    /// Returns processes, files and destinations, each in its one order.
    pub(crate) fn finish(self, places: &Places) -> (Vec<Process>, Vec<File>, Vec<Destination>) {
        let mut files: Vec<File> = self
            .files
            .into_iter()
            .filter(|(_, file)| !file.read.is_empty() || file.left.is_some() || !file.writers.is_empty())
            .map(|(path, file)| {
                let role = role(&path, &file, places);
                File {
                    role,
                    path,
                    read: file.read,
                    left: file.left,
                    size: file.size,
                    format: file.format,
                    readers: accesses(file.readers),
                    writers: accesses(file.writers),
                    moved_from: file.moved_from,
                    package: None,
                    mutated: file.mutated,
                }
            })
            .collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let network = self
            .network
            .into_iter()
            .map(|((address, action), processes)| Destination {
                address,
                action: action.to_owned(),
                processes,
            })
            .collect();
        (self.processes.into_values().collect(), files, network)
    }

    fn process(&mut self, index: u32, at_ns: u64) -> &mut Process {
        self.processes.entry(index).or_insert_with(|| Process {
            index,
            parent: None,
            started_ns: at_ns,
            finished_ns: None,
            status: None,
            programs: Vec::new(),
        })
    }

    fn file(&mut self, path: &BytePath) -> &mut FileState {
        if !self.files.contains_key(path) {
            for (at, _) in path.as_bytes().iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/') {
                self.folders.insert(BytePath::from(&path.as_bytes()[..at]));
            }
        }
        self.files.entry(path.clone()).or_default()
    }

    fn read(&mut self, event: &Event) {
        let Some(path) = &event.path else { return };
        let file = self.file(path);
        file.readers.entry(event.process).or_insert(event.at_ns);
        file.first_read.get_or_insert(event.at_ns);
        if let Some(digest) = event.digest
            && !file.read.contains(&digest)
        {
            file.read.push(digest);
        }
        if event.size.is_some() {
            file.size = event.size;
        }
        // Once a binary, always a binary: what was read counts, not what is left to look at.
        if event.format.is_some() {
            file.format.clone_from(&event.format);
        }
    }

    fn written(&mut self, path: Option<&BytePath>, process: u32, at_ns: u64) {
        let Some(path) = path else { return };
        let file = self.file(path);
        file.writers.entry(process).or_insert(at_ns);
        file.first_write.get_or_insert(at_ns);
    }

    fn moved(&mut self, event: &Event) {
        let (Some(from), Some(to)) = (&event.path, &event.target) else { return };
        // A renamed folder takes everything below it along.
        let mut below: Vec<BytePath> = Vec::new();
        if self.folders.contains(from) {
            let of_it = |path: &&BytePath| path.is_below(from.as_bytes()) && *path != from;
            below.extend(self.files.keys().filter(of_it).cloned());
        }
        for path in below {
            let rest = &path.as_bytes()[from.as_bytes().len()..];
            let target = BytePath::new([to.as_bytes(), rest].concat());
            self.written(Some(&target), event.process, event.at_ns);
            self.file(&target).moved_from.insert(path);
        }
        self.written(Some(to), event.process, event.at_ns);
        self.file(to).moved_from.insert(from.clone());
    }
}

/// Tells whether an address is one that the egress proxy has handed out for a name (RFC 2544, and a prefix of ours).
fn is_alias(target: &BytePath) -> bool {
    let text = String::from_utf8_lossy(target.as_bytes());
    let address = text.split_once(':').and_then(|(_, rest)| rest.parse::<std::net::SocketAddr>().ok());
    address.is_some_and(|address| match address.ip() {
        std::net::IpAddr::V4(ip) => matches!(ip.octets(), [198, 18 | 19, ..]),
        std::net::IpAddr::V6(ip) => matches!(ip.segments(), [0xfd63, 0x7367, 0x6e00, ..]),
    })
}

fn accesses(map: BTreeMap<u32, u64>) -> Vec<Access> {
    map.into_iter().map(|(process, at_ns)| Access { process, at_ns }).collect()
}

/// Folders of package managers: what lies in them was fetched, not written here.
const FETCHED: &[&[u8]] = &[
    b"/registry/src/",
    b"/git/checkouts/",
    b"/node_modules/",
    b"/site-packages/",
    b"/dist-packages/",
    b"/pkg/mod/",
    b"/.m2/",
    b"/.gradle/caches/",
    b"/.nuget/packages/",
    b"/gems/",
];

/// Folders of the machine.
const MACHINE: &[&[u8]] =
    &[b"/usr", b"/lib", b"/lib64", b"/bin", b"/sbin", b"/etc", b"/opt", b"/var", b"/nix", b"/run"];

fn role(path: &BytePath, file: &FileState, places: &Places) -> Role {
    let written = file.first_write.is_some() || file.left.is_some();
    if written && file.left.is_some() && (places.is_output)(path) {
        return Role::Output;
    }
    // What the build read before it wrote it is an input all the same: stale objects, sources patched in place.
    let read_first = !file.read.is_empty()
        && file.first_read.is_some_and(|read| file.first_write.is_none_or(|write| read < write));
    if written && !read_first {
        return Role::Generated;
    }
    // Where the project itself lies says nothing; only what is below it does.
    let inside = path.is_below(places.workdir.as_bytes());
    let bytes = if inside { &path.as_bytes()[places.workdir.as_bytes().len()..] } else { path.as_bytes() };
    if FETCHED.iter().any(|part| bytes.windows(part.len()).any(|window| window == *part)) {
        return Role::Dependency;
    }
    if inside {
        return Role::Source;
    }
    let toolchain = [b"/.rustup/".as_slice(), b"/.cargo/bin/", b"/.pyenv/versions/", b"/.nvm/"];
    if MACHINE.iter().any(|folder| path.is_below(folder))
        || toolchain.iter().any(|part| bytes.windows(part.len()).any(|window| window == *part))
    {
        return Role::Toolchain;
    }
    Role::Dependency
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, process: u32, at_ns: u64, path: &str) -> Event {
        Event { at_ns, path: Some(path.into()), ..Event::new(kind, process) }
    }

    fn reduce(events: &[Event]) -> (Vec<Process>, Vec<File>, Vec<Destination>) {
        let mut reduction = Reduction::default();
        for event in events {
            reduction.add(event);
        }
        let is_output = |path: &BytePath| path.is_below(b"/w/dist");
        reduction.finish(&Places { workdir: &"/w".into(), is_output: &is_output })
    }

    fn roles(events: &[Event]) -> Vec<(String, Role)> {
        reduce(events).1.into_iter().map(|file| (file.path.to_string(), file.role)).collect()
    }

    fn with_digest(mut event: Event, content: &str) -> Event {
        event.digest = Some(Digest::of(content.as_bytes()));
        event
    }

    #[test]
    fn roles_follow_from_place_and_order() {
        use EventKind::{Left, Read, Write};
        let read = |path, at| with_digest(event(Read, 0, at, path), path);
        let left = |path| with_digest(event(Left, 0, 9, path), "left");
        let found = roles(&[
            read("/w/a.c", 1),
            read("/usr/include/stdio.h", 1),
            read("/home/u/.cargo/registry/src/i-1/x-1.0.0/lib.rs", 1),
            read("/srv/shared/b.h", 1),
            event(Write, 0, 2, "/w/a.o"),
            read("/w/a.o", 3),
            left("/w/a.o"),
            event(Write, 0, 4, "/w/dist/a"),
            left("/w/dist/a"),
            read("/w/stale.o", 1),
            event(Write, 0, 4, "/w/stale.o"),
            left("/w/stale.o"),
        ]);
        let role = |path: &str| found.iter().find(|(name, _)| name == path).map(|(_, role)| *role);
        assert_eq!(role("/w/a.c"), Some(Role::Source));
        assert_eq!(role("/usr/include/stdio.h"), Some(Role::Toolchain));
        assert_eq!(role("/home/u/.cargo/registry/src/i-1/x-1.0.0/lib.rs"), Some(Role::Dependency));
        assert_eq!(role("/srv/shared/b.h"), Some(Role::Dependency));
        assert_eq!(role("/w/a.o"), Some(Role::Generated));
        assert_eq!(role("/w/dist/a"), Some(Role::Output));
        assert_eq!(role("/w/stale.o"), Some(Role::Source));
    }

    #[test]
    fn failed_attempts_leave_no_file() {
        let mut absent = event(EventKind::Read, 0, 1, "/w/absent.h");
        absent.errno = 2;
        assert_eq!(roles(&[absent]), []);
    }

    #[test]
    fn a_renamed_folder_takes_its_files_along() {
        let mut rename = event(EventKind::Rename, 1, 5, "/w/tmp");
        rename.target = Some("/w/dist".into());
        let (_, files, _) = reduce(&[
            event(EventKind::Write, 0, 1, "/w/tmp/a"),
            event(EventKind::Write, 0, 1, "/w/tmpfile"),
            rename,
            with_digest(event(EventKind::Left, 0, 9, "/w/dist/a"), "a"),
        ]);
        let moved = files.iter().find(|file| file.path.as_bytes() == b"/w/dist/a").unwrap();
        assert_eq!(moved.role, Role::Output);
        assert!(moved.moved_from.contains(&BytePath::from("/w/tmp/a")));
        assert!(!files.iter().any(|file| file.path.as_bytes() == b"/w/distfile"));
    }

    #[test]
    fn several_states_of_one_input_are_all_kept() {
        let (_, files, _) = reduce(&[
            with_digest(event(EventKind::Read, 0, 1, "/w/a"), "1"),
            with_digest(event(EventKind::Read, 1, 2, "/w/a"), "2"),
            with_digest(event(EventKind::Read, 2, 3, "/w/a"), "1"),
        ]);
        assert_eq!(files[0].read, [Digest::of(b"1"), Digest::of(b"2")]);
        assert_eq!(files[0].readers.len(), 3);
    }
}
