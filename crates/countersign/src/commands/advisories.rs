//! `advisories`: what the world says about packages, and what of it touches us.

pub(super) mod matching;
mod versions;

use std::fmt::Write as _;
use std::path::Path;

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
        AdvisoriesCommand::Match { targets, full, names, max_age, vex_max_age, snapshot } => {
            let options =
                engine::Matching { names, max_age_days: max_age, vex_max_days: vex_max_age, snapshot, now };
            matching::run(context, &targets, full, &options)
        }
        AdvisoriesCommand::Follow { bill: Some(bill), product, release } => {
            follow(context, &bill, product.as_deref(), release.as_deref())
        }
        AdvisoriesCommand::Follow { bill: None, .. } => followed(context),
        AdvisoriesCommand::Compact => {
            let (snapshot, segments) = engine::compact_advisories(&context.store()?, now)?;
            if context.json {
                output::document("advisories-compact", json!({ "snapshot": snapshot, "merged": segments }))?;
            } else {
                output::text(&format!("merged {segments} segments: snapshot {}\n", snapshot.short()))?;
            }
            Ok(YES)
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
            shortened(&notice.assets),
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

/// The first names of many.
fn shortened(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn follow(context: &Context, bill: &Path, product: Option<&str>, release: Option<&str>) -> Result<u8> {
    let taken = engine::follow(&context.world()?, bill, product, release)?;
    let followed = &taken.followed;
    if context.json {
        output::document("advisories-follow", json!({ "followed": followed, "known": taken.known }))?;
        return Ok(YES);
    }
    let name = [followed.product.as_str(), followed.release.as_str()].join(" ");
    let how = if taken.known { "is followed already" } else { "is followed from now on" };
    output::text(&format!(
        "{} {how}: {} packages, bill of {}\n",
        name.trim(),
        followed.count,
        followed.made
    ))?;
    Ok(YES)
}

fn followed(context: &Context) -> Result<u8> {
    let followed = engine::followed(&context.world()?)?;
    if context.json {
        let list: Vec<&engine::evidence::Followed> = followed.iter().map(|(_, one)| one).collect();
        output::document("advisories-followed", json!({ "followed": list }))?;
        return Ok(YES);
    }
    let mut text = String::new();
    for (_, one) in &followed {
        let name = [one.product.as_str(), one.release.as_str()].join(" ");
        writeln!(text, "  {} {:<30} {} packages, {}", one.made, name.trim(), one.count, one.bill.short())?;
    }
    writeln!(text, "{} products and releases are followed", followed.len())?;
    output::text(&text)?;
    Ok(YES)
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
        let name = match row.kind {
            "build" => [row.product.as_str(), row.release.as_str()].join(" "),
            _ => String::new(),
        };
        let until = match row.until {
            Some(until) if until != row.at => format!(" to {until}"),
            _ => String::new(),
        };
        let gone = match row.gone {
            Some(true) => ", gone since",
            None if row.kind == "machine" => ", not in the last look, which was partial",
            _ => "",
        };
        let line =
            format!("{:<8} {:<12} {} {:<32} {}{until}{gone}", row.kind, row.name, row.at, row.role, name);
        writeln!(text, "  {}", line.trim_end())?;
    }
    let next = match (found.shipped_between, found.between) {
        (Some((first, last)), _) => format!("shipped between {first} and {last}"),
        (None, Some((first, last))) => format!(
            "seen between {first} and {last}, and in nothing that was signed; `countersign advisories match RECORD` says how a \
             build used it"
        ),
        (None, None) => "no recorded build, followed product or machine had it".to_owned(),
    };
    writeln!(text, "{}: {next}", output::verdict(word, !any))?;
    output::text(&text)?;
    Ok(code)
}
