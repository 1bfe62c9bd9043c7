//! Documents in files, archives and streams: JSON, JSON lines, CSV, lists of names; bare, in gzip or zstd, or in a zip of osv.dev's layout.
//!
//! Everything is bounded: a document, an archive's content, a line. What goes beyond is a problem, and the rest is read.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use evidence::Problem;
use inspect::Budget;

/// No document is larger.
pub const DOCUMENT_MAX_BYTES: u64 = 300 << 20;
/// No file that has to be held in memory is larger.
const FILE_MAX_BYTES: u64 = 2 << 30;
/// Nothing unpacks to more.
const UNPACKED_MAX_BYTES: u64 = 16 << 30;
/// Folders are read so deep.
const DEPTH_MAX: usize = 16;

/// One document.
pub struct Document<'a> {
    /// Where it is: `all.zip!GHSA-….json`, `npm.jsonl.zst:12`.
    pub place: String,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What its name says that it is.
    pub form: Form,
}

/// What a document is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// JSON.
    Json,
    /// A table.
    Table,
    /// Popular names of packages, one a line: the list's name.
    Names(&'static str),
}

/// How lists of popular names are called, as ecosystems' purl types and lists are: `npm.txt`, `rubygems.txt.gz`.
pub const NAME_LISTS: &[(&str, &str)] = &[
    ("cargo", "cargo"),
    ("composer", "composer"),
    ("gem", "rubygems"),
    ("npm", "npm"),
    ("nuget", "nuget"),
    ("pub", "pub"),
    ("pypi", "pypi"),
];

impl Form {
    /// Takes the name of a file without the ending of its compression, in lower case.
    fn of(name: &str) -> Self {
        let list = name
            .strip_suffix(".txt")
            .and_then(|stem| NAME_LISTS.iter().find(|(_, list)| *list == stem).map(|(_, list)| *list));
        match list {
            Some(list) => Self::Names(list),
            None if name.ends_with(".csv") => Self::Table,
            None => Self::Json,
        }
    }
}

/// What takes documents.
pub type Take<'a> = &'a mut dyn FnMut(Document<'_>);

/// Hands over every document in a file or below a folder. Folders are read in the order of their names.
pub fn read(path: &Path, take: Take<'_>, problems: &mut Vec<Problem>) {
    let mut waiting = vec![(path.to_path_buf(), 0)];
    while let Some((at, depth)) = waiting.pop() {
        let place = at.display().to_string();
        // A link may lead in circles; what is named by hand may be one.
        let facts = if depth == 0 { std::fs::metadata(&at) } else { std::fs::symlink_metadata(&at) };
        match facts {
            Err(error) => problem(problems, &place, "unreadable-file", error),
            Ok(facts) if facts.is_dir() && depth < DEPTH_MAX => match below(&at) {
                Ok(paths) => waiting.extend(paths.into_iter().rev().map(|path| (path, depth + 1))),
                Err(error) => problem(problems, &place, "unreadable-file", error),
            },
            Ok(facts) if facts.is_dir() => {
                problem(problems, &place, "unreadable-file", "the folder is too deep")
            }
            Ok(facts) if facts.is_file() && (depth == 0 || is_wanted(&at)) => {
                if let Err(error) = file(&at, &place, take, problems) {
                    problem(problems, &place, "unreadable-file", error);
                }
            }
            Ok(_) => {}
        }
    }
}

fn problem(problems: &mut Vec<Problem>, place: &str, kind: &str, detail: impl ToString) {
    problems.push(Problem { path: place.into(), kind: kind.to_owned(), detail: detail.to_string() });
}

fn below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

/// In a folder, only what looks like a document is opened; files beside it (licences, readmes) are no problem.
fn is_wanted(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let bare = name.trim_end_matches(".gz").trim_end_matches(".zst");
    if matches!(Form::of(bare), Form::Names(_)) {
        return true;
    }
    let known = [".json", ".jsonl", ".ndjson", ".csv", ".zip"].iter().any(|end| bare.ends_with(end));
    known && !bare.contains("schema") && bare != "modified_id.csv"
}

fn file(path: &Path, place: &str, take: Take<'_>, problems: &mut Vec<Problem>) -> std::io::Result<()> {
    let file = std::fs::File::open(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut head = [0; 4];
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let length = reader.fill_buf()?.len().min(4);
    head[..length].copy_from_slice(&reader.fill_buf()?[..length]);
    let inner = name.trim_end_matches(".gz").trim_end_matches(".zst");
    match head {
        [b'P', b'K', 3, 4] => zip(reader, place, take, problems),
        [0x1f, 0x8b, ..] => {
            let unpacked = flate2::read::MultiGzDecoder::new(reader).take(UNPACKED_MAX_BYTES);
            stream(BufReader::with_capacity(1 << 18, unpacked), inner, place, take, problems)
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let unpacked = zstd::stream::read::Decoder::with_buffer(reader)?.take(UNPACKED_MAX_BYTES);
            stream(BufReader::with_capacity(1 << 18, unpacked), inner, place, take, problems)
        }
        _ => stream(reader.take(FILE_MAX_BYTES), inner, place, take, problems),
    }
}

fn zip(reader: impl Read, place: &str, take: Take<'_>, problems: &mut Vec<Problem>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    reader.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(std::io::Error::other("the archive is too large"));
    }
    let mut budget =
        Budget { member_bytes: DOCUMENT_MAX_BYTES, bytes: UNPACKED_MAX_BYTES, ..Budget::default() };
    let mut found = Vec::new();
    let read = inspect::zip_files(&bytes, &mut budget, &mut |name, content| {
        let name = name.to_string();
        let lower = name.to_lowercase();
        if !lower.ends_with(".json") && !lower.ends_with(".csv") {
            return;
        }
        let place = format!("{place}!{name}");
        match content {
            Ok(bytes) => take(Document { place, bytes: &bytes, form: Form::of(&lower) }),
            Err(error) => problem(&mut found, &place, "unreadable-document", error),
        }
    });
    problems.append(&mut found);
    if let Err(what) = read {
        problem(problems, place, "malformed-zip", what);
    }
    Ok(())
}

/// Reads a whole document, or one a line.
fn stream(
    mut reader: impl BufRead,
    name: &str,
    place: &str,
    take: Take<'_>,
    problems: &mut Vec<Problem>,
) -> std::io::Result<()> {
    if !name.ends_with(".jsonl") && !name.ends_with(".ndjson") {
        let mut bytes = Vec::new();
        reader.take(DOCUMENT_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > DOCUMENT_MAX_BYTES {
            problem(problems, place, "unreadable-document", "the document is too large");
            return Ok(());
        }
        take(Document { place: place.to_owned(), bytes: &bytes, form: Form::of(name) });
        return Ok(());
    }
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader.by_ref().take(DOCUMENT_MAX_BYTES + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let place = format!("{place}:{number}");
        if read as u64 > DOCUMENT_MAX_BYTES {
            problem(
                problems,
                &place,
                "unreadable-document",
                "the line is too long; what follows is not read",
            );
            break;
        }
        let bytes = line.trim_ascii();
        if !bytes.is_empty() {
            take(Document { place, bytes, form: Form::Json });
        }
    }
    Ok(())
}
