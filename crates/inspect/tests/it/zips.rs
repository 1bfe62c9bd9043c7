//! ZIP: what its two directories say, and what they do not.

use std::fs;
use std::process::Command;

use evidence::Digest;
use forge::zip_stored;

use crate::samples::{REGULAR, cpio_newc, tar};
use crate::{find, kinds, open};

/// Where the central directory begins.
fn directory(zip: &[u8]) -> usize {
    zip.windows(4).position(|window| window == b"PK\x01\x02").unwrap()
}

#[test]
fn what_python_writes_is_opened() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::write(
        at.join("w.py"),
        "import zipfile, sys
data = b'content ' * 1000
for name, method in [('stored', 0), ('deflate', 8), ('bzip2', 12), ('lzma', 14)]:
    with zipfile.ZipFile(name + '.zip', 'w', method) as z:
        z.writestr('d/file', data)
with zipfile.ZipFile('wide.zip', 'w', 8) as z:
    with z.open('d/file', 'w', force_zip64=True) as f:
        f.write(data)
class Pipe:
    def __init__(self, f): self.f = f
    def write(self, b): return self.f.write(b)
    def flush(self): pass
with open('streamed.zip', 'wb') as f:
    with zipfile.ZipFile(Pipe(f), 'w', 8) as z:
        z.writestr('d/file', data)
        z.writestr('other', b'1')
with zipfile.ZipFile('many.zip', 'w') as z:
    z.writestr('d/file', data)
    for i in range(66000):
        z.writestr(str(i), b'')
",
    )
    .unwrap();
    assert!(Command::new("python3").arg("w.py").current_dir(at).status().unwrap().success());
    for name in ["stored", "deflate", "bzip2", "lzma", "wide", "streamed", "many"] {
        let tree = open(name, &fs::read(at.join(name.to_owned() + ".zip")).unwrap());
        assert_eq!(tree.problems, [], "{name}");
        assert_eq!(find(&tree, "!d/file").digest, Some(Digest::of(&b"content ".repeat(1000))), "{name}");
        assert!(tree.root.members.iter().all(|member| !member.name.as_bytes().starts_with(b"#")), "{name}");
    }
}

#[test]
fn an_encrypted_member_is_named() {
    let mut zip = zip_stored(&[("open", b"1"), ("secret", b"2")]).unwrap();
    let at = directory(&zip);
    let second = at + 46 + "open".len();
    zip[second + 8] |= 1;
    let tree = open("x.zip", &zip);
    assert_eq!(kinds(&tree), ["encrypted-member"]);
    assert_eq!(tree.problems[0].path.to_string(), "x.zip!secret");
    assert_eq!(find(&tree, "!secret").format, "encrypted");
}

#[test]
fn members_that_share_bytes_are_not_opened() {
    let mut zip = zip_stored(&[("a", b"1"), ("b", b"2"), ("c", b"3")]).unwrap();
    // The second entry points to the first one's header.
    let second = directory(&zip) + 46 + 1;
    zip[second + 42..second + 46].fill(0);
    let tree = open("x.zip", &zip);
    assert!(kinds(&tree).contains(&"overlapping-members"), "{:?}", tree.problems);
    assert_eq!(find(&tree, "!c").digest, Some(Digest::of(b"3")));
    assert!(tree.root.members.iter().all(|member| member.name != "a".into() && member.name != "b".into()));
}

#[test]
fn lying_sizes_and_names_are_problems() {
    let honest = zip_stored(&[("name", b"content")]).unwrap();
    let at = directory(&honest);
    for (place, value) in [(30, b'X'), (18, 6), (at + 24, 9), (at + 16, 0xee), (at + 20, 0xee), (at + 10, 99)]
    {
        let mut lying = honest.clone();
        lying[place] = value;
        assert_ne!(kinds(&open("x.zip", &lying)), Vec::<&str>::new(), "{place}");
    }
}

#[test]
fn what_the_directory_does_not_account_for_is_shown() {
    let honest = zip_stored(&[("a", b"1")]).unwrap();
    let at = directory(&honest);
    let mut hidden = honest.clone();
    hidden.splice(at..at, *b"HIDDEN");
    let length = hidden.len();
    hidden[length - 6..length - 2].copy_from_slice(&(at as u32 + 6).to_le_bytes());
    let tree = open("x.zip", &hidden);
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "!#unlisted/1").digest, Some(Digest::of(b"HIDDEN")));
    let tree = open("x.zip", &[honest.clone(), b"AFTER".to_vec()].concat());
    assert_eq!(find(&tree, "!#after").digest, Some(Digest::of(b"AFTER")));
    let mut comment = honest.clone();
    let length = comment.len();
    comment[length - 2] = 2;
    comment.extend(b"hi");
    assert_eq!(find(&open("x.zip", &comment), "!#comment").digest, Some(Digest::of(b"hi")));
}

#[test]
fn names_that_leave_the_folder_are_problems() {
    for name in ["../x", "a/../../x", "/etc/passwd", "..\\x", "C:\\x", "\\\\host\\x"] {
        assert_eq!(kinds(&open("x.zip", &zip_stored(&[(name, b"")]).unwrap())), ["path-escapes"], "{name}");
    }
    for name in ["a/../x", "./x", "..x", "a..b/...", "x:y/z.txt.."] {
        let tree = open("x.zip", &zip_stored(&[(name, b"")]).unwrap());
        assert_eq!(tree.problems.len(), usize::from(name.as_bytes()[1] == b':'), "{name}");
    }
    let behind = [
        ("out", 0o120_777, &b"/etc"[..]),
        ("out-side", 0o120_777, b"/usr"),
        ("out/passwd", REGULAR, b"x"),
        ("outer", REGULAR, b"x"),
        ("a/in", 0o120_777, b"../b"),
        ("a/in/x", REGULAR, b"x"),
    ];
    let tree = open("x.cpio", &cpio_newc(&behind, false));
    assert_eq!(kinds(&tree), ["path-escapes"]);
    assert_eq!(tree.problems[0].path.to_string(), "x.cpio!out/passwd");
}

#[test]
fn a_name_for_two_contents_is_a_problem() {
    let tree = open("x.tar", &tar(&[("a", b"1"), ("a", b"2"), ("b", b"3"), ("b", b"3")], true));
    assert_eq!(kinds(&tree), ["duplicate-name"]);
    assert_eq!(tree.problems[0].path.to_string(), "x.tar!a");
    assert_eq!(tree.root.members.len(), 4);
}
