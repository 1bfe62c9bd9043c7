//! `posture`: the state of a machine against its purpose, and the zones of the network.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use engine::evidence::posture::Reached;
use engine::judge::posture::{DEFAULT, Outcome};
use engine::{PostureCheck, SegmentsTest};
use serde_json::{Value, json};

use crate::args::posture::PostureCommand;
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

pub(crate) fn run(context: &Context, command: PostureCommand) -> Result<u8> {
    match command {
        PostureCommand::Check { level, policy, root, facts, output } => {
            let check = PostureCheck {
                root: &root,
                facts: facts.as_deref(),
                policy: policy.as_deref(),
                level: level.map(Into::into),
                now: Context::now(),
            };
            check_machine(context, &check, output.as_deref())
        }
        PostureCommand::Rules => {
            output::text(DEFAULT)?;
            Ok(YES)
        }
        PostureCommand::Segments { zones, zone, timeout, no_records } => {
            let test = SegmentsTest {
                zones: &zones,
                zone: zone.as_deref(),
                patience: Duration::from_secs(timeout),
                records: !no_records,
            };
            segments(context, &test)
        }
    }
}

fn said(answer: Option<bool>, good: &'static str, bad: &'static str) -> (&'static str, u8) {
    match answer {
        Some(true) => (good, YES),
        Some(false) => (bad, NO),
        None => ("undetermined", UNDECIDED),
    }
}

fn check_machine(context: &Context, check: &PostureCheck<'_>, file: Option<&Path>) -> Result<u8> {
    let checked = engine::posture_check(context.world_if_any()?.as_ref(), check)?;
    if let Some(file) = file {
        std::fs::write(file, format!("{:#}\n", serde_json::to_value(&checked.posture)?))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    let findings = checked.findings();
    let (verdict, code) = said(checked.is_met(), "met", "not-met");
    if context.json {
        let rules: Vec<Value> = checked
            .rules
            .iter()
            .map(|ruled| {
                json!({
                    "id": ruled.rule.id, "title": ruled.rule.title, "outcome": ruled.outcome.word(), "fact": ruled.rule.fact,
                    "found": ruled.fact.as_ref().map(|fact| &fact.value), "read": ruled.fact.as_ref().map(|fact| &fact.read),
                })
            })
            .collect();
        output::document(
            "posture",
            json!({
                "verdict": verdict, "host": checked.posture.host, "at": checked.posture.at, "level": checked.level.word(),
                "rules": rules, "findings": findings, "problems": [],
            }),
        )?;
        return Ok(code);
    }
    let mut text = output::findings(&findings);
    let met = checked.rules.iter().filter(|ruled| ruled.outcome == Outcome::Met);
    for ruled in met.clone() {
        let found = ruled.fact.as_ref().map_or_else(String::new, |fact| fact.value.to_string());
        // Writing to a string cannot fail.
        writeln!(text, "  [met] {}: {found}", ruled.rule.title).ok();
        if let Some(fact) = ruled.fact.as_ref().filter(|_| context.verbose) {
            writeln!(text, "      read: {}", fact.read.join(", ")).ok();
        }
    }
    writeln!(
        text,
        "{}: {} as a {} machine: {} of {} rules are met",
        output::verdict(verdict, code == YES),
        checked.posture.host,
        checked.level.word(),
        met.count(),
        checked.rules.len()
    )
    .ok();
    output::text(&text)?;
    Ok(code)
}

fn segments(context: &Context, test: &SegmentsTest<'_>) -> Result<u8> {
    let tested = engine::posture_segments(context.world_if_any()?.as_ref(), test)?;
    let (verdict, code) = said(tested.are_apart(), "apart", "not-apart");
    let word = |reached: &Reached| match reached {
        Reached::Open => "open",
        Reached::Refused => "refused",
        Reached::Silent(_) => "closed",
        Reached::Unknown(_) => "unknown",
    };
    if context.json {
        let tried: Vec<Value> = tested
            .tried
            .iter()
            .map(|(probe, reached)| {
                json!({ "zone": probe.zone, "address": probe.address, "allowed": probe.allowed, "reached": word(reached) })
            })
            .collect();
        output::document(
            "posture-segments",
            json!({
                "verdict": verdict, "zone": tested.zone, "tried": tried, "records": tested.records, "flows": tested.flows,
                "findings": tested.findings, "problems": [],
            }),
        )?;
        return Ok(code);
    }
    let mut text = output::findings(&tested.findings);
    for (probe, reached) in &tested.tried {
        let may = if probe.allowed { "allowed" } else { "forbidden" };
        writeln!(text, "  {:10} {:24} {may:9} {}", probe.zone, probe.address.to_string(), word(reached)).ok();
    }
    writeln!(
        text,
        "{}: from {}, {} addresses tried; {} connections in {} records looked at",
        output::verdict(verdict, code == YES),
        tested.zone,
        tested.tried.len(),
        tested.flows,
        tested.records
    )
    .ok();
    output::text(&text)?;
    Ok(code)
}
