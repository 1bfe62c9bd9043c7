//! What two bare files say about their releases. With it a difference is judged by plausibility, and said so.

use std::collections::{BTreeMap, BTreeSet};

use evidence::Node;
use evidence::tree::Product;

use super::names::without_versions;

/// The words for what is expected without evidence.
pub(super) const EXPECTED: &str = "releases change like this; plausible, not proven, as there is no record";

/// Returns the releases that two artifacts state: in their names, if these differ in nothing else, or in their manifests.
pub(super) fn releases_of(old: &Node, new: &Node) -> Option<(String, String)> {
    in_names(old, new).or_else(|| in_manifests(old, new).filter(|(old, new)| old != new))
}

fn in_names(old: &Node, new: &Node) -> Option<(String, String)> {
    let (before, after) = (old.name.as_bytes(), new.name.as_bytes());
    if let Some(found) = differing(before, after) {
        return Some(found);
    }
    if before == after || without_versions(before, "") != without_versions(after, "") {
        return None;
    }
    let (a, b) = (version_in(before)?, version_in(after)?);
    (a != b).then_some((a, b))
}

/// Reads the one part in which two names differ, if it is a version in both: `306`, `2.36-9+deb12u7`.
fn differing(before: &[u8], after: &[u8]) -> Option<(String, String)> {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()).saturating_sub(same);
    let tail = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    if same + tail >= before.len().max(after.len()) {
        return None;
    }
    let is_edge = |byte: &u8| matches!(byte, b'_' | b'-' | b'/');
    // Back to where a part of the name begins; a revision (`-9+deb12u7`) belongs to the version before it.
    let mut start = same;
    let mut at = same;
    loop {
        let begin = before[..at].iter().rposition(is_edge).map_or(0, |edge| edge + 1);
        if !before.get(begin).is_some_and(u8::is_ascii_digit) {
            break;
        }
        start = begin;
        if begin < 2 || before[begin - 1] != b'-' {
            break;
        }
        at = begin - 1;
    }
    let is_begin = start == 0 || is_edge(&before[start - 1]) || before[start - 1] == b'v';
    let part = |name: &[u8]| -> Option<String> {
        let end = name.len() - tail;
        let more = name[end..].iter().take_while(|byte| !is_edge(byte)).count();
        let text = std::str::from_utf8(name.get(start..end + more)?).ok()?;
        // What is no part of a version: the ending of the file.
        let text =
            text.rsplit_once('.').filter(|(_, end)| end.starts_with(|c: char| c.is_ascii_alphabetic()));
        let whole = std::str::from_utf8(name.get(start..end + more)?).ok()?;
        let text = text.map_or(whole, |(version, _)| version).trim_end_matches(".tar");
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+~:%-".contains(&byte));
        let is_hash = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        (plain && !is_hash && text.starts_with(|c: char| c.is_ascii_digit())).then(|| text.to_owned())
    };
    let (a, b) = (part(before)?, part(after)?);
    (is_begin && a != b).then_some((a, b))
}

/// Returns the release that both artifacts state, by one name or in their manifests: then nothing of their code may differ.
pub(super) fn one_release(old: &Node, new: &Node) -> Option<String> {
    let named = || (old.name == new.name).then(|| version_in(old.name.as_bytes()))?;
    // Names that say the release, and more, are those of builds for other machines.
    let is_silent = [old, new].iter().all(|node| version_in(node.name.as_bytes()).is_none());
    let stated = || in_manifests(old, new).filter(|(old, new)| old == new).map(|(release, _)| release);
    named().or_else(|| is_silent.then(stated)?)
}

/// The releases that the outermost manifests of two artifacts of one product state, where their names state none or the same: those
/// of wheels differ in their platform as well.
fn in_manifests(old: &Node, new: &Node) -> Option<(String, String)> {
    let (before, after) = (outermost(old)?, outermost(new)?);
    let agree = [(old, &before), (new, &after)].iter().all(|(node, product)| {
        version_in(node.name.as_bytes()).is_none_or(|version| version == product.version)
    });
    let (before, after) = agree.then_some((before, after))?;
    // `0.0.0` stands where somebody else puts the version.
    let says = |product: &Product| product.version.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    (before.name == after.name && says(&before) && says(&after)).then_some((before.version, after.version))
}

/// The product that the outermost manifest of an artifact names, or the version information of an image that is the artifact.
/// Nobody knows which of two on one level is meant.
fn outermost(root: &Node) -> Option<Product> {
    if let [image] = &root.executables[..] {
        let of = |key: &str| image.version_info.get(key).filter(|text| !text.is_empty()).cloned();
        return Some(Product { name: of("ProductName")?, version: of("ProductVersion")? });
    }
    let mut found: BTreeMap<usize, BTreeSet<&Product>> = BTreeMap::new();
    root.walk(|path, node| {
        let depth = path.as_bytes().iter().filter(|byte| matches!(byte, b'/' | b'!')).count();
        let product = node.content.as_ref().and_then(|content| content.product.as_ref());
        if let Some(product) = product {
            found.entry(depth).or_default().insert(product);
        }
    });
    let outermost = found.into_values().next()?;
    (outermost.len() == 1).then(|| outermost.into_iter().next().cloned())?
}

