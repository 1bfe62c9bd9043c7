//! `log show`, `log check`, `log cosign`, `log export`.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;

use crate::args::trust::LogCommand;
use crate::context::Context;
use crate::output::{self, NO, YES};

pub(crate) fn run(context: &Context, command: LogCommand) -> Result<u8> {
    if let LogCommand::Witness { folder, name, log, listen } = command {
        return super::serve::witness(context, &folder, &name, &log, &listen);
    }
    if let LogCommand::Check { against, served: Some(folder) } = &command {
        return checked(context, &engine::served_check(folder, against.as_deref())?);
    }
    let world = context.world()?;
    match command {
        LogCommand::Witness { .. } => unreachable!("a witness needs no store and was begun above"),
        LogCommand::Cosign => {
            let cosigning = engine::cosign(&world, &engine::exchange)?;
            let verdict = if !cosigning.findings.is_empty() {
                "forked"
            } else if cosigning.quorum {
                "cosigned"
            } else {
                "unwitnessed"
            };
            let good = verdict == "cosigned";
            if context.json {
                let missing: Vec<_> = cosigning
                    .missing
                    .iter()
                    .map(|(name, why)| json!({ "witness": name, "because": why }))
                    .collect();
                output::document(
                    "log-cosign",
                    json!({
                        "verdict": verdict, "findings": cosigning.findings, "problems": [], "size": cosigning.size,
                        "witnesses": cosigning.witnesses, "missing": missing,
                    }),
                )?;
            } else {
                let mut text = output::findings(&cosigning.findings);
                for (name, why) in &cosigning.missing {
                    writeln!(text, "  no cosignature by {name}: {why}")?;
                }
                let by = if cosigning.witnesses.is_empty() {
                    "nobody".into()
                } else {
                    cosigning.witnesses.join(", ")
                };
                writeln!(text, "{}: {} entries, by {by}", output::verdict(verdict, good), cosigning.size)?;
                output::text(&text)?;
            }
            Ok(if good { YES } else { NO })
        }
        LogCommand::Show { from, count } => {
            let rows = engine::log_rows(&world, from, count)?;
            if context.json {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|row| {
                        let subjects: Vec<_> = row
                            .subjects
                            .iter()
                            .map(|(name, digest)| json!({ "name": name, "digest": digest }))
                            .collect();
                        json!({
                            "index": row.index, "kind": row.kind, "statement": row.statement, "key": row.key,
                            "subjects": subjects, "time": row.time,
                        })
                    })
                    .collect();
                output::document("log-show", json!({ "entries": rows }))?;
                return Ok(YES);
            }
            let mut text = String::new();
            for row in &rows {
                let time = row.time.map_or_else(|| "-".repeat(20), |time| time.to_string());
                writeln!(text, "{:>6}  {time}  {:<10} by {}", row.index, row.kind, row.key)?;
                for (name, digest) in row.subjects.iter().take(4) {
                    writeln!(text, "          {} {name}", digest.short())?;
                }
            }
            output::text(&text)?;
            Ok(YES)
        }
        LogCommand::Check { against, .. } => {
            checked(context, &engine::log_check(&world, against.as_deref())?)
        }
        LogCommand::Export { folder } => {
            let files = engine::log_export(&world, &folder)?;
            if context.json {
                output::document("log-export", json!({ "folder": folder, "files": files }))?;
            } else {
                output::text(&format!("{} files in {}\n", files.len(), folder.display()))?;
            }
            Ok(YES)
        }
    }
}

fn checked(context: &Context, report: &engine::LogReport) -> Result<u8> {
    let verdict = report.verdict();
    let good = report.findings.is_empty();
    if context.json {
        output::document(
            "log-check",
            json!({
                "verdict": verdict, "findings": report.findings, "problems": [], "size": report.size, "root": report.root,
                "origin": report.origin,
            }),
        )?;
    } else {
        output::text(&format!(
            "{}: {} entries, root {}, {}\n{}",
            output::verdict(verdict, good),
            report.size,
            report.root,
            report.origin,
            output::findings(&report.findings)
        ))?;
    }
    Ok(if good { YES } else { NO })
}
