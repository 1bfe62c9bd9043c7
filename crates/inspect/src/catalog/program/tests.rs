//! Programs made here with the notes of compilers.

use std::io::Write;

use super::read_program;
use crate::catalog::Scan;
use crate::catalog::tests::{purls, relations};

/// Makes a 64-bit ELF image with these sections.
fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = vec![0_u8];
    let mut content = Vec::new();
    let mut headers = vec![0_u8; 64];
    let mut row = |name: usize, kind: u32, offset: usize, size: usize| {
        let mut header = vec![0; 64];
        header[..4].copy_from_slice(&(name as u32).to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
        header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
        headers.extend(header);
    };
    for (name, bytes) in sections {
        let at = names.len();
        names.extend(name.bytes().chain([0]));
        row(at, 1, 64 + content.len(), bytes.len());
        content.extend_from_slice(bytes);
    }
    let at = names.len();
    names.extend(b".shstrtab\0");
    row(at, 3, 64 + content.len(), names.len());
    content.extend(names);
    let mut image = vec![0; 64];
    image[..6].copy_from_slice(b"\x7fELF\x02\x01");
    image[0x28..0x30].copy_from_slice(&(64 + content.len() as u64).to_le_bytes());
    image[0x3a..0x3c].copy_from_slice(&64_u16.to_le_bytes());
    image[0x3c..0x3e].copy_from_slice(&(sections.len() as u16 + 2).to_le_bytes());
    image[0x3e..0x40].copy_from_slice(&(sections.len() as u16 + 1).to_le_bytes());
    image.extend(content);
    image.extend(headers);
    image
}

fn scanned(image: &[u8]) -> crate::catalog::Catalog {
    for at in 0..image.len() {
        let mut damaged = image.to_vec();
        damaged[at] ^= 0xff;
        read_program(&damaged.as_slice());
        read_program(&&image[..at]);
    }
    let mut scan = Scan::new();
    assert!(scan.offer(&"usr/bin/app".into(), image));
    scan.finish()
}

#[test]
fn the_dependencies_of_an_audited_program_are_read() {
    let list = br#"{"packages":[{"name":"app","version":"0.1.0","source":"local","kind":"runtime","root":true,"dependencies":[1]},{"name":"serde","version":"1.0.200","source":"crates.io"}]}"#;
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(list).unwrap();
    let catalog = scanned(&elf(&[(".text", b"code"), (".dep-v0", &packer.finish().unwrap())]));
    assert_eq!(purls(&catalog), ["pkg:cargo/app@0.1.0", "pkg:cargo/serde@1.0.200"]);
    assert_eq!(relations(&catalog), [("app", "serde")]);
    assert_eq!(catalog.bom.packages[1].state.word(), "embedded");
    let broken = scanned(&elf(&[(".dep-v0", b"no zlib")]));
    assert_eq!(broken.problems[0].kind, "malformed-dependency-list");
}

#[test]
fn the_modules_of_a_go_program_are_read_after_replacement() {
    let text = "path\texample.test/app\nmod\texample.test/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.17.0\th1:x=\ndep\told.test/m\tv1.0.0\n=>\tnew.test/m\tv1.1.0\th1:y=\nbuild\t-compiler=gc\n";
    let string = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    };
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    info.extend(string(b"go1.22.1 X:nocoverageredesign"));
    info.extend(string(&[&[0x30; 16], text.as_bytes(), &[0x31; 16]].concat()));
    let catalog = scanned(&elf(&[(".go.buildinfo", &info)]));
    assert_eq!(
        purls(&catalog),
        [
            "pkg:golang/example.test/app",
            "pkg:golang/golang.org/x/net@v0.17.0",
            "pkg:golang/new.test/m@v1.1.0",
            "pkg:golang/stdlib@1.22.1"
        ]
    );
}

#[test]
fn a_library_that_is_built_in_is_named_by_its_version_string() {
    let text = b"\0 inflate 1.2.11 Copyright 1995-2017 Mark Adler \0";
    let catalog = scanned(&elf(&[(".rodata", text)]));
    assert_eq!(purls(&catalog), ["pkg:generic/zlib@1.2.11"]);
    assert_eq!(catalog.bom.packages[0].cpes[0].as_ref(), "cpe:2.3:a:zlib:zlib:1.2.11:*:*:*:*:*:*:*");
}
