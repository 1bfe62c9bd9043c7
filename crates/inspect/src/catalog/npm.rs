//! npm: `package-lock.json` and `npm-shrinkwrap.json` of versions 1 to 3, `pnpm-lock.yaml`, and installed packages.

use std::collections::{BTreeMap, HashMap};

use evidence::bom::State;
use serde::Deserialize;

use super::found::{Found, Stated};
use super::lines::{Line, of_flow, yaml};
use super::loose::{Either, Flag, List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "npm-lock",
        wants: &[Pattern::Name("package-lock.json"), Pattern::Name("npm-shrinkwrap.json")],
        read: lock,
    },
    // What npm itself keeps of what it installed; the packages' own manifests say the same and more.
    Cataloger { name: "pnpm-lock", wants: &[Pattern::Name("pnpm-lock.yaml")], read: pnpm },
    Cataloger { name: "npm-package", wants: &[Pattern::Name("package.json")], read: manifest },
];

/// Makes a package of a full name such as `@scope/name`.
pub(super) fn package(full: &str, version: &str, state: State) -> Stated {
    Stated::new("npm", full, version, state).split_name('/')
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lock {
    packages: Option<Table<Entry>>,
    dependencies: Table<Old>,
}

/// An entry of versions 2 and 3, by the path of the installed folder.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    name: Text,
    version: Text,
    resolved: Text,
    integrity: Text,
    license: Text,
    link: Flag,
    dev: Flag,
    optional: Flag,
    dependencies: Table<Text>,
    #[serde(rename = "optionalDependencies")]
    optional_dependencies: Table<Text>,
    #[serde(rename = "peerDependencies")]
    peer_dependencies: Table<Text>,
    #[serde(rename = "devDependencies")]
    dev_dependencies: Table<Text>,
}

/// An entry of version 1: dependencies are nested as folders are.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Old {
    version: Text,
    resolved: Text,
    integrity: Text,
    dev: Flag,
    optional: Flag,
    requires: Table<Text>,
    dependencies: Table<Old>,
}

fn lock(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Lock>(input.bytes) else { return };
    match lock.packages {
        Some(packages) => by_folder(packages.0, found),
        None => {
            let mut places = BTreeMap::new();
            let mut requires = Vec::new();
            nested(lock.dependencies.0, found, &mut places, &mut requires);
            for (from, folder, names) in requires {
                follow(found, &places, from, &folder, names.0.keys());
            }
        }
    }
}

fn by_folder(packages: BTreeMap<String, Entry>, found: &mut Found) {
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    let mut entries: Vec<(Option<u32>, String, Entry)> = Vec::with_capacity(packages.len());
    for (folder, entry) in packages {
        let own = !folder.contains("node_modules/");
        let name = match (entry.name.as_str(), folder.rsplit_once("node_modules/")) {
            ("", Some((_, name))) => name,
            (name, _) => name,
        };
        if entry.link.0 || name.is_empty() || own {
            entries.push((None, folder, entry));
            continue;
        }
        let mut stated = package(name, entry.version.as_str(), State::Locked);
        stated.integrity(entry.integrity.as_str());
        stated.licence(entry.license.as_str());
        stated = marked(stated, entry.dev, entry.optional).with("resolved", entry.resolved.as_str());
        let place = found.take(stated);
        if let Some(place) = place {
            places.insert(folder.clone(), place);
        }
        entries.push((place, folder, entry));
    }
    for (place, folder, entry) in entries {
        let tables = [&entry.dependencies, &entry.optional_dependencies, &entry.peer_dependencies];
        let names = tables.into_iter().flat_map(|table| table.0.keys());
        match place {
            Some(from) => follow(found, &places, from, &folder, names),
            // The project itself, or one of its workspaces.
            None if !entry.link.0 => {
                for name in names.chain(entry.dev_dependencies.0.keys()) {
                    found.direct.extend(resolve(&places, &folder, name));
                }
            }
            None => {}
        }
    }
}

