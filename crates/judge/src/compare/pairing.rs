//! Pairing members that have other names now: by name without versions and hashes, by equal bytes, by likeness.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{Digest, Node};

use super::names::pair;

/// So many candidates are looked at for one member, so that pairing stays linear.
const CANDIDATES_MAX: usize = 32;
/// More links in a row lead nowhere.
const LINKS_MAX: usize = 8;
/// Likeness below this, of 100, is chance.
const LIKENESS_MIN: u32 = 60;

type Pair<'a> = (Option<&'a Node>, Option<&'a Node>);

/// Pairs the members of two containers.
pub(super) fn members<'a>(
    old: BTreeMap<Vec<u8>, &'a Node>,
    new: BTreeMap<Vec<u8>, &'a Node>,
    releases: (&str, &str),
) -> Vec<Pair<'a>> {
    let (mut pairs, mut gone, mut come) = (Vec::new(), Vec::new(), Vec::new());
    let (old, new) = without_tops(old, new);
    let turned = turned(&old, &new);
    for found in pair(old, new, releases) {
        match found {
            // What a link leads to has nothing in common with a file in its place.
            (Some(old), Some(new)) if old.link.is_some() != new.link.is_some() => {
                gone.push(old);
                come.push(new);
            }
            (Some(old), None) => gone.push(old),
            (None, Some(new)) => come.push(new),
            both => pairs.push(both),
        }
    }
    take(&turned, &mut gone, &mut come, &mut pairs);
    same_bytes(&mut gone, &mut come, &mut pairs);
    alike(&mut gone, &mut come, &mut pairs, &IMAGES);
    alike(&mut gone, &mut come, &mut pairs, &TEXTS);
    only_ones(&mut gone, &mut come, &mut pairs);
    pairs.extend(gone.into_iter().map(|node| (Some(node), None)));
    pairs.extend(come.into_iter().map(|node| (None, Some(node))));
    pairs
}

/// Files that changed places with a link to them: `x.jar` and `x-1.2.jar` are one file and a link to it, in either direction.
fn turned<'a>(old: &Named<'a>, new: &Named<'a>) -> Vec<(&'a Node, &'a Node)> {
    let mut found = Vec::new();
    for (name, node) in new {
        let Some(before) = old.get(name) else { continue };
        let (file, other) = match (&before.link, &node.link) {
            (Some(_), None) => (led_to(old, name), Some(*node)),
            (None, Some(_)) => (Some(*before), led_to(new, name)),
            _ => continue,
        };
        found.extend(file.zip(other));
    }
    found
}

/// The file to which a link leads, among the members of its own container.
fn led_to<'a>(names: &Named<'a>, link: &[u8]) -> Option<&'a Node> {
    let mut name = link.to_vec();
    for _ in 0..LINKS_MAX {
        let Some(target) = &names.get(&name)?.link else { return names.get(&name).copied() };
        let target = target.as_bytes();
        let (from, target) = match target.strip_prefix(b"/") {
            Some(rest) => (if name.starts_with(b"./") { &b"."[..] } else { b"" }, rest),
            None => (&name[..name.iter().rposition(|byte| *byte == b'/').unwrap_or(0)], target),
        };
        let mut parts: Vec<&[u8]> =
            from.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        for part in target.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => _ = parts.pop(),
                part => parts.push(part),
            }
        }
        name = parts.join(&b'/');
    }
    None
}

/// Moves pairs out of what has none.
fn take<'a>(
    found: &[(&'a Node, &'a Node)],
    gone: &mut Vec<&'a Node>,
    come: &mut Vec<&'a Node>,
    pairs: &mut Vec<Pair<'a>>,
) {
    if found.is_empty() {
        return;
    }
    let mut left: BTreeSet<*const Node> =
        gone.iter().chain(come.iter()).map(|node| std::ptr::from_ref::<Node>(node)).collect();
    for (old, new) in found {
        let both = [std::ptr::from_ref(*old), std::ptr::from_ref(*new)];
        if both.iter().all(|node| left.contains(node)) {
            both.iter().for_each(|node| _ = left.remove(node));
            pairs.push((Some(old), Some(new)));
        }
    }
    gone.retain(|node| left.contains(&std::ptr::from_ref(*node)));
    come.retain(|node| left.contains(&std::ptr::from_ref(*node)));
}

