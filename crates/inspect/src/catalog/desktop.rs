//! Applications that bring their system with them: snaps (`meta/snap.yaml`, snapd's state) and Flatpak's deployments.

use evidence::bom::{Kind, State};
use serde::Deserialize;

use super::found::{Found, Stated};
use super::lines::yaml;
use super::loose::{Either, Flag, List, Table, Text};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "snap", wants: &[Pattern::End("meta/snap.yaml")], read: snap },
    Cataloger { name: "snapd-state", wants: &[Pattern::End("var/lib/snapd/state.json")], read: snapd },
    Cataloger { name: "flatpak", wants: &[Pattern::Name("metadata")], read: flatpak },
];

/// What a snap says of itself (snapcraft, "The snap format"): scalars at the top, and a list of architectures.
fn snap(input: &Input, found: &mut Found) {
    let text = input.text();
    let (mut stated, mut kind) = (Stated::new("snap", "", "", State::Installed), "");
    let (mut base, mut confinement, mut architectures) = ("", "", Vec::new());
    let mut list = "";
    for line in yaml(&text) {
        if line.indent > 0 || line.item {
            if line.item && list == "architectures" && architectures.len() < 8 {
                architectures.push(line.key);
            }
            continue;
        }
        list = line.key;
        match line.key {
            "name" => stated.name = line.value.to_owned(),
            "version" => stated.version = line.value.to_owned(),
            "license" => stated.licence(line.value),
            "type" => kind = line.value,
            "base" => base = line.value,
            "confinement" => confinement = line.value,
            "architectures" => {
                let flow = line.value.trim_start_matches('[').trim_end_matches(']');
                architectures.extend(flow.split(',').map(str::trim).filter(|name| !name.is_empty()).take(8));
            }
            _ => {}
        }
    }
    if stated.name.is_empty() {
        return found.problem("malformed-snap", "without a name");
    }
    // Mounted at `/snap/NAME/REVISION`.
    let mut folders = input.path.rsplit('/').skip(2);
    let revision =
        folders.next().filter(|_| folders.next() == Some(stated.name.as_str())).unwrap_or_default();
    let sort = match kind {
        "kernel" | "gadget" | "base" | "os" | "core" | "snapd" => Kind::Platform,
        _ => Kind::Application,
    };
    let stated = stated
        .kind(sort)
        .qualified("arch", architectures.first().copied().unwrap_or_default())
        .with("revision", revision)
        .with("confinement", confinement);
    let Some(place) = found.take(stated) else { return };
    // A snap runs on its base.
    if !base.is_empty() && base != "none" {
        found.needs.push((place, base.to_owned()));
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Snapd {
    data: Either<SnapdData>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SnapdData {
    snaps: Table<SnapState>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SnapState {
    sequence: List<SnapRevision>,
    current: Text,
    active: Flag,
    channel: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SnapRevision {
    revision: Text,
    #[serde(rename = "snap-id")]
    id: Text,
    /// Where a later snapd keeps the same.
    snap: Either<Box<SnapRevision>>,
}

/// What snapd has installed. It keeps revisions, and no versions: these are inside the snaps.
fn snapd(input: &Input, found: &mut Found) {
    let Some(state) = found.json::<Snapd>(input.bytes) else { return };
    for (name, snap) in state.data.0.unwrap_or_default().snaps.0 {
        let current = snap.current.as_str();
        let id = snap.sequence.0.iter().map(|one| one.snap.0.as_deref().unwrap_or(one));
        let id = id.filter(|one| one.revision.as_str() == current).map(|one| one.id.as_str()).next();
        found.take(
            Stated::new("snap", name, "", State::Installed)
                .kind(Kind::Application)
                .with("revision", current)
                .with("snap-id", id.unwrap_or_default())
                .with("channel", snap.channel.as_str())
                .with("active", if snap.active.0 { "true" } else { "false" }),
        );
    }
}

/// A deployment: `flatpak/app/ID/ARCHITECTURE/BRANCH/COMMIT/metadata`, a key file as systemd's units are
/// (flatpak, "flatpak-metadata").
fn flatpak(input: &Input, found: &mut Found) {
    let mut folders = input.path.rsplit('/').skip(1);
    let (Some(commit), Some(branch), Some(architecture), Some(id), Some(sort @ ("app" | "runtime"))) =
        (folders.next(), folders.next(), folders.next(), folders.next(), folders.next())
    else {
        return;
    };
    // A link `active` leads to the folder of a commit, and links are not followed.
    if commit.len() != 64 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return;
    }
    let text = input.text();
    let (mut group, mut name, mut runtime) = ("", "", "");
    for line in text.lines() {
        if let Some(inner) = line.trim().strip_prefix('[') {
            group = inner.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=')
            && matches!(group, "Application" | "Runtime")
        {
            match key.trim() {
                "name" => name = value.trim(),
                "runtime" => runtime = value.trim(),
                _ => {}
            }
        }
    }
    if name != id {
        return found.problem("malformed-flatpak-metadata", "it has another name than its folder");
    }
    let kind = if sort == "app" { Kind::Application } else { Kind::Platform };
    let stated = Stated::new("flatpak", id, branch, State::Installed)
        .kind(kind)
        .qualified("arch", architecture)
        .with("commit", commit);
    let Some(place) = found.take(stated) else { return };
    // `org.gnome.Platform/x86_64/46`.
    let runtime = runtime.split('/').next().unwrap_or_default();
    if !runtime.is_empty() && runtime != id {
        found.needs.push((place, runtime.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, relations, scan};

    #[test]
    fn snaps_are_read_with_their_base() {
        let hello = b"name: hello\nversion: '2.10'\nsummary: x\nlicense: GPL-3.0\nbase: core22\nconfinement: strict\narchitectures:\n  - amd64\napps:\n  hello:\n    command: bin/hello\n    version: 9\n";
        let core = b"name: core22\nversion: '20240408'\ntype: base\narchitectures: [amd64]\n";
        let catalog =
            scan(&[("snap/hello/42/meta/snap.yaml", hello), ("snap/core22/1380/meta/snap.yaml", core)]);
        assert_eq!(
            purls(&catalog),
            ["pkg:snap/core22@20240408?arch=amd64", "pkg:snap/hello@2.10?arch=amd64"]
        );
        let revision =
            |place: usize| catalog.bom.packages[place].properties.iter().find(|p| p.name == "revision");
        assert_eq!(revision(1).map(|property| property.value.as_ref()), Some("42"));
        assert_eq!(relations(&catalog), [("hello", "core22")]);
        assert_eq!(scan(&[("x/meta/snap.yaml", b"version: 1\n")]).problems[0].kind, "malformed-snap");
    }

    #[test]
    fn snapd_knows_revisions() {
        let state = br#"{"data":{"snaps":{"firefox":{"sequence":[{"name":"firefox","snap-id":"3w","revision":"4","channel":"x"}],"active":true,"current":"4"},"odd":7}}}"#;
        let catalog = scan(&[("var/lib/snapd/state.json", state)]);
        assert_eq!(purls(&catalog), ["pkg:snap/firefox"]);
        let newer = br#"{"data":{"snaps":{"a":{"sequence":[{"snap":{"snap-id":"id","revision":"4"}}],"current":4}}}}"#;
        let properties = &scan(&[("var/lib/snapd/state.json", newer)]).bom.packages[0].properties.clone();
        assert!(
            properties.iter().any(|one| one.name == "snap-id" && one.value.as_ref() == "id"),
            "{properties:?}"
        );
    }

    #[test]
    fn deployments_of_flatpak_are_read() {
        let commit = "a".repeat(64);
        let app = b"[Application]\nname=org.example.App\nruntime=org.gnome.Platform/x86_64/46\ncommand=app\n[Context]\nname=evil\n";
        let runtime = b"[Runtime]\nname=org.gnome.Platform\nruntime=org.gnome.Platform/x86_64/46\n";
        let path = |sort: &str, id: &str, branch: &str| {
            format!("var/lib/flatpak/{sort}/{id}/x86_64/{branch}/{commit}/metadata")
        };
        let catalog = scan(&[
            (&path("app", "org.example.App", "stable"), app),
            (&path("runtime", "org.gnome.Platform", "46"), runtime),
        ]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:flatpak/org.example.App@stable?arch=x86_64",
                "pkg:flatpak/org.gnome.Platform@46?arch=x86_64"
            ]
        );
        assert_eq!(relations(&catalog), [("org.example.App", "org.gnome.Platform")]);
        let wrong = scan(&[(&path("app", "org.example.Other", "stable"), app)]);
        assert_eq!((wrong.bom.packages.len(), wrong.problems.len()), (0, 1));
        assert!(scan(&[("x/metadata", b"x")]).bom.packages.is_empty());
    }
}
