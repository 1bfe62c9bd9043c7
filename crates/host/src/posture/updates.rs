//! Packages of the machine that wait for an update, by the lists that it has fetched (dpkg and apt).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evidence::posture::{Fact, Value};

use super::{Compare, Found, entries, fact, list, text};
use crate::inventory::Root;

const STATUS: &str = "var/lib/dpkg/status";
const LISTS: &str = "var/lib/apt/lists";
/// What is touched when the lists are asked for, whether there was something new or not.
const TOUCHED: [&str; 3] =
    ["var/lib/apt/lists/partial", "var/lib/apt/periodic/update-success-stamp", "var/cache/apt/pkgcache.bin"];
/// One list that is larger is not read.
const LIST_MAX_BYTES: u64 = 512 << 20;
const LINE_MAX_BYTES: u64 = 1 << 20;
const DAY_SECONDS: i64 = 86_400;

pub(super) fn facts(root: &Root, now: i64, compare: Compare<'_>) -> Vec<Fact> {
    let (all, security) = match pending(root, compare) {
        Ok((all, security)) => (Ok(Value::Number(all)), Ok(security)),
        Err(why) => (Err(why.clone()), Err(why)),
    };
    let read = ["/var/lib/dpkg/status", "/var/lib/apt/lists"];
    vec![
        fact("pending-updates", all, &read),
        fact("pending-security-updates", security, &read),
        fact("package-lists-age-days", age(root, now), &read[1..]),
    ]
}

/// How many packages wait, and which of them for an update from a list of security updates.
fn pending(root: &Root, compare: Compare<'_>) -> Result<(u64, Value), String> {
    let status = text(root, STATUS)?.ok_or("this machine has no dpkg: its updates are not known")?;
    let mut installed: BTreeMap<(String, String), String> = BTreeMap::new();
    for block in status.split("\n\n").map(Package::parse) {
        if block.status.ends_with(" installed") {
            installed.insert((block.name, block.architecture), block.version);
        }
    }
    let mut waiting: BTreeSet<(String, String)> = BTreeSet::new();
    let mut security = Vec::new();
    let lists = lists(root)?;
    if lists.is_empty() {
        return Err("no lists of packages have been fetched".to_owned());
    }
    for path in lists {
        let of_security = path.file_name().is_some_and(|name| name.to_string_lossy().contains("ecurity"));
        let file = root.resolve(&path).ok_or_else(|| format!("{} is not there", path.display()))?;
        each(&file, |offered| {
            let key = (offered.name, offered.architecture);
            let Some(has) = installed.get(&key) else { return Ok(()) };
            match compare(has, &offered.version) {
                Some(Ordering::Less) => {
                    if of_security {
                        security.push(format!("{} {has} -> {}", key.0, offered.version));
                    }
                    waiting.insert(key);
                    Ok(())
                }
                Some(_) => Ok(()),
                None => Err(format!("{}: `{has}` and `{}` do not compare", key.0, offered.version)),
            }
        })?;
    }
    Ok((waiting.len() as u64, list(security)))
}

fn lists(root: &Root) -> Result<Vec<PathBuf>, String> {
    let (mut plain, mut packed) = (Vec::new(), None);
    for path in entries(root, LISTS)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with("_Packages") {
            plain.push(path);
        } else if name.contains("_Packages.") {
            packed = Some(name);
        }
    }
    match packed {
        Some(name) => Err(format!("{name} is compressed and is not read")),
        None => Ok(plain),
    }
}

/// Calls for each package of a list.
fn each(path: &Path, mut take: impl FnMut(Package) -> Result<(), String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut reader = BufReader::new(File::open(path).map_err(failed)?.take(LIST_MAX_BYTES));
    let (mut package, mut line) = (Package::default(), Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
        let text = String::from_utf8_lossy(&line);
        if read == 0 || text.trim_end().is_empty() {
            if !package.name.is_empty() {
                take(std::mem::take(&mut package))?;
            }
            if read == 0 {
                break;
            }
        }
        package.line(text.trim_end());
    }
    if reader.into_inner().limit() == 0 {
        return Err(format!("{} is too large", path.display()));
    }
    Ok(())
}

/// The fields that matter here (`deb-control(5)`).
#[derive(Default)]
struct Package {
    name: String,
    version: String,
    architecture: String,
    status: String,
}

impl Package {
    fn parse(block: &str) -> Self {
        let mut package = Self::default();
        block.lines().for_each(|line| package.line(line));
        package
    }

    fn line(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(": ") else { return };
        let field = match name {
            "Package" => &mut self.name,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "Status" => &mut self.status,
            _ => return,
        };
        value.trim().clone_into(field);
    }
}

fn age(root: &Root, now: i64) -> Found {
    let touched = TOUCHED.iter().filter_map(|path| root.resolve(Path::new(path))?.metadata().ok());
    let newest = touched.map(|facts| facts.mtime()).max().ok_or("no lists of packages have been fetched")?;
    Ok(Value::Number(u64::try_from((now - newest).max(0) / DAY_SECONDS).unwrap_or(u64::MAX)))
}
