//! Archives behind and inside other files, and installers.

use std::fs;
use std::process::Command;

use evidence::Digest;
use forge::{PeImage, PeSection, elf_executable, zip_stored};
use sevenz_rust2::EncoderMethod;

use crate::corpus::sevenz;
use crate::samples::{cab, squashfs};
use crate::{find, kinds, open, paths};

fn library() -> PeImage {
    PeImage { name: "a.dll".into(), exports: vec!["f".into()], ..PeImage::default() }
}

#[test]
fn a_zip_behind_any_file_is_opened() {
    let zip = zip_stored(&[("app/main.js", b"content"), ("b", b"2")]).unwrap();
    for front in [
        elf_executable(b"x"),
        library().bytes(),
        b"#!/usr/bin/env python3\n".to_vec(),
        b"%PDF-1.7\n".to_vec(),
    ] {
        let format = open("x", &front).root.format;
        let tree = open("x", &[front, zip.clone()].concat());
        assert_eq!((tree.problems.len(), tree.root.format.clone()), (0, format));
        assert_eq!(find(&tree, "x!app/main.js").digest, Some(Digest::of(b"content")));
    }
    let plain = open("x", b"text that mentions PK\x05\x06 and is no archive, however long it may be");
    assert_eq!((plain.problems.len(), plain.root.members.len()), (0, 0));
}

#[test]
fn an_archive_behind_a_program_is_opened() {
    let archive = sevenz(EncoderMethod::LZMA2, &[("a", b"content")]);
    let configuration = b";!@Install@!UTF-8!\r\nRunProgram=\"a\"\r\n;!@InstallEnd@!\r\n";
    let behind = [
        [configuration.as_slice(), &archive].concat(),
        archive,
        cab(1, &[("a", b"content")], &[b"content"]),
        squashfs(&[("a", b"content")], true),
    ];
    for archive in behind {
        for front in [elf_executable(b"x"), library().bytes()] {
            let tree = open("x", &[front, archive.clone()].concat());
            assert_eq!(tree.problems, []);
            assert_eq!(find(&tree, "x!#overlay!a").digest, Some(Digest::of(b"content")));
        }
    }
    let tree = open("x", &[library().bytes(), b"something else".to_vec()].concat());
    assert_eq!(find(&tree, "x!#overlay").digest, Some(Digest::of(b"something else")));
    assert_eq!(open("x", &library().bytes()).root.members, []);
    // A mark of Inno Setup alone does not hide what is there.
    let tree = open("x", &[library().bytes(), b"Inno Setup Setup Data (6.0.0)".to_vec()].concat());
    assert_eq!(find(&tree, "x!#overlay").size, 29);
}

#[test]
fn a_cabinet_inside_an_image_is_opened() {
    let cabinet = cab(1, &[("setup.inf", b"content")], &[b"content"]);
    let section = PeSection { name: ".cab".into(), data: cabinet, flags: 0x4000_0040 };
    let tree = open("x.exe", &PeImage { sections: vec![section], ..library() }.bytes());
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "x.exe!#embedded/1!setup.inf").digest, Some(Digest::of(b"content")));
}

#[test]
fn nsis_installers_of_each_compression_show_their_files_and_script() {
    if Command::new("makensis").arg("-VERSION").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have makensis");
        eprintln!("SKIPPED: makensis is not installed");
        return;
    }
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    fs::write(at.join("main.exe"), "content ".repeat(500)).unwrap();
    let build = |compressor: &str, command: &str| {
        let script = format!(
            "Name Demo\nOutFile setup.exe\nInstallDir \"$PROGRAMFILES\\Demo\"\nSetCompressor {compressor}\nSection\n\
            SetOutPath \"$INSTDIR\\bin\"\nFile main.exe\nExecWait '{command}'\nSectionEnd\n"
        );
        fs::write(at.join("setup.nsi"), script).unwrap();
        let made = Command::new("makensis").args(["-V1", "setup.nsi"]).current_dir(at).status().unwrap();
        assert!(made.success(), "{compressor}");
        fs::read(at.join("setup.exe")).unwrap()
    };
    for compressor in ["zlib", "bzip2", "lzma", "/SOLID zlib", "/SOLID lzma"] {
        let tree = open("setup.exe", &build(compressor, "main.exe /x"));
        assert_eq!(tree.problems, [], "{compressor}");
        assert_eq!(paths(&tree).len(), 3, "{:?}", paths(&tree));
        let file = find(&tree, "setup.exe!$INSTDIR\\x5cbin\\x5cmain.exe");
        assert_eq!(file.digest, Some(Digest::of("content ".repeat(500).as_bytes())));
    }
    let (one, other) = (build("zlib", "main.exe /x"), build("zlib", "main.exe /y"));
    let script = |bytes: &[u8]| find(&open("setup.exe", bytes), "!#script").digest;
    assert_ne!(script(&one), script(&other), "a changed command is a changed member");
    let mark = one.windows(12).position(|window| window == b"NullsoftInst").unwrap();
    for (place, value) in [(mark + 15, 0x7f), (mark + 40, !one[mark + 40])] {
        let mut damaged = one.clone();
        damaged[place] = value;
        assert_eq!(kinds(&open("setup.exe", &damaged)), ["malformed-nsis"], "{place}");
    }
    // Bounded, and no panic, whatever byte is changed.
    for position in (mark - 8..mark + 300).chain((mark..one.len()).step_by(97)) {
        let mut damaged = one.clone();
        damaged[position] ^= 0x80;
        open("setup.exe", &damaged);
    }
}