type Named<'a> = BTreeMap<Vec<u8>, &'a Node>;

/// Leaves the folder out in which everything lies, if the two are called differently: `app-clean/x`, `app-new/x`.
fn without_tops<'a>(old: Named<'a>, new: Named<'a>) -> (Named<'a>, Named<'a>) {
    let top = |names: &Named<'_>| -> Option<Vec<u8>> {
        let first = names.keys().next()?;
        let end = first.iter().position(|byte| *byte == b'/')?;
        let top = first[..=end].to_vec();
        names.keys().all(|name| name.starts_with(&top)).then_some(top)
    };
    match (top(&old), top(&new)) {
        (Some(one), Some(other)) if one != other => {
            let without = |names: Named<'a>, top: &[u8]| -> Named<'a> {
                names.into_iter().map(|(name, node)| (name[top.len()..].to_vec(), node)).collect()
            };
            (without(old, &one), without(new, &other))
        }
        _ => (old, new),
    }
}

/// Pairs what is left if it is one container each, of one format: what a compressed file holds is called like that file.
fn only_ones<'a>(gone: &mut Vec<&'a Node>, come: &mut Vec<&'a Node>, pairs: &mut Vec<Pair<'a>>) {
    let containers = |nodes: &[&'a Node]| -> Vec<&'a Node> {
        nodes.iter().filter(|node| !node.members.is_empty()).copied().collect()
    };
    if let ([old], [new]) = (&containers(gone)[..], &containers(come)[..])
        && old.format == new.format
    {
        pairs.push((Some(*old), Some(*new)));
        gone.retain(|node| !std::ptr::eq(*node, *old));
        come.retain(|node| !std::ptr::eq(*node, *new));
    }
}

/// Pairs members of equal bytes: they were moved. Empty files are all alike and say nothing.
fn same_bytes<'a>(gone: &mut Vec<&'a Node>, come: &mut Vec<&'a Node>, pairs: &mut Vec<Pair<'a>>) {
    let mut by_digest: BTreeMap<Digest, Vec<&Node>> = BTreeMap::new();
    for (digest, node) in
        gone.iter().filter(|node| node.size > 0).filter_map(|node| Some((node.digest?, *node)))
    {
        by_digest.entry(digest).or_default().push(node);
    }
    come.retain(|new| {
        let old = new.digest.and_then(|digest| by_digest.get_mut(&digest)?.pop());
        if let Some(old) = old {
            pairs.push((Some(old), Some(*new)));
        }
        old.is_none()
    });
    let left: BTreeSet<*const Node> =
        by_digest.values().flatten().map(|node| std::ptr::from_ref::<Node>(node)).collect();
    gone.retain(|node| node.size == 0 || node.digest.is_none() || left.contains(&std::ptr::from_ref(*node)));
}

/// What members are compared by that are alike.
struct Kind {
    /// Members of one group may be paired; `None` if a member is not of this kind.
    group: fn(&Node) -> Option<&[u8]>,
    /// In hundredths.
    likeness: fn(&Node, &Node) -> u32,
    /// Sizes may differ by this part.
    part: u64,
}

const IMAGES: Kind = Kind {
    group: |node| (!node.executables.is_empty()).then_some(node.format.as_bytes()),
    likeness: shared_names,
    part: 5,
};

/// Texts of one ending that share most lines.
const TEXTS: Kind = Kind {
    group: |node| {
        let sketch = &node.content.as_ref()?.sketch;
        let name = node.name.file_name();
        let ending = name.iter().rposition(|byte| *byte == b'.').map_or(0, |at| at + 1);
        (sketch.len() >= SKETCH_MIN).then_some(&name[ending..])
    },
    likeness: shared_lines,
    part: 3,
};
/// Of fewer lines nothing can be said.
const SKETCH_MIN: usize = 8;

