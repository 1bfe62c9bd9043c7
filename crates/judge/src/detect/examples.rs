//! The examples of a rule: short traces written by hand, built from data, and tried.
//!
//! An example is a list of steps. `run: npm install > sh -c x > node setup.js` starts a chain of processes, each
//! the child of the one before; `a | b` are siblings with a pipe between them. Every other step is one event,
//! named by its kind, of the last process started.

use std::collections::BTreeMap;

use evidence::{BytePath, Digest, Event, EventKind};
use serde_json::Value;

use super::form::{FactsForm, Step};
use super::{Detector, Facts, MachineRole, Rule, Rules};

/// An example that did not do what it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The rule.
    pub rule: String,
    /// Which example, such as `match 1`.
    pub example: String,
    /// What happened.
    pub what: String,
}

impl Rules {
    /// Tries all examples of all rules, each with its own rule alone deciding.
    pub fn try_examples(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for rule in self.iter() {
            let Some(tests) = &rule.tests else { continue };
            let all = [("match", &tests.matching, true), ("silent", &tests.silent, false)];
            for (word, examples, wanted) in all {
                for (at, example) in examples.iter().enumerate() {
                    let what = match self.matches(rule, example, &tests.facts) {
                        Ok(found) if found == wanted => continue,
                        Ok(true) => "it matched".to_owned(),
                        Ok(false) => "it did not match".to_owned(),
                        Err(reason) => reason,
                    };
                    failures.push(Failure {
                        rule: rule.id.clone(),
                        example: format!("{word} {}", at + 1),
                        what,
                    });
                }
            }
        }
        failures
    }

    fn matches(&self, rule: &Rule, example: &[Step], facts: &FactsForm) -> Result<bool, String> {
        let mut detector = Detector::new(self, self::facts(facts)?);
        if let Some(skipped) = detector.not_evaluated().iter().find(|skipped| skipped.rule == rule.id) {
            return Err(format!("it was not evaluated: {}", skipped.reason));
        }
        let mark = format!("rule {}", rule.id);
        let mut found = false;
        for event in events(example)? {
            found |= detector.observe(&event).iter().any(|detection| detection.finding.because[0] == mark);
        }
        Ok(found)
    }
}

/// The facts of examples: home `/home/u`, project `/src/p`, and what the example says.
fn facts(form: &FactsForm) -> Result<Facts, String> {
    let files = |files: &BTreeMap<String, String>| {
        Some(
            files
                .iter()
                .map(|(path, text)| (path.as_str().into(), Some(Digest::of(text.as_bytes()))))
                .collect(),
        )
    };
    let machine = match form.machine.as_deref() {
        None | Some("developer") => MachineRole::Developer,
        Some("build") => MachineRole::Build,
        Some("sign") => MachineRole::Sign,
        Some(other) => return Err(format!("there is no machine role `{other}`")),
    };
    let mut hosts: Vec<String> = ["registry.npmjs.org", "*.crates.io", "pypi.org"].map(str::to_owned).into();
    hosts.extend(form.hosts.iter().cloned());
    Ok(Facts {
        homes: vec!["/home/u".into(), "/root".into()],
        project: Some("/src/p".into()),
        machine,
        tracked: files(&form.tracked),
        owned: files(&form.owned),
        hosts: Some(hosts),
        network_over: Some(form.network_over.unwrap_or(false)),
        own_folders: vec!["/var/lib/countersign".into()],
    })
}

/// Builds the events of an example.
pub(super) fn events(example: &[Step]) -> Result<Vec<Event>, String> {
    let mut builder = Builder::default();
    for step in example {
        builder.step(step)?;
    }
    for (sequence, event) in (0..).zip(&mut builder.events) {
        event.sequence = sequence;
    }
    Ok(builder.events)
}

#[derive(Default)]
struct Builder {
    events: Vec<Event>,
    processes: u32,
    current: u32,
    pipes: u64,
    now_ns: u64,
}

