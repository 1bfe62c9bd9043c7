//! `sbom check` and `sbom drift`.

use std::fmt::Write as _;

use anyhow::Result;
use engine::evidence::{Bom, Problem};
use engine::judge::bill::{Bills, differences};
use serde_json::json;

use crate::context::{Context, UsageError};
use crate::output::{self, NO, UNDECIDED, YES};

pub(super) fn check(context: &Context, text: &str) -> Result<u8> {
    let world = context.world_if_any()?;
    let (bom, problems) = engine::sbom_of_text(world.as_ref(), text)?;
    let checked = engine::judge::bill::check(&bom);
    let code = exit(!checked.findings.is_empty(), &problems);
    let verdict = word(code, "meets", "lacks");
    if context.json {
        let rules: Vec<_> = checked
            .rules
            .iter()
            .map(|row| {
                json!({
                    "set": row.set, "asks": row.asks, "met": row.met, "of": row.of, "demanded": row.demanded,
                    "examples": row.examples,
                })
            })
            .collect();
        output::document(
            "sbom-check",
            json!({
                "verdict": verdict, "score": checked.score, "rules": rules, "findings": checked.findings,
                "problems": problems,
            }),
        )?;
        return Ok(code);
    }
    let mut text = String::new();
    for row in &checked.rules {
        let mark = if row.met == row.of {
            "yes"
        } else if row.met == 0 {
            "no "
        } else {
            "   "
        };
        // Writing to a string cannot fail.
        writeln!(text, "  {mark} {:7} {:38} {} of {}", row.set, row.asks, row.met, row.of).ok();
        if let Some(example) = row.examples.first().filter(|_| row.met < row.of) {
            writeln!(text, "              not {example}").ok();
        }
    }
    text += &output::problems(&problems);
    writeln!(
        text,
        "{}: score {} of 100; {} demands of NTIA and BSI TR-03183-2 are not met",
        output::verdict(verdict, code == YES),
        checked.score,
        checked.findings.len()
    )
    .ok();
    output::text(&text)?;
    Ok(code)
}

/// Takes declared, observed, shipped.
pub(super) fn drift(context: &Context, texts: [Option<&str>; 3]) -> Result<u8> {
    if texts.iter().flatten().count() < 2 {
        anyhow::bail!(UsageError("give at least two of `--declared`, `--observed`, `--shipped`".into()));
    }
    let world = context.world_if_any()?;
    let mut problems: Vec<Problem> = Vec::new();
    let mut read = |text: Option<&str>| -> Result<Option<Bom>> {
        let Some(text) = text else { return Ok(None) };
        let (bom, more) = engine::sbom_of_text(world.as_ref(), text)?;
        problems.extend(more);
        Ok(Some(bom))
    };
    let [declared, observed, shipped] = [read(texts[0])?, read(texts[1])?, read(texts[2])?];
    let bills = Bills { declared: declared.as_ref(), observed: observed.as_ref(), shipped: shipped.as_ref() };
    let findings = differences(&bills);
    let code = exit(!findings.is_empty(), &problems);
    let verdict = word(code, "agree", "differ");
    if context.json {
        let content = json!({ "verdict": verdict, "findings": findings, "problems": problems });
        output::document("sbom-drift", content)?;
        return Ok(code);
    }
    output::text(&format!(
        "{}{}{}: {} findings\n",
        output::findings(&findings),
        output::problems(&problems),
        output::verdict(verdict, code == YES),
        findings.len()
    ))?;
    Ok(code)
}

fn exit(found: bool, problems: &[Problem]) -> u8 {
    match (found, problems.is_empty()) {
        (true, _) => NO,
        (false, false) => UNDECIDED,
        (false, true) => YES,
    }
}

fn word<'a>(code: u8, yes: &'a str, no: &'a str) -> &'a str {
    match code {
        YES => yes,
        NO => no,
        _ => "undetermined",
    }
}
