//! Container images that lie on a machine, by what daemons write about them: Docker's `repositories.json`, the `images.json` of
//! Podman, Buildah and CRI-O, containerd's database. No daemon is asked.

use std::path::{Path, PathBuf};

use evidence::inventory::Item;
use serde_json::Value;

use super::extensions::{item, json, name_of, text};
use super::{Facts, Root};

/// Folders of Docker's storage.
const DOCKER: &[&str] = &["var/lib/docker/image", "var/snap/docker/common/var-lib-docker/image"];
/// Folders of what Podman, Buildah and CRI-O share.
const STORAGE: &[&str] = &["var/lib/containers/storage", "usr/lib/containers/storage"];
const STORAGE_OF_HOME: &str = ".local/share/containers/storage";
/// containerd's databases: its own, and those of k3s, RKE2, MicroK8s and k0s.
const CONTAINERD: &[&str] = &[
    "var/lib/containerd",
    "var/lib/rancher/k3s/agent/containerd",
    "var/lib/rancher/rke2/agent/containerd",
    "var/snap/microk8s/common/var/lib/containerd",
    "var/lib/k0s/containerd",
];

pub(super) fn read(root: &Root, facts: &mut Facts) {
    for folder in DOCKER {
        for driver in root.list(folder, facts) {
            docker(root, &driver, facts);
        }
    }
    let homes = root.homes(facts);
    let storages = STORAGE.iter().map(PathBuf::from);
    for storage in storages.chain(homes.into_iter().map(|home| home.join(STORAGE_OF_HOME))) {
        // `overlay-images`, `vfs-images`, …: one for each driver.
        for images in root.list(&storage, facts).into_iter().filter(|path| name_of(path).ends_with("-images"))
        {
            shared(root, &images.join("images.json"), facts);
        }
    }
    for folder in CONTAINERD {
        containerd(root, &Path::new(folder).join("io.containerd.metadata.v1.bolt/meta.db"), facts);
    }
}

fn image(name: &str, path: &Path, of: &str, id: &str) -> Item {
    // A name ends with a tag or a digest; a port in the registry's name is neither.
    let (repository, version) = match name.split_once('@') {
        Some((repository, digest)) => (repository, digest),
        None => match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((repository, tag)) => (repository, tag),
            None => (name, ""),
        },
    };
    let mut found = item(repository.to_owned(), path, of);
    found.version = version.to_owned();
    found.with("id", id)
}

/// `{"Repositories": {NAME: {"NAME:TAG": "sha256:…", "NAME@sha256:…": "sha256:…"}}}`; each image has its configuration beside it.
fn docker(root: &Root, driver: &Path, facts: &mut Facts) {
    let path = driver.join("repositories.json");
    let Some(list) = json(root, &path, facts) else { return };
    let repositories = list.get("Repositories").and_then(Value::as_object);
    for (reference, id) in
        repositories.into_iter().flatten().filter_map(|(_, names)| names.as_object()).flatten()
    {
        let id = id.as_str().unwrap_or_default();
        // A digest is a name of itself, and becomes part of a path: nothing but digits may.
        let hex = id.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let config = hex.and_then(|hex| json(root, &driver.join("imagedb/content/sha256").join(hex), facts));
        let config = config.unwrap_or(Value::Null);
        facts.items.push(
            image(reference, &path, "docker", id)
                .with("created", text(&config, "created"))
                .with("architecture", text(&config, "architecture")),
        );
    }
}

/// `[{"id": …, "digest": …, "names": [...], "created": …}]` (containers/storage, "images.go").
fn shared(root: &Root, path: &Path, facts: &mut Facts) {
    let Some(list) = json(root, path, facts) else { return };
    for entry in list.as_array().into_iter().flatten() {
        let id = text(entry, "id");
        let names = entry.get("names").and_then(Value::as_array).into_iter().flatten();
        let mut names: Vec<&str> = names.filter_map(Value::as_str).collect();
        // An image without a name is one all the same.
        if names.is_empty() {
            names.push(id);
        }
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            facts.items.push(
                image(name, path, "podman", id)
                    .with("digest", text(entry, "digest"))
                    .with("created", text(entry, "created")),
            );
        }
    }
}

fn containerd(root: &Root, path: &Path, facts: &mut Facts) {
    let Some(bytes) = root.read(path, facts) else { return };
    match inspect::machine::containerd_images(&bytes) {
        Ok(images) => {
            for known in images {
                let found = image(&known.name, path, "containerd", &known.digest);
                facts.items.push(found.with("namespace", known.namespace));
            }
        }
        Err(detail) => facts.gaps.push(format!("{}: {detail}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_are_versions_and_ports_are_not() {
        for (name, expected) in [
            ("alpine:3.18", ("alpine", "3.18")),
            ("r.test:5000/a", ("r.test:5000/a", "")),
            ("r.test:5000/a:1", ("r.test:5000/a", "1")),
            ("a@sha256:00", ("a", "sha256:00")),
        ] {
            let found = image(name, Path::new("x"), "docker", "");
            assert_eq!((found.name.as_str(), found.version.as_str()), expected);
        }
    }
}
