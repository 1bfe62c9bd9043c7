//! The capability table: what code can do, by its imports and strings. Data with a test for each rule.
//!
//! A capability says nothing by itself: browsers start processes and compilers load libraries. `judge` asks which are
//! new, and what else changed in the same file.

mod rules;
mod safeguards;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use evidence::imports;
use evidence::tree::Executable;

use rules::{In, RULES, Rule};
pub(super) use safeguards::SAFEGUARDS;

/// The rules of the table, and behind them those that are no capabilities.
fn all() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().chain(safeguards::RULES)
}

/// Which literals were found: by number, over all rules and groups.
#[derive(Default)]
pub(super) struct Found(BTreeSet<usize>);

impl Found {
    pub(super) fn add(&mut self, groups: &[usize]) {
        self.0.extend(groups);
    }
}

/// A group's number: rules have at most this many.
const GROUPS_MAX: usize = 8;

/// Returns the literals to look for in texts or in other bytes, with the groups that each fulfils.
pub(super) fn needles(text: bool) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let mut needles: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, rule) in all().enumerate() {
        let wanted = match rule.place {
            In::Imports => false,
            In::Text => text,
            In::Wide => true,
        };
        for (number, group) in rule.groups.iter().enumerate().filter(|_| wanted) {
            for literal in *group {
                let number = index * GROUPS_MAX + number;
                needles.entry(literal.as_bytes().to_vec()).or_default().push(number);
                if rule.place == In::Wide && !text {
                    let wide = literal.encode_utf16().flat_map(u16::to_le_bytes).collect();
                    needles.entry(wide).or_default().push(number);
                }
            }
        }
    }
    needles
}

/// The words of texts that each suffice for a capability of a family.
pub(super) fn words(family: &str) -> impl Iterator<Item = &'static str> {
    let rules = all().filter(move |rule| rule.place != In::Imports && rule.name.starts_with(family));
    rules.filter(|rule| rule.groups.len() == 1).flat_map(|rule| rule.groups[0].iter().copied())
}

/// Looks the imports of images up.
pub(super) fn of_imports(images: &[Executable]) -> Found {
    static NAMES: LazyLock<BTreeMap<&str, usize>> = LazyLock::new(|| {
        let rules = all().enumerate().filter(|(_, rule)| rule.place == In::Imports);
        rules
            .flat_map(|(index, rule)| {
                let grave = imports::GRAVE.iter().filter(|(of, _)| *of == rule.name);
                let names = rule.groups[0].iter().chain(grave.flat_map(|(_, names)| names.iter()));
                names.map(move |name| (*name, index * GROUPS_MAX))
            })
            .collect()
    });
    let mut found = Found::default();
    for import in images.iter().flat_map(|image| &image.imports) {
        for candidate in imports::plain(import) {
            if let Some(group) = NAMES.get(candidate) {
                found.add(&[*group]);
            }
        }
    }
    found
}

/// Names the rules of which every group was found.
pub(super) fn fulfilled(found: &Found) -> BTreeSet<String> {
    let rules = all().enumerate().filter(|(index, rule)| {
        (0..rule.groups.len()).all(|number| found.0.contains(&(index * GROUPS_MAX + number)))
    });
    rules.map(|(_, rule)| rule.name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    fn of_bytes(bytes: &[u8], text: bool) -> BTreeSet<String> {
        let mut found = Found::default();
        scan::literals(bytes, 0, 0, text, &mut Vec::new(), &mut found);
        fulfilled(&found)
    }

    #[test]
    fn each_literal_of_each_rule_is_found_and_no_group_suffices_alone() {
        for rule in all() {
            assert!(rule.groups.len() <= GROUPS_MAX);
            for literal in rule.groups.iter().flat_map(|group| *group) {
                // One literal of every group, this one among them, each on a line of its own.
                let all: Vec<&str> = rule
                    .groups
                    .iter()
                    .map(|group| if group.contains(literal) { *literal } else { group[0] })
                    .collect();
                let text = all.join("\n.\n");
                let found = match rule.place {
                    In::Imports => fulfilled(&of_imports(&[Executable {
                        imports: [format!("K.dll!{literal}W")].into(),
                        ..Executable::default()
                    }])),
                    In::Text => of_bytes(text.as_bytes(), true),
                    In::Wide => of_bytes(text.as_bytes(), false),
                };
                assert!(found.contains(rule.name), "{}: {literal:?} gives {found:?}", rule.name);
                if rule.place == In::Wide {
                    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                    assert!(of_bytes(&wide, false).contains(rule.name), "{}: wide {literal:?}", rule.name);
                }
                if rule.groups.len() > 1 {
                    assert!(!of_bytes(literal.as_bytes(), true).contains(rule.name), "{}", rule.name);
                }
            }
        }
    }

    #[test]
    fn innocent_names_have_no_capability() {
        let imports = ["KERNEL32.dll!HeapAlloc", "_malloc", "free@GLIBC_2.2.5", "disconnect", "systematic"];
        let image =
            Executable { imports: imports.map(str::to_owned).into_iter().collect(), ..Executable::default() };
        assert_eq!(fulfilled(&of_imports(&[image])), BTreeSet::new());
        assert_eq!(of_bytes(b"let medieval = evaluate(1); // executive", true), BTreeSet::new());
    }
}
