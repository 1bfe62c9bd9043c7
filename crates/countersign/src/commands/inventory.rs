//! `inventory`: looks at machines, questions about them, and what builds use of them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use engine::evidence::Timestamp;
use engine::{Look, Query};
use serde_json::{Value, json};

use super::sbom::cache_file;
use crate::args::inventory::InventoryCommand;
use crate::context::{Context, UsageError};
use crate::output::{self, NO, UNDECIDED, YES};

pub(crate) fn run(context: &Context, command: InventoryCommand) -> Result<u8> {
    match command {
        InventoryCommand::Collect { root, host, output, no_cache } => {
            collect(context, &root, host, output.as_deref(), no_cache)
        }
        InventoryCommand::Import { file, host } => import(context, &file, &host),
        InventoryCommand::Check { host, eol } => check(context, host.as_deref(), eol.as_deref()),
        InventoryCommand::Accept { host, reason } => accept(context, host.as_deref(), &reason),
        InventoryCommand::Query { question } => query(context, &question.join(" ")),
        InventoryCommand::Unused { since, root, recipe } => unused(context, &since, &root, recipe.as_deref()),
        InventoryCommand::Used { records } => used(context, &records),
    }
}

fn collect(
    context: &Context,
    root: &Path,
    host: Option<String>,
    file: Option<&Path>,
    anew: bool,
) -> Result<u8> {
    engine::make_way();
    let cache = if anew { None } else { cache_file(root) };
    let look = Look { root, host, now: Context::now(), cache: cache.as_deref() };
    let mut looked = engine::inventory_collect(&look)?;
    let world = context.world_if_any()?;
    if let Some(world) = &world {
        engine::inventory_store(world, &mut looked)?;
    }
    let inventory = &looked.inventory;
    if let Some(file) = file {
        let whole = json!({ "inventory": inventory, "sections": looked.sections });
        std::fs::write(file, format!("{whole:#}\n"))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    let state = if inventory.complete { "complete" } else { "partial" };
    // A partial look is none that decides anything.
    let code = if inventory.complete { YES } else { UNDECIDED };
    if context.json {
        output::document(
            "inventory-collect",
            json!({
                "verdict": state, "host": inventory.host, "collected": inventory.collected, "digest": looked.digest,
                "counts": inventory.counts, "gaps": inventory.gaps, "shared": looked.shared,
            }),
        )?;
        return Ok(code);
    }
    let mut text = format!("{} at {}\n", inventory.host, inventory.collected);
    for (section, count) in &inventory.counts {
        // Writing to a string cannot fail.
        writeln!(text, "  {count:>7} {section}").ok();
    }
    for gap in inventory.gaps.iter().take(if context.verbose { usize::MAX } else { 5 }) {
        writeln!(text, "  [not seen] {gap}").ok();
    }
    let kept = match (&looked.digest, file) {
        (Some(digest), _) => format!("kept as {} ({} sections as before)", digest.short(), looked.shared),
        (None, Some(file)) => format!("wrote {}", file.display()),
        (None, None) => "not kept: there is no store here; `countersign init` makes one".to_owned(),
    };
    writeln!(
        text,
        "{}: {} things not seen; {kept}",
        output::verdict(state, inventory.complete),
        inventory.gaps.len()
    )
    .ok();
    output::text(&text)?;
    Ok(code)
}

fn import(context: &Context, file: &Path, host: &str) -> Result<u8> {
    let mut looked = engine::inventory_import(file, host, Context::now())?;
    engine::inventory_store(&context.world()?, &mut looked)?;
    let inventory = &looked.inventory;
    if context.json {
        output::document(
            "inventory-import",
            json!({
                "verdict": "partial", "host": inventory.host, "collected": inventory.collected, "digest": looked.digest,
                "counts": inventory.counts, "gaps": inventory.gaps, "shared": looked.shared,
            }),
        )?;
        return Ok(YES);
    }
    let mut text = String::new();
    for (section, count) in &inventory.counts {
        writeln!(text, "  {count:>7} {section}").ok();
    }
    for gap in &inventory.gaps {
        writeln!(text, "  [not seen] {gap}").ok();
    }
    writeln!(text, "kept as a partial look at {}", inventory.host).ok();
    output::text(&text)?;
    Ok(YES)
}

fn check(context: &Context, host: Option<&str>, eol: Option<&Path>) -> Result<u8> {
    let checked = engine::inventory_check(&context.world()?, host, eol, Context::now())?;
    let (verdict, code) = match checked.is_clean() {
        Some(true) => ("clean", YES),
        Some(false) => ("found", NO),
        None => ("undetermined", UNDECIDED),
    };
    if context.json {
        output::document(
            "inventory-check",
            json!({
                "verdict": verdict, "host": checked.host, "role": checked.role.word(), "collected": checked.collected,
                "accepted": checked.accepted.map(|(digest, at)| json!({ "digest": digest, "at": at })),
                "findings": checked.findings, "gaps": checked.gaps, "problems": [],
            }),
        )?;
        return Ok(code);
    }
    let mut text = output::findings(&checked.findings);
    for gap in checked.gaps.iter().take(if context.verbose { usize::MAX } else { 5 }) {
        writeln!(text, "  [not seen] {gap}").ok();
    }
    let held = match checked.accepted {
        Some((digest, at)) => format!("held against {}, accepted {at}", digest.short()),
        None if checked.is_compared() => "people try things out here: nothing is unexpected".to_owned(),
        None => "nothing was accepted yet: `countersign inventory accept`".to_owned(),
    };
    writeln!(
        text,
        "{}: {} as a {} machine, looked at {}; {held}",
        output::verdict(verdict, code == YES),
        checked.host,
        checked.role.word(),
        checked.collected
    )
    .ok();
    output::text(&text)?;
    Ok(code)
}

fn accept(context: &Context, host: Option<&str>, reason: &str) -> Result<u8> {
    let world = context.world()?;
    let (digest, look) =
        engine::inventory_accept(&world, host, reason, &context.passphrase()?, Context::now())?;
    if context.json {
        output::document(
            "inventory-accept",
            json!({ "host": look.host, "digest": digest, "collected": look.collected, "reason": reason }),
        )?;
    } else {
        output::text(&format!(
            "accepted: {} as of {} ({}); {} things were not seen\n",
            look.host,
            look.collected,
            digest.short(),
            look.gaps.len()
        ))?;
    }
    Ok(YES)
}

fn query(context: &Context, question: &str) -> Result<u8> {
    let query = Query::parse(question).map_err(UsageError)?;
    let seen = engine::inventory_query(&context.world()?, &query)?;
    let code = if seen.is_empty() { NO } else { YES };
    if context.json {
        let rows: Vec<Value> = seen
            .iter()
            .map(|one| {
                json!({
                    "host": one.host, "section": one.section, "item": one.item, "first": one.first, "last": one.last,
                    "gone": one.gone,
                })
            })
            .collect();
        output::document(
            "inventory-query",
            json!({ "verdict": if code == YES { "found" } else { "none" }, "rows": rows }),
        )?;
        return Ok(code);
    }
    let mut text = String::new();
    for one in &seen {
        let path = one.item.path.as_ref().map_or_else(String::new, |path| format!("  {path}"));
        writeln!(
            text,
            "{}  {} {}{path}  {}: first {}, last {}{}",
            one.host,
            one.item.purl.as_deref().unwrap_or(&one.item.name),
            one.item.version,
            one.section,
            one.first,
            one.last,
            if one.gone { ", gone since" } else { "" }
        )
        .ok();
    }
    writeln!(text, "{} found", seen.len()).ok();
    output::text(&text)?;
    Ok(code)
}

/// Reads `90d` or a time.
fn moment(text: &str) -> Result<Timestamp> {
    const DAY_SECONDS: i64 = 86_400;
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
        return Ok(Timestamp::from_unix(Context::now().unix() - days.saturating_mul(DAY_SECONDS)));
    }
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Ok(text.parse().map_err(|_| UsageError(format!("`{text}` is neither days such as 90d nor a time")))?)
}

