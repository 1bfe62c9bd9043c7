//! Which builds, products and machines an advisory touches: by records and signatures, by bills, by looks at machines.

use std::fs;

use serde_json::{Value, json};

use crate::advisories::{record, today};
use crate::sandbox::{Answer, Sandbox};

fn bill(release: &str, components: &[&str]) -> String {
    let components: Vec<String> = components
        .iter()
        .map(|purl| format!(r#"{{"type": "library", "name": "x", "version": "1", "purl": "{purl}"}}"#))
        .collect();
    format!(
        r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {{"timestamp": "2026-03-0{release}T00:00:00Z",
        "component": {{"type": "application", "name": "app", "version": "{release}"}}}}, "components": [{}]}}"#,
        components.join(",")
    )
}

fn rows(answer: &Answer) -> Vec<(String, String, String)> {
    let document = answer.json();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = document["rows"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "kind"), text(row, "name"), text(row, "role"))).collect()
}

fn row(kind: &str, name: &str, role: &str) -> (String, String, String) {
    (kind.to_owned(), name.to_owned(), role.to_owned())
}

#[test]
fn an_advisory_names_products_builds_and_machines() {
    let sandbox = Sandbox::new();
    sandbox.write(".countersign/policy.toml", "[machines]\n\"dev-*\" = \"developer\"\n");
    let affected = || sandbox.run(&["advisories", "affected", "GHSA-1", "--json"]);
    sandbox.write("a.json", record("GHSA-0", &today(), "nobody-has-it", ""));
    sandbox.ok(&["advisories", "import", "a.json"]);

    // Products by their bills.
    sandbox.write("1.json", bill("1", &["pkg:npm/bad@1.0.0", "pkg:npm/good@1.0.0"]));
    sandbox.write("2.json", bill("2", &["pkg:npm/bad@1.5.0"]));
    sandbox.write("3.json", bill("3", &["pkg:npm/bad@2.0.0"]));
    for file in ["1.json", "2.json", "3.json"] {
        sandbox.ok(&["advisories", "follow", file]);
    }
    assert_eq!(sandbox.ok(&["advisories", "follow", "1.json", "--json"]).json()["known"], true);
    assert_eq!(
        sandbox.ok(&["advisories", "follow", "--json"]).json()["followed"].as_array().unwrap().len(),
        3
    );

    // Machines by looks at them.
    let installed = |root: &str, version: &str| {
        let folder = sandbox.path(format!("{root}/usr/lib/node_modules/bad"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), format!(r#"{{"name": "bad", "version": "{version}"}}"#))
            .unwrap();
    };
    // Of a folder only a part can be seen: exit 3.
    let look = |root: &str, host: &str| {
        let answer = sandbox.run(&["inventory", "collect", "--root", root, "--host", host]);
        assert_eq!(answer.code, 3, "{}", answer.err);
    };
    installed("laptop", "1.2.0");
    installed("builder", "1.0.0");
    look("laptop", "dev-anna");
    look("builder", "build-1");

    // A build that links it, and a signature over what it made.
    fs::create_dir_all(sandbox.path("node_modules/bad")).unwrap();
    sandbox.write("node_modules/bad/package.json", r#"{"name": "bad", "version": "1.0.0"}"#);
    sandbox.write("node_modules/bad/part.h", "#define ANSWER 42\n");
    sandbox.write("part.h", "#include \"node_modules/bad/part.h\"\n");
    sandbox.build("7");

    // Only now the world learns of it.
    sandbox.write("b.json", record("GHSA-1", &today(), "bad", ""));
    let news = sandbox.run(&["advisories", "import", "b.json", "--json"]);
    assert_eq!(news.code, 1);
    let notice = news.json()["notices"][0].clone();
    assert_eq!((&notice["kind"], &notice["advisory"]), (&json!("newly-affected"), &json!("GHSA-1")));
    assert_eq!(
        notice["assets"],
        json!(["machine build-1", "machine dev-anna", "product app 1", "product app 2", "r1"]),
        "{notice:#}"
    );
    let found = affected();
    let expected = [
        row("product", "app 1", "shipped"),
        row("product", "app 2", "shipped"),
        row("build", "r1", "linked in a build"),
        row("build", "r1", "present in a build"),
        row("machine", "build-1", "installed on a build machine"),
        row("machine", "dev-anna", "installed on a developer machine"),
    ];
    assert_eq!((found.code, rows(&found)), (1, expected.to_vec()));
    assert_eq!(found.json()["shipped_between"], json!(["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"]));

    // Signed, it has shipped, and there is a date.
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    let found = affected();
    assert!(rows(&found).contains(&row("build", "r1", "shipped")), "{}", found.out);
    let signed = found.json()["shipped_between"][1].as_str().unwrap().to_owned();
    assert!(signed.as_str() > "2026-03-02", "{signed}");
    let text = sandbox.run(&["advisories", "affected", "GHSA-1"]).out;
    assert!(text.lines().last().unwrap().contains("shipped between 2026-03-01T00:00:00Z and"), "{text}");

    // A machine that has it no longer had it once; a partial look does not prove that it is gone.
    fs::remove_dir_all(sandbox.path("laptop/usr/lib/node_modules/bad")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    look("laptop", "dev-anna");
    let gone = |answer: &Answer, name: &str| {
        let document = answer.json();
        let rows = document["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["name"] == name).unwrap()["gone"].clone()
    };
    let found = affected();
    assert_eq!((gone(&found, "dev-anna"), gone(&found, "build-1")), (Value::Null, json!(false)));

    // Another policy says otherwise what the machine is for.
    sandbox.write(".countersign/policy.toml", "[machines]\n\"build-*\" = \"sign\"\n");
    assert!(rows(&affected()).contains(&row("machine", "build-1", "installed on a signing machine")));

    // A statement before the first notice: nobody is told.
    sandbox.write("c.json", record("GHSA-2", &today(), "bad", ""));
    sandbox.write(
        "vex.json",
        format!(
            r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "author": "us", "timestamp": "{}", "statements": [{{"vulnerability": {{"name": "GHSA-2"}},
            "status": "not_affected", "justification": "component_not_present", "products": [{{"@id": "pkg:npm/bad"}}]}}]}}"#,
            today()
        ),
    );
    let quiet = sandbox.run(&["advisories", "import", "c.json", "vex.json", "--json"]);
    assert_eq!((quiet.code, &quiet.json()["notices"]), (0, &json!([])));
    assert_eq!(sandbox.run(&["advisories", "affected", "GHSA-2"]).code, 0);
}

#[test]
fn what_is_told_changes_with_severity_and_exploitation() {
    let sandbox = Sandbox::new();
    sandbox.write("1.json", bill("1", &["pkg:npm/bad@1.0.0"]));
    sandbox.ok(&["advisories", "follow", "1.json"]);
    let import = |content: String| {
        sandbox.write("x.json", content);
        let answer = sandbox.run(&["advisories", "import", "x.json", "--json"]).json();
        let notices = answer["notices"].as_array().unwrap().clone();
        notices.into_iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let scored = |vector: &str| {
        format!(
            r#", "aliases": ["CVE-2026-1"], "severity": [{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:{vector}"}}]"#
        )
    };
    assert_eq!(import(record("GHSA-1", &today(), "bad", &scored("N"))), ["newly-affected"]);
    assert_eq!(import(record("GHSA-1", &today(), "bad", &scored("H"))), ["severity-changed"]);
    let kev =
        r#"{"catalogVersion": "1", "vulnerabilities": [{"cveID": "CVE-2026-1", "dateAdded": "2026-01-01"}]}"#;
    assert_eq!(import(kev.to_owned()), ["exploitation-changed"]);
    assert_eq!(import(record("GHSA-1", &today(), "another", &scored("H"))), ["retracted"]);
    // What came since the last import is told of what was known before.
    assert_eq!(import(record("GHSA-2", &today(), "later", "")), Vec::<String>::new());
    sandbox.write("2.json", bill("2", &["pkg:npm/later@1.0.0"]));
    sandbox.ok(&["advisories", "follow", "2.json"]);
    assert_eq!(import(record("GHSA-3", &today(), "nobody-has-it", "")), ["newly-affected"]);
}
