//! What packages do to the machine on which they are installed: scripts of maintainers, units, rules of devices, settings, and what an
//! image of a container starts.

use std::collections::BTreeSet;

use evidence::tree::{Hook, Place};

use super::{PROGRAMS, add, manifest};

/// What gives rights or a way in.
const GIVES: &[&str] = &[
    "NOPASSWD",
    "setcap ",
    "useradd -o",
    "useradd --non-unique",
    "-u 0 ",
    "--uid 0 ",
    "chpasswd",
    "passwd -d",
    "/etc/shadow",
    "/etc/sudoers",
    "authorized_keys",
    "-aG sudo",
    "-aG wheel",
    "-aG docker",
    "-aG root",
];

/// Lines of a maintainer's script, which has all rights of the machine, that give rights to others.
pub(super) fn maintainer(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let gives = |line: &str| {
        let mode =
            line.split_once("chmod ").map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default());
        let installs = line.contains("install ")
            && [" -m 4", " -m4", " -m 2", " -m2", " -m 6"].iter().any(|mode| {
                line.split_once(mode)
                    .is_some_and(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count() == 3)
            });
        GIVES.iter().any(|word| line.contains(word))
            || installs
            || mode.is_some_and(|mode| {
                let octal = mode.len() == 4 && mode.bytes().all(|byte| byte.is_ascii_digit());
                (octal && matches!(mode.as_bytes()[0], b'2' | b'4' | b'6'))
                    || mode.split(',').any(|part| part.contains('+') && part.contains('s'))
            })
    };
    for line in
        manifest(bytes).lines().map(str::trim).filter(|line| !line.starts_with('#') && gives(line)).take(64)
    {
        add(hooks, Place::Rights, line);
    }
    // The name of a usual program is turned to another file.
    let turns = |line: &&str| {
        line.contains("dpkg-divert") || (line.contains("update-alternatives") && line.contains("--install"))
    };
    for line in manifest(bytes).lines().map(str::trim).filter(turns).take(64) {
        let names = line.split_whitespace().filter_map(|word| word.rsplit_once('/')).map(|(_, name)| name);
        if names.into_iter().any(|name| PROGRAMS.contains(&name)) {
            add(hooks, Place::UsualProgram, line);
        }
    }
}

/// Folders in which everybody can write.
const OPEN: &[&str] = &["=/tmp/", "=-/tmp/", "/var/tmp/", "/dev/shm/"];

/// Commands of a unit of `systemd` ("systemd.service", "systemd.exec"), and libraries that it loads before all others.
pub(super) fn unit(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    for line in manifest(bytes).lines().map(str::trim).take(4096) {
        if line.contains("LD_PRELOAD=") || line.contains("LD_AUDIT=") {
            add(hooks, Place::EveryProgram, line);
        } else if line.starts_with("Exec") && line.contains('=') {
            add(hooks, Place::UnitCommand, line);
        }
        let is_setting = line.starts_with("Exec") || line.starts_with("EnvironmentFile");
        if is_setting && OPEN.iter().any(|folder| line.contains(folder)) {
            add(hooks, Place::Settings, line);
        }
    }
}

/// Lines of settings that start a shell, or call somebody.
pub(super) fn settings(path: &[u8], bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let is_pam = path.windows(6).any(|part| part == b"pam.d/");
    const WORDS: &[&str] = &[
        "/bin/sh -c",
        "/bin/bash -c",
        "/usr/bin/sh -c",
        "/usr/bin/bash -c",
        "curl ",
        "wget ",
        "/dev/tcp/",
        "/dev/udp/",
    ];
    let is_told = |line: &&str| !line.starts_with('#') && WORDS.iter().any(|word| line.contains(word));
    // Modules of PAM that run a program with what was typed, and what lets somebody in without asking further.
    let runs = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        let lets_in =
            matches!(words[..], ["auth" | "account", "sufficient", ..]) || line.contains("pam_permit");
        !line.starts_with('#')
            && (line.contains("pam_exec") || line.contains("pam_script") || (is_pam && lets_in))
    };
    for line in manifest(bytes).lines().map(str::trim).filter(runs).take(16) {
        add(hooks, Place::Login, line);
    }
    for line in manifest(bytes).lines().map(str::trim).filter(is_told).take(16) {
        add(hooks, Place::Settings, line);
    }
}

/// Programs that a rule of devices runs ("udev", `RUN`, `PROGRAM`, `IMPORT`).
pub(super) fn devices(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let runs = |line: &&str| {
        !line.starts_with('#')
            && ["RUN+=", "RUN=", "RUN{", "PROGRAM=", "IMPORT{program}"].iter().any(|word| line.contains(word))
    };
    for line in manifest(bytes).lines().map(str::trim).filter(runs).take(64) {
        add(hooks, Place::DeviceCommand, line);
    }
}

/// Variables by which every program loads or runs something.
const LOADS: &[&str] = &[
    "LD_PRELOAD=",
    "LD_AUDIT=",
    "LD_LIBRARY_PATH=",
    "PYTHONPATH=",
    "PYTHONSTARTUP=",
    "NODE_OPTIONS=",
    "BASH_ENV=",
    "ENV=",
    "PROMPT_COMMAND=",
    "JAVA_TOOL_OPTIONS=",
    "PERL5OPT=",
    "RUBYOPT=",
];

/// What the configuration of a container's image starts, as whom, and with which of these variables (OCI Image Format
/// Specification, "Image Configuration").
pub(super) fn image(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let whole = bytes.get(..bytes.len().min(super::MANIFEST_MAX)).unwrap_or_default();
    if !whole.starts_with(b"{") || memchr::memmem::find(whole, b"\"rootfs\"").is_none() {
        return;
    }
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(whole) else { return };
    let Some(config) = document.get("config").filter(|_| document.get("rootfs").is_some()) else { return };
    let list = |key: &str| -> Vec<&str> {
        config
            .get(key)
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str())
            .collect()
    };
    for key in ["Entrypoint", "Cmd"] {
        let words = list(key);
        if !words.is_empty() {
            add(hooks, Place::ImageStart, &format!("{key} {}", words.join(" ")));
        }
    }
    let user = config.get("User").and_then(serde_json::Value::as_str).unwrap_or_default();
    let name = user.split(':').next().unwrap_or_default();
    add(hooks, Place::ImageUser, if matches!(name, "" | "0") { "root" } else { name });
    for variable in list("Env").into_iter().filter(|one| LOADS.iter().any(|begin| one.starts_with(begin))) {
        add(hooks, Place::ImageEnvironment, variable);
    }
}
