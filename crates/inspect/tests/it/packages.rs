//! Packages of systems and languages.

use std::fs;
use std::process::Command;

use evidence::Digest;
use forge::{tar_gz, zip_stored};

use crate::samples::{
    DEVICE, FIFO, REGULAR, SYMLINK, asar, asar_integrity, cpio_newc, cpio_odc, gzip, rpm, tar,
};
use crate::{find, kinds, open, paths};

#[test]
fn cpio_of_each_portable_format_is_opened() {
    let files = [
        ("usr/bin/x", REGULAR | 0o111, &b"content"[..]),
        ("link", SYMLINK, b"usr/bin/x"),
        ("dev/null", DEVICE, b""),
        ("pipe", FIFO, b""),
    ];
    for archive in [cpio_newc(&files, false), cpio_newc(&files, true), cpio_odc(&files)] {
        let tree = open("x.cpio", &archive);
        assert_eq!(tree.problems, []);
        let file = find(&tree, "!usr/bin/x");
        assert_eq!((file.digest, file.mode), (Some(Digest::of(b"content")), Some(0o755)));
        assert_eq!(find(&tree, "!link").link, Some("usr/bin/x".into()));
        assert_eq!(
            (find(&tree, "!dev/null").format, find(&tree, "!pipe").format),
            ("device".into(), "fifo".into())
        );
    }
    let mut wrong = cpio_newc(&files, true);
    let at = wrong.windows(7).position(|window| window == b"content").unwrap();
    wrong[at] ^= 1;
    assert_eq!(kinds(&open("x.cpio", &wrong)), ["malformed-cpio"]);
    let twice = [cpio_newc(&files[..1], false), vec![0; 100], cpio_newc(&files[1..2], false)].concat();
    let tree = open("initrd", &twice);
    assert_eq!((tree.problems.len(), tree.root.members.len()), (0, 2));
    assert_eq!(kinds(&open("x", &[twice, b"hidden".to_vec()].concat())), ["malformed-cpio"]);
}

#[test]
fn an_rpm_shows_its_scripts_and_its_payload() {
    let payload = gzip(&cpio_newc(&[("./usr/bin/x", REGULAR, b"content")], false));
    let package = rpm("echo installed", &payload);
    let tree = open("demo.rpm", &package);
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "demo.rpm!#script/postin").digest, Some(Digest::of(b"echo installed")));
    assert_eq!(find(&tree, "!payload.cpio!./usr/bin/x").digest, Some(Digest::of(b"content")));
    let at = package.windows(9).position(|window| window == b"installed").unwrap();
    let mut changed = package.clone();
    changed[at] ^= 1;
    assert_eq!(kinds(&open("demo.rpm", &changed)), ["digest-mismatch"]);
    let mut changed = package.clone();
    // The name of the operating system in the gzip header: the payload stays readable.
    let at = package.len() - payload.len() + 9;
    changed[at] ^= 1;
    assert_eq!(kinds(&open("demo.rpm", &changed)), ["digest-mismatch"]);
}

#[test]
fn an_alpine_package_is_three_archives_in_one() {
    let part = |name: &str, content: &[u8], end| gzip(&tar(&[(name, content)], end));
    let package = [
        part(".SIGN.RSA.key.rsa.pub", b"signature", false),
        [part(".PKGINFO", b"pkgname = demo", false), part(".post-install", b"echo", false)].concat(),
        part("usr/bin/x", b"content", true),
    ]
    .concat();
    let tree = open("demo.apk", &package);
    assert_eq!(tree.problems, []);
    for name in [".SIGN.RSA.key.rsa.pub", ".PKGINFO", ".post-install", "usr/bin/x"] {
        find(&tree, &format!("demo.apk!demo.tar!{name}"));
    }
    // An archive that was closed and goes on is read on as well.
    let tree = open("x.apk", &[part("a", b"1", true), part("b", b"2", true)].concat());
    assert_eq!((tree.problems.len(), tree.root.members[0].members.len()), (0, 2));
    let hidden = gzip(&[tar(&[("a", b"1")], true), b"hidden".to_vec()].concat());
    let tree = open("x.tar.gz", &hidden);
    assert_eq!(kinds(&tree), ["malformed-tar"]);
    assert_eq!(find(&tree, "x.tar.gz!x.tar!#after").digest, Some(Digest::of(b"hidden")));
    // Behind the stream, and behind a stream in another.
    let behind = [gzip(&tar_of_one()), b"hidden".to_vec()].concat();
    let tree = open("x.tar.gz", &behind);
    assert_eq!(kinds(&tree), ["malformed-gzip"]);
    assert_eq!(find(&tree, "x.tar.gz!#after").digest, Some(Digest::of(b"hidden")));
    find(&tree, "x.tar.gz!x.tar!a");
    let padded = [gzip(&tar_of_one()), vec![0; 700]].concat();
    assert_eq!(
        (open("x.tar.gz", &padded).problems, open("x.tar.gz", &padded).root.members.len()),
        (vec![], 1)
    );
}

fn tar_of_one() -> Vec<u8> {
    tar(&[("a", b"1")], true)
}

