//! Real tools of many kinds: each build is complete, and what went in and came out is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use evidence::{Digest, EventKind};
use host::{Launch, TraceError};

use crate::tracing::{Traced, folder, launch, try_run};

/// Tells whether a tool is there; on CI all are.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "CI must have {tool}");
    found
}

fn build(folder: &Path, script: &str, environment: &[(&str, String)]) -> Traced {
    let mut launch: Launch = launch(folder, &["sh", "-ec", script]);
    launch.environment.push(("HOME".into(), folder.into()));
    for (name, value) in environment {
        launch.environment.retain(|(known, _)| known != name);
        launch.environment.push((name.into(), value.into()));
    }
    launch.grace = Duration::from_secs(10);
    let seen = try_run(&launch).unwrap().whole();
    let refused: Vec<_> = seen.events.iter().filter(|event| event.kind == EventKind::Refused).collect();
    assert_eq!(seen.trace.completeness.refused, 0, "{refused:?}");
    assert!(seen.of(EventKind::Exec).all(|event| event.digest.is_some()));
    seen
}

/// What was read and what was left have the bytes that are there now.
fn holds(seen: &Traced, folder: &Path, read: &[&str], left: &[&str]) {
    let digest = |path: &PathBuf| Some(Digest::of(&fs::read(path).unwrap()));
    for name in read {
        let path = folder.join(name);
        assert_eq!(seen.digest(EventKind::Read, &path), digest(&path), "{name}");
    }
    for name in left {
        let path = folder.join(name);
        assert_eq!(seen.digest(EventKind::Left, &path), digest(&path), "{name}");
    }
    assert_eq!(seen.paths(EventKind::Mutated), [] as [String; 0]);
}

#[test]
fn a_node_package_with_a_local_dependency() {
    if !has("node") || !has("npm") {
        return;
    }
    let (_keep, folder) = folder();
    fs::create_dir(folder.join("part")).unwrap();
    fs::write(folder.join("part/package.json"), r#"{"name":"part","version":"1.0.0","main":"part.js"}"#)
        .unwrap();
    fs::write(folder.join("part/part.js"), "module.exports = 42;\n").unwrap();
    let package = r#"{"name":"app","version":"1.0.0","scripts":{"build":"node build.js"},"dependencies":{"part":"file:./part"}}"#;
    fs::write(folder.join("package.json"), package).unwrap();
    let script = "const fs = require('fs'); fs.promises.writeFile('out.js', 'x = ' + require('part'));\n";
    fs::write(folder.join("build.js"), script).unwrap();
    let quiet = [("npm_config_update_notifier", "false".to_owned())];
    let seen = build(&folder, "npm install --offline --no-audit --no-fund && npm run build", &quiet);
    holds(&seen, &folder, &["part/part.js", "build.js"], &["out.js", "package-lock.json"]);
}

#[test]
fn a_crate_without_network() {
    let cargo = PathBuf::from(env!("CARGO"));
    let (_keep, folder) = folder();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
    )
    .unwrap();
    fs::write(folder.join("build.rs"), "fn main() { std::fs::read(\"src/main.rs\").unwrap(); }\n").unwrap();
    fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    let path = format!("{}:/usr/bin:/bin", cargo.parent().unwrap().display());
    let seen = build(&folder, "cargo build --offline", &[("PATH", path)]);
    holds(&seen, &folder, &["build.rs", "src/main.rs"], &["target/debug/tiny"]);
    let compiles = seen.paths(EventKind::Exec).iter().filter(|path| path.ends_with("/rustc")).count();
    assert!(compiles >= 2, "{compiles}");
    assert!(seen.paths(EventKind::Map).iter().any(|path| path.contains("librustc_driver")));
}