/// Whether a member is code, for which a change under the same version counts.
pub(super) fn is_code(node: &Node) -> bool {
    const ENDINGS: &[&[u8]] = &[
        b".py", b".js", b".mjs", b".cjs", b".ts", b".sh", b".ps1", b".rb", b".pl", b".pyc", b".class",
        b".lua", b".pth", b".jsx", b".tsx", b".php", b".pm", b".bat", b".cmd", b".vbs", b".html", b".htm",
        b".nsh", b".nsi",
    ];
    !node.executables.is_empty()
        || node.content.as_ref().is_some_and(|content| content.kind == "script")
        || ENDINGS.iter().any(|ending| node.name.as_bytes().ends_with(ending))
}

/// The first thing in a name that looks like a version.
fn version_in(name: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(name);
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+')));
    words.find_map(|word| {
        let word = word.trim_start_matches('v');
        let end = word.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(word.len());
        let digits = word[..end].trim_end_matches('.');
        (digits.contains('.') && word.starts_with(|c: char| c.is_ascii_digit())).then(|| digits.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Digest;

    fn check(old: &str, new: &str, expected: Option<(&str, &str)>) {
        let node = |name: &str| Node::leaf(name.into(), "data", Digest::of(b""), 0);
        let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(releases_of(&node(old), &node(new)), expected);
    }

    #[test]
    fn where_names_say_nothing_the_outermost_manifests_do() {
        let artifact = |name: &str, manifests: &[(&str, &str, &str)]| {
            let mut root = Node::leaf(name.into(), "zip", Digest::of(name.as_bytes()), 9);
            root.members.extend(manifests.iter().map(|(path, name, version)| {
                let mut node = Node::leaf((*path).into(), "data", Digest::of(path.as_bytes()), 9);
                let product = Product { name: (*name).to_owned(), version: (*version).to_owned() };
                node.content = Some(evidence::tree::Content { product: Some(product), ..Default::default() });
                node
            }));
            root
        };
        let one = [("package.json", "a", "1.2.3"), ("node_modules/b/package.json", "b", "7.0.0")];
        let next = [("package.json", "a", "1.2.4"), ("node_modules/b/package.json", "b", "7.0.0")];
        let (clean, other) = (artifact("clean.zip", &one), artifact("other.zip", &one));
        assert_eq!(
            (releases_of(&clean, &other), one_release(&clean, &other)),
            (None, Some("1.2.3".to_owned()))
        );
        let later = artifact("later.zip", &next);
        assert_eq!(releases_of(&clean, &later), Some(("1.2.3".to_owned(), "1.2.4".to_owned())));
        assert_eq!(one_release(&clean, &later), None);
        let unsaid = artifact("x.zip", &[("package.json", "a", "0.0.0-dev")]);
        assert_eq!(one_release(&unsaid, &unsaid), None);
        // Other products, two on one level, and names that say a release themselves.
        assert_eq!(one_release(&clean, &artifact("x.zip", &[("package.json", "b", "1.2.3")])), None);
        let two = artifact("two.zip", &[("a.json", "a", "1.2.3"), ("b.json", "b", "1.2.3")]);
        assert_eq!(one_release(&two, &two), None);
        let (mac, newer) = (
            artifact("a-1.2.3-cp312-macosx_11_0_arm64.whl", &one),
            artifact("a-1.2.4-cp312-macosx_12_0_arm64.whl", &next),
        );
        assert_eq!(releases_of(&mac, &newer), Some(("1.2.3".to_owned(), "1.2.4".to_owned())));
        assert_eq!(releases_of(&artifact("a-1.2.2-cp312-macosx_11_0_arm64.whl", &one), &newer), None);
        assert_eq!(one_release(&mac, &artifact("a-1.2.3-cp312-macosx_12_0_arm64.whl", &one)), None);
        assert_eq!(one_release(&artifact("a-1.0-x86.zip", &one), &artifact("a-1.0-arm.zip", &one)), None);
    }

    #[test]
    fn releases_are_read_from_names() {
        check("numpy-2.1.2-cp312-win_amd64.whl", "numpy-2.1.3-cp312-win_amd64.whl", Some(("2.1.2", "2.1.3")));
        check("app-v1.0.0.tgz", "app-v1.0.1.tgz", Some(("1.0.0", "1.0.1")));
        check("demo_1.0-1_amd64.deb", "demo_1.1-1_amd64.deb", Some(("1.0", "1.1")));
        check(
            "libc6_2.36-9+deb12u7_amd64.deb",
            "libc6_2.36-9+deb12u14_amd64.deb",
            Some(("2.36-9+deb12u7", "2.36-9+deb12u14")),
        );
        check("pywin32-306-cp312-win_amd64.whl", "pywin32-308-cp312-win_amd64.whl", Some(("306", "308")));
        check("serde-1.0.214.crate", "serde-1.0.215.crate", Some(("1.0.214", "1.0.215")));
        check("demo-1.0.tar.gz", "demo-1.1.tar.gz", Some(("1.0", "1.1")));
        check("file2.zip", "file3.zip", None);
        check("app-1a2b3c4d.zip", "app-9f8e7d6c.zip", None);
        check("a.zip", "a.zip", None);
        let node = |name: &str| Node::leaf(name.into(), "data", Digest::of(b""), 0);
        assert_eq!(one_release(&node("a-1.2.zip"), &node("a-1.2.zip")).as_deref(), Some("1.2"));
        assert_eq!(one_release(&node("a.zip"), &node("a.zip")), None);
        assert!(is_code(&node("x/a.py")) && !is_code(&node("x/a.txt")));
        check("a-1.0.zip", "b-1.1.zip", None);
    }
}
