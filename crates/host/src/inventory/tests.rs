//! The probes on a machine made in a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{Facts, PROBES, Root, Walk, Walked, walk};

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

#[test]
fn images_of_daemons_are_read_from_their_files() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path();
    let id = "a".repeat(64);
    put(root, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
    put(
        root,
        "var/lib/docker/image/overlay2/repositories.json",
        &format!(
            r#"{{"Repositories":{{"alpine":{{"alpine:3.18":"sha256:{id}","alpine@sha256:bb":"sha256:../../../etc/passwd"}}}}}}"#
        ),
    );
    put(
        root,
        &format!("var/lib/docker/image/overlay2/imagedb/content/sha256/{id}"),
        r#"{"architecture":"arm64","created":"2024-01-01T00:00:00Z"}"#,
    );
    put(
        root,
        "home/ann/.local/share/containers/storage/overlay-images/images.json",
        r#"[{"id":"1","digest":"sha256:cc","names":["docker.io/library/debian:12","localhost:5000/own"]},{"id":"2"},7]"#,
    );
    put(root, "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", "no database");
    let seen = facts(root, "container-images");
    let mut pairs: Vec<_> =
        seen.items.iter().map(|item| (item.name.as_str(), item.version.as_str())).collect();
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        [
            ("2", ""),
            ("alpine", "3.18"),
            ("alpine", "sha256:bb"),
            ("docker.io/library/debian", "12"),
            ("localhost:5000/own", ""),
        ]
    );
    let alpine = seen.items.iter().find(|item| item.version == "3.18").unwrap();
    assert_eq!(alpine.facts["architecture"], "arm64");
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
}

#[test]
fn skills_and_extensions_of_visual_studio_are_found() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path();
    put(root, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
    let manifest = "---\nname: pdf\ndescription: reads\n---\nRun scripts/fill.py\n";
    put(root, "home/ann/.claude/skills/pdf/SKILL.md", manifest);
    put(root, "home/ann/.claude/skills/pdf/scripts/fill.py", "print()");
    put(root, "home/ann/.claude/plugins/market/tool/skills/other/SKILL.md", "no front matter");
    put(root, "home/ann/.claude/skills/notes.md", "no skill");
    symlink("..", root.join("home/ann/.claude/plugins/market/up")).unwrap();
    put(
        root,
        "home/ann/.agents/.skill-lock.json",
        r#"{"version":3,"skills":{"find":{"source":"o/r","skillFolderHash":"ab"}}}"#,
    );
    let seen = facts(root, "agent-skills");
    let mut found = names(&seen);
    found.sort_unstable();
    assert_eq!(found, ["find", "other", "pdf"]);
    let pdf = seen.items.iter().find(|item| item.name == "pdf").unwrap();
    assert_eq!((pdf.facts["scripts"].as_str(), pdf.facts["files"].as_str()), ("scripts/fill.py", "2"));
    assert_eq!(pdf.digest, Some(evidence::Digest::of(manifest.as_bytes())));
    let identity = |id: &str| {
        format!(
            "<PackageManifest><Metadata><Identity Id=\"{id}\" Version=\"1.0\" Publisher=\"P\"/></Metadata></PackageManifest>"
        )
    };
    put(
        root,
        "Users/bob/AppData/Local/Microsoft/VisualStudio/17.0_ab/Extensions/x1/extension.vsixmanifest",
        &identity("own"),
    );
    put(
        root,
        "Program Files/Microsoft Visual Studio/2022/Community/Common7/IDE/Extensions/P/N/1/extension.vsixmanifest",
        &identity("all"),
    );
    let seen = facts(root, "editor-extensions");
    let mut found = names(&seen);
    found.sort_unstable();
    assert_eq!(found, ["all", "own"]);
}

fn looked(root: &Path, cache: &Path) -> (Walked, Vec<String>) {
    let walked = walk(&Walk { root, cache: Some(cache), every_mount: false }).unwrap();
    let mut names: Vec<String> =
        walked.scan.readings().iter().map(|reading| reading.path.to_string()).collect();
    names.sort();
    (walked, names)
}

