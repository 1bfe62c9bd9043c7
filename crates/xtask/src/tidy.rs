//! What the compiler does not check: layers, documentation, places of unsafe code, file lengths.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// What each crate may depend on (docs/ARCHITECTURE.md). Dev-dependencies may point to `forge` as well.
const EDGES: &[(&str, &[&str])] = &[
    ("evidence", &[]),
    ("tlog", &[]),
    ("forge", &[]),
    ("versions", &[]),
    ("attest", &["evidence", "tlog"]),
    ("inspect", &["evidence"]),
    ("judge", &["evidence"]),
    ("yara", &["evidence"]),
    ("store", &["evidence", "tlog"]),
    ("feeds", &["evidence", "inspect", "versions"]),
    ("host", &["evidence", "inspect"]),
    ("verifier", &["evidence", "tlog", "attest"]),
    (
        "engine",
        &[
            "evidence", "tlog", "attest", "inspect", "judge", "store", "host", "verifier", "versions",
            "feeds", "yara",
        ],
    ),
    ("server", &["engine", "evidence", "attest", "tlog"]),
    ("drill", &["engine", "forge"]),
    ("countersign", &["engine", "drill", "server"]),
    ("xtask", &[]),
];

/// The only file with unsafe code.
const UNSAFE: &str = "crates/host/src/sys";
/// Written in two halves, so that this file does not have the word.
const UNSAFE_WORD: &str = concat!("un", "safe");
const LINES_MAX: usize = 600;

pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    layers(&mut wrong)?;
    let sources = files(&crate::root().join("crates"), "rs")?;
    code(&sources, &mut wrong)?;
    findings(&mut wrong)?;
    manual(&mut wrong)?;
    links(&mut wrong)?;
    dependencies(&mut wrong)?;
    for line in &wrong {
        eprintln!("tidy: {line}");
    }
    ensure!(wrong.is_empty(), "{} things are not tidy", wrong.len());
    eprintln!("tidy: {} files, all in order", sources.len());
    Ok(())
}

fn layers(wrong: &mut Vec<String>) -> Result<()> {
    let metadata = crate::metadata()?;
    let short = |name: &str| name.strip_prefix("countersign-").unwrap_or(name).to_owned();
    let members: Vec<&serde_json::Value> = metadata["packages"]
        .as_array()
        .context("no packages")?
        .iter()
        .filter(|package| package["source"].is_null())
        .collect();
    for package in members {
        let name = short(package["name"].as_str().unwrap_or("?"));
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("the crate `{name}` has no place in the layers"));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            let to = dependency["name"].as_str().unwrap_or("?");
            if dependency["path"].is_null() || (dependency["kind"] == "dev" && to == "countersign-forge") {
                continue;
            }
            if !allowed.contains(&short(to).as_str()) {
                wrong.push(format!("`{name}` must not depend on `{}`", short(to)));
            }
        }
    }
    Ok(())
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn code(sources: &[PathBuf], wrong: &mut Vec<String>) -> Result<()> {
    let root = crate::root();
    for path in sources {
        let text = fs::read_to_string(path)?;
        let name = path.strip_prefix(&root).unwrap_or(path).display().to_string();
        if !text.starts_with("//!") && !name.contains("/tests/") {
            wrong.push(format!("{name} does not say what it is for (`//!`)"));
        }
        if text.lines().count() > LINES_MAX {
            wrong.push(format!("{name} is longer than {LINES_MAX} lines"));
        }
        let has_unsafe = text.lines().any(|line| {
            let line = line.trim_start();
            !line.starts_with("//")
                && ["{", "fn", "impl"].iter().any(|word| line.contains(&format!("{UNSAFE_WORD} {word}")))
        });
        if has_unsafe && !name.starts_with(UNSAFE) {
            wrong.push(format!("{name} has unsafe code; it belongs in {UNSAFE}"));
        }
        for mark in ["TO\x44O", "FIX\x4dE", "todo\x21(", "unimplemented\x21("] {
            if text.contains(mark) {
                wrong.push(format!("{name} has a {mark}"));
            }
        }
    }
    Ok(())
}

/// Every finding code, of the list or of a detection rule, has a page, and every page a code.
fn findings(wrong: &mut Vec<String>) -> Result<()> {
    let root = crate::root();
    let text = fs::read_to_string(root.join("crates/judge/src/codes.rs"))?;
    let mut codes: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            line.trim_start().split_once(" = \"")?.1.split_once("\", ").map(|(word, _)| word.to_owned())
        })
        .collect();
    ensure!(codes.len() > 20, "the list of finding codes was not understood");
    let rules = files(&root.join("rules"), "yaml")?;
    ensure!(rules.len() > 20, "the detection rules were not found");
    for path in rules {
        let text = fs::read_to_string(&path)?;
        let code = text.lines().find_map(|line| line.strip_prefix("code: "));
        codes.insert(code.with_context(|| format!("{} has no code", path.display()))?.to_owned());
    }
    let pages: BTreeSet<String> = files(&root.join("docs/findings"), "md")?
        .iter()
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name != "README")
        .collect();
    wrong.extend(codes.difference(&pages).map(|code| format!("docs/findings/{code}.md is missing")));
    wrong.extend(pages.difference(&codes).map(|page| format!("docs/findings/{page}.md has no such code")));
    Ok(())
}

/// Every command has a manual page.
fn manual(wrong: &mut Vec<String>) -> Result<()> {
    let root = crate::root();
    let text = fs::read_to_string(root.join("crates/countersign/src/args.rs"))?;
    let body = text
        .split_once("enum Command {")
        .and_then(|(_, rest)| rest.split_once("\n}\n"))
        .context("no commands")?
        .0;
    let mut count = 0;
    for line in body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     ")) {
        let Some(first) = line.trim().chars().next().filter(char::is_ascii_uppercase) else { continue };
        let name = line.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap_or("?");
        count += 1;
        let page = format!("docs/manual/{}{}.md", first.to_ascii_lowercase(), &name[1..]);
        if !root.join(&page).is_file() {
            wrong.push(format!("{page} is missing"));
        }
    }
    ensure!(count > 10, "the list of commands was not understood");
    Ok(())
}

/// Relative links in the documentation lead somewhere.
fn links(wrong: &mut Vec<String>) -> Result<()> {
    let root = crate::root();
    let mut pages = files(&root.join("docs"), "md")?;
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        pages.push(root.join(name));
    }
    for page in pages {
        let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let path = link.split('#').next().unwrap_or(link);
            if path.is_empty() || path.contains("://") {
                continue;
            }
            if !page.parent().unwrap_or(&root).join(path).exists() {
                wrong.push(format!("{} links to {link}, which is not there", page.display()));
            }
        }
    }
    Ok(())
}

/// Every dependency has a line in its decision record.
fn dependencies(wrong: &mut Vec<String>) -> Result<()> {
    let root = crate::root();
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let decided = fs::read_to_string(root.join("docs/adr/0002-dependencies.md"))?;
    let body = manifest
        .split_once("[workspace.dependencies]")
        .and_then(|(_, rest)| rest.split_once("\n["))
        .context("no dependencies")?
        .0;
    for name in body.lines().filter(|line| !line.contains("path =")).filter_map(|line| line.split_once(" = "))
    {
        if !decided.contains(&format!("`{}`", name.0)) {
            wrong.push(format!("docs/adr/0002-dependencies.md does not say why `{}` is used", name.0));
        }
    }
    Ok(())
}
