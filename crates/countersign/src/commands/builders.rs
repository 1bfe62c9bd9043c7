//! `quorum`, `rebuild`: builders that check each other.

use std::path::PathBuf;

use anyhow::Result;
use engine::evidence::record::Exit;
use engine::evidence::{BytePath, Problem};
use engine::{Quorum, Rebuild, SourcesFrom};
use serde_json::json;

use crate::args::trust::{QuorumArgs, RebuildArgs};
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

pub(crate) fn quorum(context: &Context, arguments: QuorumArgs) -> Result<u8> {
    let world = context.world()?;
    let ask = Quorum { artifact: arguments.artifact, records: arguments.record, needed: arguments.needed };
    let report = engine::quorum(&world, &ask, &context.passphrase()?)?;
    let statement = &report.statement;
    let verdict = statement.verdict.as_str();
    if context.json {
        output::document(
            "quorum",
            json!({
                "verdict": verdict, "findings": report.findings, "problems": [], "artifact": report.artifact,
                "agreed": statement.agreed, "of": statement.of, "needed": statement.needed,
                "builders": statement.builders, "logIndex": report.log_index,
            }),
        )?;
    } else {
        let mut text = String::new();
        for vote in &statement.builders {
            let made = match (&vote.excluded, &vote.output) {
                (Some(why), _) => format!("does not count: {why}"),
                (None, Some(output)) if *output == report.artifact => "made these bytes".to_owned(),
                (None, Some(output)) => format!("made {output}"),
                (None, None) => "made nothing of that name".to_owned(),
            };
            text += &format!("  builder {}  {made}\n", vote.builder);
        }
        text += &output::findings(&report.findings);
        text += &format!(
            "{}: {} of {} builders, {} needed; logged at entry {}, where the gate reads it\n",
            output::verdict(verdict, verdict == "agree"),
            statement.agreed,
            statement.of,
            statement.needed,
            report.log_index
        );
        output::text(&text)?;
    }
    Ok(match verdict {
        "agree" => YES,
        "disagree" => NO,
        _ => UNDECIDED,
    })
}

/// A folder, or another builder's service.
fn place(from: PathBuf) -> SourcesFrom {
    match from.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
        Some(url) => SourcesFrom::Service(url.to_owned()),
        None => SourcesFrom::Folder(from),
    }
}

pub(crate) fn rebuild(context: &Context, arguments: RebuildArgs) -> Result<u8> {
    let world = context.world()?;
    let what = Rebuild {
        record: arguments.record,
        from: arguments.from.map(place),
        same_conditions: arguments.same_conditions,
        vary_clock: arguments.vary_clock,
        bisect: arguments.bisect,
        environment: std::env::vars_os().collect(),
    };
    let passphrase = context.passphrase()?;
    let rebuilt = engine::rebuild(&world, &what, &passphrase, &Context::now, &mut |step| {
        output::note(context, &format!("countersign: built again: {step}"));
    })?;
    let failed = rebuilt.exit != Exit::Code(0);
    let same = !failed && rebuilt.outputs.iter().all(|(_, same)| *same) && !rebuilt.outputs.is_empty();
    let verdict = match (same, failed || rebuilt.outputs.is_empty()) {
        (true, _) => "agree",
        (false, true) => "undetermined",
        (false, false) => "disagree",
    };
    if context.json {
        let outputs: Vec<_> =
            rebuilt.outputs.iter().map(|(path, same)| json!({ "path": path, "same": same })).collect();
        let mut problems: Vec<Problem> =
            rebuilt.comparison.iter().flat_map(|comparison| comparison.problems.iter().cloned()).collect();
        problems.extend(failed.then(|| Problem {
            path: BytePath::from(format!("r{}", rebuilt.second)),
            kind: "repetition-failed".into(),
            detail: rebuilt.exit.to_string(),
        }));
        output::document(
            "rebuild",
            json!({
                "verdict": verdict, "findings": rebuilt.findings, "problems": problems,
                "first": rebuilt.first, "second": format!("r{}", rebuilt.second),
                "variations": rebuilt.variations, "outputs": outputs, "logIndex": rebuilt.log_index,
                "influences": rebuilt.influences.iter().map(|influence| json!({
                    "what": influence.what, "remedy": influence.remedy, "outputs": influence.outputs,
                })).collect::<Vec<_>>(),
                "explanations": rebuilt.comparison.as_ref().map(|comparison| &comparison.findings),
            }),
        )?;
    } else {
        let mut text = String::new();
        for variation in &rebuilt.variations {
            text += &format!("  varied  {variation}\n");
        }
        for (path, same) in &rebuilt.outputs {
            text += &format!("  {}  {path}\n", if *same { "same   " } else { "DIFFERS" });
        }
        if failed {
            text += &format!("  the repetition failed: {}\n", rebuilt.exit);
        }
        text += &output::findings(&rebuilt.findings);
        text += &format!(
            "{}: r{} repeats {}{}\n",
            output::verdict(verdict, same),
            rebuilt.second,
            rebuilt.first,
            if same || rebuilt.comparison.is_none() {
                String::new()
            } else {
                format!("; see `countersign compare {} r{}`", rebuilt.first, rebuilt.second)
            }
        );
        output::text(&text)?;
    }
    Ok(match verdict {
        "agree" => YES,
        "disagree" => NO,
        _ => UNDECIDED,
    })
}