/// Walks the nested entries of version 1 without recursion.
fn nested(
    dependencies: BTreeMap<String, Old>,
    found: &mut Found,
    places: &mut BTreeMap<String, u32>,
    requires: &mut Vec<(u32, String, Table<Text>)>,
) {
    let mut waiting = vec![(String::new(), dependencies)];
    while let Some((folder, dependencies)) = waiting.pop() {
        for (name, entry) in dependencies {
            let mut version = entry.version.take();
            let mut stated_name = name.clone();
            // `npm:other@1.0.0` is an alias.
            if let Some(alias) = version.strip_prefix("npm:")
                && let Some((real, number)) = alias.rsplit_once('@')
            {
                (stated_name, version) = (real.to_owned(), number.to_owned());
            }
            let mut stated = package(&stated_name, &version, State::Locked);
            stated.integrity(entry.integrity.as_str());
            stated = marked(stated, entry.dev, entry.optional).with("resolved", entry.resolved.take());
            let own = if folder.is_empty() {
                format!("node_modules/{name}")
            } else {
                format!("{folder}/node_modules/{name}")
            };
            let Some(place) = found.take(stated) else { return };
            places.insert(own.clone(), place);
            if !entry.requires.0.is_empty() {
                requires.push((place, own.clone(), entry.requires));
            }
            if !entry.dependencies.0.is_empty() {
                waiting.push((own, entry.dependencies.0));
            }
        }
    }
}

fn marked(stated: Stated, dev: Flag, optional: Flag) -> Stated {
    stated
        .with("development", if dev.0 { "true" } else { "" })
        .with("optional", if optional.0 { "true" } else { "" })
}

fn follow<'a>(
    found: &mut Found,
    places: &BTreeMap<String, u32>,
    from: u32,
    folder: &str,
    names: impl Iterator<Item = &'a String>,
) {
    for name in names {
        if let Some(to) = resolve(places, folder, name) {
            found.relations.push((from, to));
        }
    }
}

/// Finds a package as Node does: in the `node_modules` of the folder, then of each one above.
fn resolve(places: &BTreeMap<String, u32>, folder: &str, name: &str) -> Option<u32> {
    let mut at = folder;
    loop {
        let candidate =
            if at.is_empty() { format!("node_modules/{name}") } else { format!("{at}/node_modules/{name}") };
        if let Some(place) = places.get(&candidate) {
            return Some(*place);
        }
        if at.is_empty() {
            return None;
        }
        at = match at.rfind("/node_modules/") {
            Some(end) => &at[..end],
            None => "",
        };
    }
}

/// `pnpm-lock.yaml` of versions 5 to 9.
fn pnpm(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut section = "";
    let mut places: HashMap<(String, String), u32> = HashMap::new();
    let mut current: Option<u32> = None;
    let mut dependencies: Vec<(Option<u32>, String, String)> = Vec::new();
    let (mut list, mut named) = ("", "");
    for line in yaml(&text) {
        match line.indent {
            0 => (section, current, list) = (line.key, None, ""),
            2 if matches!(section, "packages" | "snapshots") => {
                list = "";
                let Some((name, version)) = pnpm_key(line.key) else {
                    current = None;
                    continue;
                };
                let key = (name.to_owned(), version.to_owned());
                current = places.get(&key).copied().or_else(|| {
                    let place = found.take(package(name, version, State::Locked))?;
                    places.insert(key, place);
                    Some(place)
                });
            }
            4 if matches!(section, "packages" | "snapshots") => {
                list = if line.value.is_empty() { line.key } else { "" };
                if let Some(stated) = current.and_then(|place| found.packages.get_mut(place as usize)) {
                    pnpm_field(&line, stated);
                }
            }
            6 if matches!(section, "packages" | "snapshots")
                && matches!(list, "dependencies" | "optionalDependencies") =>
            {
                dependencies.push((current, line.key.to_owned(), line.value.to_owned()));
            }
            // `dependencies:` of the project: in the document (up to version 8) or in `importers` by folder.
            2 if is_list(section) && !line.value.is_empty() => {
                dependencies.push((None, line.key.to_owned(), line.value.to_owned()));
            }
            2 if is_list(section) => named = line.key,
            4 if is_list(section) && line.key == "version" => {
                dependencies.push((None, named.to_owned(), line.value.to_owned()));
            }
            4 if section == "importers" => list = line.key,
            6 if section == "importers" && is_list(list) => {
                named = line.key;
                if !line.value.is_empty() {
                    dependencies.push((None, named.to_owned(), line.value.to_owned()));
                }
            }
            8 if section == "importers" && line.key == "version" => {
                dependencies.push((None, named.to_owned(), line.value.to_owned()));
            }
            _ => {}
        }
    }
    for (from, name, version) in dependencies {
        // `1.0.0(peer@2)` and `1.0.0_peer` are instances of one package; an alias stands as a whole key.
        let plain = version.split(['(', '_']).next().unwrap_or(&version);
        let key = match pnpm_key(&version) {
            Some((real, number)) if !version.starts_with(|c: char| c.is_ascii_digit()) => {
                (real.to_owned(), number.to_owned())
            }
            _ => (name, plain.to_owned()),
        };
        match (places.get(&key), from) {
            (Some(to), Some(from)) => found.relations.push((from, *to)),
            (Some(to), None) => found.direct.push(*to),
            (None, _) => {}
        }
    }
}

