//! Whether packages are what their lock files say, and whether they come from where they should.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::advisories::{record, today};
use crate::sandbox::Sandbox;

fn hash(program: &str, bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let out = Command::new(program).arg(file.path()).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

fn base64(hex: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * place)) as usize & 63]);
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

fn advised() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("a.json", record("GHSA-1", &today(), "nobody-has-it", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);
    sandbox
}

/// The findings of one code of the newest record.
fn found(sandbox: &Sandbox, code: &str) -> Vec<Value> {
    let document = sandbox.run(&["advisories", "match", "latest", "--json"]).json();
    let findings = document["findings"].as_array().unwrap().clone();
    findings.into_iter().filter(|finding| finding["code"] == code).collect()
}

fn run(sandbox: &Sandbox, script: &str) {
    sandbox.ok(&["run", "--output", "all", "--", "sh", "-c", script]);
}

#[test]
fn what_npm_s_lock_file_says_is_compared_with_what_was_read() {
    let sandbox = advised();
    fs::create_dir_all(sandbox.path("src/package")).unwrap();
    sandbox.write("src/package/index.js", "module.exports = 1\n");
    sandbox.write("src/package/package.json", r#"{"name": "part", "version": "1.0.0"}"#);
    let packed = Command::new("tar")
        .args(["-czf", "part-1.0.0.tgz", "-C", "src", "package"])
        .current_dir(sandbox.path("."))
        .status();
    assert!(packed.unwrap().success());
    let good = base64(&hash("sha512sum", &sandbox.read("part-1.0.0.tgz")));
    let lock = |integrity: &str| {
        sandbox.write(
            "package-lock.json",
            format!(
                r#"{{"lockfileVersion": 3, "packages": {{"": {{}}, "node_modules/part": {{"version": "1.0.0",
                "resolved": "https://registry.example/part-1.0.0.tgz", "integrity": "sha512-{integrity}"}}}}}}"#
            ),
        );
    };
    let read = "cat package-lock.json part-1.0.0.tgz > all";
    lock(&good);
    run(&sandbox, read);
    assert_eq!(found(&sandbox, "package-bytes-differ"), Vec::<Value>::new());
    lock(&base64(&"0".repeat(128)));
    run(&sandbox, read);
    let differs = found(&sandbox, "package-bytes-differ");
    assert_eq!(differs.len(), 1, "{differs:#?}");
    let because = differs[0]["because"].to_string();
    assert!(because.contains("SHA-512 000") && because.contains("part-1.0.0.tgz"), "{because}");
    assert_eq!(sandbox.run(&["advisories", "match", "latest"]).code, 1);
    // It stands in the way of a release.
    assert!(sandbox.run(&["gate", "all", "--json"]).codes().contains(&"package-bytes-differ".to_owned()));

    // The archive is what the lock file says; the file in the package is not what is in the archive.
    lock(&good);
    fs::create_dir_all(sandbox.path("node_modules/part")).unwrap();
    sandbox.write("node_modules/part/package.json", r#"{"name": "part", "version": "1.0.0"}"#);
    sandbox.write("node_modules/part/index.js", "module.exports = 1\n");
    let used = "cat package-lock.json part-1.0.0.tgz node_modules/part/index.js > all";
    run(&sandbox, used);
    assert_eq!(found(&sandbox, "package-bytes-differ"), Vec::<Value>::new());
    sandbox.write("node_modules/part/index.js", "module.exports = 2\n");
    run(&sandbox, used);
    let differs = found(&sandbox, "package-bytes-differ");
    assert_eq!(differs.len(), 1, "{differs:#?}");
    assert!(differs[0]["because"].to_string().contains("node_modules/part/index.js"), "{differs:#?}");

    // Without an archive nobody can tell, and that is said.
    run(&sandbox, "cat package-lock.json node_modules/part/index.js > all");
    let unchecked = found(&sandbox, "package-bytes-unchecked");
    assert!(unchecked[0]["because"].to_string().contains("no archive of it was read"), "{unchecked:#?}");
    // Nor if the archive has changed since.
    run(&sandbox, used);
    sandbox.write("part-1.0.0.tgz", "other");
    let unchecked = found(&sandbox, "package-bytes-unchecked");
    assert!(unchecked[0]["because"].to_string().contains("no longer has the bytes"), "{unchecked:#?}");
}