impl Builder {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(seconds) = step.get("after") {
            let seconds = seconds.as_u64().ok_or("`after` is a number of seconds")?;
            self.now_ns += seconds * 1_000_000_000;
        }
        let times = step.get("times").map_or(Some(1), Value::as_u64).ok_or("`times` is a number")?;
        for time in 0..times.min(10_000) {
            self.now_ns += 1_000_000;
            self.once(step, time)?;
        }
        Ok(())
    }

    fn once(&mut self, step: &Step, time: u64) -> Result<(), String> {
        if let Some(chain) = step.get("run") {
            self.run(chain.as_str().ok_or("`run` is a text")?);
            let last = self.events.pop().ok_or("`run` is empty")?;
            let event = filled(last, step, time)?;
            self.events.push(event);
            return Ok(());
        }
        let mut named =
            step.iter().filter_map(|(key, value)| EventKind::from_word(key).map(|kind| (kind, value)));
        let (Some((kind, value)), None) = (named.next(), named.next()) else {
            return Err("a step names one kind of event, or `run`".to_owned());
        };
        let mut event = Event::new(kind, self.current);
        event.at_ns = self.now_ns;
        let value = value.as_str().ok_or("the value of an event is a text")?.replace("{}", &time.to_string());
        match kind {
            EventKind::Connect
            | EventKind::Bind
            | EventKind::Listen
            | EventKind::Resolve
            | EventKind::Request
            | EventKind::Memory => event.target = Some(value.as_str().into()),
            EventKind::Gap | EventKind::Reach | EventKind::Refused => event.detail = Some(value),
            _ => event.path = Some(value.as_str().into()),
        }
        let event = filled(event, step, time)?;
        self.events.push(event);
        Ok(())
    }

    /// Each further chain begins below the first process.
    fn run(&mut self, chain: &str) {
        let mut parent = (self.processes > 0).then_some(0);
        for stage in chain.split(" > ") {
            let mut input = None;
            let siblings: Vec<&str> = stage.split(" | ").collect();
            for (at, command) in siblings.iter().enumerate() {
                let mut fork = Event::new(EventKind::Fork, self.processes);
                (fork.other, fork.at_ns) = (parent, self.now_ns);
                let words: Vec<&str> = command.split_whitespace().collect();
                let name = words.first().copied().unwrap_or_default();
                let path = if name.starts_with('/') { name.to_owned() } else { format!("/usr/bin/{name}") };
                let mut exec = Event::new(EventKind::Exec, self.processes);
                exec.at_ns = self.now_ns;
                exec.path = Some(path.into());
                exec.arguments = words.into_iter().map(BytePath::from).collect();
                exec.input = input;
                if at + 1 < siblings.len() {
                    self.pipes += 1;
                    exec.output = Some(self.pipes);
                    input = exec.output;
                }
                if parent.is_some() {
                    self.events.push(fork);
                }
                self.events.push(exec);
                self.current = self.processes;
                self.processes += 1;
            }
            parent = Some(self.current);
        }
    }
}

/// Fills in what the other keys of a step say.
fn filled(mut event: Event, step: &Step, time: u64) -> Result<Event, String> {
    for (key, value) in step {
        let text = || {
            let text = value.as_str().ok_or_else(|| format!("`{key}` is a text"))?;
            Ok::<_, String>(text.replace("{}", &time.to_string()))
        };
        let number = || value.as_u64().ok_or_else(|| format!("`{key}` is a number"));
        let list = || {
            let list = value.as_array().ok_or_else(|| format!("`{key}` is a list"))?;
            list.iter()
                .map(|item| {
                    item.as_str().map(BytePath::from).ok_or_else(|| format!("`{key}` is a list of texts"))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        match key.as_str() {
            "run" | "after" | "times" => {}
            "in" => event.process = u32::try_from(number()?).map_err(|_| "`in` is a process")?,
            "other" => event.other = Some(u32::try_from(number()?).map_err(|_| "`other` is a process")?),
            "to" => event.target = Some(text()?.into()),
            "path" => event.path = Some(text()?.into()),
            "detail" => event.detail = Some(text()?),
            "format" => event.format = Some(text()?),
            "content" => event.digest = Some(Digest::of(text()?.as_bytes())),
            "errno" => event.errno = u16::try_from(number()?).map_err(|_| "`errno` is small")?,
            "size" => event.size = Some(number()?),
            "arguments" => event.arguments = list()?,
            "environment" => event.environment = list()?,
            other if EventKind::from_word(other).is_some() => {}
            other => return Err(format!("a step has no `{other}`")),
        }
    }
    Ok(event)
}
