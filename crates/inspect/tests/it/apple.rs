//! Apple's packages and disk images.

use std::io::Write;

use evidence::Digest;

use crate::corpus::{package, pbzx, zlib};
use crate::samples::{REGULAR, cpio_newc, gzip};
use crate::samples_apple::{LZFSE, LZVN, apfs, dmg, hfs, lzfse_content, unhex};
use crate::{find, kinds, open};

#[test]
fn a_flat_package_is_opened() {
    let cpio = cpio_newc(&[("./Applications/x", REGULAR, b"content")], false);
    for payload in [gzip(&cpio), pbzx(&cpio[..50], &cpio[50..])] {
        let tree = open("x.pkg", &package(&payload, None));
        assert_eq!(tree.problems, []);
        assert_eq!(
            find(&tree, "x.pkg!app.pkg/Payload!content!./Applications/x").digest,
            Some(Digest::of(b"content"))
        );
        let script = find(&tree, "x.pkg!app.pkg/post&install");
        assert_eq!((script.digest, script.mode), (Some(Digest::of(b"#!/bin/sh\n")), Some(0o755)));
    }
    let more = [package(b"payload", None), b"HIDDEN".to_vec()].concat();
    assert_eq!(find(&open("x.pkg", &more), "!#unlisted/1").digest, Some(Digest::of(b"HIDDEN")));
    assert_eq!(kinds(&open("x.pkg", &package(b"", Some(u64::MAX)))), ["malformed-xar"]);
    let mut cut = pbzx(&cpio[..50], &cpio[50..]);
    cut.truncate(100);
    assert_eq!(kinds(&open("x", &cut)), ["malformed-pbzx"]);
}

#[test]
fn a_disk_image_of_each_kind_of_chunk_is_opened() {
    let volume = hfs(b"content");
    let name = "disk image (Apple_HFS : 1)";
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&volume).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    for (kind, packed) in [(1, volume.clone()), (0x8000_0005_u32, zlib(&volume)), (0x8000_0006, bzip2)] {
        let tree = open("x.dmg", &dmg(kind, &packed, volume.len()));
        assert_eq!(tree.problems, [], "{kind:#x}");
        let file = find(&tree, &format!("x.dmg!{name}!App/a:b"));
        assert_eq!((file.digest, file.mode), (Some(Digest::of(b"content")), Some(0o644)));
        assert_eq!(find(&tree, "!App/a:b/..namedfork/rsrc").digest, Some(Digest::of(b"fork")));
        assert_eq!(find(&tree, "!App").format, "directory");
        assert_eq!(find(&tree, "!App/a:b/..xattr/mark").digest, Some(Digest::of(b"attribute")));
        assert_eq!(find(&tree, "!zipped").digest, Some(Digest::of(b"plain!")));
    }
    let short = dmg(0x8000_0005, &zlib(b"short"), volume.len());
    assert_eq!(kinds(&open("x.dmg", &short)), ["malformed-dmg"]);
    assert_eq!(kinds(&open("x.dmg", &dmg(0x8000_0009, b"?", 512))), ["unsupported-compression"]);
    let within = open("x.dmg", &dmg(1, &apfs(b"content"), 9 * 4096));
    assert_eq!(within.problems, []);
    assert_eq!(find(&within, &format!("x.dmg!{name}!b")).digest, Some(Digest::of(b"content")));
}

#[test]
fn chunks_that_apple_packed_are_unpacked() {
    for (packed, size) in [(LZVN, 512), (LZFSE, 8192)] {
        let packed = unhex(packed);
        let tree = open("x.dmg", &dmg(0x8000_0007, &packed, size));
        assert_eq!(tree.problems, []);
        let partition = find(&tree, "!disk image (Apple_HFS : 1)");
        assert_eq!(partition.digest, Some(Digest::of(&lzfse_content(size))));
        for end in 4..packed.len() - 5 {
            let tree = open("x.dmg", &dmg(0x8000_0007, &packed[..end], size));
            assert_eq!(kinds(&tree), ["malformed-dmg"], "{end}");
        }
    }
}
