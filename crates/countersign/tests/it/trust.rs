//! Native signatures behind the gate, sightings, rebuilds: through the binary, with the vendors' own signers.

use std::fs;
use std::process::Command;

use crate::sandbox::Sandbox;

fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI must have {program}");
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// A recorded artifact, ready to be signed.
fn recorded(name: &str, content: &[u8]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("source", content);
    fs::create_dir_all(sandbox.path("out")).unwrap();
    let output = format!("out/{name}");
    sandbox.ok(&["run", "--product", "app", "--output", &output, "--", "cp", "source", &output]);
    sandbox
}

fn certificate(sandbox: &Sandbox) {
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days",
            "9",
        ])
        .args(["-subj", "/CN=Vendor Code Signing", "-addext", "extendedKeyUsage=codeSigning"])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

const SIGN: &str = "osslsigncode sign -certs c.pem -key k.pem -in {in} -out {out}";

#[test]
fn a_vendor_s_signer_adds_a_signature_and_nothing_else() {
    if !there("osslsigncode") {
        return;
    }
    let image = forge::PeImage { content: b"ours".to_vec(), ..forge::PeImage::default() }.bytes();
    let sandbox = recorded("app.exe", &image);
    certificate(&sandbox);
    // What a compromised signer may try: each is refused, and the artifact stays as it was.
    for (command, words) in [
        ("cp {in} {out}".to_owned(), "no Authenticode signature"),
        (format!("{SIGN} && printf evil >> {{out}}"), "does not cover"),
        (format!("printf '\\001' | dd of={{in}} bs=1 seek=520 conv=notrunc 2>/dev/null; {SIGN}"), "changed"),
        ("false".to_owned(), "ended with"),
        ("true {out}".to_owned(), "wrote nothing"),
        (format!("{SIGN}; exit 3"), "ended with"),
    ] {
        let refused = sandbox.run(&["sign", "out/app.exe", "--with", &command, "--json"]);
        assert_eq!((refused.code, refused.json()["verdict"].as_str()), (1, Some("denied")), "{command}");
        assert!(refused.codes().contains(&"signer-changed-content".to_owned()), "{command}: {}", refused.out);
        assert!(refused.out.contains(words), "{command}: {}", refused.out);
        assert_eq!(sandbox.read("out/app.exe"), image, "{command}");
        assert!(!sandbox.path("out/app.exe.sigstore.json").exists());
    }
    let signed = sandbox.ok(&["sign", "out/app.exe", "--with", SIGN, "--json"]).json();
    assert_ne!(signed["released"], signed["artifact"]);
    assert_ne!(sandbox.read("out/app.exe"), image);
    sandbox.ok(&["verify", "out/app.exe"]);
    let shown = sandbox.ok(&["log", "show", "--json"]).out;
    assert!(shown.contains("signing-event"), "{shown}");
    // The refused attempts are on record too, and the log is in order.
    sandbox.ok(&["log", "check"]);
    let seen = sandbox.ok(&["monitor", "--sweep", "out", "--json"]).json();
    assert_eq!(seen["sightings"], 2, "the program and its bundle: {seen:#}");
    // The same certificate, past the gate: nobody's signing event.
    let other = forge::PeImage { content: b"theirs".to_vec(), ..forge::PeImage::default() };
    fs::write(sandbox.path("past.exe"), other.bytes()).unwrap();
    let past = "osslsigncode sign -certs c.pem -key k.pem -in past.exe -out out/past.exe";
    let done = Command::new("sh").args(["-c", past]).current_dir(sandbox.path("")).output().unwrap();
    assert!(done.status.success());
    let seen = sandbox.run(&["monitor", "--sweep", "out", "--json"]);
    assert_eq!((seen.code, seen.codes()), (1, vec!["unrecorded-signature".to_owned()]));
}

