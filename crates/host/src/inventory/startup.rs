//! What starts by itself: services of systemd, and jobs at times and at logins.

use std::path::Path;

use evidence::inventory::Item;

use super::{Facts, Root};

const UNITS: &[&str] =
    &["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system", "run/systemd/system"];

fn item(name: &str, path: &Path) -> Item {
    Item::named(name).at(evidence::BytePath::new(path.as_os_str().as_encoded_bytes()))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Services that some target wants, with what they run.
pub(super) fn services(root: &Root, facts: &mut Facts) {
    for folder in UNITS {
        for target in root.list(folder, facts) {
            if !(name_of(&target).ends_with(".wants") || name_of(&target).ends_with(".requires")) {
                continue;
            }
            for unit in root.list(&target, facts) {
                let name = name_of(&unit);
                if !name.ends_with(".service") {
                    continue;
                }
                let Some(text) = root.text(&unit, facts) else { continue };
                let runs: Vec<&str> =
                    text.lines().filter_map(|line| line.trim().strip_prefix("ExecStart=")).collect();
                let user = text.lines().find_map(|line| line.trim().strip_prefix("User="));
                let mut found = item(&name, &unit)
                    .with(
                        "wanted-by",
                        name_of(&target).trim_end_matches(".wants").trim_end_matches(".requires"),
                    )
                    .with("runs", runs.join("; "))
                    .with("user", user.unwrap_or_default());
                found.digest = Some(evidence::Digest::of(text.as_bytes()));
                facts.items.push(found);
            }
        }
    }
}

/// Folders whose every file runs at some time, with when.
const FOLDERS: &[(&str, &str)] = &[
    ("etc/cron.d", "cron"),
    ("etc/cron.hourly", "hourly"),
    ("etc/cron.daily", "daily"),
    ("etc/cron.weekly", "weekly"),
    ("etc/cron.monthly", "monthly"),
    ("var/spool/cron/crontabs", "cron"),
    ("var/spool/cron", "cron"),
    ("etc/profile.d", "login"),
    ("etc/xdg/autostart", "session"),
    ("etc/update-motd.d", "login"),
    ("etc/apt/apt.conf.d", "apt"),
];
const FILES: &[(&str, &str)] =
    &[("etc/crontab", "cron"), ("etc/rc.local", "boot"), ("etc/ld.so.preload", "every program")];
/// Files in a home that run at logins.
const OF_HOME: &[(&str, &str)] = &[
    (".bashrc", "shell"),
    (".bash_profile", "login"),
    (".profile", "login"),
    (".zshrc", "shell"),
    (".zshenv", "shell"),
    (".config/fish/config.fish", "shell"),
];

pub(super) fn scheduled(root: &Root, facts: &mut Facts) {
    let mut files: Vec<(std::path::PathBuf, &str)> =
        FILES.iter().map(|(file, when)| (Path::new("/").join(file), *when)).collect();
    for (folder, when) in FOLDERS {
        files.extend(root.list(folder, facts).into_iter().map(|path| (path, *when)));
    }
    for home in root.homes(facts) {
        files.extend(OF_HOME.iter().map(|(file, when)| (home.join(file), *when)));
        files.extend(
            root.list(home.join(".config/autostart"), facts).into_iter().map(|path| (path, "session")),
        );
        files.extend(
            root.list(home.join(".config/systemd/user"), facts).into_iter().map(|path| (path, "session")),
        );
    }
    for folder in UNITS {
        let timers = root.list(folder, facts).into_iter().filter(|path| name_of(path).ends_with(".timer"));
        files.extend(timers.map(|path| (path, "timer")));
    }
    for (path, when) in files {
        let Some(bytes) = root.read(&path, facts) else { continue };
        let mut found = item(&name_of(&path), &path).with("when", when);
        found.digest = Some(evidence::Digest::of(&bytes));
        facts.items.push(found);
    }
}
