//! Advisories through the binary: what a build really ran, and what an import changes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::sandbox::Sandbox;

pub(crate) fn record(id: &str, modified: &str, name: &str, rest: &str) -> String {
    format!(
        r#"{{"id": "{id}", "modified": "{modified}", "summary": "a stand-in", "affected": [{{"package": {{"ecosystem": "npm",
        "name": "{name}"}}, "ranges": [{{"type": "SEMVER", "events": [{{"introduced": "0"}}, {{"fixed": "2.0.0"}}]}}]}}]{rest}}}"#
    )
}

/// A moment that is no reason to call the index stale.
pub(crate) fn today() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let days = now.as_secs() / 86_400;
    // Civil from days (Howard Hinnant).
    let z = days as i64 + 719_468;
    let era = z / 146_097;
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T00:00:00Z")
}

pub(crate) fn has(program: &str) -> bool {
    let found =
        std::process::Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "{program} is needed");
    if !found {
        eprintln!("SKIPPED: no {program}");
    }
    found
}

/// A package whose install script only writes a word into a file; an advisory calls it an attack.
fn stand_in(sandbox: &Sandbox) {
    std::fs::create_dir_all(sandbox.path("evil")).unwrap();
    sandbox.write(
        "evil/package.json",
        r#"{"name": "evil-stand-in", "version": "1.0.0", "scripts": {"install": "node install.js"}}"#,
    );
    sandbox.write("evil/install.js", "require('fs').writeFileSync('ran', 'harmless')\n");
    sandbox.write("package.json", r#"{"name": "app", "version": "1.0.0"}"#);
    let packed = std::process::Command::new("npm")
        .args(["pack", "--silent", "./evil"])
        .current_dir(sandbox.path("."))
        .output()
        .unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
}

#[test]
fn an_install_script_that_ran_ranks_first() {
    if !has("npm") {
        return;
    }
    let sandbox = Sandbox::new();
    stand_in(&sandbox);
    let lines = [
        record("MAL-2026-1", &today(), "evil-stand-in", ""),
        record("MAL-2026-2", &today(), "only-listed", ""),
        record(
            "GHSA-1",
            &today(),
            "vulnerable",
            r#", "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]"#,
        ),
    ];
    sandbox.write("a.jsonl", lines.map(|line| line.replace('\n', " ")).join("\n"));
    sandbox.ok(&["advisories", "import", "a.jsonl"]);
    let install = [
        "run",
        "--product",
        "app",
        "--release",
        "1",
        "--",
        "npm",
        "install",
        "--offline",
        "--no-audit",
        "--no-fund",
        "./evil-stand-in-1.0.0.tgz",
    ];
    sandbox.ok(&install);
    assert!(sandbox.path("node_modules/evil-stand-in/ran").exists(), "the script did not run");
    sandbox.write("list.txt", "pkg:npm/only-listed@1.0.0\npkg:npm/vulnerable@1.0.0\npkg:npm/good@1.0.0\n");
    let answer = sandbox.run(&["advisories", "match", "latest", "list.txt", "--json"]);
    assert_eq!(answer.code, 1);
    let ranked = answer.json()["ranked"].clone();
    let order: Vec<(&str, &str)> = ranked
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["advisory"].as_str().unwrap(), row["priority"].as_str().unwrap()))
        .collect();
    assert_eq!(
        order,
        [("MAL-2026-1", "malicious-executed"), ("MAL-2026-2", "malicious"), ("GHSA-1", "scored")],
        "{ranked:#}"
    );
    assert_eq!(ranked[0]["grade"], "executed");
    assert!(answer.codes().contains(&"install-script-ran".to_owned()), "{:?}", answer.codes());
    let why = ranked[0]["inputs"].to_string();
    assert!(why.contains("node install.js"), "{why}");
    let text = sandbox.run(&["advisories", "match", "latest"]).out;
    assert!(
        text.contains("malicious-executed") && text.lines().last().unwrap().starts_with("affected"),
        "{text}"
    );

    let affected = sandbox.run(&["advisories", "affected", "MAL-2026-1", "--json"]);
    assert_eq!(affected.code, 1);
    let document = affected.json();
    assert_eq!(document["rows"][0]["product"], "app");
    assert_eq!(document["rows"][0]["role"], "executed in a build");
    assert_eq!(sandbox.run(&["advisories", "affected", "pkg:npm/evil-stand-in"]).code, 1);
    assert_eq!(sandbox.run(&["advisories", "affected", "MAL-2026-2"]).code, 0);
    assert_eq!(sandbox.run(&["advisories", "affected", "MAL-9"]).code, 2);

    // Told once; the same again is no news; taken back, it is.
    sandbox.write("b.json", record("MAL-2026-1", &today(), "evil-stand-in", r#", "details": "more""#));
    let again = sandbox.run(&["advisories", "import", "b.json", "--json"]).json();
    assert_eq!(again["notices"][0]["kind"], "newly-affected", "{again:#}");
    assert_eq!(
        sandbox.ok(&["advisories", "import", "b.json", "--json"]).json()["notices"],
        serde_json::json!([])
    );
    let withdrawn = format!(r#", "withdrawn": "{}""#, today());
    sandbox.write("c.json", record("MAL-2026-1", &today(), "evil-stand-in", &withdrawn));
    let taken_back = sandbox.ok(&["advisories", "import", "c.json", "--json"]).json();
    assert_eq!(taken_back["notices"][0]["kind"], "retracted", "{taken_back:#}");
    let answer = sandbox.run(&["advisories", "match", "pkg:npm/evil-stand-in@1.0.0", "--json"]);
    assert_eq!((answer.code, answer.json()["retracted"][0]["advisory"].as_str()), (0, Some("MAL-2026-1")));
}

#[test]
fn bytes_of_an_attack_are_found_whatever_they_are_called() {
    let sandbox = Sandbox::new();
    sandbox.write("payload.h", "/* harmless */\n");
    sandbox.write("main.c", "#include \"payload.h\"\nint main(void) { return 0; }\n");
    let build = sandbox.build("1");
    assert!(build["record"].is_object() || build.is_object());
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    let files = shown["document"]["files"].as_array().unwrap().clone();
    let file = files.iter().find(|file| file["path"].as_str().unwrap().ends_with("payload.h")).unwrap();
    let digest = file["read"][0].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let specific = format!(
        r#", "database_specific": {{"leitwacht": {{"indicators_observed": {{"sha256": ["{digest}"]}}}}}}"#
    );
    sandbox.write("a.json", record("LWA-1", &today(), "some-package", &specific));
    // The build is long past: it is told at once, and found without looking at a build.
    let news = sandbox.run(&["advisories", "import", "a.json", "--json"]);
    assert_eq!((news.code, news.json()["notices"][0]["records"].clone()), (1, serde_json::json!([1])));
    let affected = sandbox.run(&["advisories", "affected", "LWA-1", "--json"]).json();
    assert_eq!(
        (&affected["rows"][0]["name"], &affected["rows"][0]["role"]),
        (&"r1".into(), &"present in a build".into())
    );
    let answer = sandbox.run(&["advisories", "match", "latest", "--json"]);
    assert_eq!(answer.code, 1, "{}", answer.out);
    assert_eq!(answer.json()["ranked"][0]["finding"], answer.json()["findings"][0]["id"]);
    assert_eq!(answer.codes().first().map(String::as_str), Some("advisories-missing"));
    assert!(answer.codes().contains(&"malicious-artifact".to_owned()), "{:?}", answer.codes());
}

#[test]
fn clean_only_if_everything_could_be_asked() {
    let sandbox = Sandbox::bare();
    let ask = |target: &str| sandbox.run(&["advisories", "match", target, "--json"]);
    assert_eq!(ask("pkg:npm/good@1").code, 2, "there are no advisories yet");
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    assert_eq!(ask("pkg:npm/good@1").code, 0);
    assert_eq!(ask("pkg:npm/bad@2.0.0").code, 0);
    for (target, code) in [
        ("pkg:npm/bad@1.0.0", "vulnerable-package"),
        ("pkg:npm/bad@nonsense", "advisory-undetermined"),
        ("pkg:npm/bad", "advisory-undetermined"),
        ("pkg:pypi/good@1", "advisories-missing"),
        ("pkg:generic/good@1", "advisories-missing"),
    ] {
        let answer = ask(target);
        assert_eq!(answer.code, if code == "vulnerable-package" { 1 } else { 3 }, "{target}");
        assert_eq!(answer.codes(), [code], "{target}");
    }
    sandbox.write("old.json", record("GHSA-2", "2020-01-01T00:00:00Z", "bad", ""));
    sandbox.ok(&["advisories", "import", "--replace", "old.json"]);
    assert_eq!(ask("pkg:npm/good@1").codes(), ["advisory-index-stale"]);
    assert_eq!(sandbox.run(&["advisories", "match", "pkg:npm/good@1", "--max-age", "100000"]).code, 0);
    assert_eq!(sandbox.run(&["advisories", "status"]).code, 3);
}

#[test]
fn a_name_like_a_popular_one_is_found() {
    let sandbox = Sandbox::bare();
    std::fs::create_dir_all(sandbox.path("names")).unwrap();
    sandbox.write("names/npm.txt", "# popular\nlodash\n");
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    let ask = |name: &str| sandbox.run(&["advisories", "match", name, "--names", "names", "--json"]);
    assert_eq!(ask("pkg:npm/lodahs@1").codes(), ["name-like-popular"]);
    assert_eq!(ask("pkg:npm/lodash@1").code, 0);
}

#[test]
fn an_archive_with_other_bytes_than_the_lock_file_says_is_found() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("cache")).unwrap();
    sandbox.write("cache/thing-1.0.0.crate", "these bytes");
    let lock = |digest: &str| {
        format!(
            "version = 4\n\n[[package]]\nname = \"thing\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{digest}\"\n"
        )
    };
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    let found = |digest: &str| {
        sandbox.write("Cargo.lock", lock(digest));
        sandbox.ok(&["run", "--", "sh", "-c", "cat Cargo.lock cache/thing-1.0.0.crate > all"]);
        sandbox
            .run(&["advisories", "match", "latest", "--json"])
            .codes()
            .contains(&"package-bytes-differ".to_owned())
    };
    assert!(found(&"0".repeat(64)));
    // SHA-256 of `these bytes`.
    let shown = sandbox.ok(&["show", "latest", "--json"]).json();
    let files = shown["document"]["files"].as_array().unwrap().clone();
    let file = files.iter().find(|file| file["path"].as_str().unwrap().ends_with(".crate")).unwrap();
    let digest = file["read"][0].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    assert!(!found(&digest));
}

