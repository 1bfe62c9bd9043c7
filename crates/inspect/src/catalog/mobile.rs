//! Swift's `Package.resolved`, Dart's `pubspec.lock`, CocoaPods' `Podfile.lock`, Carthage's `Cartfile.resolved`.

use std::collections::HashMap;

use evidence::bom::{Algorithm, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::lines::{unquoted, yaml};
use super::loose::{Either, List, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "swift-resolved",
        wants: &[Pattern::Name("Package.resolved"), Pattern::Name(".package.resolved")],
        read: swift,
    },
    Cataloger { name: "dart-lock", wants: &[Pattern::Name("pubspec.lock")], read: dart },
    Cataloger { name: "cocoapods-lock", wants: &[Pattern::Name("Podfile.lock")], read: pods },
    Cataloger { name: "carthage-resolved", wants: &[Pattern::Name("Cartfile.resolved")], read: carthage },
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resolved {
    pins: List<Pin>,
    object: Either<Old>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Old {
    pins: List<Pin>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pin {
    location: Text,
    #[serde(rename = "repositoryURL")]
    repository: Text,
    state: Either<Pinned>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pinned {
    version: Text,
    revision: Text,
}

/// Versions 1 to 3. The name space of a Swift package is where its repository lies.
fn swift(input: &Input, found: &mut Found) {
    let Some(resolved) = found.json::<Resolved>(input.bytes) else { return };
    let old = resolved.object.0.unwrap_or_default().pins.0;
    for pin in resolved.pins.0.into_iter().chain(old) {
        let url = pin.location.0.or(pin.repository.0).unwrap_or_default();
        let state = pin.state.0.unwrap_or_default();
        let place = url.split_once("://").map_or(url.as_str(), |(_, place)| place);
        let place = place.split_once('@').map_or(place, |(_, place)| place).replace(':', "/");
        let place = place.strip_suffix(".git").unwrap_or(&place).to_owned();
        let version = state.version.0.filter(|version| !version.is_empty());
        let version = version.or_else(|| state.revision.0.clone()).unwrap_or_default();
        found.take(
            Stated::new("swift", place, version, State::Locked)
                .split_name('/')
                .with("revision", state.revision.0.unwrap_or_default()),
        );
    }
}

fn dart(input: &Input, found: &mut Found) {
    let text = input.text();
    let (mut section, mut current) = ("", None::<u32>);
    for line in yaml(&text) {
        match (line.indent, section) {
            (0, _) => (section, current) = (line.key, None),
            (2, "packages") => current = found.take(Stated::new("pub", line.key, "", State::Locked)),
            (4.., "packages") => {
                let Some(stated) = current.and_then(|place| found.packages.get_mut(place as usize)) else {
                    continue;
                };
                match line.key {
                    "version" => stated.version = line.value.to_owned(),
                    "sha256" => stated.hash(Algorithm::Sha256, line.value),
                    "dependency" if line.value.starts_with("direct") => {
                        found.direct.extend(current);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    // What comes with the SDK or lies beside has the version 0.0.0.
    for stated in &mut found.packages {
        if stated.version == "0.0.0" {
            stated.version.clear();
        }
    }
}

/// `PODS:` has `- Name/Sub (1.0):` with its dependencies two columns further, `SPEC CHECKSUMS:` SHA-1 of descriptions.
fn pods(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut places: HashMap<String, u32> = HashMap::new();
    let (mut section, mut current, mut needs, mut direct) = ("", None, Vec::new(), Vec::new());
    for line in text.lines() {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        if indent == 0 {
            (section, current) = (content, None);
            continue;
        }
        let Some(item) = content.strip_prefix("- ") else { continue };
        let item = unquoted(item.trim_end_matches(':'));
        let (name, version) = item.split_once(" (").unwrap_or((item, ""));
        let pod = name.split('/').next().unwrap_or(name);
        match (section, indent) {
            ("PODS:", 2) => {
                // A part of a pod has the pod's version.
                current = places.get(pod).copied().or_else(|| {
                    let version = version.trim_end_matches(')');
                    let place = found.take(Stated::new("cocoapods", pod, version, State::Locked))?;
                    places.insert(pod.to_owned(), place);
                    Some(place)
                });
            }
            ("PODS:", 4) => needs.extend(current.map(|from| (from, pod.to_owned()))),
            ("DEPENDENCIES:", 2) => direct.push(pod.to_owned()),
            _ => {}
        }
    }
    found.relations = needs
        .iter()
        .filter_map(|(from, name)| Some((*from, *places.get(name)?)))
        .filter(|(from, to)| from != to)
        .collect();
    found.direct = direct.iter().filter_map(|name| places.get(name)).copied().collect();
}

/// `github "owner/name" "version"`.
fn carthage(input: &Input, found: &mut Found) {
    for line in input.text().lines() {
        let mut quoted = line.split('"').skip(1).step_by(2);
        let (Some(place), Some(version)) = (quoted.next(), quoted.next()) else { continue };
        let stated = match line.split(' ').next() {
            Some("github") if place.matches('/').count() == 1 => {
                Stated::new("github", place, version, State::Locked).split_name('/')
            }
            _ => {
                let name = place
                    .rsplit('/')
                    .next()
                    .unwrap_or(place)
                    .trim_end_matches(".git")
                    .trim_end_matches(".json");
                Stated::new("generic", name, version, State::Locked).qualified("download_url", place)
            }
        };
        found.take(stated);
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{direct, purls, relations, scan};

    #[test]
    fn swift_is_read_in_all_versions() {
        let two = br#"{"pins":[{"identity":"swift-log","kind":"remoteSourceControl","location":"https://github.com/apple/swift-log.git","state":{"revision":"abc","version":"1.5.3"}}],"version":2}"#;
        let one = br#"{"object":{"pins":[{"package":"swift-log","repositoryURL":"git@github.com:apple/swift-log.git","state":{"branch":null,"revision":"abc","version":"1.5.3"}}]},"version":1}"#;
        for text in [&two[..], one] {
            let catalog = scan(&[("Package.resolved", text)]);
            assert_eq!(purls(&catalog), ["pkg:swift/github.com/apple/swift-log@1.5.3"]);
        }
    }

    #[test]
    fn dart_is_read() {
        let text = b"# Generated by pub\npackages:\n  async:\n    dependency: transitive\n    description:\n      name: async\n      sha256: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n      url: \"https://pub.dev\"\n    source: hosted\n    version: \"2.11.0\"\n  http:\n    dependency: \"direct main\"\n    version: \"1.1.0\"\nsdks:\n  dart: \">=3.0.0\"\n";
        let catalog = scan(&[("pubspec.lock", text)]);
        assert_eq!(purls(&catalog), ["pkg:pub/async@2.11.0", "pkg:pub/http@1.1.0"]);
        assert_eq!((direct(&catalog), catalog.bom.packages[0].hashes.len()), (vec!["http"], 1));
    }

    #[test]
    fn pods_and_carthage_are_read() {
        let text = b"PODS:\n  - AFNetworking (4.0.1):\n    - AFNetworking/UIKit (= 4.0.1)\n    - Reach\n  - AFNetworking/UIKit (4.0.1):\n    - Reach\n  - Reach (3.2)\n\nDEPENDENCIES:\n  - AFNetworking (~> 4.0)\n\nCOCOAPODS: 1.12.1\n";
        let catalog = scan(&[("Podfile.lock", text)]);
        assert_eq!(purls(&catalog), ["pkg:cocoapods/AFNetworking@4.0.1", "pkg:cocoapods/Reach@3.2"]);
        assert_eq!(
            (relations(&catalog), direct(&catalog)),
            (vec![("AFNetworking", "Reach")], vec!["AFNetworking"])
        );
        let text = b"github \"Alamofire/Alamofire\" \"5.8.0\"\nbinary \"https://x.test/Map.json\" \"1.0\"\n";
        assert_eq!(
            purls(&scan(&[("Cartfile.resolved", text)])),
            [
                "pkg:generic/Map@1.0?download_url=https:%2F%2Fx.test%2FMap.json",
                "pkg:github/alamofire/alamofire@5.8.0"
            ]
        );
    }
}
