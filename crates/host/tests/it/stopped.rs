//! The recorder that stops its callers (`ptrace`): passes what the usual one passes, and takes its place.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use evidence::EventKind;
use host::{Ptrace, Seccomp, Tracer};

use crate::gauntlet::evasions::programs;
use crate::tracing::{TRACER, Traced, folder, launch, skipped, traced_by};

/// What it has to pass as well; the rest does not depend on the recorder, or names one.
const TESTS: &[&str] = &[
    "builds::",
    "calls::",
    "commit::",
    "edges::",
    "egress::",
    "gauntlet::evasions::",
    "gauntlet::elsewhere::",
];
const NOT: &[&str] = &[
    "gauntlet::calls::",
    "edges::the_machine_is_supported",
    // Without those it holds nobody back, and says so.
    "egress::otherwise::other_processes_descriptors_are_not_needed",
];

/// Runs this test program once more.
fn again(before: &[&str], variable: (&str, &str), arguments: &[&str]) -> Output {
    let own = std::env::current_exe().unwrap();
    let mut words: Vec<&str> = before.to_vec();
    words.push(own.to_str().unwrap());
    words.push("--test-threads=1");
    words.extend(arguments);
    Command::new(words[0])
        .args(&words[1..])
        .env(variable.0, variable.1)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn passes(tracer: &str, not: &[&str]) {
    if std::env::var_os(TRACER).is_some() {
        return; // It is this that runs us.
    }
    let mut arguments = TESTS.to_vec();
    for not in NOT.iter().chain(not) {
        arguments.extend(["--skip", not]);
    }
    let ran = again(&[], (TRACER, tracer), &arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
    assert!(!said.contains(" 0 passed"), "{said}");
}

#[test]
fn it_passes_what_the_usual_one_passes() {
    passes("ptrace", &[]);
}

#[test]
fn it_passes_without_a_filter_as_well() {
    passes("ptrace-every-call", &["gauntlet::elsewhere::", "egress::"]);
}

/// What holds a build back is a filter.
#[test]
fn without_a_filter_nobody_is_held_back() {
    let (_keep, folder) = folder();
    let mut launch = launch(&folder, &["true"]);
    launch.egress = host::Egress::Deny;
    let error = traced_by(&Ptrace::at_every_call(), &launch).err().unwrap();
    assert!(error.is_before_start() && error.to_string().contains("filters"), "{error}");
}

/// A variable that makes one of these tests a part of another one.
const ROLE: &str = "COUNTERSIGN_TEST_ROLE";

fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|played| played == role)
}

/// In a process that nobody may notify.
#[test]
fn where_nobody_may_listen() {
    if !plays("no-listeners") {
        return;
    }
    assert!(Seccomp::probe().is_err());
    let (tracer, what) = host::automatic().unwrap();
    assert_eq!(tracer.mode(), "ptrace", "{what}");
    let (_keep, folder) = folder();
    fs::write(folder.join("in"), "content").unwrap();
    let seen = traced_by(tracer, &launch(&folder, &["cp", "in", "out"])).unwrap().whole();
    assert!(seen.digest(EventKind::Left, &folder.join("out")).is_some());
    let error = traced_by(&Seccomp, &launch(&folder, &["true"])).err().unwrap();
    assert!(error.is_before_start(), "{error}");
}

