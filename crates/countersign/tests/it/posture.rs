//! `posture`: machines made of folders, and networks made of namespaces.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Answer, Sandbox};

fn write(sandbox: &Sandbox, path: &str, content: &str) {
    let path = sandbox.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn outcome(document: &Value, rule: &str) -> String {
    let rules = document["rules"].as_array().unwrap();
    let rule = rules.iter().find(|ruled| ruled["id"] == rule).unwrap();
    rule["outcome"].as_str().unwrap().to_owned()
}

/// A machine that has what can be seen from outside.
fn machine() -> Sandbox {
    let sandbox = Sandbox::bare();
    write(&sandbox, "m/etc/passwd", "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n");
    write(&sandbox, "m/etc/group", "root:x:0:\nsudo:x:27:\n");
    write(&sandbox, "m/etc/ufw/ufw.conf", "ENABLED=yes\n");
    write(&sandbox, "m/usr/sbin/sshd", "");
    write(&sandbox, "m/etc/ssh/sshd_config", "PasswordAuthentication no\nKbdInteractiveAuthentication no\n");
    sandbox
}

const OWN: &str = "
[[rule]]
id = 'nobody-else'
title = 'Only root is root'
fact = 'superusers'
test = { only = ['root'] }
levels = { build = 'critical' }
hint = 'remove it'
";

/// The built-in rules that ask what only a running machine can tell.
const LIVE: &[&str] = &[
    "disks-encrypted",
    "secure-boot",
    "detection-running",
    "detection-not-stopped",
    "no-foreign-debugging",
    "kernel-addresses-hidden",
    "no-privileged-dumps",
    "no-unprivileged-bpf",
    "clock-right",
    "security-updates",
    "package-lists-fresh",
];

#[test]
fn what_is_unknown_is_no_pass_and_what_is_wrong_says_where_it_was_read() {
    let sandbox = machine();
    sandbox.write("own.toml", OWN);
    let check = ["posture", "check", "--root", "m", "--level", "build", "--policy", "own.toml", "--json"];
    let answer = sandbox.run(&check);
    assert_eq!(answer.code, 3, "{}{}", answer.out, answer.err);
    let document = answer.json();
    assert_eq!(document["verdict"], "undetermined");
    assert_eq!(answer.codes(), ["posture-unknown"]);
    for rule in ["single-superuser", "nobody-else", "firewall", "ssh-keys-only", "no-standing-admins"] {
        assert_eq!(outcome(&document, rule), "met", "{rule}");
    }
    for rule in LIVE {
        assert_eq!(outcome(&document, rule), "unknown", "{rule}");
    }
    write(&sandbox, "m/etc/ssh/sshd_config", "PermitRootLogin yes\n");
    let answer = sandbox.run(&check);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    assert_eq!(answer.json()["verdict"], "not-met");
    let findings = answer.json()["findings"].as_array().unwrap().clone();
    let root = findings.iter().find(|finding| finding["subject"]["path"] == "ssh-no-root").unwrap();
    assert_eq!((&root["code"], &root["severity"]), (&"posture-rule-not-met".into(), &"high".into()));
    assert!(root["because"].to_string().contains("/etc/ssh/sshd_config"), "{root}");
    // At the desk of a developer the same is asked by other rules.
    let other = sandbox.run(&["posture", "check", "--root", "m", "--level", "developer", "--json"]).json();
    assert!(!other["rules"].to_string().contains("no-standing-admins"));
}

#[test]
fn facts_of_one_machine_are_judged_on_another() {
    let sandbox = machine();
    let off: String = LIVE
        .iter()
        .map(|id| format!("[[rule]]\nid = '{id}'\ntitle = 't'\nfact = 'x'\ntest = 'some'\nhint = 'h'\n"))
        .collect();
    sandbox.write("own.toml", format!("{off}{OWN}"));
    let check = ["posture", "check", "--level", "build", "--policy", "own.toml"];
    let collected = sandbox.run(&[&check[..], &["--root", "m", "--output", "facts.json"]].concat());
    assert_eq!(collected.code, 0, "{}{}", collected.out, collected.err);
    let judged = sandbox.run(&[&check[..], &["--facts", "facts.json"]].concat());
    assert_eq!((judged.code, &judged.out), (0, &collected.out));
    sandbox.write("facts.json", "{}");
    assert_eq!(sandbox.run(&[&check[..], &["--facts", "facts.json"]].concat()).code, 2);
    sandbox.write("own.toml", "[[rule]]\nid = 1\n");
    assert_eq!(sandbox.run(&[&check[..], &["--root", "m"]].concat()).code, 2);
}

#[test]
fn this_machine_has_all_facts() {
    let sandbox = Sandbox::bare();
    let document = sandbox.run(&["posture", "check", "--level", "sign", "--json"]).json();
    for rule in document["rules"].as_array().unwrap() {
        assert!(rule["found"].is_object() && rule["read"].is_array(), "{rule}");
    }
    assert!(["met", "not-met", "undetermined"].contains(&document["verdict"].as_str().unwrap()));
}

const ZONES: &str = r#"
[zones.developer]
networks = ["10.1.0.0/16"]

[zones.build]
networks = ["10.2.0.0/16"]
probes = ["10.2.0.5:8022", "10.2.0.5:8443", "10.2.0.5:8080", "10.2.0.77:8022"]

[zones.sign]
networks = ["10.3.0.0/16", "10.4.0.0/16"]
probes = ["10.3.0.1:8443", "10.4.0.1:8443"]

[[allow]]
from = "developer"
to = "build"
ports = [8022]
"#;

/// Two machines in namespaces of their own, a cable between them, and a command on the first. On the other, one port is open
/// that may be, and one that may not; the third answers that nobody is there. The zone `sign` cannot be reached.
const NETWORK: &str = r#"
set -e
ip link set lo up
ip link add here type veth peer name there
unshare -n sleep 120 & other=$!
trap 'kill $other $listener 2>/dev/null' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link set there netns $other
on() { nsenter -t $other -n "$@"; }
ip addr add 10.1.0.2/32 dev here
ip link set here up
on ip link set lo up
on ip addr add 10.2.0.5/32 dev there
on ip link set there up
ip route add 10.2.0.0/16 dev here src 10.1.0.2
on ip route add 10.1.0.0/16 dev there
ip route add blackhole 10.3.0.0/16
ip route add prohibit 10.4.0.0/16
nsenter -t $other -n python3 -c '
import socket, time
held = []
for port in (8022, 8443):
    listener = socket.socket()
    listener.bind(("10.2.0.5", port))
    listener.listen()
    held.append(listener)
open("listening", "w").close()
time.sleep(120)
' & listener=$!
until [ -e listening ]; do sleep 0.05; done
"$@"
"#;

fn in_network(sandbox: &Sandbox, arguments: &[&str]) -> Answer {
    let mut command = Command::new("unshare");
    command
        .args(["-Urn", "sh", "-c", NETWORK, "sh", env!("CARGO_BIN_EXE_countersign")])
        .args(arguments)
        .current_dir(sandbox.path(""))
        .env_remove("COUNTERSIGN_STORE");
    command.output().unwrap().into()
}

#[test]
fn ways_between_zones_are_tried_and_each_answer_counts() {
    let sandbox = Sandbox::bare();
    sandbox.write("zones.toml", ZONES);
    let answer =
        in_network(&sandbox, &["posture", "segments", "--zones", "zones.toml", "--timeout", "4", "--json"]);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    let document = answer.json();
    assert_eq!((&document["verdict"], &document["zone"]), (&"not-apart".into(), &"developer".into()));
    let reached = |address: &str| {
        let tried = document["tried"].as_array().unwrap();
        let one = tried.iter().find(|one| one["address"] == address).unwrap();
        (one["allowed"].as_bool().unwrap(), one["reached"].as_str().unwrap().to_owned())
    };
    assert_eq!(reached("10.2.0.5:8022"), (true, "open".into()));
    assert_eq!(reached("10.2.0.5:8443"), (false, "open".into()));
    assert_eq!(reached("10.2.0.5:8080"), (false, "refused".into()));
    assert_eq!(reached("10.2.0.77:8022"), (true, "closed".into()), "nobody is there");
    assert_eq!(reached("10.3.0.1:8443"), (false, "closed".into()), "a black hole");
    assert_eq!(reached("10.4.0.1:8443"), (false, "closed".into()), "a forbidden route");
    assert_eq!(answer.codes(), ["segment-answered", "segment-closed", "segment-open"]);
}

#[test]
fn zones_that_are_apart_are_said_to_be() {
    let sandbox = Sandbox::bare();
    let open = r#", "10.2.0.5:8443", "10.2.0.5:8080", "10.2.0.77:8022""#;
    assert!(ZONES.contains(open));
    sandbox.write("zones.toml", ZONES.replace(open, ""));
    let answer =
        in_network(&sandbox, &["posture", "segments", "--zones", "zones.toml", "--zone", "developer"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("apart: from developer, 3 addresses tried"), "{}", answer.out);
    sandbox.write("zones.toml", "[zones.a]\nnetworks = ['10.0.0.0/99']\n");
    assert_eq!(sandbox.run(&["posture", "segments", "--zones", "zones.toml"]).code, 2);
    sandbox.write("zones.toml", "[zones.a]\nnetworks = ['10.9.0.0/16']\n");
    assert_eq!(sandbox.run(&["posture", "segments", "--zones", "zones.toml"]).code, 2, "where are we?");
    assert_eq!(sandbox.run(&["posture", "segments", "--zones", "zones.toml", "--zone", "b"]).code, 2);
}

#[test]
fn flows_in_records_are_held_against_the_zones() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "talk.py",
        "import socket\nfor address in ('10.1.0.9', '10.2.0.9'):\n    s = socket.socket()\n    s.settimeout(0.2)\n    try:\n        s.connect((address, 22))\n    except OSError:\n        pass\n",
    );
    sandbox.ok(&["run", "-q", "--product", "demo", "--", "python3", "talk.py"]);
    sandbox.write(
        "zones.toml",
        "[zones.developer]\nnetworks = ['10.1.0.0/16']\n[zones.build]\nnetworks = ['10.2.0.0/16']\n",
    );
    let segments = ["posture", "segments", "--zones", "zones.toml", "--zone", "build", "--json"];
    let answer = sandbox.run(&segments);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    assert_eq!(answer.codes(), ["flow-forbidden"]);
    let document = answer.json();
    assert_eq!((&document["records"], &document["flows"]), (&1.into(), &2.into()));
    let finding = &document["findings"][0];
    assert_eq!(finding["subject"]["path"], "tcp:10.1.0.9:22");
    assert!(finding["because"].to_string().contains("python3"), "{finding}");
    assert_eq!(sandbox.run(&[&segments[..], &["--no-records"]].concat()).code, 0);
}
