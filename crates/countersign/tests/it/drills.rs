//! The drills are caught, and missed when any one of their controls is switched off.

use crate::sandbox::Sandbox;

fn caught(name: &str, controls: usize, words: &[&str]) {
    let sandbox = Sandbox::bare();
    let score = sandbox.ok(&["drill", "run", name, "--json"]).json();
    assert_eq!(score["verdict"], "caught", "{score:#}");
    let steps = score["scores"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), controls);
    let evidence = score.to_string();
    for word in words {
        assert!(evidence.contains(word), "{word}: {evidence}");
    }
    assert!(steps.iter().all(|step| step["seconds"].as_f64().unwrap() > 0.0));
}

fn missed_without_any_one_control(name: &str) {
    let sandbox = Sandbox::bare();
    let listed = sandbox.ok(&["drill", "list", "--json"]).json();
    let drill = listed["drills"].as_array().unwrap().iter().find(|drill| drill["name"] == name).unwrap();
    let controls = drill["controls"].as_array().unwrap();
    assert!(controls.len() >= 4);
    for control in controls {
        let control = control["name"].as_str().unwrap();
        let missed = sandbox.run(&["drill", "run", name, "--without", control, "--json"]);
        assert_eq!((missed.code, missed.json()["verdict"].as_str()), (1, Some("missed")), "{control}");
        for step in missed.json()["scores"][0]["steps"].as_array().unwrap() {
            if step["control"] == control {
                assert_eq!(step["caught"], false, "{control}");
            }
        }
    }
}

#[test]
fn the_3cx_drill_is_caught() {
    caught("3cx", 4, &["ffmpeg.dll", "d3dcompiler_47.dll"]);
}

#[test]
fn the_3cx_drill_fails_without_any_one_control() {
    missed_without_any_one_control("3cx");
}

/// A source is exchanged while a real compiler runs: file, writer and compiler are named, and the alarm comes before the
/// build has ended.
#[test]
fn the_sunspot_drill_is_caught() {
    caught("sunspot", 5, &["inventory.c", "pid ", "cc1", "DETECTED"]);
}

#[test]
fn the_sunspot_drill_fails_without_any_one_control() {
    missed_without_any_one_control("sunspot");
}

/// A real npm runs a hook that reads credentials and posts them to loopback.
#[test]
fn the_shai_hulud_drill_is_caught() {
    caught("shai-hulud", 6, &["credential-exfiltration", "setup.js", "nothing arrived", "DETECTED"]);
}

#[test]
fn the_shai_hulud_drill_fails_without_any_one_control() {
    missed_without_any_one_control("shai-hulud");
}

#[test]
fn what_does_not_exist_is_no_drill() {
    let sandbox = Sandbox::bare();
    assert_eq!(sandbox.run(&["drill", "run", "3cx", "--without", "nothing"]).code, 2);
    assert_eq!(sandbox.run(&["drill", "run", "nothing"]).code, 2);
}

/// Each of the drills about trust is caught by every control, and without any one control by the others alone.
fn trust_drill(name: &str, controls: usize, words: &[&str]) {
    caught(name, controls, words);
    let sandbox = Sandbox::bare();
    let listed = sandbox.ok(&["drill", "list", "--json"]).json();
    let drill = listed["drills"].as_array().unwrap().iter().find(|drill| drill["name"] == name).unwrap();
    for control in drill["controls"].as_array().unwrap() {
        let control = control["name"].as_str().unwrap();
        let missed = sandbox.run(&["drill", "run", name, "--without", control, "--json"]);
        assert_eq!((missed.code, missed.json()["verdict"].as_str()), (1, Some("missed")), "{control}");
        let score = missed.json();
        let steps = score["scores"][0]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["control"] == control).unwrap();
        assert_eq!(step["caught"], false, "{control}");
    }
}

#[test]
fn the_stolen_key_drill_is_caught() {
    trust_drill("stolen-key", 4, &["unrecorded-signature", "log-forked", "witnesses-missing", "key-retired"]);
}

#[test]
fn the_failed_build_publish_drill_is_caught() {
    trust_drill("failed-build-publish", 3, &["build-failed", "failed-build-published", "made only by r1"]);
}

#[test]
fn the_log_fork_drill_is_caught() {
    trust_drill("log-fork", 3, &["it has seen", "log-forked", "kept"]);
}

#[test]
fn the_evil_builder_drill_is_caught() {
    trust_drill("evil-builder", 3, &["quorum-missing", "it is outvoted"]);
}