#[test]
fn both_halves_of_a_debian_package_are_opened() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    let script = "mkdir -p p/DEBIAN p/usr && echo x > p/usr/x && printf '#!/bin/sh\\n' > p/DEBIAN/postinst && chmod 755 p/DEBIAN/postinst && \
        printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: t <t@t.invalid>\\nDescription: d\\n' > p/DEBIAN/control && \
        for c in gzip xz zstd none; do dpkg-deb -Z$c --uniform-compression -b p $c.deb > /dev/null || exit 1; done";
    assert!(Command::new("sh").args(["-c", script]).current_dir(at).status().unwrap().success());
    for compression in ["gzip", "xz", "zstd", "none"] {
        let name = format!("{compression}.deb");
        let tree = open(&name, &fs::read(at.join(&name)).unwrap());
        assert_eq!(tree.problems, [], "{name}");
        assert_eq!(find(&tree, "!./postinst").digest, Some(Digest::of(b"#!/bin/sh\n")), "{name}");
        assert_eq!(find(&tree, "!./usr/x").digest, Some(Digest::of(b"x\n")), "{name}");
        assert!(paths(&tree).contains(&format!("{name}!debian-binary")));
    }
}

#[test]
fn packages_of_languages_are_zip_or_tar() {
    let zip = zip_stored(&[("pkg/code", b"content"), ("META-INF/x", b"meta")]).unwrap();
    for name in ["x.whl", "x.jar", "x.war", "x.nupkg", "x.apk", "x.vsix", "x.xpi", "x.egg"] {
        let tree = open(name, &zip);
        assert_eq!(
            (tree.problems.len(), find(&tree, "!pkg/code").digest),
            (0, Some(Digest::of(b"content"))),
            "{name}"
        );
    }
    let tar = tar_gz(&[("package/package.json", b"{}"), ("package/index.js", b"content")]).unwrap();
    for name in ["x.tgz", "x.crate", "x.tar.gz"] {
        let tree = open(name, &tar);
        assert_eq!(tree.problems, [], "{name}");
        assert_eq!(find(&tree, "!x.tar!package/index.js").digest, Some(Digest::of(b"content")), "{name}");
    }
    let gem = crate::samples::tar(&[("data.tar.gz", &tar), ("metadata.gz", &gzip(b"---\n"))], true);
    let tree = open("x.gem", &gem);
    assert_eq!(tree.problems, []);
    find(&tree, "x.gem!data.tar.gz!data.tar!package/index.js");
    find(&tree, "x.gem!metadata.gz!metadata");
}

#[test]
fn an_electron_archive_is_compared_with_its_hashes() {
    let code = b"console.log(1)";
    let directory = |integrity: &str| {
        format!(
            r#"{{"files":{{"main.js":{{"size":14,"offset":"0","integrity":{integrity}}},"native":{{"files":{{"a.node":{{"size":99,"unpacked":true}}}}}},"l":{{"link":"main.js"}},"run":{{"size":2,"offset":"14","executable":true}}}}}}"#
        )
    };
    let honest = asar(&directory(&asar_integrity(code)), b"console.log(1)hi");
    let tree = open("app.asar", &honest);
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "app.asar!main.js").digest, Some(Digest::of(code)));
    let apart = find(&tree, "app.asar!native/a.node");
    assert_eq!((apart.format.as_str(), apart.size, apart.digest), ("unpacked", 99, None));
    assert_eq!((find(&tree, "!l").link, find(&tree, "!run").mode), (Some("main.js".into()), Some(0o755)));
    let changed = asar(&directory(&asar_integrity(code)), b"console.log(2)hi");
    assert_eq!(kinds(&open("app.asar", &changed)), ["asar-integrity"]);
    let more = asar(&directory(&asar_integrity(code)), b"console.log(1)hiHIDDEN");
    assert_eq!(find(&open("app.asar", &more), "!#unlisted/1").digest, Some(Digest::of(b"HIDDEN")));
    let outside = asar(r#"{"files":{"a":{"size":9,"offset":"18446744073709551615"}}}"#, b"");
    assert_eq!(kinds(&open("app.asar", &outside)), ["malformed-asar"]);
    let climbs = asar(r#"{"files":{"..":{"files":{"a":{"size":0,"offset":"0"}}}}}"#, b"");
    assert_eq!(kinds(&open("app.asar", &climbs)), ["path-escapes"]);
}

#[test]
fn the_sums_of_a_debian_package_are_held_against_its_files() {
    // MD5 of `abc`.
    let sums: &[u8] = b"900150983cd24fb0d6963f7d28e17f72  usr/bin/a\n";
    let package = |content: &[u8]| {
        archive(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.gz", &gzip(&tar(&[("./control", b"Package: x\n"), ("./md5sums", sums)], true))),
            ("data.tar.gz", &gzip(&tar(&[("./usr/bin/a", content)], true))),
        ])
    };
    let stale = |bytes: &[u8]| {
        let tree = open("x.deb", bytes);
        assert_eq!(tree.problems, []);
        find(&tree, "!usr/bin/a").content.and_then(|content| content.stale)
    };
    assert_eq!(stale(&package(b"abc")), None);
    assert_eq!(stale(&package(b"abd")).unwrap().source, "md5sums");
}

/// A Unix archive.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in files {
        bytes.extend(format!("{name:<16}0           0     0     100644  {:<10}`\n", content.len()).bytes());
        bytes.extend_from_slice(content);
        bytes.extend(std::iter::repeat_n(b'\n', content.len() % 2));
    }
    bytes
}