fn is_list(section: &str) -> bool {
    matches!(section, "dependencies" | "devDependencies" | "optionalDependencies")
}

fn pnpm_field(line: &Line<'_>, stated: &mut Stated) {
    match line.key {
        "resolution" => {
            if let Some(integrity) = of_flow(line.value, "integrity") {
                stated.integrity(integrity);
            }
        }
        "dev" if line.value == "true" => stated.properties.push(("development".into(), "true".into())),
        "optional" if line.value == "true" => stated.properties.push(("optional".into(), "true".into())),
        _ => {}
    }
}

/// Takes a key of `packages` apart: `name@1.0.0(peer)`, `/name@1.0.0(peer)`, `/name/1.0.0_peer`.
fn pnpm_key(key: &str) -> Option<(&str, &str)> {
    let plain = key.split('(').next().unwrap_or(key);
    let rooted = plain.strip_prefix('/');
    let plain = rooted.unwrap_or(plain);
    // Up to version 5, a slash follows the name, which has a slash itself if it is scoped.
    let slashes = usize::from(plain.starts_with('@'));
    let slash = plain.match_indices('/').nth(slashes).map(|(at, _)| at);
    let at = plain.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
    let (name, version) = match (slash.filter(|_| rooted.is_some()), at) {
        (Some(slash), at) if at.is_none_or(|at| slash < at) => {
            let version = &plain[slash + 1..];
            (&plain[..slash], version.split('_').next().unwrap_or(version))
        }
        (_, Some(at)) => (&plain[..at], &plain[at + 1..]),
        (_, None) => return None,
    };
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    (is_version && !name.is_empty()).then_some((name, version))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Manifest {
    name: Text,
    version: Text,
    license: Either<Licence>,
    licenses: List<Licence>,
    author: Either<Person>,
    dependencies: Table<Text>,
    #[serde(rename = "optionalDependencies")]
    optional_dependencies: Table<Text>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Licence {
    Named(String),
    Described {
        #[serde(rename = "type", default)]
        kind: Text,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Person {
    Written(String),
    Described {
        #[serde(default)]
        name: Text,
    },
}

/// `package.json` of an installed package: one directly in a folder of `node_modules`. Others are sources or parts of
/// packages, and name nothing that was published.
fn manifest(input: &Input, found: &mut Found) {
    if !is_installed(input.path) {
        return;
    }
    let Some(manifest) = found.json::<Manifest>(input.bytes) else { return };
    // A manifest without a name or a version is a switch for module loaders, not a package.
    if manifest.name.as_str().is_empty() || manifest.version.as_str().is_empty() {
        return;
    }
    let mut stated = package(manifest.name.as_str(), manifest.version.as_str(), State::Installed);
    for licence in manifest.license.0.into_iter().chain(manifest.licenses.0) {
        match licence {
            Licence::Named(name) => stated.licence(&name),
            Licence::Described { kind } => stated.licence(kind.as_str()),
        }
    }
    stated.supplier = match manifest.author.0 {
        Some(Person::Written(text)) => Some(text),
        Some(Person::Described { name }) => name.0,
        None => None,
    };
    stated.provides = vec![manifest.name.take()];
    let Some(place) = found.take(stated) else { return };
    let names = [manifest.dependencies, manifest.optional_dependencies];
    found.needs.extend(names.into_iter().flat_map(|table| table.0.into_keys()).map(|name| (place, name)));
}

/// Tells whether a manifest is that of a package in `node_modules`, or where Debian installs packages for all.
fn is_installed(path: &str) -> bool {
    let Some(folder) = path.strip_suffix("/package.json") else { return false };
    let places = ["node_modules/", "usr/share/nodejs/"];
    let Some((before, name)) =
        places.iter().filter_map(|place| folder.rsplit_once(place)).max_by_key(|(before, _)| before.len())
    else {
        return false;
    };
    let whole = before.is_empty() || before.ends_with(['/', '!']);
    let depth = name.split('/').count();
    whole && if name.starts_with('@') { depth == 2 } else { depth == 1 }
}

#[cfg(test)]
mod tests;
