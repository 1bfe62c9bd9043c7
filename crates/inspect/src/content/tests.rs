//! Facts of content, on small made bytes.

use evidence::tree::Content;
use evidence::{Digest, Node};

use super::*;
use crate::format::format;

fn of(name: &str, bytes: &[u8]) -> Content {
    let format = format(bytes);
    let node = Node::leaf(name.into(), format.word(), Digest::of(bytes), bytes.len() as u64);
    read(&node, format, bytes).unwrap_or_default()
}

#[test]
fn kinds_are_told_by_content_and_disguises_are_seen() {
    let kind = |bytes: &[u8]| of("x", bytes).kind;
    assert_eq!(kind(b"\x89PNG\r\n\x1a\n...."), "png");
    assert_eq!(kind(b"#!/bin/sh\necho\n"), "script");
    assert_eq!(kind("grüße\n".as_bytes()), "text");
    assert_eq!(kind(b"BM is a word\n"), "text");
    assert_eq!(kind(&[1, 0, 2, 3]), "");
    assert_eq!(of("x", b"#! /usr/bin/env node\r\nx").interpreter.as_deref(), Some("/usr/bin/env node"));
    let program = forge::elf_executable(b"x");
    assert_eq!(of("logo.png", &program).claims.as_deref(), Some("png"));
    assert_eq!(of("logo.so", &program).claims, None);
    assert_eq!(of("a.png", b"#!/bin/sh\n").claims.as_deref(), Some("png"));
    assert_eq!(of("a.js", b"#!/usr/bin/env node\n").claims, None);
}

#[test]
fn hosts_are_listed_and_versions_are_not() {
    let text = b"see https://Example.com/x and http://203.0.113.9:80/ \"evil.ru\" '198.51.100.7' \"1.2.3.4\" \"10.4.2\" self.net obj.org(";
    assert_eq!(
        of("x.txt", text).hosts.into_iter().collect::<Vec<_>>(),
        ["198.51.100.7", "203.0.113.9", "evil.ru", "example.com"]
    );
    let wide: Vec<u8> = "https://wide.example/x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(of("x.bin", &wide).hosts.contains("wide.example"));
    let many: String = (0..500).map(|number| format!("https://h{number}.example/ ")).collect();
    let found = of("x.txt", many.as_bytes());
    assert!(found.more_hosts && found.hosts.len() == Content::LIST_MAX);
}

#[test]
fn encoded_and_random_parts_are_counted() {
    use std::fmt::Write as _;
    let noise = forge::noise(1, 3000);
    let mut hex = String::new();
    for byte in &noise {
        write!(hex, "{byte:02x}").unwrap();
    }
    let found = of("x.js", format!("var a = \"{hex}\";\n").as_bytes());
    assert_eq!((found.encoded_strings, found.longest_encoded), (1, 6000));
    assert!(found.longest_line > 6000);
    assert_eq!(of("x.js", &[b"word ".as_slice(); 1000].concat()).encoded_strings, 0);
    assert_eq!(of("x.txt", &[b'A'; 5000]).encoded_strings, 0);
    assert_eq!(of("x.bin", &forge::noise(2, 200_000)).random_windows, 3);
    assert_eq!(of("x.bin", &vec![7; 200_000]).random_windows, 0);
}

#[test]
fn hidden_characters_are_counted_in_text() {
    let found = of("x.py", "a = 1 \u{202e}\u{2066} # \u{200b}\u{e0041}\u{e0101}\n".as_bytes());
    assert_eq!((found.bidirectional, found.invisible), (2, 3));
    let found = of("x.md", "\u{feff}ein ❤\u{fe0f} und 👨\u{200d}👩\n".as_bytes());
    assert_eq!((found.bidirectional, found.invisible), (0, 0));
}

#[test]
fn embedded_files_are_found_where_they_are() {
    let image =
        forge::PeImage { name: "x.dll".into(), content: vec![1; 50], ..forge::PeImage::default() }.bytes();
    let zip = forge::zip_stored(&[("a.txt", b"1")]).unwrap();
    let elf = forge::elf_executable(b"x");
    let bytes = [&[9; 100][..], &image, &[9; 33], &zip, &elf].concat();
    let found: Vec<_> = of("x.dat", &bytes).embedded.into_iter().map(|one| (one.kind, one.offset)).collect();
    let at = 133 + image.len() as u64;
    assert_eq!(
        found,
        [("pe".to_owned(), 100), ("zip".to_owned(), at), ("elf".to_owned(), at + zip.len() as u64)]
    );
    assert_eq!(of("x.dat", b"..PE\0\0..PK\x03\x04........MZ").embedded, []);
}