#[test]
fn it_takes_the_place_of_the_usual_one() {
    let program = programs().1.to_str().unwrap();
    let arguments = ["--exact", "stopped::where_nobody_may_listen"];
    let ran = again(&[program, "without-listeners"], (ROLE, "no-listeners"), &arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

/// Records until it is killed.
#[test]
fn records_until_it_is_killed() {
    if !plays("supervisor") {
        return;
    }
    let folder = std::env::current_dir().unwrap();
    let script = "setsid sh -c 'echo $$ > daemon; sleep 60' & echo $$ > shell; wait";
    traced_by(&Ptrace::USUAL, &launch(&folder, &["sh", "-c", script])).unwrap();
}

/// The build does not go on unrecorded.
#[test]
fn a_killed_recorder_takes_the_build_along() {
    let (_keep, folder) = folder();
    let mut recorder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stopped::records_until_it_is_killed"])
        .env(ROLE, "supervisor")
        .current_dir(&folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u32>().ok();
    let within = |what: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    within(&|| pid("daemon").is_some() && pid("shell").is_some());
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    for name in ["daemon", "shell"] {
        let status = format!("/proc/{}/status", pid(name).unwrap());
        within(&|| fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ")));
    }
}

/// What was run, read and left, by path and digest.
fn facts(seen: &Traced) -> BTreeSet<String> {
    let kinds = [EventKind::Exec, EventKind::Read, EventKind::Map, EventKind::Write, EventKind::Left];
    let events = seen.events.iter().filter(|event| kinds.contains(&event.kind));
    let line = |event: &evidence::Event| {
        let path = event.path.as_ref().map(ToString::to_string).unwrap_or_default();
        let digest = event.digest.map(|digest| digest.to_string()).unwrap_or_default();
        format!("{} {} {path} {digest}", event.kind.word(), event.errno)
    };
    // Files with names by chance.
    events.map(line).filter(|line| !line.contains(" /tmp/cc")).collect()
}

fn both_see_the_same(folder: &Path, prepare: &str, command: &[&str], by_chance: &[&str]) {
    let tracers: [&dyn Tracer; 3] = [&Seccomp, &Ptrace::USUAL, &Ptrace::at_every_call()];
    let facts = tracers.map(|tracer| {
        assert!(Command::new("sh").args(["-c", prepare]).current_dir(folder).status().unwrap().success());
        let mut launch = launch(folder, command);
        launch.environment.push(("CARGO_HOME".into(), folder.join("home").into()));
        for name in ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            let value = std::env::var_os(name);
            launch.environment.retain(|(known, _)| known != name || value.is_none());
            launch.environment.extend(value.map(|value| (name.into(), value)));
        }
        let mut facts = facts(&traced_by(tracer, &launch).unwrap().whole());
        facts = facts.iter().map(|line| line.replace(folder.to_str().unwrap(), ".")).collect();
        facts.retain(|line| !by_chance.iter().any(|part| line.contains(part)));
        facts
    });
    let [first, others @ ..] = &facts;
    assert!(first.len() > 20);
    for other in others {
        let differences: Vec<&String> = first.symmetric_difference(other).collect();
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

#[test]
fn a_make_build_is_recorded_alike() {
    let (_keep, folder) = folder();
    let makefile = "prog: a.o b.o c.o\n\t$(CC) -o $@ $^\n\tar rc lib.a a.o b.o\n\tmv prog final; ln final twice; rm twice\n";
    fs::write(folder.join("Makefile"), makefile).unwrap();
    for (name, text) in [("a", "int main(void) { return 0; }"), ("b", "int b;"), ("c", "int c;")] {
        fs::write(folder.join(format!("{name}.c")), format!("#include <stdio.h>\n{text}\n")).unwrap();
    }
    both_see_the_same(&folder, "rm -f *.o *.a final", &["make", "-s"], &["/st"]);
}

#[test]
fn a_cargo_build_is_recorded_alike() {
    if !Command::new("cargo").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skipped("there is no cargo");
    }
    let (_keep, folder) = folder();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
    )
    .unwrap();
    fs::write(folder.join("src/main.rs"), "fn main() { println!(\"{}\", 1 + 1); }\n").unwrap();
    let command = ["cargo", "build", "--offline", "--release", "-j1"];
    let by_chance = ["CACHEDIR.TAG", ".rustc_info.json", ".global-cache", ".tmp", "/rustc", "/rmeta"];
    both_see_the_same(&folder, "rm -rf target home Cargo.lock", &command, &by_chance);
}
