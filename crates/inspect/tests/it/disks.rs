//! Images of file systems, and 7z.

use evidence::Digest;
use sevenz_rust2::EncoderMethod;

use crate::corpus::sevenz;
use crate::samples::{iso, squashfs};
use crate::{find, kinds, open, paths};

#[test]
fn a_7z_archive_of_each_method_is_opened() {
    let big = b"content ".repeat(5000);
    let files: [(&str, &[u8]); 3] = [("a", &big), ("folder/b", b"2"), ("empty", b"")];
    let methods = [
        EncoderMethod::COPY,
        EncoderMethod::LZMA,
        EncoderMethod::LZMA2,
        EncoderMethod::PPMD,
        EncoderMethod::BZIP2,
        EncoderMethod::DEFLATE,
        EncoderMethod::ZSTD,
    ];
    for method in methods {
        let tree = open("x.7z", &sevenz(method, &files));
        assert_eq!(tree.problems, [], "{}", method.name());
        assert_eq!(paths(&tree), ["x.7z", "x.7z!a", "x.7z!empty", "x.7z!folder", "x.7z!folder/b"]);
        assert_eq!(find(&tree, "x.7z!a").digest, Some(Digest::of(&big)));
        assert_eq!(find(&tree, "x.7z!empty").digest, Some(Digest::of(b"")));
        assert_eq!(find(&tree, "x.7z!folder").format, "directory");
    }
    let mut damaged = sevenz(EncoderMethod::COPY, &files);
    damaged[40] ^= 1;
    assert_eq!(kinds(&open("x.7z", &damaged)), ["malformed-7z"]);
    let climbs = sevenz(EncoderMethod::COPY, &[("../x", b"1")]);
    assert_eq!(kinds(&open("x.7z", &climbs)), ["path-escapes"]);
}

#[test]
fn an_iso_image_shows_the_names_of_both_trees() {
    let image = iso(&[("long name.txt", b"content"), ("run", b"")], &[("Only Here.exe", b"hidden")]);
    let tree = open("x.iso", &image);
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "x.iso!sub/long name.txt").digest, Some(Digest::of(b"content")));
    assert_eq!(find(&tree, "x.iso!sub/long name.txt").mode, Some(0o644));
    assert_eq!(find(&tree, "x.iso!sub/run").digest, Some(Digest::of(b"")));
    assert_eq!(find(&tree, "x.iso!#joliet/Only Here.exe").digest, Some(Digest::of(b"hidden")));
    assert_eq!(paths(&tree).len(), 5, "{:?}", paths(&tree));
    let tree = open("x.iso", &[image, b"AFTER".to_vec()].concat());
    assert_eq!(find(&tree, "x.iso!#after").digest, Some(Digest::of(b"AFTER")));
}

#[test]
fn a_squashfs_image_is_opened() {
    let big = b"0123456789".repeat(1000);
    for compressed in [false, true] {
        let image = squashfs(&[("big", &big), ("small", b"content")], compressed);
        let tree = open("x.snap", &image);
        assert_eq!(tree.problems, []);
        assert_eq!(find(&tree, "x.snap!big").digest, Some(Digest::of(&big)));
        let small = find(&tree, "x.snap!small");
        assert_eq!((small.digest, small.mode), (Some(Digest::of(b"content")), Some(0o755)));
        let tree = open("x.snap", &[image, b"AFTER".to_vec()].concat());
        assert_eq!(find(&tree, "x.snap!#after").digest, Some(Digest::of(b"AFTER")));
    }
    let mut old = squashfs(&[("a", b"1")], false);
    old[28] = 3;
    assert_eq!(kinds(&open("x.snap", &old)), ["malformed-squashfs"]);
}