/// Pairs members that are alike, of about one size.
fn alike<'a>(gone: &mut Vec<&'a Node>, come: &mut Vec<&'a Node>, pairs: &mut Vec<Pair<'a>>, kind: &Kind) {
    let mut by_group: BTreeMap<&[u8], Vec<&'a Node>> = BTreeMap::new();
    for node in gone.iter().copied() {
        if let Some(group) = (kind.group)(node) {
            by_group.entry(group).or_default().push(node);
        }
    }
    for nodes in by_group.values_mut() {
        nodes.sort_by_key(|node| node.size);
    }
    let mut taken: BTreeSet<*const Node> = BTreeSet::new();
    come.retain(|new| {
        let Some(candidates) = (kind.group)(new).and_then(|group| by_group.get(group)) else { return true };
        let least = new.size - new.size / kind.part;
        let from = candidates.partition_point(|node| node.size < least);
        let best = candidates[from..]
            .iter()
            .take(CANDIDATES_MAX)
            .take_while(|node| node.size <= new.size + new.size / kind.part)
            .filter(|node| !taken.contains(&std::ptr::from_ref(**node)))
            .map(|node| ((kind.likeness)(node, new), *node))
            .max_by_key(|(likeness, _)| *likeness)
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
        if let Some((_, old)) = best {
            taken.insert(std::ptr::from_ref(old));
            pairs.push((Some(old), Some(*new)));
        }
        best.is_none()
    });
    gone.retain(|node| !taken.contains(&std::ptr::from_ref(*node)));
}

/// Lines that two texts share, by their sketches: of the smallest hashes of both together, those that both have.
fn shared_lines(old: &Node, new: &Node) -> u32 {
    let sketch = |node: &Node| -> BTreeSet<u32> {
        node.content.iter().flat_map(|content| content.sketch.iter().copied()).collect()
    };
    let (old, new) = (sketch(old), sketch(new));
    let most = old.len().max(new.len());
    let smallest: Vec<&u32> = old.union(&new).take(most).collect();
    let shared = smallest.iter().filter(|hash| old.contains(hash) && new.contains(hash)).count();
    u32::try_from(shared * 100 / smallest.len().max(1)).unwrap_or(0)
}