#[test]
fn a_second_look_sees_what_was_put_in_taken_out_and_changed() {
    let keep = tempfile::tempdir().unwrap();
    let (root, cache) = (keep.path().join("root"), keep.path().join("cache"));
    let crate_of = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
    for folder in ["a", "b/c", "d", "e"] {
        put(&root, &format!("{folder}/Cargo.lock"), &crate_of("x"));
        put(&root, &format!("{folder}/notes.md"), "nothing");
    }
    let store = "nix/store/0c5fxrwqvbyl2sicd9fr2w5w3j3sx1wl-hello-2.12";
    put(&root, &format!("{store}/bin/hello"), "");
    // What is young is never remembered: its times may not show the next change.
    looked(&root, &cache);
    let (young, first) = looked(&root, &cache);
    assert_eq!(young.remembered, 0);
    assert_eq!(first, ["a/Cargo.lock", "b/c/Cargo.lock", "d/Cargo.lock", "e/Cargo.lock", store]);
    std::thread::sleep(std::time::Duration::from_millis(3_500));
    looked(&root, &cache);
    let (second, names) = looked(&root, &cache);
    assert_eq!((second.remembered, second.wanted, second.files), (young.wanted, young.wanted, young.files));
    assert_eq!(names, first);
    let written = fs::metadata(&cache).unwrap().modified().unwrap();

    put(&root, "a/sub/Cargo.lock", &crate_of("y"));
    fs::remove_file(root.join("b/c/Cargo.lock")).unwrap();
    fs::write(root.join("d/Cargo.lock"), crate_of("z")).unwrap();
    fs::rename(root.join("e"), root.join("f")).unwrap();
    let (third, names) = looked(&root, &cache);
    assert_eq!(names, ["a/Cargo.lock", "a/sub/Cargo.lock", "d/Cargo.lock", "f/Cargo.lock", store]);
    let changed =
        third.scan.readings().iter().find(|reading| reading.path.to_string() == "d/Cargo.lock").unwrap();
    assert_eq!(changed.found.packages[0].name, "z");
    assert_eq!(third.files, second.files);
    assert_ne!(fs::metadata(&cache).unwrap().modified().unwrap(), written);

    // A cache that is damaged is none, and that is said.
    let mut bytes = fs::read(&cache).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    fs::write(&cache, bytes).unwrap();
    let (fourth, read_anew) = looked(&root, &cache);
    assert_eq!((fourth.forgotten, fourth.remembered, read_anew), (Some("is damaged"), 0, names));
}

/// A folder whose content and times are all older than a few seconds, and what a first look at it says.
fn old_tree(root: &Path, cache: &Path) -> (Walked, Vec<String>) {
    let crate_of = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
    put(root, "a/Cargo.lock", &crate_of("x"));
    put(root, "a/b/package-lock.json", "{");
    put(root, "c/program", &"x".repeat(200));
    fs::set_permissions(root.join("c/program"), fs::Permissions::from_mode(0o755)).unwrap();
    put(root, "c/README", "passed over");
    std::thread::sleep(std::time::Duration::from_millis(3_500));
    looked(root, cache)
}

fn said(walked: &Walked) -> String {
    let mut readings: Vec<String> =
        walked.scan.readings().iter().map(|reading| format!("{reading:?}")).collect();
    readings.sort();
    format!("{readings:?} {} {} {}", walked.files, walked.folders, walked.wanted)
}

#[test]
fn a_cache_that_is_damaged_anywhere_or_of_another_version_changes_nothing() {
    let keep = tempfile::tempdir().unwrap();
    let (root, cache) = (keep.path().join("root"), keep.path().join("cache"));
    let first = said(&old_tree(&root, &cache).0);
    let whole = fs::read(&cache).unwrap();
    let (second, _) = looked(&root, &cache);
    assert_eq!((second.remembered, second.forgotten), (second.wanted, None));
    assert_eq!(said(&second), first);
    assert_eq!(fs::read(&cache).unwrap(), whole, "nothing has changed");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        for (bytes, what) in [(&bytes[..], "changed"), (&whole[..at], "cut")] {
            fs::write(&cache, bytes).unwrap();
            let (walked, _) = looked(&root, &cache);
            assert!(walked.forgotten.is_some() && walked.remembered == 0, "{what} at {at}");
            assert_eq!(said(&walked), first, "{what} at {at}");
        }
    }
    assert_eq!(fs::read(&cache).unwrap(), whole, "and what is made anew is the same");
    let older = b"countersign catalog 3 0.1.0\n{\"path\":\"a\"}\n";
    fs::write(&cache, older).unwrap();
    assert_eq!(looked(&root, &cache).0.forgotten, Some("is of another version"));
    fs::remove_file(&cache).unwrap();
    let (anew, _) = looked(&root, &cache);
    assert_eq!((anew.forgotten, said(&anew)), (None, first));
}

#[test]
fn a_cache_with_a_right_digest_that_leads_astray_ends() {
    let keep = tempfile::tempdir().unwrap();
    let (root, cache) = (keep.path().join("root"), keep.path().join("cache"));
    let (_, names) = old_tree(&root, &cache);
    let whole = fs::read(&cache).unwrap();
    let start = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // Each byte behind the digest, and the digest put right: whoever can write there can lie, but not make us fall or turn in circles.
    for at in start + 32..whole.len() {
        for with in [0x01, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = with;
            let digest = evidence::Digest::of(&bytes[start + 32..]);
            bytes[start..start + 32].copy_from_slice(digest.as_bytes());
            fs::write(&cache, bytes).unwrap();
            let walked = looked(&root, &cache).0;
            assert!(walked.folders < 20, "byte {at} as {with}");
        }
    }
    fs::remove_file(&cache).unwrap();
    assert_eq!(looked(&root, &cache).1, names);
}

#[test]
fn what_is_too_large_is_said_each_time() {
    let keep = tempfile::tempdir().unwrap();
    let (root, cache) = (keep.path().join("root"), keep.path().join("cache"));
    put(&root, "a/Cargo.lock", "");
    let file = fs::File::options().write(true).open(root.join("a/Cargo.lock")).unwrap();
    file.set_len(inspect::catalog::DOCUMENT_MAX_BYTES + 1).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(3_500));
    for _ in 0..2 {
        let (walked, _) = looked(&root, &cache);
        let problems = walked.scan.finish().problems;
        assert_eq!(problems.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["budget-exhausted"]);
    }
}
