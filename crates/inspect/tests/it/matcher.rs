//! Rules of somebody's own are put to every member: held or read where it lies.

use std::io::Write;
use std::sync::{Arc, Mutex};

use evidence::BytePath;
use evidence::tree::RuleMatch;
use forge::{noise, zip_stored};
use inspect::{Budget, Entry, Matcher, Opened, Wishes, open_with};

/// Says that everything with a mark matches, and notes what it was asked for.
#[derive(Debug, Default)]
struct Marks(Mutex<Vec<(String, usize)>>);

impl Matcher for Marks {
    fn look(&self, place: &BytePath, name: &BytePath, bytes: &[u8]) -> (Vec<RuleMatch>, Option<String>) {
        self.0.lock().unwrap().push((place.to_string(), bytes.len()));
        let found = bytes.windows(6).any(|window| window == b"MARK-1");
        let rule = RuleMatch {
            rule: name.to_string(),
            file: "a.yar".into(),
            tags: vec![],
            meta: [].into(),
            strings: vec![],
        };
        let open = bytes.starts_with(b"slow").then(|| "the time was over".to_owned());
        (found.then_some(rule).into_iter().collect(), open)
    }
}

fn look(bytes: &[u8], budget: &mut Budget) -> (evidence::Tree, Vec<(String, usize)>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let marks = Arc::new(Marks::default());
    let wishes = Wishes { matcher: Some(Arc::clone(&marks) as Arc<dyn Matcher>), ..Wishes::default() };
    let what = Opened::<std::iter::Empty<(BytePath, std::io::Result<Entry>)>>::File(file);
    let tree = open_with(&"a".into(), what, &wishes, budget).unwrap();
    let mut asked = std::mem::take(&mut *marks.0.lock().unwrap());
    asked.sort();
    (tree, asked)
}

fn matches(tree: &evidence::Tree) -> Vec<String> {
    let mut found = Vec::new();
    tree.root.walk(|path, node| {
        if !node.rules.is_empty() {
            found.push(path.to_string());
        }
    });
    found
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn each_member_is_looked_at_once_at_its_place() {
    let inner = zip_stored(&[("deep", b"has MARK-1")]).unwrap();
    let outer = zip_stored(&[("in.zip", inner.as_slice()), ("slow", b"slow"), ("x", b"x")]).unwrap();
    let (tree, asked) = look(&outer, &mut Budget::default());
    let places: Vec<&str> = asked.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["a", "a!in.zip", "a!in.zip!deep", "a!slow", "a!x"]);
    assert_eq!(matches(&tree), ["a", "a!in.zip", "a!in.zip!deep"]);
    assert_eq!(tree.problems.len(), 1);
    let problem = &tree.problems[0];
    assert_eq!(
        (problem.path.to_string().as_str(), problem.kind.as_str(), problem.detail.as_str()),
        ("a!slow", "rules-undecided", "the time was over")
    );
}

/// What is read where it lies is held for the rules, whole.
#[test]
fn large_containers_are_looked_at_as_well_and_what_does_not_fit_is_named() {
    let mut large = noise(1, 5 << 20);
    large.extend_from_slice(b"MARK-1");
    let archive = tar(&[("one.zip", &zip_stored(&[("large", large.as_slice())]).unwrap()), ("small", b"s")]);
    let (tree, asked) = look(&archive, &mut Budget::default());
    let sizes: Vec<(&str, usize)> = asked.iter().map(|(place, size)| (place.as_str(), *size)).collect();
    let zip = tree.root.members[0].size as usize;
    let expected =
        [("a", archive.len()), ("a!one.zip", zip), ("a!one.zip!large", large.len()), ("a!small", 1)];
    assert_eq!(sizes, expected);
    assert_eq!(matches(&tree), ["a", "a!one.zip", "a!one.zip!large"]);
    let (tree, asked) = look(&archive, &mut Budget { held_bytes: 1 << 20, ..Budget::default() });
    assert_eq!(asked, [("a!small".to_owned(), 1)]);
    let open: Vec<String> = tree
        .problems
        .iter()
        .filter(|problem| problem.kind == "rules-undecided")
        .map(|problem| problem.path.to_string())
        .collect();
    assert_eq!(open, ["a!one.zip!large", "a!one.zip", "a"]);
}
