//! Where findings and machine events are told besides the screen: a file in OCSF, a syslog server, a webhook.
//!
//! Telling never decides anything and never stops a watch: what cannot be delivered waits in a bounded queue and is tried
//! again, ever more seldom; what is dropped or left over is a problem beside the result. The evidence is in the log anyway.

mod queue;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use evidence::wire::ocsf::{self, Reporter};
use evidence::wire::syslog;
use evidence::{BytePath, Finding, MachineEvent, MachineEventKind, Problem, Severity, Timestamp};
use host::outbound::{Syslog, Webhook};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::files;
use queue::Queue;

/// How long the end of a command waits for what has not been delivered.
const LAST_PATIENCE_SECONDS: i64 = 20;
/// The shortest secret of a webhook.
const SECRET_MIN_BYTES: usize = 16;

/// Where to tell.
#[derive(Default)]
pub struct OutletOptions {
    /// Takes OCSF, one document a line.
    pub ocsf: Option<Box<dyn Write>>,
    /// Syslog servers: `unix:PATH`, `udp:HOST:PORT`, `tcp:HOST:PORT`.
    pub syslog: Vec<String>,
    /// A webhook, and the file with its secret.
    pub webhook: Option<(String, PathBuf)>,
}

/// The places to tell.
pub struct Outlets {
    reporter: Reporter,
    ocsf: Option<Box<dyn Write>>,
    syslog: Vec<(String, Syslog, Queue)>,
    webhook: Option<(String, Webhook, Queue)>,
    problems: Vec<Problem>,
}

impl Outlets {
    /// Makes them ready; nothing is sent yet.
    pub fn open(options: OutletOptions) -> Result<Self> {
        let mut syslog = Vec::new();
        for place in options.syslog {
            let server = Syslog::new(&place).map_err(Error::Outbound)?;
            syslog.push((place, server, Queue::default()));
        }
        let webhook = match options.webhook {
            None => None,
            Some((url, file)) => {
                let secret = files::read(&file, 1 << 16)?;
                let secret = secret.trim_ascii_end();
                if secret.len() < SECRET_MIN_BYTES {
                    return Err(Error::WebhookSecret { path: file, min: SECRET_MIN_BYTES });
                }
                let webhook = Webhook::new(&url, secret).map_err(Error::Outbound)?;
                Some((url, webhook, Queue::default()))
            }
        };
        let reporter =
            Reporter { host: host::machine::name(), version: env!("CARGO_PKG_VERSION").to_owned() };
        Ok(Self { reporter, ocsf: options.ocsf, syslog, webhook, problems: Vec::new() })
    }

    /// Tells findings.
    pub fn findings(&mut self, findings: &[Finding], now: Timestamp) {
        for finding in findings {
            let document = ocsf::finding(finding, &self.reporter, now);
            self.tell(finding.severity, now, &finding.code, &document);
        }
        self.post("findings", json!(findings), findings.is_empty(), now);
    }

    /// Tells machine events.
    pub fn events(&mut self, events: &[MachineEvent], now: Timestamp) {
        for event in events {
            let document = ocsf::machine_event(event, &self.reporter);
            self.tell(severity(event.kind), event.at, event.kind.word(), &document);
        }
        self.post("events", json!(events), events.is_empty(), now);
    }

    /// Tries what is due.
    pub fn pump(&mut self, now: Timestamp) {
        for (_, server, queue) in &mut self.syslog {
            queue.deliver(now, |message| server.send(message));
        }
        if let Some((_, webhook, queue)) = &mut self.webhook {
            queue.deliver(now, |body| webhook.post(body, now));
        }
    }

    /// Tries for a last while; returns what could not be told.
    pub fn finish(mut self, clock: &dyn Fn() -> Timestamp) -> Vec<Problem> {
        let began = clock();
        loop {
            let now = clock();
            self.pump(now);
            let queues = self.syslog.iter().map(|(_, _, queue)| queue);
            let mut queues = queues.chain(self.webhook.iter().map(|(_, _, queue)| queue));
            let empty = queues.all(Queue::is_empty);
            if empty || now.unix() - began.unix() >= LAST_PATIENCE_SECONDS {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut problems = self.problems;
        let places = self.syslog.iter().map(|(place, _, queue)| (place, queue));
        for (place, queue) in places.chain(self.webhook.iter().map(|(url, _, queue)| (url, queue))) {
            problems.extend(queue.lost().map(|detail| problem(place, detail)));
        }
        problems
    }

    fn tell(&mut self, severity: Severity, at: Timestamp, name: &str, document: &Value) {
        if let Some(out) = &mut self.ocsf
            && let Err(error) = writeln!(out, "{document}").and_then(|()| out.flush())
        {
            self.problems.push(problem("ocsf", error.to_string()));
            self.ocsf = None;
        }
        if self.syslog.is_empty() {
            return;
        }
        let message = syslog::message(severity, at, &self.reporter.host, std::process::id(), name, document);
        for (_, _, queue) in &mut self.syslog {
            queue.add(message.clone());
        }
    }

    fn post(&mut self, what: &str, content: Value, nothing: bool, now: Timestamp) {
        let Some((_, _, queue)) = self.webhook.as_mut().filter(|_| !nothing) else { return };
        let document = json!({
            "schema": evidence::wire::schema("webhook"), "host": self.reporter.host, "sent": now, (what): content,
        });
        queue.add(document.to_string().into_bytes());
    }
}

fn problem(place: &str, detail: String) -> Problem {
    Problem { path: BytePath::from(place), kind: "undelivered".into(), detail }
}

fn severity(kind: MachineEventKind) -> Severity {
    match kind {
        MachineEventKind::Forged => Severity::High,
        MachineEventKind::Changed | MachineEventKind::Gap | MachineEventKind::PrivilegeFailed => {
            Severity::Medium
        }
        MachineEventKind::LoginFailed => Severity::Low,
        MachineEventKind::Login
        | MachineEventKind::Logout
        | MachineEventKind::Privilege
        | MachineEventKind::Executed
        | MachineEventKind::Boot => Severity::Info,
    }
}
