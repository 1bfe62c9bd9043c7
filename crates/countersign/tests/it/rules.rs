//! Rules in other languages at the gate: they can deny and permit nothing; a program without the language denies.

use crate::sandbox::{Answer, Sandbox};

const ARTIFACT: &str = "dist/demo.tar.gz";

/// Puts rules into the policy, with the digest that the file has.
fn rule(sandbox: &Sandbox, language: &str, text: &str) {
    let name = format!("rules.{language}");
    sandbox.write(&format!(".countersign/{name}"), text);
    let output = std::process::Command::new("sha256sum")
        .arg(sandbox.path(format!(".countersign/{name}")))
        .output()
        .unwrap();
    let digest = String::from_utf8_lossy(&output.stdout[..64]).into_owned();
    let policy = String::from_utf8(sandbox.read(".countersign/policy.toml")).unwrap();
    let policy = policy.split("# of the test").next().unwrap().replace("[rules]\n", "");
    sandbox.write(
        ".countersign/policy.toml",
        format!("{policy}# of the test\n[rules]\n{language} = {{ \"{name}\" = \"sha256:{digest}\" }}\n"),
    );
}

/// Records a build that a line of shell makes.
#[cfg(feature = "rego")]
fn record(line: &str) -> [&str; 9] {
    ["run", "--product", "demo", "--output", ARTIFACT, "--", "sh", "-c", line]
}

fn gate(sandbox: &Sandbox) -> Answer {
    sandbox.run(&["gate", ARTIFACT, "--json"])
}

fn denied(sandbox: &Sandbox, code: &str, words: &str) {
    let denied = gate(sandbox);
    assert_eq!(
        (denied.code, denied.json()["verdict"].as_str()),
        (1, Some("deny")),
        "{}{}",
        denied.out,
        denied.err
    );
    assert!(
        denied.codes().contains(&code.to_owned()) && denied.out.contains(words),
        "{words}: {}",
        denied.out
    );
    assert_eq!(sandbox.run(&["sign", ARTIFACT]).code, 1);
}

const REGO: &str = "package countersign\nimport rego.v1\n\
    deny contains \"only demo is released\" if input.record.product != \"demo\"\n\
    deny contains \"version 9 is not for customers\" if input.record.release == \"9.0.0\"\n";
const CEDAR: &str = "permit(principal is Key, action in [Action::\"builder\", Action::\"signer\"], resource == Product::\"demo\");\n";

#[test]
fn rules_that_cannot_be_asked_deny() {
    let sandbox = Sandbox::released();
    assert_eq!(gate(&sandbox).code, 0);
    for (language, text) in [("rego", REGO), ("cedar", CEDAR)] {
        rule(&sandbox, language, text);
        if !built_with(language) {
            denied(&sandbox, "rule-unanswered", &format!("built without the feature `{language}`"));
        }
        // Another file than the policy names, or none.
        sandbox.write(&format!(".countersign/rules.{language}"), format!("{text}\n"));
        denied(&sandbox, "rule-unanswered", "the policy names sha256:");
        std::fs::remove_file(sandbox.path(format!(".countersign/rules.{language}"))).unwrap();
        denied(&sandbox, "rule-unanswered", "cannot read");
    }
    let policy = String::from_utf8(sandbox.read(".countersign/policy.toml")).unwrap();
    sandbox.write(".countersign/policy.toml", policy.replace("rules.cedar", "../rules.cedar"));
    denied(&sandbox, "rule-unanswered", "no name of a file in the store");
}

/// Whether the program under test speaks a language.
fn built_with(language: &str) -> bool {
    match language {
        "rego" => cfg!(feature = "rego"),
        _ => cfg!(feature = "cedar"),
    }
}

#[cfg(feature = "rego")]
#[test]
fn content_rules_in_rego_deny_what_they_name() {
    let sandbox = Sandbox::released();
    rule(&sandbox, "rego", REGO);
    assert_eq!(gate(&sandbox).code, 0, "{}", gate(&sandbox).out);
    let signed = sandbox.ok(&["sign", ARTIFACT, "--json"]).json();
    assert_eq!(signed["verdict"], "signed");
    sandbox.ok(&["log", "check"]);
    sandbox.build("9.0.0");
    denied(&sandbox, "rule-denied", "version 9 is not for customers");
    // What was found otherwise is there to be judged, and what is denied otherwise stays denied.
    let about = "package countersign\nimport rego.v1\n\
        deny contains sprintf(\"%s in %s\", [f.code, input.artifact.name]) if some f in input.findings\n";
    rule(&sandbox, "rego", about);
    sandbox.ok(&record("make -s && echo x >> dist/demo.tar.gz"));
    denied(&sandbox, "rule-denied", "in demo.tar.gz");
    rule(&sandbox, "rego", "package countersign\nimport rego.v1\ndeny := set()\nallow := true\n");
    sandbox.run(&record("echo y > dist/demo.tar.gz; exit 3"));
    denied(&sandbox, "build-failed", "exit code 3");
}

