//! The machine's root as all scanners see it in `bench sbom root`: without `/tmp` and without build products, which change while others
//! work. One mount namespace a run, so that nobody has to be told what to leave out. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::must;

/// What is needed inside is bound below `/mnt`; then empty file systems hide the folders.
const SCRIPT: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /mnt
while [ "$1" != -- ]; do mkdir -p "/mnt/$2"; mount --bind "$1" "/mnt/$2"; shift 2; done
shift
while [ "$1" != -- ]; do mount -t tmpfs -o mode=1777 tmpfs "$1"; shift; done
shift
cd /
exec "$@""#;

const NAMESPACE: [&str; 4] = ["--mount", "--propagation", "private", "sh"];

/// Folders that are there inside, and folders that are hidden.
pub(super) struct View {
    bound: Vec<(PathBuf, &'static str)>,
    hidden: Vec<PathBuf>,
}

impl View {
    /// Hides `/tmp` and the folder of build products. What lies in the bound folders is below `/mnt` inside.
    pub(super) fn new(bound: Vec<(PathBuf, &'static str)>) -> Result<Self> {
        let metadata = crate::metadata()?;
        let target = Path::new(metadata["target_directory"].as_str().context("no target folder")?);
        let mut hidden = vec![PathBuf::from("/tmp")];
        hidden.extend((!target.starts_with("/tmp")).then(|| target.to_path_buf()));
        let view = Self { bound, hidden };
        must(&mut view.command(Path::new("true"))).context("no view of the root can be made")?;
        Ok(view)
    }

    /// A command that runs a program inside; its arguments follow.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(NAMESPACE).args(["-ec", SCRIPT, "sh"]);
        for (folder, name) in &self.bound {
            command.arg(folder).arg(name);
        }
        command.arg("--").args(&self.hidden).arg("--").arg(self.inside(program));
        command
    }

    /// What a path is called inside.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        let moved = |(folder, name): &(PathBuf, &str)| {
            Some(Path::new("/mnt").join(name).join(path.strip_prefix(folder).ok()?))
        };
        self.bound.iter().find_map(moved).unwrap_or_else(|| path.to_path_buf())
    }

    /// What is hidden, for people.
    pub(super) fn hidden(&self) -> String {
        self.hidden.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}
