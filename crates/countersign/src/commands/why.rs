//! `show RECORD --why FILE`: how a file came to be, as a tree.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use anyhow::Result;
use engine::RecordView;
use engine::evidence::BytePath;
use engine::judge::lineage::{Made, Maker, Why};
use serde_json::json;

use crate::context::Context;
use crate::output::{self, YES};

/// A command is shown up to this length; `--json` has all of it.
const COMMAND_MAX_CHARS: usize = 120;
/// Of those who fed a writer so many are named.
const FEEDERS_MAX: usize = 6;

pub(crate) fn why(context: &Context, view: &RecordView, file: &str) -> Result<u8> {
    let lineage = engine::judge::lineage::Lineage::of(&view.record);
    let why = engine::why(view, &lineage, file)?;
    if context.json {
        let content = json!({ "record": format!("r{}", view.number), "digest": view.digest, "output": why.output, "steps": why.steps, "tools": why.tools });
        output::document("why", content)?;
        return Ok(YES);
    }
    output::text(&tree(&why, &view.record.workdir)?)?;
    Ok(YES)
}

/// The tree; a file that stands above already is named and not told again.
fn tree(why: &Why, workdir: &BytePath) -> Result<String> {
    let steps: HashMap<&BytePath, &Made> = why.steps.iter().map(|made| (made.path, made)).collect();
    let packages: HashMap<&BytePath, Option<&str>> =
        why.tools.iter().map(|tool| (tool.path, tool.package)).collect();
    let (mut text, mut told) = (String::new(), HashSet::new());
    let mut waiting = vec![(0, why.output)];
    while let Some((depth, path)) = waiting.pop() {
        let indent = "  ".repeat(depth);
        let Some(made) = steps.get(path) else { continue };
        let again = !told.insert(path) && !made.makers.is_empty();
        let digest = made.digest.map_or_else(String::new, |digest| format!("  {}", digest.short()));
        let above = if again { "  (see above)" } else { "" };
        writeln!(text, "{indent}{}  {}{digest}{above}", short(path, workdir), made.role.word())?;
        if again {
            continue;
        }
        for maker in made.makers.iter().filter(|maker| maker.writer) {
            writeln!(text, "{indent}  written by #{}: {}", maker.process, command(maker))?;
        }
        let feeders: Vec<&Maker> = made.makers.iter().filter(|maker| !maker.writer).collect();
        for maker in feeders.iter().take(FEEDERS_MAX) {
            writeln!(text, "{indent}  with #{}: {}", maker.process, command(maker))?;
        }
        if feeders.len() > FEEDERS_MAX {
            writeln!(
                text,
                "{indent}  with {} more processes (`--json` names them)",
                feeders.len() - FEEDERS_MAX
            )?;
        }
        if let Some(tools) = tools(made, &packages) {
            writeln!(text, "{indent}  using {tools}")?;
        }
        let read = made.makers.iter().flat_map(|maker| maker.read.iter().copied());
        let from: BTreeSet<&BytePath> = made.moved_from.iter().copied().chain(read).collect();
        // One list for all makers, last first because the stack turns it round.
        waiting.extend(from.into_iter().rev().filter(|from| *from != path).map(|from| (depth + 1, from)));
    }
    let count = |input: bool| why.steps.iter().filter(|made| made.makers.is_empty() == input).count();
    let (inputs, made, tools) = (count(true), count(false), why.tools.len());
    writeln!(text, "\n{made} files made on the way from {inputs} inputs with {tools} files of the machine")?;
    Ok(text)
}

/// Counts the tools by package, and names those that no package vouches for.
fn tools(made: &Made, packages: &HashMap<&BytePath, Option<&str>>) -> Option<String> {
    let tools: BTreeSet<&BytePath> =
        made.makers.iter().flat_map(|maker| maker.tools.iter().copied()).collect();
    let owners: BTreeSet<&str> = tools.iter().filter_map(|tool| *packages.get(tool)?).collect();
    let unowned = tools.iter().filter(|tool| packages.get(*tool).is_none_or(Option::is_none)).count();
    let text = format!(
        "{} files of {} packages and {unowned} that no package owns",
        tools.len() - unowned,
        owners.len()
    );
    (!tools.is_empty()).then_some(text)
}

fn command(maker: &Maker) -> String {
    let commands: Vec<String> = maker
        .commands
        .iter()
        .map(|words| words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    let text = if commands.is_empty() { "(fork)".to_owned() } else { commands.join(" → ") };
    if text.chars().count() <= COMMAND_MAX_CHARS {
        return text;
    }
    text.chars().take(COMMAND_MAX_CHARS).chain(['…']).collect()
}

fn short(path: &BytePath, workdir: &BytePath) -> String {
    let inside = path.is_below(workdir.as_bytes()) && path != workdir;
    let rest = if inside { &path.as_bytes()[workdir.as_bytes().len()..] } else { path.as_bytes() };
    BytePath::from(if inside { rest.strip_prefix(b"/").unwrap_or(rest) } else { rest }).to_string()
}
