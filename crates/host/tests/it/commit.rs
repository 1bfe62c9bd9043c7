use std::fs;
use std::path::Path;
use std::process::Command;

use evidence::EventKind;
use host::{Commit, NoCommit};

use crate::tracing::{folder, launch, try_run};

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"];
    let done = Command::new("git").args(identity).args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_commit_names_its_files_and_what_had_changed_before() {
    for format in ["sha1", "sha256"] {
        let (_keep, folder) = folder();
        assert_eq!(Commit::of(&folder), Err(NoCommit::NoRepository));
        git(&folder, &["init", "-q", &format!("--object-format={format}")]);
        assert_eq!(Commit::of(&folder), Err(NoCommit::NoRepository), "without a commit");
        fs::create_dir(folder.join("src")).unwrap();
        fs::write(folder.join("src/a b\n.c"), "a").unwrap();
        fs::write(folder.join("clean.c"), "clean").unwrap();
        fs::write(folder.join("changed.c"), "1").unwrap();
        fs::write(folder.join("converted.dat"), "c").unwrap();
        fs::write(folder.join(".gitattributes"), "*.dat eol=crlf\n").unwrap();
        std::os::unix::fs::symlink("clean.c", folder.join("link")).unwrap();
        git(&folder, &["add", "-A"]);
        git(&folder, &["commit", "-qm", "first"]);
        fs::write(folder.join("changed.c"), "2").unwrap();
        fs::write(folder.join("untracked.c"), "u").unwrap();
        // The same bytes under a new time are no change.
        fs::write(folder.join("clean.c"), "clean").unwrap();
        let commit = Commit::of(&folder.join("src")).unwrap();
        let names = |paths: Vec<&evidence::BytePath>| {
            let prefix = folder.as_os_str().len() + 1;
            paths
                .iter()
                .map(|path| String::from_utf8_lossy(&path.as_bytes()[prefix..]).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(commit.blobs.keys().collect()),
            [".gitattributes", "changed.c", "clean.c", "src/a b\n.c"]
        );
        assert_eq!(names(commit.changed.iter().collect()), ["changed.c"]);
        assert_eq!((commit.converted, commit.root.as_path()), (1, folder.as_path()));
        assert_eq!(commit.id.len(), if format == "sha1" { 40 } else { 64 });
    }
}

#[test]
fn a_source_that_is_not_what_the_commit_says_is_marked_as_it_is_read() {
    let (_keep, folder) = folder();
    for name in ["good.c", "swapped.c", "uncommitted.c", "generated.c"] {
        fs::write(folder.join(name), "committed").unwrap();
    }
    git(&folder, &["init", "-q"]);
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-qm", "first"]);
    fs::write(folder.join("uncommitted.c"), "edited").unwrap();
    let commit = Commit::of(&folder).unwrap();
    // After the look at the working copy, as by an implant.
    fs::write(folder.join("swapped.c"), "implanted").unwrap();
    let script = "cat good.c swapped.c uncommitted.c; echo made > generated.c; cat generated.c";
    let mut launch = launch(&folder, &["sh", "-c", script]);
    launch.commit = Some(commit.into());
    let seen = try_run(&launch).unwrap().whole();
    for (name, detail) in [
        ("good.c", None),
        ("swapped.c", Some("not-in-commit")),
        ("uncommitted.c", Some("uncommitted")),
        ("generated.c", None),
    ] {
        let read = seen.on(EventKind::Read, &folder.join(name)).unwrap();
        assert_eq!(read.detail.as_deref(), detail, "{name}");
    }
}