/// Shared imports, exports and sections of two executables, in hundredths of all of them.
fn shared_names(old: &Node, new: &Node) -> u32 {
    let names = |node: &Node| -> BTreeSet<String> {
        let images = node.executables.iter().take(1);
        images
            .flat_map(|image| {
                let sections = image.sections.iter().map(|section| format!("section {}", section.name));
                image.imports.iter().chain(&image.exports).cloned().chain(sections).collect::<Vec<_>>()
            })
            .collect()
    };
    let (old, new) = (names(old), names(new));
    let (shared, all) = (old.intersection(&new).count(), old.union(&new).count());
    u32::try_from(shared * 100 / all.max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::tree::Executable;

    fn library(name: &str, content: &str, size: u64, imports: &[&str]) -> Node {
        let mut node = Node::leaf(name.into(), "pe", Digest::of(content.as_bytes()), size);
        node.executables.push(Executable {
            imports: imports.iter().map(|name| (*name).to_owned()).collect(),
            ..Executable::default()
        });
        node
    }

    fn pairs(old: &[&Node], new: &[&Node]) -> Vec<(String, String)> {
        let map = |nodes: &[&Node]| {
            nodes
                .iter()
                .map(|node| (node.name.as_bytes().to_vec(), (*node).clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (map(old), map(new));
        let name = |node: Option<&Node>| node.map(|node| node.name.to_string()).unwrap_or_default();
        let mut found: Vec<_> = members(
            old.iter().map(|(name, node)| (name.clone(), node)).collect(),
            new.iter().map(|(name, node)| (name.clone(), node)).collect(),
            ("", ""),
        )
        .into_iter()
        .map(|(old, new)| (name(old), name(new)))
        .collect();
        found.sort();
        found
    }

    #[test]
    fn renamed_members_are_paired_by_bytes_and_by_likeness() {
        let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let (a, b) =
            (library("core.dll", "1", 1000, &["x", "y"]), library("kernel.dll", "1", 1000, &["x", "y"]));
        assert_eq!(pairs(&[&a], &[&b]), [owned("core.dll", "kernel.dll")]);
        let c = library("kernel.dll", "2", 1100, &["x", "y", "z"]);
        assert_eq!(pairs(&[&a], &[&c]), [owned("core.dll", "kernel.dll")]);
        let other = library("kernel.dll", "3", 1100, &["p", "q"]);
        assert_eq!(pairs(&[&a], &[&other]), [owned("", "kernel.dll"), owned("core.dll", "")]);
        let larger = library("kernel.dll", "4", 5000, &["x", "y"]);
        assert_eq!(pairs(&[&a], &[&larger]), [owned("", "kernel.dll"), owned("core.dll", "")]);
    }

    #[test]
    fn what_is_called_like_the_artifact_is_paired_whatever_that_is_called() {
        let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let tar = |name: &str| {
            let mut tar = Node::leaf(name.into(), "tar", Digest::of(name.as_bytes()), 9);
            tar.members.push(Node::leaf("x".into(), "data", Digest::of(name.as_bytes()), 9));
            tar
        };
        let (clean, other) = (tar("clean.tar"), tar("other.tar"));
        assert_eq!(pairs(&[&clean], &[&other]), [owned("clean.tar", "other.tar")]);
        let more = tar("more.tar");
        assert_eq!(pairs(&[&clean], &[&other, &more]).len(), 3);
        let file = |name: &str| Node::leaf(name.into(), "data", Digest::of(name.as_bytes()), 9);
        let (a, b, c) = (file("app-clean/x"), file("app-new/x"), file("app-new/y"));
        assert_eq!(pairs(&[&a], &[&b, &c]), [owned("", "app-new/y"), owned("app-clean/x", "app-new/x")]);
        let (a, b, c) = (file("lib/x"), file("bin/x"), file("y"));
        assert_eq!(pairs(&[&a], &[&b, &c]).len(), 3);
    }

    #[test]
    fn a_file_that_changed_places_with_a_link_to_it_is_still_that_file() {
        let file =
            |name: &str, content: &str| Node::leaf(name.into(), "zip", Digest::of(content.as_bytes()), 9);
        let link = |name: &str, to: &str| {
            let mut link = Node::leaf(name.into(), "symlink", Digest::of(b""), 0);
            link.link = Some(to.into());
            link
        };
        let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        for target in ["x.jar", "./x.jar", "../java/x.jar", "/java/x.jar"] {
            let (a, b) = (file("./java/x.jar", "1"), link("./java/x-1.2.jar", target));
            let (c, d) = (link("./java/x.jar", "x-1.2.jar"), file("./java/x-1.2.jar", "2"));
            assert_eq!(
                pairs(&[&a, &b], &[&c, &d]),
                [
                    owned("", "./java/x.jar"),
                    owned("./java/x-1.2.jar", ""),
                    owned("./java/x.jar", "./java/x-1.2.jar")
                ],
                "{target}"
            );
        }
        let (a, b) = (link("x", "x"), file("x", "1"));
        assert_eq!(pairs(&[&a], &[&b]), [owned("", "x"), owned("x", "")]);
        let (a, b) = (link("x", "../../y"), file("x", "1"));
        assert_eq!(pairs(&[&a], &[&b]), [owned("", "x"), owned("x", "")]);
    }

    #[test]
    fn renamed_texts_are_paired_by_their_lines() {
        let text = |name: &str, sketch: std::ops::Range<u32>, size: u64| {
            let mut node = Node::leaf(name.into(), "data", Digest::of(name.as_bytes()), size);
            node.content = Some(evidence::tree::Content { sketch: sketch.collect(), ..Default::default() });
            node
        };
        let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let old = text("lib/core.js", 0..16, 3000);
        let same = text("dist/kernel.js", 1..17, 3100);
        assert_eq!(pairs(&[&old], &[&same]), [owned("lib/core.js", "dist/kernel.js")]);
        for other in [
            text("dist/kernel.js", 12..28, 3100),
            text("dist/kernel.py", 1..17, 3100),
            text("dist/kernel.js", 1..17, 9000),
            text("dist/kernel.js", 0..7, 3100),
        ] {
            assert_eq!(pairs(&[&old], &[&other]).len(), 2, "{}", other.name);
        }
    }
}
