//! `sbom` and its subcommands.

mod check;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use engine::evidence::wire::bill::{Form, Loss, Style};
use engine::evidence::{Bom, Problem, Timestamp};
use engine::{Bill, BillOf};
use serde_json::json;

use crate::args::sbom::{SbomArgs, SbomCommand, SbomFormat, Written};
use crate::context::{Context, UsageError};
use crate::output::{self, YES};

pub(crate) fn run(context: &Context, arguments: SbomArgs) -> Result<u8> {
    match arguments.command {
        Some(SbomCommand::Convert { document, written }) => convert(context, &document, &written),
        Some(SbomCommand::Merge { documents, name, release, written }) => {
            merge(context, &documents, &name, &release, &written)
        }
        Some(SbomCommand::Check { bill }) => check::check(context, &bill),
        Some(SbomCommand::Drift { declared, observed, shipped }) => {
            check::drift(context, [declared.as_deref(), observed.as_deref(), shipped.as_deref()])
        }
        None => {
            let target = arguments.target.as_deref().unwrap_or_default();
            let path = Path::new(target);
            // What is there as a file is meant as one; `./latest` for a file of that name, a record's name otherwise.
            if path.exists() {
                of_path(context, path, &arguments)
            } else {
                of_record(context, target, &arguments.written)
            }
        }
    }
}

fn of_record(context: &Context, name: &str, written: &Written) -> Result<u8> {
    let world = context.world()?;
    let view = engine::show(&world, name)?;
    if written.format == SbomFormat::CyclonedxJson {
        // Byte for byte what the provenance names.
        let bytes = engine::sbom(&view);
        match &written.output {
            Some(path) => {
                std::fs::write(path, &bytes).with_context(|| format!("cannot write `{}`", path.display()))?
            }
            None => output::bytes(&bytes)?,
        }
    } else {
        write(&engine::sbom_of_record(&view)?, written)?;
    }
    if let Some(path) = written.output.as_ref().filter(|_| context.json) {
        output::document("sbom", json!({ "file": path, "record": format!("r{}", view.number) }))?;
    }
    Ok(YES)
}

fn of_path(context: &Context, path: &Path, arguments: &SbomArgs) -> Result<u8> {
    let cache = if arguments.no_cache { None } else { cache_file(path) };
    let bill = engine::bill(&BillOf { path, all: arguments.all, cache: cache.as_deref() })?;
    let losses = write(&bill.bom, &arguments.written)?;
    let counts = counts(&bill.bom);
    match &arguments.written.output {
        Some(file) if context.json => output::document(
            "sbom",
            json!({
                "file": file, "packages": bill.bom.packages.len(), "byEcosystem": counts, "leftOut": bill.left_out,
                "files": bill.files, "read": bill.wanted - bill.remembered, "remembered": bill.remembered, "forgotten": bill.forgotten,
                "notEntered": bill.not_entered.iter().map(|(path, kind)| json!({"path": path, "type": kind})).collect::<Vec<_>>(),
                "losses": losses.iter().map(|loss| json!({"count": loss.count, "what": loss.what})).collect::<Vec<_>>(),
                "problems": bill.problems,
            }),
        )?,
        Some(file) => {
            output::text(&format!("{}wrote {}\n", summary(context, &bill, &counts), file.display()))?
        }
        None => output::note(context, summary(context, &bill, &counts).trim_end()),
    }
    Ok(YES)
}