fn unused(context: &Context, since: &str, root: &Path, recipe: Option<&Path>) -> Result<u8> {
    let cache = cache_file(root);
    let found = engine::inventory_unused(&context.world()?, moment(since)?, root, cache.as_deref())?;
    if found.records.is_empty() {
        anyhow::bail!(UsageError("no record since then: nothing says what builds use".into()));
    }
    if let Some(file) = recipe {
        let text = found.recipe.as_deref().ok_or_else(|| {
            UsageError("this system is not made of Debian packages: there is no recipe for it".into())
        })?;
        std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    let names: Vec<&str> = found.packages.iter().map(|package| package.name.as_str()).collect();
    let command = format!("apt-get purge --no-auto-remove -s {}", names.join(" "));
    // Something that a record touches must not go: then there is no list.
    let code = if found.touched.is_empty() { YES } else { UNDECIDED };
    if context.json {
        let rows: Vec<Value> = found
            .packages
            .iter()
            .map(|one| json!({ "name": one.name, "purl": one.purl, "dangers": one.dangers, "sizeBytes": one.size }))
            .collect();
        output::document(
            "inventory-unused",
            json!({
                "packages": rows, "used": found.used, "kept": found.needed, "records": found.records, "touched": found.touched,
                "command": command, "recipe": found.recipe,
            }),
        )?;
        return Ok(code);
    }
    let mut text = String::new();
    for package in &found.packages {
        writeln!(text, "{:>8} KiB  {:40} {}", package.size / 1024, package.name, package.dangers.join(", "))
            .ok();
    }
    for line in &found.touched {
        writeln!(text, "  [touched] {line}").ok();
    }
    writeln!(
        text,
        "{} packages of the system are used by {} records, {} stay with what they need, {} may go\n\
         simulate it, then leave out `-s`:\n  {command}",
        found.used,
        found.records.len(),
        found.needed,
        found.packages.len()
    )
    .ok();
    output::text(&text)?;
    Ok(code)
}

fn used(context: &Context, records: &[String]) -> Result<u8> {
    let used = engine::inventory_used(&context.world()?, records)?;
    let drifting = used.iter().filter(|one| one.digests.len() > 1).count();
    let code = if drifting == 0 { YES } else { NO };
    if context.json {
        let rows: Vec<Value> = used
            .iter()
            .map(|one| json!({ "path": one.path, "package": one.package, "digests": one.digests, "records": one.records }))
            .collect();
        output::document(
            "inventory-used",
            json!({ "verdict": if code == YES { "same" } else { "drift" }, "files": rows }),
        )?;
        return Ok(code);
    }
    let mut text = String::new();
    for one in &used {
        let digests: Vec<&str> = one.digests.iter().map(String::as_str).collect();
        let mark = if digests.len() > 1 { "DRIFT " } else { "" };
        writeln!(text, "{mark}{}  {}  {}", digests.join(" "), one.path, one.package).ok();
    }
    writeln!(text, "{} files of the toolchain; {drifting} had other bytes in other records", used.len()).ok();
    output::text(&text)?;
    Ok(code)
}
