//! `drill list`, `drill run`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use drill::{Drill, DrillError, Score};
use serde_json::json;

use crate::args::DrillCommand;
use crate::context::{Context, UsageError};
use crate::output::{self, NO, YES};

pub(crate) fn run(context: &Context, command: DrillCommand) -> Result<u8> {
    match command {
        DrillCommand::List => list(context),
        DrillCommand::Run { name, without } => run_drills(context, &name, without.as_deref()),
    }
}

fn list(context: &Context) -> Result<u8> {
    if context.json {
        output::document("drill-list", json!({ "drills": drill::ALL }))?;
        return Ok(YES);
    }
    let mut text = String::new();
    for drill in drill::ALL {
        writeln!(text, "{}\n  {}", drill.name, drill.attack)?;
        for control in drill.controls {
            writeln!(text, "    {:<20} {}", control.name, control.what)?;
        }
    }
    output::text(&text)?;
    Ok(YES)
}

fn run_drills(context: &Context, name: &str, without: Option<&str>) -> Result<u8> {
    let drills: Vec<&Drill> = if name == "all" {
        drill::ALL.iter().collect()
    } else {
        vec![drill::find(name).ok_or_else(|| {
            UsageError(format!("there is no drill `{name}`; `countersign drill list` lists them"))
        })?]
    };
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut scores = Vec::new();
    for drill in drills {
        output::note(context, &format!("countersign: drill {} in a sandbox …", drill.name));
        scores.push(drill.run(&program, without).map_err(|error| match error {
            error @ DrillError::NoControl { .. } => anyhow::Error::from(UsageError(error.to_string())),
            error => error.into(),
        })?);
    }
    let caught = scores.iter().all(Score::caught);
    let verdict = if caught { "caught" } else { "missed" };
    if context.json {
        output::document(
            "drill-run",
            json!({ "verdict": verdict, "findings": [], "problems": [], "scores": scores }),
        )?;
    } else {
        let mut text = String::new();
        for score in &scores {
            writeln!(
                text,
                "{}: {}",
                score.drill,
                output::verdict(if score.caught() { "caught" } else { "missed" }, score.caught())
            )?;
            for step in &score.steps {
                let mark = if step.caught { "ok    " } else { "MISSED" };
                writeln!(text, "  {mark} {:<20} {} ({:.1} s)", step.control, step.expected, step.seconds)?;
                for line in &step.evidence {
                    writeln!(text, "           {line}")?;
                }
            }
        }
        output::text(&text)?;
    }
    Ok(if caught { YES } else { NO })
}
