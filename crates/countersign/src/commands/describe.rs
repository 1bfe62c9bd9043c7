//! `inspect` and `compare`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use engine::Comparand;
use engine::evidence::Node;
use engine::judge::anomalies::anomalies;
use engine::judge::compare::{Change, SourceChanged, Status, Verdict};
use serde_json::json;

use crate::args::YesNo;
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

pub(crate) fn inspect(context: &Context, paths: &[PathBuf]) -> Result<u8> {
    let (mut trees, mut findings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let tree = engine::inspect(path)?;
        findings.extend(anomalies(&tree));
        problems.extend(tree.problems.iter().cloned());
        trees.push(tree);
    }
    let code = match (findings.is_empty(), problems.is_empty()) {
        (false, _) => NO,
        (true, false) => UNDECIDED,
        (true, true) => YES,
    };
    if context.json {
        let roots: Vec<&Node> = trees.iter().map(|tree| &tree.root).collect();
        output::document(
            "inspect",
            json!({ "artifacts": roots, "findings": findings, "problems": problems }),
        )?;
        return Ok(code);
    }
    let mut text = String::new();
    for tree in &trees {
        tree.root.walk(|path, node| {
            let digest = node.digest.map_or_else(|| " ".repeat(12), |digest| digest.short());
            // Writing to a string cannot fail.
            writeln!(text, "{digest}  {:>10}  {:<9} {path}", node.size, node.format).ok();
            for image in &node.executables {
                let signed = image.signature.as_ref().map_or_else(String::new, |signature| {
                    let state = match signature.digest_matches {
                        Some(true) => "digest matches",
                        Some(false) => "DIGEST DIFFERS",
                        None => "digest not checked",
                    };
                    let signer = signature.signer.as_deref().unwrap_or("unknown signer");
                    format!(", {} signature by {signer} ({state})", signature.kind)
                });
                writeln!(
                    text,
                    "              {} {}, {} sections, {} libraries, {} imports, {} exports{signed}",
                    image.machine,
                    image.kind,
                    image.sections.len(),
                    image.libraries.len(),
                    image.imports.len(),
                    image.exports.len()
                )
                .ok();
            }
        });
    }
    text += &output::findings(&findings);
    text += &output::problems(&problems);
    output::text(&text)?;
    Ok(code)
}

pub(crate) fn compare(context: &Context, old: &str, new: &str, source: Option<YesNo>) -> Result<u8> {
    let world = context.world_if_any()?;
    let source = match source {
        None => SourceChanged::Unknown,
        Some(YesNo::No) => SourceChanged::No,
        Some(YesNo::Yes) => SourceChanged::Yes,
    };
    let (before, after) = (Comparand::parse(world.as_ref(), old)?, Comparand::parse(world.as_ref(), new)?);
    let comparison = engine::compare(world.as_ref(), &before, &after, source)?;
    let code = match comparison.verdict {
        Verdict::Same | Verdict::Explained => YES,
        Verdict::Drift => NO,
        Verdict::Undetermined => UNDECIDED,
    };
    if context.json {
        output::document("compare", serde_json::to_value(&comparison)?)?;
        return Ok(code);
    }
    let mut text = format!("{}\n", output::verdict(comparison.verdict.word(), code == YES));
    // What is expected has one reason, and is listed only on request: what is not expected stands out.
    let expected = comparison.differences.iter().filter(|one| one.status == Status::Expected);
    let (count, why) = (expected.clone().count(), expected.clone().next().map(|one| &one.explained_by));
    for difference in &comparison.differences {
        if difference.status == Status::Expected && !context.verbose {
            continue;
        }
        let sign = match difference.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        let status = match difference.status {
            Status::Explained => "explained",
            Status::Expected => "expected",
            Status::Drift => "DRIFT",
            Status::Noted => "noted",
        };
        writeln!(text, "  {sign} {:<9} {:<10?} {}", status, difference.area, difference.path)?;
        if context.verbose || difference.status != Status::Noted {
            for why in &difference.explained_by {
                writeln!(text, "        from {why}")?;
            }
        }
    }
    if let Some(why) = why {
        writeln!(text, "  {count} differences are expected ({}); `--verbose` lists them", why.join(", "))?;
    }
    text += &output::findings(&comparison.findings);
    text += &output::problems(&comparison.problems);
    output::text(&text)?;
    Ok(code)
}