#[cfg(feature = "cedar")]
#[test]
fn who_may_do_what_in_cedar_denies_all_others() {
    let sandbox = Sandbox::released();
    rule(&sandbox, "cedar", CEDAR);
    assert_eq!(gate(&sandbox).code, 0, "{}", gate(&sandbox).out);
    sandbox.ok(&["sign", ARTIFACT]);
    rule(&sandbox, "cedar", &CEDAR.replace(", Action::\"signer\"", ""));
    denied(&sandbox, "role-denied", "may not be signer");
    rule(&sandbox, "cedar", &CEDAR.replace("Product::\"demo\"", "Product::\"other\""));
    denied(&sandbox, "role-denied", "may not be builder");
    rule(
        &sandbox,
        "cedar",
        "permit(principal, action, resource);\nforbid(principal, action, resource) when { context.nothing };\n",
    );
    denied(&sandbox, "rule-unanswered", "nothing");
    // Whom Cedar permits and the policy's own roles do not is denied.
    rule(&sandbox, "cedar", "permit(principal, action, resource);\n");
    let policy = String::from_utf8(sandbox.read(".countersign/policy.toml")).unwrap();
    sandbox.write(
        ".countersign/policy.toml",
        policy.replace("[roles]\n", "[roles]\nbuilder = [\"000000000000\"]\n"),
    );
    denied(&sandbox, "role-denied", "builder");
}

/// A rule in YARA that matches a note, as bad as it says.
fn withdrawn(severity: &str) -> String {
    format!(
        "rule Withdrawn {{ meta: severity = \"{severity}\" strings: $a = \"WITHDRAWN-MARK\" condition: $a }}\n"
    )
}

#[test]
fn what_a_rule_in_yara_matches_is_denied_until_somebody_answers_for_it() {
    let sandbox = Sandbox::released();
    rule(&sandbox, "yara", &withdrawn("high"));
    // It matches nothing: the release goes out, and the rules are evidence from then on.
    let clean = gate(&sandbox);
    assert_eq!(clean.code, 0, "{}", clean.out);
    assert!(!clean.codes().contains(&"yara-rule-matched".to_owned()));
    sandbox.ok(&["sign", ARTIFACT]);
    sandbox.ok(&["log", "check"]);
    let policy = String::from_utf8(sandbox.read(".countersign/policy.toml")).unwrap();
    let digest = policy.rsplit_once("sha256:").unwrap().1.split('"').next().unwrap();
    let kept = sandbox.read(&format!(".countersign/objects/{}/{}", &digest[..2], &digest[2..]));
    assert_eq!(kept, withdrawn("high").into_bytes());
    // One that says of itself that it is of no weight is told, and denies nothing.
    sandbox.write("notes.txt", "a note\nWITHDRAWN-MARK\n");
    sandbox.build("1.0.1");
    rule(&sandbox, "yara", &withdrawn("low"));
    let told = gate(&sandbox);
    assert!(told.codes().contains(&"yara-rule-matched".to_owned()), "{}", told.out);
    assert_eq!(told.code, 0, "{}", told.out);
    rule(&sandbox, "yara", &withdrawn("high"));
    denied(&sandbox, "yara-rule-matched", "rule `Withdrawn` of rules.yara");
    let answer = gate(&sandbox).json();
    let matched = answer["findings"].as_array().unwrap().iter();
    let matched: Vec<_> = matched.filter(|finding| finding["weight"] == "denies").collect();
    // In the member, and not again in the archive that holds it as it is.
    let paths: Vec<_> = matched.iter().map(|finding| finding["subject"]["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["demo.tar.gz!demo.tar!notes.txt"]);
    for finding in &matched {
        assert_eq!((&finding["code"], &finding["severity"]), (&"yara-rule-matched".into(), &"high".into()));
        assert_eq!(sandbox.run(&["sign", ARTIFACT]).code, 1);
        let id = finding["id"].as_str().unwrap();
        sandbox.ok(&["approve", id, "--reason", "it is about another product", "--expires", "30d"]);
    }
    sandbox.ok(&["sign", ARTIFACT]);
    // The same mark at another place of the next release is another finding.
    sandbox.write("notes.txt", "another note\nWITHDRAWN-MARK\n");
    sandbox.build("1.0.2");
    denied(&sandbox, "yara-rule-matched", "Withdrawn");
}

#[test]
fn rules_in_yara_that_leave_something_open_deny() {
    let sandbox = Sandbox::new();
    sandbox.write("notes.txt", "e".repeat(4000));
    sandbox.build("1.0.0");
    rule(&sandbox, "yara", "rule Few { strings: $e = \"e\" condition: #e > 3999 and #e < 4001 }\n");
    denied(&sandbox, "unread-input", "rules-undecided");
    rule(&sandbox, "yara", "rule Broken { condition: nothing_that_is_known }\n");
    denied(&sandbox, "rule-unanswered", "rules.yara:1:");
    rule(&sandbox, "yara", "include \"../part.yar\"\n");
    denied(&sandbox, "rule-unanswered", "it is none of the files that were given");
    rule(&sandbox, "yara", "rule Never { condition: false }\n");
    assert_eq!(gate(&sandbox).code, 0, "{}", gate(&sandbox).out);
    sandbox.write(".countersign/rules.yara", "rule Never { condition: true }\n");
    denied(&sandbox, "rule-unanswered", "the policy names sha256:");
}
