//! Container images that are made from packages: a Debian system, one with an application in a layer of its own, and one without
//! a package manager, whose database is `status.d`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::must;

/// An image: its name, and the script that makes its layers as folders `layer-1`, `layer-2`, ….
pub(super) const IMAGES: &[(&str, &str)] = &[
    (
        "debian",
        "debootstrap --variant=minbase --include=python3,curl,jq,git bookworm layer-1 \"$MIRROR\"
rm -rf layer-1/var/cache/apt/archives layer-1/var/lib/apt/lists
mkdir -p layer-1/var/lib/apt/lists",
    ),
    (
        "node",
        "debootstrap --variant=minbase --include=nodejs bookworm layer-1 \"$MIRROR\"
rm -rf layer-1/var/cache/apt/archives
mkdir -p layer-2/srv/app layer-3/srv/app/node_modules
cd layer-2/srv/app
npm install --silent --ignore-scripts --no-audit --no-fund express@4.21.1 lodash@4.17.20 left-pad@1.3.0
cd ../../..
# A later layer takes one package away.
: > layer-3/srv/app/node_modules/.wh.left-pad",
    ),
    (
        "bare",
        "mkdir -p layer-1/var/lib/dpkg/status.d packages
cd packages
apt-get download base-files libc6 libssl3 zlib1g libgcc-s1 libstdc++6 netbase tzdata openssl
for package in *.deb; do
  dpkg-deb -x \"$package\" ../layer-1
  name=$(dpkg-deb -f \"$package\" Package)
  dpkg-deb -f \"$package\" > ../layer-1/var/lib/dpkg/status.d/\"$name\"
done",
    ),
];

/// Sets `MIRROR` to where this machine gets its packages from.
pub(crate) const MIRROR: &str = "MIRROR=$(sed -n 's/^URIs: *//p; s/^deb \\([^ ]*\\) .*/\\1/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)";

/// Writes the layers as `docker save` does (Docker Image Specification v1.2).
const SAVE: &str = r#"
import hashlib, io, json, os, sys, tarfile
folder, name, out = sys.argv[1:]
layers, diffs = [], []
for layer in sorted(entry for entry in os.listdir(folder) if entry.startswith("layer-")):
    path = os.path.join(folder, layer + ".tar")
    with tarfile.open(path, "w") as tar:
        tar.add(os.path.join(folder, layer), arcname=".", filter=lambda info: None if info.ischr() or info.isblk() else info)
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    layers.append((digest, path))
    diffs.append("sha256:" + digest)
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs},
    "history": [{"created_by": "bench"} for _ in diffs]}).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": config_name, "RepoTags": [name + ":1"],
    "Layers": [digest + "/layer.tar" for digest, _ in layers]}]).encode()
with tarfile.open(out, "w") as tar:
    for member, content in ((config_name, config), ("manifest.json", manifest)):
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    for digest, path in layers:
        tar.add(path, arcname=digest + "/layer.tar")
"#;

/// Makes an image, once; returns its archive. Needs root, because a system is installed.
pub(super) fn make(cache: &Path, name: &str, script: &str) -> Result<PathBuf> {
    let folder = cache.join(format!("image-{name}"));
    let archive = folder.join("image.tar");
    if !archive.exists() {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        must(Command::new("sh").args(["-ec", &format!("{MIRROR}\n{script}")]).current_dir(&folder))?;
        let part = folder.join("image.part");
        must(Command::new("python3").args(["-c", SAVE]).arg(&folder).arg(name).arg(&part))?;
        fs::rename(&part, &archive)?;
    }
    Ok(archive)
}
