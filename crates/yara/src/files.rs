//! Reads rule files, with what they include. Nothing outside of the given folder is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use boreal_parser::file::YaraFileComponent;

use crate::Error;

/// Large public rule sets have thousands of files and some ten megabytes.
const FILES_MAX: usize = 10_000;
const BYTES_MAX: u64 = 64 << 20;
/// Files that include files.
const DEPTH_MAX: usize = 16;

/// The texts of rule files, by their paths below the folder. Their includes are rewritten to such paths.
pub(crate) struct Files {
    pub(crate) texts: BTreeMap<String, String>,
    /// Those that no other includes: with what they include, these are all.
    pub(crate) roots: Vec<String>,
}

/// Reads one rule file, or all of a folder.
pub(crate) fn read(path: &Path) -> Result<Files, Error> {
    let place = canonical(path)?;
    let is_folder = place.is_dir();
    let (root, given) = if is_folder {
        (place.clone(), below(&place)?)
    } else {
        (place.parent().unwrap_or(&place).to_path_buf(), vec![place.clone()])
    };
    let mut reading = Reading {
        root,
        texts: BTreeMap::new(),
        included: BTreeSet::new(),
        left: BYTES_MAX,
        open: Vec::new(),
    };
    let mut names = Vec::new();
    for file in &given {
        names.push(reading.file(file)?);
    }
    names.retain(|name| !reading.included.contains(name));
    Ok(Files { texts: reading.texts, roots: names })
}

/// Takes rule files that somebody has read, by their names. They may include each other, and nothing else.
pub(crate) fn given(texts: &BTreeMap<String, String>) -> Result<Files, Error> {
    let mut rewrote = BTreeMap::new();
    let mut included = BTreeSet::new();
    // Which files a file includes, each with the line and what is written there.
    let mut waiting: BTreeMap<&str, Vec<(String, usize, String)>> = BTreeMap::new();
    for (name, text) in texts {
        let parsed = boreal_parser::parse(text).map(|file| file.components).unwrap_or_default();
        let mut edits = Vec::new();
        for component in parsed {
            let YaraFileComponent::Include(include) = component else { continue };
            let line = line_of(text, &include.span);
            let target = beside(name, &include.path).filter(|target| texts.contains_key(target));
            let Some(target) = target else {
                let why = "it is none of the files that were given";
                return Err(Error::Include { file: name.clone(), line, include: include.path, why });
            };
            waiting.entry(name).or_default().push((target.clone(), line, include.path));
            included.insert(target.clone());
            edits.push((include.span, target));
        }
        rewrote.insert(name.clone(), rewritten(text, edits));
    }
    // Level by level: those that wait for none that waits.
    for _ in 0..DEPTH_MAX {
        let still: BTreeSet<String> = waiting.keys().map(|name| (*name).to_owned()).collect();
        waiting.retain(|_, includes| includes.iter().any(|(target, ..)| still.contains(target)));
    }
    if let Some((file, includes)) = waiting.into_iter().next() {
        let (_, line, include) = includes.into_iter().next().unwrap_or_default();
        let why = "the files include each other in a circle, or more than 16 deep";
        return Err(Error::Include { file: file.to_owned(), line, include, why });
    }
    let roots = texts.keys().filter(|name| !included.contains(*name)).cloned().collect();
    Ok(Files { texts: rewrote, roots })
}

/// Resolves what a file includes against its own folder; `None` if that leads out of all folders.
fn beside(file: &str, include: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    if include.starts_with('/') {
        return None;
    }
    for part in include.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

/// Lists the rule files below a folder, sorted.
fn below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(at) = waiting.pop() {
        let fail = |source| Error::Read { path: at.clone(), source };
        for entry in std::fs::read_dir(&at).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(fail)?);
            if kind.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yar" || ending == "yara") {
                found.push(path);
            }
            if found.len() + waiting.len() > FILES_MAX {
                let file = folder.display().to_string();
                return Err(Error::TooMuch { file, what: "more than 10,000 rule files or folders" });
            }
        }
    }
    found.sort();
    Ok(found)
}

struct Reading {
    root: PathBuf,
    texts: BTreeMap<String, String>,
    included: BTreeSet<String>,
    /// Bytes that may still be read.
    left: u64,
    /// The files that are being read, each included by the one before.
    open: Vec<String>,
}

impl Reading {
    /// Reads a file and what it includes; returns its path below the folder.
    fn file(&mut self, path: &Path) -> Result<String, Error> {
        let place = canonical(path)?;
        let Ok(relative) = place.strip_prefix(&self.root) else {
            let source = std::io::Error::other("it is a link out of the folder");
            return Err(Error::Read { path: path.to_path_buf(), source });
        };
        let name = relative.display().to_string();
        if self.texts.contains_key(&name) {
            return Ok(name);
        }
        let text = self.text(&place, &name)?;
        // What does not parse is named by the compiler.
        let parsed = boreal_parser::parse(&text).map(|file| file.components).unwrap_or_default();
        let mut edits = Vec::new();
        self.open.push(name.clone());
        for component in parsed {
            let YaraFileComponent::Include(include) = component else { continue };
            let line = line_of(&text, &include.span);
            let target = self.include(&place, &include.path).map_err(|error| match error {
                Refused::Why(why) => Error::Include { file: name.clone(), line, include: include.path, why },
                Refused::Error(error) => error,
            })?;
            edits.push((include.span, target));
        }
        self.open.pop();
        self.texts.insert(name.clone(), rewritten(&text, edits));
        Ok(name)
    }

    fn text(&mut self, place: &Path, name: &str) -> Result<String, Error> {
        let too_much = |what| Error::TooMuch { file: name.to_owned(), what };
        if self.texts.len() + self.open.len() >= FILES_MAX {
            return Err(too_much("more than 10,000 rule files"));
        }
        let fail = |source| Error::Read { path: place.to_path_buf(), source };
        let file = std::fs::File::open(place).map_err(fail)?;
        if !file.metadata().map_err(fail)?.is_file() {
            return Err(fail(std::io::Error::other("it is no regular file")));
        }
        let mut text = String::new();
        let read = file.take(self.left + 1).read_to_string(&mut text).map_err(fail)?;
        self.left =
            self.left.checked_sub(read as u64).ok_or_else(|| too_much("more than 64 MiB of rules"))?;
        Ok(text)
    }

    /// Reads what a file includes; returns its path below the folder.
    fn include(&mut self, from: &Path, include: &str) -> Result<String, Refused> {
        let target = from.parent().unwrap_or(from).join(include);
        let Ok(place) = target.canonicalize() else { return Err(Refused::Why("there is no such file")) };
        let Ok(relative) = place.strip_prefix(&self.root) else {
            return Err(Refused::Why("it leads out of the folder of the rules"));
        };
        let name = relative.display().to_string();
        if self.open.contains(&name) {
            return Err(Refused::Why("the files include each other in a circle"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Refused::Why("more than 16 files, each included by another"));
        }
        self.file(&place).map_err(Refused::Error)?;
        self.included.insert(name.clone());
        Ok(name)
    }
}

enum Refused {
    Why(&'static str),
    Error(Error),
}

/// Writes the paths below the folder into the includes of a text; lines stay where they are.
fn rewritten(text: &str, edits: Vec<(Range<usize>, String)>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, target) in edits {
        let escaped = target.replace('\\', "\\\\").replace('"', "\\\"");
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(&format!("include \"{escaped}\""));
        let lines = text.get(span.clone()).unwrap_or_default().matches('\n').count();
        out.push_str(&"\n".repeat(lines));
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
