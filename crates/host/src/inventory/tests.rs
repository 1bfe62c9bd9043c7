//! The probes on a machine made in a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{Facts, PROBES, Root};

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn facts(root: &Path, section: &str) -> Facts {
    let root = Root::new(root).unwrap();
    PROBES.iter().find(|probe| probe.section == section).unwrap().facts(&root)
}

fn names(facts: &Facts) -> Vec<&str> {
    facts.items.iter().map(|item| item.name.as_str()).collect()
}

#[test]
fn a_machine_in_a_folder_is_seen_and_no_secret_is_taken() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path();
    put(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
    put(root, "usr/bin/gcc-12", "compiler");
    symlink("/usr/bin/gcc-12", root.join("usr/bin/gcc")).unwrap();
    put(root, "usr/bin/su", "su");
    fs::set_permissions(root.join("usr/bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    put(
        root,
        "home/ann/.vscode/extensions/x.y-1.0.0/package.json",
        r#"{"publisher":"X","name":"y","version":"1.0.0"}"#,
    );
    put(
        root,
        "home/ann/.cursor/mcp.json",
        r#"{"mcpServers":{"files":{"command":"npx","args":["-y","server"],"env":{"KEY":"hunter2"}}}}"#,
    );
    put(
        root,
        "home/ann/.npmrc",
        "registry=https://r.test/\n//r.test/:_authToken=hunter2\nignore-scripts=true\n",
    );
    put(root, "home/ann/.ssh/authorized_keys", "# c\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ann@x\n");
    put(root, "etc/cron.d/job", "* * * * * root /x\n");
    put(
        root,
        "usr/lib/systemd/system/multi-user.target.wants/a.service",
        "[Service]\nExecStart=/usr/bin/a\nUser=a\n",
    );
    put(root, "usr/local/share/ca-certificates/own.crt", "-----BEGIN CERTIFICATE-----\nx\n");

    let tools = facts(root, "toolchains");
    assert_eq!(names(&tools), ["gcc", "gcc"]);
    assert_eq!(tools.items[0].digest, tools.items[1].digest);
    assert_eq!(tools.items[0].digest, Some(evidence::Digest::of(b"compiler")));
    let privileged = facts(root, "privileged-files");
    assert!(
        privileged
            .items
            .iter()
            .any(|item| item.name == "su" && item.facts["rights"].starts_with("set-user-id"))
    );
    assert_eq!(names(&facts(root, "editor-extensions")), ["x.y"]);
    let servers = facts(root, "mcp-servers");
    assert_eq!(servers.items[0].facts["command"], "npx -y server");
    assert_eq!(servers.items[0].facts["variables"], "KEY");
    assert_eq!(names(&facts(root, "credentials")), ["npm token"]);
    let keys = facts(root, "ssh-keys");
    assert!(keys.items[0].name.starts_with("sha256:") && keys.items[0].facts["comment"] == "ann@x");
    let settings = facts(root, "package-manager-settings");
    assert!(settings.items.iter().any(|item| item.facts["says"] == "ignore-scripts=true"));
    assert_eq!(names(&facts(root, "scheduled-jobs")), ["job"]);
    assert_eq!(facts(root, "services").items[0].facts["runs"], "/usr/bin/a");
    assert_eq!(facts(root, "trust-roots").items[0].facts["added"], "true");
    assert_eq!(facts(root, "listening").gaps.len(), 1, "another root cannot say who listens");
    for probe in PROBES {
        let seen = probe.facts(&Root::new(root).unwrap());
        let all = format!("{:?}", seen.items);
        assert!(!all.contains("hunter2"), "{} takes a secret", probe.section);
    }
}

#[test]
fn a_link_of_another_machine_does_not_lead_out_of_its_root() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("root");
    put(keep.path(), "outside", "secret");
    put(&root, "etc/x", "x");
    symlink("../../../../../../outside", root.join("etc/passwd")).unwrap();
    symlink("loop", root.join("etc/loop")).unwrap();
    let machine = Root::new(&root).unwrap();
    let mut facts = Facts::default();
    assert_eq!(machine.read("etc/passwd", &mut facts), None);
    assert_eq!(machine.read("etc/loop", &mut facts), None);
    assert_eq!(machine.read("etc/x", &mut facts), Some(b"x".to_vec()));
}
