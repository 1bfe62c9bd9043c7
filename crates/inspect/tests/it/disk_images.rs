//! File systems and disks that are made by hand: each thing that may be wrong with one.

use evidence::{BytePath, Digest};

use crate::samples::iso;
use crate::samples_apple::dmg;
use crate::samples_disk::{ext, ext_inode, fat, fat_cluster, gpt, mbr, mbr_entry};
use crate::{find, kinds, open, paths};

const BLOCK: usize = 1024;

#[test]
fn an_ext_image_is_opened() {
    let content: Vec<u8> = (0..1500_u32).map(|at| (at % 251) as u8).collect();
    let tree = open("x.img", &ext(&content));
    assert_eq!(tree.problems, []);
    assert_eq!(
        paths(&tree),
        [
            "x.img",
            "x.img!extents",
            "x.img!fifo",
            "x.img!indirect",
            "x.img!inline",
            "x.img!link",
            "x.img!sub",
            "x.img!sub again",
            "x.img!sub/deep"
        ]
    );
    let seen = |name: &str| {
        let node = find(&tree, name);
        (node.format, node.digest, node.mode, node.link)
    };
    let data = |content: &[u8], mode| ("data".to_owned(), Some(Digest::of(content)), Some(mode), None);
    assert_eq!(seen("!extents"), data(&content, 0o755));
    assert_eq!(seen("!indirect"), data(&content, 0o644));
    assert_eq!(seen("!inline"), data(&[[b'i'; 60].as_slice(), &[b'j'; 10]].concat(), 0o640));
    assert_eq!(seen("!sub/deep"), data(&[vec![0; 12 * BLOCK], vec![b'd'; BLOCK]].concat(), 0o600));
    let link = |word: &str, target: &str, mode| {
        (word.to_owned(), Some(Digest::of(target.as_bytes())), Some(mode), Some(BytePath::from(target)))
    };
    assert_eq!(seen("!link"), link("symlink", "indirect", 0o777));
    assert_eq!(seen("!sub again"), link("hardlink", "indirect", 0o644));
    assert_eq!((find(&tree, "!fifo").format.as_str(), find(&tree, "!sub").mode), ("fifo", Some(0o700)));
    let tree = open("x.img", &[ext(&content), b"AFTER".to_vec()].concat());
    assert_eq!(find(&tree, "!#after").digest, Some(Digest::of(b"AFTER")));
    let mut booted = ext(&content);
    booted[..4].copy_from_slice(b"boot");
    assert_eq!(find(&open("x.img", &booted), "!#system-area").size, 1024);
}

