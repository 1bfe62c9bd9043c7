//! What good builds of one product do, learned from several records, and what a further record does besides.
//!
//! A comparison explains one release by another; a baseline needs no such pair and no unchanged source. It knows
//! which programs ran, who was talked to, where files were written, and what programs were made to load. Names that
//! change with every build (temporary files, process numbers, hashes, ports) are made equal first, so that a clean
//! rebuild is silent.

mod names;

use std::collections::{BTreeMap, BTreeSet};

use evidence::record::{Record, Role};
use evidence::{BytePath, Finding, Subject};
use serde::{Deserialize, Serialize};

use crate::codes::{self, Code};
use crate::compare::inputs;

/// The `schema` of a baseline.
pub const SCHEMA: &str = "urn:countersign:baseline:v1";

/// Variables that change what programs load or run.
const LOADING: &[&str] = &[
    "BASH_ENV",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CC",
    "COMPILER_PATH",
    "CXX",
    "ENV",
    "GCC_EXEC_PREFIX",
    "GCONV_PATH",
    "GIT_SSH_COMMAND",
    "JAVA_TOOL_OPTIONS",
    "LD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LIBRARY_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];

/// What the builds of one product do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// From how many records it was learned.
    pub records: u32,
    /// The programs that ran, with the part that their files play.
    pub programs: BTreeSet<Program>,
    /// Who was talked to: `connect tcp:198.51.*`, `request registry.example:443`.
    pub destinations: BTreeSet<String>,
    /// The folders that were written to.
    pub areas: BTreeSet<String>,
    /// The variables that change what is loaded, as `NAME=value`, or `NAME#digest` where the value is secret.
    pub loading: BTreeSet<String>,
}

/// A program of the baseline.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its path, made equal across builds.
    pub path: String,
    /// The part that its file plays: `toolchain`, `generated`, …; `unknown` if the record does not say.
    pub role: String,
}

impl Baseline {
    /// Learns from the records of good builds.
    pub fn learn(records: &[&Record]) -> Self {
        let mut baseline = Self {
            schema: SCHEMA.to_owned(),
            records: u32::try_from(records.len()).unwrap_or(u32::MAX),
            programs: BTreeSet::new(),
            destinations: BTreeSet::new(),
            areas: BTreeSet::new(),
            loading: BTreeSet::new(),
        };
        for record in records {
            let seen = Seen::of(record);
            baseline.programs.extend(seen.programs.into_keys());
            baseline.destinations.extend(seen.destinations.into_keys());
            baseline.areas.extend(seen.areas.into_keys());
            baseline.loading.extend(seen.loading.into_keys());
        }
        baseline
    }
}

/// Finds what a record does that no build of the baseline did.
pub fn novel(baseline: &Baseline, record: &Record) -> Vec<Finding> {
    let seen = Seen::of(record);
    let because = || format!("not in the baseline of {} builds", baseline.records);
    let finding = |code: &Code, path: &BytePath, what: String| {
        let subject = Subject { path: Some(path.clone()), digest: None };
        code.finding(subject, vec![because(), what])
    };
    let mut findings = Vec::new();
    for (program, path) in seen.programs {
        if !baseline.programs.contains(&program) {
            let what = format!("{} `{}`", program.role, program.path);
            findings.push(finding(&codes::BASELINE_NEW_PROGRAM, &path, what));
        }
    }
    for (destination, address) in seen.destinations {
        if !baseline.destinations.contains(&destination) {
            findings.push(finding(&codes::BASELINE_NEW_DESTINATION, &address, destination));
        }
    }
    for (area, path) in seen.areas {
        if !baseline.areas.contains(&area) {
            findings.push(finding(&codes::BASELINE_NEW_AREA, &path, format!("folder `{area}`")));
        }
    }
    for (variable, name) in seen.loading {
        if !baseline.loading.contains(&variable) {
            findings.push(finding(&codes::BASELINE_NEW_LOADING, &name, variable));
        }
    }
    findings
}

/// What one record does: the name that is the same in every build → the first real one.
struct Seen {
    programs: BTreeMap<Program, BytePath>,
    destinations: BTreeMap<String, BytePath>,
    areas: BTreeMap<String, BytePath>,
    loading: BTreeMap<String, BytePath>,
}

impl Seen {
    fn of(record: &Record) -> Self {
        let mut seen = Self {
            programs: BTreeMap::new(),
            destinations: BTreeMap::new(),
            areas: BTreeMap::new(),
            loading: BTreeMap::new(),
        };
        let names = names::Names::of(record);
        let roles: BTreeMap<&BytePath, Role> =
            record.files.iter().map(|file| (&file.path, file.role)).collect();
        for program in record.processes.iter().flat_map(|process| &process.programs) {
            let role = roles.get(&program.path).map_or("unknown", |role| role.word());
            let key = Program { path: names.program(&program.path), role: role.to_owned() };
            seen.programs.entry(key).or_insert_with(|| program.path.clone());
        }
        for (destination, local) in inputs::destinations(record) {
            let name = BytePath::from(destination.as_str());
            seen.destinations.entry(names.destination(&destination, local)).or_insert(name);
        }
        for file in record.files.iter().filter(|file| !file.writers.is_empty()) {
            seen.areas.entry(names.area(&file.path)).or_insert_with(|| file.path.clone());
        }
        for variable in &record.environment {
            let name = variable.name.to_string();
            if !LOADING.contains(&name.as_str()) {
                continue;
            }
            let key = match (&variable.value, &variable.salted_digest) {
                (Some(value), _) => format!("{name}={}", names.value(value)),
                (None, Some(digest)) => format!("{name}#{digest}"),
                (None, None) => name,
            };
            seen.loading.entry(key).or_insert_with(|| variable.name.clone());
        }
        seen
    }
}

#[cfg(test)]
mod tests;