#[test]
fn a_killed_import_leaves_the_advisories_of_before() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/advisories/osv");
    if !shared.is_dir() {
        eprintln!("SKIPPED: no advisories beside the project (`shared/advisories`)");
        return;
    }
    let sandbox = Sandbox::bare();
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    let before = sandbox.ok(&["advisories", "import", "a.json", "--json"]).json()["snapshot"].clone();
    let shared = shared.to_string_lossy().into_owned();
    let mut killed = 0;
    for wait in [50, 300, 800, 1_500, 2_500] {
        let mut child = sandbox
            .command(&["advisories", "import", "--replace", &shared])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let status = sandbox.run(&["advisories", "status", "--json"]).json();
        if status["snapshot"]["id"] != before {
            break;
        }
        assert_eq!(status["problems"], serde_json::json!([]));
        killed += 1;
    }
    assert!(killed > 0);
    sandbox.ok(&["advisories", "import", "--replace", &shared]);
    let status = sandbox.run(&["advisories", "status", "--json"]).json();
    assert!(status["records"].as_u64().unwrap() > 15_000);
    assert_eq!(status["problems"], serde_json::json!([]));
}

#[test]
fn a_statement_suppresses_what_is_not_malicious_and_is_counted() {
    let sandbox = Sandbox::bare();
    let lines = [record("GHSA-1", &today(), "bad", ""), record("MAL-1", &today(), "worse", "")];
    sandbox.write("a.jsonl", lines.map(|line| line.replace('\n', " ")).join("\n"));
    let statement = |id: &str, package: &str| {
        format!(
            r#"{{"vulnerability": {{"name": "{id}"}}, "status": "not_affected", "justification": "component_not_present",
            "products": [{{"@id": "pkg:npm/{package}@1.0.0"}}]}}"#
        )
    };
    sandbox.write(
        "vex.json",
        format!(
            r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "author": "us", "timestamp": "{}", "statements": [{}, {}]}}"#,
            today(),
            statement("GHSA-1", "bad"),
            statement("MAL-1", "worse")
        ),
    );
    sandbox.ok(&["advisories", "import", "a.jsonl", "vex.json"]);
    let ask = |target: &str| sandbox.run(&["advisories", "match", target, "--json"]);
    let suppressed = ask("pkg:npm/bad@1.0.0");
    assert_eq!(suppressed.code, 0);
    assert_eq!(suppressed.json()["suppressed"][0]["reason"], "component_not_present");
    assert_eq!(ask("pkg:npm/bad@1.0.1").code, 1, "another version is another question");
    let malicious = ask("pkg:npm/worse@1.0.0");
    assert_eq!((malicious.code, malicious.codes()), (1, vec!["malicious-package".to_owned()]));
}

