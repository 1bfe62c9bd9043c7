//! Detection while the build runs: rules over the stream, alarms at once, findings into the record.

use std::collections::HashSet;
use std::path::Path;

use evidence::record::{Detected, Detections, NotEvaluated};
use evidence::{BytePath, Event, EventKind, Finding};
use judge::detect::{Detection, Detector, Facts, RuleError, Rules};

use crate::error::{Error, Result};
use crate::files;

/// The most rule files of one's own, and the bytes of one.
pub(crate) const RULE_FILES_MAX: usize = 1000;
const RULE_FILE_MAX_BYTES: u64 = 1 << 20;

/// Reads the rules in force: ours, and those of a folder; one with the same id takes the place of ours.
pub(crate) fn rules(folder: &Path) -> Result<Rules> {
    let texts = if folder.is_dir() { rule_files(folder, RULE_FILES_MAX, 0)? } else { Vec::new() };
    Rules::builtin_and(&named(&texts)).map_err(Error::Rule)
}

/// Reads the rule files of a folder, by name; folders in it as deep as asked. Too many are an error: a rule that is
/// left out in silence would be taken for one that found nothing.
pub(crate) fn rule_files(folder: &Path, max: usize, depth: usize) -> Result<Vec<(String, Vec<u8>)>> {
    let mut paths = Vec::new();
    let mut waiting = vec![(folder.to_path_buf(), 0)];
    while let Some((at, level)) = waiting.pop() {
        let fail = |source| Error::Read { path: at.clone(), source };
        for entry in std::fs::read_dir(&at).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                paths.push(path);
            } else if level < depth && path.is_dir() && !path.is_symlink() {
                waiting.push((path, level + 1));
            }
        }
    }
    if paths.len() > max {
        let reason = format!("there are more than {max} rule files");
        return Err(Error::Rule(RuleError { file: folder.display().to_string(), reason }));
    }
    paths.sort();
    let read =
        |path: &std::path::PathBuf| Ok((path.display().to_string(), files::read(path, RULE_FILE_MAX_BYTES)?));
    paths.iter().map(read).collect()
}

/// Lends files by name.
pub(crate) fn named(texts: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect()
}

/// Follows one recording.
pub(crate) struct Watching<'a> {
    detector: Detector<'a>,
    rules: &'a Rules,
    /// Tells whether an installed package owns a file.
    owner: &'a mut dyn FnMut(&BytePath) -> bool,
    /// Paths whose owner has been asked for.
    asked: HashSet<BytePath>,
    found: Vec<Detected>,
    alarm: &'a mut dyn FnMut(&Finding),
}

impl<'a> Watching<'a> {
    /// Begins. Who owns which file is asked as files appear.
    pub(crate) fn begin(
        rules: &'a Rules,
        facts: Facts,
        owner: &'a mut dyn FnMut(&BytePath) -> bool,
        alarm: &'a mut dyn FnMut(&Finding),
    ) -> Self {
        let facts = Facts { owned: Some(facts.owned.unwrap_or_default()), ..facts };
        Self {
            detector: Detector::new(rules, facts),
            rules,
            owner,
            asked: HashSet::new(),
            found: Vec::new(),
            alarm,
        }
    }

    /// Takes the next event; whatever it completes is told at once.
    pub(crate) fn observe(&mut self, event: &Event) {
        let code = event.kind == EventKind::Exec || event.format.is_some();
        if let Some(path) = event.path.as_ref().filter(|_| code)
            && !self.asked.contains(path)
        {
            self.asked.insert(path.clone());
            if (self.owner)(path) {
                self.detector.owns(path.clone());
            }
        }
        for detection in self.detector.observe(event) {
            self.keep(detection);
        }
    }

    fn keep(&mut self, Detection { finding, sequence, at_ns }: Detection) {
        (self.alarm)(&finding);
        self.found.push(Detected { finding, sequence, at_ns });
    }

    /// Ends: what was found, by which rules, and which could not be asked.
    pub(crate) fn finish(self) -> Detections {
        let not_evaluated = self.detector.not_evaluated().iter();
        let not_evaluated = not_evaluated
            .map(|one| NotEvaluated { rule: one.rule.clone(), reason: one.reason.clone() })
            .collect();
        let mut found = self.found;
        for Detection { finding, sequence, at_ns } in self.detector.finish() {
            (self.alarm)(&finding);
            found.push(Detected { finding, sequence, at_ns });
        }
        Detections { rules: Some(self.rules.digest()), found, not_evaluated }
    }
}
