//! `compare`: the answer as text for one screen, as a page to look through, and in forms for programs.

mod page;
mod sarif;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use engine::Comparand;
use engine::judge::compare::{Area, Cause, Change, Comparison, Difference, SourceChanged, Status, Verdict};

use crate::args::{CompareArguments, YesNo};
use crate::context::Context;
use crate::output::{self, NO, UNDECIDED, YES};

/// So many findings, and so many single differences, fit on a screen.
const FINDINGS_SHOWN: usize = 8;
const DIFFERENCES_SHOWN: usize = 16;

pub(crate) fn compare(context: &Context, arguments: &CompareArguments) -> Result<u8> {
    let world = context.world_if_any()?;
    let source = match arguments.source_changed {
        None => SourceChanged::Unknown,
        Some(YesNo::No) => SourceChanged::No,
        Some(YesNo::Yes) => SourceChanged::Yes,
    };
    let old = Comparand::parse(world.as_ref(), &arguments.old)?;
    let new = Comparand::parse(world.as_ref(), &arguments.new)?;
    let rules = arguments.rules.as_deref().map(engine::Rules::load).transpose()?;
    let compared =
        engine::compare(world.as_ref(), &old, &new, source, arguments.html.is_some(), rules.as_ref())?;
    let comparison = &compared.comparison;
    let title = format!("{} → {}", arguments.old, arguments.new);
    if let Some(file) = &arguments.html {
        write(context, file, page::page(&title, &compared)?.as_bytes())?;
    }
    if let Some(file) = &arguments.sarif {
        write(context, file, format!("{:#}\n", sarif::log(comparison)).as_bytes())?;
    }
    let code = match comparison.verdict {
        Verdict::Same | Verdict::Explained => YES,
        Verdict::Drift => NO,
        Verdict::Undetermined => UNDECIDED,
    };
    if context.json {
        output::document("compare", serde_json::to_value(comparison)?)?;
    } else {
        output::text(&report(comparison, arguments.full || context.verbose, code == YES)?)?;
    }
    Ok(code)
}

fn write(context: &Context, file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    output::note(context, &format!("wrote {}", file.display()));
    Ok(())
}

/// The worst first; what needs nobody's eyes is counted, unless all is asked for.
fn report(comparison: &Comparison, full: bool, good: bool) -> Result<String> {
    let mut text = format!("{}\n", output::verdict(comparison.verdict.word(), good));
    let (shown, left) = split(&comparison.findings, if full { usize::MAX } else { FINDINGS_SHOWN });
    text += &output::findings(shown);
    if !left.is_empty() {
        writeln!(text, "  and {} findings more; `--full` shows them", left.len())?;
    }
    text += &output::problems(&comparison.problems);
    let mut single: Vec<&Difference> =
        comparison.differences.iter().filter(|one| full || is_single(one)).collect();
    single.sort_by_key(|one| rank(one.status));
    let (shown, left) = split(&single, if full { usize::MAX } else { DIFFERENCES_SHOWN });
    for difference in shown {
        writeln!(
            text,
            "  {} {:<9} {:<10} {}",
            sign(difference.change),
            word(difference.status),
            area(difference.area),
            difference.path
        )?;
        if full || difference.status != Status::Noted {
            for why in &difference.explained_by {
                writeln!(text, "        from {why}")?;
            }
        }
    }
    text += &causes(comparison, full)?;
    let mut hidden: Vec<&Difference> = left.to_vec();
    if !full {
        hidden.extend(comparison.differences.iter().filter(|one| !is_single(one)));
    }
    for ((status, reason), group) in groups(&hidden) {
        let count = |change| group.iter().filter(|one| one.change == change).count();
        let (changed, added, removed) =
            (count(Change::Changed), count(Change::Added), count(Change::Removed));
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        writeln!(
            text,
            "  {} more {}: {changed} changed, {added} added, {removed} removed{reason}; `--full` lists them",
            group.len(),
            word(status)
        )?;
    }
    Ok(text)
}

/// Why two builds of one source differ: each kind of cause once, with where it shows and what is done against it.
fn causes(comparison: &Comparison, full: bool) -> Result<String> {
    let mut kinds: BTreeMap<&str, Vec<(&str, &Cause)>> = BTreeMap::new();
    for (path, causes) in &comparison.causes {
        for cause in causes {
            kinds.entry(cause.kind).or_default().push((path, cause));
        }
    }
    let mut text = String::new();
    for (kind, places) in kinds {
        let (shown, left) = split(&places, if full { usize::MAX } else { 1 });
        for (path, cause) in shown {
            writeln!(text, "  cause {kind}: {path}: {}", cause.evidence)?;
        }
        if !left.is_empty() {
            writeln!(text, "        and {} places more", left.len())?;
        }
        if let Some((_, cause)) = places.first() {
            writeln!(text, "        fix: {}", cause.fix)?;
        }
    }
    Ok(text)
}

/// Tells whether a difference is told by itself: not what is expected for one and the same reason, nor containers that
/// differ because their members do.
fn is_single(difference: &Difference) -> bool {
    match difference.status {
        Status::Expected => false,
        Status::Noted => !matches!(difference.area, Area::Output | Area::Member),
        Status::Drift | Status::Explained => true,
    }
}

/// Differences of one status and one reason together, the worse statuses first.
fn groups<'a>(list: &[&'a Difference]) -> Vec<((Status, String), Vec<&'a Difference>)> {
    let mut groups: BTreeMap<(u8, String), Vec<&Difference>> = BTreeMap::new();
    for difference in list {
        let reason = match difference.status {
            Status::Expected => difference.explained_by.join(", "),
            _ => String::new(),
        };
        groups.entry((rank(difference.status), reason)).or_default().push(difference);
    }
    groups
        .into_iter()
        .filter_map(|((_, reason), group)| Some(((group.first()?.status, reason), group)))
        .collect()
}

fn split<T>(list: &[T], most: usize) -> (&[T], &[T]) {
    list.split_at(list.len().min(most))
}

/// In which order people want to see them.
fn rank(status: Status) -> u8 {
    match status {
        Status::Drift => 0,
        Status::Explained => 1,
        Status::Noted => 2,
        Status::Expected => 3,
    }
}

fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Explained => "explained",
        Status::Expected => "expected",
        Status::Drift => "DRIFT",
        Status::Noted => "noted",
    }
}

fn area(area: Area) -> &'static str {
    match area {
        Area::Output => "output",
        Area::Member => "member",
        Area::Source => "source",
        Area::Dependency => "dependency",
        Area::Toolchain => "toolchain",
        Area::Process => "program",
        Area::Network => "address",
        Area::Command => "command",
    }
}
