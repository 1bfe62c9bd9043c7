//! APFS containers that Apple's systems made, as the package `dissect.apfs` carries them, with what its own tests expect of them; and
//! small ones that are made here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use evidence::{Digest, Tree};

use crate::samples_apple::{apfs, apfs_checksum};
use crate::{find, kinds, open};

/// The package, whose source archive is fetched once and kept beside the build products.
fn package() -> Option<&'static Path> {
    static PACKAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PACKAGE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let archive = folder.join("dissect_apfs-1.1.tar.gz");
        if !archive.exists() {
            let fetched = Command::new("python3")
                .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
                .args(["--no-deps", "--no-binary", ":all:", "dissect.apfs==1.1", "--dest"])
                .arg(folder)
                .status();
            if !fetched.is_ok_and(|status| status.success()) {
                assert!(std::env::var_os("CI").is_none(), "skipped: the package cannot be fetched");
                eprintln!("SKIPPED: the package `dissect.apfs` cannot be fetched");
                return None;
            }
        }
        Some(archive)
    });
    found.as_deref()
}

/// One of its images.
fn image(package: &Path, name: &str) -> Vec<u8> {
    let mut tar = Command::new("tar")
        .arg("xzOf")
        .arg(package)
        .arg(format!("dissect_apfs-1.1/tests/_data/{name}.bin.gz"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let unpacked = Command::new("gzip").arg("-d").stdin(tar.stdout.take().unwrap()).output().unwrap();
    assert!(tar.wait().unwrap().success() && unpacked.status.success());
    unpacked.stdout
}

fn digest(tree: &Tree, path: &str) -> String {
    find(tree, path).digest.unwrap().to_string()
}

const INLINE: &str = "Compressed data in xattr ";
const FORK: &str = "sha256:5f46d97f947137dcf974fc19914c547acd18fcdb25124c846c1100f8b3fbca5f";

#[test]
fn files_of_volumes_that_apple_wrote_are_what_they_were() {
    let Some(package) = package() else { return };
    let inline = format!("{INLINE}{}\n", "a".repeat(90));
    for (name, methods) in [
        ("case_sensitive", &["zlib", "lzvn", "lzfse"][..]),
        ("case_insensitive", &["zlib", "lzvn", "lzfse"]),
        ("case_sensitive_beta", &["zlib"]),
        ("case_insensitive_beta", &["zlib"]),
        ("jhfs_converted", &["zlib", "lzvn", "lzfse"]),
    ] {
        let tree = open("x.bin", &image(package, name));
        assert_eq!(tree.problems, [], "{name}");
        assert_eq!(tree.root.format, "apfs");
        assert_eq!(
            find(&tree, "!hardlink").digest,
            Some(Digest::of("\u{f8ff} File System\n".as_bytes())),
            "{name}"
        );
        assert_eq!(find(&tree, "!empty").digest, Some(Digest::of(b"")));
        // The first of two names in the order of folders has the content.
        let link = find(&tree, "!dir/file");
        assert_eq!(link.format, "hardlink");
        assert_eq!(link.link.unwrap().to_string(), "hardlink");
        for (path, target) in [("!symlink-file", "dir/file"), ("!symlink-dir", "dir")] {
            let link = find(&tree, path);
            assert_eq!((link.format.as_str(), link.link.unwrap().to_string()), ("symlink", target.into()));
        }
        assert_eq!(find(&tree, "!dir/fifo").format, "fifo");
        assert_eq!(find(&tree, "!nfd_¾").format, "data");
        let resources = find(&tree, "!dir/resourcefork/..namedfork/rsrc");
        assert_eq!(resources.digest, Some(Digest::of(b"Resource fork data\n")));
        let small = find(&tree, "!dir/xattr-small/..xattr/xattr-small");
        assert_eq!(small.digest, Some(Digest::of(b"Small xattr data")));
        let of_folder = find(&tree, "!dir/xattr-dir/..xattr/xattr-dir");
        assert_eq!(of_folder.digest, Some(Digest::of(b"xattr data on directory")));
        for method in methods {
            let attribute = find(&tree, &format!("!dir/compressed-{method}-xattr"));
            assert_eq!(attribute.digest, Some(Digest::of(inline.as_bytes())), "{name} {method}");
            assert_eq!(digest(&tree, &format!("!dir/compressed-{method}-fork")), FORK, "{name} {method}");
        }
    }
}

#[test]
fn what_is_not_opened_of_a_container_is_said() {
    let Some(package) = package() else { return };
    for (name, expected) in [
        ("encrypted", &["encrypted-member"][..]),
        ("snapshot", &["unsupported-container"]),
        ("corrupt", &["malformed-apfs"]),
    ] {
        let tree = open("x.bin", &image(package, name));
        assert_eq!(kinds(&tree), expected, "{name}");
    }
}

#[test]
fn a_container_that_lies_is_said_to_be_malformed() {
    let sound = apfs(b"content");
    let tree = open("x.apfs", &sound);
    assert_eq!(tree.problems, []);
    let file = find(&tree, "!b");
    assert_eq!((file.digest, file.mode), (Some(Digest::of(b"content")), Some(0o644)));
    assert_eq!(file.packing.unwrap().modified, Some(1_700_000_000));
    assert_eq!(find(&tree, "!b/..xattr/mark").digest, Some(Digest::of(b"attribute")));
    assert_eq!(find(&tree, "!App/a").link.unwrap().to_string(), "b");
    assert_eq!(find(&tree, "!zipped").digest, Some(Digest::of(b"plain!")));

    // Each is sealed again, so that it is what is written that is looked at.
    let changed = |changes: &[(usize, u8)]| {
        let mut bytes = sound.clone();
        for (at, value) in changes {
            bytes[*at] = *value;
        }
        for block in bytes.chunks_exact_mut(4096).take(8) {
            let sum = apfs_checksum(block);
            block[..8].copy_from_slice(&sum.to_le_bytes());
        }
        bytes
    };
    const TREE: usize = 7 * 4096;
    let root_of_map = 3 * 4096;
    for (what, changes) in [
        ("a map that is its own child", vec![(root_of_map + 32, 5), (root_of_map + 34, 1)]),
        ("more records than fit", vec![(TREE + 37, 0xff)]),
        ("a table outside", vec![(TREE + 43, 0xff)]),
        ("a volume that is none", vec![(4 * 4096 + 32, b'X')]),
        ("a tree that no map has", vec![(4 * 4096 + 137, 9)]),
        ("a map outside", vec![(4096 + 161, 0xff)]),
    ] {
        assert_eq!(kinds(&open("x.apfs", &changed(&changes))), ["malformed-apfs"], "{what}");
    }
    let mut damaged = sound.clone();
    damaged[TREE + 4095] ^= 1;
    let tree = open("x.apfs", &damaged);
    assert_eq!(kinds(&tree), ["malformed-apfs"]);
    assert_eq!(find(&tree, "!b").digest, Some(Digest::of(b"content")));
}
