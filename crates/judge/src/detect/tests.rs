//! The built-in rules against their examples, the folder and ordinary builds; the engine against limits.

use std::collections::BTreeSet;

use evidence::{BytePath, Event, EventKind, Severity};

use super::*;

#[test]
fn every_example_of_every_rule_holds() {
    let failures = Rules::builtin().try_examples();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_list_is_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules");
    let found: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    let listed: BTreeSet<String> = builtin::FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
    for (rule, (name, _)) in Rules::builtin().iter().zip(builtin::FILES) {
        assert!(name.starts_with(&rule.id.to_lowercase()), "{name}");
    }
    assert!(listed.len() >= 45);
}
