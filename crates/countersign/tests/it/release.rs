use std::fs;

use crate::sandbox::Sandbox;

#[test]
fn a_release_goes_all_the_way() {
    let sandbox = Sandbox::released();
    sandbox.write("part.h", "#define ANSWER (40 + 2 + 0 * __LINE__)\n");
    sandbox.write(
        "main.c",
        "#include \"part.h\"\nint other(void) { return 7; }\nint main(void) { return ANSWER - 42; }\n",
    );
    let built = sandbox.build("1.1.0");
    assert_eq!(
        (built["schema"].as_str(), built["record"].as_str()),
        (Some("urn:countersign:run:v1"), Some("r2"))
    );
    assert_eq!(built["attestable"], true);
    assert_eq!(built["outputs"][0]["path"], "dist/demo.tar.gz");
    let compared = sandbox.ok(&["compare", "r1", "r2", "--json"]);
    assert_eq!(compared.json()["verdict"], "explained");
    assert_eq!(compared.out, sandbox.ok(&["compare", "r1", "r2", "--json"]).out, "the same bytes each time");
    assert_eq!(sandbox.ok(&["gate", "dist/demo.tar.gz", "--json"]).json()["verdict"], "permit");
    assert_eq!(
        sandbox.ok(&["log", "show", "--json"]).json()["entries"].as_array().unwrap().len(),
        7,
        "the gate writes nothing"
    );
    let signed = sandbox.ok(&["sign", "dist/demo.tar.gz", "--json"]).json();
    assert_eq!(
        (signed["verdict"].as_str(), signed["baseline"]["record"].as_str()),
        (Some("signed"), Some("r1"))
    );

    // On another machine: only the files, no store.
    let customer = tempfile::tempdir().unwrap();
    for name in [
        "dist/demo.tar.gz",
        "dist/demo.tar.gz.sigstore.json",
        "dist/demo.tar.gz.provenance.sigstore.json",
        "trust.json",
    ] {
        fs::copy(sandbox.path(name), customer.path().join(name.trim_start_matches("dist/"))).unwrap();
    }
    let verify = |arguments: &[&str]| -> crate::sandbox::Answer {
        sandbox
            .command(arguments)
            .current_dir(customer.path())
            .env_remove("COUNTERSIGN_PASSPHRASE")
            .output()
            .unwrap()
            .into()
    };
    let verified = verify(&["verify", "demo.tar.gz", "--trust", "trust.json", "--json"]);
    assert_eq!(
        (verified.code, verified.json()["verdict"].as_str()),
        (0, Some("verified")),
        "{}",
        verified.err
    );
    assert_eq!(verified.json()["provenance"], true);
    assert_eq!(verify(&["verify", "demo.tar.gz"]).code, 2, "no trust file, no verdict");

    assert_eq!(sandbox.ok(&["log", "check", "--json"]).json()["verdict"], "consistent");
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["verdict"], "sound");
    sandbox.ok(&["log", "export", "mirror"]);
    assert!(sandbox.path("mirror/checkpoint").is_file() && sandbox.path("mirror/verifier-key.txt").is_file());
    sandbox.ok(&["log", "check", "--against", "mirror/checkpoint"]);
}

