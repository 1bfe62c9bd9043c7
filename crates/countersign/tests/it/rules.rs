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
