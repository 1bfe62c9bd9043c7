//! `advisories`: what the world says about packages, and what of it touches us.

mod matching;
mod versions;

use std::fmt::Write as _;

use anyhow::Result;
use engine::{ImportOptions, ImportReport, NoticeKind};
use serde_json::json;

use crate::args::advisories::{AdvisoriesCommand, HowArgs};
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

/// So many problems and notices fit on a screen.
const SHOWN: usize = 12;

pub(crate) fn run(context: &Context, command: AdvisoriesCommand) -> Result<u8> {
    let now = Context::now();
    match command {
        AdvisoriesCommand::Import { paths, how } => {
            let (store, world) = (context.store()?, world(context)?);
            imported(context, &engine::import_advisories(&store, world.as_ref(), &paths, options(&how), now)?)
        }
        AdvisoriesCommand::Update { from, how } => {
            let (store, world) = (context.store()?, world(context)?);
            imported(context, &engine::update_advisories(&store, world.as_ref(), &from, options(&how), now)?)
        }
        AdvisoriesCommand::Status { age } => status(context, age.max_age),
        AdvisoriesCommand::Match { targets, full, names, age } => {
            let options = engine::Matching { max_age_days: age.max_age, now, names };
            matching::run(context, &targets, full, &options)
        }
        AdvisoriesCommand::Affected { what } => affected(context, &what),
        AdvisoriesCommand::Versions { ecosystem, left, right } => {
            versions::versions(context, &ecosystem, left.as_deref().zip(right.as_deref()))
        }
    }
}

/// The store with its records, if there is one. The index itself needs none, not even where one is named.
pub(super) fn world(context: &Context) -> Result<Option<engine::World>> {
    match context.world() {
        Ok(world) => Ok(Some(world)),
        Err(error) if matches!(error.downcast_ref(), Some(engine::Error::NoStore(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

fn options(how: &HowArgs) -> ImportOptions {
    ImportOptions { replace: how.replace, may_shrink: how.allow_shrink }
}

fn imported(context: &Context, report: &ImportReport) -> Result<u8> {
    let ImportReport { imported, notices } = report;
    let affected = notices.iter().any(|notice| notice.kind == NoticeKind::NewlyAffected);
    let unread = !imported.problems.is_empty() || imported.more_problems > 0;
    let code = if affected { NO } else { YES };
    if context.json {
        let content = json!({
            "snapshot": imported.snapshot, "read": imported.kinds, "changes": imported.changes.len(),
            "newly_exploited": imported.newly_exploited, "notices": notices,
            "problems": imported.problems, "more_problems": imported.more_problems,
        });
        output::document("advisories-import", content)?;
        return Ok(code);
    }
    let mut text = String::new();
    for (kind, count) in &imported.kinds {
        writeln!(text, "  {count:>8} {kind}")?;
    }
    if !imported.changes.is_empty() {
        writeln!(text, "  {} records are new or have changed", imported.changes.len())?;
    }
    if imported.newly_exploited > 0 {
        writeln!(text, "  {} vulnerabilities are newly known to be exploited", imported.newly_exploited)?;
    }
    text += &output::problems(&imported.problems[..imported.problems.len().min(SHOWN)]);
    let more = imported.problems.len().saturating_sub(SHOWN) as u64 + imported.more_problems;
    if more > 0 {
        writeln!(text, "  and {more} problems more; `--json` lists the first 1000")?;
    }
    for notice in notices.iter().take(SHOWN) {
        let records: Vec<String> = notice.records.iter().map(|number| format!("r{number}")).collect();
        let word = match notice.kind {
            NoticeKind::NewlyAffected => "newly affected",
            NoticeKind::Retracted => "retracted",
            NoticeKind::SeverityChanged => "severity changed",
            NoticeKind::ExploitationChanged => "exploitation changed",
        };
        writeln!(
            text,
            "  {word}: {} ({}) in {}: {}",
            notice.advisory,
            notice.packages.join(", "),
            records.join(", "),
            notice.detail
        )?;
    }
    if notices.len() > SHOWN {
        writeln!(text, "  and {} notices more; `--json` lists them", notices.len() - SHOWN)?;
    }
    let next = match (affected, unread) {
        (true, _) => "look: `countersign advisories match latest`",
        (false, true) => "the rest is imported; what could not be read stands above",
        (false, false) => "ask: `countersign advisories match LOCKFILE`",
    };
    writeln!(
        text,
        "{}: snapshot {}; {next}",
        output::verdict("imported", !affected),
        imported.snapshot.short()
    )?;
    output::text(&text)?;
    Ok(code)
}

fn status(context: &Context, max_age: u32) -> Result<u8> {
    let status = engine::advisory_status(&context.store()?, Context::now())?;
    let stale = status.snapshot.age_days > max_age;
    let code = if stale || !status.problems.is_empty() { UNDECIDED } else { YES };
    let word = match (status.problems.is_empty(), stale) {
        (false, _) => "damaged",
        (true, true) => "stale",
        (true, false) => "current",
    };
    if context.json {
        let mut content = serde_json::to_value(&status)?;
        if let Some(content) = content.as_object_mut() {
            content.insert("verdict".into(), word.into());
        }
        output::document("advisories-status", content)?;
        return Ok(code);
    }
    let mut text = String::new();
    let ecosystems: Vec<String> =
        status.ecosystems.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(text, "  {} records in {} segments, {} bytes", status.records, status.segments, status.bytes)?;
    writeln!(text, "  {}", ecosystems.join(", "))?;
    for (name, source) in &status.sources {
        let kinds: Vec<String> = source.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let newest = source.newest.map_or_else(String::new, |newest| format!(", newest {newest}"));
        writeln!(text, "  {name}: {}{newest}, read {}", kinds.join(", "), source.read)?;
    }
    text += &output::problems(&status.problems);
    let next = match word {
        "damaged" => "import again with `--replace`",
        "stale" => "get newer ones: `countersign advisories update --from …`",
        _ => "ask: `countersign advisories match LOCKFILE`",
    };
    writeln!(
        text,
        "{}: snapshot {}, {} days old; {next}",
        output::verdict(word, code == YES),
        status.snapshot.id.short(),
        status.snapshot.age_days
    )?;
    output::text(&text)?;
    Ok(code)
}

fn affected(context: &Context, what: &str) -> Result<u8> {
    let world = context.world()?;
    let found = engine::affected(&context.store()?, &world, what)?;
    let any = !found.rows.is_empty();
    let (word, code) = if any { ("affected", NO) } else { ("clean", YES) };
    if context.json {
        let mut content = serde_json::to_value(&found)?;
        if let Some(content) = content.as_object_mut() {
            content.insert("verdict".into(), word.into());
            content.insert("findings".into(), json!([]));
            content.insert("problems".into(), json!([]));
        }
        output::document("advisories-affected", content)?;
        return Ok(code);
    }
    let mut text = String::new();
    for package in &found.packages {
        writeln!(text, "  {package}")?;
    }
    for row in &found.rows {
        let name = [row.product.as_str(), row.release.as_str()].join(" ");
        writeln!(text, "  r{:<5} {} {:<20} {}", row.record, row.at, row.role, name.trim())?;
    }
    let next = match found.between {
        Some((first, last)) => {
            format!(
                "built between {first} and {last}; `countersign advisories match RECORD` says how each used it"
            )
        }
        None => "no recorded build had it".to_owned(),
    };
    writeln!(text, "{}: {next}", output::verdict(word, !any))?;
    output::text(&text)?;
    Ok(code)
}