#[test]
fn a_record_is_shown_from_every_side() {
    let sandbox = Sandbox::released();
    let listed = sandbox.ok(&["records", "--json"]).json();
    assert_eq!(listed["records"][0]["record"], "r1");
    let digest = listed["records"][0]["digest"].as_str().unwrap().to_owned();
    for name in ["latest", "r1", "1", &digest, &digest["sha256:".len()..][..8]] {
        assert_eq!(sandbox.ok(&["show", name, "--json"]).json()["digest"], digest.as_str(), "{name}");
    }
    for (view, field) in [
        ("--processes", "processes"),
        ("--inputs", "inputs"),
        ("--outputs", "outputs"),
        ("--network", "network"),
        ("--components", "components"),
        ("--timeline", "events"),
    ] {
        let shown = sandbox.ok(&["show", "latest", view, "--json"]).json();
        assert!(shown[field].is_array(), "{view}");
        let text = sandbox.ok(&["show", "latest", view]).out;
        assert!(!text.is_empty() || field == "network", "{view}");
    }
    let why = sandbox.ok(&["show", "latest", "--why", "dist/demo.tar.gz", "--json"]).json();
    let steps: Vec<&str> =
        why["steps"].as_array().unwrap().iter().map(|step| step["path"].as_str().unwrap()).collect();
    for name in ["/main.c", "/part.h", "/notes.txt", "/demo"] {
        assert!(steps.iter().any(|step| step.ends_with(name)), "{name}: {steps:?}");
    }
    let tools = why["tools"].as_array().unwrap();
    assert!(
        tools
            .iter()
            .any(|tool| tool["path"].as_str().unwrap().ends_with("/cc1") && tool["digest"].is_string())
    );
    let told = sandbox.ok(&["show", "latest", "--why", "dist/demo.tar.gz"]).out;
    assert!(told.starts_with("dist/demo.tar.gz  output") && told.contains("main.c  source"), "{told}");
    assert_eq!(sandbox.run(&["show", "latest", "--why", "absent"]).code, 2);
    let document = sandbox.ok(&["show", "latest", "--json"]).json()["document"].clone();
    let file = |name: &str| {
        let files = document["files"].as_array().unwrap();
        files.iter().find(|file| file["path"].as_str().unwrap().ends_with(name)).unwrap().clone()
    };
    assert_eq!(
        (file("/main.c")["role"].as_str(), file("/demo")["role"].as_str()),
        (Some("source"), Some("generated"))
    );
    assert_eq!(
        (file("/cc1")["role"].as_str(), file("/dist/demo.tar.gz")["role"].as_str()),
        (Some("toolchain"), Some("output"))
    );
    assert!(file("/cc1")["package"].as_str().unwrap().starts_with("pkg:deb/"));
    assert!(sandbox.run(&["show", "r99"]).code == 2);
    let inspected = sandbox.ok(&["inspect", "dist/demo.tar.gz", "--json"]).json();
    assert_eq!(
        inspected["artifacts"][0]["members"][0]["members"][0]["executables"][0]["machine"],
        std::env::consts::ARCH
    );
}

