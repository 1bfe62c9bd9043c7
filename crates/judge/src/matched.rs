//! Rules of the user that match: one finding for each rule and member, as bad as the rule says of itself.

use evidence::tree::{MatchedString, RuleMatch};
use evidence::{BytePath, Finding, Node, Severity, Tree};

use crate::anomalies::subject;
use crate::codes;

/// Names every rule that matches, anywhere in a tree, at the innermost member: an archive that stores its members as they are has
/// their bytes as well.
pub fn matched(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.root.walk(|path, node| {
        findings.extend(own(node).map(|rule| finding(path, node, rule, None)));
    });
    findings
}

fn is_same(one: &RuleMatch, other: &RuleMatch) -> bool {
    (&one.file, &one.rule) == (&other.file, &other.rule)
}

/// The rules that match a member, and none of its members.
fn own(node: &Node) -> impl Iterator<Item = &RuleMatch> {
    node.rules.iter().filter(|rule| !inside(node, rule))
}

fn inside(node: &Node, rule: &RuleMatch) -> bool {
    node.members
        .iter()
        .any(|member| member.rules.iter().any(|other| is_same(other, rule)) || inside(member, rule))
}

/// Names the rules that match a member now, and did not match `before`.
pub(crate) fn newly(path: &BytePath, before: Option<&Node>, now: &Node) -> Vec<Finding> {
    let known = |rule: &RuleMatch| {
        let old = before.map_or(&[][..], |node| &node.rules);
        old.iter().any(|other| is_same(other, rule))
    };
    let why = if before.is_some() { "it did not match before" } else { "the member is new" };
    own(now).filter(|rule| !known(rule)).map(|rule| finding(path, now, rule, Some(why))).collect()
}

fn finding(path: &BytePath, node: &Node, rule: &RuleMatch, why: Option<&str>) -> Finding {
    let mut head = format!("rule `{}` of {}", rule.rule, rule.file);
    if !rule.tags.is_empty() {
        head.push_str(&format!(", tagged {}", rule.tags.join(" ")));
    }
    let mut because = vec![head];
    because.extend(rule.meta.iter().map(|(name, value)| format!("{name}: {value}")));
    because.extend(rule.strings.iter().map(string));
    because.extend(why.map(str::to_owned));
    let severity = severity(rule).unwrap_or(codes::YARA_RULE_MATCHED.severity);
    codes::Code { severity, ..codes::YARA_RULE_MATCHED }.finding(subject(path, node), because)
}

fn string(string: &MatchedString) -> String {
    let offsets: Vec<String> = string.offsets.iter().map(u64::to_string).collect();
    let more = if string.count > string.offsets.len() as u64 { ", …" } else { "" };
    let cut = if string.text.len() as u64 >= string.length { "" } else { "…" };
    format!(
        "{} {} times at offset {}{more}: {} bytes `{}{cut}`",
        string.name,
        string.count,
        offsets.join(", "),
        string.length,
        string.text
    )
}

/// How bad a rule says it is, if it says so in one of our words.
fn severity(rule: &RuleMatch) -> Option<Severity> {
    let word = rule.meta.iter().find(|(name, _)| name.eq_ignore_ascii_case("severity"))?.1;
    match word.trim().to_ascii_lowercase().as_str() {
        "critical" => Some(Severity::Critical),
        "high" => Some(Severity::High),
        "medium" | "moderate" => Some(Severity::Medium),
        "low" => Some(Severity::Low),
        "info" | "informational" | "none" => Some(Severity::Info),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Digest;

    fn rule(name: &str, severity: Option<&str>) -> RuleMatch {
        RuleMatch {
            rule: name.into(),
            file: "a.yar".into(),
            tags: vec!["loader".into()],
            meta: severity.map(|word| ("severity".to_owned(), word.to_owned())).into_iter().collect(),
            strings: vec![MatchedString {
                name: "$a".into(),
                count: 6,
                offsets: vec![3, 9],
                length: 40,
                text: "MARK\\x00".into(),
            }],
        }
    }

    fn node(name: &str, rules: Vec<RuleMatch>) -> Node {
        let mut node = Node::leaf(name.into(), "data", Digest::of(format!("{name}{rules:?}").as_bytes()), 50);
        node.rules = rules;
        node
    }

    #[test]
    fn a_rule_is_as_bad_as_it_says_and_a_member_without_matches_is_silent() {
        let tree = |rules| Tree { root: node("a", rules), problems: vec![] };
        assert!(matched(&tree(vec![])).is_empty());
        for (says, expected) in [
            (None, Severity::Medium),
            (Some("what"), Severity::Medium),
            (Some("CRITICAL"), Severity::Critical),
            (Some("high"), Severity::High),
            (Some("low"), Severity::Low),
            (Some("informational"), Severity::Info),
        ] {
            let found = matched(&tree(vec![rule("x", says)]));
            assert_eq!((found.len(), found[0].severity), (1, expected));
            assert_eq!(found[0].code, "yara-rule-matched");
            assert_eq!(found[0].because[0], "rule `x` of a.yar, tagged loader");
            let string = "$a 6 times at offset 3, 9, …: 40 bytes `MARK\\x00…`";
            assert_eq!(found[0].because.last().unwrap(), string);
        }
    }

    #[test]
    fn what_matches_inside_is_told_there() {
        let mut outer = node("a.tar", vec![rule("one", None), rule("two", None)]);
        outer.members.push(node("b", vec![rule("one", None)]));
        let found = matched(&Tree { root: outer.clone(), problems: vec![] });
        let places: Vec<_> = found.iter().map(|one| one.subject.path.clone().unwrap().to_string()).collect();
        assert_eq!(places, ["a.tar", "a.tar!b"]);
        assert!(found[0].because[0].contains("`two`") && found[1].because[0].contains("`one`"));
        assert_eq!(newly(&"a.tar".into(), None, &outer).len(), 1);
    }

    #[test]
    fn what_matched_before_is_not_told_again() {
        let (one, two) = (rule("one", None), rule("two", None));
        let before = node("a", vec![one.clone()]);
        let now = node("a", vec![one, two.clone()]);
        let path = BytePath::from("z!a");
        assert!(newly(&path, Some(&now), &before).is_empty());
        let found = newly(&path, Some(&before), &now);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].because[0], "rule `two` of a.yar, tagged loader");
        assert_eq!(newly(&path, None, &now).len(), 2);
        let elsewhere = RuleMatch { file: "b.yar".into(), ..two };
        assert_eq!(newly(&path, Some(&now), &node("a", vec![elsewhere])).len(), 1);
    }
}
