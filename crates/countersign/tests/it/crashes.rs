//! Killed at any moment: nothing that was acknowledged is lost, nothing incomplete looks whole.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn wait_for(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    !status.is_ok_and(|status| !status.contains("State:\tZ"))
}

#[test]
fn a_killed_recorder_leaves_an_incomplete_record() {
    let sandbox = Sandbox::new();
    let script = "echo $$ > pid; echo out > out; while :; do /bin/true; done";
    let mut child = sandbox
        .command(&["run", "--product", "p", "--output", "out", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    wait_for(|| sandbox.path("out").exists());
    std::thread::sleep(Duration::from_millis(200));
    signal(child.id(), "-KILL");
    child.wait().unwrap();
    let build = String::from_utf8(sandbox.read("pid")).unwrap().trim().to_owned();
    wait_for(|| is_gone(&build));
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["abandoned"], 1);
    assert_eq!(sandbox.ok(&["run", "--json", "--", "true"]).json()["recovered"][0], "r1");
    let shown = sandbox.ok(&["show", "r1", "--json"]).json();
    let completeness = &shown["document"]["completeness"];
    assert_eq!(
        (completeness["complete"].as_bool(), completeness["interrupted"].as_bool()),
        (Some(false), Some(true))
    );
    assert_eq!(completeness["gaps"]["recorder-died"], 1);
    assert_eq!(sandbox.run(&["sign", "out"]).code, 1);
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["abandoned"], 0);
}

/// Killed between the log's acknowledgement and the removal of the journal: the record is not made twice.
#[test]
fn a_journal_whose_record_is_in_the_log_is_dropped() {
    let sandbox = Sandbox::new();
    let recordings = sandbox.path(".countersign/recordings");
    let mut child = sandbox
        .command(&[
            "run",
            "-q",
            "--output",
            "out",
            "--",
            "sh",
            "-c",
            "echo x > out; while [ ! -e go ]; do sleep 0.02; done",
        ])
        .spawn()
        .unwrap();
    wait_for(|| sandbox.path("out").exists());
    let living = std::fs::read_dir(&recordings).unwrap().next().unwrap().unwrap().path();
    let start = std::fs::read(living.join("start.json")).unwrap();
    sandbox.write("go", "");
    assert!(child.wait().unwrap().success());
    let segments = sandbox.ok(&["show", "latest", "--json"]).json()["document"]["segments"].clone();
    let line = |segment: &serde_json::Value| {
        format!("{} {} {}\n", segment["digest"].as_str().unwrap(), segment["events"], segment["size"])
    };
    let left = recordings.join("run-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), "").unwrap();
    std::fs::write(left.join("start.json"), start).unwrap();
    std::fs::write(left.join("segments"), segments.as_array().unwrap().iter().map(line).collect::<String>())
        .unwrap();
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["abandoned"], 1);
    let next = sandbox.ok(&["run", "--json", "--", "true"]).json();
    assert_eq!((next["record"].as_str(), next["recovered"].as_array().unwrap().len()), (Some("r2"), 0));
    assert!(!left.exists());
}

#[test]
fn an_interrupted_build_leaves_an_incomplete_record() {
    let sandbox = Sandbox::new();
    let script = "echo out > out; exec sleep 600";
    let mut child = sandbox
        .command(&["run", "--output", "out", "--", "sh", "-c", script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| sandbox.path("out").exists());
    signal(child.id(), "-INT");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(128 + 2));
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    assert_eq!(shown["document"]["completeness"]["interrupted"], true);
    assert_eq!(shown["document"]["completeness"]["complete"], false);
    assert!(sandbox.run(&["sign", "out", "--json"]).codes().contains(&"record-incomplete".to_owned()));
}

#[test]
fn builds_and_signatures_at_the_same_time_do_not_disturb_each_other() {
    let sandbox = Sandbox::new();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let (product, output) = (format!("p{number}"), format!("out{number}"));
                let script = format!("date +%N > {output}");
                sandbox.ok(&[
                    "run",
                    "-q",
                    "--product",
                    &product,
                    "--output",
                    &output,
                    "--",
                    "sh",
                    "-c",
                    &script,
                ]);
                sandbox.ok(&["sign", &output]);
                sandbox.ok(&["verify", &output]);
            });
        }
    });
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["records"], 6);
    sandbox.ok(&["log", "check"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::released();
    let script =
        format!("'{}' show latest --timeline --json | head -c 10; exit 0", env!("CARGO_BIN_EXE_countersign"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(sandbox.path("")).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut child = sandbox
        .command(&["run", "--output", "dist/*.gz", "--", "sh", "-c", "yes | head -c 1000000; make -s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.wait().unwrap();
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["verdict"], "sound");
}

/// Kills `run` and `sign` after more and more time; every record that was acknowledged stays, the log stays whole.
#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_moment() {
    let sandbox = Sandbox::new();
    let mut acknowledged = 0;
    for step in 0..24 {
        let run = ["run", "-q", "--product", "p", "--output", "out", "--", "sh", "-c", "date +%N > out"];
        let mut child = sandbox.command(&run).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(12 * step));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            acknowledged += 1;
        }
        let fsck = sandbox.run(&["fsck", "--json"]);
        assert_eq!(fsck.json()["verdict"], "sound", "after {step}: {}", fsck.out);
        assert!(fsck.json()["records"].as_u64().unwrap() >= acknowledged);
    }
    // Another product: what a build left that was not killed in time is no baseline of this one.
    sandbox.ok(&["run", "--product", "q", "--output", "out", "--", "sh", "-c", "date +%N > out"]);
    for step in 0..12 {
        let mut child =
            sandbox.command(&["sign", "out"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 * step));
        child.kill().unwrap();
        let signed = child.wait().unwrap().success();
        if signed || sandbox.path("out.sigstore.json").exists() {
            sandbox.ok(&["verify", "out"]);
        }
        sandbox.ok(&["log", "check"]);
    }
    sandbox.ok(&["sign", "out"]);
    sandbox.ok(&["verify", "out"]);
}
