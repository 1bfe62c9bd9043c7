//! Compressed streams.

use std::fs;
use std::process::Command;

use evidence::Digest;
use inspect::{Budget, RATIO_FREE_BYTES, open_file};

use crate::samples::{cpio_newc, gzip, lz4, tar};
use crate::{find, kinds, open};

#[test]
fn what_the_tools_compress_is_opened() {
    let keep = tempfile::tempdir().unwrap();
    let at = keep.path();
    let content = "a line of text\n".repeat(5000);
    fs::write(at.join("x"), &content).unwrap();
    let brotli = "node -e \"fs=require('fs');fs.writeFileSync('x.br',require('zlib').brotliCompressSync(fs.readFileSync('x')))\"";
    for (name, script) in [
        ("x.lzma", "xz --format=lzma -k x"),
        ("x.xz", "xz -k x && cat x.xz > y && cat y >> x.xz && truncate -s $(stat -c %s y) x.xz"),
        ("x.bz2", "bzip2 -k x"),
        ("x.gz", "gzip -k x"),
        ("x.br", brotli),
    ] {
        assert!(
            Command::new("sh").args(["-c", script]).current_dir(at).status().unwrap().success(),
            "{script}"
        );
        let tree = open(name, &fs::read(at.join(name)).unwrap());
        assert_eq!(tree.problems, [], "{name}");
        assert_eq!(find(&tree, "!x").digest, Some(Digest::of(content.as_bytes())), "{name}");
    }
}

#[test]
fn lz4_frames_may_follow_each_other() {
    let tree = open("x.lz4", &[lz4(b"one"), lz4(b"two")].concat());
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "!x").digest, Some(Digest::of(b"onetwo")));
    let mut damaged = lz4(&[7; 5000]);
    damaged.truncate(20);
    assert_eq!(kinds(&open("x.lz4", &damaged)), ["malformed-lz4"]);
}

#[test]
fn an_archive_in_a_stream_has_the_digest_of_its_bytes() {
    let archive = tar(&[("a", b"1"), ("b/c", &[7; 3000])], true);
    let direct = open("x.tar", &archive);
    let tree = open("x.tar.gz", &gzip(&archive));
    let inner = find(&tree, "!x.tar");
    assert_eq!((inner.digest, inner.size), (direct.root.digest, archive.len() as u64));
    assert_eq!(inner.members, direct.root.members);
    let archive = cpio_newc(&[("a", 0o100_644, b"1")], false);
    let tree = open("x.cpio.gz", &gzip(&archive));
    assert_eq!(find(&tree, "!x.cpio").digest, Some(Digest::of(&archive)));
    assert_eq!(find(&tree, "!a").digest, Some(Digest::of(b"1")));
}

#[test]
fn text_that_ends_in_br_is_text() {
    assert_eq!(open("messages.br", b"ol\xc3\xa1 = ola\n").problems, []);
    assert_eq!(kinds(&open("x.br", b"\x00\xff\xff\xff\xff")), ["malformed-brotli"]);
}

#[test]
fn a_stream_that_gives_too_much_for_its_size_ends() {
    let zeros = vec![0_u8; RATIO_FREE_BYTES as usize + (8 << 20)];
    let packed = gzip(&zeros);
    let mut budget = Budget { ratio: 10, ..Budget::default() };
    let tree = open_file(&"x.gz".into(), &packed, &mut budget);
    assert_eq!(kinds(&tree), ["budget-exhausted"]);
    assert!(tree.problems[0].detail.contains("packed"), "{}", tree.problems[0].detail);
    assert_eq!(open("x.gz", &packed).problems, []);
}