/// How many packages there are of each ecosystem.
fn counts(bom: &Bom) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for package in &bom.packages {
        let word = package.ecosystem().unwrap_or(package.kind.word());
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

fn summary(context: &Context, bill: &Bill, counts: &BTreeMap<String, usize>) -> String {
    let list = |counts: &mut dyn Iterator<Item = (&str, usize)>| -> String {
        counts.map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "{} packages of {} ({}) in {} files\n",
        bill.bom.packages.len(),
        bill.bom.subject.name,
        list(&mut counts.iter().map(|(word, count)| (word.as_str(), *count))),
        bill.files
    );
    if !bill.left_out.is_empty() {
        let left_out = list(&mut bill.left_out.iter().map(|(word, count)| (*word, *count)));
        text += &format!("  left out: {left_out}; `--all` keeps them\n");
    }
    if let Some(why) = bill.forgotten {
        text += &format!("  the cache of an earlier look {why}: all was read anew\n");
    }
    if !bill.not_entered.is_empty() {
        let points: Vec<String> =
            bill.not_entered.iter().map(|(path, kind)| format!("{path} ({kind})")).collect();
        text += &format!("  not entered: {}\n", points.join(", "));
    }
    if !bill.problems.is_empty() {
        text += &format!(
            "  {} files could not be read whole; the document says that it is not complete\n",
            bill.problems.len()
        );
        if context.verbose {
            text += &output::problems(&bill.problems);
        } else {
            text += &output::problems(bill.problems.get(..3).unwrap_or(&bill.problems));
        }
    }
    text
}

/// Where a second look at a folder finds what files said: a cache of the user, one file for each folder that was looked at.
pub(crate) fn cache_file(path: &Path) -> Option<PathBuf> {
    let full = path.canonicalize().ok().filter(|path| path.is_dir())?;
    let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = own.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let digest = engine::evidence::Digest::of(full.as_os_str().as_encoded_bytes());
    Some(folder.join("countersign").join(format!("catalog-{}", digest.short())))
}

fn convert(context: &Context, document: &Path, written: &Written) -> Result<u8> {
    let (read, problems) = engine::sbom_read(document)?;
    let losses = write(&read.bom, written)?;
    let text = format!(
        "{} packages of {} {}\n{}{}",
        read.bom.packages.len(),
        read.form.word(),
        read.version,
        lost(&losses),
        output::problems(&problems)
    );
    match &written.output {
        Some(file) if context.json => output::document(
            "sbom-convert",
            json!({
                "file": file, "from": format!("{} {}", read.form.word(), read.version), "packages": read.bom.packages.len(),
                "losses": losses.iter().map(|loss| json!({"count": loss.count, "what": loss.what})).collect::<Vec<_>>(),
                "problems": problems,
            }),
        )?,
        Some(file) => output::text(&format!("{text}wrote {}\n", file.display()))?,
        None => output::note(context, text.trim_end()),
    }
    Ok(code(&problems))
}

fn merge(
    context: &Context,
    documents: &[PathBuf],
    name: &str,
    release: &str,
    written: &Written,
) -> Result<u8> {
    let (mut bills, mut problems, mut before) = (Vec::new(), Vec::new(), 0);
    for path in documents {
        let (document, more) = engine::sbom_read(path)?;
        before += document.bom.packages.len();
        bills.push(document.bom);
        problems.extend(more);
    }
    let merged = engine::sbom_merge(bills, name, release);
    let losses = write(&merged, written)?;
    let text = format!(
        "{before} packages of {} documents are {} packages\n{}{}",
        documents.len(),
        merged.packages.len(),
        lost(&losses),
        output::problems(&problems)
    );
    match &written.output {
        Some(file) if context.json => output::document(
            "sbom-merge",
            json!({ "file": file, "documents": documents.len(), "packages": merged.packages.len(), "problems": problems }),
        )?,
        Some(file) => output::text(&format!("{text}wrote {}\n", file.display()))?,
        None => output::note(context, text.trim_end()),
    }
    Ok(code(&problems))
}

fn lost(losses: &[Loss]) -> String {
    losses.iter().map(|loss| format!("  the form cannot hold: {} {}\n", loss.count, loss.what)).collect()
}

/// What could not be understood is not in the new document: that is no plain yes.
fn code(problems: &[Problem]) -> u8 {
    if problems.is_empty() { YES } else { output::UNDECIDED }
}

/// Writes a bill where it is wanted; a file whole or not at all.
fn write(bom: &Bom, written: &Written) -> Result<Vec<Loss>> {
    let timestamp = match written.timestamp.as_deref() {
        None => None,
        Some("now") => Some(Context::now()),
        Some(text) => Some(
            text.parse::<Timestamp>()
                .map_err(|_| UsageError(format!("`{text}` is no time such as 2026-01-31T12:00:00Z")))?,
        ),
    };
    let style = Style { timestamp, tool_version: env!("CARGO_PKG_VERSION").to_owned() };
    let form = match written.format {
        SbomFormat::CyclonedxJson => Form::CycloneDx,
        SbomFormat::SpdxJson => Form::Spdx2,
        SbomFormat::Spdx3Json => Form::Spdx3,
    };
    let Some(path) = &written.output else {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let losses = engine::sbom_write(bom, form, &style, &mut out)?;
        return match out.flush() {
            // A reader that has gone away is no error of ours.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(losses),
        };
    };
    let fail = || format!("cannot write `{}`", path.display());
    let mut temporary = path.clone().into_os_string();
    temporary.push(".new");
    let mut out = BufWriter::with_capacity(1 << 16, File::create(&temporary).with_context(fail)?);
    let losses = engine::sbom_write(bom, form, &style, &mut out)?;
    out.flush().with_context(fail)?;
    drop(out);
    std::fs::rename(&temporary, path).with_context(fail)?;
    Ok(losses)
}