#[test]
fn what_go_sum_says_is_compared_with_the_module_cache() {
    let sandbox = advised();
    let (root, cache) =
        ("gopath/pkg/mod/example.test/m@v1.0.0", "gopath/pkg/mod/cache/download/example.test/m/@v");
    fs::create_dir_all(sandbox.path(root)).unwrap();
    fs::create_dir_all(sandbox.path(cache)).unwrap();
    let members: [(&str, &[u8]); 2] = [
        ("example.test/m@v1.0.0/a.go", b"package m\n"),
        ("example.test/m@v1.0.0/go.mod", b"module example.test/m\n"),
    ];
    sandbox.write(&format!("{cache}/v1.0.0.zip"), forge::zip_stored(&members).unwrap());
    sandbox.write(&format!("{root}/a.go"), "package m\n");
    let list: String =
        members.iter().map(|(name, bytes)| format!("{}  {name}\n", hash("sha256sum", bytes))).collect();
    let h1 = base64(&hash("sha256sum", list.as_bytes()));
    let sum = |h1: &str| {
        sandbox
            .write("go.sum", format!("example.test/m v1.0.0 h1:{h1}\nexample.test/m v1.0.0/go.mod h1:x=\n"))
    };
    let built = format!("cat go.sum {root}/a.go > all");
    sum(&h1);
    run(&sandbox, &built);
    assert_eq!(found(&sandbox, "package-bytes-differ"), Vec::<Value>::new());
    assert_eq!(found(&sandbox, "package-bytes-unchecked"), Vec::<Value>::new());
    sandbox.write(&format!("{root}/a.go"), "package evil\n");
    run(&sandbox, &built);
    assert_eq!(found(&sandbox, "package-bytes-differ").len(), 1);
    // The archive itself, as the build read it.
    sum(&base64(&"0".repeat(64)));
    run(&sandbox, &format!("cat go.sum {cache}/v1.0.0.zip > all"));
    let differs = found(&sandbox, "package-bytes-differ");
    assert!(differs[0]["because"].to_string().contains("h1 0000"), "{differs:#?}");
}

#[test]
fn an_internal_name_from_elsewhere_and_a_lock_file_of_another_manifest_are_found() {
    let sandbox = advised();
    sandbox.write(
        ".countersign/policy.toml",
        "[dependencies]\ninternal = [\"npm:@corp/*\"]\nregistries = [\"https://npm.corp.example\"]\n",
    );
    fs::create_dir_all(sandbox.path("project")).unwrap();
    let lock = |registry: &str, wanted: &str| {
        sandbox.write(
            "project/package-lock.json",
            format!(
                r#"{{"lockfileVersion": 3, "packages": {{"": {{"dependencies": {{"@corp/ui": "{wanted}"}}}}, "node_modules/@corp/ui":
                {{"version": "1.0.0", "resolved": "{registry}/@corp/ui/-/ui-1.0.0.tgz"}}}}}}"#
            ),
        );
    };
    sandbox.write("project/package.json", r#"{"name": "app", "dependencies": {"@corp/ui": "^1.0.0"}}"#);
    let ask = || sandbox.run(&["advisories", "match", "project", "--json"]);
    lock("https://npm.corp.example", "^1.0.0");
    let clean = ask();
    assert_eq!((clean.code, clean.codes()), (0, Vec::new()), "{}", clean.out);
    lock("https://registry.npmjs.example", "^1.0.0");
    let confused = ask();
    assert_eq!((confused.code, confused.codes()), (1, vec!["dependency-confusion".to_owned()]));
    lock("https://npm.corp.example", "^0.9.0");
    let other = ask();
    assert_eq!((other.code, other.codes()), (3, vec!["lock-file-disagrees".to_owned()]));
    // And in a recorded build, at the gate.
    lock("https://registry.npmjs.example", "^0.9.0");
    run(&sandbox, "cat project/package.json project/package-lock.json > all");
    let codes = sandbox.run(&["gate", "all", "--json"]).codes();
    for code in ["dependency-confusion", "lock-file-disagrees"] {
        assert!(codes.contains(&code.to_owned()), "{codes:?}");
    }
}
