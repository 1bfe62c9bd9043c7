//! `inspect`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use engine::evidence::{Finding, Node, Problem};
use engine::judge::anomalies::anomalies;
use engine::judge::matched::matched;

use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

/// What `inspect` found, as a document.
#[derive(serde::Serialize)]
struct Inspected<'a> {
    artifacts: Vec<&'a Node>,
    findings: Vec<Finding>,
    problems: Vec<Problem>,
}

pub(crate) fn inspect(context: &Context, paths: &[PathBuf], trusted: &engine::Trusted) -> Result<u8> {
    let (mut trees, mut findings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let tree = engine::inspect_trusting(path, trusted)?;
        findings.extend(anomalies(&tree));
        findings.extend(matched(&tree));
        problems.extend(tree.problems.iter().cloned());
        trees.push(tree);
    }
    let code = match (findings.is_empty(), problems.is_empty()) {
        (false, _) => NO,
        (true, false) => UNDECIDED,
        (true, true) => YES,
    };
    if context.json {
        let artifacts: Vec<&Node> = trees.iter().map(|tree| &tree.root).collect();
        output::large_document("inspect", &Inspected { artifacts, findings, problems })?;
        return Ok(code);
    }
    let mut text = String::new();
    for tree in &trees {
        tree.root.walk(|path, node| {
            let digest = node.digest.map_or_else(|| " ".repeat(12), |digest| digest.short());
            // Writing to a string cannot fail.
            writeln!(text, "{digest}  {:>10}  {:<9} {path}", node.size, node.format).ok();
            if let Some(signature) = node.signature.as_ref() {
                let state = match signature.signature_valid {
                    Some(true) => "verifies",
                    Some(false) => "DOES NOT VERIFY",
                    None => "not judged",
                };
                let signer = signature.signer.as_deref().unwrap_or("unknown signer");
                writeln!(text, "              {} signature by {signer} ({state})", signature.kind).ok();
            }
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