#[test]
fn a_detached_signature_leaves_the_artifact_as_it_is() {
    if !there("gpg") {
        return;
    }
    let sandbox = recorded("app.bin", b"\x7fsome data");
    fs::create_dir(sandbox.path("gnupg")).unwrap();
    let home = sandbox.path("gnupg");
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = format!(
        "gpg --homedir '{}' --batch --quiet --pinentry-mode loopback --passphrase ''",
        home.display()
    );
    let make = format!("{gpg} --quick-generate-key vendor@example.invalid ed25519 sign never");
    let made = Command::new("sh").args(["-c", &make]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sign = format!("{gpg} --detach-sign --armor -o {{out}} {{in}}");
    let refused =
        sandbox.run(&["sign", "out/app.bin", "--with", &sign.replace("{out}", "/dev/null"), "--json"]);
    assert_eq!(refused.code, 1, "what cannot be told apart is not signed in place: {}", refused.out);
    let signed = sandbox.ok(&["sign", "out/app.bin", "--with", &sign, "--detached", ".asc", "--json"]).json();
    assert_eq!(signed["released"], signed["artifact"]);
    let check = format!("{gpg} --verify out/app.bin.asc out/app.bin");
    let checked = Command::new("sh").args(["-c", &check]).current_dir(sandbox.path("")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    sandbox.ok(&["verify", "out/app.bin"]);
    sandbox.ok(&["monitor", "--sweep", "out"]);
}

#[test]
fn a_build_is_repeated_and_what_differs_is_explained() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["run", "--product", "demo", "--output", "demo", "--", "cc", "-O1", "-o", "demo", "main.c"]);
    let same = sandbox.ok(&["rebuild", "latest", "--json"]).json();
    assert_eq!((same["verdict"].as_str(), same["second"].as_str()), (Some("agree"), Some("r2")), "{same:#}");
    assert!(same["variations"].as_array().unwrap().len() >= 6);
    let script = "pwd > where; cat main.c >> where";
    sandbox.ok(&["run", "--product", "where", "--output", "where", "--", "sh", "-c", script]);
    let differs = sandbox.run(&["rebuild", "latest", "--json"]);
    assert_eq!((differs.code, differs.codes()), (1, vec!["not-reproduced".to_owned()]));
    assert!(differs.out.contains("build-path: "), "{}", differs.out);
    let changed = sandbox.read("main.c");
    sandbox.write("main.c", b"int main(void) { return 7; }\n");
    assert_eq!(sandbox.run(&["rebuild", "r1"]).code, 2, "other sources are no repetition");
    sandbox.write("main.c", changed);
    sandbox.ok(&["log", "check"]);
}

#[test]
fn what_a_build_only_asked_for_is_there_and_a_failed_repetition_is_no_answer() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("aside")).unwrap();
    sandbox.write("aside/never-read", b"bytes that nobody recorded");
    let asks = "test -f aside/never-read && cp main.c out";
    sandbox.ok(&["run", "--product", "demo", "--output", "out", "--", "sh", "-c", asks]);
    assert_eq!(sandbox.ok(&["rebuild", "latest", "--json"]).json()["verdict"], "agree");
    // Its bytes are not handed over: the first build did not know them.
    let size = "test -s aside/never-read && exit 3; cp main.c out";
    sandbox.write("aside/never-read", b"");
    sandbox.ok(&["run", "--product", "demo", "--output", "out", "--", "sh", "-c", size]);
    sandbox.write("aside/never-read", b"other bytes");
    assert_eq!(sandbox.ok(&["rebuild", "latest", "--json"]).json()["verdict"], "agree");
    let elsewhere = "case $PWD in */elsewhere/*) exit 7;; esac; cp main.c out";
    sandbox.ok(&["run", "--product", "demo", "--output", "out", "--", "sh", "-c", elsewhere]);
    let failed = sandbox.run(&["rebuild", "latest", "--bisect", "--json"]);
    assert_eq!((failed.code, failed.json()["verdict"].as_str()), (3, Some("undetermined")), "{}", failed.out);
    assert_eq!(failed.json()["problems"][0]["kind"], "repetition-failed");
    assert!(failed.codes().is_empty(), "nothing is said of its bytes");
}