/// The source and its bytecode by the real compiler, in the three ways of PEP 552; then a patched one.
#[test]
fn bytecode_is_compared_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let honest = "import json\n\nclass Reader:\n    def __init__(self, path):\n        self.__path = path\n\n    def read(self):\n        return [json.loads(line) for line in open(self.__path)]\n";
    let evil = "import json, socket, subprocess\n\ndef call():\n    subprocess.run(socket.gethostname())\n";
    for mode in ["timestamp", "checked-hash", "unchecked-hash"] {
        let compile = |text: &str| {
            write("m.py", text);
            let script = format!(
                "import py_compile as p; p.compile('m.py', 'm.pyc', invalidation_mode=p.PycInvalidationMode.{})",
                mode.to_uppercase().replace('-', "_")
            );
            let status = std::process::Command::new("python3")
                .args(["-c", &script])
                .current_dir(folder.path())
                .status();
            assert!(status.unwrap().success());
            std::fs::read(folder.path().join("m.pyc")).unwrap()
        };
        let stale = |code: &[u8]| {
            let files = [("p/m.py", honest.as_bytes()), ("p/__pycache__/m.cpython-311.pyc", code)];
            let tar = forge::tar_gz(&files).unwrap();
            let tree = crate::open_file(&"x.tar.gz".into(), &tar, &mut crate::Budget::default());
            assert_eq!(tree.problems, []);
            let mut found = None;
            tree.root.walk(|_, node| {
                if let Some(stale) = node.content.as_ref().and_then(|content| content.stale.clone()) {
                    found = Some(stale.reason);
                }
            });
            found
        };
        let clean = compile(honest);
        assert_eq!(stale(&clean), None, "{mode}");
        let other = compile(evil);
        assert!(stale(&other).is_some(), "{mode}");
        // Headers of before: a size behind the time, and of Python 2 no size at all.
        let older = |magic: u16, rest: &[u8]| {
            let magic = magic.to_le_bytes();
            stale(&[&magic[..], b"\r\n", &[1, 2, 3, 4], rest, &[0; 8], &clean[16..]].concat())
        };
        assert_eq!(older(3379, &(honest.len() as u32).to_le_bytes()), None);
        assert!(older(3379, &7_u32.to_le_bytes()).unwrap().contains("of a source of 7 bytes"));
        assert_eq!(older(62211, &[]), None);
        // The enemy writes the header that fits.
        let patched = [&clean[..16], &other[16..]].concat();
        let reason = stale(&patched).unwrap();
        assert!(reason.contains("socket") && reason.contains("subprocess"), "{reason}");
    }
}

#[test]
fn a_wheel_is_held_to_its_record() {
    // sha256("1") in base64 for URLs.
    let record = "v\\w.py,sha256=a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s,1\na.py,sha256=a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s,1\nb.py,sha256=a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s,1\nv/e.dist-info/RECORD,,\nd.dist-info/RECORD,,\n";
    let files = [
        ("a.py", b"1".as_slice()),
        // Listed with the separator of Windows.
        ("v/w.py", b"1"),
        ("b.py", b"2"),
        ("c.py", b"3"),
        ("d.dist-info/RECORD", record.as_bytes()),
    ];
    let wheel = forge::zip_stored(&files).unwrap();
    let tree = crate::open_file(&"d.whl".into(), &wheel, &mut crate::Budget::default());
    let reason = |name: &str| {
        let member = tree.root.members.iter().find(|member| member.name == name.into()).unwrap();
        member.content.as_ref().and_then(|content| content.stale.clone()).map(|stale| stale.reason)
    };
    assert_eq!((reason("a.py"), reason("v/w.py"), reason("d.dist-info/RECORD")), (None, None, None));
    assert!(reason("b.py").unwrap().contains("another digest"));
    assert!(reason("c.py").unwrap().contains("does not list"));
}

#[test]
fn texts_that_share_lines_share_their_sketch() {
    use std::fmt::Write as _;
    let text = |from: u32, to: u32| {
        let mut text = String::new();
        for line in from..to {
            writeln!(text, "    line number {line} of a text").unwrap();
        }
        of("x.js", text.as_bytes()).sketch
    };
    let sketch = text(0, 1000);
    assert_eq!(sketch.len(), Content::SKETCH_MAX);
    assert!(sketch.is_sorted());
    let shared = |other: &[u32]| other.iter().filter(|hash| sketch.contains(hash)).count();
    assert!(shared(&text(10, 1010)) >= 12);
    assert_eq!(shared(&text(5000, 6000)), 0);
    assert_eq!(of("x.js", b"}\n{\n\n").sketch, Vec::<u32>::new());
}
