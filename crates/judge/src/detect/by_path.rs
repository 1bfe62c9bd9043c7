//! What rules ask about a path alone is asked once for each path: a build opens the same few files again and again.

use std::collections::HashMap;
use std::rc::Rc;

use evidence::{BytePath, EventKind};

use super::expression::{Expression, Test, position};
use super::fields::Field;
use super::rule::{Logic, Rule};
use super::view::View;

/// So many paths of one kind of event are remembered.
const PATHS_MAX: usize = 1 << 14;

/// The rules that can still match, by path.
type Left = HashMap<BytePath, Rc<[u32]>>;

/// The same, by kind of event and whether it failed.
#[derive(Default)]
pub(super) struct ByPath {
    known: HashMap<(usize, bool), Left>,
}

impl ByPath {
    /// Returns those of some rules that the path does not rule out; `None` if it is not remembered for such events.
    pub(super) fn left<'r>(
        &mut self,
        view: &View<'_>,
        candidates: &[u32],
        rule: impl Fn(u32) -> &'r Rule,
    ) -> Option<Rc<[u32]>> {
        // A rename or a link leads to its second path.
        if matches!(view.event.kind, EventKind::Rename | EventKind::Link) {
            return None;
        }
        let path = view.event.path.as_ref()?;
        let known = self.known.entry((position(view.event.kind), view.event.errno != 0)).or_default();
        if let Some(left) = known.get(path) {
            return Some(Rc::clone(left));
        }
        let left: Rc<[u32]> = candidates.iter().copied().filter(|at| can_match(rule(*at), view)).collect();
        if known.len() >= PATHS_MAX {
            known.clear();
        }
        known.insert(path.clone(), Rc::clone(&left));
        Some(left)
    }
}

fn can_match(rule: &Rule, view: &View<'_>) -> bool {
    match &rule.logic {
        Logic::Single(expression) => expression.by_path(view) != Some(false),
        Logic::Several(correlation) => correlation.parts.iter().any(|part| part.by_path(view) != Some(false)),
    }
}

impl Expression {
    /// Whether the condition holds for every event with this kind and path, or for none; `None` if that depends.
    fn by_path(&self, view: &View<'_>) -> Option<bool> {
        // What decides: one part that does not hold, or one that does.
        let of = |parts: &[Self], decisive: bool| {
            let mut all = Some(!decisive);
            for part in parts {
                match part.by_path(view) {
                    Some(holds) if holds == decisive => return Some(decisive),
                    Some(_) => {}
                    None => all = None,
                }
            }
            all
        };
        match self {
            Self::All(parts) => of(parts, false),
            Self::Any(parts) => of(parts, true),
            Self::Not(part) => part.by_path(view).map(|holds| !holds),
            Self::Test(test) => test.is_of_path().then(|| self.holds(view)),
        }
    }
}

impl Test {
    /// Whether the answer is the same for all events with one kind and one path in a trace.
    fn is_of_path(&self) -> bool {
        matches!(
            self,
            Self::Kind(_)
                | Self::Text(
                    Field::Path
                        | Field::File
                        | Field::Name
                        | Field::HomePath
                        | Field::ProjectPath
                        | Field::Area
                        | Field::Machine,
                    _,
                )
        )
    }
}

#[cfg(test)]
mod tests {
    use evidence::Event;

    use super::super::{Detector, Facts, Rules};
    use super::*;

    /// A stream in which the same paths come again under other circumstances.
    fn events() -> Vec<Event> {
        let paths =
            ["/home/u/.ssh/id_ed25519", "/home/u/.npmrc", "/w/src/a.c", "/usr/include/stdio.h", "/tmp/x"];
        let programs = ["/usr/bin/node", "/usr/bin/gcc", "/usr/bin/ssh", "/usr/bin/sh"];
        let mut events = Vec::new();
        for (process, program) in (1..).zip(programs) {
            let mut fork = Event::new(EventKind::Fork, process);
            fork.other = Some(0);
            let mut exec = Event::new(EventKind::Exec, process);
            exec.path = Some(program.into());
            exec.arguments = vec![program.into(), "install.js".into()];
            events.extend([fork, exec]);
            for kind in [EventKind::Read, EventKind::Write, EventKind::Map, EventKind::Unlink] {
                for path in paths {
                    for errno in [0, 2] {
                        let mut event = Event::new(kind, process);
                        event.path = Some(path.into());
                        event.errno = errno;
                        events.push(event);
                    }
                }
            }
        }
        for (sequence, event) in (0..).zip(&mut events) {
            event.sequence = sequence;
            event.at_ns = sequence * 1_000;
        }
        events
    }

    #[test]
    fn what_is_remembered_changes_no_answer() {
        let rules = Rules::builtin_and(&[]).unwrap();
        let facts = || Facts {
            homes: vec!["/home/u".into()],
            project: Some("/w".into()),
            machine: super::super::MachineRole::Build,
            ..Facts::default()
        };
        let (mut quick, mut plain) = (Detector::new(&rules, facts()), Detector::new(&rules, facts()));
        let mut found = 0;
        for event in events() {
            // Forgetting everything before each event asks each question anew.
            plain.by_path = ByPath::default();
            let detections = quick.observe(&event);
            assert_eq!(detections, plain.observe(&event), "{event:?}");
            found += detections.len();
        }
        assert!(found > 0, "the events match nothing");
    }

    #[test]
    fn a_path_rules_out_only_what_it_must() {
        let rules = Rules::builtin_and(&[]).unwrap();
        for event in events() {
            let facts =
                Facts { homes: vec!["/home/u".into()], project: Some("/w".into()), ..Facts::default() };
            let detector = Detector::new(&rules, facts);
            let view = View::new(&event, &detector.processes, &detector.written, &detector.facts);
            for rule in rules.iter() {
                let holds = match &rule.logic {
                    Logic::Single(expression) => expression.holds(&view),
                    Logic::Several(correlation) => correlation.parts.iter().any(|part| part.holds(&view)),
                };
                assert!(!holds || can_match(rule, &view), "{}: {event:?}", rule.id);
            }
        }
    }
}