#[test]
fn what_an_output_follows_is_found_by_building_again() {
    let sandbox = Sandbox::new();
    // None of it stands in the bytes as such: what was made of it does.
    // And no build has what opens our keys.
    let script = "test -z \"$COUNTERSIGN_PASSPHRASE\" || exit 9; mkdir -p out; cat main.c > out/steady; pwd | md5sum > out/folder; umask | md5sum > out/mask; \
        date +%Z | md5sum > out/zone; stat -c %Y main.c | md5sum > out/age; date +%s%N | md5sum > out/chance";
    sandbox.ok(&["run", "--product", "demo", "--output", "out/*", "--", "sh", "-c", script]);
    let plain = sandbox.run(&["rebuild", "latest", "--json"]);
    assert_eq!(
        (plain.code, plain.json()["influences"].as_array().map(Vec::len)),
        (1, Some(0)),
        "{}",
        plain.out
    );
    let found = sandbox.run(&["rebuild", "r1", "--bisect", "--json"]);
    assert_eq!(found.code, 1, "{}", found.err);
    assert!(found.err.contains("built again: time zone: Pacific/Kiritimati"), "{}", found.err);
    let influences = found.json()["influences"].clone();
    let pairs: Vec<(&str, Vec<&str>)> = influences
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let outputs = one["outputs"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
            (one["what"].as_str().unwrap(), outputs.collect())
        })
        .collect();
    let expected = [
        ("time or chance", vec!["out/chance"]),
        ("folder", vec!["out/folder"]),
        ("time zone", vec!["out/zone"]),
        ("file-mode mask", vec!["out/mask"]),
        ("file times", vec!["out/age"]),
    ];
    assert_eq!(pairs, expected);
    let findings = found.json()["findings"].clone();
    let mask =
        findings.as_array().unwrap().iter().find(|finding| finding["subject"]["path"] == "out/mask").unwrap();
    assert!(mask["because"][0].to_string().contains("it follows the file-mode mask"), "{mask:#}");
    // Nothing of the search is recorded: the two repetitions are all that was added.
    assert_eq!(sandbox.run(&["show", "r4"]).code, 2);
    sandbox.ok(&["log", "check"]);
}

#[test]
fn the_trust_file_says_what_is_demanded() {
    let sandbox = Sandbox::released();
    let artifact = "dist/demo.tar.gz";
    let verify = || sandbox.run(&["verify", artifact, "--json"]);
    sandbox.ok(&["trust", "set", "--expires", "2020-01-01"]);
    let stale = verify();
    assert_eq!((stale.code, stale.json()["verdict"].as_str()), (3, Some("undetermined")));
    assert_eq!(stale.codes(), ["trust-stale"]);
    sandbox.ok(&["trust", "set", "--expires", "never", "--require-level", "SLSA_BUILD_LEVEL_4"]);
    assert_eq!(verify().codes(), ["level-missing"]);
    sandbox.ok(&["trust", "set", "--require-level", "none"]);
    assert_eq!(verify().code, 0);
    assert_eq!(sandbox.run(&["trust", "set"]).code, 2);
    assert_eq!(sandbox.run(&["trust", "retire-key", "nobody", "--reason", "x"]).code, 2);
    // What the key signed before its end stays good.
    let key = verify().json()["release"]["key"].as_str().unwrap().to_owned();
    sandbox.ok(&["trust", "retire-key", &key, "--reason", "rotated"]);
    assert_eq!(verify().code, 0);
    let explained = sandbox.ok(&["verify", artifact, "--explain"]).out;
    assert!(explained.contains("cosign verify-blob-attestation"), "{explained}");
    // Other people's flags need each other, and a root needs a signatory.
    assert_eq!(sandbox.run(&["verify", artifact, "--certificate-identity", "x"]).code, 2);
    assert_eq!(sandbox.run(&["verify", artifact, "--trusted-root", "x"]).code, 2);
}
