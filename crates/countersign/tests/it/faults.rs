//! Clocks that are wrong by years, and a store that was put back as a whole.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::sandbox::{Answer, Sandbox};

fn at(sandbox: &Sandbox, clock: &str, words: &[&str]) -> Answer {
    let plain = sandbox.command(words);
    let mut command = Command::new("faketime");
    command.args(["-f", clock]).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(sandbox.path("")).env("COUNTERSIGN_PASSPHRASE", crate::sandbox::PASSPHRASE);
    command.env_remove("COUNTERSIGN_STORE").output().unwrap().into()
}

fn faketime() -> bool {
    let found =
        Command::new("faketime").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI must have faketime");
        eprintln!("SKIPPED: faketime is not installed");
    }
    found
}

#[test]
fn a_clock_that_is_wrong_by_years_certifies_nothing() {
    if !faketime() {
        return;
    }
    let sandbox = Sandbox::released();
    let artifact = "dist/demo.tar.gz";
    // Without certificates the clock decides nothing but the age of the trust file.
    for clock in ["-20y", "+20y"] {
        assert_eq!(at(&sandbox, clock, &["verify", artifact]).code, 0, "{clock}");
    }
    sandbox.ok(&["trust", "authority", "--identity", "urn:vendor", "--issuer", "https://vendor.example"]);
    sandbox.ok(&["sign", artifact]);
    let size = || sandbox.ok(&["log", "show", "--json"]).json()["entries"].as_array().unwrap().len();
    let before = size();
    for clock in ["-20y", "+20y"] {
        let refused = at(&sandbox, clock, &["sign", artifact]);
        assert!(refused.code != 0 && refused.err.contains("is the clock right"), "{clock}: {}", refused.err);
    }
    assert_eq!(size(), before, "nothing was logged");
    assert_eq!(at(&sandbox, "+20y", &["verify", artifact]).code, 0, "what was certified in time stays good");
    let early = at(&sandbox, "-20y", &["verify", artifact, "--json"]);
    assert_eq!(
        (early.code, early.codes()),
        (1, vec!["certificate-invalid".to_owned()]),
        "an authority of the future"
    );
    sandbox.ok(&["trust", "set", "--expires", "90d"]);
    assert_eq!(at(&sandbox, "+20y", &["verify", artifact, "--json"]).codes(), ["trust-stale"]);
    sandbox.ok(&["log", "check"]);
}

struct Witness(Child);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_store_that_was_put_back_as_a_whole_is_seen_by_a_witness() {
    let sandbox = Sandbox::new();
    let trust: serde_json::Value = serde_json::from_slice(&sandbox.read(".countersign/trust.json")).unwrap();
    let log = trust["log"]["verifierKey"].as_str().unwrap();
    let words =
        ["log", "witness", "w", "--name", "witness.example/w1", "--log", log, "--listen", "127.0.0.1:0"];
    let mut child = sandbox.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _witness = Witness(child);
    let url = lines.next().unwrap().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    let key = lines.next().unwrap().unwrap().trim().strip_prefix("key ").unwrap().to_owned();
    sandbox.write("witnesses", format!("witness w1 {key} {url}\nquorum w1\n"));
    sandbox.ok(&["trust", "set", "--witness-policy", "witnesses"]);
    sandbox.build("1.0.0");
    let copy = |from: &str, to: &str| {
        let status =
            Command::new("cp").args(["-a", from, to]).current_dir(sandbox.path("")).status().unwrap();
        assert!(status.success());
    };
    copy(".countersign", "older");
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    std::fs::remove_file(sandbox.path("dist/demo.tar.gz.sigstore.json")).unwrap();
    std::fs::rename(sandbox.path(".countersign"), sandbox.path("newer")).unwrap();
    copy("older", ".countersign");
    // In itself everything is in order; the witness has seen more.
    sandbox.ok(&["log", "check"]);
    sandbox.ok(&["fsck"]);
    let seen = sandbox.run(&["monitor", "--refresh", "--json"]);
    assert_eq!((seen.code, seen.codes()), (1, vec!["log-forked".to_owned()]), "{}", seen.out);
    let refused = sandbox.run(&["sign", "dist/demo.tar.gz"]);
    assert!(refused.code == 3 && refused.err.contains("forked"), "{}", refused.err);
    assert!(!sandbox.path("dist/demo.tar.gz.sigstore.json").exists());
    // The newer one, put forward again, goes on.
    std::fs::remove_dir_all(sandbox.path(".countersign")).unwrap();
    copy("newer", ".countersign");
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    sandbox.ok(&["verify", "dist/demo.tar.gz"]);
}