#[test]
fn a_project_of_cmake_and_ninja() {
    if !has("cmake") || !has("ninja") {
        return;
    }
    let (_keep, folder) = folder();
    let lists = "cmake_minimum_required(VERSION 3.16)\nproject(tiny C)\nadd_executable(tiny main.c part.c)\n";
    fs::write(folder.join("CMakeLists.txt"), lists).unwrap();
    fs::write(folder.join("main.c"), "int part(void); int main(void) { return part(); }\n").unwrap();
    fs::write(folder.join("part.c"), "int part(void) { return 0; }\n").unwrap();
    let seen = build(&folder, "cmake -G Ninja -S . -B out > log && ninja -C out > log2 && out/tiny", &[]);
    holds(&seen, &folder, &["main.c", "part.c", "CMakeLists.txt"], &["out/tiny"]);
}

#[test]
fn a_program_in_java() {
    if !has("javac") {
        return;
    }
    let (_keep, folder) = folder();
    fs::write(
        folder.join("Tiny.java"),
        "class Tiny { public static void main(String[] a) { System.exit(0); } }\n",
    )
    .unwrap();
    let seen = build(&folder, "javac Tiny.java && java Tiny", &[]);
    holds(&seen, &folder, &["Tiny.java"], &["Tiny.class"]);
    assert_eq!(seen.digest(EventKind::Read, &folder.join("Tiny.class")).map(|_| ()), Some(()));
}

/// The recorder inside, started by the test below; it says so clearly and runs nothing.
#[test]
fn the_inner_recorder() {
    let inside = std::env::var_os("COUNTERSIGN_INSIDE").is_some();
    let (_keep, folder) = folder();
    match try_run(&launch(&folder, &["sh", "-c", "echo > ran"])) {
        Ok(seen) => assert!(!inside && seen.whole().on(EventKind::Left, &folder.join("ran")).is_some()),
        Err(error) => {
            assert!(inside, "{error}");
            assert!(matches!(error, TraceError::Unsupported(_)), "{error}");
            assert!(error.to_string().contains("a recorder inside a recorded build"), "{error}");
            assert!(!folder.join("ran").exists(), "nothing has been run unseen");
        }
    }
}

#[test]
fn a_recorder_inside_a_recorded_build_refuses_to_work() {
    let (_keep, folder) = folder();
    let tests = std::env::current_exe().unwrap();
    let inner = ["--exact", "breadth::the_inner_recorder", "--test-threads=1"];
    let mut launch = launch(&folder, &[&[tests.to_str().unwrap()], &inner[..]].concat());
    launch.environment.push(("COUNTERSIGN_INSIDE".into(), "1".into()));
    try_run(&launch).unwrap().whole();
}

/// Started by the test below, with files for input and output.
#[test]
fn the_inner_files() {
    if std::env::var_os("COUNTERSIGN_FILES").is_none() {
        return;
    }
    let (_keep, folder) = folder();
    let seen = try_run(&launch(&folder, &["cat"])).unwrap().whole();
    let given = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(seen.digest(EventKind::Read, &given.join("given")), Some(Digest::of(b"given")));
    assert!(
        seen.on(EventKind::Left, &given.join("taken")).is_none(),
        "the log of the build is no result of it"
    );
}

#[test]
fn files_that_are_given_at_the_start_are_seen() {
    let (_keep, folder) = folder();
    fs::write(folder.join("given"), "given").unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "breadth::the_inner_files", "--test-threads=1", "--nocapture"])
        .current_dir(&folder)
        .env("COUNTERSIGN_FILES", "1")
        .stdin(fs::File::open(folder.join("given")).unwrap())
        .stdout(fs::File::create(folder.join("taken")).unwrap())
        .status();
    assert!(status.unwrap().success(), "{}", fs::read_to_string(folder.join("taken")).unwrap());
    assert!(fs::read_to_string(folder.join("taken")).unwrap().contains("given"));
}

#[test]
fn variables_that_change_what_runs_are_told_and_no_others() {
    let (_keep, folder) = folder();
    let script = "LD_PRELOAD= CC=mycc TOKEN=secret MAKEFLAGS='-j2 -- TOKEN=secret' /bin/true";
    let seen = build(&folder, script, &[]);
    let exec = seen.of(EventKind::Exec).last().unwrap();
    let mut told: Vec<String> = exec.environment.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told, ["CC=mycc", "LD_PRELOAD=", "MAKEFLAGS"]);
    assert!(!format!("{:?}", seen.events).contains("TOKEN=secret -"));
}
