//! Why an output is what it is: the files on the way to it, and the processes that made each.
//!
//! The same walk as for explanations, told step by step instead of summed up. It says what could have flowed, not
//! what did: a process that read two files and wrote one is taken to have used both.

use std::collections::{BTreeSet, HashSet};

use evidence::record::{File, Process, Role};
use evidence::{BytePath, Digest};
use serde::Serialize;

use super::{Lineage, Step};

/// How a file came to be, in the order from the file asked for back to the inputs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Why<'a> {
    /// The file that was asked for.
    pub output: &'a BytePath,
    /// Each file on the way, once; inputs have no makers.
    pub steps: Vec<Made<'a>>,
    /// Everything of the machine that the makers read, by path.
    pub tools: Vec<Tool<'a>>,
}

/// One file of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tool<'a> {
    /// Where it is.
    pub path: &'a BytePath,
    /// The digest last known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The package that owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'a str>,
}

/// One file on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Made<'a> {
    /// Where it is.
    pub path: &'a BytePath,
    /// The part it played.
    pub role: Role,
    /// The digest last known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The package that owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'a str>,
    /// Paths from which it came by rename or link.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved_from: Vec<&'a BytePath>,
    /// Who wrote it, or fed or was started by somebody who did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub makers: Vec<Maker<'a>>,
}

/// One process that had a part in a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Maker<'a> {
    /// Its index in the record.
    pub process: u32,
    /// Whether it opened the file itself.
    pub writer: bool,
    /// The programs it ran, with their arguments.
    pub commands: Vec<&'a [BytePath]>,
    /// What it read of the project and of fetched dependencies, and what had been made before.
    pub read: Vec<&'a BytePath>,
    /// What it read of the machine: its own program, libraries, headers.
    pub tools: Vec<&'a BytePath>,
}

impl<'a> Lineage<'a> {
    /// Tells step by step how a file came to be; `None` if the record has no such file.
    pub fn why(&self, path: &BytePath) -> Option<Why<'a>> {
        let output = self.files.get(path)?;
        let mut steps = Vec::new();
        let mut seen: HashSet<&BytePath> = HashSet::from([&output.path]);
        let mut waiting = std::collections::VecDeque::from([*output]);
        while let Some(file) = waiting.pop_front() {
            let made = self.made(file);
            let before = made.moved_from.iter().copied();
            let read = made.makers.iter().flat_map(|maker| maker.read.iter().copied());
            for path in before.chain(read) {
                if seen.insert(path)
                    && let Some(next) = self.files.get(path)
                {
                    waiting.push_back(next);
                }
            }
            steps.push(made);
        }
        let makers = steps.iter().flat_map(|made| &made.makers);
        let tools: BTreeSet<&BytePath> = makers.flat_map(|maker| maker.tools.iter().copied()).collect();
        let tools = tools.into_iter().filter_map(|path| self.files.get(path)).map(|file| Tool {
            path: &file.path,
            digest: file.content(),
            package: file.package.as_deref(),
        });
        Some(Why { output: &output.path, tools: tools.collect(), steps })
    }

    fn made(&self, file: &'a File) -> Made<'a> {
        Made {
            path: &file.path,
            role: file.role,
            digest: file.content(),
            package: file.package.as_deref(),
            moved_from: file.moved_from.iter().filter(|from| self.files.contains_key(from)).collect(),
            makers: self.makers(file),
        }
    }

    /// The writers of a file, and those whose output flows into them without a file between.
    fn makers(&self, file: &'a File) -> Vec<Maker<'a>> {
        let mut steps: Vec<Step> =
            file.writers.iter().map(|access| Step::Process(access.process, access.at_ns)).collect();
        let writers: BTreeSet<u32> = file.writers.iter().map(|access| access.process).collect();
        let (mut seen, mut processes) = (HashSet::new(), BTreeSet::new());
        while let Some(step) = steps.pop() {
            let Step::Process(process, from_ns) = step else { continue };
            if seen.insert(step) {
                processes.insert(process);
                self.step_process(process, from_ns, &mut steps);
            }
        }
        let mut makers: Vec<Maker> = processes
            .into_iter()
            .filter_map(|index| self.processes.get(&index))
            .map(|process| self.maker(process, file, writers.contains(&process.index)))
            .filter(|maker| maker.writer || !maker.read.is_empty() || !maker.tools.is_empty())
            .collect();
        makers.sort_by_key(|maker| (!maker.writer, maker.process));
        makers
    }

    fn maker(&self, process: &'a Process, of: &File, writer: bool) -> Maker<'a> {
        let paths = self.reads.get(&process.index).into_iter().flatten().copied();
        let files = paths.filter_map(|path| self.files.get(path)).filter(|file| file.path != of.path);
        let (tools, read): (Vec<&File>, Vec<&File>) = files.partition(|file| file.role == Role::Toolchain);
        let paths = |files: Vec<&'a File>| files.into_iter().map(|file| &file.path).collect();
        Maker {
            process: process.index,
            writer,
            commands: process.programs.iter().map(|program| program.arguments.as_slice()).collect(),
            read: paths(read),
            tools: paths(tools),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sketch;
    use super::*;

    #[test]
    fn an_output_is_followed_to_its_sources_and_tools() {
        let record = Sketch::new()
            .process(0, None, 0, "/bin/make")
            .process(1, Some(0), 10, "/bin/cc")
            .process(2, Some(0), 20, "/bin/cat")
            .process(3, Some(0), 20, "/bin/gzip")
            .pipe(2, Some(3), 77)
            .file("/w/a.c", Role::Source, "a", &[(1, 12)], &[])
            .file("/w/other.c", Role::Source, "o", &[(0, 1)], &[])
            .file("/usr/bin/cc", Role::Toolchain, "cc", &[(1, 10)], &[])
            .file("/w/a", Role::Generated, "A", &[(2, 21)], &[(1, 13)])
            .file("/w/a.gz", Role::Output, "Z", &[], &[(3, 22)])
            .0;
        let lineage = Lineage::of(&record);
        let why = lineage.why(&"/w/a.gz".into()).unwrap();
        let steps: Vec<String> = why.steps.iter().map(|made| made.path.to_string()).collect();
        assert_eq!(steps, ["/w/a.gz", "/w/a", "/w/a.c"]);
        let makers = |step: usize| {
            let makers = why.steps[step].makers.iter();
            makers.map(|maker| (maker.process, maker.writer)).collect::<Vec<_>>()
        };
        assert_eq!(makers(0), [(3, true), (2, false)], "the writer first, then who fed it");
        assert_eq!(makers(1), [(1, true)]);
        assert_eq!(makers(2), []);
        assert_eq!(why.steps[1].makers[0].tools, [&BytePath::from("/usr/bin/cc")]);
        assert_eq!(why.tools.len(), 1);
        assert!(lineage.why(&"/w/absent".into()).is_none());
    }

    #[test]
    fn a_file_made_from_itself_ends() {
        let record = Sketch::new()
            .process(0, None, 0, "/bin/ar")
            .file("/w/lib.a", Role::Output, "l", &[(0, 2)], &[(0, 3)])
            .file("/w/lib.tmp", Role::Generated, "t", &[(0, 4)], &[(0, 1)])
            .0;
        let lineage = Lineage::of(&record);
        assert_eq!(lineage.why(&"/w/lib.a".into()).unwrap().steps.len(), 2);
    }
}
