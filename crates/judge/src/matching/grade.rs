//! How a recorded build used a package: from its files, and what read or ran them.

use std::collections::{BTreeMap, HashMap};

use evidence::record::{File, Process, Program};
use evidence::{BytePath, Digest, Record};
use serde::Serialize;

/// How a package was used. Ordered: the last is the strongest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A document names it.
    Listed,
    /// A file of it was there and was read.
    Present,
    /// A compiler or linker took a file of it.
    Linked,
    /// A program loaded a library or module of it.
    Loaded,
    /// A program or script of it ran.
    Executed,
}

impl Grade {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Present => "present",
            Self::Linked => "linked",
            Self::Loaded => "loaded",
            Self::Executed => "executed",
        }
    }
}

/// How a build used a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The strongest use.
    pub grade: Grade,
    /// What showed it: a command, or a file.
    pub because: String,
    /// The file that showed it.
    pub path: Option<BytePath>,
    /// Its bytes.
    pub digest: Option<Digest>,
}

/// Programs that run what they are given by name.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "busybox", "node", "nodejs", "bun", "deno", "python", "python3", "ruby",
    "perl", "php", "java", "lua", "Rscript", "pwsh",
];
/// What interpreters load besides what they were given.
const MODULES: &[&str] =
    &[".js", ".cjs", ".mjs", ".py", ".pyc", ".rb", ".pl", ".pm", ".php", ".lua", ".jar", ".class", ".wasm"];
/// What compilers and linkers take.
const LINKED: &[&str] = &[
    ".a", ".o", ".rlib", ".rmeta", ".lib", ".rs", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".go", ".s",
    ".S",
];

/// Finds how a build used each of its packages, by purl.
pub fn seen(record: &Record) -> BTreeMap<&str, Seen> {
    let processes: HashMap<u32, &Process> =
        record.processes.iter().map(|process| (process.index, process)).collect();
    let programs: HashMap<&BytePath, &Program> = record
        .processes
        .iter()
        .flat_map(|process| &process.programs)
        .map(|program| (&program.path, program))
        .collect();
    let mut found: BTreeMap<&str, Seen> = BTreeMap::new();
    for component in &record.components {
        let because = component.evidence.first().map_or_else(|| "the record".to_owned(), ToString::to_string);
        found.insert(&component.purl, Seen { grade: Grade::Listed, because, path: None, digest: None });
    }
    for file in &record.files {
        let Some(purl) = file.package.as_deref() else { continue };
        let (grade, because) = use_of(file, &processes, &programs);
        let stronger = found.get(purl).is_none_or(|known| known.grade < grade);
        if stronger {
            found
                .insert(purl, Seen { grade, because, path: Some(file.path.clone()), digest: file.content() });
        }
    }
    found
}

fn use_of(
    file: &File,
    processes: &HashMap<u32, &Process>,
    programs: &HashMap<&BytePath, &Program>,
) -> (Grade, String) {
    if let Some(program) = programs.get(&file.path) {
        return (Grade::Executed, format!("ran `{}`", command(program)));
    }
    let name = file.path.to_string();
    let base = base(&name);
    let ends = |list: &[&str]| list.iter().any(|end| base.ends_with(end));
    let mut best = (Grade::Present, format!("read {name}"));
    for reader in &file.readers {
        let Some(program) = processes.get(&reader.process).and_then(|process| running(process, reader.at_ns))
        else {
            continue;
        };
        let interprets = is_interpreter(program);
        let given =
            program.arguments.iter().skip(1).any(|argument| self::base(&argument.to_string()) == base);
        let grade = if interprets && given && !base.is_empty() {
            Grade::Executed
        } else if (interprets && ends(MODULES)) || base.contains(".so") || base.ends_with(".node") {
            Grade::Loaded
        } else if ends(LINKED) {
            Grade::Linked
        } else {
            Grade::Present
        };
        if grade > best.0 {
            let verb = match grade {
                Grade::Executed => "ran",
                Grade::Loaded => "loaded",
                _ => "took",
            };
            best = (grade, format!("`{}` {verb} {name}", command(program)));
        }
    }
    best
}

/// The program that a process was at a moment.
pub(super) fn running(process: &Process, at_ns: u64) -> Option<&Program> {
    let started = process.programs.iter().rev().find(|program| program.started_ns <= at_ns);
    started.or_else(|| process.programs.first())
}

pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) fn is_interpreter(program: &Program) -> bool {
    let path = program.path.to_string();
    let name = base(&path).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.iter().any(|known| known.trim_end_matches(|c: char| c.is_ascii_digit()) == name)
}

/// A command in one line, as people would type it.
pub(super) fn command(program: &Program) -> String {
    let words: Vec<String> = program.arguments.iter().take(6).map(ToString::to_string).collect();
    let text = if words.is_empty() { program.path.to_string() } else { words.join(" ") };
    text.chars().take(120).collect()
}
