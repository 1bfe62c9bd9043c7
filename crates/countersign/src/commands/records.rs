//! `records`, `show`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use engine::evidence::record::Process;
use engine::evidence::{Event, Record};
use engine::{RecordView, World};
use serde_json::json;

use crate::args::ShowArgs;
use crate::context::Context;
use crate::output::{self, YES};

pub(crate) fn list(context: &Context) -> Result<u8> {
    let rows = engine::records(&context.world()?)?;
    if context.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "record": format!("r{}", row.number), "digest": row.digest, "product": row.product, "release": row.release,
                    "outcome": row.outcome, "attestable": row.complete, "started": row.started, "finished": row.finished,
                })
            })
            .collect();
        output::document("records", json!({ "records": rows }))?;
        return Ok(YES);
    }
    let mut text = String::new();
    for row in &rows {
        writeln!(
            text,
            "r{:<4} {}  {:<12} {:<20} {:<12} {}",
            row.number,
            row.started,
            row.outcome,
            row.product,
            row.release,
            row.digest.short()
        )?;
    }
    if rows.is_empty() {
        text += "no records yet: countersign run --output 'dist/*' -- make\n";
    }
    output::text(&text)?;
    Ok(YES)
}

pub(crate) fn show(context: &Context, arguments: &ShowArgs) -> Result<u8> {
    let world = context.world()?;
    let view = engine::show(&world, &arguments.record)?;
    if let Some(file) = &arguments.why {
        return super::why::why(context, &view, file);
    }
    let record = &view.record;
    let name = format!("r{}", view.number);
    if context.json {
        let content = if arguments.timeline {
            let events: Vec<_> = engine::timeline(&world, &view)?.iter().map(event_document).collect();
            json!({ "record": name, "digest": view.digest, "events": events })
        } else if arguments.outputs {
            json!({ "record": name, "digest": view.digest, "outputs": record.outputs })
        } else if arguments.inputs {
            let inputs: Vec<_> = record.files.iter().filter(|file| file.is_input()).collect();
            json!({ "record": name, "digest": view.digest, "inputs": inputs })
        } else if arguments.processes {
            json!({ "record": name, "digest": view.digest, "processes": record.processes })
        } else if arguments.network {
            json!({ "record": name, "digest": view.digest, "network": record.network })
        } else if arguments.components {
            json!({ "record": name, "digest": view.digest, "components": record.components })
        } else {
            json!({ "record": name, "digest": view.digest, "logIndex": view.log_index, "document": record })
        };
        output::document("show", content)?;
        return Ok(YES);
    }
    let mut text = String::new();
    if arguments.timeline {
        timeline(&mut text, &world, &view)?;
    } else if arguments.outputs {
        for output in &record.outputs {
            writeln!(text, "{}  {:>10}  {}", output.digest, output.size, output.path)?;
        }
    } else if arguments.inputs {
        for file in record.files.iter().filter(|file| file.is_input()) {
            for digest in &file.read {
                let owner = file.package.as_deref().unwrap_or("");
                writeln!(text, "{:<10} {}  {}  {owner}", file.role.word(), digest.short(), file.path)?;
            }
        }
    } else if arguments.processes {
        processes(&mut text, record)?;
    } else if arguments.network {
        for destination in &record.network {
            writeln!(
                text,
                "{:<8} {}  by {:?}",
                destination.action, destination.address, destination.processes
            )?;
        }
    } else if arguments.components {
        for component in &record.components {
            writeln!(text, "{}", component.purl)?;
        }
    } else {
        overview(&mut text, &view)?;
    }
    output::text(&text)?;
    Ok(YES)
}

