//! Two recorded builds: what came out, what went in, who ran, who was talked to.

use std::collections::BTreeMap;

use evidence::record::{Artifact, File, Record};
use evidence::{BytePath, Finding, Subject, Tree};

use super::inputs::{self, Inputs};
use super::members::{self, MemberDifference};
use super::names::pair;
use super::signals::{Around, suspicions};
use super::{Area, Change, Comparison, Difference, Status, examples, written};
use crate::anomalies::{anomalies, subject};
use crate::codes;
use crate::lineage::{Lineage, Origin};

#[cfg(test)]
mod tests;

/// One of the two: a record and the inspections of its outputs, by output path.
pub struct Side<'a> {
    /// The record.
    pub record: &'a Record,
    /// What was found in each output.
    pub trees: &'a BTreeMap<BytePath, Tree>,
}

/// Compares two records.
pub fn records(old: &Side, new: &Side) -> Comparison {
    let mut inputs = inputs::inputs(old, new);
    let mut differences = std::mem::take(&mut inputs.differences);
    let mut findings = std::mem::take(&mut inputs.findings);
    let lineage = Lineage::of(new.record);
    let judge = Judge { lineage: &lineage, inputs: &inputs, until: new.record.finished.unix() };

    let releases = (old.record.release.as_str(), new.record.release.as_str());
    for (before, after) in pair(by_path(old.record), by_path(new.record), releases) {
        judge.output(old, new, before, after, releases, &mut differences, &mut findings);
    }
    for tree in new.trees.values() {
        findings.extend(anomalies(tree));
    }
    findings.extend(witnessed(new.record));
    command(old.record, new.record, &mut differences);
    judge.programs(old.record, new.record, &mut differences, &mut findings);
    network(old.record, new.record, &mut differences, &mut findings);
    let problems = new.trees.values().flat_map(|tree| tree.problems.clone()).collect();
    Comparison::conclude(differences, findings, problems)
}

/// Findings that one record gives by itself: what the recorder saw going wrong while the build ran.
pub fn witnessed(record: &Record) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in record.files.iter().filter(|file| file.mutated) {
        let subject = Subject { path: Some(file.path.clone()), digest: file.read.last().copied() };
        let mut because = vec![
            "at the end its bytes, or the time of its last change, are not those of when it was read, and no traced process did that"
                .to_owned(),
        ];
        because.extend(readers(record, file));
        findings.push(codes::INPUT_MUTATED.finding(subject, because));
    }
    if record.machine.tracer == UNOBSERVED {
        let because = vec!["the record was made by comparing what lay there before and after".to_owned()];
        findings.push(codes::INPUTS_NOT_OBSERVED.finding(Subject::default(), because));
    }
    if record.completeness.refused > 0 {
        let because =
            vec![format!("{} calls were refused; the trace names them", record.completeness.refused)];
        findings.push(codes::ACCESS_REFUSED.finding(Subject::default(), because));
    }
    findings
}

/// The tracing mode that sees no inputs.
const UNOBSERVED: &str = "snapshot";

/// Tells whether a record was made by somebody who saw what the build read.
pub fn is_observed(record: &Record) -> bool {
    record.machine.tracer != UNOBSERVED
}

/// So many readers of a file are named.
const READERS_MAX: usize = 8;

/// Names who read a file.
fn readers(record: &Record, file: &File) -> Vec<String> {
    let program = |index: u32| {
        let process = record.processes.iter().find(|process| process.index == index)?;
        let program = process.programs.last()?;
        let command: Vec<String> = program.arguments.iter().map(ToString::to_string).collect();
        Some(format!("read by process {index} `{}`: {}", program.path, command.join(" ")))
    };
    file.readers.iter().filter_map(|access| program(access.process)).take(READERS_MAX).collect()
}

fn by_path(record: &Record) -> BTreeMap<Vec<u8>, &Artifact> {
    record.outputs.iter().map(|output| (output.path.as_bytes().to_vec(), output)).collect()
}

struct Judge<'a> {
    lineage: &'a Lineage<'a>,
    inputs: &'a Inputs<'a>,
    /// When the new build ended, in seconds since 1970.
    until: i64,
}

