//! The same gauntlet where builds really run: without rights, and in something like a container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::evasions::programs;
use crate::tracing::skipped;

/// All that a recorder without rights has to pass; the manual is not there.
const TESTS: &[&str] = &[
    "gauntlet::calls::without_any_one_call_its_case_fails",
    "gauntlet::evasions::nothing_passes_unseen",
    "gauntlet::evasions::arguments_that_change_under_the_call_deceive_nobody",
    "gauntlet::evasions::stores_through_shared_memory_are_hashed_again",
    "gauntlet::evasions::a_thread_s_own_mask_is_its_own",
];

/// Runs these tests as somebody who may nothing, and by what else is put before.
fn as_nobody(before: &[&str]) {
    if !rustix::process::getuid().is_root() {
        return; // Then everything here has run without rights already.
    }
    let keep = tempfile::tempdir().unwrap();
    fs::set_permissions(keep.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let public = |from: &std::path::Path, name: &str| {
        let to = keep.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, PermissionsExt::from_mode(0o755)).unwrap();
        to
    };
    let tests = public(&std::env::current_exe().unwrap(), "tests");
    let evasions = public(&programs().1, "evasions").to_str().unwrap().to_owned();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(before.iter().map(|word| if *word == "evasions" { &evasions } else { *word }));
    command.arg(tests).args(["--test-threads=1", "--exact"]).args(TESTS);
    let ran = command.current_dir(keep.path()).env("TMPDIR", keep.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
    assert!(said.contains(&format!("{} passed", TESTS.len())), "{said}");
}

#[test]
fn a_recorder_without_rights_passes_it() {
    as_nobody(&[]);
}

#[test]
fn a_recorder_in_a_user_namespace_under_a_filter_passes_it() {
    let possible = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-r", "true"])
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        return skipped("this machine has no user namespaces for those without rights");
    }
    as_nobody(&["unshare", "-r", "evasions", "under-a-filter"]);
}
