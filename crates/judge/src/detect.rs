//! Detection rules over the event stream: pure, deterministic, and replayable over stored traces.
//!
//! A [`Detector`] takes the events of one trace in order. Rules are data ([`Rules`]); facts about machine and
//! project are data too ([`Facts`]). A rule whose fact is absent says so ([`Detector::not_evaluated`]), and all that
//! is remembered has a limit whose hitting is a finding. It never decides: what denies is the policy's business.

mod address;
mod builtin;
mod by_path;
mod condition;
mod correlate;
mod examples;
mod expression;
mod facts;
mod fields;
mod form;
mod measure;
mod patterns;
mod processes;
mod report;
mod roles;
mod rule;
mod rules;
mod selection;
pub mod sigma;
mod view;
mod written;
mod yaml;

use std::collections::HashSet;

use evidence::{BytePath, Event, EventKind, Finding};

pub use examples::Failure;
pub use facts::{Facts, MachineRole};
pub use measure::{Measured, measure};
pub use rule::Rule;
pub use rules::{RuleError, Rules};

use by_path::ByPath;
use correlate::{Groups, Outcome};
use processes::Processes;
use rule::Logic;
use view::View;
use written::WrittenFiles;

/// The most detections of one rule in one trace; further ones are counted.
pub const DETECTIONS_PER_RULE_MAX: usize = 256;

/// A match of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Detection {
    /// The finding.
    pub finding: Finding,
    /// The event that completed the match.
    pub sequence: u64,
    /// When it was, in nanoseconds after the recording began.
    pub at_ns: u64,
}

/// A rule that was not asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotEvaluated {
    /// The rule.
    pub rule: String,
    /// Which fact is missing.
    pub reason: String,
}

/// Follows one trace.
pub struct Detector<'r> {
    rules: &'r Rules,
    facts: Facts,
    /// Rules that are asked.
    asked: Vec<bool>,
    not_evaluated: Vec<NotEvaluated>,
    groups: Vec<Groups>,
    processes: Processes,
    written: WrittenFiles,
    by_path: ByPath,
    seen: HashSet<(u32, u32, Vec<u8>)>,
    found: Vec<usize>,
    limits: HashSet<(&'static str, u32)>,
}

impl<'r> Detector<'r> {
    /// Starts on a trace.
    pub fn new(rules: &'r Rules, facts: Facts) -> Self {
        let mut not_evaluated = Vec::new();
        let mut asked = Vec::new();
        let mut groups = Vec::new();
        for rule in rules.iter() {
            let missing: Vec<&str> = rule.needs.iter().filter_map(|need| need.missing(&facts)).collect();
            asked.push(missing.is_empty());
            groups.push(Groups::default());
            if !missing.is_empty() {
                not_evaluated.push(NotEvaluated { rule: rule.id.clone(), reason: missing.join("; ") });
            }
        }
        Self {
            rules,
            facts,
            asked,
            not_evaluated,
            groups,
            processes: Processes::default(),
            written: WrittenFiles::default(),
            by_path: ByPath::default(),
            seen: HashSet::new(),
            found: vec![0; rules.iter().count()],
            limits: HashSet::new(),
        }
    }

    /// The rules that are not asked, and why.
    pub fn not_evaluated(&self) -> &[NotEvaluated] {
        &self.not_evaluated
    }

    /// From now on a file is known to be owned by an installed package.
    pub fn owns(&mut self, path: BytePath) {
        self.facts.owned.get_or_insert_default().insert(path, None);
    }

    /// From now on every connection is one too many.
    pub fn end_of_network_phase(&mut self) {
        self.facts.network_over = Some(true);
    }

    /// Takes the next event in and returns what it completes: usually nothing, and then nothing is allocated.
    pub fn observe(&mut self, event: &Event) -> Vec<Detection> {
        self.processes.before(event);
        let candidates = self.rules.for_kind(event.kind, event.errno != 0);
        let mut matches = Vec::new();
        if !candidates.is_empty() {
            let view = View::new(event, &self.processes, &self.written, &self.facts);
            let left = self.by_path.left(&view, candidates, |at| self.rules.get(at));
            for &at in left.as_deref().unwrap_or(candidates) {
                if !self.asked[at as usize] {
                    continue;
                }
                let rule = self.rules.get(at);
                let allowed = || rule.allow.as_ref().is_some_and(|allow| allow.holds(&view));
                match &rule.logic {
                    Logic::Single(expression) if expression.holds(&view) && !allowed() => {
                        matches.push((at, Some(vec![event.sequence])));
                    }
                    Logic::Several(correlation) if !allowed() => {
                        match correlation.observe(&mut self.groups[at as usize], &view) {
                            Outcome::Nothing => {}
                            Outcome::Complete(sequences) => matches.push((at, Some(sequences))),
                            Outcome::Full => matches.push((at, None)),
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut detections = Vec::new();
        for (at, sequences) in matches {
            match sequences {
                Some(sequences) => self.report(at, event, &sequences, &mut detections),
                None => self.limit_hit("groups of a rule", at, event, &mut detections),
            }
        }
        self.after(event, &mut detections);
        detections
    }

    /// Ends the trace: what was left out because a rule had matched too often.
    pub fn finish(self) -> Vec<Detection> {
        let over = self.rules.iter().zip(&self.found).filter(|(_, found)| **found > DETECTIONS_PER_RULE_MAX);
        over.map(|(rule, found)| report::too_often(rule, *found)).collect()
    }

    fn after(&mut self, event: &Event, detections: &mut Vec<Detection>) {
        match event.kind {
            EventKind::Connect | EventKind::Request => {
                // 115 is a connection in progress.
                let opened = matches!(event.errno, 0 | 115);
                let target = event.target.as_ref().map_or(&[][..], |target| target.as_bytes());
                if opened && address::Address::of(event.kind, target).brings_bytes() {
                    self.processes.connected(event.process);
                }
            }
            EventKind::Write | EventKind::Rename | EventKind::Link | EventKind::Unlink => {
                self.written.note(event, &self.processes);
            }
            EventKind::Read if event.errno == 0 => {
                let process = self.processes.get(event.process);
                if let Some(path) = &event.path
                    && self.processes.is_script(process, path.as_bytes())
                {
                    self.processes.note_script(event.process, path);
                }
            }
            _ => {}
        }
        if let Some(limit) = self.processes.limit.take() {
            self.limit_hit(limit, u32::MAX, event, detections);
        }
        if std::mem::take(&mut self.written.full) {
            self.limit_hit("files written", u32::MAX, event, detections);
        }
    }

    fn report(&mut self, at: u32, event: &Event, sequences: &[u64], detections: &mut Vec<Detection>) {
        let rule = self.rules.get(at);
        let step = self.processes.get(event.process).step;
        let count = &mut self.found[at as usize];
        if *count > DETECTIONS_PER_RULE_MAX {
            *count += 1;
            return;
        }
        if !self.seen.insert((at, step, report::subject(event).to_vec())) {
            return;
        }
        *count += 1;
        if *count <= DETECTIONS_PER_RULE_MAX {
            detections.push(report::detection(rule, event, sequences, &self.processes, self.facts.machine));
        } else {
            self.limit_hit("detections of a rule", at, event, detections);
        }
    }

    fn limit_hit(&mut self, what: &'static str, rule: u32, event: &Event, detections: &mut Vec<Detection>) {
        if self.limits.insert((what, rule)) {
            let rule = (rule != u32::MAX).then(|| self.rules.get(rule));
            detections.push(report::limit(what, rule, event));
        }
    }
}

#[cfg(test)]
mod tests;
