//! `watch report`.

use anyhow::Result;
use engine::MachineView;
use engine::evidence::{BytePath, MachineEvent, Problem};
use engine::judge::presence::{Build, Program, Programs, Session};
use serde_json::{Value, json};

use super::{describe, outlets, when};
use crate::args::watch::OutletArgs;
use crate::context::{Context, UsageError};
use crate::output::{self, NO, YES};

pub(super) fn run(context: &Context, since: &str, until: Option<&str>, arguments: OutletArgs) -> Result<u8> {
    let since = when::moment(since)?;
    let until = until.map_or_else(|| Ok(Context::now()), when::moment)?;
    if since > until {
        return Err(UsageError(format!("{since} is after {until}")).into());
    }
    let world = context.world()?;
    let (outlets, stdout) = outlets::open(context, arguments)?;
    let view = engine::presence(&world, since, until)?;
    let problems = outlets::tell(context, outlets, &view.presence.findings);
    let quiet = view.presence.findings.is_empty();
    let verdict = if quiet { "quiet" } else { "detected" };
    if context.json {
        output::document("watch-report", document(&view, verdict, &problems))?;
    } else if !stdout {
        output::text(&text(&view, verdict))?;
    }
    Ok(if quiet { YES } else { NO })
}

fn document(view: &MachineView, verdict: &str, problems: &[Problem]) -> Value {
    let presence = &view.presence;
    let sessions: Vec<Value> = presence
        .sessions
        .iter()
        .map(|session| {
            json!({
                "user": session.login.user, "from": session.login.from, "terminal": session.login.terminal,
                "method": session.login.method, "key": session.login.key, "login": session.login.at,
                "logout": session.logout, "sources": session.sources, "rights": session.rights,
                "programs": programs(&session.programs), "morePrograms": session.programs.more,
                "builds": session.builds.iter().map(build).collect::<Vec<_>>(), "changes": session.changes,
            })
        })
        .collect();
    let refused: Vec<Value> = presence
        .refused
        .iter()
        .map(|(user, from, times)| json!({ "user": user, "from": from, "times": times }))
        .collect();
    let reports: Vec<Value> = view
        .reports
        .iter()
        .map(|(index, report)| {
            json!({
                "logIndex": index, "host": report.host, "started": report.started, "finished": report.finished,
                "events": report.events, "gaps": report.gaps,
            })
        })
        .collect();
    json!({
        "verdict": verdict, "findings": presence.findings, "problems": problems, "since": view.since,
        "until": view.until, "sessions": sessions, "refused": refused, "changes": presence.changes,
        "rights": presence.rights, "programs": programs(&presence.programs),
        "morePrograms": presence.programs.more, "doubts": presence.doubts, "reports": reports,
    })
}

fn programs(programs: &Programs) -> Vec<Value> {
    let one = |one: &Program| {
        json!({
            "path": one.path, "command": one.command, "rights": one.rights, "first": one.first, "times": one.times,
        })
    };
    programs.list.iter().map(one).collect()
}

/// What was started, a line each.
fn started(programs: &Programs) -> String {
    let one = |one: &Program| {
        let rights = one.rights.as_ref().map_or_else(String::new, |rights| format!(" as {rights}"));
        let times = if one.times > 1 { format!(", {} times", one.times) } else { String::new() };
        let what = one.command.as_ref().or(one.path.as_ref()).map_or_else(String::new, ToString::to_string);
        format!("  {} started{rights}{times}: {what}\n", one.first)
    };
    let mut text: String = programs.list.iter().map(one).collect();
    if programs.more > 0 {
        text += &format!("  … and {} starts of other programs\n", programs.more);
    }
    text
}

fn build(build: &Build) -> Value {
    json!({
        "record": format!("r{}", build.number), "product": build.product, "release": build.release,
        "started": build.started, "finished": build.finished,
    })
}

fn text(view: &MachineView, verdict: &str) -> String {
    let presence = &view.presence;
    let mut text = format!("From {} until {}\n", view.since, view.until);
    for session in &presence.sessions {
        text += &one_session(session);
    }
    let mut part = |title: &str, events: &[MachineEvent]| {
        if !events.is_empty() {
            text += &format!("\n{title}\n");
            text += &events.iter().map(|event| format!("  {}", describe::event(event))).collect::<String>();
        }
    };
    part("Changed while nobody is known to have been logged in", &presence.changes);
    part("Rights taken on outside of known sessions", &presence.rights);
    part("Not to be relied on", &presence.doubts);
    if !presence.programs.list.is_empty() {
        text += &format!("\nStarted outside of known sessions\n{}", started(&presence.programs));
    }
    if !presence.refused.is_empty() {
        text += "\nRefused\n";
        for (user, from, times) in &presence.refused {
            text += &format!("  {} from {}: {times} times\n", name(user, "unknown"), name(from, "here"));
        }
    }
    if view.reports.is_empty() {
        text += "\nNo watch has reported on this span of time: `countersign watch` collects.\n";
    }
    let findings = &presence.findings;
    text += &format!(
        "\n{}: {} sessions, {} findings, {} reports\n",
        output::verdict(verdict, findings.is_empty()),
        presence.sessions.len(),
        findings.len(),
        view.reports.len()
    );
    text += &output::findings(findings);
    text
}

fn one_session(session: &Session) -> String {
    let login = &session.login;
    let until =
        session.logout.map_or_else(|| "not known to have ended".to_owned(), |end| format!("until {end}"));
    let mut text = format!(
        "\n{} from {} ({}), {} {until}\n",
        name(&login.user, "somebody"),
        name(&login.from, "here"),
        session.sources.join(", "),
        login.at
    );
    if let Some(key) = &login.key {
        text += &format!("  with {key}\n");
    }
    let indented = |events: &[MachineEvent]| {
        events.iter().map(|event| format!("  {}", describe::event(event))).collect::<String>()
    };
    text += &indented(&session.rights);
    text += &started(&session.programs);
    for build in &session.builds {
        let what = [build.product.as_str(), build.release.as_str()].join(" ");
        text += &format!(
            "  build r{} {}: {} until {}\n",
            build.number,
            what.trim(),
            build.started,
            build.finished
        );
    }
    text += &indented(&session.changes);
    text
}

fn name(value: &Option<BytePath>, unknown: &str) -> String {
    value.as_ref().map_or_else(|| unknown.to_owned(), ToString::to_string)
}