/// Changes an image.
fn with(mut image: Vec<u8>, changes: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, bytes) in changes {
        image[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    image
}

/// Opens an image after changes: the problems are those, and so many members are there.
#[track_caller]
fn check(image: &[u8], changes: &[(usize, &[u8])], problems: &[&str], members: usize) {
    let tree = open("x", &with(image.to_vec(), changes));
    let found: Vec<String> = tree
        .problems
        .iter()
        .map(|problem| format!("{} {}: {}", problem.path, problem.kind, problem.detail))
        .collect();
    assert_eq!(found, problems);
    assert_eq!(paths(&tree).len() - 1, members, "{:?}", paths(&tree));
}

#[test]
fn what_is_wrong_with_an_ext_image_as_a_whole_is_told() {
    const SUPERBLOCK: usize = 1024;
    let image = ext(&[b'c'; 1500]);
    let one = |at: usize, bytes: &[u8], problem: &str, members: usize| {
        check(&image, &[(SUPERBLOCK + at, bytes)], &[&format!("x {problem}")], members);
    };
    one(
        96,
        &[0x46],
        "unsupported-container: its journal is not replayed: what stands there is newer than what is shown",
        8,
    );
    one(98, &[0x10], "unsupported-container: it has features that are not known (0x100000)", 8);
    one(96, &[0x4a], "unsupported-container: it is the journal of another file system", 0);
    one(4, &[29], "malformed-ext: it is cut off", 8);
    one(88, &[3], "malformed-ext: its inodes have an impossible size", 0);
    one(32, &[0, 0], "malformed-ext: its groups have an impossible size", 0);
    one(4, &[0], "malformed-ext: its groups have an impossible size", 0);
    check(&image, &[(2 * BLOCK + 8, &[99])], &["x malformed-ext: a block lies outside"], 0);
    let all = ["extents", "fifo", "indirect", "inline", "link", "sub", "sub again"];
    let tree = open("x", &with(image, &[(SUPERBLOCK + 101, &[4])]));
    // Each inode has a sum of its own, and the superblock.
    assert_eq!(kinds(&tree), ["malformed-ext"; 9]);
    assert!(all.iter().all(|name| paths(&tree).contains(&format!("x!{name}"))));
}

#[test]
fn what_is_wrong_with_a_file_of_an_ext_image_is_told_and_the_others_stay() {
    let image = ext(&[b'c'; 1500]);
    let one = |at: usize, bytes: &[u8], problem: &str, members: usize| {
        check(&image, &[(at, bytes)], &[&format!("x!{problem}")], members);
    };
    let (file, map, flags) = (ext_inode(13), ext_inode(13) + 40, ext_inode(13) + 32);
    one(file + 26, &[0], "extents malformed-ext: its inode is not in use", 7);
    one(file + 1, &[0x00], "extents malformed-ext: its inode is of no known kind", 7);
    one(flags + 1, &[0x08], "extents encrypted-member: its content cannot be read without a key", 7);
    one(
        flags + 1,
        &[0x02],
        "extents unsupported-compression: the file system's compression is not opened",
        7,
    );
    one(map, &[0], "extents malformed-ext: a tree of extents has a node that is none", 7);
    one(map + 2, &[5], "extents malformed-ext: a tree of extents has a node of an impossible size", 7);
    one(map + 6, &[6], "extents malformed-ext: a tree of extents has a node of an impossible size", 7);
    let foreign = "extents malformed-ext: a tree of extents has a node that does not belong to it";
    one(map + 6, &[2], foreign, 7);
    one(map + 16, &[99], "extents malformed-ext: a block lies outside", 7);
    // A node without entries could be named again and again.
    one(17 * BLOCK + 2, &[0], foreign, 7);
    one(17 * BLOCK + 24, &[0], "extents malformed-ext: extents overlap", 7);
    one(17 * BLOCK + 16, &[0], "extents malformed-ext: extents overlap", 7);
    one(17 * BLOCK + 20, &[28], "extents malformed-ext: a block lies outside", 7);
    one(file + 108, &[0, 1], "extents budget-exhausted: too many bytes in one member", 7);
    one(ext_inode(18) + 40, &[99], "sub/deep malformed-ext: a block lies outside", 7);
    one(ext_inode(18) + 40 + 48, &[99], "sub/deep malformed-ext: a block lies outside", 7);
    one(ext_inode(16) + 4, &[71], "inline malformed-ext: its content is shorter than its size says", 7);
    one(ext_inode(16) + 172, &[99], "inline malformed-ext: its content lies outside of its inode", 7);
    one(ext_inode(14) + 4, &[0], "link malformed-ext: its target has an impossible length", 7);
    one(ext_inode(14) + 4, &[61], "link malformed-ext: its target has an impossible length", 7);
    one(ext_inode(14) + 33, &[0x08], "link encrypted-member: its target cannot be read without a key", 7);
    // What is not written yet is read as zeros.
    let tree = open("x", &with(image.clone(), &[(17 * BLOCK + 17, &[0x80])]));
    assert_eq!(find(&tree, "!extents").digest, Some(Digest::of(&[vec![0; 1024], vec![b'c'; 476]].concat())));
}

#[test]
fn what_is_wrong_with_a_folder_of_an_ext_image_is_told() {
    let image = ext(&[b'c'; 1500]);
    let one = |at: usize, bytes: &[u8], problem: &str, members: usize| {
        check(&image, &[(at, bytes)], &[&format!("x!{problem}")], members);
    };
    let name = 15 * BLOCK + 24;
    one(name, &[2], "sub/deep malformed-ext: a folder is within itself, or in two places", 8);
    one(name, &[25], "sub/deep malformed-ext: an inode has an impossible number", 7);
    one(name + 4, &[0, 0], "sub malformed-ext: a folder's entry has an impossible length", 7);
    one(name + 4, &[0xff, 0xff], "sub malformed-ext: a folder's entry has an impossible length", 7);
    one(name + 9, b"/", "sub malformed-ext: a folder's name has a slash or a zero", 7);
    one(ext_inode(17) + 33, &[0x08], "sub encrypted-member: its names cannot be read without a key", 7);
    // A folder of two blocks has one.
    one(ext_inode(17) + 5, &[8], "sub malformed-ext: a folder has a hole", 8);
    check(&image, &[(ext_inode(2) + 1, &[0x81])], &["x malformed-ext: the root is no folder"], 0);
    // Folders within an inode: the number of the one above, and entries.
    let inline = [17, 0, 0, 0, 18, 0, 0, 0, 56, 0, 4, 0, b'd', b'e', b'e', b'p'];
    check(&image, &[(ext_inode(17) + 35, &[0x10]), (ext_inode(17) + 40, &inline)], &[], 8);
}

#[test]
fn a_fat_image_is_opened() {
    for is_wide in [false, true] {
        let tree = open("x", &fat(is_wide));
        assert_eq!((tree.problems.as_slice(), tree.root.format.as_str()), (&[][..], "fat"));
        let names = ["x", "x!#system-area", "x!EMPTY", "x!SUB", "x!SUB/B.TXT", "x!a long name.txt"];
        assert_eq!(paths(&tree), names);
        let long = [vec![b'l'; 512], vec![b'm'; 88]].concat();
        assert_eq!(find(&tree, "!a long name.txt").digest, Some(Digest::of(&long)));
        assert_eq!(find(&tree, "!SUB/B.TXT").digest, Some(Digest::of(b"content")));
        assert_eq!(find(&tree, "!EMPTY").digest, Some(Digest::of(b"")));
        let tree = open("x", &[fat(is_wide), b"AFTER".to_vec()].concat());
        assert_eq!(find(&tree, "!#after").digest, Some(Digest::of(b"AFTER")));
    }
}

#[test]
fn what_is_wrong_with_a_fat_image_is_told() {
    const ROOT: usize = 3 * 512;
    let image = fat(false);
    let one = |at: usize, bytes: &[u8], problem: &str, members: usize| {
        check(&image, &[(at, bytes)], &[&format!("x{problem}")], members);
    };
    one(19, &[41], " malformed-fat: it is cut off", 5);
    one(1024 + 9, &[1], " malformed-fat: its allocation tables differ", 5);
    let file = ROOT + 3 * 32;
    one(file + 29, &[1], "!a long name.txt malformed-fat: it has more clusters than its size says", 5);
    one(file + 29, &[5], "!a long name.txt malformed-fat: it has fewer clusters than its size says", 4);
    one(file + 26, &[99], "!a long name.txt malformed-fat: a cluster has an impossible number", 4);
    one(file + 26, &[0], "!a long name.txt malformed-fat: a cluster has an impossible number", 4);
    one(file, b"B", "!BLONGN~1.TXT malformed-fat: its long name is torn, or that of another", 5);
    let taken = "malformed-fat: its clusters are those of something else, too";
    check(
        &image,
        &[(file + 26, &[5])],
        &[
            "x!a long name.txt malformed-fat: it has fewer clusters than its size says",
            &format!("x!SUB/B.TXT {taken}"),
        ],
        3,
    );
    // Cluster 6 comes behind 3, and 3 behind 6: both tables say so.
    let circle = [3, 0];
    let tables = [(512 + 9, &circle[..]), (1024 + 9, &circle)];
    check(&image, &[tables[0], tables[1], (file + 29, &[5])], &[&format!("x!a long name.txt {taken}")], 4);
    // A folder that is its own.
    let own = fat_cluster(4) + 64;
    check(&image, &[(own + 11, &[0x10]), (own + 26, &[4])], &[&format!("x!SUB/B.TXT {taken}")], 5);
    one(
        fat_cluster(4) + 128,
        b"HIDDEN  TXT",
        "!SUB malformed-fat: names stand behind the end of a folder",
        6,
    );
    // One table counts, and what the other one says does not.
    let changes: [(usize, &[u8]); 2] = [(40, &[0x80]), (3 * 512 + 12, &[9])];
    check(&fat(true), &changes, &[], 5);
}

#[test]
fn a_disk_with_a_master_boot_record_is_opened() {
    let image = mbr(&ext(b"1"), [b"second", &fat(false)]);
    let tree = open("x", &image);
    assert_eq!((tree.problems.as_slice(), tree.root.format.as_str()), (&[][..], "partitions"));
    assert_eq!(find(&tree, "!#partition/1!extents").digest, Some(Digest::of(b"1")));
    assert_eq!(find(&tree, "!#partition/6!SUB/B.TXT").digest, Some(Digest::of(b"content")));
    let second = find(&tree, "!#partition/5");
    assert_eq!(second.digest, Some(Digest::of(&[b"second".as_slice(), &[0; 506]].concat())));
    assert!(find(&tree, "!#unlisted/1").size >= 10);
    let text =
        "mbr\t12345678\n1\t83\t2048\t28672\tactive\t\n5\t83\t31232\t512\t\t\n6\t83\t32256\t20480\t\t\n";
    assert_eq!(find(&tree, "!#table").digest, Some(Digest::of(text.as_bytes())));
    assert_eq!(tree.root.members.len(), 5);
    let booted = open("x", &with(image, &[(0, b"\xfa\x31\xc0")]));
    assert_eq!(find(&booted, "!#system-area").size, 440);
}

#[test]
fn what_is_wrong_with_a_master_boot_record_is_told() {
    let image = mbr(b"first", [b"second", b"third"]);
    let one = |at: usize, bytes: &[u8], problems: &[&str], members: usize| {
        check(&image, &[(at, bytes)], problems, members);
    };
    // Sector 4 is the first partition, 5 and 7 are the tables of the logical ones.
    let (entry, first, second) = (446, 5 * 512 + 446, 7 * 512 + 446);
    check(&image, &[], &[], 5);
    // What no table leads to is unlisted, and may be a table.
    one(second + 64, &[0], &["x malformed-partitions: a table of logical partitions is missing"], 5);
    one(first + 24, &[0], &["x malformed-partitions: logical partitions go in a circle"], 7);
    let elsewhere = "x malformed-partitions: a table of logical partitions leads to something else";
    one(first + 20, &[0x83], &[elsewhere], 7);
    one(
        entry + 12,
        &[9],
        &[
            "x!#partition/1 malformed-partitions: it is cut off",
            "x!#partition/5 overlapping-members: it shares bytes with another partition",
            "x!#partition/6 overlapping-members: it shares bytes with another partition",
        ],
        5,
    );
    one(entry + 9, &[9], &["x!#partition/1 malformed-partitions: it lies outside"], 4);
    one(entry + 4, &[0xee], &["x malformed-partitions: it stands for a GPT that is not there"], 5);
}

#[test]
fn a_disk_with_gpt_is_opened() {
    let image = gpt("EFI/system", &fat(true));
    let tree = open("x", &image);
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "!#partition/1-EFI_system!SUB/B.TXT").digest, Some(Digest::of(b"content")));
    let text = "gpt\t33333333-3333-3333-3333-333333333333\n\
        1\t11111111-1111-1111-1111-111111111111\t1536\t20480\t22222222-2222-2222-2222-222222222222\t0000000000000004\tEFI/system\n";
    assert_eq!(find(&tree, "!#table").digest, Some(Digest::of(text.as_bytes())));
    assert_eq!(tree.root.members.len(), 2);
    let copy = image.len() - 512;
    let one = |changes: &[(usize, &[u8])], problems: &[&str], members: usize| {
        let problems: Vec<String> =
            problems.iter().map(|what| format!("x malformed-partitions: {what}")).collect();
        check(&image, changes, &problems.iter().map(String::as_str).collect::<Vec<_>>(), members);
    };
    let (first, of_the_copy) =
        ("a checksum of its first table is wrong", "a checksum of the copy of its table is wrong");
    one(&[(512 + 100, &[1])], &[], 7);
    one(&[(512 + 16, &[1])], &[first], 7);
    one(&[(copy + 16, &[1])], &[of_the_copy], 7);
    one(&[(512 + 16, &[1]), (copy + 16, &[1])], &[first, of_the_copy], 7);
    one(&[(1024 + 300, &[1])], &["its two tables differ", first], 7);
    // What is no table is unlisted.
    one(&[(512, b"X")], &["its first table is missing"], 8);
    one(&[(copy, b"X")], &["the copy of its table is missing"], 8);
}

