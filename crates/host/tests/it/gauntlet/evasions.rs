//! The cases, by name.

mod table;

use std::ffi::OsString;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use evidence::{Digest, EventKind as Kind};
use host::Launch;
use tempfile::TempDir;

use super::expect::Expect;
use super::foreign::{Bystander, Shared, compile};
use crate::tracing::{TRIES, Traced, folder, launch, skipped, try_run};
use table::{CASES, Case, How};

/// The programs, compiled once: with libraries and without.
pub(crate) fn programs() -> &'static (TempDir, PathBuf, PathBuf) {
    static BUILT: OnceLock<(TempDir, PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("evasions.c");
        let (program, library) = (folder.path().join("evasions"), folder.path().join("quiet.so"));
        fs::write(&source, include_str!("evasions.c")).unwrap();
        compile(&source, &program, &["-pthread", "-ldl"]);
        fs::write(folder.path().join("quiet.c"), "int quiet(void) { return 1; }\n").unwrap();
        compile(&folder.path().join("quiet.c"), &library, &["-shared", "-fPIC"]);
        (folder, program, library)
    })
}

/// What lies in the folder of each case.
fn furnish(folder: &Path) {
    fs::create_dir(folder.join("sub")).unwrap();
    for name in ["in", "sub/in"] {
        fs::write(folder.join(name), "content").unwrap();
    }
    fs::write(folder.join("in2"), "other").unwrap();
    for number in 0..8 {
        fs::write(folder.join(format!("t{number}")), "thread").unwrap();
    }
    fs::copy("/bin/true", folder.join("tool")).unwrap();
    fs::copy(&programs().2, folder.join("quiet.so")).unwrap();
}

fn command(folder: &Path, how: How, argument: &str) -> Launch {
    let words: Vec<&str> = match how {
        How::Program(name) => vec![programs().1.to_str().unwrap(), name, argument],
        How::Shell(script) => vec!["bash", "-c", script, "bash", argument],
        How::Python(script) => vec!["python3", "-S", "-c", script, argument],
    };
    let mut launch = launch(folder, &words);
    launch.grace = Duration::from_millis(1500);
    launch
}

fn check(case: &Case) -> Vec<String> {
    let (_keep, folder) = folder();
    furnish(&folder);
    let bystander = case.needs.contains("bystander").then(Bystander::wait);
    let shared = case.needs.contains("shm").then(|| Shared::make("shm"));
    let path = folder.join("outside.sock");
    let name = format!("countersign-{}", std::process::id());
    let _listener = case.needs.contains("service").then(|| UnixListener::bind(&path).unwrap());
    let _abstract = case
        .needs
        .contains("abstract")
        .then(|| UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap());
    if case.needs.contains("pipe") {
        assert!(Command::new("mkfifo").arg(folder.join("outside.pipe")).status().unwrap().success());
    }
    let argument = match case.needs {
        "bystander" => bystander.as_ref().unwrap().pid(),
        "shm" => shared.as_ref().unwrap().id.clone(),
        "service" => path.to_str().unwrap().to_owned(),
        "abstract" => format!("@{name}"),
        _ => String::new(),
    };
    let seen = try_run(&command(&folder, case.how, &argument)).unwrap();
    let missing = case.shows().iter().filter(|expect| !expect.holds(&seen, &folder));
    missing
        .map(|expect| {
            format!("{}: {expect:?} does not hold in\n  {}", case.name, seen.interesting().join("\n  "))
        })
        .collect()
}

#[test]
fn nothing_passes_unseen() {
    let wrong: Vec<String> = CASES.iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cases_have_names_of_their_own_and_show_something() {
    let names: std::collections::BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    assert!(names.len() >= 36 && CASES.iter().all(|case| !case.shows.is_empty()));
}

/// The manual has all of them, and no others.
#[test]
fn the_manual_names_the_cases() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recorder.md")).unwrap();
    for case in CASES {
        assert!(page.contains(&format!("`{}`", case.name)), "docs/recorder.md does not name `{}`", case.name);
    }
}

