//! A mirror laid out like osv.dev: `ECOSYSTEM/all.zip`, `ECOSYSTEM/ID.json`, and `ECOSYSTEM/modified_id.csv`, newest first. A folder,
//! a stick, or an address on this machine.
//!
//! Of an ecosystem that is known already only what was modified since is fetched. Other documents at the top (KEV, EPSS, VEX) are
//! read each time.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use evidence::{Problem, Timestamp};

use crate::snapshot::{Source, shrinks};

/// No file of a mirror is larger.
const FILE_MAX_BYTES: u64 = 2 << 30;
/// So many changes are fetched one by one; beyond it the whole archive is less work.
const CHANGES_MAX: usize = 20_000;
/// So many bad lines are told.
const PROBLEMS_MAX: usize = 1_000;

/// A mirror that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a folder nor an address that may be asked.
    #[error("`{0}` is neither a folder nor an `http` address of this machine")]
    Place(String),
    /// It cannot be read.
    #[error("cannot read the mirror `{0}`")]
    Read(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// It has no ecosystems.
    #[error("`{0}` has no folder with `all.zip` and no list `ecosystems.txt`")]
    Empty(String),
    /// The list of an ecosystem has lost a fifth of its records or more.
    #[error("the mirror's list of `{ecosystem}` has shrunk from {before} to {after} records")]
    Shrinks {
        /// The ecosystem.
        ecosystem: String,
        /// Records before.
        before: u64,
        /// Records now.
        after: u64,
    },
}

/// What was fetched: files to import, each with the name by which it is remembered.
pub struct Fetched {
    /// The files.
    pub inputs: Vec<(String, PathBuf)>,
    /// What could not be fetched.
    pub problems: Vec<Problem>,
    /// How many ids the list of each ecosystem has, by the name by which it is remembered.
    pub listed: BTreeMap<String, u64>,
    /// Where fetched files lie until they are imported.
    _folder: tempfile::TempDir,
}

enum Mirror {
    Folder(PathBuf),
    Address(String),
}

impl Mirror {
    fn open(from: &str) -> Result<Self, Error> {
        if let Some(rest) = from.strip_prefix("http://") {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            if !matches!(host, "localhost" | "127.0.0.1") && !rest.starts_with("[::1]") {
                return Err(Error::Place(from.to_owned()));
            }
            return Ok(Self::Address(from.trim_end_matches('/').to_owned()));
        }
        let path = Path::new(from);
        if path.is_dir() { Ok(Self::Folder(path.to_path_buf())) } else { Err(Error::Place(from.to_owned())) }
    }

