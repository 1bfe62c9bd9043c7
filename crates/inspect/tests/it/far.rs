//! What is not held in memory is seen as if it were.

use std::io::Write;

use evidence::{Node, Tree};
use inspect::{Budget, Input, extract, open};

use crate::corpus::corpus;
use crate::samples::{gzip, tar};
use crate::{find, kinds};

/// Nothing but names and headers fits.
fn little() -> Budget {
    Budget { held_bytes: 4096, ..Budget::default() }
}

fn file(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn far(name: &str, bytes: &[u8]) -> Tree {
    open(&name.into(), file(bytes), &mut little()).unwrap()
}

/// Names, formats, digests: what needs no facts of images.
fn outline(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    node.walk(|path, node| {
        lines.push(format!(
            "{path} {} {:?} {} {:?} {:?} {:?} {:?}",
            node.format, node.digest, node.size, node.mode, node.link, node.packing, node.order
        ));
    });
    lines
}

#[test]
fn every_container_that_is_read_where_it_lies_shows_the_same_tree() {
    let mut whole = 0;
    for sound in corpus() {
        let near = crate::open(sound.name, &sound.bytes);
        let tree = far(sound.name, &sound.bytes);
        assert_eq!((tree.root.digest, tree.root.size), (near.root.digest, near.root.size), "{}", sound.name);
        if tree.problems == near.problems {
            assert_eq!(outline(&tree.root), outline(&near.root), "{}", sound.name);
            whole += 1;
        } else {
            // What does not fit is told, and nothing else is wrong.
            assert!(kinds(&tree).contains(&"budget-exhausted"), "{}: {:?}", sound.name, tree.problems);
            assert!(!kinds(&tree).iter().any(|kind| kind.starts_with("malformed")), "{:?}", tree.problems);
        }
    }
    assert!(whole > 15, "only {whole}");
}

#[test]
fn archives_within_archives_are_opened_without_being_held() {
    let text = "a line that says https://far.example/ and nothing else\n".repeat(2000);
    let inner = forge::zip_stored(&[("big.txt", text.as_bytes()), ("small", b"1")]).unwrap();
    let middle = tar(&[("inner.zip", &inner), ("after", b"2")], true);
    for (name, bytes) in [("x.tar", middle.clone()), ("x.tar.gz", gzip(&middle))] {
        let (near, tree) = (crate::open(name, &bytes), far(name, &bytes));
        assert_eq!(tree.problems, []);
        assert_eq!(tree.root, near.root, "{name}");
        assert!(find(&tree, "!big.txt").content.unwrap().hosts.contains("far.example"));
    }
}

#[test]
fn members_are_extracted_from_what_is_not_held() {
    let content = [7; 3000];
    let bytes = gzip(&tar(&[("a", &[1; 9000]), ("b", &content)], true));
    let path = evidence::BytePath::from("x.tar.gz!x.tar!b");
    let wanted = [path.clone()].into();
    let found =
        extract(&"x.tar.gz".into(), Input::File(file(&bytes)), wanted, 1 << 20, &mut little()).unwrap();
    assert_eq!(found[&path], content);
}
