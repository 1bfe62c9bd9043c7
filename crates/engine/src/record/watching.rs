//! Detection while the build runs: rules over the stream, alarms at once, findings into the record.

use std::collections::HashSet;
use std::path::Path;

use evidence::record::{Detected, Detections, NotEvaluated};
use evidence::{BytePath, Event, EventKind, Finding};
use host::packages::Packages;
use judge::detect::{Detection, Detector, Facts, Rules};

use crate::error::{Error, Result};
use crate::files;

/// The most rule files of one's own, and the bytes of one.
const RULE_FILES_MAX: usize = 1000;
const RULE_FILE_MAX_BYTES: u64 = 1 << 20;

/// Reads the rules in force: ours, and those of a folder; one with the same id takes the place of ours.
pub(crate) fn rules(folder: &Path) -> Result<Rules> {
    let mut texts: Vec<(String, Vec<u8>)> = Vec::new();
    if folder.is_dir() {
        let fail = |source| Error::Read { path: folder.to_path_buf(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths.iter().take(RULE_FILES_MAX) {
            texts.push((path.display().to_string(), files::read(path, RULE_FILE_MAX_BYTES)?));
        }
    }
    let given: Vec<(&str, &[u8])> =
        texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    Rules::builtin_and(&given).map_err(Error::Rule)
}

/// Follows one recording.
pub(crate) struct Watching<'a> {
    detector: Detector<'a>,
    rules: &'a Rules,
    packages: &'a mut Packages,
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
        packages: &'a mut Packages,
        alarm: &'a mut dyn FnMut(&Finding),
    ) -> Self {
        let facts = Facts { owned: Some(facts.owned.unwrap_or_default()), ..facts };
        Self {
            detector: Detector::new(rules, facts),
            rules,
            packages,
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
            if self.packages.owns(path) {
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