#[test]
fn a_killed_merge_leaves_the_advisories_of_before() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/advisories/osv");
    if !shared.is_dir() {
        eprintln!("SKIPPED: no advisories beside the project (`shared/advisories`)");
        return;
    }
    let sandbox = Sandbox::bare();
    sandbox.ok(&["advisories", "import", &shared.to_string_lossy()]);
    // Two small deltas: fewer and smaller than what merges by itself.
    for id in ["GHSA-1", "GHSA-2"] {
        sandbox.write("a.json", record(id, &today(), "bad", ""));
        sandbox.ok(&["advisories", "import", "a.json"]);
    }
    let status = || sandbox.run(&["advisories", "status", "--json"]).json();
    let before = status();
    assert_eq!(before["segments"], 3);
    let answer = || {
        let text =
            sandbox.run(&["advisories", "match", "pkg:npm/bad@1.0.0", "pkg:cargo/regex@1.5.4", "--json"]);
        let mut document = text.json();
        document.as_object_mut().unwrap().remove("snapshot");
        document.as_object_mut().unwrap().remove("findings");
        document
    };
    let expected = answer();
    let mut killed = 0;
    for wait in [10, 60, 150, 300, 500, 800, 1_200, 2_000] {
        let mut child = sandbox
            .command(&["advisories", "compact"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().ok();
        child.wait().unwrap();
        let now = status();
        assert_eq!(now["problems"], serde_json::json!([]));
        assert_eq!(answer(), expected);
        if now["snapshot"]["id"] != before["snapshot"]["id"] {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0);
    sandbox.ok(&["advisories", "compact"]);
    let after = status();
    assert_eq!((after["segments"].as_u64(), &after["problems"]), (Some(1), &serde_json::json!([])));
    assert_eq!(after["records"], before["records"]);
    assert_eq!(answer(), expected);
    // What was known before is still there to ask.
    let id = before["snapshot"]["id"].as_str().unwrap();
    let earlier =
        sandbox.run(&["advisories", "match", "pkg:npm/bad@1.0.0", "--snapshot", &id[..24], "--json"]);
    assert_eq!(earlier.json()["snapshot"]["id"], id);
}

/// Serves files below a folder, and notes what was asked for.
fn serve(folder: std::path::PathBuf) -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            noted.lock().unwrap().push(path.clone());
            let answer = match std::fs::read(folder.join(&path)) {
                _ if path == "elsewhere/modified_id.csv" => {
                    b"HTTP/1.1 302 Found\r\nLocation: http://198.51.100.1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
                }
                Ok(bytes) => {
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
                    [head.into_bytes(), bytes].concat()
                }
                Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
            };
            stream.write_all(&answer).ok();
        }
    });
    (address, asked)
}