#[test]
fn a_new_member_without_a_changed_source_is_denied_until_somebody_answers_for_it() {
    let sandbox = Sandbox::released();
    // Somebody on the build machine changes what the packaging step packs; no source knows of it.
    let intruder = tempfile::tempdir().unwrap();
    let tar = intruder.path().join("tar");
    fs::write(&tar, "#!/bin/sh\necho HARMLESS > extra.so\nexec /usr/bin/tar \"$@\" extra.so\n").unwrap();
    fs::set_permissions(&tar, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", intruder.path().display());
    fs::remove_dir_all(sandbox.path("dist")).unwrap();
    let run = ["run", "--product", "demo", "--release", "2", "--output", "dist/*.tar.gz", "--", "make", "-s"];
    assert!(sandbox.command(&run).env("PATH", path).status().unwrap().success());
    let compared = sandbox.run(&["compare", "r1", "r2", "--json"]);
    assert_eq!((compared.code, compared.json()["verdict"].as_str()), (1, Some("drift")));
    let denied = sandbox.run(&["sign", "dist/demo.tar.gz", "--json"]);
    assert_eq!((denied.code, denied.json()["verdict"].as_str()), (1, Some("denied")));
    assert!(denied.codes().contains(&"unexplained-member".to_owned()), "{:?}", denied.codes());
    assert!(!sandbox.path("dist/demo.tar.gz.sigstore.json").exists());

    let findings = denied.json()["findings"].as_array().unwrap().clone();
    for finding in findings.iter().filter(|finding| finding["weight"] == "denies") {
        let id = finding["id"].as_str().unwrap();
        let long = sandbox.run(&["approve", id, "--reason", "a test", "--expires", "5000d"]);
        assert_eq!(long.code, 2, "{}", long.err);
        sandbox.ok(&["approve", id, "--reason", "a test", "--expires", "30d"]);
    }
    // What a rule found besides, the foreign tool itself, takes a second person and evidence.
    let awaits = sandbox.run(&["sign", "dist/demo.tar.gz", "--json"]).json();
    let awaits = awaits["findings"].as_array().unwrap();
    let awaits: Vec<_> = awaits.iter().filter(|finding| finding["weight"] == "awaits-second").collect();
    assert_eq!(awaits.len(), 1, "{awaits:?}");
    let id = awaits[0]["id"].as_str().unwrap();
    sandbox.write("own", "known to one person");
    let own = ["--passphrase-file", "own"];
    sandbox.ok(&[&["approver", "add", "anna"][..], &own].concat());
    let second = ["--as", "anna", "--reason", "a test", "--expires", "30d", "--evidence", "notes.txt"];
    sandbox.ok(&[&["approve", id][..], &second, &own].concat());
    let signed = sandbox.ok(&["sign", "dist/demo.tar.gz", "--json"]);
    assert_eq!(signed.json()["verdict"], "signed");
    assert_eq!(sandbox.run(&["approve", "f-0000000000000000", "--reason", "x", "--expires", "1d"]).code, 2);
}

/// The file is gone when the build ends; what was read of it is known all the same.
#[test]
fn a_prebuilt_library_cannot_hide_by_being_removed() {
    let sandbox = Sandbox::new();
    let build = |content: &str, release: &str| {
        fs::create_dir_all(sandbox.path("vendor")).unwrap();
        sandbox.write("vendor/x.dll", content);
        let script = "mkdir -p dist && cat vendor/x.dll > dist/out && rm vendor/x.dll";
        sandbox.ok(&[
            "run",
            "--product",
            "p",
            "--release",
            release,
            "--output",
            "dist/out",
            "--",
            "sh",
            "-c",
            script,
        ]);
    };
    build("MZ honest", "1");
    sandbox.ok(&["sign", "dist/out"]);
    build("MZ poisoned", "2");
    let denied = sandbox.run(&["sign", "dist/out", "--json"]);
    assert_eq!(denied.code, 1);
    assert!(denied.codes().contains(&"prebuilt-changed".to_owned()), "{:?}", denied.codes());
}

#[test]
fn a_build_s_own_code_is_passed_on_and_never_signed() {
    let sandbox = Sandbox::new();
    let failed = sandbox.run(&["run", "--output", "out", "--", "sh", "-c", "echo x > out; exit 3"]);
    assert_eq!(failed.code, 3);
    assert_eq!(sandbox.ok(&["records", "--json"]).json()["records"][0]["outcome"], "failed (3)");
    assert_eq!(
        sandbox.run(&["sign", "out", "--json"]).codes(),
        ["build-failed", "no-baseline", "provenance-missing"]
    );
    assert_eq!(sandbox.run(&["run", "--", "sh", "-c", "kill -9 $$"]).code, 128 + 9);
    assert_eq!(sandbox.run(&["run", "--", "/nonexistent/program"]).code, 125);
    let before = sandbox.ok(&["records", "--json"]).json()["records"].as_array().unwrap().len();
    assert_eq!(before, 2, "what never started leaves no record");
    let streams = sandbox.run(&["run", "-q", "--", "sh", "-c", "echo to-out; echo to-err >&2"]);
    assert_eq!((streams.out.as_str(), streams.err.as_str()), ("to-out\n", "to-err\n"));
}

#[test]
fn a_revoked_release_is_rejected() {
    let sandbox = Sandbox::released();
    sandbox.ok(&["verify", "dist/demo.tar.gz"]);
    sandbox.ok(&["revoke", "dist/demo.tar.gz", "--reason", "a bad night"]);
    let rejected = sandbox.run(&["verify", "dist/demo.tar.gz", "--json"]);
    assert_eq!((rejected.code, rejected.codes()), (1, vec!["revoked".to_owned()]));
    sandbox.ok(&["verify", "dist/demo.tar.gz", "--trust", "trust.json"]);
    sandbox.ok(&["log", "check"]);
}

#[test]
fn no_secret_enters_a_record() {
    let sandbox = Sandbox::new();
    let secret = "s3cr3t-value-of-a-token";
    let mut command = sandbox.command(&[
        "run",
        "--output",
        "out",
        "--",
        "sh",
        "-c",
        &format!("echo built > out; : {secret}; test -z \"$COUNTERSIGN_PASSPHRASE\""),
    ]);
    let answer = command.env("NPM_TOKEN", secret).output().unwrap();
    assert!(
        answer.status.success(),
        "the build sees no passphrase: {}",
        String::from_utf8_lossy(&answer.stderr)
    );
    let shown = sandbox.ok(&["show", "latest", "--json"]).out
        + &sandbox.ok(&["show", "latest", "--timeline", "--json"]).out;
    assert!(shown.contains("NPM_TOKEN") && !shown.contains(secret));
    assert!(!shown.contains(crate::sandbox::PASSPHRASE));
    sandbox.ok(&["sign", "out"]);
    for name in ["out.sigstore.json", "out.provenance.sigstore.json"] {
        let bundle = String::from_utf8(sandbox.read(name)).unwrap();
        assert!(!bundle.contains(secret));
    }
}

#[test]
fn the_build_cannot_reach_the_store() {
    let sandbox = Sandbox::new();
    let answer = sandbox.run(&[
        "run",
        "--",
        "sh",
        "-c",
        "cat .countersign/keys/release.pem && exit 1; echo x > .countersign/policy.toml && exit 2; exit 0",
    ]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let refused =
        sandbox.ok(&["show", "latest", "--json"]).json()["document"]["completeness"]["refused"].clone();
    assert_eq!(refused, 2);
}

/// Tools that look at everything, as `git status` does, are no attack.
#[test]
fn looking_at_the_project_is_allowed() {
    let sandbox = Sandbox::new();
    // Making a folder that is there, as tools do, is no harm either, though our own lies below it.
    let script = "mkdir -p \"$PWD\"; ! mkdir \"$PWD\" 2> error; grep -q exists error; rm error; git init -q . && git add . && git status --short && find . -type f > list && cp list out";
    sandbox.ok(&["run", "--output", "out", "--", "sh", "-c", script]);
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    assert_eq!(shown["document"]["completeness"]["refused"], 0);
    sandbox.ok(&["sign", "out"]);
}

#[test]
fn help_names_commands_and_codes() {
    let sandbox = Sandbox::bare();
    for command in [
        "init", "run", "records", "show", "inspect", "sbom", "compare", "gate", "sign", "verify", "approve",
        "approver", "approver", "revoke", "log", "trust", "fsck", "drill",
    ] {
        assert!(sandbox.ok(&["help", command]).out.contains("Usage"), "{command}");
    }
    assert!(sandbox.ok(&["help", "prebuilt-changed"]).out.contains("What to do"));
    assert_eq!(sandbox.ok(&["help", "prebuilt-changed", "--json"]).json()["code"], "prebuilt-changed");
    assert_eq!(sandbox.run(&["help", "no-such-thing"]).code, 2);
    assert_eq!(sandbox.run(&["no-such-command"]).code, 2);
    assert!(sandbox.ok(&["completions", "bash"]).out.contains("countersign"));
    assert!(sandbox.ok(&["--help"]).out.contains("Exit codes"));
}

#[test]
fn it_works_without_root() {
    if !std::process::Command::new("setpriv")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        assert!(std::env::var_os("CI").is_none(), "CI must have setpriv");
        eprintln!("SKIPPED: setpriv is not installed");
        return;
    }
    if String::from_utf8_lossy(&std::process::Command::new("id").arg("-u").output().unwrap().stdout).trim()
        != "0"
    {
        return; // Then all other tests have shown it.
    }
    let sandbox = Sandbox::bare();
    let program = sandbox.path("countersign");
    fs::copy(env!("CARGO_BIN_EXE_countersign"), &program).unwrap();
    let nobody = |script: &str| {
        let status = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script])
            .current_dir(sandbox.path(""))
            .env("COUNTERSIGN_PASSPHRASE", crate::sandbox::PASSPHRASE)
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
    };
    assert!(
        std::process::Command::new("chown")
            .args(["-R", "65534:65534", "."])
            .current_dir(sandbox.path(""))
            .status()
            .unwrap()
            .success()
    );
    nobody(
        "./countersign init && ./countersign run --output 'dist/*.gz' -- make -s && ./countersign sign dist/demo.tar.gz",
    );
    nobody("./countersign verify dist/demo.tar.gz && ./countersign fsck");
}
