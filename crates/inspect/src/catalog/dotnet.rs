//! .NET: `*.deps.json` of what was built, `packages.lock.json`, `project.assets.json`, `packages.config`, and specifications of
//! installed packages.

use std::collections::HashMap;

use evidence::bom::{Algorithm, State};
use serde::Deserialize;

use super::found::{Found, Stated, hex};
use super::lines::base64;
use super::loose::{Table, Text};
use super::{Cataloger, Input, Pattern};
use crate::unpack::xml::{Event, Reader, attribute};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "dotnet-deps",
        wants: &[Pattern::Around("", ".deps.json"), Pattern::Name("project.assets.json")],
        read: deps,
    },
    Cataloger { name: "nuget-lock", wants: &[Pattern::Name("packages.lock.json")], read: lock },
    Cataloger {
        name: "nuget-config",
        wants: &[Pattern::Name("packages.config"), Pattern::Name("Directory.Packages.props")],
        read: config,
    },
    Cataloger { name: "nuget-specification", wants: &[Pattern::Extension("nuspec")], read: specification },
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Deps {
    libraries: Table<Library>,
    targets: Table<Table<Target>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Library {
    r#type: Text,
    sha512: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Target {
    dependencies: Table<Text>,
}

/// Keys are `Name/1.0.0`.
fn deps(input: &Input, found: &mut Found) {
    let Some(deps) = found.json::<Deps>(input.bytes) else { return };
    let state = if input.name() == "project.assets.json" { State::Locked } else { State::Installed };
    let mut places: HashMap<String, u32> = HashMap::new();
    for (key, library) in deps.libraries.0 {
        let Some((name, version)) = key.split_once('/') else { continue };
        if library.r#type.as_str() == "project" {
            continue;
        }
        let mut stated = Stated::new("nuget", name, version, state);
        let digest = library.sha512.as_str();
        if let Some(bytes) =
            base64(digest.strip_prefix("sha512-").unwrap_or(digest)).filter(|bytes| bytes.len() == 64)
        {
            stated.hash(Algorithm::Sha512, &hex(&bytes));
        }
        if let Some(place) = found.take(stated) {
            places.insert(key, place);
        }
    }
    for (key, target) in deps.targets.0.into_values().flat_map(|targets| targets.0) {
        for (name, version) in target.dependencies.0 {
            let to = places.get(&format!("{name}/{}", version.as_str()));
            match (places.get(&key), to) {
                (Some(from), Some(to)) => found.relations.push((*from, *to)),
                // The project itself.
                (None, Some(to)) => found.direct.push(*to),
                _ => {}
            }
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lock {
    dependencies: Table<Table<Locked>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Locked {
    r#type: Text,
    resolved: Text,
    #[serde(rename = "contentHash")]
    content_hash: Text,
    dependencies: Table<Text>,
}

fn lock(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Lock>(input.bytes) else { return };
    for framework in lock.dependencies.0.into_values() {
        let (mut places, mut needs) = (HashMap::new(), Vec::new());
        for (name, locked) in framework.0 {
            if locked.resolved.0.is_none() || locked.r#type.as_str() == "Project" {
                continue;
            }
            let mut stated = Stated::new("nuget", name.as_str(), locked.resolved.take(), State::Locked);
            if let Some(bytes) = base64(locked.content_hash.as_str()).filter(|bytes| bytes.len() == 64) {
                stated.hash(Algorithm::Sha512, &hex(&bytes));
            }
            let Some(place) = found.take(stated) else { continue };
            if locked.r#type.as_str() == "Direct" {
                found.direct.push(place);
            }
            places.insert(name.to_lowercase(), place);
            needs.push((place, locked.dependencies));
        }
        for (from, names) in needs {
            let to = names.0.keys().filter_map(|name| places.get(&name.to_lowercase()));
            found.relations.extend(to.map(|to| (from, *to)));
        }
    }
}

/// `<package id="…" version="…"/>`, `<PackageVersion Include="…" Version="…"/>`.
fn config(input: &Input, found: &mut Found) {
    for event in Reader::new(input.bytes) {
        let Event::Open(name, attributes) = event else { continue };
        let text =
            |name| attribute(attributes, name).map(|value| String::from_utf8_lossy(value).into_owned());
        let (id, version) = match name {
            b"package" => (text("id"), text("version")),
            b"PackageVersion" => (text("Include"), text("Version")),
            _ => continue,
        };
        if let (Some(id), Some(version)) = (id, version) {
            let known = version.starts_with(|c: char| c.is_ascii_digit());
            let place = found.take(
                Stated::new("nuget", id, if known { version.as_str() } else { "" }, State::Declared)
                    .with("wanted", if known { "" } else { version.as_str() }),
            );
            found.direct.extend(place);
        }
    }
}

/// What an unpacked package says of itself.
fn specification(input: &Input, found: &mut Found) {
    let stated = specified(input.bytes);
    // The template of a project has variables.
    if !stated.name.contains('$') && !stated.version.contains('$') {
        found.take(stated);
    }
}

/// Reads the specification of a package (`.nuspec`).
pub(crate) fn specified(bytes: &[u8]) -> Stated {
    let (mut path, mut stated): (Vec<&[u8]>, _) =
        (Vec::new(), Stated::new("nuget", "", "", State::Installed));
    let mut expression = false;
    for event in Reader::new(bytes) {
        match event {
            Event::Open(name, attributes) => {
                expression = name == b"license" && attribute(attributes, "type") == Some(b"expression");
                if path.len() < 16 {
                    path.push(name);
                }
            }
            Event::Close(name) => {
                if path.last() == Some(&name) {
                    path.pop();
                }
            }
            Event::Text(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                match path.as_slice() {
                    [b"package", b"metadata", b"id"] => stated.name = text,
                    [b"package", b"metadata", b"version"] => stated.version = text,
                    [b"package", b"metadata", b"authors"] => stated.supplier = Some(text),
                    [b"package", b"metadata", b"license"] if expression => stated.licence(&text),
                    _ => {}
                }
            }
        }
    }
    stated
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, relations, scan};

    #[test]
    fn what_was_built_and_what_is_locked_is_read() {
        let deps = br#"{"targets":{".NETCoreApp,Version=v8.0":{"App/1.0.0":{"dependencies":{"A":"1.0.0"}},"A/1.0.0":{"dependencies":{"B":"2.0.0"}},"B/2.0.0":{}}},"libraries":{"App/1.0.0":{"type":"project"},"A/1.0.0":{"type":"package","sha512":"sha512-x"},"B/2.0.0":{"type":"package"}}}"#;
        let lock = br#"{"version":1,"dependencies":{"net8.0":{"A":{"type":"Direct","resolved":"1.0.0","dependencies":{"B":"2.0.0"}},"B":{"type":"Transitive","resolved":"2.0.0"},"P":{"type":"Project"}}}}"#;
        for (name, text) in [("app.deps.json", &deps[..]), ("packages.lock.json", lock)] {
            let catalog = scan(&[(name, text)]);
            assert_eq!(purls(&catalog), ["pkg:nuget/A@1.0.0", "pkg:nuget/B@2.0.0"], "{name}");
            assert_eq!((relations(&catalog), direct(&catalog)), (vec![("A", "B")], vec!["A"]), "{name}");
        }
    }

    #[test]
    fn configurations_and_specifications_are_read() {
        let config = br#"<?xml version="1.0"?><packages><package id="A" version="1.0" targetFramework="net4"/></packages>"#;
        assert_eq!(purls(&scan(&[("packages.config", config)])), ["pkg:nuget/A@1.0"]);
        let nuspec = br#"<package xmlns="x"><metadata><id>A</id><version>1.0</version><authors>M</authors><license type="expression">MIT</license></metadata></package>"#;
        let catalog = scan(&[("a/1.0/a.nuspec", nuspec)]);
        assert_eq!(purls(&catalog), ["pkg:nuget/A@1.0"]);
        assert_eq!(catalog.bom.packages[0].licences, ["MIT".into()]);
    }
}