impl<'a> Judge<'a> {
    #[expect(clippy::too_many_arguments, reason = "two sides of one pair, and the two lists that are filled")]
    fn output(
        &self,
        old: &Side,
        new: &Side,
        before: Option<&Artifact>,
        after: Option<&Artifact>,
        releases: (&str, &str),
        differences: &mut Vec<Difference>,
        findings: &mut Vec<Finding>,
    ) {
        let Some(artifact) = after.or(before) else { return };
        if let (Some(before), Some(after)) = (before, after)
            && before.digest == after.digest
        {
            return;
        }
        let mut row = Difference {
            area: Area::Output,
            path: artifact.path.to_string(),
            change: match (before, after) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                _ => Change::Changed,
            },
            old: written(before.map(|output| output.digest)),
            new: written(after.map(|output| output.digest)),
            status: Status::Explained,
            explained_by: self.explain_content(&artifact.digest),
        };
        let about = Subject { path: Some(artifact.path.clone()), digest: Some(artifact.digest) };
        let trees = (
            before.and_then(|output| old.trees.get(&output.path)),
            after.and_then(|output| new.trees.get(&output.path)),
        );
        match (trees, row.change) {
            (_, Change::Removed) => {
                if !self.inputs.source_removed && self.inputs.causes.is_empty() {
                    row.status = Status::Drift;
                    findings.push(
                        codes::UNEXPLAINED_OUTPUT_REMOVAL
                            .finding(about, vec!["no source changed".to_owned()]),
                    );
                }
            }
            ((_, _), Change::Added) => {
                if row.explained_by.is_empty() {
                    row.status = Status::Drift;
                    findings.push(codes::UNEXPLAINED_OUTPUT.finding(about, self.no_cause()));
                }
            }
            ((Some(old_tree), Some(new_tree)), Change::Changed) => {
                let found = members::differences(&artifact.path, &old_tree.root, &new_tree.root, releases);
                let opened = found
                    .iter()
                    .any(|difference| difference.path == artifact.path && difference.is_spoken_for());
                let mut around = Around::of(&old_tree.root, &new_tree.root);
                around.releases = (releases.0.to_owned(), releases.1.to_owned());
                around.built_until = Some(self.until);
                for difference in &found {
                    // Whether something new belongs there, the trace knows better.
                    if let (Some(old), Some(new)) = (difference.old, difference.new) {
                        findings.extend(suspicions(&difference.path, Some(old), new, &around));
                    }
                    if difference.path == artifact.path {
                        if difference.container_only {
                            findings
                                .push(difference.container_code().finding(about.clone(), difference.notes()));
                        } else if !opened && row.explained_by.is_empty() {
                            row.status = Status::Drift;
                            let because = [self.no_cause(), difference.notes()].concat();
                            findings.push(codes::UNEXPLAINED_OUTPUT_CHANGE.finding(about.clone(), because));
                        }
                    } else {
                        self.member(difference, &row.explained_by, differences, findings);
                    }
                }
            }
            ((_, _), Change::Changed) => {
                // One side was not inspected: only the trace can speak.
                if row.explained_by.is_empty() {
                    row.status = Status::Drift;
                    findings.push(codes::UNEXPLAINED_OUTPUT_CHANGE.finding(about, self.no_cause()));
                }
            }
        }
        differences.push(row);
    }

    fn member(
        &self,
        difference: &MemberDifference,
        container: &[String],
        differences: &mut Vec<Difference>,
        findings: &mut Vec<Finding>,
    ) {
        let Some(node) = difference.new.or(difference.old) else { return };
        let about = subject(&difference.path, node);
        if difference.container_only {
            findings.push(difference.container_code().finding(about, difference.notes()));
            differences.push(difference.difference(Area::Member, Status::Noted, Vec::new()));
            return;
        }
        if difference.is_spoken_for() || node.format == "folder" {
            differences.push(difference.difference(Area::Member, Status::Noted, Vec::new()));
            return;
        }
        let causes = match (difference.change(), node.digest) {
            (Change::Removed, _) => {
                if self.inputs.source_removed {
                    vec!["a source is gone".to_owned()]
                } else {
                    container.to_vec()
                }
            }
            (_, Some(digest)) if !self.lineage.holding(&digest).is_empty() => self.explain_content(&digest),
            // No file of the build ever held these bytes: a packer's own manifest may change with the rest, but
            // a member out of nowhere is never explained.
            (Change::Changed, _) => container.to_vec(),
            (Change::Added, _) => Vec::new(),
        };
        if causes.is_empty() {
            let because = [self.no_cause(), self.whence(node), difference.notes()].concat();
            findings.push(difference.code().finding(about, because));
            differences.push(difference.difference(Area::Member, Status::Drift, Vec::new()));
        } else {
            differences.push(difference.difference(Area::Member, Status::Explained, causes));
        }
    }

    /// Explains bytes by the changed inputs that they were made from. A copy of an input is explained by that
    /// input alone: that a makefile changed says nothing about a library that was only copied.
    fn explain_content(&self, digest: &evidence::Digest) -> Vec<String> {
        let holders = self.lineage.holding(digest);
        let copies: Vec<_> =
            holders.iter().filter(|file| file.is_input() && file.read.contains(digest)).collect();
        if !copies.is_empty() {
            return examples(copies.iter().filter_map(|file| self.inputs.causes.get(&file.path)));
        }
        let mut direct = Vec::new();
        let mut recipe = Vec::new();
        for file in holders {
            let origin: Origin = self.lineage.of_file(&file.path);
            direct.extend(origin.inputs.iter().filter_map(|path| self.inputs.causes.get(*path)));
            recipe.extend(
                origin
                    .recipe
                    .iter()
                    .filter_map(|path| self.inputs.causes.get(*path))
                    .map(|cause| format!("{cause} (recipe)")),
            );
        }
        direct.sort_unstable();
        direct.dedup();
        recipe.sort_unstable();
        recipe.dedup();
        if direct.is_empty() { examples(recipe) } else { examples(direct) }
    }

    fn no_cause(&self) -> Vec<String> {
        let reason = if self.inputs.causes.is_empty() {
            "no source input changed"
        } else {
            "none of the changed inputs reaches it in the trace"
        };
        vec![reason.to_owned()]
    }

    /// Says which files of the build held a member's bytes.
    fn whence(&self, node: &evidence::Node) -> Vec<String> {
        let holders = node.digest.map_or(&[][..], |digest| self.lineage.holding(&digest));
        if holders.is_empty() {
            return vec!["no file of the recorded build ever held these bytes".to_owned()];
        }
        examples(
            holders.iter().map(|file| format!("its bytes were in `{}` ({})", file.path, file.role.word())),
        )
    }

    fn programs(
        &self,
        old: &Record,
        new: &Record,
        differences: &mut Vec<Difference>,
        findings: &mut Vec<Finding>,
    ) {
        let before = inputs::programs(old);
        for (name, process) in inputs::programs(new) {
            if before.contains_key(name) {
                continue;
            }
            let origin = self.lineage.of_start(process);
            let causes: Vec<_> = origin
                .inputs
                .iter()
                .chain(&origin.recipe)
                .filter_map(|path| self.inputs.causes.get(*path))
                .collect();
            let path = BytePath::from(name);
            let mut row = Difference {
                area: Area::Process,
                path: path.to_string(),
                change: Change::Added,
                old: None,
                new: None,
                status: Status::Explained,
                explained_by: examples(causes),
            };
            if row.explained_by.is_empty() {
                row.status = Status::Drift;
                let because = vec!["the baseline did not run it".to_owned()];
                findings
                    .push(codes::NEW_PROCESS.finding(Subject { path: Some(path), digest: None }, because));
            }
            differences.push(row);
        }
        let after = inputs::programs(new);
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            differences.push(Difference {
                area: Area::Process,
                path: BytePath::from(*name).to_string(),
                change: Change::Removed,
                old: None,
                new: None,
                status: Status::Noted,
                explained_by: Vec::new(),
            });
        }
    }
}

fn network(old: &Record, new: &Record, differences: &mut Vec<Difference>, findings: &mut Vec<Finding>) {
    let before = inputs::destinations(old);
    for (address, local) in inputs::destinations(new) {
        if before.contains(&(address.clone(), local)) {
            continue;
        }
        let code = if local { &codes::NEW_LOCAL_DESTINATION } else { &codes::NEW_DESTINATION };
        let subject = Subject { path: Some(address.as_str().into()), digest: None };
        findings.push(code.finding(subject, vec!["not in the baseline".to_owned()]));
        differences.push(Difference {
            area: Area::Network,
            path: address,
            change: Change::Added,
            old: None,
            new: None,
            status: if local { Status::Noted } else { Status::Drift },
            explained_by: Vec::new(),
        });
    }
}

fn command(old: &Record, new: &Record, differences: &mut Vec<Difference>) {
    if old.command == new.command {
        return;
    }
    let text = |record: &Record| record.command.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    differences.push(Difference {
        area: Area::Command,
        path: "command".to_owned(),
        change: Change::Changed,
        old: Some(text(old)),
        new: Some(text(new)),
        status: Status::Noted,
        explained_by: Vec::new(),
    });
}
