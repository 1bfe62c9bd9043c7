use std::fs;
use std::process::Command;

use evidence::Digest;
use forge::{tar_gz, zip_stored};
use inspect::{Budget, folder, open_file};

use crate::{open, paths};

#[test]
fn members_are_named_level_by_level() {
    let inner = zip_stored(&[("b/two.txt", b"2"), ("a.txt", b"1")]).unwrap();
    let outer = tar_gz(&[("pack/inner.zip", &inner), ("read.me", b"hello")]).unwrap();
    let tree = open("release.tar.gz", &outer);
    assert_eq!(tree.problems, []);
    assert_eq!(
        paths(&tree),
        [
            "release.tar.gz",
            "release.tar.gz!release.tar",
            "release.tar.gz!release.tar!pack/inner.zip",
            "release.tar.gz!release.tar!pack/inner.zip!a.txt",
            "release.tar.gz!release.tar!pack/inner.zip!b/two.txt",
            "release.tar.gz!release.tar!read.me",
        ]
    );
    let member = &tree.root.members[0].members[1];
    assert_eq!((member.digest, member.mode), (Some(Digest::of(b"hello")), Some(0o644)));
    assert_eq!(open("release.tar.gz", &outer), tree, "the same each time");
}

#[test]
fn what_real_tools_pack_is_opened() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::create_dir(at.join("d")).unwrap();
    fs::write(at.join("d/file"), "content\n".repeat(50)).unwrap();
    std::os::unix::fs::symlink("file", at.join("d/link")).unwrap();
    let long = format!("d/{}", "n".repeat(150));
    fs::write(at.join(&long), "long").unwrap();
    for (name, script) in [
        ("x.tar", "tar -cf x.tar d"),
        ("pax.tar", "tar --format=pax -cf pax.tar d"),
        ("x.tar.gz", "tar -czf x.tar.gz d"),
        ("x.tar.bz2", "tar -cjf x.tar.bz2 d"),
        ("x.tar.xz", "tar -cJf x.tar.xz d"),
        ("x.zip", "python3 -c \"import shutil; shutil.make_archive('x', 'zip', '.', 'd')\""),
    ] {
        assert!(
            Command::new("sh").args(["-c", script]).current_dir(at).status().unwrap().success(),
            "{script}"
        );
        let tree = open(name, &fs::read(at.join(name)).unwrap());
        assert_eq!(tree.problems, [], "{name}");
        let found = paths(&tree);
        assert!(found.iter().any(|path| path.ends_with("!d/file")), "{name}: {found:?}");
        assert!(found.iter().any(|path| path.ends_with(&long)), "{name}: {found:?}");
        let mut link = None;
        tree.root.walk(|path, node| {
            if path.to_string().ends_with("d/link") {
                link = Some((node.format.clone(), node.link.clone()));
            }
        });
        if name != "x.zip" {
            assert_eq!(link.unwrap(), ("symlink".to_owned(), Some("file".into())), "{name}");
        }
    }
}

#[test]
fn static_libraries_and_debian_packages_are_opened() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    let script = "echo 'int f(void){return 1;}' > a_rather_long_name_of_a_file.c && echo 'int g(void){return 2;}' > g.c && \
        gcc -c *.c && ar rcs lib.a *.o && mkdir -p p/DEBIAN p/usr && echo x > p/usr/x && \
        printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: t <t@t.invalid>\\nDescription: d\\n' > p/DEBIAN/control && \
        dpkg-deb -b p p.deb > /dev/null";
    assert!(Command::new("sh").args(["-c", script]).current_dir(at).status().unwrap().success());
    let library = open("lib.a", &fs::read(at.join("lib.a")).unwrap());
    assert_eq!(library.problems, []);
    let found = paths(&library);
    assert!(
        found.contains(&"lib.a!a_rather_long_name_of_a_file.o".to_owned())
            && found.contains(&"lib.a!g.o".to_owned()),
        "{found:?}"
    );
    let package = open("p.deb", &fs::read(at.join("p.deb")).unwrap());
    assert_eq!(package.problems, []);
    assert!(paths(&package).iter().any(|path| path.ends_with("!./usr/x")), "{:?}", paths(&package));
}

#[test]
fn bombs_end_in_the_budget() {
    let mut budget = Budget { bytes: 1 << 20, ..Budget::default() };
    let zeros = tar_gz(&[("zeros", &vec![0; 50 << 20])]).unwrap();
    let tree = open_file(&"bomb.tar.gz".into(), &zeros, &mut budget);
    assert_eq!(tree.problems[0].kind, "budget-exhausted");
    let mut nested = b"core".to_vec();
    for _ in 0..40 {
        nested = tar_gz(&[("again.tar.gz", &nested)]).unwrap();
    }
    let tree = open("nested.tar.gz", &nested);
    assert_eq!(tree.problems[0].kind, "budget-exhausted");
    let many: Vec<(String, &[u8])> = (0..3000).map(|number| (number.to_string(), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let mut budget = Budget { members: 100, ..Budget::default() };
    let tree = open_file(&"many.zip".into(), &zip_stored(&many).unwrap(), &mut budget);
    assert_eq!(tree.problems[0].kind, "budget-exhausted");
    assert_eq!(tree.root.members.len(), 100);
}

#[test]
fn what_is_not_opened_is_a_problem() {
    let tree = open("x", b"Rar!\x1a\x07\x01\0");
    assert_eq!((tree.root.format.as_str(), tree.problems[0].kind.as_str()), ("rar", "unsupported-container"));
    for (magic, kind) in
        [(&b"7z\xbc\xaf\x27\x1c...."[..], "malformed-7z"), (b"MSCF\0\0\0\0", "malformed-cab")]
    {
        assert_eq!(open("x", magic).problems[0].kind, kind);
    }
    let twice = zip_stored(&[("same", b"1"), ("same", b"2")]).unwrap();
    assert_eq!(open("x.zip", &twice).problems[0].kind, "duplicate-name");
}

#[test]
fn a_folder_is_a_container() {
    let files = [("a/b", Ok(b"1".to_vec())), ("c", Err(std::io::Error::other("no")))];
    let tree = folder(
        &"dir".into(),
        files.into_iter().map(|(name, content)| (name.into(), content.map(|bytes| crate::entry(&bytes)))),
        &mut Budget::default(),
    );
    assert_eq!(paths(&tree), ["dir", "dir/a/b"]);
    assert_eq!(tree.problems[0].path.to_string(), "dir/c");
    assert_eq!(tree.root.digest, None);
}

#[test]
fn a_file_system_that_cannot_be_opened_is_a_problem_and_its_magic_alone_is_not() {
    let mut image = vec![0; 4096];
    // Magic, state, errors; blocks of 4 KiB, Linux, dynamic revision.
    for (at, value) in [(56, 0x53), (57, 0xEF), (58, 1), (60, 1), (24, 2), (76, 1)] {
        image[1024 + at] = value;
    }
    let kinds = |bytes: &[u8]| -> Vec<String> {
        let tree = open_file(&"root.img".into(), bytes, &mut Budget::default());
        tree.problems.into_iter().map(|problem| problem.kind).collect()
    };
    assert_eq!(kinds(&image), ["malformed-ext"]);
    assert_eq!(kinds(b"\xeb\x52\x90NTFS    "), ["unsupported-container"]);
    for at in [24, 58, 60, 72, 76] {
        let mut other = image.clone();
        other[1024 + at] = 9;
        assert_eq!(kinds(&other), [""; 0], "{at}");
    }
    assert_eq!(kinds(&image[..1080]), [""; 0]);
}
