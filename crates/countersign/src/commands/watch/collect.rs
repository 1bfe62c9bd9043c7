//! `watch` without a record: collects until told to stop.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use engine::{Collect, LogKind, Source, Surroundings};
use serde_json::json;

use super::{describe, outlets, when};
use crate::args::watch::{CollectArgs, OutletArgs};
use crate::context::Context;
use crate::output::{self, YES};

pub(super) fn run(context: &Context, arguments: &CollectArgs, outlet: OutletArgs) -> Result<u8> {
    let world = context.world()?;
    let (mut outlets, stdout) = outlets::open(context, outlet)?;
    let (logs, paths) = sources(world.root(), arguments)?;
    let collect = Collect {
        logs,
        paths,
        once: arguments.once,
        seconds: arguments.span.as_deref().map(when::span).transpose()?,
        batch_seconds: when::span(&arguments.batch)?,
        to_utc: when::to_utc,
    };
    let passphrase = context.passphrase()?;
    output::note(
        context,
        &format!("countersign: watching {} logs and {} paths", collect.logs.len(), collect.paths.len()),
    );
    let mut tell = |event: &engine::evidence::MachineEvent| {
        if !context.json && !context.quiet && !stdout {
            output::text(&describe::event(event)).ok();
        }
    };
    let collected = engine::collect(&world, &collect, &passphrase, &Context::now, &mut outlets, &mut tell)?;
    let problems = outlets::finish(context, outlets);
    if context.json {
        output::document(
            "watch-collect",
            json!({
                "reports": collected.reports, "events": collected.events, "gaps": collected.gaps,
                "watched": collected.watched, "problems": problems,
            }),
        )?;
    } else if !stdout {
        let gaps: u64 = collected.gaps.values().sum();
        output::text(&format!(
            "collected: {} events in {} reports, {gaps} gaps; {} files under watch\n  → countersign watch report\n",
            collected.events,
            collected.reports.len(),
            collected.watched
        ))?;
    }
    Ok(YES)
}

/// What is named, and the defaults for what is not.
fn sources(store: &Path, arguments: &CollectArgs) -> Result<(Vec<Source>, Vec<PathBuf>)> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let home = std::env::home_dir();
    let program = std::env::current_exe().ok();
    let store = std::fs::canonicalize(store).with_context(|| format!("cannot find `{}`", store.display()))?;
    let surroundings =
        Surroundings { project: &here, store: &store, home: home.as_deref(), program: program.as_deref() };
    let given = [
        (LogKind::Auth, &arguments.auth_log),
        (LogKind::Journal, &arguments.journal),
        (LogKind::Journalctl, &arguments.journalctl),
        (LogKind::Audit, &arguments.audit_log),
        (LogKind::Wtmp, &arguments.wtmp),
        (LogKind::Btmp, &arguments.btmp),
    ];
    let mut logs: Vec<Source> = Vec::new();
    for (kind, files) in given {
        logs.extend(files.iter().map(|path| Source { kind, path: here.join(path) }));
        if files.is_empty() && !arguments.no_defaults {
            logs.extend(surroundings.logs().into_iter().filter(|source| source.kind == kind));
        }
    }
    let mut paths: Vec<PathBuf> = arguments.path.iter().map(|path| here.join(path)).collect();
    if !arguments.no_defaults {
        paths.extend(surroundings.paths());
    }
    paths.sort();
    paths.dedup();
    Ok((logs, paths))
}
