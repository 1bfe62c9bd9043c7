//! `advisories match`: the answer as text for one screen, and for programs.

use std::fmt::Write as _;

use anyhow::Result;
use engine::judge::matching::{Ranked, Verdict};
use engine::{Matched, Matching};
use serde_json::{Value, json};

use super::world;
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

/// So many findings fit on a screen.
const FINDINGS_SHOWN: usize = 10;
const LISTED_SHOWN: usize = 5;

pub(super) fn run(context: &Context, targets: &[String], full: bool, options: &Matching) -> Result<u8> {
    let world = world(context)?;
    let matched = engine::match_advisories(&context.store()?, world.as_ref(), targets, options)?;
    let code = match matched.verdict {
        Verdict::Clean => YES,
        Verdict::Affected => NO,
        Verdict::Undetermined => UNDECIDED,
    };
    if context.json {
        output::document("advisories-match", document(&matched)?)?;
    } else {
        output::text(&report(&matched, full || context.verbose)?)?;
    }
    Ok(code)
}

fn document(matched: &Matched) -> Result<Value> {
    let ranked: Vec<Value> = matched.ranked.iter().map(row).collect();
    Ok(json!({
        "verdict": matched.verdict, "findings": matched.findings(), "problems": matched.problems,
        "ranked": ranked, "suppressed": matched.suppressed, "retracted": matched.retracted,
        "snapshot": matched.snapshot, "packages": matched.packages, "artifacts": matched.artifacts,
        "unasked": matched.unasked, "left_out": matched.left_out, "unheard": matched.unheard,
        "more_problems": matched.more_problems,
    }))
}

fn row(ranked: &Ranked) -> Value {
    json!({
        "priority": ranked.priority, "advisory": ranked.advisory.id, "aliases": ranked.advisory.aliases,
        "malicious": ranked.advisory.malicious, "package": ranked.sighting.package,
        "grade": ranked.sighting.grade, "used": ranked.sighting.used, "within": ranked.sighting.within,
        "inputs": ranked.inputs, "finding": ranked.finding.id,
    })
}

/// What does not count, and why: suppressed ones are counted, always.
pub(crate) fn suppressed(matched: &Matched, shown: usize) -> Result<String> {
    let mut text = String::new();
    if !matched.suppressed.is_empty() {
        writeln!(text, "  {} suppressed by statements and approvals:", matched.suppressed.len())?;
        for one in matched.suppressed.iter().take(shown) {
            let until = one.expires.map_or_else(String::new, |expires| format!(", until {expires}"));
            writeln!(
                text,
                "      {} {}: {} ({}; {}{until})",
                one.advisory, one.package, one.status, one.reason, one.author
            )?;
        }
        let more = matched.suppressed.len().saturating_sub(shown);
        if more > 0 {
            writeln!(text, "      and {more} more")?;
        }
    }
    for (why, count) in &matched.unheard {
        writeln!(text, "  {count} times statements were not heard: they {why}")?;
    }
    Ok(text)
}

fn report(matched: &Matched, full: bool) -> Result<String> {
    let most = |shown: usize| if full { usize::MAX } else { shown };
    let mut text = String::new();
    for (number, ranked) in matched.ranked.iter().take(most(FINDINGS_SHOWN)).enumerate() {
        writeln!(text, "{:>3}. {}", number + 1, ranked.priority.word())?;
        // People see everything that decided; the finding itself keeps what does not change from day to day.
        let mut finding = ranked.finding.clone();
        finding.because = ranked.inputs.clone();
        text += &output::findings(&[finding]);
    }
    let hidden = matched.ranked.len().saturating_sub(most(FINDINGS_SHOWN));
    if hidden > 0 {
        writeln!(text, "  and {hidden} more; `--full` shows them")?;
    }
    text += &output::findings(&matched.others);
    let shown = matched.problems.len().min(most(FINDINGS_SHOWN));
    text += &output::problems(&matched.problems[..shown]);
    if matched.problems.len() > shown {
        let more = (matched.problems.len() - shown) as u64 + matched.more_problems;
        writeln!(text, "  and {more} problems more; `--full` shows the first thousand")?;
    }
    text += &suppressed(matched, most(LISTED_SHOWN))?;
    if !matched.retracted.is_empty() {
        writeln!(text, "  {} retracted: the advisories were withdrawn", matched.retracted.len())?;
        for one in matched.retracted.iter().take(most(LISTED_SHOWN)) {
            writeln!(text, "      {} {} on {}", one.advisory, one.package, one.withdrawn)?;
        }
    }
    let mut asked = format!("{} packages", matched.packages);
    if matched.artifacts > 0 {
        write!(asked, " and {} files", matched.artifacts)?;
    }
    if matched.left_out > 0 {
        write!(asked, " ({} of tests and caches left out)", matched.left_out)?;
    }
    let next = match matched.verdict {
        Verdict::Clean => "no advisory speaks of any of them".to_owned(),
        Verdict::Affected => {
            let packages: std::collections::BTreeSet<&str> =
                matched.ranked.iter().map(|ranked| ranked.sighting.package.as_str()).collect();
            format!("{} findings in {} packages; begin with the first", matched.ranked.len(), packages.len())
        }
        Verdict::Undetermined => {
            "nobody can tell; treat it as affected until what stands above is settled".to_owned()
        }
    };
    writeln!(
        text,
        "{}: asked about {asked} in snapshot {}, {} days old; {next}",
        output::verdict(matched.verdict.word(), matched.verdict == Verdict::Clean),
        matched.snapshot.id.short(),
        matched.snapshot.age_days
    )?;
    Ok(text)
}
