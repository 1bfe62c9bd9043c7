//! Graphical sessions whose screen does not lock by itself. Desktops lock by default: what turns that off is looked for.

use std::path::Path;

use evidence::posture::{Fact, Value};

use super::{Found, entries, fact, list, text};
use crate::inventory::{self, Root};

const READ: [&str; 5] = [
    "/usr/share/xsessions",
    "/usr/share/wayland-sessions",
    "/etc/dconf/db/*.d",
    "/etc/xdg/kscreenlockerrc",
    "~/.config/kscreenlockerrc, ~/.config/dconf/user, ~/.xscreensaver",
];

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    vec![fact("sessions-without-lock", without_lock(root), &READ)]
}

fn without_lock(root: &Root) -> Found {
    let mut sessions = entries(root, "usr/share/xsessions")?;
    sessions.extend(entries(root, "usr/share/wayland-sessions")?);
    if sessions.is_empty() {
        return Ok(Value::List(Vec::new())); // Nobody sees a screen here.
    }
    let mut found = Vec::new();
    for database in entries(root, "etc/dconf/db")? {
        for file in entries(root, &database)? {
            if text(root, &file)?.is_some_and(|text| gnome_is_off(&text)) {
                found.push(format!("all: {}", file.display()));
            }
        }
    }
    if text(root, "etc/xdg/kscreenlockerrc")?.is_some_and(|text| kde_is_off(&text)) {
        found.push("all: /etc/xdg/kscreenlockerrc".to_owned());
    }
    for home in root.homes(&mut inventory::Facts::default()) {
        let own = |name: &str| Path::new(&home).join(name);
        let who = home.display();
        if text(root, own(".config/kscreenlockerrc"))?.is_some_and(|text| kde_is_off(&text)) {
            found.push(format!("{who}: .config/kscreenlockerrc"));
        }
        if text(root, own(".xscreensaver"))?.is_some_and(|text| xscreensaver_is_off(&text)) {
            found.push(format!("{who}: .xscreensaver"));
        }
        // A database of GNOME's: that it says something about the lock can be seen, what it says cannot.
        let database = text(root, own(".config/dconf/user"))?.unwrap_or_default();
        if ["lock-enabled", "idle-delay"].iter().any(|word| database.contains(word)) {
            return Err(format!("{who}/.config/dconf/user has settings of its own for the lock"));
        }
    }
    Ok(list(found))
}

/// `lock-enabled=false`, or a session that is never idle (`gsettings` keys of `org.gnome.desktop`).
fn gnome_is_off(text: &str) -> bool {
    let mut section = "";
    text.lines().map(str::trim).any(|line| {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        }
        let setting = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        matches!(
            (section, setting),
            ("org/gnome/desktop/screensaver", Some(("lock-enabled", "false")))
                | ("org/gnome/desktop/session", Some(("idle-delay", "0" | "uint32 0")))
                | ("org/gnome/desktop/lockdown", Some(("disable-lock-screen", "true")))
        )
    })
}

fn kde_is_off(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| matches!(line, "Autolock=false" | "Timeout=0"))
}

fn xscreensaver_is_off(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.trim() == "lock" && value.trim().eq_ignore_ascii_case("false"))
}