fn overview(text: &mut String, view: &RecordView) -> Result<()> {
    let record = &view.record;
    let command: Vec<String> = record.command.iter().map(ToString::to_string).collect();
    writeln!(text, "r{}  {}", view.number, view.digest)?;
    writeln!(text, "  product     {} {}", record.product, record.release)?;
    writeln!(text, "  command     {}  (in {})", command.join(" "), record.workdir)?;
    if let Some(checkout) = &record.checkout {
        writeln!(
            text,
            "  commit      {}  ({} files, {} changed)",
            checkout.commit, checkout.files, checkout.changed
        )?;
    }
    writeln!(text, "  time        {} – {}", record.started, record.finished)?;
    writeln!(text, "  ended       {} ({})", record.exit, engine::outcome(record))?;
    let completeness = &record.completeness;
    writeln!(
        text,
        "  observed    {} events, {} lost, {} unresolved, {} refused; {} inputs hashed before use, {} beside it",
        completeness.events,
        completeness.dropped,
        completeness.unresolved,
        completeness.refused,
        completeness.hashed_before_use,
        completeness.hashed_after
    )?;
    for (reason, times) in &completeness.gaps {
        writeln!(text, "  gap         {reason} ({times}×)")?;
    }
    let mut roles: BTreeMap<&str, usize> = BTreeMap::new();
    for file in &record.files {
        *roles.entry(file.role.word()).or_insert(0) += 1;
    }
    let roles: Vec<String> = roles.iter().map(|(role, count)| format!("{count} {role}")).collect();
    writeln!(text, "  files       {}", roles.join(", "))?;
    writeln!(
        text,
        "  also        {} processes, {} components, {} addresses",
        record.processes.len(),
        record.components.len(),
        record.network.len()
    )?;
    for output in &record.outputs {
        writeln!(text, "  output      {}  {}", output.digest, output.path)?;
    }
    Ok(())
}

fn processes(text: &mut String, record: &Record) -> Result<()> {
    let mut children: BTreeMap<Option<u32>, Vec<&Process>> = BTreeMap::new();
    for process in &record.processes {
        children.entry(process.parent).or_default().push(process);
    }
    let mut waiting: Vec<(usize, &Process)> =
        children.get(&None).into_iter().flatten().rev().map(|process| (0, *process)).collect();
    while let Some((depth, process)) = waiting.pop() {
        let status = process.status.map_or_else(String::new, |status| {
            if status == 0 { String::new() } else { format!("  → {status}") }
        });
        if process.programs.is_empty() {
            writeln!(text, "{}#{} (fork){status}", "  ".repeat(depth), process.index)?;
        }
        for program in &process.programs {
            let arguments: Vec<String> = program.arguments.iter().map(ToString::to_string).collect();
            writeln!(
                text,
                "{}#{} {}  [{}]{status}",
                "  ".repeat(depth),
                process.index,
                arguments.join(" "),
                program.path
            )?;
        }
        waiting.extend(
            children.get(&Some(process.index)).into_iter().flatten().rev().map(|child| (depth + 1, *child)),
        );
    }
    Ok(())
}

fn timeline(text: &mut String, world: &World, view: &RecordView) -> Result<()> {
    for event in engine::timeline(world, view)? {
        let path = event.path.as_ref().map_or_else(String::new, ToString::to_string);
        let target = event.target.as_ref().map_or_else(String::new, |target| format!(" → {target}"));
        let failed = if event.errno == 0 { String::new() } else { format!("  errno {}", event.errno) };
        let detail = event.detail.as_ref().map_or_else(String::new, |detail| format!("  {detail}"));
        let millis = event.at_ns / 1_000_000;
        writeln!(
            text,
            "{:>6}.{:03}s #{:<5} {:<8} {path}{target}{failed}{detail}",
            millis / 1000,
            millis % 1000,
            event.process,
            event.kind.word()
        )?;
    }
    Ok(())
}

fn event_document(event: &Event) -> serde_json::Value {
    json!({
        "sequence": event.sequence, "atNs": event.at_ns, "process": event.process, "other": event.other,
        "kind": event.kind.word(), "path": event.path, "target": event.target, "digest": event.digest, "size": event.size, "format": event.format,
        "errno": event.errno, "status": event.status, "arguments": event.arguments,
        "environment": event.environment, "detail": event.detail,
    })
}
