//! C and C++: Conan's lock files of both forms, vcpkg's manifests and what it has installed.

use evidence::bom::State;
use serde::Deserialize;

use super::found::{Found, Stated};
use super::lines::{Fields, paragraphs};
use super::loose::{Either, List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "conan-lock", wants: &[Pattern::Name("conan.lock")], read: conan },
    Cataloger { name: "vcpkg-manifest", wants: &[Pattern::Name("vcpkg.json")], read: manifest },
    Cataloger { name: "vcpkg-installed", wants: &[Pattern::End("vcpkg/status")], read: installed },
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Conan {
    graph_lock: Either<Graph>,
    requires: List<Text>,
    build_requires: List<Text>,
    python_requires: List<Text>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Graph {
    nodes: Table<Node>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    r#ref: Text,
}

/// Version 2 has lists of references, version 1 a graph.
fn conan(input: &Input, found: &mut Found) {
    let Some(lock) = found.json::<Conan>(input.bytes) else { return };
    let graph = lock.graph_lock.0.unwrap_or_default().nodes.0.into_values().map(|node| (node.r#ref, ""));
    let lists = [(lock.requires, ""), (lock.build_requires, "build"), (lock.python_requires, "python")];
    let lists = lists.into_iter().flat_map(|(list, scope)| list.0.into_iter().map(move |text| (text, scope)));
    for (reference, scope) in graph.chain(lists) {
        let text = reference.as_str();
        // `name/version@user/channel#revision%time`
        let (text, revision) = text.split_once('#').unwrap_or((text, ""));
        let (text, place) = text.split_once('@').unwrap_or((text, ""));
        let Some((name, version)) = text.split_once('/') else { continue };
        let (user, channel) = place.split_once('/').unwrap_or((place, ""));
        found.take(
            Stated::new("conan", name, version, State::Locked)
                .qualified("user", user)
                .qualified("channel", channel)
                .qualified("rrev", revision.split('%').next().unwrap_or_default())
                .with("scope", scope),
        );
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Manifest {
    dependencies: List<Wanted>,
    overrides: List<Override>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    Name(String),
    Described {
        name: Text,
        #[serde(rename = "version>=", default)]
        at_least: Text,
    },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Override {
    name: Text,
    version: Text,
}

fn manifest(input: &Input, found: &mut Found) {
    let Some(manifest) = found.json::<Manifest>(input.bytes) else { return };
    for wanted in manifest.dependencies.0 {
        let (name, at_least) = match wanted {
            Wanted::Name(name) => (name, Text::default()),
            Wanted::Described { name, at_least } => (name.take(), at_least),
        };
        let exact = manifest.overrides.0.iter().find(|exact| exact.name.as_str() == name);
        let version = exact.map(|exact| exact.version.as_str()).unwrap_or_default();
        let stated = Stated::new("vcpkg", name, version, State::Declared).with("wanted", at_least.take());
        let place = found.take(stated);
        found.direct.extend(place);
    }
}

fn installed(input: &Input, found: &mut Found) {
    for paragraph in paragraphs(&input.text()) {
        let fields = Fields::read(paragraph);
        let (Some(name), Some(version)) = (fields.one("Package"), fields.one("Version")) else { continue };
        if fields.one("Status").is_some_and(|status| status.ends_with(" installed"))
            && fields.one("Feature").is_none()
        {
            let place = found.take(
                Stated::new("vcpkg", name, version, State::Installed)
                    .qualified("triplet", fields.one("Architecture").unwrap_or_default())
                    .qualified("port_version", fields.one("Port-Version").unwrap_or_default()),
            );
            let needs = fields.one("Depends").unwrap_or_default().split(',').map(str::trim);
            let needs = needs
                .filter(|name| !name.is_empty())
                .map(|name| name.split([':', '[']).next().unwrap_or(name));
            found.needs.extend(
                place.into_iter().flat_map(|place| needs.clone().map(move |name| (place, name.to_owned()))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    #[test]
    fn conan_is_read_in_both_forms() {
        let two = br#"{"version":"0.5","requires":["zlib/1.2.13#97d5730b%1.0","fmt/9.1.0@me/stable"],"build_requires":["cmake/3.27.0"]}"#;
        assert_eq!(
            purls(&scan(&[("conan.lock", two)])),
            [
                "pkg:conan/cmake@3.27.0",
                "pkg:conan/fmt@9.1.0?channel=stable&user=me",
                "pkg:conan/zlib@1.2.13?rrev=97d5730b"
            ]
        );
        let one = br#"{"graph_lock":{"nodes":{"0":{"options":"x"},"1":{"ref":"zlib/1.2.13#97d5730b"}}},"version":"0.4"}"#;
        assert_eq!(purls(&scan(&[("conan.lock", one)])), ["pkg:conan/zlib@1.2.13?rrev=97d5730b"]);
    }

    #[test]
    fn vcpkg_is_read() {
        let manifest = br#"{"name":"app","dependencies":["fmt",{"name":"zlib","version>=":"1.2"}],"overrides":[{"name":"fmt","version":"9.1.0"}]}"#;
        assert_eq!(purls(&scan(&[("vcpkg.json", manifest)])), ["pkg:vcpkg/fmt@9.1.0", "pkg:vcpkg/zlib"]);
        let status = b"Package: curl\nVersion: 8.4.0\nPort-Version: 1\nDepends: zlib\nArchitecture: x64-linux\nStatus: install ok installed\n\nPackage: curl\nFeature: ssl\nArchitecture: x64-linux\nStatus: install ok installed\n\nPackage: zlib\nVersion: 1.3\nArchitecture: x64-linux\nStatus: install ok installed\n";
        let catalog = scan(&[("vcpkg_installed/vcpkg/status", status)]);
        assert_eq!(
            purls(&catalog),
            ["pkg:vcpkg/curl@8.4.0?port_version=1&triplet=x64-linux", "pkg:vcpkg/zlib@1.3?triplet=x64-linux"]
        );
        assert_eq!(relations(&catalog), [("curl", "zlib")]);
    }
}