fn evade(name: &'static str) -> (TempDir, PathBuf, Traced) {
    let (keep, folder) = folder();
    furnish(&folder);
    let seen = try_run(&command(&folder, How::Program(name), "")).unwrap();
    (keep, folder, seen)
}

/// A second thread changes the argument between our look and the kernel's: what the program got is recorded.
#[test]
fn arguments_that_change_under_the_call_deceive_nobody() {
    let took_place = (0..TRIES).any(|_| {
        let (_keep, folder) = folder();
        furnish(&folder);
        let mut launch = command(&folder, How::Shell("\"$1\" arguments-race > said"), "");
        launch.command.pop();
        launch.command.push(OsString::from(programs().1.as_os_str()));
        let seen = try_run(&launch).unwrap();
        let said = fs::read_to_string(folder.join("said")).unwrap();
        let recorded: Vec<String> = seen
            .of(Kind::Exec)
            .filter(|event| event.path.as_ref().is_some_and(|path| path.to_string().ends_with("/echo")))
            .map(|event| event.arguments[1].to_string())
            .collect();
        assert_eq!(said.lines().count(), 150);
        assert_eq!(said.lines().collect::<Vec<_>>(), recorded);
        said.contains('a') && said.contains('b')
    });
    assert!(took_place, "the race took place");
}

/// A mere name, or a file of the kernel's, that a second thread makes the file itself under the call.
#[test]
fn flags_and_questions_that_change_under_the_call_hide_nothing() {
    for name in ["name-that-becomes-a-file", "question-that-becomes-a-file"] {
        let took_place = (0..TRIES).any(|_| {
            let (_keep, folder) = folder();
            furnish(&folder);
            let script = format!("\"$1\" {name} > said");
            let mut launch = command(&folder, How::Shell("exit"), "");
            launch.command = ["bash", "-c", &script, "bash"].map(OsString::from).to_vec();
            launch.command.push(OsString::from(programs().1.as_os_str()));
            let seen = try_run(&launch).unwrap();
            let said: usize = fs::read_to_string(folder.join("said")).unwrap().parse().unwrap();
            let read =
                seen.of(Kind::Read).filter(|event| event.digest == Some(Digest::of(b"content"))).count();
            assert_eq!(read, said, "{name}");
            said > 0 && said < 3000
        });
        assert!(took_place, "the race took place: {name}");
    }
}

/// What each reader got is in the trace, though the file's times did not move; so is what was left.
#[test]
fn stores_through_shared_memory_are_hashed_again() {
    let (_keep, folder, seen) = evade("store-through-memory");
    let read: Vec<_> = seen
        .of(Kind::Read)
        .filter(|event| event.path.as_ref().is_some_and(|path| path.to_string().ends_with("/shared")))
        .map(|event| event.digest.unwrap())
        .collect();
    assert_eq!(read, [Digest::of(b"secon"), Digest::of(b"third")]);
    assert_eq!(seen.digest(Kind::Left, &folder.join("shared")), Some(Digest::of(b"lastl")));
    assert!(Expect::Whole.holds(&seen, &folder));
}

/// What a device gives or takes nobody hashes.
#[test]
fn a_device_is_a_gap() {
    let (_keep, folder) = folder();
    let devices = ["/dev/kmsg", "/dev/fuse", "/dev/loop-control", "/dev/net/tun", "/dev/kvm", "/dev/mem"];
    let Some(device) = devices.iter().find(|device| Path::new(device).exists()) else {
        return skipped("this machine has none of the devices");
    };
    let seen = try_run(&command(&folder, How::Shell("exec 5< $1; true"), device)).unwrap();
    assert!(Expect::Gap("device").holds(&seen, &folder), "{:?}", seen.interesting());
    let gap = seen.of(Kind::Gap).next().unwrap();
    assert_eq!(gap.path.as_ref().unwrap().as_bytes(), device.as_bytes());
}

/// A thread with a folder and a mask of its own.
#[test]
fn a_thread_s_own_mask_is_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let (_keep, folder, _) = evade("thread-in-own-folder");
    let mode = fs::metadata(folder.join("sub/made")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
}
