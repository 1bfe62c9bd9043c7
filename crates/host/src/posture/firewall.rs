//! Whether a packet filter keeps strangers out: by the settings of those that are started with the machine. The rules in the
//! kernel are only shown to administrators, and not in files.

use evidence::posture::{Fact, Value};

use super::agents::running;
use super::{Found, exists, fact, text};
use crate::inventory::Root;

const READ: [&str; 5] = [
    "/etc/ufw/ufw.conf",
    "/etc/nftables.conf",
    "/etc/systemd/system/*.wants/nftables.service",
    "/etc/iptables/rules.v4",
    "processes: firewalld",
];

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    vec![fact("firewall", active(root), &READ)]
}

fn active(root: &Root) -> Found {
    let ufw = text(root, "etc/ufw/ufw.conf")?.unwrap_or_default();
    let ufw = setting(&ufw, "ENABLED") == Some("yes");
    let started = ["sysinit", "multi-user"]
        .iter()
        .any(|target| exists(root, &format!("etc/systemd/system/{target}.target.wants/nftables.service")));
    let nftables = started && drops_input(&text(root, "etc/nftables.conf")?.unwrap_or_default());
    let iptables = text(root, "etc/iptables/rules.v4")?.unwrap_or_default();
    let iptables =
        iptables.lines().any(|line| line.starts_with(":INPUT DROP") || line.starts_with(":INPUT REJECT"));
    let firewalld = if root.is_live() {
        running().iter().any(|name| name == "firewalld")
    } else {
        exists(root, "etc/systemd/system/multi-user.target.wants/firewalld.service")
    };
    Ok(Value::Flag(ufw || nftables || iptables || firewalld))
}

/// `NAME=value` of a shell's settings.
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .rfind(|(word, _)| *word == name)
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// A chain on `input` whose policy is `drop` (`nft(8)`).
fn drops_input(text: &str) -> bool {
    let code: String = text.lines().filter_map(|line| line.split('#').next()).collect::<Vec<_>>().join(" ");
    code.split('}').any(|block| {
        let words: Vec<&str> =
            block.split(|c: char| c.is_whitespace() || c == ';').filter(|w| !w.is_empty()).collect();
        words.windows(2).any(|pair| pair == ["hook", "input"])
            && words.windows(2).any(|pair| pair == ["policy", "drop"])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_that_drops() {
        assert!(drops_input(
            "table inet f {\n chain input { type filter hook input priority 0; policy drop; }\n}"
        ));
        assert!(!drops_input(
            "table inet f {\n chain input { type filter hook input priority 0; policy accept; }\n}"
        ));
        assert!(!drops_input("# chain input { hook input; policy drop; }"));
        assert!(!drops_input(
            "chain a { hook input; policy accept; }\nchain b { hook output; policy drop; }"
        ));
        assert_eq!(setting("# ENABLED=yes\nENABLED=no\n", "ENABLED"), Some("no"));
    }
}
