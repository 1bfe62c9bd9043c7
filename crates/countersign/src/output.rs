//! How the program speaks: people on stdout in words, programs in JSON, progress and errors on stderr.

use std::io::{self, BufWriter, IsTerminal, Write};

use engine::evidence::{Finding, Problem, Severity};
use engine::judge::gate::Weighed;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::context::{Context, UsageError};

/// The answers.
pub(crate) const YES: u8 = 0;
pub(crate) const NO: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const UNDECIDED: u8 = 3;
pub(crate) const RECORDER_FAILED: u8 = 125;

/// Prints text on stdout. A reader that has gone away is no error of ours.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    bytes(text.as_bytes())
}

pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Prints a document; `schema` comes first.
pub(crate) fn document(name: &str, content: Value) -> anyhow::Result<()> {
    let mut document = Map::new();
    document.insert("schema".into(), format!("urn:countersign:{name}:v1").into());
    if let Value::Object(content) = content {
        document.extend(content);
    }
    text(&format!("{:#}\n", Value::Object(document)))
}

/// Prints a document that may be large: without a copy of it in memory.
pub(crate) fn large_document(name: &str, content: &impl Serialize) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Document<'a, C> {
        schema: String,
        #[serde(flatten)]
        content: &'a C,
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let document = Document { schema: format!("urn:countersign:{name}:v1"), content };
    let written = serde_json::to_writer_pretty(&mut out, &document).map_err(io::Error::from);
    match written.and_then(|()| writeln!(out)).and_then(|()| out.flush()) {
        // Who reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Says something on stderr, unless asked not to.
pub(crate) fn note(context: &Context, words: &str) {
    if !context.quiet {
        // Nobody is left to tell if stderr is gone.
        writeln!(io::stderr().lock(), "{words}").ok();
    }
}

/// Prints an error with its causes and what to do next; returns the exit code.
pub(crate) fn error(context: &Context, error: &anyhow::Error) -> u8 {
    let known = error.downcast_ref::<engine::Error>();
    let usage = error.is::<UsageError>() || known.is_some_and(engine::Error::is_usage);
    let code = if usage { USAGE } else { UNDECIDED };
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let hint = known.and_then(engine::Error::hint);
    if context.json {
        let content = json!({ "error": causes.first(), "causes": causes.get(1..), "hint": hint });
        document("error", content).ok();
    }
    let mut err = io::stderr().lock();
    writeln!(err, "countersign: {}", causes.join(": ")).ok();
    if let Some(hint) = hint {
        writeln!(err, "  hint: {hint}").ok();
    }
    code
}

/// Whether to colour: on a terminal, unless `NO_COLOR` is set to anything.
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Wraps a word in a colour, if colours are wanted.
pub(crate) fn verdict(word: &str, good: bool) -> String {
    let colour = if good { "\x1b[1;32m" } else { "\x1b[1;31m" };
    if colours() { format!("{colour}{word}\x1b[0m") } else { word.to_owned() }
}

fn severity(severity: Severity) -> String {
    let word = severity.word();
    match severity {
        Severity::Critical | Severity::High if colours() => format!("\x1b[31m{word}\x1b[0m"),
        _ => word.to_owned(),
    }
}

/// Writes a finding as people read it.
pub(crate) fn finding(finding: &Finding, weight: Option<&str>) -> String {
    let weight = weight.map_or_else(String::new, |word| format!(" · {word}"));
    let mut lines =
        format!("  [{}{weight}] {} ({})\n", severity(finding.severity), finding.title, finding.code);
    if let Some(path) = &finding.subject.path {
        lines += &format!("      {path}\n");
    }
    if let Some(digest) = &finding.subject.digest {
        lines += &format!("      {digest}\n");
    }
    for reason in &finding.because {
        lines += &format!("      because {reason}\n");
    }
    lines += &format!("      → {}\n      id {}\n", finding.hint, finding.id);
    lines
}

pub(crate) fn findings(list: &[Finding]) -> String {
    list.iter().map(|one| finding(one, None)).collect()
}

pub(crate) fn weighed(list: &[Weighed]) -> String {
    list.iter()
        .map(|one| {
            let mut lines = finding(&one.finding, Some(one.weight.word()));
            let missing = one.approvals.as_ref().and_then(|approvals| approvals.hint(&one.finding.id));
            if let Some(missing) = missing {
                lines += &format!("      {missing}\n");
            }
            lines
        })
        .collect()
}

pub(crate) fn problems(list: &[Problem]) -> String {
    list.iter()
        .map(|problem| format!("  [unread] {}: {} ({})\n", problem.path, problem.detail, problem.kind))
        .collect()
}

/// Shows how far something is: on a terminal, after the first second.
pub(crate) struct Progress {
    began: std::time::Instant,
    shown: std::time::Instant,
    active: bool,
    what: &'static str,
}

impl Progress {
    pub(crate) fn new(context: &Context, what: &'static str) -> Self {
        let now = std::time::Instant::now();
        Self { began: now, shown: now, active: !context.quiet && io::stderr().is_terminal(), what }
    }

    pub(crate) fn update(&mut self, done: u64, total: u64) {
        let now = std::time::Instant::now();
        if !self.active
            || now.duration_since(self.began).as_secs() < 1
            || now.duration_since(self.shown).as_millis() < 100
        {
            return;
        }
        self.shown = now;
        write!(io::stderr().lock(), "\r{} {done}/{total}\x1b[K", self.what).ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.active && self.shown != self.began {
            write!(io::stderr().lock(), "\r\x1b[K").ok();
        }
    }
}
