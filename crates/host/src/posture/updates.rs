//! Packages of the machine that wait for an update, by the lists that its package manager has fetched: apt, apk, dnf and zypper.
//! What is known is as old as these lists. Nothing is fetched.

mod alpine;
mod debian;
mod rpm;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evidence::posture::{Fact, Value};
use inspect::catalog::Stated;
use inspect::offered::Offered;

use super::{Compare, Found, Versions, fact};
use crate::inventory::{self, Root};

/// A database that is larger is not read, and neither is a compressed list.
const FILE_MAX_BYTES: u64 = 512 << 20;
const DAY_SECONDS: i64 = 86_400;

/// A package manager's way to say what is installed and what is offered.
trait Manager {
    /// Where the database of what is installed is; the first that is there counts.
    fn databases(&self) -> &'static [&'static str];
    /// How versions are ordered.
    fn versions(&self) -> Versions;
    /// What is read for the lists, for people.
    fn lists(&self) -> &'static str;
    /// The lists, whether they are of security updates only, and whether these are known at all.
    fn offers(&self, root: &Root) -> Result<Vec<List>, String>;
    /// Files that are touched when lists are asked for, whether there was something new or not.
    fn touched(&self) -> &'static [&'static str];
}

/// A list that was fetched.
struct List {
    path: PathBuf,
    /// Whether what is in it is for security.
    is_security: bool,
    read: Read,
}

/// Calls for each package of a list.
type Read = fn(&Path, &mut dyn FnMut(Offered)) -> Result<(), String>;

const MANAGERS: [&dyn Manager; 3] = [&debian::Apt, &alpine::Apk, &rpm::Dnf];

pub(super) fn facts(root: &Root, now: i64, compare: Compare<'_>) -> Vec<Fact> {
    let there = |path: &&&str| root.resolve(Path::new(path)).is_some_and(|path| path.is_file());
    let found =
        MANAGERS.iter().find_map(|manager| Some((*manager, *manager.databases().iter().find(there)?)));
    let Some((manager, database)) = found else {
        let why = || Err("no database of dpkg, apk or rpm is there: its updates are not known".to_owned());
        let read = ["/var/lib/dpkg", "/lib/apk/db", "/var/lib/rpm", "/usr/lib/sysimage/rpm"];
        return ["pending-updates", "pending-security-updates", "package-lists-age-days"]
            .into_iter()
            .map(|name| fact(name, why(), &read))
            .collect();
    };
    let lists = manager.offers(root);
    let (all, security) = match lists
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|lists| pending(root, manager, database, lists, compare))
    {
        Ok((all, security)) => (Ok(Value::Number(all)), security),
        Err(why) => (Err(why.clone()), Err(why)),
    };
    let database = format!("/{database}");
    let read = [database.as_str(), manager.lists()];
    vec![
        fact("pending-updates", all, &read),
        fact("pending-security-updates", security, &read),
        fact(
            "package-lists-age-days",
            age(root, now, manager, lists.as_deref().unwrap_or_default()),
            &read[1..],
        ),
    ]
}

/// How many packages wait, and which of them for an update for security.
fn pending(
    root: &Root,
    manager: &dyn Manager,
    database: &str,
    lists: &[List],
    compare: Compare<'_>,
) -> Result<(u64, Found), String> {
    if lists.is_empty() {
        return Err("no lists of packages have been fetched".to_owned());
    }
    let order = |a: &str, b: &str| compare(manager.versions(), a, b);
    let undecided = |name: &str, a: &str, b: &str| format!("{name}: `{a}` and `{b}` do not compare");
    let mut installed: BTreeMap<(String, String), String> = BTreeMap::new();
    for package in packages(root, database)? {
        let (key, version) = of(package);
        // Of a kernel, several versions are installed: the newest counts.
        match installed.get(&key) {
            Some(known)
                if order(known, &version).ok_or_else(|| undecided(&key.0, known, &version))?.is_ge() => {}
            _ => drop(installed.insert(key, version)),
        }
    }
    let mut waiting: BTreeSet<(String, String)> = BTreeSet::new();
    let mut security: Vec<String> = Vec::new();
    for list in lists {
        let mut wrong = None;
        (list.read)(&list.path, &mut |offered| {
            let key = (offered.name, offered.architecture);
            let Some(has) = installed.get(&key) else { return };
            match order(has, &offered.version) {
                Some(Ordering::Less) => {
                    if list.is_security {
                        security.push(format!("{} {has} -> {}", key.0, offered.version));
                    }
                    waiting.insert(key);
                }
                Some(_) => {}
                None => wrong = Some(undecided(&key.0, has, &offered.version)),
            }
        })?;
        wrong.map_or(Ok(()), Err)?;
    }
    let known = lists.iter().any(|list| list.is_security);
    let security = if known {
        Ok(super::list(security))
    } else {
        Err("no list says which updates are for security".to_owned())
    };
    Ok((waiting.len() as u64, security))
}

/// What the machine's database has, by the readers that bills of materials are made with.
fn packages(root: &Root, database: &str) -> Result<Vec<Stated>, String> {
    let bytes = bytes(&root.resolve(Path::new(database)).ok_or_else(|| format!("{database} is not there"))?)?;
    let documents = inspect::catalog::candidates(database.as_bytes()).documents;
    let reader = documents.first().ok_or_else(|| format!("{database} has no reader"))?;
    let found = inspect::catalog::read(reader, &evidence::BytePath::from(database), &bytes);
    match found.problems.first() {
        Some((kind, detail)) => Err(format!("{database}: {kind}: {detail}")),
        None => Ok(found.packages),
    }
}

/// A package's name and architecture, and its version as its package manager orders it.
fn of(package: Stated) -> ((String, String), String) {
    let qualifier = |wanted: &str| {
        package.qualifiers.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    };
    let architecture = qualifier("arch").unwrap_or_default().to_owned();
    let version = match package.ecosystem.as_ref() {
        "rpm" => format!("{}:{}", qualifier("epoch").unwrap_or("0"), package.version),
        _ => package.version.clone(),
    };
    ((package.name, architecture), version)
}

/// Reads a file of the machine, if it is not too large.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if path.metadata().map_err(failed)?.len() > FILE_MAX_BYTES {
        return Err(format!("{} is too large", path.display()));
    }
    std::fs::read(path).map_err(failed)
}

fn age(root: &Root, now: i64, manager: &dyn Manager, lists: &[List]) -> Found {
    let touched = manager
        .touched()
        .iter()
        .filter_map(|path| root.resolve(Path::new(path)))
        .filter(|path| path.exists());
    // Where nothing else is touched, the lists themselves are.
    let mut paths: Vec<PathBuf> = touched.collect();
    if paths.is_empty() {
        paths.extend(lists.iter().map(|list| list.path.clone()));
    }
    let times = paths.iter().filter_map(|path| path.metadata().ok()).map(|facts| facts.mtime());
    let newest = times.max().ok_or("no lists of packages have been fetched")?;
    Ok(Value::Number(u64::try_from((now - newest).max(0) / DAY_SECONDS).unwrap_or(u64::MAX)))
}

/// The files in a folder of the machine, as they are on this one.
fn files(root: &Root, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, String> {
    let mut gaps = inventory::Facts::default();
    let entries = root.list(folder, &mut gaps);
    match gaps.gaps.pop() {
        Some(gap) => Err(gap),
        None => Ok(entries.iter().filter_map(|path| root.resolve(path)).collect()),
    }
}
