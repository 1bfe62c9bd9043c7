//! `watch --replay`.

use anyhow::Result;
use engine::evidence::{Finding, Problem};
use engine::{Replay, Replayed};
use serde_json::json;

use super::outlets;
use crate::args::watch::OutletArgs;
use crate::context::Context;
use crate::output::{self, NO, YES};

pub(super) fn run(context: &Context, replay: &Replay, arguments: OutletArgs) -> Result<u8> {
    let world = context.world()?;
    let (outlets, stdout) = outlets::open(context, arguments)?;
    let replayed = engine::replay(&world, replay)?;
    let found = &replayed.detections.found;
    let findings: Vec<Finding> = found.iter().map(|one| one.finding.clone()).collect();
    let problems = outlets::tell(context, outlets, &findings);
    let verdict = if found.is_empty() { "quiet" } else { "detected" };
    if context.json {
        document(&replayed, verdict, &problems)?;
    } else if !stdout {
        text(context, &replayed, verdict)?;
    }
    Ok(if found.is_empty() { YES } else { NO })
}

fn document(replayed: &Replayed, verdict: &str, problems: &[Problem]) -> Result<()> {
    let found = &replayed.detections.found;
    let findings: Vec<_> = found.iter().map(|one| &one.finding).collect();
    let places: Vec<_> = found
        .iter()
        .map(|one| json!({ "finding": one.finding.id, "sequence": one.sequence, "at_ns": one.at_ns }))
        .collect();
    let unsupported: Vec<_> = replayed
        .unsupported
        .iter()
        .map(|one| json!({ "file": one.file, "title": one.title, "reasons": one.reasons }))
        .collect();
    output::document(
        "watch",
        json!({
            "verdict": verdict, "findings": findings, "places": places,
            "not_evaluated": replayed.detections.not_evaluated, "unsupported": unsupported, "problems": problems,
            "record": format!("r{}", replayed.number), "rules": replayed.detections.rules,
            "rule_count": replayed.rules, "events": replayed.events,
        }),
    )
}

fn text(context: &Context, replayed: &Replayed, verdict: &str) -> Result<()> {
    let mut text = String::new();
    for one in &replayed.unsupported {
        let title = if one.title.is_empty() { "no title" } else { &one.title };
        text += &format!("  [not supported] {} ({title}): {}\n", one.file, one.reasons.join("; "));
    }
    let left_out = &replayed.detections.not_evaluated;
    if context.verbose {
        for one in left_out {
            text += &format!("  [not evaluated] {}: {}\n", one.rule, one.reason);
        }
    }
    let found = &replayed.detections.found;
    text += &found.iter().map(|one| output::finding(&one.finding, None)).collect::<String>();
    text += &format!(
        "{}: r{}, {} findings of {} rules in {} events; {} rules not evaluated, {} not supported\n",
        output::verdict(verdict, found.is_empty()),
        replayed.number,
        found.len(),
        replayed.rules,
        replayed.events,
        left_out.len(),
        replayed.unsupported.len(),
    );
    if !found.is_empty() {
        text += &format!("  → countersign show r{} --timeline\n", replayed.number);
    } else if !left_out.is_empty() && !context.verbose {
        text += "  → `-v` says which rules were not evaluated, and why\n";
    }
    output::text(&text)
}