    /// Reads a file; none if there is none.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        match self {
            Self::Folder(folder) => {
                let fail = |error: std::io::Error| {
                    Error::Read(folder.join(name).display().to_string(), error.into())
                };
                match std::fs::File::open(folder.join(name)) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(fail(error)),
                    Ok(file) => file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?,
                };
            }
            Self::Address(address) => {
                let url = format!("{address}/{}", name.replace(' ', "%20"));
                // A mirror on this machine leads nowhere else.
                match ureq::get(&url).config().max_redirects(0).build().call() {
                    Err(ureq::Error::StatusCode(404)) => return Ok(None),
                    Err(error) => return Err(Error::Read(url, error.into())),
                    Ok(answer) if !answer.status().is_success() => {
                        let why = format!("the mirror answers {}", answer.status());
                        return Err(Error::Read(url, why.into()));
                    }
                    Ok(answer) => {
                        let body = answer.into_body().into_reader();
                        body.take(FILE_MAX_BYTES)
                            .read_to_end(&mut bytes)
                            .map_err(|error| Error::Read(url, error.into()))?
                    }
                };
            }
        }
        Ok(Some(bytes))
    }

    /// Lists ecosystems: as the mirror says, else the folders that have an archive.
    fn ecosystems(&self) -> Result<Vec<String>, Error> {
        if let Some(list) = self.get("ecosystems.txt")? {
            let text = String::from_utf8_lossy(&list).into_owned();
            return Ok(text
                .lines()
                .map(str::trim)
                .filter(|name| is_plain(name))
                .map(str::to_owned)
                .collect());
        }
        let Self::Folder(folder) = self else { return Ok(Vec::new()) };
        let fail = |error: std::io::Error| Error::Read(folder.display().to_string(), error.into());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let has = |name: &str| entry.path().join(name).is_file();
            if let Some(name) =
                entry.file_name().to_str().filter(|_| has("all.zip") || has("modified_id.csv"))
            {
                found.push(name.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A name from a list that becomes part of a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() < 200 && !name.contains(['/', '\\', '\0']) && !name.starts_with('.')
}

/// Fetches what is new in a mirror. None if nothing is. A list that has lost a fifth of its records is an error, unless it may shrink.
pub fn fetch(
    from: &str,
    known: &BTreeMap<String, Source>,
    may_shrink: bool,
) -> Result<Option<Fetched>, Error> {
    let mirror = Mirror::open(from)?;
    let scratch = tempfile::tempdir().map_err(|error| Error::Read(from.to_owned(), error.into()))?;
    let mut fetched =
        Fetched { inputs: Vec::new(), problems: Vec::new(), listed: BTreeMap::new(), _folder: scratch };
    let ecosystems = mirror.ecosystems()?;
    for ecosystem in &ecosystems {
        let name = format!("{from}/{ecosystem}");
        let before = known.get(&name);
        let since = before.and_then(|source| source.newest);
        let mut changed = None;
        if let Some(changes) = changes(&mirror, ecosystem, since, &mut fetched.problems)? {
            let listed = before.and_then(|source| source.listed).unwrap_or(0);
            if !may_shrink && shrinks(listed, changes.listed) {
                let (ecosystem, after) = (ecosystem.clone(), changes.listed);
                return Err(Error::Shrinks { ecosystem, before: listed, after });
            }
            fetched.listed.insert(name.clone(), changes.listed);
            changed = since.map(|_| changes.ids);
        }
        let keep = fetched._folder.path().join(ecosystem);
        let write = |path: &Path, bytes: &[u8]| {
            std::fs::write(path, bytes).map_err(|error| Error::Read(path.display().to_string(), error.into()))
        };
        match changed {
            Some(ids) if ids.is_empty() => {}
            Some(ids) if ids.len() <= CHANGES_MAX => {
                std::fs::create_dir_all(&keep).map_err(|error| Error::Read(name.clone(), error.into()))?;
                for id in ids {
                    let file = format!("{ecosystem}/{id}.json");
                    match mirror.get(&file)? {
                        Some(bytes) => write(&keep.join(format!("{id}.json")), &bytes)?,
                        None => {
                            fetched.problems.push(problem(&file, "the list names it, and it is not there"))
                        }
                    }
                }
                fetched.inputs.push((name, keep));
            }
            _ => match mirror.get(&format!("{ecosystem}/all.zip"))? {
                Some(bytes) => {
                    let keep = keep.with_extension("zip");
                    write(&keep, &bytes)?;
                    fetched.inputs.push((name, keep));
                }
                None => fetched.problems.push(problem(&format!("{ecosystem}/all.zip"), "it is not there")),
            },
        }
    }
    if let Mirror::Folder(folder) = &mirror {
        let fail = |error: std::io::Error| Error::Read(from.to_owned(), error.into());
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let wanted =
                [".json", ".json.gz", ".csv", ".csv.gz", ".csv.zst"].iter().any(|end| name.ends_with(end));
            if path.is_file() && wanted && name != "modified_id.csv" {
                fetched.inputs.push((format!("{from}/{name}"), path));
            }
        }
    }
    if ecosystems.is_empty() && fetched.inputs.is_empty() {
        return Err(Error::Empty(from.to_owned()));
    }
    Ok((!fetched.inputs.is_empty()).then_some(fetched))
}

fn problem(path: &str, detail: &str) -> Problem {
    Problem { path: path.into(), kind: "missing-file".to_owned(), detail: detail.to_owned() }
}

/// A list of changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// What was modified since.
    pub ids: Vec<String>,
    /// How many ids it has.
    pub listed: u64,
    /// The numbers of lines that are not a moment and an id, the first of them.
    pub wrong: Vec<usize>,
}

impl Changes {
    /// Reads a list, newest first: what is not known yet, and how long it is.
    pub fn read(text: &str, since: Option<Timestamp>) -> Self {
        let (mut changes, mut is_new) = (Self::default(), true);
        for (number, line) in (1..).zip(text.lines()) {
            let parts =
                line.split_once(',').and_then(|(at, id)| Some((at.parse::<Timestamp>().ok()?, id.trim())));
            let Some((at, id)) = parts.filter(|(_, id)| is_plain(id)) else {
                if changes.wrong.len() < PROBLEMS_MAX {
                    changes.wrong.push(number);
                }
                continue;
            };
            changes.listed += 1;
            // What was modified in the same second may be new.
            is_new &= since.is_none_or(|since| at >= since);
            if is_new && since.is_some() {
                changes.ids.push(id.to_owned());
            }
        }
        changes
    }
}

/// Reads the list of changes of an ecosystem. None if there is none.
fn changes(
    mirror: &Mirror,
    ecosystem: &str,
    since: Option<Timestamp>,
    problems: &mut Vec<Problem>,
) -> Result<Option<Changes>, Error> {
    let place = format!("{ecosystem}/modified_id.csv");
    let Some(list) = mirror.get(&place)? else { return Ok(None) };
    let changes = Changes::read(&String::from_utf8_lossy(&list), since);
    let wrong = changes.wrong.iter();
    problems.extend(wrong.map(|number| problem(&format!("{place}:{number}"), "not a moment and an id")));
    Ok(Some(changes))
}
