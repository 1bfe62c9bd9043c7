//! What is watched unless one says otherwise.

use std::path::{Path, PathBuf};

use super::sources::{LogKind, Source};
use crate::world::Layout;

/// Where logins are written, by distribution.
const LOGS: &[(LogKind, &str)] = &[
    (LogKind::Auth, "/var/log/auth.log"),
    (LogKind::Auth, "/var/log/secure"),
    (LogKind::Audit, "/var/log/audit/audit.log"),
    (LogKind::Wtmp, "/var/log/wtmp"),
    (LogKind::Btmp, "/var/log/btmp"),
];

/// Files of a project that say how it is built.
const BUILD_DEFINITIONS: &[&str] = &[
    "Makefile",
    "makefile",
    "GNUmakefile",
    "CMakeLists.txt",
    "configure",
    "configure.ac",
    "meson.build",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
    "package.json",
    "package-lock.json",
    "pyproject.toml",
    "setup.py",
    "go.mod",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "WORKSPACE",
    "MODULE.bazel",
    "Dockerfile",
    "Jenkinsfile",
    ".gitlab-ci.yml",
    ".github/workflows",
    ".git/hooks",
    ".git/config",
];

/// Programs that build, and what decides who may do what.
const MACHINE: &[&str] = &[
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/lib/gcc",
    "/etc/ld.so.preload",
    "/etc/ld.so.conf.d",
    "/etc/environment",
    "/etc/profile.d",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/pam.d",
    "/etc/ssh",
    "/etc/passwd",
    "/etc/group",
    "/etc/crontab",
    "/etc/cron.d",
    "/etc/systemd/system",
    "/root/.ssh/authorized_keys",
];

/// Files in a home folder that decide who comes in and what is run.
const HOME: &[&str] =
    &[".ssh/authorized_keys", ".bashrc", ".profile", ".cargo/bin", ".cargo/config.toml", ".local/bin"];

/// Where the watch is started.
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// The project.
    pub project: &'a Path,
    /// The store.
    pub store: &'a Path,
    /// The home folder of who builds.
    pub home: Option<&'a Path>,
    /// Our own program.
    pub program: Option<&'a Path>,
}

impl Surroundings<'_> {
    /// The logs that are there.
    pub fn logs(&self) -> Vec<Source> {
        let there = LOGS.iter().filter(|(_, path)| Path::new(path).exists());
        let there = there.map(|(kind, path)| Source { kind: *kind, path: path.into() });
        let journal = host::machine::journal_program();
        there.chain(journal.map(|path| Source { kind: LogKind::Journalctl, path })).collect()
    }

    /// The paths that matter, whether they are there or not: a file that appears is a change, too.
    pub fn paths(&self) -> Vec<PathBuf> {
        let layout = Layout(self.store);
        let mut paths: Vec<PathBuf> = MACHINE.iter().map(PathBuf::from).collect();
        paths.extend(BUILD_DEFINITIONS.iter().map(|name| self.project.join(name)));
        paths.extend(self.home.iter().flat_map(|home| HOME.iter().map(|name| home.join(name))));
        paths.extend(self.program.map(PathBuf::from));
        paths.extend([layout.policy(), layout.trust(), layout.rules(), self.store.join("keys")]);
        paths.sort();
        paths.dedup();
        paths
    }
}