#[test]
fn a_mirror_on_this_machine_gives_increments() {
    let sandbox = Sandbox::bare();
    for folder in ["mirror/npm", "mirror/elsewhere"] {
        std::fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    let one = record("M-1", "2026-01-01T00:00:00Z", "bad", "");
    sandbox.write("mirror/ecosystems.txt", "npm\n");
    sandbox.write("mirror/npm/all.zip", forge::zip_stored(&[("M-1.json", one.as_bytes())]).unwrap());
    let list = |lines: usize| -> String {
        (0..lines).map(|number| format!("2026-01-01T00:00:00Z,M-{}\n", number + 1)).collect()
    };
    sandbox.write("mirror/npm/modified_id.csv", list(100));
    let (address, asked) = serve(sandbox.path("mirror"));
    let update = |more: &[&str]| {
        asked.lock().unwrap().clear();
        sandbox.run(&[&["advisories", "update", "--from", &address, "--json"], more].concat())
    };
    let first = update(&[]);
    assert_eq!(
        (first.code, first.json()["read"]["osv"].as_u64()),
        (0, Some(1)),
        "{}{}",
        first.out,
        first.err
    );
    assert!(asked.lock().unwrap().contains(&"npm/all.zip".to_owned()));
    // An increment: only what was modified since, record by record.
    sandbox.write("mirror/npm/M-7.json", record("M-7", "2026-02-01T00:00:00Z", "worse", ""));
    sandbox.write(
        "mirror/npm/modified_id.csv",
        format!("2026-02-01T00:00:00Z,M-7\n2025-12-31T00:00:00Z,M-1\n{}", list(99)),
    );
    let second = update(&[]);
    assert_eq!(second.json()["changes"], 1, "{}{}", second.out, second.err);
    assert_eq!(*asked.lock().unwrap(), ["ecosystems.txt", "npm/modified_id.csv", "npm/M-7.json"]);
    let ask = |name: &str| sandbox.run(&["advisories", "match", name, "--max-age", "10000"]).code;
    assert_eq!((ask("pkg:npm/worse@1.0.0"), ask("pkg:npm/bad@1.0.0"), ask("pkg:npm/good@1.0.0")), (1, 1, 0));
    // A list that has lost a fifth is asked about; the advisories of before stay.
    sandbox.write("mirror/npm/modified_id.csv", list(80));
    let shrunk = update(&[]);
    assert_eq!(shrunk.code, 3, "{}{}", shrunk.out, shrunk.err);
    assert!(
        shrunk.err.contains("has shrunk from 101 to 80") && shrunk.err.contains("--allow-shrink"),
        "{}",
        shrunk.err
    );
    assert_eq!(ask("pkg:npm/worse@1.0.0"), 1);
    assert_eq!(update(&["--allow-shrink", "--replace"]).code, 0);
    assert_eq!(ask("pkg:npm/worse@1.0.0"), 0, "what forgets everything reads everything");
    // Nobody is led away from this machine.
    sandbox.write("mirror/ecosystems.txt", "elsewhere\n");
    assert_eq!(update(&[]).code, 3);
}

#[test]
fn names_that_were_imported_are_asked() {
    let sandbox = Sandbox::bare();
    std::fs::create_dir_all(sandbox.path("lists/names")).unwrap();
    sandbox.write("lists/names/npm.txt", "lodash\n");
    sandbox.write("lists/a.json", record("GHSA-1", &today(), "bad", ""));
    let read = sandbox.ok(&["advisories", "import", "lists", "--json"]).json();
    assert_eq!(read["read"], serde_json::json!({"names": 1, "osv": 1}));
    let ask = |name: &str| sandbox.run(&["advisories", "match", name, "--json"]);
    assert_eq!(ask("pkg:npm/lodahs@1").codes(), ["name-like-popular"]);
    assert_eq!(ask("pkg:npm/lodash@1").code, 0);
}

#[test]
fn hostile_bills_are_problems_with_a_place_and_the_rest_is_asked_about() {
    let sandbox = Sandbox::bare();
    sandbox.write("a.json", record("GHSA-1", &today(), "bad", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    let bad = r#"{"type": "library", "name": "bad", "version": "1.0.0", "purl": "pkg:npm/bad@1.0.0"}"#;
    let good = bad.replace("bad", "good");
    let bill =
        |components: &str| format!(r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", {components}}}"#);
    let deep = "[".repeat(200_000);
    for (name, content, code, kind) in [
        (
            "purl",
            bill(&format!(
                r#""components": [{good}, {{"type": "library", "name": "x", "purl": "pkg:npm/%zz"}}]"#
            )),
            3,
            "malformed-purl",
        ),
        (
            "rest",
            bill(&format!(r#""components": [{{"type": "library", "name": "x", "purl": "no purl"}}, {bad}]"#)),
            1,
            "malformed-purl",
        ),
        ("deep", bill(&format!(r#""components": [{good}, {deep}"#)), 3, "malformed-json"),
        (
            "cut",
            bill(&format!(r#""components": [{good}"#)).trim_end_matches('}').to_owned(),
            3,
            "malformed-json",
        ),
        ("element", bill(&format!(r#""components": [7, {good}]"#)), 3, "malformed-element"),
    ] {
        let file = format!("{name}.cdx.json");
        sandbox.write(&file, content);
        let answer = sandbox.run(&["advisories", "match", &file, "--json"]);
        let document = answer.json();
        assert_eq!(answer.code, code, "{name}: {}", answer.out);
        let problem = &document["problems"][0];
        assert_eq!(problem["kind"], kind, "{name}: {document:#}");
        assert!(problem["path"].as_str().unwrap().starts_with(&file), "{name}: {document:#}");
    }
    // The same key twice: both lists are asked about, so nothing hides behind the other.
    sandbox.write("twice.cdx.json", bill(&format!(r#""components": [{bad}], "components": [{good}]"#)));
    assert_eq!(sandbox.run(&["advisories", "match", "twice.cdx.json"]).code, 1);
    // An archive that unpacks to far more than it is.
    let mut bomb = Vec::new();
    for _ in 0..64 {
        bomb.extend(vec![0_u8; 1 << 20]);
    }
    sandbox.write("bomb", &bomb);
    let packed =
        std::process::Command::new("gzip").args(["-9", "-k", "bomb"]).current_dir(sandbox.path(".")).status();
    assert!(packed.unwrap().success());
    let answer = sandbox.run(&["advisories", "match", "bomb.gz", "--json"]);
    assert!(matches!(answer.code, 2 | 3), "nothing in it is a package: {}{}", answer.out, answer.err);
}
