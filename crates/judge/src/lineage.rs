//! Where bytes come from: walks a record from an output back to the inputs that it was made from.
//!
//! The walk follows what the kernel showed: who wrote a file, what the writer read, what came to it through
//! pipes, which of its children could write through an inherited descriptor, and which files its ancestors read
//! to decide what to run. It errs on the side of too many inputs within one chain of processes, never across
//! unrelated ones.

mod why;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use evidence::record::{File, Process, Record};
use evidence::{BytePath, Digest};

pub use why::{Made, Maker, Tool, Why};

/// An index over one record for lineage questions.
pub struct Lineage<'a> {
    record: &'a Record,
    files: BTreeMap<&'a BytePath, &'a File>,
    by_content: HashMap<Digest, Vec<&'a File>>,
    reads: HashMap<u32, Vec<&'a BytePath>>,
    processes: HashMap<u32, &'a Process>,
    children: HashMap<u32, Vec<u32>>,
    pipe_writers: HashMap<u64, Vec<u32>>,
    pipe_readers: HashSet<u64>,
}

/// The inputs behind something.
#[derive(Default, Debug)]
pub struct Origin<'a> {
    /// Inputs whose bytes could have flowed into it.
    pub inputs: BTreeSet<&'a BytePath>,
    /// Inputs that only told a parent process what to run: makefiles, scripts.
    pub recipe: BTreeSet<&'a BytePath>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step<'a> {
    File(&'a BytePath),
    /// All that flows into a process, counting only children started at or after the moment.
    Process(u32, u64),
}

impl<'a> Lineage<'a> {
    /// Indexes a record.
    pub fn of(record: &'a Record) -> Self {
        let mut lineage = Self {
            record,
            files: BTreeMap::new(),
            by_content: HashMap::new(),
            reads: HashMap::new(),
            processes: HashMap::new(),
            children: HashMap::new(),
            pipe_writers: HashMap::new(),
            pipe_readers: HashSet::new(),
        };
        for file in &record.files {
            lineage.files.insert(&file.path, file);
            for digest in file.read.iter().chain(&file.left).collect::<BTreeSet<_>>() {
                lineage.by_content.entry(*digest).or_default().push(file);
            }
            for access in &file.readers {
                lineage.reads.entry(access.process).or_default().push(&file.path);
            }
        }
        for process in &record.processes {
            lineage.processes.insert(process.index, process);
            if let Some(parent) = process.parent {
                lineage.children.entry(parent).or_default().push(process.index);
            }
            for program in &process.programs {
                if let Some(pipe) = program.output {
                    lineage.pipe_writers.entry(pipe).or_default().push(process.index);
                }
                lineage.pipe_readers.extend(program.input);
            }
        }
        lineage
    }

    /// Returns the files that held these bytes at some time.
    pub fn holding(&self, digest: &Digest) -> &[&'a File] {
        self.by_content.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Returns the file at a path.
    pub fn file(&self, path: &BytePath) -> Option<&'a File> {
        self.files.get(path).copied()
    }

    /// Walks back from a file to its inputs.
    pub fn of_file(&self, path: &'a BytePath) -> Origin<'a> {
        self.walk(vec![Step::File(path)])
    }

    /// Walks back from a process to what told it to run: what its ancestors read, and its own program.
    pub fn of_start(&self, process: u32) -> Origin<'a> {
        let mut origin = Origin::default();
        let mut steps = Vec::new();
        for program in self.processes.get(&process).into_iter().flat_map(|process| &process.programs) {
            if let Some(file) = self.files.get(&program.path) {
                steps.push(Step::File(&file.path));
            }
        }
        if !steps.is_empty() {
            origin = self.walk(steps);
        }
        for ancestor in self.ancestors(process) {
            origin.recipe.extend(self.reads.get(&ancestor).into_iter().flatten());
        }
        origin
    }

    /// Returns the record.
    pub fn record(&self) -> &'a Record {
        self.record
    }

    fn walk(&self, mut steps: Vec<Step<'a>>) -> Origin<'a> {
        let mut origin = Origin::default();
        let mut seen: HashSet<Step> = steps.iter().copied().collect();
        let mut writers = BTreeSet::new();
        while let Some(step) = steps.pop() {
            let mut next = Vec::new();
            match step {
                Step::File(path) => self.step_file(path, &mut origin, &mut writers, &mut next),
                Step::Process(process, from_ns) => self.step_process(process, from_ns, &mut next),
            }
            steps.extend(next.into_iter().filter(|step| seen.insert(*step)));
        }
        let recipe_readers: BTreeSet<u32> =
            writers.iter().flat_map(|writer| self.ancestors(*writer)).collect();
        for reader in recipe_readers {
            for path in self.reads.get(&reader).into_iter().flatten() {
                if !origin.inputs.contains(path) {
                    origin.recipe.insert(path);
                }
            }
        }
        origin
    }

    fn step_file(
        &self,
        path: &'a BytePath,
        origin: &mut Origin<'a>,
        writers: &mut BTreeSet<u32>,
        next: &mut Vec<Step<'a>>,
    ) {
        let Some(file) = self.files.get(path) else { return };
        let first_write = file.writers.iter().map(|access| access.at_ns).min();
        let read_before =
            file.readers.iter().any(|access| first_write.is_none_or(|write| access.at_ns < write));
        if file.is_input() || (read_before && !file.read.is_empty()) {
            origin.inputs.insert(&file.path);
        }
        for access in &file.writers {
            writers.insert(access.process);
            next.push(Step::Process(access.process, access.at_ns));
        }
        for source in &file.moved_from {
            if let Some((source, _)) = self.files.get_key_value(source) {
                next.push(Step::File(source));
            }
        }
    }

    fn step_process(&self, process: u32, from_ns: u64, next: &mut Vec<Step<'a>>) {
        next.extend(self.reads.get(&process).into_iter().flatten().map(|path| Step::File(path)));
        for program in self.processes.get(&process).into_iter().flat_map(|process| &process.programs) {
            let Some(pipe) = program.input else { continue };
            match self.pipe_writers.get(&pipe) {
                Some(writers) => next.extend(writers.iter().map(|writer| Step::Process(*writer, 0))),
                // No program was started with its output there: whoever made the pipe writes it, as `tar` does for
                // the compressor that it starts. Its other children have no part in it.
                None => next.extend(
                    self.processes
                        .get(&process)
                        .and_then(|process| process.parent)
                        .map(|parent| Step::Process(parent, u64::MAX)),
                ),
            }
        }
        for child in self.children.get(&process).into_iter().flatten() {
            let Some(child) = self.processes.get(child) else { continue };
            // A child started after the file was opened may write through the inherited descriptor; one whose
            // output pipe no other program reads was read by its parent (command substitution).
            let inherits = child.started_ns >= from_ns;
            let answers = child
                .programs
                .iter()
                .any(|program| program.output.is_some_and(|pipe| !self.pipe_readers.contains(&pipe)));
            if inherits || answers {
                next.push(Step::Process(child.index, child.started_ns));
            }
        }
    }

    fn ancestors(&self, process: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = self.processes.get(&process).and_then(|process| process.parent);
        // A process index is larger than its parent's, so this ends; the guard is for a forged record.
        while let Some(parent) = at {
            if found.contains(&parent) {
                break;
            }
            found.push(parent);
            at = self.processes.get(&parent).and_then(|process| process.parent);
        }
        found
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use evidence::Timestamp;
    use evidence::record::{Access, Completeness, Exit, Machine, Program, Role, SCHEMA};

    /// Builds records in a few words for the tests of this crate.
    pub(crate) struct Sketch(pub(crate) Record);

    impl Sketch {
        pub(crate) fn new() -> Self {
            Self(Record {
                schema: SCHEMA.into(),
                product: "demo".into(),
                release: "1".into(),
                command: vec!["make".into()],
                workdir: "/w".into(),
                checkout: None,
                started: Timestamp::from_unix(0),
                finished: Timestamp::from_unix(9),
                exit: Exit::Code(0),
                completeness: Completeness { complete: true, ..Completeness::default() },
                machine: Machine {
                    architecture: "x86_64".into(),
                    kernel: "6".into(),
                    tracer: "seccomp".into(),
                    network: "observed".into(),
                    recorder: "0".into(),
                },
                environment: vec![],
                processes: vec![],
                files: vec![],
                network: vec![],
                components: vec![],
                outputs: vec![],
                detections: evidence::record::Detections::default(),
                segments: vec![],
            })
        }

        pub(crate) fn process(mut self, index: u32, parent: Option<u32>, at: u64, program: &str) -> Self {
            self.0.processes.push(Process {
                index,
                parent,
                started_ns: at,
                finished_ns: None,
                status: Some(0),
                programs: vec![Program {
                    path: program.into(),
                    digest: Some(Digest::of(program.as_bytes())),
                    arguments: vec![],
                    started_ns: at,
                    input: None,
                    output: None,
                }],
            });
            self
        }

        pub(crate) fn pipe(mut self, from: u32, to: Option<u32>, id: u64) -> Self {
            for process in &mut self.0.processes {
                if process.index == from {
                    process.programs[0].output = Some(id);
                }
                if Some(process.index) == to {
                    process.programs[0].input = Some(id);
                }
            }
            self
        }

        pub(crate) fn file(
            mut self,
            path: &str,
            role: Role,
            content: &str,
            read: &[(u32, u64)],
            written: &[(u32, u64)],
        ) -> Self {
            let access = |list: &[(u32, u64)]| {
                list.iter()
                    .map(|(process, at_ns)| Access { process: *process, at_ns: *at_ns })
                    .collect::<Vec<_>>()
            };
            let digest = Digest::of(content.as_bytes());
            self.0.files.push(File {
                path: path.into(),
                role,
                read: if read.is_empty() { vec![] } else { vec![digest] },
                left: (!written.is_empty()).then_some(digest),
                size: Some(content.len() as u64),
                format: None,
                readers: access(read),
                writers: access(written),
                moved_from: BTreeSet::new(),
                package: None,
                mutated: false,
            });
            self
        }
    }

    fn inputs(record: &Record, output: &str) -> (Vec<String>, Vec<String>) {
        let lineage = Lineage::of(record);
        let path = record
            .files
            .iter()
            .map(|file| &file.path)
            .find(|path| path.as_bytes() == output.as_bytes())
            .unwrap();
        let origin = lineage.of_file(path);
        let names = |set: &BTreeSet<&BytePath>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
        (names(&origin.inputs), names(&origin.recipe))
    }

    #[test]
    fn a_compile_and_link_is_followed_to_its_source_and_no_further() {
        let record = Sketch::new()
            .process(0, None, 0, "/bin/make")
            .process(1, Some(0), 10, "/bin/cc")
            .process(2, Some(0), 20, "/bin/cc")
            .process(3, Some(0), 30, "/bin/ld")
            .file("/w/Makefile", Role::Source, "m", &[(0, 1)], &[])
            .file("/w/a.c", Role::Source, "a", &[(1, 12)], &[])
            .file("/w/b.c", Role::Source, "b", &[(2, 22)], &[])
            .file("/w/a.o", Role::Generated, "ao", &[(3, 31)], &[(1, 11)])
            .file("/w/b.o", Role::Generated, "bo", &[], &[(2, 21)])
            .file("/w/a", Role::Output, "A", &[], &[(3, 32)])
            .0;
        assert_eq!(inputs(&record, "/w/a"), (vec!["/w/a.c".into()], vec!["/w/Makefile".into()]));
    }

    #[test]
    fn pipes_substitutions_and_renames_are_followed() {
        let mut record = Sketch::new()
            .process(0, None, 0, "/bin/sh")
            .process(1, Some(0), 10, "/bin/cat")
            .process(2, Some(0), 10, "/bin/sed")
            .process(3, Some(0), 5, "/bin/date")
            .pipe(1, Some(2), 77)
            .pipe(3, None, 88)
            .file("/w/in", Role::Source, "i", &[(1, 12)], &[])
            .file("/w/stamp", Role::Source, "s", &[(3, 6)], &[])
            .file("/w/tmp", Role::Generated, "t", &[], &[(2, 11)])
            .file("/w/version.h", Role::Generated, "v", &[], &[(0, 8)])
            .file("/w/out", Role::Output, "t", &[], &[(0, 20)])
            .0;
        record.files.last_mut().unwrap().moved_from.insert("/w/tmp".into());
        assert_eq!(inputs(&record, "/w/tmp").0, ["/w/in"]);
        // The shell itself opened this file; `date` answered before, `cat` and `sed` came after and may inherit.
        assert!(inputs(&record, "/w/version.h").0.contains(&"/w/stamp".to_owned()));
        assert!(inputs(&record, "/w/out").0.contains(&"/w/in".to_owned()));
    }

    #[test]
    fn a_compressor_is_fed_by_the_parent_that_made_its_pipe() {
        let mut record = Sketch::new()
            .process(0, None, 0, "/bin/make")
            .process(1, Some(0), 10, "/bin/tar")
            .process(2, Some(1), 20, "/bin/sh")
            .process(3, Some(2), 30, "/bin/gzip")
            .process(4, Some(1), 15, "/bin/other")
            .file("/w/member", Role::Source, "m", &[(1, 12)], &[])
            .file("/w/elsewhere", Role::Source, "e", &[(4, 16)], &[])
            .file("/w/a.tar.gz", Role::Output, "z", &[], &[(2, 21)])
            .0;
        for child in [2, 3] {
            record.processes[child].programs[0].input = Some(99);
        }
        assert_eq!(inputs(&record, "/w/a.tar.gz").0, ["/w/member"]);
    }

    #[test]
    fn a_forged_record_with_a_cycle_of_parents_ends() {
        let record = Sketch::new()
            .process(0, Some(1), 0, "/a")
            .process(1, Some(0), 0, "/b")
            .file("/w/o", Role::Output, "o", &[], &[(1, 1)])
            .0;
        assert_eq!(inputs(&record, "/w/o").0, Vec::<String>::new());
    }
}
