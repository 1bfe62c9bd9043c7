//! `watch`: rules over stored traces, and what happens on a build machine.

use std::fs;

use crate::sandbox::Sandbox;

const RULE: &str = "id: X-001
code: x-found
title: 'the compiler ran'
severity: high
attack: []
cases: []
hint: 'see why'
detection:
  exec:
    kind: exec
    name: [cc, cc1, 'gcc*', '*-gcc*']
  condition: exec
tests:
  match:
    - [run: make > cc a.c]
  silent:
    - [run: make > x]
";

const SIGMA: &str = "title: Compiler
id: 11111111-2222-3333-4444-555555555555
level: low
logsource: {category: process_creation, product: linux}
detection:
  selection: {Image|endswith: /make}
  condition: selection
";

const SIGMA_OF_USERS: &str = "title: Root
id: 11111111-2222-3333-4444-666666666666
level: low
logsource: {category: process_creation, product: linux}
detection:
  selection: {User: root}
  condition: selection
";

#[test]
fn rules_of_today_are_asked_of_a_stored_trace() {
    let sandbox = Sandbox::new();
    sandbox.build("1.0.0");
    let quiet = sandbox.run(&["watch", "--replay", "latest", "--json"]);
    assert_eq!(quiet.code, 0, "{}", quiet.out);
    let document = quiet.json();
    assert_eq!(
        (&document["schema"], &document["verdict"]),
        (&"urn:countersign:watch:v1".into(), &"quiet".into())
    );
    assert!(document["events"].as_u64().unwrap() > 50);
    let left_out = document["not_evaluated"].as_array().unwrap();
    assert!(left_out.iter().any(|one| one["reason"].as_str().unwrap().contains("version control")));

    for folder in ["rules", "sigma/linux", ".countersign/rules"] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    sandbox.write("rules/x.yaml", RULE);
    sandbox.write("sigma/linux/a.yml", SIGMA);
    sandbox.write("sigma/linux/b.yml", SIGMA_OF_USERS);
    let ask = ["watch", "--replay", "r1", "--rules", "rules", "--sigma", "sigma", "--json"];
    let found = sandbox.run(&ask);
    assert_eq!((found.code, found.codes()), (1, vec!["sigma-rule-matched".to_owned(), "x-found".to_owned()]));
    assert_eq!(found.json()["unsupported"][0]["title"], "Root");
    assert_eq!(found.out, sandbox.run(&ask).out, "the same question has the same answer");
    let text = sandbox.run(&["watch", "--replay", "r1", "--rules", "rules", "--sigma", "sigma"]);
    assert!(text.out.contains("[not supported]") && text.out.contains("detected: r1"), "{}", text.out);

    // The store's own folder counts without being asked for; a broken rule is never left out.
    sandbox.write(".countersign/rules/x.yaml", RULE);
    assert_eq!(sandbox.run(&["watch", "--replay", "r1"]).code, 1);
    sandbox.write(".countersign/rules/x.yaml", "id: X-001\nunknown: 1\n");
    assert_eq!(sandbox.run(&["watch", "--replay", "r1"]).code, 2);
    fs::remove_file(sandbox.path(".countersign/rules/x.yaml")).unwrap();
    assert_eq!(sandbox.run(&["watch", "--replay", "r1", "--rules", "nowhere"]).code, 2);
    assert_eq!(sandbox.run(&["watch", "--replay", "r9"]).code, 2);
}