#[test]
fn apple_disk_images_have_these_file_systems_too() {
    for (image, file) in [(fat(false), "!SUB/B.TXT"), (fat(true), "!SUB/B.TXT"), (ext(b"1"), "!extents")] {
        let tree = open("x.dmg", &dmg(1, &image, image.len()));
        assert_eq!((tree.problems.as_slice(), tree.root.format.as_str()), (&[][..], "dmg"));
        assert_eq!(find(&tree, file).format, "data");
    }
}

#[test]
fn what_only_ends_as_a_boot_sector_does_is_no_disk() {
    let word = |bytes: &[u8]| inspect::format(bytes).word();
    let boot = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().max(100 << 10), 0);
        mbr_entry(&mut bytes, 0, 0x83, 2, 20);
        bytes
    };
    assert_eq!(word(&boot(Vec::new())), "partitions");
    // The record alone, as Apple disk images have it, is no disk; nor is a boot sector alone a volume.
    assert_eq!(word(&boot(Vec::new())[..512]), "data");
    assert_eq!(word(&fat(false)[..512]), "data");
    assert_eq!(word(&fat(true)[..512]), "data");
    let mut kernel = boot(Vec::new());
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    assert_eq!(word(&kernel), "data");
    let program = forge::PeImage { name: "a.dll".into(), ..forge::PeImage::default() }.bytes();
    assert_eq!(word(&boot(program)), "pe");
    assert_eq!(word(&boot(iso(&[("a", b"1")], &[]))), "iso");
    assert_eq!(word(&boot(fat(false))), "fat");
    assert_eq!(word(&boot(ext(b"1"))), "ext");
    for volume in [fat(false), ext(b"1")] {
        assert_eq!(kinds(&open("x", &boot(volume))), ["unsupported-container"]);
    }
    for (name, expected) in [(b"\xeb\x52\x90NTFS    ", "ntfs"), (b"\xeb\x76\x90EXFAT   ", "exfat")] {
        assert_eq!(word(&boot(name.to_vec())), expected);
    }
    for (at, value) in [(446, 1), (462, 0x7f), (454, 0), (510, 0x54)] {
        assert_eq!(word(&with(boot(Vec::new()), &[(at, &[value])])), "data", "{at}");
    }
    for seed in 0..2000 {
        assert_eq!(word(&with(forge::noise(seed, 2048), &[(510, b"\x55\xaa")])), "data");
    }
    let text = b"a text of which nobody would think that it is a disk\n".repeat(40);
    assert_eq!(word(&with(text, &[(510, b"\x55\xaa")])), "data");
}

#[test]
fn what_is_cut_off_is_told() {
    let images =
        [ext(&[b'c'; 1500]), fat(false), fat(true), mbr(b"first", [b"second", b"third"]), gpt("a", b"first")];
    for image in images {
        let whole = open("x", &image);
        for cut in (0..image.len() - 1).step_by(512).skip(4) {
            let tree = open("x", &image[..cut]);
            // Nothing goes without a word.
            assert!(tree.root.format != whole.root.format || !tree.problems.is_empty(), "{cut}");
        }
    }
}

#[test]
fn a_superblock_that_says_unusual_things_is_one_all_the_same() {
    let mut image = ext(b"content");
    // State, what is done about errors, the system that made it.
    for (at, value) in [(58, 0x90), (60, 9), (72, 9)] {
        image[1024 + at] = value;
        let tree = open("x.img", &image);
        assert_eq!(tree.root.format, "ext", "{at}");
        assert_eq!(find(&tree, "!extents").digest, Some(Digest::of(b"content")), "{at}");
    }
    let mut odd = vec![0; 4096];
    odd[32..36].copy_from_slice(b"NXSB");
    assert_eq!(kinds(&open("x.img", &odd)), ["unsupported-container"]);
}
