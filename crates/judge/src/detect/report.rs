//! From a match to a finding that can be checked again: rule, technique, processes, events, digests.

use evidence::{BytePath, Event, Finding, Severity, Subject};

use super::facts::MachineRole;
use super::processes::{Process, Processes};
use super::rule::Rule;
use super::{DETECTIONS_PER_RULE_MAX, Detection, view};
use crate::codes;

/// How many processes of a chain are named.
const CHAIN_MAX: usize = 16;
/// How many events are named.
const EVENTS_MAX: usize = 32;
/// How much of a command line is shown.
const COMMAND_BYTES_MAX: usize = 200;

/// What an event is about.
pub(super) fn subject(event: &Event) -> &[u8] {
    let path = view::file(event).or(event.path.as_ref()).or(event.target.as_ref());
    path.map_or(&[], BytePath::as_bytes)
}

pub(super) fn detection(
    rule: &Rule,
    event: &Event,
    sequences: &[u64],
    processes: &Processes,
    machine: MachineRole,
) -> Detection {
    let mut because = vec![format!("rule {}", rule.id)];
    if !rule.attack.is_empty() {
        because.push(format!("ATT&CK {}", rule.attack.join(", ")));
    }
    because.extend(chain(event.process, processes));
    because.push(format!("{} event {}", event.kind.word(), event.sequence));
    let others: Vec<String> =
        sequences.iter().filter(|s| **s != event.sequence).take(EVENTS_MAX).map(u64::to_string).collect();
    if !others.is_empty() {
        because.push(format!("with events {}", others.join(", ")));
    }
    if let Some(target) = event.target.as_ref().filter(|target| target.as_bytes() != subject(event)) {
        because.push(format!("target `{target}`"));
    }
    if let Some(detail) = &event.detail {
        because.push(format!("detail `{detail}`"));
    }
    if event.errno != 0 {
        because.push(format!("it failed with errno {}", event.errno));
    }
    let about = subject(event);
    let about = Subject { path: (!about.is_empty()).then(|| BytePath::from(about)), digest: event.digest };
    let severity = match machine {
        MachineRole::Developer => rule.severity,
        MachineRole::Build | MachineRole::Sign => rule.severity.max(Severity::High),
    };
    Detection {
        finding: Finding::new(&rule.code, severity, &rule.title, about, because, &rule.hint),
        sequence: event.sequence,
        at_ns: event.at_ns,
    }
}

/// The process and its ancestors, each with index, program, digest and command line.
fn chain(index: u32, processes: &Processes) -> Vec<String> {
    let line = |word: &str, index: u32, process: &Process| {
        let program = BytePath::from(&*process.program);
        let command = BytePath::from(&process.command[..process.command.len().min(COMMAND_BYTES_MAX)]);
        let digest = process.digest.map(|digest| format!(" {digest}")).unwrap_or_default();
        format!("{word} {index} `{program}`{digest}: {command}")
    };
    let mut lines = vec![line("process", index, processes.get(index))];
    let ancestors = processes.ancestors(index).take(CHAIN_MAX);
    lines.extend(ancestors.map(|(index, process)| line("started by", index, process)));
    lines
}

/// A limit was hit: what follows may have gone unseen.
pub(super) fn limit(what: &str, rule: Option<&Rule>, event: &Event) -> Detection {
    let mut because = vec![format!("too many {what}")];
    because.extend(rule.map(|rule| format!("rule {}", rule.id)));
    because.push(format!("event {}", event.sequence));
    let finding = codes::DETECTION_LIMIT.finding(Subject::default(), because);
    Detection { finding, sequence: event.sequence, at_ns: event.at_ns }
}

/// How often a rule matched beyond what was reported.
pub(super) fn too_often(rule: &Rule, found: usize) -> Detection {
    let because = vec![
        format!("rule {}", rule.id),
        format!(
            "{} more matches than the {DETECTIONS_PER_RULE_MAX} reported",
            found - DETECTIONS_PER_RULE_MAX
        ),
    ];
    let finding = codes::DETECTION_LIMIT.finding(Subject::default(), because);
    Detection { finding, sequence: u64::MAX, at_ns: u64::MAX }
}
